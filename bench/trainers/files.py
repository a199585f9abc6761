"""The result of a program: tables, JSON or arrays in its folder, or a line of its standard output."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.disk import parse
from bench.errors import BenchError, nearest, unknown
from bench.metrics import lower_is_better
from bench.registry import describe
from bench.trainer_options import TABLES, Best, Reading
from bench.trainers.outcome import Outcome, check_share, outcome_of


def read_result(reading: Reading, folder: Path, match: re.Match[str] | None, metric: str) -> Outcome:
    """Read the result of a program.

    Args:
        reading: with its placeholders filled in.
        folder: the program's.
        said: the last match on its standard output.
        metric: what a number is.

    Raises:
        BenchError: there is none, or it is none.
    """
    if reading.stdout is not None:
        return _said(reading, match, metric)
    assert reading.file is not None
    path = folder / reading.file
    if not path.is_file():
        names = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())[:100]
        listed = (
            f"there are {', '.join(names[:8])}{', …' * (len(names) > 8)}" if names else "it wrote no file"
        )
        raise BenchError(f"result.file: it left no '{reading.file}'; {listed}{nearest(reading.file, names)}")
    kind = path.suffix[1:].lower()
    where = f"result.file: {reading.file}: "
    if kind == "npz":
        return outcome_of(_arrays(path, where), within=where)
    if kind in TABLES:
        rows = read_table(path, where)
        return _of_column(reading, _row(rows, reading, where), metric, where)
    try:
        content = parse(path.read_bytes())
    except ValueError as error:
        raise BenchError(f"{where}it is no JSON: {error}") from None
    if reading.column is None:
        return outcome_of(content, within=where)
    if not isinstance(content, Mapping):
        raise BenchError(f"{where}found {describe(content)}, expected a mapping with {reading.column}")
    return _of_column(reading, dict(_flat(content)), metric, where)


def _said(reading: Reading, match: re.Match[str] | None, metric: str) -> Outcome:
    where = f"result.stdout: {reading.stdout!r}: "
    if match is None:
        raise BenchError(f"{where}no line of its standard output matches")
    if reading.is_count:
        return outcome_of({name: _number(match[name], where) for name in ("correct", "total")}, within=where)
    return Outcome(values={metric: _share(reading, metric, _number(match[1], where), where)})


def _of_column(reading: Reading, row: Mapping[str, Any], metric: str, where: str) -> Outcome:
    assert reading.column is not None
    value = _value(row, reading.column, where)
    outcome = Outcome(values={metric: _share(reading, metric, value, where)})
    if reading.validation is None:
        return outcome
    held_out = _share(reading, metric, _value(row, reading.validation, where), where)
    return Outcome(values=outcome.values, validation=Outcome(values={metric: held_out}))


def _share(reading: Reading, metric: str, number: float, where: str) -> float:
    number = number / 100 if reading.unit == "percent" else number
    advice = "this one is in percent already?" if reading.unit == "percent" else "say `unit: percent`"
    check_share(where, metric, number, advice)
    return number


def _value(row: Mapping[str, Any], column: str, where: str) -> float:
    if column not in row:
        raise BenchError(
            f"{where}{unknown('column', column, (str(name) for name in row if name is not None))}"
        )
    return _number(row[column], f"{where}{column}: ")


def _number(value: Any, where: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) or value is None else float(value)
    except (TypeError, ValueError):
        raise BenchError(f"{where}found {describe(value)}, expected a number") from None
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BenchError(f"{where}found {value}, expected a finite number")
    return number


def read_table(path: Path, where: str = "") -> list[dict[str, Any]]:
    """The rows of a table, whole ones alone where it is being written.

    Raises:
        BenchError: it has no rows, or is no table.
    """
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        if path.suffix.lower() == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            separator = "\t" if path.suffix.lower() == ".tsv" else ","
            rows = [*csv.DictReader(text.splitlines(), delimiter=separator, skipinitialspace=True)]
    except (ValueError, RecursionError, csv.Error) as error:
        raise BenchError(f"{where}{error}") from None
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise BenchError(f"{where}it has no rows, and so no result")
    return rows


def _row(rows: list[dict[str, Any]], reading: Reading, where: str) -> dict[str, Any]:
    """The row that counts, of those that have the number: loggers leave many a cell empty."""
    by = reading.row.best if isinstance(reading.row, Best) else None
    columns = [column for column in (reading.column, by) if column is not None]
    filled = [row for row in rows if all(row.get(column) not in (None, "") for column in columns)] or rows
    if by is None:
        return filled[-1] if reading.row == "last" else filled[0]
    sign = -1 if lower_is_better(by) else 1
    return max(filled, key=lambda row: sign * _value(row, by, where))


def _flat(content: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Numbers and texts of a JSON document, by their path."""
    if not isinstance(content, Mapping):
        return []
    items = []
    for key, value in content.items():
        if isinstance(value, Mapping):
            items += _flat(value, f"{prefix}{key}.")
        else:
            items.append((f"{prefix}{key}", value))
    return items


def _arrays(path: Path, where: str) -> dict[str, Any]:
    """What ``np.savez`` wrote; names that begin with ``validation_`` are those of the validation images."""
    import zipfile

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise BenchError(f"{where}it is nothing that np.savez wrote: {error}") from None
    answer: dict[str, Any] = {}
    for name, array in arrays.items():
        inside = answer.setdefault("validation", {}) if name.startswith("validation_") else answer
        inside[name.removeprefix("validation_")] = array if array.ndim else array.item()
    return answer
