"""Two losses on the same seeds: Student's t on their paired differences.

This is the first of the two questions of a comparison: what is the difference *on this test set*, when
training is random? It says nothing about new test images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


@dataclass(frozen=True)
class PairedT:
    """A mean difference over seeds and what is known about it. Fields that cannot be computed are None.

    With no seed there is no estimate, with one no spread; and where all seeds differ by the same count, the
    spread is 0 and t, p and interval do not exist.
    """

    n: int  # paired seeds
    estimate: float | None = None  # mean difference in accuracy, as a fraction
    sd: float | None = None  # of the differences, n − 1 in the denominator
    se: float | None = None  # of the estimate, sd/√n
    df: int | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None  # two-sided, for the hypothesis of no difference
    t: float | None = None


def paired_t(differences: ArrayLike, total: int, confidence: float = 0.95) -> PairedT:
    """The paired t-test (Student, "The probable error of a mean", Biometrika 6, 1908).

    Args:
        differences: signed integers [S], one a seed: correct answers of the loss − those of its baseline.
        total: test images that each count is out of.
        confidence: coverage of the interval from ``low`` to ``high``.

    Raises:
        ValueError: differences that are no signed integers or exceed ``total``; no images; a confidence
            outside (0, 1).
    """
    counts = _checked(differences, total)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, found {confidence}")
    n, summed = len(counts), sum(counts)
    if n == 0:
        return PairedT(n)
    estimate = summed / (n * total)
    if n == 1:
        return PairedT(n, estimate)
    # n(n − 1) times the variance, in whole numbers: no rounding, so equal differences are seen to be equal
    # and neither the order of the seeds nor the sign of the comparison can move a digit.
    spread = n * sum(d * d for d in counts) - summed * summed
    df = n - 1
    sd = math.sqrt(spread / (n * df)) / total
    se = sd / math.sqrt(n)
    if spread == 0:
        return PairedT(n, estimate, sd, se, df)
    t = estimate / se
    reach = float(stats.t.isf((1 - confidence) / 2, df)) * se
    p = positive(2 * float(stats.t.sf(abs(t), df)))
    return PairedT(n, estimate, sd, se, df, estimate - reach, estimate + reach, p, t)


def positive(p: float) -> float:
    """A p-value that underflowed, as the smallest positive float: a p of 0 would claim to be certain."""
    return max(p, math.ulp(0.0))


def _checked(differences: ArrayLike, total: int) -> list[int]:
    """The differences as Python integers, which do not overflow."""
    array = np.asarray(differences)
    if array.ndim != 1:
        raise ValueError(f"differences must be one number a seed, found an array of shape {array.shape}")
    # Unsigned integers are refused too: 3 − 5 of them is a huge positive number.
    if array.size and array.dtype.kind != "i":
        raise ValueError(f"differences must be signed integers (counts of images), found {array.dtype}")
    if total < 1:
        raise ValueError(f"total must be at least one image, found {total}")
    counts = [int(d) for d in array]
    if any(abs(d) > total for d in counts):
        raise ValueError(f"a difference of {max(counts, key=abs)} images out of {total} cannot be")
    return counts
