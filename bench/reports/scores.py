"""The scores in somebody's table → counts of correct answers, and what had to be taken for granted."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.errors import BenchError
from bench.reports.agreement import LARGEST
from bench.reports.analysis import Joint, Scores, in_order, sole
from bench.reports.columns import Layout
from bench.reports.documents import Key, Seed
from bench.reports.rows import KEY, long_rows, named, numbers, refuse
from bench.statistics.agreement import joint_correct, pack

LARGEST_UNIT = 200_000
"""Accuracies with many digits are multiples of 1/n, for the smallest n up to this that fits them all."""
MOST_ROUNDED = 5
"""Digits of an accuracy (a fraction) up to which its last one is the unit: .95933 is 95,933 of 100,000."""


@dataclass(frozen=True)
class Reading:
    """What a table holds."""

    cells: dict[Key, Scores]
    said: str
    """What the scores were taken for."""
    notes: list[str] = field(default_factory=list)
    images: bool = True
    """Counts are of images, and not accuracies in units of their last digit."""
    joints: dict[tuple[str, str], Joint] = field(default_factory=dict)


def read_scores(
    source: str,
    table: pd.DataFrame,
    layout: Layout,
    total: int | None = None,
    percent: bool | None = None,
    paired: bool = True,
) -> Reading:
    """Methods sorted by name, or as the columns of the wide form stand: rows may come in any order.

    Args:
        source: what messages call the table.
        total: test images of every run, where no column says it.
        percent: whether accuracies are percentages; None: by their size.
        paired: seeds must be there; without, each row may be a run of its own.

    Raises:
        BenchError: a score that cannot be, or a run that is there twice, with its column and row.
    """
    columns = layout.columns
    sized = total is not None or "total" in columns
    if "correct" in columns and "image" in columns:
        return _by_image(source, long_rows(source, table, layout, "correct"))
    counted = "correct" in columns and (sized or "accuracy" not in columns)
    asked = long_rows(source, table, layout, "correct" if counted else "accuracy", paired=paired)
    values = numbers(source, asked)
    notes = _absent(asked[values.isna()])
    rows, values = asked[values.notna()], values.dropna()
    if rows.empty:
        raise BenchError(f"{source}: column '{asked.column.iloc[0]}': there is no number in it")
    totals = _totals(source, rows, columns.get("total", ""), total) if sized else None
    if totals is not None:
        notes += _uneven(rows, totals)
    if layout.methods:
        # A column a method has no name for what it holds. Whole numbers up to 100 of many are percentages.
        counted = False
        if percent is None and totals is not None and bool((values % 1 == 0).all()):
            counted = bool(values.max() > 100 or totals.max() <= 100)
    if counted:
        if totals is None:
            column = columns["correct"]
            raise BenchError(
                f"{source}: column '{column}': out of how many? Give --total-column or --total-images"
            )
        guess = f" (guessed: the largest is {values.max():g})" if layout.methods else ""
        said = f"scores are numbers of correct answers{guess}"
        counts = _checked_counts(source, rows, values, totals)
        return Reading(_cells(asked, rows, counts, totals, layout), said, notes)
    fractions, digits, said = _fractions(source, rows, values, percent)
    if totals is not None:
        counts = _count_images(source, rows, fractions, totals, digits)
        step, most = 10.0 ** -digits.max(), int(totals.max())
        if step * most > 1:
            said += (
                f", in steps of {100 * step:g} points, which are {step * most:.1f} of {most:,} images: "
                "the nearest numbers of correct answers are taken"
            )
        return Reading(_cells(asked, rows, counts, totals, layout), said, notes)
    units = pd.Series(0, rows.index)
    for _, group in fractions.groupby([rows.dataset, rows.model]):
        units[group.index] = _unit(group.unique(), int(digits.max()))
    steps = ", ".join(f"1/{unit:,}" for unit in sorted(units.unique()))
    said += f", counted in steps of {steps}, since the number of test images is not known (--total-images)"
    counts = (fractions * units).round()
    return Reading(_cells(asked, rows, counts, units, layout), said, notes, images=False)


def _cells(
    asked: pd.DataFrame, rows: pd.DataFrame, counts: pd.Series[float], totals: pd.Series[int], layout: Layout
) -> dict[Key, Scores]:
    """Every method is asked for every seed that its data set × model has."""
    planned: dict[tuple[str, str], set[Seed]] = defaultdict(set)
    found: dict[Key, dict[Seed, int]] = {}
    sizes: dict[Key, set[int]] = {}
    # Lists first: the elements of a column are slow to get one by one, and there may be millions.
    for dataset, model, method, seed in zip(*(asked[name].tolist() for name in KEY), strict=True):
        planned[dataset, model].add(seed)
        found.setdefault((dataset, model, method), {})
        sizes.setdefault((dataset, model, method), set())
    keys = (rows[name].tolist() for name in KEY)
    for dataset, model, method, seed, count, size in zip(
        *keys, counts.tolist(), totals.tolist(), strict=True
    ):
        found[dataset, model, method][seed] = int(count)
        sizes[dataset, model, method].add(size)
    place = {method: number for number, method in enumerate(layout.methods)}
    return {
        key: Scores(found[key], sole(sizes[key]), in_order(planned[key[:2]]))
        for key in sorted(found, key=lambda key: (key[0], key[1], place.get(key[2], 0), key[2]))
    }


def _absent(rows: pd.DataFrame) -> list[str]:
    """Runs without a score, named."""
    shown = [f"{named(row)} (data row {row.row})" for row in rows.head(5).itertuples()]
    more = f" and {len(rows) - 5:,} more" if len(rows) > 5 else ""
    return [f"no score, so the run counts as missing: {'; '.join(shown)}{more}"] if shown else []


def _uneven(rows: pd.DataFrame, totals: pd.Series[int]) -> list[str]:
    """Cells whose seeds were not tested on as many images each, named."""
    sizes = (
        rows.assign(size=totals)
        .groupby(KEY[:3], as_index=False)
        .agg(least=("size", "min"), most=("size", "max"))
    )
    return [
        f"{' × '.join(filter(None, row[:3]))}: its seeds were tested on {row.least:,} to {row.most:,} images"
        for row in sizes[sizes.least < sizes.most].itertuples(index=False)
    ]


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
    source: str, rows: pd.DataFrame, values: pd.Series[float], percent: bool | None
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


def _by_image(source: str, rows: pd.DataFrame) -> Reading:
    """One row for each image of each run, right or wrong."""
    values = numbers(source, rows)
    refuse(source, rows, ~values.isin([0, 1]), "0 or 1, since there is a column of images")
    rows = rows.assign(right=values == 1)
    runs = rows.groupby(KEY, as_index=False).agg(right=("right", "sum"), size=("right", "size"))
    joints: dict[tuple[str, str], Joint] = {}
    notes = []
    pairs = rows[["dataset", "model"]].drop_duplicates().sort_values(["dataset", "model"])
    for dataset, model in pairs.itertuples(index=False):
        group = rows[(rows.dataset == dataset) & (rows.model == model)]
        of_run = group.groupby(["method", "seed"], as_index=False).agg(
            first=("row", "first"), n=("row", "size")
        )
        image, images = pd.factorize(group.image)
        where = " × ".join(filter(None, (dataset, model))) or "single images"
        if len(of_run) > LARGEST:
            notes.append(
                f"{where}: no intervals for new images: {len(of_run):,} runs are more than {LARGEST:,}"
            )
        elif len(group) < len(of_run) * len(images):
            short = of_run[of_run.n < len(images)].iloc[0]
            own = group[(group.method == short.method) & (group.seed == short.seed)].image
            absent = images[~np.isin(images, own)][0]
            lacks = f"{short.method}, seed {short.seed}, lacks image {absent}"
            notes.append(f"{where}: no intervals for new images: {lacks}")
        else:
            answers = np.zeros((len(of_run), len(images)), dtype=bool)
            answers[group.groupby(["method", "seed"]).ngroup(), image] = group.right
            keys = zip(of_run.method, of_run.seed.tolist(), strict=True)
            places: dict[tuple[str, Seed], int] = {key: place for place, key in enumerate(keys)}
            joints[dataset, model] = Joint(places, joint_correct(pack(answers)), len(images))
    cells = _cells(rows, runs, runs.right, runs["size"], Layout({}, (), ""))
    said = "scores are single answers, one row for each image of a run"
    return Reading(cells, said, notes, joints=joints)
