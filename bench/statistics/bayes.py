"""The Bayesian signed-rank test: how probable is it that A is better, B is better, or that it matters little?

Benavoli, Corani, Demšar & Zaffalon, "Time for a change" (JMLR 18, 2017), section 4.3, after Benavoli et al.
(ICML 2014). The differences on several data sets get Dirichlet weights, the posterior of a Dirichlet process;
each draw of weights gives the chance that the sum of two differences, drawn with them, falls below, within or
above the region of practical equivalence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

CHUNK = 1_000_000
"""Weights drawn at a time."""

NOISE = 1e-12
"""Accuracies that should differ by the same amount differ by less than this more or less, as floats."""


@dataclass(frozen=True)
class SignedRankPosterior:
    """Probabilities, adding up to 1, that each is the likeliest of the three."""

    datasets: int
    worse: float
    equivalent: float
    better: float
    se: float  # the largest standard error of the three, from having drawn
    mean: tuple[float, float, float]  # of θ: expected shares of worse, equivalent and better
    draws: int


def bayesian_signed_rank(
    differences: ArrayLike, rope: float, prior: float = 0.5, draws: int = 50_000, seed: int = 0
) -> SignedRankPosterior:
    """Which of worse, practically equivalent and better a loss probably is, over data sets like these.

    Args:
        differences: loss − baseline on each data set [data sets], as fractions (or in the unit of ``rope``).
        rope: differences within ±rope do not matter. A sum of two on the edge counts half for either side.
        prior: weight of one pseudo-observation of no difference.

    Raises:
        ValueError: no difference, one that is no finite number, a rope or prior below 0, no draw.
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or not d.size or not np.all(np.isfinite(d)):
        raise ValueError(f"differences must be finite numbers, one a data set and one at least; found {d}")
    if not (0 <= rope < np.inf and 0 <= prior < np.inf and draws >= 1):
        raise ValueError(
            f"rope and prior must be at least 0 and draws at least 1, found {rope}, {prior} and {draws}"
        )
    # Neither the order of the data sets nor the sign of the comparison may change a draw: sorted, and in
    # whichever of the two directions comes first.
    ascending, mirrored = np.sort(d).tolist(), np.sort(-d).tolist()
    d = np.array(min(ascending, mirrored))
    if prior > 0:
        d = np.append(0.0, d)
    sums = d[:, None] + d
    below, above = _share_beyond(-sums, 2 * rope), _share_beyond(sums, 2 * rope)
    rng = np.random.default_rng(seed)
    winners = np.zeros(3)
    total = np.zeros(3)
    at_once = max(1, CHUNK // len(d))
    for first in range(0, draws, at_once):
        weights = _dirichlet(rng, len(d), prior, min(at_once, draws - first))
        theta = np.empty((3, len(weights)))
        theta[0] = np.einsum("ij,ij->i", weights @ below, weights)
        theta[2] = np.einsum("ij,ij->i", weights @ above, weights)
        theta[1] = 1 - theta[0] - theta[2]
        total += theta.sum(axis=1)
        # Draws that are level are shared: with no difference at all, neither side may win by being first.
        leading = theta >= theta.max(axis=0) - NOISE
        winners += (leading / leading.sum(axis=0)).sum(axis=1)
    p, mean = winners / draws, total / draws
    if ascending == mirrored:
        p, mean = (p + p[::-1]) / 2, (mean + mean[::-1]) / 2
    elif mirrored < ascending:
        p, mean = p[::-1], mean[::-1]
    worse, equivalent, better = p.tolist()
    theta_worse, theta_equivalent, theta_better = mean.tolist()
    return SignedRankPosterior(
        len(ascending),
        worse,
        equivalent,
        better,
        float(np.sqrt(p * (1 - p) / draws).max()),
        (theta_worse, theta_equivalent, theta_better),
        draws,
    )


def _share_beyond(sums: NDArray[np.float64], edge: float) -> NDArray[np.float64]:
    """1 where a sum lies beyond the edge, ½ where it lies on it."""
    return np.where(np.abs(sums - edge) <= NOISE, 0.5, (sums > edge).astype(np.float64))


def _dirichlet(rng: np.random.Generator, size: int, prior: float, draws: int) -> NDArray[np.float64]:
    """Weights [draws, size], Dirichlet(prior, 1, …, 1), or all ones where there is no prior."""
    gammas = rng.standard_exponential((draws, size))
    if prior > 0:
        gammas[:, 0] = rng.standard_gamma(prior, draws)
    return np.asarray(gammas / gammas.sum(axis=1, keepdims=True), dtype=np.float64)
