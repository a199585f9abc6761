"""Learning curves: the test error after each epoch, its mean over seeds and where two thirds of them lie.

The error is shown, on a logarithmic axis: accuracies of 60 and of 98 % fit on one page, and so do 98.1 and
98.3 %.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from bench.reports.figures import style
from bench.reports.figures.material import Material, NothingToDraw, Pair, Sketch, some, where
from bench.reports.figures.panels import Sheet, head, panels, sheets

BAND = (100 / 6, 500 / 6)  # percentiles
HEIGHT = {False: 1.95, True: 1.3}  # inches of a panel with several losses, and with one


class Curve(NamedTuple):
    """A cell's test error in percent, arrays [epochs]."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def curve(material: Material, pair: Pair, loss: str) -> Curve | None:
    """Over the finished seeds; None where no run has kept its epochs.

    An error of zero, which has no place on a logarithmic axis, is drawn as half an image.
    """
    errors = []
    for run in material.runs_of(pair, loss).itertuples():
        correct = [line.get("test_correct") for line in material.metrics(str(run.run_id))]
        if correct and None not in correct:
            total = float(run.total)  # type: ignore[arg-type]
            wrong = total - np.array(correct, dtype=np.float64)
            errors.append(100 * np.maximum(wrong, 0.5) / total)
    if not errors:
        return None
    shortest = min(map(len, errors))
    table = np.stack([error[:shortest] for error in errors])
    low, high = np.percentile(table, BAND, axis=0)
    return Curve(table.mean(axis=0), low, high)


def draw(material: Material) -> list[Sketch]:
    """All losses of a data set × model in one panel, or many losses in a panel each.

    Raises:
        NothingToDraw: no finished run has kept its epochs, or none has more than one.
    """
    found: dict[Pair, dict[str, Curve]] = {}
    for pair, cells in material.pairs.items():
        made = {cell.loss: curve(material, pair, cell.loss) for cell in cells}
        if known := {loss: c for loss, c in made.items() if c is not None and len(c.mean) > 1}:
            found[pair] = known
    if not found:
        raise NothingToDraw("no finished run has more than one epoch in its metrics.jsonl")
    shown = panels({pair: list(known) for pair, known in found.items()}, material.report.baseline)
    made_sheets = list(sheets(shown, HEIGHT))
    sketches = []
    for number, sheet in enumerate(made_sheets):
        _fill(sheet, material, found)
        name = style.numbered("curves", number, len(made_sheets))
        title = "Learning curves: test error after each epoch, over seeds"
        sketches.append(Sketch(name, title, _in_words(sheet, material, found), sheet.figure))
    return sketches


def _fill(sheet: Sheet, material: Material, found: dict[Pair, dict[str, Curve]]) -> None:
    looks = head(sheet, material.report, [(Patch(color=style.PALE), "two thirds of the seeds")])
    for axes, panel in sheet.panels:
        for loss in panel.losses:
            c, look = found[panel.pair][loss], looks[loss]
            epochs = np.arange(1, len(c.mean) + 1)
            axes.fill_between(epochs, c.low, c.high, color=look.colour, alpha=0.14, linewidth=0)
            every = max(1, len(epochs) // 5)
            axes.plot(epochs, c.mean, **look.line(marker=look.marker, markersize=2.6, markevery=every))
    _scale(sheet.panels[0][0])
    sheet.figure.supxlabel("epoch", fontsize=style.NORMAL)
    sheet.figure.supylabel("test error (%)", fontsize=style.NORMAL)


def _scale(axes: Axes) -> None:
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 300 else (1.0,)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _in_words(sheet: Sheet, material: Material, found: dict[Pair, dict[str, Curve]]) -> str:
    clauses = [
        f"{style.said(loss)} with {where(panel.pair)} from {c.mean[0]:.3g} % after the first epoch to "
        f"{c.mean[-1]:.3g} % after epoch {len(c.mean)} (two thirds of the seeds: {c.low[-1]:.3g} to "
        f"{c.high[-1]:.3g} %)"
        for _, panel in sheet.panels
        for loss, c in ((loss, found[panel.pair][loss]) for loss in panel.losses)
    ]
    caution = style.cautions(material.report)
    return " ".join([*caution, f"Mean test error: {some(list(dict.fromkeys(clauses)))}."])
