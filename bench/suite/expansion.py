"""A suite's cells: every data set × model × loss, with the description of its runs, and its searches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bench import datasets, models
from bench.cells import Cell, Search
from bench.entries import Entry
from bench.errors import BenchError
from bench.recipe import Recipe, merge_recipes
from bench.registry import explain
from bench.runs import RECIPE_VERSION, canonical
from bench.settings import Space, space_of
from bench.suite import own_trainers

if TYPE_CHECKING:
    from bench.suite import Suite


def cells_of(suite: Suite) -> tuple[Cell, ...]:
    """See :attr:`bench.suite.Suite.cells`."""
    recipes: dict[tuple[int, int, int], Recipe] = {}
    judge = {"metric": suite.chooses_by.describe()} if suite.chooses_by else {}
    judge |= suite.drawn
    cells = []
    for dataset, model, loss in suite.combinations():
        seeds = suite.seeds
        if suite.exclude:
            names = {"dataset": dataset.label, "model": model.label, "loss": loss.label}
            seeds = tuple(s for s in seeds if not any(e.matches(**names, seed=s) for e in suite.exclude))
        if (trainer := suite.trainer_of(model)) is not None:
            if seeds:
                text = canonical(own_trainers.description(suite, trainer, dataset, model, loss))
                cells.append(Cell(dataset.label, model.label, loss.label, text, seeds))
            continue
        key = (id(dataset.recipe), id(model.recipe), id(loss.recipe))
        if key not in recipes:
            recipes[key] = _recipe(suite, dataset, model, loss)
        if suite.tune and suite.tune.design == "searches":
            seeds = tuple(suite.tune.seed_in(r, seed) for r in range(suite.tune.searches) for seed in seeds)
        if seeds:
            _check_combination(suite, dataset, model, recipes[key])
            text = canonical(
                {
                    "recipe_version": RECIPE_VERSION,
                    "dataset": dataset.choice.describe(),
                    "model": model.choice.describe(),
                    "loss": loss.choice.describe(),
                    "recipe": recipes[key].model_dump(mode="json"),
                    "selection": suite.selection,
                    **judge,
                }
            )
            cells.append(
                Cell(dataset.label, model.label, loss.label, text, seeds, waits=suite.tune is not None)
            )
    _check_cells(suite, cells)
    return tuple(cells)


def _recipe(suite: Suite, dataset: Entry, model: Entry, loss: Entry) -> Recipe:
    for axis, entry in (("datasets", dataset), ("models", model), ("losses", loss)):
        if entry.problem:
            raise BenchError(f"{axis}: {entry.problem}")
    merged: Mapping[str, Any] = suite.recipe
    for entry in (dataset, model, loss):
        merged = merge_recipes(merged, entry.recipe)
    try:
        return Recipe.model_validate(merged)
    except ValidationError as error:
        changed = [entry.label for entry in (dataset, model, loss) if entry.recipe]
        where = f"recipe (with what {' and '.join(changed)} change in it)" if changed else "recipe"
        raise BenchError("; ".join(f"{where}: {line}" for line in explain(error))) from None


def _check_combination(suite: Suite, dataset: Entry, model: Entry, recipe: Recipe) -> None:
    shape = datasets.shape_of(dataset.choice)
    if shape is not None:
        try:
            models.check_fit(model.choice, shape)
        except BenchError as error:
            raise BenchError(f"models: {error} (data set '{dataset.label}')") from None
    if getattr(dataset.choice.options, "crop_from", None) and not recipe.crops_first:
        raise BenchError(
            f"datasets: {dataset.label}: crop_from keeps images for `resized_crop`, which must come "
            "first in recipe.augment"
        )
    looking = ("random_cube", "torch/ReduceLROnPlateau")
    if recipe.schedule.name in looking and suite.selection == "last":
        raise BenchError(
            f"recipe.schedule: {recipe.schedule.name} looks for new best accuracies, so it needs "
            "selection: validation or test; found selection: last"
        )

    if recipe.stop_early is not None and suite.selection != "validation":
        raise BenchError(
            "recipe.stop_early: looks at the validation metric, so it needs selection: validation; "
            f"found selection: {suite.selection}"
        )


def _check_cells(suite: Suite, cells: Sequence[Cell]) -> None:
    if not cells:
        raise BenchError("exclude: leaves no run of this suite")
    by_text: dict[str, Cell] = {}
    for cell in cells:
        twin = by_text.setdefault(cell.text, cell)
        if twin is not cell:
            raise BenchError(
                f"{cell.dataset} × {cell.model} × {cell.loss} and {twin.dataset} × {twin.model} × "
                f"{twin.loss} are the same training under two names"
            )
    with_baseline = {(cell.dataset, cell.model) for cell in cells if cell.loss == suite.baseline_label}
    for cell in cells:
        if (cell.dataset, cell.model) not in with_baseline:
            raise BenchError(
                f"baseline: '{suite.baseline_label}' has no run on {cell.dataset} × {cell.model}, where "
                f"'{cell.loss}' has; exclude both or none"
            )


def searches_of(suite: Suite) -> tuple[Search, ...]:
    """See :attr:`bench.suite.Suite.searches`."""
    if suite.tune is None:
        return ()
    spaces: dict[tuple[str, int], Space] = {}
    starts = {(*names, loss.label): (loss, recipe) for *names, loss, recipe in _starting_points(suite)}
    searches = []
    for cell in suite.cells:
        loss, recipe = starts[cell.key]
        key = canonical(recipe), id(loss)
        if key not in spaces:
            where = f" (of {cell.dataset} × {cell.model})"
            spaces[key] = space_of(suite.tune, loss.choice, loss.label, recipe, where)
        space, rest = spaces[key], json.loads(cell.text)
        texts = {
            seed: canonical({**rest, "loss": changed, "recipe": described})
            for seed, (changed, described) in space.described.items()
        }
        searches.append(Search(*cell.key, cell.text, tuple(texts), texts=texts, settings=space.settings))
    return tuple(searches)


def _starting_points(suite: Suite) -> Iterator[tuple[str, str, Entry, Mapping[str, Any]]]:
    """What trials start from: the names of a cell, its loss, and its recipe as the file has it."""
    for dataset, model, loss in suite.combinations():
        merged: Mapping[str, Any] = suite.recipe
        for entry in (dataset, model, loss):
            merged = merge_recipes(merged, entry.recipe)
        yield dataset.label, model.label, loss, merged
