"""Files as the authors of arXiv:2501.13709 published them, and EMNIST-Letters as NIST did. All made up here.

Their ``run_pretrained.py`` shows the network: 62 outputs for labels as the files of EMNIST-Letters have them,
1 to 26, the loss as a part of it, and all parts a second time, for the optimizer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from helpers import idx
from torch import nn

from bench.models import build, choose_model

METHODS = ("cross_ent", "mix_ent", "min_ent")


class Published(NamedTuple):
    """Files, and what plain torch makes of them."""

    data: Path
    files: list[Path]
    logits: list[torch.Tensor]
    """[N, 62] of each file."""
    labels: torch.Tensor
    """[N], 1 to 26."""

    def correct(self, k: int) -> int:
        """Right answers of a file, counted as the authors do."""
        return int((self.logits[k].argmax(1) == self.labels).sum())


def network(outputs: int = 62, seed: int = 0) -> nn.Module:
    """The authors' VGG, with the loss in it."""
    torch.manual_seed(seed)
    net = build(choose_model("vgg5"), (1, 28, 28), outputs)
    net.loss_module = nn.Module()
    for number, weight in ((1, 0.839), (2, 0.308)):
        setattr(net.loss_module, f"loss_{number}_weight", nn.Parameter(torch.tensor([weight])))
    base = [net.l1, net.l2, net.l3, net.l4, net.classifier]
    net.params = nn.ModuleDict(
        {"base": nn.ModuleList(base), "loss_weights": nn.ModuleList([net.loss_module])}  # type: ignore[list-item]
    )
    return net


def publish(root: Path, images: int = 120) -> Published:
    """Three networks that answer differently, and labels that one of them is right about."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (images, 28, 28), dtype=np.uint8)
    shown = (torch.from_numpy(pictures).unsqueeze(1) / 255 - 0.1307) / 0.3081
    networks = [network(seed=k) for k in range(len(METHODS))]
    logits = []
    with torch.no_grad():
        for net in networks:
            # Batch norm gets to know the images, so that answers are not all the same.
            for module in net.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.momentum = None
            _forward(net.train(), shown)
            net.classifier[5].bias[[0, *range(27, 62)]] -= 10  # what stands for no letter is never the answer
            logits.append(_forward(net.eval(), shown))
    said = torch.stack([made.argmax(1) for made in logits])
    labels = said[torch.from_numpy(rng.choice(3, images, p=(0.5, 0.3, 0.2))), torch.arange(images)]
    raw = root / "data" / "EMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, of, called in (
        ("train", pictures[:52], np.arange(52) % 26 + 1),
        ("test", pictures, labels.numpy()),
    ):
        (raw / f"emnist-letters-{part}-images-idx3-ubyte").write_bytes(idx(of))
        (raw / f"emnist-letters-{part}-labels-idx1-ubyte").write_bytes(idx(called.astype(np.uint8)))
    made = Published(root / "data", [], logits, labels)
    for k, (method, net) in enumerate(zip(METHODS, networks, strict=True)):
        accuracy = f"{100 * made.correct(k) / images:.3f}"
        made.files.append(root / f"{accuracy}_{method}_vgg_emnist_letters.pt")
        save(net, made.files[k])
    return made


def save(net: nn.Module, path: Path, **others: Any) -> Path:
    """As the authors do."""
    torch.save({"model_state": net.state_dict(), **others}, path)
    return path


def _forward(net: Any, images: torch.Tensor) -> torch.Tensor:
    for stage in (net.l1, net.l2, net.l3, net.l4):
        images = stage(images)
    logits: torch.Tensor = net.classifier(images.view(images.size(0), -1))
    return logits
