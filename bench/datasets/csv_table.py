"""``table``: a CSV file with a row an image: its path and label, and its split and group if it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.datasets.folders import of_files
from bench.datasets.on_disk import Table
from bench.datasets.pictures import File
from bench.datasets.sources import Source, check_classes, numbered, with_test
from bench.errors import BenchError


def source_of(where: Path, options: Table) -> Source:
    """What a table lists. Raises BenchError where a file is missing, or a class of another part is new."""
    rows = options.rows(where)
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
