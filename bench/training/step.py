"""One training step as the device does it: forward, loss, backward, update, and the epoch's sums.

Nothing here asks the device for a value, so nothing waits for it, and all of it can be recorded and replayed
(:mod:`bench.training.replay`). What changes from step to step and comes from the host (the learning rate, the
seed of dropout) is set before a step is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from bench import losses
from bench.choices import Choice


class Objective(torch.nn.Module):
    """A loss as a module, which owns the weights that the loss learns, if it learns any."""

    def __init__(self, choice: Choice) -> None:
        super().__init__()
        self.function = losses.as_function(choice)
        initial = choice.options.initial_weights() if isinstance(choice.options, losses.Loss) else ()
        self.weights = torch.nn.Parameter(torch.tensor(initial)) if initial else None

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean loss of logits [N, K] for labels [N] or probabilities [N, K]."""
        if self.weights is None:
            return self.function(logits, target)
        return self.function(logits, target, self.weights)

    def learned_weights(self) -> list[float]:
        """The weights of the loss's terms as they are now; empty where they are not learned."""
        if self.weights is None:
            return []
        assert isinstance(self.function, losses.Loss)
        found: list[float] = self.function.weigh(self.weights.detach()).tolist()
        return found


def precision(name: str, device: torch.device) -> AbstractContextManager[Any]:
    """The context in which a model computes: ``bf16`` casts what gains by it; ``fp32`` changes nothing."""
    if name == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


class Step:
    """Call it with a batch: normalised images [N, C, H, W], and labels [N] or probabilities [N, K]."""

    def __init__(
        self,
        model: torch.nn.Module,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        precision: str,
        device: torch.device,
    ) -> None:
        self.model = model
        self.objective = objective
        self.optimizer = optimizer
        self.precision = precision
        self.device = device
        # Sums of the epoch stay on the device: asking for their values would wait for it at every step.
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.correct = torch.zeros((), dtype=torch.int64, device=device)

    def __call__(self, images: Tensor, target: Tensor) -> None:
        with precision(self.precision, self.device):
            logits = self.model(images)
        logits = logits.float()
        loss = self.objective(logits, target)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            self.loss_sum += loss.detach().double() * len(target)
            truth = target.argmax(dim=1) if target.is_floating_point() else target
            self.correct += (logits.argmax(dim=1) == truth).sum()

    def set_rate(self, rate: float) -> None:
        """The learning rate of the next step."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):  # which a recorded step reads at each replay
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def start_epoch(self) -> None:
        """Begin the sums again."""
        self.loss_sum.zero_()
        self.correct.zero_()

    def modules(self) -> Iterator[torch.nn.Module]:
        """Every module that takes part."""
        yield from self.model.modules()
        yield from self.objective.modules()

    def tensors(self) -> list[Tensor]:
        """Every tensor that a step changes in place and that is known by name: weights, statistics, sums."""
        own = [self.loss_sum, self.correct]
        for module in (self.model, self.objective):
            own += [*module.parameters(), *module.buffers()]
        return own

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of a step, but for the sums."""
        return {
            "model": self.model.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a saved :meth:`state`, also from one of another kind of device."""
        self.model.load_state_dict(state["model"])
        self.objective.load_state_dict(state["objective"])
        own = [{k: v for k, v in group.items() if k != "params"} for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state["optimizer"])
        for group, options in zip(self.optimizer.param_groups, own, strict=True):
            group.update(options)  # the very tensor that holds the rate, and how this device wants to step
