"""A few looks that are planned in advance: the alternative to looking after every seed.

The α is spent look by look (Lan & DeMets, Biometrika 70, 1983), so neither the number of looks nor their
times need be equally spaced, and only the function by which α is spent must be stated before. For the same
largest n, this has more power than an e-value, and less freedom: a look that was not planned has no α.

Bounds are for z, a sum with independent normal increments. For a t-test they are turned into the t of the
same tail probability (Pocock, Biometrika 64, 1977), which is not exact over few seeds: with looks at 5, 10,
15 and 20 seeds, false alarms for α = .05 are .052 (O'Brien–Fleming) and .054 (Pocock) by simulation; with
more seeds the excess goes away. ``benchmarks/sequential_rates.py`` prints them.
"""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

ENDLESS = 8.5
"""z beyond which nothing happens: 2·Φ(−8.5) is 2e-17."""


class Spending(StrEnum):
    """How α is spent."""

    OBRIEN_FLEMING = "obrien-fleming"  # hardly any early: the last look is nearly that of a fixed design
    POCOCK = "pocock"  # about evenly: stops earlier when the effect is large, costs more at the end


def spent(fractions: ArrayLike, alpha: float, spending: Spending) -> NDArray[np.float64]:
    """The two-sided α spent by each look, cumulative; half of it for either side (Lan & DeMets 1983).

    O'Brien–Fleming: 2α* = 4 − 4Φ(Φ⁻¹(1−α/4)/√f); Pocock: α·ln(1 + (e−1)f).

    Args:
        fractions: share of the largest n at each look [looks], rising and at most 1.

    Raises:
        ValueError: fractions that do not rise within (0, 1], an alpha outside (0, 1).
    """
    f = _checked(fractions)
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, found {alpha}")
    if Spending(spending) is Spending.POCOCK:
        return np.asarray(alpha * np.log1p((math.e - 1) * f))
    return np.asarray(4 * stats.norm.sf(stats.norm.isf(alpha / 4) / np.sqrt(f)), dtype=np.float64)


def bounds(fractions: ArrayLike, alpha: float, spending: Spending) -> NDArray[np.float64]:
    """|z| from which on to stop at each look [looks], so that just the planned α is spent there.

    Found one after another, by numerical integration over what has not stopped before: the recursion of
    Armitage, McPherson & Rowe (JRSS A 132, 1969), by Gauss–Legendre quadrature.

    Raises:
        ValueError: as for :func:`spent`.
    """
    f = _checked(fractions)
    steps = np.diff(spent(f, alpha, spending), prepend=0.0)
    limits: list[float] = []
    walk = _Walk()
    for fraction, step in zip(f.tolist(), steps.tolist(), strict=True):
        walk.arrive(fraction)
        if walk.crossing(ENDLESS) >= step:
            limits.append(ENDLESS)
        else:
            limits.append(
                float(optimize.brentq(lambda b, s=step, w=walk: w.crossing(b) - s, 0, ENDLESS, xtol=1e-10))
            )
        walk.go_on(limits[-1])
    return np.array(limits)


class _Walk:
    """A sum at fraction f, N(0, f): its density over the places from which it has not yet stopped."""

    def __init__(self) -> None:
        self.places, self.weights = np.zeros(1), np.ones(1)
        self.fraction = self.arrived = 0.0

    def arrive(self, fraction: float) -> None:
        """Take the next step; ``crossing`` and ``go_on`` then speak about this look."""
        self.fraction, self.arrived = self.arrived, fraction
        self.step = math.sqrt(self.arrived - self.fraction)

    def crossing(self, bound: float) -> float:
        """P(not stopped before, and |z| ≥ bound now): twice that of one side, by symmetry."""
        edge = bound * math.sqrt(self.arrived)
        return 2 * float(self.weights @ stats.norm.sf((edge - self.places) / self.step))

    def go_on(self, bound: float) -> None:
        """Keep what lies between the bounds: a density on a grid of four nodes to a standard deviation."""
        edge = bound * math.sqrt(self.arrived)
        nodes, weights = np.polynomial.legendre.leggauss(24 + math.ceil(8 * edge / self.step))
        places = edge * nodes
        kernel = np.exp(-0.5 * ((places[:, None] - self.places) / self.step) ** 2)
        density = kernel @ self.weights / (self.step * math.sqrt(2 * math.pi))
        self.places, self.weights = places, density * weights * edge


def _checked(fractions: ArrayLike) -> NDArray[np.float64]:
    f = np.asarray(fractions, dtype=np.float64)
    if f.ndim != 1 or not f.size or not (np.all(np.diff(f, prepend=0.0) > 0) and f[-1] <= 1):
        raise ValueError(f"fractions must rise, from above 0 to at most 1; found {f}")
    return f
