"""Ranks of the paired differences, for those who trust the order of differences more than their size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bench.statistics.counts import check_confidence, signed_counts
from bench.statistics.paired import positive
from bench.statistics.permutation import sign_flip, sign_test
from bench.statistics.proportions import clopper_pearson

Zeros = Literal["pratt", "wilcox"]


@dataclass(frozen=True)
class SignedRank:
    """Wilcoxon's signed-rank test."""

    n: int  # seeds
    used: int  # seeds with a difference
    zeros: Zeros
    w_plus: float  # sum of the ranks of positive differences; W₋ is what is missing to all ranks
    w_minus: float
    p: float | None = None  # two-sided; None without seeds
    exact: bool = True


def wilcoxon(differences: ArrayLike, zeros: Zeros = "pratt") -> SignedRank:
    """Wilcoxon, Biometrics Bull. 1 (1945): are the positive differences the larger ones?

    Up to 60 seeds the conditional distribution is exact, ties and all: given the ranks, it is the sign-flip
    test of them (twice the mid-ranks, which are whole numbers). Above, the normal approximation with the
    variance of these very ranks, without a continuity correction.

    Args:
        differences: signed integers [S], one a seed.
        zeros: "pratt" ranks differences of 0 and then drops them (J. Am. Stat. Assoc. 54, 1959); "wilcox"
            drops them first.

    Raises:
        ValueError: differences that are no signed integers, or another way with zeros.
    """
    if zeros not in ("pratt", "wilcox"):
        raise ValueError(f"zeros must be 'pratt' or 'wilcox', found {zeros!r}")
    counts = signed_counts(differences)
    n = len(counts)
    ranked = counts if zeros == "pratt" else counts[counts != 0]
    # Twice the mid-ranks, which are whole numbers: of k that tie for ranks up to r, 2r − k + 1.
    _, places, ties = np.unique(np.abs(ranked), return_inverse=True, return_counts=True)
    twice = (2 * np.cumsum(ties) - ties + 1)[places] * np.sign(ranked)
    plus, minus = int(twice[twice > 0].sum()), -int(twice[twice < 0].sum())
    used = int(np.count_nonzero(twice))
    if n == 0:
        return SignedRank(n, used, zeros, 0.0, 0.0)
    if used <= 60:
        p = 1.0 if used == 0 else sign_flip(twice).p
        return SignedRank(n, used, zeros, plus / 2, minus / 2, p)
    z = (plus - minus) / math.sqrt(sum(int(rank) ** 2 for rank in twice))
    p = min(positive(math.erfc(abs(z) / math.sqrt(2))), 1.0)
    return SignedRank(n, used, zeros, plus / 2, minus / 2, p, exact=False)


def worst_rank(differences: ArrayLike, lost: int, lost_by_baseline: int, both: int = 0) -> SignedRank:
    """Wilcoxon's test where runs that failed are the worst results, not missing ones (Lachin, Controlled
    Clinical Trials 20, 1999).

    Seeds of which one arm alone has failed tie at the largest rank, against that arm; where both have, the
    difference is 0.

    Args:
        differences: signed integers [S], one a seed that both have finished; above 0 the loss is better.
        lost, lost_by_baseline, both: seeds of which the loss, the baseline or both have failed.

    Raises:
        ValueError: differences that are no signed integers.
    """
    finished = signed_counts(differences)
    largest = 1 + max((abs(int(d)) for d in finished), default=0)
    failed = [-largest] * lost + [largest] * lost_by_baseline + [0] * both
    return wilcoxon(np.concatenate([finished, np.array(failed, dtype=np.int64)]))


@dataclass(frozen=True)
class Superiority:
    """How likely the loss beats its baseline, ties counting half."""

    n: int  # seeds, or runs of the loss × runs of the baseline where they are not paired
    estimate: float | None = None
    low: float | None = None
    high: float | None = None


def paired_superiority(differences: ArrayLike, confidence: float = 0.95) -> Superiority:
    """P(A > B) + ½P(A = B) for two runs with the *same* new seed, with a guaranteed interval.

    The interval of Clopper & Pearson (Biometrika 26, 1934), so it holds ½ whenever the sign test finds
    nothing. With ties the number of wins is taken at its worst, half a win less or more where it is no whole
    number: never below the promised coverage, and wide for few seeds, as it must be.

    Args:
        differences: signed integers [S], one a seed.

    Returns:
        All None without seeds.

    Raises:
        ValueError: differences that are no signed integers, a confidence outside (0, 1).
    """
    check_confidence(confidence)
    test = sign_test(differences)
    n = test.wins + test.losses + test.ties
    if n == 0:
        return Superiority(n)
    twice = 2 * test.wins + test.ties
    few, many = twice // 2, -(-twice // 2)
    low, high = clopper_pearson(few, n, confidence)[0], clopper_pearson(many, n, confidence)[1]
    return Superiority(n, twice / (2 * n), low, high)
