"""What trials are trained with: settings from a suite's space, in its recipe and the options of a loss."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from bench.errors import BenchError, unknown
from bench.recipe import Recipe, merge_recipes
from bench.registry import Choice, FreeOptions, describe, explain
from bench.space import Range, Tune

CHOSEN = ("optimizer", "schedule", "mix")
"""Fields of a recipe that name something with options."""
_FIXED = {
    "validation": "settings are chosen by the scores on these images, which must be as many for all",
    "augment": "a list has no values between two ends; compare recipes as models or losses with their own",
    "freeze": "a list has no values between two ends; compare recipes as models or losses with their own",
}
"""What cannot be tuned, and why."""
OF_LOSS = "loss."
"""How the dimensions begin that are options of the loss."""


@dataclass(frozen=True)
class Space:
    """What is drawn for one loss with one recipe."""

    settings: Mapping[int, Mapping[str, Any]]
    """By the seed of a trial: values by dimension, rounded."""
    described: Mapping[int, tuple[dict[str, Any], dict[str, Any]]]
    """By the seed of a trial: loss and recipe, resolved."""


def ranges_of(tune: Tune, loss: Choice, label: str) -> dict[str, Range]:
    """The dimensions of a loss: those of all, then its own as ``loss.gamma``."""
    own = {**tune.losses.get(loss.name, {}), **tune.losses.get(label, {})}
    return {**tune.space, **{f"{OF_LOSS}{option}": range_ for option, range_ in own.items()}}


def space_of(tune: Tune, loss: Choice, label: str, recipe: Mapping[str, Any], where: str) -> Space:
    """Every setting of a loss, checked.

    Args:
        label: what tables call the loss.
        recipe: that trials start from, as a file has it: valid by itself.
        where: whose recipe that is, for messages.

    Raises:
        BenchError: a dimension is not there, or an end of a range cannot be.
    """
    shared = [*tune.space]
    for path in shared:
        _check_path(path, recipe, where)
    ranges = ranges_of(tune, loss, label)
    for name in ranges.keys() - {*shared}:
        _check_option(name.removeprefix(OF_LOSS), loss, label)
    for name, range_ in ranges.items():
        field = (
            f"tune.space.{name}" if name in shared else f"tune.losses.{label}.{name.removeprefix(OF_LOSS)}"
        )
        for value in range_.probes:
            try:
                _resolved(loss, recipe, {name: value}, f"{field}: {value}: ", where if name in shared else "")
            except BenchError as error:
                whole = "; whole numbers are drawn by {int: [low, high]}" * ("valid integer" in str(error))
                raise BenchError(f"{error}{whole}") from None
    # By the loss's name, not its label: what is called otherwise is still drawn alike.
    drawn_as = {name: name if name in shared else f"{loss.name}.{name[len(OF_LOSS) :]}" for name in ranges}
    draws = {drawn_as[name]: range_ for name, range_ in ranges.items()}
    settings, described = {}, {}
    for trial in range(tune.trials):
        values = tune.setting(draws, trial)
        setting = {name: values[drawn_as[name]] for name in ranges}
        seed = tune.seed_of(trial)
        settings[seed] = setting
        pairs = ", ".join(f"{name} {value}" for name, value in setting.items())
        described[seed] = _resolved(loss, recipe, setting, f"tune: trial {trial} ({pairs}): ", where)
    return Space(settings, described)


def _resolved(
    loss: Choice, recipe: Mapping[str, Any], setting: Mapping[str, Any], at: str, where: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    changes: dict[str, Any] = {}
    options = {}
    for name, value in setting.items():
        if name.startswith(OF_LOSS):
            options[name.removeprefix(OF_LOSS)] = value
            continue
        *parents, last = name.split(".")
        inner = changes
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    try:
        kind = type(loss.options)
        changed = Choice(loss.name, kind.model_validate({**loss.options.model_dump(), **options}))
        # What is left of a field beside what is drawn in it stays: clip has one limit, stop_early has two.
        merged = merge_recipes(recipe, _beside(recipe, changes))
        return changed.describe(), Recipe.model_validate(merged).model_dump(mode="json")
    except ValidationError as error:
        raise BenchError(f"{at}{'; '.join(explain(error))}{where}") from None


def _beside(recipe: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(dict(changes))
    for key, value in merged.items():
        if key not in CHOSEN and isinstance(value, dict) and isinstance(recipe.get(key), Mapping):
            merged[key] = {**recipe[key], **value}
    return merged


def _check_path(path: str, recipe: Mapping[str, Any], where: str) -> None:
    """Make sure that a dimension is a number or a word of the recipe."""
    field, *rest = path.split(".")
    at = f"tune.space: {path}: "
    if field not in Recipe.model_fields:
        raise BenchError(f"{at}{unknown('key of the recipe', field, Recipe.model_fields)}")
    if field in _FIXED:
        raise BenchError(f"{at}cannot be tuned: {_FIXED[field]}")
    known = Recipe.model_validate(recipe)
    if field in CHOSEN:
        choice: Choice | None = getattr(known, field)
        if choice is None:
            raise BenchError(f"{at}the recipe{where} has no {field}")
        fields = type(choice.options).model_fields
        names = [f"{field}.{choice.name}.{option}" for option in fields]
        if not rest or rest[0] != choice.name:
            raise BenchError(
                f"{at}the recipe's {field}{where} is {choice.name}; {unknown('dimension', path, names)}"
            )
        option = ".".join(rest[1:])
        if not option or (option not in fields and not isinstance(choice.options, FreeOptions)):
            raise BenchError(f"{at}{unknown('dimension', path, names)}")
        return
    value = getattr(known, field)
    inner = _model_in(field)
    if inner is None:
        if rest:
            raise BenchError(f"{at}{field} is {describe(value)}, and has nothing in it; expected {field}")
        return
    names = [f"{field}.{name}" for name in inner.model_fields]
    if path not in names:
        raise BenchError(f"{at}{unknown('dimension', path, names)}")


def _model_in(field: str) -> type[BaseModel] | None:
    """What a field of the recipe has fields of its own in."""
    annotation = Recipe.model_fields[field].annotation
    types = [one for one in (annotation, *getattr(annotation, "__args__", ())) if isinstance(one, type)]
    return next((one for one in types if issubclass(one, BaseModel)), None)


def _check_option(option: str, loss: Choice, label: str) -> None:
    """Make sure that a loss has an option, and that nobody gave it a value as well."""
    at = f"tune.losses.{label}: "
    hidden = {name for name, field in type(loss.options).model_fields.items() if field.exclude}
    fields = type(loss.options).model_fields.keys() - hidden - {"source"}
    if option not in fields and not isinstance(loss.options, FreeOptions):
        if not fields:
            raise BenchError(f"{at}found '{option}', but {loss.name} has no options")
        raise BenchError(f"{at}{unknown('option', option, fields)}")
    if option in loss.options.shown():
        raise BenchError(
            f"{at}{option}: losses says {loss.options.shown()[option]}, and here it is drawn; leave it out "
            "there"
        )
