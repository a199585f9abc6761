"""Sheets of small panels: all losses of a data set × model in one, or, if they are many, one panel a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from bench.comparisons.runs import Pair
from bench.reports.figures import style
from bench.reports.figures.material import who
from bench.reports.formats import some
from bench.reports.schema import Report

TOGETHER = len(style.LOOKS)
"""Losses beside the baseline that can be told apart in one panel."""
HEAD = 0.6  # inches above and below all panels
HEIGHT = {False: 1.95, True: 1.3}  # inches of a panel with several losses, and with one
BAND = (100 / 6, 500 / 6)  # percentiles

Item = TypeVar("Item")


@dataclass(frozen=True)
class Panel:
    """What one panel shows."""

    pair: Pair
    losses: tuple[str, ...]
    """The baseline first, where it has anything to show."""
    alone: bool = False
    """One loss beside its baseline: a panel of many."""


@dataclass(frozen=True)
class Sheet(Generic[Item]):
    """A figure with empty panels, and what belongs into them."""

    figure: Figure
    panels: list[tuple[Axes, Panel]]
    looks: dict[str, style.Look]
    items: Mapping[Pair, Mapping[str, Item]]

    def lines(self) -> Iterator[tuple[Axes, Item, style.Look]]:
        """What is to be drawn, where, and how it looks."""
        for axes, panel in self.panels:
            for loss in panel.losses:
                yield axes, self.items[panel.pair][loss], self.looks[loss]

    def in_words(self, say: Callable[[Item], str]) -> str:
        """Each panel's items in a sentence, without repetitions."""
        clauses = {
            f"{who(panel.pair, loss)} {say(self.items[panel.pair][loss])}": None
            for _, panel in self.panels
            for loss in panel.losses
        }
        return some([*clauses], 8, "; ")


def sheets(
    items: Mapping[Pair, Mapping[str, Item]],
    report: Report,
    labels: tuple[str, str],
    extra: Sequence[tuple[Any, str]] = (),
    *,
    named: bool = True,
) -> Iterator[Sheet[Item]]:
    """Figures with a panel for each data set × model, in order. One of single losses is about one of these.

    Args:
        items: by loss, what there is to show.
        labels: of x and of y, for all panels.
        extra: more entries of the legend.
        named: whether losses have to be told apart.
    """
    for group in _groups(items, report.baseline, named):
        columns = len(group)  # or so many that the last row is as full as can be
        if columns > 3:
            columns = min((4, 5, 3), key=lambda columns: -len(group) % columns)
        for figure, panels in grids(group, columns, HEIGHT[group[0].alone], shared=True):
            _title(panels, (figure.get_figwidth() - 0.6) / columns - 0.1)
            for last, _ in panels[-columns:]:
                last.tick_params(labelbottom=True)  # of each column, also where the row below it is not full
            figure.supxlabel(labels[0], fontsize=style.NORMAL)
            figure.supylabel(labels[1], fontsize=style.NORMAL)
            looks = _head(figure, [panel for _, panel in panels], report, extra, named)
            yield Sheet(figure, panels, looks, items)


def grids(
    items: Sequence[Item],
    columns: int,
    height: float,
    head: float = HEAD,
    width: float | None = None,
    *,
    shared: bool = False,
) -> Iterator[tuple[Figure, list[tuple[Axes, Item]]]]:
    """Figures with a panel for each item, row by row, as many as a page takes.

    Args:
        height, head, width: in inches, of a row of panels, of what is above and below all, of the figure.
        shared: whether all panels have the same axes.
    """
    width = width or (style.SINGLE if columns == 1 else style.DOUBLE)
    most = columns * int((style.TALLEST - head) / height)
    for start in range(0, len(items), most):
        page = items[start : start + most]
        rows = -(-len(page) // columns)
        figure = style.sheet(width, head + rows * height)
        axes = figure.subplots(rows, columns, squeeze=False, sharex=shared, sharey=shared).ravel().tolist()
        for empty in axes[len(page) :]:
            empty.remove()
        yield figure, list(zip(axes, page, strict=False))


def bands(sheet: Sheet[Any]) -> None:
    """Over epochs, of values [seeds, epochs]: their mean, and where two thirds of the seeds lie."""
    for axes, values, look in sheet.lines():
        epochs = np.arange(1, values.shape[1] + 1)
        axes.fill_between(
            epochs, *np.percentile(values, BAND, axis=0), color=look.colour, alpha=0.14, linewidth=0
        )
        every = max(1, len(epochs) // 5)
        axes.plot(
            epochs, values.mean(axis=0), **look.line(marker=look.marker, markersize=2.6, markevery=every)
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def band_entry() -> list[tuple[Any, str]]:
    """The legend's entry of bands."""
    return [(Patch(color=style.PALE), "two thirds of the seeds")]


def _groups(items: Mapping[Pair, Mapping[str, Item]], baseline: str, named: bool) -> list[list[Panel]]:
    """Panels that may stand on one sheet."""
    together, apart = [], []
    for pair, every in items.items():
        base = (baseline,) if baseline in every else ()
        rivals = [loss for loss in every if loss != baseline]
        if len(rivals) <= TOGETHER or not named:
            together.append(Panel(pair, (*base, *rivals)))
        else:
            apart.append([Panel(pair, (*base, loss), alone=True) for loss in rivals])
    return [*([together] if together else []), *apart]


def _title(panels: Sequence[tuple[Axes, Panel]], room: float) -> None:
    alone = panels[0][1].alone
    names = [style.heading(*panel.pair, room) for _, panel in panels]
    if alone:
        names = style.fitted([panel.losses[-1] for _, panel in panels], room)
    for (axes, _), name in zip(panels, names, strict=True):
        axes.set_title(name, pad=3, fontsize=style.SMALL if alone else style.NORMAL)


def _head(
    figure: Figure, panels: Sequence[Panel], report: Report, extra: Sequence[tuple[Any, str]], named: bool
) -> dict[str, style.Look]:
    """Legend and title of a sheet; returns how each of its losses looks."""
    alone, width = panels[0].alone, figure.get_figwidth()
    losses = list(dict.fromkeys(loss for panel in panels for loss in panel.losses))
    rivals = [loss for loss in losses if loss != report.baseline]
    looks = {loss: style.LOOKS[0 if alone else k % len(style.LOOKS)] for k, loss in enumerate(rivals)}
    looks[report.baseline] = style.BASELINE
    listed = [loss for loss in losses if named and (loss == report.baseline or not alone)]
    legend = [
        (looks[loss], name) for loss, name in zip(listed, style.fitted(listed, width - 0.7), strict=True)
    ]
    if alone:
        legend = [(look, f"{name} (baseline)") for look, name in legend]
        legend.append((style.LOOKS[0], "the loss named above the panel"))
    marks = [(style.entry(**look.line(marker=look.marker, markersize=3)), name) for look, name in legend]
    style.head(figure, report, [*marks, *extra], style.heading(*panels[0].pair, width - 0.5) if alone else "")
    return looks
