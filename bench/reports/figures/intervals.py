"""The one figure to look at first: every difference, its two intervals, and the margin that matters.

One row a comparison. Above, thick, what is known on this test set; below it, thin and broken, what is known
on new images too. A verdict is a word, a marker and a colour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.reports.documents import Comparison, Report
from bench.reports.figures import rows, style
from bench.reports.figures.material import (
    Material,
    NothingToDraw,
    Pair,
    Sketch,
    digits_for,
    percent,
    points,
    some,
    where,
)
from bench.statistics.verdicts import Verdict

COLUMNS = ("Δ", "here", "new images", "p adj.", "verdict")
OFFSET = 0.17  # of a row, from its middle to either interval
HERE: dict[str, Any] = {"linewidth": 2.0, "solid_capstyle": "butt"}
NEW: dict[str, Any] = {"linewidth": 0.9, "linestyle": (0, (3, 1.2)), "marker": "|", "markersize": 4}


class Mark(NamedTuple):
    """How a verdict looks."""

    colour: str
    marker: str
    filled: bool


MARKS = {
    Verdict.SUPERIOR: Mark("#0072b2", "^", True),
    Verdict.INFERIOR: Mark("#d55e00", "v", True),
    Verdict.EQUIVALENT: Mark("#009e73", "s", True),
    Verdict.UNDECIDED: Mark(style.BLACK, "o", False),
}


def draw(material: Material) -> list[Sketch]:
    """Intervals of all comparisons, by data set and model.

    Raises:
        NothingToDraw: there is no difference yet, or nothing to compare.
    """
    compared = material.comparisons
    if not compared:
        raise NothingToDraw("there is no loss beside the baseline")
    if all(c.delta is None for found in compared.values() for c in found):
        raise NothingToDraw("no loss has finished a seed that its baseline has finished too")
    tables = {
        pair: [(c.loss, _numbers(c, digits_for(material.pairs[pair]))) for c in found]
        for pair, found in compared.items()
    }
    pages = rows.pages(tables)
    return [
        Sketch(
            style.numbered("intervals", number, len(pages)),
            f"Difference in accuracy to {material.report.baseline}, with the intervals for this test set "
            "and for new images",
            _in_words(material, page),
            _page(material, page),
        )
        for number, page in enumerate(pages)
    ]


def _page(material: Material, page: dict[Pair, rows.Table]) -> Figure:
    report, compared = material.report, material.comparisons
    margin = report.margin
    ends = [(c.delta, c.low, c.high, c.low_new_images, c.high_new_images) for p in page for c in compared[p]]
    limits = style.window(100 * np.array(ends, dtype=np.float64), len(ends), (0.0, -margin, margin))
    figure, panels = rows.sheet(page, COLUMNS, limits)
    for pair, panel in panels.items():
        if margin:
            panel.axvspan(-margin, margin, color=style.PALE, linewidth=0, zorder=0)
        panel.axvline(0, color=style.GREY, linewidth=0.6, zorder=1)
        for row, comparison in enumerate(compared[pair]):
            _draw_row(panel, row, comparison, limits)
    baseline = style.fitted([report.baseline], rows.NAMES, style.NORMAL)[0]
    panel.set_xlabel(f"Δ accuracy against {baseline} (points)")
    _key(figure, report)
    return figure


def _draw_row(panel: Axes, row: int, c: Comparison, limits: tuple[float, float]) -> None:
    if c.delta is None:
        return
    mark = MARKS[c.verdict]
    for low, high, y, line in (
        (c.low, c.high, row - OFFSET, HERE),
        (c.low_new_images, c.high_new_images, row + OFFSET, NEW),
    ):
        if low is not None and high is not None:
            panel.plot([100 * low, 100 * high], [y, y], color=mark.colour, zorder=2, **line)
    at, arrow = rows.edge(100 * c.delta, limits)
    face = mark.colour if mark.filled or arrow else "white"
    panel.plot([at], [row - OFFSET], marker=arrow or mark.marker, color=mark.colour, mfc=face, ms=5, zorder=3)


def _numbers(c: Comparison, digits: int) -> tuple[str, ...]:
    def half(low: float | None, high: float | None) -> str:
        return "—" if low is None or high is None else f"±{50 * (high - low):.{digits}f}"

    delta = "—" if c.delta is None else points(c.delta, digits)
    p = "—" if c.p_adjusted is None else f"{c.p_adjusted:.3f}" if c.p_adjusted >= 0.001 else "<.001"
    verdict = c.verdict.value if c.p is not None else "not tested"
    if c.missing:
        verdict += f" ({c.n}/{c.n + len(c.missing)} seeds)"
    return delta, half(c.low, c.high), half(c.low_new_images, c.high_new_images), p, verdict


def _key(figure: Figure, report: Report) -> None:
    here = style.entry(color=style.BLACK, marker="o", markerfacecolor="white", **HERE)
    handles: list[Any] = [here, style.entry(color=style.BLACK, **NEW)]
    names = [f"Δ and {percent(1 - report.alpha)} interval on this test set", "the same on new images too"]
    if report.margin:
        handles.append(Patch(color=style.PALE))
        names.append(f"margin: ±{report.margin:g} points")
    style.head(figure, report, handles, names)


def _in_words(material: Material, page: Iterable[Pair]) -> str:
    report = material.report
    shown = [(pair, c) for pair in page for c in material.comparisons[pair]]
    verdicts = Counter(c.verdict.value for _, c in shown)
    counts = ", ".join(f"{verdicts[v.value]} {v.value}" for v in Verdict if verdicts[v.value])
    # The verdicts that say something come first, then the largest differences.
    shown.sort(key=lambda item: (item[1].verdict == Verdict.UNDECIDED, -abs(item[1].delta or 0)))
    clauses = [_clause(pair, c, digits_for(material.pairs[pair])) for pair, c in shown]
    return " ".join(
        [
            *style.cautions(report),
            f"Differences in accuracy points to {style.said(report.baseline)}, with "
            f"{percent(1 - report.alpha)} intervals and a margin of ±{report.margin:g} points: {counts}.",
            some(clauses) + ".",
        ]
    )


def _clause(pair: Pair, c: Comparison, digits: int) -> str:
    who = f"{style.said(c.loss)} with {where(pair)}"
    if c.delta is None:
        return f"{who} cannot be compared yet"
    said = [f"{who} {points(c.delta, digits)}"]
    ends = (("this test set", c.low, c.high), ("new images", c.low_new_images, c.high_new_images))
    for name, low, high in ends:
        if low is not None and high is not None:
            said.append(f"{name} {points(low, digits)} to {points(high, digits)}")
    return ", ".join([*said, c.verdict.value])
