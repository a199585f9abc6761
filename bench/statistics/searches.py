"""Losses that were tuned with equal budgets: what tuning with T trials gives, from N ≥ 4T independent trials.

The N settings of a loss are drawn independently from its space, each is trained once, and of any T of them the
one that is best in validation would have been chosen. The mean test score of that choice over all subsets of
size T is a weighted sum of the N test scores, an unbiased estimate of what tuning with T trials gives (Dodge
et al., "Show your work", EMNLP 2019, with the correction of Tang et al., "Showing your work doesn't always
work", ACL 2020). Two losses are tried at the same settings, as far as their spaces are the same, and with the
same seed at each: trial i of one loss and trial i of the other belong together.

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
from bench.statistics.paired import PairedT, p_of_t, paired_t, t_interval
from bench.statistics.planning import power_of_t
from bench.statistics.units import unit_for

Floats = NDArray[np.float64]

TRIALS_PER_BUDGET = 4
"""N/T at least: below, subsets overlap too much for the jackknife and the normal limit of the sum."""
FEWEST_SEARCHES = 8
"""Of the design that repeats whole searches: a t over fewer has intervals that say nothing."""


@dataclass(frozen=True)
class Pooled:
    """What tuning one loss with T trials gives more than tuning another. None where it cannot be computed.

    That is where no setting matters to the difference, as where all test scores are the same.
    """

    n: int  # settings of each loss
    budget: int  # T
    estimate: float  # of the first loss − of the second
    se: float
    df: float  # 2N/T
    low: float | None = None
    high: float | None = None
    p: float | None = None  # two-sided, for the hypothesis of no difference
    t: float | None = None

    def interval(self, confidence: float) -> tuple[float, float] | None:
        """The interval at another level: of a family of K, 1 − α/K. None where there is none at any."""
        return t_interval(self.estimate, self.se, self.df, confidence)

    @property
    def spread(self) -> float:
        """se·√(N/T), what :func:`power` takes: of a difference of two single searches with T trials."""
        return self.se * math.sqrt(self.n / self.budget)


def best_of_weights(validation: ArrayLike, budget: int) -> Floats:
    """How often each trial is the best in validation of T: w_i = C(i − 1, T − 1)/C(N, T) by rank i.

    Trials that tie share the mean of their weights, as if one of them were drawn; all that diverged tie.

    Args:
        validation: [N], more is better, NaN where a trial diverged.
        budget: T, from 1 to N.

    Returns:
        [N], in the order of the trials, summing to 1.

    Raises:
        ValueError: another shape, no trial, or a budget outside 1 … N.
    """
    group, ends, counts = _ties(_scores(validation, "validation"))
    below = _share_below(len(group), _checked(budget, len(group)))
    return ((below[ends] - below[ends - counts]) / counts)[group]


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
    """:func:`best_of` of the other N − 1 trials, for each that is left out: [N].

    In closed form: those below it keep their rank, those above it lose one, those that tie share one weight
    less. So it takes as long as sorting does.

    Raises:
        ValueError: as :func:`best_of`, and a budget of more than N − 1.
    """
    ranked, scores = _pair(validation, test)
    below = _share_below(len(ranked) - 1, _checked(budget, len(ranked) - 1))
    group, ends, counts = _ties(ranked)
    starts, sums = ends - counts, np.bincount(group, scores)
    keeping = (below[np.minimum(ends, len(ranked) - 1)] - below[starts]) * sums / counts
    shifted = (below[ends - 1] - below[np.maximum(starts - 1, 0)]) * sums / counts
    lower = np.cumsum(keeping) - keeping
    upper = np.cumsum(shifted[::-1])[::-1] - shifted
    tied = (below[ends - 1] - below[starts]) / np.maximum(counts - 1, 1)
    return (lower + upper)[group] + tied[group] * (sums[group] - scores)


def pooled(
    validation_a: ArrayLike,
    test_a: ArrayLike,
    validation_b: ArrayLike,
    test_b: ArrayLike,
    budget: int,
    level: float = 0.95,
) -> Pooled:
    """What tuning loss a with T trials gives more than tuning loss b, from N trials of each.

    The standard error is that of the jackknife which leaves out one setting, of both losses at once (Arvesen,
    Ann. Math. Statist. 40, 1969, for such sums over subsets), and the reference Student's t with 2N/T degrees
    of freedom: only the best N/T or so trials of a loss have a say. Of this test set, as all trials share it.

    Args:
        validation_a, test_a, validation_b, test_b: [N] each, as of :func:`best_of`; the same index, the same
            setting and seed.
        budget: T, at most N/4.
        level: confidence of the interval from ``low`` to ``high``.

    Raises:
        ValueError: as :func:`best_of`; unequal numbers of trials, N < 4T, a level outside (0, 1).
    """
    a, b = _pair(validation_a, test_a), _pair(validation_b, test_b)
    n = len(a[0])
    if len(b[0]) != n:
        raise ValueError(f"both losses need the same number of trials, found {n} and {len(b[0])}")
    check_confidence(level)
    if n < TRIALS_PER_BUDGET * _checked(budget, n):
        raise ValueError(f"a budget of {budget} needs at least {TRIALS_PER_BUDGET * budget} trials, found {n}")
    estimate = best_of(*a, budget) - best_of(*b, budget)
    others = without_each(*a, budget) - without_each(*b, budget)
    se, df = math.sqrt((n - 1) * float(others.var())), 2 * n / budget
    # Sums of equal scores differ in their last digits; such noise is no spread.
    if se <= 1e-12 * max(float(np.abs(a[1]).max()), float(np.abs(b[1]).max())):
        return Pooled(n, budget, estimate, 0.0, df)
    t = estimate / se
    low, high = t_interval(estimate, se, df, level) or (None, None)
    return Pooled(n, budget, estimate, se, df, low, high, p_of_t(t, df), t)


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
    found = None
    for budget in sorted(set(budgets), reverse=True):
        difference = pooled(validation_a, test_a, validation_b, test_b, budget)
        if difference.p is None or difference.estimate <= 0 or difference.p >= alpha:
            break
        found = budget
    return found


def searches_interval(means_a: ArrayLike, means_b: ArrayLike, level: float = 0.95) -> PairedT:
    """The other design: R searches of fresh settings, winners retrained, Student's t over the searches.

    Args:
        means_a, means_b: [R], mean test score of a search's winner over its seeds: one number a search, as
            seeds of one winner say nothing of other searches. The same index, the same settings tried.
        level: confidence of the interval.

    Returns:
        Of a − b, ``n`` the searches.

    Raises:
        ValueError: fewer than eight searches, unequal numbers of them, a mean that is no number.
    """
    a, b = (np.asarray(means, dtype=np.float64) for means in (means_a, means_b))
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"one mean a search of each loss is needed, found shapes {a.shape} and {b.shape}")
    if len(a) < FEWEST_SEARCHES:
        raise ValueError(f"at least {FEWEST_SEARCHES} searches are needed, found {len(a)}")
    if not np.isfinite(a - b).all():
        raise ValueError("every search needs a mean test score")
    unit = unit_for([*a, *b])
    return paired_t(np.rint((a - b) * unit).astype(np.int64), unit, level, bounded=False)


def _scores(values: ArrayLike, name: str) -> Floats:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or not len(scores):
        raise ValueError(f"{name} must be one score a trial, found an array of shape {scores.shape}")
    return scores


def _pair(validation: ArrayLike, test: ArrayLike) -> tuple[Floats, Floats]:
    ranked, scores = _scores(validation, "validation"), _scores(test, "test")
    if len(ranked) != len(scores):
        raise ValueError(f"every trial needs both scores, found {len(ranked)} and {len(scores)}")
    if not np.isfinite(scores).all():
        raise ValueError("every trial needs a test score: one that diverged, that of a guess")
    return ranked, scores


def _checked(budget: int, trials: int) -> int:
    if not 1 <= budget <= trials:
        raise ValueError(f"a budget must lie between 1 and the {trials} trials, found {budget}")
    return budget


def _ties(validation: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Of each trial its group of equals [N]; of each group where it ends in the order, and its size."""
    ranked = np.where(np.isnan(validation), -np.inf, validation)
    _, group, counts = np.unique(ranked, return_inverse=True, return_counts=True)
    return group, np.cumsum(counts), counts


@cache
def _share_below(trials: int, budget: int) -> Floats:
    """P(the best of T has a rank of at most i) = C(i, T)/C(N, T), for i = 0 … N."""
    steps = np.arange(budget, trials, dtype=np.float64)
    shares = np.zeros(trials + 1)
    # C(i, T)/C(i + 1, T) = 1 − T/(i + 1), multiplied from the top, where it is 1.
    shares[budget:] = np.cumprod(np.append(1.0, 1 - budget / (steps[::-1] + 1)))[::-1]
    shares.flags.writeable = False
    return shares
