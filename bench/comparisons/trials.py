"""Run folders → the trials of a tuned suite, by every metric, and the design that compares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from bench.comparisons.analysis import Measured
from bench.comparisons.comparison import Key, Metric, Seed
from bench.comparisons.runs import read_measured
from bench.comparisons.tuned import Tuned, searches_of
from bench.results.reading import frame
from bench.suite import Suite
from bench.tuning.trials import Trial, Trials
from bench.tuning.winners import best_of


@dataclass(frozen=True)
class Searched:
    """All that the searches of a suite have found."""

    runs: pd.DataFrame
    """The trials: :func:`bench.results.reading.frame`."""
    measured: Sequence[Measured]
    """By metric, without single images: settings are not told apart by these."""
    trials: dict[Key, tuple[Trial, ...]]
    best: dict[Key, Trial | None]
    """None: not all have ended, or all have failed."""
    design: Tuned
    notes: tuple[str, ...]

    @property
    def ended(self) -> int:
        """Trials that are done or failed, of all searches."""
        return sum(trial.ended for group in self.trials.values() for trial in group)

    @property
    def complete(self) -> bool:
        """Whether all trials have ended."""
        return all(trial.ended for group in self.trials.values() for trial in group)


def read_trials(suite: Suite, results: Path, metrics: Sequence[Metric]) -> Searched:
    """The trials of a suite that has ``tune``.

    Args:
        metrics: of the suite, as documents describe them.

    Raises:
        BenchError: a metric of the user's own that fails, with the run.
    """
    assert suite.tune is not None
    runs = frame(results, suite.searches, check_details=suite.needs_details)
    planned = [(search.key, search.seeds) for search in suite.searches]
    measured, _ = read_measured(runs, results, suite.metrics, metrics, planned)
    measured = [replace(series, images={}) for series in measured]
    reader = Trials(suite, results)
    trials = {search.key: reader.of(search) for search in suite.searches}
    validation: dict[Key, dict[Seed, float]] = {
        key: {trial.seed: trial.validation for trial in group if trial.validation is not None}
        for key, group in trials.items()
    }
    counted = runs[runs.class_counts.map(lambda counts: isinstance(counts, list))]
    classes = {
        str(name): len(counts) for name, counts in zip(counted.dataset, counted.class_counts, strict=True)
    }
    higher = reader.higher_is_better
    design = Tuned(
        suite.analysis.alpha,
        budget=suite.tune.budget,
        trials=suite.tune.trials,
        searches={
            series.metric.name: searches_of(
                series.metric, series.cells, validation, classes, higher_is_better=higher
            )
            for series in measured
        },
        baseline=suite.baseline_label,
    )
    best = {
        key: best_of(group, higher_is_better=higher) if all(trial.ended for trial in group) else None
        for key, group in trials.items()
    }
    lost = [trial.reason for group in trials.values() for trial in group if not trial.ended and trial.reason]
    return Searched(runs, measured, trials, best, design, tuple(lost))
