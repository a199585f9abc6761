"""A loss as :mod:`bench.training.trial` calls it first: what may be wrong with it, and what it would take."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bench.errors import BenchError
from bench.models.last_layer import last_layer
from bench.registry import Choice, keywords, load_callable
from bench.runs import Resolved
from bench.training.device import is_out_of_memory
from bench.training.objective import Objective
from bench.training.own_state import keeps_state

WRAP = "docs/own-loss.md shows a wrapper"


class NotHere(Exception):
    """This machine cannot run the trial."""


class Batch(NamedTuple):
    """A few images, as training passes them on."""

    images: Tensor
    labels: Tensor
    """int64 [N], the first and the last class among them, and one class twice."""
    target: Tensor
    """What the loss gets: these, or where labels are mixed probabilities [N, K]."""
    mixed: bool
    class_counts: Tensor

    @property
    def form(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    @property
    def classes(self) -> int:
        """K."""
        return len(self.class_counts)


def raised(error: Exception) -> str:
    """An error of somebody's code in one line. Raises NotHere where it is one of this machine."""
    words = " ".join(str(error).split())
    if is_out_of_memory(error) or "cuda" in words.lower() or "nvidia" in words.lower():
        raise NotHere from error
    return f"{type(error).__name__}: {words[:300]}"


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Labels [N] as float32 [N, K]."""
    return torch.nn.functional.one_hot(labels, classes).float()


class LossTrial:
    """A loss of a run beside its model, before both are called.

    Raises:
        BenchError: it cannot be built.
    """

    def __init__(self, resolved: Resolved, model: torch.nn.Module, batch: Batch) -> None:
        self.choice, self.epochs = resolved.loss, resolved.recipe.epochs
        self.model, self.label, self.batch = model, resolved.model.label(), batch
        cpu = torch.device("cpu")
        self.objective = Objective(self.choice, model, lambda: batch.class_counts, cpu, self.label)
        self.objective.check(resolved.recipe)
        self.objective.now["index"] = torch.arange(len(batch.labels)) % int(batch.class_counts.sum())
        self.layer = last_layer(model)
        self.outputs: list[Tensor] = []
        if self.layer is not None:
            self.layer.register_forward_hook(lambda layer, inputs, output: self.outputs.append(output))

    def check(self, outputs: Tensor) -> None:
        """Call it, and its gradient, with what the model has just made.

        Raises:
            BenchError: what is wrong, and what to do.
        """
        logits = outputs.float()
        with _unchanged(self.objective.bare):
            self._check_features(outputs)
            # Its last step before its first: what is done late in a training must not fail there.
            for progress, epoch in ((1 - 1e-6, self.epochs - 1), (0.0, 0)):
                self.objective.now.update(progress=progress, epoch=epoch)
                value = self._value(logits)
            self._check_value(value)
            self._check_gradient(value)
            self._check_bound(logits.detach())
            self._check_classifier(logits)

    def _complaint(self, words: str) -> BenchError:
        return BenchError(f"losses: {self.choice.label()}: {words}")

    def _check_features(self, outputs: Tensor) -> None:
        makes_outputs = any(torch.equal(output, outputs) for output in self.outputs)
        if (self.objective.on_features or "features" in self.objective.asks) and not makes_outputs:
            raise self._complaint(
                f"it takes `features`, what the last layer of {self.label} gets, and the last "
                "torch.nn.Linear found there is not what makes its outputs; choose another model, or give "
                "yours a method get_classifier() that returns the layer which does"
            )

    def _value(self, logits: Tensor) -> Tensor:
        """The returned value, checked to be a tensor."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value: Any = self.objective(logits, self.batch.target)
        except BenchError as error:
            raise self._complaint(str(error)) from error
        except Exception as error:  # code of the user's own can raise anything
            reason = raised(error)
            raise self._complaint(f"called with {self._arguments()}: {reason}{self._advice()}") from error
        kind = ""
        if isinstance(value, Mapping):
            kind = f"a mapping with {', '.join(map(str, value))}"
        elif isinstance(value, (tuple, list)):
            kind = f"a {type(value).__name__} of {len(value)}"
        elif not isinstance(value, Tensor):
            kind = "nothing" if value is None else f"a {type(value).__name__}"
        if kind:
            raise self._complaint(
                f"it returns {kind}, expected a tensor that is one number; return the one to be minimised "
                f"({WRAP})"
            )
        loss_value: Tensor = value
        return loss_value

    def _check_value(self, value: Tensor) -> None:
        if value.ndim:
            raise self._complaint(
                f"it returns {[*value.shape]}, expected one number, the mean over the batch; "
                f"{_advice_on_reduction(self.choice)}"
            )
        if not value.isfinite():
            raise self._complaint(
                f"it is {value.item()} at the first step, called with {self._arguments()}; look for a "
                "logarithm or a root of 0, or a division by it"
            )

    def _check_gradient(self, value: Tensor) -> None:
        if not value.requires_grad:
            raise self._complaint(
                "it has no gradient: it is made of something that has none (argmax, a comparison, .item(), "
                ".detach(), numpy), so nothing would be learned; make it of the logits"
            )
        try:
            value.backward()  # type: ignore[no-untyped-call]
        except Exception as error:
            raise self._complaint(f"its gradient cannot be computed: {raised(error)}") from error
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        if not gradients:
            raise self._complaint(
                "no gradient reaches the network: it does not depend on the outputs that it is called with"
            )
        last = [] if self.layer is None else [p for p in self.layer.parameters() if p.requires_grad]
        if self.objective.classifier is None and last and all(p.grad is None for p in last):
            raise self._complaint(
                "it trains what the last layer gets, and not the last layer, by which the network is scored; "
                "give it a method `logits(features)` that classifies, or add a loss of the logits to it "
                f"({WRAP})"
            )
        if not all(bool(gradient.isfinite().all()) for gradient in gradients):
            raise self._complaint(
                f"its gradient is not finite at the first step, called with {self._arguments()}; look for a "
                "root of 0, or a division by it"
            )

    def _check_bound(self, logits: Tensor) -> None:
        """Whether it falls without end as all outputs grow alike: what takes log-probabilities does."""
        if self.objective.on_features or bool((logits.logsumexp(1).abs() < 1e-3).all()):
            return
        with torch.no_grad():
            low, high = (self._tried(logits + more, self.batch.target) for more in (0.0, 1e4))
        if low is not None and high is not None and low.ndim == 0 and float(high - low) < -100:
            raise self._complaint(
                "it falls without end as all outputs grow together, which teaches nothing: it takes "
                "log-probabilities, and gets logits; use the loss that takes logits (of torch.nn:NLLLoss "
                f"that is torch.nn:CrossEntropyLoss), or call it with logits.log_softmax(1) ({WRAP})"
            )

    def _check_classifier(self, logits: Tensor) -> None:
        if self.objective.classifier is None:
            return
        try:
            with torch.no_grad():
                judged = self.objective.judged(logits)
        except Exception as error:
            raise self._complaint(f"its own classifier cannot be called: {raised(error)}") from error
        if judged.shape != logits.shape:
            raise self._complaint(
                f"its own classifier makes {[*judged.shape]} of {self._features()}, "
                f"expected {[*logits.shape]}"
            )

    def _advice(self) -> str:
        """What the loss would take instead, by trying."""
        batch = self.batch
        logits = torch.randn(len(batch.labels), batch.classes, requires_grad=True)
        for name, value in (self.choice.options.model_extra or {}).items():
            if isinstance(value, (list, tuple)) and len(value) != batch.classes:
                return f"; its option {name} has {len(value)} entries, and there are {batch.classes} classes"
        if batch.mixed and self._tried(logits, batch.labels) is not None:
            return (
                "; it takes class numbers, and recipe.mix makes probabilities of them: leave mix out, or "
                f"take the mean of the loss over both labels ({WRAP})"
            )
        if self.objective.on_features:
            return f"; each image has {self.objective.features.size} features: do its options say so?"
        rows = one_hot(batch.labels, batch.classes)
        if not batch.mixed and (value := self._tried(logits, rows)) is not None:
            also = "" if value.ndim == 0 else f", and {_advice_on_reduction(self.choice)}"
            return f"; it takes a row of 0 and 1 for each label: give it the option `target: one_hot`{also}"
        for target, option in ((batch.target, ""), (rows, " and the option `target: one_hot`")):
            if self._tried(logits.softmax(1), target) is not None:
                return (
                    "; it takes probabilities, and gets logits: use the loss that takes logits, or call it "
                    f"with logits.softmax(1){option} ({WRAP})"
                )
        return f"; it is called as f(logits, target): {WRAP}"

    def _tried(self, logits: Tensor, target: Tensor) -> Tensor | None:
        """The value of the loss for these, if it returns one."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = self.objective(logits, target)
        except Exception:
            return None
        return value if isinstance(value, Tensor) and bool(value.isfinite().all()) else None

    def _arguments(self) -> str:
        count, classes = len(self.batch.labels), self.batch.classes
        on_features = self.objective.on_features
        first = self._features() if on_features else f"logits float32 [{count}, {classes}]"
        if self.batch.mixed or self.objective.one_hot:
            return f"{first} and probabilities float32 [{count}, {classes}]"
        return f"{first} and labels int64 [{count}], from 0 to {classes - 1}"

    def _features(self) -> str:
        return f"features float32 [{len(self.batch.labels)}, {self.objective.features.size}]"


def _advice_on_reduction(choice: Choice) -> str:
    reduces = "reduction" in keywords(load_callable(choice.name))
    return "give it the option `reduction: mean`" if reduces else "end it with .mean()"


@contextlib.contextmanager
def _unchanged(loss: Any) -> Iterator[None]:
    """Puts back what a loss says that it keeps: it may be one object for the life of the process."""
    state = loss.state_dict() if keeps_state(loss) else None
    try:
        yield
    finally:
        if state is not None:
            loss.load_state_dict(state)
