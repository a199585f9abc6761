"""The paragraph of a methods section on trainings: what was trained on what, and how."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.datasets import BuiltInOptions, DatasetOptions, OnDisk
from bench.reports.answer import cautions
from bench.reports.formats import counted, listed
from bench.reports.schema import Report
from bench.reports.tuning import untuned
from bench.suite import Suite

MOST_NAMED = 30
"""Choices of one kind that are written out with their options; more belong into a table."""
RECIPE: Mapping[str, Callable[[Any], str]] = {
    "epochs": lambda epochs: f"for {counted(epochs, 'epoch')}",
    "batch_size": lambda size: f"in batches of {size}",
    "optimizer": lambda choice: f"by {_described(choice)}",
    "schedule": lambda choice: f"with a learning rate by the schedule {_described(choice)}",
    "augment": lambda choices: (
        f"augmented by {listed([*map(_described, choices)])}" if choices else "without augmentation"
    ),
    "mix": lambda choice: f"with batches mixed by {_described(choice)}",
    "precision": lambda name: f"in {name}",
    "accumulate": lambda count: f"with the gradients of {count} batches in each step",
    "clip": lambda clip: (
        "with gradients clipped by " + listed([f"{k} ({v:g})" for k, v in clip.items() if v is not None])
    ),
    "no_decay": lambda _: "without weight decay on norms and biases",
    "layer_decay": lambda share: f"with {share:g} times the learning rate from each layer to the one before",
    "ema": lambda decay: f"scored by an exponential moving average of the weights (decay {decay:g})",
    "freeze": lambda parts: f"with {listed([*parts])} frozen",
    "frozen_statistics": lambda which: f"with {which} statistics of frozen norms",
    "stop_early": lambda stop: (
        f"and ended early after {counted(stop['patience'], 'epoch')} without a better validation metric"
    ),
    "validation": lambda share: f"with {100 * share:g} % of the training images held out for validation",
}
"""What is said of a recipe that all trainings share."""


def describe_trainings(suite: Suite, report: Report) -> list[str]:
    """What was trained on what, how often, and with which recipe."""
    cells = [untuned(suite, cell) for cell in suite.cells]
    fewest, *more = sorted({len(cell.seeds) for cell in suite.cells})
    seeds = f"{fewest} to {more[-1]} random seeds" if more else counted(fewest, "random seed")
    return [
        *cautions(report),
        f"We trained {_choices('model', suite.labels('models'), [c['model'] for c in cells])} "
        f"on {_choices('data set', suite.labels('datasets'), [c['dataset'] for c in cells])} "
        f"with {_choices('loss', suite.labels('losses'), [c['loss'] for c in cells])}, "
        f"{'' if suite.zip or suite.exclude else 'each combination '}from {seeds}: "
        f"{counted(sum(c.planned for c in report.cells), 'training')} in all.",
        *_paired(suite),
        *_own_parts(suite),
        *_noise(suite),
        _recipe([cell["recipe"] for cell in cells if "trainer" not in cell], suite),
        *_own_trainers(suite, cells),
    ]


def _paired(suite: Suite) -> list[str]:
    """What trainings with the same seed share, where bench itself trains."""
    if not suite.ours("models"):
        return []
    if suite.tune is not None:
        return [
            "Trainings with the same data set, model and seed draw all that is random from the same streams: "
            "two losses at the same setting differ in the loss alone, or in options of its own."
        ]
    sentences = [
        "Each seed drew training, validation and test images anew from the whole data set, in the numbers "
        "that it comes with [@bouthillier2021]."
    ] * (suite.splits == "per_seed")
    shared = (
        "draw all that is random from the same streams, and differ in the loss and in what its recipe changes"
    )
    if _same_for_losses(suite):
        shared = (
            "share the split of the data, the initial weights, the order of the batches, augmentation and "
            "dropout, and differ in the loss alone"
        )
    return [*sentences, f"Trainings with the same data set, model and seed {shared}."]


def _own_trainers(suite: Suite, cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which trainers of the user's own trained, with which recipe, and what pairs their runs."""
    if not suite.trainers:
        return []
    models = [entry.label for entry in suite.models if suite.trainer_of(entry) is not None]
    recipes = [cell["recipe"] for cell in cells if "trainer" in cell]
    shared = {key: value for key, value in recipes[0].items() if all(r.get(key) == value for r in recipes)}
    which = "They" if not suite.ours("models") else listed(models)
    recipe = listed([f"{key} {json.dumps(value)}" for key, value in shared.items()])
    return [
        f"{which} were trained by {listed([trainer.label() for trainer in suite.trainers])}"
        f"{f', told {recipe}' if recipe else ''}. Trainings "
        "with the same data set, model and seed were given the same seed; what they share by it is their "
        "trainer's affair, as is which epoch counts."
    ]


