"""The share of the test images that are classified correctly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.metrics import Measure
from bench.predictions import Predictions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Accuracy(Measure):
    """1 for each image whose predicted class is the true one, else 0."""

    unit = "%"
    over_images = True

    def __call__(self, predictions: Predictions) -> NDArray[np.float64]:
        right: NDArray[np.bool_] = predictions.predicted == predictions.labels
        return right.astype(float)
