"""The second question of a comparison: is the loss better *on new images too*?

Seeds and images are both samples, crossed with each other: every seed answers every image. This is the
two-way analysis of variance of multi-reader studies, with seeds as readers and images as cases (Dorfman,
Berbaum & Metz, Invest. Radiol. 27, 1992; Obuchowski & Rockette, Commun. Stat. Simul. 24, 1995), with the
degrees of freedom of Hillis, Stat. Med. 26 (2007). It is closed form.

Of accuracies it takes whole numbers and is exact until the end (:func:`crossed_anova`). Of a metric that is
a mean over images it takes the table of differences itself (:func:`crossed_of_table`), and of one that is
none its jackknife pseudo-values, as Dorfman, Berbaum & Metz do with the area under the curve.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.counts import check_confidence
from bench.statistics.paired import p_of_t, t_interval


@dataclass(frozen=True)
class Crossed:
    """A mean difference over seeds and images. Fields that cannot be computed are None.

    The variance components are unbiased and may be negative; ``floor`` and :meth:`standard_error` take a
    negative one for 0, so at the present numbers the latter can exceed ``se`` a little.
    """

    seeds: int
    images: int
    estimate: float | None = None  # mean difference; of accuracies as a fraction
    se: float | None = None  # of the estimate, for new seeds and new images
    df: float | None = None  # Hillis (2007); infinite where only the images vary
    low: float | None = None
    high: float | None = None
    p: float | None = None  # two-sided, for the hypothesis of no difference
    t: float | None = None
    ms_seed: float | None = None
    ms_image: float | None = None
    ms_residual: float | None = None
    variance_seed: float | None = None  # between trainings, in an infinite test set
    variance_image: float | None = None  # between images, with infinitely many trainings
    variance_residual: float | None = None  # what one seed makes of one image

    def interval(self, confidence: float) -> tuple[float, float] | None:
        """The interval at another level; None where there is none at any."""
        return t_interval(self.estimate, self.se, self.df, confidence)

    @property
    def floor(self) -> float | None:
        """Standard error that is left with infinitely many seeds: only more images can lower it."""
        return self.standard_error(math.inf, self.images)

    def standard_error(self, seeds: float, images: float) -> float | None:
        """What this many seeds and images would give, had they the same variances.

        Raises:
            ValueError: fewer than one of either.
        """
        if not (seeds >= 1 and images >= 1):
            raise ValueError(f"at least one seed and one image, found {seeds} and {images}")
        if self.variance_seed is None or self.variance_image is None or self.variance_residual is None:
            return None
        return math.sqrt(
            max(self.variance_seed, 0) / seeds
            + max(self.variance_image, 0) / images
            + self.variance_residual / (seeds * images)
        )


def crossed_anova(products: ArrayLike, sums: ArrayLike, images: int, confidence: float = 0.95) -> Crossed:
    """Seeds × images, from what :func:`bench.statistics.agreement.difference_products` gives.

    Var = [MS_seed + max(MS_image − MS_residual, 0)] / (S·n), df = (that numerator)² / (MS_seed² / (S − 1)).

    Args:
        products: D·Dᵀ [S, S], integers: products over the images of the differences of two seeds.
        sums: Σᵢ D[s, i] [S], integers: correct answers of the loss − those of its baseline.
        images: n.
        confidence: coverage of the interval from ``low`` to ``high``.

    Raises:
        ValueError: other shapes or types, sums that no such products have, no images, a confidence
            outside (0, 1).
    """
    check_confidence(confidence)
    cross, totals = _checked(products, sums, images)
    seeds = len(totals)
    if seeds == 0:
        return Crossed(seeds, images)
    grand = sum(totals)
    estimate = grand / (seeds * images)
    if seeds == 1 or images == 1:
        return Crossed(seeds, images, estimate)
    # Sums of squares times S·n, in whole numbers: neither the order of the seeds nor the sign of the
    # comparison can move a digit, and what is 0 is seen to be 0.
    discordant = sum(cross[s][s] for s in range(seeds))
    of_images = images * sum(sum(row) for row in cross) - grand * grand
    of_seeds = seeds * sum(total * total for total in totals) - grand * grand
    of_residual = images * seeds * discordant - grand * grand - of_images - of_seeds
    size = seeds * images
    ms_seed = of_seeds / (size * (seeds - 1))
    ms_image = of_images / (size * (images - 1))
    ms_residual = of_residual / (size * (seeds - 1) * (images - 1))
    return crossed_from_mean_squares(estimate, ms_seed, ms_image, ms_residual, seeds, images, confidence)


COLUMNS = 2048
"""Images of a table taken at a time: with tens of seeds they stay in the processor's cache."""


