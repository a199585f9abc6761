"""The tables that people read, on disk: ``results/<suite>/``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.reports.documents import CellSummary, Comparison, Report
from bench.reports.text import markdown
from bench.results import write_atomically


def write(
    report: Report, folder: Path, agreement: bytes | None = None, page: str | None = None
) -> list[Path]:
    """Write ``report.md``, ``report.json``, ``cells.csv`` and ``comparisons.csv``; returns their paths.

    ``agreement``: also ``agreement.npz``, of :mod:`bench.reports.agreement`.
    ``page``: also ``report.html``, of :mod:`bench.reports.html`.
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
    contents = {
        "report.md": markdown(report).encode(),
        "report.json": report.model_dump_json(indent=1).encode() + b"\n",
        "cells.csv": cells.to_csv(index=False).encode(),
        "comparisons.csv": comparisons.to_csv(index=False).encode(),
    }
    if agreement is not None:
        contents["agreement.npz"] = agreement
    if page is not None:
        contents["report.html"] = page.encode(errors="replace")
    paths = []
    for name, content in contents.items():
        write_atomically(folder / name, content)
        paths.append(folder / name)
    return paths
