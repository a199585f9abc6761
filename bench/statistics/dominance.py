"""Almost stochastic order: is one loss better all through its distribution, not only on average?

A dominates B when every quantile of A is at least that of B. The violation ratio says how far that is from
true: the squared distance between the quantile functions where B is above, over the squared distance
everywhere (del Barrio, Cuesta-Albertos & Matrán, arXiv:1705.01788; for models, Dror, Shlomov & Reichart, ACL
2019). 0: A dominates; ½: neither; 1: B dominates.

The quantile functions of two samples are steps, so the integrals are finite sums and are taken exactly here;
the grid of other implementations misses parts of steps. Runs are not paired in this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats


@dataclass(frozen=True)
class AlmostStochasticOrder:
    """How far A is from dominating B. None where all scores are equal: 0/0."""

    n: tuple[int, int]  # runs of A and of B
    ratio: float | None = None  # violation ratio of the samples
    se: float | None = None  # of the ratio, by bootstrap
    eps_min: float | None = None  # upper bound at the (corrected) confidence: A is better if below ½
    low: float | None = None  # two-sided interval of the ratio
    high: float | None = None
    resamples: int = 0


def violation_ratio(a: ArrayLike, b: ArrayLike) -> float | None:
    """The share of the squared distance that speaks against A dominating B; None where there is no distance.

    Args:
        a, b: scores, higher is better, one a run; not necessarily as many of A as of B.

    Raises:
        ValueError: no score, or one that is no finite number.
    """
    first, second = _checked(a, "a"), _checked(b, "b")
    ratio = float(_ratios(np.sort(first)[None], np.sort(second)[None])[0])
    return None if np.isnan(ratio) else ratio


def almost_stochastic_order(
    a: ArrayLike,
    b: ArrayLike,
    confidence: float = 0.95,
    comparisons: int = 1,
    resamples: int = 1000,
    seed: int = 0,
) -> AlmostStochasticOrder:
    """The violation ratio of A against B and, by bootstrap and normal approximation, ε_min above it.

    ε_min = ratio + z·σ̂ with σ̂ the standard deviation of the resampled ratios (del Barrio et al., section 3).
    With a handful of runs this is rough: a resample of equal runs has no spread.

    Args:
        a, b: as for :func:`violation_ratio`.
        comparisons: K of the family; each bound then holds at confidence 1 − (1 − confidence)/K. More
            comparisons make ε_min larger, never smaller.

    Raises:
        ValueError: as for :func:`violation_ratio`; a confidence outside (0, 1); no comparison or resample.
    """
    first, second = np.sort(_checked(a, "a")), np.sort(_checked(b, "b"))
    if not 0 < confidence < 1 or comparisons < 1 or resamples < 1:
        raise ValueError(
            "0 < confidence < 1, one comparison and one resample at least are needed, "
            f"found {confidence}, {comparisons} and {resamples}"
        )
    n = (len(first), len(second))
    # Computed for the arms in an order of their own, and mirrored: swapping them then mirrors every digit.
    swapped = (n[0], first.tolist()) > (n[1], second.tolist())
    if swapped:
        first, second = second, first
    ratio = float(_ratios(first[None], second[None])[0])
    if np.isnan(ratio):
        return AlmostStochasticOrder(n)
    rng = np.random.default_rng(seed)
    drawn = _ratios(_resampled(first, resamples, rng), _resampled(second, resamples, rng))
    se = float(np.std(np.where(np.isnan(drawn), 0.5, drawn)))
    if swapped:
        ratio = 1 - ratio
    tail = (1 - confidence) / comparisons
    above, beside = float(stats.norm.isf(tail)) * se, float(stats.norm.isf(tail / 2)) * se
    eps_min, low, high = np.clip([ratio + above, ratio - beside, ratio + beside], 0, 1).tolist()
    return AlmostStochasticOrder(n, ratio, se, eps_min, low, high, resamples)


def _ratios(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of sorted samples [..., n] and [..., m]: NaN where they are equal.

    Both quantile functions are constant between neighbouring multiples of 1/n and 1/m. In units of 1/(nm)
    those are whole numbers, so each piece has its exact width.
    """
    n, m = a.shape[-1], b.shape[-1]
    edges = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)
    widths = np.diff(edges).astype(np.float64)
    # Scaled, so that squares can neither overflow nor vanish.
    apart = a[..., edges[:-1] // m] - b[..., edges[:-1] // n]
    scale = np.abs(apart).max(axis=-1, keepdims=True)
    apart = np.divide(apart, scale, out=np.full_like(apart, np.nan), where=scale > 0)
    squares = apart * apart
    against = np.where(apart < 0, squares, 0) @ widths
    return np.asarray(against / (squares @ widths), dtype=np.float64)


def _resampled(ordered: NDArray[np.float64], resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Sorted resamples [resamples, n]. Places are sorted instead of scores: small integers sort faster."""
    n = len(ordered)
    places = rng.integers(0, n, size=(resamples, n), dtype=np.uint8 if n <= 2**8 else np.uint32)
    places.sort(axis=-1)
    return np.asarray(ordered[places], dtype=np.float64)


def _checked(scores: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 1 or not array.size or not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite numbers, one a run and one at least; found {array}")
    return array
