"""A row an epoch: which of them stands for its run is asked for, never guessed."""

from __future__ import annotations

import re

import pandas as pd

from bench.comparisons.external.layout import Layout, Request
from bench.comparisons.external.names import Role, is_accuracy, stem
from bench.errors import BenchError, unknown
from bench.metrics import lower_is_better

KEYS: tuple[Role, ...] = ("dataset", "model", "method", "seed", "fold", "repeat", "image")
ROW = "row of the source"

_VALIDATION = re.compile(r"(^|_)(val|valid|validation|dev)(_|$)")


def at_epoch(source: str, table: pd.DataFrame, layout: Layout, request: Request) -> tuple[pd.DataFrame, str]:
    """One row a run, and how it was chosen; the same table where runs have one row each.

    What an epoch logs in several rows, as Lightning does, becomes one: the last value of each column.

    Raises:
        BenchError: runs have several rows, and nobody says which counts; or what is said cannot be.
    """
    keys = [layout.columns[role] for role in KEYS if role in layout.columns]
    column, asked = layout.epoch, request.epoch
    if column is None:
        if asked is not None:
            raise BenchError(
                f"{source}: --epoch: no column of epochs is known by its name; say --epoch-column NAME"
            )
        return table, ""
    several = table.duplicated(keys).any() if keys else len(table) > 1
    if not several and asked is None:
        return table, ""
    epochs = pd.to_numeric(table[column], errors="coerce")
    validation = _validation(table, layout)
    if asked is None:
        best = f", best (by {validation}, on validation data)" if validation else ""
        raise BenchError(
            f"{source}: a run has several rows, one for each '{column}' ({epochs.min():g} to "
            f"{epochs.max():g}): say which counts with --epoch: last{best}, or a number"
        )
    rows = table.assign(**{column: epochs})[epochs.notna()]
    group = [*keys, column]
    rows = rows.reset_index(names=ROW).groupby(group, sort=False, dropna=False, as_index=False).last()
    rows = rows.set_index(ROW).rename_axis(None)[[*table.columns]]
    scored = rows[[name for name in (*layout.methods, *(s.column for s in layout.scores)) if name in rows]]
    rows = rows[scored.notna().any(axis=1)]
    if asked == "last":
        return _pick(rows, keys, rows[column]), f"the last {column} of each run"
    if asked.partition(":")[0] == "best":
        by = asked.partition(":")[2] or validation
        if not by:
            raise BenchError(
                f"{source}: --epoch best: no column of validation data is known by its name; say --epoch "
                "best:COLUMN"
            )
        if by not in rows.columns:
            raise BenchError(f"{source}: --epoch best: {unknown('column', by, rows.columns)}")
        values = pd.to_numeric(rows[by], errors="coerce")
        less = bool(lower_is_better(by))
        words = f"the {column} with the {'lowest' if less else 'highest'} {by} of each run"
        if by in scored.columns:
            words += ", which is what is compared: OPTIMISTIC"
        guess = "" if ":" in asked else " (guessed; --epoch best:COLUMN says otherwise)"
        return _pick(rows, keys, -values if less else values), words + guess
    if not re.fullmatch(r"\d+(\.0)?", asked):
        raise BenchError(f"{source}: --epoch: found '{asked}', expected last, best, best:COLUMN or a number")
    epoch_rows = rows[rows[column] == float(asked)]
    if epoch_rows.empty:
        raise BenchError(
            f"{source}: --epoch: no row has '{column}' {asked}; it goes from {epochs.min():g} to "
            f"{epochs.max():g}"
        )
    return epoch_rows, f"'{column}' {asked} of each run"


def _pick(rows: pd.DataFrame, keys: list[str], values: pd.Series[float]) -> pd.DataFrame:
    """Of each run the first row in which a value is largest."""
    values = values[values.notna()]
    if not keys:
        return rows.loc[[values.idxmax()]]
    best = values.groupby([rows.loc[values.index, key] for key in keys], sort=False, dropna=False).idxmax()
    return rows.loc[best]


def _validation(table: pd.DataFrame, layout: Layout) -> str:
    """The column by which an epoch may be chosen: of the kind of what is compared, else any."""
    names = [n for n in table.columns if _VALIDATION.search(stem(n)) and lower_is_better(n) is not None]
    scores = {score.column for score in layout.scores}
    shares = any(score.kind != "metric" for score in layout.scores)
    names.sort(key=lambda name: (name in scores, is_accuracy(name) is not shares))
    return names[0] if names else ""
