"""The paragraphs of a methods section on metrics, comparisons and ranks, with their sources."""

from __future__ import annotations

import sys
from collections import Counter

from bench.metrics import Metric
from bench.reports.formats import counted, listed
from bench.reports.methods.trainings import with_options
from bench.reports.schema import Report
from bench.statistics.stopping import Outcome
from bench.suite import Suite

_SOURCES = {"brier": "brier1950", "ece": "guo2017", "auroc": "hanley1982"}
"""Where metrics are from."""


def describe_metrics(suite: Suite, report: Report) -> list[str]:
    """Which metrics there are, and what they are."""
    sizes = {c.dataset: c.test_images for c in report.cells if c.test_images}
    images = listed([f"{size:,} of {name}" for name, size in sizes.items()])
    first, *rest = (metric.name for metric in suite.metrics)
    of_seed = " of its seed" * (suite.splits != "given")
    return [
        f"All test images{of_seed} count{f' ({images})' if images else ''}.",
        *map(_meaning, suite.metrics),
        *([f"{first} alone decides; secondary: {listed(rest)}."] if rest else []),
        "We report means and standard deviations over seeds"
        f"{' of the retrained winners' * (suite.tune is not None)}.",
    ]


def _meaning(metric: Metric) -> str:
    """What a metric is: the first line of its file."""
    meaning, kind = "what code of our own computes", metric.measure_type
    if kind is not None:
        [sentence, *_] = (sys.modules[kind.__module__].__doc__ or meaning).splitlines()
        meaning = sentence[:1].lower() + sentence[1:].rstrip(".")
    source = _SOURCES.get(metric.choice.name)
    cite = f" [@{source}]" if source else ""
    better = "higher" if metric.higher_is_better else "lower"
    return f"{with_options(metric.name, metric.choice.describe())}: {meaning}{cite}; {better} is better."


def describe_comparisons(suite: Suite, report: Report) -> list[str]:
    """How comparisons were judged, as the report says it, with the sources of the methods used."""
    every = [*report.comparisons, *report.secondary.comparisons]
    if all(c.p is None for c in every):
        return [report.method]
    margin, design = bool(report.margin), report.sequential
    sentences = [report.method]
    if design is not None:
        sentences = ["The design is sequential.", report.method, _outcomes(report)]
    if lacking := [c for c in report.comparisons if c.missing]:
        sentences.append(
            f"In {counted(len(lacking), 'comparison')} some pairs are missing, as one or both of their "
            "trainings are; none was made up."
        )
    if report.optimistic:
        sentences.append("Values of such an epoch are better than is to be expected on new images.")
    else:
        equivalent = "; otherwise equivalent where the tests for that say so" if margin else ""
        sentences.append(
            f"We call a loss superior or inferior to {report.baseline} where its interval excludes 0"
            f"{equivalent}; otherwise undecided. A verdict is about this test set alone"
            + (
                ", and about losses that are tuned with that budget."
                if report.tuning is not None
                else " unless an interval on new images, for all comparisons at once, agrees with it; about "
                "sound runs where some have collapsed; and about the runs that finished where some have "
                "failed, unless it holds with those ranked last."
            )
        )
    if family := report.secondary.comparisons:
        # Where no verdict is given, or none of these ends a comparison, nothing is called equivalent.
        margins = report.metrics[1:] if design is None and not report.optimistic else ()
        limits = listed([f"within ±{m.within} of {m.name}" for m in margins if m.margin])
        sentences.append(
            "Secondary metrics decide nothing; p is adjusted over their "
            f"{counted(len(family), 'comparison')} alone, by {report.secondary.adjusted_by}"
            f"{f', and equivalent means {limits}' if limits else ''}."
        )
    wider = {c.metric for c in every if c.new_images}
    jackknifed = [m.name for m in suite.metrics if m.name in wider and m.over_images is False]
    adjusted = {c.adjusted.by for c in every}
    collapses = any(c.collapse for c in every)
    e_values, per_seed = "e-value" in adjusted, report.splits == "per_seed"
    looks = design is not None and design.rule == "planned"
    sources = {
        "Student's t [@student1908]": design is None and report.splits == "given",
        "the unbiased best of T [@tang2020] and the jackknife of such sums [@arvesen1969]": bool(suite.tune),
        "rotations of residuals [@langsrud2005; @solari2014]": "rotations" in adjusted and len(every) > 1,
        "group-sequential boundaries from flips of whole seeds [@lan1983; @kim1987; @westfall1993]": looks,
        "the corrected resampled t-test [@nadeau2003] and its Bayesian form [@benavoli2017]": per_seed,
        "maxT by flips of whole seeds [@westfall1993]": "flips" in adjusted and not looks,
        "confidence sequences [@wang2023]": e_values,
        "e-values of the paired t-test [@hendriksen2021], valid whenever one stops [@ville1939]": e_values,
        "stopping for futility [@lan1982]": design is not None and not looks,
        "stopping for futility by predictive power [@spiegelhalter1986]": looks,
        "spending of α over looks [@lan1983]": design is not None and margin and not looks,
        "the median absolute deviation, by which runs are flagged [@hampel1974]": collapses,
        "the worst-rank analysis of failed runs [@lachin1999]": any(c.failures for c in every),
        "the crossed analysis of variance [@dorfman1992; @obuchowski1995]": bool(wider),
        f"jackknife pseudo-values of images for {listed(jackknifed)} [@dorfman1992]": bool(jackknifed),
        "Hillis's degrees of freedom [@hillis2007]": bool(wider),
        "sign flips [@fisher1935; @pagano1983]": any(c.flips for c in every),
        "Holm's adjustment [@holm1979]": any(c.failures for c in every),
        "two one-sided tests [@schuirmann1987]": any(m.margin for m in report.metrics),
        "effect sizes corrected for small samples [@hedges1981]": any(c.effects for c in every),
        "intervals for the chance of beating the baseline [@clopper1934]": any(c.superiority for c in every),
    }
    used = listed([source for source, used in sources.items() if used])
    sentences.append(f"This rests on {used}.")
    return sentences + [
        f"{m.name} has no interval for new images: {m.no_interval}." for m in suite.metrics if m.no_interval
    ]


