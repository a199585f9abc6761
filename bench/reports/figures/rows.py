"""Sheets of rows: names at the left, marks in the middle, numbers at the right; by data set and model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.comparisons.runs import Pair
from bench.reports.figures import style

ROW, HEAD, FOOT = 0.235, 0.3, 0.75  # inches: of a row, of a panel's heading, of what a sheet has once
NAMES = 1.6  # inches that names may take

Table = Sequence[tuple[str, tuple[str, ...]]]
"""A panel's rows: name, and one text for each column."""


def pages(tables: Mapping[Pair, Table]) -> list[dict[Pair, Table]]:
    """What goes on which sheet: in order, as much as a page takes."""
    sheets: list[dict[Pair, Table]] = []
    used = style.TALLEST
    for pair, table in tables.items():
        height = HEAD + ROW * len(table)
        if used + height > style.TALLEST - FOOT:
            sheets.append({})
            used = 0.0
        sheets[-1][pair] = table
        used += height
    return sheets


def sheet(
    tables: Mapping[Pair, Table], columns: Sequence[str], limits: tuple[float, float]
) -> tuple[Figure, dict[Pair, Axes]]:
    """A sheet with everything but the marks: row k of a panel lies at y = k.

    Args:
        columns: headings of the texts; the last column holds words, the others numbers.
        limits: of x, for all panels.
    """
    counts = [len(table) for table in tables.values()]
    figure = style.sheet(style.DOUBLE, FOOT + len(tables) * HEAD + sum(counts) * ROW)
    axes = figure.subplots(len(tables), sharex=True, squeeze=False, height_ratios=counts)[:, 0]
    names = list(dict.fromkeys(name for table in tables.values() for name, _ in table))
    labels = dict(zip(names, style.fitted(names, NAMES, style.NORMAL), strict=True))
    offsets = _offsets([columns, *(texts for table in tables.values() for _, texts in table)])
    for panel, (pair, table) in zip(axes, tables.items(), strict=True):
        panel.set_title(style.heading(*pair, 2.8), loc="left", pad=3)
        panel.set_xlim(*limits)
        panel.set_ylim(len(table) - 0.5, -0.5)
        panel.set_yticks(range(len(table)), [labels[name] for name, _ in table], fontsize=style.NORMAL)
        panel.spines["left"].set_visible(False)
        panel.tick_params(axis="y", length=0)
        panel.tick_params(axis="x", labelbottom=panel is axes[-1])
        for row, (_, texts) in enumerate(table):
            _write(panel, row, texts, offsets)
    _write(axes[0], -0.5, columns, offsets, heading=True)
    return figure, dict(zip(tables, axes, strict=True))


def edge(value: float, limits: tuple[float, float]) -> tuple[float, str | None]:
    """Where to put a mark, and the arrow to use instead where the value lies outside."""
    room = 0.012 * (limits[1] - limits[0])
    if value < limits[0]:
        return limits[0] + room, "<"
    if value > limits[1]:
        return limits[1] - room, ">"
    return value, None


def _offsets(texts: Sequence[Sequence[str]]) -> list[float]:
    """Where each column ends, and where the last one begins: points to the right of the panel."""
    widths = [max(72 * style.width_of(word) + 9 for word in column) for column in zip(*texts, strict=True)]
    ends = np.cumsum(widths[:-1])
    return [*ends.tolist(), float(ends[-1]) + 9]


def _write(
    panel: Axes, y: float, texts: Sequence[str], offsets: Sequence[float], *, heading: bool = False
) -> None:
    for k, (text, offset) in enumerate(zip(texts, offsets, strict=True)):
        panel.annotate(
            text if k == len(offsets) - 1 else text.replace("-", "−"),
            (1, y),
            (offset, 4 if heading else 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="left" if k == len(offsets) - 1 else "right",
            va="bottom" if heading else "center",
            fontsize=style.SMALL,
            color=style.GREY if heading else style.BLACK,
            annotation_clip=False,
        )
