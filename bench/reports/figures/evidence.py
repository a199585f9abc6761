"""Evidence as seeds arrive: the e-value of each comparison, and the bar at which to stop.

Unlike a p-value it may be looked at after every seed (:mod:`bench.statistics.sequential`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from bench.comparisons.runs import Pair
from bench.reports.figures import style
from bench.reports.figures.material import Material, NothingToDraw, Sketch
from bench.reports.figures.panels import sheets
from bench.reports.schema import Report
from bench.statistics.sequential import Evidence, evidence

FLOOR = 1e-3
"""Evidence below it is drawn there: against a difference no more is needed."""
BAR: dict[str, Any] = {"color": style.GREY, "linestyle": (0, (4, 1.5)), "linewidth": 0.8}


def draw(material: Material) -> list[Sketch]:
    """All comparisons of a data set × model in one panel, or many in a panel each.

    Raises:
        NothingToDraw: the number of seeds is fixed, or looks are planned, or no comparison has two seeds.
    """
    report = material.report
    if report.sequential is None:
        raise NothingToDraw("the number of seeds is fixed")
    if report.sequential.rule == "planned":
        raise NothingToDraw("looks are planned, and judged by their boundaries: this is for looks: whenever")
    paths: dict[Pair, dict[str, Evidence]] = {}
    for c in report.comparisons:
        if c.delta is not None:
            (theirs, ours), total = material.paired(c)
            path = evidence(ours - theirs, total, report.alpha, bounded=material.metric.counted)
            paths.setdefault(c.key[:2], {})[c.loss] = path
    return sketch(report, paths, report.sequential.bar)


def sketch(report: Report, paths: Mapping[Pair, Mapping[str, Evidence]], bar: float) -> list[Sketch]:
    """The figure, from the evidence of each data set × model, loss by loss.

    Raises:
        NothingToDraw: no comparison has two seeds.
    """
    drawable = {
        pair: of_pair
        for pair, of_losses in paths.items()
        if (of_pair := {loss: one for loss, one in of_losses.items() if np.isfinite(one.e).sum() > 1})
    }
    if not drawable:
        raise NothingToDraw("no comparison has evidence from two seeds or more")

    def in_words(path: Evidence) -> str:
        end = "reached it" if path.e[-1] >= bar else f"{path.e[-1]:.3g}"
        return f"{end} after {path.n[-1]} seeds"

    sketches = []
    for sheet in sheets(drawable, report, ("seeds", "e-value"), [(style.entry(**BAR), f"decided: {bar:g}")]):
        for axes, one, look in sheet.lines():
            _draw_line(axes, one, look, bar)
        for axes, _ in sheet.panels:
            axes.axhline(bar, zorder=1, **BAR)
            axes.axhline(1, color=style.PALE, linewidth=0.8, zorder=0)
        _scale(sheet.panels[0][0])
        alt = f"e-values, which at a planned look decide at {bar:g}: {sheet.in_words(in_words)}."
        sketches.append(Sketch("Evidence for a difference after each seed", alt, sheet.figure))
    return sketches


def _draw_line(axes: Axes, path: Evidence, look: style.Look, bar: float) -> None:
    e = np.maximum(path.e, FLOOR)
    axes.plot(path.n, e, **look.line(linewidth=1.0))
    face = look.colour if path.e[-1] >= bar else "white"
    axes.plot(path.n[-1], e[-1], color=look.colour, marker=look.marker, markersize=4, markerfacecolor=face)


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
