"""Runs that are not paired: Welch's t, and the chance of beating the baseline by Brunner and Munzel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from bench.comparisons.adjustment import Adjustment, Test, by_bonferroni
from bench.comparisons.comparison import Key, Metric
from bench.comparisons.designs import Design
from bench.comparisons.pairings import Pairing, Scores, against, arm, arms_of, flags, in_order, shared_total
from bench.statistics.stopping import FEWEST
from bench.statistics.unpaired import brunner_munzel, welch
from bench.statistics.verdicts import percent


@dataclass(frozen=True)
class Unpaired(Design):
    """Runs that have nothing in common: Welch, and only where it was asked for."""

    name: ClassVar[str] = "unpaired"
    paired: ClassVar[bool] = False

    def pairings(self, metric: Metric, cells: Mapping[Key, Scores], baseline: str) -> list[Pairing]:
        """All sound runs of a loss with all of the baseline."""
        flagged = flags(metric, cells)
        pairings = []
        for key, ours, base in against(cells, baseline):
            collapses = flagged[key], flagged[*key[:2], baseline]
            a, b = (
                arm(scores, [seed for seed in in_order(scores.counts) if seed not in collapsed])
                for scores, collapsed in zip((ours, base), collapses, strict=True)
            )
            runs, lost = (len(ours.counts), len(base.counts)), arms_of(ours.lost, base.lost)
            total, out = shared_total(ours, base), arms_of(*collapses)
            pairings.append(Pairing(key, metric, a, b, total, lost=lost, flagged=out, finished=runs))
        return pairings

    def test(self, pairing: Pairing) -> Test:
        """Welch's t, without what needs pairs: effect sizes, seeds that would do."""
        assert pairing.total is not None
        ours, theirs, total = pairing.ours, pairing.theirs, pairing.total
        test = welch(ours, theirs, total, 1 - self.alpha, bounded=pairing.metric.counted)
        better, worse = (ours, theirs) if pairing.metric.higher_is_better else (-ours, -theirs)
        note = ""
        if min(len(ours), len(theirs)) == 1:
            note = "one run of one of the two: nothing can be tested"
        elif test.p is None:
            note = "neither of the two varies, so there is no variance to test them against"
        elif min(len(ours), len(theirs)) < FEWEST:
            note = f"fewer than {FEWEST} runs of one of the two: nothing is decided"
        return Test(
            difference=test,
            p=test.p,
            superiority=brunner_munzel(better, worse, total, 1 - self.alpha, bounded=False).superiority,
            note=note,
        )

    def adjust(self, pairings: Sequence[Pairing], tests: Sequence[Test]) -> Adjustment:
        """Bonferroni: there is nothing to rotate or to flip."""
        return by_bonferroni(pairings, tests, self.alpha)

    def method(self, metric: Metric, adjustment: Adjustment, *, judged: bool, images: bool) -> str:
        """That nothing is paired."""
        return (
            "Δ is the difference of the means of runs that are NOT paired, with its "
            f"{percent(1 - self.alpha)} interval on this test set for all comparisons together (Welch's t at "
            f"1 − α/K). {self._family(metric, adjustment, judged)}"
        )
