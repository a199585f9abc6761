"""A suite in miniature: its cells with tiny models, few images and two epochs, to see that all of it runs.

Its numbers answer nothing. So it has a name, a folder and an MLflow experiment of its own, every data set and
model is called ``…-tiny``, and all that is made of it says SCALED DOWN.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from bench.datasets import FORMS, LettersOptions, OnDisk, choose_dataset
from bench.entries import AXES, Entry
from bench.models import TinyVgg, choose_model
from bench.recipe import Recipe
from bench.registry import Choice
from bench.space import Tune
from bench.suite import Suite
from bench.suite.analysis import Exclusion

Scale = Literal["full", "tiny"]

KEPT = ("question", "baseline", "zip", "selection", "metrics", "keep_probabilities", "tuned_for")
SEEDS, EPOCHS, BATCH = 2, 2, 32
ADDED = {"start": 2, "step": 1, "max": 3}
BUDGET, TRIALS = 2, 8
TRAIN_IMAGES, TEST_IMAGES = 130, 52
SUFFIX = "-tiny"
"""What is added to the name of a suite, and to what its data sets and models are called."""
_ALL = 2**63  # images of a data set of which a suite asks for all

SIBLINGS: dict[str, dict[str, Any]] = {
    "timm/resnet": {"name": "timm/test_resnet", "image_size": 32},
    "timm/convnext": {"name": "timm/test_convnext", "image_size": 32},
    "timm/efficientnet": {"name": "timm/test_efficientnet", "image_size": 32},
    "timm/vit_": {"name": "timm/test_vit", "image_size": 32, "img_size": 32},
}
"""How a timm model begins → the model that timm's own tests use in place of its family."""


class Miniature(Suite):
    """A suite that :func:`tiny` made."""

    scaled_down: ClassVar[bool] = True


def tiny(suite: Suite, seeds: int | None = None) -> Suite:
    """The miniature of a suite, with so many seeds: two, or where they are added until decided, up to three.

    Axes, losses, zip, exclusions, selection, metrics and analysis stay. Data sets that come as files become
    letters with as many classes, channels and pixels, whether or not the files are here: a run must not
    become another one when they arrive. Models without a small sibling, and data sets and models of the
    user's own, stay as they are.

    Raises:
        BenchError: two trainings that differ in what is made small here become one.
    """
    if suite.trainers:
        return _fewer_seeds(suite, seeds)
    epochs = _few(EPOCHS, (recipe.get("epochs") for recipe in _recipes(suite)))
    batches = _few(BATCH, (recipe.get("batch_size") for recipe in _recipes(suite)))
    smaller = {"epochs": epochs, "batch_size": batches}

    def recipe(given: Mapping[str, Any]) -> dict[str, Any]:
        few = {key: smaller[key][int(value)] for key, value in given.items() if key in smaller}
        # bfloat16 takes up to forty times as long as float32 on a processor that has no instructions for it.
        same = {
            key: value for key, value in given.items() if key != "freeze"
        }  # smaller models have other parts
        return {**same, **few, **({"precision": "fp32"} if "precision" in given else {})}

    def items(axis: str, choices: Iterable[Choice], suffix: str = "") -> list[dict[str, Any]]:
        entries: tuple[Entry, ...] = getattr(suite, axis)
        return [
            {**_given(choice), "label": entry.label + suffix, "recipe": recipe(entry.recipe)}
            for entry, choice in zip(entries, choices, strict=True)
        ]

    miniature = Miniature.model_validate(
        {
            **{key: getattr(suite, key) for key in KEPT},
            "analysis": {
                "alpha": suite.analysis.alpha,
                "margin": {name: margin for name, margin in suite.margins.items() if margin is not None},
            },
            "name": f"{suite.name}{SUFFIX}",
            "datasets": items("datasets", _datasets(suite), SUFFIX),
            "models": items("models", _models(suite), SUFFIX),
            "losses": items("losses", (entry.choice for entry in suite.losses)),
            "seeds": seeds or (ADDED if suite.until else SEEDS),
            "tune": suite.tune and suite.tune.model_copy(update=_few_trials(suite.tune)),
            "exclude": [
                kept for exclusion in suite.exclude if (kept := _exclusion(exclusion, seeds or SEEDS))
            ],
            "recipe": recipe({**_recipes(suite)[0], **suite.recipe}),
        }
    )
    miniature.cells  # noqa: B018 - expands, and so checks, every combination
    return miniature


