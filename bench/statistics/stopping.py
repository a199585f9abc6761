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

:func:`standings` applies the rule to counts. Planned looks are taken by all open comparisons of the family
together, once all of them have the seeds. :func:`outcomes` applies the e-value, and the rules that it is held
against, to means and standard errors, of one comparison or of thousands simulated ones at a time.
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
from bench.statistics.collapse import collapsed
from bench.statistics.flips import PATHS, Family, Said
from bench.statistics.futility import (
    equivalence_power,
    predictive_equivalence,
    predictive_power,
    prospects,
)
from bench.statistics.paired import PairedT, paired_t

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
    found = np.zeros(mean.shape, dtype=np.int8)
    found[..., -1] = OUTCOMES.index(Outcome.LARGEST)
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
            found[..., look][chance < plan.futility] = OUTCOMES.index(Outcome.FUTILE)
        if plan.margin:
            inside = np.abs(mean[..., look]) + boundaries.critical_equivalence[look] * error <= plan.margin
            found[..., look][inside] = OUTCOMES.index(Outcome.EQUIVALENT)
        found[..., look][np.abs(t) > boundaries.critical[look]] = OUTCOMES.index(Outcome.DIFFERENCE)
    return found


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


Key = tuple[str, str, str]
"""Data set, model, loss."""
Flagged = tuple[frozenset[Seed], frozenset[Seed]]


@dataclass(frozen=True)
class Standing:
    """How a comparison stands after the looks that could be taken."""

    outcome: Outcome
    looks: int
    """Looks taken."""
    wanted: int
    """Seeds to train: those of the look that closed it, or of the next one where it is open."""
    seen: int = 0
    """Seeds of the last look taken."""
    flagged: Flagged = (frozenset(), frozenset())
    """Runs that had collapsed by then: of the loss, and of its baseline."""
    said: Said | None = None
    """What that look said, of planned looks."""


@dataclass(frozen=True)
class Direction:
    """What a metric's values are: needed to tell a collapse, and the better of two."""

    points: bool = True
    """Whether they are percentages, as fractions."""
    higher_is_better: bool = True
    bounded: bool = True
    """Whether they are counts out of a ``total``; else any whole numbers, in units of 1/total."""


def standings(
    plan: Plan,
    seeds: Sequence[Seed],
    cells: Mapping[Key, Arm],
    baseline: str,
    direction: Direction = Direction(),
    paths: int = PATHS,
) -> dict[Key, Standing]:
    """Apply the rule to what has ended: of every cell that has a baseline's.

    A look is taken once both runs of all its seeds have ended, of planned looks those of all comparisons that
    are open. A seed whose run has failed counts as one of a look, without a pair. Where an arm has lost all
    seeds of the first look, going on is futile: whatever made them fail would make more of them fail.

    Args:
        seeds: all that there may be, in the order in which they are trained.
        paths: of flipped signs, for planned looks.
    """
    pairs = {
        key: (arm, base)
        for key, arm in cells.items()
        if key[2] != baseline and (base := cells.get((*key[:2], baseline))) is not None
    }
    if plan.rule is Rule.PLANNED:
        return _Planned(plan, seeds, cells, baseline, direction).standings(pairs, paths)
    return {key: _standing(plan, seeds, *arms, direction) for key, arms in pairs.items()}


