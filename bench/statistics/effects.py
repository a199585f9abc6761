"""How large is the difference, beside the spread? Two answers that must not share a name.

d_z divides by the spread of the *differences*: it says how easily the difference is found with paired seeds.
d_av divides by the spread *within the arms*: it says how far apart the two clouds of runs are, and compares
with studies that did not pair. The better the pairing (the larger ρ), the more d_z exceeds d_av.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from numpy.typing import ArrayLike

from bench.statistics.counts import correct_counts


@dataclass(frozen=True)
class Effects:
    """Standardised differences of two paired arms. None where there is no spread to divide by.

    With two seeds g_z does not exist: one degree of freedom.
    """

    n: int  # paired seeds
    correlation: float | None = None  # ρ between the arms over seeds (Pearson)
    d_z: float | None = None  # mean difference / sd of the differences
    g_z: float | None = None  # Hedges g of it: without its bias in small samples, n − 1 degrees of freedom
    d_av: float | None = None  # mean difference / root mean square of the two arms' sd
    g_av: float | None = None  # Hedges g of it, 2(n − 1) degrees of freedom


def effects(loss: ArrayLike, baseline: ArrayLike, total: int, *, bounded: bool = True) -> Effects:
    """Cohen's d and Hedges g as named by Lakens, Front. Psychol. 4:863 (2013).

    For d_av, the root mean square of the two standard deviations (Cohen's d_s and Hedges g_s when both arms
    have n runs) rather than their mean, so that it is what an unpaired study would have reported.

    Args:
        loss: correct answers of the loss [S]; ``baseline``: of its baseline, seed by seed.
        total: test images that each count is out of.
        bounded: whether the numbers are counts out of ``total``; else any whole numbers, in units of 1/total.

    Raises:
        ValueError: other types, counts outside 0 to ``total`` though they are bounded, or unequal lengths.
    """
    ours, theirs = (correct_counts(arm, total, bounded=bounded) for arm in (loss, baseline))
    n = len(ours)
    if n != len(theirs):
        raise ValueError(f"paired arms must have the same seeds, found {n} and {len(theirs)}")
    if n < 2:
        return Effects(n)
    a, b = ours.tolist(), theirs.tolist()
    # n(n − 1) times each variance, in whole numbers: equal differences are seen to be equal.
    of_a, of_b = n * sum(x * x for x in a) - sum(a) ** 2, n * sum(y * y for y in b) - sum(b) ** 2
    both = n * sum(x * y for x, y in zip(a, b, strict=True)) - sum(a) * sum(b)
    d_z = _in_spreads(sum(a) - sum(b), of_a + of_b - 2 * both, n)
    d_av = _in_spreads(sum(a) - sum(b), (of_a + of_b) / 2, n)
    return Effects(
        n,
        both / math.sqrt(of_a * of_b) if of_a and of_b else None,
        d_z,
        d_z * hedges_correction(n - 1) if d_z is not None and n > 2 else None,
        d_av,
        d_av * hedges_correction(2 * (n - 1)) if d_av is not None else None,
    )


def _in_spreads(summed: int, spread: float, n: int) -> float | None:
    """(summed/n) / sd, where spread is n(n − 1)·sd²."""
    return summed * math.sqrt((n - 1) / (n * spread)) if spread else None


def hedges_correction(df: int) -> float:
    """J(df) = Γ(df/2) / (√(df/2)·Γ((df − 1)/2)): what undoes the bias of d (Hedges, J. Educ. Stat. 6, 1981).

    Exact, not its usual approximation 1 − 3/(4·df − 1).

    Raises:
        ValueError: fewer than two degrees of freedom, with which d has no mean that could be biased.
    """
    if df < 2:
        raise ValueError(f"at least two degrees of freedom, found {df}")
    return math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2)) / math.sqrt(df / 2)
