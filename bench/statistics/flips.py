"""Planned looks at a family of comparisons: group-sequential max-|t| with boundaries from sign flips.

By look j, at the fraction f of the largest number of seeds, the chance of any false alarm in the family may
be α·f² (a spending function of Lan & DeMets, Biometrika 70, 1983; of Kim & DeMets, Biometrika 74, 1987, with
power 2). The boundary of a look is taken from the data themselves: flip the signs of whole seeds, the same in
all comparisons and at all looks, follow each of these paths through the looks, and let just as many cross
as may. That keeps whatever dependence there is among comparisons and looks, without a normal distribution
and without Bonferroni. Conditional on the sizes of the differences, and on which comparisons are still open,
it is a permutation test of their symmetry.

Equivalence spends an α of its own on either side, in the same way: there it is the centred differences whose
signs are flipped, and two are equivalent where the interval Δ ± c·se lies within the margin.

With one look it is single-step maxT (Westfall & Young, Resampling-Based Multiple Testing, 1993, § 2.6), at a
fixed number of seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

PATHS = 20_000
FEWEST_PATHS = 2_000
MOST_NUMBERS = 4_000_000
"""Paths × comparisons: beyond, there are fewer paths."""
TIED = 1e-12
"""Statistics nearer than this are tied: float noise must not decide which flips count."""


@dataclass(frozen=True)
class Boundary:
    """The critical value of a look, and the p of a statistic there."""

    critical: float
    """|z|, for z = Σd/√Σd², above which a comparison crosses; infinite where none can."""
    largest: NDArray[np.float64]
    """Largest |z| of each path that has not crossed before, rising."""
    gone: int
    """Paths that have."""
    spent: float
    """α that may be spent by now."""
    usual: float
    """|z| that a share α of all paths exceeds here: about what the last look will ask for."""

    def p(self, z: float) -> float:
        """Share of the paths that have crossed before, or are as far now.

        It is less than what may be spent exactly where ``z`` is above the critical one.
        """
        further = len(self.largest) - int(np.searchsorted(self.largest, abs(z) - TIED, side="left"))
        share = (1 + self.gone + further) / (1 + self.gone + len(self.largest))
        return share if math.isfinite(self.critical) else max(share, self.spent)


class Paths:
    """Statistics where nothing differs, simulated or by flipped signs, followed look by look."""

    def __init__(self, count: int, alpha: float) -> None:
        """So many paths, of which a share α may cross by the last look."""
        self.alpha = alpha
        self.gone = np.zeros(count, dtype=np.bool_)
        """Paths that have crossed already."""

    def look(self, largest: NDArray[np.float64], fraction: float) -> Boundary:
        """Spend what may be spent by now.

        Args:
            largest: |z| of the comparison that is furthest, of each path.
            fraction: of the largest number of seeds; 1 at the last look.
        """
        left = np.sort(largest[~self.gone])
        gone = len(largest) - len(left)
        # The data are a path too. Just α would not be below α, and 1e-9 is for the noise of the product.
        spent = self.alpha * fraction**2
        allowed = math.ceil(spent * (len(largest) + 1) - 1e-9) - 2 - gone
        critical = math.inf
        if len(left) > allowed >= 0 and (not allowed or left[-1] > left[-1 - allowed] + TIED):
            critical = float(left[-1 - allowed]) + TIED  # so many are above it, or fewer where some tie
        usual = float(np.quantile(largest, 1 - self.alpha))
        self.gone |= largest > critical
        return Boundary(critical, left, gone, spent, usual)


@dataclass(frozen=True)
class LookResult:
    """The result of a look at one comparison, in Student's t."""

    n: int
    """Pairs."""
    mean: float
    se: float
    critical: float
    """|t| above which it is a difference."""
    p: float
    """Of no difference: what has been spent, where it is one."""
    critical_equivalence: float
    """Standard errors within which the margin must leave room for it, to be equivalent."""
    p_equivalence: float | None
    usual: float
    """|t| that about the last look will ask for, and for equivalence."""
    usual_equivalence: float

    @property
    def different(self) -> bool:
        """Whether it has crossed; so, whether Δ ± c·se excludes 0."""
        return abs(self.mean) > self.critical * self.se

    def equivalent(self, margin: float) -> bool:
        """Whether Δ ± c·se lies within the margin."""
        return margin > 0 and abs(self.mean) + self.critical_equivalence * self.se <= margin


