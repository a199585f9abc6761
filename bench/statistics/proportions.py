"""Two checkpoints on the same images, or on different ones. Never two losses: that takes seeds.

A test here asks whether *these two networks* differ on new images. With one run of each loss that is all
there is to ask; whether training again would say the same is another question, which they cannot answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special, stats

from bench.statistics.counts import check_confidence
from bench.statistics.paired import positive


@dataclass(frozen=True)
class McNemar:
    """Two-sided p of McNemar's test, in its four versions. With no discordant image all are 1."""

    b: int  # images that only the first gets right
    c: int  # images that only the second gets right
    exact: float  # conditional binomial: never too small, often too large
    mid_p: float  # half the chance of the observed table: Fagerland's recommendation
    asymptotic: float  # without continuity correction
    corrected: float  # with Edwards's continuity correction


def mcnemar(b: int, c: int) -> McNemar:
    """McNemar, Psychometrika 12 (1947), as compared by Fagerland, Lydersen & Laake, BMC Med. Res. Methodol.
    13:91 (2013).

    Args:
        b: images that only the first gets right; ``c``: that only the second does.

    Raises:
        ValueError: anything but whole numbers of at least 0.
    """
    _check_counts(b=b, c=c)
    n, few = b + c, min(b, c)
    if n == 0:
        return McNemar(b, c, 1.0, 1.0, 1.0, 1.0)
    point = float(stats.binom.pmf(few, n, 0.5))
    # Both tails, and where b = c the middle is not counted twice. The upper tail is exactly the other one.
    exact = min(2 * float(stats.binom.cdf(few, n, 0.5)), 1.0)
    mid_p = exact - point if b != c else 1 - point / 2
    distance = abs(b - c)
    return McNemar(
        b,
        c,
        positive(exact),
        positive(mid_p),
        _two_sided(distance / math.sqrt(n)),
        _two_sided(max(distance - 1, 0) / math.sqrt(n)),
    )


@dataclass(frozen=True)
class Difference:
    """A difference of two proportions, first − second, as fractions."""

    estimate: float
    low: float
    high: float


def wilson(correct: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of one proportion (Wilson, J. Am. Stat. Assoc. 22, 1927), without continuity correction.

    Raises:
        ValueError: counts that are no whole numbers with 0 ≤ correct ≤ total and total ≥ 1; a confidence
            outside (0, 1).
    """
    check_confidence(confidence)
    _check_proportion(correct, total)
    z = _z(confidence)
    p, shrink = correct / total, z * z / total
    centre = p + shrink / 2
    # p(1 − p) from counts: exactly 0 at both ends, so that 0 and 1 are exactly reached.
    reach = z * math.sqrt(correct * (total - correct) / total**3 + shrink / (4 * total))
    low = 0.0 if correct == 0 else (centre - reach) / (1 + shrink)
    high = 1.0 if correct == total else (centre + reach) / (1 + shrink)
    return low, high


def clopper_pearson(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval of one proportion (Clopper & Pearson, Biometrika 26, 1934): never below its coverage.

    At 90 % each end is a one-sided bound of 95 %: none of ten still allows 26 %.

    Raises:
        ValueError: as for :func:`wilson`.
    """
    check_confidence(confidence)
    _check_proportion(count, total)
    tail = (1 - confidence) / 2
    low = float(special.betaincinv(count, total - count + 1, tail)) if count else 0.0
    high = float(special.betainccinv(count + 1, total - count, tail)) if count < total else 1.0
    return low, high


def newcombe_paired(both: int, b: int, c: int, neither: int, confidence: float = 0.95) -> Difference:
    """Interval of a difference on the same images (Newcombe, Stat. Med. 17:2635, 1998, method 10).

    The two Wilson intervals, put together with the correlation φ of the table, which is moved towards 0
    where it is positive (his continuity correction of φ alone).

    Args:
        both: images that both get right; ``b``: only the first; ``c``: only the second; ``neither``.

    Raises:
        ValueError: anything but whole numbers of at least 0, no images, a confidence outside (0, 1).
    """
    _check_counts(both=both, b=b, c=c, neither=neither)
    total = both + b + c + neither
    first, second = both + b, both + c
    low_1, high_1 = wilson(first, total, confidence)
    low_2, high_2 = wilson(second, total, confidence)
    margins = first * (total - first) * second * (total - second)
    product = float(both * neither - b * c)
    if product > 0:
        product = max(product - total / 2, 0.0)
    phi = product / math.sqrt(margins) if margins else 0.0
    p_1, p_2 = first / total, second / total
    below = _hypotenuse(p_1 - low_1, high_2 - p_2, phi)
    above = _hypotenuse(high_1 - p_1, p_2 - low_2, phi)
    estimate = p_1 - p_2
    return Difference(estimate, max(estimate - below, -1.0), min(estimate + above, 1.0))


def unpaired_z(first: int, first_total: int, second: int, second_total: int) -> float:
    """Two-sided p of the two-proportion z-test with pooled variance: what one can do without predictions.

    It takes the two for answers to different images. On the same images, that they agree on most of them is
    left out, so that p is too large.

    Returns:
        p in (0, 1]; 1 where every answer is right, or every one wrong.

    Raises:
        ValueError: as :func:`wilson`.
    """
    _check_proportion(first, first_total)
    _check_proportion(second, second_total)
    pooled, total = first + second, first_total + second_total
    if pooled in (0, total):
        return 1.0
    # |p₁ − p₂| and its variance, both from whole numbers
    distance = abs(first * second_total - second * first_total) / (first_total * second_total)
    variance = pooled * (total - pooled) / total / (first_total * second_total)
    return _two_sided(distance / math.sqrt(variance))


def _hypotenuse(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(one * one + other * other - 2 * phi * (one * other), 0.0))


def _two_sided(z: float) -> float:
    return positive(math.erfc(z / math.sqrt(2)))


def _z(confidence: float) -> float:
    return float(stats.norm.isf((1 - confidence) / 2))


def _check_proportion(correct: int, total: int) -> None:
    _check_counts(correct=correct, total=total)
    if total < 1 or correct > total:
        raise ValueError(f"{correct} correct answers out of {total} cannot be")


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        # NumPy's integers have __index__ as well; floats and strings do not.
        if isinstance(count, bool) or not hasattr(count, "__index__") or count < 0:
            raise ValueError(f"{name} must be a whole number of at least 0, found {count!r}")
