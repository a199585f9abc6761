"""The design of a tuned suite: each loss as it is after T trials, pooled over all trials of its search.

What is compared are the trials, setting by setting: :mod:`bench.statistics.searches` has the mathematics. The
winners that are retrained decide nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from bench.comparisons.adjustment import Adjustment, Test, by_bonferroni
from bench.comparisons.comparison import Adjusted, Key, Metric, Seed, Seeds
from bench.comparisons.designs import Design
from bench.comparisons.pairings import Pairing, Scores, against, in_order
from bench.statistics.searches import Floats, Pooled, pooled
from bench.statistics.verdicts import percent


@dataclass(frozen=True)
class Search:
    """The trials of one cell by one metric, in the order of their settings. More is better in both arrays."""

    seeds: tuple[Seed, ...]
    """Of the trials that have ended."""
    validation: Floats
    """The first metric; NaN where a trial failed."""
    test: Floats
    """This metric; where a trial failed, the score of a guess."""
    guess: float
    failed: int

    def at(self, seeds: list[Seed]) -> tuple[Floats, Floats]:
        """Validation and test scores of some trials."""
        places = [self.seeds.index(seed) for seed in seeds]
        return self.validation[places], self.test[places]


def searches_of(
    metric: Metric,
    cells: Mapping[Key, Scores],
    validation: Mapping[Key, Mapping[Seed, float]],
    classes: Mapping[str, int],
    *,
    higher_is_better: bool,
) -> dict[Key, Search]:
    """The trials of all cells by one metric, where any of the same data set × model tells of it.

    Args:
        cells: the trials on the test set.
        validation: the first metric of those that are done.
        classes: of each data set: a guess is right once in so many times.
        higher_is_better: of the first metric.
    """
    searches = {}
    for key, scores in cells.items():
        every_value = [v for other, of in cells.items() if other[:2] == key[:2] for v in of.values.values()]
        if not every_value:
            continue
        sign, ranks = 1 if metric.higher_is_better else -1, 1 if higher_is_better else -1
        # Of accuracy 1/classes; of other metrics the worst value of any trial, as nobody knows a guess's.
        worst = sign * min(sign * value for value in every_value)
        guess = 1 / classes[key[0]] if metric.name == "accuracy" and key[0] in classes else worst
        seeds = in_order({*scores.planned} & {*scores.counts, *scores.lost})
        ranked, values = validation.get(key, {}), scores.values
        searches[key] = Search(
            tuple(seeds),
            np.array([ranks * ranked.get(seed, math.nan) for seed in seeds], dtype=np.float64),
            np.array([sign * values.get(seed, guess) for seed in seeds], dtype=np.float64),
            guess,
            len(scores.lost),
        )
    return searches


@dataclass(frozen=True)
class Tuned(Design):
    """Best of T, the unbiased sum over N ≥ 4T trials, paired by setting; Bonferroni over the family."""

    name: ClassVar[str] = "tuned"
    unit: ClassVar[str] = "trial"
    paired: ClassVar[bool] = False
    budget: int = field(kw_only=True)
    """T."""
    trials: int = field(kw_only=True)
    """N, of every loss."""
    searches: Mapping[str, Mapping[Key, Search]] = field(kw_only=True)
    """By metric."""
    baseline: str = field(kw_only=True)

    def pairings(self, metric: Metric, cells: Mapping[Key, Scores], baseline: str) -> list[Pairing]:
        """Trials that have ended with both losses. Their scores are in :attr:`searches`."""
        pairings, searches = [], self.searches[metric.name]
        for key, _, _ in against(cells, baseline):
            arms = [searches.get(of) for of in (key, (*key[:2], baseline))]
            both = in_order(set.intersection(*({*arm.seeds} if arm else set() for arm in arms)))
            zeros = np.zeros(len(both), dtype=np.int64)
            pairings.append(Pairing(key, metric, zeros, zeros, 1, tuple(both)))
        return pairings

    def test(self, pairing: Pairing) -> Test:
        """The pooled difference, once all trials of both have ended: nobody can stop where it looks best."""
        n = len(pairing.seeds)
        if n < self.trials:
            return Test(note=f"{n} of {self.trials} trials have ended with both losses: judged when all have")
        searches = self.searches[pairing.metric.name]
        ours, theirs = searches[pairing.key], searches[*pairing.key[:2], self.baseline]
        for loss, search in ((pairing.key[2], ours), (self.baseline, theirs)):
            if np.isnan(search.validation).all():
                return Test(note=f"all {n} trials of {loss} failed: it has no setting that could be compared")
        seeds = [*pairing.seeds]
        result = pooled(*ours.at(seeds), *theirs.at(seeds), self.budget, 1 - self.alpha)
        note = ""
        if result.se is None:
            note = (
                "so many trials failed that a whole search may come to nothing: no interval could be trusted"
            )
        elif result.p is None:
            note = "no setting changes the difference: nothing to test it against"
        return Test(difference=result if pairing.sign > 0 else _turned(result), p=result.p, note=note)

    def adjust(self, pairings: Sequence[Pairing], tests: Sequence[Test]) -> Adjustment:
        """K·p of K comparisons: there is nothing to rotate or to flip."""
        return by_bonferroni(pairings, tests, self.alpha)

    def seeds_to_decide(self, pairing: Pairing, test: Test, adjusted: Adjusted, family: int) -> Seeds | None:
        """More trials would do, and no seed of a winner."""
        return None

    def method(self, metric: Metric, adjustment: Adjustment, *, judged: bool, images: bool) -> str:
        """What is compared, and how."""
        family = max(adjustment.tested, 1)
        within = ""
        if metric.margin:
            within = (
                f"equivalent means that its {percent(1 - 2 * self.alpha / family)} interval, or that of "
                f"fewer comparisons once others are shown to be (Holm), lies within ±{metric.within}; "
            )
        return (
            f"Δ is the difference of what tuning with {self.budget} trials gives: the mean test score of the "
            f"setting that is best in validation, over all sets of {self.budget} of the {self.trials} trials "
            "of a loss, which are drawn independently and uniformly from its space and trained once each "
            "(Tang et al. 2020). Trials that tie in validation share their weight; those that failed rank "
            "last, with the score of a guess. Its standard error is the jackknife's that leaves out one "
            "setting of both losses at once, with Student's t at 2N/T = "
            f"{2 * self.trials / self.budget:g} degrees of freedom, on this test set; the interval is the "
            f"{percent(1 - self.alpha / family)} one, as p is adjusted over {family} "
            f"comparison{'s' * (family != 1)} by {adjustment.by}. A loss is superior or inferior where that "
            f"interval excludes 0; {within}α = {self.alpha:g}. Means ± sd are of the retrained winners, "
            "which decide nothing."
        )


def _turned(result: Pooled) -> Pooled:
    """Of a metric of which less is better: the difference of its values, not of how good they are."""
    low, high = (None if end is None else -end for end in (result.high, result.low))
    return replace(
        result, estimate=-result.estimate, low=low, high=high, t=None if result.t is None else -result.t
    )
