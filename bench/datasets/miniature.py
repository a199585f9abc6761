"""A few letters in the form of another data set: what a scaled suite trains on, with nothing to download."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.datasets import FORMS
from bench.datasets.letters import synthetic_letters

if TYPE_CHECKING:
    from torch import Tensor

_LETTERS = FORMS["synthetic-letters"].classes


def letters_like(like: str, train: int, test: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``synthetic-letters`` with as many classes, channels and pixels as the data set ``like`` has.

    More classes than letters there are: after Z come the letters lying on their side, then upside down.

    Args:
        like: a name in :data:`bench.datasets.FORMS`.
        train: number of training images, at least one for each class.
        test: number of test images.

    Returns:
        Train images (uint8 [N, C, H, W]), train labels (int64 [N]), test images and test labels.
    """
    form = FORMS[like]
    # Every letter is drawn equally often, so of the first classes there are as many as it takes.
    share = -(-_LETTERS // min(form.classes, _LETTERS))
    drawn = synthetic_letters(share * train + _LETTERS, share * test + _LETTERS)
    return (*_like(like, *drawn[:2], train), *_like(like, *drawn[2:], test))


def _like(name: str, images: Tensor, labels: Tensor, size: int) -> tuple[Tensor, Tensor]:
    import torch
    import torch.nn.functional as F

    form = FORMS[name]
    kept = labels < form.classes
    images, labels = images[kept][:size], labels[kept][:size]
    turns = torch.arange(size) // _LETTERS % -(-form.classes // _LETTERS)
    turned = labels + _LETTERS * turns
    turns = torch.where(turned < form.classes, turns, 0)
    images = torch.stack([image.rot90(int(k), (1, 2)) for image, k in zip(images, turns, strict=True)])
    channels, height, width = form.shape
    down, right = height - images.shape[2], width - images.shape[3]
    padded = F.pad(images, (right // 2, right - right // 2, down // 2, down - down // 2))
    return padded.repeat(1, channels, 1, 1), labels + _LETTERS * turns
