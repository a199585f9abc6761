"""What is known of data sets on disk without reading an image: their files, and what tables say of them."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import BenchError, unknown

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".tif", ".tiff")
_DEEPEST = 32  # folders within folders: more are a link that leads back
_BLOCKS, _BLOCK = 64, 2**16  # of a large file, what is read to tell it from others of its size

PARTS = ("train", "validation", "test")
CALLED = {"train": "train", "training": "train", "val": "validation", "valid": "validation"}
CALLED |= {"validation": "validation", "dev": "validation", "test": "test", "testing": "test"}
"""What people call the parts of a data set, and what they are called here."""

SPLITS: dict[str, dict[str, dict[str, Any]]] = {
    **{
        name: {"train": {"split": "train"}, "test": {"split": "test"}}
        for name in ("SVHN", "STL10", "Food101", "GTSRB", "StanfordCars")
    },
    **{
        name: {"train": {"split": "train"}, "validation": {"split": "val"}, "test": {"split": "test"}}
        for name in ("Flowers102", "DTD", "FGVCAircraft", "PCAM", "RenderedSST2")
    },
    "Country211": {"train": {"split": "train"}, "validation": {"split": "valid"}, "test": {"split": "test"}},
    "OxfordIIITPet": {"train": {"split": "trainval"}, "test": {"split": "test"}},
    "Imagenette": {"train": {"split": "train"}, "test": {"split": "val"}},
    "USPS": {"train": {"train": True}, "test": {"train": False}},
    **{name: {"train": {}} for name in ("Caltech101", "Caltech256", "EuroSAT", "SUN397", "SEMEION")},
}
"""How each part is asked for. Those of one part are split by seed."""


def pictures(root: Path) -> Iterator[tuple[str, int]]:
    """Paths below a folder of all files that are pictures by their names, and their sizes in bytes, sorted.

    Raises:
        BenchError: there is no such folder, or no picture in it.
    """
    if not root.is_dir():
        raise BenchError(f"root: found {root}, and there is no such folder")
    pictures = sorted(_pictures(str(root), "", 0))
    if not pictures:
        raise BenchError(f"root: {root} has no pictures below it ({', '.join(IMAGES)})")
    yield from pictures


def _pictures(root: str, below: str, depth: int) -> Iterator[tuple[str, int]]:
    if depth > _DEEPEST:
        raise BenchError(f"root: {root}/{below}: folders within folders without end; does a link lead back?")
    with os.scandir(f"{root}/{below}") as entries:
        for entry in entries:
            path = f"{below}{entry.name}"
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _pictures(root, f"{path}/", depth + 1)
            elif entry.name.lower().endswith(IMAGES):
                if not path.isascii() and os.fsencode(path).decode(errors="replace") != path:
                    # Neither JSON nor a terminal takes what Python makes of such bytes.
                    raise BenchError(f"root: {root}: {os.fsencode(path)!r} is no name in UTF-8; rename it")
                yield path, entry.stat().st_size


def digest(files: Mapping[str, Any]) -> str:
    sums = hashlib.sha256()
    for name, line in sorted(files.items()):
        sums.update(f"{name}\0{line}\n".encode(errors="surrogateescape"))
    return sums.hexdigest()[:16]


def sampled(file: Path) -> str:
    """Digest of blocks of a file at equal distances, the first and the last among them."""
    sums, size = hashlib.sha256(), file.stat().st_size
    with file.open("rb") as content:
        for number in range(_BLOCKS):
            content.seek(max(size - _BLOCK, 0) * number // (_BLOCKS - 1))
            sums.update(content.read(_BLOCK))
    return sums.hexdigest()


def whole(file: Path) -> str:
    """Digest of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def label_bytes(file: Path, column: str) -> str:
    """Digest of the bytes that a Parquet file has of one column; empty: it is no such file.

    A label that is corrupted or mended leaves sizes and extremes as they are, and may lie between blocks.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    sums = hashlib.sha256()
    try:
        with pq.ParquetFile(file) as opened, file.open("rb") as content:
            pieces = opened.metadata
            for group in range(pieces.num_row_groups):
                for number in range(pieces.num_columns):
                    piece = pieces.row_group(group).column(number)
                    if piece.path_in_schema == column:
                        begins = piece.data_page_offset, piece.dictionary_page_offset
                        content.seek(min(begin for begin in begins if begin is not None))
                        sums.update(content.read(piece.total_compressed_size))
    except pa.ArrowException:
        return ""
    return sums.hexdigest()


def parquet_files(where: Path) -> dict[str, list[Path]]:
    """The files of each part: what their names or folders say, as in ``data/train-00000-of-00003.parquet``.

    Raises:
        BenchError: there are none, or some do not say and others do.
    """
    files = [where] if where.is_file() else sorted(where.rglob("*.parquet"))
    if not files:
        raise BenchError(f"root: found {where}, and no .parquet file there")
    parts: dict[str, list[Path]] = {}
    for file in files:
        parts.setdefault(_part_of(where, file), []).append(file)
    if "" in parts:
        silent = parts.pop("")
        if parts:
            raise BenchError(f"root: {silent[0]} does not say whether it is of train, validation or test")
        parts["train"] = silent
    return parts


def _part_of(where: Path, file: Path) -> str:
    """What a file's name says, or else the folder nearest to it; empty: none says. Raises BenchError."""
    inside = [file.name] if file == where else file.relative_to(where).parts
    for name in reversed(inside):
        parts = {CALLED[word] for word in re.split("[^a-z]+", name.lower()) if word in CALLED}
        if len(parts) > 1:
            raise BenchError(f"root: {file} says that it is of {' and of '.join(sorted(parts))}; rename it")
        if parts:
            return parts.pop()
    return ""


