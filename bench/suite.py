"""The suite: one YAML file, validated, expanded to cells and runs.

A suite is a question put to the runs that exist, and an order for those that do not.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    InstanceOf,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from bench import datasets, entries, losses, metrics, models
from bench.cells import Cell, Search, seed_by_seed
from bench.entries import Entry
from bench.errors import BenchError, unknown
from bench.metrics import Metric
from bench.placeholders import check_filled, fill, values_of
from bench.programs import Program, find
from bench.recipe import Recipe, merge_recipes
from bench.registry import (
    Choice,
    Strict,
    describe,
    explain,
)
from bench.runs import RECIPE_VERSION, SOURCES, Run, Selection, Source, Splits, canonical
from bench.settings import Space, space_of
from bench.space import MOST as MOST_TRIALS
from bench.space import SEEDS_OF_TRIALS, Tune
from bench.trainer_options import Command, Trainer
from bench.yaml_file import read_yaml

MOST_LOOKS = 200
"""How often the comparisons of a suite may be looked at: bounds for more take long to compute."""
KINDS = {"datasets": "dataset", "models": "model", "losses": "loss"}
AXES = tuple(KINDS)
RESERVED = ("runs", "code", "set-aside", "mlartifacts", "mlflow.db")
"""What else lies in the results folder, beside a folder a suite."""


NOT_SPLIT_ANEW = {
    "label_noise": "wrong labels would be tested on",
    "long_tail": "the long tail would be tested on",
    "crop_from": "training images are stored larger than those that test",
}
"""Options of data sets with which test images cannot be drawn anew, and why."""

FEWEST_POINTS = 0.01
"""A margin below is taken for a fraction, unless the metric is named: it is one image of ten thousand."""
PERCENT_MARGIN = 0.10
"""Points within which differences do not matter, where the first metric is a percentage and nobody says."""


def _margins(value: Any, number: ValidatorFunctionWrapHandler) -> Any:
    if not isinstance(value, Mapping):
        return number(value)
    for name, margin in value.items():
        right = isinstance(margin, (int, float)) and not isinstance(margin, bool)
        if not right or not 0 <= margin < math.inf:
            found = str(margin).lower() if isinstance(margin, bool) else describe(margin)
            raise ValueError(f"{name}: found {found}, expected a number of at least 0")
    return dict(value)


class Analysis(Strict):
    """How the comparison is judged."""

    alpha: float = Field(0.05, gt=0, lt=0.5)
    test: Literal["rotations", "flips"] = "rotations"
    """What judges a fixed number of paired seeds: docs/statistics.md."""
    margin: Annotated[float | None, Field(ge=0), WrapValidator(_margins)] = None
    """Differences within ± this much of the first metric do not matter: see :attr:`Suite.margins`.

    In a file, it may also be a mapping, by metric.
    """


class UntilDecided(Strict):
    """Seeds are added until every comparison is decided: :mod:`bench.sequential_design`."""

    start: int = Field(ge=2)
    """Seeds that every cell gets."""
    step: int = Field(ge=1)
    """Seeds that a comparison which is still open gets after each look."""
    max: int = Field(le=10_000)
    """Seeds after which an open comparison stays undecided."""
    until: Literal["decided"] = "decided"
    looks: Literal["planned", "whenever"] | None = None
    """At planned looks, by group-sequential boundaries, or whenever one likes, by e-values. None: planned,
    but for suites whose report was made by e-values already."""

    @model_validator(mode="after")
    def _max_comes_last(self) -> Self:
        if self.max < self.start:
            raise ValueError(f"max: found {self.max}, expected at least start, which is {self.start}")
        looks = 1 + -(-(self.max - self.start) // self.step)
        if looks > MOST_LOOKS:
            raise ValueError(
                f"step: found {self.step}, which makes {looks:,} looks; at most {MOST_LOOKS} are allowed"
            )
        return self


class Exclusion(Strict):
    """Leaves out what matches all that is given. Values are labels, or lists of them."""

    dataset: Annotated[tuple[str, ...], BeforeValidator(entries.listed)] = ()
    model: Annotated[tuple[str, ...], BeforeValidator(entries.listed)] = ()
    loss: Annotated[tuple[str, ...], BeforeValidator(entries.listed)] = ()
    seed: Annotated[tuple[int, ...], BeforeValidator(entries.listed)] = ()

    def matches(self, **found: str | int) -> bool:
        """Whether every axis that this exclusion names holds the given value."""
        return all(not getattr(self, axis) or value in getattr(self, axis) for axis, value in found.items())


class Suite(Strict):
    """What is compared, on what, with how many seeds, against which baseline."""

    scaled_down: ClassVar[bool] = False
    """Whether this is a miniature made by :mod:`bench.scale`, which answers nothing."""
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Names the folder of its tables and its MLflow experiment. Default: the file's name."""
    question: str = Field(min_length=1)
    datasets: entries.axis("data set", datasets.choose_dataset)  # type: ignore[valid-type]
    models: entries.axis("model", models.choose_model)  # type: ignore[valid-type]
    losses: entries.axis("loss", losses.choose_loss)  # type: ignore[valid-type]
    baseline: str = ""
    """Label of the loss that the others are compared with. Default: the first."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**63)], ...], BeforeValidator(entries.seeds)]
    zip: tuple[Literal["datasets", "models", "losses"], ...] = ()
    """Axes that advance together instead of crossing."""
    exclude: Annotated[tuple[Exclusion, ...], BeforeValidator(entries.listed)] = ()
    trainer: Annotated[InstanceOf[Choice] | InstanceOf[Command] | None, BeforeValidator(entries.trainer)] = (
        None
    )
    """Who trains, where it is not bench itself: for all models but those that say so themselves."""
    recipe: Mapping[str, Any] = Field(default_factory=dict)
    selection: Selection = "validation"
    splits: Splits = "given"
    """Whether each seed draws training, validation and test images anew, the same for all losses."""
    vary: Annotated[tuple[Source, ...], BeforeValidator(entries.listed), Field(min_length=1)] = tuple(SOURCES)
    """What a seed decides; what is left out is in all runs as for seed 0."""
    tune: Tune | None = None
    """How every loss is tuned, with equally many trials. None: all are trained by one recipe."""
    tuned_for: str = ""
    """Without ``tune``: the loss for which that recipe was chosen. Empty: nobody said."""
    metrics: Annotated[
        tuple[Annotated[InstanceOf[Metric], BeforeValidator(entries.metric)], ...],
        BeforeValidator(entries.listed),
        Field(min_length=1),
    ] = Field(default_factory=lambda: (entries.metric("accuracy"),))
    """What is measured. The first decides: verdicts, more seeds, which epoch counts."""
    analysis: Analysis = Analysis()
    keep_weights: bool = False
    """Whether run folders keep the weights of the epoch that counts. No part of a run's identity."""
    keep_probabilities: bool = False
    """Whether run folders keep the probability of every class for each test image. No part of it either."""
    _until: UntilDecided | None = PrivateAttr(None)
    _margins: dict[str, float | None] = PrivateAttr(default_factory=dict)
    _whole: Suite | None = PrivateAttr(None)
    _folder: Path = PrivateAttr(default_factory=Path.cwd)
    _found: dict[tuple[Any, ...], Program | None] = PrivateAttr(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _seeds_until_decided(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        until = None
        if isinstance(values, Mapping) and isinstance(values.get("seeds"), Mapping):
            try:
                until = UntilDecided.model_validate(values["seeds"])
            except ValidationError as error:
                raise ValueError("; ".join(f"seeds: {line}" for line in explain(error))) from None
            values = {**values, "seeds": until.max}
        before = entries.NAMES_ARE_FREE.set(_has_trainers(values))
        try:
            suite = handler(values)
        finally:
            entries.NAMES_ARE_FREE.reset(before)
        if until is not None:
            suite._until = until
        return suite

    @model_validator(mode="after")
    def _consistent(self) -> Suite:
        if self.name in RESERVED:
            raise ValueError(
                f"name: '{self.name}' is what results/ keeps something else in; give the suite another name"
            )
        if len(set(self.seeds)) < len(self.seeds):
            twice = sorted({seed for seed in self.seeds if self.seeds.count(seed) > 1})
            raise ValueError(f"seeds: found {', '.join(map(str, twice))} more than once")
        for axis in AXES:
            labels = self.labels(axis)
            for label in labels:
                if labels.count(label) > 1:
                    raise ValueError(f"{axis}: found '{label}' more than once; tell them apart with 'label'")
        if self.baseline and self.baseline not in self.labels("losses"):
            raise ValueError(f"baseline: {unknown('loss', self.baseline, self.labels('losses'))}")
        self._check_metrics()
        if self.until and self.selection == "test":
            raise ValueError(
                "selection: found test; no verdict is given of epochs chosen on the test set, so that seeds "
                "would be added for ever: expected last or validation, or a fixed number of seeds"
            )
        if self.until and self.analysis.test != "rotations":
            raise ValueError(
                f"analysis.test: found {self.analysis.test}; where seeds are added until decided, the looks "
                "judge: see seeds.looks"
            )
        self._check_splits()
        self._check_tuning()
        self._resolve_margins()
        self._check_zip()
        self._check_exclusions()
        self._check_trainers()
        return self

    def _check_tuning(self) -> None:
        labels = self.labels("losses")
        if self.tuned_for and self.tuned_for not in labels:
            raise ValueError(f"tuned_for: {unknown('loss', self.tuned_for, labels)}")
        if (tune := self.tune) is None:
            return
        if self.tuned_for:
            raise ValueError(
                f"tuned_for: found {self.tuned_for}, but with tune every loss is tuned; leave one of them out"
            )
        if self.selection != "validation":
            why = "the test set takes part in no choice" if self.selection == "test" else "settings are too"
            raise ValueError(
                f"selection: found {self.selection}; with tune, the epoch and the setting are chosen on the "
                f"validation split, and there is nothing else that is honest to choose by ({why}): expected "
                "validation"
            )
        if self.until:
            raise ValueError(
                "seeds: found until: decided; with tune the verdict rests on the trials, and no seed of the "
                "winners decides anything: expected a fixed number of seeds"
            )
        if self.analysis.test != "rotations":
            raise ValueError(
                f"analysis.test: found {self.analysis.test}; with tune the trials decide, and no seed is "
                "flipped"
            )
        if self.splits != "given":
            raise ValueError(
                "splits: found per_seed; with tune each trial has a seed of its own, and all of them are to "
                "be tested on the same images: expected given"
            )
        if self.trainers:
            raise ValueError(
                "tune: needs scores on a validation split for every epoch, which a trainer of your own does "
                "not give; tune with it, and compare what it found with `bench compare`"
            )
        if most := [seed for seed in self.seeds if seed >= SEEDS_OF_TRIALS]:
            raise ValueError(
                f"seeds: found {most[0]}; seeds from {SEEDS_OF_TRIALS} on are those of trials, which are "
                "never those of the comparison"
            )
        if tune.design == "searches" and (large := [seed for seed in self.seeds if seed >= MOST_TRIALS]):
            raise ValueError(
                f"seeds: found {large[0]}; with design: searches, seeds below {MOST_TRIALS} are expected, as "
                "larger ones are those of the second search and on"
            )
        for name in tune.losses:
            if not any(name in (entry.label, entry.choice.name) for entry in self.losses):
                raise ValueError(f"tune.losses: {unknown('loss', name, labels)}")

    def _check_metrics(self) -> None:
        for position, metric in enumerate(self.metrics):
            for earlier in self.metrics[:position]:
                if metric.choice == earlier.choice:
                    raise ValueError(f"metrics: found '{metric.choice.label()}' more than once")
                if metric.name == earlier.name:
                    raise ValueError(
                        f"metrics: found '{metric.name}' more than once; tell them apart with 'label'"
                    )
            if metric.name != metric.choice.name and metric.name in metrics.METRICS:
                raise ValueError(
                    f"metrics: '{metric.name}' is the name of another metric than {metric.choice.name}, and "
                    "no label for it"
                )
            if metric.needs_probabilities and not self.keep_probabilities:
                raise ValueError(
                    f"metrics: '{metric.name}' needs the probability of every class for each test image, "
                    "which runs keep with keep_probabilities: true"
                )

    def _check_splits(self) -> None:
        if len(set(self.vary)) < len(self.vary):
            raise ValueError(f"vary: found {', '.join(self.vary)}; each once")
        self.__dict__["vary"] = tuple(source for source in SOURCES if source in self.vary)
        if self.splits == "given":
            return
        if "split" not in self.vary:
            raise ValueError(
                f"vary: found {', '.join(self.vary)}, without split; splits: per_seed has each seed draw one"
            )
        if self.until:
            raise ValueError(
                "seeds: found until: decided; with splits: per_seed test sets overlap, which the rules for "
                "adding seeds take no account of: expected a fixed number of seeds"
            )
        if self.analysis.test != "rotations":
            raise ValueError(
                f"analysis.test: found {self.analysis.test}; with splits: per_seed test sets overlap, so "
                "that whole seeds are not flipped: the corrected resampled t decides"
            )
        for entry in self.datasets:
            for option, why in NOT_SPLIT_ANEW.items():
                if getattr(entry.choice.options, option, None):
                    raise ValueError(f"splits: found per_seed, and {option} of {entry.label}: {why}")

    def _check_trainers(self) -> None:
        """What a seed decides is the affair of who trains."""
        found = "splits: found per_seed" if self.splits != "given" else f"vary: found {', '.join(self.vary)}"
        if self.trainers and (self.splits != "given" or len(self.vary) < len(SOURCES)):
            raise ValueError(
                f"{found}; {self.trainers[0].label()} trains, and what it makes of a seed is its own affair"
            )

    def _resolve_margins(self) -> None:
        names, given = [metric.name for metric in self.metrics], self.analysis.margin
        margins: Mapping[str, float | None]
        margins = given if isinstance(given, Mapping) else {} if given is None else {names[0]: given}
        for name in margins:
            if name not in names:
                raise ValueError(f"analysis.margin: {unknown('metric', str(name), names)}")
        if isinstance(given, float) and 0 < given < FEWEST_POINTS and self.metrics[0].unit == "%":
            raise ValueError(
                f"analysis.margin: found {given:g}; it is in points, of which this is one image in "
                f"{round(100 / given):,}. Was {100 * given:g} meant? If not, name the metric: "
                f"{{{names[0]}: {given:g}}}"
            )
        default = PERCENT_MARGIN if self.metrics[0].unit == "%" else None
        self._margins = {name: margins.get(name) for name in names} | {
            names[0]: margins.get(names[0], default)
        }
        self.__dict__["analysis"] = self.analysis.model_copy(update={"margin": self._margins[names[0]]})

    def _check_zip(self) -> None:
        if not self.zip:
            return
        if len(set(self.zip)) < len(self.zip) or len(self.zip) < 2:
            raise ValueError(f"zip: found {', '.join(self.zip)}; expected two or three different axes")
        lengths = {axis: len(self.labels(axis)) for axis in self.zip}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{length} {axis}" for axis, length in lengths.items())
            raise ValueError(f"zip: found {found}; zipped axes have equally many items")

    def _check_exclusions(self) -> None:
        for position, exclusion in enumerate(self.exclude):
            for axis in AXES:
                kind = KINDS[axis]
                for label in getattr(exclusion, kind):
                    if label not in self.labels(axis):
                        raise ValueError(
                            f"exclude.{position}.{kind}: {unknown(kind, label, self.labels(axis))}"
                        )
            if exclusion.seed and self.until:
                raise ValueError(
                    f"exclude.{position}.seed: found {describe(exclusion.seed)}; where seeds are added until "
                    "decided, none can be left out"
                )
            for seed in exclusion.seed:
                if seed not in self.seeds:
                    raise ValueError(f"exclude.{position}.seed: found {seed}, which is no seed of this suite")

    def labels(self, axis: str) -> list[str]:
        """What tables call the items of an axis, in the order of the file."""
        return [entry.label for entry in getattr(self, axis)]

    @property
    def until(self) -> UntilDecided | None:
        """How seeds are added; None where their number is fixed. ``seeds`` are all that there may be."""
        return self._until

    @property
    def whole(self) -> Suite:
        """The suite as its file has it, where this has other seeds or cells; else itself."""
        return self._whole or self

    @property
    def folder(self) -> Path:
        """Where its file lies: files that a command names are looked for there."""
        return self._folder

    @property
    def is_look(self) -> bool:
        """Whether it was read with a part of the seeds that its file asks for."""
        return not {*self.whole.seeds} <= {*self.seeds}

    @property
    def margins(self) -> dict[str, float | None]:
        """By metric, within ± how much of it differences do not matter: the bound for *equivalent*.

        In the metric's own unit, points for percentages; None, or 0: nothing is equivalent.
        """
        return self._margins

    @property
    def needs_details(self) -> bool:
        """Whether what is measured takes more of each test image than its class."""
        return not all(metric.is_accuracy for metric in self.metrics)

    @property
    def chooses_by(self) -> Choice | None:
        """The metric that chooses the epoch that counts; None where accuracy does, or none is chosen."""
        first = self.metrics[0]
        return None if first.is_accuracy or self.selection == "last" else first.choice

    @property
    def drawn(self) -> dict[str, Any]:
        """How its seeds differ from those of any suite before there were ``splits`` and ``vary``."""
        splits = {} if self.splits == "given" else {"splits": self.splits}
        return splits if len(self.vary) == len(SOURCES) else {**splits, "vary": [*self.vary]}

    @property
    def baseline_label(self) -> str:
        """The label of the baseline loss."""
        return self.baseline or self.losses[0].label

    # ------------------------------------------------------------------------------------ expansion

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Data set × model × loss, less what is excluded.

        Raises:
            BenchError: nothing is left, a baseline is missing, or a recipe or a combination does not hold.
        """
        recipes: dict[tuple[int, int, int], Recipe] = {}
        judge = {"metric": self.chooses_by.describe()} if self.chooses_by else {}
        judge |= self.drawn
        cells = []
        for dataset, model, loss in self._combinations():
            seeds = self.seeds
            if self.exclude:
                names = {"dataset": dataset.label, "model": model.label, "loss": loss.label}
                seeds = tuple(s for s in seeds if not any(e.matches(**names, seed=s) for e in self.exclude))
            if (trainer := self.trainer_of(model)) is not None:
                if seeds:
                    text = canonical(self._described(trainer, dataset, model, loss))
                    cells.append(Cell(dataset.label, model.label, loss.label, text, seeds))
                continue
            key = (id(dataset.recipe), id(model.recipe), id(loss.recipe))
            if key not in recipes:
                recipes[key] = self._recipe(dataset, model, loss)
            if self.tune and self.tune.design == "searches":
                seeds = tuple(self.tune.seed_in(r, seed) for r in range(self.tune.searches) for seed in seeds)
            if seeds:
                self._check_combination(dataset, model, recipes[key])
                text = canonical(
                    {
                        "recipe_version": RECIPE_VERSION,
                        "dataset": dataset.choice.describe(),
                        "model": model.choice.describe(),
                        "loss": loss.choice.describe(),
                        "recipe": recipes[key].model_dump(mode="json"),
                        "selection": self.selection,
                        **judge,
                    }
                )
                cells.append(
                    Cell(dataset.label, model.label, loss.label, text, seeds, waits=self.tune is not None)
                )
        self._check_cells(cells)
        return tuple(cells)

    @cached_property
    def searches(self) -> tuple[Search, ...]:
        """The trials of each cell, in the order of :attr:`cells`; none without ``tune``.

        Raises:
            BenchError: a dimension or an end of a range does not fit the recipe or the loss.
        """
        if self.tune is None:
            return ()
        spaces: dict[tuple[str, int], Space] = {}
        made = {(*names, loss.label): (loss, recipe) for *names, loss, recipe in self._tuned()}
        found = []
        for cell in self.cells:
            loss, recipe = made[cell.key]
            key = canonical(recipe), id(loss)
            if key not in spaces:
                where = f" (of {cell.dataset} × {cell.model})"
                spaces[key] = space_of(self.tune, loss.choice, loss.label, recipe, where)
            space, rest = spaces[key], json.loads(cell.text)
            texts = {
                seed: canonical({**rest, "loss": changed, "recipe": described})
                for seed, (changed, described) in space.described.items()
            }
            found.append(Search(*cell.key, cell.text, tuple(texts), texts=texts, settings=space.settings))
        return tuple(found)

    def _tuned(self) -> Iterator[tuple[str, str, Entry, Mapping[str, Any]]]:
        """What trials start from: the names of a cell, its loss, and its recipe as the file has it."""
        for dataset, model, loss in self._combinations():
            merged: Mapping[str, Any] = self.recipe
            for entry in (dataset, model, loss):
                merged = merge_recipes(merged, entry.recipe)
            yield dataset.label, model.label, loss, merged

    @property
    def every_cell(self) -> tuple[Cell, ...]:
        """Trials first, then what is compared."""
        return (*self.searches, *self.cells)

    @property
    def most_runs(self) -> int:
        """How many there are at most: of cells that wait, all that they will have."""
        return sum(len(cell.seeds) for cell in self.every_cell)

    @property
    def adds_runs(self) -> bool:
        """Whether it may ask for more once what it asks for now has ended."""
        return self.until is not None or any(cell.waits for cell in self.cells)

    def trainer_of(self, model: Entry) -> Trainer | None:
        """Who trains a model; None: bench itself."""
        return model.trainer if model.has_trainer else self.trainer

    @cached_property
    def trainers(self) -> tuple[Trainer, ...]:
        """Those of the user's own."""
        found = [one for model in self.models if (one := self.trainer_of(model)) is not None]
        return tuple(one for number, one in enumerate(found) if one not in found[:number])

    def ours(self, axis: str) -> tuple[Entry, ...]:
        """The items of an axis that bench itself needs, to train with them."""
        used = [
            combination[AXES.index(axis)]
            for combination in self._combinations()
            if self.trainer_of(combination[AXES.index("models")]) is None
        ]
        return tuple(entry for entry in getattr(self, axis) if any(entry is one for one in used))

    @cached_property
    def programs(self) -> Mapping[str, Program]:
        """By key, the programs of the user's own that its commands run, as they were when it was read."""
        found = {}
        for dataset, model, loss in self._combinations():
            if isinstance(trainer := self.trainer_of(model), Command):
                described = self._named(dataset, model, loss)
                if (program := self._program(trainer, described)) is not None:
                    found[program.key] = program
        return found

    def _named(self, dataset: Entry, model: Entry, loss: Entry) -> dict[str, Any]:
        """What a trainer of the user's own is told of a cell."""
        recipe = {**self.recipe, **dataset.recipe, **model.recipe, **loss.recipe}
        try:
            entries.check_plain("recipe", recipe)
        except ValueError as error:
            raise BenchError(str(error)) from None
        named = {"dataset": dataset, "model": model, "loss": loss}
        return {
            **{kind: (entry.named or entry.choice).describe() for kind, entry in named.items()},
            "recipe": recipe,
        }

    def _described(self, trainer: Trainer, dataset: Entry, model: Entry, loss: Entry) -> dict[str, Any]:
        """The description of a cell that a trainer of the user's own trains: which epoch counts is its own
        affair, and no part of it."""
        described = {"recipe_version": RECIPE_VERSION, **self._named(dataset, model, loss)}
        if not isinstance(trainer, Command):
            return {**described, "trainer": trainer.describe()}
        followed = trainer.progress.file if trainer.progress else None
        check_filled([*trainer.command, trainer.result.file or "", followed or ""], values_of(described))
        if trainer.result.is_number or trainer.result.is_count:
            known = trainer.result.metric or (
                self.metrics[0].name if trainer.result.is_number else "accuracy"
            )
            if others := [metric.name for metric in self.metrics if metric.name != known]:
                raise BenchError(
                    f"metrics: '{others[0]}' cannot be had: trainer.result gives {known} alone; have the "
                    "program write labels with predictions or probabilities (.npz), or metrics by name "
                    "(.json)"
                )
        program = self._program(trainer, described)
        told = None if program is None else (program.key, program.digest)
        return {**described, "trainer": trainer.describe(self.metrics[0].name, told)}

    def _program(self, trainer: Command, described: Mapping[str, Any]) -> Program | None:
        words = tuple(fill(word, values_of(described)) for word in trainer.command)
        key = (words, trainer.code)
        if key not in self._found:
            try:
                self._found[key] = find(words, trainer.code, self.folder)
            except BenchError as error:
                raise BenchError(f"trainer.{error}") from None
        return self._found[key]

    def runs(self) -> tuple[Run, ...]:
        """Every run that is known, each once: trials first, and what they choose once they have.

        Seed by seed within a data set, so that a suite that is still running has pairs in all its cells.
        """
        return (*seed_by_seed(self.searches), *seed_by_seed(self.cells))

    def cut(self, counts: Mapping[tuple[str, str, str], int]) -> Suite:
        """This suite with no more than the first so many of its seeds in each cell.

        Args:
            counts: by data set, model and loss.
        """
        first = {count: {*self.seeds[:count]} for count in set(counts.values())}
        return self.with_cells(
            replace(cell, seeds=tuple(seed for seed in cell.seeds if seed in first[counts[cell.key]]))
            for cell in self.cells
        )

    def with_cells(self, cells: Iterable[Cell], searches: Iterable[Search] | None = None) -> Suite:
        """This suite with other cells, and other trials if given, as only results tell them."""
        made = self.model_copy()
        made._whole = self.whole
        made.__dict__["searches"] = self.searches if searches is None else tuple(searches)
        made.__dict__["cells"] = tuple(cells)
        return made

    def _combinations(self) -> Iterator[tuple[Entry, Entry, Entry]]:
        free = [axis for axis in AXES if axis not in self.zip]
        zipped = list(zip(*(getattr(self, axis) for axis in self.zip), strict=True)) or [()]
        for together in zipped:
            for crossed in itertools.product(*(getattr(self, axis) for axis in free)):
                chosen = dict(zip((*self.zip, *free), (*together, *crossed), strict=True))
                yield chosen["datasets"], chosen["models"], chosen["losses"]

    def _recipe(self, dataset: Entry, model: Entry, loss: Entry) -> Recipe:
        for axis, entry in (("datasets", dataset), ("models", model), ("losses", loss)):
            if entry.problem:
                raise BenchError(f"{axis}: {entry.problem}")
        merged: Mapping[str, Any] = self.recipe
        for entry in (dataset, model, loss):
            merged = merge_recipes(merged, entry.recipe)
        try:
            return Recipe.model_validate(merged)
        except ValidationError as error:
            changed = [entry.label for entry in (dataset, model, loss) if entry.recipe]
            where = f"recipe (with what {' and '.join(changed)} change in it)" if changed else "recipe"
            raise BenchError("; ".join(f"{where}: {line}" for line in explain(error))) from None

    def _check_combination(self, dataset: Entry, model: Entry, recipe: Recipe) -> None:
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
        if recipe.schedule.name in looking and self.selection == "last":
            raise BenchError(
                f"recipe.schedule: {recipe.schedule.name} looks for new best accuracies, so it needs "
                "selection: validation or test; found selection: last"
            )

        if recipe.stop_early is not None and self.selection != "validation":
            raise BenchError(
                "recipe.stop_early: looks at the validation metric, so it needs selection: validation; "
                f"found selection: {self.selection}"
            )

    def _check_cells(self, cells: Sequence[Cell]) -> None:
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
        with_baseline = {(cell.dataset, cell.model) for cell in cells if cell.loss == self.baseline_label}
        for cell in cells:
            if (cell.dataset, cell.model) not in with_baseline:
                raise BenchError(
                    f"baseline: '{self.baseline_label}' has no run on {cell.dataset} × {cell.model}, where "
                    f"'{cell.loss}' has; exclude both or none"
                )


# ---------------------------------------------------------------------------------------------- reading


def load(path: Path, seeds: int | None = None) -> Suite:
    """Read and check a suite file; ``seeds`` replaces the number of seeds that it asks for.

    Raises:
        BenchError: anything that does not hold, with file and field.
    """
    return check(read(path), str(path), path.parent, seeds)


def check(values: Mapping[str, Any], where: str, folder: Path, seeds: int | None = None) -> Suite:
    """The suite that these values ask for; arguments and errors as :func:`load`.

    Args:
        where: what messages call the place that they come from.
        folder: in which programs and their files lie.
    """
    try:
        suite = Suite.model_validate(values)
        suite._folder = folder.absolute()
        if seeds is not None:
            whole, suite = suite, Suite.model_validate({**values, "seeds": seeds})
            suite._whole, suite._folder = whole, whole.folder
        suite.every_cell  # noqa: B018 - expands, and so checks, every combination
    except ValidationError as error:
        raise BenchError("\n".join(f"{where}: {line}" for line in explain(error))) from None
    except BenchError as error:
        raise BenchError(f"{where}: {error}") from None
    return suite


def read(path: Path) -> dict[str, Any]:
    """What a suite file says, and its name. Nothing else is checked.

    Raises:
        BenchError: it cannot be read, or is no mapping.
    """
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise BenchError(
            f"{path}: found {describe(values)}, expected a mapping with {', '.join(_required())}"
        )
    values.setdefault("name", re.sub(r"[^A-Za-z0-9._-]", "-", path.stem))
    return values


def _has_trainers(values: Any) -> bool:
    """Whether what is read as a suite names a trainer of the user's own."""
    if not isinstance(values, Mapping):
        return False
    named = values.get("models")
    named = named if isinstance(named, (list, tuple)) else [named]
    models = [entry for entry in named if isinstance(entry, Mapping)]
    options = [entry if "name" in entry else option for entry in models for option in entry.values()]
    return values.get("trainer") is not None or any(
        isinstance(option, Mapping) and "trainer" in option for option in options
    )


def _required() -> list[str]:
    return [name for name, field in Suite.model_fields.items() if field.is_required() and name != "name"]
