"""The design in which runs are folds of a cross-validation: they are paired, and depend on each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from bench.comparisons.adjustment import Adjustment, Test, by_bonferroni
from bench.comparisons.comparison import Adjusted, Metric, Seeds
from bench.comparisons.designs import Design, beats, percent, why_not_tested
from bench.comparisons.pairings import Pairing
from bench.statistics.planning import minimum_detectable_effect
from bench.statistics.resampled import corrected_t, correlated_posterior
from bench.statistics.stopping import FEWEST

DATA_SET = "on this data set"
"""The scope of all verdicts: folds are drawn from one data set, and so is what they test on."""


@dataclass(frozen=True)
class Folds(Design):
    """The corrected resampled t-test, and its Bayesian form beside it.

    Signs of folds are not flipped, as folds are not independent; so the family is adjusted by Bonferroni,
    which gives every p an interval that agrees with it.
    """

    name: ClassVar[str] = "folds"
    unit: ClassVar[str] = "fold"
    here: ClassVar[str] = DATA_SET
    folds: Mapping[tuple[str, str], int] = field(kw_only=True)
    """By data set and model: how many folds (k) there are."""

    def test(self, pairing: Pairing) -> Test:
        """How often a fold is won stays without an interval, which would take independent folds."""
        assert pairing.total is not None
        metric, k = pairing.metric, self.folds[pairing.key[:2]]
        test = corrected_t(pairing.differences, pairing.total, k, 1 - self.alpha, bounded=metric.counted)
        return Test(
            difference=test,
            p=test.p,
            superiority=replace(beats(pairing, self.alpha), low=None, high=None),
            posterior=correlated_posterior(test, metric.limit, higher_is_better=metric.higher_is_better),
            detectable=minimum_detectable_effect(test, self.alpha) if test.n >= FEWEST else None,
            note=why_not_tested(test, self.unit),
        )

    def adjust(self, pairings: Sequence[Pairing], tests: Sequence[Test]) -> Adjustment:
        """K·p of K comparisons."""
        return by_bonferroni(pairings, tests, self.alpha)

    def seeds_to_decide(self, pairing: Pairing, test: Test, adjusted: Adjusted, family: int) -> Seeds | None:
        """Not more folds: the standard error has a floor that repeats do not get below."""
        return None

    def method(self, metric: Metric, adjustment: Adjustment, *, judged: bool, images: bool) -> str:
        """Which test decided, and why not Student's."""
        family = max(sum(found.p is not None for found in adjustment.adjusted), 1)
        level = percent(1 - self.alpha / family)
        within, posterior = "", "worse and better"
        if metric.margin is not None:
            within = (
                f"Equivalent means within ±{metric.within} by two one-sided tests with the same standard "
                f"error and adjustment (their interval is the {percent(1 - 2 * self.alpha / family)} one). "
            )
            posterior = f"worse, within ±{metric.within} and better"
        return (
            "Δ is the mean difference over the folds of a cross-validation, paired by fold. Their training "
            "sets overlap, so folds are not independent, and repeats of them are not new data: the corrected "
            "resampled t-test decides (Nadeau and Bengio 2003; Bouckaert and Frank 2004), whose squared "
            "standard error is (1/n + 1/(k − 1)) times the variance of the n differences, of "
            f"{_listed(self.folds.values())} folds (k). The interval is the {level} one, as p is adjusted "
            f"over {family} comparison{'s' * (family != 1)} by {adjustment.by}; α = {self.alpha:g}. "
            f"{within}The probabilities that it is {posterior} are of the Bayesian correlated t-test, "
            "ρ = 1/k (Benavoli et al. 2017); they decide nothing."
        )


def _listed(counts: Iterable[int]) -> str:
    return " or ".join(map(str, sorted({*counts})))
