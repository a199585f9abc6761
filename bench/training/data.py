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
from bench.errors import BenchError
from bench.recipe import Recipe
from bench.registry import Choice
from bench.runs import Resolved
from bench.same_data import Seen
from bench.training import augment, mix
from bench.training.batches import Batches, Smaller, batches_of, move, to_device
from bench.transforms import Erasing, RandAugment

_CHUNK = 512
_CACHED = 64 * 3 * 64 * 64
_PIXELS = 8192 * 28 * 28
"""Images augmented at once on a CPU, and their numbers: enough to be fast, few enough to stay in the cache.
And on a GPU their numbers: enough that the launches of kernels do not count, few enough for its memory."""


@functools.lru_cache(maxsize=2)
def on_device(choice: Choice, root: Path, device: torch.device) -> datasets.Images:
    """A data set on a device, as stored: loaded and moved once for all runs that a process trains on it.

    What is mapped from files stays there on a CPU, and where a GPU has no room for it.

    Raises:
        BenchError: it cannot be loaded.
    """
    images = datasets.load(choice, root)

    def moved(part: Tensor) -> Tensor:
        return to_device(part, device, mapped=images.mapped)

    held_out = images.validation
    return replace(
        images,
        train_images=moved(images.train_images),
        train_labels=images.train_labels.to(device),
        test_images=moved(images.test_images),
        test_labels=images.test_labels.to(device),
        validation=held_out and (moved(held_out[0]), held_out[1].to(device)),
    )


