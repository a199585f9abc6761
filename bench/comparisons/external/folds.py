"""The folds of a cross-validation in somebody's table: what they are called, and how many there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pandas as pd

from bench.comparisons.external.layout import Layout
from bench.errors import BenchError

MOST_USUAL = 20
"""Folds that are not repeated: more may well be the repeats of fewer."""

Pair = tuple[str, str]  # data set, model


def fold_names(rows: pd.DataFrame) -> pd.Series[str]:
    """``repeat 1, fold 3``, or ``fold 3``: what pairs runs in place of a seed."""
    names = "fold " + rows.fold.astype(str)
    return "repeat " + rows["repeat"].astype(str) + ", " + names if "repeat" in rows else names


def count_folds(source: str, rows: pd.DataFrame, layout: Layout, asked: int | None) -> dict[Pair, int]:
    """How many folds (k) each data set × model has.

    Args:
        source: what messages call the table.
        rows: of :func:`bench.comparisons.external.rows.long_rows`.
        asked: how many a user says they are; without a column of repeats, they may be repeats of so many.

    Raises:
        BenchError: fewer than two folds, a repeat without some fold, another number than was asked for.
    """
    counts: dict[Pair, int] = {}
    column = layout.columns.get("fold")
    place = f"column '{column}'" if column else "the table"
    for pair, group in _settings(rows):
        within = "".join(f", {name}" for name in pair if name)
        count = group.fold.nunique()
        if "repeat" in group:
            _refuse_gaps(source, group, layout, within)
        if asked is not None and (count != asked if "repeat" in group else count % asked):
            allowed = f"{count}" if "repeat" in group else f"a number that divides {count}"
            raise BenchError(
                f"{source}: --folds: found {asked}, but {place}{within} has {count} folds; expected {allowed}"
            )
        if count < 2:
            first = group.iloc[0]
            raise BenchError(
                f"{source}: {place}{within}, data row {first.row}: found fold {first.fold} and no other; "
                "expected 2 folds or more; if runs differ in their seeds alone, leave the column out"
            )
        counts[pair] = asked or count
    return counts


def said_of_folds(rows: pd.DataFrame, counts: dict[Pair, int]) -> str:
    """By what runs are compared, in a clause; and that it may be another number, where it looks so."""
    repeats = {group.seed.nunique() // counts[pair] for pair, group in _settings(rows)}
    sizes, times = (" or ".join(map(str, sorted(numbers))) for numbers in ({*counts.values()}, repeats))
    words = f"compared by folds, {sizes} of them"
    if repeats != {1}:
        return f"{words}, repeated {times} times"
    return words + " (if they are repeats of fewer, say --folds)" * (max(counts.values()) > MOST_USUAL)


def _settings(rows: pd.DataFrame) -> Iterator[tuple[Pair, pd.DataFrame]]:
    for pair, group in rows.groupby(["dataset", "model"], sort=False):
        dataset, model = map(str, cast(Pair, pair))
        yield (dataset, model), group


def _refuse_gaps(source: str, group: pd.DataFrame, layout: Layout, within: str) -> None:
    """Each repeat splits all of the data, so it has all folds; only a method may lack some."""
    present = pd.crosstab(group["repeat"], group["fold"]) > 0
    if present.all(axis=None):
        return
    repeat = present.index[~present.all(axis=1)][0]
    fold = present.columns[~present.loc[repeat]][0]
    other = group[group.fold == fold].iloc[0]
    raise BenchError(
        f"{source}: column '{layout.columns['fold']}'{within}: repeat {repeat} has no fold {fold}, which "
        f"repeat {other['repeat']} has in data row {other.row}; expected the same folds in each repeat, and "
        f"repeats in column '{layout.columns['repeat']}' (if they are in another, say --repeat-column)"
    )
