"""How much better does the best look than it is? Choosing by the number one reports makes it too large.

The best of m runs, or of m epochs, is better than the others partly by luck; the luck does not come again.
Differences between losses suffer too: whoever is given more tries wins.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import integrate, special

from bench.statistics.counts import correct_counts


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
    _check_spread(seed_sd)
    return seed_sd * expected_maximum(m)


def optimism_of_best_epoch(m: int, accuracy: float, images: int, correlation: float) -> float:
    """By how much the accuracy of the best of m equally good epochs exceeds what new images would show.

    Only the noise of a finite test set is counted, √(p(1 − p)/n) for each epoch, and only the part that
    epochs do not share: normals that all correlate by ρ are a common one and √(1 − ρ) of independent ones,
    and the common one does not choose.

    Args:
        accuracy: of each epoch, as a fraction; ``images``: that chose the epoch.
        correlation: ρ of the answers of two epochs over the images: high, since epochs of one run resemble
            each other.

    Returns:
        A fraction.

    Raises:
        ValueError: no epoch, no image, an accuracy or ρ outside [0, 1].
    """
    if images < 1 or not 0 <= accuracy <= 1 or not 0 <= correlation <= 1:
        raise ValueError(
            "images ≥ 1 and accuracy and ρ between 0 and 1 must hold, "
            f"found {images}, {accuracy} and {correlation}"
        )
    noise = math.sqrt(accuracy * (1 - accuracy) / images)
    return noise * math.sqrt(1 - correlation) * expected_maximum(m)


def expected_best(correct: ArrayLike, total: int, m: int) -> float | None:
    """Mean of the best of m of these runs, over all ways to choose m: what one who trains m times reports.

    Without replacement, so unbiased for the best of m new runs (Tang et al., ACL 2020, against Dodge et
    al., EMNLP 2019, who draw with replacement). Its difference to the mean is the optimism that was there.

    Args:
        correct: correct answers out of ``total`` [S], one a seed.

    Returns:
        A fraction, or None with fewer than m runs.

    Raises:
        ValueError: no counts, counts outside 0 to ``total``, or m < 1.
    """
    counts = sorted(int(count) for count in correct_counts(correct, total))
    if m < 1:
        raise ValueError(f"the best of at least one, found {m}")
    if m > len(counts):
        return None
    # The i-th smallest is the best of C(i − 1, m − 1) choices, in whole numbers to the end.
    summed = sum(count * math.comb(rank, m - 1) for rank, count in enumerate(counts))
    return summed / (math.comb(len(counts), m) * total)


def _check_spread(sd: float) -> None:
    if not sd >= 0:
        raise ValueError(f"a spread must be at least 0, found {sd}")
