"""Bands of the best of n: published levels, exact coverage, the limit beyond which there is none, opda."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from bench.statistics.bands import bands, median_curve, pointwise

NAN = math.nan


@pytest.mark.parametrize(("n", "expected"), [(16, 0.00545), (64, 0.00264), (256, 0.00157)])
def test_known_levels(n, expected):
    assert pointwise(n) == pytest.approx(expected, abs=5e-6)


def test_of_one_trial_and_of_two():
    assert pointwise(1, 0.9) == pytest.approx(0.1)
    # Of two, by hand: P(a ≤ U₁ ≤ b, 1 − b ≤ U₂ ≤ 1 − a), where a < 1 − b < b < 1 − a.
    a, b = 1 - (1 - pointwise(2) / 2) ** 0.5, 1 - (pointwise(2) / 2) ** 0.5
    c, d = 1 - b, 1 - a
    assert a < c < b < d
    ordered = (c - a) * (d - c) + (b - c) * (d - b) + (b - c) ** 2 / 2
    assert 2 * ordered == pytest.approx(0.95, abs=1e-7)


def test_they_cover_at_16():
    """F at the ordered scores, within its limits at all 16 of them: .95 of 40,000, and not more."""
    i, epsilon = np.arange(1, 17), pointwise(16)
    low, high = (special.betaincinv(i, 17 - i, q) for q in (epsilon / 2, 1 - epsilon / 2))
    uniform = np.sort(np.random.default_rng(0).random((40_000, 16)), axis=1)
    assert np.mean(np.all((low <= uniform) & (uniform <= high), axis=1)) == pytest.approx(0.95, abs=0.004)


def test_the_curve_is_covered():
    draw = np.random.default_rng(1)
    truth = 0.5 ** (1 / np.arange(1, 17))
    covered = []
    for _ in range(500):
        low, high = bands(draw.random(16), 0.8)
        covered.append(not np.any((low > truth) | (high < truth)))
    assert 0.8 - 3 * 0.018 < np.mean(covered) < 1


@pytest.mark.parametrize("n", [8, 16, 60, 96])
def test_no_upper_limit_beyond_what_was_seen(n):
    low, high = bands(np.arange(n))
    last = n * math.log(2) / math.log(2 / pointwise(n))
    assert np.isfinite(high).sum() == math.floor(last)
    assert np.all(np.isnan(high[math.floor(last) :]))
    assert np.all(np.diff(low) >= 0)


@given(st.lists(st.integers(0, 9).map(float) | st.just(NAN), min_size=1, max_size=20))
@settings(max_examples=60)
def test_the_line_lies_within(values):
    (low, high), line = bands(values), median_curve(values)
    assert not np.any(low > line)
    assert not np.any(high < line)
    diverged = np.isnan(values).sum()
    assert np.isnan(line).sum() == np.sum(
        0.5 ** (1 / np.arange(1, len(values) + 1)) <= diverged / len(values)
    )
    best = max((value for value in values if value == value), default=NAN)
    assert median_curve(values, [10_000]) == pytest.approx([best], nan_ok=True)


def test_scores_that_only_diverged_have_no_limits():
    low, high = bands([NAN, NAN, NAN])
    assert np.isnan([*low, *high]).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bands([]), "one score a trial"),
        (lambda: bands([1, 2], 1.0), "confidence must lie between 0 and 1"),
        (lambda: bands([1, 2], budgets=[0]), "a budget must be at least 1, found 0"),
        (lambda: pointwise(0), "at least one trial"),
    ],
)
def test_bad_requests(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_opda_agrees():
    nonparametric = pytest.importorskip("opda.nonparametric")
    values, budgets = np.random.default_rng(4).normal(size=16), np.arange(1, 17)
    lower, point, upper = nonparametric.EmpiricalDistribution.confidence_bands(
        values, 0.95, generator=np.random.default_rng(0), method="ld_equal_tailed", n_jobs=1
    )
    low, high = bands(values)
    theirs = lower.quantile_tuning_curve(budgets)
    np.testing.assert_array_equal(low, upper.quantile_tuning_curve(budgets))
    np.testing.assert_array_equal(high, np.where(np.isinf(theirs), np.nan, theirs))
    np.testing.assert_array_equal(median_curve(values), point.quantile_tuning_curve(budgets))
    # Its distribution functions, at the scores: limits by simulation there, exact here.
    i = np.arange(1, 17)
    exact = special.betaincinv(i, 17 - i, pointwise(16) / 2)
    np.testing.assert_allclose(lower.cdf(np.sort(values)), exact, atol=1e-3)
