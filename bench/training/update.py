"""From gradients to weights: unscaled where fp16 has scaled them, clipped, stepped, averaged over steps."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from bench.recipe import Clip, Recipe


class Average:
    """The exponential moving average of a model's parameters and statistics: as timm's and torchvision's.

    After each step it moves towards the model by 1 − decay; counts are the model's own. It begins with the
    model's initial weights.
    """

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self._average: Any = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        pairs = [
            (average, theirs)
            for tensors in ("named_parameters", "named_buffers")
            for (_, average), (_, theirs) in zip(
                getattr(self.model, tensors)(), getattr(model, tensors)(), strict=True
            )
        ]
        self._averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def follow(self) -> None:
        """Update the average after a step of the model."""
        averages, theirs = map(list, zip(*self._averaged, strict=True))
        self._average(averages, theirs, 0)  # the count is of no meaning to it
        for mine, other in self._copied:
            mine.copy_(other)


class Update:
    """The update of the weights from the gradients of a step."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, model: torch.nn.Module, recipe: Recipe, device: torch.device
    ) -> None:
        self.optimizer = optimizer
        self.scaler = torch.amp.GradScaler(device.type) if recipe.precision == "fp16" else None
        self.average = Average(model, recipe.ema) if recipe.ema is not None else None
        self._clip = recipe.clip
        self._head = {id(parameter) for parameter in [*model.parameters()][-2:]}

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss; in fp16 of a multiple of it, so that small ones do not vanish."""
        scaled: Tensor = loss if self.scaler is None else self.scaler.scale(loss)
        scaled.backward()  # type: ignore[no-untyped-call]

    def __call__(self) -> None:
        """Take the step. In fp16 it is left out, and the scale halved, where a gradient is not finite."""
        if self.scaler is None:
            self._clip_gradients()
            self.optimizer.step()
        else:
            if self._clip is not None:
                self.scaler.unscale_(self.optimizer)
                self._clip_gradients()
            self.scaler.step(self.optimizer)
            self.scaler.update()
        if self.average is not None:
            self.average.follow()

    def _clip_gradients(self) -> None:
        if self._clip is None:
            return
        groups = self.optimizer.param_groups
        parameters: list[Tensor] = [*itertools.chain.from_iterable(group["params"] for group in groups)]
        match self._clip:
            case Clip(norm=float(most)):
                torch.nn.utils.clip_grad_norm_(parameters, most)
            case Clip(value=float(most)):
                torch.nn.utils.clip_grad_value_(parameters, most)
            case Clip(agc=float(most)):
                from timm.utils import adaptive_clip_grad

                adaptive_clip_grad([p for p in parameters if id(p) not in self._head], most)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps besides the optimizer's state."""
        return {
            **({} if self.scaler is None else {"scaler": self.scaler.state_dict()}),
            **({} if self.average is None else {"average": self.average.model.state_dict()}),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a saved :meth:`state`."""
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            self.average.model.load_state_dict(state["average"])
