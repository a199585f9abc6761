"""One run, from where its folder says it is to its result."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from bench.disk import Damaged
from bench.results.folder import RunFolder
from bench.runs import Run
from bench.training import checkpoint, weights
from bench.training.loop import Training


def train(
    run: Run,
    folder: RunFolder,
    *,
    device: torch.device,
    data: Path,
    should_stop: Callable[[], bool] = lambda: False,
    checkpoint_seconds: float = 60.0,
    keep_weights: bool = False,
    keep_probabilities: bool = False,
    one_by_one: str = "",
) -> bool:
    """Train a run from where its folder says it is, and write its result there.

    Args:
        run: what to train.
        folder: where metrics, checkpoint and result go. The caller holds its claim.
        device: from :func:`bench.training.device.prepare`.
        data: the folder of the data sets.
        should_stop: asked before every step; once true, the state is saved and the training ends.
        checkpoint_seconds: least time between two checkpoints. They follow the clock, so that a run of
            seconds writes none.
        keep_weights: also write the weights of the epoch that counts.
        keep_probabilities: also keep the probability of every class for each test image.
        one_by_one: why steps must not be recorded, of a run whose recording has failed.

    Returns:
        Whether the run is finished; False where it was stopped.

    Raises:
        Diverged: the loss became NaN or infinite.
        MetricError: the metric that chooses the epoch fails, or is no finite number.
        BenchError: the data set, the model or the loss cannot be built.
        NotRecorded: a step could not be recorded; this process must not go on.
        OSError: the results folder cannot be written.
    """
    began = saved = time.monotonic()
    path = folder.path / "checkpoint.pt"
    training = Training(
        run.resolve(),
        data,
        device,
        keep_weights=keep_weights,
        keep_probabilities=keep_probabilities,
        one_by_one=one_by_one,
    )
    try:
        state = checkpoint.load(path, device)
    except Damaged as damage:
        training.warnings.append(f"{damage}; set aside as {folder.set_aside('checkpoint.pt')}, started again")
        state = None
    digests = training.data.digests.model_dump()
    if state is not None and state.get("seen", digests) != digests:
        name = folder.set_aside("checkpoint.pt")
        training.warnings.append(f"the data changed while it was trained: started again, {name} set aside")
        state = None
    if state is not None:
        training.load_state(state)
    folder.write_metrics(training.history)
    earlier = training.seconds

    while not training.ended:
        for _ in training.steps():
            now = time.monotonic()
            stop = should_stop()
            if stop or now - saved >= checkpoint_seconds:
                training.seconds = earlier + now - began
                checkpoint.save(path, training.state())
                saved = time.monotonic()
            if stop:
                return False
        folder.append_metrics(training.end_epoch())

    training.seconds = earlier + time.monotonic() - began
    content = weights.to_bytes(training.kept_weights, run) if training.kept_weights else None
    if training.keep_weights and content is None:
        training.warnings.append("weights were not kept: that was asked for after the epoch that counts")
    predictions = training.predictions()
    if keep_probabilities and "probabilities" not in predictions.details:
        reason = "that was asked for after the epoch that counts"
        training.warnings.append(f"probabilities were not kept: {reason}")
    folder.finish(training.result(), predictions, content)
    return True
