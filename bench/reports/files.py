"""The tables that people read, on disk: ``results/<suite>/``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.reports.comparison import CellSummary, Comparison, Report
from bench.reports.text import markdown
from bench.results import write_atomically


def write(report: Report, folder: Path) -> list[Path]:
    """Write ``report.md``, ``report.json``, ``cells.csv`` and ``comparisons.csv``; returns their paths."""
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
        "report.md": markdown(report),
        "report.json": report.model_dump_json(indent=1) + "\n",
        "cells.csv": cells.to_csv(index=False),
        "comparisons.csv": comparisons.to_csv(index=False),
    }
    paths = []
    for name, content in contents.items():
        write_atomically(folder / name, content.encode())
        paths.append(folder / name)
    return paths
