"""How likely a tuned design is to find a difference: by the suite's own trials, or else by simulation."""

from __future__ import annotations

import itertools
import math
import statistics
from pathlib import Path

from bench.results import RunFolder, measure
from bench.statistics.planning import power_of_t
from bench.statistics.searches import pooled
from bench.suite import Search, Suite
from bench.tuning.trials import Trials

SIMULATED = ((6.25, 0.64), (12.5, 0.85), (25.0, 0.96))
"""N/T → power at half a point of accuracy, α = .05 two-sided, T = 16: mean over simulated pairs of losses,
with .1 to .3 points between seeds."""
HALF_A_POINT = 0.005


def simulated(trials: int, budget: int) -> float | None:
    """Power at half a point, between what was simulated; None below that, where it is less."""
    ratio = trials / budget
    if ratio < 0.95 * SIMULATED[0][0]:
        return None
    for (low, at_low), (high, at_high) in itertools.pairwise(SIMULATED):
        if ratio <= high:
            share = max(math.log(ratio / low) / math.log(high / low), 0)
            return at_low + share * (at_high - at_low)
    return SIMULATED[-1][1]


def power(difference: float, spread: float, trials: int, budget: int, alpha: float) -> float:
    """Of a true difference, by the spread that :class:`bench.statistics.searches.Pooled` has."""
    return power_of_t(difference / (spread * math.sqrt(budget / trials)), 2 * trials / budget, alpha)


def typical_spread(suite: Suite, results: Path) -> float | None:
    """Median over comparisons whose trials have all ended; None: there is none, or none that varies.

    In the first metric's unit, percentages as fractions.
    """
    assert suite.tune is not None
    trials, known = Trials(suite, results), {search.key: search for search in suite.searches}
    scores = {key: _scores(suite, search, trials, results) for key, search in known.items()}
    spreads = []
    for key, ours in scores.items():
        theirs = scores.get((*key[:2], suite.baseline_label))
        if key[2] == suite.baseline_label or ours is None or theirs is None:
            continue
        found = pooled(*ours, *theirs, suite.tune.budget)
        spreads += [found.spread] if found.se else []
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
    found = {
        seed: measure(metric, folder, result).value
        for seed, folder in folders.items()
        if (result := folder.result()) is not None
    }
    worst = (min if metric.higher_is_better else max)(found.values())
    return validation, [found.get(trial.seed, worst) for trial in trials]
