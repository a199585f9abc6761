"""What other epochs would have shown: the last one, and the best one on the test set, as papers report it.

The verdicts of a suite rest on the epoch that its ``selection`` chose. Beside them stand those that choosing
the epoch on the test set itself would have given: what that is worth, and to which loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from bench.comparisons.analysis import Measured, analyse
from bench.comparisons.comparison import Key, Metric, Seed
from bench.comparisons.designs import Design
from bench.statistics.units import in_units


def other_epochs(
    measured: Measured, baseline: str, design: Design, runs: pd.DataFrame, *, judged: bool
) -> dict[Key, dict[str, Any]]:
    """What a :class:`~bench.reports.schema.Cell` says of the last and of the best test epoch.

    Args:
        measured: by the metric that chose the epoch.
        design: of a fixed number of seeds.
        runs: of :func:`bench.results.reading.frame`.
        judged: whether verdicts are given: not where that epoch is the one that counts.
    """
    last: dict[Key, dict[Seed, int]] = {key: {} for key in measured.cells}
    best: dict[Key, dict[Seed, int]] = {key: {} for key in measured.cells}
    finished = runs[runs.state == "done"]
    columns = ("dataset", "model", "loss", "seed", "last", "best_test")
    for *names, seed, final, peeked in zip(*(finished[name].tolist() for name in columns), strict=True):
        for counts, score in ((last, final), (best, peeked)):
            count = _count(measured.metric, score, measured.cells[tuple(names)].total)
            if count is not None:
                counts[tuple(names)][int(seed)] = count
    cells = {key: replace(scores, counts=best[key]) for key, scores in measured.cells.items()}
    # Whoever reports these has not stopped by a rule: the seeds that there are count as planned.
    analysis = analyse([Measured(measured.metric, cells)], baseline, design, judged=judged)
    compared = {comparison.key: comparison for comparison in analysis.comparisons}
    epochs: dict[Key, dict[str, Any]] = {}
    for key, scores in measured.cells.items():
        of = scores.total
        if of and last[key] and best[key]:
            epochs[key] = {
                "mean_last": sum(last[key].values()) / (len(last[key]) * of),
                "mean_best_test": sum(best[key].values()) / (len(best[key]) * of),
            }
        if (result := compared.get(key)) is not None and result.delta is not None:
            epochs.setdefault(key, {}).update(
                delta_best_test=result.delta,
                p_adjusted_best_test=result.adjusted.p,
                verdict_best_test=result.verdict.word if result.verdict else None,
            )
    return epochs


def _count(metric: Metric, score: Mapping[str, Any] | None, unit: int | None) -> int | None:
    if score is None:  # which epoch counts was its trainer's own affair
        return None
    if metric.counted:
        return int(score["correct"])
    value = score.get("value")
    return None if value is None or unit is None else in_units(value, unit)
