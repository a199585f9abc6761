"""The cells of a suite that trainers of the user's own train: what these are told, and what they run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench import entries
from bench.entries import Entry
from bench.errors import BenchError
from bench.placeholders import check_filled, fill, values_of
from bench.programs import Program, find
from bench.runs import RECIPE_VERSION
from bench.trainer_options import Command, Trainer

if TYPE_CHECKING:
    from bench.suite import Suite


def description(suite: Suite, trainer: Trainer, dataset: Entry, model: Entry, loss: Entry) -> dict[str, Any]:
    """The description of a cell that a trainer of the user's own trains: which epoch counts is its own
    affair, and no part of it."""
    described = {"recipe_version": RECIPE_VERSION, **_arguments(suite, dataset, model, loss)}
    if not isinstance(trainer, Command):
        return {**described, "trainer": trainer.describe()}
    followed = trainer.progress.file if trainer.progress else None
    check_filled([*trainer.command, trainer.result.file or "", followed or ""], values_of(described))
    if trainer.result.is_number or trainer.result.is_count:
        known = trainer.result.metric or (suite.metrics[0].name if trainer.result.is_number else "accuracy")
        if others := [metric.name for metric in suite.metrics if metric.name != known]:
            raise BenchError(
                f"metrics: '{others[0]}' cannot be had: trainer.result gives {known} alone; have the "
                "program write labels with predictions or probabilities (.npz), or metrics by name "
                "(.json)"
            )
    program = _program(suite, trainer, described)
    identity = None if program is None else (program.key, program.digest)
    return {**described, "trainer": trainer.describe(suite.metrics[0].name, identity)}


def _arguments(suite: Suite, dataset: Entry, model: Entry, loss: Entry) -> dict[str, Any]:
    """What a trainer of the user's own is told of a cell."""
    recipe = {**suite.recipe, **dataset.recipe, **model.recipe, **loss.recipe}
    try:
        entries.check_plain("recipe", recipe)
    except ValueError as error:
        raise BenchError(str(error)) from None
    named = {"dataset": dataset, "model": model, "loss": loss}
    return {
        **{kind: (entry.named or entry.choice).describe() for kind, entry in named.items()},
        "recipe": recipe,
    }


def _program(suite: Suite, trainer: Command, described: Mapping[str, Any]) -> Program | None:
    words = tuple(fill(word, values_of(described)) for word in trainer.command)
    key = (words, trainer.code)
    if key not in suite._programs:
        try:
            suite._programs[key] = find(words, trainer.code, suite.folder)
        except BenchError as error:
            raise BenchError(f"trainer.{error}") from None
    return suite._programs[key]


def programs_of(suite: Suite) -> Mapping[str, Program]:
    """By key, the programs of the user's own that its commands run, as they were when it was read."""
    programs = {}
    for dataset, model, loss in suite.combinations():
        if isinstance(trainer := suite.trainer_of(model), Command):
            described = _arguments(suite, dataset, model, loss)
            if (program := _program(suite, trainer, described)) is not None:
                programs[program.key] = program
    return programs
