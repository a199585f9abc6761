"""The scores in somebody's table → whole numbers, and what had to be taken for granted.

Accuracies become counts of correct answers, or of units of their last digit. Any other number becomes a whole
number of 1/10ᵏ, so that 0.3 − 0.2 and 0.2 − 0.1 are the same difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.comparisons.analysis import Images, Measured, sole
from bench.comparisons.comparison import Key, Metric, Seed
from bench.comparisons.external.folds import count_folds, said_of_folds
from bench.comparisons.external.layout import Layout, Request, Score
from bench.comparisons.external.rows import KEY, long_rows, named, numbers, refuse
from bench.comparisons.pairings import Scores, in_order
from bench.comparisons.runs import LARGEST, Answers, Joint, Pair
from bench.errors import BenchError
from bench.metrics import lower_is_better
from bench.statistics.agreement import joint_correct, pack
from bench.statistics.units import TooLarge, unit_for
from bench.suite.analysis import PERCENT_MARGIN

LARGEST_UNIT = 200_000
"""Accuracies with many digits are multiples of 1/n, for the smallest n up to this that fits them all."""
MOST_ROUNDED = 5
"""Digits of an accuracy (a fraction) up to which its last one is the unit: .95933 is 95,933 of 100,000."""
DIGITS = 13
"""Of any other number: those that floating point leaves alone."""


@dataclass(frozen=True)
class Reading:
    """What a table holds."""

    measured: list[Measured]
    """One a metric; the first decides."""
    said: str
    """What the scores were taken for."""
    notes: list[str]
    folds: dict[Pair, int]
    """Of how many folds the runs of a data set × model are; empty where they differ in their seeds."""


def read_scores(source: str, table: pd.DataFrame, layout: Layout, request: Request) -> Reading:
    """Methods sorted by name, or as the columns of the wide form stand: rows may come in any order.

    Args:
        source: what messages call the table.

    Raises:
        BenchError: a score that cannot be, or a run that is there twice, with its column and row; a
            direction that a metric cannot have; or folds that are none.
    """
    # A column a method has no name for what it holds: accuracies, unless somebody says what is better.
    unnamed = Score("accuracy", "accuracy") if request.lower_is_better is None else Score("value", "metric")
    scores = layout.scores or (unnamed,)
    if request.percent is not None and all(score.kind == "metric" for score in scores):
        raise BenchError(f"{source}: --percent and --fraction are for accuracies: {scores[0].name} is none")
    lower, said = _directions(source, scores, request.lower_is_better)
    measured: list[Measured] = []
    notes: list[str] = []
    folds: dict[Pair, int] = {}
    for score in scores:
        rows = long_rows(source, table, layout, score.column, paired=request.paired)
        if layout.by_fold and not folds:
            folds = count_folds(source, rows, layout, request.folds)
            said.insert(0, said_of_folds(rows, folds))
        rows["value"] = numbers(source, rows)
        rows["failed"] &= rows.value.isna()
        images: dict[Pair, Images] = {}
        remarks: list[str] = []
        if "image" in layout.columns:
            rows, images, remarks = _by_image(source, rows, score, by_fold=layout.by_fold)
        there, absent = rows[rows.value.notna()], rows[rows.value.isna() & ~rows.failed]
        if there.empty:
            raise BenchError(f"{source}: column '{rows.column.iloc[0]}': there is no number in it")
        counts, totals, counted, words = _counts(source, there, layout, score, request)
        if layout.by_fold and _unequal(there, totals):
            counts, totals, counted = *_as_means(there, counts / totals.astype(float)), False
            words += f"{'; ' if words else ''}folds are of unequal sizes, and each counts the same"
        remarks += _listed("the run failed", rows[rows.failed], layout)
        remarks += _listed("no score, so the run counts as missing", absent, layout)
        cells, sizes = _cells(rows.assign(count=counts, total=totals), layout)
        for key, found in sizes.items() if counted else ():
            if len(found) > 1:
                on = f"{min(found):,} to {max(found):,} images"
                remarks.append(f"{' × '.join(filter(None, key))}: its seeds were tested on {on}")
        several = f"{score.name}: " if len(scores) > 1 else ""
        if score is unnamed and request.percent is None:
            words += "; higher is better (if not, say --lower-is-better)" * (score.kind == "accuracy")
        said += [several + words] if words else []
        notes += [several + remark for remark in remarks]
        unit, usual = ("", None) if score.kind == "metric" else ("%", PERCENT_MARGIN)
        margin = None if measured else usual if request.margin is None else request.margin
        metric = Metric(score.name, unit, not lower[score.name], margin, counted)
        measured.append(Measured(metric, cells, images))
    return Reading(measured, "; ".join(said), notes, folds)


def _directions(
    source: str, scores: Sequence[Score], asked: bool | None
) -> tuple[dict[str, bool | None], list[str]]:
    """Whether less is better: by a metric's name, or as asked, of the only one or if it says nothing."""
    lower = {score.name: score.kind == "metric" and lower_is_better(score.name) for score in scores}
    only = len(scores) == 1 and scores[0].kind == "metric"
    told = {name for name, less in lower.items() if asked is not None and (only or less is None)}
    wrong = [name for name, less in lower.items() if asked is not None and less is not asked]
    if wrong and not told:
        raise BenchError(
            f"{source}: --{'lower' if asked else 'higher'}-is-better: {wrong[0]} is better the "
            f"{'higher' if asked else 'lower'} it is; the option is for a metric whose name does not say"
        )
    lower |= dict.fromkeys(told, asked)
    unknown = "taken to be better the higher it is (if not, say --lower-is-better)"
    words = {True: "lower is better", False: "higher is better", None: unknown}
    names = [score.name for score in scores if score.kind == "metric"]
    guess = " (guessed from its name)"
    return lower, [
        f"{name}: {words[lower[name]]}{'' if name in told or lower[name] is None else guess}"
        for name in names
    ]


