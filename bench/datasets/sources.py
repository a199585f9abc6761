"""What a data set on disk is made of, before any image is read: labels, and where the images are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.datasets.forms import MOST_CLASSES
from bench.datasets.listing import PARTS
from bench.datasets.on_disk import OnDisk
from bench.datasets.pictures import Array, File
from bench.datasets.variants import grouped_split, stratified_split
from bench.errors import BenchError

Labels = NDArray[np.int64]
Item = File | bytes | Image.Image | Array
"""An image: where it is, as a file's content, opened, or as an array [H, W, C]."""


@dataclass(frozen=True)
class Part:
    """Of a data set: its images in order."""

    labels: Labels
    read: Callable[[Sequence[int]], Sequence[Item]]
    """The images of ascending rows. Raises BenchError."""
    name: Callable[[int], str]
    """What messages call an image."""
    groups: Labels | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, rows: Labels) -> Part:
        """The part of it that has these rows."""
        return Part(
            self.labels[rows],
            lambda chosen: self.read([int(rows[row]) for row in chosen]),
            lambda row: self.name(int(rows[row])),
            None if self.groups is None else self.groups[rows],
        )


@dataclass(frozen=True)
class Source:
    """A data set on disk."""

    parts: Mapping[str, Part]
    """``train`` and ``test``, and ``validation`` where there is one."""
    classes: Sequence[str]
    kind: str
    """Type of the values, as numpy calls it."""
    shape: tuple[int, int, int] | None = None
    """Height, width and channels of all images, where that is known."""


def numbered(labels: Mapping[str, Sequence[Any]], where: str) -> tuple[list[str], dict[str, Labels]]:
    """Names of classes, in order (numbers by size), and labels as numbers from 0, by part.

    Raises:
        BenchError: a class of another part is not in training.
    """
    known = {*labels["train"]} if "train" in labels else {label for part in labels.values() for label in part}
    if all(re.fullmatch("-?[0-9]+", str(label)) for label in known):
        names = sorted(known, key=lambda label: (int(label), str(label)))  # `1` and `01` are two
    else:
        names = sorted(known)
    number = {name: position for position, name in enumerate(names)}
    for part, values in labels.items():
        if strange := [label for label in dict.fromkeys(values) if label not in number]:
            raise BenchError(
                f"{where}: class '{strange[0]}' is in {part} and not in train"
                + (f", and {len(strange) - 1} more" if len(strange) > 1 else "")
            )
    return [str(name) for name in names], {
        part: np.array([number[label] for label in values], np.int64) for part, values in labels.items()
    }


def with_test(parts: Mapping[str, Part], options: OnDisk, where: str) -> dict[str, Part]:
    """The parts of a data set, of which all that has no test images gets some.

    Held out by seed where there are none; a validation part without a test part, as ImageNet has it, is what
    is tested on.

    Raises:
        BenchError: there is nothing to train on, or a part would be empty.
    """
    used = {part: images for part, images in parts.items() if len(images)}
    if "train" not in used:
        raise BenchError(f"{where}: found {', '.join(used) or 'no images'}, and nothing to train on")
    if "test" not in used and "validation" in used:
        used["test"] = used.pop("validation")
    elif "test" not in used:
        pool = used["train"]
        rng = np.random.default_rng([options.split_seed, 3])
        size = round(options.test * len(pool))
        if pool.groups is None:
            tested, trained = stratified_split(pool.labels, size, rng)
        else:
            tested, trained = grouped_split(pool.groups, size, rng)
        if not len(tested) or not len(trained):
            raise BenchError(
                f"{where}: a share of {options.test} of {len(pool)} images leaves none for testing or none "
                "for training"
            )
        used |= {"train": pool.of(trained), "test": pool.of(tested)}
    ordered = {part: used[part] for part in PARTS if part in used}
    _check_groups(ordered, where)
    return ordered


def _check_groups(parts: Mapping[str, Part], where: str) -> None:
    groups = {part: np.unique(images.groups) for part, images in parts.items() if images.groups is not None}
    names = [*groups]
    for k, one in enumerate(names):
        for other in names[k + 1 :]:
            if len(both := np.intersect1d(groups[one], groups[other])):
                count = "1 group is" if len(both) == 1 else f"{len(both):,} groups are"
                raise BenchError(f"{where}: {count} in {one} and in {other}; its splits tear none apart")


def check_classes(source: Source, where: str) -> None:
    """Raise BenchError where a class has no training image, or there are more than a result can hold."""
    if len(source.classes) > MOST_CLASSES:
        raise BenchError(f"{where}: found {len(source.classes):,} classes, expected at most {MOST_CLASSES:,}")
    train = np.bincount(source.parts["train"].labels, minlength=len(source.classes))
    for part, images in source.parts.items():
        seen = np.bincount(images.labels, minlength=len(source.classes)) > 0
        if (missing := np.flatnonzero(seen & (train == 0))).size:
            raise BenchError(f"{where}: class '{source.classes[missing[0]]}' is in {part} and not in train")
