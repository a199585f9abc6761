"""The weights of a finished run: those that it kept, or those of the same training done again.

A run repeats itself to the bit on the same kind of machine, and its predictions are stored. So whether a
repetition has the weights that made the result can be seen, though not proved: it gives every single answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from bench.disk import Damaged
from bench.errors import BenchError
from bench.registry import ForeignOptions
from bench.results.folder import RunFolder
from bench.results.schema import Result
from bench.runs import Run
from bench.training.device import fingerprint
from bench.training.loop import Training
from bench.training.run import train

Origin = Literal["kept", "repeated", "other"]
"""``kept`` by the run; ``repeated`` here with the same answers, or with ``other`` ones."""


@dataclass(frozen=True)
class Weights:
    """The weights of a run, and what their answers are worth."""

    content: bytes
    """A safetensors file."""
    origin: Origin
    result: Result
    """Of the training that these weights come from."""
    machine: dict[str, Any]
    """Device and versions of that training."""


def recorded(folder: RunFolder) -> tuple[Run, Result]:
    """What a finished run was, from its folder alone.

    Raises:
        BenchError: it is not finished, or its files are damaged.
    """
    try:
        result = folder.result(check_predictions=True)
    except Damaged as damage:
        raise BenchError(f"damaged result: {damage}; `bench run SUITE` trains it again") from None
    if result is None:
        failure = folder.failure()
        state = f"failed: {failure.reason}" if failure else "is not finished"
        raise BenchError(f"run {folder.run_id}: it {state}; there are no weights")
    described = {key: value for key, value in folder.info().items() if key not in ("id", "attempts")}
    run = Run.from_description(described) if "seed" in described else None
    if run is None or run.id != folder.run_id:
        raise BenchError(f"{folder.path / 'run.json'}: is missing, or does not describe this run")
    return run, result


def weights_of(
    run: Run,
    folder: RunFolder,
    result: Result,
    work: Path,
    *,
    device: torch.device,
    data: Path,
    say: Callable[[str], None],
    accept_other: bool = False,
) -> Weights:
    """The weights of a run: kept ones, or else it is trained again.

    Args:
        folder: of the run. It is not changed.
        result: of the run, see :func:`recorded`.
        work: a folder for the repetition, which goes on from what an interrupted one has left there.
        say: gets what a person should know.
        accept_other: take a repetition that gives other answers, too.

    Raises:
        BenchError: the repetition gives other answers, or what was scored is a classifier of the loss's.
    """
    attempts = folder.info().get("attempts", [{}])
    try:
        content = folder.weights(result)
    except Damaged as damage:
        say(f"the weights that the run kept are damaged: {damage}")
        content = None
    if content is not None:
        return Weights(content, "kept", result, attempts[-1])
    if isinstance(run.resolve().loss.options, ForeignOptions):
        _check_classifier(run, device, data)
    say(f"run {run.id} has no weights: training it again, about {result.seconds:.0f} s where it was trained")
    again = _repeat(run, work, device, data)
    repeated = RunFolder(work, run.id)
    content = repeated.weights(again)
    assert content is not None
    now = fingerprint(device)
    differing = int((folder.predictions(result).predicted != repeated.predictions(again).predicted).sum())
    if not differing:
        say(f"the same predictions for all {result.total:,} test images as the run has stored")
        return Weights(content, "repeated", again, now)
    if not accept_other:
        raise BenchError(
            f"run {run.id}: trained again it gives other answers for {differing:,} of {result.total:,} test "
            f"images ({again.correct:,} right, the run has {result.correct:,}): these are not the weights "
            f"that made the result. It was trained on {machine(attempts[-1])}; this is {machine(now)}. Only "
            "the same kind of machine repeats it: export there, or take the repetition for what it is with "
            "--accept-other, which does not train it once more"
        )
    return Weights(content, "other", again, now)


def _check_classifier(run: Run, device: torch.device, data: Path) -> None:
    """Raise BenchError where a model's weights are not what was scored."""
    if not Training(run.resolve(), data, device, keep_weights=True).keep_weights:
        raise BenchError(
            f"run {run.id}: '{run.resolve().loss.label()}' brings the classifier that is scored, which is no "
            "part of the model: weights of the model alone do not give its answers"
        )


def _repeat(run: Run, work: Path, device: torch.device, data: Path) -> Result:
    folder = RunFolder(work, run.id)
    try:
        result = folder.result(check_predictions=True)
    except Damaged:
        folder.set_aside()
        result = None
    if result is None:
        with folder.claim() as mine:
            if not mine:
                raise BenchError(f"{work}: another `bench export` is training there")
            train(run, folder, device=device, data=data, keep_weights=True)
        result = folder.result()
        assert result is not None
    return result


def machine(fingerprint: Mapping[str, Any]) -> str:
    """What of a fingerprint decides whether a run repeats itself, in words."""
    hardware = (fingerprint.get("device"), fingerprint.get("instructions"))
    torch_version = fingerprint.get("torch")
    words = [str(word) for word in (*hardware, torch_version and f"torch {torch_version}") if word]
    return ", ".join(words) or "a machine that was not recorded"
