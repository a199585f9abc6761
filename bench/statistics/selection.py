"""How much better does the best run look than it is? Choosing by the number one reports makes it too large.

The best of m runs is better than the others by luck, and the luck does not come again. Differences between
losses suffer too: whoever is given more tries wins.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import integrate, special


@cache
def expected_maximum(m: int) -> float:
    """Mean of the largest of m independent standard normals (Tippett, Biometrika 17, 1925).

    Raises:
        ValueError: fewer than one.
    """
    if m < 1:
        raise ValueError(f"the best of at least one, found {m}")
    # E[max] = ∫₀^∞ (1 − Φᵐ(x)) − Φᵐ(−x) dx, in logarithms so that a huge m does no harm.

    def above(x: float) -> float:
        tail = special.log_ndtr(-x)
        return float(-np.expm1(m * special.log_ndtr(x)) - np.exp(m * tail))

    value, _ = integrate.quad(above, 0, 40, points=[1, 2, 4, 8], epsabs=1e-13, limit=200)
    return float(value)


def optimism_of_best_run(m: int, seed_sd: float) -> float:
    """By how much the best of m equally good runs exceeds what the method gives on average.

    Args:
        seed_sd: standard deviation of the reported accuracy over seeds; the result has its unit.

    Raises:
        ValueError: no run, or a spread below 0.
    """
    if not seed_sd >= 0:
        raise ValueError(f"a spread must be at least 0, found {seed_sd}")
    return seed_sd * expected_maximum(m)