def _counts(
    source: str, rows: pd.DataFrame, layout: Layout, score: Score, request: Request
) -> tuple[pd.Series[float], pd.Series[Any], bool, str]:
    if score.kind == "metric":
        said = f"{score.name} is the mean over images, one row each" if "image" in layout.columns else ""
        return *_in_units(source, rows), False, said
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
        said = f"scores are numbers of correct answers{guess}"
        return _checked_counts(source, rows, values, totals), totals, True, said
    fractions, digits, said = _fractions(source, rows, values, percent, bool(layout.methods))
    if totals is not None:
        counts = _count_images(source, rows, fractions, totals, digits)
        step, most = 10.0 ** -digits.max(), int(totals.max())
        if step * most > 1:
            said += (
                f", in steps of {100 * step:g} points, which are {step * most:.1f} of {most:,} images: "
                "the nearest numbers of correct answers are taken"
            )
        return counts, totals, True, said
    units = pd.Series(0, rows.index)
    for _, group in fractions.groupby([rows.dataset, rows.model]):
        units[group.index] = _unit(group.unique(), int(digits.max()))
    steps = ", ".join(f"1/{unit:,}" for unit in sorted(units.unique()))
    said += f", counted in steps of {steps}, since the number of test images is not known (--total-images)"
    return (fractions * units).round(), units, False, said


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


def _unequal(rows: pd.DataFrame, totals: pd.Series[Any]) -> bool:
    """Whether some data set × model has folds of several sizes, as where k does not divide its images."""
    sizes = totals.astype(float).groupby([rows.dataset, rows.model])
    return bool((sizes.transform("min") < sizes.transform("max")).any())


def _as_means(rows: pd.DataFrame, means: pd.Series[float]) -> tuple[pd.Series[float], pd.Series[Any]]:
    """Means over folds of several sizes in one unit: these are compared, and not their counts."""
    counts, totals = means.copy(), pd.Series(1, rows.index).astype(object)
    for _, group in means.groupby([rows.dataset, rows.model]):
        totals[group.index] = unit = unit_for(group)
        counts[group.index] = (group * float(unit)).round()
    return counts, totals


