"""Two losses on the same folds of a cross-validation: the corrected resampled t-test, and its Bayesian form.

Folds are no seeds. Any two of their training sets share most of their images, so differences on them depend
on each other, and however often a cross-validation is repeated the data stay the same. Student's t takes the
folds for independent and finds differences that are not there; its variance is corrected here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from numpy.typing import ArrayLike
from scipy import special

from bench.statistics.equivalence import Estimated
from bench.statistics.paired import PairedT, p_of_t, paired_t, t_interval


def corrected_t(
    differences: ArrayLike, total: int, folds: int, confidence: float = 0.95, *, bounded: bool = True
) -> PairedT:
    """The corrected resampled t-test (Nadeau & Bengio, "Inference for the generalization error", Machine
    Learning 52, 2003), for repeated folds as in Bouckaert & Frank (PAKDD 2004).

    The squared standard error is (1/n + n_test/n_train)·sd², and of k folds n_test/n_train is 1/(k − 1): it
    stays above sd²/(k − 1) however often the folds are repeated.

    Args:
        differences: signed integers [n], one a fold of a repeat: correct answers of the loss − those of its
            baseline.
        total: test images that each count is out of.
        folds: k, those of one repeat.
        confidence: coverage of the interval from ``low`` to ``high``.
        bounded: whether the numbers are counts out of ``total``; else any whole numbers, in units of 1/total.

    Returns:
        As of :func:`bench.statistics.paired.paired_t`, n − 1 degrees of freedom, with the corrected ``se``.

    Raises:
        ValueError: fewer than two folds, or what :func:`bench.statistics.paired.paired_t` does not take.
    """
    if folds < 2:
        raise ValueError(f"there must be at least two folds, found {folds}")
    naive = paired_t(differences, total, confidence, bounded=bounded)
    if naive.estimate is None or naive.sd is None or naive.df is None:
        return naive
    se = naive.sd * math.sqrt(1 / naive.n + 1 / (folds - 1))
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

    With the correlation ρ = 1/k between folds and the usual flat prior, the true difference has a posterior
    that is Student's t with n − 1 degrees of freedom around the estimate, of scale sd·√(1/n + ρ/(1 − ρ)). As
    ρ/(1 − ρ) = 1/(k − 1), that is the standard error of :func:`corrected_t`.

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
