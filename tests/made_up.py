"""Tuned suites whose trials nobody trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers import finish_run

from bench.results.folder import RunFolder
from bench.runs import Run
from bench.suite import Suite

LR = "optimizer.adam.lr"
TUNE = {
    "budget": 2,
    "trials": 8,
    "space": {LR: {"log": [0.001, 0.1]}},
    "losses": {"focal": {"gamma": {"uniform": [0.5, 3]}}},
}


def tuned(**changes: Any) -> Suite:
    """A small one."""
    values = {
        "name": "mine",
        "question": "q?",
        "datasets": {"digits": {"train_size": 200, "test_size": 100}},
        "models": "vgg5-tiny",
        "losses": ["ce", "focal"],
        "seeds": 2,
        "tune": TUNE,
        **changes,
    }
    made = Suite.model_validate({key: value for key, value in values.items() if value is not None})
    made.every_cell  # noqa: B018 - checks
    return made


def finish(run: Run, results: Path, validation: float, correct: int) -> RunFolder:
    """Write what a trial of two epochs leaves, the second of which counts."""
    folder = RunFolder(results, run.id)
    folder.path.mkdir(parents=True, exist_ok=True)
    lines = [{"epoch": k, "time": 1.0, "validation_accuracy": validation - (2 - k) / 10} for k in (1, 2)]
    folder.write_metrics(lines)
    return finish_run(run, results, correct, epoch=2, class_counts=[20] * 10)


def finish_trials(
    suite: Suite, results: Path, score: Callable[[str, dict[str, Any]], tuple[float, int] | None]
) -> None:
    """Finish all trials.

    Args:
        score: of a loss and a setting: validation accuracy and correct test images; None: it diverged.
    """
    for search in suite.searches:
        for run in search.runs:
            found = score(search.loss, {**search.settings[run.seed]})
            if found is None:
                folder = RunFolder(results, run.id)
                folder.path.mkdir(parents=True, exist_ok=True)
                folder.fail("diverged: the training loss is nan in epoch 1")
            else:
                finish(run, results, *found)
