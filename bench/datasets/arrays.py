"""``arrays``: images and labels in an ``.npz`` file, with MedMNIST's keys or others; or ``.npy`` files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets.forms import MOST_CLASSES
from bench.datasets.on_disk import Arrays
from bench.datasets.own import channels_last
from bench.datasets.pictures import Array
from bench.datasets.sources import Item, Labels, Part, Source, check_classes, with_test
from bench.errors import BenchError, unknown

_KEYS = {"train": "train", "validation": "val", "test": "test"}


def source_of(where: Path, options: Arrays) -> Source:
    """What the arrays hold.

    Raises:
        BenchError: an array is missing, or is not what it should be.
    """
    opened = _Opened(where)
    read_parts: dict[str, tuple[Array, Labels]] = {}
    for part, key in _KEYS.items():
        names = getattr(options, f"{key}_images"), getattr(options, f"{key}_labels")
        asked = part == "train" or options.named(f"{key}_images", f"{key}_labels")
        if asked or any(name in opened.names for name in names):
            read_parts[part] = _images(opened, names[0], options), _labels(opened, names[1], options)
    train = read_parts["train"][0]
    for part, (images, labels) in read_parts.items():
        if len(images) != len(labels):
            raise BenchError(f"file: {where}: {part} has {len(images)} images and {len(labels)} labels")
        same = images.shape[3] == train.shape[3] and images.dtype == train.dtype
        if not same or (options.image_size is None and images.shape[1:] != train.shape[1:]):
            raise BenchError(
                f"file: {where}: {part} images are {images.dtype} {[*images.shape[1:]]} (height, width, "
                f"channels), train images {train.dtype} {[*train.shape[1:]]}; expected the same"
            )
    lowest = min(int(labels.min()) for _, labels in read_parts.values())
    if lowest:
        raise BenchError(
            f"file: {where}: labels begin at {options.first_label + lowest}, expected classes counted from "
            f"{options.first_label}; say `first_label: {options.first_label + lowest}` if that is the first"
        )
    classes = 1 + max(int(labels.max()) for _, labels in read_parts.values())
    if classes > MOST_CLASSES:  # before anything counts them, which takes as much memory
        raise BenchError(
            f"file: {where}: labels run up to {options.first_label + classes - 1}, expected at most "
            f"{MOST_CLASSES:,} classes, counted from {options.first_label}"
        )
    groups = None
    if options.groups in opened.names or options.named("groups"):
        groups = _integers(opened, options.groups)
        if len(groups) != len(train):
            raise BenchError(f"file: {where}: {len(train)} training images and {len(groups)} groups")
    parts = {
        part: _part(f"{where}, {part} image", images, labels, groups if part == "train" else None)
        for part, (images, labels) in read_parts.items()
    }
    kind = "float32" if train.dtype.kind == "f" else str(train.dtype)
    height, width, channels = train.shape[1:]
    source = Source(
        with_test(parts, options, f"file: {where}"),
        [str(k) for k in range(classes)],
        kind,
        (height, width, channels),
    )
    check_classes(source, f"file: {where}")
    return source


class _Opened:
    """An ``.npz`` file, or a folder of ``.npy`` files."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self.folder = where.is_dir()
        try:
            self.content: Any = None if self.folder else np.load(where, allow_pickle=False)
        except (ValueError, OSError) as error:
            raise BenchError(f"file: {where} cannot be read: {error}") from None
        self.names: list[str] = [file.stem for file in where.glob("*.npy")]
        if self.content is not None:
            self.names = self.content.files

    def array(self, name: str) -> Array:
        """One of its arrays. Raises BenchError."""
        if name not in self.names:
            raise BenchError(f"file: {self.where}: {unknown('array', name, self.names)}")
        try:
            if self.folder:
                array: Array = np.load(self.where / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            else:
                array = self.content[name]
        except Exception as error:  # zlib, zipfile and numpy have errors of their own for what is damaged
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise BenchError(f"file: {self.where}: {name} cannot be read: {reason}") from None
        return array


def _images(opened: _Opened, name: str, options: Arrays) -> Array:
    """[N, H, W, C]."""
    images = opened.array(name)
    if images.dtype.kind != "f" and str(images.dtype) not in ("uint8", "uint16"):
        raise BenchError(f"file: {opened.where}: {name} is {images.dtype}, expected uint8, uint16 or floats")
    if images.ndim not in (3, 4) or not images.size:
        raise BenchError(
            f"file: {opened.where}: {name} is {[*images.shape]}, expected [N, H, W], [N, C, H, W] or "
            "[N, H, W, C], and at least one image"
        )
    if images.ndim == 3:
        return images[:, :, :, None]
    last = options.layout == "NHWC" if options.layout else channels_last(images.shape)
    if options.layout is None and (images.shape[1] in (1, 3, 4)) == (images.shape[3] in (1, 3, 4)):
        raise BenchError(
            f"file: {opened.where}: {name} is {[*images.shape]}, which may be NCHW or NHWC; say `layout`"
        )
    return images if last else np.moveaxis(images, 1, 3)


def _integers(opened: _Opened, name: str) -> Labels:
    values = opened.array(name)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.kind not in "iu" or values.ndim != 1:
        raise BenchError(
            f"file: {opened.where}: {name} is {values.dtype} {[*values.shape]}, expected one integer an image"
        )
    return values.astype(np.int64)


def _labels(opened: _Opened, name: str, options: Arrays) -> Labels:
    """Counted from 0."""
    labels = _integers(opened, name)
    if len(labels) and labels.min() < options.first_label:
        raise BenchError(
            f"file: {opened.where}: {name} goes down to {labels.min()}, expected classes counted from "
            f"{options.first_label}"
        )
    return labels - options.first_label


def _part(called: str, images: Array, labels: Labels, groups: Labels | None) -> Part:
    def read(rows: Sequence[int]) -> list[Item]:
        first, last = rows[0], rows[-1] + 1
        together = last - first == len(rows)
        chunk = images[first:last] if together else images[np.asarray(rows)]
        if chunk.dtype.kind == "f":
            chunk = chunk.astype(np.float32)
            if not np.isfinite(chunk).all():
                row = rows[int(np.flatnonzero(~np.isfinite(chunk).all((1, 2, 3)))[0])]
                raise BenchError(f"{called} {row} has values that are not finite")
        return [*np.asarray(chunk)]

    return Part(labels, read, lambda row: f"{called} {row}", groups)
