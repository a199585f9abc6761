"""Cells of a suite: all seeds of one data set × model × loss, and the trials of a search for its setting."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bench.runs import Run


@dataclass(frozen=True)
class Cell:
    """All seeds of one data set × model × loss, under the names that tables show."""

    dataset: str
    model: str
    loss: str
    text: str
    """The resolved description of its runs, but for the seed."""
    seeds: tuple[int, ...]
    former: Mapping[int, str] = field(default_factory=dict)
    """By seed, the description of a run that finished when its code had another digest, and counts."""
    waits: bool = False
    """Whether the setting of its runs is still to be chosen: until then there are none."""
    texts: Mapping[int, str] = field(default_factory=dict)
    """By seed, where their descriptions are not all :attr:`text`."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Data set, model and loss."""
        return self.dataset, self.model, self.loss

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """How its runs are trained."""
        recipe: dict[str, Any] = json.loads(self.text)["recipe"]
        return recipe

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """One run a seed, in the order of :attr:`seeds`; none where the cell waits."""
        seeds = () if self.waits else self.seeds
        return tuple(Run(self.former.get(seed, self.text_of(seed)), seed) for seed in seeds)

    def text_of(self, seed: int) -> str:
        """The resolved description of one of its runs, but for the seed."""
        return self.texts.get(seed, self.text)


@dataclass(frozen=True)
class Search(Cell):
    """All trials of one data set × model × loss: a seed and a setting each."""

    settings: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """By seed: what was drawn, by dimension; a loss's own options are called ``loss.gamma``."""


def seed_by_seed(cells: Sequence[Cell]) -> Iterator[Run]:
    datasets = list(dict.fromkeys(cell.dataset for cell in cells))
    ordered = sorted(
        (datasets.index(cell.dataset), position, number)
        for number, cell in enumerate(cells)
        for position in range(len(cell.runs))
    )
    return (cells[number].runs[position] for _, position, number in ordered)
