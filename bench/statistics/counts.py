"""What the other rooms accept: whole numbers, checked once and said clearly when they are not.

Mostly they are counts out of ``total`` images. A metric that counts nothing, say a mean negative
log-likelihood, comes as whole numbers too, in units of 1/total: ``bounded`` is False for them, as they may be
negative and larger than ``total``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def signed_counts(differences: ArrayLike) -> NDArray[np.int64]:
    """Differences between two counts, one a seed: signed integers [S].

    Raises:
        ValueError: another shape or type, or differences whose sum could overflow.
    """
    array = np.asarray(differences)
    if array.ndim != 1:
        raise ValueError(f"differences must be one number a seed, found an array of shape {array.shape}")
    # Unsigned integers are refused too: 3 − 5 of them is a huge positive number.
    if array.size and array.dtype.kind != "i":
        raise ValueError(f"differences must be signed integers (counts of images), found {array.dtype}")
    if sum(abs(int(d)) for d in array) > 2**61:
        raise ValueError("differences this large overflow")
    return array.astype(np.int64)


def correct_counts(correct: ArrayLike, total: int, *, bounded: bool = True) -> NDArray[np.int64]:
    """Numbers of correct answers, one a seed: integers [S] from 0 to ``total``.

    Args:
        bounded: whether they are counts out of ``total``; else any whole numbers, in units of 1/total.

    Raises:
        ValueError: another shape or type, a count below 0 or above ``total``, no images, or numbers beyond
            64 bits.
    """
    array = np.asarray(correct)
    if array.ndim != 1:
        raise ValueError(f"correct must be one count a seed, found an array of shape {array.shape}")
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"correct must be integers (counts of images), found {array.dtype}")
    if total < 1:
        raise ValueError(f"total must be at least one image, found {total}")
    if bounded and array.size and (array.min() < 0 or array.max() > total):
        wrong = array.min() if array.min() < 0 else array.max()
        raise ValueError(f"{wrong} correct answers out of {total} cannot be")
    if array.size and array.max() > np.iinfo(np.int64).max:
        raise ValueError("numbers this large overflow")
    return array.astype(np.int64)


def check_confidence(confidence: float) -> None:
    """Raises ValueError unless 0 < confidence < 1."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, found {confidence}")
