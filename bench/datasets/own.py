"""Arrays of somebody's own, checked: what a callable returns, and what files of arrays hold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.datasets.forms import MOST_CLASSES, Form, top_of
from bench.datasets.options import DatasetOptions
from bench.errors import BenchError
from bench.registry import Choice, describe, load_callable

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PARTS = ("train", "validation", "test")


class Own(NamedTuple):
    """What a callable returned."""

    form: Form
    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor] | None


def read(choice: Choice, options: DatasetOptions) -> Own:
    """``callable(**options)`` returns images and labels for training, for validation if any, and for testing.

    Arrays or tensors: images [N, C, H, W], [N, H, W, C] or [N, H, W], of 8 or 16 bits or floats; integer
    labels [N] from 0. Floats are taken as they are: 0 to 1 is what other data sets have.

    Raises:
        BenchError: it is anything else.
    """
    where = f"data set '{choice.label()}'"
    make = load_callable(choice.name)
    try:
        given = make(**(options.model_extra or {}))
    except Exception as error:  # code of the user's own can raise anything
        raise BenchError(f"{where}: {type(error).__name__}: {error}") from error
    if not isinstance(given, (tuple, list)) or len(given) not in (4, 6):
        raise BenchError(
            f"{where}: it returned {describe(given)}, expected train images, train labels, test images, test "
            "labels, or six with validation images and labels between them"
        )
    names = PARTS if len(given) == 6 else ("train", "test")
    parts = {name: _part(f"{where}: {name}", *given[2 * k : 2 * k + 2]) for k, name in enumerate(names)}
    train, test = parts["train"], parts["test"]
    for name, (images, _) in parts.items():
        if images.shape[1:] != train[0].shape[1:] or images.dtype != train[0].dtype:
            raise BenchError(
                f"{where}: train images are {_kind(train[0])}, {name} images {_kind(images)}; "
                "expected the same shape and type"
            )
    lowest = min(int(labels.min()) for _, labels in parts.values())
    if lowest > 0:
        raise BenchError(
            f"{where}: labels begin at {lowest}, expected classes counted from 0; subtract {lowest} from all"
        )
    classes = int(max(labels.max() for _, labels in parts.values())) + 1
    if classes > MOST_CLASSES:
        raise BenchError(
            f"{where}: labels run up to {classes - 1}, expected 0 to {MOST_CLASSES - 1}, counted from 0"
        )
    channels, height, width = train[0].shape[1:]
    top = top_of(str(train[0].numpy().dtype))
    form = Form((channels, height, width), classes, *mean_and_std(train[0], top), top)
    return Own(form, train, test, parts.get("validation"))


def _kind(images: Tensor) -> str:
    return f"{str(images.dtype).removeprefix('torch.')} {list(images.shape[1:])}"


def _part(where: str, images: Any, labels: Any) -> tuple[Tensor, Tensor]:
    import torch

    try:
        images, labels = torch.as_tensor(images, device="cpu"), torch.as_tensor(labels, device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:
        raise BenchError(f"{where} images or labels are no arrays of numbers: {error}") from error
    if images.is_floating_point():
        images = images.float()
        if not images.isfinite().all():
            raise BenchError(f"{where} images have values that are not finite")
    if (
        images.dtype not in (torch.uint8, torch.uint16, torch.float32)
        or images.ndim not in (3, 4)
        or images.numel() == 0
    ):
        raise BenchError(
            f"{where} images are {images.dtype} {list(images.shape)}, expected uint8, uint16 or floats, "
            "[N, C, H, W], [N, H, W, C] or [N, H, W], and at least one image"
        )
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.is_floating_point() or labels.is_complex() or labels.shape != images.shape[:1]:
        raise BenchError(
            f"{where} labels are {labels.dtype} {list(labels.shape)}, "
            f"expected one integer for each of {len(images)} images"
        )
    labels = labels.long()
    if labels.min() < 0:
        raise BenchError(f"{where} labels go down to {labels.min()}, expected classes counted from 0")
    if images.ndim == 3:
        return images.unsqueeze(1), labels
    return images.permute(0, 3, 1, 2).contiguous() if channels_last(images.shape) else images, labels


def channels_last(shape: tuple[int, ...] | torch.Size) -> bool:
    """Whether four sizes are those of [N, H, W, C]: only the last can be a number of channels."""
    return shape[3] in (1, 3, 4) and shape[1] not in (1, 3, 4)


def mean_and_std(images: Tensor, top: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of each channel of images [N, C, H, W], divided by ``top``."""
    import torch

    means, stds = [], []
    for channel in images.unbind(dim=1):
        if images.is_floating_point():
            mean, std = float(channel.double().mean()) / top, float(channel.double().std(correction=0)) / top
        else:
            # From counts of all levels, in integers: exact, and without a copy of all images as floats.
            levels = torch.arange(int(top) + 1)
            count = torch.bincount(channel.flatten().int(), minlength=len(levels))
            n, total, squares = channel.numel(), int((count * levels).sum()), int((count * levels**2).sum())
            mean, std = total / n / top, math.sqrt(n * squares - total**2) / n / top
        means.append(mean)
        # A channel of one colour has nothing to scale; dividing by 0 would make it NaN.
        stds.append(std or 1.0)
    return tuple(means), tuple(stds)