def _outcomes(report: Report) -> str:
    """How the comparisons of a sequential design have ended."""
    sequences = [c.sequence for c in report.comparisons if c.sequence is not None]
    closed = Counter(sequence.outcome for sequence in sequences)
    ends = {
        **{Outcome.DIFFERENCE: "by a difference", Outcome.EQUIVALENT: "by equivalence"},
        **{Outcome.FUTILE: "for futility", Outcome.LARGEST: "at the largest number of seeds"},
    }
    ended = [f"{closed[end]} ended {words}" for end, words in ends.items() if closed[end]]
    count, looks = len(report.comparisons), max((s.looks or 0 for s in sequences), default=0)
    if still := count - sum(closed[end] for end in ends):
        ended.append(f"{still} {'is' if still == 1 else 'are'} still open")
    return f"Of {counted(count, 'comparison')}, {listed(ended)}, after {counted(looks, 'look')} at most."


def describe_ranks(report: Report) -> list[str]:
    """How losses were ranked over data sets; nothing where they were not."""
    if not report.rankings:
        return []
    most = max(len(ranking.datasets) for ranking in report.rankings)
    every = [ranked for ranking in report.rankings for ranked in ranking.losses]
    first, baseline = report.metrics[0], report.baseline
    sentences = [
        f"Over {counted(most, 'data set')}, which are the sample there, the losses were ranked by "
        f"{first.name} on each, and average ranks compared by Friedman's test with Iman and "
        "Davenport's correction, with the baseline's by z with Holm's adjustment, and with each other by "
        "Nemenyi's critical difference [@demsar2006]."
    ]
    if any(ranked.wins is not None for ranked in every):
        region = f"within ±{first.within}" if first.margin else "none, as no margin was given"
        sentences.append(
            "We count the data sets on which the mean of a loss is better than, equal to and worse than that "
            f"of {baseline}, and give the probabilities of the Bayesian signed-rank test, whose region of "
            f"practical equivalence is {region} [@benavoli2017]."
        )
    if any(ranked.improvement is not None for ranked in every):
        resampled = any(ranked.improvement_low is not None for ranked in every)
        sentences.append(
            "The probability of improvement is that of any two runs on the same data set the one of the loss "
            f"is better than that of {baseline}, averaged over data sets"
            f"{', with the bootstrap over runs stratified by data set' * resampled} [@agarwal2021]."
        )
    return sentences
