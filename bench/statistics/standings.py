"""How comparisons stand: the stopping rule applied to counts of correct answers, seed by seed.

Planned looks are taken by all open comparisons of the family together, once all of them have the seeds.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bench.statistics.collapse import collapsed
from bench.statistics.flips import PATHS, Family, LookResult
from bench.statistics.futility import predictive_equivalence, predictive_power
from bench.statistics.paired import PairedT, paired_t
from bench.statistics.stopping import FEWEST, OUTCOMES, Outcome, Plan, Rule, Seed, outcomes


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
    seeds_needed: int
    """Seeds to train: those of the look that closed it, or of the next one where it is open."""
    seeds_seen: int = 0
    """Seeds of the last look taken."""
    flagged: Flagged = (frozenset(), frozenset())
    """Runs that had collapsed by then: of the loss, and of its baseline."""
    result: LookResult | None = None
    """Of that look, where looks are planned."""


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
    """How one comparison stands by itself, whatever others have finished."""
    looks = plan.looks.tolist()
    ended = _both_ended(seeds, ours, base)
    taken = next((k for k, n in enumerate(looks) if not ended.issuperset(seeds[:n])), len(looks))
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
    mean = [math.nan if test.estimate is None else test.estimate for test in tests]
    codes = outcomes(
        plan,
        [*mean, *unknown],
        [*((test.se or math.nan) if test.n >= FEWEST else math.nan for test in tests),
         *unknown],
        [*(test.n for test in tests), *looks[taken:]],
    )  # fmt: skip
    for look, code in enumerate(codes[:taken].tolist()):
        outcome, last = OUTCOMES[code], looks[look] == plan.largest
        if _withheld(outcome, mean[look], flags[look], direction):
            outcome = Outcome.LARGEST if last else Outcome.OPEN
        if outcome is not Outcome.OPEN:
            return Standing(outcome, look + 1, looks[look], looks[look], flags[look])
    return Standing(Outcome.OPEN, taken, looks[taken], looks[taken - 1], flags[-1])


class _Planned:
    """A family that takes its looks together."""

    def __init__(
        self, plan: Plan, seeds: Sequence[Seed], cells: Mapping[Key, Arm], baseline: str, direction: Direction
    ) -> None:
        self.plan, self.seeds, self.cells = plan, seeds, cells
        self.baseline, self.direction = baseline, direction
        self.ended: dict[Key, int] = {}
        """Seeds with which comparisons were closed: what others may have trained later is not looked at."""

    def standings(self, pairs: Mapping[Key, tuple[Arm, Arm]], paths: int) -> dict[Key, Standing]:
        """How each comparison stands."""
        plan, looks = self.plan, self.plan.looks.tolist()
        family = Family(plan.largest, plan.alpha, len(pairs), paths) if pairs else None
        standings = {key: Standing(Outcome.OPEN, 0, looks[0]) for key in pairs}
        pairs = {key: (ours, base) for key, (ours, base) in pairs.items() if not _unlike(ours, base)}
        still_open = list(pairs)
        for look, n in enumerate(looks):
            first = self.seeds[:n]
            if not all(_both_ended(self.seeds, *pairs[key]).issuperset(first) for key in still_open):
                break
            if not look:
                for key in [key for key in still_open if _hopeless(first, *pairs[key])]:
                    standings[key] = Standing(Outcome.FUTILE, 1, n, n)
                    self.ended[key] = n
                    still_open.remove(key)
            if not still_open or family is None:
                break
            flags = self._flags(n)
            columns, margins, marks = [], [], {}
            for key, (ours, base) in pairs.items():
                count = self.ended.get(key, n)
                marks[key] = (
                    standings[key].flagged if count < n else (flags[key], flags[*key[:2], self.baseline])
                )
                sound = {*_sound(first[:count], ours, base, marks[key])}
                column = [ours.counts[s] - base.counts[s] if s in sound else np.nan for s in first[:count]]
                # What was closed goes on in the paths alone, with differences of the size that it had.
                columns.append(np.resize(column, n))
                margins.append(plan.margin * (ours.total or 1))
            table = np.array(columns, dtype=np.float64).T
            different, equivalent = (
                [standings[key].outcome is outcome for key in pairs]
                for outcome in (Outcome.DIFFERENCE, Outcome.EQUIVALENT)
            )
            results = family.look(table, margins, FEWEST, n / plan.largest, different, equivalent)
            for key, result, margin in zip(pairs, results, margins, strict=True):
                if key not in still_open:
                    continue
                flagged = marks[key]
                outcome = self._outcome(look, n, result, margin, flagged)
                closed = outcome is not Outcome.OPEN
                needed = n if closed else looks[look + 1]
                standings[key] = Standing(outcome, look + 1, needed, n, flagged, result)
                if closed:
                    still_open.remove(key)
                    self.ended[key] = n
        return standings

    def _outcome(
        self, look: int, n: int, result: LookResult | None, margin: float, flagged: Flagged
    ) -> Outcome:
        end = Outcome.LARGEST if n == self.plan.largest else Outcome.OPEN
        if result is None:
            return end
        if result.different and not _withheld(Outcome.DIFFERENCE, result.mean, flagged, self.direction):
            return Outcome.DIFFERENCE
        if result.equivalent(margin) and not _withheld(
            Outcome.EQUIVALENT, result.mean, flagged, self.direction
        ):
            return Outcome.EQUIVALENT
        if look and end is Outcome.OPEN and self._chance(result, margin) < self.plan.futility:
            return Outcome.FUTILE
        return end

    def _chance(self, result: LookResult, margin: float) -> float:
        """Of being decided at the last look, one way or the other."""
        t, n, largest = result.mean / result.se, result.n, self.plan.largest
        chance = float(predictive_power(t, n, largest, result.usual))
        if margin:
            room = margin / (result.se * math.sqrt(n))
            chance += float(predictive_equivalence(t, n, largest, room, result.usual_equivalence))
        return chance

    def _flags(self, n: int) -> dict[Key, frozenset[Seed]]:
        """Of the seeds that had been asked for by this look."""
        groups: dict[tuple[str, str], list[Key]] = {}
        for key in self.cells:
            groups.setdefault(key[:2], []).append(key)
        flags: dict[Key, frozenset[Seed]] = {}
        for keys in groups.values():
            seeds = [self.seeds[: self.ended.get(key, n)] for key in keys]
            collapses = _flags([self.cells[key] for key in keys], seeds, self.direction)
            flags |= zip(keys, collapses, strict=True)
        return flags


def _both_ended(seeds: Sequence[Seed], ours: Arm, base: Arm) -> set[Seed]:
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
    arms: Sequence[Arm], seeds: Sequence[Sequence[Seed]], direction: Direction
) -> list[frozenset[Seed]]:
    """Collapsed runs among the given seeds of each arm."""
    values = [
        {seed: arm.counts[seed] / arm.total for seed in of_arm if seed in arm.counts} if arm.total else {}
        for arm, of_arm in zip(arms, seeds, strict=True)
    ]
    return collapsed(values, points=direction.points, higher_is_better=direction.higher_is_better)


def _withheld(outcome: Outcome, mean: float, flagged: Flagged, direction: Direction) -> bool:
    """Whether a loss that collapsed more than its baseline would be called better, or as good."""
    if len(flagged[0]) <= len(flagged[1]):
        return False
    better = outcome is Outcome.DIFFERENCE and (mean > 0) == direction.higher_is_better
    return better or outcome is Outcome.EQUIVALENT
