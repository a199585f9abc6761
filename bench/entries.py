"""The items of a suite's axes, as a file writes them: a name, or a name with options; and single fields.

Each becomes an :class:`Entry`: what it is to bench, what tables call it, what it changes in the recipe.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, InstanceOf

from bench import metrics
from bench.errors import unknown
from bench.metrics import Metric
from bench.recipe import Recipe
from bench.registry import Choice, ForeignOptions, FreeOptions, describe, source_digest, split_choice
from bench.runs import canonical
from bench.trainer_options import Trainer, choose_trainer

KINDS = {"datasets": "dataset", "models": "model", "losses": "loss"}
AXES = tuple(KINDS)


@dataclass(frozen=True)
class Entry:
    """One item of an axis: what it is, what tables call it, and what it changes in the recipe."""

    choice: Choice
    """What it is to bench; the same as :attr:`named` where it is nothing of ours."""
    label: str
    recipe: Mapping[str, Any]
    named: Choice | None = None
    """What a trainer of the user's own is told: the name and the options as they are given. None: no such
    trainer is in sight."""
    problem: str = ""
    """Why it is nothing of ours."""
    trainer: Trainer | None = None
    has_trainer: bool = False
    """Whether it says itself who trains: for a model alone."""


NAMES_ARE_FREE = contextvars.ContextVar("NAMES_ARE_FREE", default=False)
"""Whether the suite that is being read has any: then names may be theirs alone."""


def _entry(kind: str, choose: Callable[[Any], Choice]) -> Callable[[Any], Entry]:
    def parse(value: Any) -> Entry:
        if isinstance(value, Entry):
            return value
        name, given = split_choice(kind, value)
        recipe = given.pop("recipe", None) or {}
        label = _label(name, given)
        if not isinstance(recipe, Mapping):
            raise ValueError(f"{name}: recipe: found {describe(recipe)}, expected a mapping")
        if NAMES_ARE_FREE.get():
            return _free_entry(kind, name, given, label, recipe)
        for key in recipe:
            if key not in Recipe.model_fields:
                raise ValueError(f"{name}: recipe: {unknown('key', str(key), Recipe.model_fields)}")
        choice = choose({name: given})
        return Entry(choice, label or choice.label(), recipe)

    def _free_entry(
        kind: str, name: str, given: dict[str, Any], label: str | None, recipe: Mapping[str, Any]
    ) -> Entry:
        has_trainer = kind == "model" and "trainer" in given
        own_trainer = given.pop("trainer", None) if has_trainer else None
        try:
            trainer = None if own_trainer is None else choose_trainer(own_trainer)
        except ValueError as error:
            raise ValueError(f"{name}: trainer: {error}") from None
        named = _as_named(name, given)
        try:
            choice, problem = choose({name: given}), ""
        except ValueError as error:
            choice, problem = named, str(error)
        heading = label or (named if problem else choice).label()
        return Entry(choice, heading, recipe, named, problem, trainer, has_trainer)

    return parse


def _as_named(name: str, given: Mapping[str, Any]) -> Choice:
    """A name with any options, nothing filled in; of code of the user's own, with its digest."""
    if "name" in given:
        raise ValueError(f"{name}: name: an option cannot be called so, it would hide what it belongs to")
    check_plain(name, given)
    if ":" in name:
        with contextlib.suppress(ValueError):
            return Choice(name, ForeignOptions.model_validate({**given, "source": source_digest(name)}))
    return Choice(name, FreeOptions.model_validate(dict(given)))


def check_plain(where: str, given: Mapping[str, Any]) -> None:
    """What cannot be part of a description: dates, say, and numbers that JSON does not have."""
    for key, value in given.items():
        try:
            canonical(value)
        except (TypeError, ValueError):
            raise ValueError(
                f"{where}: {key}: found {describe(value)}, expected text, a finite number, yes or no, or "
                "lists and mappings of them"
            ) from None


def trainer(value: Any) -> Any:
    return None if value is None else choose_trainer(value)


def metric(value: Any) -> Any:
    if isinstance(value, Metric):
        return value
    name, given = split_choice("metric", value)
    label = _label(name, given)
    return Metric.of(metrics.choose_metric({name: given}), label)


def _label(name: str, given: dict[str, Any]) -> str | None:
    """Take what tables are to call it from the options of a choice; also refuses what cannot be an option."""
    label = given.pop("label", None)
    if label is not None and (not isinstance(label, str) or not label.strip()):
        raise ValueError(f"{name}: label: found {describe(label)}, expected a name")
    if "source" in given:
        raise ValueError(f"{name}: source: an option cannot be called so, it names the digest of the code")
    return label


def listed(value: Any) -> Any:
    if isinstance(value, str) and len(names := [name.strip() for name in value.split(",")]) > 1:
        raise ValueError(
            f"found '{value}', which is one text; a list stands in brackets: [{', '.join(names)}]"
        )
    return value if isinstance(value, (list, tuple)) else [value]


def seeds(value: Any) -> Any:
    if isinstance(value, (list, tuple)) and (truths := [seed for seed in value if isinstance(seed, bool)]):
        raise ValueError(f"found {describe(truths[0])}, expected whole numbers")
    if isinstance(value, bool) or not isinstance(value, (int, list, tuple)):
        raise ValueError(
            f"found {describe(value)}, expected a number of seeds, a list of them, or "
            "{start: 5, step: 5, max: 40, until: decided}"
        )
    count = value if isinstance(value, int) else len(value)
    if count < 1:
        raise ValueError(f"found {count}, expected at least 1")
    return range(value) if isinstance(value, int) else value


def axis(kind: str, choose: Callable[[Any], Choice]) -> Any:
    item = Annotated[InstanceOf[Entry], BeforeValidator(_entry(kind, choose))]
    return Annotated[tuple[item, ...], BeforeValidator(listed), Field(min_length=1)]
