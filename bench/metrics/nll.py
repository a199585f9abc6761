"""The mean negative log-likelihood of the true class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.metrics import Measure
from bench.predictions import Predictions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class NegativeLogLikelihood(Measure):
    """−ln p of the true class, in nats: cross entropy on the test set.

    A probability of exactly 0 has no logarithm and is refused. (scikit-learn's ``log_loss`` takes it, and all
    below 2.2e-16, for 2.2e-16.)
    """

    unit = "nats"
    higher_is_better = False
    over_images = True

    def __call__(self, predictions: Predictions) -> NDArray[np.float64]:
        return predictions.nll.astype(float)

    @property
    def recorded(self) -> str:
        return "nll"
