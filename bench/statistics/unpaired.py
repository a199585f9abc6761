"""Runs whose seeds do not match: only when asked for, and said so. Pairing is what makes few seeds enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.counts import check_confidence, correct_counts
from bench.statistics.paired import p_of_t, t_interval
from bench.statistics.signed_ranks import Superiority


@dataclass(frozen=True)
class Welch:
    """A difference of means and what is known about it. Fields that cannot be computed are None."""

    n_loss: int  # runs
    n_baseline: int
    estimate: float | None = None  # loss − baseline; of accuracies as a fraction
    se: float | None = None
    df: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None  # two-sided
    t: float | None = None

    def interval(self, confidence: float) -> tuple[float, float] | None:
        """The interval at another level; None where there is none at any."""
        return t_interval(self.estimate, self.se, self.df, confidence)


def welch(
    loss: ArrayLike, baseline: ArrayLike, total: int, confidence: float = 0.95, *, bounded: bool = True
) -> Welch:
    """Welch's t-test, Biometrika 34 (1947): means of two independent groups that may spread differently.

    Args:
        loss: correct answers of the loss, one a run; ``baseline``: of its baseline, in any number.
        total: test images that each count is out of.
        confidence: coverage of the interval from ``low`` to ``high``.
        bounded: whether the numbers are counts out of ``total``; else any whole numbers, in units of 1/total.

    Raises:
        ValueError: other types, counts outside 0 to ``total`` though they are bounded, a confidence outside
            (0, 1).
    """
    check_confidence(confidence)
    ours, theirs = (correct_counts(arm, total, bounded=bounded).tolist() for arm in (loss, baseline))
    sizes = (len(ours), len(theirs))
    if min(sizes) == 0:
        return Welch(*sizes)
    estimate = (sum(ours) * sizes[1] - sum(theirs) * sizes[0]) / (sizes[0] * sizes[1] * total)
    if min(sizes) == 1:
        return Welch(*sizes, estimate)
    # From whole numbers, as in paired_t: neither the order of the runs nor what both arms gained moves a
    # digit, and an arm that does not vary is no trouble (scipy's ttest_ind warns there).
    shares = [_variance_of_mean(arm) for arm in (ours, theirs)]
    return _tested(sizes, estimate, [share / total**2 for share in shares], confidence)


def welch_of_summaries(
    loss: tuple[float, float, int], baseline: tuple[float, float, int], confidence: float = 0.95
) -> Welch:
    """The same from what papers print: mean, standard deviation (n − 1 in its denominator), runs of each.

    Raises:
        ValueError: a deviation below 0, fewer than one run, a confidence outside (0, 1).
    """
    check_confidence(confidence)
    (ours, sd, n), (theirs, sd_baseline, m) = loss, baseline
    if min(sd, sd_baseline) < 0 or min(n, m) < 1:
        raise ValueError(f"expected deviations of 0 or more of 1 run or more, got {loss} and {baseline}")
    if min(n, m) == 1:
        return Welch(n, m, ours - theirs)
    return _tested((n, m), ours - theirs, [sd**2 / n, sd_baseline**2 / m], confidence)


def _tested(sizes: tuple[int, int], estimate: float, shares: Sequence[float], confidence: float) -> Welch:
    """The test from the variances of both means."""
    variance = shares[0] + shares[1]
    se = math.sqrt(variance)
    if variance == 0:
        return Welch(*sizes, estimate, se)
    df = variance**2 / (shares[0] ** 2 / (sizes[0] - 1) + shares[1] ** 2 / (sizes[1] - 1))
    low, high = t_interval(estimate, se, df, confidence) or (None, None)
    t = estimate / se
    return Welch(*sizes, estimate, se, df, low, high, p_of_t(t, df), t)


def _variance_of_mean(counts: list[int]) -> float:
    """s²/n of at least two values."""
    n = len(counts)
    return (n * sum(x * x for x in counts) - sum(counts) ** 2) / (n * n * (n - 1))


@dataclass(frozen=True)
class BrunnerMunzel:
    """The test of P(A > B) = ½ and its interval. None where the groups do not overlap or do not vary."""

    superiority: Superiority  # P(A > B) + ½P(A = B), Vargha & Delaney's A
    df: float | None = None
    p: float | None = None  # two-sided


def brunner_munzel(
    loss: ArrayLike, baseline: ArrayLike, total: int, confidence: float = 0.95, *, bounded: bool = True
) -> BrunnerMunzel:
    """Brunner & Munzel, Biom. J. 42 (2000): is a run of the loss more often the better one?

    The Mann–Whitney test without its assumption that both groups spread alike. The interval is the one that
    belongs to the test (t, with Satterthwaite's degrees of freedom), cut at 0 and 1. With complete
    separation the variance is estimated as 0, and there is no test: few runs do that by chance. Under ten
    runs an arm it calls a little too much (``benchmarks/error_rates.py``: .07 for .05 with five).

    Args:
        loss: correct answers of the loss, one a run; ``baseline``: of its baseline, in any number.
        total: test images that each count is out of.
        bounded: as for :func:`welch`.

    Raises:
        ValueError: as :func:`welch`.
    """
    check_confidence(confidence)
    ours, theirs = (np.sort(correct_counts(arm, total, bounded=bounded)) for arm in (loss, baseline))
    n, m = len(ours), len(theirs)
    if min(n, m) == 0:
        return BrunnerMunzel(Superiority(n * m))
    # For each run, twice how many of the other arm it beats: whole numbers, ties one.
    wins = _twice_beaten(ours, theirs)
    estimate = int(wins.sum()) / (2 * n * m)
    if min(n, m) == 1:
        return BrunnerMunzel(Superiority(n * m, estimate))
    shares = [
        _variance_of_mean(wins.tolist()) / (4 * m * m),
        _variance_of_mean(_twice_beaten(theirs, ours).tolist()) / (4 * n * n),
    ]
    variance = sum(shares)
    if variance == 0:
        return BrunnerMunzel(Superiority(n * m, estimate))
    df = variance**2 / (shares[0] ** 2 / (n - 1) + shares[1] ** 2 / (m - 1))
    se = math.sqrt(variance)
    low, high = t_interval(estimate, se, df, confidence) or (0.0, 1.0)
    # scipy's own brunnermunzel gives the same p and no interval; here all come from the same numbers.
    superiority = Superiority(n * m, estimate, max(low, 0.0), min(high, 1.0))
    return BrunnerMunzel(superiority, df, p_of_t((estimate - 0.5) / se, df))


def _twice_beaten(arm: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """2·(values of the sorted other arm below) + (values that tie), for each value of the arm."""
    below, up_to = (np.searchsorted(other, arm, side=side) for side in ("left", "right"))
    return np.asarray(below + up_to, dtype=np.int64)
