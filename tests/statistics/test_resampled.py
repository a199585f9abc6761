"""The corrected resampled t-test and its Bayesian form: a published example, definitions, symmetries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.statistics.equivalence import tost
from bench.statistics.paired import PairedT, paired_t
from bench.statistics.resampled import Posterior, corrected_t, correlated_posterior

# scikit-learn's example "Statistical comparison of models using grid search": area under the ROC curve of two
# support vector machines, rbf − linear, in 25ths, over 10 × 10 folds of 100 points in two moons. The example
# prints "Corrected t-value: 0.750, Corrected p-value: 0.227" (one-sided).
MOONS = [
    *[-1, -3, 0, 0, 0, 1, 1, 0, 1, 0, 1, 1, 1, 1, 1, -1, 0, 0, 0, 0, -1, -1, 1, -2, 0],
    *[1, 1, 1, 0, 0, -1, 1, 0, 0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0],
    *[0, 1, 1, 1, 0, 1, -1, 2, 0, 0, 0, 0, 0, 5, -1, 0, 1, 0, 0, 0, 0, 1, 1, 2, 0],
    *[1, 0, -1, 0, 0, 1, -2, 1, 0, 1, 0, 0, 0, 0, 0, 0, -1, 0, -1, 0, 0, 1, 2, 0, 0],
]
TOTAL = 1000
counts = st.lists(st.integers(-50, 50), min_size=2, max_size=30)
ks = st.integers(2, 20)


def by_definition(d: np.ndarray, k: int, rope: float) -> tuple[float, float, float, float]:
    """p, and the three probabilities, as their authors define them: from sizes of sets, and from ρ."""
    n, images = len(d), 10_000
    test, train = images / k, images - images / k
    t = d.mean() / math.sqrt((1 / n + test / train) * d.var(ddof=1))
    rho = 1 / k
    scale = math.sqrt((1 / n + rho / (1 - rho)) * d.var(ddof=1))
    posterior = stats.t(n - 1, loc=d.mean(), scale=scale)
    left, right = posterior.cdf(-rope), posterior.sf(rope)
    return 2 * stats.t.sf(abs(t), n - 1), left, posterior.cdf(rope) - left, right


def test_two_moons():
    naive, found = paired_t(MOONS, 25), corrected_t(MOONS, 25, 1 / 9)
    assert naive.t == pytest.approx(2.611, abs=5e-4)
    assert found.estimate == pytest.approx(0.01)
    assert (found.t, found.p) == (pytest.approx(0.750, abs=5e-4), pytest.approx(2 * 0.227, abs=1e-3))
    assert (found.n, found.df, found.sd) == (100, 99, naive.sd)
    posterior = correlated_posterior(found, 0.01)
    assert posterior.equivalent == pytest.approx(0.432, abs=5e-4)


@given(counts, ks, st.floats(0, 0.05))
@settings(max_examples=100)
def test_the_definitions_agree(differences, k, rope):
    found = corrected_t(differences, TOTAL, 1 / (k - 1))
    posterior = correlated_posterior(found, rope)
    if len(set(differences)) == 1:
        assert (found.p, found.se, posterior) == (None, 0, None)
        return
    p, left, within, right = by_definition(np.array(differences) / TOTAL, k, rope)
    assert found.p == pytest.approx(p, rel=1e-9)
    assert (posterior.worse, posterior.better) == pytest.approx((left, right), rel=1e-9)
    assert posterior.equivalent == pytest.approx(within, abs=1e-12)
    assert posterior.worse + posterior.equivalent + posterior.better == pytest.approx(1)


@given(counts, ks)
@settings(max_examples=60)
def test_swapping_the_arms_mirrors_the_result(differences, k):
    one, other = (corrected_t([sign * d for d in differences], TOTAL, 1 / (k - 1)) for sign in (1, -1))
    assert other.estimate == -one.estimate
    assert (other.sd, other.se, other.p) == (one.sd, one.se, one.p)
    if one.t is not None:
        assert (other.t, other.low, other.high) == (-one.t, -one.high, -one.low)
    for rope in (None, 0.01):
        assert correlated_posterior(other, rope, higher_is_better=False) == correlated_posterior(one, rope)


@given(counts, ks, st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_the_order_of_the_folds_does_not_matter(differences, k, random):
    shuffled = random.sample(differences, len(differences))
    assert corrected_t(shuffled, TOTAL, 1 / (k - 1)) == corrected_t(differences, TOTAL, 1 / (k - 1))


@given(counts, ks)
@settings(max_examples=60)
def test_it_never_finds_more_than_students_t(differences, k):
    naive, found = paired_t(differences, TOTAL), corrected_t(differences, TOTAL, 1 / (k - 1))
    if naive.p is not None:
        assert found.p >= naive.p
        assert found.se / naive.se == pytest.approx(math.sqrt(1 + len(differences) / (k - 1)))


def test_repeats_do_not_buy_certainty():
    errors = [corrected_t([-3, 5, 1, 4, 0] * repeats, TOTAL, 1 / 4).se for repeats in (1, 10, 1000)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] > np.std([-3, 5, 1, 4, 0]) / TOTAL / math.sqrt(5 - 1)


def test_the_bayesian_form_says_the_same_without_a_region():
    """One minus the one-sided p, as the prior is flat."""
    found = corrected_t(MOONS, 25, 1 / 9)
    posterior = correlated_posterior(found)
    assert posterior == Posterior(posterior.worse, None, 1 - posterior.worse)
    assert posterior.worse == pytest.approx(found.p / 2)
    limit = tost(found, 0.05)
    wide = correlated_posterior(found, 0.05)
    assert limit == pytest.approx(wide.better)


def test_an_interval_at_another_level_is_that_of_the_test_at_that_level():
    other = corrected_t(MOONS, 25, 1 / 9, 0.8)
    assert corrected_t(MOONS, 25, 1 / 9).interval(0.8) == (other.low, other.high)


def test_what_cannot_be_computed_is_none():
    assert corrected_t([], TOTAL, 1 / 9) == PairedT(0)
    assert corrected_t([7], TOTAL, 1 / 9) == PairedT(1, 0.007)
    assert corrected_t([7, 7], TOTAL, 1) == PairedT(2, 0.007, 0.0, 0.0, 1)
    for differences in ([], [7], [7, 7]):
        assert correlated_posterior(corrected_t(differences, TOTAL, 1), 0.01) is None


def test_a_difference_of_any_size_leaves_probabilities():
    found = corrected_t([10**9 - k % 2 for k in range(50)], 10**9, 1 / 9)
    posterior = correlated_posterior(found, 0.0)
    assert 0 < found.p < 1e-300
    assert (posterior.equivalent, posterior.better) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("differences", "total", "ratio", "message"),
    [
        ([1, 2], 10, 0, "above 0, found 0"),
        ([1, 2], 10, math.nan, "above 0, found nan"),
        ([1, -12], 10, 1, "a difference of -12 images out of 10"),
        ([0.1, 0.2], 10, 1, "must be signed integers"),
    ],
)
def test_bad_requests(differences, total, ratio, message):
    with pytest.raises(ValueError, match=message):
        corrected_t(differences, total, ratio)


def test_a_rope_is_no_less_than_0():
    with pytest.raises(ValueError, match=r"rope must be at least 0, found -0\.1"):
        correlated_posterior(corrected_t(MOONS, 25, 1 / 9), -0.1)


def test_error_rates_by_simulation():
    """Folds as correlated as Nadeau and Bengio take them to be: 5 % false alarms, of Student's t far more."""
    draw = np.random.default_rng(5)
    k, repeats, experiments = 10, 10, 1000
    shared = draw.normal(0, math.sqrt(1 / k), (experiments, 1))
    own = draw.normal(0, math.sqrt(1 - 1 / k), (experiments, k * repeats))
    table = np.rint(100 * (shared + own)).astype(int)
    rates = [
        np.mean([(test(row).p or 1) < 0.05 for row in table])
        for test in (lambda d: corrected_t(d, TOTAL, 1 / (k - 1)), lambda d: paired_t(d, TOTAL))
    ]
    assert rates[0] == pytest.approx(0.05, abs=0.021)
    assert rates[1] > 0.4
