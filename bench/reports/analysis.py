"""From counts to comparisons: plain data in, verdicts with their evidence out. No files, no suite.

``bench report`` and ``bench compare`` differ in where the counts come from, and share this.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.reports import sequential
from bench.reports.documents import CellSummary, Comparison, Key, Seed
from bench.statistics.agreement import difference_products
from bench.statistics.crossed import crossed_anova
from bench.statistics.effects import effects
from bench.statistics.equivalence import tost
from bench.statistics.multiplicity import holm
from bench.statistics.paired import PairedT, paired_t
from bench.statistics.permutation import EXACT, sign_flip
from bench.statistics.planning import minimum_detectable_effect, seeds_to_decide
from bench.statistics.ranks import paired_superiority
from bench.statistics.stopping import Plan, Standing, standing
from bench.statistics.unpaired import brunner_munzel, welch
from bench.statistics.verdicts import Verdict, verdict
from bench.statistics.westfall_young import westfall_young

MOST_FLIPPED = 2_000
"""Seeds (and comparisons) up to which signs are flipped: beyond, Student's t is as good and much faster."""
MOST_DIFFERENCES = 1_000_000
"""Seeds × comparisons up to which they are flipped together."""
MOST_SIMULATED = 100_000
"""The same for each comparison by itself, where it has too many seeds for all flips: ten seconds' work."""


@dataclass(frozen=True)
class Scores:
    """The finished runs of one cell."""

    counts: Mapping[Seed, int]
    """Correct answers of each finished seed."""
    total: int | None
    """Test images, the same for all seeds; None where they are not the same (or nothing has finished)."""
    planned: Sequence[Seed] = ()
    lost: Collection[Seed] = ()
    """Seeds whose run has failed."""


@dataclass(frozen=True)
class Joint:
    """Which images runs of one data set × model get right together."""

    rows: Mapping[tuple[str, Seed], int]
    """(loss, seed) → row of the matrix."""
    matrix: NDArray[np.integer]
    """G [R, R] of :mod:`bench.statistics.agreement`."""
    images: int


@dataclass(frozen=True)
class Question:
    """What is asked of the counts."""

    baseline: str
    alpha: float
    margin: float
    """The largest difference that does not matter, as a fraction."""
    paired: bool = True
    plan: Plan | None = None
    """How seeds are added until decided; its margin is a fraction. None: their number is fixed."""
    order: Sequence[Seed] = ()
    """All seeds that there may be, in the order in which they are added."""


@dataclass(frozen=True)
class Analysis:
    """The answer. ``adjusted_by`` is a phrase for the method, ``notes`` what cannot be said and why."""

    comparisons: list[Comparison]
    adjusted_by: str
    notes: list[str]


@dataclass
class _Pair:
    comparison: Comparison
    test: PairedT | None = None
    differences: dict[Seed, int] = field(default_factory=dict)
    standing: Standing | None = None
    """Where seeds are added until decided."""


def analyse(
    cells: Mapping[Key, Scores],
    question: Question,
    joints: Mapping[tuple[str, str], Joint] | None = None,
) -> Analysis:
    """Every cell against the baseline's cell of the same data set and model; one family of comparisons."""
    pairs, alone = [], []
    for (dataset, model, loss), scores in cells.items():
        base = cells.get((dataset, model, question.baseline))
        if loss == question.baseline:
            continue
        if base is None:
            where = " × ".join(filter(None, (dataset, model, loss)))
            alone.append(
                f"{where}: not compared: there is no {question.baseline} with the same data set and model"
            )
            continue
        compare = _paired if question.paired else _unpaired
        joint = (joints or {}).get((dataset, model))
        pairs.append(compare((dataset, model, loss), scores, base, question, joint))
    unflipped = [] if question.plan else _flip_signs(pairs)
    adjusted_by = _adjust(pairs, question)
    for pair in pairs:
        _judge(pair, question, len(pairs))
    return Analysis(
        [pair.comparison for pair in pairs],
        adjusted_by,
        [*alone, *unflipped, *_cannot_happen(pairs, question)],
    )


