"""Mixing pairs of images and their labels, a batch at a time: mixup and CutMix as torchvision does them.

As in augmentation, what is done to a batch is drawn on the CPU from a generator of its own, and depends on
nothing but the seed, the epoch and the batch's place in it; losses with the same seed see the same mixtures.
Each image is mixed with the one before it in the batch, which the epoch's order has made a random one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.registry import Choice
from bench.transforms import Cutmix, Mixup, MixupOrCutmix


class Mixture(NamedTuple):
    """How one batch is mixed."""

    share: float
    """Share of each image's own label: λ, for CutMix that of the pixels it has kept."""
    box: tuple[int, int, int, int] | None
    """CutMix: left, top, right and bottom of what is pasted in; None: mixup."""


def draw(choice: Choice, batches: int, shape: tuple[int, int, int], seed: int) -> list[Mixture]:
    """Draw the mixtures of an epoch of ``batches``, for images of ``shape`` (C, H, W)."""
    rng = np.random.default_rng(seed)
    options = choice.options
    if isinstance(options, MixupOrCutmix):
        pasted = rng.random(batches) < options.switch
        seeds = rng.integers(2**63, size=2)
        both = [
            draw(Choice(kind, options_of), batches, shape, int(drawn))
            for kind, options_of, drawn in (
                ("mixup", Mixup(alpha=options.mixup), seeds[0]),
                ("cutmix", Cutmix(alpha=options.cutmix), seeds[1]),
            )
        ]
        return [mixtures[paste] for *mixtures, paste in zip(*both, pasted.astype(int), strict=True)]
    assert isinstance(options, (Mixup, Cutmix))
    shares = [float(value) for value in rng.beta(options.alpha, options.alpha, batches)]
    if isinstance(options, Mixup):
        return [Mixture(share, None) for share in shares]
    _, height, width = shape
    mixtures = []
    xs, ys = rng.integers(width, size=batches), rng.integers(height, size=batches)
    for share, x, y in zip(shares, xs, ys, strict=True):
        # A box of (1 − λ) of the image's area around a random pixel, cut where it leaves the image.
        reach = 0.5 * math.sqrt(1 - share)
        across, down = int(reach * width), int(reach * height)
        left, top = max(int(x) - across, 0), max(int(y) - down, 0)
        right, bottom = min(int(x) + across, width), min(int(y) + down, height)
        kept_share = 1 - (right - left) * (bottom - top) / (width * height)
        mixtures.append(Mixture(kept_share, (left, top, right, bottom)))
    return mixtures


def apply(mixture: Mixture, images: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Mix a batch: images [N, C, H, W] of any scale and labels [N] → images, and probabilities [N, K]."""
    share, box = mixture
    # Not one_hot, which looks at the labels on the host.
    target = torch.zeros(len(labels), classes, device=labels.device).scatter_(1, labels.unsqueeze(1), 1.0)
    target = target.roll(1, 0).mul_(1 - share).add_(target * share)
    partners = images.roll(1, 0).contiguous(memory_format=torch.channels_last)
    if box is None:
        return partners.mul_(1 - share).add_(images * share), target
    left, top, right, bottom = box
    mixed = images.clone()
    mixed[..., top:bottom, left:right] = partners[..., top:bottom, left:right]
    return mixed, target
