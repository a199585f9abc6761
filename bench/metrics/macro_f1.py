"""The mean over classes of the harmonic mean of precision and recall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.metrics import Measure
from bench.metrics._classes import Classes, only
from bench.predictions import Predictions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class MacroF1(Measure):
    """Mean over classes of 2·right/(of this class + taken for it).

    Over the classes that occur among the true or the predicted ones, as scikit-learn's ``f1_score`` with
    ``average="macro"`` and ``zero_division=0``: a class without test images that is predicted counts as 0.
    """

    unit = "%"
    over_images = False

    def __call__(self, predictions: Predictions) -> float:
        classes = Classes.of(predictions)
        occur = classes.images + classes.predicted > 0
        return float(_f1(classes.right, classes.images + classes.predicted)[occur].mean())

    def remark(self, predictions: Predictions) -> str:
        classes = Classes.of(predictions)
        predicted = classes.predicted[classes.missing] > 0
        clauses = (
            only("have no test image but are predicted, counting as 0", classes.missing[predicted]),
            only("have no test image and are left out", classes.missing[~predicted]),
        )
        return "; ".join(filter(None, clauses))

    def pseudo_values(self, predictions: Predictions) -> NDArray[np.float64] | None:
        """Without an image only its true and its predicted class have another F1, or vanish."""
        import numpy as np

        counts = Classes.of(predictions)
        images, classes = len(predictions.labels), len(counts.images)
        if images < 2:
            return None
        together = counts.images + counts.predicted
        f1 = _f1(counts.right, together)
        occur = int((together > 0).sum())
        # All that it depends on is the pair of classes, of which there are fewer than images, or K² at most.
        pairs, which = np.unique(
            predictions.labels.astype(np.int64) * classes + predictions.predicted, return_inverse=True
        )
        true, predicted = np.divmod(pairs, classes)
        right = true == predicted
        lost = right + 1  # how often the image counts for its true class: as one of it, and as taken for it
        total = f1.sum() - f1[true] + _f1(counts.right[true] - right, together[true] - lost)
        total += np.where(right, 0, _f1(counts.right[predicted], together[predicted] - 1) - f1[predicted])
        left = occur - (together[true] == lost) - (~right & (together[predicted] == 1))
        pseudo: NDArray[np.float64] = images * f1.sum() / occur - (images - 1) * (total / left)[which]
        return pseudo


def _f1(right: NDArray[Any], together: NDArray[Any]) -> NDArray[Any]:
    """F1 of each class, 0 where it does not occur."""
    import numpy as np

    scores: NDArray[Any] = 2 * right / np.maximum(together, 1)
    return scores