def crossed_of_table(
    differences: ArrayLike, confidence: float = 0.95, estimate: float | None = None
) -> Crossed:
    """The same from a table of any numbers, in floating point: one pass over it, and no copy of it.

    Args:
        differences: D [S seeds, n images]: what the metric says of the loss − of its baseline, image by
            image; of a metric that is no mean over images, the jackknife pseudo-values N·θ − (N − 1)·θ₍₋ᵢ₎
            of the loss − those of its baseline.
        confidence: coverage of the interval from ``low`` to ``high``.
        estimate: the difference itself where the mean of D is not it: the mean of pseudo-values is the
            jackknife's estimate, and not the metric's own.

    Raises:
        ValueError: another shape or type, no images, numbers that are not finite or whose squares are not,
            a confidence outside (0, 1).
    """
    check_confidence(confidence)
    table = np.asarray(differences)
    if table.ndim != 2 or table.dtype.kind not in "fi":
        raise ValueError(f"differences must be numbers [seeds, images], found {table.dtype}{table.shape}")
    seeds, images = table.shape
    if images < 1:
        raise ValueError("there must be at least one image, found 0")
    if estimate is not None and not math.isfinite(estimate):
        raise ValueError(f"the estimate must be a finite number, found {estimate}")
    if seeds == 0:
        return Crossed(seeds, images)
    of_images = table[0].astype(np.float64)  # to become the means over the seeds
    # Beside the first seed, so that where all seeds agree, what is left is exactly 0.
    of_seeds = np.zeros(seeds)  # sums over the images
    within = 0.0  # squares around the means of the images
    block = np.empty((seeds - 1, min(COLUMNS, images)))
    ones = np.ones(block.shape[1])
    with np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, images, COLUMNS):
            first = of_images[start : start + COLUMNS]
            beside = block[:, : len(first)]
            np.copyto(beside, table[1:, start : start + COLUMNS])
            beside -= first
            of_seeds[1:] += np.vecdot(beside, ones[: len(first)])
            means = beside.sum(axis=0) / seeds
            first += means
            within += float(np.vecdot(beside, beside).sum()) - seeds * float(np.vecdot(means, means))
        mean = float(of_images.mean())
        between = _squares(of_images)
        by_seed = _squares(of_seeds) / images
    if not math.isfinite(mean + between + by_seed + within):
        raise ValueError("differences must be finite numbers, and so must their squares")
    if estimate is not None:
        mean = float(estimate)
    if seeds == 1 or images == 1:
        return Crossed(seeds, images, mean)
    ms_seed, ms_image = by_seed / (seeds - 1), seeds * between / (images - 1)
    ms_residual = max(within - by_seed, 0.0) / ((seeds - 1) * (images - 1))
    return crossed_from_mean_squares(mean, ms_seed, ms_image, ms_residual, seeds, images, confidence)


def _squares(values: NDArray[np.float64]) -> float:
    """Sum of the squares around the mean: exactly 0 where all are equal."""
    around = values - values[0]
    around -= around.mean()
    return float(np.einsum("i,i->", around, around))


def crossed_from_mean_squares(
    estimate: float,
    ms_seed: float,
    ms_image: float,
    ms_residual: float,
    seeds: int,
    images: int,
    confidence: float = 0.95,
) -> Crossed:
    """The same for anybody's two-way table, of numbers that need not be −1, 0 or 1. At least two of each."""
    variances = ((ms_seed - ms_residual) / images, (ms_image - ms_residual) / seeds, ms_residual)
    result = Crossed(
        seeds, images, estimate, 0.0, None, None, None, None, None, ms_seed, ms_image, ms_residual, *variances
    )
    numerator = ms_seed + max(ms_image - ms_residual, 0)
    if numerator == 0:
        return result
    se = math.sqrt(numerator / (seeds * images))
    ratio = numerator / ms_seed if ms_seed else math.inf
    df = ratio * ratio * (seeds - 1)
    t = estimate / se
    low, high = t_interval(estimate, se, df, confidence) or (None, None)
    return replace(result, se=se, df=df, low=low, high=high, p=p_of_t(t, df), t=t)


def _checked(products: ArrayLike, sums: ArrayLike, images: int) -> tuple[list[list[int]], list[int]]:
    """Both as Python integers, which do not overflow."""
    cross, totals = np.asarray(products), np.asarray(sums)
    if totals.ndim != 1 or cross.shape != (len(totals), len(totals)):
        raise ValueError(f"products must be [S, S] and sums [S], found {cross.shape} and {totals.shape}")
    if totals.size and (cross.dtype.kind != "i" or totals.dtype.kind != "i"):
        raise ValueError(f"counts must be signed integers, found {cross.dtype} and {totals.dtype}")
    if images < 1:
        raise ValueError(f"there must be at least one image, found {images}")
    discordant = cross.diagonal()
    if (
        np.any(np.abs(totals) > discordant)
        or np.any(discordant > images)
        or np.any((totals - discordant) % 2)
    ):
        raise ValueError("these sums do not belong to these products: |Σ D| ≤ Σ D² ≤ images must hold")
    rows: list[list[int]] = cross.tolist()
    return rows, [int(total) for total in totals]
