"""What a rule for adding seeds would do: how often it errs, how often it finds, how many seeds it takes.

By simulation of normal differences, the same for every effect that is asked about, so that rows can be
compared. Times of stopping depend on the effect in standard deviations of the differences only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.statistics.flips import Paths, critical_t, z_of_t
from bench.statistics.stopping import OUTCOMES, Boundaries, Outcome, Plan, Rule, outcomes, planned_outcomes

CHUNK = 500_000
"""Differences drawn at a time: a few megabytes."""
PATHS = 5_000
"""Families simulated for the boundaries of planned looks."""
MOST_COMPARISONS = 100
"""Of a family that are simulated for them: with more, boundaries hardly change."""


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
    boundaries = _boundaries(plan, min(experiments, PATHS), rng) if plan.rule is Rule.PLANNED else None
    at_once = max(1, CHUNK // plan.largest)
    parts: list[list[NDArray[np.float64]]] = [[] for _ in effects]
    for first in range(0, experiments, at_once):
        size = min(at_once, experiments - first)
        mean, se = _moments(rng.standard_normal((size, plan.largest)), plan.looks)
        for part, effect in zip(parts, effects, strict=True):
            codes = (
                outcomes(plan, mean + effect, se)
                if boundaries is None
                else planned_outcomes(plan, mean + effect, se, boundaries)
            )
            part.append(_followed(plan, codes, mean + effect))
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


def _boundaries(plan: Plan, experiments: int, rng: np.random.Generator) -> Boundaries:
    """What planned looks ask for where nothing differs: of K comparisons that share a baseline's seeds, none
    of which has been closed yet."""
    shared = rng.standard_normal((experiments, plan.largest))
    largest = np.zeros((experiments, len(plan.looks)))
    for _ in range(min(plan.comparisons, MOST_COMPARISONS)):
        draws = (shared + rng.standard_normal(shared.shape)) / np.sqrt(2)
        mean, se = _moments(draws, plan.looks)
        t = np.abs(mean / se)
        np.maximum(largest, z_of_t(t, plan.looks), out=largest)
    differences, equivalence = Paths(experiments, plan.alpha), Paths(experiments, 2 * plan.alpha)
    rows = []
    for look, n in enumerate(plan.looks.tolist()):
        fraction = n / plan.largest
        one, other = (paths.look(largest[:, look], fraction) for paths in (differences, equivalence))
        # Of so few seeds not even all signs alike are as rare as the look asks for.
        reached = 2.0 ** (1 - n) <= plan.alpha * fraction**2
        rows.append(
            tuple(
                critical_t(z, seeds) if reached or seeds == plan.largest else math.inf
                for z, seeds in (
                    (one.critical, n),
                    (other.critical, n),
                    (one.usual, plan.largest),
                    (other.usual, plan.largest),
                )
            )
        )
    return Boundaries(*np.array(rows).T)


def _followed(plan: Plan, codes: NDArray[np.int8], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3, experiments]: the outcome (its place), the sign of the mean there, and the seeds taken."""
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
