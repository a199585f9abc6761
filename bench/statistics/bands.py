"""For the picture of a search: how good the best of n trials gets, with a band that holds at all n at once.

The curve is the median of the best of n scores, from quantiles of one trial's score: where F is its
distribution, the q-quantile of the best of n is F⁻¹(q^(1/n)), so that a band of F is a band of the whole
curve (Lourie, Cho & He, "Show your work with confidence", NAACL 2024). Scores are what the trials are chosen
by: with test scores it would be the curve of choosing by the test set. More is better. Two bands that do not
overlap are no test: that is :func:`bench.statistics.searches.pooled`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from bench.statistics.counts import check_confidence

Floats = NDArray[np.float64]


def median_curve(values: ArrayLike, budgets: Sequence[int] | None = None) -> Floats:
    """Median of the best of n of these trials, drawn with replacement; the line within :func:`bands`.

    Args and errors as of :func:`bands`.
    """
    ordered, quantiles = _prepared(values, budgets)
    # As of scipy's "inverted_cdf", but that rounding lifts no quantile to the trial above.
    place = np.ceil(quantiles * len(ordered) - 1e-9).astype(int)
    return _drawn(ordered, place)


def bands(
    values: ArrayLike, level: float = 0.95, budgets: Sequence[int] | None = None
) -> tuple[Floats, Floats]:
    """Lower and upper limits of the median best of n, which hold together, at all n, with that level.

    Args:
        values: [N], a score a trial, more is better, NaN where one diverged: below all others.
        level: exact where scores are continuous; with ties it is more.
        budgets: the n; None: 1 … N.

    Returns:
        Two arrays, one number a budget. NaN where there is no limit: no upper one beyond the budget
        N·ln 2/ln(2/ε), where the best trial that was seen is no bound (ε is of :func:`pointwise`), and no
        lower one among trials that diverged.

    Raises:
        ValueError: another shape, no trial, a level outside (0, 1), a budget below 1.
    """
    ordered, quantiles = _prepared(values, budgets)
    low, high = _limits(len(ordered), pointwise(len(ordered), level))
    # F is at most high[i] until the trial after i is reached, and at least low[i − 1] from trial i on.
    return (
        _drawn(ordered, np.searchsorted(high, quantiles)),
        _drawn(ordered, np.searchsorted(low, quantiles) + 1),
    )


@cache
def pointwise(n: int, level: float = 0.95) -> float:
    """The ε such that all n equal-tailed 1 − ε intervals of F at the ordered scores hold with that level.

    F at the i-th of n scores is the i-th of n uniform numbers, of distribution Beta(i, n + 1 − i)
    (Learned-Miller & DeStefano, IEEE Trans. Inf. Theory 54, 2008). They simulate to find ε; this is exact.

    Raises:
        ValueError: no score, or a level outside (0, 1).
    """
    check_confidence(level)
    if n < 1:
        raise ValueError(f"a band needs at least one trial, found {n}")
    least = math.log((1 - level) / n)  # Bonferroni's, and one interval alone
    if n == 1:
        return 1 - level
    root = optimize.brentq(lambda x: _coverage(n, math.exp(x)) - level, least, math.log(1 - level), xtol=1e-7)
    return math.exp(root)


def _limits(n: int, epsilon: float) -> tuple[Floats, Floats]:
    i = np.arange(1, n + 1)
    low = np.asarray(special.betaincinv(i, n + 1 - i, epsilon / 2), dtype=np.float64)
    return low, 1 - low[::-1]  # by symmetry


def _coverage(n: int, epsilon: float) -> float:
    """P(low_i ≤ U_(i) ≤ high_i for all i) of n ordered uniform numbers.

    Their count over time is a Poisson process that comes to n at 1: its distribution is carried from limit to
    limit, and at each what breaks it is taken out (Moscovich & Nadler, Stat. Probab. Lett. 123, 2017).
    """
    low, high = _limits(n, epsilon)
    times = np.concatenate([low, high])
    order = np.argsort(times, kind="stable")
    gaps = np.diff(times[order], prepend=0.0, append=1.0)
    counts = np.arange(n + 1)
    steps = np.exp(special.xlogy(counts, n * gaps[:, None]) - n * gaps[:, None] - special.gammaln(counts + 1))
    chances = (counts == 0).astype(np.float64)
    first, last = 0, 0  # that may be different from 0
    for limit, step in zip(order, steps, strict=False):
        moved = np.convolve(chances[first : last + 1], step)[: n + 1 - first]
        chances[first : first + len(moved)] = moved
        last = n
        if limit < n:  # before low_i, fewer than i
            chances[limit + 1 :] = 0
            last = int(limit)
        else:  # by high_i, at least i
            first = int(limit) - n + 1
            chances[:first] = 0
    final = float(np.sum(chances * steps[-1][::-1]))
    return final / math.exp(n * math.log(n) - n - math.lgamma(n + 1))


def _prepared(values: ArrayLike, budgets: Sequence[int] | None) -> tuple[Floats, Floats]:
    """Scores in order, those that diverged first; and of each budget the quantile that it reaches."""
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or not len(scores):
        raise ValueError(f"values must be one score a trial, found an array of shape {scores.shape}")
    n = np.arange(1, len(scores) + 1) if budgets is None else np.asarray(budgets)
    if n.size and n.min() < 1:
        raise ValueError(f"a budget must be at least 1, found {n.min()}")
    return np.sort(np.where(np.isnan(scores), -np.inf, scores)), 0.5 ** (1 / n)


def _drawn(ordered: Floats, place: NDArray[np.intp]) -> Floats:
    """The scores at places 1 … N; NaN beyond them and at those that diverged."""
    values = np.concatenate([[np.nan], np.where(np.isinf(ordered), np.nan, ordered), [np.nan]])[place]
    return np.asarray(values, dtype=np.float64)
