"""Many comparisons on the same seeds, adjusted together: what one loss's luck says about another's is used.

Losses that share a baseline and seeds are strongly correlated. Holm must allow for the worst; here the
correlation is what the data say, and the adjusted p are smaller for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

TIED = 1e-13
"""Statistics nearer than this are tied: float noise must not decide which flips count. Whole numbers have
exact sums below 2⁵³, where the noise is that of the norms, about 1e-15; beyond, it is not much more."""

SMALL = 1000
"""Entries of a table up to which so few flips are multiplied at once that BLAS takes no threads for it: on a
machine with other work, they wait for each other far longer than they compute."""


@dataclass(frozen=True)
class MaxT:
    """Step-down maxT over K comparisons."""

    p_adjusted: NDArray[np.float64]  # [K], two-sided; NaN where a comparison has no seeds
    p_error: NDArray[np.float64]  # [K], standard error of each; 0 where exact
    statistic: NDArray[np.float64]  # [K]: z = Σd/√Σd², signed
    flips: int  # ways to sign the seeds that were tried
    exact: bool


def westfall_young(
    differences: ArrayLike, resamples: int = 20_000, seed: int = 0, enumerate_up_to: int = 2**14
) -> MaxT:
    """Adjusted p by step-down maxT (Westfall & Young, Resampling-Based Multiple Testing, 1993, alg. 4.1).

    The sign of a *whole seed* is flipped at once in all comparisons that have it, which keeps whatever
    dependence there is between them. The statistic is Σd/√Σd²: for equal numbers of seeds the same order
    as |t| (t² = (n − 1)z²/(n − z²)), and with unequal ones it still has variance 1 under the flips and no
    infinities, so that a comparison with two seeds does not drown those with twenty.

    Args:
        differences: [S seeds, K comparisons], whole numbers, each column in a unit of its own; NaN where a
            comparison lacks that seed. The same seed of another model or data set is the same row only if
            they share their randomness.
        resamples: flips that are drawn when there are too many: then p = (1 + hits)/(1 + resamples).
        seed: of the random generator, used only then.
        enumerate_up_to: 2^(S − 1) flips are enumerated up to this number. (−1)·flips give the same |z|.

    Raises:
        ValueError: another shape, fractions or infinities, no resamples.
    """
    table = np.asarray(differences, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"differences must be [seeds, comparisons], found an array of shape {table.shape}")
    if np.any(np.isinf(table)) or np.any(table != np.rint(table), where=~np.isnan(table)):
        raise ValueError("differences must be whole numbers, or NaN where one is missing")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, found {resamples}")
    present = ~np.isnan(table)
    seeds = table[present.any(axis=1)]  # a seed that no comparison has flips nothing
    filled = np.where(np.isnan(seeds), 0.0, seeds)
    norms = np.sqrt(np.sum(filled**2, axis=0))
    norms[norms == 0] = 1.0  # all differences 0: z = 0, which every flip reaches
    observed = filled.sum(axis=0) / norms
    order = np.argsort(-np.abs(observed), kind="stable")
    bar = np.abs(observed)
    bar -= TIED * np.maximum(bar, 1)
    sums, columns = filled.sum(axis=0)[:, None], np.ascontiguousarray(filled.T)
    at_once = 256 if columns.size <= SMALL else 4096
    exact = len(seeds) <= enumerate_up_to.bit_length()
    flips = 2 ** max(len(seeds) - 1, 0) if exact else resamples
    draw = np.random.default_rng(seed)
    hits = np.zeros(table.shape[1], dtype=np.int64)
    for start in range(0, flips, 4096):
        size = min(4096, flips - start)
        if exact:
            bits = np.arange(start, start + size)[:, None] >> np.arange(len(seeds)) & 1
        else:
            bits = draw.integers(0, 2, size=(size, len(seeds)), dtype=np.int8)
        changed, flipped = bits.astype(np.float64), np.empty((len(columns), size))
        for at in range(0, size, at_once):
            np.matmul(columns, changed[at : at + at_once].T, out=flipped[:, at : at + at_once])
        flipped *= -2
        flipped += sums
        np.abs(flipped, out=flipped)
        flipped /= norms[:, None]
        largest = np.zeros(size)  # among this comparison and all that did worse than it
        for comparison in order[::-1]:
            np.maximum(largest, flipped[comparison], out=largest)
            hits[comparison] += np.count_nonzero(largest >= bar[comparison])
    raw = hits / flips if exact else (1 + hits) / (1 + flips)
    adjusted = np.empty(table.shape[1])
    adjusted[order] = np.maximum.accumulate(raw[order])
    adjusted[~present.any(axis=0)] = np.nan
    error = np.zeros_like(adjusted) if exact else np.sqrt(adjusted * (1 - adjusted) / (1 + flips))
    return MaxT(adjusted, error, observed, flips, exact)
