"""What a number of seeds can find: the power of the paired t-test, read in three directions.

Power here is the chance of a significant result *with the right sign*. The chance of one with the wrong sign,
which two-sided formulas add, is a mistake and no success; at the powers worth planning for it is below 1e-6.
"""

from __future__ import annotations

from bisect import bisect_left

from scipy import optimize, stats

from bench.statistics.paired import PairedT


def power_of_t(noncentrality: float, df: int, alpha: float) -> float:
    """P(T > t_crit) for a noncentral t: δ = Δ/se is the true difference in standard errors, δ ≥ 0.

    Johnson & Welch, "Applications of the non-central t-distribution", Biometrika 31 (1940).
    """
    critical = float(stats.t.isf(alpha / 2, df))
    if critical > 1e4:
        # Two seeds and a tiny α: T = (δ + Z)/s, and beside a δ this large the noise Z is nothing (error
        # below 1e-4), while the series for the noncentral t no longer converges.
        return float(stats.chi2.cdf(df * (noncentrality / critical) ** 2, df))
    return float(stats.nct.sf(critical, df, noncentrality))


def seeds_to_decide(result: PairedT, alpha: float, power: float = 0.8) -> int | None:
    """About how many seeds, in all, would find a difference as large as the observed one.

    It takes estimate and spread for the truth, which from few seeds they are not: an order of magnitude
    to plan with, not a promise.

    Args:
        alpha: two-sided; for one of m comparisons, α/m is on the safe side.

    Returns:
        The smallest n ≥ 2 with that power, or None where there is no difference or no spread to go by.

    Raises:
        ValueError: unless 0 < α < power < 1.
    """
    _check(alpha, power)
    if not result.estimate or not result.sd:
        return None
    effect = abs(result.estimate) / result.sd

    def power_at(n: int) -> float:
        return power_of_t(effect * n**0.5, n - 1, alpha)

    enough = 2
    while power_at(enough) < power:
        enough *= 2
    return bisect_left(range(enough), power, lo=max(enough // 2, 2), key=power_at)


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
    df = result.df

    def shortfall(noncentrality: float) -> float:
        return power_of_t(noncentrality, df, alpha) - power

    enough = 1.0
    while shortfall(enough) < 0:
        enough *= 2
    return result.se * float(optimize.brentq(shortfall, 0, enough))


def _check(alpha: float, power: float) -> None:
    if not 0 < alpha < power < 1:
        raise ValueError(f"0 < alpha < power < 1 must hold, found alpha {alpha} and power {power}")
