"""Standardised differences against Lakens's worked example, numpy and a simulation of the bias."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.statistics.effects import Effects, effects, hedges_correction

arms = st.integers(2, 10).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 40), min_size=n, max_size=n)] * 2)
)


def test_lakens_movies():
    # Front. Psychol. 4:863 (2013), table 1 and text: ten people rate two movies; r = .726, d_z = 1.50; as
    # independent groups Cohen's d_s = 1.13, Hedges g_s = 1.08.
    first, second = [9, 7, 8, 9, 8, 9, 9, 10, 9, 9], [9, 6, 7, 8, 7, 9, 8, 8, 8, 7]
    got = effects(first, second, 10)
    assert (round(got.correlation, 3), round(got.d_z, 2)) == (0.726, 1.50)
    assert (round(got.d_av, 2), round(got.g_av, 2)) == (1.13, 1.08)


@given(arms)
@settings(max_examples=60)
def test_numpy_agrees(pair):
    a, b = (np.array(arm) for arm in pair)
    got, n, mean = effects(a, b, 40), len(a), a.mean() - b.mean()
    for value, spread in (
        (got.d_z, (a - b).std(ddof=1)),
        (got.d_av, np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)),
    ):
        assert (value is None) == (spread == 0)
        if spread:
            assert value == pytest.approx(mean / spread)
    if got.g_av is not None:
        assert got.g_av == pytest.approx(got.d_av * hedges_correction(2 * n - 2))
    if got.correlation is not None:
        assert got.correlation == pytest.approx(np.corrcoef(a, b)[0, 1])


@given(arms, st.integers(0, 20))
@settings(max_examples=60)
def test_swapped_reordered_and_shifted(pair, gain):
    a, b = (np.array(arm) for arm in pair)
    got, swapped = effects(a, b, 60), effects(b, a, 60)
    for name in ("d_z", "g_z", "d_av", "g_av"):
        value = getattr(got, name)
        assert getattr(swapped, name) == (None if value is None else -value)
    assert swapped.correlation == got.correlation
    assert effects(a[::-1], b[::-1], 60) == got
    assert effects(a + gain, b + gain, 60) == got


@given(arms, st.integers(-(10**15), 10**15))
@settings(max_examples=60)
def test_whole_numbers_that_are_no_counts_have_the_same_effects(pair, shift):
    a, b = (np.array(arm) for arm in pair)
    assert effects(a, b, 40, bounded=False) == effects(a, b, 40)
    assert effects(a + shift, b + shift, 40, bounded=False) == effects(a, b, 40)


@pytest.mark.parametrize("df", [2, 4, 9, 18, 38])
def test_the_correction_undoes_the_bias(df):
    """E[d] = δ/J(df): scipy's noncentral t has the exact mean."""
    assert hedges_correction(df) * stats.nct.mean(df, 1.3) == pytest.approx(1.3)
    assert hedges_correction(df) == pytest.approx(1 - 3 / (4 * df - 1), abs=0.15 / df**2)


def test_what_cannot_be_computed_is_none():
    assert effects([], [], 10) == Effects(0)
    assert effects([5], [3], 10) == Effects(1)
    assert effects([5, 6], [3, 4], 10).d_z is None
    assert effects([5, 6], [3, 4], 10).d_av is not None
    assert effects([5, 6], [3, 3], 10).g_z is None
    assert effects([5, 6], [3, 3], 10).correlation is None
    assert effects([5, 5], [3, 3], 10) == Effects(2)


@pytest.mark.parametrize(
    ("loss", "baseline", "total", "message"),
    [
        ([1, 2], [1], 10, "same seeds, found 2 and 1"),
        ([1, 11], [1, 2], 10, "11 correct answers out of 10"),
        ([1, -1], [1, 2], 10, "-1 correct answers out of 10"),
        ([0.5, 0.5], [1, 2], 10, "must be integers .*found float64"),
        ([True, False], [1, 2], 10, "must be integers .*found bool"),
        ([[1]], [[2]], 10, "one count a seed"),
        ([], [], 0, "at least one image, found 0"),
    ],
)
def test_bad_arms(loss, baseline, total, message):
    with pytest.raises(ValueError, match=message):
        effects(loss, baseline, total)


def test_numbers_beyond_64_bits():
    with pytest.raises(ValueError, match="numbers this large overflow"):
        effects(np.array([2**63, 1], dtype=np.uint64), [1, 2], 10, bounded=False)


def test_no_degrees_of_freedom():
    with pytest.raises(ValueError, match="at least two degrees of freedom, found 1"):
        hedges_correction(1)
