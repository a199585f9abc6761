"""The design in which seeds are added until each comparison is decided."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from bench.comparisons.comparison import Adjusted, Key, Looks, Metric, NewImages, Seed
from bench.comparisons.designs import (
    Adjustment,
    Design,
    Pairing,
    Scores,
    Test,
    by_seed,
    different,
    equivalent,
    no_spread,
    percent,
)
from bench.statistics.crossed import Crossed
from bench.statistics.sequential import critical_t, evidence, threshold
from bench.statistics.stopping import Outcome, Plan, Standing, standing
from bench.statistics.verdicts import Interval, Verdict, Word, better_or_worse


@dataclass(frozen=True)
class UntilDecided(Design):
    """Seeds are added until each comparison is decided: what is said stays valid whenever one stops.

    In place of Student's interval and p stand the confidence sequence and 1/e. A secondary metric closes
    nothing; its evidence may be looked at all the same, at whatever number of seeds the first has asked for.
    """

    name: ClassVar[str] = "sequential"
    plan: Plan
    order: Sequence[Seed]
    """All seeds that there may be, in the order in which they are added."""
    first: Mapping[Key, Standing] = field(default_factory=dict)
    """For secondary metrics: how comparisons by the first one stand. Empty for the first."""

    def pair(self, key: Key, metric: Metric, ours: Scores, base: Scores) -> Pairing:
        """The seeds of the last look: later ones, if others have trained them, are not looked at."""
        now = self.first.get(key) or standing(self.plan, self.order, ours, base, bounded=metric.counted)
        return by_seed(key, metric, ours, base, {*self.order[: now.wanted]}, now)

    def test(self, pairing: Pairing) -> Test:
        """Evidence for a difference, in the order in which seeds came."""
        assert pairing.total is not None
        test, counted = self._paired(pairing), pairing.metric.counted
        path = evidence(pairing.differences, pairing.total, self.alpha, self.plan.g, bounded=counted)
        e, low, high = (float(values[-1]) for values in (path.e, path.low, path.high))
        now = None if self.first else pairing.standing
        return Test(
            difference=test,
            interval=Interval(low, high, 1 - self.alpha) if math.isfinite(low + high) else None,
            p=min(1 / e, 1.0) if math.isfinite(e) and test.n > 1 else None,
            equivalence=self._equivalence(test, pairing.metric),
            superiority=self._beats(pairing),
            sequence=Looks(
                e if math.isfinite(e) else None, now.looks if now else None, now.outcome if now else None
            ),
            note=no_spread(test),
        )

    def new_images(self, crossed: Crossed, discordant: float | None) -> NewImages:
        """As many standard errors as the confidence sequence has, for new images too.

        What the images add does not depend on when one stops, so this is on the safe side; and unlike an
        interval of a fixed number of seeds it is never narrower than the one on this test set.
        """
        return NewImages(crossed, self._around(crossed, 1), None, discordant)

    def adjust(self, pairings: Sequence[Pairing], tests: Sequence[Test]) -> Adjustment:
        """K/e, valid whenever one stops."""
        family = len(tests) if self.first else self.plan.comparisons
        adjusted = [
            Adjusted(None, None) if test.p is None else Adjusted(min(family * test.p, 1.0), "e-value")
            for test in tests
        ]
        return Adjustment(adjusted, "the bar of e-values, K/α for K comparisons", [None] * len(tests))

    def verdict(
        self, pairing: Pairing, test: Test, adjusted: Adjusted, new: NewImages | None, family: int
    ) -> Verdict:
        """What the look that closed a comparison said, and not what the rule of fixed seeds would say."""
        outcome = pairing.standing.outcome if pairing.standing else Outcome.OPEN
        if self.first:
            decisive = adjusted.p is not None and adjusted.p <= self.alpha
            outcome = Outcome.DIFFERENCE if decisive else Outcome.OPEN
        wider = self._around(new.crossed, family if self.first else self.plan.comparisons) if new else None
        if outcome is Outcome.EQUIVALENT and test.equivalence is not None:
            return equivalent(pairing, test.equivalence, wider)
        said = Word.UNDECIDED
        if outcome is Outcome.DIFFERENCE and test.estimate:
            said = better_or_worse(test.estimate, higher_is_better=pairing.metric.higher_is_better)
        return different(pairing, said, test.interval, adjusted.p, wider)

    def seeds_to_decide(self, test: Test, adjusted: Adjusted, family: int) -> int | None:
        """The rule itself adds them."""
        return None

    def secondary(self, standings: Mapping[Key, Standing]) -> Design:
        """With as many seeds as the first metric has asked for."""
        return replace(self, first=standings)

    def method(self, metric: Metric, adjustment: Adjustment, *, judged: bool, images: bool) -> str:
        """The rule."""
        plan = self.plan
        new = "; on new images it has as many standard errors (seeds × images, crossed analysis of variance)"
        equivalence = (
            f"by equivalence, within ±{metric.within}, where two one-sided tests at the planned looks say "
            "so, their α spent over the looks after O'Brien and Fleming; "
        )
        return (
            "Δ is the mean difference over the seeds that both have finished, paired by seed. Seeds were "
            f"added until decided, with looks at {', '.join(map(str, plan.looks.tolist()))} seeds. A "
            f"comparison is closed by a difference where the e-value (e) of its seeds reaches {plan.bar:g}, "
            f"which is K/α for K = {plan.comparisons} comparisons and α = {plan.alpha:g}: the chance of even "
            f"one false alarm, at any look, is at most α; {equivalence if metric.margin else ''}or, without "
            f"a decision, where even the most favourable true difference would be decided by {plan.largest} "
            f"seeds with a chance below {plan.futility:g}. Its interval is the {percent(1 - plan.alpha)} "
            f"confidence sequence on this test set, which holds whenever one stops{new if images else ''}. p "
            "is K/e."
        )

    def _around(self, crossed: Crossed, family: int) -> Interval | None:
        if crossed.se is None or crossed.estimate is None or crossed.seeds < 2:
            return None
        bar = threshold(self.alpha, family)
        reach = crossed.se * float(critical_t(crossed.seeds, bar, self.plan.g))
        if not math.isfinite(reach):
            return None
        return Interval(crossed.estimate - reach, crossed.estimate + reach, 1 - self.alpha)
