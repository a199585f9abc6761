"""The expected calibration error: how far confidence is from accuracy."""

from __future__ import annotations

from pydantic import Field

from bench.metrics import Measure
from bench.predictions import Predictions

RECORDED_BINS = 15
"""Of the calibration error in every run's result."""


class ExpectedCalibrationError(Measure):
    """Σ over bins of (share of images) · |accuracy − mean confidence| (Guo et al., 1706.04599 §2).

    Bins of confidence are equally wide; bin k of K is ((k − 1)/K, k/K]. (torchmetrics takes [(k − 1)/K, k/K),
    and a bin of its own for 1, which differs where a confidence is such a number exactly.)
    """

    unit = "%"
    higher_is_better = False
    over_images = False
    no_interval = (
        "the calibration error is biased upwards by as much as images are few, and not smooth in them, so "
        "neither a jackknife nor a bootstrap over images covers"
    )

    bins: int = Field(RECORDED_BINS, ge=1)

    def __call__(self, predictions: Predictions) -> float:
        import numpy as np

        confidence = predictions.confidence.astype(float)
        right = predictions.predicted == predictions.labels
        which = np.ceil(confidence * self.bins).clip(1, self.bins).astype(int) - 1
        gap = np.bincount(which, weights=right - confidence, minlength=self.bins)
        return float(np.abs(gap).sum() / len(confidence))

    @property
    def recorded(self) -> str:
        return "ece" if self.bins == RECORDED_BINS else ""
