"""Adding seeds until decided, with an error rate that holds however often one looks.

A t-test repeated after every seed finds a difference sooner or later where there is none. An e-value may be
looked at after every seed: it is the likelihood of the seeds when there is an effect, over their likelihood
when there is none, and where there is none the chance that it *ever* reaches 1/α is at most α (Ville).

The model: differences are N(μ, σ²) with any σ (right-Haar prior), and the effect μ/σ is N(0, g) where there
is one. The smaller g, the smaller the effects that are found first; no g can break the error rate. Skewness
can: symmetric differences that are not normal keep it in simulation, those of an exponential distribution
raise .05 to .12 (``benchmarks/sequential_rates.py``).
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.paired import paired_t

LARGEST = math.log(sys.float_info.max)


@dataclass(frozen=True)
class Evidence:
    """What was known after each seed: arrays [S].

    The interval after n seeds excludes 0 exactly when e ≥ 1/α there. NaN where all seeds so far differ by the
    same count; infinite ends where nothing can be excluded yet.
    """

    n: NDArray[np.int64]  # seeds looked at
    estimate: NDArray[np.float64]  # mean difference; of accuracies as a fraction
    t: NDArray[np.float64]  # Student's; NaN after one seed
    e: NDArray[np.float64]  # evidence for a difference, 1 after one seed
    p: NDArray[np.float64]  # anytime-valid: one over the largest e so far, at most 1
    low: NDArray[np.float64]  # confidence sequence, in the unit of the estimate
    high: NDArray[np.float64]


def threshold(alpha: float, comparisons: int = 1) -> float:
    """The e at which to stop: K/α, so that with K comparisons the chance of even one false alarm is ≤ α.

    It holds under any dependence between the comparisons, and whichever of them are stopped when.

    Raises:
        ValueError: an alpha outside (0, 1), or no comparison.
    """
    if not 0 < alpha < 1 or comparisons < 1:
        raise ValueError(
            f"0 < alpha < 1 and one comparison at least are needed, found {alpha} and {comparisons}"
        )
    return comparisons / alpha


def log_e_value(t: ArrayLike, n: ArrayLike, g: float = 1.0) -> NDArray[np.float64]:
    """ln e of Student's t from n ≥ 2 seeds: the Bayes factor with right-Haar prior on σ and μ/σ ~ N(0, g).

    With v = n − 1: e = (1+ng)^(−1/2) · [(1 + t²/v) / (1 + t²/((1+ng)v))]^((v+1)/2). Gönen et al., American
    Statistician 59 (2005), have it for two samples; Hendriksen, de Heide & Grünwald (arXiv:1807.09077) show
    that it may be looked at whenever one likes.

    Args:
        t, n: any shapes that broadcast. NaN stays NaN.
        g: variance of the effect μ/σ where there is one.

    Raises:
        ValueError: g not above 0.
    """
    t, n, inflation = _inputs(t, n, g)
    x = t * t / (n - 1)
    return np.asarray((np.log1p(x) - np.log1p(x / inflation)) * n / 2 - np.log(inflation) / 2)


def critical_t(n: ArrayLike, bar: float, g: float = 1.0) -> NDArray[np.float64]:
    """The |t| from which on e ≥ ``bar``: :func:`log_e_value` solved for t. Infinite where no t is enough.

    Args:
        n: seeds, any shape.
        bar: at least 1.
    """
    _, n, inflation = _inputs(0.0, n, g)
    ratio = np.exp(np.minimum((np.log(inflation) / 2 + math.log(bar)) * 2 / n, LARGEST))
    enough = ratio < inflation
    x = (ratio - 1) / np.where(enough, 1 - ratio / inflation, 1)
    return np.where(enough, np.sqrt((n - 1) * x), np.inf)


def evidence(
    differences: ArrayLike, total: int, alpha: float = 0.05, g: float = 1.0, *, bounded: bool = True
) -> Evidence:
    """The e-value after each seed, in the order in which seeds arrived, and its confidence sequence.

    The sequence covers the true difference after *all* seeds at once with probability ≥ 1 − α: at every n it
    holds the values that the e-value does not refute (Wang & Ramdas, arXiv:2310.03722, on this and others).

    Args:
        differences: signed integers [S], one a seed: correct answers of the loss − those of its baseline.
        total: test images that each count is out of.
        bounded: whether the numbers are counts out of ``total``; else any whole numbers, in units of 1/total.

    Raises:
        ValueError: as for :func:`bench.statistics.paired.paired_t` and :func:`threshold`; no seed.
    """
    if paired_t(differences, total, bounded=bounded).n == 0:
        raise ValueError("evidence needs one seed at least, found none")
    bar = threshold(alpha)
    counts = [int(d) for d in np.asarray(differences)]
    n = np.arange(1, len(counts) + 1)
    # In Python integers, exactly: equal differences are then seen to be equal.
    sums = list(accumulate(counts))
    squares = accumulate(d * d for d in counts)
    spreads = [k * square - s * s for k, s, square in zip(n.tolist(), sums, squares, strict=True)]
    spread, summed = np.array(spreads, dtype=np.float64), np.array(sums, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(np.where(spread > 0, spread, np.nan) / (n - 1))
        t = summed / root  # (Σ/n) / (√(spread/(n(n−1)))/√n): the n cancel
    several = np.maximum(n, 2)
    log_e = np.where(n == 1, 0.0, log_e_value(t, several, g))
    reach = critical_t(several, bar, g) * root / (n * total)
    reach[0] = np.inf
    estimate = summed / (n * total)
    e = np.exp(np.minimum(log_e, LARGEST))
    p = np.exp(-np.maximum.accumulate(np.where(np.isnan(log_e), 0.0, np.maximum(log_e, 0.0))))
    p = np.maximum(p, math.ulp(0.0))
    return Evidence(n, estimate, t, e, p, estimate - reach, estimate + reach)


def _inputs(
    t: ArrayLike, n: ArrayLike, g: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """t and n as floats, and 1 + ng: how much more the t of an effect varies than that of none."""
    seeds = np.asarray(n, dtype=np.float64)
    if np.any(seeds < 2):
        raise ValueError(f"a t needs two seeds at least, found {seeds.min():g}")
    if not 0 < g < math.inf:
        raise ValueError(f"g, the variance of the effect, must be above 0, found {g}")
    return np.asarray(t, dtype=np.float64), seeds, 1 + seeds * g