def summarise(key: Key, scores: Scores, *, images: bool = True) -> CellSummary:
    """A cell's row. ``images``: counts are of images, and not accuracies in units of their last digit."""
    dataset, model, loss = key
    seeds = in_order(scores.counts)
    counts = [scores.counts[seed] for seed in seeds]
    accuracies = np.array(counts, dtype=np.float64) / scores.total if scores.total else np.array([])
    return CellSummary(
        dataset=dataset,
        model=model,
        loss=loss,
        n=len(counts),
        planned=len(scores.planned) or len(counts),
        failed=len(scores.lost),
        mean=float(accuracies.mean()) if accuracies.size else None,
        sd=float(accuracies.std(ddof=1)) if accuracies.size > 1 else None,
        correct=sum(counts) if images else None,
        total=(scores.total or 0) * len(counts) if images else None,
        seeds=seeds,
        counts=counts if images else [],
        test_images=scores.total if images else None,
    )


def method(found: Analysis, question: Question) -> str:
    """How the numbers of a table were computed."""
    count, tested = len(found.comparisons), sum(c.p_adjusted is not None for c in found.comparisons)
    family = f"{count} comparison{'s' * (count != 1)}"
    if tested < count:
        family = f"the {tested} of {family} that can be tested"
    percent = f"{100 * (1 - question.alpha):g}"
    over = (
        f"p is adjusted over {family} by {found.adjusted_by}; equivalent means within "
        f"±{100 * question.margin:g} points by two one-sided tests, each at α, not adjusted; "
        f"α = {question.alpha:g}."
    )
    if not question.paired:
        return (
            "Δ is the difference of the means of runs that are NOT paired; “± here” is half its "
            f"{percent} % interval on this test set (Welch's t); {over}"
        )
    if question.plan is not None:
        return sequential.method(question.plan)
    return (
        f"Δ is the mean difference over seeds, paired by seed; “± here” is half its {percent} % interval on "
        "this test set (Student's t over seeds), “± new” the same on new images too (seeds × images, crossed "
        f"analysis of variance); {over}"
    )


def sole(values: set[int]) -> int | None:
    """The one value of a set; None where there are several, or none."""
    return next(iter(values)) if len(values) == 1 else None


def in_order(seeds: Iterable[Seed]) -> list[Seed]:
    """Numbers first: in an order that does not depend on that of the rows of a file."""
    return sorted(seeds, key=lambda seed: (isinstance(seed, str), seed))


# ---------------------------------------------------------------------------------------- one comparison


def _blank(key: Key, question: Question, n: int, note: str = "", **known: object) -> Comparison:
    dataset, model, loss = key
    fields = dict.fromkeys(
        ("delta", "low", "high", "p", "p_adjusted", "p_equivalence", "detectable", "seeds_to_decide")
    )
    return Comparison.model_validate(
        {
            **fields,
            **{"dataset": dataset, "model": model, "loss": loss, "baseline": question.baseline},
            **{"n": n, "missing": [], "verdict": Verdict.UNDECIDED, "note": note},
            **known,
        }
    )


def _paired(key: Key, ours: Scores, base: Scores, question: Question, joint: Joint | None) -> _Pair:
    """Pair by seed, never by position, and test."""
    now = standing(question.plan, question.order, ours, base) if question.plan else None
    if now is None:
        planned = {*ours.planned, *base.planned, *ours.counts, *base.counts}
    else:  # what later seeds would say, if other comparisons or suites have trained them, is not looked at
        planned = {*question.order[: now.wanted]}
    seeds = in_order(planned & ours.counts.keys() & base.counts.keys())
    missing = in_order(planned - set(seeds))
    comparison = _blank(key, question, len(seeds), missing=missing)
    if now is not None:
        comparison.stopped, comparison.looks = now.outcome, now.looks
    if not seeds:
        return _Pair(comparison, standing=now)
    if ours.total is None or ours.total != base.total:
        comparison.note = "the runs were tested on different numbers of images, so they are not compared"
        return _Pair(comparison, standing=now)
    total, confidence = ours.total, 1 - question.alpha
    a = np.array([ours.counts[seed] for seed in seeds])
    b = np.array([base.counts[seed] for seed in seeds])
    d = a - b
    test = paired_t(d, total, confidence)
    _note_test(comparison, test, question)
    if question.plan is not None:
        sequential.note_evidence(comparison, d, total, question.plan)
    if len(seeds) == 1:
        comparison.note = "one seed: no variance between seeds, so nothing can be tested"
    elif test.p is None:
        equal = f"all {len(seeds)} differences are equal"
        comparison.note = f"{equal}, so there is no variance to test them against"
    size = effects(a, b, total)
    comparison.correlation, comparison.d_z, comparison.g_z = size.correlation, size.d_z, size.g_z
    comparison.d_av, comparison.g_av = size.d_av, size.g_av
    wins = paired_superiority(d, confidence)
    comparison.superiority, comparison.superiority_low = wins.estimate, wins.low
    comparison.superiority_high = wins.high
    if joint is not None:
        _new_images(comparison, joint, seeds, d, question)
    return _Pair(comparison, test, dict(zip(seeds, d.tolist(), strict=True)), now)


