"""Almost stochastic order against integrals on a fine grid, a loop, and known distributions."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from bench.statistics.dominance import AlmostStochasticOrder, almost_stochastic_order, violation_ratio

samples = st.lists(st.integers(-6, 6).map(lambda k: k / 4), min_size=1, max_size=7)


def by_fractions(a, b):
    """Both integrals over (0, 1), piece by piece between all multiples of 1/n and 1/m, in fractions."""
    a, b = sorted(map(Fraction, a)), sorted(map(Fraction, b))
    n, m = len(a), len(b)
    cuts = sorted({Fraction(i, n) for i in range(n + 1)} | {Fraction(j, m) for j in range(m + 1)})
    total = against = Fraction(0)
    for low, high in pairwise(cuts):
        middle = (low + high) / 2
        apart = a[math.floor(middle * n)] - b[math.floor(middle * m)]
        total += apart**2 * (high - low)
        against += apart**2 * (high - low) * (apart < 0)
    return float(against / total) if total else None


@given(samples, samples)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_the_ratio_is_exact(a, b):
    want = by_fractions(a, b)
    found = violation_ratio(a, b)
    assert found == (want if want is None else pytest.approx(want, abs=1e-14))


@pytest.mark.parametrize(("n", "m"), [(5, 5), (7, 4), (3, 20)])
def test_a_fine_grid_agrees(n, m):
    """Empirical quantiles by ``numpy.quantile`` at the middle of a million cells."""
    rng = np.random.default_rng(n)
    a, b = rng.normal(0.3, 1, n), rng.normal(0, 1.5, m)
    cells = (np.arange(1_000_000) + 0.5) / 1_000_000
    apart = np.quantile(a, cells, method="inverted_cdf") - np.quantile(b, cells, method="inverted_cdf")
    want = (apart[apart < 0] ** 2).sum() / (apart**2).sum()
    assert violation_ratio(a, b) == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize(("mu", "sigma"), [(0.5, 1.5), (0.1, 0.6), (1.0, 2.0)])
def test_normal_distributions(mu, sigma):
    """Large samples approach the ratio of N(μ, σ²) against N(0, 1): integrals of (μ + (σ−1)z)²φ(z)."""
    crossing = -mu / (sigma - 1)
    ends = (-math.inf, crossing) if sigma > 1 else (crossing, math.inf)
    against = integrate.quad(lambda z: (mu + (sigma - 1) * z) ** 2 * stats.norm.pdf(z), *ends)[0]
    want = against / (mu**2 + (sigma - 1) ** 2)  # the whole integral, the squared Wasserstein distance
    q = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    assert violation_ratio(mu + sigma * q, q) == pytest.approx(want, abs=2e-3)


def test_the_bootstrap_by_a_loop():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.5, 1, 9), rng.normal(0, 1, 12)
    loop = [violation_ratio(rng.choice(a, 9), rng.choice(b, 12)) for _ in range(4000)]
    found = almost_stochastic_order(a, b, resamples=4000)
    assert found.ratio == violation_ratio(a, b)
    assert found.se == pytest.approx(np.std(loop), rel=0.06)
    assert found.eps_min == pytest.approx(min(1, found.ratio + 1.6449 * found.se), abs=1e-4)
    assert found.low == pytest.approx(max(0, found.ratio - 1.96 * found.se), abs=1e-4)


def test_clear_cases():
    better = almost_stochastic_order([0.9, 0.91, 0.92, 0.93], [0.8, 0.81, 0.82])
    assert (better.ratio, better.eps_min, better.se) == (0, 0, 0)
    worse = almost_stochastic_order([0.8, 0.81, 0.82], [0.9, 0.91, 0.92, 0.93])
    assert (worse.ratio, worse.eps_min) == (1, 1)


def test_the_bound_widens_with_comparisons_and_confidence():
    # deepsig 1.2.8 adds (1 − confidence)/K to the confidence: with more comparisons its bound gets tighter.
    rng = np.random.default_rng(4)
    a, b = rng.normal(0.4, 1, 15), rng.normal(0, 1, 15)
    bounds = [almost_stochastic_order(a, b, comparisons=k).eps_min for k in (1, 2, 10, 100)]
    assert bounds == sorted(bounds)
    assert len(set(bounds)) == 4
    corrected = almost_stochastic_order(a, b, confidence=0.995)
    assert almost_stochastic_order(a, b, comparisons=10).eps_min == pytest.approx(corrected.eps_min)


@given(samples, samples)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_swapping_the_arms_mirrors_the_result(a, b):
    one = almost_stochastic_order(a, b, resamples=50)
    other = almost_stochastic_order(b, a, resamples=50)
    assert (other.se, other.n) == (one.se, one.n[::-1])
    if one.ratio is None:
        assert other.ratio is None
    else:
        assert other.ratio == pytest.approx(1 - one.ratio, abs=1e-14)
        assert (other.low, other.high) == pytest.approx((1 - one.high, 1 - one.low), abs=1e-14)
        assert 0 <= one.low <= one.ratio <= one.eps_min <= one.high <= 1


@given(samples, samples, st.randoms(use_true_random=False), st.integers(-9, 9))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_order_and_a_common_shift_do_not_matter(a, b, random, shift):
    one = almost_stochastic_order(a, b, resamples=20)
    mixed = almost_stochastic_order(random.sample(a, len(a)), random.sample(b, len(b)), resamples=20)
    assert mixed == one
    moved = almost_stochastic_order(np.array(a) + shift, np.array(b) + shift, resamples=20)
    assert moved.ratio == (one.ratio if one.ratio is None else pytest.approx(one.ratio, abs=1e-12))


def test_what_cannot_be_computed_is_none():
    assert almost_stochastic_order([0.5, 0.5], [0.5]) == AlmostStochasticOrder((2, 1))
    assert violation_ratio([1, 2], [1, 1, 2, 2]) is None
    one = almost_stochastic_order([2.0], [1.0])
    assert (one.ratio, one.se) == (0, 0)


def test_large_and_small_scores_are_only_scores():
    want = violation_ratio([1, 5], [2, 3])
    for factor in (1e-200, 1e200):
        assert violation_ratio(np.array([1, 5]) * factor, np.array([2, 3]) * factor) == pytest.approx(want)


@pytest.mark.parametrize("scores", [[], [math.nan, 1.0], [math.inf], [[1.0, 2.0]]])
def test_scores_that_cannot_be(scores):
    with pytest.raises(ValueError, match="b must be finite numbers, one a run"):
        violation_ratio([1.0], scores)


@pytest.mark.parametrize("options", [{"confidence": 95}, {"comparisons": 0}, {"resamples": 0}])
def test_bad_requests(options):
    with pytest.raises(ValueError, match="0 < confidence < 1, one comparison and one resample"):
        almost_stochastic_order([1.0], [2.0], **options)
