"""Are runs as often right as they are sure? Accuracy against confidence, and the share of images of each.

Bins are those that training recorded at the epoch that counts, pooled over seeds. The calibration error in
words is the mean of the runs' own, not that of the pooled bins: pooling hides errors that cancel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.patches import Patch
from numpy.typing import NDArray

from bench.comparisons.runs import Pair
from bench.reports.figures import style
from bench.reports.figures.material import Material, NothingToDraw, Sketch
from bench.reports.figures.panels import Sheet, sheets

FEW = 10
"""Images below which a bin's accuracy is chance, and not drawn."""


class Bins(NamedTuple):
    """A cell's bins, pooled over seeds: arrays [bins]."""

    images: NDArray[np.int64]
    confidence: NDArray[np.float64]  # mean; NaN where there is no image
    accuracy: NDArray[np.float64]
    ece: float  # mean of the runs'
    runs: int  # that have bins
    lacking: int  # that have none: from before they were recorded


def pooled(material: Material, pair: Pair, loss: str) -> Bins | None:
    """None where no finished run has recorded its bins."""
    runs = material.runs_of(pair, loss)
    binned = [
        (bins, ece) for bins, ece in zip(runs.reliability, runs.ece, strict=True) if isinstance(bins, dict)
    ]
    if not binned:
        return None
    count, correct = (np.sum([bins[name] for bins, _ in binned], axis=0) for name in ("count", "correct"))
    means = np.array([bins["confidence"] for bins, _ in binned], dtype=np.float64)
    summed = np.nansum(means * [bins["count"] for bins, _ in binned], axis=0)
    filled = np.where(count > 0, count, np.nan)
    ece = float(np.mean([ece for _, ece in binned]))
    return Bins(count, summed / filled, correct / filled, ece, len(binned), len(runs) - len(binned))


def draw(material: Material) -> list[Sketch]:
    """All losses of a data set × model in one panel, or many losses in a panel each.

    Raises:
        NothingToDraw: no finished run has recorded its bins.
    """
    bins = material.known(lambda pair, loss: pooled(material, pair, loss))
    if not bins:
        reason = "the finished runs are from before bins were kept, or their trainer gave no probabilities"
        raise NothingToDraw(
            f"no confidences are recorded: {'no run has finished' if material.runs.empty else reason}"
        )
    extra = [
        (style.entry(color=style.GREY, linewidth=0.6), "as right as sure"),
        (Patch(color=style.PALE), "share of the images"),
    ]
    sketches = []
    for sheet in sheets(bins, material.report, ("confidence", "accuracy"), extra):
        _fill(sheet)
        title = "Reliability: accuracy against confidence, at the epoch that counts"
        alt = f"Expected calibration error, mean over seeds: {sheet.in_words(_in_words)}."
        sketches.append(Sketch(title, alt, sheet.figure))
    return sketches


def _fill(sheet: Sheet[Bins]) -> None:
    for axes, bins, look in sheet.lines():
        enough = bins.images >= FEW
        line = look.line(marker=look.marker, markersize=2.8, linewidth=0.9, clip_on=False)
        axes.plot(bins.confidence[enough], bins.accuracy[enough], **line)
    for axes, panel in sheet.panels:
        of_panel = [sheet.items[panel.pair][loss] for loss in panel.losses]
        count = np.sum([bins.images for bins in (of_panel[-1:] if panel.alone else of_panel)], axis=0)
        edges = np.linspace(0, 1, len(count) + 1)
        axes.stairs(count / count.sum(), edges, fill=True, color=style.PALE, zorder=0)
        axes.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.6, zorder=1)
        if panel.alone:
            ece = f"ECE {100 * of_panel[-1].ece:.2f} %"
            axes.text(0.04, 0.96, ece, transform=axes.transAxes, va="top", fontsize=style.SMALL)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), yticks=(0, 0.5, 1))
        axes.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))


def _in_words(bins: Bins) -> str:
    gap = np.nansum((bins.confidence - bins.accuracy) * bins.images) / bins.images.sum()
    lean = "too sure" if gap > 0 else "not sure enough"
    lacking = f", without {bins.lacking} runs that have no bins" if bins.lacking else ""
    return f"{100 * bins.ece:.2f} % ({lean} by {100 * abs(gap):.2f} points{lacking})"
