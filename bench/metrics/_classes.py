"""Test images by class: what metrics are made of that treat classes alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bench.predictions import Predictions

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Classes(NamedTuple):
    """Numbers of test images by class, [K] each."""

    images: NDArray[Any]
    """Of this class."""
    predicted: NDArray[Any]
    """Taken for this class."""
    right: NDArray[Any]
    """Of this class and taken for it."""

    @classmethod
    def of(cls, predictions: Predictions) -> Classes:
        """The counts of one run. K is the largest class that occurs where it was not recorded."""
        import numpy as np

        predicted, labels = predictions.predicted, predictions.labels
        classes = max(predictions.classes or 0, int(predicted.max()) + 1, int(labels.max()) + 1)
        right = labels[predicted == labels]
        return cls(*(np.bincount(which, minlength=classes) for which in (labels, predicted, right)))

    @property
    def missing(self) -> NDArray[Any]:
        """The classes without a test image."""
        empty: NDArray[Any] = (self.images == 0).nonzero()[0]
        return empty


def only(clause: str, classes: NDArray[Any]) -> str:
    """``classes 3, 7, 9 and 12 more …``: a clause; empty where there are none."""
    if not len(classes):
        return ""
    if len(classes) == 1:
        words = f"class {classes[0]} {clause}"
        return words.replace(" have ", " has ").replace(" are ", " is ")
    more = f" and {len(classes) - 5} more" if len(classes) > 6 else ""
    examples = classes if not more else classes[:5]
    return f"classes {', '.join(map(str, examples))}{more} {clause}"
