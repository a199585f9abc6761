"""Somebody's own results, from a file or standard input → one DataFrame, or one clear message."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from pathlib import Path

import pandas as pd

from bench.comparisons.external.objects import read_json
from bench.comparisons.external.text import decoded, headings, read_csv, without_nameless
from bench.errors import BenchError, nearest, unknown

ALLOWED = (
    "CSV (.csv, .tsv), JSON (.json, .jsonl), Parquet (.parquet) or Excel (.xlsx), or - for standard input"
)
GUESSED = "guessed"
"""In a table's ``attrs``: what was taken for granted, and the option that says otherwise, a sentence each."""


def read_table(path: Path | str, *, encoding: str | None = None, sheet: str | None = None) -> pd.DataFrame:
    """The rows of a file, in its order; what was guessed on the way stands in ``attrs["guessed"]``.

    The format is known by the file's content and name; what is neither JSON, Parquet nor Excel is read as
    text: CSV, or any table whose columns a separator tells apart.

    Args:
        path: ``-``: standard input.
        encoding: of a text; None: UTF-8 where it is, else guessed.
        sheet: of an Excel file; None: the one that holds a table.

    Raises:
        BenchError: there is no such file, it is empty, or not what it seems to be: says where.
    """
    path = Path(path)
    source = "standard input" if str(path) == "-" else str(path)
    content = _content(path)
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise BenchError(f"{source}: no gzip file that can be read: {error}") from None
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix in (
        ".yaml",
        ".yml",
        ".toml",
        ".pkl",
        ".pickle",
        ".npy",
        ".npz",
        ".pt",
        ".mat",
        ".h5",
        ".rds",
        ".pdf",
    ):
        raise BenchError(f"{source}: {suffix} files are not read; expected {ALLOWED}")
    if not content.strip():
        raise BenchError(f"{source}: the file is empty; expected {ALLOWED}")
    if suffix in (".xlsx", ".xlsm", ".xls", ".ods") or content[:4] == b"PK\x03\x04":
        table, guessed = _excel(source, content, suffix, sheet)
    elif sheet is not None:
        raise BenchError(f"{source}: --sheet is for Excel files, and this is none")
    elif content[:4] == b"PAR1" or suffix in (".parquet", ".pq"):
        table, guessed = _parquet(source, content), []
    else:
        text, guessed = decoded(source, content, encoding, ALLOWED)
        is_json = suffix in (".jsonl", ".ndjson", ".json") or (not suffix and text.lstrip()[:1] in "[{")
        table, more = read_json(source, text) if is_json else read_csv(source, text)
        guessed = [*guessed, *more]
    if table.empty:
        raise BenchError(f"{source}: there are columns ({', '.join(map(str, table.columns))}), but no rows")
    table = table.rename(columns=str)
    table.attrs[GUESSED] = guessed
    return table


def _content(path: Path) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read()
    if path.is_dir():
        raise BenchError(f"{path}: a folder; expected a file: {ALLOWED}")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BenchError(f"{path}: there is no such file{_beside(path)}") from None
    except OSError as error:
        raise BenchError(f"{path}: cannot be read: {error.strerror}") from None


def _beside(path: Path) -> str:
    folder = path.parent
    return nearest(path.name, (file.name for file in folder.iterdir())) if folder.is_dir() else ""


def _parquet(source: str, content: bytes) -> pd.DataFrame:
    try:
        table = pd.read_parquet(io.BytesIO(content))
    except (OSError, ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise BenchError(
            f"{source}: no Parquet file that can be read: {' '.join(str(error).split())}"
        ) from None
    return table.reset_index(drop=isinstance(table.index, pd.RangeIndex))


def _excel(source: str, content: bytes, suffix: str, sheet: str | None) -> tuple[pd.DataFrame, list[str]]:
    if suffix in (".xls", ".ods"):
        raise BenchError(f"{source}: {suffix} files are not read; save it as .xlsx or CSV")
    try:
        cells = pd.read_excel(io.BytesIO(content), sheet_name=None, header=None, keep_default_na=False,
                              na_values=[""])  # fmt: skip
    except ImportError:
        raise BenchError(
            f"{source}: Excel files need openpyxl: pip install 'lossbench[excel]', or save it as CSV"
        ) from None
    except Exception as error:  # openpyxl raises whatever a broken archive happens to cause
        reason = " ".join(str(error).split())
        raise BenchError(f"{source}: no Excel file that can be read: {reason}") from None
    inner = {str(name): one.dropna(how="all").dropna(how="all", axis=1) for name, one in cells.items()}
    sheets = {name: one for name, one in inner.items() if len(one) > 1}
    if sheet is not None and sheet not in sheets:
        raise BenchError(f"{source}: --sheet: {unknown('sheet with a table', sheet, sheets)}")
    if not sheets:
        raise BenchError(f"{source}: no sheet has a heading and a row")
    name = sheet or next(iter(sheets))
    guessed = []
    if sheet is None and len(sheets) > 1:
        guessed.append(f"sheet: '{name}', of {', '.join(sheets)} (guessed; --sheet says otherwise)")
    whole = sheets[name]
    # A title has one cell, and what stands below it several.
    above = next((k for k, count in enumerate(whole.notna().sum(axis=1)) if count > 1), 0)
    top = [
        ["" if pd.isna(c) else str(c).strip() for c in row]
        for row in whole.iloc[above : above + 3].to_numpy()
    ]
    names, rows = headings(top)
    twice = next((one for one in names if one and names.count(one) > 1), None)
    if twice is not None:
        raise BenchError(f"{source}: sheet '{name}': {names.count(twice)} columns are called '{twice}'")
    table = whole.iloc[above + rows :].reset_index(drop=True)
    table.columns = pd.Index(names)
    if above:
        guessed.append(f"{above} row{'s' * (above > 1)} above the heading skipped")
    return without_nameless(table).infer_objects(), guessed
