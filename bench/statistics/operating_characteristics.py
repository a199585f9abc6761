"""What a rule for adding seeds would do: how often it errs, how often it finds, how many seeds it takes.

By simulation of normal differences, the same for every effect that is asked about, so that rows can be
compared. Times of stopping depend on the effect in standard deviations of the differences only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.statistics import group_sequential, sequential
from bench.statistics.futility import prospects

CHUNK = 500_000
"""Differences drawn at a time: a few megabytes."""


class Rule(StrEnum):
    """When to stop and call it a difference."""

    E_VALUE = "e-value"
    OBRIEN_FLEMING = "obrien-fleming"
    POCOCK = "pocock"
    FIXED = "fixed"  # one t-test at the largest n
    NAIVE = "naive"  # a t-test at every look, as if it were the only one: not valid, to show what it does


@dataclass(frozen=True)
class Plan:
    """Looks at ``start`` seeds, then every ``step`` more, up to ``largest``.

    Raises:
        ValueError: unless 2 ≤ start ≤ largest and step ≥ 1, 0 < alpha < 1, comparisons ≥ 1 and
            0 ≤ futility < 1.
    """

    start: int
    step: int
    largest: int
    rule: Rule = Rule.E_VALUE
    alpha: float = 0.05
    comparisons: int = 1  # of the family, each planned so; α/K for each
    g: float = 1.0  # of the e-value
    futility: float = 0.0  # stop where even the favourable chance of deciding is below this; 0: never

    def __post_init__(self) -> None:
        sequential.threshold(self.alpha, self.comparisons)
        if not (2 <= self.start <= self.largest and self.step >= 1 and 0 <= self.futility < 1):
            raise ValueError(
                "2 ≤ start ≤ largest, step ≥ 1 and 0 ≤ futility < 1 must hold, "
                f"found {self.start}, {self.largest}, {self.step} and {self.futility}"
            )

    @property
    def looks(self) -> NDArray[np.int64]:
        """Seeds at each look; the last one is at the largest n, whatever the step."""
        looks = [self.largest] if self.rule is Rule.FIXED else [*range(self.start, self.largest, self.step)]
        return np.array(looks if looks[-1:] == [self.largest] else [*looks, self.largest])

    def critical_t(self) -> NDArray[np.float64]:
        """|t| that decides at each look."""
        alpha = self.alpha / self.comparisons
        match self.rule:
            case Rule.E_VALUE:
                return sequential.critical_t(self.looks, 1 / alpha, self.g)
            case Rule.OBRIEN_FLEMING | Rule.POCOCK:
                return group_sequential.critical_t(
                    self.looks, alpha, group_sequential.Spending(self.rule.value)
                )
            case Rule.FIXED | Rule.NAIVE:
                return np.asarray(stats.t.isf(alpha / 2, self.looks - 1), dtype=np.float64)


@dataclass(frozen=True)
class OperatingCharacteristics:
    """Of a plan, if the true effect is this one. Rates with their standard errors of simulation."""

    effect: float  # μ/σ of the differences
    decided: float  # share called a difference; for effect 0: the rate of false alarms
    decided_se: float
    power: float  # called a difference of the right sign; 0 for effect 0
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
        effects: true differences in standard deviations of the paired differences.
        experiments: simulated comparisons; the standard error of a rate r is √(r(1−r)/experiments).

    Raises:
        ValueError: no experiment, an effect that is no number.
    """
    if experiments < 1 or not np.all(np.isfinite(effects)):
        raise ValueError(f"an experiment and finite effects are needed, found {experiments} and {effects}")
    rng = np.random.default_rng(seed)
    at_once = max(1, CHUNK // plan.largest)
    critical = plan.critical_t()
    parts: list[list[NDArray[np.float64]]] = [[] for _ in effects]
    for first in range(0, experiments, at_once):
        size = min(at_once, experiments - first)
        mean, se = _moments(rng.standard_normal((size, plan.largest)), plan.looks)
        for part, effect in zip(parts, effects, strict=True):
            part.append(_outcomes(plan, (mean + effect) / se, critical))
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


def _outcomes(plan: Plan, t: NDArray[np.float64], critical: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3, experiments]: sign of what was decided (0: nothing), seeds taken, stopped for futility (0 or 1)."""
    looks = plan.looks
    crossed = np.abs(t) >= critical
    stopped = crossed.copy()
    if plan.futility > 0 and len(looks) > 1:
        chance = prospects(t[:, :-1], looks[:-1], plan.largest, float(critical[-1])).favourable
        stopped[:, :-1] |= chance < plan.futility
    stopped[:, -1] = True
    rows = np.arange(len(t))
    last = stopped.argmax(axis=1)
    sign = np.where(crossed[rows, last], np.sign(t[rows, last]), 0)
    return np.stack([sign, looks[last], (sign == 0) & (last < len(looks) - 1)]).astype(np.float64)


def _summary(effect: float, outcomes: NDArray[np.float64]) -> OperatingCharacteristics:
    sign, n, futile = outcomes
    experiments = len(n)
    decided = float(np.mean(sign != 0))
    return OperatingCharacteristics(
        effect=effect,
        decided=decided,
        decided_se=float(np.sqrt(decided * (1 - decided) / experiments)),
        power=float(np.mean(sign == np.sign(effect))) if effect else 0.0,
        undecided=float(np.mean(sign == 0)),
        futile=float(np.mean(futile)),
        mean_n=float(np.mean(n)),
        mean_n_se=float(np.std(n) / np.sqrt(experiments)),
        experiments=experiments,
    )
