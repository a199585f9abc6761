"""Evidence as seeds arrive: the e-value of each comparison, and the bar at which to stop.

Unlike a p-value it may be looked at after every seed (:mod:`bench.statistics.sequential`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from bench.reports.documents import Report
from bench.reports.figures import panels as grid
from bench.reports.figures import style
from bench.reports.figures.material import Material, NothingToDraw, Pair, Sketch, some, where
from bench.statistics.sequential import Evidence, evidence

HEIGHT = {False: 1.95, True: 1.3}  # inches of a panel with several comparisons, and with one
FLOOR = 1e-3
"""Evidence below it is drawn there: against a difference no more is needed."""


def draw(material: Material) -> list[Sketch]:
    """All comparisons of a data set × model in one panel, or many in a panel each.

    Raises:
        NothingToDraw: the number of seeds is fixed, or no comparison has two of them.
    """
    made = material.report.sequential
    if made is None:
        raise NothingToDraw("the number of seeds is fixed")
    return sketch(material.report, _paths(material), made.bar)


def _paths(material: Material) -> dict[Pair, dict[str, Evidence]]:
    """The evidence after each seed that a comparison has looked at, in the order in which they were added."""
    paths: dict[Pair, dict[str, Evidence]] = {}
    for pair, compared in material.comparisons.items():
        for c in compared:
            ours, base = (material.cell(pair, loss) for loss in (c.loss, c.baseline))
            counts, theirs = (dict(zip(cell.seeds, cell.counts, strict=True)) for cell in (ours, base))
            seeds = [s for s in material.suite.seeds if s in counts and s in theirs][: c.n]
            if seeds and ours.test_images and ours.test_images == base.test_images:
                d = np.array([counts[s] - theirs[s] for s in seeds], dtype=np.int64)
                found = evidence(d, ours.test_images, material.report.alpha)
                paths.setdefault(pair, {})[c.loss] = found
    return paths


def sketch(report: Report, paths: Mapping[Pair, Mapping[str, Evidence]], bar: float) -> list[Sketch]:
    """The figure, from the evidence of each data set × model, loss by loss.

    Raises:
        NothingToDraw: no comparison has two seeds.
    """
    found = {
        pair: {loss: made for loss, made in every.items() if np.isfinite(made.e).sum() > 1}
        for pair, every in paths.items()
    }
    losses = {pair: list(every) for pair, every in found.items() if every}
    if not losses:
        raise NothingToDraw("no comparison has evidence from two seeds or more")
    shown = grid.panels(losses, report.baseline)
    sheets = list(grid.sheets(shown, HEIGHT))
    sketches = []
    for number, sheet in enumerate(sheets):
        line = (style.entry(color=style.GREY, linestyle=(0, (4, 1.5)), linewidth=0.8), f"decided: {bar:g}")
        looks = grid.head(sheet, report, [line])
        for axes, panel in sheet.panels:
            for loss in panel.losses:
                _draw_line(axes, found[panel.pair][loss], looks[loss], bar)
            axes.axhline(bar, color=style.GREY, linestyle=(0, (4, 1.5)), linewidth=0.8, zorder=1)
            axes.axhline(1, color=style.PALE, linewidth=0.8, zorder=0)
        _scale(sheet.panels[0][0])
        sheet.figure.supxlabel("seeds", fontsize=style.NORMAL)
        sheet.figure.supylabel("e-value", fontsize=style.NORMAL)
        name = style.numbered("evidence", number, len(sheets))
        alt = _in_words(sheet, report, found, bar)
        sketches.append(Sketch(name, "Evidence for a difference after each seed", alt, sheet.figure))
    return sketches


def _draw_line(axes: Axes, made: Evidence, look: style.Look, bar: float) -> None:
    e = np.maximum(made.e, FLOOR)
    axes.plot(made.n, e, **look.line(linewidth=1.0))
    face = look.colour if made.e[-1] >= bar else "white"
    axes.plot(made.n[-1], e[-1], color=look.colour, marker=look.marker, markersize=4, markerfacecolor=face)


def _scale(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=7))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(_power_of_ten))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _power_of_ten(value: float, _: int) -> str:
    exponent = round(np.log10(value))
    if -3 <= exponent <= 4:
        return f"{value:g}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _in_words(
    sheet: grid.Sheet, report: Report, found: Mapping[Pair, Mapping[str, Evidence]], bar: float
) -> str:
    clauses = []
    for _, panel in sheet.panels:
        for loss in panel.losses:
            made = found[panel.pair][loss]
            end = "reached it" if made.e[-1] >= bar else f"{made.e[-1]:.3g}"
            clauses.append(f"{style.said(loss)} with {where(panel.pair)} {end} after {made.n[-1]} seeds")
    caution = style.cautions(report)
    return " ".join([*caution, f"e-values, which at a planned look decide at {bar:g}: {some(clauses)}."])
