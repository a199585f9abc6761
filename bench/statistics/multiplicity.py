"""Many comparisons, one error rate: the chance of even one false alarm among them stays below α."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def holm(p_values: Sequence[float | None]) -> NDArray[np.float64]:
    """Adjusted p-values by Holm's step-down (Scand. J. Statist. 6, 1979), valid under any dependence.

    The i-th smallest of m is multiplied by m − i + 1, may not fall below the one before it, and stops at 1.

    A comparison without a p (None or NaN) keeps NaN, and still counts in m. It was asked, and once its
    missing runs arrive it will have a p: counting it now means that no other verdict can be lost by that.

    Raises:
        ValueError: a p outside [0, 1].
    """
    raw = _checked(p_values)
    order = np.argsort(raw)  # NaN comes last
    factors = np.arange(len(raw), 0, -1)
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * raw[order]), 1)
    return adjusted


def _checked(p_values: Sequence[float | None]) -> NDArray[np.float64]:
    raw = np.array([np.nan if p is None else p for p in p_values], dtype=np.float64)
    if np.any((raw < 0) | (raw > 1)):
        raise ValueError(f"p-values must lie between 0 and 1, found {raw[(raw < 0) | (raw > 1)][0]}")
    return raw
