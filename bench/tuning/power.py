"""How much a difference of two searches varies, by a suite's own trials: what their power depends on."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

from bench.cells import Search
from bench.results.folder import RunFolder
from bench.results.reading import measure
from bench.statistics.searches import pooled
from bench.suite import Suite
from bench.tuning.trials import Trials


def typical_spread(suite: Suite, results: Path) -> float | None:
    """Median over comparisons whose trials have all ended; None: there is none, or none that varies.

    In the first metric's unit, percentages as fractions.
    """
    assert suite.tune is not None
    trials, searches = Trials(suite, results), {search.key: search for search in suite.searches}
    scores = {key: _scores(suite, search, trials, results) for key, search in searches.items()}
    spreads = []
    for key, ours in scores.items():
        theirs = scores.get((*key[:2], suite.baseline_label))
        if key[2] == suite.baseline_label or ours is None or theirs is None:
            continue
        spread = pooled(*ours, *theirs, suite.tune.budget).spread
        spreads += [spread] if spread else []
    return statistics.median(spreads) if spreads else None


def _scores(
    suite: Suite, search: Search, reader: Trials, results: Path
) -> tuple[list[float], list[float]] | None:
    """Validation and test of all trials; None where one has not ended, or all failed."""
    trials, metric = reader.of(search), suite.metrics[0]
    if not all(trial.ended for trial in trials) or all(trial.state == "failed" for trial in trials):
        return None
    ranks = 1 if reader.higher_is_better else -1
    validation = [math.nan if t.validation is None else ranks * t.validation for t in trials]
    folders = {t.seed: RunFolder(results, t.run_id) for t in trials if t.state == "done"}
    scores = {
        seed: measure(metric, folder, result).value
        for seed, folder in folders.items()
        if (result := folder.result()) is not None
    }
    worst = (min if metric.higher_is_better else max)(scores.values())
    return validation, [scores.get(trial.seed, worst) for trial in trials]
