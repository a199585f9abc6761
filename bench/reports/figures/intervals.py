"""The one figure to look at first: every difference, its two intervals, and the margin that matters.

One row a comparison. Above, thick, the interval that decided; below it, thin and broken, what is known on new
images too. A verdict is a word, a marker and a colour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.comparisons.comparison import Comparison
from bench.comparisons.runs import Pair
from bench.reports.columns import Entry, columns_of
from bench.reports.figures import rows, style
from bench.reports.figures.material import Material, NothingToDraw, Sketch, axis, who
from bench.reports.formats import listed, some
from bench.reports.groups import design_of
from bench.statistics.verdicts import Interval, Word, percent

OFFSET = 0.17  # of a row, from its middle to either interval
HERE: dict[str, Any] = {"linewidth": 2.0, "solid_capstyle": "butt"}
NEW: dict[str, Any] = {"linewidth": 0.9, "linestyle": (0, (3, 1.2)), "marker": "|", "markersize": 4}


class Mark(NamedTuple):
    """How a verdict looks."""

    colour: str
    marker: str
    filled: bool


MARKS = {
    Word.SUPERIOR: Mark("#0072b2", "^", True),
    Word.INFERIOR: Mark("#d55e00", "v", True),
    Word.EQUIVALENT: Mark("#009e73", "s", True),
    Word.UNDECIDED: Mark(style.BLACK, "o", False),
    None: Mark(style.GREY, "D", False),
}
"""None: no verdict is given."""


def draw(material: Material) -> list[Sketch]:
    """Intervals of all comparisons, by data set and model.

    Raises:
        NothingToDraw: there is no difference yet, or nothing to compare.
    """
    report, metric = material.report, material.metric
    if not report.comparisons:
        raise NothingToDraw("there is no loss beside the baseline")
    if all(c.delta is None for c in report.comparisons):
        raise NothingToDraw("no loss has finished a seed that its baseline has finished too")
    entries = {
        pair: [
            Entry(cell, c, group.scale, cell.loss, _word(c, seeds=True))
            for cell in group.cells
            if (c := group.compared.get(cell.loss))
        ]
        for pair, group in material.groups.items()
        if group.compared
    }
    every = [entry for of_pair in entries.values() for entry in of_pair]
    first = columns_of("first", design_of(report), every)
    columns = [column for column in first if column.path.partition(".")[0] in ("comparison", "verdict")]
    tables = {
        pair: [(entry.name, tuple(column.cell(entry).text for column in columns)) for entry in of_pair]
        for pair, of_pair in entries.items()
    }
    difference = f"Difference in {style.brief(metric.name)} to {style.brief(report.baseline)}"
    title = f"{difference}, with the intervals for this test set and for new images"
    return [
        Sketch(title, _in_words(material, [*page]), _page(material, page, [c.heading for c in columns]))
        for page in rows.pages(tables)
    ]


def _word(c: Comparison, *, seeds: bool = False) -> str:
    lacking = f" ({c.n}/{c.n + len(c.missing)} seeds)" if c.missing and seeds else ""
    return (c.verdict.word if c.verdict else "no verdict") + lacking


def _intervals(c: Comparison) -> tuple[Interval | None, Interval | None]:
    """The one that decided, and the one on new images."""
    return c.shown, c.new_images.interval if c.new_images else None


def _page(material: Material, page: dict[Pair, rows.Table], headings: Sequence[str]) -> Figure:
    metric, report = material.metric, material.report
    compared = {pair: [*material.groups[pair].compared.values()] for pair in page}
    margin, every = metric.margin or 0.0, [c for of_pair in compared.values() for c in of_pair]
    ends = [end for c in every for i in _intervals(c) if i for end in (i.low, i.high)]
    values = np.array([*ends, *(c.delta for c in every if c.delta is not None)])
    limits = style.window(metric.scale * values, len(every), (0.0, -margin, margin))
    figure, panels = rows.sheet(page, headings, limits)
    for pair, panel in panels.items():
        if margin:
            panel.axvspan(-margin, margin, color=style.PALE, linewidth=0, zorder=0)
        panel.axvline(0, color=style.GREY, linewidth=0.6, zorder=1)
        for row, c in enumerate(compared[pair]):
            if c.delta is not None:
                _draw_row(panel, row, c, metric.scale, limits)
    name, baseline = style.fitted([metric.name, report.baseline], rows.NAMES, style.NORMAL)
    panel.set_xlabel(axis(f"Δ {name} against {baseline}", metric, metric.difference_unit))
    levels, new = (sorted({i.level for c in every if (i := _intervals(c)[k])}) for k in (0, 1))
    which = "its interval" if report.optimistic else "the interval that decided"
    clauses = f"Δ and {which} ({' or '.join(map(percent, levels))})" if levels else "Δ"
    legend: list[tuple[Any, str]] = [
        (style.entry(color=style.BLACK, marker="o", markerfacecolor="white", **HERE), clauses)
    ]
    if new:
        clauses = f"on new images too ({' or '.join(map(percent, new))})"
        legend.append((style.entry(color=style.BLACK, **NEW), clauses))
    if margin:
        legend.append((Patch(color=style.PALE), f"margin: ±{metric.within}"))
    style.head(figure, report, legend)
    return figure


def _draw_row(panel: Axes, row: int, c: Comparison, scale: int, limits: tuple[float, float]) -> None:
    mark = MARKS[c.verdict.word if c.verdict else None]
    for interval, y, line in zip(_intervals(c), (row - OFFSET, row + OFFSET), (HERE, NEW), strict=True):
        if interval is not None:
            ends = [scale * interval.low, scale * interval.high]
            panel.plot(ends, [y, y], color=mark.colour, zorder=2, **line)
    at, arrow = rows.edge(scale * (c.delta or 0.0), limits)
    face = mark.colour if mark.filled or arrow else "white"
    panel.plot([at], [row - OFFSET], marker=arrow or mark.marker, color=mark.colour, mfc=face, ms=5, zorder=3)


def _in_words(material: Material, page: Sequence[Pair]) -> str:
    metric = material.metric
    comparisons = [(pair, c) for pair in page for c in material.groups[pair].compared.values()]
    verdicts = Counter(_word(c) for _, c in comparisons)
    counts = [f"{verdicts[word]} {word}" for word in Word if verdicts[word]] or ["no verdicts"]
    # The verdicts that say something come first, then the largest differences.
    comparisons.sort(
        key=lambda item: (_word(item[1]) in (Word.UNDECIDED, "no verdict"), -abs(item[1].delta or 0))
    )
    margin = f", with a margin of ±{metric.within}" if metric.margin else ""
    quantity = axis(style.brief(metric.name), metric, metric.difference_unit)
    return (
        f"Differences in {quantity} to {style.brief(material.report.baseline)}{margin}: {listed(counts)}. "
        f"{some([_clause(material, pair, c) for pair, c in comparisons], 8, '; ')}."
    )


def _clause(material: Material, pair: Pair, c: Comparison) -> str:
    if c.delta is None:
        return f"{who(pair, c.loss)} cannot be compared yet"
    scale = material.groups[pair].scale
    clauses = [f"{who(pair, c.loss)} {scale.difference(c.delta)}"]
    for name, interval in zip(("interval", "on new images"), _intervals(c), strict=True):
        if interval is not None:
            clauses.append(f"{name} {scale.interval(interval)} ({percent(interval.level)})")
    return ", ".join([*clauses, *([c.verdict.phrase] if c.verdict else [])])
