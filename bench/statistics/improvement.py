"""How probable is it that a run of A beats a run of B, on average over several data sets?

The probability of improvement of Agarwal et al., "Deep RL at the edge of the statistical precipice"
(arXiv:2108.13264), section 4.3: on each data set the share of all pairs of a run of A and one of B that A
wins (Mann & Whitney's U), then the mean over data sets. Its interval resamples runs within each data set, so
the data sets are taken as they are; what holds on others is a question for :mod:`bench.statistics.ranking`.
Runs are not paired in this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

CHUNK = 2_000_000
"""Runs resampled at a time: some tens of megabytes."""


@dataclass(frozen=True)
class Improvement:
    """A probability, ties counting half, with its percentile interval."""

    estimate: float
    low: float | None  # None with fewer than two runs of A or B on some data set: nothing to draw from
    high: float | None


def probability_of_improvement(
    ours: Sequence[ArrayLike],
    theirs: Sequence[ArrayLike],
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Improvement:
    """P(A > B) + ½P(A = B), averaged over data sets, with the interval of the stratified bootstrap.

    With a handful of runs the interval is rough, and of no width where one wins all pairs.

    Args:
        ours: scores of A, higher is better: for each data set numbers [runs], not always as many as of B.
        theirs: scores of B on the same data sets.
        resamples: 0 for no interval.

    Raises:
        ValueError: no data set or not the same ones, one without runs, a score that is not finite, a
            confidence outside (0, 1).
    """
    arms = [[np.sort(_checked(scores)) for scores in arm] for arm in (ours, theirs)]
    if not arms[0] or len(arms[0]) != len(arms[1]):
        raise ValueError(
            f"the same data sets are needed, one at least; found {len(arms[0])} and {len(arms[1])}"
        )
    if not 0 < confidence < 1 or resamples < 0:
        raise ValueError(
            f"confidence must lie between 0 and 1 and resamples be at least 0, found {confidence} and "
            f"{resamples}"
        )
    pairs = [*zip(*arms, strict=True)]
    places = [(np.searchsorted(b, a, "left"), np.searchsorted(b, a, "right")) for a, b in pairs]
    estimate = np.mean(
        [(low + high).mean() / (2 * len(b)) for (low, high), (_, b) in zip(places, pairs, strict=True)]
    )
    if not resamples or min(len(scores) for arm in arms for scores in arm) < 2:
        return Improvement(float(estimate), None, None)
    rng = np.random.default_rng(seed)
    drawn = np.zeros(resamples)
    for (low, high), (a, b) in zip(places, pairs, strict=True):
        at_once = max(1, CHUNK // max(len(a), len(b)))
        for first in range(0, resamples, at_once):
            part = drawn[first : first + at_once]
            # How often each run is drawn, and how many drawn runs of B lie below each of A, equal ones half.
            below = np.zeros((len(part), len(b) + 1))
            below[:, 1:] = np.cumsum(_drawn(rng, len(b), len(part)), axis=1)
            beaten = below[:, low] + below[:, high]
            part += np.einsum("ij,ij->i", _drawn(rng, len(a), len(part)), beaten) / (2 * len(a) * len(b))
    tail = (1 - confidence) / 2
    ends = np.quantile(drawn / len(pairs), [tail, 1 - tail])
    return Improvement(float(estimate), float(ends[0]), float(ends[1]))


def _drawn(rng: np.random.Generator, runs: int, resamples: int) -> NDArray[np.float64]:
    """How often each run is drawn: numbers [resamples, runs]."""
    picks = rng.integers(0, runs, (resamples, runs)) + runs * np.arange(resamples)[:, None]
    return np.bincount(picks.ravel(), minlength=runs * resamples).reshape(resamples, runs).astype(np.float64)


def _checked(scores: ArrayLike) -> NDArray[np.generic]:
    array = np.asarray(scores)
    if array.ndim != 1 or not array.size or not np.all(np.isfinite(array)):
        raise ValueError(f"scores must be finite numbers, one a run and one at least; found {array}")
    return array
