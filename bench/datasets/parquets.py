"""``parquet``: the files of a Hugging Face data set, with pictures as bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets.listing import parquet_files
from bench.datasets.on_disk import Parquet
from bench.datasets.sources import Item, Labels, Part, Source, check_classes, numbered, with_test
from bench.errors import BenchError, unknown


def source_of(where: Path, options: Parquet) -> Source:
    """What lies in the files.

    Raises:
        BenchError: they cannot be read, lack a column, or a class of another part is not in training.
    """
    readers = {part: [_Rows(file, options) for file in files] for part, files in parquet_files(where).items()}
    names = _same_names([rows for files in readers.values() for rows in files])
    values = {part: [label for rows in files for label in rows.labels] for part, files in readers.items()}
    if names is None:
        classes, labels = numbered(values, f"root: {where}")
    else:
        classes, labels = names, {part: np.array(given, np.int64) for part, given in values.items()}
        for part, given in labels.items():
            if len(given) and (given.min() < 0 or given.max() >= len(names)):
                raise BenchError(
                    f"root: {where}: labels of {part} go from {given.min()} to {given.max()}, and there are "
                    f"{len(names)} classes" + ("; those of −1 are held back" if given.min() == -1 else "")
                )
    parts = {part: _part(files, labels[part]) for part, files in readers.items()}
    kind = "uint8" if options.depth == 8 else "uint16"
    source = Source(with_test(parts, options, f"root: {where}"), classes, kind)
    check_classes(source, f"root: {where}")
    return source


def _same_names(files: Sequence[_Rows]) -> list[str] | None:
    """The names of classes in all files: a number means the same class in each. Raises BenchError."""
    first = files[0]
    for other in files:
        if (other.names, other.numbers) != (first.names, first.numbers):
            raise BenchError(
                f"root: {first.file} and {other.file} do not have the same classes: found "
                f"{first.called()} and {other.called()}"
            )
    return first.names


class _Rows:
    """One file."""

    def __init__(self, file: Path, options: Parquet) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.file = file
        self.column = options.image
        try:
            self.reader = pq.ParquetFile(file)
            schema = self.reader.schema_arrow
            for key in ("image", "label"):
                if (column := getattr(options, key)) not in schema.names:
                    raise BenchError(f"root: {file}: {key}: {unknown('column', column, schema.names)}")
            kind = schema.field(options.label).type
            if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                raise BenchError(f"root: {file}: {options.label} is {kind}, expected integers or names")
            column = self.reader.read([options.label]).column(options.label)
        except (pa.ArrowException, OSError) as error:
            raise BenchError(f"root: {file} cannot be read: {str(error).splitlines()[0]}") from None
        if column.null_count:
            raise BenchError(f"root: {file}: {column.null_count} rows have no {options.label}")
        self.numbers = pa.types.is_integer(kind)
        self.names = _names(schema.metadata, options.label) if self.numbers else None
        given = column.to_pylist()
        self.labels: list[Any] = given if self.names is not None else [str(label) for label in given]
        groups = [self.reader.metadata.row_group(k).num_rows for k in range(self.reader.num_row_groups)]
        self.starts = np.cumsum([0, *groups])

    def called(self) -> str:
        """Its classes, as messages say them."""
        if self.names is None:
            return "numbers without names" if self.numbers else "names"
        return ", ".join(self.names[:5]) + ", …" * (len(self.names) > 5)

    @lru_cache(maxsize=1)  # noqa: B019, images are asked for in order, and a file is not used for long
    def _group(self, number: int) -> Any:
        return self.reader.read_row_group(number, columns=[self.column]).column(self.column)

    def image(self, row: int) -> bytes:
        """Its bytes. Raises BenchError where there are none."""
        import pyarrow as pa

        group = int(np.searchsorted(self.starts, row, "right")) - 1
        try:
            value = self._group(group)[row - int(self.starts[group])].as_py()
        except (pa.ArrowException, OSError) as error:
            raise BenchError(f"{self.file} cannot be read: {str(error).splitlines()[0]}") from None
        content = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(content, bytes):
            raise BenchError(f"{self.file}, row {row}: {self.column} holds no bytes of a picture")
        return content


def _names(metadata: dict[bytes, bytes] | None, column: str) -> list[str] | None:
    """The names of classes that Hugging Face's `datasets` writes into a file; None: it did not."""
    try:
        feature = json.loads((metadata or {})[b"huggingface"])["info"]["features"][column]
        return [str(name) for name in feature["names"]] or None
    except (KeyError, ValueError, TypeError):
        return None


def _part(files: Sequence[_Rows], labels: Labels) -> Part:
    starts = np.cumsum([0, *(len(rows.labels) for rows in files)])

    def at(row: int) -> tuple[_Rows, int]:
        number = int(np.searchsorted(starts, row, "right")) - 1
        return files[number], row - int(starts[number])

    def read(rows: Sequence[int]) -> list[Item]:
        return [file.image(inside) for file, inside in map(at, rows)]

    def name(row: int) -> str:
        file, inside = at(row)
        return f"{file.file}, row {inside}"

    return Part(labels, read, name)
