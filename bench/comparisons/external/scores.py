"""The scores in somebody's table → whole numbers, and what had to be taken for granted.

Accuracies become counts of correct answers, or of units of their last digit. Any other number becomes a whole
number of 1/10ᵏ, so that 0.3 − 0.2 and 0.2 − 0.1 are the same difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.comparisons.analysis import Images, Measured, sole
from bench.comparisons.comparison import Key, Metric, Seed
from bench.comparisons.external.counts import count_scores, fold_means, unequal_folds
from bench.comparisons.external.folds import count_folds, said_of_folds
from bench.comparisons.external.layout import Layout, Request, Score
from bench.comparisons.external.rows import KEY, long_rows, named, numbers, refuse
from bench.comparisons.pairings import Scores, in_order
from bench.comparisons.runs import LARGEST, Answers, Joint, Pair
from bench.errors import BenchError
from bench.metrics import lower_is_better
from bench.statistics.agreement import joint_correct, pack
from bench.suite.analysis import PERCENT_MARGIN


@dataclass(frozen=True)
class Reading:
    """What a table holds."""

    measured: list[Measured]
    """One a metric; the first decides."""
    words: str
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
    lower, readings = _directions(source, scores, request.lower_is_better)
    measured: list[Measured] = []
    notes: list[str] = []
    folds: dict[Pair, int] = {}
    for score in scores:
        rows = long_rows(source, table, layout, score.column, paired=request.paired)
        if layout.by_fold and not folds:
            folds = count_folds(source, rows, layout, request.folds)
            readings.insert(0, said_of_folds(rows, folds))
        rows["value"] = numbers(source, rows)
        rows["failed"] &= rows.value.isna()
        images: dict[Pair, Images] = {}
        remarks: list[str] = []
        if "image" in layout.columns:
            rows, images, remarks = _by_image(source, rows, score, by_fold=layout.by_fold)
        scored, absent = rows[rows.value.notna()], rows[rows.value.isna() & ~rows.failed]
        if scored.empty:
            raise BenchError(f"{source}: column '{rows.column.iloc[0]}': there is no number in it")
        counts, totals, counted, words = count_scores(source, scored, layout, score, request)
        if layout.by_fold and unequal_folds(scored, totals):
            counts, totals, counted = *fold_means(scored, counts / totals.astype(float)), False
            words += f"{'; ' if words else ''}folds are of unequal sizes, and each counts the same"
        remarks += _listed("the run failed", rows[rows.failed], layout)
        remarks += _listed("no score, so the run counts as missing", absent, layout)
        cells, sizes = _cells(rows.assign(count=counts, total=totals), layout)
        for key, of_cell in sizes.items() if counted else ():
            if len(of_cell) > 1:
                on = f"{min(of_cell):,} to {max(of_cell):,} images"
                remarks.append(f"{' × '.join(filter(None, key))}: its seeds were tested on {on}")
        several = f"{score.name}: " if len(scores) > 1 else ""
        if score is unnamed and request.percent is None:
            words += "; higher is better (if not, say --lower-is-better)" * (score.kind == "accuracy")
        readings += [several + words] if words else []
        notes += [several + remark for remark in remarks]
        unit, usual = ("", None) if score.kind == "metric" else ("%", PERCENT_MARGIN)
        margin = None if measured else usual if request.margin is None else request.margin
        metric = Metric(score.name, unit, not lower[score.name], margin, counted)
        measured.append(Measured(metric, cells, images))
    return Reading(measured, "; ".join(readings), notes, folds)


def _directions(
    source: str, scores: Sequence[Score], asked: bool | None
) -> tuple[dict[str, bool | None], list[str]]:
    """Whether less is better: by a metric's name, or as asked, of the only one or if it says nothing."""
    lower = {score.name: score.kind == "metric" and lower_is_better(score.name) for score in scores}
    only = len(scores) == 1 and scores[0].kind == "metric"
    stated = {name for name, less in lower.items() if asked is not None and (only or less is None)}
    wrong = [name for name, less in lower.items() if asked is not None and less is not asked]
    if wrong and not stated:
        raise BenchError(
            f"{source}: --{'lower' if asked else 'higher'}-is-better: {wrong[0]} is better the "
            f"{'higher' if asked else 'lower'} it is; the option is for a metric whose name does not say"
        )
    lower |= dict.fromkeys(stated, asked)
    unknown = "taken to be better the higher it is (if not, say --lower-is-better)"
    words = {True: "lower is better", False: "higher is better", None: unknown}
    names = [score.name for score in scores if score.kind == "metric"]
    guess = " (guessed from its name)"
    return lower, [
        f"{name}: {words[lower[name]]}{'' if name in stated or lower[name] is None else guess}"
        for name in names
    ]


