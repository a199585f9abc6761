"""Sheets of small panels: all losses of a data set × model in one, or, if they are many, one panel a loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.reports.documents import Report
from bench.reports.figures import style
from bench.reports.figures.material import Pair

TOGETHER = len(style.LOOKS)
"""Losses beside the baseline that can be told apart in one panel."""
HEAD = 0.6  # inches above and below all panels


@dataclass(frozen=True)
class Panel:
    """What one panel shows."""

    pair: Pair
    losses: tuple[str, ...]
    """The baseline first, where it has anything to show."""
    alone: bool
    """One loss beside its baseline: a panel of many."""


@dataclass(frozen=True)
class Sheet:
    """A figure with empty panels."""

    figure: Figure
    panels: list[tuple[Axes, Panel]]


def panels(losses: dict[Pair, list[str]], baseline: str) -> list[Panel]:
    """What to show where. ``losses``: of each data set × model, those with something to show."""
    made = []
    for pair, every in losses.items():
        base = (baseline,) if baseline in every else ()
        others = [loss for loss in every if loss != baseline]
        if len(others) <= TOGETHER:
            made.append(Panel(pair, (*base, *others), alone=False))
        else:
            made += [Panel(pair, (*base, loss), alone=True) for loss in others]
    return made


def sheets(shown: Sequence[Panel], heights: Mapping[bool, float]) -> Iterator[Sheet]:
    """Figures with these panels, in order. A sheet of single losses is about one data set × model.

    Args:
        heights: of a panel in inches, with several losses (False) and with one (True).
    """
    for group in _groups(shown):
        height = heights[group[0].alone]
        columns = columns_for(len(group))
        most = columns * int((style.TALLEST - HEAD) / height)
        for start in range(0, len(group), most):
            yield _sheet(group[start : start + most], columns, height)


def _groups(shown: Sequence[Panel]) -> list[list[Panel]]:
    groups: dict[Any, list[Panel]] = {}
    for panel in shown:
        groups.setdefault(panel.pair if panel.alone else None, []).append(panel)
    return list(groups.values())


def columns_for(count: int) -> int:
    """Panels side by side, so that the last row is as full as can be."""
    if count <= 3:
        return count
    return min((4, 5, 3), key=lambda columns: -count % columns)


def _sheet(group: Sequence[Panel], columns: int, height: float) -> Sheet:
    rows = -(-len(group) // columns)
    width = style.SINGLE if columns == 1 else style.DOUBLE
    figure = style.sheet(width, HEAD + rows * height)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    room = style.room_above(width, columns)
    names = [panel.losses[-1] if panel.alone else "" for panel in group]
    shown = style.fitted(names, room, style.SMALL) if any(names) else names
    for axis, panel, name in zip(axes.flat, group, shown, strict=False):
        axis.set_title(
            name or style.heading(*panel.pair, room), pad=3, fontsize=style.SMALL if name else None
        )
    for empty in axes.flat[len(group) :]:
        empty.remove()
    for last in axes.flat[max(0, len(group) - columns) : len(group)]:
        last.tick_params(labelbottom=True)  # of each column, also where the row below it is not full
    return Sheet(figure, list(zip(axes.flat, group, strict=False)))


def head(sheet: Sheet, report: Report, extra: Sequence[tuple[Any, str]] = ()) -> dict[str, style.Look]:
    """Legend and titles of a sheet; returns how each of its losses looks.

    Args:
        extra: more entries of the legend.
    """
    shown = [panel for _, panel in sheet.panels]
    alone = shown[0].alone
    losses = list(dict.fromkeys(loss for panel in shown for loss in panel.losses))
    looks = dict.fromkeys(losses, style.LOOKS[0]) if alone else style.looks(losses, report.baseline)
    looks |= {report.baseline: style.BASELINE}
    listed = [loss for loss in losses if loss == report.baseline or not alone]
    names = style.fitted(listed, sheet.figure.get_figwidth() - 0.7) if listed else []
    handles = [style.entry(**looks[loss].line(marker=looks[loss].marker, markersize=3)) for loss in listed]
    if alone:
        handles.append(style.entry(**style.LOOKS[0].line(marker=style.LOOKS[0].marker, markersize=3)))
        names = [*(f"{name} (baseline)" for name in names), "the loss named above the panel"]
    handles += [handle for handle, _ in extra]
    names += [name for _, name in extra]
    title = style.heading(*shown[0].pair, sheet.figure.get_figwidth() - 0.5) if alone else ""
    style.head(sheet.figure, report, handles, names, title)
    return looks
