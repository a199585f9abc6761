"""From results to verdicts: each cell against its baseline cell, paired seed by seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from bench.results import frame
from bench.statistics.equivalence import tost
from bench.statistics.multiplicity import holm
from bench.statistics.paired import PairedT, paired_t
from bench.statistics.planning import minimum_detectable_effect, seeds_to_decide
from bench.statistics.verdicts import Verdict, verdict
from bench.suite import Cell, Suite

Key = tuple[str, str, str]  # data set, model, loss


class CellSummary(BaseModel):
    """All finished seeds of one data set × model × loss. Accuracies are fractions."""

    dataset: str
    model: str
    loss: str
    n: int
    """Finished seeds."""
    planned: int
    failed: int
    mean: float | None
    sd: float | None
    """Between seeds, with n − 1 in the denominator."""
    correct: int
    """Correct test images, summed over the finished seeds."""
    total: int
    """Test images, summed over the finished seeds."""
    seeds: list[int]
    counts: list[int]
    """Correct test images of each finished seed, in the order of ``seeds``."""
    test_images: int | None


class Comparison(BaseModel):
    """One loss against the baseline: same data set, same model, same seeds. Differences are fractions."""

    dataset: str
    model: str
    loss: str
    baseline: str
    n: int
    """Seeds that both have finished."""
    missing: list[int]
    """Planned seeds that one of the two lacks."""
    delta: float | None
    low: float | None
    high: float | None
    p: float | None
    """Two-sided, paired t over seeds."""
    p_adjusted: float | None
    """Holm, over all comparisons of the suite."""
    p_equivalence: float | None
    """Two one-sided tests against the margin."""
    verdict: Verdict
    detectable: float | None
    """Smallest difference that this many seeds would find with probability .8, before adjustment."""
    seeds_to_decide: int | None
    """If undecided: about how many seeds would make the difference seen here significant."""
    note: str
    """What differs besides the loss, and what could not be computed."""


class Report(BaseModel):
    """What ``bench report --json`` prints."""

    suite: str
    question: str
    baseline: str
    selection: str
    optimistic: bool
    """Whether the epoch was chosen on the test set itself."""
    alpha: float
    margin: float
    """In accuracy points."""
    method: str
    complete: bool
    cells: list[CellSummary]
    comparisons: list[Comparison]
    notes: list[str]


def report(suite: Suite, results: Path) -> Report:
    """Compare what is finished of a suite. Works at any time, and says n of N for every cell."""
    runs = frame(results, suite.cells)
    cells = {_key(cell): _summarise(cell, _rows(runs, cell)) for cell in suite.cells}
    descriptions = {_key(cell): json.loads(cell.text) for cell in suite.cells}
    planned = {_key(cell): cell.seeds for cell in suite.cells}
    comparisons, tests = [], []
    for key, cell in cells.items():
        if cell.loss == suite.baseline_label:
            continue
        base = (cell.dataset, cell.model, suite.baseline_label)
        shared = sorted({*planned[key], *planned[base]})
        comparison, test = _compare(cell, cells[base], shared, suite)
        comparison.note = "; ".join(
            filter(None, [_other_differences(descriptions[key], descriptions[base]), comparison.note])
        )
        comparisons.append(comparison)
        tests.append(test)
    _judge(comparisons, tests, suite)
    return Report(
        suite=suite.name,
        question=suite.question,
        baseline=suite.baseline_label,
        selection=suite.selection,
        optimistic=suite.selection == "test",
        alpha=suite.analysis.alpha,
        margin=suite.analysis.margin,
        method=_method(suite, len(comparisons)),
        complete=all(cell.n == cell.planned for cell in cells.values()),
        cells=list(cells.values()),
        comparisons=comparisons,
        notes=_notes(runs),
    )


def _key(cell: Cell) -> Key:
    return cell.dataset, cell.model, cell.loss


def _rows(runs: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    return runs[(runs.dataset == cell.dataset) & (runs.model == cell.model) & (runs.loss == cell.loss)]


def _summarise(cell: Cell, rows: pd.DataFrame) -> CellSummary:
    done = rows[rows.state == "done"].sort_values("seed")
    accuracy = (done.correct / done.total).astype(float)
    sizes = sorted(set(done.total.astype(int)))
    return CellSummary(
        dataset=cell.dataset,
        model=cell.model,
        loss=cell.loss,
        n=len(done),
        planned=len(rows),
        failed=int((rows.state == "failed").sum()),
        mean=float(accuracy.mean()) if len(done) else None,
        sd=float(accuracy.std(ddof=1)) if len(done) > 1 else None,
        correct=int(done.correct.sum()),
        total=int(done.total.sum()),
        seeds=[int(seed) for seed in done.seed],
        counts=[int(count) for count in done.correct],
        test_images=sizes[0] if len(sizes) == 1 else None,
    )


def _compare(
    cell: CellSummary, base: CellSummary, planned: Sequence[int], suite: Suite
) -> tuple[Comparison, PairedT | None]:
    """Pair by seed, never by position, and test."""
    ours, theirs = (
        dict(zip(cell.seeds, cell.counts, strict=True)),
        dict(zip(base.seeds, base.counts, strict=True)),
    )
    paired = sorted(ours.keys() & theirs.keys())
    test: PairedT | None = None
    note = ""
    if paired and cell.test_images is not None and cell.test_images == base.test_images:
        differences = np.array([ours[seed] - theirs[seed] for seed in paired])
        test = paired_t(differences, cell.test_images, confidence=1 - suite.analysis.alpha)
        if len(paired) == 1:
            note = "one seed: no variance between seeds, so nothing can be tested"
        elif test.p is None:
            note = f"all {len(paired)} differences are equal, so there is no variance to test them against"
    elif paired:
        note = "the runs were tested on different numbers of images, so they are not compared"
    margin = suite.analysis.margin / 100
    return Comparison(
        dataset=cell.dataset,
        model=cell.model,
        loss=cell.loss,
        baseline=base.loss,
        n=len(paired),
        missing=[seed for seed in planned if seed not in paired],
        delta=test.estimate if test else None,
        low=test.low if test else None,
        high=test.high if test else None,
        p=test.p if test else None,
        p_adjusted=None,
        p_equivalence=tost(test, margin) if test else None,
        verdict=Verdict.UNDECIDED,
        detectable=minimum_detectable_effect(test, suite.analysis.alpha) if test else None,
        seeds_to_decide=None,
        note=note,
    ), test


def _judge(comparisons: Sequence[Comparison], tests: Sequence[PairedT | None], suite: Suite) -> None:
    """Adjust over the whole family (every loss × model × data set of the suite), then give verdicts."""
    alpha = suite.analysis.alpha
    family = holm([comparison.p for comparison in comparisons])
    for comparison, test, adjusted in zip(comparisons, tests, family, strict=True):
        comparison.p_adjusted = None if np.isnan(adjusted) else float(adjusted)
        comparison.verdict = verdict(comparison.delta, comparison.p_adjusted, comparison.p_equivalence, alpha)
        if comparison.verdict == Verdict.UNDECIDED and test is not None:
            comparison.seeds_to_decide = seeds_to_decide(test, alpha)


def _other_differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """What a per-loss recipe changes: then the two differ in more than the loss."""
    changed = [key for key, value in ours["recipe"].items() if value != theirs["recipe"][key]]
    return (
        f"its recipe differs in {', '.join(changed)}, so this compares more than the loss" if changed else ""
    )


def _method(suite: Suite, comparisons: int) -> str:
    chosen = {
        "last": "the last epoch",
        "validation": "the epoch with the best accuracy on a validation split of the training images",
        "test": "the epoch with the best accuracy on the test images themselves, which is OPTIMISTIC",
    }[suite.selection]
    percent = f"{100 * (1 - suite.analysis.alpha):g}"
    return (
        f"Accuracy is that of {chosen}. Δ is the mean difference over seeds, paired by seed, on this test "
        f"set; its {percent} % interval and p are Student's t; p is adjusted by Holm over "
        f"{comparisons} comparison{'s' * (comparisons != 1)}; equivalent means within "
        f"±{suite.analysis.margin:g} points by two one-sided tests; α = {suite.analysis.alpha:g}."
    )


def _notes(runs: pd.DataFrame) -> list[str]:
    notes = []
    for row in runs[runs.state.isin(["failed", "damaged"])].itertuples():
        where = f"{row.dataset} × {row.model} × {row.loss}, seed {row.seed} (run {row.run_id})"
        notes.append(f"{row.state}: {where}: {row.reason}")
    return notes
