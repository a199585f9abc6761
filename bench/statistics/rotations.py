"""Many comparisons at once: one level for all their intervals, so that interval and verdict cannot disagree.

Losses that share a baseline and seeds are strongly correlated. Bonferroni must allow for the worst; here the
correlation is what the data say. The residuals of all comparisons are rotated together (Langsrud, Stat.
Comput. 15, 2005; Solari, Finos & Goeman, Biometrics 70, 2014): a random direction u among the seeds
gives each comparison a p that is uniform where nothing differs, and leaves the dependence between them as it
is. The α-quantile α* of the smallest of these p is the level at which each comparison is tested:

* its interval is Student's t at level 1 − α*, and all of them together hold with probability 1 − α;
* its adjusted p is the chance that the smallest of all is no larger than its own, which is below α exactly
  where that interval excludes 0.

One comparison is Student's t itself. Unlike sign flips, this decides from three seeds on, and holds α from
five (``benchmarks/decisions.py``). Normal differences of any covariance make it exact but for that
covariance, which is estimated; skewed and tied ones are in that benchmark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

DRAWS = 100_000
MOST_NUMBERS = 4_000_000
"""Draws × seeds, or × comparisons of a block (16 MB): with more than 40 there are fewer draws."""
FEWEST_DRAWS = 2_000
"""With so many seeds that not even these have room, Bonferroni: that takes thousands of seeds."""
AT_ONCE = 4_000_000
"""Numbers of one product."""


@dataclass(frozen=True)
class Rotated:
    """The most extreme comparison of each rotation of a block.

    In place of p stands w = 1 − z², of which p = I_w(n/2 − 1, ½) for z = u·e, a coordinate of a random unit
    vector in n − 1 dimensions: to turn one p into w is a thousand times cheaper than all w into p.
    """

    seeds: int
    rest: NDArray[np.float32]
    """[draws]: w, rising."""

    def share(self, rest: float) -> float:
        """Of rotations with a w so small; 1/(draws + 1) at least, as the data are one of them."""
        same = np.float32(rest)  # or else all of the others would be made doubles first
        return (1 + int(np.searchsorted(self.rest, same, side="right"))) / (1 + len(self.rest))


@dataclass(frozen=True)
class Smallest:
    """How small the smallest p of a family comes out where nothing differs.

    The family is made of blocks that have no seeds in common, and so are independent of each other.
    """

    sizes: tuple[int, ...]
    """Comparisons of each block."""
    families: tuple[Rotated | None, ...]
    """None: Bonferroni's bound stands in for them, or none are needed."""

    @property
    def draws(self) -> int:
        """Rotations; 0 where none were needed."""
        return max((len(family.rest) for family in self.families if family is not None), default=0)

    @property
    def bounded(self) -> bool:
        """Whether Bonferroni's bound stands in for rotations anywhere."""
        return any(
            family is None and size > 1 for family, size in zip(self.families, self.sizes, strict=True)
        )

    def chance(self, p: float) -> float:
        """P(the smallest ≤ p): the adjusted p. Never more than Bonferroni's, nor less than p."""
        none = 0.0  # log of the chance that no block has one so small
        rests = {
            n: float(special.betaincinv(n / 2 - 1, 0.5, p))
            for n in {family.seeds for family in self.families if family}
        }
        for size, family in zip(self.sizes, self.families, strict=True):
            within = size * p
            if family is not None:
                within = min(within, max(family.share(rests[family.seeds]), p))
            if within >= 1 or len(self.sizes) == 1:
                return min(within, 1.0)
            none += math.log1p(-within)
        return max(-math.expm1(none), p)

    def level(self, alpha: float) -> float:
        """α*: an adjusted p is below α exactly where the p itself is below this.

        Raises:
            ValueError: an α outside (0, 1).
        """
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1, found {alpha}")
        below, above = 0.0, 1.0
        while (middle := (below + above) / 2) not in (below, above):
            if self.chance(middle) < alpha:
                below = middle
            else:
                above = middle
        return above


