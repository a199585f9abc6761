"""Several data sets: do the methods rank differently on them, and which ones? (Demšar, JMLR 7, 2006.)

The data sets are the sample here, and each has one vote per pair of methods. One data set with several models
is not that setting. Everything starts from counts of correct answers [data sets, methods]: two methods tie on
a data set when their counts are equal, and rounding can neither make nor break a tie.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from bench.statistics.multiplicity import holm
from bench.statistics.paired import positive

ENOUGH = 10
"""Data sets below which χ², F and z are poor descriptions of ranks (Demšar 2006, section 3.2.2)."""


@dataclass(frozen=True)
class Friedman:
    """Are the average ranks further apart than chance puts them? None where that cannot be asked."""

    datasets: int
    methods: int
    average_ranks: tuple[float, ...]  # one a method, 1 is best
    statistic: float | None = None  # Friedman's χ²
    df: int | None = None
    p: float | None = None
    f: float | None = None  # Iman and Davenport's F; None where every data set ranks alike (F is infinite)
    f_df: tuple[int, int] | None = None
    f_p: float | None = None
    note: str | None = None


@dataclass(frozen=True)
class ControlTests:
    """Every method against one control: arrays [methods], NaN for the control itself."""

    control: int
    z: NDArray[np.float64]  # above 0: ranked better than the control
    p: NDArray[np.float64]  # two-sided
    p_adjusted: NDArray[np.float64]  # Holm
    note: str | None = None


@dataclass(frozen=True)
class CriticalDifferenceDiagram:
    """What such a diagram draws. Methods are named by their column."""

    average_ranks: tuple[float, ...]
    order: tuple[int, ...]  # best first
    critical_difference: float
    cliques: tuple[tuple[int, ...], ...]  # bars: methods, best first, no two of which differ
    note: str | None = None


def friedman(counts: ArrayLike, correct_ties: bool = True) -> Friedman:
    """Friedman's χ² (JASA 32, 1937) and the less conservative F of Iman & Davenport (Comm. Stat. A9, 1980).

    Where all data sets rank the methods alike, F is infinite and p is the chance of that: one over the number
    of possible rankings, for every data set but the first (Conover, Practical Nonparametric Statistics).

    Args:
        counts: integers [data sets, methods].
        correct_ties: divide by the variance that ranks with these ties have (Conover; scipy). Without it,
            the formula of Friedman and of Demšar, conservative when there are ties.

    Raises:
        ValueError: as for :func:`ranks`.
    """
    doubled = _doubled_ranks(counts)
    n, k = doubled.shape
    average = tuple((doubled.sum(axis=0) / (2 * n)).tolist())
    note = _note(n)
    between, within = _spreads(doubled)
    if not correct_ties:
        within = n * k * (k * k - 1) // 3
    if n < 2 or within == 0:
        return Friedman(n, k, average, note=note)
    statistic = (k - 1) * between / within
    p = positive(float(stats.chi2.sf(statistic, k - 1)))
    f_df = (k - 1, (k - 1) * (n - 1))
    if between == n * within:
        sizes = np.unique(doubled[0], return_counts=True)[1]
        rankings = math.factorial(k) // math.prod(math.factorial(int(size)) for size in sizes)
        f, f_p = None, positive(math.exp(-(n - 1) * math.log(rankings)))
    else:
        f = (n - 1) * between / (n * within - between)
        f_p = positive(float(stats.f.sf(f, *f_df)))
    return Friedman(n, k, average, statistic, k - 1, p, f, f_df, f_p, note)


def control_tests(counts: ArrayLike, control: int) -> ControlTests:
    """z of average ranks against one control, with Holm's adjustment (Demšar 2006, section 3.2.2).

    Args:
        counts: integers [data sets, methods].
        control: column of the control, the baseline.

    Raises:
        ValueError: as for :func:`ranks`; a control that is no column.
    """
    doubled = _doubled_ranks(counts)
    n, k = doubled.shape
    if not 0 <= control < k:
        raise ValueError(f"control must be a column from 0 to {k - 1}, found {control}")
    sums = doubled.sum(axis=0)
    z = (sums[control] - sums) / (2 * n) / _standard_error(k, n)
    p = np.maximum(2 * stats.norm.sf(np.abs(z)), math.ulp(0.0))
    rivals = np.arange(k) != control
    adjusted = np.full(k, np.nan)
    adjusted[rivals] = holm(p[rivals].tolist())
    z[control] = p[control] = np.nan
    return ControlTests(control, z, p, adjusted, _note(n))


def critical_difference(methods: int, datasets: int, alpha: float = 0.05) -> float:
    """Average ranks at least this far apart differ (Nemenyi 1963), whichever pair of methods they belong to.

    The studentized range has infinite degrees of freedom: the variance of ranks is known.

    Raises:
        ValueError: fewer than two methods, no data set, an alpha outside (0, 1).
    """
    if methods < 2 or datasets < 1 or not 0 < alpha < 1:
        raise ValueError(
            "at least two methods, one data set and 0 < alpha < 1 are needed, "
            f"found {methods}, {datasets} and {alpha}"
        )
    q = float(stats.studentized_range.isf(alpha, methods, np.inf)) / math.sqrt(2)
    return q * _standard_error(methods, datasets)


def critical_difference_diagram(counts: ArrayLike, alpha: float = 0.05) -> CriticalDifferenceDiagram:
    """Average ranks, Nemenyi's critical difference, and the bars between methods that do not differ.

    Raises:
        ValueError: as for :func:`ranks` and :func:`critical_difference`.
    """
    doubled = _doubled_ranks(counts)
    n, k = doubled.shape
    average = doubled.sum(axis=0) / (2 * n)
    difference = critical_difference(k, n, alpha)
    order = tuple(np.argsort(average, kind="stable").tolist())
    return CriticalDifferenceDiagram(
        tuple(average.tolist()), order, difference, cliques(average, difference), _note(n)
    )


def cliques(average_ranks: ArrayLike, difference: float) -> tuple[tuple[int, ...], ...]:
    """The maximal sets of two or more methods whose average ranks all lie less than ``difference`` apart.

    Each is a stretch of the ranking. A set that skips a method in between would say that two methods are
    alike while one ranked between them differs from both.
    """
    values = np.asarray(average_ranks, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    ends = np.searchsorted(values[order] - difference, values[order], side="left").tolist()
    before = [0, *ends]
    return tuple(
        tuple(order[start:end].tolist())
        for start, (reached, end) in enumerate(pairwise(before))
        if end > reached and end - start > 1
    )


def _doubled_ranks(counts: ArrayLike) -> NDArray[np.int64]:
    """Twice the ranks: whole numbers, ties or not."""
    array = np.asarray(counts)
    if array.ndim != 2 or array.shape[0] < 1 or array.shape[1] < 2:
        raise ValueError(
            f"counts must be [data sets, methods] with at least two methods, found shape {array.shape}"
        )
    if array.dtype.kind not in "iu":
        raise ValueError(f"counts must be integers, so that ties are ties; found {array.dtype}")
    ascending = np.rint(2 * stats.rankdata(array, axis=1)).astype(np.int64)
    return np.asarray(2 * (array.shape[1] + 1) - ascending, dtype=np.int64)


def _spreads(doubled: NDArray[np.int64]) -> tuple[int, int]:
    """Of doubled ranks, exactly: Σ(rank sum − its mean)² over methods, and Σ(rank − its mean)² over all."""
    n, k = doubled.shape
    between = sum((int(total) - n * (k + 1)) ** 2 for total in doubled.sum(axis=0))
    return between, int(((doubled - (k + 1)) ** 2).sum())


def _standard_error(methods: int, datasets: int) -> float:
    """Of the difference between two average ranks, when all rankings are equally likely."""
    return math.sqrt(methods * (methods + 1) / (6 * datasets))


def _note(datasets: int) -> str | None:
    if datasets >= ENOUGH:
        return None
    return f"{datasets} data sets are few: from about {ENOUGH} on, p-values of average ranks can be trusted"
