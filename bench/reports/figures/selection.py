"""What choosing the epoch is worth: accuracy of the epoch that counts, the last, and the best on test images.

Whoever reports the best test epoch reports more than the model can do. The number at the right says how much
more than an honest choice: the epoch that counts, or, where that was chosen on the test set, the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.reports.figures import rows, style
from bench.reports.figures.material import (
    Material,
    NothingToDraw,
    Pair,
    Sketch,
    digits_for,
    points,
    some,
    where,
)

NAMES = {
    "last": {"last": "last epoch (the one that counts)", "best": "best epoch on the test set"},
    "validation": {
        "last": "last epoch",
        "counts": "epoch chosen on validation images (counts)",
        "best": "best epoch on the test set",
    },
    "test": {"last": "last epoch", "best": "best epoch on the test set (the one that counts)"},
}
"""The marks of each way to select, and what they are called."""
HEADINGS = {"last": "last", "counts": "chosen", "best": "best on test"}
HONEST = {"last": "last", "validation": "counts", "test": "last"}
MARKS: dict[str, dict[str, Any]] = {
    "last": {"color": "#0072b2", "marker": "s", "markersize": 4.5},
    "best": {"color": "#d55e00", "marker": "^", "markersize": 5},
    "counts": {"color": style.BLACK, "marker": "o", "markerfacecolor": "white", "markersize": 3.6},
}


class Means(NamedTuple):
    """Mean accuracies of a cell's seeds, as fractions."""

    counts: float
    last: float
    best: float


Found = Mapping[Pair, Mapping[str, Means]]


def means(runs: pd.DataFrame) -> Means:
    """Of a cell's finished runs, rows of :func:`bench.results.frame`."""
    total = runs.total.to_numpy(dtype=np.float64)
    counts = (runs.correct, [s["correct"] for s in runs["last"]], [s["correct"] for s in runs.best_test])
    return Means(*(float(np.mean(np.asarray(c, dtype=np.float64) / total)) for c in counts))


def draw(material: Material) -> list[Sketch]:
    """One row a cell that has finished runs.

    Raises:
        NothingToDraw: no run has finished.
    """
    selection = material.report.selection
    found: dict[Pair, dict[str, Means]] = {}
    tables: dict[Pair, rows.Table] = {}
    for pair, cells in material.pairs.items():
        finished = {cell.loss: means(material.runs_of(pair, cell.loss)) for cell in cells if cell.n}
        if finished:
            found[pair] = finished
            digits = digits_for(cells)
            tables[pair] = [(loss, _numbers(m, selection, digits)) for loss, m in finished.items()]
    if not found:
        raise NothingToDraw("no run has finished")
    pages = rows.pages(tables)
    return [
        Sketch(
            style.numbered("selection", number, len(pages)),
            "What choosing the epoch on the test set is worth",
            _in_words(material, page, found),
            _page(material, page, found),
        )
        for number, page in enumerate(pages)
    ]


def optimism(m: Means, selection: str) -> float:
    """By how much the best test epoch exceeds an honest one."""
    return float(m.best - getattr(m, HONEST[selection]))


def _numbers(m: Means, selection: str, digits: int) -> tuple[str, ...]:
    accuracies = [f"{100 * getattr(m, name):.{digits}f}" for name in NAMES[selection]]
    return (*accuracies, points(optimism(m, selection), digits), "")


def _page(material: Material, page: dict[Pair, rows.Table], found: Found) -> Figure:
    selection = material.report.selection
    names = NAMES[selection]
    every = [m for pair in page for m in found[pair].values()]
    limits = style.window(100 * np.array(every), len(every))
    columns = (*(HEADINGS[name] for name in names), f"best − {HEADINGS[HONEST[selection]]}", "")
    figure, panels = rows.sheet(page, columns, limits)
    for pair, panel in panels.items():
        for row, m in enumerate(found[pair].values()):
            ends = np.clip(100 * np.array([min(m), max(m)]), *limits)
            panel.plot(ends, [row, row], color=style.GREY, linewidth=0.8, zorder=1)
            for name in names:
                at, arrow = rows.edge(100 * getattr(m, name), limits)
                mark = MARKS[name] | ({"marker": arrow} if arrow else {})
                panel.plot([at], [row], linestyle="", **mark)
    panel.set_xlabel("test accuracy (%), mean over seeds")
    handles = [style.entry(linestyle="", **MARKS[name]) for name in names]
    style.head(figure, material.report, handles, [*names.values()])
    return figure


def _in_words(material: Material, page: Iterable[Pair], found: Found) -> str:
    selection = material.report.selection
    shown = [(pair, loss, m) for pair in page for loss, m in found[pair].items()]
    shown.sort(key=lambda item: -optimism(item[2], selection))
    digits = digits_for([cell for pair in page for cell in material.pairs[pair]])
    most, least = (points(optimism(shown[k][2], selection), digits) for k in (0, -1))
    clauses = []
    for pair, loss, m in shown:
        numbers = (f"{HEADINGS[k]} {100 * getattr(m, k):.{digits}f}" for k in NAMES[selection])
        clauses.append(f"{style.said(loss)} with {where(pair)}: {', '.join(numbers)}")
    return " ".join(
        [
            *style.cautions(material.report),
            "Mean test accuracy in percent of different epochs. Reporting the best epoch on the test set "
            f"instead of the {HEADINGS[HONEST[selection]]} one is worth {least} to {most} points.",
            some(clauses) + ".",
        ]
    )
