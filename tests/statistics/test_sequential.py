"""e-values against integrated likelihoods and a published Bayes factor; their sequence by root finding."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from bench.statistics.sequential import critical_t, evidence, log_e_value, threshold

# Additional sleep under the second drug over the first, in tenths of an hour (Student, 1908, table I).
SLEEP = [12, 24, 13, 13, 0, 10, 18, 8, 46, 14]
TOTAL = 1000
counts = st.lists(st.integers(-50, 50), min_size=1, max_size=12)


def e_value(t, n, g=1.0):
    return np.exp(log_e_value(t, n, g))


def jzs(t, n, scale):
    """The JZS Bayes factor (Rouder et al. 2009): this e averaged over g ~ inverse gamma(½, scale²/2)."""
    prior = stats.invgamma(0.5, scale=scale**2 / 2)
    return integrate.quad(lambda g: float(e_value(t, n, g)) * prior.pdf(g), 0, np.inf)[0]


def test_the_published_bayes_factor_of_the_sleep_data():
    # R, BayesFactor: ttestBF(sleep$extra[1:10], sleep$extra[11:20], paired = TRUE), r = 0.707: 17.25888
    t = stats.ttest_1samp(SLEEP, 0).statistic
    assert jzs(t, 10, math.sqrt(0.5)) == pytest.approx(17.25888, abs=5e-6)


def test_the_bayes_factors_of_rouder_and_others():
    # Rouder et al., Psychonomic Bulletin & Review 16 (2009), on Grider & Malmberg (2008), 80 participants:
    # t = 2.24 and 2.03 favour the null by 1.02 and 1.56.
    assert 1 / jzs(2.24, 80, 1) == pytest.approx(1.02, abs=5e-3)
    assert 1 / jzs(2.03, 80, 1) == pytest.approx(1.56, abs=5e-3)


@pytest.mark.parametrize(("values", "g"), [([1.0, 3.0], 1.0), ([0.4, -0.1, 1.2, 0.9], 0.5), (SLEEP, 2.0)])
def test_it_is_a_ratio_of_integrated_likelihoods(values, g):
    """∫∫ N(x | δσ, σ²) N(δ | 0, g) dδ dσ/σ over ∫ N(x | 0, σ²) dσ/σ, with numerical integrals."""
    x = np.array(values) / np.std(values)
    sigmas = np.geomspace(0.05, 400, 1001)
    deltas = np.linspace(-9, 9, 601)
    z = (x[:, None, None] - deltas[:, None] * sigmas) / sigmas
    joint = np.exp(-0.5 * (z**2).sum(axis=0)) * sigmas ** -len(x)
    joint *= np.exp(-0.5 * deltas**2 / g)[:, None] / math.sqrt(2 * math.pi * g)
    above = integrate.simpson(integrate.simpson(joint, x=np.log(sigmas)), x=deltas)
    null = np.exp(-0.5 * ((x[:, None] / sigmas) ** 2).sum(axis=0)) * sigmas ** -len(x)
    below = integrate.simpson(null, x=np.log(sigmas))
    t = stats.ttest_1samp(x, 0).statistic
    assert float(e_value(t, len(x), g)) == pytest.approx(above / below, rel=1e-4)


@pytest.mark.parametrize("n", [2, 3, 10, 60])
def test_its_mean_is_one_where_there_is_no_difference(n):
    """That is what makes it an e-value: E[e] = 1 under t with n − 1 degrees of freedom, for any σ."""

    def integrand(u):  # over the probability of |t|, which tames the tails
        return float(e_value(stats.t.isf(u / 2, n - 1), n))

    mean = integrate.quad(integrand, 0, 1, limit=400, points=[1e-6, 1e-3])[0]
    assert mean == pytest.approx(1, abs=2e-3)


def test_mean_one_given_what_is_known():
    """A martingale: from any four seeds, the mean of the next e under the flat prior for σ is this e."""
    x = np.array([1.0, 2.5, 0.3, 1.1])
    now = float(e_value(stats.ttest_1samp(x, 0).statistic, 4))
    # Where μ = 0, the next seed given x is Student's t with n degrees of freedom, scale √(Σx²/n).
    scale = math.sqrt((x**2).sum() / 4)
    u = (np.arange(200_000) + 0.5) / 200_000
    following = scale * stats.t.ppf(u, 4)
    mean = (x.sum() + following) / 5
    spread = ((x**2).sum() + following**2 - 5 * mean**2) / 4
    assert np.mean(e_value(mean / np.sqrt(spread / 5), 5)) == pytest.approx(now, rel=1e-3)


@pytest.mark.parametrize("bar", [1.0, 20.0, 160.0])
@pytest.mark.parametrize("g", [0.1, 1.0, 4.0])
def test_critical_t_by_root_finding(bar, g):
    for n in (2, 3, 5, 30, 500):
        t = float(critical_t(n, bar, g))
        if math.isinf(t):
            assert e_value(1e9, n, g) < bar
        else:
            found = optimize.brentq(lambda t, n=n: float(log_e_value(t, n, g)) - math.log(bar), 0, 1e6)
            assert t == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize(("alpha", "g"), [(0.05, 1.0), (0.01, 0.3)])
def test_the_confidence_sequence_holds_what_is_not_refuted(alpha, g):
    path = evidence(SLEEP, TOTAL, alpha, g)
    for n, low, high in zip(path.n, path.low, path.high, strict=True):
        if math.isinf(high):
            assert math.isinf(low)
            continue
        for end in (low, high):
            t = stats.ttest_1samp(np.array(SLEEP[:n]) / TOTAL, end).statistic
            assert float(e_value(t, n, g)) == pytest.approx(1 / alpha)
    assert np.isfinite(path.high[-1])
    # Wider than Student's interval, which may be looked at once.
    student = stats.ttest_1samp(np.array(SLEEP) / TOTAL, 0).confidence_interval(1 - alpha)
    assert path.low[-1] < student.low < student.high < path.high[-1]


def test_the_path_of_the_sleep_data():
    path = evidence(SLEEP, TOTAL)
    for n in range(2, 11):
        want = stats.ttest_1samp(SLEEP[:n], 0).statistic
        assert path.t[n - 1] == pytest.approx(want)
        assert path.e[n - 1] == pytest.approx(float(e_value(want, n)))
        assert path.estimate[n - 1] == pytest.approx(np.mean(SLEEP[:n]) / TOTAL)
    assert path.p == pytest.approx(np.minimum(1, 1 / np.maximum.accumulate(path.e)))


@given(counts)
@settings(max_examples=80)
def test_swapping_the_arms_mirrors_the_path(differences):
    one, other = evidence(differences, TOTAL), evidence([-d for d in differences], TOTAL)
    assert np.array_equal(one.estimate, -other.estimate)
    assert np.array_equal(one.t, -other.t, equal_nan=True)
    assert np.array_equal(one.e, other.e, equal_nan=True)
    assert np.array_equal(one.p, other.p)
    assert np.array_equal(one.low, -other.high, equal_nan=True)


@given(counts, st.randoms(use_true_random=False))
@settings(max_examples=80)
def test_where_the_path_ends_does_not_depend_on_the_order(differences, random):
    one = evidence(differences, TOTAL)
    other = evidence(random.sample(differences, len(differences)), TOTAL)
    for field in ("estimate", "t", "e", "low", "high"):
        ends = [getattr(path, field)[-1] for path in (one, other)]
        assert np.array_equal(ends[0], ends[1], equal_nan=True), field


@given(counts, st.sampled_from([0.2, 0.05, 0.001]))
@settings(max_examples=100)
def test_interval_p_and_e_say_the_same(differences, alpha):
    path = evidence(differences, TOTAL, alpha)
    assert ((path.p > 0) & (path.p <= 1)).all()
    assert (np.diff(path.p) <= 0).all()
    sure = np.abs(path.e * alpha - 1) > 1e-9
    excluded = (path.low > 0) | (path.high < 0)
    assert (excluded == (path.e >= 1 / alpha))[sure].all()


@given(counts)
@settings(max_examples=60)
def test_whole_numbers_that_are_no_counts_give_the_same_path(differences):
    one, other = evidence(differences, TOTAL), evidence(differences, TOTAL, bounded=False)
    finer = evidence([10**9 * d for d in differences], 10**9 * TOTAL)
    for field in dataclasses.fields(one):
        path = getattr(one, field.name)
        np.testing.assert_array_equal(path, getattr(other, field.name))
        np.testing.assert_allclose(path, getattr(finer, field.name), rtol=1e-12)


def test_differences_larger_than_the_total():
    path = evidence([3 * 10**9, 5 * 10**9, 4 * 10**9], 10**9, bounded=False)
    assert path.estimate.tolist() == [3, 4, 4]
    assert path.t[2] == pytest.approx(stats.ttest_1samp([3, 5, 4], 0).statistic)


def test_what_cannot_be_computed():
    one = evidence([7], TOTAL)
    assert (one.e[0], one.p[0], one.low[0], one.high[0]) == (1, 1, -math.inf, math.inf)
    assert math.isnan(one.t[0])
    equal = evidence([7, 7, 7], TOTAL)
    assert np.isnan(equal.e[1:]).all()
    assert np.isnan(equal.low[1:]).all()
    assert equal.p.tolist() == [1, 1, 1]
    assert np.isnan(log_e_value(math.nan, 5))


def test_overwhelming_evidence_stays_finite():
    path = evidence([10**6, 10**6 - 1] * 300, 10**6)
    assert np.isfinite(path.e).all()
    assert 0 < path.p[-1] < 1e-300


def test_more_comparisons_need_more_evidence():
    assert threshold(0.05) == pytest.approx(20)
    assert threshold(0.05, 8) == pytest.approx(160)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (lambda: threshold(0), "0 < alpha < 1 and one comparison at least"),
        (lambda: threshold(0.05, 0), "one comparison at least"),
        (lambda: log_e_value(2.0, 1), "two seeds at least, found 1"),
        (lambda: log_e_value(2.0, 5, 0), "g, the variance of the effect, must be above 0, found 0"),
        (lambda: evidence([], 10), "one seed at least, found none"),
        (lambda: evidence([0.1, math.nan], 10), "must be signed integers"),
        (lambda: evidence([11, 2], 10), "11 images out of 10"),
    ],
)
def test_bad_requests(request_, message):
    with pytest.raises(ValueError, match=message):
        request_()