def _cells(runs: pd.DataFrame, layout: Layout) -> tuple[dict[Key, Scores], dict[Key, set[int]]]:
    """Every method is asked for every seed that its data set × model has. With the totals of each cell."""
    planned: dict[Pair, set[Seed]] = defaultdict(set)
    runs_of: dict[Key, tuple[dict[Seed, int], set[int], set[Seed]]] = defaultdict(lambda: ({}, set(), set()))
    # Lists first: the elements of a column are slow to get one by one, and there may be millions.
    columns = (runs[name].tolist() for name in (*KEY, "count", "total", "failed"))
    for dataset, model, method, seed, count, total, failed in zip(*columns, strict=True):
        planned[dataset, model].add(seed)
        counts, sizes, lost = runs_of[dataset, model, method]
        if count == count:
            counts[seed] = int(count)
            sizes.add(int(total))
        elif failed:
            lost.add(seed)
    place = {method: number for number, method in enumerate(layout.methods)}
    cells = {}
    for key in sorted(runs_of, key=lambda key: (key[0], key[1], place.get(key[2], 0), key[2])):
        counts, sizes, lost = runs_of[key]
        cells[key] = Scores(counts, sole(sizes), in_order(planned[key[:2]]), frozenset(lost))
    return cells, {key: sizes for key, (_, sizes, _) in runs_of.items()}


def _listed(heading: str, rows: pd.DataFrame, layout: Layout) -> list[str]:
    """Runs of which something is to be said, named."""
    names = [
        f"{named(row, by_fold=layout.by_fold)} (data row {row.row})" for row in rows.head(5).itertuples()
    ]
    more = f" and {len(rows) - 5:,} more" if len(rows) > 5 else ""
    return [f"{heading}: {'; '.join(names)}{more}"] if names else []


def _by_image(
    source: str, rows: pd.DataFrame, score: Score, *, by_fold: bool
) -> tuple[pd.DataFrame, dict[Pair, Images], list[str]]:
    """One row for each image of each run, right or wrong, or any number → one a run, with their sum."""
    if rows.failed.any():
        rows["failed"] = rows.groupby(KEY).failed.transform("any")
    ended, counted = rows[~rows.failed], score.kind != "metric"
    bad = ~ended.value.isin([0, 1]) if counted else ended.value.isna()
    refuse(source, ended, bad, f"{'0 or 1' if counted else 'a number'}, since there is a column of images")
    first = {name: (name, "first") for name in ("row", "column", "found", "failed")}
    runs = rows.groupby(KEY, as_index=False).agg(value=("value", "sum"), images=("value", "size"), **first)
    runs["value"] = runs.value.mask(runs.failed)
    images: dict[Pair, Images] = {}
    notes = []
    # Of folds, every image is in one: there are no answers of several runs to the same images.
    for key, group in () if by_fold else ended.groupby(["dataset", "model"]):
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
            images_of_run = group[(group.method == method) & (group.seed == seed)].image
            absent = names[~np.isin(names, images_of_run)][0]
            lacks = f"{method}, seed {seed}, lacks image {absent}"
            notes.append(f"{where}: no intervals for new images: {lacks}")
        else:
            answers = np.zeros((len(of_run), len(names)))
            answers[group.groupby(["method", "seed"]).ngroup(), image] = group.value
            places: dict[tuple[str, Seed], int] = {key: place for place, key in enumerate(of_run.index)}
            images[pair] = Answers(places, answers)
            if counted:
                images[pair] = Joint(places, joint_correct(pack(answers == 1)), len(names))
    return runs, images, notes
