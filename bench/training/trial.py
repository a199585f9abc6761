"""The first call of a model and a loss, on four made-up images: before a hundred runs fail at theirs.

What goes wrong in other people's code says so in words of its own, deep in a library. Here it is said once,
in ours: which entry of the suite, what was found, and what to write instead.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench import datasets, models
from bench.choices import Choice, ForeignOptions, keywords, load_callable
from bench.errors import BenchError
from bench.models.last_layer import last_layer
from bench.runs import Resolved, Run
from bench.training.device import is_out_of_memory
from bench.training.objective import Objective
from bench.training.own_state import keeps_state

IMAGES = 4
WRAP = "docs/own-loss.md shows a wrapper"


def needed(resolved: Resolved) -> bool:
    """Whether anything in a run is not our own: what is has been called often enough."""
    return any(
        isinstance(part.options, (ForeignOptions, models.LibraryModel))
        for part in (resolved.dataset, resolved.model, resolved.loss)
    )


def first_call(resolved: Resolved, data: Path) -> None:
    """Build a run's model and loss, and pass a batch of four forward and backward, on the CPU.

    Where that cannot be judged here (code that needs a GPU, too little memory), nothing is said.

    Raises:
        BenchError: what is wrong with the data set, the model or the loss, and what to do.
    """
    random = torch.get_rng_state()
    try:
        torch.manual_seed(0)
        _Trial(resolved, data).take()
    except _NotHere:
        pass
    finally:
        torch.set_rng_state(random)


@functools.lru_cache(maxsize=1000)
def complaint(text: str, data: Path) -> str:
    """What :func:`first_call` raises for runs of this description (:attr:`bench.runs.Run.text`), asked once.

    Empty where it raises nothing, or is not :func:`needed`.
    """
    try:
        if needed(resolved := Run(text, 0).resolve()):
            first_call(resolved, data)
    except BenchError as error:
        return str(error)
    return ""


class _NotHere(Exception):
    """This machine cannot tell."""


def _raised(error: Exception) -> str:
    """An error of somebody's code in one line, or :class:`_NotHere`."""
    words = " ".join(str(error).split())
    if is_out_of_memory(error) or "cuda" in words.lower() or "nvidia" in words.lower():
        raise _NotHere from error
    return f"{type(error).__name__}: {words[:300]}"


class _Trial:
    """One model and one loss on one batch: raises at the first thing that does not hold."""

    def __init__(self, resolved: Resolved, data: Path) -> None:
        self.resolved = resolved
        form = datasets.FORMS.get(resolved.dataset.name)
        self.class_counts = torch.full((form.classes if form else 0,), 100)
        if form is None:
            images = datasets.load(resolved.dataset, data)
            form = images.form
            self.class_counts = torch.bincount(images.train_labels, minlength=form.classes)
        self.shape, self.classes = form.shape, form.classes
        # Never as many as classes: a table [N, K] and a column [N, 1] would go together in silence.
        number = IMAGES + 2 * (self.classes == IMAGES)
        self.images = torch.randn(number, *self.shape)
        self.labels = torch.arange(number) % (self.classes - 1)
        self.labels[-2:] = torch.tensor([self.classes - 1, 0])
        self.mixed = resolved.recipe.mix is not None
        own = _one_hot(self.labels, self.classes)
        self.target = 0.7 * own + 0.3 * own.roll(1, 0) if self.mixed else self.labels

    def take(self) -> None:
        model = models.build(self.resolved.model, self.shape, self.classes)
        self._outputs(model.eval())
        logits = self._outputs(model.train())
        loss = _Loss(self, model)
        logits = self._outputs(model)  # once more: what it takes of the last layer is kept from here on
        loss.check(logits)

    # ---------------------------------------------------------------------------------------- the model

    def _outputs(self, model: torch.nn.Module) -> Tensor:
        """Logits [4, K], of whatever float type."""
        choice = self.resolved.model
        try:
            with warnings.catch_warnings(), torch.set_grad_enabled(model.training):
                warnings.simplefilter("ignore")
                found = model(self.images)
        except Exception as error:  # whatever a library or a user's code objects to
            raise self._of_model(f"{_raised(error)}{_advice_on_size(choice, model, self.shape)}") from error
        if not isinstance(found, Tensor):
            raise self._of_model(_not_one_tensor(found, choice))
        found_shape, expected = [*found.shape], [len(self.images), self.classes]
        if found_shape != expected:
            raise self._of_model(
                f"its outputs are {found_shape}, expected {expected}: a logit for each of {self.classes} "
                f"classes; {_advice_on_width(choice)}"
            )
        if not found.is_floating_point() or not bool(found.isfinite().all()):
            raise self._of_model(f"its outputs are {_kind(found)} with NaN or infinity, or no numbers to learn")
        sums, least = found.detach().float().sum(dim=1), found.detach().min()
        if bool((sums - 1).abs().max() < 1e-3) and least >= 0:
            raise self._of_model(
                "each row of its outputs sums to 1: these are probabilities, and a loss and the scores take "
                "logits; leave out the softmax at its end"
            )
        return found

    def _of_model(self, words: str) -> BenchError:
        form = "×".join(map(str, self.shape))
        return BenchError(f"models: {self.resolved.model.label()} on images of {form}: {words}")


