"""Runs that failed, of either arm: results, and the worst. Which arm failed more, and what that means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.comparisons.comparison import Failures
from bench.comparisons.pairings import Pairing
from bench.statistics.multiplicity import holm
from bench.statistics.proportions import mcnemar, newcombe_paired
from bench.statistics.signed_ranks import SignedRank, worst_rank
from bench.statistics.verdicts import Word


def compare_failures(pairings: Sequence[Pairing]) -> list[Failures | None]:
    """One a comparison; None where no run of it has failed, and where runs are not paired.

    p of the worst-rank analysis is adjusted over the whole family, those of whose runs none has failed too.
    """
    if not any(any(pairing.lost) and pairing.ended for pairing in pairings):
        return [None] * len(pairings)
    ranked = [_worst_rank(pairing) for pairing in pairings]
    p_adjusted = holm([test.p for test in ranked])
    return [
        _failures(pairing, test, None if np.isnan(p) else float(p))
        if any(pairing.lost) and pairing.ended
        else None
        for pairing, test, p in zip(pairings, ranked, p_adjusted, strict=True)
    ]


def holds_with_failed_last(failures: Failures, word: Word, alpha: float) -> bool:
    """Whether a difference is there as well, in the same direction, with failed runs ranked last.

    That two are equivalent cannot be said of ranks.
    """
    p = failures.p_worst_rank
    if word is Word.UNDECIDED:
        return True
    return (
        word is not Word.EQUIVALENT
        and p is not None
        and p < alpha
        and failures.better is (word is Word.SUPERIOR)
    )


def _lost(pairing: Pairing) -> tuple[int, int, int]:
    """Seeds that the loss alone, its baseline alone, or both have failed, of those that have ended."""
    ours, theirs = ({*seeds} & pairing.ended for seeds in pairing.lost)
    return len(ours - theirs), len(theirs - ours), len(ours & theirs)


def _worst_rank(pairing: Pairing) -> SignedRank:
    finished = pairing.every if pairing.total is not None else pairing.every[:0]
    return worst_rank(pairing.sign * finished, *_lost(pairing))


def _failures(pairing: Pairing, ranked: SignedRank, p: float | None) -> Failures:
    ours, theirs, both = _lost(pairing)
    better = None if ranked.w_plus == ranked.w_minus else ranked.w_plus > ranked.w_minus
    neither = len(pairing.ended) - ours - theirs - both
    share = newcombe_paired(both, ours, theirs, neither)
    return Failures(*pairing.lost, len(pairing.ended), share, mcnemar(ours, theirs).exact, p, better)
