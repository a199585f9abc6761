"""The first call of a model and a loss, on four synthetic images, before anything is submitted.

What goes wrong in other people's code says so in words of its own, deep in a library. Here it is said once,
in ours: which entry of the suite, what was found, and what to write instead.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench import datasets, models
from bench.errors import BenchError
from bench.recipe import LibraryOptimizer, LibrarySchedule, Recipe
from bench.registry import Choice, ForeignOptions
from bench.runs import Resolved, Run
from bench.training import optimization, parameters, schedules
from bench.training.objective import Objective
from bench.training.start import begin
from bench.training.trial_of_loss import Batch, LossTrial, NotHere, one_hot, raised

IMAGES = 4
STEPS_PER_EPOCH = 101
"""Of a training that schedules are tried on; how many images there are may not be known yet."""


def needed(resolved: Resolved) -> bool:
    """Whether anything in a run is not our own, or names parts of a model: what is has been called often
    enough."""
    foreign = (ForeignOptions, models.LibraryModel, LibraryOptimizer, LibrarySchedule)
    recipe = resolved.recipe
    return bool(recipe.freeze or recipe.layer_decay) or any(
        isinstance(part.options, foreign) or getattr(part.options, "weights", None)
        for part in (resolved.dataset, resolved.model, resolved.loss, recipe.optimizer, recipe.schedule)
    )


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


def first_call(resolved: Resolved, data: Path) -> None:
    """Build a run's model and loss, and pass a batch of four forward and backward, on the CPU.

    Where that cannot be judged here (code that needs a GPU, too little memory), nothing is said.

    Raises:
        BenchError: what is wrong with the data set, the model, the loss or the recipe, and what to do.
    """
    random = torch.get_rng_state()
    torch.manual_seed(0)
    try:
        batch = _batch(resolved, data)
        model = begin(resolved.model, batch.form, batch.classes)
        for training in (False, True):
            _outputs(resolved.model, model.train(training), batch)
        loss = LossTrial(resolved, model, batch)  # which looks at the last layer from here on
        loss.check(_outputs(resolved.model, model, batch))
        _check_recipe(resolved.recipe, model, loss.objective)
    except NotHere:
        pass
    finally:
        torch.set_rng_state(random)


def _check_recipe(recipe: Recipe, model: torch.nn.Module, objective: Objective) -> None:
    """Freeze what is to be frozen, build the optimizer and the schedule, and take a step of no gradient.

    Raises:
        BenchError: these options or names do not hold.
    """
    parameters.freeze(model, recipe)
    trained = parameters.trained(model, objective, recipe)
    try:
        optimizer = optimization.build_optimizer(recipe.optimizer, trained)
    except BenchError as error:
        if isinstance(error.__cause__, Exception):
            raised(error.__cause__)  # one of 8 bits may need a GPU
        raise
    schedules.rates(recipe, optimization.base_rate(recipe.optimizer, optimizer), STEPS_PER_EPOCH)
    optimizer.zero_grad()  # a loss may be one object for the life of the process: its own weights stay
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    try:
        optimizer.step()
    except Exception as error:  # of a library, about options that it looks at here first
        raise BenchError(
            f"recipe.optimizer: {recipe.optimizer.label()} fails at its first step: {raised(error)}"
        ) from error


def _batch(resolved: Resolved, data: Path) -> Batch:
    form = datasets.FORMS.get(resolved.dataset.name)
    if form is None:
        images = datasets.load(resolved.dataset, data)
        form, counts = images.form, torch.bincount(images.train_labels, minlength=images.form.classes)
    else:
        counts = torch.full((form.classes,), 100)
    classes = form.classes
    # Never as many as classes: a table [N, K] and a row [N] would go together in silence.
    number = IMAGES + 2 * (classes == IMAGES)
    labels = torch.arange(number) % (classes - 1)
    labels[-2:] = torch.tensor([classes - 1, 0])
    mixed = resolved.recipe.mix is not None
    target = one_hot(labels, classes)
    return Batch(
        images=torch.randn(number, *form.shape),
        labels=labels,
        target=0.7 * target + 0.3 * target.roll(1, 0) if mixed else labels,
        mixed=mixed,
        class_counts=counts,
    )


def _outputs(choice: Choice, model: torch.nn.Module, batch: Batch) -> Tensor:
    """Logits [N, K], of whatever float type.

    Raises:
        BenchError: they are something else, or the model cannot take these images.
    """
    images = batch.images
    where = f"models: {choice.label()} on images of {'×'.join(map(str, images.shape[1:]))}"
    try:
        with warnings.catch_warnings(), torch.set_grad_enabled(model.training):
            warnings.simplefilter("ignore")
            outputs = model(images)
    except Exception as error:  # whatever a library or a user's code objects to
        raise BenchError(f"{where}: {raised(error)}{_advice_on_size(choice, model, images)}") from error
    if not isinstance(outputs, Tensor):
        raise BenchError(f"{where}: {_not_one_tensor(outputs, choice)}")
    expected = [len(images), batch.classes]
    if [*outputs.shape] != expected:
        advice = "leave num_classes to bench"
        if isinstance(choice.options, ForeignOptions):
            advice = "it is built with classes=…: make its last layer that wide"
        raise BenchError(f"{where}: its outputs are {[*outputs.shape]}, expected logits {expected}; {advice}")
    if not outputs.is_floating_point():
        raise BenchError(
            f"{where}: its outputs are {outputs.dtype}, expected logits, which are floating-point"
        )
    if not bool(outputs.isfinite().all()):
        raise BenchError(
            f"{where}: its outputs have NaN or infinity before it is trained; look for a logarithm or a "
            "root of 0, or a division by it"
        )
    sums, least = outputs.detach().float().sum(dim=1), outputs.detach().min()
    if bool((sums - 1).abs().max() < 1e-3) and bool(least >= 0):
        raise BenchError(
            f"{where}: each row of its outputs sums to 1: these are probabilities, and losses and scores "
            "take logits; leave out the softmax at its end"
        )
    return outputs


def _advice_on_size(choice: Choice, model: torch.nn.Module, images: Tensor) -> str:
    if not isinstance(choice.options, models.LibraryModel):
        form = ", ".join(map(str, images.shape[1:]))
        return f"; it is called with float images [N, {form}], channels first"
    if side := choice.options.image_size:
        return f"; it gets images resized to {side}×{side}: choose another image_size"
    settings = getattr(model, "default_cfg", None) or {}
    side = (settings.get("input_size") or (3, 224, 224))[-1]
    built = ""
    if settings.get("fixed_input_size"):
        built = ", or image_size and img_size, both the same, to have it built for another size"
    return f"; give it the option `image_size: {side}` to have images resized{built}"


def _not_one_tensor(outputs: Any, choice: Choice) -> str:
    kind = type(outputs).__name__
    one = "expected one tensor of logits"
    if choice.name.startswith("torchvision/"):
        return f"it returns {kind}, {one}; give it the option `aux_logits: false`"
    if hasattr(outputs, "logits"):
        return f"it returns {kind}, {one}; wrap it in a module whose forward returns its `.logits`"
    if isinstance(outputs, (tuple, list)):
        return f"it returns a {kind} of {len(outputs)}, {one}; have it return these alone (`aux_logits` off)"
    if isinstance(outputs, Mapping):
        return f"it returns a {kind} with {', '.join(map(str, outputs))}, {one}; have it return these alone"
    return f"it returns {kind}, {one}; have it return these alone"
