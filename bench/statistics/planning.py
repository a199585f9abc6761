"""What a number of seeds can find: the power of the paired t-test, of the two one-sided tests, of a search.

Effects and spreads are in the unit of the metric, accuracies as fractions. Power of the t-test is the chance
of a significant result *with the right sign*. The chance of one with the wrong sign, which two-sided formulas
add, is a mistake and no success; at the powers worth planning for it is below 1e-6.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from bench.statistics.paired import PairedT


def power_of_t(noncentrality: float, df: float, alpha: float) -> float:
    """P(T > t_crit) for a noncentral t: δ = Δ/se is the true difference in standard errors, δ ≥ 0.

    Johnson & Welch, "Applications of the non-central t-distribution", Biometrika 31 (1940).
    """
    # Of scipy.special, twenty times as fast for one number: a report asks dozens of times a comparison.
    critical = -float(special.stdtrit(df, alpha / 2))
    if critical > 1e4:
        # Two seeds and a tiny α: T = (δ + Z)/s, and beside a δ this large the noise Z is nothing (error
        # below 1e-4), while the series for the noncentral t no longer converges.
        return float(stats.chi2.cdf(df * (noncentrality / critical) ** 2, df))
    return 1.0 - float(special.nctdtr(df, noncentrality, critical))


def seeds_for_effect(
    effect: float, sd: float, alpha: float = 0.05, power: float = 0.8, comparisons: int = 1
) -> int | None:
    """Paired seeds that find a true difference.

    Args:
        effect: the difference; its sign does not matter.
        sd: of the differences over seeds: see :func:`spread_of_difference`.
        alpha: two-sided, for the whole family.
        comparisons: in the family: each is tested at α/m, which is on the safe side of Holm.

    Returns:
        The smallest n ≥ 2 with that power, or None where there is no effect or no spread, or no end.

    Raises:
        ValueError: unless 0 < α < power < 1; a spread that is none, no comparison.
    """
    _check(alpha, power)
    if comparisons < 1:
        raise ValueError(f"comparisons must be at least 1, found {comparisons}")
    if not (sd >= 0 and math.isfinite(effect)):
        raise ValueError(f"an effect and a spread of at least 0 are needed, found {effect} and {sd}")
    if not effect or not sd:
        return None
    in_spreads = abs(effect) / sd
    about = (_z(1 - alpha / (2 * comparisons)) + _z(power)) / in_spreads
    return _fewest(lambda n: power_of_t(in_spreads * n**0.5, n - 1, alpha / comparisons), power, about**2)


def spread_of_difference(sd_loss: float, sd_baseline: float, correlation: float) -> float:
    """sd of the differences of paired arms: √(σ₁² + σ₂² − 2ρσ₁σ₂). What pairing gains is in ρ.

    Raises:
        ValueError: a spread below 0, or ρ outside [−1, 1].
    """
    if not (sd_loss >= 0 and sd_baseline >= 0 and -1 <= correlation <= 1):
        numbers = f"{sd_loss}, {sd_baseline} and {correlation}"
        raise ValueError(f"spreads must be at least 0 and ρ between −1 and 1, found {numbers}")
    return math.sqrt(max(sd_loss**2 + sd_baseline**2 - 2 * correlation * sd_loss * sd_baseline, 0))


def spread_at_most(sd: float, n: int, confidence: float = 0.8) -> float:
    """Upper bound of a standard deviation from n normal values: what to plan with, so that a plan has its
    power in most experiments and not in half of them (Browne, Stat. Med. 14, 1995).

    Raises:
        ValueError: fewer than two values, a spread below 0, a confidence outside (0, 1).
    """
    if n < 2 or not sd >= 0 or not 0 < confidence < 1:
        raise ValueError(f"n ≥ 2, sd ≥ 0 and 0 < confidence < 1 must hold, found {n}, {sd} and {confidence}")
    return sd * math.sqrt((n - 1) / (2 * float(special.gammaincinv((n - 1) / 2, 1 - confidence))))


def minimum_detectable_effect(result: PairedT, alpha: float, power: float = 0.8) -> float | None:
    """The smallest true difference (a fraction) that this many seeds of this spread would find.

    Unlike the power at the observed effect, it does not depend on the estimate.

    Returns:
        A fraction, above 1 where no difference at all could be found; None where there is no spread.

    Raises:
        ValueError: unless 0 < α < power < 1.
    """
    _check(alpha, power)
    if not result.se or result.df is None:
        return None
    return result.se * _noncentrality(result.df, alpha, power)


@cache
def _noncentrality(df: int, alpha: float, power: float) -> float:
    """The δ with that power. Comparisons mostly share their number of seeds, and so this."""

    def shortfall(noncentrality: float) -> float:
        return power_of_t(noncentrality, df, alpha) - power

    enough = 1.0
    while shortfall(enough) < 0:
        enough *= 2
    return float(optimize.brentq(shortfall, 0, enough))


SPREADS = (0.0048, 0.393)
"""Of a difference of two searches with 16 trials, in accuracy: median, and sd of the logarithm."""


def power_of_search(
    difference: float,
    trials: int,
    budget: int,
    spread: float | None = None,
    alpha: float = 0.05,
    comparisons: int = 1,
) -> float:
    """Power of :func:`bench.statistics.searches.pooled`: P(superior) at a true difference.

    Args:
        difference: of the tuned losses, for example the margin; its sign does not matter.
        trials: N of each loss.
        budget: T.
        spread: se·√(N/T), which does not depend on N; from results, ``Pooled.spread``. None: losses as the
            design was simulated on, images classified with an accuracy around .95; spreads that are
            lognormal give its powers of .64, .85 and .96 with 96, 192 and 400 trials at T = 16 and half a
            point (``benchmarks/tuning_rates.py``), to .001. Another data set may be far from that.
        alpha: two-sided, for the whole family.
        comparisons: in the family: each is tested at α/m.

    Raises:
        ValueError: no trials or budget, a spread that is not above 0, α outside (0, 1), no comparison.
    """
    if not (trials >= budget >= 1 and comparisons >= 1 and 0 < alpha < 1):
        numbers = f"{trials}, {budget}, {comparisons} and {alpha}"
        raise ValueError(f"trials ≥ budget ≥ 1, comparisons ≥ 1 and 0 < α < 1 must hold, found {numbers}")
    if spread is not None and not spread > 0:
        raise ValueError(f"a spread must be above 0, found {spread}")
    median, scatter = (spread, 0.0) if spread else SPREADS
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    errors = median * np.exp(scatter * nodes) * math.sqrt(budget / trials)
    powers = [power_of_t(abs(difference) / se, 2 * trials / budget, alpha / comparisons) for se in errors]
    return float(weights @ powers / weights.sum())


def power_of_tost(margin: float, df: int, alpha: float = 0.05, effect: float = 0.0) -> float:
    """P(both one-sided tests at α reject), for a true difference within the margin.

    The bivariate noncentral t of Owen, Biometrika 52 (1965), as one integral over the estimated spread:
    given that it is s, the estimate must come to lie within ±(margin − t_α·s).

    Args:
        margin: in standard errors of the estimate, like ``effect``, the true difference.

    Raises:
        ValueError: a margin below 0, no degrees of freedom, α outside (0, ½).
    """
    if not (margin >= 0 and df >= 1 and 0 < alpha < 0.5):
        raise ValueError(f"margin ≥ 0, df ≥ 1 and 0 < α < ½ must hold, found {margin}, {df} and {alpha}")
    # Of scipy.special throughout, ten times as fast for one number: a report asks dozens of times.
    critical, half = -float(special.stdtrit(df, alpha)), df / 2
    tails = special.gammaincinv(half, 1e-16), special.gammainccinv(half, 1e-16)
    lowest, highest = (math.sqrt(2 * float(tail) / df) for tail in tails)
    highest = min(highest, margin / critical)  # with a larger spread there is no room left
    if highest <= lowest:
        return 0.0
    nodes, weights = _quadrature()
    s = lowest + (highest - lowest) * (nodes + 1) / 2
    room = margin - critical * s
    inside = special.ndtr(room - effect) - special.ndtr(-room - effect)
    squares = df * s**2
    density = np.exp((half - 1) * np.log(squares / 2) - squares / 2 - special.gammaln(half)) * df * s
    return min(float(np.sum(weights * inside * density) * (highest - lowest) / 2), 1.0)


@cache
def _quadrature() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights of Gauss and Legendre: they take longer than all else."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    return nodes, weights


def seeds_for_equivalence(
    margin: float, sd: float, alpha: float = 0.05, power: float = 0.8, effect: float = 0.0
) -> int | None:
    """Paired seeds that show two losses to be equivalent.

    Args:
        margin: the largest difference that does not matter.
        sd: of the differences over seeds.
        effect: the true difference: 0 is the friendliest.

    Returns:
        The smallest n ≥ 2 with that power; None where there is no spread or no end, or where the true
        difference is not within the margin.

    Raises:
        ValueError: unless 0 < α < power < 1 and α < ½; a margin or a spread below 0.
    """
    _check(alpha, power)
    if not (margin >= 0 and sd >= 0 and alpha < 0.5):
        raise ValueError(f"margin, sd ≥ 0 and α < ½ must hold, found {margin}, {sd} and {alpha}")
    if not sd or abs(effect) >= margin:
        return None
    room, away = margin / sd, effect / sd
    about = (_z(1 - alpha) + _z((1 + power) / 2)) / (room - abs(away))
    return _fewest(lambda n: power_of_tost(room * n**0.5, n - 1, alpha, away * n**0.5), power, about**2)


def _z(share: float) -> float:
    return float(special.ndtri(share))


def _fewest(power_at: Callable[[int], float], power: float, about: float) -> int | None:
    """The smallest n ≥ 2 with that power, sought around what a known spread would take; None beyond 10¹⁵."""
    if about > 1e15:
        return None
    low = high = max(2, round(about))
    while power_at(high) < power:
        low, high = high, high + max(1, high // 4)
    while low == high and low > 2:
        low -= max(1, low // 4)
        if power_at(low) >= power:
            high = low
    return bisect_left(range(high), power, lo=low, key=power_at)


def _check(alpha: float, power: float) -> None:
    if not 0 < alpha < power < 1:
        raise ValueError(f"0 < alpha < power < 1 must hold, found alpha {alpha} and power {power}")
