"""The exact answer under one assumption: that the sign of each seed's difference is a toss of a coin.

No normal distribution, no large samples. Two losses whose accuracies have the same distribution make this
assumption true, because the seeds pair them: swapping their names would flip every sign with the same chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bench.statistics.counts import signed_counts
from bench.statistics.paired import positive

EXACT = 60
"""Seeds up to which all flips are counted."""
LARGEST_TABLE = 2**25
"""Entries of the table of sums (256 MB) up to which they are."""


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

    Fisher, The Design of Experiments (1935), § 21. Counted, not enumerated: the distribution of the sums is
    a convolution of n two-point distributions on the integers (Pagano & Tritchler, J. Am. Stat. Assoc. 78,
    1983). A difference of 0 has two signs that change nothing, so it neither helps nor hurts.

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
    sizes = np.abs(counts)
    sizes = sizes[sizes > 0]
    smallest = positive(math.ldexp(1.0, 1 - len(sizes))) if len(sizes) else 1.0
    total, reach = int(sizes.sum()), abs(int(counts.sum()))
    if reach == 0:
        return SignFlip(n, 1.0, smallest)
    # The sum of what is signed the other way must stay at or below half of what is missing to the total.
    step = int(np.gcd.reduce(sizes))
    most = (total - reach) // (2 * step)
    if len(sizes) <= EXACT and most < LARGEST_TABLE:
        ways = 2 * _subsets_up_to(sizes // step, most)  # and as many with all signs swapped
        return SignFlip(n, ways / 2 ** len(sizes), smallest)
    draw = np.random.default_rng(seed)
    # Eight seeds at a time: a random byte says which of them change sign, and a table what they sum to.
    eights = np.pad(sizes, (0, -len(sizes) % 8)).reshape(-1, 8)
    sums = eights @ np.unpackbits(np.arange(256, dtype=np.uint8)[None], axis=0).astype(int)
    hits = 0
    for start in range(0, resamples, 10_000):
        size = min(10_000, resamples - start)
        flipped = np.zeros(size, dtype=np.int64)
        for of_byte in sums:
            flipped += of_byte.take(draw.integers(0, 256, size=size, dtype=np.uint8))
        hits += int(np.count_nonzero(np.abs(total - 2 * flipped) >= reach))
    p = (1 + hits) / (1 + resamples)
    return SignFlip(n, p, smallest, exact=False, p_error=math.sqrt(p * (1 - p) / (1 + resamples)))


def _subsets_up_to(sizes: NDArray[np.int64], most: int) -> int:
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
