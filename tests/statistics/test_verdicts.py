"""The table of METHODS.md, row by row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics.verdicts import Interval, Verdict, Word, better_or_worse, word

NAN = float("nan")
MIRROR = {Word.SUPERIOR: Word.INFERIOR, Word.INFERIOR: Word.SUPERIOR}


@pytest.mark.parametrize(
    ("estimate", "p_adjusted", "p_tost", "want"),
    [
        (0.01, 0.049, 0.9, "superior"),
        (-0.01, 0.049, 0.9, "inferior"),
        (0.0001, 0.001, 0.001, "superior"),  # certain and tiny: a difference all the same
        (0.01, 0.05, 0.9, "undecided"),  # p < α, not p ≤ α
        (0.01, 0.2, 0.049, "equivalent"),
        (-0.01, 0.2, 0.049, "equivalent"),
        (0.01, 0.2, 0.05, "undecided"),
        (0.0, 1.0, 0.01, "equivalent"),
        (0.01, None, None, "undecided"),  # one seed, or no spread
        (0.01, NAN, None, "undecided"),
        (0.01, NAN, 0.01, "equivalent"),
        (None, None, None, "undecided"),
        (NAN, 0.01, NAN, "undecided"),
    ],
)
def test_the_table(estimate, p_adjusted, p_tost, want):
    assert word(estimate, p_adjusted, p_tost, alpha=0.05) == want


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0.001, 0.2))
def test_swapping_the_arms_mirrors_the_verdict(estimate, p_adjusted, p_tost, alpha):
    one = word(estimate, p_adjusted, p_tost, alpha)
    assert word(-estimate, p_adjusted, p_tost, alpha) == MIRROR.get(one, one)


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0.001, 0.2))
def test_where_less_is_better_the_words_change_places(estimate, p_adjusted, p_tost, alpha):
    one = word(estimate, p_adjusted, p_tost, alpha)
    assert word(estimate, p_adjusted, p_tost, alpha, higher_is_better=False) == MIRROR.get(one, one)


@pytest.mark.parametrize(
    ("estimate", "higher", "want"),
    [(0.1, True, "superior"), (-0.1, True, "inferior"), (0.1, False, "inferior"), (-0.1, False, "superior")],
)
def test_better_is_better_in_the_metrics_own_direction(estimate, higher, want):
    assert better_or_worse(estimate, higher_is_better=higher) == want


def test_a_phrase_begins_with_the_word_and_says_its_scope_where_that_is_narrower():
    assert Verdict(Word.SUPERIOR).phrase == "superior"
    assert Verdict(Word.EQUIVALENT, "on this test set").phrase == "equivalent on this test set"


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1))
def test_intervals_know_what_they_exclude(low, width, margin):
    interval = Interval(low, low + width, 0.95)
    assert interval.excludes_zero() == (not interval.low <= 0 <= interval.high)
    assert interval.within(margin) == (max(abs(interval.low), abs(interval.high)) <= margin)
    assert Interval(-interval.high, -interval.low, 0.95).within(margin) == interval.within(margin)
