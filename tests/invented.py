"""Finished runs that nobody trained, with everything that figures are drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.predictions import Predictions
from bench.results.folder import RunFolder
from bench.suite import Suite


def invent(
    suite: Suite,
    results: Path,
    gains: Mapping[str, float] | None = None,
    *,
    images: int = 450,
    epochs: int = 8,
) -> None:
    """Finish all runs of a suite. ``gains``: by how much (a fraction) a loss is better than the others."""
    draw = np.random.default_rng(11)
    truth = (np.arange(images) % 10).astype(np.uint8)
    for number, cell in enumerate(suite.cells):
        hard = draw.beta(0.15, 2.2, size=images) + 0.01 * (number % 3)
        for run in cell.runs:
            chance = np.clip(1 - hard + (gains or {}).get(cell.loss, 0.0) + draw.normal(0, 0.006), 0, 1)
            last = draw.random(images) < chance
            correct = int(last.sum())
            speed = draw.uniform(0.8, 1.2)
            curve = correct / images * (1 - 0.6 * np.exp(-speed * np.arange(1, epochs + 1)))
            counts = np.clip(np.rint(images * (curve + draw.normal(0, 0.004, epochs))), 0, images).astype(int)
            counts[-1] = correct
            best = int(counts.argmax())
            epoch = best if suite.selection == "test" else epochs - 1
            predicted = np.where(np.arange(images) < counts[epoch], truth, (truth + 1) % 10).astype(np.uint8)
            if epoch == epochs - 1:
                predicted = np.where(last, truth, (truth + 1) % 10).astype(np.uint8)
            predictions = _answered(predicted, truth, hard)
            bins, ece = _bins(int(counts[epoch]), images, draw)
            folder = RunFolder(results, run.id)
            folder.start(run, {"host": "here", "device": "cpu", "started": 1_700_000_000.0})
            folder.write_metrics(
                {
                    "epoch": k + 1,
                    "time": 60.0 * k,
                    "lr": 0.005,
                    "train_loss": 1 - count / images,
                    "train_accuracy": count / images,
                    "test_loss": 1 - count / images,
                    "test_accuracy": count / images,
                    "test_correct": count,
                    "images_per_second": 1000.0,
                }
                for k, count in enumerate(counts.tolist())
            )
            folder.finish(
                {
                    **{"correct": int(counts[epoch]), "total": images, "epoch": epoch + 1},
                    **{"nll": float(predictions.nll.mean()), "brier": float(predictions.brier.mean())},
                    **{"ece": ece, "reliability": bins},
                    "last": {"epoch": epochs, "correct": correct},
                    "best_test": {"epoch": best + 1, "correct": int(counts[best])},
                    **{"images_per_second": 1000.0, "seconds": 3.0},
                },
                predictions,
            )


def _answered(
    predicted: np.ndarray[Any, Any], truth: np.ndarray[Any, Any], hard: np.ndarray[Any, Any]
) -> Predictions:
    """As a network with ten classes that is the surer, the easier an image is: with all its probabilities."""
    images = np.arange(len(truth))
    confidence = 1 - 0.4 * np.clip(hard, 0, 1) - 1e-3
    rest = (1 - confidence) / 10
    probabilities = np.repeat(rest[:, None], 10, axis=1)
    probabilities[images, truth] *= 2  # the next best
    probabilities[images, predicted] = 0
    probabilities[images, predicted] = 1 - probabilities.sum(axis=1)
    return Predictions.from_probabilities(probabilities, truth)


def _bins(correct: int, images: int, draw: np.random.Generator) -> tuple[dict[str, list[object]], float]:
    """Fifteen bins with so many images and correct answers in all, and their calibration error."""
    share = np.r_[np.zeros(3), np.geomspace(1, 300, 12)]
    count = draw.multinomial(images, share / share.sum())
    middle = (np.arange(15) + 0.5) / 15
    right = np.minimum(np.rint(count * middle**0.8).astype(int), count)
    for k in range(14, -1, -1):  # move what is too much or too little from bin to bin
        step = int(np.clip(correct - right.sum(), -right[k], count[k] - right[k]))
        right[k] += step
    mean = [float(m) if n else None for m, n in zip(middle, count, strict=True)]
    ece = float(np.abs(right - count * middle).sum() / images)
    return {"count": count.tolist(), "confidence": mean, "correct": right.tolist()}, ece