def _standing(plan: Plan, seeds: Sequence[Seed], ours: Arm, base: Arm, direction: Direction) -> Standing:
    """Of one comparison by itself: what others have finished does not matter."""
    looks = plan.looks.tolist()
    settled = _settled(seeds, ours, base)
    taken = next((k for k, n in enumerate(looks) if not settled.issuperset(seeds[:n])), len(looks))
    if taken and _hopeless(seeds[: looks[0]], ours, base):
        return Standing(Outcome.FUTILE, 1, looks[0], looks[0])
    if not taken or ours.total is None or ours.total != base.total:
        return Standing(Outcome.OPEN, 0, looks[0])
    tests: list[PairedT] = []
    flags: list[Flagged] = []
    for n in looks[:taken]:
        ours_flagged, base_flagged = _flags([ours, base], [seeds[:n]] * 2, direction)
        flags.append((ours_flagged, base_flagged))
        both = _sound(seeds[:n], ours, base, flags[-1])
        differences = [ours.counts[seed] - base.counts[seed] for seed in both]
        tests.append(paired_t(np.array(differences, dtype=np.int64), ours.total, bounded=direction.bounded))
    # Nothing is known of looks that are still to come, nor of those with too few pairs.
    unknown = [math.nan] * (len(looks) - taken)
    enough = [test.n >= FEWEST for test in tests]
    mean = [math.nan if test.estimate is None else test.estimate for test in tests]
    said = outcomes(
        plan,
        [*mean, *unknown],
        [*((test.se or math.nan) if known else math.nan for test, known in zip(tests, enough, strict=True)),
         *unknown],
        [*(test.n for test in tests), *looks[taken:]],
    )  # fmt: skip
    for look, code in enumerate(said[:taken].tolist()):
        outcome, last = OUTCOMES[code], looks[look] == plan.largest
        if _withheld(outcome, mean[look], flags[look], direction):
            outcome = Outcome.LARGEST if last else Outcome.OPEN
        if outcome is not Outcome.OPEN:
            return Standing(outcome, look + 1, looks[look], looks[look], flags[look])
    return Standing(Outcome.OPEN, taken, looks[taken], looks[taken - 1], flags[-1])


class _Planned:
    """A family that takes its looks together."""

    def __init__(
        self,
        plan: Plan,
        seeds: Sequence[Seed],
        cells: Mapping[Key, Arm],
        baseline: str,
        direction: Direction,
    ) -> None:
        self.plan, self.seeds, self.cells = plan, seeds, cells
        self.baseline, self.direction = baseline, direction
        self.ended: dict[Key, int] = {}
        """Seeds with which comparisons were closed: what others may have trained later is not looked at."""

    def standings(self, pairs: Mapping[Key, tuple[Arm, Arm]], paths: int) -> dict[Key, Standing]:
        """How each of them stands."""
        plan, looks = self.plan, self.plan.looks.tolist()
        family = Family(plan.largest, plan.alpha, len(pairs), paths) if pairs else None
        found = {key: Standing(Outcome.OPEN, 0, looks[0]) for key in pairs}
        pairs = {key: (ours, base) for key, (ours, base) in pairs.items() if not _unlike(ours, base)}
        going = list(pairs)
        for look, n in enumerate(looks):
            first = self.seeds[:n]
            if not all(_settled(self.seeds, *pairs[key]).issuperset(first) for key in going):
                break
            if not look:
                for key in [key for key in going if _hopeless(first, *pairs[key])]:
                    found[key] = Standing(Outcome.FUTILE, 1, n, n)
                    self.ended[key] = n
                    going.remove(key)
            if not going or family is None:
                break
            flags = self._flags(n)
            columns, margins, marks = [], [], {}
            for key, (ours, base) in pairs.items():
                seen = self.ended.get(key, n)
                marks[key] = found[key].flagged if seen < n else (flags[key], flags[*key[:2], self.baseline])
                sound = {*_sound(first[:seen], ours, base, marks[key])}
                column = [ours.counts[s] - base.counts[s] if s in sound else np.nan for s in first[:seen]]
                # What was closed goes on in the paths alone, with differences of the size that it had.
                columns.append(np.resize(column, n))
                margins.append(plan.margin * (ours.total or 1))
            table = np.array(columns, dtype=np.float64).T
            different, equivalent = (
                [found[key].outcome is outcome for key in pairs]
                for outcome in (Outcome.DIFFERENCE, Outcome.EQUIVALENT)
            )
            said = family.look(table, margins, FEWEST, n / plan.largest, different, equivalent)
            for key, one, margin in zip(pairs, said, margins, strict=True):
                if key not in going:
                    continue
                flagged = marks[key]
                outcome = self._outcome(look, n, one, margin, flagged)
                closed = outcome is not Outcome.OPEN
                wanted = n if closed else looks[look + 1]
                found[key] = Standing(outcome, look + 1, wanted, n, flagged, one)
                if closed:
                    going.remove(key)
                    self.ended[key] = n
        return found

    def _outcome(self, look: int, n: int, said: Said | None, margin: float, flagged: Flagged) -> Outcome:
        end = Outcome.LARGEST if n == self.plan.largest else Outcome.OPEN
        if said is None:
            return end
        if said.different and not _withheld(Outcome.DIFFERENCE, said.mean, flagged, self.direction):
            return Outcome.DIFFERENCE
        if said.equivalent(margin) and not _withheld(Outcome.EQUIVALENT, said.mean, flagged, self.direction):
            return Outcome.EQUIVALENT
        if look and end is Outcome.OPEN and self._chance(said, margin) < self.plan.futility:
            return Outcome.FUTILE
        return end

    def _chance(self, said: Said, margin: float) -> float:
        """Of being decided at the last look, one way or the other."""
        t, n, largest = said.mean / said.se, said.n, self.plan.largest
        chance = float(predictive_power(t, n, largest, said.usual))
        if margin:
            room = margin / (said.se * math.sqrt(n))
            chance += float(predictive_equivalence(t, n, largest, room, said.usual_equivalence))
        return chance

    def _flags(self, n: int) -> dict[Key, frozenset[Seed]]:
        """Of the seeds that had been asked for by this look."""
        groups: dict[tuple[str, str], list[Key]] = {}
        for key in self.cells:
            groups.setdefault(key[:2], []).append(key)
        found: dict[Key, frozenset[Seed]] = {}
        for keys in groups.values():
            seen = [self.seeds[: self.ended.get(key, n)] for key in keys]
            flags = _flags([self.cells[key] for key in keys], seen, self.direction)
            found |= zip(keys, flags, strict=True)
        return found


