"""The designs in which runs share their data, as folds or splits of one set: paired, and not independent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from bench.comparisons.adjustment import Adjustment, Test, by_bonferroni
from bench.comparisons.comparison import Adjusted, Metric, Seeds
from bench.comparisons.designs import Design, beats, why_not_tested
from bench.comparisons.pairings import Pairing
from bench.statistics.planning import minimum_detectable_effect
from bench.statistics.resampled import corrected_t, correlated_posterior
from bench.statistics.stopping import FEWEST
from bench.statistics.verdicts import percent

DATA_SET = "on this data set"
"""The scope of all verdicts: splits are drawn from one data set, and so is what they test on."""


@dataclass(frozen=True)
class Resampled(Design):
    """The corrected resampled t-test, and its Bayesian form beside it.

    Signs are not flipped, as the splits are not independent; so the family is adjusted by Bonferroni, which
    gives every p an interval that agrees with it.
    """

    here: ClassVar[str] = DATA_SET

    def ratio(self, pairing: Pairing) -> float | None:
        """Test images for each training image; None: nobody knows."""
        raise NotImplementedError

    def test(self, pairing: Pairing) -> Test:
        """How often a split is won stays without an interval, which would take independent ones."""
        assert pairing.total is not None
        metric, ratio = pairing.metric, self.ratio(pairing)
        if ratio is None:
            return Test(note="its runs do not say how many images they trained on, so nothing can be tested")
        test = corrected_t(pairing.differences, pairing.total, ratio, 1 - self.alpha, bounded=metric.counted)
        return Test(
            difference=test,
            p=test.p,
            superiority=replace(beats(pairing, self.alpha), low=None, high=None),
            posterior=correlated_posterior(test, metric.limit, higher_is_better=metric.higher_is_better),
            detectable=minimum_detectable_effect(test, self.alpha) if test.n >= FEWEST else None,
            note=why_not_tested(test, self.unit),
        )

    def adjust(self, pairings: Sequence[Pairing], tests: Sequence[Test]) -> Adjustment:
        """Bonferroni: K·p of K comparisons."""
        return by_bonferroni(pairings, tests, self.alpha)

    def seeds_to_decide(self, pairing: Pairing, test: Test, adjusted: Adjusted, family: int) -> Seeds | None:
        """Not more: the standard error has a floor that more splits do not get below."""
        return None

    def _decides(self, metric: Metric, adjustment: Adjustment, test: str, rho: str) -> str:
        """Which test decided, and why not Student's."""
        family = max(adjustment.tested, 1)
        level = percent(1 - self.alpha / family)
        within, posterior = "", "worse and better"
        if metric.margin is not None:
            within = (
                f"Equivalent means within ±{metric.within} by two one-sided tests with the same standard "
                f"error and adjustment (their interval is the {percent(1 - 2 * self.alpha / family)} one). "
            )
            posterior = f"worse, within ±{metric.within} and better"
        return (
            f"corrected resampled t-test decides (Nadeau and Bengio 2003{test}. The interval is the {level} "
            f"one, as p is adjusted over {family} comparison{'s' * (family != 1)} by {adjustment.by}; "
            f"α = {self.alpha:g}. {within}The probabilities that it is {posterior} are of the Bayesian "
            f"correlated t-test, {rho} (Benavoli et al. 2017); they decide nothing."
        )


@dataclass(frozen=True)
class Folds(Resampled):
    """Folds of a cross-validation, repeated or not."""

    name: ClassVar[str] = "folds"
    unit: ClassVar[str] = "fold"
    folds: Mapping[tuple[str, str], int] = field(kw_only=True)
    """By data set and model: how many folds (k) there are."""

    def ratio(self, pairing: Pairing) -> float:
        """Of k folds, one tests what the others train."""
        return 1 / (self.folds[pairing.key[:2]] - 1)

    def method(self, metric: Metric, adjustment: Adjustment, *, judged: bool, images: bool) -> str:
        """That folds overlap."""
        test = (
            "; Bouckaert and Frank 2004), whose squared standard error is (1/n + 1/(k − 1)) times the "
            f"variance of the n differences, of {_listed(self.folds.values())} folds (k)"
        )
        return (
            "Δ is the mean difference over the folds of a cross-validation, paired by fold. Their training "
            "sets overlap, so folds are not independent, and repeats of them are not new data: the "
            + self._decides(metric, adjustment, test, "ρ = 1/k")
        )


@dataclass(frozen=True)
class Splits(Resampled):
    """Each seed has drawn its own training and test images from one data set, the same for all losses."""

    name: ClassVar[str] = "splits"
    ratios: Mapping[tuple[str, str], float] = field(kw_only=True)
    """By data set and model: test images for each training image."""

    def ratio(self, pairing: Pairing) -> float | None:
        """n_test/n_train, as counted in the runs."""
        return self.ratios.get(pairing.key[:2])

    def method(self, metric: Metric, adjustment: Adjustment, *, judged: bool, images: bool) -> str:
        """That test sets overlap."""
        ratios = _listed(round(ratio, 3) for ratio in self.ratios.values()) or "unknown"
        test = (
            "), whose squared standard error is (1/n + n_test/n_train) times the variance of the n "
            f"differences; n_test/n_train is {ratios}"
        )
        return (
            "Δ is the mean difference over seeds, paired by seed. Each seed has drawn training, validation "
            "and test images anew from the whole data set, the same for all losses. Splits overlap, so seeds "
            "are not independent, and more of them are not new data: the "
            + self._decides(metric, adjustment, test, "ρ = n_test/(n_test + n_train)")
        )


def _listed(counts: Iterable[float]) -> str:
    return " or ".join(f"{count:g}" for count in sorted({*counts}))
