"""A suite with everything filled in, as data; and the suite that such data describe.

Reading a suite file looks for the user's code, for files of data and of weights, and asks the libraries what
they have: all of that may be missing, or be another, where a bundle is read. What is written here has been
checked and filled in. It is read without a look at anything else, and its cells are those that were asked
for, whatever a later bench fills in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ValidationError

from bench import datasets, losses, metrics, models
from bench.bundles.measured import Kept
from bench.cells import Cell, Search
from bench.datasets import OnDisk
from bench.entries import AXES, Entry
from bench.errors import BenchError
from bench.metrics import Metric
from bench.models import StartingWeights
from bench.registry import Choice, FreeOptions, Options, explain
from bench.suite import Suite
from bench.trainer_options import TRAINERS, Command, Trainer, choose_trainer

_TABLES: Mapping[str, Mapping[str, type[Options]]] = {
    "datasets": datasets.DATASETS,
    "models": models.MODELS,
    "losses": losses.LOSSES,
    "metrics": metrics.METRICS,
    "trainers": TRAINERS,
}
_APART = {*AXES, "metrics", "trainer", "seeds", "analysis"}
"""Fields of a suite that are not written as pydantic would."""


def _a_choice(described: dict[str, Any]) -> dict[str, Any]:
    name = described.get("name")
    if not isinstance(name, str) or (":" in name and not re.fullmatch(r"[\w.~-]+:\w+", name)):
        raise ValueError(f"name: found {name!r}, expected what a suite can name")
    return described


def _a_description(text: str) -> str:
    description = json.loads(text)
    for part in ("dataset", "model", "loss", "recipe"):
        if not isinstance(description, dict) or not isinstance(description.get(part), dict):
            raise ValueError(f"found no {part} in the description of a run")
    for part in ("dataset", "model", "loss", "trainer"):
        if part in description:
            _a_choice(description[part])
    return text


Described = Annotated[dict[str, Any], AfterValidator(_a_choice)]
Text = Annotated[str, AfterValidator(_a_description)]


class _Trainer(BaseModel):
    """Who trains: a function of the user's own, or a command."""

    function: Described | None = None
    command: dict[str, Any] | None = None


class _Entry(BaseModel):
    """An item of an axis."""

    label: str
    choice: Described
    named: Described | None = None
    recipe: dict[str, Any] = {}
    problem: str = ""
    trainer: _Trainer | None = None
    has_trainer: bool = False


class _Metric(BaseModel):
    """A metric; of the user's own, also what only its code knows."""

    label: str
    choice: Described
    unit: str = ""
    higher_is_better: bool = True
    guessed: bool = False


class _Cell(BaseModel):
    """A cell of the suite."""

    dataset: str
    model: str
    loss: str
    text: Text
    seeds: list[int] | None = None
    """None: those of the suite."""
    former: dict[int, Text] = {}
    waits: bool = False


class _Search(_Cell):
    """The trials of a cell."""

    texts: dict[int, Text]
    settings: dict[int, dict[str, Any]]


class Resolved(BaseModel):
    """What ``resolved.json`` holds."""

    asked: dict[str, Any]
    """What is neither an axis nor below: as a suite file would have it."""
    datasets: list[_Entry]
    models: list[_Entry]
    losses: list[_Entry]
    metrics: list[_Metric]
    trainer: _Trainer | None = None
    cells: list[_Cell]
    searches: list[_Search] = []


def resolved(suite: Suite) -> Resolved:
    """All of a suite that reports are made from."""
    plain = suite.model_dump(mode="json", exclude=_APART)
    margins = {name: margin for name, margin in suite.margins.items() if margin is not None}
    return Resolved(
        asked={
            **plain,
            "tune": None if suite.tune is None else suite.tune.model_dump(mode="json", exclude_unset=True),
            "seeds": [*suite.seeds] if suite.until is None else suite.until.model_dump(mode="json"),
            "analysis": {**suite.analysis.model_dump(mode="json"), "margin": margins or None},
        },
        **{axis: [_entry(entry) for entry in getattr(suite, axis)] for axis in AXES},
        metrics=[_metric(metric) for metric in suite.metrics],
        trainer=_trainer(suite.trainer),
        cells=[_Cell(**_cell(cell, suite), waits=cell.waits) for cell in suite.cells],
        searches=[
            _Search(
                **_cell(search, suite),
                texts=dict(search.texts),
                settings={k: {**v} for k, v in search.settings.items()},
            )
            for search in suite.searches
        ],
    )


def _cell(cell: Cell, suite: Suite) -> dict[str, Any]:
    return {
        **{"dataset": cell.dataset, "model": cell.model, "loss": cell.loss, "text": cell.text},
        "seeds": None if cell.seeds == suite.seeds else [*cell.seeds],
        "former": dict(cell.former),
    }


