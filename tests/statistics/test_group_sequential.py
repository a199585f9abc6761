"""Group-sequential bounds against published constants, and crossing probabilities by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from bench.statistics.group_sequential import Spending, bounds, critical_t, crossing_probabilities, spent

FIFTHS = [0.2, 0.4, 0.6, 0.8, 1.0]


def equally_spaced(looks):
    return np.arange(1, looks + 1) / looks


@pytest.mark.parametrize(
    ("looks", "rate"),
    [(1, 0.050), (2, 0.083), (3, 0.107), (4, 0.126), (5, 0.142), (10, 0.193), (20, 0.248), (50, 0.320)],
)
def test_what_repeated_testing_does(looks, rate):
    # Armitage, McPherson & Rowe (1969): false alarms of repeated tests at a nominal 5 %.
    crossed = crossing_probabilities(np.full(looks, stats.norm.isf(0.025)), equally_spaced(looks))
    assert crossed.sum() == pytest.approx(rate, abs=5.1e-4)


@pytest.mark.parametrize(("looks", "constant"), [(2, 2.178), (3, 2.289), (4, 2.361), (5, 2.413), (10, 2.555)])
def test_pococks_constants(looks, constant):
    # Jennison & Turnbull 2000, table 2.1, α = .05: the nearest three digits, none of which is off by more.
    inner, outer = (
        crossing_probabilities(np.full(looks, constant + slack), equally_spaced(looks)).sum()
        for slack in (5.1e-4, -5.1e-4)
    )
    assert inner < 0.05 < outer


@pytest.mark.parametrize(("looks", "constant"), [(2, 1.977), (3, 2.004), (4, 2.024), (5, 2.040), (10, 2.087)])
def test_the_constants_of_obrien_and_fleming(looks, constant):
    # Jennison & Turnbull 2000, table 2.3, α = .05: stop at |z| ≥ C·√(K/k).
    f = equally_spaced(looks)
    inner, outer = (
        crossing_probabilities((constant + slack) / np.sqrt(f), f).sum() for slack in (5.1e-4, -5.1e-4)
    )
    assert inner < 0.05 < outer


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
    assert np.cumsum(crossed.sum(axis=0)) == pytest.approx(spent(f, 0.01, spending), abs=1e-9)
    assert crossed[0] == pytest.approx(crossed[1])
    assert spent([1.0], 0.01, spending)[0] == pytest.approx(0.01)


@pytest.mark.parametrize("drift", [0.0, 1.5, -2.8])
def test_crossing_by_simulation(drift):
    f = np.array([0.2, 0.5, 0.6, 1.0])
    b = np.array([math.inf, 2.4, 2.3, 2.1])
    rng = np.random.default_rng(5)
    steps = np.diff(f, prepend=0)
    walks = np.cumsum(rng.standard_normal((200_000, 4)) * np.sqrt(steps) + drift * steps, axis=1)
    z = walks / np.sqrt(f)
    first = np.argmax(np.abs(z) >= b, axis=1)
    crossed = np.abs(z[np.arange(len(z)), first]) >= b[first]
    up = z[np.arange(len(z)), first] > 0
    found = crossing_probabilities(b, f, drift)
    for look in range(4):
        here = crossed & (first == look)
        assert found[0, look] == pytest.approx((here & up).mean(), abs=0.004)
        assert found[1, look] == pytest.approx((here & ~up).mean(), abs=0.004)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=6),
    st.sampled_from(list(Spending)),
    st.floats(0.001, 0.3),
    st.floats(0, 3),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_bounds_keep_alpha_for_any_looks_and_mirror(steps, spending, alpha, drift):
    f = np.cumsum(steps) / np.sum(steps)
    b = bounds(f, alpha, spending)
    assert crossing_probabilities(b, f).sum() == pytest.approx(alpha, rel=1e-6)
    one, other = crossing_probabilities(b, f, drift), crossing_probabilities(b, f, -drift)
    assert one == pytest.approx(other[::-1], abs=1e-12)
    assert one[0].sum() >= one[1].sum() - 1e-12


def test_the_t_of_a_look_has_the_tail_of_its_z():
    looks = [4, 8, 20]
    t = critical_t(looks, 0.05, Spending.POCOCK)
    z = bounds([0.2, 0.4, 1.0], 0.05, Spending.POCOCK)
    assert stats.t.sf(t, np.array(looks) - 1) == pytest.approx(stats.norm.sf(z))
    assert (t > z).all()
    # One look is the ordinary t-test.
    assert critical_t([12], 0.05, Spending.OBRIEN_FLEMING) == pytest.approx([stats.t.isf(0.025, 11)])


@pytest.mark.parametrize("fractions", [[], [0.5, 0.5], [0.5, 0.4], [0, 1], [0.5, 1.1], [0.5, math.nan]])
def test_fractions_that_cannot_be(fractions):
    with pytest.raises(ValueError, match="fractions must rise"):
        spent(fractions, 0.05, Spending.POCOCK)


def test_bad_requests():
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1, found 5"):
        bounds([1.0], 5, Spending.POCOCK)
    with pytest.raises(ValueError, match="one bound of at least 0 a look"):
        crossing_probabilities([2.0], [0.5, 1.0])
    with pytest.raises(ValueError, match="two seeds or more each"):
        critical_t([1, 5], 0.05, Spending.POCOCK)
