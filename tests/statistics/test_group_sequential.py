"""Group-sequential bounds against published constants, Simpson's rule and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from bench.statistics.group_sequential import Spending, bounds, spent

FIFTHS = [0.2, 0.4, 0.6, 0.8, 1.0]


def crossing_probabilities(z_bounds, fractions):
    """P(first to cross at each look): Simpson's rule over what has not crossed before."""
    places, weights, before, crossed = np.zeros(1), np.ones(1), 0.0, []
    for bound, fraction in zip(z_bounds, fractions, strict=True):
        step, edge = math.sqrt(fraction - before), bound * math.sqrt(fraction)
        crossed.append(2 * float(weights @ stats.norm.sf((edge - places) / step)))
        nodes = np.linspace(-edge, edge, 2 * math.ceil(12 * edge / step) + 41)
        kernel = stats.norm.pdf((nodes[:, None] - places) / step) / step
        rule = np.where(np.arange(len(nodes)) % 2, 4, 2)
        rule[[0, -1]] = 1
        weights = kernel @ weights * rule * (nodes[1] - nodes[0]) / 3
        places, before = nodes, fraction
    return np.array(crossed)


@pytest.mark.parametrize(
    ("looks", "rate"),
    [(1, 0.050), (2, 0.083), (3, 0.107), (4, 0.126), (5, 0.142), (10, 0.193), (20, 0.248), (50, 0.320)],
)
def test_what_repeated_testing_does(looks, rate):
    # Armitage, McPherson & Rowe (1969): false alarms of repeated tests at a nominal 5 %.
    f = np.arange(1, looks + 1) / looks
    crossed = crossing_probabilities(np.full(looks, stats.norm.isf(0.025)), f)
    assert crossed.sum() == pytest.approx(rate, abs=5.1e-4)


def test_the_bounds_of_lan_and_demets():
    # Five equally spaced looks, α = .05, as R's ldbounds prints them. Some are off by one in the last digit,
    # from its coarser grid: 3.3569 should be 3.3570, see the next test.
    assert bounds(FIFTHS, 0.05, Spending.OBRIEN_FLEMING) == pytest.approx(
        [4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=1.2e-4
    )
    assert bounds(FIFTHS, 0.05, Spending.POCOCK) == pytest.approx(
        [2.4380, 2.4268, 2.4101, 2.3966, 2.3859], abs=1.2e-4
    )


def test_the_second_bound_by_adaptive_quadrature():
    step = np.diff(spent([0.2, 0.4], 0.05, Spending.OBRIEN_FLEMING))[0]
    first, second = bounds([0.2, 0.4], 0.05, Spending.OBRIEN_FLEMING) * np.sqrt([0.2, 0.4])

    def crossing(u):
        return stats.norm.pdf(u, 0, math.sqrt(0.2)) * stats.norm.sf((second - u) / math.sqrt(0.2))

    found = integrate.quad(crossing, -first, first, epsabs=1e-14)[0]
    assert 2 * found == pytest.approx(step, rel=1e-8)


@pytest.mark.parametrize("spending", Spending)
def test_all_alpha_is_spent_and_none_before_its_time(spending):
    f = [0.1, 0.35, 0.5, 0.9, 1.0]
    crossed = crossing_probabilities(bounds(f, 0.01, spending), f)
    assert np.cumsum(crossed) == pytest.approx(spent(f, 0.01, spending), rel=1e-6)
    assert spent([1.0], 0.01, spending)[0] == pytest.approx(0.01)


@pytest.mark.parametrize("spending", Spending)
def test_spending_by_simulation(spending):
    f = np.array([0.2, 0.5, 0.6, 1.0])
    steps = np.sqrt(np.diff(f, prepend=0))
    walks = np.cumsum(np.random.default_rng(5).standard_normal((200_000, 4)) * steps, axis=1)
    beyond = np.abs(walks / np.sqrt(f)) >= bounds(f, 0.2, spending)
    found = np.maximum.accumulate(beyond, axis=1).mean(axis=0)
    assert found == pytest.approx(spent(f, 0.2, spending), abs=0.004)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=6),
    st.sampled_from(list(Spending)),
    st.floats(0.001, 0.3),
)
@settings(max_examples=25)
def test_bounds_keep_alpha_for_any_looks(steps, spending, alpha):
    f = np.cumsum(steps) / np.sum(steps)
    assert crossing_probabilities(bounds(f, alpha, spending), f).sum() == pytest.approx(alpha, rel=1e-6)


@pytest.mark.parametrize("fractions", [[], [0.5, 0.5], [0.5, 0.4], [0, 1], [0.5, 1.1], [0.5, math.nan]])
def test_fractions_that_cannot_be(fractions):
    with pytest.raises(ValueError, match="fractions must rise"):
        spent(fractions, 0.05, Spending.POCOCK)


def test_bad_requests():
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1, found 5"):
        bounds([1.0], 5, Spending.POCOCK)
