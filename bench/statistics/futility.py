"""Is it still worth adding seeds? The chance that a comparison will be decided by the largest n allowed.

Stopping for futility can only lower the rate of false alarms, so it may be decided by looking at the data, as
often as one likes. What it costs is power: differences that would have been found.

All chances are for the *last* look alone, taking the spread of the seeds at hand for the true one. A rule
that looks in between decides a little more often than this says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats


@dataclass(frozen=True)
class Prospects:
    """Chances of being decided at the largest n: arrays of the shape of t, or floats of no dimension."""

    as_observed: NDArray[np.float64]  # if the observed effect is the true one
    predictive: NDArray[np.float64]  # averaged over what the true effect may be, after these seeds
    favourable: NDArray[np.float64]  # if the true effect is the largest that the 95 % interval allows


def conditional_power(
    t: ArrayLike, n: ArrayLike, largest: int, critical: float, effect: ArrayLike
) -> NDArray[np.float64]:
    """P(|t| ≥ critical with ``largest`` seeds | t with n seeds, a true effect): stochastic curtailment.

    Lan, Simon & Halperin, Sequential Analysis 1 (1982), for a mean. The r = N − n seeds to come have mean
    N(δ, 1/r) in units of their spread, so t at the end is N((t√n + rδ)/√N, r/N).

    Args:
        t, n, effect: Student's t, its seeds, and δ = μ/σ; any shapes that broadcast.
        largest: N, more than any n.
        critical: |t| that decides at N, of :func:`bench.statistics.sequential.critical_t` for instance.

    Raises:
        ValueError: fewer than two seeds, or no seed to come.
    """
    t, n, rest = _inputs(t, n, largest)
    centre = (t * np.sqrt(n) + rest * np.asarray(effect, dtype=np.float64)) / np.sqrt(largest)
    spread = np.sqrt(rest / largest)
    upper, lower = stats.norm.sf((critical - centre) / spread), stats.norm.sf((critical + centre) / spread)
    return np.asarray(upper + lower, dtype=np.float64)


def predictive_power(t: ArrayLike, n: ArrayLike, largest: int, critical: float) -> NDArray[np.float64]:
    """The same chance, averaged over the posterior of μ and σ under the flat prior dμ dσ/σ.

    The mean of the seeds to come is then Student's t with n − 1 degrees of freedom around the mean at hand
    (Spiegelhalter, Freedman & Blackburn, Controlled Clinical Trials 7, 1986, who know σ).

    Raises:
        ValueError: as for :func:`conditional_power`.
    """
    t, n, rest = _inputs(t, n, largest)
    centre, spread = t * np.sqrt(largest / n), np.sqrt(rest / n)
    upper = stats.t.sf((critical - centre) / spread, n - 1)
    lower = stats.t.sf((critical + centre) / spread, n - 1)
    return np.asarray(upper + lower, dtype=np.float64)


def prospects(t: ArrayLike, n: ArrayLike, largest: int, critical: float) -> Prospects:
    """All three views of what is to come; stop when even the favourable one is unlikely, below .2 say.

    Raises:
        ValueError: as for :func:`conditional_power`.
    """
    t, n, _ = _inputs(t, n, largest)
    observed = t / np.sqrt(n)
    favourable = (np.abs(t) + stats.t.isf(0.025, n - 1)) / np.sqrt(n)
    return Prospects(
        conditional_power(t, n, largest, critical, observed),
        predictive_power(t, n, largest, critical),
        conditional_power(np.abs(t), n, largest, critical, favourable),
    )


def equivalence_power(
    t: ArrayLike, n: ArrayLike, largest: int, margin: ArrayLike, level: float
) -> NDArray[np.float64]:
    """P(two one-sided tests at ``level`` call equivalence with ``largest`` seeds), at best.

    At best: if the true effect is the one nearest to 0 that the 95 % interval of the seeds at hand allows.
    The mean at the end is N((n·x̄ + rδ)/N, r/N²) in units of the spread, and must come to lie within
    ±(margin − t_level/√N): :func:`conditional_power` with the other tests.

    Args:
        margin: in standard deviations of the differences; any shape that broadcasts.

    Raises:
        ValueError: as for :func:`conditional_power`.
    """
    t, n, rest = _inputs(t, n, largest)
    mean = np.abs(t) / np.sqrt(n)
    effect = np.maximum(mean - stats.t.isf(0.025, n - 1) / np.sqrt(n), 0.0)
    centre, spread = (n * mean + rest * effect) / largest, np.sqrt(rest) / largest
    room = np.asarray(margin, dtype=np.float64) - stats.t.isf(level, largest - 1) / np.sqrt(largest)
    inside = stats.norm.cdf((room - centre) / spread) - stats.norm.cdf((-room - centre) / spread)
    return np.asarray(np.where(room > 0, inside, 0.0), dtype=np.float64)


def predictive_equivalence(
    t: ArrayLike, n: ArrayLike, largest: int, margin: ArrayLike, critical: float
) -> NDArray[np.float64]:
    """P(Δ ± critical·se lies within ±margin with ``largest`` seeds), averaged as in :func:`predictive_power`.

    Args:
        margin: in standard deviations of the differences; any shape that broadcasts.

    Raises:
        ValueError: as for :func:`conditional_power`.
    """
    t, n, rest = _inputs(t, n, largest)
    # The mean at the end is t(n − 1) around the mean at hand, with variance r/(nN) in units of the spread.
    mean, spread = t / np.sqrt(n), np.sqrt(rest / (n * largest))
    room = np.asarray(margin, dtype=np.float64) - critical / np.sqrt(largest)
    inside = stats.t.cdf((room - mean) / spread, n - 1) - stats.t.cdf((-room - mean) / spread, n - 1)
    return np.asarray(np.where(room > 0, inside, 0.0), dtype=np.float64)


def _inputs(
    t: ArrayLike, n: ArrayLike, largest: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """t, n and the seeds to come, as floats."""
    seeds = np.asarray(n, dtype=np.float64)
    if np.any(seeds < 2) or np.any(seeds >= largest):
        raise ValueError(f"n must be from 2 to below the largest, {largest}; found {seeds}")
    return np.asarray(t, dtype=np.float64), seeds, largest - seeds
