"""How comparisons are tested and judged: here with a fixed number of paired seeds.

Other designs are subclasses: :mod:`~bench.comparisons.unpaired`, :mod:`~bench.comparisons.until_decided`,
:mod:`~bench.comparisons.resampled`. :mod:`bench.comparisons.analysis` asks them, and knows no rule itself.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from bench.comparisons.adjustment import Adjustment, Test, adjusted_by_look, sign_flips, testable, together
from bench.comparisons.comparison import Adjusted, Key, Metric, NewImages, Seeds
from bench.comparisons.pairings import Pairing, Scores, against, by_seed, flags, table_of
from bench.statistics.crossed import Crossed
from bench.statistics.flips import PATHS, Family
from bench.statistics.paired import PairedT, p_of_t, paired_t, t_interval
from bench.statistics.planning import (
    minimum_detectable_effect,
    seeds_for_effect,
    seeds_for_equivalence,
    spread_at_most,
)
from bench.statistics.rotations import DRAWS, Smallest, rotate
from bench.statistics.signed_ranks import Superiority, paired_superiority
from bench.statistics.standings import Standing
from bench.statistics.stopping import FEWEST
from bench.statistics.verdicts import Interval, Verdict, Word, better_or_worse, percent

TEST_SET, FINISHED, SOUND = "on this test set", "among runs that finished", "among sound runs"
"""Scopes that are narrower than all losses trained so, on new images too."""


@dataclass(frozen=True)
class Design:
    """Runs of two cells, tested at α. What follows holds for a fixed number of paired seeds."""

    name: ClassVar[str] = "fixed"
    unit: ClassVar[str] = "seed"
    """What pairs two runs."""
    here: ClassVar[str] = TEST_SET
    """The scope of a verdict that nothing is known of beyond."""
    fixed: ClassVar[bool] = True
    """Whether the number of seeds was: else a p that is for that would not be valid."""
    paired: ClassVar[bool] = True
    """Whether runs are paired by seed, so that their differences have effect sizes."""
    alpha: float
    judge: Literal["rotations", "flips"] = "rotations"
    """Of paired seeds: Student's t at one level for all, by rotating residuals; or flips of whole seeds."""
    draws: int = DRAWS
    """Rotations, and flips of signs at most."""

    def pairings(self, metric: Metric, cells: Mapping[Key, Scores], baseline: str) -> list[Pairing]:
        """Which runs meet those of the baseline: by seed, never by position."""
        flagged = flags(metric, cells)
        return [
            by_seed(
                key, metric, ours, base, {*ours.planned, *base.planned, *ours.counts, *base.counts},
                (flagged[key], flagged[*key[:2], baseline]),
            )
            for key, ours, base in against(cells, baseline)
        ]  # fmt: skip

    def test(self, pairing: Pairing) -> Test:
        """Everything but what depends on other comparisons."""
        test = paired(pairing, self.alpha)
        return Test(
            difference=test,
            p=test.p,
            superiority=beats(pairing, self.alpha),
            detectable=minimum_detectable_effect(test, self.alpha) if test.n >= FEWEST else None,
            note=why_not_tested(test),
        )

    def adjust(self, pairings: Sequence[Pairing], tests: Sequence[Test]) -> Adjustment:
        """Intervals that hold together, and the p that agree with them."""
        signs, notes = sign_flips(pairings)
        adjustment = (
            self._by_flips(pairings, tests) if self.judge == "flips" else self._by_rotations(pairings, tests)
        )
        return replace(adjustment, flips=signs, notes=[*notes, *adjustment.notes])

    def _by_rotations(self, pairings: Sequence[Pairing], tests: Sequence[Test]) -> Adjustment:
        """Comparisons of one data set × model share their baseline's runs; others have nothing in common."""

        def rotated(members: Sequence[int]) -> Smallest:
            blocks: dict[tuple[str, str], list[Pairing]] = defaultdict(list)
            for k in members:
                blocks[pairings[k].key[:2]].append(pairings[k])
            return rotate([table_of(block) for block in blocks.values()], self.draws)

        return together(pairings, tests, self.alpha, "rotations", rotated)

    def _by_flips(self, pairings: Sequence[Pairing], tests: Sequence[Test]) -> Adjustment:
        """Whole seeds flip their signs in all comparisons at once, of all models and data sets: that is right
        whether or not runs with the same seed depend on each other there."""
        tested = [k for k, test in enumerate(tests) if testable(test)]
        table = table_of([pairings[k] for k in tested])
        limits = [(pairings[k].metric.limit or 0.0) * (pairings[k].total or 1) for k in tested]
        family = Family(len(table), self.alpha, len(tested), min(self.draws, PATHS))
        adjusted = [Adjusted()] * len(tests)
        for k, result in zip(tested, family.look(table, limits, FEWEST), strict=True) if tested else ():
            adjusted[k] = adjusted_by_look(tests[k].difference, pairings[k].metric, result, self.alpha)
        few = [] if not tested or len(table) >= fewest_flipped(self.alpha) else [
            f"with {len(table)} seeds no flip of signs gives an adjusted p below α = {self.alpha:g}, so "
            f"nothing could be called superior or inferior; that takes {fewest_flipped(self.alpha)} seeds or "
            "more"
        ]  # fmt: skip
        by = "sign flips of whole seeds, against the largest of the family (single-step maxT)"
        return Adjustment(adjusted, by, notes=few)

    def word(self, pairing: Pairing, test: Test, adjusted: Adjusted) -> Word:
        """What the intervals say: a difference first, as one may be certain and smaller than the margin."""
        if adjusted.interval is not None and test.estimate and adjusted.interval.excludes_zero():
            return better_or_worse(test.estimate, higher_is_better=pairing.metric.higher_is_better)
        inside = adjusted.equivalence.interval if adjusted.equivalence else None
        if inside is not None and inside.within(pairing.metric.limit or 0.0):
            return Word.EQUIVALENT
        return Word.UNDECIDED

    def new_images(
        self,
        crossed: Crossed,
        discordant: float | None,
        test: Test,
        adjusted: Adjusted,
        word: Word,
        family: int,
    ) -> NewImages:
        """The second question, from the crossed analysis of variance, at a level for all comparisons.

        Never more certain than on this test set: the larger of the two standard errors, the smaller number of
        degrees of freedom, and as many standard errors as the interval there has, if there is any.
        """
        result, centre = test.difference, crossed.estimate
        if crossed.se is None or crossed.df is None or centre is None or result is None or not result.se:
            return NewImages(crossed, None, None, discordant)
        se, df = max(crossed.se, result.se), min(crossed.df, result.df or math.inf)
        share, interval_here = self.alpha, adjusted.interval
        if word is Word.EQUIVALENT and adjusted.equivalence is not None:
            share, interval_here = 2 * self.alpha, adjusted.equivalence.interval
        ends, interval = t_interval(centre, se, df, 1 - share / family), None
        if interval_here is not None and ends is not None:
            reach = max(
                (ends[1] - ends[0]) / 2, (interval_here.high - interval_here.low) / 2 * se / result.se
            )
            interval = Interval(centre - reach, centre + reach, 1 - share)
        return NewImages(crossed, interval, p_of_t(centre / se, df) if self.fixed else None, discordant)

    def verdict(
        self, pairing: Pairing, adjusted: Adjusted, word: Word, new: NewImages | None, *, failed_last: bool
    ) -> Verdict:
        """The word with its interval, its p and its scope.

        Args:
            failed_last: whether it holds with failed runs ranked last, or there are none.
        """
        wider = new.interval if new else None
        if word is Word.EQUIVALENT and adjusted.equivalence is not None:
            on_new_images = wider is not None and wider.within(pairing.metric.limit or 0.0)
            scope = self._scope(pairing, on_new_images, failed_last)
            return Verdict(word, scope, adjusted.equivalence.interval, adjusted.equivalence.p)
        on_new_images = wider is not None and wider.excludes_zero()
        scope = "" if word is Word.UNDECIDED else self._scope(pairing, on_new_images, failed_last)
        return Verdict(word, scope, adjusted.interval, adjusted.p)

    def _scope(self, pairing: Pairing, on_new_images: bool, failed_last: bool) -> str:
        runs = [SOUND] if any(pairing.flagged) else [] if failed_last else [FINISHED]
        return ", ".join(runs + [self.here] * (not on_new_images))

    def seeds_to_decide(self, pairing: Pairing, test: Test, adjusted: Adjusted, family: int) -> Seeds | None:
        """Seeds of a new experiment, by what the interval allows: the observed difference is no plan."""
        interval, result = adjusted.interval, test.difference
        if not isinstance(result, PairedT) or not result.sd or interval is None:
            return None
        far = max(abs(interval.low), abs(interval.high))
        fewest = seeds_for_effect(far, result.sd, self.alpha, comparisons=family)
        margin, spread, most, equivalent = (
            pairing.metric.limit,
            spread_at_most(result.sd, result.n),
            None,
            None,
        )
        if margin:
            equivalent = max(seeds_for_equivalence(margin, spread, self.alpha / family) or FEWEST, FEWEST)
        if margin and margin < far:
            most = seeds_for_effect(margin, spread, self.alpha, comparisons=family)
        return Seeds(max(fewest or FEWEST, FEWEST), most, equivalent)

    def secondary(self, standings: Mapping[Key, Standing]) -> Design:
        """The same for metrics that decide nothing. ``standings``: how comparisons by the first one stand."""
        return self

    def method(self, metric: Metric, adjustment: Adjustment, *, judged: bool, images: bool) -> str:
        """How the numbers of a table were computed.

        Args:
            judged: whether verdicts are given.
            images: whether anything is known of single images.
        """
        tested = adjustment.tested
        kind = "from flips of signs" if self.judge == "flips" else "Student's t over seeds"
        if adjustment.each is not None and tested > 1:
            kind += f", each at {percent(adjustment.each)}"
        together = f" for all {tested} comparisons together" if tested > 1 else ""
        new = (
            "; on new images too by the crossed analysis of variance of seeds × images, never narrower than "
            "that, at a level of 1 − α/K for K comparisons"
        )
        return (
            "Δ is the mean difference over seeds, paired by seed, with its "
            f"{percent(1 - self.alpha)} interval on this test set{together} ({kind}){new if images else ''}. "
            f"{self._family(metric, adjustment, judged)}"
        )

    def _family(self, metric: Metric, adjustment: Adjustment, judged: bool) -> str:
        count, tested = len(adjustment.adjusted), adjustment.tested
        family = f"{count} comparison{'s' * (count != 1)}"
        if tested < count:
            family = f"the {tested} of {family} that can be tested"
        decides, within = "", ""
        if judged:
            decides = (
                f"a loss is superior or inferior where that interval excludes 0, which is where the adjusted "
                f"p is below α; with fewer than {FEWEST} seeds nothing is decided; "
            )
            if metric.margin is not None:
                within = (
                    f"equivalent means that a {percent(1 - 2 * self.alpha)} interval, for all together "
                    f"that no wider one shows to be, lies within ±{metric.within}, which is where p of "
                    "two one-sided tests, adjusted alike, is below α; "
                )
            within += (
                "verdicts are on runs that train as the rest of their cell does, and say nothing of "
                "collapses too rare for so many seeds to show; "
            )
        p = f"p is adjusted over {family} by {adjustment.by}"
        if tested < 2:
            p = f"{f'{tested} of {count} can be tested, so that ' * (tested < count)}p needs no adjustment"
        return f"{p}; {decides}{within}α = {self.alpha:g}."


