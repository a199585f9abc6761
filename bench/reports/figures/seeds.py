"""Seeds paired by lines: what one seed gives with the baseline, and with the loss.

Where the lines rise together there is a difference; where they cross, there is luck. One stretch of lines a
comparison: the baseline at its left, the loss at its right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.reports.figures import style
from bench.reports.figures.material import Material, NothingToDraw, Pair, Sketch, some, where

ACROSS = 7
"""Comparisons side by side."""
HEIGHT, HEAD = 1.75, 0.65  # inches: of a row of comparisons, and above all of them
LOOKS: dict[int, dict[str, Any]] = {  # sign of the difference: how its line looks
    1: {"color": "#0072b2", "linestyle": "-"},
    -1: {"color": "#d55e00", "linestyle": (0, (4, 1.2))},
    0: {"color": style.GREY, "linestyle": (0, (1, 1))},
}


class Slopes(NamedTuple):
    """Correct answers, arrays [seeds], of the seeds that a loss and its baseline have both finished."""

    loss: str
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    images: int

    @property
    def signs(self) -> NDArray[np.int64]:
        """Of the differences."""
        return np.asarray(np.sign(self.after - self.before))


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
    for pair in material.comparisons:
        found = _slopes(material, pair)
        stretches += [Stretch(pair, found[k : k + ACROSS]) for k in range(0, len(found), ACROSS)]
    if not stretches:
        raise NothingToDraw("no loss has finished a seed that its baseline has finished too")
    pages = style.pages(dict.fromkeys(range(len(stretches)), HEIGHT), style.TALLEST - HEAD)
    sketches = []
    for number, page in enumerate(pages):
        shown = [stretches[k] for k in page]
        name = style.numbered("seeds", number, len(pages))
        title = f"Accuracy of each seed with {material.report.baseline} and with each other loss"
        sketches.append(Sketch(name, title, _in_words(material, shown), _page(material, shown)))
    return sketches


def _slopes(material: Material, pair: Pair) -> list[Slopes]:
    base = material.cell(pair, material.report.baseline)
    theirs = dict(zip(base.seeds, base.counts, strict=True))
    found = []
    for comparison in material.comparisons[pair]:
        cell = material.cell(pair, comparison.loss)
        ours = dict(zip(cell.seeds, cell.counts, strict=True))
        seeds = [seed for seed in cell.seeds if seed in theirs]
        if comparison.delta is not None and cell.test_images:
            before, after = (np.array([counts[seed] for seed in seeds]) for counts in (theirs, ours))
            found.append(Slopes(comparison.loss, before, after, cell.test_images))
    return found


def _page(material: Material, stretches: Sequence[Stretch]) -> Figure:
    across = max(len(stretch.slopes) for stretch in stretches)
    width = style.SINGLE if across <= 3 and len(stretches) == 1 else style.DOUBLE
    # Few comparisons of several models stand side by side rather than below each other.
    columns = 2 if across <= 3 and len(stretches) > 1 else 1
    rows = -(-len(stretches) // columns)
    figure = style.sheet(width, HEAD + rows * HEIGHT)
    axes = figure.subplots(rows, columns, squeeze=False)
    room = width / columns - 0.5
    for panel, stretch in zip(axes.flat, stretches, strict=False):
        _draw_stretch(panel, stretch, room / across, across)
        panel.set_title(style.heading(*stretch.pair, room), pad=6)
    for empty in axes.flat[len(stretches) :]:
        empty.remove()
    for panel in axes[:, 0]:
        panel.set_ylabel("test accuracy (%)")
    baseline = style.fitted([material.report.baseline], 0.65)[0]
    names = ["better", "worse", "the same", "mean"]
    handles = [style.entry(**LOOKS[sign], marker="o", markersize=2.5) for sign in (1, -1, 0)]
    handles.append(style.entry(color=style.BLACK, linewidth=1.8))
    title = f"a seed with {baseline} (left) and with the loss named below (right)"
    style.head(figure, material.report, handles, names, title)
    return figure


def _draw_stretch(panel: Axes, stretch: Stretch, room: float, across: int) -> None:
    accuracies = [100 * np.stack([s.before, s.after]) / s.images for s in stretch.slopes]
    low, high = style.window(np.concatenate([a.ravel() for a in accuracies]), len(accuracies))
    high += 0.1 * (high - low)  # for the counts
    names = style.fitted([s.loss for s in stretch.slopes], room - 0.1)
    for k, (slopes, both) in enumerate(zip(stretch.slopes, accuracies, strict=True)):
        opacity = 0.9 if both.shape[1] <= 20 else 0.5
        for sign, look in LOOKS.items():
            lines = both[:, slopes.signs == sign]
            panel.plot([k - 0.25, k + 0.25], lines, linewidth=0.7, marker="o", ms=1.8, alpha=opacity, **look)
        panel.plot([k - 0.25, k + 0.25], both.mean(axis=1), color=style.BLACK, linewidth=1.8, zorder=3)
        ups, downs = ((slopes.signs == sign).sum() for sign in (1, -1))
        panel.text(k, high, f"{ups} ↑  {downs} ↓", ha="center", va="top", fontsize=style.SMALL)
        if both.mean(axis=1)[1] < low:
            panel.text(
                k + 0.25, low, f"{both.mean(axis=1)[1]:.1f} ↓", ha="center", va="bottom", fontsize=style.SMALL
            )
    panel.set_xlim(-0.5, across - 0.5)
    panel.set_ylim(low, high)
    panel.set_xticks(range(len(names)), names)
    panel.tick_params(axis="x", length=0)


def _in_words(material: Material, stretches: Sequence[Stretch]) -> str:
    clauses = []
    for stretch in stretches:
        for slopes in stretch.slopes:
            ups, downs = (int((slopes.signs == sign).sum()) for sign in (1, -1))
            same = len(slopes.signs) - ups - downs
            clauses.append(
                f"{style.said(slopes.loss)} with {where(stretch.pair)} better with {ups}, worse with {downs} "
                f"and the same with {same} of {len(slopes.signs)} seeds"
            )
    return " ".join(
        [
            *style.cautions(material.report),
            f"Lines join the accuracies of one seed with {style.said(material.report.baseline)} and with "
            f"another loss: {some(clauses)}.",
        ]
    )
