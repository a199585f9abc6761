"""The mean squared distance of the probabilities from the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.metrics import Measure
from bench.predictions import Predictions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Brier(Measure):
    """Σ(p_k − q_k)² over the K classes, q being 1 for the true class and else 0 (Brier 1950): 0 to 2.

    (scikit-learn's ``brier_score_loss`` halves it for two classes unless told not to.)
    """

    higher_is_better = False
    over_images = True

    def __call__(self, predictions: Predictions) -> NDArray[np.float64]:
        return predictions.brier.astype(float)

    @property
    def recorded(self) -> str:
        return "brier"
