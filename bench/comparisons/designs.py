"""How comparisons are tested and judged: with a fixed number of paired seeds, or of runs that are not paired.

Together with :mod:`bench.comparisons.until_decided`, three objects with the same methods:
:mod:`bench.comparisons.analysis` asks them, and knows no rule itself.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.comparisons.comparison import Adjusted, Equivalence, Key, Looks, Metric, NewImages, Seed
from bench.statistics.crossed import Crossed
from bench.statistics.equivalence import tost
from bench.statistics.multiplicity import holm
from bench.statistics.paired import PairedT, paired_t
from bench.statistics.permutation import SignFlip, countable, sign_flip
from bench.statistics.planning import minimum_detectable_effect, seeds_to_decide
from bench.statistics.ranks import Superiority, paired_superiority
from bench.statistics.stopping import Standing
from bench.statistics.unpaired import Welch, brunner_munzel, welch
from bench.statistics.verdicts import Interval, Verdict, Word, word
from bench.statistics.westfall_young import westfall_young

MOST_FLIPPED = 2_000
"""Seeds (and comparisons) up to which signs are flipped: beyond, Student's t is as good and much faster."""
MOST_DIFFERENCES = 1_000_000
"""Seeds × comparisons up to which they are flipped together."""
MOST_SIMULATED = 100_000
"""The same for each comparison by itself, where it has too many seeds for all flips: ten seconds' work."""
TEST_SET, FINISHED = "on this test set", "among runs that finished"
"""Scopes that are narrower than all losses trained so, on new images too."""


@dataclass(frozen=True)
class Scores:
    """The finished runs of one cell, by one metric."""

    counts: Mapping[Seed, int]
    """Of each finished seed: correct answers, or the metric in units of 1/total."""
    total: int | None
    """Test images, the same for all seeds; None where they are not the same (or nothing has finished)."""
    planned: Sequence[Seed] = ()
    lost: Collection[Seed] = ()
    """Seeds whose run has failed."""


@dataclass(frozen=True)
class Pairing:
    """The two arms of a comparison, and which of their runs meet."""

    key: Key
    metric: Metric
    ours: NDArray[np.int64]
    theirs: NDArray[np.int64]
    total: int | None
    """None: the two cannot be compared."""
    seeds: tuple[Seed, ...] = ()
    missing: tuple[Seed, ...] = ()
    lost: bool = False
    """Whether a run of either arm has failed."""
    standing: Standing | None = None

    @property
    def differences(self) -> NDArray[np.int64]:
        """Seed by seed."""
        return self.ours - self.theirs


@dataclass(frozen=True)
class Test:
    """What the numbers of a pairing say by themselves."""

    difference: PairedT | Welch | None = None
    interval: Interval | None = None
    p: float | None = None
    equivalence: Equivalence | None = None
    superiority: Superiority | None = None
    sequence: Looks | None = None
    detectable: float | None = None
    note: str = ""

    @property
    def estimate(self) -> float | None:
        """The difference."""
        return self.difference.estimate if self.difference else None


