"""The suite: one YAML file, validated, expanded to cells and runs.

A suite is a question put to the runs that exist, and an order for those that do not. The keys that judge are
in :mod:`~bench.suite.analysis`, what must hold of all keys together in :mod:`~bench.suite.consistency`; cells
are made in :mod:`~bench.suite.expansion`, those of other trainers with :mod:`~bench.suite.own_trainers`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
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
    model_validator,
)

from bench import datasets, entries, losses, models
from bench.cells import Cell, Search, seed_by_seed
from bench.entries import AXES, Entry
from bench.errors import BenchError
from bench.metrics import Metric
from bench.programs import Program
from bench.registry import Choice, Strict, describe, explain
from bench.runs import SOURCES, Run, Selection, Source, Splits
from bench.space import Tune
from bench.suite import consistency, expansion, own_trainers
from bench.suite.analysis import Analysis, Exclusion, UntilDecided, margins_of
from bench.trainer_options import Command, Trainer
from bench.yaml_file import read_yaml


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
    _programs: dict[tuple[Any, ...], Program | None] = PrivateAttr(default_factory=dict)

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
        consistency.check(self)
        self._margins = margins_of(self.metrics, self.analysis.margin)
        first = self._margins[self.metrics[0].name]
        self.__dict__["analysis"] = self.analysis.model_copy(update={"margin": first})
        self.__dict__["vary"] = tuple(source for source in SOURCES if source in self.vary)
        return self

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
        return expansion.cells_of(self)

    @cached_property
    def searches(self) -> tuple[Search, ...]:
        """The trials of each cell, in the order of :attr:`cells`; none without ``tune``.

        Raises:
            BenchError: a dimension or an end of a range does not fit the recipe or the loss.
        """
        return expansion.searches_of(self)

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
        trainers = [one for model in self.models if (one := self.trainer_of(model)) is not None]
        return tuple(one for number, one in enumerate(trainers) if one not in trainers[:number])

    def ours(self, axis: str) -> tuple[Entry, ...]:
        """The items of an axis that bench itself needs, to train with them."""
        used = [
            combination[AXES.index(axis)]
            for combination in self.combinations()
            if self.trainer_of(combination[AXES.index("models")]) is None
        ]
        return tuple(entry for entry in getattr(self, axis) if any(entry is one for one in used))

    @cached_property
    def programs(self) -> Mapping[str, Program]:
        """By key, the programs of the user's own that its commands run, as they were when it was read."""
        return own_trainers.programs_of(self)

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
        suite = self.model_copy()
        suite._whole = self.whole
        suite.__dict__["searches"] = self.searches if searches is None else tuple(searches)
        suite.__dict__["cells"] = tuple(cells)
        return suite

    def combinations(self) -> Iterator[tuple[Entry, Entry, Entry]]:
        """Data set, model and loss of every cell, before any is excluded."""
        free = [axis for axis in AXES if axis not in self.zip]
        zipped = list(zip(*(getattr(self, axis) for axis in self.zip), strict=True)) or [()]
        for together in zipped:
            for crossed in itertools.product(*(getattr(self, axis) for axis in free)):
                chosen = dict(zip((*self.zip, *free), (*together, *crossed), strict=True))
                yield chosen["datasets"], chosen["models"], chosen["losses"]


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