class _Loss:
    """A loss of this run, called as training calls it."""

    def __init__(self, trial: _Trial, model: torch.nn.Module) -> None:
        self.trial, self.model = trial, model
        choice = self.choice = trial.resolved.loss
        self.objective = Objective(
            choice, model, lambda: trial.class_counts, torch.device("cpu"), trial.resolved.model.label()
        )
        self.layer = last_layer(model)
        self.made: list[Tensor] = []
        if self.layer is not None:
            self.layer.register_forward_hook(lambda layer, inputs, output: self.made.append(output))
        total = int(trial.class_counts.sum())
        self.objective.now["index"] = torch.arange(len(trial.images)) % total

    def check(self, logits: Tensor) -> None:
        with _kept(self.objective.bare):
            self._check_features(logits)
            for progress, epoch in self._moments():
                self.objective.now.update(progress=progress, epoch=epoch)
                value = self._value(logits.float())
            self._check_value(value)
            self._check_gradient(value)
            self._check_bound(logits.detach().float())
            self._check_classifier(logits.float())

    def _moments(self) -> Iterator[tuple[float, int]]:
        """Its last step before its first: what is done late in a training must not fail there."""
        if self.objective.asks:
            yield 1 - 1e-6, self.trial.resolved.recipe.epochs - 1
        yield 0.0, 0

    def _check_features(self, logits: Tensor) -> None:
        wanted = self.objective.on_features or "features" in self.objective.asks
        if wanted and not any(made.shape == logits.shape and bool((made == logits).all()) for made in self.made):
            raise self._complaint(
                f"it takes `features`, what the last layer of {self.trial.resolved.model.label()} gets, and "
                "the last torch.nn.Linear found there is not what makes its outputs; give the model a method "
                "get_classifier() that returns the layer which does"
            )

    def _value(self, logits: Tensor) -> Tensor:
        """What it returns, if that is a tensor."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value: Any = self.objective(logits, self.trial.target)
        except BenchError as error:
            raise self._complaint(str(error)) from error
        except Exception as error:  # code of the user's own can raise anything
            raise self._complaint(f"called with {self._arguments()}: {_raised(error)}{self._advice()}") from error
        if isinstance(value, Mapping):
            raise self._complaint(
                f"it returns a mapping with {', '.join(map(str, value))}, expected one number; return the "
                f"one to be minimised ({WRAP})"
            )
        if isinstance(value, (tuple, list)):
            raise self._complaint(
                f"it returns a {type(value).__name__} of {len(value)}, expected one number; return the one to "
                f"be minimised ({WRAP})"
            )
        if not isinstance(value, Tensor):
            raise self._complaint(f"it returns {type(value).__name__}, expected a tensor that is one number")
        return value

    def _check_value(self, value: Tensor) -> None:
        if value.numel() != 1 or value.ndim:
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
            raise self._complaint(f"its gradient cannot be computed: {_raised(error)}") from error
        if all(parameter.grad is None for parameter in self.model.parameters()):
            raise self._complaint(
                "no gradient reaches the network: it does not depend on the outputs that it is called with"
            )
        if self.objective.classifier is None and self._last_layer_is_left():
            raise self._complaint(
                "it trains what the last layer gets, and not the last layer, by which the network is scored; "
                "give it a method `logits(features)` that classifies, or add a loss of the logits to it "
                f"({WRAP})"
            )
        wrong = [p for p in self.model.parameters() if p.grad is not None and not p.grad.isfinite().all()]
        if wrong:
            raise self._complaint(
                f"its gradient is not finite at the first step, called with {self._arguments()}"
            )

    def _last_layer_is_left(self) -> bool:
        trained = [] if self.layer is None else [p for p in self.layer.parameters() if p.requires_grad]
        return bool(trained) and all(parameter.grad is None for parameter in trained)

    def _check_bound(self, logits: Tensor) -> None:
        """Whether it falls without end as all outputs grow alike: what takes log-probabilities does."""
        if self.objective.on_features or bool((logits.logsumexp(1).abs() < 1e-3).all()):
            return
        with torch.no_grad():
            low, high = self._tried(logits, self.trial.target), self._tried(logits + 1e4, self.trial.target)
        if low is not None and high is not None and low.numel() == 1 and float(high - low) < -100:
            raise self._complaint(
                "it falls without end as all outputs grow together, which teaches nothing: it takes "
                "log-probabilities, and gets logits; use the loss that takes logits (of torch.nn:NLLLoss that "
                f"is torch.nn:CrossEntropyLoss), or call it with logits.log_softmax(1) ({WRAP})"
            )

    def _check_classifier(self, logits: Tensor) -> None:
        if self.objective.classifier is None:
            return
        try:
            with torch.no_grad():
                judged = self.objective.judged(logits)
        except Exception as error:
            raise self._complaint(f"its own classifier cannot be called: {_raised(error)}") from error
        if judged.shape != logits.shape:
            raise self._complaint(
                f"its own classifier makes {[*judged.shape]} of {self._features()}, expected {[*logits.shape]}"
            )

    def _tried(self, logits: Tensor, target: Tensor) -> Tensor | None:
        """What it makes of these, if anything."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = self.objective(logits, target)
        except Exception:
            return None
        return value if isinstance(value, Tensor) and bool(value.isfinite().all()) else None

    def _advice(self) -> str:
        """What the loss would take instead, by trying."""
        trial = self.trial
        logits = torch.randn(len(trial.images), trial.classes, requires_grad=True)
        for name, value in (self.choice.options.model_extra or {}).items():
            if isinstance(value, (list, tuple)) and len(value) != trial.classes:
                return f"; its option {name} has {len(value)} entries, and there are {trial.classes} classes"
        if trial.mixed and self._tried(logits, trial.labels) is not None:
            return (
                "; it takes class numbers, and recipe.mix makes probabilities of them: leave mix out, or take "
                f"the mean of the loss over both labels ({WRAP})"
            )
        if self.objective.on_features:
            return f"; each image has {self.objective.features.size} features: do its options say so?"
        one_hot = _one_hot(trial.labels, trial.classes)
        if not trial.mixed and (value := self._tried(logits, one_hot)) is not None:
            also = "" if value.ndim == 0 else f", and {_advice_on_reduction(self.choice)}"
            return f"; it takes a row of 0 and 1 for each label: give it the option `target: one_hot`{also}"
        for target, option in ((trial.target, ""), (one_hot, " and the option `target: one_hot`")):
            if self._tried(logits.softmax(1), target) is not None:
                return (
                    "; it takes probabilities, and gets logits: use the loss that takes logits, or call it "
                    f"with logits.softmax(1){option} ({WRAP})"
                )
        return f"; it is called as f(logits, target): {WRAP}"

    def _arguments(self) -> str:
        first = self._features() if self.objective.on_features else f"logits float32 [4, {self.trial.classes}]"
        if self.trial.mixed or self.objective.one_hot:
            return f"{first} and probabilities float32 [4, {self.trial.classes}]"
        return f"{first} and labels int64 [4], from 0 to {self.trial.classes - 1}"

    def _features(self) -> str:
        return f"features float32 [4, {self.objective.features.size}]"

    def _complaint(self, words: str) -> BenchError:
        return BenchError(f"losses: {self.choice.label()}: {words.removeprefix('losses: ')}")


