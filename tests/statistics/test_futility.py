"""The chance that more seeds decide, against simulated continuations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.statistics.futility import (
    conditional_power,
    predictive_equivalence,
    predictive_power,
    prospects,
)
from bench.statistics.planning import power_of_t
from bench.statistics.sequential import critical_t


def continued(values, largest, effect, rng, draws=100_000):
    """|mean|·√N in units of the spread at hand, after seeds to come with this effect."""
    rest = largest - len(values)
    to_come = rng.standard_normal((draws, rest)).mean(axis=1) * np.std(values, ddof=1) + effect
    return np.abs(np.sum(values) + rest * to_come) / np.sqrt(largest) / np.std(values, ddof=1)


def test_conditional_power_by_simulation():
    rng = np.random.default_rng(1)
    values = rng.normal(0.3, 1, size=8)
    t, sd = stats.ttest_1samp(values, 0).statistic, values.std(ddof=1)
    for effect in (0.0, 0.4, -0.6):
        want = (continued(values, 25, effect * sd, rng) >= 2.5).mean()
        assert float(conditional_power(t, 8, 25, 2.5, effect)) == pytest.approx(want, abs=0.006)


def test_predictive_power_by_simulation():
    """Draw σ, then μ, from their posterior; then the seeds to come."""
    rng = np.random.default_rng(2)
    values = rng.normal(0.5, 1, size=6)
    t, sd = stats.ttest_1samp(values, 0).statistic, values.std(ddof=1)
    sigma = sd * np.sqrt(5 / rng.chisquare(5, size=200_000))
    mu = values.mean() + sigma / np.sqrt(6) * rng.standard_normal(200_000)
    to_come = mu + sigma / np.sqrt(14) * rng.standard_normal(200_000)
    z = np.abs(values.sum() + 14 * to_come) / np.sqrt(20) / sd
    assert float(predictive_power(t, 6, 20, 2.2)) == pytest.approx((z >= 2.2).mean(), abs=0.005)


@pytest.mark.parametrize(("margin", "mean"), [(0.8, 0.1), (0.8, -0.5), (0.55, 0.0), (0.3, 0.0), (2.0, 1.9)])
def test_predictive_equivalence_by_simulation(margin, mean):
    """Draw σ, then μ, from their posterior; then the seeds to come: does Δ ± c·se come to lie within?"""
    rng = np.random.default_rng(5)
    n, largest, critical = 6, 20, 1.9
    sigma = np.sqrt((n - 1) / rng.chisquare(n - 1, size=200_000))  # the spread at hand is 1
    mu = mean + sigma / np.sqrt(n) * rng.standard_normal(200_000)
    to_come = mu + sigma / np.sqrt(largest - n) * rng.standard_normal(200_000)
    end = np.abs(n * mean + (largest - n) * to_come) / largest
    want = (end + critical / np.sqrt(largest) <= margin).mean()
    t = mean * np.sqrt(n)
    assert float(predictive_equivalence(t, n, largest, margin, critical)) == pytest.approx(want, abs=0.005)
    assert float(predictive_equivalence(-t, n, largest, margin, critical)) == pytest.approx(want, abs=0.005)


def test_no_margin_and_no_room_are_never_equivalent():
    assert predictive_equivalence(0.0, 5, 20, 0.0, 2.0) == 0
    assert predictive_equivalence(0.0, 5, 20, 2 / np.sqrt(20), 2.0) == 0
    assert predictive_equivalence(0.0, 5, 20, np.inf, 2.0) == 1
    assert predictive_equivalence(0.0, 5, 20, 0.5, np.inf) == 0
    with pytest.raises(ValueError, match="n must be from 2 to below the largest, 20; found"):
        predictive_equivalence(0.0, 20, 20, 0.5, 2.0)


@given(st.floats(-8, 8), st.integers(2, 30), st.integers(1, 60), st.floats(0.5, 6), st.floats(0, 3))
@settings(max_examples=100)
def test_a_wider_margin_is_reached_more_often(t, n, more, critical, margin):
    one, other = (float(predictive_equivalence(t, n, n + more, m, critical)) for m in (margin, 1.2 * margin))
    assert 0 <= one <= other + 1e-12 <= 1 + 1e-9


def test_it_is_close_to_what_a_t_test_at_the_end_would_decide():
    """The spread at hand stands for the final one: with 20 of 40 seeds, within .04 of real t-tests."""
    rng = np.random.default_rng(3)
    values = rng.normal(0.35, 1, size=20)
    values = (values - values.mean()) / values.std(ddof=1) + 0.3
    t, critical = stats.ttest_1samp(values, 0).statistic, float(critical_t(40, 20))
    rest = rng.normal(0.3, 1, size=(20_000, 20))
    final = stats.ttest_1samp(np.hstack([np.tile(values, (20_000, 1)), rest]), 0, axis=1).statistic
    want = (np.abs(final) >= critical).mean()
    assert float(conditional_power(t, 20, 40, critical, 0.3)) == pytest.approx(want, abs=0.04)


def test_with_nearly_everything_to_come_it_is_the_power_of_the_fixed_design():
    few = float(conditional_power(0.4 * np.sqrt(2), 2, 5000, 1.96, 0.04))
    assert few == pytest.approx(power_of_t(0.04 * np.sqrt(5000), 4999, 0.05), abs=0.01)


def test_the_favourable_effect_is_the_far_end_of_students_interval():
    values = np.random.default_rng(4).normal(-0.3, 1, size=9)
    result = stats.ttest_1samp(values, 0)
    end = result.confidence_interval(0.95).low / values.std(ddof=1)
    want = float(conditional_power(result.statistic, 9, 30, 2.5, end))
    assert float(prospects(result.statistic, 9, 30, 2.5).favourable) == pytest.approx(want)


@given(st.floats(-8, 8), st.integers(2, 30), st.integers(1, 60), st.floats(0.5, 6))
@settings(max_examples=100)
def test_chances_are_mirrored_and_ordered(t, n, more, critical):
    one, other = prospects(t, n, n + more, critical), prospects(-t, n, n + more, critical)
    for view in ("as_observed", "predictive", "favourable"):
        chance = float(getattr(one, view))
        assert 0 <= chance <= 1 + 1e-12
        assert chance == pytest.approx(float(getattr(other, view)), abs=1e-12)
    assert one.favourable >= one.as_observed - 1e-12


def test_arrays_are_looked_at_at_once():
    t, n = np.array([[0.1, 1.0], [2.0, 3.0]]), np.array([5, 10])
    chances = prospects(t, n, 20, 2.0)
    assert chances.predictive.shape == (2, 2)
    assert chances.favourable[1, 0] == float(prospects(2.0, 5, 20, 2.0).favourable)


@pytest.mark.parametrize("n", [1, 20, 21])
def test_bad_requests(n):
    with pytest.raises(ValueError, match="n must be from 2 to below the largest, 20; found"):
        conditional_power(1.0, n, 20, 2.0, 0.0)
