"""What a run sees: its split, the order of its images, their augmentation, batch by batch, on the device."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench import datasets
from bench.choices import Choice
from bench.errors import BenchError
from bench.runs import Resolved
from bench.same_data import Seen
from bench.training import augment, mix

_CHUNK = 512
_PIXELS = 8192 * 28 * 28
"""Images augmented at once on a CPU: enough to be fast, few enough to stay in the cache. And on a GPU their
numbers: enough that the launches of kernels do not count, few enough for its memory."""


@functools.lru_cache(maxsize=2)
def on_device(choice: Choice, root: Path, device: torch.device) -> datasets.Images:
    """A data set on a device, as uint8: loaded and moved once for all runs that a process trains on it.

    Raises:
        BenchError: it cannot be loaded.
    """
    images = datasets.load(choice, root)
    parts = ("train_images", "train_labels", "test_images", "test_labels")
    return replace(images, **{name: getattr(images, name).to(device) for name in parts})


class Normalisation:
    """Call it with images of 0 to 255 [N, C, H, W]: takes out mean and standard deviation, channels last.

    Args:
        mean, std: of images from 0 to 1, one number a channel.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], device: torch.device) -> None:
        scale = 1 / (255 * torch.tensor(std, device=device))
        shift = torch.tensor(mean, device=device) * 255 * scale
        self.scale, self.shift = scale.view(1, -1, 1, 1), shift.view(1, -1, 1, 1)
        self.mean = self.shift / self.scale

    def __call__(self, raw: Tensor) -> Tensor:
        return (raw * self.scale - self.shift).contiguous(memory_format=torch.channels_last)


class Data:
    """One run's images: ``test`` and ``validation`` as (uint8 images, labels), and the training batches."""

    def __init__(self, resolved: Resolved, root: Path, device: torch.device) -> None:
        self.resolved = resolved
        self.recipe = resolved.recipe
        self.device = device
        everything = on_device(resolved.dataset, root, device)
        self.form = everything.form
        self.images, self.labels = everything.train_images, everything.train_labels
        self.test = everything.test_images, everything.test_labels
        self.validation: tuple[Tensor, Tensor] | None = None
        self.kept: Tensor | None = None
        """Rows of the training images that are trained on; None: all of them."""
        used = everything.digest
        if resolved.selection == "validation":
            rows = self._split(datasets.load(resolved.dataset, root).train_labels.numpy())
            used = hashlib.sha256(used.encode() + rows.numpy().tobytes()).hexdigest()[:16]
        self.seen = Seen(source=everything.source, used=used)
        self.count = len(self.labels) if self.kept is None else len(self.kept)
        self.normalised = Normalisation(self.form.mean, self.form.std, device)

    def _split(self, labels: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Tensor:
        """Returns the rows that are held out."""
        rng = np.random.default_rng(self.resolved.derive("split"))
        size = round(self.recipe.validation * len(labels))
        if not 0 < size < len(labels):
            raise BenchError(
                f"recipe.validation: a share of {self.recipe.validation} leaves {size} validation images "
                f"of {len(labels)}; at least one must stay on either side"
            )
        held_out, kept = map(torch.from_numpy, datasets.stratified_split(labels, size, rng))
        self.kept = kept
        rows = held_out.to(self.device)
        self.validation = self.images[rows], self.labels[rows]
        return held_out

    @property
    def step_size(self) -> int:
        """Images of an optimizer step: those of the batches whose gradients it sums up."""
        return self.recipe.batch_size * self.recipe.accumulate

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch."""
        return -(-self.seen_per_epoch // self.step_size)

    @property
    def seen_per_epoch(self) -> int:
        """Images that an epoch trains on. A last batch of one is left out: batch norm cannot use it."""
        return self.count - (self.count % self.recipe.batch_size == 1)

    def order(self, epoch: int) -> Tensor:
        """The images of an epoch one after another, by their number among those that are trained on."""
        return torch.randperm(self.count, generator=self._generator("order", epoch))

    def class_counts(self) -> Tensor:
        """How many images of each class are trained on, int64 [K], on the CPU."""
        labels = self.labels.cpu()
        used = labels if self.kept is None else labels[self.kept]
        return torch.bincount(used, minlength=self.form.classes)

    def batches(self, epoch: int, step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """What the steps of an epoch see, from one on: normalised images; labels, or probabilities if mixed.

        Orders and parameters are drawn on the CPU, so that they do not depend on the device, and reach it
        in one go: nothing in here waits for the device, or makes it wait.
        """
        size = self.step_size
        rows = self.order(epoch)
        drawn = augment.draw(
            self.recipe.augment, self.count, self.form.shape, self._generator("augmentation", epoch)
        )
        rows = self._moved(rows if self.kept is None else self.kept[rows])
        drawn = [self._moved(parameters) for parameters in drawn]
        mixtures = self._mixtures(epoch, step)
        many = _CHUNK if self.device.type == "cpu" else _PIXELS // math.prod(self.form.shape)
        chunk = max(1, many // size) * size
        skip = step * size
        for start in range(skip - skip % chunk, self.seen_per_epoch, chunk):
            part = slice(start, min(start + chunk, self.seen_per_epoch))
            chosen = rows[part]
            raw = self.images[chosen].float()
            mean = self.normalised.mean
            images = self.normalised(augment.apply(self.recipe.augment, drawn, raw, part, mean))
            labels = self.labels[chosen]
            for first in range(max(skip - start, 0), len(labels), size):
                batch = images[first : first + size], labels[first : first + size]
                yield batch if mixtures is None else mix.apply(next(mixtures), *batch, self.form.classes)

    def _mixtures(self, epoch: int, step: int) -> Iterator[mix.Mixture] | None:
        if self.recipe.mix is None:
            return None
        batches = -(-self.count // self.step_size)
        seed = self.resolved.derive("mix", epoch)
        return iter(mix.draw(self.recipe.mix, batches, self.form.shape, seed)[step:])

    def _moved(self, drawn: Tensor) -> Tensor:
        """To the device, without waiting for it: that takes memory which stays where it is."""
        return drawn.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else drawn

    def _generator(self, purpose: str, epoch: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.resolved.derive(purpose, epoch))