class Family:
    """Comparisons that are judged together, look by look."""

    def __init__(self, seeds: int, alpha: float, comparisons: int, paths: int = PATHS) -> None:
        """Draw the signs of at most so many seeds, always the same: [paths, seeds]."""
        paths = max(min(paths, MOST_NUMBERS // max(comparisons, seeds, 1)), min(FEWEST_PATHS, paths))
        draw = np.random.default_rng(0)
        self.signs = (2 * draw.integers(0, 2, size=(paths, seeds), dtype=np.int8) - 1).astype(np.float64)
        self.differences, self.equivalence = Paths(paths, alpha), Paths(paths, 2 * alpha)

    def look(
        self,
        table: NDArray[np.float64],
        margins: Sequence[float],
        fewest: int,
        fraction: float = 1.0,
        different: Sequence[bool] | None = None,
        equivalent: Sequence[bool] | None = None,
    ) -> list[LookResult | None]:
        """The result for each comparison; None with fewer than ``fewest`` pairs, or no variance.

        A comparison that was closed without crossing stays among those whose largest is taken: it was closed
        because it is small, so that without it the rest would be judged as if nobody had chosen them.

        Args:
            table: differences [S seeds, K], any unit a column, NaN where a pair is missing.
            margins: of each column, in its unit; 0: none.
            fraction: of the largest number of seeds.
            different, equivalent: [K]: which have crossed at an earlier look, and so have left; None: none.
        """
        pairs = np.sum(~np.isnan(table), axis=0)
        mean, spread = np.zeros(len(pairs)), np.zeros(len(pairs))
        some = pairs >= max(fewest, 2)
        some[some] = np.nanmax(table[:, some], axis=0) > np.nanmin(table[:, some], axis=0)
        mean[some] = np.nanmean(table[:, some], axis=0)
        spread[some] = np.nanstd(table[:, some], axis=0, ddof=1)
        rivals, alike = (
            some if gone is None else some & ~np.asarray(gone, dtype=np.bool_)
            for gone in (different, equivalent)
        )
        difference = self.differences.look(self._largest(table[:, rivals]), fraction)
        equivalence = self.equivalence.look(self._largest(table[:, alike] - mean[alike]), fraction)
        largest = self.signs.shape[1]
        results: list[LookResult | None] = []
        for n, middle, sd, margin in zip(
            pairs.tolist(), mean.tolist(), spread.tolist(), margins, strict=True
        ):
            if not sd:
                results.append(None)
                continue
            se = sd / math.sqrt(n)
            room = (margin - abs(middle)) / se
            beyond = equivalence.p(float(z_of_t(room, n))) / 2
            results.append(
                LookResult(
                    n,
                    middle,
                    se,
                    critical_t(difference.critical, n),
                    difference.p(float(z_of_t(middle / se, n))),
                    critical_t(equivalence.critical, n),
                    (beyond if room > 0 else 1 - beyond) if margin else None,
                    critical_t(difference.usual, largest),
                    critical_t(equivalence.usual, largest),
                )
            )
        return results

    def _largest(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """|Σd/√Σd²| of the comparison that is furthest, of each path."""
        filled = np.where(np.isnan(table), 0.0, table)
        if not filled.size:
            return np.zeros(len(self.signs))
        unit = filled / np.sqrt(np.sum(filled**2, axis=0))
        return np.asarray(np.max(np.abs(self.signs[:, : len(unit)] @ unit), axis=1))


def critical_t(z: float, seeds: int) -> float:
    """|t| of the paired test over so many seeds where |Σd|/√Σd² is ``z``: t² = (n − 1)z²/(n − z²)."""
    if seeds < 2 or z**2 >= seeds:
        return math.inf
    return z * math.sqrt((seeds - 1) / (seeds - z**2))


def z_of_t(t: ArrayLike, seeds: ArrayLike) -> NDArray[np.float64]:
    """The inverse of :func:`critical_t`."""
    t, n = np.asarray(t, dtype=np.float64), np.asarray(seeds, dtype=np.float64)
    return np.asarray(t * np.sqrt(n / (n - 1 + t**2)))
