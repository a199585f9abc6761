"""The paths of learned loss weights: mean over seeds after each epoch, and where two thirds of them lie."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.comparisons.runs import Pair
from bench.reports.figures import style
from bench.reports.figures.material import Material, NothingToDraw, Sketch
from bench.reports.figures.panels import band_entry, bands, sheets
from bench.reports.loss_weights import NO_REPRODUCTION, learning, paths


def draw(material: Material) -> list[Sketch]:
    """Both weights of all losses that learn any, one panel a data set × model.

    Raises:
        NothingToDraw: no loss learns weights, or no run that does has finished.
    """
    losses = learning(material.suite)
    if not losses:
        raise NothingToDraw("no loss of this suite learns its weights")

    def of_cell(pair: Pair, loss: str) -> NDArray[np.float64] | None:
        return paths(material.results, material.runs_of(pair, loss).run_id) if loss in losses else None

    curves = {
        pair: {f"w{k + 1} of {loss}": both[:, :, k] for loss, both in of_pair.items() for k in (0, 1)}
        for pair, of_pair in material.known(of_cell).items()
    }
    if not curves:
        raise NothingToDraw("no run of a loss that learns its weights has finished")
    note = f"{NO_REPRODUCTION[0].upper()}{NO_REPRODUCTION[1:]}."
    sketches = []
    for sheet in sheets(curves, material.report, ("epoch", "weight"), band_entry()):
        for axes, _ in sheet.panels:
            axes.axhline(0, color=style.GREY, linewidth=0.5, zorder=0)
        bands(sheet)
        alt = f"Mean weights: {sheet.in_words(_in_words)}. {note}"
        sketches.append(Sketch("Learned loss weights after each epoch, over seeds", alt, sheet.figure))
    return sketches


def _in_words(values: NDArray[np.float64]) -> str:
    mean = values.mean(axis=0)
    return f"from {mean[0]:.3g} after the first epoch to {mean[-1]:.3g} after epoch {len(mean)}"
