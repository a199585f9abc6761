"""One number for a method over several tasks, with an interval: few runs a task, no single task may rule.

After Agarwal et al., "Deep RL at the edge of the statistical precipice" (arXiv:2108.13264): the interquartile
mean ignores the easiest and the hardest quarter of all task–run pairs, performance profiles show the rest,
and the bootstrap resamples runs within each task. So the tasks are taken as they are; what holds on other
tasks is a question for :mod:`bench.statistics.ranking`.

Scores are an array [methods, tasks, runs]: accuracies, or whatever else is comparable across tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

CHUNK = 4_000_000
"""Scores resampled at a time: some tens of megabytes."""

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""[..., tasks, runs] → [...]"""


@dataclass(frozen=True)
class Aggregate:
    """One number a method: arrays [methods]."""

    estimate: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    resamples: int


@dataclass(frozen=True)
class PerformanceProfile:
    """For each threshold, the share of task–run pairs that score above it: arrays [methods, thresholds]."""

    thresholds: NDArray[np.float64]
    share: NDArray[np.float64]
    low: NDArray[np.float64]  # at each threshold by itself, not for the whole curve at once
    high: NDArray[np.float64]


def interquartile_mean(scores: ArrayLike) -> NDArray[np.float64]:
    """Mean of the middle half of all task–run pairs: [..., tasks, runs] → [...].

    Of N pairs, ⌊N/4⌋ are left out on either side (``scipy.stats.trim_mean``).
    """
    pooled = _pooled(scores)
    cut = pooled.shape[-1] // 4
    middle = slice(cut, pooled.shape[-1] - cut)
    return np.asarray(np.partition(pooled, [cut, middle.stop - 1], axis=-1)[..., middle].mean(axis=-1))


def mean(scores: ArrayLike) -> NDArray[np.float64]:
    """Mean of all task–run pairs: [..., tasks, runs] → [...]."""
    return np.asarray(_pooled(scores).mean(axis=-1))


def median(scores: ArrayLike) -> NDArray[np.float64]:
    """Median over tasks of the mean over runs: [..., tasks, runs] → [...]."""
    return np.asarray(np.median(np.asarray(scores, dtype=np.float64).mean(axis=-1), axis=-1))


def optimality_gap(scores: ArrayLike, target: float = 1.0) -> NDArray[np.float64]:
    """How far the scores stay below a target, on average: [..., tasks, runs] → [...]. Smaller is better."""
    return np.asarray(target - np.minimum(_pooled(scores), target).mean(axis=-1))


def aggregate(
    scores: ArrayLike,
    statistic: Statistic = interquartile_mean,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Aggregate:
    """A statistic of each method with its percentile interval from :func:`stratified_bootstrap`.

    Raises:
        ValueError: as for :func:`stratified_bootstrap`; a confidence outside (0, 1).
    """
    values = _checked(scores, confidence)
    draws = stratified_bootstrap(values, statistic, resamples, seed)
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    return Aggregate(statistic(values), low, high, resamples)


def stratified_bootstrap(
    scores: ArrayLike,
    statistic: Statistic = interquartile_mean,
    resamples: int = 2000,
    seed: int = 0,
    paired: bool = False,
) -> NDArray[np.float64]:
    """The statistic of each method with the runs of every task drawn anew: [resamples, methods].

    With two runs a task or so, intervals from it are too narrow; no bootstrap can know better.

    Args:
        scores: numbers [methods, tasks, runs].
        paired: draw the same runs for all methods, because run r of each has the same seed. Differences of
            the columns are then what the same seeds would have shown.

    Raises:
        ValueError: scores that are not [methods, tasks, runs] or not finite; no resample.
    """
    values = _checked(scores)
    if resamples < 1:
        raise ValueError(f"resamples must be at least one, found {resamples}")
    methods, tasks, runs = values.shape
    picks = _picks((1 if paired else methods, tasks, runs), resamples, values.size, seed)
    first = np.arange(methods * tasks).reshape(methods, tasks, 1) * runs
    if statistic is not interquartile_mean:
        return np.concatenate([statistic(values.ravel()[pick + first]) for pick in picks])
    # Sorting is nearly all the work, and small integers sort many times faster than floats: so the places of
    # the scores among all scores are resampled, sorted, and only the middle half turned into scores again.
    levels, places = np.unique(values, return_inverse=True)
    compact = places.ravel().astype(np.min_scalar_type(len(levels)))
    cut = tasks * runs // 4
    found = []
    for pick in picks:
        drawn = compact[pick + first].reshape(-1, methods, tasks * runs)
        drawn.sort(axis=-1)
        found.append(levels[drawn[..., cut : tasks * runs - cut]].mean(axis=-1))
    return np.concatenate(found)


def performance_profile(
    scores: ArrayLike, thresholds: ArrayLike, confidence: float = 0.95
) -> PerformanceProfile:
    """Share of task–run pairs above each threshold, with the percentile interval of the stratified bootstrap.

    That interval is exact, without drawing: at one threshold, a resampled task with k of R runs above it has
    Binomial(R, k/R) of them, and the distribution of the sum over tasks follows by Fourier transform.

    Args:
        scores: numbers [methods, tasks, runs].
        thresholds: rising numbers [thresholds].

    Raises:
        ValueError: as for :func:`aggregate`; thresholds that do not rise.
    """
    values = _checked(scores, confidence)
    levels = np.asarray(thresholds, dtype=np.float64)
    if levels.ndim != 1 or not levels.size or not np.all(np.isfinite(levels)) or np.any(np.diff(levels) <= 0):
        raise ValueError(f"thresholds must be rising numbers, found {levels}")
    _, tasks, runs = values.shape
    pairs = tasks * runs
    above = (values[..., None] > levels).mean(axis=2)  # [methods, tasks, thresholds]
    turn = np.exp(2j * np.pi * np.arange(pairs + 1) / (pairs + 1))
    transform = np.ones((len(values), len(levels), pairs + 1), dtype=np.complex128)
    for task in range(tasks):
        share = above[:, task, :, None]
        transform *= (1 - share + share * turn) ** runs
    cumulative = np.cumsum(np.fft.fft(transform).real / (pairs + 1), axis=-1)
    tail = (1 - confidence) / 2
    low, high = ((cumulative < q - 1e-12).sum(axis=-1) / pairs for q in (tail, 1 - tail))
    return PerformanceProfile(levels, above.mean(axis=1), low, high)


def _picks(
    shape: tuple[int, int, int], resamples: int, size: int, seed: int
) -> Iterator[NDArray[np.unsignedinteger]]:
    """Which run stands in for which, [some resamples, *shape], so much at a time as memory allows."""
    rng = np.random.default_rng(seed)
    at_once = max(1, CHUNK // size)
    for begin in range(0, resamples, at_once):
        drawn = (min(at_once, resamples - begin), *shape)
        yield rng.integers(0, shape[-1], size=drawn, dtype=np.uint16 if shape[-1] < 2**16 else np.uint32)


def _pooled(scores: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(scores, dtype=np.float64)
    return array.reshape(*array.shape[:-2], -1)


def _checked(scores: ArrayLike, confidence: float = 0.95) -> NDArray[np.float64]:
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 3 or not array.size:
        raise ValueError(f"scores must be [methods, tasks, runs], none of them 0; found shape {array.shape}")
    if not np.all(np.isfinite(array)):
        raise ValueError("scores must be finite numbers; leave out methods or tasks with missing runs")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, found {confidence}")
    return array
