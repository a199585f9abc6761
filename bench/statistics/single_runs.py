"""What is a published claim worth, from its two accuracies alone: one run each, on the same test images?

The predictions are not published, so how many images the two disagree on is not known. But it can only lie
between |b − c|, the difference, and the errors of both; over that whole range the p of McNemar's test is
said. And since even a significant difference between two checkpoints says nothing about two losses, the
number of seeds that would settle it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from bench.statistics.planning import seeds_for_effect, spread_of_difference
from bench.statistics.proportions import mcnemar, unpaired_z


@dataclass(frozen=True)
class Claim:
    """Two single runs on the same ``total`` images."""

    first: int  # correct answers
    second: int
    total: int
    unpaired_p: float  # as if the images were not the same
    p_lowest: float  # smallest mid-p of McNemar over every number of discordant images there can be
    p_highest: float  # the largest
    discordant_lowest: int  # |first − second|: one is right wherever the other is
    discordant_highest: int  # no image that both get wrong
    significant_up_to: int | None  # most discordant images with mid-p < α; None if no number of them will do

    @property
    def difference(self) -> float:
        """first − second, as a fraction."""
        return (self.first - self.second) / self.total


def claim(first: int, second: int, total: int, alpha: float = 0.05) -> Claim:
    """What two counts of correct answers can and cannot say.

    Args:
        first: correct answers of the first run out of ``total`` (see :func:`count_of`); ``second`` likewise.
        alpha: for ``significant_up_to``.

    Raises:
        ValueError: counts that are no whole numbers with 0 ≤ correct ≤ total, or α outside (0, ½).
    """
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie between 0 and ½, found {alpha}")
    unpaired_p = unpaired_z(first, total, second, total)
    difference, wrong = abs(first - second), 2 * total - first - second
    # What only one gets right is wrong for the other; and both together cannot miss more than there are.
    most = min(wrong, 2 * total - wrong)

    def p(discordant: int) -> float:
        few = (discordant - difference) // 2
        return mcnemar(few, few + difference).mid_p

    # b + c grows in steps of 2, and p with it: find the last step at which p < α.
    low, high = -1, (most - difference) // 2
    while low < high:
        middle = (low + high + 1) // 2
        if p(difference + 2 * middle) < alpha:
            low = middle
        else:
            high = middle - 1
    significant = None if low < 0 else difference + 2 * low
    # Two equal counts that agree on everything have p = 1, and just above that the smallest mid-p, ¾.
    extremes = [p(difference), p(min(difference + 2, most)), p(most)]
    return Claim(
        first, second, total, unpaired_p, min(extremes), max(extremes), difference, most, significant
    )


def seeds_to_settle(
    difference: float, seed_sd: float, correlation: float = 0.0, alpha: float = 0.05, power: float = 0.8
) -> int | None:
    """Seeds of either loss that would find the claimed difference, if it were the true one.

    Args:
        difference: of two accuracies, as a fraction; its sign does not matter.
        seed_sd: standard deviation of the accuracy over seeds, of either loss, as a fraction.
        correlation: ρ of the two arms over seeds. 0 gains nothing from pairing: the cautious choice.

    Returns:
        At least 2; None where there is no difference or no spread.

    Raises:
        ValueError: as :func:`bench.statistics.planning.seeds_for_effect`.
    """
    return seeds_for_effect(difference, spread_of_difference(seed_sd, seed_sd, correlation), alpha, power)


def count_of(accuracy: float, total: int) -> int:
    """The number of correct answers behind a published accuracy, as a fraction of ``total``.

    Raises:
        ValueError: an accuracy outside [0, 1], or no images.
    """
    if total < 1:
        raise ValueError(f"total must be at least one image, found {total}")
    if not 0 <= accuracy <= 1:
        raise ValueError(f"an accuracy is a fraction between 0 and 1, found {accuracy}")
    return round(accuracy * total)


@dataclass(frozen=True)
class Behind:
    """Numbers of correct answers, first and last, that a published accuracy can stand for; None: none can."""

    rounded: tuple[int, int] | None
    cut: tuple[int, int] | None  # if digits behind the last were cut off, and not rounded


def counts_behind(accuracy: str, total: int) -> Behind:
    """Every number of correct answers behind a published accuracy, read with its digits.

    95.86 of 20,800 images can be 19,938 or 19,939. 95.927 can be none of them, unless digits were cut off:
    19,953 are 95.92788 %.

    Args:
        accuracy: as it was printed: a percentage above 1, or a fraction up to 1.

    Raises:
        ValueError: no plain decimal number between 0 and 100, or no images.
    """
    if total < 1:
        raise ValueError(f"total must be at least one image, found {total}")
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", accuracy) or Decimal(accuracy) > 100:
        raise ValueError(f"an accuracy is a percentage up to 100 or a fraction up to 1, found '{accuracy}'")
    printed = Fraction(accuracy)
    scale = 100 if printed > 1 else 1
    step = Fraction(1, 10 ** len(accuracy.partition(".")[2]))

    def counts(low: Fraction, high: Fraction, *, with_high: bool) -> tuple[int, int] | None:
        first, last = math.ceil(low * total / scale), math.floor(high * total / scale)
        last -= not with_high and last == high * total / scale
        first, last = max(first, 0), min(last, total)
        return (first, last) if first <= last else None

    # A tie may have been rounded either way, so both ends belong; the end of what was cut off does not.
    return Behind(
        counts(printed - step / 2, printed + step / 2, with_high=True),
        counts(printed, printed + step, with_high=False),
    )
