"""One training step as the device does it: forward, loss, backward, update, and the epoch's sums.

Nothing here asks the device for a value, so nothing waits for it, and all of it can be recorded and replayed
(:mod:`bench.training.replay`). What changes from step to step and comes from the host (the learning rate, the
seed of dropout) is set before a step is taken.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from bench.recipe import Recipe
from bench.training.objective import Objective
from bench.training.own_state import keeps_state
from bench.training.update import Update

_OF_DEVICE = {"lr", "foreach", "fused", "capturable"}
"""Of an optimizer's groups: the tensor that holds the rate, and how steps are computed."""


def precision(name: str, device: torch.device) -> AbstractContextManager[Any]:
    """The context in which a model computes: ``bf16`` and ``fp16`` cast what gains by it; ``fp32`` changes
    nothing."""
    if name == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16 if name == "bf16" else torch.float16)


class Step:
    """Call it with a batch: normalised images [N, C, H, W], and labels [N] or probabilities [N, K]."""

    def __init__(
        self,
        model: torch.nn.Module,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        recipe: Recipe,
        device: torch.device,
    ) -> None:
        self.model = model
        self.objective = objective
        self.optimizer = optimizer
        self.update = Update(optimizer, model, recipe, device)
        self.precision = recipe.precision
        self.at_once = recipe.batch_size
        self.device = device
        # Sums of the epoch stay on the device: asking for their values would wait for it at every step.
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.correct = torch.zeros((), dtype=torch.int64, device=device)

    @property
    def scored(self) -> torch.nn.Module:
        """What answers for the training: the model, or the average of its weights."""
        return self.model if self.update.average is None else self.update.average.model

    def __call__(self, images: Tensor, target: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        parts = (torch.split(tensor, self.at_once) for tensor in (images, target))
        first = 0
        for some, labels in zip(*parts, strict=True):
            self.objective.part = slice(first, first + len(some))
            self._learn(some, labels, len(some) / len(images))
            first += len(some)
        self.update()

    def _learn(self, images: Tensor, target: Tensor, share: float) -> None:
        """Add the gradients of a part of the step's images to those of the others."""
        with precision(self.precision, self.device):
            logits = self.model(images)
        logits = logits.float()
        loss = self.objective(logits, target)
        self.update.backward(loss if share == 1 else loss * share)
        with torch.no_grad():
            self.loss_sum += loss.detach().double() * len(target)
            truth = target.argmax(dim=1) if target.is_floating_point() else target
            self.correct += (self.objective.judged(logits).argmax(dim=1) == truth).sum()

    def rates(self) -> list[Tensor]:
        """The learning rates that lie in tensors, which a recorded step reads at each replay."""
        return [group["lr"] for group in self.optimizer.param_groups if isinstance(group["lr"], Tensor)]

    def set_rate(self, rate: float) -> None:
        """The learning rate of the next step; a layer's is its share of that."""
        for group in self.optimizer.param_groups:
            scaled = rate * group.get("lr_scale", 1.0)
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(scaled)
            else:
                group["lr"] = scaled

    def start_epoch(self) -> None:
        """Begin the sums again."""
        self.loss_sum.zero_()
        self.correct.zero_()

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor that a step changes in place, by name: sums, weights, statistics, rates, moments.

        Those of the optimizer are there from its first step on.
        """
        yield from (("sum of losses", self.loss_sum), ("correct", self.correct))
        modules = {"model": self.model, "loss": self.objective}
        if self.update.average is not None:
            modules["average"] = self.update.average.model
        for of, module in modules.items():
            for name, tensor in itertools.chain(module.named_parameters(), module.named_buffers()):
                yield f"{of}: {name}", tensor
        for number, rate in enumerate(self.rates()):
            yield f"rate {number}", rate
        for number, moments in enumerate(self.optimizer.state.values()):
            for name, value in moments.items():
                if isinstance(value, Tensor):
                    yield f"{name} {number}", value

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of a step, but for the sums.

        A loss that keeps its state itself is asked directly: a module asks only modules, and what one of its
        parts gives goes back past that part's ``load_state_dict``.
        """
        if keeps_state(loss := self.objective.bare):
            loss_state = {"loss": loss.state_dict()}
        else:
            loss_state = {"objective": self.objective.state_dict()}
        model, optimizer = self.model.state_dict(), self.optimizer.state_dict()
        return {"model": model, **loss_state, "optimizer": optimizer, **self.update.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a saved :meth:`state`, also from one of another kind of device."""
        self.model.load_state_dict(state["model"])
        if "loss" in state:
            self.objective.bare.load_state_dict(state["loss"])
        else:  # there may be none of a loss that has a pair: a bench before this one did not ask it
            self.objective.load_state_dict(state["objective"])
        old = [{k: v for k, v in group.items() if k in _OF_DEVICE} for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state["optimizer"])
        for group, options in zip(self.optimizer.param_groups, old, strict=True):
            group.update(options)  # the very tensor that holds the rate, and how this device wants to step
        self.update.load_state(state)
