"""A loss as training calls it: what it sees besides logits and labels, and by what a network is scored.

A loss of the user's own may ask for more by the names of its arguments (:data:`SEEN`), which are filled
unless an option of the suite has that name. One whose first argument is called ``features`` or
``embeddings`` gets those in place of the logits, as the losses of pytorch-metric-learning do.

One that gets features may bring its own classifier: a method ``logits(features)``, or ``get_logits`` as in
pytorch-metric-learning. Then the network is scored by that. A loss that seems to have a classifier of its
own, and says nothing of it, is refused: what is scored would be something that nobody trains.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from bench import losses
from bench.errors import BenchError
from bench.models.last_layer import Features
from bench.recipe import Recipe
from bench.registry import Choice, ForeignOptions, keywords, signature

EACH_STEP = ("progress", "epoch", "index")
"""What the host knows anew at each step: a step that takes one of these is never recorded."""
SEEN = (*EACH_STEP, "class_counts", "features")
_OF_FEATURES = ("features", "embeddings")
_CLASSIFIERS = ("logits", "get_logits")


class Objective(torch.nn.Module):
    """A loss as a module, which owns the weights that the loss learns, if it learns any.

    Args:
        choice: the loss.
        model: that it trains; one that takes features is hooked to its last layer.
        class_counts: makes the number of training images of each class, int64 [K].
        device: where tensors that a suite gives as lists lie.

    Raises:
        BenchError: the loss cannot be built, or takes features of a model whose last layer cannot be told, or
            has a classifier by which nothing would be scored.
    """

    def __init__(
        self,
        choice: Choice,
        model: torch.nn.Module | None = None,
        class_counts: Callable[[], Tensor] = lambda: torch.empty(0, dtype=torch.int64),
        device: torch.device | None = None,
        label: str = "the model",
    ) -> None:
        super().__init__()
        self.name = choice.label()
        is_foreign = isinstance(choice.options, ForeignOptions)

        @functools.cache
        def features() -> Features:
            assert model is not None
            return Features(model, label)

        self.one_hot = is_foreign and (choice.options.model_extra or {}).get("target") == "one_hot"
        self.function = losses.as_function(
            choice,
            known={"class_counts": class_counts, "feature_size": lambda: features().size},
            later=SEEN,
            translate=lambda code, options: _as_tensors(code, _less_target(options), device),
        )
        initial = choice.options.initial_weights() if isinstance(choice.options, losses.Loss) else ()
        self.weights = torch.nn.Parameter(torch.tensor(initial)) if initial else None
        self.asks: frozenset[str] = frozenset()
        """Which of :data:`SEEN` it is called with."""
        self.on_features = False
        """Whether it is called with features in place of logits."""
        self.now: dict[str, Any] = {}
        """What :data:`EACH_STEP` are in the step to come, and ``class_counts``."""
        self.part = slice(None)
        """Which of a step's images it is called with."""
        self.classifier: Callable[[Tensor], Tensor] | None = None
        """Makes logits [N, K] of features, where the loss brings what makes them."""
        if not is_foreign:
            return
        options = choice.options.model_extra or {}
        self.asks = frozenset(keywords(self.bare, 2) & {*SEEN} - {*options})
        self.on_features = next(iter(signature(self.bare).parameters), "") in _OF_FEATURES
        if "class_counts" in self.asks:
            self.now["class_counts"] = class_counts().to(device)
        if self.on_features or "features" in self.asks:
            self.features = features()
            methods = (getattr(self.bare, name, None) for name in _CLASSIFIERS)
            self.classifier = next((method for method in methods if callable(method)), None)
        elif hidden := _classifier_in(self.bare, class_counts):
            raise BenchError(
                f"losses: {choice.label()}: its parameter {hidden}, and it is called with the network's "
                "outputs: if it is a classifier of its own, it would be trained and something else scored. "
                "Have it take `features`, what the last layer gets, and give it a method `logits(features)`, "
                "by which the network is then scored; or say `own_classifier = False` in the class, if the "
                "network's own outputs are to be scored"
            )

    def check(self, recipe: Recipe) -> None:
        """Raise BenchError where a recipe and what this loss sees do not go together."""
        if self.classifier is not None and recipe.ema is not None:
            raise BenchError(
                f"losses: {self.name}: recipe.ema averages the model's weights, and what is scored is the "
                "classifier that this loss brings; leave out ema for it (recipe: {ema: null})"
            )
        if "index" in self.asks and recipe.mix is not None and recipe.accumulate > 1:
            raise BenchError(
                f"losses: {self.name}: it takes `index`, and with mix and accumulate an image's partner may "
                "be in another batch; leave out one of the two"
            )

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean loss of logits [N, K] for labels [N] or probabilities [N, K]."""
        if self.weights is not None:
            return self.function(logits, target, self.weights)
        if self.one_hot and not target.is_floating_point():
            target = torch.zeros_like(logits).scatter_(1, target.unsqueeze(1), 1.0)
        if self.asks:
            extras = {name: self.now[name] for name in self.asks if name != "features"}
            if "index" in extras:
                extras["index"] = extras["index"][self.part]
            if "features" in self.asks:
                extras["features"] = self.features.last()
            return self.function(self.features.last() if self.on_features else logits, target, **extras)
        return self.function(self.features.last() if self.on_features else logits, target)

    def judged(self, logits: Tensor) -> Tensor:
        """What a network is scored by [N, K], right after it has made these logits: mostly these."""
        return logits if self.classifier is None else self.classifier(self.features.last().detach()).float()

    @property
    def each_step(self) -> list[str]:
        """Which of :data:`EACH_STEP` it takes."""
        return [name for name in EACH_STEP if name in self.asks]

    @property
    def bare(self) -> Any:
        """The loss without the options that are bound to it: what may have state."""
        return self.function.func if isinstance(self.function, functools.partial) else self.function

    def learned_weights(self) -> list[float]:
        """The weights of the loss's terms as they are now; empty where they are not learned."""
        if self.weights is None:
            return []
        assert isinstance(self.function, losses.Loss)
        weights: list[float] = self.function.weigh(self.weights.detach()).tolist()
        return weights


