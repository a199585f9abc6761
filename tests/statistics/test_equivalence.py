"""The two one-sided tests against statsmodels, a published example, and what a margin must mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.weightstats import ttost_paired

from bench.statistics.equivalence import tost
from bench.statistics.paired import paired_t

TOTAL = 1000
counts = st.lists(st.integers(-50, 50), min_size=2, max_size=12).filter(lambda d: len(set(d)) > 1)
margins = st.floats(0, 0.2)


def test_students_sleep():
    # R, TOSTER::t_TOST(extra ~ group, sleep, low_eqbound = -1, high_eqbound = 1, paired = TRUE): the two
    # p-values are .9149441 and .00004778596, the 90 % interval from 0.8669947 to 2.293005 hours.
    result = paired_t([12, 24, 13, 13, 0, 10, 18, 8, 46, 14], TOTAL, confidence=0.9)
    hour = 10 / TOTAL
    assert tost(result, 1 * hour) == pytest.approx(0.9149441, abs=1e-7)
    assert (result.low / hour, result.high / hour) == pytest.approx((0.8669947, 2.293005), abs=1e-6)


@pytest.mark.parametrize("margin", [0.0, 0.001, 0.003, 0.01])
def test_statsmodels_agrees(margin):
    draw = np.random.default_rng(11)
    loss, baseline = draw.integers(950, 960, size=(2, 10))
    want, _, _ = ttost_paired(loss / TOTAL, baseline / TOTAL, -margin, margin)
    assert tost(paired_t(loss - baseline, TOTAL), margin) == pytest.approx(want)


@given(counts, margins)
@settings(max_examples=100)
def test_a_mirrored_difference_is_as_equivalent(differences, margin):
    p = tost(paired_t(differences, TOTAL), margin)
    assert 0 < p <= 1
    assert p == tost(paired_t([-d for d in differences], TOTAL), margin)
    assert p == tost(paired_t(sorted(differences), TOTAL), margin)


@given(counts, margins, margins)
@settings(max_examples=60)
def test_a_wider_margin_is_easier_to_meet_and_no_margin_never_is(differences, one, other):
    result = paired_t(differences, TOTAL)
    assert tost(result, max(one, other)) <= tost(result, min(one, other))
    assert tost(result, 0) >= 0.5


@given(counts)
@settings(max_examples=60)
def test_it_is_the_ninety_percent_interval_within_the_margin(differences):
    inner = paired_t(differences, TOTAL, confidence=0.9)
    reach = max(abs(inner.low), abs(inner.high))
    assert tost(inner, reach) == pytest.approx(0.05)


def test_what_cannot_be_computed_is_none():
    for differences in ([], [3], [3, 3, 3]):
        assert tost(paired_t(differences, TOTAL), 0.01) is None


def test_a_certain_equivalence_is_not_zero():
    assert tost(paired_t([1, 0] * 500, 10**9), 0.5) > 0


@pytest.mark.parametrize("margin", [-0.01, float("nan")])
def test_bad_margins(margin):
    with pytest.raises(ValueError, match="margin must be at least 0, found"):
        tost(paired_t([1, 2], TOTAL), margin)


def test_false_alarms_by_simulation():
    """With the true difference just on the margin, at most 5 % may be called equivalent."""
    draw = np.random.default_rng(5)
    experiments = np.rint(draw.normal(loc=20, scale=10, size=(2000, 8))).astype(int)
    called = [tost(paired_t(e, TOTAL), 0.020) < 0.05 for e in experiments]
    assert np.mean(called) == pytest.approx(0.05, abs=0.015)
