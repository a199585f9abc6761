"""From a suite's results to verdicts: each cell against its baseline cell, paired seed by seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bench.reports.agreement import read_joints, to_bytes
from bench.reports.analysis import Question, Scores, analyse, method, sole, summarise
from bench.reports.choosing import add_other_epochs
from bench.reports.documents import CellSummary, Comparison, Key, Report, Seed
from bench.reports.ranks import rank
from bench.reports.weights import final_weights
from bench.results import frame
from bench.suite import Cell, Suite

__all__ = ["CellSummary", "Comparison", "Report", "report", "report_and_agreement"]


def report(suite: Suite, results: Path) -> Report:
    """Compare what is finished of a suite. Works at any time, and says n of N for every cell."""
    return report_and_agreement(suite, results)[0]


def report_and_agreement(
    suite: Suite, results: Path, runs: pd.DataFrame | None = None
) -> tuple[Report, bytes]:
    """The report, and the ``agreement.npz`` that belongs to it.

    Args:
        runs: of :func:`bench.results.frame`, where it has been read already.
    """
    runs = frame(results, suite.cells) if runs is None else runs
    cells = {_key(cell): _scores(cell, _rows(runs, cell)) for cell in suite.cells}
    question = Question(suite.baseline_label, suite.analysis.alpha, suite.analysis.margin / 100)
    joints, missing = read_joints(runs, results)
    found = analyse(cells, question, joints)
    descriptions = {_key(cell): json.loads(cell.text) for cell in suite.cells}
    for comparison in found.comparisons:
        ours = descriptions[comparison.dataset, comparison.model, comparison.loss]
        theirs = descriptions[comparison.dataset, comparison.model, comparison.baseline]
        comparison.note = "; ".join(filter(None, [_other_differences(ours, theirs), comparison.note]))
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
        notes=[*_failures(runs), *missing, *found.notes, *final_weights(suite, results, runs)],
        adjusted_by=found.adjusted_by,
        scaled_down=suite.scaled_down,
        rankings=rank(suite, summaries),
    )
    return made, to_bytes(runs, joints, question)


def _key(cell: Cell) -> Key:
    return cell.dataset, cell.model, cell.loss


def _rows(runs: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    return runs[(runs.dataset == cell.dataset) & (runs.model == cell.model) & (runs.loss == cell.loss)]


def _scores(cell: Cell, rows: pd.DataFrame) -> Scores:
    done = rows[rows.state == "done"]
    counts: dict[Seed, int] = {
        int(seed): int(count) for seed, count in zip(done.seed, done.correct, strict=True)
    }
    total = sole({int(size) for size in done.total})
    return Scores(counts, total, [*cell.seeds], int((rows.state == "failed").sum()))


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