def _flip_signs(pairs: Sequence[_Pair]) -> list[str]:
    """Exactly where that can be done; and a note where it takes too long even by chance."""
    many = sum(len(pair.differences) for pair in pairs if len(pair.differences) > EXACT)
    for pair in pairs:
        if pair.differences and (len(pair.differences) <= EXACT or many <= MOST_SIMULATED):
            flips = sign_flip(np.array([*pair.differences.values()]))
            pair.comparison.p_sign_flip, pair.comparison.p_sign_flip_smallest = flips.p, flips.p_smallest
    if many <= MOST_SIMULATED:
        return []
    return [
        f"p of sign flips (flip) is left out for more than {EXACT} seeds: {many:,} differences take too long"
    ]


def _new_images(
    comparison: Comparison, joint: Joint, seeds: Sequence[Seed], d: NDArray[np.int64], question: Question
) -> None:
    """Are the differences still there for other test images? From the answers to each image, if kept."""
    ours, theirs = (
        [joint.rows.get((loss, seed)) for seed in seeds] for loss in (comparison.loss, comparison.baseline)
    )
    rows = [row for row in (*ours, *theirs) if row is not None]
    if len(rows) < 2 * len(seeds):
        return
    products = difference_products(joint.matrix, rows[: len(seeds)], rows[len(seeds) :])
    crossed = crossed_anova(products, d, joint.images, 1 - question.alpha)
    comparison.discordant = float(np.trace(products)) / len(seeds)
    comparison.floor = crossed.floor
    if question.plan is None:
        comparison.low_new_images, comparison.high_new_images = crossed.low, crossed.high
        comparison.p_new_images = crossed.p
    else:
        sequential.note_new_images(comparison, crossed, question.plan)


def _unpaired(key: Key, ours: Scores, base: Scores, question: Question, joint: Joint | None) -> _Pair:
    """Welch: only where it was asked for. What only pairs can tell stays None."""
    n, m = len(ours.counts), len(base.counts)
    comparison = _blank(key, question, n, n_baseline=m)
    if min(n, m) == 0:
        comparison.note = "no runs of one of the two"
        return _Pair(comparison)
    if ours.total is None or ours.total != base.total:
        comparison.note = "the runs were tested on different numbers of images, so they are not compared"
        return _Pair(comparison)
    confidence = 1 - question.alpha
    a, b = ([scores.counts[seed] for seed in in_order(scores.counts)] for scores in (ours, base))
    test = welch(a, b, ours.total, confidence)
    comparison.delta, comparison.p = test.estimate, test.p
    comparison.low, comparison.high = test.low, test.high
    comparison.p_equivalence = tost(test, question.margin)
    wins = brunner_munzel(a, b, ours.total, confidence).superiority
    comparison.superiority, comparison.superiority_low = wins.estimate, wins.low
    comparison.superiority_high = wins.high
    if min(n, m) == 1:
        comparison.note = "one run of one of the two: nothing can be tested"
    elif test.p is None:
        comparison.note = "neither of the two varies, so there is no variance to test them against"
    return _Pair(comparison)


