"""The paths of learned loss weights: mean over seeds after each epoch, and where two thirds of them lie."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from bench.reports.figures import style
from bench.reports.figures.curves import BAND, HEIGHT
from bench.reports.figures.material import Material, NothingToDraw, Pair, Sketch, some, where
from bench.reports.figures.panels import Sheet, head, panels, sheets
from bench.reports.weights import NO_REPRODUCTION, learning, paths

Paths = dict[str, NDArray[np.float64]]
"""``w1 of <loss>`` → its values, [seeds, epochs]."""


def draw(material: Material) -> list[Sketch]:
    """Both weights of all losses that learn any, one panel a data set × model.

    Raises:
        NothingToDraw: no loss learns weights, or no run that does has finished.
    """
    losses = learning(material.suite)
    if not losses:
        raise NothingToDraw("no loss of this suite learns its weights")
    found: dict[Pair, Paths] = {}
    for pair, cells in material.pairs.items():
        for loss in (cell.loss for cell in cells if cell.loss in losses):
            known = paths(material.results, material.runs_of(pair, loss).run_id)
            if known is not None:
                both = {f"w{k + 1} of {loss}": known[:, :, k] for k in range(known.shape[2])}
                found.setdefault(pair, {}).update(both)
    if not found:
        raise NothingToDraw("no run of a loss that learns its weights has finished")
    shown = panels({pair: list(known) for pair, known in found.items()}, material.report.baseline)
    made_sheets = list(sheets(shown, HEIGHT))
    sketches = []
    for number, sheet in enumerate(made_sheets):
        _fill(sheet, material, found)
        name = style.numbered("weights", number, len(made_sheets))
        title = "Learned loss weights after each epoch, over seeds"
        sketches.append(Sketch(name, title, _in_words(sheet, material, found), sheet.figure))
    return sketches


def _fill(sheet: Sheet, material: Material, found: dict[Pair, Paths]) -> None:
    looks = head(sheet, material.report, [(Patch(color=style.PALE), "two thirds of the seeds")])
    for axes, panel in sheet.panels:
        axes.axhline(0, color=style.GREY, linewidth=0.5, zorder=0)
        for name in panel.losses:
            values, look = found[panel.pair][name], looks[name]
            epochs = np.arange(1, values.shape[1] + 1)
            low, high = np.percentile(values, BAND, axis=0)
            axes.fill_between(epochs, low, high, color=look.colour, alpha=0.14, linewidth=0)
            every = max(1, len(epochs) // 5)
            axes.plot(
                epochs, values.mean(axis=0), **look.line(marker=look.marker, markersize=2.6, markevery=every)
            )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    sheet.figure.supxlabel("epoch", fontsize=style.NORMAL)
    sheet.figure.supylabel("weight", fontsize=style.NORMAL)


def _in_words(sheet: Sheet, material: Material, found: dict[Pair, Paths]) -> str:
    clauses = [
        f"{style.said(name)} with {where(panel.pair)} from {values[:, 0].mean():.3g} after the first epoch "
        f"to {values[:, -1].mean():.3g} after epoch {values.shape[1]}"
        for _, panel in sheet.panels
        for name, values in ((name, found[panel.pair][name]) for name in panel.losses)
    ]
    note = f"{NO_REPRODUCTION[0].upper()}{NO_REPRODUCTION[1:]}."
    return " ".join(
        [*style.cautions(material.report), f"Mean weights: {some(list(dict.fromkeys(clauses)))}.", note]
    )
