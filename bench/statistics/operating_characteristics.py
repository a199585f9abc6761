"""What a rule for adding seeds would do: how often it errs, how often it finds, how many seeds it takes.

By simulation of normal differences, the same for every effect that is asked about, so that rows can be
compared. Times of stopping depend on the effect in standard deviations of the differences only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.statistics.stopping import OUTCOMES, Outcome, Plan, outcomes

CHUNK = 500_000
"""Differences drawn at a time: a few megabytes."""


@dataclass(frozen=True)
class OperatingCharacteristics:
    """Of a plan, if the true effect is this one. Rates with their standard errors of simulation."""

    effect: float  # μ/σ of the differences
    decided: float  # share called a difference; for effect 0: the rate of false alarms
    decided_se: float
    power: float  # called a difference of the right sign; 0 for effect 0
    equivalent: float  # share called equivalent; 0 where the plan has no margin
    undecided: float
    futile: float  # share stopped for futility, among the undecided
    mean_n: float  # seeds
    mean_n_se: float
    experiments: int


def operating_characteristics(
    plan: Plan, effects: Sequence[float], experiments: int = 10_000, seed: int = 0
) -> tuple[OperatingCharacteristics, ...]:
    """Simulate a plan under each effect.

    Args:
        effects: true differences in standard deviations of the paired differences; so is the plan's margin.
        experiments: simulated comparisons; the standard error of a rate r is √(r(1−r)/experiments).

    Raises:
        ValueError: no experiment, an effect that is no number.
    """
    if experiments < 1 or not np.all(np.isfinite(effects)):
        raise ValueError(f"an experiment and finite effects are needed, found {experiments} and {effects}")
    rng = np.random.default_rng(seed)
    at_once = max(1, CHUNK // plan.largest)
    parts: list[list[NDArray[np.float64]]] = [[] for _ in effects]
    for first in range(0, experiments, at_once):
        size = min(at_once, experiments - first)
        mean, se = _moments(rng.standard_normal((size, plan.largest)), plan.looks)
        for part, effect in zip(parts, effects, strict=True):
            part.append(_followed(plan, mean + effect, se))
    return tuple(
        _summary(effect, np.concatenate(part, axis=1)) for effect, part in zip(effects, parts, strict=True)
    )


def _moments(
    draws: NDArray[np.float64], looks: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and its standard error at each look: [experiments, looks]. An effect moves the mean alone."""
    mean = np.cumsum(draws, axis=1)[:, looks - 1] / looks
    squares = np.cumsum(draws * draws, axis=1)[:, looks - 1]
    return mean, np.sqrt((squares / looks - mean * mean) / (looks - 1))


def _followed(plan: Plan, mean: NDArray[np.float64], se: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3, experiments]: the outcome (its place), the sign of the mean there, and the seeds taken."""
    codes = outcomes(plan, mean, se)
    rows, last = np.arange(len(codes)), (codes != 0).argmax(axis=1)
    return np.stack([codes[rows, last], np.sign(mean[rows, last]), plan.looks[last]]).astype(np.float64)


def _summary(effect: float, followed: NDArray[np.float64]) -> OperatingCharacteristics:
    code, sign, n = followed
    experiments = len(n)
    different, equivalent, futile = (
        code == OUTCOMES.index(outcome)
        for outcome in (Outcome.DIFFERENCE, Outcome.EQUIVALENT, Outcome.FUTILE)
    )
    decided = float(np.mean(different))
    return OperatingCharacteristics(
        effect=effect,
        decided=decided,
        decided_se=float(np.sqrt(decided * (1 - decided) / experiments)),
        power=float(np.mean(different & (sign == np.sign(effect)))) if effect else 0.0,
        equivalent=float(np.mean(equivalent)),
        undecided=float(np.mean(~(different | equivalent))),
        futile=float(np.mean(futile)),
        mean_n=float(np.mean(n)),
        mean_n_se=float(np.std(n) / np.sqrt(experiments)),
        experiments=experiments,
    )
