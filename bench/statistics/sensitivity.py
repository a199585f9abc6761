"""How much does a loss care for each of its hyperparameters? Shares of the variance over its trials."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

FEWEST_BINS = 3
"""As with two, a peak in the middle would not be seen."""


def sensitivity(settings: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Share of the variance of the scores' ranks that each hyperparameter explains alone: [D], 0 to 1.

    The correlation ratio over bins of equally many trials, about N^⅓ of them, less what bins of pure noise
    would explain: ε² (Kelley, PNAS 21, 1935) of the ranks that the test of Kruskal and Wallis uses. Of ranks,
    as a few trials that diverged would have all of the variance. The shares need not sum to 1: what is left
    is noise and hyperparameters that matter together. With so many trials as one search has, each is only
    good to a tenth or so.

    Args:
        settings: [N, D] numbers, in any unit, as only their order matters; equal values share a bin.
        scores: [N], NaN where a trial diverged: the worst.

    Returns:
        NaN with fewer than six trials, where all scores are equal, and of a hyperparameter of one value.

    Raises:
        ValueError: other shapes, or a setting that is no number.
    """
    table, values = np.asarray(settings, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or values.shape != table.shape[:1]:
        raise ValueError(f"settings [N, D] and scores [N] are needed, found {table.shape} and {values.shape}")
    if np.isnan(table).any():
        raise ValueError("every setting needs a number for each hyperparameter")
    ranks = stats.rankdata(np.where(np.isnan(values), -np.inf, values))
    return np.array([_explained(column, ranks) for column in table.T], dtype=np.float64)


def _explained(column: NDArray[np.float64], ranks: NDArray[np.float64]) -> float:
    n, bins = len(ranks), max(FEWEST_BINS, round(len(ranks) ** (1 / 3)))
    # Ranks of equal values are equal, so they cannot be parted; a few values are a bin each.
    distinct, place = np.unique(column, return_inverse=True)
    if len(distinct) > bins:
        _, place = np.unique(np.ceil(stats.rankdata(column) * bins / n), return_inverse=True)
    counts = np.bincount(place)
    variance = ranks.var()
    if n < 2 * FEWEST_BINS or len(counts) < 2 or not variance or n <= len(counts):
        return np.nan
    between = counts @ (np.bincount(place, ranks) / counts - ranks.mean()) ** 2 / n
    return float(max(1 - (1 - between / variance) * (n - 1) / (n - len(counts)), 0))
