"""Learned loss weights: the paths that w1 and w2 took, and where they ended."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.losses import Loss
from bench.results.folder import RunFolder
from bench.suite import Suite

NO_REPRODUCTION = (
    "this is no reproduction of the weights that arXiv:2501.13709 learns: its scripts take them from a "
    "module that was never published"
)


def learning(suite: Suite) -> list[str]:
    """Labels of the losses that learn weights along with the model."""
    return [
        entry.label
        for entry in suite.losses
        if isinstance(entry.choice.options, Loss) and entry.choice.options.initial_weights()
    ]


def paths(results: Path, run_ids: Iterable[str]) -> NDArray[np.float64] | None:
    """The weights of finished runs after each epoch, [seeds, epochs, weights]; None where none kept them."""
    epochs = _all_epochs(results, run_ids)
    if not epochs:
        return None
    shortest = min(map(len, epochs))
    return np.array([path[:shortest] for path in epochs], dtype=np.float64)


def _all_epochs(results: Path, run_ids: Iterable[str]) -> list[list[list[float]]]:
    """Of runs that have recorded both weights: as many epochs as each has had."""
    epochs = []
    for run_id in run_ids:
        lines = RunFolder(results, run_id).metrics()
        if lines and all("w1" in line and "w2" in line for line in lines):
            epochs.append([[line["w1"], line["w2"]] for line in lines])
    return epochs


def final_weights(suite: Suite, results: Path, runs: pd.DataFrame) -> list[str]:
    """Where the weights of each cell ended, one line each, and what they are not.

    Args:
        runs: of :func:`bench.results.reading.frame`.
    """
    notes = []
    finished = runs[(runs.state == "done") & runs.loss.isin(learning(suite))]
    for (dataset, model, loss), cell in finished.groupby(["dataset", "model", "loss"], sort=False):
        epochs = _all_epochs(results, cell.run_id)
        if epochs:
            w1, w2 = map(_mean_and_sd, np.array([path[-1] for path in epochs], dtype=np.float64).T)
            notes.append(
                f"{dataset} × {model} × {loss}: learned weights ended at w1 = {w1} and w2 = {w2} "
                f"over {len(epochs)} seed{'s' * (len(epochs) > 1)}"
            )
    return [*notes, *([f"learned weights: {NO_REPRODUCTION}"] if notes else [])]


def _mean_and_sd(values: NDArray[np.float64]) -> str:
    spread = f" ± {round(float(values.std(ddof=1)), 9):.2g}" if len(values) > 1 else ""
    return f"{values.mean():.3g}{spread}"