def _entry(entry: Entry) -> _Entry:
    return _Entry(
        label=entry.label,
        choice=entry.choice.describe(),
        named=None if entry.named is None else entry.named.describe(),
        recipe=dict(entry.recipe),
        problem=entry.problem,
        trainer=_trainer(entry.trainer),
        has_trainer=entry.has_trainer,
    )


def _trainer(trainer: Trainer | None) -> _Trainer | None:
    if trainer is None:
        return None
    if isinstance(trainer, Command):
        return _Trainer(command=trainer.model_dump(mode="json", exclude_unset=True))
    return _Trainer(function=trainer.describe())


def _metric(metric: Metric) -> _Metric:
    if metric.measure_type is not None:
        return _Metric(label=metric.name, choice=metric.choice.describe())
    return _Metric(
        label=metric.name,
        choice=metric.choice.describe(),
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        guessed=metric.direction_guessed,
    )


def restore(resolved: Resolved, measured: Path) -> Suite:
    """The suite: a report takes it for the one that was read from its file.

    Args:
        measured: the folder of :mod:`bench.bundles.measured`.

    Raises:
        BenchError: these data describe none.
    """
    chosen = [_restore_metric(metric) for metric in resolved.metrics]
    own_metrics = [number for number, metric in enumerate(chosen) if metric.measure_type is None]
    metrics_there = [
        _kept(metric, description, measured / str(own_metrics.index(number)))
        if number in own_metrics
        else metric
        for number, (metric, description) in enumerate(zip(chosen, resolved.metrics, strict=True))
    ]
    try:
        suite = Suite.model_validate(
            {
                **resolved.asked,
                **{axis: [_restore_entry(axis, entry) for entry in getattr(resolved, axis)] for axis in AXES},
                "metrics": metrics_there,
                "trainer": _restore_trainer(resolved.trainer),
            }
        )
    except ValidationError as error:
        raise BenchError(explain(error)[0]) from None
    labels = [suite.labels(axis) for axis in AXES]
    for cell in (*resolved.cells, *resolved.searches):
        key = (cell.dataset, cell.model, cell.loss)
        if any(label not in allowed for label, allowed in zip(key, labels, strict=True)):
            raise BenchError(f"cells: {' × '.join(key)} is none of its axes'")

    def place(cell: _Cell) -> dict[str, Any]:
        return {
            **cell.model_dump(include={"dataset", "model", "loss", "text", "former"}),
            "seeds": suite.seeds if cell.seeds is None else tuple(cell.seeds),
        }

    suite.__dict__["cells"] = tuple(Cell(**place(cell), waits=cell.waits) for cell in resolved.cells)
    suite.__dict__["searches"] = tuple(
        Search(**place(search), texts=search.texts, settings=search.settings) for search in resolved.searches
    )
    suite.__dict__["programs"] = {}  # which would be looked for in a folder that is not here
    return suite


def _restore_entry(axis: str, entry: _Entry) -> Entry:
    return Entry(
        choice=_restore_choice(entry.choice, _TABLES[axis]),
        label=entry.label,
        recipe=entry.recipe,
        named=None if entry.named is None else _restore_choice(entry.named, {}),
        problem=entry.problem,
        trainer=_restore_trainer(entry.trainer),
        has_trainer=entry.has_trainer,
    )


def _restore_metric(description: _Metric) -> Metric:
    described = {**description.choice, "unit": description.unit} if description.unit else description.choice
    choice = _restore_choice(described, _TABLES["metrics"])
    if ":" not in choice.name and not isinstance(choice.options, metrics.Measure):
        raise BenchError(f"metrics: this bench has no '{choice.label()}'; a newer one may have it")
    return Metric(choice, description.label)


def _kept(metric: Metric, description: _Metric, folder: Path) -> Kept:
    return Kept(metric.choice, metric.name, folder, description.higher_is_better, description.guessed)


def _restore_trainer(description: _Trainer | None) -> Trainer | None:
    if description is None:
        return None
    if description.function is not None:
        return _restore_choice(description.function, TRAINERS)
    try:
        return choose_trainer(description.command)
    except ValueError as error:
        raise BenchError(f"trainer: {error}") from None


def _restore_choice(described: Mapping[str, Any], table: Mapping[str, type[Options]]) -> Choice:
    """The choice that was described: of its own kind of options where that takes no look at any file."""
    name = described["name"]
    options = {key: value for key, value in described.items() if key != "name"}
    family = f"{name.partition('/')[0]}/"
    keys = (name, family, *(["module:callable"] if ":" in name else []))
    kind = next((table[key] for key in keys if key in table), FreeOptions)
    if issubclass(kind, OnDisk) and options.get(kind.place) and kind.place != "content":
        kind = FreeOptions
    if issubclass(kind, StartingWeights) and options.get("weights"):
        kind = FreeOptions
    try:
        choice = Choice(name, kind.model_validate(options))
        if kind is metrics.Own or choice.describe() == dict(described):
            return choice
    except ValidationError:
        pass
    return Choice(name, FreeOptions.model_validate(options))