def _settled(seeds: Sequence[Seed], ours: Arm, base: Arm) -> set[Seed]:
    """Seeds of which both runs have ended."""
    return {seed for seed in seeds if all(seed in arm.counts or seed in arm.lost for arm in (ours, base))}


def _hopeless(first: Sequence[Seed], ours: Arm, base: Arm) -> bool:
    """Whether an arm has lost all of them."""
    return any(arm.lost and {*first} <= {*arm.lost} for arm in (ours, base))


def _unlike(ours: Arm, base: Arm) -> bool:
    """Whether their counts are of different totals: they are never compared."""
    return bool(ours.counts and base.counts) and (ours.total is None or ours.total != base.total)


def _sound(seeds: Sequence[Seed], ours: Arm, base: Arm, flagged: Flagged) -> list[Seed]:
    """Those that both have finished without a collapse."""
    return [
        seed
        for seed in seeds
        if seed in ours.counts and seed in base.counts and seed not in flagged[0] and seed not in flagged[1]
    ]


def _flags(
    arms: Sequence[Arm], seen: Sequence[Sequence[Seed]], direction: Direction
) -> list[frozenset[Seed]]:
    """Collapsed runs among the seeds that have been seen of each arm."""
    values = [
        {seed: arm.counts[seed] / arm.total for seed in seeds if seed in arm.counts} if arm.total else {}
        for arm, seeds in zip(arms, seen, strict=True)
    ]
    return collapsed(values, points=direction.points, higher_is_better=direction.higher_is_better)


def _withheld(outcome: Outcome, mean: float, flagged: Flagged, direction: Direction) -> bool:
    """Whether a loss that collapsed more than its baseline would be called better, or as good."""
    if len(flagged[0]) <= len(flagged[1]):
        return False
    better = outcome is Outcome.DIFFERENCE and (mean > 0) == direction.higher_is_better
    return better or outcome is Outcome.EQUIVALENT
