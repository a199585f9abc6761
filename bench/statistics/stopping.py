"""When to stop adding seeds to a comparison: the rule, stated before the first seed, and what it says.

At each planned look a comparison is closed, in this order, because

* there is a **difference**: the family's group-sequential boundary is crossed
  (:mod:`bench.statistics.flips`), or, where one may look whenever one likes, the e-value has reached K/α
  (:mod:`bench.statistics.sequential`);
* the two are **equivalent**: the interval lies within the margin. That spends an α of its own over the looks,
  for the whole family, so that the chance of *ever* calling a difference as large as the margin equivalent
  is α; asking for both sides costs no more (Berger, Technometrics 24, 1982);
* going on is **futile**: neither of the two is likely at the largest number of seeds
  (:mod:`bench.statistics.futility`). That can only lower the rates of error;
* the **largest** number of seeds has been reached.

Looks are at pairs that are sound in both arms (:mod:`bench.statistics.collapse`), and a loss that collapsed
more often than its baseline is closed neither as the better one nor as equivalent.

:func:`outcomes` applies the e-value, and the rules that it is held against, to means and standard errors, of
one comparison or of thousands simulated ones at a time; :mod:`bench.statistics.standings` applies the rule to
counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from bench.statistics import group_sequential, sequential
from bench.statistics.futility import equivalence_power, predictive_equivalence, predictive_power, prospects

FUTILITY = 0.2
"""Chance of deciding, at best, below which an e-value is not worth going on: one minus the usual power."""
PREDICTIVE = 0.1
"""The same of planned looks, from the second on, averaged over what the true difference may be."""
FEWEST = 5
"""Pairs from which on anything is decided: with fewer no test over seeds holds α (docs/statistics.md)."""
Seed = int | str


class Rule(StrEnum):
    """When to stop and call it a difference."""

    PLANNED = "planned"  # flips, the family together
    E_VALUE = "e-value"
    OBRIEN_FLEMING = "obrien-fleming"
    POCOCK = "pocock"
    FIXED = "fixed"  # one t-test at the largest n
    NAIVE = "naive"  # a t-test at every look, as if it were the only one: not valid, to show what it does


class Outcome(StrEnum):
    """How a comparison stands."""

    OPEN = "open"
    DIFFERENCE = "difference"
    EQUIVALENT = "equivalent"
    FUTILE = "futile"
    LARGEST = "largest"


OUTCOMES = tuple(Outcome)
"""Outcome k of :func:`outcomes` is the k-th of these."""


@dataclass(frozen=True)
class Plan:
    """Looks at ``start`` seeds, then every ``step`` more, up to ``largest``.

    Raises:
        ValueError: unless 2 ≤ start ≤ largest and step ≥ 1, 0 < alpha < 1 (½ with a margin), comparisons ≥ 1,
            margin ≥ 0 and 0 ≤ futility < 1.
    """

    start: int
    step: int
    largest: int
    rule: Rule = Rule.E_VALUE
    alpha: float = 0.05
    comparisons: int = 1  # of the family, each planned so; α/K for each
    g: float = 1.0  # of the e-value
    futility: float = 0.0  # stop where even the favourable chance of deciding is below this; 0: never
    margin: float = 0.0  # in the unit of the differences; 0: equivalence is never called
    adjusted_equivalence: bool = False  # whether e-values' equivalence spends α/K: older suites spend α each

    def __post_init__(self) -> None:
        sequential.threshold(self.alpha, self.comparisons)
        if not (2 <= self.start <= self.largest and self.step >= 1 and 0 <= self.futility < 1):
            raise ValueError(
                "2 ≤ start ≤ largest, step ≥ 1 and 0 ≤ futility < 1 must hold, "
                f"found {self.start}, {self.largest}, {self.step} and {self.futility}"
            )
        if not (self.margin >= 0 and (self.alpha < 0.5 or not self.margin)):
            raise ValueError(
                f"a margin of at least 0, and α < ½, are needed, found {self.margin} and {self.alpha}"
            )

    @property
    def looks(self) -> NDArray[np.int64]:
        """Seeds at each look; the last one is at the largest n, whatever the step."""
        looks = [self.largest] if self.rule is Rule.FIXED else [*range(self.start, self.largest, self.step)]
        return np.array(looks if looks[-1:] == [self.largest] else [*looks, self.largest])

    @property
    def bar(self) -> float:
        """The e-value that decides: K/α."""
        return sequential.threshold(self.alpha, self.comparisons)

    def can_differ(self, n: int) -> bool:
        """Whether so many seeds can show a difference at all, however large it is."""
        if n < FEWEST:
            return False
        if self.rule is Rule.PLANNED:
            # All signs alike, or all the other way round: as rare as this look asks for?
            return bool(2.0 ** (1 - n) < self.alpha * (n / self.largest) ** 2)
        return bool(np.isfinite(self.critical_t([n])[0]) if self.rule is Rule.E_VALUE else True)

    def critical_t(self, n: ArrayLike | None = None) -> NDArray[np.float64]:
        """|t| that decides at each look.

        Args:
            n: seeds at each look, where not all that were planned gave a pair.
        """
        seeds = self.looks if n is None else np.asarray(n)
        alpha = self.alpha / self.comparisons
        match self.rule:
            case Rule.E_VALUE:
                return sequential.critical_t(seeds, self.bar, self.g)
            case Rule.OBRIEN_FLEMING | Rule.POCOCK:
                spending = group_sequential.Spending(self.rule.value)
                levels = _levels(tuple(self.looks.tolist()), alpha, spending)
                return np.asarray(stats.t.isf(levels, seeds - 1), dtype=np.float64)
            case Rule.PLANNED:
                raise ValueError("planned looks take their boundaries from the data: standings")
            case Rule.FIXED | Rule.NAIVE:
                return np.asarray(stats.t.isf(alpha / 2, seeds - 1), dtype=np.float64)

    def equivalence_levels(self) -> NDArray[np.float64]:
        """p of either one-sided test from which down to call equivalence, at each look."""
        # A two-sided 2α is α on either side.
        family = self.comparisons if self.adjusted_equivalence else 1
        looks, alpha = tuple(self.looks.tolist()), 2 * self.alpha / family
        return _levels(looks, alpha, group_sequential.Spending.OBRIEN_FLEMING)


@cache
def _levels(looks: tuple[int, ...], alpha: float, spending: group_sequential.Spending) -> NDArray[np.float64]:
    """One-sided tail probability at each look, which carries z bounds over to t."""
    z = group_sequential.bounds(np.array(looks) / looks[-1], alpha, spending)
    return np.asarray(stats.norm.sf(z), dtype=np.float64)


def outcomes(plan: Plan, mean: ArrayLike, se: ArrayLike, n: ArrayLike | None = None) -> NDArray[np.int8]:
    """What each look says by itself, as places in :data:`OUTCOMES`: [..., looks].

    The first look that is not ``open`` closes a comparison; what later ones say does not matter then.

    Args:
        mean, se: of the differences at each look [..., looks], in the unit of the plan's margin. Where they
            are no numbers, or ``se`` is 0, nothing can be said.
        n: seeds at each look [looks], where not all that were planned gave a pair.
    """
    mean, se = np.asarray(mean, dtype=np.float64), np.asarray(se, dtype=np.float64)
    seeds = plan.looks if n is None else np.asarray(n)
    usable = (se > 0) & np.isfinite(mean) & (seeds >= 2)
    seeds = np.maximum(seeds, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(usable, mean / se, 0.0)
        room = np.where(usable, (plan.margin - np.abs(mean)) / se, -np.inf)
    critical = plan.critical_t(seeds)
    codes = np.zeros(t.shape, dtype=np.int8)
    codes[..., -1] = OUTCOMES.index(Outcome.LARGEST)
    if plan.futility > 0:
        futile = usable & (_best_chance(plan, t, se, seeds) < plan.futility)
        futile[..., -1] = False
        codes[futile] = OUTCOMES.index(Outcome.FUTILE)
    if plan.margin > 0:
        equivalent = stats.t.sf(room, seeds - 1) <= plan.equivalence_levels()
        codes[equivalent] = OUTCOMES.index(Outcome.EQUIVALENT)
    codes[usable & (np.abs(t) >= critical)] = OUTCOMES.index(Outcome.DIFFERENCE)
    return codes


def _best_chance(
    plan: Plan, t: NDArray[np.float64], se: NDArray[np.float64], seeds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Of being decided at the last look, one way or the other, at the looks before it; 1 at the last."""
    chance = np.ones(t.shape)
    ahead = np.flatnonzero(seeds < plan.largest)
    if len(ahead):
        n = seeds[ahead]
        # As the last look is planned: what becomes of its pairs must not change what earlier looks said.
        critical = float(plan.critical_t()[-1])
        best = prospects(t[..., ahead], n, plan.largest, critical).favourable
        if plan.margin > 0:
            with np.errstate(divide="ignore", invalid="ignore"):
                margin = plan.margin / (se[..., ahead] * np.sqrt(n))
            level = float(plan.equivalence_levels()[-1])
            best = np.maximum(best, equivalence_power(t[..., ahead], n, plan.largest, margin, level))
        chance[..., ahead] = best
    return chance