def paired(pairing: Pairing, alpha: float) -> PairedT:
    """Student's t on the differences."""
    assert pairing.total is not None
    return paired_t(pairing.differences, pairing.total, 1 - alpha, bounded=pairing.metric.counted)


def beats(pairing: Pairing, alpha: float) -> Superiority:
    """How often the loss beats its baseline."""
    return paired_superiority(pairing.sign * pairing.differences, 1 - alpha)


def why_not_tested(test: PairedT, unit: str = "seed") -> str:
    """Why nothing is decided, where nothing can be."""
    if test.n == 1:
        return f"one {unit}: no variance between {unit}s, so nothing can be tested"
    if test.p is None and test.n:
        return f"all {test.n} differences are equal, so there is no variance to test them against"
    if 1 < test.n < FEWEST:
        return f"{test.n} {unit}s: nothing is decided with fewer than {FEWEST}"
    return ""


def withheld(pairing: Pairing, word: Word) -> bool:
    """Whether a loss collapsed more than its baseline, and is called neither better nor as good for that."""
    more = len(pairing.flagged[0]) > len(pairing.flagged[1])
    return more and word in (Word.SUPERIOR, Word.EQUIVALENT)


def why_withheld(pairing: Pairing, word: Word) -> str:
    """Why a verdict is withheld; empty where it is not."""
    if not withheld(pairing, word):
        return ""
    (ours, theirs), (runs, of_baseline) = map(len, pairing.flagged), pairing.finished
    return (
        f"neither a verdict in its favour nor an interval: it collapsed in {ours} of {runs} runs, and the "
        f"baseline in {theirs} of {of_baseline}"
    )


def fewest_flipped(alpha: float) -> int:
    """Seeds from which on a sign-flip p, 2^(1 − n) at its smallest, can fall below α."""
    return math.floor(1 - math.log2(alpha)) + 1
