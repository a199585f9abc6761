"""What other epochs would have shown: the last one, and the best one on the test set, as papers report it.

The verdicts of a suite rest on the epoch that its ``selection`` chose. Beside them stand those that choosing
the epoch on the test set itself would have given: what that is worth, and to which loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from bench.reports.analysis import Question, Scores, analyse
from bench.reports.documents import CellSummary, Comparison, Key, Seed


def add_other_epochs(
    summaries: Sequence[CellSummary],
    comparisons: Sequence[Comparison],
    cells: Mapping[Key, Scores],
    runs: pd.DataFrame,
    question: Question,
) -> None:
    """Fill in what the summaries and comparisons say of the last and of the best test epoch.

    Args:
        cells: the scores that both were made from.
        runs: of :func:`bench.results.frame`.
    """
    counts: dict[str, dict[Key, dict[Seed, int]]] = {"last": {}, "best_test": {}}
    for row in runs[runs.state == "done"].to_dict("records"):
        for epoch, found in counts.items():
            key = row["dataset"], row["model"], row["loss"]
            found.setdefault(key, {})[int(row["seed"])] = int(row[epoch]["correct"])
    for cell in summaries:
        key = cell.dataset, cell.model, cell.loss
        if cell.n and cell.test_images:
            cell.mean_last, cell.mean_best_test = (
                sum(found[key].values()) / (cell.n * cell.test_images) for found in counts.values()
            )
    if not comparisons:
        return
    best = {key: replace(scores, counts=counts["best_test"].get(key, {})) for key, scores in cells.items()}
    then = {(c.dataset, c.model, c.loss): c for c in analyse(best, question).comparisons}
    for comparison in comparisons:
        other = then[comparison.dataset, comparison.model, comparison.loss]
        comparison.delta_best_test, comparison.p_adjusted_best_test = other.delta, other.p_adjusted
        comparison.verdict_best_test = other.verdict
