"""What a comparison lets us say."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """Of a loss against its baseline."""

    SUPERIOR = "superior"
    INFERIOR = "inferior"
    EQUIVALENT = "equivalent"
    UNDECIDED = "undecided"


def verdict(estimate: float | None, p_adjusted: float | None, p_tost: float | None, alpha: float) -> Verdict:
    """Superior or inferior if p < α; else equivalent if the two one-sided tests say so; else undecided.

    A difference comes first: one that is both certain and smaller than the margin is a difference. What
    could not be computed (None or NaN) decides nothing.

    Args:
        estimate: loss − baseline; only its sign matters.
        p_adjusted: two-sided, adjusted for the family of comparisons.
        p_tost: of :func:`bench.statistics.equivalence.tost`.
    """
    if estimate is not None and p_adjusted is not None and p_adjusted < alpha:
        if estimate > 0:
            return Verdict.SUPERIOR
        if estimate < 0:
            return Verdict.INFERIOR
    if p_tost is not None and p_tost < alpha:
        return Verdict.EQUIVALENT
    return Verdict.UNDECIDED
