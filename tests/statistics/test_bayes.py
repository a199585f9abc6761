"""The Bayesian signed-rank test against integrals where they can be done, and against a plain sampler."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from bench.statistics.bayes import bayesian_signed_rank

differences = st.lists(st.integers(-8, 8).map(lambda k: k / 400), min_size=1, max_size=8)


def plain_sampler(d, rope, prior, draws, seed):
    """Benavoli et al. 2017, section 4.3, written out: one draw of weights, every pair of observations."""
    rng = np.random.default_rng(seed)
    z = [0.0, *d]
    wins = np.zeros(3)
    for w in rng.dirichlet([prior] + [1.0] * len(d), size=draws):
        theta = np.zeros(3)
        for i, a in enumerate(z):
            for j, b in enumerate(z):
                theta[0 if a + b < -2 * rope else 2 if a + b > 2 * rope else 1] += w[i] * w[j]
        wins[theta.argmax()] += 1
    return wins / draws


@pytest.mark.parametrize(("rope", "prior"), [(0.0101, 0.5), (0.0031, 1.0), (0.05, 0.5)])
def test_a_plain_sampler_agrees(rope, prior):
    d = [0.013, -0.004, 0.021, 0.009, -0.012, 0.002]
    want = plain_sampler(d, rope, prior, 3000, seed=1)
    found = bayesian_signed_rank(d, rope, prior)
    assert [found.worse, found.equivalent, found.better] == pytest.approx(want, abs=4 * 0.5 / 3000**0.5)
    assert found.se <= 0.5 / 50_000**0.5


@pytest.mark.parametrize("prior", [0.5, 1.0, 3.0])
def test_one_data_set_in_closed_form(prior):
    """The weight of a clear win is Beta(1, s): it wins in all pairs but that of the prior with itself.

    With d = 1 and rope = .6, the pair of prior and win, 0 + 1 < 1.2, is within: better needs w² > ½.
    """
    found = bayesian_signed_rank([1.0], 0.6, prior, draws=200_000)
    assert found.better == pytest.approx(stats.beta(1, prior).sf(math.sqrt(0.5)), abs=0.005)
    wins = bayesian_signed_rank([1.0], 0.1, prior, draws=200_000)
    assert wins.better == pytest.approx(stats.beta(1, prior).sf(1 - math.sqrt(0.5)), abs=0.005)
    assert (wins.worse, found.worse) == (0, 0)


def test_two_data_sets_by_integration():
    """A win and a loss as large as four: weights w ~ Dirichlet(½, 1, 1), better when its share is above ½."""
    found = bayesian_signed_rank([4.0, -1.0], 0.0, draws=400_000)

    # Sums: 8 and 3 and 4 are above, −2 and −1 are below, 0 + 0 is half and half. With weights p of the prior
    # and u of the win: better if u² + 2u(1 − u − p) + 2up + p²/2 > ½.
    def density(u, p):
        return math.gamma(2.5) / math.gamma(0.5) * p**-0.5

    def least(p):  # u² − 2u + ½ − p²/2 < 0
        return min(1 - math.sqrt(0.5 + p * p / 2), 1 - p)

    want = integrate.dblquad(density, 0, 1, least, lambda p: 1 - p)[0]
    assert found.better == pytest.approx(want, abs=4 * found.se)
    assert found.equivalent == 0


def test_expected_shares_by_moments():
    """E[w_i w_j] of a Dirichlet is α_i α_j/(A(A+1)), and α_i(α_i + 1)/(A(A+1)) on the diagonal."""
    d, rope, prior = np.array([0.02, -0.01, 0.005, 0.03]), 0.006, 0.5
    alpha = np.array([prior, 1, 1, 1, 1])
    moments = (np.outer(alpha, alpha) + np.diag(alpha)) / (alpha.sum() * (alpha.sum() + 1))
    z = np.append(0, d)
    sums = z[:, None] + z
    want = [moments[sums < -2 * rope].sum(), 0, moments[sums > 2 * rope].sum()]
    want[1] = 1 - sum(want)
    assert bayesian_signed_rank(d, rope, prior).mean == pytest.approx(want, abs=0.004)


def test_a_sum_on_the_edge_counts_half_even_if_rounding_moves_it():
    # .1 + .2 = .30000000000000004 in floats, and .25 + .05 = .3: for a rope of .15, both are on the edge. The
    # larger difference with itself is above. So E[w₂² + ½·2·w₁w₂] = (2 + 1)/(2.5·3.5).
    for d in ([0.25, 0.05], [0.1, 0.2]):
        assert bayesian_signed_rank(d, 0.15).mean[2] == pytest.approx(3 / 8.75, abs=0.005)


@given(differences, st.integers(0, 6).map(lambda k: k / 400))
@settings(max_examples=60)
def test_swapping_the_arms_mirrors_the_posterior(d, rope):
    one = bayesian_signed_rank(d, rope, draws=300)
    other = bayesian_signed_rank([-x for x in d], rope, draws=300)
    assert (other.worse, other.equivalent, other.better) == (one.better, one.equivalent, one.worse)
    assert other.mean == one.mean[::-1]
    assert one.worse + one.equivalent + one.better == pytest.approx(1)
    assert min(one.worse, one.equivalent, one.better) >= 0


@given(differences, st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_the_order_of_the_data_sets_does_not_matter(d, random):
    one = bayesian_signed_rank(d, 0.005, draws=200)
    assert bayesian_signed_rank(random.sample(d, len(d)), 0.005, draws=200) == one


def test_the_seed_decides_the_draws():
    d = [0.01, -0.004, 0.02, 0.001]
    one = bayesian_signed_rank(d, 0.005, seed=3)
    assert one == bayesian_signed_rank(d, 0.005, seed=3)
    assert one != bayesian_signed_rank(d, 0.005, seed=4)


def test_no_difference_at_all():
    for d in ([0.0], [0.0, 0.0, 0.0]):
        tied = bayesian_signed_rank(d, 0.0, draws=100)
        assert (tied.worse, tied.equivalent, tied.better) == (0.5, 0, 0.5)
        assert bayesian_signed_rank(d, 0.01, draws=100).equivalent == 1


def test_drawing_in_pieces(monkeypatch):
    whole = bayesian_signed_rank([0.01, -0.004, 0.02], 0.005, draws=20_000)
    monkeypatch.setattr("bench.statistics.bayes.CHUNK", 3000)
    pieces = bayesian_signed_rank([0.01, -0.004, 0.02], 0.005, draws=20_000)
    assert pieces.better == pytest.approx(whole.better, abs=0.02)


def test_without_a_prior():
    assert bayesian_signed_rank([0.01], 0.005, prior=0, draws=50).better == 1


@pytest.mark.parametrize("d", [[], [0.1, math.nan], [math.inf], [[0.1]]])
def test_differences_that_cannot_be(d):
    with pytest.raises(ValueError, match="differences must be finite numbers, one a data set"):
        bayesian_signed_rank(d, 0.01)


@pytest.mark.parametrize(
    ("rope", "prior", "draws"), [(-0.1, 0.5, 10), (0, -1, 10), (0, 0.5, 0), (math.nan, 1, 1)]
)
def test_bad_requests(rope, prior, draws):
    with pytest.raises(ValueError, match="rope and prior must be at least 0 and draws at least 1"):
        bayesian_signed_rank([0.1], rope, prior, draws)