@dataclass(frozen=True)
class Adjustment:
    """p for the whole family, one a test; in words how; and what could not be done."""

    adjusted: Sequence[Adjusted]
    by: str
    flips: Sequence[SignFlip | None]
    """Of each test by itself, where signs of seeds can be flipped."""
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Design:
    """Runs of two cells, tested at α. What follows holds for a fixed number of paired seeds.

    Student's t on the differences, and over the family step-down maxT by sign flips of whole seeds.
    """

    name: ClassVar[str] = "fixed"
    alpha: float

    def pair(self, key: Key, metric: Metric, ours: Scores, base: Scores) -> Pairing:
        """Which runs of the two cells meet: by seed, never by position."""
        planned = {*ours.planned, *base.planned, *ours.counts, *base.counts}
        return by_seed(key, metric, ours, base, planned)

    def test(self, pairing: Pairing) -> Test:
        """Everything but what depends on other comparisons."""
        test = self._paired(pairing)
        return Test(
            difference=test,
            interval=_interval(test, 1 - self.alpha),
            p=test.p,
            equivalence=self._equivalence(test, pairing.metric),
            superiority=self._beats(pairing),
            detectable=minimum_detectable_effect(test, self.alpha),
            note=no_spread(test),
        )

    def new_images(self, crossed: Crossed, discordant: float | None) -> NewImages:
        """The second question, from the crossed analysis of variance: an interval and a p of its own."""
        return NewImages(crossed, _interval(crossed, 1 - self.alpha), crossed.p, discordant)

    def adjust(self, pairings: Sequence[Pairing], tests: Sequence[Test]) -> Adjustment:
        """p over the family; Holm's where there are too many seeds or comparisons to flip."""
        # Without spread there is nothing to go by: often such runs do not depend on their seed at all, and
        # then many equal differences are one difference, whatever their signs.
        tested = [k for k, test in enumerate(tests) if test.p is not None]
        seeds = in_order({seed for k in tested for seed in pairings[k].seeds})
        few = max(len(seeds), len(tested)) <= MOST_FLIPPED and len(seeds) * len(tested) <= MOST_DIFFERENCES
        flips, notes = _flips(pairings)
        if not tested or not few:
            return _by_holm(tests, flips, notes)
        # Runs of different models with the same seed may depend on each other or not: one sign for a seed
        # everywhere is right in both cases.
        place = {seed: row for row, seed in enumerate(seeds)}
        table = np.full((len(seeds), len(tested)), np.nan)
        for column, k in enumerate(tested):
            table[[place[seed] for seed in pairings[k].seeds], column] = pairings[k].differences
        family = westfall_young(table)
        adjusted = [Adjusted(None, None)] * len(tests)
        for k, p in zip(tested, family.p_adjusted.tolist(), strict=True):
            adjusted[k] = Adjusted(p, "westfall-young")
        how = "all" if family.exact else f"{family.flips:,} random"
        by = f"Westfall–Young's step-down maxT, flipping the signs of whole seeds ({how} flips)"
        return Adjustment(adjusted, by, flips, [*notes, *self._cannot_happen(pairings, flips, adjusted)])

    def verdict(
        self, pairing: Pairing, test: Test, adjusted: Adjusted, new: NewImages | None, family: int
    ) -> Verdict:
        """What may be said of one of ``family`` comparisons: a difference by adjusted p, else equivalence.

        Its scope is plain only where an interval on new images, at a level for the whole family, says the
        same, and where no run has failed.
        """
        higher, equivalence = pairing.metric.higher_is_better, test.equivalence
        p = equivalence.p if equivalence else None
        said = word(test.estimate, adjusted.p, p, self.alpha, higher_is_better=higher)
        if said is Word.EQUIVALENT and equivalence is not None:
            wider = _interval(new.crossed, 1 - 2 * self.alpha / family) if new else None
            return equivalent(pairing, equivalence, wider)
        wider = _interval(new.crossed, 1 - self.alpha / family) if new else None
        return different(pairing, said, test.interval, adjusted.p, wider)

    def seeds_to_decide(self, test: Test, adjusted: Adjusted, family: int) -> int | None:
        """Seeds of a new experiment that would find a difference as large as this; more than did not do."""
        if not isinstance(test.difference, PairedT):
            return None
        enough = seeds_to_decide(test.difference, self.alpha / family)
        if enough is None:
            return None
        # The number counts all seeds: those at hand did not do, and flips need some to reach α at all.
        least = fewest_seeds(self.alpha) if adjusted.by == "westfall-young" else 2
        return max(enough, least, test.difference.n + 1)

    def secondary(self, standings: Mapping[Key, Standing]) -> Design:
        """The same for metrics that decide nothing. ``standings``: how comparisons by the first one stand."""
        return self

    def method(self, metric: Metric, adjustment: Adjustment, *, judged: bool, images: bool) -> str:
        """How the numbers of a table were computed.

        Args:
            judged: whether verdicts are given.
            images: whether anything is known of single images.
        """
        new = "; on new images by the crossed analysis of variance of seeds × images" if images else ""
        return (
            f"Δ is the mean difference over seeds, paired by seed, with its {percent(1 - self.alpha)} "
            f"interval on this test set (Student's t over seeds){new}. "
            f"{self._family(metric, adjustment, judged)}"
        )

    def _paired(self, pairing: Pairing) -> PairedT:
        assert pairing.total is not None
        return paired_t(pairing.differences, pairing.total, 1 - self.alpha, bounded=pairing.metric.counted)

    def _beats(self, pairing: Pairing) -> Superiority:
        sign = 1 if pairing.metric.higher_is_better else -1
        return paired_superiority(sign * pairing.differences, 1 - self.alpha)

    def _equivalence(self, test: PairedT | Welch, metric: Metric) -> Equivalence | None:
        if metric.limit is None:
            return None
        return Equivalence(tost(test, metric.limit), _interval(test, 1 - 2 * self.alpha))

    def _family(self, metric: Metric, adjustment: Adjustment, judged: bool) -> str:
        count, tested = len(adjustment.adjusted), sum(found.p is not None for found in adjustment.adjusted)
        family = f"{count} comparison{'s' * (count != 1)}"
        if tested < count:
            family = f"the {tested} of {family} that can be tested"
        within = ""
        if metric.margin is not None and judged:
            within = (
                f"equivalent means within ±{metric.within} by two one-sided tests, each at α, not adjusted "
                f"(their interval is the {percent(1 - 2 * self.alpha)} one); "
            )
        return f"p is adjusted over {family} by {adjustment.by}; {within}α = {self.alpha:g}."

    def _cannot_happen(
        self, pairings: Sequence[Pairing], flips: Sequence[SignFlip | None], adjusted: Sequence[Adjusted]
    ) -> list[str]:
        """With few seeds, what no result could have shown."""
        smallest: dict[float, set[str]] = defaultdict(set)
        for pairing, flip, p in zip(pairings, flips, adjusted, strict=True):
            reach = flip.p_smallest if flip else None
            if p.by == "westfall-young" and reach is not None and reach >= self.alpha:
                smallest[reach].add(pairing.key[2])
        return [
            f"{', '.join(sorted(losses))}: with {1 - round(math.log2(reach))} seeds that differ, the "
            f"smallest p that sign flips can give is {reach:.4g}, not below α = {self.alpha:g}, so nothing "
            f"could be called superior or inferior; that takes {fewest_seeds(self.alpha)} seeds"
            for reach, losses in sorted(smallest.items(), reverse=True)
        ]


