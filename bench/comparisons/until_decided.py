"""The designs in which seeds are added until each comparison is decided: at planned looks, or whenever."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from bench.comparisons.adjustment import Adjustment, Test, adjusted_by_look, around, testable
from bench.comparisons.comparison import Adjusted, Equivalence, Key, Looks, Metric, Seed, Seeds
from bench.comparisons.designs import Design, beats, paired, why_not_tested, withheld
from bench.comparisons.pairings import Pairing, Scores, against, by_seed, flags
from bench.statistics.equivalence import tost
from bench.statistics.flips import PATHS
from bench.statistics.paired import PairedT
from bench.statistics.sequential import critical_t, evidence
from bench.statistics.standings import Direction, Standing, standings
from bench.statistics.stopping import Outcome, Plan, Rule
from bench.statistics.verdicts import Interval, Word


@dataclass(frozen=True)
class UntilDecided(Design):
    """Seeds are added at planned looks, which the whole family takes together.

    A comparison is judged by the look that closed it: its interval is Δ ± c·se with the boundary c of that
    look. A secondary metric closes nothing, and had no say in when seeds stopped: it is judged by e-values.
    """

    name: ClassVar[str] = "sequential"
    fixed: ClassVar[bool] = False
    plan: Plan = field(kw_only=True)
    order: Sequence[Seed] = field(kw_only=True)
    """All seeds that there may be, in the order in which they are added."""

    def pairings(self, metric: Metric, cells: Mapping[Key, Scores], baseline: str) -> list[Pairing]:
        """The seeds of the last look: later ones, if others have trained them, are not looked at."""
        direction = Direction(metric.unit == "%", metric.higher_is_better, metric.counted)
        by_key = standings(self.plan, self.order, cells, baseline, direction, min(self.draws, PATHS))
        return [
            by_seed(key, metric, ours, base, {*self.order[: self._seen(now)]}, now.flagged, now)
            for key, ours, base in against(cells, baseline)
            for now in [by_key[key]]
        ]

    def _seen(self, now: Standing) -> int:
        return now.seeds_seen or now.seeds_needed

    def test(self, pairing: Pairing) -> Test:
        """With the looks that have been taken."""
        test, now = paired(pairing, self.alpha), pairing.standing
        looks = Looks(None, now.looks if now else None, now.outcome if now else None)
        better, note = beats(pairing, self.alpha), why_not_tested(test)
        return Test(difference=test, p=test.p, superiority=better, sequence=looks, note=note)

    def adjust(self, pairings: Sequence[Pairing], tests: Sequence[Test]) -> Adjustment:
        """The result of the last look at each comparison."""
        adjusted = []
        for pairing, test in zip(pairings, tests, strict=True):
            now = pairing.standing
            result = now.result if now else None
            one = adjusted_by_look(test.difference, pairing.metric, result, self.alpha)
            outcome = now.outcome if now else Outcome.OPEN
            # Before the last look p is held against less than α, so that it would be misread.
            last = outcome is Outcome.LARGEST
            if one.equivalence and not (last or outcome is Outcome.EQUIVALENT):
                one = replace(one, equivalence=Equivalence(None, one.equivalence.interval))
            adjusted.append(one if last or outcome is Outcome.DIFFERENCE else replace(one, p=None))
        by = "group-sequential max-|t| at planned looks, with boundaries from sign flips of whole seeds"
        return Adjustment(adjusted, by)

    def word(self, pairing: Pairing, test: Test, adjusted: Adjusted) -> Word:
        """What the look that closed a comparison said, and not what the rule of fixed seeds would say."""
        word = super().word(pairing, test, adjusted)
        if word is not Word.EQUIVALENT or withheld(pairing, word):
            return word
        closed = pairing.standing is not None and pairing.standing.outcome is Outcome.EQUIVALENT
        return word if closed else Word.UNDECIDED

    def seeds_to_decide(self, pairing: Pairing, test: Test, adjusted: Adjusted, family: int) -> Seeds | None:
        """None: the rule itself adds seeds."""
        return None

    def secondary(self, standings: Mapping[Key, Standing]) -> Design:
        """With as many seeds as the first metric has asked for: what holds whenever one stops."""
        return Whenever(self.alpha, plan=self.plan, order=self.order, first=standings)

    def method(self, metric: Metric, adjustment: Adjustment, *, judged: bool, images: bool) -> str:
        """The rule."""
        plan = self.plan
        new = "; on new images too by the crossed analysis of variance, never narrower than that"
        equivalence = (
            f"by equivalence, where Δ ± c·se lies within ±{metric.within}, which spends an α of its own in "
            "the same way; "
        )
        return (
            f"{self._how()} A comparison is closed by a difference where t exceeds the boundary c of its "
            "look on either side, which lets the chance of even one false alarm in the family, by a look at "
            f"the fraction f of {plan.largest} seeds, be α·f² (α = {plan.alpha:g}), by sign flips of whole "
            "seeds; "
            f"{equivalence if metric.margin else ''}or, without a decision, where a decision by "
            f"{plan.largest} seeds has a predictive probability below {plan.futility:g}. Its interval on "
            f"this test set is Δ ± c·se{new if images else ''}."
        )

    def _how(self) -> str:
        return (
            "Δ is the mean difference over the seeds that both have finished soundly, paired by seed: where "
            "one has more seeds, it is not the difference of the two means shown. Seeds "
            f"were added until decided, with looks at {', '.join(map(str, self.plan.looks.tolist()))} seeds."
        )


@dataclass(frozen=True)
class Whenever(UntilDecided):
    """The same by e-values: what is said stays valid whenever one stops, planned or not.

    In place of Student's interval and p stand the confidence sequence and K/e.
    """

    first: Mapping[Key, Standing] = field(default_factory=dict, kw_only=True)
    """For secondary metrics: how comparisons by the first one stand. Empty for the first."""

    def pairings(self, metric: Metric, cells: Mapping[Key, Scores], baseline: str) -> list[Pairing]:
        """A secondary metric has the seeds of the first one, and finds its own collapses."""
        if not self.first:
            return super().pairings(metric, cells, baseline)
        collapses = flags(metric, cells)
        return [
            by_seed(key, metric, ours, base, {*self.order[: self._seen(now)]},
                    (collapses[key], collapses[*key[:2], baseline]), now)
            for key, ours, base in against(cells, baseline)
            for now in [self.first[key]]
        ]  # fmt: skip

    def _seen(self, now: Standing) -> int:
        return now.seeds_needed

    def test(self, pairing: Pairing) -> Test:
        """Evidence for a difference, in the order in which seeds came."""
        assert pairing.total is not None
        result, counted = super().test(pairing), pairing.metric.counted
        path = evidence(pairing.differences, pairing.total, self.alpha, self.plan.g, bounded=counted)
        e = float(path.e[-1]) if len(path.e) else math.nan
        valid = math.isfinite(e)
        looks = Looks(e if valid else None, None, None)
        if result.sequence is not None and not self.first:
            looks = replace(result.sequence, e=looks.e)
        p = min(1 / e, 1.0) if valid and len(pairing.seeds) > 1 else None
        return replace(result, p=p, sequence=looks)

    def adjust(self, pairings: Sequence[Pairing], tests: Sequence[Test]) -> Adjustment:
        """K/e, and the confidence sequence at 1 − α/K, which excludes 0 exactly where that is at most α."""
        family = max(len(tests), 1) if self.first else self.plan.comparisons
        adjusted = []
        for pairing, test in zip(pairings, tests, strict=True):
            one = test.difference
            if test.p is None or not isinstance(one, PairedT) or not testable(test):
                adjusted.append(Adjusted())
                continue
            reach = float(critical_t(one.n, family / self.alpha, self.plan.g))
            interval = around(one, reach, 1 - self.alpha)
            p, equivalence = min(family * test.p, 1.0), self._equivalence(pairing, one)
            adjusted.append(Adjusted(p, "e-value", interval, equivalence))
        return Adjustment(adjusted, "the bar of e-values, K/α for K comparisons")

    def _equivalence(self, pairing: Pairing, result: PairedT) -> Equivalence | None:
        """At the level that the last look had; p as a multiple of that, to be held against α."""
        limit, now = pairing.metric.limit, pairing.standing
        if limit is None or self.first or now is None or not now.looks or (p := tost(result, limit)) is None:
            return None
        level = float(self.plan.equivalence_levels()[now.looks - 1])
        ends = result.interval(1 - 2 * level) if level else None
        inside = Interval(*ends, 1 - 2 * self.alpha) if ends else None
        return Equivalence(min(p * self.alpha / level, 1.0) if level else None, inside)

    def method(self, metric: Metric, adjustment: Adjustment, *, judged: bool, images: bool) -> str:
        """The rule."""
        plan = self.plan
        new = "; on new images too by the crossed analysis of variance, never narrower than Student's t"
        equivalence = (
            f"by equivalence, within ±{metric.within}, where two one-sided tests at the planned looks say "
            f"so, their {'α/K' if plan.adjusted_equivalence else 'α, not adjusted over the family,'} spent "
            "over the looks after O'Brien and Fleming; "
        )
        return (
            f"{self._how()} A comparison is closed by a difference where the e-value (e) of its seeds "
            f"reaches {plan.bar:g}, which is K/α for K = {plan.comparisons} comparisons and "
            f"α = {plan.alpha:g}: the chance of even one false alarm, at any look, is at most α where "
            "differences are symmetric; "
            f"{equivalence if metric.margin else ''}or, without a decision, where even the most favourable "
            f"true difference would be decided by {plan.largest} seeds with a chance below "
            f"{plan.futility:g}. Its interval is the confidence sequence on this test set at 1 − α/K, which "
            f"holds whenever one stops{new if images else ''}. p is K/e."
        )


def until_decided(alpha: float, plan: Plan, order: Sequence[Seed]) -> UntilDecided:
    """The design of a plan."""
    kind = UntilDecided if plan.rule is Rule.PLANNED else Whenever
    return kind(alpha, plan=plan, order=order)
