"""VGG-5 and Spinal-VGG of dipuk0506/SpinalNet, which arXiv:2501.13709 trains, and tiny versions of both.

Layers of VGG-5 carry the names of the reference (``l1`` … ``l4``, ``classifier``), so that its published
weights can be loaded. Its Spinal-VGG, whose weights are not published, has the layers of the head beside
``l4``; here they are in ``classifier``.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def vgg5(channels: int, classes: int, *, spinal: bool = False, dropout: float = 0.5) -> nn.Sequential:
    """The reference network: 3,654,362 parameters at 1 channel and 26 classes, Spinal 3,637,978."""
    stages = [(64, 64), (128, 128), (256, 256, 256), (256, 256, 256)]
    head = SpinalHead(256, 128, classes, dropout) if spinal else plain_head(256, 512, classes, dropout)
    return _network(channels, stages, head)


def tiny(
    channels: int, classes: int, *, width: int = 16, spinal: bool = False, dropout: float = 0.25
) -> nn.Sequential:
    """Three stages of `width`, 2 `width` and 4 `width` channels: trains on digits in half a second."""
    stages = [(width, width), (2 * width,), (4 * width,)]
    features = 4 * width
    head = (
        SpinalHead(features, 2 * width, classes, dropout)
        if spinal
        else plain_head(features, 8 * width, classes, dropout)
    )
    return _network(channels, stages, head)


def _network(channels: int, stages: Sequence[Sequence[int]], head: nn.Module) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, widths in enumerate(stages, start=1):
        layers[f"l{number}"] = _stage(channels, widths)
        channels = widths[-1]
    # 28×28 images leave 1×1 here, so this changes nothing for them; what larger ones leave is averaged.
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["classifier"] = head
    return nn.Sequential(layers)


def _stage(channels: int, widths: Sequence[int]) -> nn.Sequential:
    """3×3 convolution, batch norm and ReLU for each width, ended by 2×2 max-pooling."""
    layers: list[nn.Module] = []
    for width in widths:
        convolution = nn.Conv2d(channels, width, kernel_size=3, padding=1)
        nn.init.normal_(convolution.weight, std=math.sqrt(2 / (9 * width)))
        layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        channels = width
    return nn.Sequential(*layers, nn.MaxPool2d(2))


def plain_head(features: int, hidden: int, classes: int, dropout: float) -> nn.Sequential:
    """Dropout, one hidden layer with batch norm, dropout, output layer."""
    return nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(features, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(hidden, classes),
    )


class SpinalHead(nn.Module):
    """Four layers that see halves of the features in turn, each also the layer before it (2007.03347)."""

    def __init__(self, features: int, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.middle = features // 2
        self.fc_spinal_layer1 = _spinal_layer(self.middle, width, dropout)
        self.fc_spinal_layer2 = _spinal_layer(self.middle + width, width, dropout)
        self.fc_spinal_layer3 = _spinal_layer(self.middle + width, width, dropout)
        self.fc_spinal_layer4 = _spinal_layer(self.middle + width, width, dropout)
        self.fc_out = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * width, classes))

    def forward(self, features: Tensor) -> Tensor:
        """[N, features] to logits [N, classes]."""
        first, second = features[:, : self.middle], features[:, self.middle :]
        x1 = self.fc_spinal_layer1(first)
        x2 = self.fc_spinal_layer2(torch.cat([second, x1], dim=1))
        x3 = self.fc_spinal_layer3(torch.cat([first, x2], dim=1))
        x4 = self.fc_spinal_layer4(torch.cat([second, x3], dim=1))
        logits: Tensor = self.fc_out(torch.cat([x1, x2, x3, x4], dim=1))
        return logits


def _spinal_layer(features: int, width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(features, width),
        nn.BatchNorm1d(width),
        nn.ReLU(inplace=True),
    )
