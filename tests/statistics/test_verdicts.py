"""Words, phrases, and what intervals exclude."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics.verdicts import Interval, Verdict, Word, better_or_worse

MIRROR = {Word.SUPERIOR: Word.INFERIOR, Word.INFERIOR: Word.SUPERIOR}


@pytest.mark.parametrize(
    ("estimate", "higher", "want"),
    [(0.1, True, "superior"), (-0.1, True, "inferior"), (0.1, False, "inferior"), (-0.1, False, "superior")],
)
def test_better_is_better_in_the_metrics_own_direction(estimate, higher, want):
    assert better_or_worse(estimate, higher_is_better=higher) == want


@given(st.floats(-1, 1).filter(bool), st.booleans())
def test_swapping_the_arms_or_the_direction_mirrors_the_word(estimate, higher):
    word = better_or_worse(estimate, higher_is_better=higher)
    assert better_or_worse(-estimate, higher_is_better=higher) is MIRROR[word]
    assert better_or_worse(estimate, higher_is_better=not higher) is MIRROR[word]


def test_a_phrase_begins_with_the_word_and_says_its_scope_where_that_is_narrower():
    assert Verdict(Word.SUPERIOR).phrase == "superior"
    assert Verdict(Word.EQUIVALENT, "on this test set").phrase == "equivalent on this test set"


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1))
def test_intervals_know_what_they_exclude(low, width, margin):
    interval = Interval(low, low + width, 0.95)
    assert interval.excludes_zero() == (not interval.low <= 0 <= interval.high)
    assert interval.within(margin) == (max(abs(interval.low), abs(interval.high)) <= margin)
    assert Interval(-interval.high, -interval.low, 0.95).within(margin) == interval.within(margin)