@dataclass(frozen=True)
class Unpaired(Design):
    """Runs that have nothing in common: Welch, and only where it was asked for."""

    name: ClassVar[str] = "unpaired"

    def pair(self, key: Key, metric: Metric, ours: Scores, base: Scores) -> Pairing:
        """All with all."""
        a, b = (_arm(scores, in_order(scores.counts)) for scores in (ours, base))
        return Pairing(key, metric, a, b, _shared_total(ours, base), lost=bool(ours.lost or base.lost))

    def test(self, pairing: Pairing) -> Test:
        """What only pairs can tell stays unknown."""
        assert pairing.total is not None
        ours, theirs, total = pairing.ours, pairing.theirs, pairing.total
        test = welch(ours, theirs, total, 1 - self.alpha, bounded=pairing.metric.counted)
        better, worse = (ours, theirs) if pairing.metric.higher_is_better else (-ours, -theirs)
        note = ""
        if min(len(ours), len(theirs)) == 1:
            note = "one run of one of the two: nothing can be tested"
        elif test.p is None:
            note = "neither of the two varies, so there is no variance to test them against"
        return Test(
            difference=test,
            interval=_interval(test, 1 - self.alpha),
            p=test.p,
            equivalence=self._equivalence(test, pairing.metric),
            superiority=brunner_munzel(better, worse, total, 1 - self.alpha, bounded=False).superiority,
            note=note,
        )

    def adjust(self, pairings: Sequence[Pairing], tests: Sequence[Test]) -> Adjustment:
        """Holm: there is nothing to flip."""
        return _by_holm(tests, [None] * len(tests))

    def method(self, metric: Metric, adjustment: Adjustment, *, judged: bool, images: bool) -> str:
        """That nothing is paired."""
        return (
            "Δ is the difference of the means of runs that are NOT paired, with its "
            f"{percent(1 - self.alpha)} interval on this test set (Welch's t). "
            f"{self._family(metric, adjustment, judged)}"
        )


