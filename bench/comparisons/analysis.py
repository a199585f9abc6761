"""From counts to comparisons: plain data in, verdicts with their evidence out. No files, no suite.

``bench report`` and ``bench compare`` differ in where the counts come from, and share this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench.comparisons.adjustment import Adjustment, Test
from bench.comparisons.comparison import Adjusted, Collapse, Comparison, Key, Metric, Seed
from bench.comparisons.designs import Design, why_withheld
from bench.comparisons.failures import compare_failures, holds_with_failed_last
from bench.comparisons.pairings import Pairing, Scores
from bench.statistics.crossed import Crossed
from bench.statistics.effects import Effects, effects
from bench.statistics.standings import Standing
from bench.statistics.verdicts import Word


class Images(Protocol):
    """What the runs of one data set × model make of single images, by one metric."""

    def crossed(
        self, loss: str, baseline: str, seeds: Sequence[Seed], estimate: float
    ) -> tuple[Crossed, float | None] | None:
        """Seeds × images, and the images on which a pair differs, on average; None where one is not known."""


@dataclass(frozen=True)
class Measured:
    """All that one metric says of all cells."""

    metric: Metric
    cells: Mapping[Key, Scores]
    images: Mapping[tuple[str, str], Images] = field(default_factory=dict)
    """By data set and model."""


@dataclass(frozen=True)
class Analysis:
    """Comparisons of one family, how their p were adjusted, and what cannot be said and why."""

    comparisons: tuple[Comparison, ...]
    adjustment: Adjustment
    notes: tuple[str, ...]
    method: str
    """How the numbers were computed, in sentences; empty without a metric."""
    standings: Mapping[Key, Standing]
    """Where seeds are added until decided."""


def analyse(
    measured: Sequence[Measured],
    baseline: str,
    design: Design,
    remarks: Mapping[Key, str] | None = None,
    *,
    judged: bool = True,
) -> Analysis:
    """Every cell against the baseline's cell of the same data set and model; one family of comparisons.

    Args:
        remarks: what else is to be said of a comparison.
        judged: whether verdicts are given.
    """
    pairings: list[Pairing] = []
    images, alone = [], []
    for series in measured:
        alone += [
            f"{' × '.join(filter(None, key))}: not compared: there is no {baseline} with the "
            "same data set and model"
            for key in series.cells
            if key[2] != baseline and (*key[:2], baseline) not in series.cells
        ]
        members = design.pairings(series.metric, series.cells, baseline)
        pairings += members
        images += [series.images.get(pairing.key[:2]) for pairing in members]
    tests = [
        design.test(pairing) if _comparable(pairing) else Test(note=_why_not(pairing)) for pairing in pairings
    ]
    adjustment = design.adjust(pairings, tests)
    failures = compare_failures(pairings)
    comparisons = []
    for pairing, test, images_of_pair, adjusted, flips, failed in zip(
        pairings,
        tests,
        images,
        adjustment.adjusted,
        adjustment.flips or [None] * len(tests),
        failures,
        strict=True,
    ):
        word = design.word(pairing, test, adjusted)
        reason = why_withheld(pairing, word)
        if reason:
            word, adjusted = Word.UNDECIDED, Adjusted()
        wider = _of_images(pairing, test, images_of_pair, baseline)
        new = design.new_images(*wider, test, adjusted, word, len(tests)) if wider else None
        verdict = None
        if judged:
            last = not any(pairing.lost) or (
                failed is not None and holds_with_failed_last(failed, word, design.alpha)
            )
            verdict = design.verdict(pairing, adjusted, word, new, failed_last=last)
        undecided = verdict is not None and verdict.word is Word.UNDECIDED
        counted = test.difference is not None and design.paired and pairing.total is not None
        dataset, model, loss = pairing.key
        comparisons.append(
            Comparison(
                dataset=dataset,
                model=model,
                loss=loss,
                baseline=baseline,
                metric=pairing.metric.name,
                n=len(pairing.ours),
                missing=pairing.missing,
                n_baseline=len(pairing.theirs) if design.name == "unpaired" else None,
                difference=test.difference,
                p=test.p,
                flips=flips,
                adjusted=adjusted,
                new_images=new,
                effects=_effects(pairing) if counted else None,
                superiority=test.superiority,
                sequence=test.sequence,
                posterior=test.posterior,
                unit=design.unit,
                detectable=test.detectable,
                seeds_to_decide=design.seeds_to_decide(pairing, test, adjusted, len(tests))
                if undecided
                else None,
                failures=failed,
                collapse=_collapse(pairing),
                verdict=verdict,
                note="; ".join(filter(None, [(remarks or {}).get(pairing.key, ""), test.note, reason])),
            )
        )
    images_known = any(comparison.new_images is not None for comparison in comparisons)
    return Analysis(
        tuple(comparisons),
        adjustment,
        (*alone, *adjustment.notes),
        "".join(
            design.method(series.metric, adjustment, judged=judged, images=images_known)
            for series in measured[:1]
        ),
        {pairing.key: pairing.standing for pairing in pairings if pairing.standing is not None},
    )


def _comparable(pairing: Pairing) -> bool:
    return pairing.total is not None and min(len(pairing.ours), len(pairing.theirs)) > 0


def _why_not(pairing: Pairing) -> str:
    if min(len(pairing.ours), len(pairing.theirs)) > 0:
        return "the runs were tested on different numbers of images, so they are not compared"
    return "" if pairing.missing else "no runs of one of the two"


def _effects(pairing: Pairing) -> Effects:
    assert pairing.total is not None
    return effects(pairing.ours, pairing.theirs, pairing.total, bounded=pairing.metric.counted)


def _collapse(pairing: Pairing) -> Collapse | None:
    if not any(pairing.flagged):
        return None
    every, total = pairing.every, pairing.total
    delta = float(every.sum()) / (len(every) * total) if len(every) and total else None
    return Collapse(*pairing.flagged, *pairing.finished, delta)


def _of_images(
    pairing: Pairing, test: Test, images: Images | None, baseline: str
) -> tuple[Crossed, float | None] | None:
    """Are the differences still there for other test images? From the answers to each image, if kept."""
    if images is None or test.estimate is None or not pairing.seeds:
        return None
    return images.crossed(pairing.key[2], baseline, pairing.seeds, test.estimate)


def sole(values: set[int]) -> int | None:
    """The one value of a set; None where there are several, or none."""
    return next(iter(values)) if len(values) == 1 else None
