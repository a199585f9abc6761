"""``table``: a CSV file with a row an image: its path and label, and its split and group if it says."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.datasets.folders import of_files
from bench.datasets.on_disk import Table
from bench.datasets.pictures import File
from bench.datasets.sources import CALLED, Source, check_classes, numbered, with_test
from bench.errors import BenchError, unknown


class Rows(NamedTuple):
    """The columns that count, each a value a row."""

    paths: list[str]
    labels: list[str]
    splits: list[str]
    """``train``, ``validation`` or ``test``; empty: there is no such column."""
    groups: list[str]
    """Empty: there is no such column."""


def rows_of(where: Path, options: Table) -> Rows:
    """What a CSV file says.

    Raises:
        BenchError: a column or a value is missing, an image is there twice, or a split is none.
        OSError: it cannot be read.
    """
    try:
        with where.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            wanted = _wanted(where, options, columns)
            found: dict[str, list[str]] = {key: [] for key in ("image", "label", "split", "group")}
            seen: dict[str, int] = {}
            for row in reader:
                for key, column in wanted.items():
                    value = (row[column] or "").strip()
                    if not value:
                        raise BenchError(f"file: {where}, line {reader.line_num}: {column} is empty")
                    found[key].append(value)
                path = found["image"][-1]
                if path in seen:
                    raise BenchError(
                        f"file: {where}, lines {seen[path]} and {reader.line_num}: both are of {path}"
                    )
                seen[path] = reader.line_num
                if "split" in wanted and found["split"][-1].lower() not in CALLED:
                    what = unknown("split", found["split"][-1], CALLED)
                    raise BenchError(f"file: {where}, line {reader.line_num}: {what}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise BenchError(f"file: {where} is no CSV file in UTF-8: {error}") from None
    if not seen:
        raise BenchError(f"file: {where} has no rows")
    splits = [CALLED[split.lower()] for split in found["split"]]
    return Rows(found["image"], found["label"], splits, found["group"])


def _wanted(where: Path, options: Table, columns: Sequence[str]) -> dict[str, str]:
    """The columns that are read, by what they hold."""
    wanted = {"image": options.image, "label": options.label, "split": options.split, "group": options.group}
    for key, column in [*wanted.items()]:
        if column in columns:
            continue
        if key in ("split", "group") and key not in options.model_fields_set:
            del wanted[key]
        else:
            raise BenchError(f"file: {where}: {key}: {unknown('column', column, columns)}")
    return wanted


def source_of(where: Path, options: Table) -> Source:
    """What a table lists. Raises BenchError where a file is missing, or a class of another part is new."""
    rows = rows_of(where, options)
    files = []
    for path in rows.paths:
        try:
            files.append(File(str(where.parent / path), (where.parent / path).stat().st_size))
        except OSError as error:
            raise BenchError(f"file: {where}: {path}: {error.strerror}") from None
    splits = np.array(rows.splits or ["train"] * len(files))
    _, groups = np.unique(rows.groups, return_inverse=True) if rows.groups else (None, None)
    at = {str(part): np.flatnonzero(splits == part) for part in np.unique(splits)}
    classes, labels = numbered(
        {part: [rows.labels[row] for row in chosen] for part, chosen in at.items()}, f"file: {where}"
    )
    parts = {
        part: of_files(
            [files[row] for row in chosen], labels[part], None if groups is None else groups[chosen]
        )
        for part, chosen in at.items()
    }
    kind = "uint8" if options.depth == 8 else "uint16"
    source = Source(with_test(parts, options, f"file: {where}"), classes, kind)
    check_classes(source, f"file: {where}")
    return source