# -------------------------------------------------------------------------------------- what they share


def in_order(seeds: Iterable[Seed]) -> list[Seed]:
    """Numbers first: in an order that does not depend on that of the rows of a file."""
    return sorted(seeds, key=lambda seed: (isinstance(seed, str), seed))


def fewest_seeds(alpha: float) -> int:
    """Seeds from which on a sign-flip p, 2^(1 − n) at its smallest, can fall below α."""
    return math.floor(1 - math.log2(alpha)) + 1


def by_seed(
    key: Key, metric: Metric, ours: Scores, base: Scores, planned: set[Seed], now: Standing | None = None
) -> Pairing:
    """Both arms on the planned seeds that both have finished."""
    seeds = in_order(planned & ours.counts.keys() & base.counts.keys())
    missing = in_order(planned - set(seeds))
    return Pairing(
        key,
        metric,
        _arm(ours, seeds),
        _arm(base, seeds),
        _shared_total(ours, base),
        tuple(seeds),
        tuple(missing),
        bool(planned & {*ours.lost, *base.lost}),
        now,
    )


def _arm(scores: Scores, seeds: Sequence[Seed]) -> NDArray[np.int64]:
    return np.array([scores.counts[seed] for seed in seeds], dtype=np.int64)


def _shared_total(ours: Scores, base: Scores) -> int | None:
    return ours.total if ours.total == base.total else None


def no_spread(test: PairedT) -> str:
    """Why seeds cannot be tested, where they do not vary."""
    if test.n == 1:
        return "one seed: no variance between seeds, so nothing can be tested"
    if test.p is None:
        return f"all {test.n} differences are equal, so there is no variance to test them against"
    return ""


def _interval(result: PairedT | Welch | Crossed, confidence: float) -> Interval | None:
    ends = result.interval(confidence)
    return Interval(*ends, confidence) if ends else None


def _flips(pairings: Sequence[Pairing]) -> tuple[list[SignFlip | None], list[str]]:
    """Exactly where that can be done; and a note where it takes too long even by chance."""
    exact = [countable(pairing.differences) for pairing in pairings]
    many = sum(len(pairing.seeds) for pairing, all_ in zip(pairings, exact, strict=True) if not all_)
    flips = [
        sign_flip(pairing.differences)
        if pairing.seeds and pairing.total and (all_ or many <= MOST_SIMULATED)
        else None
        for pairing, all_ in zip(pairings, exact, strict=True)
    ]
    if many <= MOST_SIMULATED:
        return flips, []
    long = f"{many:,} differences take too long"
    return flips, [f"p of sign flips (flip) is left out where there are too many to count: {long}"]


def _by_holm(
    tests: Sequence[Test], flips: Sequence[SignFlip | None], notes: Sequence[str] = ()
) -> Adjustment:
    adjusted = [
        Adjusted(None, None) if np.isnan(p) else Adjusted(float(p), "holm")
        for p in holm([test.p for test in tests])
    ]
    return Adjustment(adjusted, "Holm", flips, notes)


def different(
    pairing: Pairing, said: Word, interval: Interval | None, p: float | None, wider: Interval | None
) -> Verdict:
    """The verdict ``said``; ``wider``: the interval on new images, at a level for the whole family."""
    there = wider is not None and wider.excludes_zero()
    return Verdict(said, "" if said is Word.UNDECIDED else _scope(pairing, there), interval, p)


def equivalent(pairing: Pairing, equivalence: Equivalence, wider: Interval | None) -> Verdict:
    """The verdict; ``wider``: the interval on new images, at a level for the whole family."""
    there = wider is not None and wider.within(pairing.metric.limit or 0.0)
    return Verdict(Word.EQUIVALENT, _scope(pairing, there), equivalence.interval, equivalence.p)


def _scope(pairing: Pairing, on_new_images: bool) -> str:
    return ", ".join([FINISHED] * pairing.lost + [TEST_SET] * (not on_new_images))


def percent(share: float) -> str:
    """A level of confidence."""
    return f"{100 * share:.4g} %"
