"""Learning curves: how far the test images are from perfect after each epoch, over seeds.

Of percentages the error is shown, on a logarithmic axis: accuracies of 60 and of 98 % fit on one page, and so
do 98.1 and 98.3 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.comparisons.comparison import Metric
from bench.comparisons.runs import Pair
from bench.reports.figures import style
from bench.reports.figures.material import Material, NothingToDraw, Sketch, axis
from bench.reports.figures.panels import BAND, band_entry, bands, sheets


def values(material: Material, pair: Pair, loss: str) -> NDArray[np.float64] | None:
    """Of the finished seeds [seeds, epochs], as they are drawn; None where no run has kept several epochs."""
    metric, rows = material.epoch_metric, []
    key = "correct" if metric.counted else material.suite.metrics[0].key
    for run in material.runs_of(pair, loss).itertuples():
        scores = [line.get(f"test_{key}") for line in material.epochs(str(run.run_id))]
        if scores and None not in scores:
            total = float(run.total or 0) or np.nan  # type: ignore[arg-type]
            curve = np.array(scores, dtype=np.float64) / (total if metric.counted else 1)
            if _is_share(metric):  # an error of zero has no place on a logarithmic axis: half an image
                curve = np.maximum(1 - curve, 0.5 / total)
            rows.append(metric.scale * curve)
    shortest = min(map(len, rows), default=0)
    return np.stack([row[:shortest] for row in rows]) if shortest > 1 else None


def draw(material: Material) -> list[Sketch]:
    """All losses of a data set × model in one panel, or many losses in a panel each.

    Raises:
        NothingToDraw: no finished run has kept its epochs, or none has more than one.
    """
    curves_of = material.known(lambda pair, loss: values(material, pair, loss))
    if not curves_of:
        raise NothingToDraw("no finished run has more than one epoch in its metrics.jsonl")
    metric = material.epoch_metric
    name = style.brief(metric.name)
    quantity = f"test {name}"
    if _is_share(metric):
        quantity = "test error" if metric.counted else f"100 − test {name}"
    labels = "epoch", axis(quantity, metric, metric.unit)
    positive = all(curve.min() > 0 for curves in curves_of.values() for curve in curves.values())
    sketches = []
    for sheet in sheets(curves_of, material.report, labels, band_entry()):
        bands(sheet)
        if positive:
            panel = sheet.panels[0][0]
            panel.set_yscale("log")
            low, high = panel.get_ylim()
            style.logarithmic(panel.yaxis, (1.0, 2.0, 5.0) if high / low < 300 else (1.0,))
        alt = f"Mean {quantity}: {sheet.in_words(lambda curve: _in_words(curve, metric))}."
        sketches.append(
            Sketch(f"Learning curves: {quantity} after each epoch, over seeds", alt, sheet.figure)
        )
    return sketches


def _is_share(metric: Metric) -> bool:
    """Whether something is left to 100 %."""
    return metric.unit == "%" and metric.higher_is_better


def _in_words(curve: NDArray[np.float64], metric: Metric) -> str:
    mean, (low, high) = curve.mean(axis=0), np.percentile(curve[:, -1], BAND)
    first, last, low, high = (
        f"{value:.3g} {metric.unit}".rstrip() for value in (mean[0], mean[-1], low, high)
    )
    return (
        f"from {first} after the first epoch to {last} after epoch {curve.shape[1]} "
        f"(two thirds of the seeds: {low} to {high})"
    )
