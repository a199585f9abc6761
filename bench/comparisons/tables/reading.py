"""Somebody's own results, from a file: CSV, JSON Lines or Parquet → one DataFrame, or one clear message."""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections import Counter
from pathlib import Path

import pandas as pd

from bench.errors import BenchError, nearest

SEPARATORS = ",;\t|"
ALLOWED = "CSV (.csv, .tsv), JSON Lines (.jsonl) or Parquet (.parquet)"


def read_table(path: Path) -> pd.DataFrame:
    """The rows of a file, in its order. Only an empty field of a CSV is a missing value.

    The format is known by the file's name; what is neither JSON Lines nor Parquet is read as CSV, with
    whichever of ``, ; tab |`` its header has most.

    Raises:
        BenchError: there is no such file, it is empty, or not what it seems to be: says where.
    """
    if path.is_dir():
        raise BenchError(f"{path}: a folder; expected a file: {ALLOWED}")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BenchError(f"{path}: there is no such file{_beside(path)}") from None
    if not content.strip():
        raise BenchError(f"{path}: the file is empty; expected {ALLOWED}")
    if content[:4] == b"PAR1" or path.suffix in (".parquet", ".pq"):
        table = _parquet(path, content)
    elif path.suffix in (".jsonl", ".ndjson", ".json"):
        table = _json_lines(path, _text(path, content))
    else:
        table = _csv(path, _text(path, content))
    if table.empty:
        raise BenchError(f"{path}: there are columns ({', '.join(map(str, table.columns))}), but no rows")
    return table.rename(columns=str)


def _beside(path: Path) -> str:
    folder = path.parent
    return nearest(path.name, (file.name for file in folder.iterdir())) if folder.is_dir() else ""


def _text(path: Path, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BenchError(f"{path}: byte {error.start:,} is no UTF-8 text; expected {ALLOWED}") from None
    if "\0" in text:
        raise BenchError(f"{path}: a binary file; expected {ALLOWED}")
    return text


def _csv(path: Path, text: str) -> pd.DataFrame:
    header = next(line for line in text.splitlines() if line.strip())
    counts = Counter(letter for letter in header if letter in SEPARATORS)
    separator = max(SEPARATORS, key=lambda letter: counts[letter])
    names = [name.strip() for name in next(csv.reader([header], delimiter=separator))]
    for name, count in Counter(names).items():
        if count > 1:
            raise BenchError(f"{path}: {count} columns are called '{name}'; every column needs its own name")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                io.StringIO(text),
                sep=separator,
                names=names,
                header=0,
                index_col=False,
                skipinitialspace=True,
                keep_default_na=False,  # a method may be called None
                na_values=[""],
                low_memory=False,
            )
    except pd.errors.ParserWarning:
        raise BenchError(f"{path}: there are rows with more fields than the header, {len(names)}") from None
    except pd.errors.ParserError as error:
        reason = str(error).removeprefix("Error tokenizing data. C error: ").strip()
        raise BenchError(f"{path}: the rows do not have {len(names)} fields each: {reason}") from None


def _json_lines(path: Path, text: str) -> pd.DataFrame:
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BenchError(
                f"{path}: line {number}: no JSON ({error}); expected one object a line"
            ) from None
        if not isinstance(row, dict):
            raise BenchError(
                f"{path}: line {number}: expected one object a line, as in "
                '{"method": "ce", "seed": 0, "accuracy": 95.86}'
            )
        rows.append(row)
    return pd.DataFrame(rows)


def _parquet(path: Path, content: bytes) -> pd.DataFrame:
    try:
        table = pd.read_parquet(io.BytesIO(content))
    except (OSError, ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise BenchError(
            f"{path}: no Parquet file that can be read: {' '.join(str(error).split())}"
        ) from None
    return table.reset_index(drop=isinstance(table.index, pd.RangeIndex))