def _cells(runs: pd.DataFrame, layout: Layout) -> tuple[dict[Key, Scores], dict[Key, set[int]]]:
    """Every method is asked for every seed that its data set × model has. With the totals of each cell."""
    planned: dict[Pair, set[Seed]] = defaultdict(set)
    found: dict[Key, tuple[dict[Seed, int], set[int], set[Seed]]] = defaultdict(lambda: ({}, set(), set()))
    # Lists first: the elements of a column are slow to get one by one, and there may be millions.
    columns = (runs[name].tolist() for name in (*KEY, "count", "total", "failed"))
    for dataset, model, method, seed, count, total, failed in zip(*columns, strict=True):
        planned[dataset, model].add(seed)
        counts, sizes, lost = found[dataset, model, method]
        if count == count:
            counts[seed] = int(count)
            sizes.add(int(total))
        elif failed:
            lost.add(seed)
    place = {method: number for number, method in enumerate(layout.methods)}
    cells = {}
    for key in sorted(found, key=lambda key: (key[0], key[1], place.get(key[2], 0), key[2])):
        counts, sizes, lost = found[key]
        cells[key] = Scores(counts, sole(sizes), in_order(planned[key[:2]]), frozenset(lost))
    return cells, {key: sizes for key, (_, sizes, _) in found.items()}


def _listed(what: str, rows: pd.DataFrame, layout: Layout) -> list[str]:
    """Runs of which something is to be said, named."""
    shown = [
        f"{named(row, by_fold=layout.by_fold)} (data row {row.row})" for row in rows.head(5).itertuples()
    ]
    more = f" and {len(rows) - 5:,} more" if len(rows) > 5 else ""
    return [f"{what}: {'; '.join(shown)}{more}"] if shown else []


# ------------------------------------------------------------------------------------- scores and their units


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
        what = f"{exact[bad].iloc[0]:.2f} of {totals[bad].iloc[0]:,} test images"
        refuse(source, rows, bad, f"a whole number of correct answers, and this is {what}")
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


# ------------------------------------------------------------------------------------------- single images


def _by_image(
    source: str, rows: pd.DataFrame, score: Score, *, by_fold: bool
) -> tuple[pd.DataFrame, dict[Pair, Images], list[str]]:
    """One row for each image of each run, right or wrong, or any number → one a run, with their sum."""
    if rows.failed.any():
        rows["failed"] = rows.groupby(KEY).failed.transform("any")
    there, counted = rows[~rows.failed], score.kind != "metric"
    bad = ~there.value.isin([0, 1]) if counted else there.value.isna()
    refuse(source, there, bad, f"{'0 or 1' if counted else 'a number'}, since there is a column of images")
    first = {name: (name, "first") for name in ("row", "column", "found", "failed")}
    runs = rows.groupby(KEY, as_index=False).agg(value=("value", "sum"), images=("value", "size"), **first)
    runs["value"] = runs.value.mask(runs.failed)
    images: dict[Pair, Images] = {}
    notes = []
    # Of folds, every image is in one: there are no answers of several runs to the same images.
    for key, group in () if by_fold else there.groupby(["dataset", "model"]):
        pair = (str(key[0]), str(key[1]))
        of_run = group.groupby(["method", "seed"]).size()
        image, names = pd.factorize(group.image)
        where = " × ".join(filter(None, pair)) or "single images"
        if len(of_run) > LARGEST:
            notes.append(
                f"{where}: no intervals for new images: {len(of_run):,} runs are more than {LARGEST:,}"
            )
        elif len(group) < len(of_run) * len(names):
            method, seed = of_run[of_run < len(names)].index[0]
            own = group[(group.method == method) & (group.seed == seed)].image
            absent = names[~np.isin(names, own)][0]
            lacks = f"{method}, seed {seed}, lacks image {absent}"
            notes.append(f"{where}: no intervals for new images: {lacks}")
        else:
            known = np.zeros((len(of_run), len(names)))
            known[group.groupby(["method", "seed"]).ngroup(), image] = group.value
            places: dict[tuple[str, Seed], int] = {key: place for place, key in enumerate(of_run.index)}
            images[pair] = Answers(places, known)
            if counted:
                images[pair] = Joint(places, joint_correct(pack(known == 1)), len(names))
    return runs, images, notes
