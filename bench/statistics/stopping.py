"""When to stop adding seeds to a comparison: the rule, stated before the first seed, and what it says.

At each planned look a comparison is closed, in this order, because

* there is a **difference**: the e-value has reached K/α (:mod:`bench.statistics.sequential`);
* the two are **equivalent**: two one-sided t-tests place the difference within the margin. Each of the two
  spends its α over the looks as O'Brien and Fleming's bounds do (:mod:`bench.statistics.group_sequential`),
  so that the chance of *ever* calling a difference as large as the margin equivalent is α, and the last look
  has nearly the power of a single one. Asking for both costs no α (Berger, Technometrics 24, 1982);
* going on is **futile**: neither of the two is likely at the largest number of seeds, however friendly the
  true difference (:mod:`bench.statistics.futility`). That can only lower the rates of error;
* the **largest** number of seeds has been reached.

:func:`outcomes` applies the rule to means and standard errors, of one comparison or of thousands simulated
ones at a time: what a suite does, and what :mod:`bench.statistics.operating_characteristics` says that it
does, is the same code. :func:`standing` applies it to counts.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from bench.statistics import group_sequential, sequential
from bench.statistics.futility import equivalence_power, prospects
from bench.statistics.paired import paired_t

FUTILITY = 0.2
"""Chance of deciding, at best, below which it is not worth going on: one minus the usual power."""

Seed = int | str


class Rule(StrEnum):
    """When to stop and call it a difference."""

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
            case Rule.FIXED | Rule.NAIVE:
                return np.asarray(stats.t.isf(alpha / 2, seeds - 1), dtype=np.float64)

    def equivalence_levels(self) -> NDArray[np.float64]:
        """p of either one-sided test from which down to call equivalence, at each look."""
        # A two-sided 2α is α on either side.
        looks = tuple(self.looks.tolist())
        return _levels(looks, 2 * self.alpha, group_sequential.Spending.OBRIEN_FLEMING)


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
    known = (se > 0) & np.isfinite(mean) & (seeds >= 2)
    seeds = np.maximum(seeds, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(known, mean / se, 0.0)
        room = np.where(known, (plan.margin - np.abs(mean)) / se, -np.inf)
    critical = plan.critical_t(seeds)
    found = np.zeros(t.shape, dtype=np.int8)
    found[..., -1] = OUTCOMES.index(Outcome.LARGEST)
    if plan.futility > 0:
        futile = known & (_best_chance(plan, t, se, seeds) < plan.futility)
        futile[..., -1] = False
        found[futile] = OUTCOMES.index(Outcome.FUTILE)
    if plan.margin > 0:
        equivalent = stats.t.sf(room, seeds - 1) <= plan.equivalence_levels()
        found[equivalent] = OUTCOMES.index(Outcome.EQUIVALENT)
    found[known & (np.abs(t) >= critical)] = OUTCOMES.index(Outcome.DIFFERENCE)
    return found


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


# --------------------------------------------------------------------------------------- from counts


class Arm(Protocol):
    """The runs of one loss, as far as they have ended."""

    @property
    def counts(self) -> Mapping[Seed, int]:
        """Correct answers of each finished seed."""

    @property
    def lost(self) -> Collection[Seed]:
        """Seeds whose run has failed."""

    @property
    def total(self) -> int | None:
        """Test images of each run; None where they differ, or nothing has finished."""


@dataclass(frozen=True)
class Standing:
    """How a comparison stands after the looks that could be taken."""

    outcome: Outcome
    looks: int
    """Looks taken."""
    wanted: int
    """Seeds to train: those of the look that closed it, or of the next one where it is open."""


def standing(plan: Plan, seeds: Sequence[Seed], ours: Arm, base: Arm, *, bounded: bool = True) -> Standing:
    """Apply the rule to what has ended. A look is taken once both runs of all its seeds have.

    A seed whose run has failed is missing from its look, and holds up no other. Where one of the two has lost
    all seeds of the first look, going on is futile: whatever made them fail would make more of them fail.

    Args:
        seeds: all that there may be, in the order in which they are trained.
        bounded: whether the arms hold counts out of their ``total``; else any whole numbers, in units of
            1/total.
    """
    looks = plan.looks.tolist()
    settled = {seed for seed in seeds if all(seed in arm.counts or seed in arm.lost for arm in (ours, base))}
    taken = next((k for k, n in enumerate(looks) if not settled.issuperset(seeds[:n])), len(looks))
    if taken and any(arm.lost and {*seeds[: looks[0]]} <= {*arm.lost} for arm in (ours, base)):
        return Standing(Outcome.FUTILE, 1, looks[0])
    if not taken or ours.total is None or ours.total != base.total:
        return Standing(Outcome.OPEN, 0, looks[0])
    tests = []
    for n in looks[:taken]:
        both = [seed for seed in seeds[:n] if seed in ours.counts and seed in base.counts]
        differences = [ours.counts[seed] - base.counts[seed] for seed in both]
        tests.append(paired_t(np.array(differences, dtype=np.int64), ours.total, bounded=bounded))
    # Nothing is known of looks that are still to come.
    unknown = [math.nan] * (len(looks) - taken)
    mean = [math.nan if test.estimate is None else test.estimate for test in tests]
    said = outcomes(
        plan,
        [*mean, *unknown],
        [*(test.se or math.nan for test in tests), *unknown],
        [*(test.n for test in tests), *looks[taken:]],
    )
    for look, code in enumerate(said[:taken].tolist()):
        if OUTCOMES[code] is not Outcome.OPEN:
            return Standing(OUTCOMES[code], look + 1, looks[look])
    return Standing(Outcome.OPEN, taken, looks[taken])
