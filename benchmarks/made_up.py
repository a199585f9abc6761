"""Finished runs that nobody trained, for measurements of what comes after training: invented answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bench.predictions import Predictions
from bench.results.folder import RunFolder
from bench.runs import Run

EPOCHS = 20
SUITE = {
    "question": "How large may a suite be?",
    "datasets": "digits",
    "models": ["vgg5-tiny", "spinal-vgg5-tiny"],
    "losses": ["ce", "min_ent", "mix_ent", "focal", "mae"],
    "baseline": "ce",
    "recipe": {"epochs": EPOCHS},
    "selection": "last",
}


def write_suite(path: Path, runs: int, *, wide: bool = False) -> Path:
    """A suite of that many runs, a multiple of 100: ten cells with many seeds, or many with ten seeds."""
    many = {
        "datasets": [{"digits": {"train_size": 1000 + number}} for number in range(max(runs // 1000, 1))],
        "models": "vgg5-tiny",
        "losses": [{"ce": {"scale": float(scale)}} for scale in range(1, min(runs // 10, 100) + 1)],
        "baseline": "ce",
    }
    shape = {**many, "seeds": 10} if wide else {"seeds": runs // 10}
    path.write_text(yaml.safe_dump({**SUITE, **shape}, sort_keys=False))
    return path


def answers(images: int = 450) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any], Predictions]]:
    """What trainings might have left, one after another without end: metrics, result and predictions."""
    rng = np.random.default_rng(0)
    truth = (np.arange(images) % 10).astype(np.uint8)
    hard = rng.random(images) ** 8  # some images are hard for every run
    while True:
        predicted = np.where(rng.random(images) < hard * 0.5, (truth + 1) % 10, truth).astype(np.uint8)
        correct = int((predicted == truth).sum())
        curve = correct / images * (1 - 0.5 * np.exp(-np.arange(1, EPOCHS + 1) / 4))
        metrics = [
            {
                "epoch": epoch,
                "time": 60.0 * epoch,
                "lr": 0.005,
                "train_loss": 1 - accuracy,
                "train_accuracy": accuracy,
                "test_loss": 1 - accuracy,
                "test_accuracy": accuracy,
                "test_correct": int(accuracy * images),
                "images_per_second": 1000.0,
            }
            for epoch, accuracy in enumerate(curve.tolist(), 1)
        ]
        score = {"epoch": EPOCHS, "correct": correct}
        result = {
            "correct": correct,
            "total": images,
            "epoch": EPOCHS,
            "nll": 0.1,
            "brier": 0.05,
            "ece": 0.01,
            "last": score,
            "best_test": score,
            "images_per_second": 1000.0,
            "seconds": 3.0,
        }
        sure = rng.uniform(0.5, 1, images).astype(np.float32)
        right = predicted == truth
        details = {
            "classes": np.array(10),
            "rank": (~right).astype(np.uint16),
            "nll": -np.log(np.where(right, sure, (1 - sure) / 2 + 1e-3)),
            "brier": np.where(right, 2 * (1 - sure) ** 2, 2 * sure**2),
            "confidence": sure,
        }
        yield metrics, result, Predictions(predicted, truth, details)


def finish(runs: Iterable[Run], results: Path, images: int = 450) -> None:
    """Write folders as training leaves them: metrics of each epoch, predictions, result."""
    for run, (metrics, result, predictions) in zip(runs, answers(images), strict=False):
        folder = RunFolder(results, run.id)
        folder.start(run, {"host": "here", "device": "cpu", "started": 0.0})
        folder.write_metrics(metrics)
        folder.finish(result, predictions)