def _fewer_seeds(suite: Suite, seeds: int | None) -> Suite:
    """Of a suite with a trainer of the user's own: what is small to that, only its user knows."""
    made = Miniature.model_validate(
        {
            **{name: getattr(suite, name) for name in (*KEPT, "recipe", "trainer", "keep_weights")},
            "analysis": {
                "alpha": suite.analysis.alpha,
                "margin": {name: margin for name, margin in suite.margins.items() if margin is not None},
            },
            "name": f"{suite.name}{SUFFIX}",
            **{axis: [_entry(entry, axis) for entry in getattr(suite, axis)] for axis in AXES},
            "seeds": seeds or (ADDED if suite.until else SEEDS),
            "exclude": [
                {**kept, "dataset": list(exclusion.dataset)}
                for exclusion in suite.exclude
                if (kept := _exclusion(exclusion, seeds or SEEDS))
            ],
        }
    )
    made._folder = suite.folder
    made.cells  # noqa: B018 - as above
    return made


def _few_trials(tune: Tune) -> dict[str, int]:
    return {"budget": BUDGET, "trials": BUDGET * tune.searches if tune.design == "searches" else TRIALS}


def _entry(entry: Entry, axis: str) -> dict[str, Any]:
    """What a suite file would say of it."""
    assert entry.named is not None
    own = {"trainer": entry.trainer} if axis == "models" and entry.has_trainer else {}
    return {**_given(entry.named), "label": entry.label, "recipe": entry.recipe, **own}


def _recipes(suite: Suite) -> list[Mapping[str, Any]]:
    """What is asked of epochs and batches: the suite's own, defaults filled in, and what items change."""
    whole = {"epochs": Recipe().epochs, "batch_size": Recipe().batch_size, **suite.recipe}
    return [whole, *(entry.recipe for entry in (*suite.datasets, *suite.models, *suite.losses))]


def _few(least: int, values: Iterable[Any]) -> dict[int, int]:
    """Small numbers in the same order: what differed still differs. None is not there."""
    known = sorted({int(value) for value in values if value is not None})
    return {value: least + rank for rank, value in enumerate(known)}


def _datasets(suite: Suite) -> list[Choice]:
    asked = [_given(entry.choice) for entry in suite.datasets]
    train, test = (
        _few(size, (given[part] or _ALL for given in asked))
        for part, size in (("train_size", TRAIN_IMAGES), ("test_size", TEST_IMAGES))
    )
    choices = []
    for entry, given in zip(suite.datasets, asked, strict=True):
        choice, name = entry.choice, entry.choice.name
        sizes = train[given["train_size"] or _ALL], test[given["test_size"] or _ALL]
        if name == "digits" or isinstance(choice.options, LettersOptions):
            given |= dict(zip(("train_size", "test_size"), sizes, strict=True))
        elif name in FORMS:
            noise = {key: given[key] for key in ("label_noise", "noise_seed")}
            given = {"name": "bench.datasets.miniature:letters_like", "like": name, **noise}
            given |= dict(zip(("train", "test"), sizes, strict=True))
        choices.append(choose_dataset(given))
    return choices


def _models(suite: Suite) -> list[Choice]:
    choices: list[Choice] = []
    for entry in suite.models:
        choice = choose_model(_smaller(entry.choice))
        # Two of a family would become the same training: the second is what it was.
        choices.append(entry.choice if choice in choices else choice)
    return choices


def _smaller(choice: Choice) -> dict[str, Any]:
    if choice.name in ("vgg5", "spinal-vgg5"):
        return {"name": f"{choice.name}-tiny", "width": 8}
    if isinstance(choice.options, TinyVgg):
        seeded = {key: value for key, value in _given(choice).items() if key not in ("weights", "digest")}
        return {**seeded, "width": min(choice.options.width, 8)}
    siblings = (sibling for family, sibling in SIBLINGS.items() if choice.name.startswith(family))
    return next(siblings, _given(choice))


def _given(choice: Choice) -> dict[str, Any]:
    """What a suite file would say: the digest of a user's code is found anew."""
    if isinstance(choice.options, OnDisk):
        return {"name": choice.name, **choice.options.as_given()}
    return {key: value for key, value in choice.describe().items() if key != "source"}


def _exclusion(exclusion: Exclusion, seeds: int) -> dict[str, Any] | None:
    """The same in miniature; None where it is about seeds that there are none of."""
    kept = [seed for seed in exclusion.seed if seed < seeds]
    if exclusion.seed and not kept:
        return None
    return {
        "dataset": [f"{label}{SUFFIX}" for label in exclusion.dataset],
        "model": [f"{label}{SUFFIX}" for label in exclusion.model],
        "loss": list(exclusion.loss),
        "seed": kept,
    }
