"""The table of METHODS.md, row by row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics.verdicts import Verdict, verdict

NAN = float("nan")


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
    assert verdict(estimate, p_adjusted, p_tost, alpha=0.05) == want


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0.001, 0.2))
def test_swapping_the_arms_mirrors_the_verdict(estimate, p_adjusted, p_tost, alpha):
    mirror = {Verdict.SUPERIOR: Verdict.INFERIOR, Verdict.INFERIOR: Verdict.SUPERIOR}
    one = verdict(estimate, p_adjusted, p_tost, alpha)
    assert verdict(-estimate, p_adjusted, p_tost, alpha) == mirror.get(one, one)
