"""JSON, nested or not → one DataFrame with a row a run, or with a column a method."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from bench.comparisons.external.names import is_score
from bench.errors import BenchError

EXAMPLE = '{"method": "ce", "seed": 0, "accuracy": 95.86}'


def read_json(source: str, text: str) -> tuple[pd.DataFrame, list[str]]:
    """One document, or one object a line; and what was guessed.

    Lists of objects are rows, whose nested keys are joined by a point. Objects of lists are columns; those of
    objects, methods that hold runs.

    Raises:
        BenchError: no JSON, or none in which there are rows or columns.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        if len([line for line in text.splitlines() if line.strip()]) < 2:
            raise BenchError(f"{source}: line 1: no JSON ({error}); expected one object a line") from None
        return _flat(_lines(source, text)), []
    return _table(source, document)


def _lines(source: str, text: str) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BenchError(
                f"{source}: line {number}: no JSON ({error}); expected one object a line"
            ) from None
        if not isinstance(row, dict):
            raise BenchError(f"{source}: line {number}: expected one object a line, as in {EXAMPLE}")
        rows.append(row)
    return rows


def _table(source: str, document: Any) -> tuple[pd.DataFrame, list[str]]:
    if isinstance(document, list) and document and all(isinstance(row, dict) for row in document):
        return _flat(document), []
    if isinstance(document, list) and len(document) > 1 and all(isinstance(row, list) for row in document):
        names, *rows = document
        if all(isinstance(name, str) for name in names) and {len(row) for row in rows} == {len(names)}:
            return pd.DataFrame(rows, columns=names), []
    if not isinstance(document, dict) or not document:
        raise BenchError(f"{source}: no table; line 1: expected one object a line, or a list of such objects")
    values = [*document.values()]
    if {"columns", "data"} <= document.keys():
        return pd.DataFrame(document["data"], columns=document["columns"]), []
    if len(values) > 1 and all(_is_rows(value) for value in values):
        rows = [{"method": name, **row} for name, runs in document.items() for row in runs]
        return _flat(rows), [f"method: the keys {_some(document)} (guessed)"]
    if all(isinstance(value, dict) and sum(map(_is_rows, value.values())) == 1 for value in values):
        inner_rows = {name: next(filter(_is_rows, value.values())) for name, value in document.items()}
        return _table(source, inner_rows)
    within = [name for name, value in document.items() if _is_rows(value)]
    if len(within) == 1:
        return _flat(document[within[0]]), [f"rows: the objects in '{within[0]}' (guessed)"]
    if all(isinstance(value, list) for value in values):
        uneven = len({len(value) for value in values}) > 1
        table = pd.DataFrame({name: pd.Series(value, dtype=object) for name, value in document.items()})
        notes = ["lists of several lengths: what is not there is missing"] if uneven else []
        return table.infer_objects(), notes
    if all(isinstance(value, dict) and value for value in values):
        inner = [row for value in values for row in value.values()]
        if all(isinstance(row, dict) for row in inner):
            rows = [
                {"method": name, "seed": seed, **row}
                for name, runs in document.items()
                for seed, row in runs.items()
            ]
            return _flat(rows), ["method and seed: the outer and the inner keys (guessed)"]
        if not any(isinstance(row, (dict, list)) for row in inner):
            table = pd.DataFrame(document)
            return table.rename_axis(index="").reset_index(), []
        if all(isinstance(row, list) for row in inner) and _alike(values):
            scores = any(is_score(name) for name in values[0])
            role, words = ("method", "method") if scores else ("dataset", "data set")
            parts = [
                pd.DataFrame({"seed": range(1, len(runs_of) + 1), **runs}).assign(**{role: name})
                for name, runs in document.items()
                for runs_of in [next(iter(runs.values()))]
            ]
            return pd.concat(parts, ignore_index=True), [
                f"{words}: the keys {_some(document)}, seed: the places in their lists (guessed)"
            ]
    if all(not isinstance(value, (dict, list)) for value in values):  # one object, on one line
        return _flat([document]), []
    nested = [value for value in values if isinstance(value, dict)]
    if len(nested) == 1:  # beside what is said of the whole
        return _table(source, nested[0])
    raise BenchError(
        f"{source}: no table in its keys, {_some(document)}; expected a list of objects as {EXAMPLE}, or an "
        "object of lists, one a column"
    )


def _flat(rows: list[dict[str, Any]]) -> pd.DataFrame:
    if any(isinstance(value, dict) for row in rows for value in row.values()):
        return pd.json_normalize(rows)
    return pd.DataFrame(rows)


def _alike(columns: list[dict[str, list[Any]]]) -> bool:
    """Whether all have the same columns, and each one length."""
    return len({tuple(one) for one in columns}) == 1 and all(
        len({len(column) for column in one.values()}) == 1 for one in columns
    )


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _some(document: dict[str, Any]) -> str:
    names = [*map(str, document)]
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