class Normalisation:
    """Call it with raw images [N, C, H, W]: takes out mean and standard deviation, channels last.

    Args:
        mean, std: of images from 0 to 1, one number a channel.
        top: the raw value that stands for 1.
        width: of the images, or 1. The numbers are repeated so often: by three at a time, a CPU is slow.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device,
        top: float = 255,
        width: int = 1,
    ) -> None:
        scale = (1 / (top * torch.tensor(std, device=device))).view(1, -1, 1, 1)
        shift = torch.tensor(mean, device=device).view(1, -1, 1, 1) * top * scale
        self.mean = shift / scale
        self.scale, self.shift = (
            numbers.expand(-1, -1, -1, width).contiguous(memory_format=torch.channels_last)
            for numbers in (scale, shift)
        )

    def __call__(self, raw: Tensor) -> Tensor:
        scaled = raw * self.scale
        scaled -= self.shift  # in place: for as much memory again, the system would take as long as all this
        return scaled.contiguous(memory_format=torch.channels_last)


def _parts(images: datasets.Images) -> list[Tensor]:
    held_out = [] if images.validation is None else [images.validation[0]]
    return [images.train_images, images.test_images, *held_out]


def _check_levels(recipe: Recipe, top: float) -> None:
    """Raise BenchError where an augmentation reads values as levels from 0 to 255, and they are none."""
    for transform in recipe.augment:
        options = transform.options
        of_erasing = isinstance(options, Erasing) and options.value != "mean"
        if (of_erasing or isinstance(options, RandAugment)) and top != 255:
            raise BenchError(
                f"recipe.augment: {transform.label()} is for images of 8 bits, and white is {top:g} here; "
                "leave it out, or store them with 8 bits (erasing with value: mean goes with all)"
            )


class Data:
    """One run's images: ``test`` and ``validation`` as (raw images, labels), and the training batches."""

    def __init__(self, resolved: Resolved, root: Path, device: torch.device) -> None:
        self.resolved = resolved
        self.recipe = resolved.recipe
        self.device = device
        everything = on_device(resolved.dataset, root, device)
        self.form = everything.form
        _check_levels(resolved.recipe, everything.form.top)
        self.stored = tuple(everything.train_images.shape[1:])
        """Channels, height and width of the training images before any crop."""
        self.notes = everything.notes
        self._mapped = everything.mapped
        self._parts = [everything.train_images]
        self.labels = everything.train_labels
        self.validation: tuple[Batches, Tensor] | None = None
        self.train_rows: Tensor | None = everything.train_rows
        """Rows of the training images that are trained on; None: all of them."""
        loaded = datasets.load(resolved.dataset, root)
        held_out: list[Tensor] = []
        if resolved.splits == "per_seed":
            held_out = self._draw(everything, loaded)
        else:
            self.test = self._some([everything.test_images]), everything.test_labels
            if resolved.selection == "validation" and everything.validation is not None:
                images, labels = everything.validation
                self.validation = self._some([images]), labels
            elif resolved.selection == "validation":
                held_out = [self._split(loaded)]
        self.images: Batches = self._some(self._parts)
        used = everything.digest
        if held_out:
            rows = b"".join(part.numpy().tobytes() for part in held_out)
            used = hashlib.sha256(used.encode() + rows).hexdigest()[:16]
        self.digests = Seen(source=everything.source, used=used)
        self.count = len(self.labels) if self.train_rows is None else len(self.train_rows)
        _, _, width = self.form.shape
        self.normalised = Normalisation(self.form.mean, self.form.std, device, self.form.top, width)

    def _some(self, parts: Sequence[Tensor], rows: Tensor | None = None) -> Batches:
        return batches_of(parts, self.device, rows, mapped=self._mapped)

    def _split(self, images: datasets.Images) -> Tensor:
        """Returns the rows that are held out."""
        rows = np.arange(len(images.train_labels)) if self.train_rows is None else self.train_rows.numpy()
        size = self._share(len(rows))
        rng = np.random.default_rng(self.resolved.derive("split"))
        labels = images.train_labels.numpy()[rows]
        if images.groups is None:
            parts = datasets.stratified_split(labels, size, rng)
        else:
            parts = datasets.grouped_split(images.groups[rows], size, rng)
        held_out, trained = (torch.from_numpy(rows[part]) for part in parts)
        self.train_rows = trained
        validation = self._some(self._parts, held_out)
        if self.stored != self.form.shape:
            validation = Smaller(validation, self.form.shape[1:])
        self.validation = validation, self.labels[held_out.to(self.device)]
        return held_out

    def _share(self, images: int) -> int:
        """How many of the training images are held out."""
        size = round(self.recipe.validation * images)
        if not 0 < size < images:
            raise BenchError(
                f"recipe.validation: a share of {self.recipe.validation} leaves {size} validation images "
                f"of {images}; at least one must stay on either side"
            )
        return size

    def _draw(self, resident: datasets.Images, loaded: datasets.Images) -> list[Tensor]:
        """Of all images that there are, this seed's own for testing, validation and training, in the numbers
        that they come in (Bouthillier et al. 2021, §2.1, 2103.03098).

        Args:
            resident: on the device; ``loaded``: the same on the CPU.

        Returns:
            The rows that test, and those that validate, if any do.
        """
        if loaded.groups is not None:
            raise BenchError(
                f"splits: found per_seed; data set '{self.resolved.dataset.label()}' has groups, which are "
                "known of its training images alone"
            )
        self._parts = _parts(resident)
        if any(part.device != self.device for part in self._parts):  # not all of them fit there
            self._parts = _parts(loaded)
        held_out = loaded.validation
        every = [loaded.train_labels, loaded.test_labels, *([] if held_out is None else [held_out[1]])]
        self.labels = move(torch.cat(every), self.device)
        labels = torch.cat(every).numpy()
        trained = torch.arange(len(loaded.train_labels)) if self.train_rows is None else self.train_rows
        pool = torch.cat([trained, torch.arange(len(loaded.train_labels), len(labels))]).numpy()
        sizes = [len(loaded.test_labels)]
        if self.resolved.selection == "validation":
            sizes.append(self._share(len(trained)) if held_out is None else len(held_out[1]))
        rng = np.random.default_rng(self.resolved.derive("split"))
        drawn = []
        for size in sizes:
            first, rest = datasets.stratified_split(labels[pool], size, rng)
            drawn.append(torch.from_numpy(pool[first]))
            pool = pool[rest]
        self.train_rows = torch.from_numpy(pool)
        parts = ((self._some(self._parts, rows), self.labels[rows.to(self.device)]) for rows in drawn)
        self.test, *validation = parts
        self.validation = validation[0] if validation else None
        return drawn

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
        used = labels if self.train_rows is None else labels[self.train_rows]
        return torch.bincount(used, minlength=self.form.classes)

    def batches(self, epoch: int, step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """What the steps of an epoch see, from one on: normalised images; labels, or probabilities if mixed.

        Orders and parameters are drawn on the CPU, so that they do not depend on the device, and reach it
        in one go: nothing in here waits for the device, or makes it wait.
        """
        size, shape = self.step_size, self.form.shape
        rows = self.order(epoch)
        generator = self._generator("augmentation", epoch)
        drawn = augment.draw(self.recipe.augment, self.count, shape, generator, self.stored)
        rows = rows if self.train_rows is None else self.train_rows[rows]
        labels = self.labels[move(rows, self.device)]
        drawn = [move(parameters, self.device) for parameters in drawn]
        mixtures = self._mixtures(epoch, step)
        chunk = max(1, self._at_once() // size) * size
        skip = step * size
        count = self.seen_per_epoch
        starts = range(skip - skip % chunk, count, chunk)
        parts = [slice(start, min(start + chunk, count)) for start in starts]
        for part, raw in zip(parts, self.images.chunks(rows, parts), strict=True):
            mean, whole = self.normalised.mean, not raw.is_floating_point()
            images = augment.apply(self.recipe.augment, drawn, raw, part, mean, whole=whole, size=shape[1:])
            images = self.normalised(images)
            for first in range(max(skip - part.start, 0), len(images), size):
                window = slice(part.start + first, min(part.start + first + size, part.stop))
                batch = images[first : first + size], labels[window]
                yield batch if mixtures is None else mix.apply(next(mixtures), *batch, self.form.classes)

    def _at_once(self) -> int:
        """How many images are augmented at once."""
        pixels = math.prod(self.stored)
        return min(_CHUNK, _CACHED // pixels) if self.device.type == "cpu" else _PIXELS // pixels

    def _mixtures(self, epoch: int, step: int) -> Iterator[mix.Mixture] | None:
        if self.recipe.mix is None:
            return None
        batches = -(-self.count // self.step_size)
        seed = self.resolved.derive("mix", epoch)
        return iter(mix.draw(self.recipe.mix, batches, self.form.shape, seed)[step:])

    def _generator(self, purpose: str, epoch: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.resolved.derive(purpose, epoch))
