"""The tables that people read, on disk: ``results/<suite>/``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bench.disk import write_atomically
from bench.reports.documents import CellSummary, Comparison, Report
from bench.reports.latex import latex
from bench.reports.text import markdown


def write(
    report: Report,
    folder: Path,
    agreement: bytes | None = None,
    page: str | None = None,
    paper: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write the report as Markdown, JSON, LaTeX and two tables of CSV; returns the paths.

    ``agreement``: also ``agreement.npz``, of :mod:`bench.reports.agreement`.
    ``page``: also ``report.html``, of :mod:`bench.reports.html`.
    ``paper``: also these texts by file name, of :mod:`bench.reports.methods`.
    """
    cells = pd.DataFrame(
        [cell.model_dump(mode="json") for cell in report.cells], columns=[*CellSummary.model_fields]
    )
    comparisons = pd.DataFrame(
        [comparison.model_dump(mode="json") for comparison in report.comparisons],
        columns=[*Comparison.model_fields],
    )
    for table, listed in ((cells, ("seeds", "counts")), (comparisons, ("missing",))):
        for column in listed:
            table[column] = [" ".join(map(str, values)) for values in table[column]]
    for table in (cells, comparisons):
        table[:] = table.map(lambda value: inert(value) if isinstance(value, str) else value)
    contents = {
        "report.md": markdown(report).encode(),
        "report.tex": latex(report).encode(),
        "report.json": report.model_dump_json(indent=1).encode() + b"\n",
        "cells.csv": cells.to_csv(index=False).encode(),
        "comparisons.csv": comparisons.to_csv(index=False).encode(),
    }
    contents |= {name: text.encode() for name, text in (paper or {}).items()}
    if agreement is not None:
        contents["agreement.npz"] = agreement
    if page is not None:
        contents["report.html"] = page.encode(errors="replace")
    paths = []
    for name, content in contents.items():
        write_atomically(folder / name, content)
        paths.append(folder / name)
    return paths


def inert(text: str) -> str:
    """A cell of text that no spreadsheet takes for a formula: an apostrophe comes before one that begins so.

    What is a plain number stays one.
    """
    formula = re.match(r"[=+\-@\t\r\n＝＋－＠]", text) and not re.fullmatch(r"[+-]?\d+(\.\d+)?", text)
    return f"'{text}" if formula else text
