"""About how long a run would take, from a few steps of it: a first guess, until runs have been timed."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from bench.runs import Run
from bench.training.loop import Training

STEPS = 3
BUDGET = 20.0  # seconds after which no further step is taken


def estimate_seconds(run: Run, data: Path, device: torch.device) -> float:
    """Take up to three steps of a run, in memory only, and extrapolate to all of its epochs.

    The first step, which warms caches up, counts only where there is no time for a second. Evaluation is
    taken as another tenth.

    Raises:
        BenchError: the data set, the model or the loss cannot be built.
    """
    training = Training(run.resolve(), data, device)
    times: list[float] = []
    steps = training.steps()
    next(steps)
    while len(times) < STEPS + 1 and sum(times) < BUDGET:
        began = time.monotonic()
        if next(steps, "over") == "over":
            break
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.monotonic() - began)
    step = min(times[1:] or times or [0.01])
    return 1.1 * step * training.data.steps_per_epoch * training.recipe.epochs
