"""The share of the test images whose true class is among the k most probable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from bench.metrics import Measure
from bench.predictions import Predictions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class TopK(Measure):
    """1 for each image whose true class has a rank below k, else 0.

    Of classes that tie, the first counts as the more probable, so that k = 1 is accuracy. (scikit-learn's
    ``top_k_accuracy_score`` prefers the last.)
    """

    unit = "%"
    over_images = True

    k: int = Field(5, ge=1)

    def __call__(self, predictions: Predictions) -> NDArray[np.float64]:
        return (predictions.rank < self.k).astype(float)

    def remark(self, predictions: Predictions) -> str:
        classes = predictions.classes
        return f"{self.k} of {classes} classes: always right" if classes and self.k >= classes else ""
