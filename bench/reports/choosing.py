"""What other epochs would have shown: the last one, and the best one on the test set, as papers report it.

The verdicts of a suite rest on the epoch that its ``selection`` chose. Beside them stand those that choosing
the epoch on the test set itself would have given: what that is worth, and to which loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from bench.reports.analysis import Question, Scores, analyse
from bench.reports.documents import CellSummary, Key, Seed


def add_other_epochs(
    summaries: Sequence[CellSummary], cells: Mapping[Key, Scores], runs: pd.DataFrame, question: Question
) -> None:
    """Fill in what the summaries say of the last and of the best test epoch.

    Args:
        cells: the scores that the summaries were made from.
        runs: of :func:`bench.results.frame`.
    """
    last: dict[Key, dict[Seed, int]] = {key: {} for key in cells}
    best: dict[Key, dict[Seed, int]] = {key: {} for key in cells}
    for row in runs[runs.state == "done"].to_dict("records"):
        key = row["dataset"], row["model"], row["loss"]
        last[key][int(row["seed"])] = int(row["last"]["correct"])
        best[key][int(row["seed"])] = int(row["best_test"]["correct"])
    there = {key: replace(scores, counts=best[key]) for key, scores in cells.items()}
    # Whoever reports these has not stopped by a rule: the seeds that there are count as planned.
    fixed = replace(question, plan=None, order=())
    compared = {c.key: c for c in analyse(there, fixed).comparisons}
    for cell in summaries:
        key = cell.dataset, cell.model, cell.loss
        if cell.n and cell.test_images:
            images = cell.n * cell.test_images
            cell.mean_last, cell.mean_best_test = (
                sum(last[key].values()) / images,
                sum(best[key].values()) / images,
            )
        if (found := compared.get(key)) is not None:
            cell.delta_best_test, cell.p_adjusted_best_test = found.delta, found.p_adjusted
            cell.verdict_best_test = found.verdict