def _note_test(comparison: Comparison, test: PairedT, question: Question) -> None:
    comparison.delta, comparison.low, comparison.high = test.estimate, test.low, test.high
    comparison.p, comparison.sd = test.p, test.sd
    comparison.p_equivalence = tost(test, question.margin)
    comparison.detectable = minimum_detectable_effect(test, question.alpha)


# --------------------------------------------------------------------------------------------- the family


def _adjust(pairs: Sequence[_Pair], question: Question) -> str:
    """p adjusted over all losses × models × data sets."""
    if question.plan is not None:
        for comparison in (pair.comparison for pair in pairs):
            if comparison.p is not None:
                comparison.p_adjusted = min(question.plan.comparisons * comparison.p, 1.0)
                comparison.adjusted_by = "e-value"
        return "the bar of e-values, K/α for K comparisons"
    # Without spread there is nothing to go by: often such runs do not depend on their seed at all, and then
    # many equal differences are one difference, whatever their signs.
    tested = [pair for pair in pairs if pair.test is not None and pair.test.p is not None]
    seeds = in_order({seed for pair in tested for seed in pair.differences})
    few = max(len(seeds), len(tested)) <= MOST_FLIPPED and len(seeds) * len(tested) <= MOST_DIFFERENCES
    if not tested or not few:
        for pair, p in zip(pairs, holm([pair.comparison.p for pair in pairs]), strict=True):
            if not np.isnan(p):
                pair.comparison.p_adjusted, pair.comparison.adjusted_by = float(p), "holm"
        return "Holm"
    # Runs of different models with the same seed may depend on each other or not: one sign for a seed
    # everywhere is right in both cases.
    place = {seed: row for row, seed in enumerate(seeds)}
    table = np.full((len(seeds), len(tested)), np.nan)
    for column, pair in enumerate(tested):
        rows = [place[seed] for seed in pair.differences]
        table[rows, column] = [*pair.differences.values()]
    family = westfall_young(table)
    for pair, p in zip(tested, family.p_adjusted, strict=True):
        pair.comparison.p_adjusted, pair.comparison.adjusted_by = float(p), "westfall-young"
    how = "all" if family.exact else f"{family.flips:,} random"
    return f"Westfall–Young's step-down maxT, flipping the signs of whole seeds ({how} flips)"


def _judge(pair: _Pair, question: Question, comparisons: int) -> None:
    comparison, alpha = pair.comparison, question.alpha
    if pair.standing is not None:
        comparison.verdict = sequential.verdict_of(comparison, pair.standing)
        return
    comparison.verdict = verdict(comparison.delta, comparison.p_adjusted, comparison.p_equivalence, alpha)
    if comparison.verdict == Verdict.UNDECIDED and pair.test is not None:
        enough = seeds_to_decide(pair.test, alpha / comparisons)
        if enough is not None:
            # The number counts all seeds: those at hand did not do, and flips need some to reach α at all.
            least = fewest_seeds(alpha) if comparison.adjusted_by == "westfall-young" else 2
            comparison.seeds_to_decide = max(enough, least, comparison.n + 1)


def fewest_seeds(alpha: float) -> int:
    """Seeds from which on a sign-flip p, 2^(1 − n) at its smallest, can fall below α."""
    return math.floor(1 - math.log2(alpha)) + 1


def _cannot_happen(pairs: Sequence[_Pair], question: Question) -> list[str]:
    """With few seeds, what no result could have shown."""
    smallest: dict[float, list[Comparison]] = defaultdict(list)
    for comparison in (pair.comparison for pair in pairs):
        reach = comparison.p_sign_flip_smallest
        if comparison.adjusted_by == "westfall-young" and reach is not None and reach >= question.alpha:
            smallest[reach].append(comparison)
    notes = []
    for reach, found in sorted(smallest.items(), reverse=True):
        who, seeds = ", ".join(sorted({c.loss for c in found})), 1 - round(math.log2(reach))
        notes.append(
            f"{who}: with {seeds} seeds that differ, the smallest p that sign flips can give is {reach:.4g}, "
            f"not below α = {question.alpha:g}, so nothing could be called superior or inferior; "
            f"that takes {fewest_seeds(question.alpha)} seeds"
        )
    return notes
