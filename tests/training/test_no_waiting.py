"""What a GPU is asked to do within an epoch never waits for it: seen without one, on tensors without values.

Pretended CUDA tensors have a device and a shape; meta tensors, which gradients can flow through, too. What
would need a value (``item``, ``nonzero``, a truth value) raises, as does an operation on tensors of two
devices. Transfers between devices are refused as well.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from bench import models
from bench.suite import Suite
from bench.training.data import Data
from bench.training.objective import Objective
from bench.training.step import Step

CUDA = torch.device("cuda", 0)
ALL_LOSSES: list[Any] = [
    "ce",
    {"min_ent": {"learn": "free"}},
    {"mix_ent": {"learn": "square"}},
    "focal",
    "sce",
]
ALL_LOSSES += ["label_smoothing", "gce", "confidence_penalty", "poly1", "mae"]
LIBRARY: list[Any] = [
    {"timm/resnet18": {"image_size": 64}},
    {"timm/convnext_atto": {"image_size": 64}},
    {"timm/vit_tiny_patch16_224": {"image_size": 224}},
    {"timm/efficientnet_b0": {"image_size": 64}},
    {"torchvision/vgg11_bn": {"image_size": 32}},
]


class NoTransfers(TorchDispatchMode):
    """Refuses what moves a tensor from one device to another."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        leaves = pytree.tree_leaves((args, kwargs, out))
        devices = {leaf.device.type for leaf in leaves if isinstance(leaf, torch.Tensor)}
        assert len(devices) < 2, f"{function} moves data between {devices}"
        return out


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Tensors without values; those that exist already are taken as they are."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)  # takes a driver
    return FakeTensorMode(allow_non_fake_inputs=True)


def test_such_tensors_find_what_waits(pretended: FakeTensorMode) -> None:
    with pretended:
        values = torch.ones(3, device=CUDA)
        for waits in (lambda: values.sum().item(), lambda: values.nonzero(), lambda: values[values > 0]):
            with pytest.raises(RuntimeError):
                waits()
        with pytest.raises(RuntimeError):
            values + torch.ones(3)
        with pytest.raises(AssertionError, match="moves data"), NoTransfers():
            values.cpu()


def test_batches(make_suite: Callable[..., Suite], tmp_path: Path, pretended: FakeTensorMode) -> None:
    every = ["perspective", "rotation", {"shift": {"pixels": 1}}, {"crop": {"padding": 1}}, "flip"]
    every += ["randaugment", "erasing"]
    suite = make_suite(selection="validation", recipe={"batch_size": 32, "augment": every})
    data = Data(suite.runs()[0].resolve(), tmp_path, torch.device("cpu"))
    next(data.batches(0))  # what is a number on the host is known once and for all
    data.device = CUDA
    with pretended:
        places = {data: ("labels",), data.images: ("images",), data.normalised: ("scale", "shift", "mean")}
        for owner, name in ((owner, name) for owner, names in places.items() for name in names):
            setattr(owner, name, getattr(owner, name).to(CUDA))
        batches = data.batches(0)
        first = next(batches)  # draws on the CPU, and sends what it drew
        with NoTransfers():
            rest = list(batches)
    assert {tensor.device for batch in [first, *rest] for tensor in batch} == {CUDA}
    assert sum(len(labels) for _, labels in rest) == 180 - 32


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=str)
def test_every_loss(make_suite: Callable[..., Suite], loss: Any) -> None:
    take_steps(make_suite(losses=loss, baseline=None, models="spinal-vgg5-tiny"), side=8)


@pytest.mark.parametrize("model", ["vgg5", *LIBRARY], ids=str)
def test_models(make_suite: Callable[..., Suite], model: Any) -> None:
    take_steps(make_suite(datasets="mnist", models=model), side=28)


def take_steps(suite: Suite, side: int) -> None:
    """Two steps, with another optimizer: the fused ones have no kernels for such tensors."""
    run, meta = suite.runs()[0].resolve(), torch.device("meta")
    model = models.build(run.model, (1, side, side), 10).to(meta)
    objective = Objective(run.loss).to(meta)
    optimizer = torch.optim.SGD([*model.parameters(), *objective.parameters()])
    step = Step(model, objective, optimizer, run.recipe, meta)
    images = torch.zeros(8, 1, side, side, device=meta).contiguous(memory_format=torch.channels_last)
    target = torch.zeros(8, dtype=torch.long, device=meta)
    for _ in range(2):
        with NoTransfers():
            step(images, target)
    assert all(parameter.grad is not None for parameter in model.parameters())
