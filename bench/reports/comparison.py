"""From a suite's results to verdicts: each cell against its baseline cell, paired seed by seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bench.design import stopping_plan
from bench.reports import sequential
from bench.reports.agreement import read_joints, to_bytes
from bench.reports.analysis import Question, Scores, analyse, method, sole, summarise
from bench.reports.choosing import add_other_epochs
from bench.reports.documents import CellSummary, Comparison, Key, Report, Seed
from bench.reports.ranks import rank
from bench.reports.weights import final_weights
from bench.results import frame
from bench.suite import Suite

__all__ = ["CellSummary", "Comparison", "Report", "report", "report_and_agreement"]


def report(suite: Suite, results: Path) -> Report:
    """Compare what is finished of a suite. Works at any time, and says n of N for every cell."""
    return report_and_agreement(suite, results)[0]


def report_and_agreement(
    suite: Suite, results: Path, runs: pd.DataFrame | None = None
) -> tuple[Report, bytes]:
    """The report, and the ``agreement.npz`` that belongs to it.

    Args:
        suite: as it stands (:func:`bench.design.as_it_stands`), where seeds are added until decided.
        runs: of :func:`bench.results.frame`, where it has been read already.
    """
    runs = frame(results, suite.cells) if runs is None else runs
    cells = _scores(suite, runs)
    plan = stopping_plan(suite)
    order = suite.seeds if plan else ()
    margin = suite.analysis.margin / 100
    question = Question(suite.baseline_label, suite.analysis.alpha, margin, plan=plan, order=order)
    joints, missing = read_joints(runs, results)
    found = analyse(cells, question, joints)
    descriptions = {cell.key: json.loads(cell.text) for cell in suite.cells}
    for comparison in found.comparisons:
        ours = descriptions[comparison.dataset, comparison.model, comparison.loss]
        theirs = descriptions[comparison.dataset, comparison.model, comparison.baseline]
        comparison.note = "; ".join(filter(None, [_other_differences(ours, theirs), comparison.note]))
    added = sequential.summary(plan, found.comparisons, runs) if plan else None
    summaries = [summarise(key, scores) for key, scores in cells.items()]
    add_other_epochs(summaries, cells, runs, question)
    made = Report(
        suite=suite.name,
        question=suite.question,
        baseline=suite.baseline_label,
        selection=suite.selection,
        optimistic=suite.selection == "test",
        alpha=suite.analysis.alpha,
        margin=suite.analysis.margin,
        method=f"{_accuracy(suite)} {method(found, question)}",
        complete=all(cell.n == cell.planned for cell in summaries),
        cells=summaries,
        comparisons=found.comparisons,
        notes=[
            *_failures(runs),
            *missing,
            *found.notes,
            *final_weights(suite, results, runs),
            *([sequential.savings(added)] if added else []),
        ],
        adjusted_by=found.adjusted_by,
        scaled_down=suite.scaled_down,
        rankings=rank(suite, summaries),
        sequential=added,
    )
    return made, to_bytes(runs, joints, question)


def _scores(suite: Suite, runs: pd.DataFrame) -> dict[Key, Scores]:
    """The runs of each cell that have ended. In one pass: rows are slow to pick out cell by cell."""
    counts: dict[Key, dict[Seed, int]] = {cell.key: {} for cell in suite.cells}
    totals: dict[Key, set[int]] = {cell.key: set() for cell in suite.cells}
    lost: dict[Key, set[Seed]] = {cell.key: set() for cell in suite.cells}
    columns = ("dataset", "model", "loss", "seed", "state", "correct", "total")
    for *names, seed, state, correct, total in zip(*(runs[name].tolist() for name in columns), strict=True):
        key: Key = tuple(names)
        if state == "done":
            counts[key][seed] = int(correct)
            totals[key].add(int(total))
        elif state == "failed":
            lost[key].add(seed)
    return {
        cell.key: Scores(counts[cell.key], sole(totals[cell.key]), [*cell.seeds], frozenset(lost[cell.key]))
        for cell in suite.cells
    }


def _other_differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """What a per-loss recipe changes: then the two differ in more than the loss."""
    changed = [key for key, value in ours["recipe"].items() if value != theirs["recipe"][key]]
    return (
        f"its recipe differs in {', '.join(changed)}, so this compares more than the loss" if changed else ""
    )


def _accuracy(suite: Suite) -> str:
    chosen = {
        "last": "the last epoch",
        "validation": "the epoch with the best accuracy on a validation split of the training images",
        "test": "the epoch with the best accuracy on the test images themselves, which is OPTIMISTIC",
    }[suite.selection]
    return f"Accuracy is that of {chosen}."


def _failures(runs: pd.DataFrame) -> list[str]:
    notes = []
    for row in runs[runs.state.isin(["failed", "damaged"])].itertuples():
        where = f"{row.dataset} × {row.model} × {row.loss}, seed {row.seed} (run {row.run_id})"
        notes.append(f"{row.state}: {where}: {row.reason}")
    return notes
