"""The predictions of a network with a file's weights for a data set's test images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench import datasets
from bench.checkpoints.fitting import Fitted, fit
from bench.checkpoints.keys import Rule, rename
from bench.errors import BenchError
from bench.models import choose_model
from bench.models.resize import Resized
from bench.registry import Choice, describe
from bench.training.data import Normalisation
from bench.training.evaluation import Scores, answer, batch_size, score
from bench.training.reading import Checkpoint
from bench.training.step import precision


@dataclass(frozen=True)
class Asked:
    """What files are asked about, and how their outputs are to be read."""

    dataset: Choice
    mean: tuple[float, ...] | None = None
    """For normalisation, of images from 0 to 1; None: those of the data set."""
    std: tuple[float, ...] | None = None
    first_label: int | None = None
    """The output that stands for the first class; None: found out, see :func:`first_output`."""


@dataclass
class Answers:
    """The predictions of one file's network."""

    checkpoint: Checkpoint
    model: str
    fitted: Fitted
    first_output: int
    predicted: NDArray[np.int64]
    """Class of each test image [N] from 0; −1 for an output that stands for none."""
    labels: NDArray[np.int64]
    scores: Scores
    notes: list[str] = field(default_factory=list)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the network is right [N]."""
        return np.equal(self.predicted, self.labels)


def check_channels(asked: Asked, form: datasets.Form) -> None:
    """Raise BenchError where mean or standard deviation are not one number a channel, or cannot be."""
    for option, values in (("--mean", asked.mean), ("--std", asked.std)):
        channels = form.shape[0]
        wrong = values is not None and len(values) != channels
        if wrong or (option == "--std" and values and not all(value > 0 for value in values)):
            kind = "numbers above 0" if option == "--std" else "numbers"
            raise BenchError(f"{option}: found {values}, expected {channels} {kind}, one a channel")


def choose_dataset_of(checkpoints: Sequence[Checkpoint]) -> Choice:
    """The data set on which runs of ``bench`` trained these files.

    Raises:
        BenchError: a file does not say, or two say different ones.
    """
    choices = {}
    for checkpoint in checkpoints:
        described = checkpoint.description.get("dataset")
        if described is None:
            raise BenchError(
                f"{checkpoint.path}: does not say which data set it is for; give --dataset, one of "
                f"{', '.join(datasets.DATASETS)}"
            )
        choice = _chosen(checkpoint, described, datasets.choose_dataset)
        choices[choice.label()] = choice
    if len(choices) > 1:
        raise BenchError(f"the files are for different data sets, {', '.join(choices)}; give --dataset")
    return next(iter(choices.values()))


def choose_model_of(checkpoint: Checkpoint) -> Choice:
    """The network that a run of ``bench`` trained, where the file says so; else the reference's VGG-5."""
    described = checkpoint.description.get("model", "vgg5")
    return _chosen(checkpoint, described, choose_model)


def _chosen(checkpoint: Checkpoint, described: Any, choose: Callable[[Any], Choice]) -> Choice:
    if isinstance(described, dict):  # what the code is now is not this file's affair
        described = {key: value for key, value in described.items() if key != "source"}
    try:
        return choose(described)
    except ValueError as error:
        raise BenchError(f"{checkpoint.path}: says what it is for, but: {error}") from None


def prepare(
    checkpoint: Checkpoint, model: Choice, asked: Asked, form: datasets.Form, rules: Sequence[Rule] = ()
) -> tuple[Fitted, int]:
    """The network of a file, and which of its outputs stands for the first class.

    Raises:
        BenchError: it does not fit, or has too few outputs.
    """
    if rules:
        checkpoint.state = rename(checkpoint.path, checkpoint.state, rules)
    fitted = fit(checkpoint, model, form)
    first = first_output(asked, fitted.outputs, form.classes)
    if not 0 <= first <= fitted.outputs - form.classes:
        raise BenchError(
            f"{checkpoint.path}: --first-label: found {first}; with {fitted.outputs} outputs for "
            f"{form.classes} classes it can be 0 to {fitted.outputs - form.classes}"
        )
    return fitted, first


def first_output(asked: Asked, outputs: int, classes: int) -> int:
    """Which output stands for the first class.

    A network with as many outputs as classes counts them from 0. One with more was trained on labels as the
    data set's files have them: EMNIST-Letters' begin with 1, and the reference's networks have 62 outputs.
    """
    if asked.first_label is not None:
        return asked.first_label
    theirs = datasets.FIRST_LABELS.get(asked.dataset.name, 0)
    return theirs if outputs >= classes + theirs else 0


def ask(
    checkpoint: Checkpoint,
    model: str,
    fitted: Fitted,
    first: int,
    asked: Asked,
    images: datasets.Images,
    device: torch.device,
    tick: Callable[[int], None] = lambda images: None,
) -> Answers:
    """Predict all test images.

    Args:
        model: what it is called.
        first: of :func:`prepare`.
        tick: called after each batch, with its number of images.

    Raises:
        BenchError: it returns no logits.
    """
    labels = images.test_labels
    computed_in = str(checkpoint.description.get("recipe", {}).get("precision", "fp32"))
    logits = _logits(checkpoint.path, fitted, images, asked, device, computed_in, tick)
    answered = logits.argmax(dim=1) - first
    predicted = torch.where((answered >= 0) & (answered < images.form.classes), answered, -1)
    notes = [*checkpoint.notes, *fitted.notes]
    if fitted.outputs > images.form.classes:
        none = int((predicted < 0).sum())
        notes.append(
            f"{fitted.outputs} outputs for {images.form.classes} classes: the first class is output {first}, "
            f"as labels in the data set's files; {none} answers are of an output that stands for no class"
        )
    if bool((logits >= 0).all()) and torch.allclose(logits.sum(1), torch.ones(len(logits)), atol=1e-3):
        notes.append(
            "its outputs look like probabilities and are taken for logits: calibration means nothing"
        )
    return Answers(
        checkpoint,
        model,
        fitted,
        first,
        predicted.numpy(),
        labels.numpy(),
        score(answer(logits, labels + first)),
        notes,
    )


@torch.inference_mode()
def _logits(
    path: Path,
    fitted: Fitted,
    images: datasets.Images,
    asked: Asked,
    device: torch.device,
    computed_in: str,
    tick: Callable[[int], None],
) -> Tensor:
    """Logits [N, outputs] of all test images, in float32 on the CPU."""
    form = images.form
    normalised = Normalisation(asked.mean or form.mean, asked.std or form.std, device, form.top)
    side = fitted.model.size if isinstance(fitted.model, Resized) else None
    # As in training, so that the weights of a run give its very predictions.
    size = batch_size(device, *((side, side) if side else form.shape[1:]))
    model = fitted.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    parts = []
    for batch in torch.split(images.test_images, size):
        with precision(computed_in, device):
            try:
                answer = model(normalised(batch.to(device).float()))
            except Exception as error:  # somebody's own network can raise anything
                raise BenchError(f"{path}: its network does not take the images: {error}") from error
        if not isinstance(answer, Tensor) or answer.shape != (len(batch), fitted.outputs):
            shape = list(answer.shape) if isinstance(answer, Tensor) else describe(answer)
            raise BenchError(f"{path}: its network returned {shape}, expected {[len(batch), fitted.outputs]}")
        parts.append(answer.float().cpu())
        tick(len(batch))
    logits = torch.cat(parts)
    if not logits.isfinite().all():
        raise BenchError(
            f"{path}: its network's outputs are not finite; are --mean and --std what it was trained with?"
        )
    return logits