@dataclass(frozen=True)
class Boundaries:
    """What planned looks ask for, in Student's t: arrays [looks]."""

    critical: NDArray[np.float64]
    critical_equivalence: NDArray[np.float64]
    usual: NDArray[np.float64]
    """About what the last look asks for, by the family of this look."""
    usual_equivalence: NDArray[np.float64]


def planned_outcomes(
    plan: Plan, mean: NDArray[np.float64], se: NDArray[np.float64], boundaries: Boundaries
) -> NDArray[np.int8]:
    """:func:`outcomes` of planned looks, for simulated means and errors: [..., looks]."""
    codes = np.zeros(mean.shape, dtype=np.int8)
    codes[..., -1] = OUTCOMES.index(Outcome.LARGEST)
    looks = plan.looks
    for look, n in enumerate(looks.tolist()):
        if n < FEWEST:
            continue
        t, error = mean[..., look] / se[..., look], se[..., look]
        if plan.futility > 0 and 0 < look < len(looks) - 1:
            chance = predictive_power(t, n, plan.largest, boundaries.usual[look])
            if plan.margin:
                room, critical = plan.margin / (error * math.sqrt(n)), boundaries.usual_equivalence[look]
                chance = chance + predictive_equivalence(t, n, plan.largest, room, critical)
            codes[..., look][chance < plan.futility] = OUTCOMES.index(Outcome.FUTILE)
        if plan.margin:
            inside = np.abs(mean[..., look]) + boundaries.critical_equivalence[look] * error <= plan.margin
            codes[..., look][inside] = OUTCOMES.index(Outcome.EQUIVALENT)
        codes[..., look][np.abs(t) > boundaries.critical[look]] = OUTCOMES.index(Outcome.DIFFERENCE)
    return codes
