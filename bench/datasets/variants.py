"""What becomes of a data set before it is trained on: fewer images, a long tail, wrong labels; and splits.

All of it is decided by the labels and a seed, and is the same for every loss, model and seed of a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]


def long_tail(labels: Rows, classes: int, ratio: float, seed: int) -> Rows:
    """Which images stay where the classes become rarer and rarer (Cao et al. 2019, 1906.07413 §4.1).

    Class k of K keeps n · ratio^(−k / (K − 1)) images, rounded down, of the n that a class has on average;
    all that it has, where that is less, and at least one.

    Args:
        labels: integers [N] from 0 to K − 1.
        ratio: how many times as many images the first class has as the last; at least 1.
        seed: decides which images stay.

    Returns:
        Sorted rows.
    """
    import numpy as np

    rng = np.random.default_rng([seed, 2])
    average = len(labels) / classes
    kept = []
    for label in range(classes):
        size = max(1, int(average * ratio ** (-label / max(classes - 1, 1))))
        kept.append(rng.permutation(np.flatnonzero(labels == label))[:size])
    return np.sort(np.concatenate(kept))


def stratified_split(labels: Rows, first: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Split indices into two parts that hold the same share of every class, up to one image a class.

    Args:
        labels: integers [N].
        first: how many images the first part gets, 0 to N.
        rng: decides which ones; for equal labels and state, the same ones always.

    Returns:
        Sorted indices of the first part [first] and of the second [N − first].
    """
    import numpy as np

    take, remainder = np.divmod(np.bincount(labels) * first, max(len(labels), 1))
    # Largest remainders get what rounding down has left over; ties go to the smaller class.
    take[np.argsort(-remainder, kind="stable")[: first - take.sum()]] += 1
    chosen = np.zeros(len(labels), dtype=bool)
    for label, number in enumerate(take):
        members = np.flatnonzero(labels == label)
        chosen[rng.permutation(members)[:number]] = True
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def symmetric_noise(labels: Rows, classes: int, share: float, seed: int) -> Rows:
    """Replace exactly round(share · N) labels by a *different* class, uniformly chosen (1908.06112 §4).

    Args:
        labels: integers [N] from 0 to classes − 1; stay as they are.
        classes: at least 2.
        share: 0 to 1.
        seed: decides which labels are replaced, and by what.

    Returns:
        The new labels [N].
    """
    import numpy as np

    rng = np.random.default_rng([seed, 1])
    noisy = labels.copy()
    hit = rng.permutation(len(labels))[: round(share * len(labels))]
    noisy[hit] = (noisy[hit] + rng.integers(1, classes, size=len(hit))) % classes
    return noisy


def pair_flip_noise(labels: Rows, classes: int, share: float, seed: int) -> Rows:
    """Replace exactly round(share · N) labels by the *next* class, the last by the first (1804.06872 §4).

    Args:
        labels: integers [N] from 0 to classes − 1; stay as they are.
        classes: at least 2.
        share: 0 to 1.
        seed: decides which labels are replaced: the same ones as in :func:`symmetric_noise`.

    Returns:
        The new labels [N].
    """
    import numpy as np

    noisy = labels.copy()
    hit = np.random.default_rng([seed, 1]).permutation(len(labels))[: round(share * len(labels))]
    noisy[hit] = (noisy[hit] + 1) % classes
    return noisy


def grouped_split(groups: Rows, first: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Split indices so that no group is in both parts: whole groups, in random order, until there are enough.

    Args:
        groups: integers [N], the group of each image.
        first: about how many images the first part gets: the number of whole groups that comes nearest.
        rng: decides which ones.

    Returns:
        Sorted indices of the first part and of the second; both have a group at least where there are two.
    """
    import numpy as np

    names, which, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(names))
    reached = np.cumsum(sizes[order])
    number = min(max(int(np.argmin(np.abs(reached - first))) + 1, 1), max(len(names) - 1, 1))
    chosen = np.isin(which, order[:number])
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)
