"""Scores of one metric → whole numbers: correct answers, units of the last digit, or of 1/10ᵏ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.comparisons.external.layout import Layout, Request, Score
from bench.comparisons.external.rows import numbers, refuse
from bench.errors import BenchError
from bench.statistics.units import TooLarge, unit_for

LARGEST_UNIT = 200_000
"""Accuracies with many digits are multiples of 1/n, for the smallest n up to this that fits them all."""
MOST_ROUNDED = 5
"""Digits of an accuracy (a fraction) up to which its last one is the unit: .95933 is 95,933 of 100,000."""
DIGITS = 13
"""Of any other number: those that floating point leaves alone."""


def count_scores(
    source: str, rows: pd.DataFrame, layout: Layout, score: Score, request: Request
) -> tuple[pd.Series[float], pd.Series[Any], bool, str]:
    if score.kind == "metric":
        reading = f"{score.name} is the mean over images, one row each" if "image" in layout.columns else ""
        return *_in_units(source, rows), False, reading
    if "image" in layout.columns:
        return rows.value, rows.images, True, "scores are single answers, one row for each image of a run"
    columns, values, percent, total = layout.columns, rows.value, request.percent, request.total_images
    totals = None
    if total is not None or "total" in columns:
        totals = _totals(source, rows, columns.get("total", ""), total)
    counted = score.kind == "correct"
    if layout.methods:
        # Whole numbers up to 100 of many images are percentages.
        counted = False
        if percent is None and totals is not None and bool((values % 1 == 0).all()):
            counted = bool(values.max() > 100 or totals.max() <= 100)
    if counted:
        if totals is None:
            raise BenchError(
                f"{source}: column '{score.column}': out of how many? Give --total-column or --total-images"
            )
        guess = f" (guessed: the largest is {values.max():g})" if layout.methods else ""
        reading = f"scores are numbers of correct answers{guess}"
        return _checked_counts(source, rows, values, totals), totals, True, reading
    fractions, digits, reading = _fractions(source, rows, values, percent, bool(layout.methods))
    if totals is not None:
        counts = _count_images(source, rows, fractions, totals, digits)
        step, most = 10.0 ** -digits.max(), int(totals.max())
        if step * most > 1:
            reading += (
                f", in steps of {100 * step:g} points, which are {step * most:.1f} of {most:,} images: "
                "the nearest numbers of correct answers are taken"
            )
        return counts, totals, True, reading
    units = pd.Series(0, rows.index)
    for _, group in fractions.groupby([rows.dataset, rows.model]):
        units[group.index] = _unit(group.unique(), int(digits.max()))
    steps = ", ".join(f"1/{unit:,}" for unit in sorted(units.unique()))
    reading += f", counted in steps of {steps}, since the number of test images is not known (--total-images)"
    return (fractions * units).round(), units, False, reading


def _in_units(source: str, rows: pd.DataFrame) -> tuple[pd.Series[float], pd.Series[Any]]:
    """Numbers, or sums over images, in units of 1/10ᵏ; and 10ᵏ, or as often as there are images."""
    counts = rows.value.copy()
    totals = (rows.images if "images" in rows else pd.Series(1, rows.index)).astype(object)
    for _, group in rows.value.groupby([rows.dataset, rows.model]):
        try:
            unit = unit_for(group, DIGITS, 300)
        except TooLarge as error:
            large = (rows.value.abs() >= error.limit) & rows.index.isin(group.index)
            refuse(
                source, rows, large, f"a number below {error.limit:.0e}: in a larger unit, or its logarithm"
            )
            raise
        counts[group.index] = (group * float(unit)).round()
        totals[group.index] *= unit
    return counts, totals


def unequal_folds(rows: pd.DataFrame, totals: pd.Series[Any]) -> bool:
    """Whether some data set × model has folds of several sizes, as where k does not divide its images."""
    sizes = totals.astype(float).groupby([rows.dataset, rows.model])
    return bool((sizes.transform("min") < sizes.transform("max")).any())


def fold_means(rows: pd.DataFrame, means: pd.Series[float]) -> tuple[pd.Series[float], pd.Series[Any]]:
    """Means over folds of several sizes in one unit: these are compared, and not their counts."""
    counts, totals = means.copy(), pd.Series(1, rows.index).astype(object)
    for _, group in means.groupby([rows.dataset, rows.model]):
        totals[group.index] = unit = unit_for(group)
        counts[group.index] = (group * float(unit)).round()
    return counts, totals


def _totals(source: str, rows: pd.DataFrame, column: str, total: int | None) -> pd.Series[int]:
    if total is not None:
        return pd.Series(total, rows.index)
    sizes = rows.assign(found=rows.total, column=column)
    values = numbers(source, sizes)
    refuse(source, sizes, ~((values >= 1) & (values % 1 == 0)), "a whole number of test images")
    return values.astype(int)


def _checked_counts(
    source: str, rows: pd.DataFrame, values: pd.Series[float], totals: pd.Series[int]
) -> pd.Series[float]:
    refuse(source, rows, values % 1 != 0, "a whole number of correct answers")
    bad = (values < 0) | (values > totals)
    if bad.any():
        refuse(source, rows, bad, f"from 0 to {totals[bad].iloc[0]:,} correct answers, its total")
    return values


def _fractions(
    source: str, rows: pd.DataFrame, values: pd.Series[float], percent: bool | None, wide: bool
) -> tuple[pd.Series[float], pd.Series[int], str]:
    """Accuracies as fractions, the digits behind the point of each, and what was guessed."""
    most, guess = values.max(), ""
    if percent is None:
        percent, guess = bool(most > 1), f" (guessed: the largest is {most:g})"
        mixed = (values > 0) & (values <= 1) & percent
        refuse(
            source, rows, mixed, f"a percentage, as the largest, {most:g}, is one; if it is, say --percent"
        )
    limit = 100 if percent else 1
    hint = "; numbers of correct answers need their total: --total-images" if most > 100 else ""
    if wide:
        hint += "; of any other numbers, say --lower-is-better or --higher-is-better"
    refuse(source, rows, (values < 0) | (values > limit), f"an accuracy from 0 to {limit}{hint}")
    digits = pd.Series(10, values.index)
    for k in reversed(range(8)):
        scaled = values * 10**k
        digits = digits.mask((scaled - scaled.round()).abs() <= 1e-6, k)
    if percent:
        digits += 2
    return values / limit, digits, f"accuracies are {'percentages' if percent else 'fractions'}{guess}"


def _count_images(
    source: str,
    rows: pd.DataFrame,
    fractions: pd.Series[float],
    totals: pd.Series[int],
    digits: pd.Series[int],
) -> pd.Series[float]:
    """The number of correct answers that an accuracy, rounded to its own digits, must have come from."""
    exact = fractions * totals
    slack = totals * (0.5 * 0.1**digits + 1e-7) + 1e-6
    bad = (exact - exact.round()).abs() > slack
    if bad.any():
        share = f"{exact[bad].iloc[0]:.2f} of {totals[bad].iloc[0]:,} test images"
        refuse(source, rows, bad, f"a whole number of correct answers, and this is {share}")
    return exact.round()


def _unit(values: NDArray[np.float64], digits: int) -> int:
    """n, where the accuracies are multiples of 1/n. Float noise in their last digits must break no ties."""
    if digits <= MOST_ROUNDED:
        return int(10**digits)
    for tolerance in (1e-12, max(0.5 * 10.0**-digits, 1e-7)):
        units = np.arange(1, LARGEST_UNIT + 1)
        for value in values:
            units = units[np.abs(value * units - np.rint(value * units)) <= tolerance * units]
            if not units.size:
                break
        if units.size:
            return int(units[0])
    return 10**6
