"""What one training is, and how it is named: a value, whose id is a hash of its resolved description."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from bench import datasets, losses, metrics, models
from bench.errors import BenchError
from bench.recipe import Recipe
from bench.registry import Choice, restore

RECIPE_VERSION = 1
"""Raised whenever the same description comes to mean another training: old results then count no more."""

DESCRIBED = {
    *("recipe_version", "dataset", "model", "loss", "recipe", "selection", "metric", "trainer"),
    *("splits", "vary"),
}
"""Keys of a description, but for the seed. Where one is absent, all is as before there was such a key, the id
as well."""

Selection = Literal["last", "validation", "test"]
"""Which epoch counts: the last, or the best on the validation split, or the best on the test set itself."""

Splits = Literal["given", "per_seed"]
"""Which images test: those of the data set; or, for each seed, others, drawn from all that there are."""

Source = Literal["init", "order", "augmentation", "dropout", "split"]
"""What differs between two seeds."""
SOURCES: Mapping[Source, tuple[str, ...]] = {
    "init": ("init",),  # and all else that draws from torch's own generator
    "order": ("order", "schedule"),
    "augmentation": ("augmentation", "mix"),
    "dropout": ("dropout",),
    "split": ("split",),
}
"""The purposes that numbers are drawn for, by source."""


@dataclass(frozen=True)
class Run:
    """One training: data set × model × loss × recipe × seed."""

    text: str
    """The resolved description but for the seed, as canonical JSON: one string for all runs of a cell."""
    seed: int

    @cached_property
    def id(self) -> str:
        """16 hexadecimal digits that name this run in every suite."""
        return hashlib.sha256(f"{self.text}\n{self.seed}".encode()).hexdigest()[:16]

    @property
    def description(self) -> dict[str, Any]:
        """Everything that the result depends on, as plain data."""
        return {**json.loads(self.text), "seed": self.seed}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Run:
        """The run that :attr:`description` describes."""
        rest = {key: value for key, value in description.items() if key != "seed"}
        return cls(canonical(rest), int(description["seed"]))

    @cached_property
    def trainer(self) -> dict[str, Any] | None:
        """Who trains it, as described; None: bench itself."""
        trainer: dict[str, Any] | None = (
            self.description.get("trainer") if '"trainer":' in self.text else None
        )
        return trainer

    @property
    def is_by_command(self) -> bool:
        """Whether a program trains it."""
        return self.trainer is not None and "command" in self.trainer

    def derive(self, *purpose: str | int) -> int:
        """As :meth:`Resolved.derive`, of any run."""
        parts = json.loads(self.text)
        seed = _seed_for(purpose, self.seed, parts.get("vary"))
        return _derive([parts["dataset"], parts["model"]], seed, purpose)

    def resolve(self) -> Resolved:
        """The description as checked objects.

        Raises:
            BenchError: code of the user's own has changed; a newer bench has described more than this one
                knows of, and would not train; or a trainer of the user's own does, by names of its own.
        """
        parts = json.loads(self.text)
        if unknown := parts.keys() - DESCRIBED:
            raise BenchError(
                f"run {self.id}: its description has {', '.join(sorted(unknown))}, which this bench does not "
                "know of: a newer one has asked for it"
            )
        if self.trainer is not None:
            by = " ".join(self.trainer.get("command", [self.trainer["name"]]))
            raise BenchError(f"run {self.id}: `{by}` trains it, and bench knows nothing of its network")
        return Resolved(
            dataset=restore(parts["dataset"], datasets.DATASETS),
            model=restore(parts["model"], models.MODELS),
            loss=restore(parts["loss"], losses.LOSSES),
            recipe=Recipe.model_validate(parts["recipe"]),
            selection=parts["selection"],
            seed=self.seed,
            metric=restore(parts["metric"], metrics.METRICS) if "metric" in parts else None,
            splits=parts.get("splits", "given"),
            vary=tuple(parts.get("vary", SOURCES)),
        )


@dataclass(frozen=True)
class Resolved:
    """A run's description as checked objects."""

    dataset: Choice
    model: Choice
    loss: Choice
    recipe: Recipe
    selection: Selection
    seed: int
    metric: Choice | None = None
    """What chooses the epoch that counts, where it is not accuracy."""
    splits: Splits = "given"
    vary: tuple[Source, ...] = tuple(SOURCES)
    """What the seed decides; all else is as for seed 0."""

    def derive(self, *purpose: str | int) -> int:
        """A 63-bit seed for one purpose, from (data set, model, seed): never from the loss or the recipe.

        Two losses with the same seed thus get the same split, initial weights, order and augmentation.
        """
        seed = _seed_for(purpose, self.seed, self.vary)
        return _derive([self.dataset.describe(), self.model.describe()], seed, purpose)


def _seed_for(purpose: Sequence[str | int], seed: int, vary: Sequence[str] | None) -> int:
    """The seed itself, or 0 where it does not decide what the number is for."""
    fixed = [] if vary is None else [drawn for source, drawn in SOURCES.items() if source not in vary]
    return 0 if any(purpose[0] in drawn for drawn in fixed) else seed


def _derive(described: Sequence[dict[str, Any]], seed: int, purpose: Sequence[str | int]) -> int:
    for part in described:
        part.pop("source", None)  # editing a comment in a user's module must not reshuffle
    key = canonical([*described, seed, *purpose])
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1


def complete(beginning: str, ids: Collection[str], none: str) -> str:
    """The one of ``ids`` that begins so. Raises BenchError, with ``none`` as its reason where none does."""
    matching = [run for run in ids if run.startswith(beginning)]
    if len(matching) != 1:
        count = f"{len(matching)} runs begin with it" if matching else none
        raise BenchError(f"run '{beginning}': {count}; `bench status SUITE` and the run folders name them")
    return matching[0]


def canonical(value: Any) -> str:
    """The one way in which equal descriptions are written: JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
