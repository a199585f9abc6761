"""Which images do two runs both get right? The one matrix from which everything else can be recomputed.

G[a, b] is the number of test images that runs a and b *both* get right. Its diagonal holds the correct
answers of each run, G[a, a] − G[a, b] is what a gets right and b does not (McNemar's b), and differences
between two losses, their products over the images and so their mean squares follow from it as well. It is
small (R × R integers) and exact, so it is kept with a report in place of the predictions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

TILE = 64
"""Runs compared with one run at a time: a tile of 20,800 images (170 kB) stays in the processor's cache."""


def pack(correct: ArrayLike) -> NDArray[np.uint64]:
    """Eight answers a byte, eight bytes a word: what :func:`joint_correct` counts with.

    Args:
        correct: booleans [R runs, N images], or integers of 0 and 1.

    Returns:
        Words [R, ⌈N/64⌉]; the bits behind the last image are 0, so no count sees them.

    Raises:
        ValueError: another shape, or values other than 0 and 1.
    """
    answers = np.asarray(correct)
    if answers.ndim != 2:
        raise ValueError(f"correct must be [runs, images], found an array of shape {answers.shape}")
    if answers.dtype != bool:
        if answers.dtype.kind not in "iu" or np.any((answers != 0) & (answers != 1)):
            raise ValueError(f"correct must be booleans, or integers of 0 and 1, found {answers.dtype}")
        answers = answers.astype(bool)
    runs, images = answers.shape
    packed = np.zeros((runs, -(-images // 64) * 8), dtype=np.uint8)
    packed[:, : -(-images // 8)] = np.packbits(answers, axis=1)
    return packed.view(np.uint64)


def joint_correct(packed: NDArray[np.uint64]) -> NDArray[np.int64]:
    """G [R, R]: images that both runs get right, for every pair of runs. AND, then count the bits.

    Memory beyond G itself is one tile, however many the runs. A matrix product of 0/1 floats gives the same
    numbers, and is slower here: 64 images fit in one word.

    Args:
        packed: of :func:`pack`.
    """
    words = np.ascontiguousarray(packed, dtype=np.uint64)
    runs = len(words)
    joint = np.empty((runs, runs), dtype=np.int64)
    both = np.empty((min(TILE, runs), words.shape[1]), dtype=np.uint64)
    bits = np.empty(both.shape, dtype=np.uint8)
    for start in range(0, runs, TILE):
        tile = words[start : start + TILE]
        size = len(tile)
        for run in range(start + size):  # the triangle: runs behind this tile meet it in their own tiles
            np.bitwise_and(words[run], tile, out=both[:size])
            np.bitwise_count(both[:size], out=bits[:size])
            np.add.reduce(bits[:size], axis=1, dtype=np.int64, out=joint[run, start : start + size])
        joint[start : start + size, :start] = joint[:start, start : start + size].T
    return joint


def only_first(joint: ArrayLike) -> NDArray[np.int64]:
    """B [R, R]: images that run a gets right and run b does not, for every pair: G[a, a] − G[a, b].

    B[a, b] and B[b, a] are the discordant counts b and c of McNemar's table; B + Bᵀ is how many images two
    runs disagree on.

    Raises:
        ValueError: a matrix that cannot count joint answers.
    """
    matrix = checked_joint(joint)
    return matrix.diagonal()[:, None] - matrix


def discordant(joint: ArrayLike) -> NDArray[np.int64]:
    """Images that one of two runs gets right and the other does not [R, R]: b + c of McNemar's table."""
    one_sided = only_first(joint)
    return one_sided + one_sided.T


def difference_products(joint: ArrayLike, loss: ArrayLike, baseline: ArrayLike) -> NDArray[np.int64]:
    """D·Dᵀ [S, S] of the differences D[s, i] = loss − baseline ∈ {−1, 0, 1}, without forming D.

    Its sum is Σᵢ(Σₛ D[s, i])², its trace the discordant images: all that the seeds × images analysis needs.

    Args:
        joint: G of all runs.
        loss: row in G of the loss's run, for each seed [S].
        baseline: row in G of the baseline's run with the same seed [S].

    Raises:
        ValueError: a matrix that cannot count joint answers, rows that it does not have, or different
            numbers of rows.
    """
    matrix = np.asarray(joint)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"joint must be [runs, runs], found an array of shape {matrix.shape}")
    ours, theirs = _paired_rows(loss, baseline, len(matrix))
    runs, seeds = np.concatenate([ours, theirs]), len(ours)
    block = checked_joint(matrix[np.ix_(runs, runs)])  # of these runs alone: G may hold thousands
    return block[:seeds, :seeds] - block[:seeds, seeds:] - block[seeds:, :seeds] + block[seeds:, seeds:]


def checked_joint(joint: ArrayLike) -> NDArray[np.int64]:
    """The matrix as int64.

    Raises:
        ValueError: no square matrix of integers, not symmetric, or two runs that are right together more
            often than one of them is alone.
    """
    matrix = np.asarray(joint)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"joint must be [runs, runs], found an array of shape {matrix.shape}")
    if matrix.size and matrix.dtype.kind not in "iu":
        raise ValueError(f"joint must be integers (counts of images), found {matrix.dtype}")
    matrix = matrix.astype(np.int64, copy=False)
    if np.any(matrix != matrix.T) or np.any(matrix < 0) or np.any(matrix > matrix.diagonal()[:, None]):
        raise ValueError("joint must be symmetric, with no entry below 0 or above its diagonal")
    return matrix


def _paired_rows(
    loss: ArrayLike, baseline: ArrayLike, runs: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    ours, theirs = _rows(loss, runs), _rows(baseline, runs)
    if len(ours) != len(theirs):
        raise ValueError(f"every seed needs both runs, found {len(ours)} and {len(theirs)}")
    return ours, theirs


def _rows(rows: ArrayLike, runs: int) -> NDArray[np.int64]:
    array = np.asarray(rows)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(f"rows must be a list of whole numbers, found {array.dtype} of shape {array.shape}")
    if array.size and not (array.min() >= 0 and array.max() < runs):
        raise ValueError(f"rows must lie between 0 and {runs - 1}, found {array.min()} to {array.max()}")
    return array.astype(np.int64)