def _noise(suite: Suite) -> list[str]:
    """Which training labels were replaced, and how they were drawn."""
    noisy = [
        (entry.label, options)
        for entry in suite.datasets
        if isinstance(options := entry.choice.options, DatasetOptions) and options.label_noise
    ]
    if not noisy:
        return []
    held_out = ", those of the held-out validation images among them" * (suite.selection == "validation")
    sentences = []
    for kind, by in (("symmetric", "another class, chosen uniformly"), ("pair_flip", "the next class")):
        shares = [
            f"{100 * options.label_noise:g} % of {label} (noise seed {options.noise_seed})"
            for label, options in noisy
            if getattr(options, "noise_kind", "symmetric") == kind
        ]
        if shares:
            sentences.append(f"Training labels were replaced by {by}: {listed(shares)}{held_out}.")
    sentences[-1] += (
        " Which ones, and by what, depends on the data set and its noise seed alone, and is the same for "
        "every loss, model and seed of a training; test labels stay as they are."
    )
    return sentences


def _own_parts(suite: Suite) -> list[str]:
    """What is particular about the images of data sets."""
    tails = [
        f"{label} by a factor of {options.long_tail:g}"
        for label, options in ((entry.label, entry.choice.options) for entry in suite.datasets)
        if isinstance(options, BuiltInOptions) and options.long_tail is not None
    ]
    sentences = []
    if tails:
        sentences.append(f"Training images per class fall exponentially: {listed(tails)}; test images stay.")
    if suite.selection == "validation" and any(isinstance(e.choice.options, OnDisk) for e in suite.datasets):
        sentences.append(
            "Where a data set has a validation split of its own, that was used, and none held out."
        )
    return sentences


def _same_for_losses(suite: Suite) -> bool:
    """Whether recipes differ between data sets or models at most."""
    recipes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for cell in suite.cells:
        recipes[cell.dataset, cell.model].add(json.dumps(untuned(suite, cell)["recipe"], sort_keys=True))
    return all(len(variants) == 1 for variants in recipes.values())


def _recipe(recipes: Sequence[Mapping[str, Any]], suite: Suite) -> str:
    if not recipes:
        return ""
    unused = () if suite.selection == "validation" else ("validation",)
    keys = dict.fromkeys(key for recipe in recipes for key in recipe if key not in unused)
    shared: dict[str, Any] = {
        key: recipes[0].get(key) for key in keys if all(r.get(key) == recipes[0].get(key) for r in recipes)
    }
    other = [key.replace("_", " ") for key in keys if key not in shared]
    parts = [say(shared[key]) for key, say in RECIPE.items() if shared.get(key) is not None]
    sentences = [f"Each was trained {', '.join(parts)}."] if parts else []
    if other and _same_for_losses(suite):
        sentences.append(f"Data sets or models differ in {listed(other)}, which all losses of each share.")
    elif other:
        sentences.append(
            f"The trainings did not share {listed(other)}, so a difference may be due to more than the loss."
        )
    return " ".join(sentences)


def _choices(kind: str, labels: Sequence[str], resolved: Sequence[Mapping[str, Any]]) -> str:
    """``the model a and b``: with every option, in the order of the suite, where they are not too many."""
    plural = {"model": "models", "data set": "data sets", "loss": "losses"}
    distinct = list({json.dumps(value, sort_keys=True): value for value in resolved}.values())
    if len(distinct) != len(labels) or len(labels) > MOST_NAMED:
        return f"{len(labels)} {plural[kind]}" if len(labels) > 1 else f"the {kind} {labels[0]}"
    words = [with_options(label, value) for label, value in zip(labels, distinct, strict=True)]
    return f"the {kind if len(words) == 1 else plural[kind]} {listed(words)}"


def with_options(label: str, value: Mapping[str, Any]) -> str:
    """A choice with all its options, and what tables call it where that is something else."""
    same_name = label == value["name"] or label.startswith(f"{value['name']}(")
    return _described(value) if same_name else f"{label}, which is {_described(value)}"


def _described(choice: Mapping[str, Any]) -> str:
    """A choice with all its options: ``adam (lr 0.02, betas 0.9 and 0.999)``."""
    options = [
        f"{key} {_value(value)}"
        for key, value in choice.items()
        if key not in ("name", "source", "digest") and value is not None
    ]
    return f"{choice['name']} ({', '.join(options)})" if options else str(choice["name"])


def _value(value: Any) -> str:
    if isinstance(value, list):
        return listed([*map(_value, value)])
    return f"{value:g}" if isinstance(value, float) else str(value)
