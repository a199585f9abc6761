"""The last layer of a network, and what it gets: the features that some losses are made of."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from bench.errors import BenchError
from bench.models.resize import Resized


def last_layer(model: nn.Module) -> nn.Module | None:
    """What makes a network's outputs of its features: its ``get_classifier()``, or else its last ``Linear``.

    timm's models have the former, and a model of the user's own may. None where there is no such layer, or it
    does not say how many features it takes (``in_features``).
    """
    inner = model.model if isinstance(model, Resized) else model
    method = getattr(inner, "get_classifier", None)
    layers = [method()] if callable(method) else [m for m in inner.modules() if isinstance(m, nn.Linear)]
    return layers[-1] if layers and isinstance(getattr(layers[-1], "in_features", None), int) else None


class Features:
    """Keeps what the last layer of ``model`` got at its last call.

    Raises:
        BenchError: there is no such layer.
    """

    def __init__(self, model: nn.Module, label: str) -> None:
        layer = last_layer(model)
        if layer is None:
            raise BenchError(
                f"models: {label}: the loss takes `features`, what the last layer gets, and that layer "
                "cannot be told; choose a model that ends in a torch.nn.Linear, or give yours a method "
                "get_classifier() that returns it"
            )
        self.size: int = layer.in_features  # type: ignore[assignment]
        self.inputs: Tensor | None = None
        layer.register_forward_pre_hook(self._keep)

    def _keep(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.inputs = inputs[0]

    def last(self) -> Tensor:
        """[N, D], in float32.

        Raises:
            BenchError: the layer was not called, or got something else.
        """
        if not isinstance(self.inputs, Tensor) or self.inputs.ndim != 2:
            shape = list(self.inputs.shape) if isinstance(self.inputs, Tensor) else "nothing"
            raise BenchError(
                f"the loss takes `features`, and what the last layer gets is {shape}, expected [N, D]: give "
                "the model a method get_classifier() that returns the layer that makes its outputs"
            )
        return self.inputs.float()
