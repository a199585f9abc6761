"""Finished runs that nobody trained, for measurements of what comes after training: invented answers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import yaml

from bench.results import RunFolder
from bench.run import Run

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


def write_suite(path: Path, runs: int) -> Path:
    """A suite of that many runs (a multiple of ten) of two models and five losses."""
    path.write_text(yaml.safe_dump({**SUITE, "seeds": runs // 10}, sort_keys=False))
    return path


def finish(runs: Iterable[Run], results: Path, images: int = 450) -> None:
    """Write folders as training leaves them: metrics of each epoch, predictions, result."""
    rng = np.random.default_rng(0)
    truth = (np.arange(images) % 10).astype(np.uint8)
    hard = rng.random(images) ** 8  # some images are hard for every run
    for run in runs:
        predicted = np.where(rng.random(images) < hard * 0.5, (truth + 1) % 10, truth).astype(np.uint8)
        correct = int((predicted == truth).sum())
        curve = correct / images * (1 - 0.5 * np.exp(-np.arange(1, EPOCHS + 1) / 4))
        folder = RunFolder(results, run.id)
        folder.start(run, {"host": "here", "device": "cpu", "started": 0.0})
        folder.write_metrics(
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
        )
        score = {"epoch": EPOCHS, "correct": correct}
        folder.finish(
            {
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
            },
            np.stack([predicted, truth]),
        )
