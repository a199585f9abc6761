"""The other designs of a tuned suite, in which retrained winners are compared and not trials."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from bench.comparisons.adjustment import Adjustment, Test, by_bonferroni
from bench.comparisons.comparison import Adjusted, Key, Metric, Seed, Seeds
from bench.comparisons.designs import Design
from bench.comparisons.pairings import Pairing, Scores, against, arm
from bench.space import search_of
from bench.statistics.verdicts import percent

HERE_ONLY = "for these settings only"
"""The scope of a verdict on the winners of one search: another search would have found others."""


@dataclass(frozen=True)
class OneSearch(Design):
    """One search, and seeds of what it found: the same tests, and a scope that says what was not repeated."""

    def _scope(self, pairing: Pairing, on_new_images: bool, failed_last: bool) -> str:
        return ", ".join(filter(None, [HERE_ONLY, super()._scope(pairing, on_new_images, failed_last)]))


@dataclass(frozen=True)
class BySearches(Design):
    """Whole searches of fresh settings, their winners retrained: Student's t over the means of searches.

    Seeds of one winner are summed: they tell nothing of other searches.
    """

    name: ClassVar[str] = "searches"
    unit: ClassVar[str] = "search"
    searches: int = field(kw_only=True)
    each: int = field(kw_only=True)
    """Seeds of each winner."""

    def pairings(self, metric: Metric, cells: Mapping[Key, Scores], baseline: str) -> list[Pairing]:
        """Searches of which all seeds have finished in both arms."""
        return [self._pairing(key, metric, ours, base) for key, ours, base in against(cells, baseline)]

    def _pairing(self, key: Key, metric: Metric, ours: Scores, base: Scores) -> Pairing:
        groups: dict[int, list[Seed]] = defaultdict(list)
        for seed in sorted(int(seed) for seed in ours.counts.keys() & base.counts.keys()):
            groups[search_of(seed)].append(seed)
        whole = {search: seeds for search, seeds in groups.items() if len(seeds) == self.each}
        first, second = (
            np.array([arm(scores, seeds).sum() for seeds in whole.values()], dtype=np.int64)
            for scores in (ours, base)
        )
        total = ours.total * self.each if ours.total and ours.total == base.total else None
        return Pairing(key, metric, first, second, total, tuple(whole))

    def test(self, pairing: Pairing) -> Test:
        """Once all searches are whole: nobody can stop where it looks best."""
        if (n := len(pairing.seeds)) < self.searches:
            return Test(note=f"{n} of {self.searches} searches have all their winners: judged when all have")
        return super().test(pairing)

    def adjust(self, pairings: Sequence[Pairing], tests: Sequence[Test]) -> Adjustment:
        """Bonferroni: K·p of K comparisons."""
        return by_bonferroni(pairings, tests, self.alpha)

    def seeds_to_decide(self, pairing: Pairing, test: Test, adjusted: Adjusted, family: int) -> Seeds | None:
        """More searches would do, and no seed of a winner."""
        return None

    def method(self, metric: Metric, adjustment: Adjustment, *, judged: bool, images: bool) -> str:
        """What is repeated."""
        family = max(adjustment.tested, 1)
        return (
            f"Δ is the mean difference over {self.searches} searches of settings drawn afresh: the best in "
            f"validation of each was retrained with {self.each} seed{'s' * (self.each != 1)}, whose mean is "
            f"one number a search. Its {percent(1 - self.alpha / family)} interval on this test set is "
            f"Student's t over searches, as p is adjusted over {family} comparison{'s' * (family != 1)} by "
            f"{adjustment.by}. A loss is superior or inferior where that interval excludes 0; "
            f"α = {self.alpha:g}."
        )
