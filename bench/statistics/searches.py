"""Losses that were tuned with equal budgets: what tuning with T trials gives, from N ≥ 4T independent trials.

The N settings of a loss are drawn independently from its space, each is trained once, and of any T of them
the one that is best in validation would have been chosen. The mean test score of that choice over all subsets
of size T is a weighted sum of the N test scores, an unbiased estimate of what tuning with T trials gives
(Tang et al., "Showing your work doesn't always work", ACL 2020, of Dodge et al., EMNLP 2019). Two losses are
tried at the same settings, as far as their spaces are the same, and with the same seed at each: trial i of
one loss and trial i of the other belong together.

Scores are fractions or any other numbers, where **more is better**: the caller turns the sign of a metric for
which it is not. Validation is NaN where a trial diverged: it ranks below all others, and its test score is
what the caller says a failure is worth, the score of a guess. ``benchmarks/tuning_rates.py`` shows that the
rates are kept, and what breaks them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.counts import check_confidence
from bench.statistics.paired import p_of_t, t_interval

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

TRIALS_PER_BUDGET = 4
"""N/T at least: below, subsets overlap too much for the jackknife and the normal limit of the sum."""
RARELY_LOST = (0.002, 5.0)
"""Of N/T searches with T trials, how many find nothing but trials that diverged, where no p is given. With
fewer it does not matter, and with more it is seen often enough; between, what it costs hangs on few trials,
and up to .16 are falsely superior for .025 (``benchmarks/tuning_rates.py``)."""


@dataclass(frozen=True)
class Pooled:
    """What tuning one loss with T trials gives more than tuning another. None where it cannot be computed.

    There is no spread where all test scores are the same, and none that could be trusted where a whole search
    may come to nothing: see :data:`RARELY_LOST`.
    """

    n: int  # settings of each loss
    budget: int  # T
    estimate: float  # of the first loss − of the second
    se: float | None
    df: float  # 2N/T
    low: float | None = None
    high: float | None = None
    p: float | None = None  # two-sided, for the hypothesis of no difference
    t: float | None = None

    def interval(self, confidence: float) -> tuple[float, float] | None:
        """The interval at another level: of a family of K, 1 − α/K. None where there is none at any."""
        return t_interval(self.estimate, self.se, self.df, confidence)

    @property
    def spread(self) -> float | None:
        """se·√(N/T), what :func:`bench.statistics.planning.power_of_search` takes."""
        return None if self.se is None else self.se * math.sqrt(self.n / self.budget)


def best_of_weights(validation: ArrayLike, budget: int) -> Floats:
    """How often each trial is the best in validation of T: w_i = C(i − 1, T − 1)/C(N, T) by rank i.

    Trials that tie share the mean of their weights, as if one of them were drawn; all that diverged tie.

    Args:
        validation: [..., N], more is better, NaN where a trial diverged.
        budget: T, from 1 to N.

    Returns:
        [..., N], in the order of the trials, summing to 1.

    Raises:
        ValueError: no trial, or a budget outside 1 … N.
    """
    ranked = _scores(validation, "validation")
    below = _share_below(ranked.shape[-1], _checked(budget, ranked.shape[-1]))
    order, first, end = _ties(ranked)
    return _unsorted((below[end] - below[first]) / (end - first), order)


def best_of(validation: ArrayLike, test: ArrayLike, budget: int) -> float:
    """Mean test score of the best in validation of T trials, over all subsets of T of the N.

    Args:
        validation: [N], more is better, NaN where a trial diverged.
        test: [N], of a trial that diverged the score of a guess.
        budget: T, from 1 to N.

    Raises:
        ValueError: arrays of unequal length, a test score that is no number, a budget outside 1 … N.
    """
    ranked, scores = _pair(validation, test)
    return float(best_of_weights(ranked, budget) @ scores)


def curve(validation: ArrayLike, test: ArrayLike, budgets: Sequence[int] | None = None) -> Floats:
    """:func:`best_of` over the budget, at each of ``budgets``; None: at 1 … N/4, beyond which it says little.

    Raises:
        ValueError: as :func:`best_of`.
    """
    ranked, scores = _pair(validation, test)
    if budgets is None:
        budgets = range(1, len(ranked) // TRIALS_PER_BUDGET + 1)
    return np.array([best_of_weights(ranked, budget) @ scores for budget in budgets], dtype=np.float64)


def without_each(validation: ArrayLike, test: ArrayLike, budget: int) -> Floats:
    """:func:`best_of` of the other N − 1 trials, for each that is left out: [..., N] of two such arrays.

    In closed form: those below it keep their rank, those above it lose one, those that tie share one weight
    less. So it takes as long as sorting does.

    Raises:
        ValueError: as :func:`best_of`, and a budget of more than N − 1.
    """
    ranked, scores = _pair(validation, test)
    below = _share_below(ranked.shape[-1] - 1, _checked(budget, ranked.shape[-1] - 1))
    weights = np.diff(below)
    order, first, end = _ties(ranked)
    scores = np.take_along_axis(scores, order, -1)
    up_to = _sums(scores)
    tied = np.take_along_axis(up_to, end, -1) - np.take_along_axis(up_to, first, -1)
    means = tied / (end - first)
    lower = np.take_along_axis(_sums(means[..., :-1] * weights), first, -1)
    shifted = _sums(means[..., 1:] * weights)
    upper = shifted[..., -1:] - np.take_along_axis(shifted, end - 1, -1)
    shift = (below[end - 1] - below[first]) * (tied - scores) / np.maximum(end - first - 1, 1)
    return _unsorted(lower + shift + upper, order)


def difference(
    validation_a: ArrayLike, test_a: ArrayLike, validation_b: ArrayLike, test_b: ArrayLike, budget: int
) -> tuple[Floats, Floats]:
    """Estimate and standard error of :func:`pooled`, [...] each of arrays [..., N], for any N above T.

    The error is that of the jackknife which leaves out one setting, of both losses at once (Arvesen, Ann.
    Math. Statist. 40, 1969, for such means over subsets).

    Raises:
        ValueError: as :func:`best_of`; unequal numbers of trials, a budget of more than N − 1.
    """
    a, b = _pair(validation_a, test_a), _pair(validation_b, test_b)
    n = a[0].shape[-1]
    if a[0].shape != b[0].shape:
        raise ValueError(f"both losses need the same number of trials, found {n} and {b[0].shape[-1]}")
    weighted = (best_of_weights(of[0], budget) * of[1] for of in (a, b))
    estimate = np.subtract(*(np.sum(of, axis=-1) for of in weighted))
    leave_one_out = without_each(*a, budget) - without_each(*b, budget)
    se = np.sqrt((n - 1) * leave_one_out.var(axis=-1))
    # Sums of equal scores differ in their last digits; such noise is no spread.
    noise = 1e-12 * np.maximum(np.abs(a[1]).max(axis=-1), np.abs(b[1]).max(axis=-1))
    return estimate, np.where(se <= noise, 0.0, se)


def pooled(
    validation_a: ArrayLike,
    test_a: ArrayLike,
    validation_b: ArrayLike,
    test_b: ArrayLike,
    budget: int,
    level: float = 0.95,
) -> Pooled:
    """What tuning loss a with T trials gives more than tuning loss b, from N trials of each.

    The reference is Student's t with 2N/T degrees of freedom: only the best N/T or so trials of a loss have
    a say. Of this test set, as all trials share it. Without a standard error where
    trials diverge so often that a whole search may come to nothing (:data:`RARELY_LOST`).

    Args:
        validation_a, test_a, validation_b, test_b: [N] each, as of :func:`best_of`; the same index, the same
            setting and seed.
        budget: T, at most N/4.
        level: confidence of the interval from ``low`` to ``high``.

    Raises:
        ValueError: as :func:`difference`; N < 4T, a level outside (0, 1).
    """
    check_confidence(level)
    n = np.shape(validation_a)[-1]
    if n < TRIALS_PER_BUDGET * _checked(budget, n):
        least = TRIALS_PER_BUDGET * budget
        raise ValueError(f"a budget of {budget} needs at least {least} trials, found {n}")
    estimate, se = map(float, difference(validation_a, test_a, validation_b, test_b, budget))
    df = 2 * n / budget
    fewest, most = RARELY_LOST
    if any(fewest < lost_searches(of, budget) < most for of in (validation_a, validation_b)):
        return Pooled(n, budget, estimate, None, df)
    if not se:
        return Pooled(n, budget, estimate, se, df)
    t = estimate / se
    low, high = t_interval(estimate, se, df, level) or (None, None)
    return Pooled(n, budget, estimate, se, df, low, high, p_of_t(t, df), t)


def lost_searches(validation: ArrayLike, budget: int) -> float:
    """Of N/T searches with T trials, how many find nothing but trials that diverged: N/T·C(D, T)/C(N, T)."""
    diverged = np.isnan(_scores(validation, "validation"))
    return float(diverged.size / budget * _share_below(diverged.size, budget)[diverged.sum()])


def budgets_for(trials: int) -> tuple[int, ...]:
    """The grid of :func:`superior_from` that is known before any trial: 1, 2, 4, … and N/4 itself."""
    largest = trials // TRIALS_PER_BUDGET
    return tuple(sorted({2**k for k in range(largest.bit_length())} | {largest} - {0}))


def superior_from(
    validation_a: ArrayLike,
    test_a: ArrayLike,
    validation_b: ArrayLike,
    test_b: ArrayLike,
    budgets: Sequence[int],
    alpha: float = 0.05,
) -> int | None:
    """The smallest budget n₀ of which can be said: "superior at every tested budget from n₀ to the largest".

    A fixed sequence: :func:`pooled` at the largest budget first, each one-sided at α/2, until one fails; so
    the chance of any false claim is that of one test (Maurer, Hothorn & Lehmacher 1995).

    Args:
        budgets: stated before the trials are seen (:func:`budgets_for`), none above N/4.
        alpha: two-sided; for one of K comparisons, α/K.

    Returns:
        None where nothing can be said: not even at the largest budget.

    Raises:
        ValueError: as :func:`pooled`.
    """
    smallest = None
    for budget in sorted(set(budgets), reverse=True):
        difference = pooled(validation_a, test_a, validation_b, test_b, budget)
        if difference.p is None or difference.estimate <= 0 or difference.p >= alpha:
            break
        smallest = budget
    return smallest


def _scores(values: ArrayLike, name: str) -> Floats:
    scores = np.asarray(values, dtype=np.float64)
    if not scores.ndim or not scores.shape[-1]:
        raise ValueError(f"{name} must be one score a trial, found an array of shape {scores.shape}")
    return scores


def _pair(validation: ArrayLike, test: ArrayLike) -> tuple[Floats, Floats]:
    ranked, scores = _scores(validation, "validation"), _scores(test, "test")
    if ranked.shape != scores.shape:
        raise ValueError(f"every trial needs both scores, found {ranked.shape[-1]} and {scores.shape[-1]}")
    if not np.isfinite(scores).all():
        raise ValueError("every trial needs a test score: one that diverged, that of a guess")
    return ranked, scores


def _checked(budget: int, trials: int) -> int:
    if not 1 <= budget <= trials:
        raise ValueError(f"a budget must lie between 1 and the {trials} trials, found {budget}")
    return budget


def _ties(validation: Floats) -> tuple[Places, Places, Places]:
    """The order of the trials; of each place in it, where its group of equals begins and ends."""
    n = validation.shape[-1]
    ranked = np.where(np.isnan(validation), -np.inf, validation)
    order = np.argsort(ranked, axis=-1, kind="stable")
    ranked = np.take_along_axis(ranked, order, -1)
    place, edge = np.arange(n), np.ones((*validation.shape[:-1], n + 1), bool)
    np.not_equal(ranked[..., 1:], ranked[..., :-1], out=edge[..., 1:-1])
    first = np.maximum.accumulate(np.where(edge[..., :-1], place, 0), axis=-1)
    end = np.minimum.accumulate(np.where(edge[..., 1:], place + 1, n)[..., ::-1], axis=-1)[..., ::-1]
    return order, first, end


def _sums(values: Floats) -> Floats:
    """Of none, the first, the first two, …: one longer than the last axis."""
    sums = np.zeros((*values.shape[:-1], values.shape[-1] + 1))
    np.cumsum(values, axis=-1, out=sums[..., 1:])
    return sums


def _unsorted(values: Floats, order: Places) -> Floats:
    back = np.empty_like(values)
    np.put_along_axis(back, order, values, -1)
    return back


@cache
def _share_below(trials: int, budget: int) -> Floats:
    """P(the best of T has a rank of at most i) = C(i, T)/C(N, T), for i = 0 … N."""
    ranks = np.arange(trials, budget, -1, dtype=np.float64)
    shares = np.zeros(trials + 1)
    # C(i − 1, T)/C(i, T) = 1 − T/i, multiplied from the top, where the share is 1.
    shares[budget:] = np.cumprod(np.append(1.0, 1 - budget / ranks))[::-1]
    shares.flags.writeable = False
    return shares
