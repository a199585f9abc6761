"""What a number of seeds can find: the smallest true difference that is found with power .8.

It falls with the root of the number of seeds, from where the spread of the differences puts it. The curves
are those of the comparisons with the smallest and the largest spread, and of the one in the middle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from bench.reports.documents import Comparison
from bench.reports.figures import style
from bench.reports.figures.material import Material, NothingToDraw, Pair, Sketch, some, where
from bench.reports.figures.panels import columns_for
from bench.statistics.paired import PairedT
from bench.statistics.planning import minimum_detectable_effect

POINTS = 24
"""Numbers of seeds at which a curve is computed."""
HEIGHT, HEAD = 1.9, 0.6  # inches


def detectable(seeds: NDArray[np.int64], sd: float, alpha: float) -> NDArray[np.float64]:
    """Smallest difference that is found with power .8, in the unit of ``sd``, for each number of seeds [N].

    As :attr:`bench.reports.documents.Comparison.detectable`: paired t-test at α, before adjustment.
    """
    per_sd = [
        minimum_detectable_effect(PairedT(n, se=1 / math.sqrt(n), df=n - 1), alpha) or math.nan
        for n in seeds.tolist()
    ]
    return sd * np.array(per_sd)


def draw(material: Material) -> list[Sketch]:
    """One panel a data set × model.

    Raises:
        NothingToDraw: no differences vary yet, so there is no spread to go by.
    """
    if material.report.sequential is not None:
        raise NothingToDraw("seeds are added until decided: `bench plan` simulates what that finds")
    found = {
        pair: [c for c in compared if c.sd and c.detectable]
        for pair, compared in material.comparisons.items()
    }
    found = {pair: compared for pair, compared in found.items() if compared}
    if not found:
        raise NothingToDraw("no loss has two pairs of seeds whose differences vary")
    seeds = _numbers_of_seeds([c.n for compared in found.values() for c in compared])
    per_sd = detectable(seeds, 1.0, material.report.alpha)
    columns = columns_for(len(found))
    most = columns * int((style.TALLEST - HEAD) / HEIGHT)
    pages = [list(found)[k : k + most] for k in range(0, len(found), most)]
    return [
        Sketch(
            style.numbered("power", number, len(pages)),
            "Seeds against the difference that they can detect",
            _in_words(material, {pair: found[pair] for pair in page}),
            _page(material, {pair: found[pair] for pair in page}, columns, seeds, per_sd),
        )
        for number, page in enumerate(pages)
    ]


def _numbers_of_seeds(suite: Sequence[int]) -> NDArray[np.int64]:
    """From three to ten times as many as the suite has, even on a logarithmic axis; and the suite's own."""
    grid = np.geomspace(3, max(100, 10 * max(suite)), POINTS).round().astype(np.int64)
    return np.unique(np.concatenate([grid, [n for n in suite if n > 2]]))


def _page(
    material: Material,
    found: dict[Pair, list[Comparison]],
    columns: int,
    seeds: NDArray[np.int64],
    per_sd: NDArray[np.float64],
) -> Figure:
    rows = -(-len(found) // columns)
    width = style.SINGLE if columns == 1 else style.DOUBLE
    figure = style.sheet(width, HEAD + rows * HEIGHT)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for panel, (pair, compared) in zip(axes.flat, found.items(), strict=False):
        panel.set_title(style.heading(*pair, style.room_above(width, columns)), pad=3)
        _draw_panel(panel, compared, seeds, 100 * per_sd, material.report.margin)
    for empty in axes.flat[len(found) :]:
        empty.remove()
    for last in axes.flat[max(0, len(found) - columns) : len(found)]:
        last.tick_params(labelbottom=True)
    figure.supxlabel("paired seeds", fontsize=style.NORMAL)
    figure.supylabel("detectable difference (points)", fontsize=style.NORMAL)
    handles = [
        style.entry(color=style.BLACK, linewidth=1.2),
        Patch(color=style.PALE),
        style.entry(color="#0072b2", marker="o", linestyle="", markersize=3.2),
    ]
    names = ["median spread", "smallest to largest spread", "this suite"]
    if material.report.margin:
        handles.append(style.entry(color="#d55e00", linewidth=0.9, linestyle=(0, (4, 1.5))))
        names.append(f"margin: {material.report.margin:g} points")
    style.head(figure, material.report, handles, names)
    return figure


def _draw_panel(
    panel: Axes,
    compared: Sequence[Comparison],
    seeds: NDArray[np.int64],
    per_sd: NDArray[np.float64],
    margin: float,
) -> None:
    spreads = np.array([c.sd for c in compared], dtype=np.float64)
    panel.fill_between(seeds, spreads.min() * per_sd, spreads.max() * per_sd, color=style.PALE, linewidth=0)
    panel.plot(seeds, np.median(spreads) * per_sd, color=style.BLACK, linewidth=1.2)
    n, at = [c.n for c in compared], [100 * (c.detectable or 0) for c in compared]
    panel.plot(n, at, color="#0072b2", marker="o", linestyle="", markersize=3.2, zorder=3)
    if margin:
        panel.axhline(margin, color="#d55e00", linewidth=0.9, linestyle=(0, (4, 1.5)))
    panel.set(xscale="log", yscale="log")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _in_words(material: Material, found: dict[Pair, list[Comparison]]) -> str:
    clauses = []
    for pair, compared in found.items():
        for c in sorted(compared, key=lambda c: c.detectable or 0):
            detected = f"{100 * (c.detectable or 0):.2f} points with {c.n} seeds"
            clauses.append(f"{style.said(c.loss)} with {where(pair)} {detected}")
    return " ".join(
        [
            *style.cautions(material.report),
            f"Smallest true difference that Student's t at α = {material.report.alpha:g} finds with power "
            f".8, falling with the number of seeds. This suite: {some(clauses)}.",
        ]
    )
