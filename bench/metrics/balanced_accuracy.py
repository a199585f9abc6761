"""Accuracy in which every class counts alike, however many test images it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.metrics import Measure
from bench.metrics._classes import Classes, only
from bench.predictions import Predictions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class BalancedAccuracy(Measure):
    """The mean over classes of the share of their test images that are classified correctly.

    Classes without test images are left out, as scikit-learn does.
    """

    unit = "%"
    over_images = False

    def __call__(self, predictions: Predictions) -> float:
        classes = Classes.of(predictions)
        present = classes.images > 0
        return float((classes.right[present] / classes.images[present]).mean())

    def remark(self, predictions: Predictions) -> str:
        return only("have no test image and are left out", Classes.of(predictions).missing)

    def pseudo_values(self, predictions: Predictions) -> NDArray[np.float64] | None:
        """Without an image only the recall of its own class is another; a class of one image goes with it."""
        import numpy as np

        counts = Classes.of(predictions)
        images, hits = len(predictions.labels), counts.right
        if images < 2:
            return None
        recall = hits / np.maximum(counts.images, 1)
        classes = int((counts.images > 0).sum())
        # By class and by whether the image was classified correctly, [K, 2]: all that it depends on.
        left = counts.images[:, None] - 1
        changed = (hits[:, None] - [0, 1]) / np.maximum(left, 1)
        without = (recall.sum() - recall[:, None] + np.where(left > 0, changed, 0)) / np.where(
            left > 0, classes, max(classes - 1, 1)
        )
        right = predictions.predicted == predictions.labels
        pseudo: NDArray[np.float64] = (
            images * recall.sum() / classes - (images - 1) * without[predictions.labels, right.astype(int)]
        )
        return pseudo
