"""The area under the ROC curve, one class against the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.metrics import Measure, MetricError
from bench.metrics._classes import Classes, only
from bench.predictions import Predictions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Auroc(Measure):
    """The mean over classes of the chance that an image of the class gets a higher probability of it than
    another image does, a tie counting half (Hanley & McNeil, Radiology 143 (1982) 29).

    Classes without test images are left out. (scikit-learn's ``roc_auc_score`` refuses them, and of two
    classes it looks at the second alone.)
    """

    unit = "%"
    over_images = False
    needs_probabilities = True

    def __call__(self, predictions: Predictions) -> float:
        import numpy as np
        from scipy.stats import rankdata

        areas = []
        for column, inside in _against_the_rest(predictions):
            images = int(inside.sum())
            below = rankdata(column)[inside].sum() - images * (images + 1) / 2
            areas.append(below / (images * (len(column) - images)))
        if not areas:
            raise MetricError(f"all test images are of class {predictions.labels[0]}, which leaves no rest")
        return float(np.mean(areas))

    def remark(self, predictions: Predictions) -> str:
        return only("have no test image and are left out", Classes.of(predictions).missing)

    def pseudo_values(self, predictions: Predictions) -> NDArray[np.float64] | None:
        """From the structural components of the areas (DeLong, DeLong & Clarke-Pearson, Biometrics 44 (1988)
        837): the share of the rest that an image of the class is above, and the reverse. The area without an
        image follows from its component; a class of one image goes with it.
        """
        import numpy as np
        from scipy.stats import rankdata

        images = len(predictions.labels)
        areas, changed, left = 0.0, np.zeros(images), np.zeros(images, dtype=int)
        for column, inside in _against_the_rest(predictions):
            ranks, sizes = rankdata(column), (int(inside.sum()), int((~inside).sum()))
            components = np.empty(images)
            for part, opposite in ((inside, sizes[1]), (~inside, sizes[0])):
                components[part] = (ranks[part] - rankdata(column[part])) / opposite
            components[~inside] = 1 - components[~inside]
            area = components[inside].mean()
            areas += area
            for part, size in zip((inside, ~inside), sizes, strict=True):
                if size > 1:
                    changed[part] += (size * area - components[part]) / (size - 1)
                    left[part] += 1
        if not left.all():  # without some image all are of one class, or none is left
            return None
        classes = sum(1 for _ in _against_the_rest(predictions))
        pseudo: NDArray[np.float64] = images * areas / classes - (images - 1) * changed / left
        return pseudo


def _against_the_rest(predictions: Predictions) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """For each class that some test images are of, and some not: its probabilities, and which are, [N]."""
    for number in range(predictions.probabilities.shape[1]):
        inside = predictions.labels == number
        if inside.any() and not inside.all():
            yield predictions.probabilities[:, number], inside
