"""The tables that people read, on disk: ``results/<suite>/``."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.disk import write_atomically
from bench.reports.columns import flat, keys
from bench.reports.document import document
from bench.reports.render.latex import latex
from bench.reports.render.markdown import markdown
from bench.reports.schema import Cell, Report


def write(
    report: Report,
    folder: Path,
    agreement: bytes | None = None,
    page: str | None = None,
    paper: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write the report as Markdown, JSON, LaTeX and two tables of CSV; returns the paths.

    ``agreement``: also ``agreement.npz``, of :mod:`bench.comparisons.agreement_file`.
    ``page``: also ``report.html``, of :mod:`bench.reports.html`.
    ``paper``: also these texts by file name, of :mod:`bench.reports.methods`.
    """
    printed = document(report)
    cells = (*report.cells, *report.secondary.cells)
    comparisons = (*report.comparisons, *report.secondary.comparisons)
    contents = {
        "report.md": markdown(printed.blocks(everything=True)).encode(),
        "report.tex": latex(printed, report.suite).encode(),
        "report.json": report.model_dump_json(indent=1).encode() + b"\n",
        "cells.csv": _table([*Cell.model_fields], (cell.model_dump() for cell in cells)).encode(),
        "comparisons.csv": _table(keys(), map(flat, comparisons)).encode(),
        **{name: text.encode() for name, text in (paper or {}).items()},
    }
    if agreement is not None:
        contents["agreement.npz"] = agreement
    if page is not None:
        contents["report.html"] = page.encode(errors="replace")
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / name for name in contents]


def _table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows of all metrics as CSV. Lists become their members in a row; what is None is left empty."""
    file = io.StringIO(newline="")
    table = csv.writer(file, lineterminator="\n")
    table.writerow(columns)
    for row in rows:
        values = (row[name] for name in columns)
        texts = (" ".join(map(str, value)) if isinstance(value, tuple) else value for value in values)
        table.writerow([inert(value) if isinstance(value, str) else value for value in texts])
    return file.getvalue()


def inert(text: str) -> str:
    """A cell of text that no spreadsheet takes for a formula: an apostrophe comes before one that begins so.

    What is a plain number stays one.
    """
    formula = re.match(r"[=+\-@\t\r\n＝＋－＠]", text) and not re.fullmatch(r"[+-]?\d+(\.\d+)?", text)
    return f"'{text}" if formula else text
