"""The exact answer under one assumption: that the sign of each seed's difference is a toss of a coin.

No normal distribution, no large samples. Two losses whose accuracies have the same distribution make this
assumption true, because the seeds pair them: swapping their names would flip every sign with the same chance.

None of the 2ⁿ flips is looked at by itself. Counts of images are small numbers, so a table of sums is short,
and counts the flips of up to 60 seeds. Those of other metrics are too large for a table, and two halves of up
to 40 seeds meet in the middle. What neither can count is drawn at random; :func:`countable` tells beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bench.statistics.counts import signed_counts
from bench.statistics.paired import positive

EXACT = 60
"""Seeds with a difference up to which a table can count all flips: int64 holds 2⁶⁰ of them."""
LARGEST_TABLE = 2**25
"""Entries of that table (256 MB)."""
HALVES = 40
"""Seeds with a difference up to which two halves can, whatever the numbers: 2²⁰ sums each."""
OF_EIGHT = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.int64)
"""[256, 8]: the ways to choose among eight seeds; of fewer, the first ways and the last places."""


@dataclass(frozen=True)
class SignFlip:
    """The sign-flip test of a sum of differences."""

    n: int  # seeds
    p: float | None = None  # two-sided; None without seeds
    p_smallest: float | None = None  # that these absolute differences could ever give
    exact: bool = True
    p_error: float = 0.0  # standard error of p: 0 where it is exact


def sign_flip(differences: ArrayLike, resamples: int = 100_000, seed: int = 0) -> SignFlip:
    """How many of the 2ⁿ ways to sign the differences give a sum at least as far from 0?

    Fisher, The Design of Experiments (1935), § 21. Counted, not enumerated, in the cheaper of two ways that
    give the same number: the distribution of the sums is a convolution of n two-point distributions on the
    integers (Pagano & Tritchler, J. Am. Stat. Assoc. 78, 1983); and each sum is one of the first half of
    the seeds plus one of the second (Horowitz & Sahni, J. ACM 21, 1974). A difference of 0 has two signs that
    change nothing, so it neither helps nor hurts.

    Args:
        differences: signed integers [S], one a seed.
        resamples: ways to sign that are drawn where they cannot be counted: p = (1 + hits)/(1 + resamples).
        seed: of the random generator, used only then.

    Raises:
        ValueError: differences that are no signed integers, or no resamples.
    """
    counts = signed_counts(differences)
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, found {resamples}")
    n = len(counts)
    if n == 0:
        return SignFlip(n)
    sizes = np.abs(counts[counts != 0])
    smallest = positive(math.ldexp(1.0, 1 - len(sizes))) if len(sizes) else 1.0
    total, reach = int(sizes.sum()), abs(int(counts.sum()))
    if reach == 0:
        return SignFlip(n, 1.0, smallest)
    steps, most = _in_steps(counts)
    count = _way_to_count(len(steps), most)
    if count is not None:
        ways = 2 * count(steps, most)  # and as many with all signs swapped
        return SignFlip(n, ways / 2 ** len(sizes), smallest)
    draw = np.random.default_rng(seed)
    # Eight seeds at a time: a random byte says which of them change sign, and a table what they sum to.
    eights = np.pad(sizes, (0, -len(sizes) % 8)).reshape(-1, 8)
    sums = eights @ OF_EIGHT.T
    hits = 0
    for start in range(0, resamples, 10_000):
        size = min(10_000, resamples - start)
        flipped = np.zeros(size, dtype=np.int64)
        for of_byte in sums:
            flipped += of_byte.take(draw.integers(0, 256, size=size, dtype=np.uint8))
        hits += int(np.count_nonzero(np.abs(total - 2 * flipped) >= reach))
    p = (1 + hits) / (1 + resamples)
    return SignFlip(n, p, smallest, exact=False, p_error=math.sqrt(p * (1 - p) / (1 + resamples)))


def countable(differences: ArrayLike) -> bool:
    """Whether :func:`sign_flip` counts all flips of these, and so is exact; else it draws some of them.

    Raises:
        ValueError: differences that are no signed integers.
    """
    counts = signed_counts(differences)
    if counts.sum() == 0:
        return True  # nothing is nearer to 0
    steps, most = _in_steps(counts)
    return _way_to_count(len(steps), most) is not None


def _in_steps(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """The sizes that are not 0, in units of what divides them all; and what those may sum to that are signed
    against the others for the sum to be as far from 0: half of what is missing to the total. Of a sum that
    is not 0."""
    sizes = np.abs(counts[counts != 0])
    step = int(np.gcd.reduce(sizes))
    return sizes // step, (int(sizes.sum()) - abs(int(counts.sum()))) // (2 * step)


def _way_to_count(seeds: int, most: int) -> Callable[[NDArray[np.int64], int], int] | None:
    """The cheaper of the two that can."""
    if seeds <= HALVES and most > 4 << seeds // 2:  # where both take as long, measured
        return _by_halves
    return _by_table if seeds <= EXACT and most < LARGEST_TABLE else None


def _by_halves(sizes: NDArray[np.int64], most: int) -> int:
    """Subsets whose sum is at most ``most``: for each sum of one half, how many of the other fit beside."""
    halves = []
    for half in (sizes[::2], sizes[1::2]):
        sums = np.zeros(1, dtype=np.int64)
        for start in range(0, len(half), 8):
            few = half[start : start + 8]
            # At most the sum of all sizes: int64 holds it, as signed_counts makes sure.
            sums = np.add.outer(OF_EIGHT[: 2 ** len(few), -len(few) :] @ few, sums).ravel()
            sums = sums[sums <= most]
        halves.append(np.sort(sums))
    room = most - halves[0][::-1]  # rising, as searchsorted is fast with what rises
    return int(np.searchsorted(halves[1], room, side="right").sum())


def _by_table(sizes: NDArray[np.int64], most: int) -> int:
    """Subsets whose sum is at most ``most``. No more than 2⁶⁰ of them, so int64 holds every count."""
    ways = np.zeros(most + 1, dtype=np.int64)
    ways[0] = 1
    top = 0  # the largest sum so far
    for size in np.sort(sizes):
        if size > most:
            break
        grown = min(top + int(size), most)
        ways[size : grown + 1] += ways[: grown + 1 - size].copy()
        top = grown
    return int(ways.sum())


@dataclass(frozen=True)
class SignTest:
    """Seeds on which the loss was better, worse, or equal."""

    wins: int
    losses: int
    ties: int
    p: float | None  # two-sided; None without seeds


def sign_test(differences: ArrayLike) -> SignTest:
    """Were there more wins than losses? The oldest test of all (Arbuthnott, Phil. Trans. 27, 1710); ties out.

    Args:
        differences: signed integers [S], one a seed.

    Raises:
        ValueError: differences that are no signed integers.
    """
    counts = signed_counts(differences)
    wins, losses = int(np.count_nonzero(counts > 0)), int(np.count_nonzero(counts < 0))
    if len(counts) == 0:
        return SignTest(0, 0, 0, None)
    p = min(positive(2 * float(special.bdtr(min(wins, losses), wins + losses, 0.5))), 1.0)  # symmetric
    return SignTest(wins, losses, len(counts) - wins - losses, p)