def rotate(blocks: Sequence[ArrayLike], draws: int = DRAWS) -> Smallest:
    """Rotate the residuals of each block.

    Args:
        blocks: [S seeds, K comparisons] differences of each, in any unit a column; NaN where a comparison
            lacks that seed. Its directions are then those of its own seeds. Comparisons whose seeds have
            something in common belong in one block.
        draws: directions, the same for all blocks, and always the same numbers.

    Raises:
        ValueError: another shape, infinities, a column with fewer than three seeds or without any variance.
    """
    tables = [_checked(block) for block in blocks]
    longest = max((len(table) for table in tables if table.shape[1] > 1), default=1)
    widest = max((table.shape[1] for table in tables), default=1)
    draws = min(draws, MOST_NUMBERS // max(longest, widest))
    families = [
        _rotated(table, draws, longest) if table.shape[1] > 1 and draws >= FEWEST_DRAWS else None
        for table in tables
    ]
    return Smallest(tuple(table.shape[1] for table in tables), tuple(families))


def _rotated(table: NDArray[np.float64], draws: int, longest: int) -> Rotated:
    """Comparisons that lack the same seeds are rotated together; others meet them as p."""
    patterns, members = np.unique(~np.isnan(table), axis=1, return_inverse=True)
    seeds, smallest = 0, np.ones(draws, dtype=np.float32)
    for number, rows in enumerate(patterns.T):
        columns = table[np.ix_(rows, members.ravel() == number)]
        units = _units(draws, longest, len(rows)) if rows.all() else _unit(_normals(draws, longest), rows)
        rest = _rest(columns, units)
        if seeds and len(columns) != seeds:
            p = special.betainc(len(columns) / 2 - 1, 0.5, rest)
            rest = special.betaincinv(seeds / 2 - 1, 0.5, p).astype(np.float32)
        seeds = seeds or len(columns)
        np.minimum(smallest, rest, out=smallest)
    return Rotated(seeds, np.sort(smallest))


def _rest(columns: NDArray[np.float64], units: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 − the largest z² of each direction."""
    residuals = columns - columns.mean(axis=0)
    residuals = (residuals / np.sqrt(np.sum(residuals**2, axis=0))).astype(np.float32)
    rest = np.empty(len(units), dtype=np.float32)
    at_once = max(1, AT_ONCE // columns.shape[1])
    for start in range(0, len(units), at_once):
        z = (
            residuals.T @ units[start : start + at_once].T
        )  # the largest of a column is found fifty times faster
        rest[start : start + at_once] = 1 - np.max(np.abs(z, out=z), axis=0) ** 2
    return np.clip(rest, 0, 1, out=rest)


@lru_cache(maxsize=2)
def _normals(draws: int, seeds: int) -> NDArray[np.float32]:
    """Always the same. Of single precision: 1e-7 of a coordinate is nothing beside the error of so many."""
    return np.random.default_rng(0).standard_normal((draws, seeds), dtype=np.float32)


@lru_cache(maxsize=2)
def _units(draws: int, longest: int, seeds: int) -> NDArray[np.float32]:
    """Directions for tables that lack nothing: most of them, and the metrics of a report have the same."""
    return _unit(_normals(draws, longest), np.arange(longest) < seeds)


def _unit(normals: NDArray[np.float32], rows: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Orthogonal to the constant, of length 1."""
    u = normals[:, np.flatnonzero(rows)]
    u -= u.mean(axis=1, keepdims=True)
    u /= np.sqrt(np.einsum("ij,ij->i", u, u))[:, None]
    return u


def _checked(block: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(block, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"a block must be [seeds, comparisons], found an array of shape {table.shape}")
    if np.any(np.isinf(table)):
        raise ValueError("differences must be finite, or NaN where one is missing")
    present = ~np.isnan(table)
    low = np.min(table, axis=0, initial=np.inf, where=present)
    high = np.max(table, axis=0, initial=-np.inf, where=present)
    if np.any(present.sum(axis=0) < 3) or not np.all(high > low):
        raise ValueError("every comparison needs three seeds, and differences that are not all equal")
    return table
