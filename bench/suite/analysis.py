"""How a suite is judged: the keys of its analysis, the rule that adds seeds, and what is left out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from bench import entries
from bench.errors import unknown
from bench.metrics import Metric
from bench.registry import Strict, describe

MOST_LOOKS = 200
"""How often the comparisons of a suite may be looked at: bounds for more take long to compute."""
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
            margin_text = str(margin).lower() if isinstance(margin, bool) else describe(margin)
            raise ValueError(f"{name}: found {margin_text}, expected a number of at least 0")
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

    def matches(self, **labels: str | int) -> bool:
        """Whether every axis that this exclusion names holds the given value."""
        return all(not getattr(self, axis) or value in getattr(self, axis) for axis, value in labels.items())


def margins_of(
    metrics: Sequence[Metric], given: float | Mapping[str, float] | None
) -> dict[str, float | None]:
    """The margin of every metric, by name: None where differences of any size matter.

    Raises:
        ValueError: a metric that is not measured, or a fraction where points are meant.
    """
    names, first = [metric.name for metric in metrics], metrics[0]
    margins = given if isinstance(given, Mapping) else {} if given is None else {first.name: given}
    for name in margins:
        if name not in names:
            raise ValueError(f"analysis.margin: {unknown('metric', str(name), names)}")
    if isinstance(given, float) and 0 < given < FEWEST_POINTS and first.unit == "%":
        raise ValueError(
            f"analysis.margin: found {given:g}; it is in points, of which this is one image in "
            f"{round(100 / given):,}. Was {100 * given:g} meant? If not, name the metric: "
            f"{{{first.name}: {given:g}}}"
        )
    default = {first.name: PERCENT_MARGIN} if first.unit == "%" else {}
    return {name: margins.get(name, default.get(name)) for name in names}
