"""What choosing the epoch is worth: results of the epoch that counts, the last, and the best on test images.

Whoever reports the best test epoch reports more than the model can do. The number at the right says how much
more than an honest choice: the epoch that counts, or, where that was chosen on the test set, the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from bench.comparisons.runs import Pair
from bench.reports.figures import rows, style
from bench.reports.figures.material import Material, NothingToDraw, Sketch, axis, who
from bench.reports.formats import Scale, scale_of, some

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
    """Over a cell's finished seeds, percentages as fractions."""

    counts: float
    last: float
    best: float


Found = Mapping[Pair, Mapping[str, Means]]


def means(material: Material, pair: Pair, loss: str) -> Means | None:
    """By what runs recorded of their epochs; None where that is nothing."""
    runs = material.runs_of(pair, loss)
    runs = runs[runs["last"].notna()]
    if material.epoch_metric.counted and not runs.empty:
        epochs = (
            runs.correct,
            *([score["correct"] for score in runs[name]] for name in ("last", "best_test")),
        )
        return Means(*(float(np.mean(np.asarray(c, dtype=np.float64) / runs.total)) for c in epochs))
    cell = next(cell for cell in material.groups[pair].cells if cell.loss == loss)
    if cell.mean is None or cell.mean_last is None or cell.mean_best_test is None:
        return None
    return Means(cell.mean, cell.mean_last, cell.mean_best_test)


def draw(material: Material) -> list[Sketch]:
    """One row a cell that has finished runs.

    Raises:
        NothingToDraw: no run has finished, or none tells of other epochs.
    """
    means_of = material.known(lambda pair, loss: means(material, pair, loss))
    if not means_of:
        none = material.runs.empty
        raise NothingToDraw(
            "no run has finished" if none else "which epoch counts is its trainer's own affair"
        )
    selection = material.report.selection
    scales = {pair: scale_of(material.epoch_metric, material.groups[pair].cells) for pair in means_of}
    pages = rows.pages(
        {
            pair: [(loss, (*_numbers(m, selection, scales[pair]), "")) for loss, m in of_pair.items()]
            for pair, of_pair in means_of.items()
        }
    )
    title = "What choosing the epoch on the test set is worth"
    return [
        Sketch(title, _in_words(material, [*page], means_of, scales), _page(material, page, means_of))
        for page in pages
    ]


def optimism(m: Means, selection: str) -> float:
    """By how much the best test epoch differs from an honest one."""
    return float(m.best - getattr(m, HONEST[selection]))


def _headings(selection: str) -> list[str]:
    return [*(HEADINGS[name] for name in NAMES[selection]), f"best − {HEADINGS[HONEST[selection]]}"]


def _numbers(m: Means, selection: str, scale: Scale) -> list[str]:
    values = [scale.value(getattr(m, name)) for name in NAMES[selection]]
    return [*values, scale.difference(optimism(m, selection))]


def _page(material: Material, page: dict[Pair, rows.Table], means_of: Found) -> Figure:
    metric, names = material.epoch_metric, NAMES[material.report.selection]
    every = [m for pair in page for m in means_of[pair].values()]
    limits = style.window(metric.scale * np.array(every), len(every))
    figure, panels = rows.sheet(page, [*_headings(material.report.selection), ""], limits)
    for pair, panel in panels.items():
        for row, m in enumerate(means_of[pair].values()):
            ends = np.clip(metric.scale * np.array([min(m), max(m)]), *limits)
            panel.plot(ends, [row, row], color=style.GREY, linewidth=0.8, zorder=1)
            for name in names:
                at, arrow = rows.edge(metric.scale * getattr(m, name), limits)
                mark = MARKS[name] | ({"marker": arrow} if arrow else {})
                panel.plot([at], [row], linestyle="", **mark)
    quantity = axis(f"test {style.brief(metric.name)}", metric, metric.unit)
    panel.set_xlabel(f"{quantity}, mean over seeds")
    legend = [(style.entry(linestyle="", **MARKS[name]), text) for name, text in names.items()]
    style.head(figure, material.report, legend)
    return figure


def _in_words(material: Material, page: Sequence[Pair], means_of: Found, scales: Mapping[Pair, Scale]) -> str:
    selection, metric = material.report.selection, material.epoch_metric
    rows = [(pair, loss, m) for pair in page for loss, m in means_of[pair].items()]
    rows.sort(key=lambda item: -abs(optimism(item[2], selection)))
    most, least = (scales[rows[k][0]].difference(optimism(rows[k][2], selection)) for k in (0, -1))
    clauses = []
    for pair, loss, m in rows:
        numbers = zip(_headings(selection), _numbers(m, selection, scales[pair]), strict=True)
        clauses.append(f"{who(pair, loss)}: {', '.join(map(' '.join, numbers))}")
    worth = f"{least} to {most} {metric.difference_unit}".rstrip()
    quantity = axis(f"test {style.brief(metric.name)}", metric, metric.unit)
    return (
        f"Mean {quantity} of different epochs. Reporting the best epoch on the test set instead of the "
        f"{HEADINGS[HONEST[selection]]} one is worth {worth}. {some(clauses, 8, '; ')}."
    )