class Rows(NamedTuple):
    """The columns that count, each a value a row."""

    paths: list[str]
    labels: list[str]
    splits: list[str]
    """``train``, ``validation`` or ``test``; empty: there is no such column."""
    groups: list[str]
    """Empty: there is no such column."""


def rows_of(where: Path, columns: Mapping[str, str], given: Collection[str]) -> Rows:
    """What a CSV file says.

    Args:
        columns: what holds the ``image``, ``label``, ``split`` and ``group``.
        given: of these, those that must be there because somebody named them.

    Raises:
        BenchError: a column or a value is missing, an image is there twice, or a split is none.
        OSError: it cannot be read.
    """
    try:
        with where.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            there = reader.fieldnames or []
            wanted = _wanted(where, columns, given, there)
            if twice := [column for column in wanted.values() if there.count(column) > 1]:
                raise BenchError(f"file: {where}: two columns are called {twice[0]}")
            values: dict[str, list[str]] = {key: [] for key in ("image", "label", "split", "group")}
            seen: dict[str, int] = {}
            for row in reader:
                if None in row:  # where csv puts what has no column
                    raise BenchError(
                        f"file: {where}, line {reader.line_num}: found {len(there) + len(row[None])} values, "
                        f"expected {len(there)}; a value with a comma takes quotes"
                    )
                for key, column in wanted.items():
                    value = (row[column] or "").strip()
                    if not value:
                        raise BenchError(f"file: {where}, line {reader.line_num}: {column} is empty")
                    values[key].append(value)
                path = values["image"][-1]
                if path in seen:
                    raise BenchError(
                        f"file: {where}, lines {seen[path]} and {reader.line_num}: both are of {path}"
                    )
                seen[path] = reader.line_num
                if "split" in wanted and values["split"][-1].lower() not in CALLED:
                    what = unknown("split", values["split"][-1], CALLED)
                    raise BenchError(f"file: {where}, line {reader.line_num}: {what}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise BenchError(f"file: {where} is no CSV file in UTF-8: {error}") from None
    if not seen:
        raise BenchError(f"file: {where} has no rows")
    splits = [CALLED[split.lower()] for split in values["split"]]
    return Rows(values["image"], values["label"], splits, values["group"])


def _wanted(
    where: Path, columns: Mapping[str, str], given: Collection[str], there: Sequence[str]
) -> dict[str, str]:
    """The columns that are read, by what they hold."""
    wanted = {**columns}
    for key, column in columns.items():
        if column in there:
            continue
        if key in ("split", "group") and key not in given:
            del wanted[key]
        else:
            raise BenchError(f"file: {where}: {key}: {unknown('column', column, there)}")
    return wanted
