"""What a number of seeds can find: the smallest true difference that is found with power .8.

It falls with the root of the number of seeds, from where the spread of the differences puts it. The curves
are those of the comparisons with the smallest and the largest spread, and of the one in the middle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from numpy.typing import NDArray

from bench.comparisons.comparison import Comparison, Metric
from bench.reports.figures import style
from bench.reports.figures.material import Material, NothingToDraw, Sketch
from bench.reports.figures.panels import sheets
from bench.statistics.paired import PairedT
from bench.statistics.planning import minimum_detectable_effect
from bench.statistics.stopping import FEWEST

POINTS = 24
"""Numbers of seeds at which a curve is computed."""
SPREAD: dict[str, Any] = {"color": style.BLACK, "linewidth": 1.2}
SUITE: dict[str, Any] = {"color": "#0072b2", "marker": "o", "linestyle": "", "markersize": 3.2}
MARGIN: dict[str, Any] = {"color": "#d55e00", "linewidth": 0.9, "linestyle": (0, (4, 1.5))}


def detectable(seeds: NDArray[np.int64], sd: float, alpha: float) -> NDArray[np.float64]:
    """Smallest difference that is found with power .8, in the unit of ``sd``, for each number of seeds [N].

    As :attr:`bench.comparisons.comparison.Comparison.detectable`: paired t-test at α, before adjustment.
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
    drawable = {
        pair: of_pair
        for pair, group in material.groups.items()
        if (of_pair := {loss: c for loss, c in group.compared.items() if c.sd and c.detectable})
    }
    if not drawable:
        raise NothingToDraw(f"no loss has {FEWEST} pairs of seeds whose differences vary")
    metric, alpha, name = material.metric, material.report.alpha, style.brief(material.metric.name)
    seeds = _numbers_of_seeds([c.n for compared in drawable.values() for c in compared.values()])
    curve = metric.scale * detectable(seeds, 1.0, alpha)
    unit = f" ({metric.difference_unit})" if metric.difference_unit else ""
    labels = "paired seeds", f"detectable difference in {name}{unit}"
    extra = [
        (style.entry(**SPREAD), "median spread"),
        (Patch(color=style.PALE), "smallest to largest spread"),
        (style.entry(**SUITE), "this suite"),
        *([(style.entry(**MARGIN), f"margin: {metric.within}")] if metric.margin else []),
    ]

    def in_words(c: Comparison) -> str:
        return f"{metric.scale * (c.detectable or 0):.3g} {metric.difference_unit} with {c.n} seeds"

    sketches = []
    for sheet in sheets(drawable, material.report, labels, extra, named=False):
        for axes, panel in sheet.panels:
            _draw_panel(axes, [drawable[panel.pair][loss] for loss in panel.losses], seeds, curve, metric)
        alt = (
            f"Smallest true difference in {name} that Student's t at α = {alpha:g} finds with "
            f"power .8, falling with the number of seeds. This suite: {sheet.in_words(in_words)}."
        )
        sketches.append(Sketch("Seeds against the difference that they can detect", alt, sheet.figure))
    return sketches


def _numbers_of_seeds(suite: Sequence[int]) -> NDArray[np.int64]:
    """To ten times as many as the suite has, even on a logarithmic axis; and the suite's own."""
    grid = np.geomspace(FEWEST, max(100, 10 * max(suite)), POINTS).round().astype(np.int64)
    return np.unique(np.concatenate([grid, suite]))


def _draw_panel(
    panel: Axes,
    compared: Sequence[Comparison],
    seeds: NDArray[np.int64],
    per_sd: NDArray[np.float64],
    metric: Metric,
) -> None:
    spreads = np.array([c.sd for c in compared], dtype=np.float64)
    panel.fill_between(seeds, spreads.min() * per_sd, spreads.max() * per_sd, color=style.PALE, linewidth=0)
    panel.plot(seeds, np.median(spreads) * per_sd, **SPREAD)
    panel.plot(
        [c.n for c in compared], [metric.scale * (c.detectable or 0) for c in compared], zorder=3, **SUITE
    )
    if metric.margin:
        panel.axhline(metric.margin, **MARGIN)
    panel.set(xscale="log", yscale="log")
    style.logarithmic(panel.xaxis)
    style.logarithmic(panel.yaxis)
