"""Somebody's table as it comes → one whose columns can be named: which rows, numbers for words, its shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

from bench.comparisons.external.cells import Cells, read_cells
from bench.comparisons.external.epochs import at_epoch
from bench.comparisons.external.layout import Layout, Request, Unclear, find_layout
from bench.comparisons.external.listing import explain
from bench.comparisons.external.names import plain
from bench.comparisons.external.reading import GUESSED
from bench.comparisons.external.scores import Reading, read_scores
from bench.comparisons.external.shapes import reshape
from bench.comparisons.external.totals import without_totals
from bench.errors import BenchError, unknown

MOST_ALIKE = 3
"""Names that are asked about."""


@dataclass(frozen=True)
class Prepared:
    """A table whose columns can be named."""

    table: pd.DataFrame
    cells: Cells
    words: tuple[str, ...]
    """Into what it was turned."""
    guessed: tuple[str, ...]
    """What was, with the option that says otherwise, a sentence each."""


@dataclass(frozen=True)
class Understood:
    """What a table holds, and how it was understood."""

    reading: Reading
    layout: Layout
    words: str
    """Form, columns, units, in a sentence."""
    guessed: tuple[str, ...]


def prepare(source: str, table: pd.DataFrame, request: Request) -> Prepared:
    """Which rows, numbers for words, and a shape that is known.

    Args:
        source: what messages call the table.

    Raises:
        BenchError: a column or value that is not there, or a shape that cannot be.
    """
    guessed = table.attrs.get(GUESSED, ())
    table = _where(source, table.rename(columns=str).reset_index(drop=True), request.where)
    table, left_out = without_totals(_hashable(table))
    cells = read_cells(source, table, request.decimal, request.percent)
    shaped = reshape(source, cells.table, request, request.transpose)
    return Prepared(shaped.table, cells, shaped.words, (*guessed, *left_out, *cells.guessed, *shaped.words))


def understand(source: str, prepared: Prepared, request: Request) -> Understood:
    """Which column is which, which row a run, and what was measured.

    Raises:
        BenchError: a column, row or number that cannot be, or nothing to go by: then what its columns look
            like, and a command that would work.
    """
    table, cells = prepared.table, prepared.cells
    try:
        layout = find_layout(source, table, request)
        used = {*layout.methods, *(score.column for score in layout.scores), layout.columns.get("total", "")}
        for name in sorted(used & cells.unclear.keys()):
            raise BenchError(f"{source}: {cells.unclear[name]}")
        if _in_percent(cells.percent, used, cells.table, layout, request):
            request = replace(request, percent=True)
        table, epoch = at_epoch(source, table, layout, request)
        reading = read_scores(source, table, layout, request)
    except Unclear as unclear:
        raise BenchError(explain(source, table, request, str(unclear), prepared.guessed)) from None
    words = "; ".join(filter(None, (layout.words, *prepared.words, epoch, reading.words)))
    parts = (part for part in (epoch, *reading.words.split("; ")) if "(guessed; --" in part or "(if " in part)
    assumed = (f"numbers: accuracies, {part}" if part.startswith("higher is") else part for part in parts)
    guessed = (*prepared.guessed, *layout.guessed, *assumed, *_alike(reading))
    return Understood(reading, layout, words, guessed)


def _hashable(table: pd.DataFrame) -> pd.DataFrame:
    """With texts for lists and the like, which are settings of some run."""
    changed = {}
    for name in table.columns:
        if not pd.api.types.is_numeric_dtype(table[name]):
            try:
                table[name].unique()
            except TypeError:
                changed[name] = table[name].map(str, na_action="ignore")
    return table.assign(**changed) if changed else table


def _alike(reading: Reading) -> list[str]:
    """Names of methods that differ in nothing but case, spaces and marks."""
    names: dict[str, list[str]] = {}
    for name in dict.fromkeys(key[2] for key in reading.measured[0].cells):
        names.setdefault(plain(name).strip("_"), []).append(name)
    return [
        f"method: {' and '.join(same)} are taken for {len(same)} methods (guessed; if they are one, give it "
        "one name)"
        for same in names.values()
        if len(same) > 1
    ][:MOST_ALIKE]


def _where(source: str, table: pd.DataFrame, conditions: Mapping[str, str]) -> pd.DataFrame:
    """Only rows whose columns have these values, as they stand there or as numbers."""
    for name, value in conditions.items():
        if name not in table.columns:
            raise BenchError(f"{source}: --where: {unknown('column', name, table.columns)}")
        rows = table[name].astype(str).str.strip() == value
        if pd.api.types.is_numeric_dtype(table[name]):
            number = pd.to_numeric(pd.Series([value]), errors="coerce").iloc[0]
            rows |= table[name] == number
        if not rows.any():
            values = table[name].dropna().astype(str).unique()[:20]
            raise BenchError(f"{source}: --where {name}=: {unknown('value', value, values)}")
        table = table[rows]
    return table


def _in_percent(
    percent: frozenset[str], used: set[str], table: pd.DataFrame, layout: Layout, request: Request
) -> bool:
    """Whether a sign says that accuracies are percentages, in their column or where they stood before."""
    shares = not layout.scores or any(score.kind == "accuracy" for score in layout.scores)
    where = bool(used & percent) or (bool(percent) and not used & {*table.columns})
    return request.percent is None and request.lower_is_better is None and shares and where
