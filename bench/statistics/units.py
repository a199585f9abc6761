"""Values of a metric as whole numbers, which is what statistics count: see :mod:`bench.statistics.counts`."""

from __future__ import annotations

import math
from collections.abc import Iterable

from bench.errors import BenchError

DIGITS = 12
"""Of the largest value of a metric, as many as a mean of floats is good for."""
USUAL_DIGITS, FEWEST_DIGITS, MOST_DIGITS = 8, 4, 18
"""Of the median beside a run that went wrong, and at least; those of a sum that 64 bits hold."""


class TooLarge(BenchError):
    """A value of a metric beside which too little would be left of the others."""

    def __init__(self, largest: float, median: float, limit: float) -> None:
        super().__init__(
            f"{largest:g} is too large a value of a metric beside {median:g}: its logarithm, or a larger "
            "unit, can be compared"
        )
        self.limit = limit
        """Below it, none is."""


def unit_for(values: Iterable[float], digits: int = DIGITS, most: int = 2 * DIGITS) -> int:
    """Parts of 1 in which values of a metric become whole numbers, which is what statistics count.

    With so many ``digits`` of the largest of them, what is equal but for float noise becomes equal. There are
    more where a few are so large that all others would be rounded, and never so many that the sum of all
    would not fit into 64 bits. Of decimals there are ``most``.

    Raises:
        TooLarge: there is such a value.
    """
    import numpy as np

    sizes = np.sort(np.abs(np.fromiter(values, np.float64)))
    sizes = sizes[sizes > 0]
    if not sizes.size:
        return int(10**digits)
    median, largest = float(sizes[(len(sizes) - 1) // 2]), float(sizes[-1])
    usual, before = (math.floor(math.log10(size)) + 1 for size in (median, largest))
    room = MOST_DIGITS - before - len(str(len(sizes)))
    if (lacking := max(FEWEST_DIGITS - usual, 0) - room) > 0:
        raise TooLarge(largest, median, 10.0 ** (before - lacking))
    return int(10 ** min(max(digits - before, min(USUAL_DIGITS - usual, room), 0), room, most))


def in_units(value: float, unit: int) -> int:
    """A value as a whole number of 1/unit."""
    return round(value * unit)
