"""Two losses on the same splits of one data set: the corrected resampled t-test, and its Bayesian form.

Folds of a cross-validation, and splits that are drawn at random, are no independent runs. Any two of their
training sets share most of their images, so differences on them depend on each other, and however often one
splits the data stay the same. Student's t takes them for independent and finds differences that are not
there; its variance is corrected here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from numpy.typing import ArrayLike
from scipy import special

from bench.statistics.equivalence import Estimated
from bench.statistics.paired import PairedT, p_of_t, paired_t, t_interval


def corrected_t(
    differences: ArrayLike, total: int, ratio: float, confidence: float = 0.95, *, bounded: bool = True
) -> PairedT:
    """The corrected resampled t-test (Nadeau & Bengio, "Inference for the generalization error", Machine
    Learning 52, 2003), for repeated folds as in Bouckaert & Frank (PAKDD 2004).

    The squared standard error is (1/n + n_test/n_train)·sd²: it stays above sd²·n_test/n_train however often
    one splits.

    Args:
        differences: signed integers [n], one a split (a fold of a repeat): correct answers of the loss −
            those of its baseline.
        total: test images that each count is out of.
        ratio: n_test/n_train, above 0; 1/(k − 1) of k folds.
        confidence: coverage of the interval from ``low`` to ``high``.
        bounded: whether the numbers are counts out of ``total``; else any whole numbers, in units of 1/total.

    Returns:
        As of :func:`bench.statistics.paired.paired_t`, n − 1 degrees of freedom, with the corrected ``se``.

    Raises:
        ValueError: a ratio that is not above 0, or what :func:`bench.statistics.paired.paired_t` does not
            take.
    """
    if not 0 < ratio < math.inf:
        raise ValueError(f"n_test/n_train must be above 0, found {ratio}")
    naive = paired_t(differences, total, confidence, bounded=bounded)
    if naive.estimate is None or naive.sd is None or naive.df is None:
        return naive
    se = naive.sd * math.sqrt(1 / naive.n + ratio)
    if not se:
        return replace(naive, se=se)
    t = naive.estimate / se
    low, high = t_interval(naive.estimate, se, naive.df, confidence) or (None, None)
    return replace(naive, se=se, low=low, high=high, p=p_of_t(t, naive.df), t=t)


@dataclass(frozen=True)
class Posterior:
    """How probable it is that a loss is worse than its baseline, practically equivalent, or better.

    The three add up to 1; without a region of practical equivalence, worse and better do.
    """

    worse: float
    equivalent: float | None
    better: float


def correlated_posterior(
    result: Estimated, rope: float | None = None, *, higher_is_better: bool = True
) -> Posterior | None:
    """The Bayesian correlated t-test (Benavoli, Corani, Demšar & Zaffalon, "Time for a change: a tutorial for
    comparing multiple classifiers through Bayesian analysis", JMLR 18, 2017).

    With the correlation ρ = n_test/(n_test + n_train) between splits (1/k of folds) and the usual flat prior,
    the true difference has a posterior that is Student's t with n − 1 degrees of freedom around the estimate,
    of scale sd·√(1/n + ρ/(1 − ρ)). As ρ/(1 − ρ) = n_test/n_train, that is the standard error of
    :func:`corrected_t`.

    Args:
        result: of :func:`corrected_t`.
        rope: differences within ±rope do not matter, in the unit of the estimate; None: there are none such.
        higher_is_better: the direction of the metric.

    Returns:
        None where the result has no standard error above 0.

    Raises:
        ValueError: a rope below 0.
    """
    if rope is not None and not rope >= 0:
        raise ValueError(f"rope must be at least 0, found {rope}")
    if result.estimate is None or not result.se or result.df is None:
        return None
    below, above = (
        float(special.stdtr(result.df, (sign * result.estimate - (rope or 0.0)) / result.se))
        for sign in (-1, 1)
    )
    worse, better = (below, above) if higher_is_better else (above, below)
    return Posterior(worse, None if rope is None else max(1 - (below + above), 0.0), better)
