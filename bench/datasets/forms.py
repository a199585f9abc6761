"""What is known of the data sets by their names, before any is loaded."""

from __future__ import annotations

from typing import NamedTuple


class Form(NamedTuple):
    """What is known of a data set before it is loaded."""

    shape: tuple[int, int, int]
    """Channels, height and width of an image."""
    classes: int
    mean: tuple[float, ...]
    """Mean of each channel of the training images after division by `top`, for normalisation."""
    std: tuple[float, ...]
    """Standard deviation of the same."""
    top: float = 255.0
    """The raw value that stands for 1: 255, of 16 bits 65,535, of floats 1."""


MOST_CLASSES = 65_536
"""A result keeps each predicted class in at most two bytes."""


def top_of(kind: str) -> float:
    """:attr:`Form.top` of raw values of a type of numpy's: ``uint8``, ``uint16`` or ``float32``."""
    return {"uint8": 255.0, "uint16": 65_535.0}.get(kind, 1.0)


_GREY = ((0.1307,), (0.3081,))  # of MNIST, which the reference uses for EMNIST-Letters too
_EMNIST_CLASSES = {"letters": 26, "balanced": 47, "byclass": 62, "bymerge": 47, "digits": 10, "mnist": 10}

FIRST_LABELS = {"emnist-letters": 1}
"""What a data set's own files call the first class, where that is not 0."""

FORMS: dict[str, Form] = {
    "digits": Form((1, 8, 8), 10, (0.3058,), (0.3761,)),
    "synthetic-letters": Form((1, 28, 28), 26, *_GREY),
    **{f"emnist-{split}": Form((1, 28, 28), n, *_GREY) for split, n in _EMNIST_CLASSES.items()},
    "mnist": Form((1, 28, 28), 10, *_GREY),
    "qmnist": Form((1, 28, 28), 10, *_GREY),
    "fashion-mnist": Form((1, 28, 28), 10, (0.2860,), (0.3530,)),
    "kmnist": Form((1, 28, 28), 10, (0.1918,), (0.3483,)),
    "cifar10": Form((3, 32, 32), 10, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": Form((3, 32, 32), 100, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
}
