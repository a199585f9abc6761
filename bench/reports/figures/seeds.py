"""Seeds paired by lines: what one seed gives with the baseline, and with the loss.

Where the lines rise together there is a difference; where they cross, there is luck. One stretch of lines a
comparison: the baseline at its left, the loss at its right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from bench.comparisons.comparison import Comparison
from bench.comparisons.runs import Pair
from bench.reports.figures import style
from bench.reports.figures.material import Material, NothingToDraw, Sketch, axis, who
from bench.reports.figures.panels import grids
from bench.reports.formats import listed, some

ACROSS = 6
"""Comparisons side by side."""
HEIGHT = 1.75  # inches of a row of comparisons
HALF = 0.25  # of a stretch; what lies between two is as wide
LOOKS: dict[int, dict[str, Any]] = {  # whether the loss is better, worse or neither: how its line looks
    1: {"color": "#0072b2", "linestyle": "-"},
    -1: {"color": "#d55e00", "linestyle": (0, (4, 1.2))},
    0: {"color": style.GREY, "linestyle": (0, (1, 1))},
}
CALLED = {1: "better", -1: "worse", 0: "the same"}


class Slopes(NamedTuple):
    """The seeds that a loss and its baseline have both finished."""

    loss: str
    ends: NDArray[np.float64]
    """[2, seeds]: with the baseline and with the loss, as they are drawn."""
    signs: NDArray[np.int64]
    """Of each seed: 1 where the loss is better."""

    def count(self, sign: int) -> int:
        """How many seeds have this sign."""
        return int((self.signs == sign).sum())


class Stretch(NamedTuple):
    """One row of comparisons, all of the same data set × model."""

    pair: Pair
    slopes: Sequence[Slopes]


def draw(material: Material) -> list[Sketch]:
    """All comparisons that have pairs.

    Raises:
        NothingToDraw: there is no pair.
    """
    stretches = []
    for pair, group in material.groups.items():
        slopes = [_slopes(material, c) for c in group.compared.values() if c.delta is not None]
        stretches += [Stretch(pair, slopes[k : k + ACROSS]) for k in range(0, len(slopes), ACROSS)]
    if not stretches:
        raise NothingToDraw("no loss has finished a seed that its baseline has finished too")
    report, metric, baseline = material.report, style.brief(material.metric.name), material.report.baseline
    across = max(len(stretch.slopes) for stretch in stretches)
    # Few comparisons of several models stand side by side rather than below each other.
    columns = 2 if across <= 3 and len(stretches) > 1 else 1
    width = style.SINGLE if across <= 3 and len(stretches) == 1 else style.DOUBLE
    limits = _limits(stretches)
    legend = [(style.entry(**look, marker="o", markersize=2.5), CALLED[sign]) for sign, look in LOOKS.items()]
    legend.append((style.entry(color=style.BLACK, linewidth=1.8), "mean"))
    sketches = []
    for figure, page in grids(stretches, columns, HEIGHT, width=width):
        room = width / columns - 0.5
        for number, (panel, stretch) in enumerate(page):
            _draw_stretch(panel, stretch, baseline, limits[stretch.pair[0]], room / across, across)
            panel.set_title(style.heading(*stretch.pair, room), pad=6)
            if number % columns == 0:
                panel.set_ylabel(axis(f"test {metric}", material.metric, material.metric.unit))
        style.head(figure, report, legend)
        alt = f"Lines join the {metric} of one seed with {style.brief(baseline)} and with another loss"
        title = f"Test {metric} of each seed with {style.brief(baseline)} and with each other loss"
        sketches.append(Sketch(title, f"{alt}: {_in_words([s for _, s in page])}.", figure))
    return sketches


def _slopes(material: Material, c: Comparison) -> Slopes:
    numbers, total = material.paired(c)
    direction = 1 if material.metric.higher_is_better else -1
    signs = direction * np.sign(numbers[1] - numbers[0])
    return Slopes(c.loss, material.metric.scale * numbers / total, signs)


def _limits(stretches: Sequence[Stretch]) -> dict[str, tuple[float, float]]:
    """Of y: one for all, or one a data set where that would leave some less than a third of their panel."""
    ends: dict[str, list[NDArray[np.float64]]] = {}
    for stretch in stretches:
        ends.setdefault(stretch.pair[0], []).extend(slopes.ends for slopes in stretch.slopes)
    limits = {
        name: style.window(np.concatenate(values, axis=None), len(values)) for name, values in ends.items()
    }
    low, high = min(low for low, _ in limits.values()), max(high for _, high in limits.values())
    if high - low <= 3 * min(high - low for low, high in limits.values()):
        limits = dict.fromkeys(limits, (low, high))
    return {name: (low, high + 0.1 * (high - low)) for name, (low, high) in limits.items()}  # for the counts


def _draw_stretch(
    panel: Axes, stretch: Stretch, baseline: str, limits: tuple[float, float], room: float, across: int
) -> None:
    low, high = limits
    for k, slopes in enumerate(stretch.slopes):
        x = [k - HALF, k + HALF]
        opacity = 0.9 if len(slopes.signs) <= 20 else 0.5
        for sign, look in LOOKS.items():
            lines = slopes.ends[:, slopes.signs == sign]
            panel.plot(x, lines, linewidth=0.7, marker="o", ms=1.8, alpha=opacity, **look)
        mean = slopes.ends.mean(axis=1)
        panel.plot(x, mean, color=style.BLACK, linewidth=1.8, zorder=3)
        text = f"{slopes.count(1)} better, {slopes.count(-1)} worse"
        panel.text(k, high, text, ha="center", va="top", fontsize=style.SMALL)
        top = high - (high - low) / 11
        for beyond, y, va, arrow in ((mean[1] < low, low, "bottom", "↓"), (mean[1] > top, top, "top", "↑")):
            if beyond:
                panel.text(k + HALF, y, f"{mean[1]:.3g} {arrow}", ha="center", va=va, fontsize=style.SMALL)
    panel.set_xlim(-0.5, across - 0.5)
    panel.set_ylim(low, high)
    names = style.fitted(
        [name for s in stretch.slopes for name in (baseline, s.loss)], 2 * HALF * room - 0.06
    )
    panel.set_xticks([k + side for k in range(len(stretch.slopes)) for side in (-HALF, HALF)], names)
    panel.tick_params(axis="x", length=0)


def _in_words(stretches: Sequence[Stretch]) -> str:
    clauses = []
    for stretch in stretches:
        for slopes in stretch.slopes:
            counts = listed([f"{name} with {slopes.count(sign)}" for sign, name in CALLED.items()])
            clauses.append(f"{who(stretch.pair, slopes.loss)} {counts} of {len(slopes.signs)} seeds")
    return some(clauses, 8, "; ")
