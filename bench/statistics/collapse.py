"""Runs that collapsed: so far worse than the rest of their cell that a mean says more of them than of it.

The rule, stated before any data: a run is flagged where it is worse than the median of its cell by more than
5 points and by more than 6 pooled MADs, the pooled MAD being the median over the cells of one data set ×
model of their median absolute deviations (not scaled). A metric that has no points has 6 pooled MADs alone,
and a pooled MAD of 0 flags nothing then. Of few runs a MAD is often small by chance, so that it counts
n/(n − 2) times in a cell of n: of normal runs none of which has collapsed, fewer than one cell in fifty is
then flagged, whether it has 5 runs or 40 (``tests/statistics/test_collapse.py``). Two runs have no rest to
be far from.

No test holds its error for *the mean over all runs* where one arm collapses rarely: ten runs show nothing of
a collapse in 1 of 20 with probability .6. So two things are named in its place: the difference of runs that
are sound in both arms, and how many collapsed, with an exact interval
(:func:`bench.statistics.proportions.clopper_pearson`).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from statistics import median
from typing import TypeVar

POINTS = 0.05
"""Of a percentage, as a fraction: no drop by less is a collapse."""
MADS = 6
NOISE = 1e-9
"""Of the limit: floating point must not make a drop of exactly 5 points one of more."""

Seed = TypeVar("Seed", bound=Hashable)


def collapsed(
    cells: Sequence[Mapping[Seed, float]], *, points: bool, higher_is_better: bool = True
) -> list[frozenset[Seed]]:
    """The flagged seeds of each cell, which share a data set and a model.

    Args:
        cells: seed → value, in one unit; percentages as fractions.
        points: whether the values are percentages.
    """
    medians = [median(cell.values()) if cell else 0.0 for cell in cells]
    mads = [
        median(abs(value - middle) for value in cell.values())
        for cell, middle in zip(cells, medians, strict=True)
        if cell
    ]
    least = MADS * median(mads) if mads else 0.0
    sign = 1 if higher_is_better else -1
    flags = []
    for cell, middle in zip(cells, medians, strict=True):
        limit = least * len(cell) / (len(cell) - 2) if len(cell) > 2 else math.inf
        limit = max(limit, POINTS) if points else limit or math.inf
        flags.append(
            frozenset(seed for seed, value in cell.items() if sign * (middle - value) > limit * (1 + NOISE))
        )
    return flags