# ------------------------------------------------------------------------------------------- remedies


def _advice_on_size(choice: Choice, model: torch.nn.Module, shape: tuple[int, int, int]) -> str:
    if not isinstance(choice.options, models.LibraryModel):
        return f"; it is called with float images [N, {', '.join(map(str, shape))}], channels first"
    if choice.options.image_size:
        side = choice.options.image_size
        return f"; its images are resized to {side}×{side}: choose another image_size"
    settings = getattr(model, "default_cfg", None) or {}
    side = (settings.get("input_size") or (3, 224, 224))[-1]
    built = ""
    if settings.get("fixed_input_size"):
        built = ", or image_size and img_size, both the same, to have it built for another size"
    return f"; give it the option `image_size: {side}` to have images resized{built}"


def _advice_on_width(choice: Choice) -> str:
    if isinstance(choice.options, ForeignOptions):
        return "it is built with classes=…: make its last layer that wide"
    return "leave num_classes to bench"


def _not_one_tensor(found: Any, choice: Choice) -> str:
    kind = type(found).__name__
    one = "expected one tensor of logits; "
    if hasattr(found, "aux_logits") or choice.name.startswith("torchvision/"):
        return f"it returns {kind}, {one}give it the option `aux_logits: false`"
    if hasattr(found, "logits"):
        return f"it returns {kind}, {one}wrap it in a module whose forward returns its `.logits`"
    if isinstance(found, (tuple, list)):
        return f"it returns a {kind} of {len(found)}, {one}return the logits alone (auxiliary ones off)"
    if isinstance(found, Mapping):
        return f"it returns a {kind} with {', '.join(map(str, found))}, {one}return the logits alone"
    return f"it returns {kind}, {one}return the logits alone"


def _advice_on_reduction(choice: Choice) -> str:
    with_option = "reduction" in keywords(load_callable(choice.name)) if ":" in choice.name else False
    return "give it the option `reduction: mean`" if with_option else "end it with .mean()"


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    return torch.nn.functional.one_hot(labels, classes).float()


class _kept:
    """Puts back what a loss keeps of its calls, where it is one object for the life of the process."""

    def __init__(self, loss: object) -> None:
        kept = keeps_state(loss) and not isinstance(loss, torch.nn.Module)
        self.loss: Any = loss if kept else None

    def __enter__(self) -> None:
        self.state = None if self.loss is None else self.loss.state_dict()

    def __exit__(self, *error: object) -> None:
        if self.loss is not None:
            self.loss.load_state_dict(self.state)