def _less_target(options: Mapping[str, Any]) -> dict[str, Any]:
    """Without ``target: one_hot``, which is ours."""
    return {name: value for name, value in options.items() if (name, value) != ("target", "one_hot")}


def _as_tensors(code: Any, options: Mapping[str, Any], device: torch.device | None) -> dict[str, Any]:
    """Options, with tensors for lists where the code's annotation says so, and does not also take lists."""
    result = {**options}
    if not any(isinstance(value, (list, tuple)) for value in options.values()):
        return result
    parameters = signature(code).parameters
    for name, value in options.items():
        annotation = str(parameters[name].annotation) if name in parameters else ""
        takes_lists = re.search(r"\b(Sequence|Iterable|Collection|list|List|tuple|Tuple)\b", annotation)
        if isinstance(value, (list, tuple)) and re.search(r"Tensor\b", annotation) and not takes_lists:
            tensor = torch.tensor(value, device=device)
            is_exact = "LongTensor" in annotation or tensor.dtype == torch.bool
            result[name] = tensor if is_exact else tensor.float()
    return result


def _classifier_in(loss: object, class_counts: Callable[[], Tensor]) -> str:
    """A parameter of a loss with a row or a column for each class, in words; empty where there is none."""
    if not isinstance(loss, torch.nn.Module) or getattr(loss, "own_classifier", None) is False:
        return ""
    tables = {name: [*tensor.shape] for name, tensor in loss.named_parameters() if tensor.ndim >= 2}
    classes = len(class_counts()) if tables else 0
    for name, shape in tables.items():
        if classes in shape:
            return f"'{name}' is {shape}, for {classes} classes"
    return ""
