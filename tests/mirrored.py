"""What a mirror is fed with, and how what MLflow then holds is looked at."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
from helpers import alike

from bench.results.folder import RunFolder
from bench.runs import Run
from bench.suite import Suite

BEGUN = 1_700_000_000.0
EPOCHS = 3


def make_suite(**changes: Any) -> Suite:
    values = {
        "name": "small",
        "question": "Is it mirrored?",
        "datasets": "digits",
        "models": "vgg5-tiny",
        "losses": ["ce", {"label_smoothing": {"smoothing": 0.2}}],
        "seeds": 2,
        "recipe": {"epochs": EPOCHS, "optimizer": {"adam": {"lr": 0.002}}},
    }
    return Suite.model_validate({**values, **changes})


def begin(results: Path, run: Run, started: float = BEGUN, **attempt: Any) -> RunFolder:
    folder = RunFolder(results, run.id)
    origin = {"host": "node1", "device": "cpu", "git": {"commit": "abc123", "dirty": False}}
    folder.start(run, {"started": started, **origin, **attempt})
    return folder


def add_epochs(folder: RunFolder, first: int, last: int, started: float = BEGUN) -> None:
    for epoch in range(first, last + 1):
        line = {"epoch": epoch, "time": started + 10 * epoch, "lr": 0.002, "train_loss": 1 / epoch}
        folder.append_metrics(line | {"test_accuracy": epoch / 10, "test_correct": epoch})


def finish(folder: RunFolder, correct: int = 7) -> None:
    truth = np.zeros(10, dtype=np.uint8)
    predicted = np.where(np.arange(10) < correct, 0, 1).astype(np.uint8)
    scores = {"correct": correct, "total": 10, "epoch": 2, "nll": 0.5, "brier": 0.1, "ece": 0.01}
    data = {"data": {"source": "0123456789abcdef", "used": "fedcba9876543210"}}
    other = {"last": {"epoch": 3, "correct": 6}, "best_test": {"epoch": 2, "correct": 7}}
    speed = {"images_per_second": 100.0, "seconds": 30.0}
    folder.finish({**scores, **other, **speed, **data}, alike(predicted, truth, scores))


def make_results(results: Path, suite: Suite) -> list[RunFolder]:
    """All runs of the suite, finished."""
    folders = []
    for run in suite.runs():
        folders.append(begin(results, run))
        add_epochs(folders[-1], 1, EPOCHS)
        finish(folders[-1])
    return folders


def client_of(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri)


def mirrored(uri: str, name: str = "small") -> tuple[Any, dict[str, Any]]:
    """The suite's own run and, by bench's run id, the others. Fails where a run is there twice."""
    client = client_of(uri)
    found = client.search_runs([client.get_experiment_by_name(name).experiment_id])
    [parent] = [run for run in found if "bench.suite" in run.data.tags]
    runs = [run for run in found if "bench.run_id" in run.data.tags]
    assert not any("mlflow.parentRunId" in run.data.tags for run in runs)  # MLflow folds such runs away
    by_id = {run.data.tags["bench.run_id"]: run for run in runs}
    assert len(by_id) == len(runs)
    return parent, by_id


def history(uri: str, run: Any, metric: str) -> list[tuple[int, int, float]]:
    points = client_of(uri).get_metric_history(run.info.run_id, metric)
    return sorted((point.step, point.timestamp, point.value) for point in points)


def dump(uri: str) -> list[str]:
    """Everything a SQLite store holds."""
    with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        return list(connection.iterdump())
