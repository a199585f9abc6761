"""Many comparisons, one error rate: the chance of even one false alarm among them stays below α."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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


def hochberg(p_values: Sequence[float | None]) -> NDArray[np.float64]:
    """Adjusted p-values by Hochberg's step-up (Biometrika 75, 1988): Holm's factors, read from the largest p.

    Never larger than Holm's, but valid only where the tests are independent or positively dependent, which
    losses that share a baseline are, and two-sided tests need not be. Holm needs no such trust.

    A comparison without a p keeps NaN and counts in m, as in :func:`holm`, as if its p were 1.

    Raises:
        ValueError: a p outside [0, 1].
    """
    return _step_up(p_values, lambda m: np.arange(m, 0, -1, dtype=np.float64))


def benjamini_hochberg(p_values: Sequence[float | None]) -> NDArray[np.float64]:
    """For exploring only: bounds the *share* of false alarms among what is called significant, not the chance
    of one (Benjamini & Hochberg, J. R. Stat. Soc. B 57, 1995). No verdict may rest on it.

    A comparison without a p keeps NaN and counts in m, as if its p were 1.

    Raises:
        ValueError: a p outside [0, 1].
    """
    return _step_up(p_values, lambda m: m / np.arange(1, m + 1))


def hommel(p_values: Sequence[float | None]) -> NDArray[np.float64]:
    """Adjusted p-values by Hommel (Biometrika 75, 1988): the closed test of Simes, at least as powerful as
    Hochberg's and valid under the same assumption.

    A comparison without a p keeps NaN and counts in m, as if its p were 1.

    Raises:
        ValueError: a p outside [0, 1].
    """
    raw = _checked(p_values)
    order = np.argsort(raw)  # NaN comes last
    p = np.where(np.isnan(raw), 1.0, raw)[order]
    m = len(p)
    adjusted = p.copy()
    # Wright, Biometrics 48 (1992), appendix: for every size of an intersection the smallest Simes p of the
    # intersections that hold the i-th hypothesis, and the largest of these over the sizes.
    for size in range(m, 1, -1):
        largest = p[m - size + 1 :]
        simes = float(np.min(size * largest / np.arange(2, size + 1)))
        of_this_size = np.minimum(size * p, simes)
        of_this_size[m - size + 1 :] = simes
        adjusted = np.maximum(adjusted, of_this_size)
    unordered = np.empty_like(adjusted)
    unordered[order] = np.minimum(adjusted, 1)
    return np.where(np.isnan(raw), np.nan, unordered)


def _step_up(
    p_values: Sequence[float | None], factors: Callable[[int], NDArray[np.float64]]
) -> NDArray[np.float64]:
    raw = _checked(p_values)
    order = np.argsort(raw)  # NaN comes last
    scaled = factors(len(raw)) * np.where(np.isnan(raw), 1.0, raw)[order]
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return np.where(np.isnan(raw), np.nan, adjusted)


def _checked(p_values: Sequence[float | None]) -> NDArray[np.float64]:
    raw = np.array([np.nan if p is None else p for p in p_values], dtype=np.float64)
    if np.any((raw < 0) | (raw > 1)):
        raise ValueError(f"p-values must lie between 0 and 1, found {raw[(raw < 0) | (raw > 1)][0]}")
    return raw
