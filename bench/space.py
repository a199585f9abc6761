"""What a suite says about tuning: how many trials, over which space; and the settings drawn from it.

Settings are independent and uniform, as random search has them (Bergstra and Bengio 2012). Each number is a
digest of (seed, dimension, trial): another loss, another dimension or more trials change none of the others.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, InstanceOf, PlainSerializer, model_validator

from bench.errors import unknown
from bench.registry import Strict, describe

DIGITS = 6
"""Significant digits of a value that is drawn."""
FEWEST = 4
"""Trials per trial of the budget: with fewer, the interval of the pooled difference is too narrow."""
USUAL = 6
"""The same where nobody says."""
FEWEST_SEARCHES = 8
MOST = 10**6
SEEDS_OF_TRIALS = 10**12
"""From here on, seeds are those of trials; those of the comparison lie below."""
EDGE = 0.02
"""Share of a range at either end that counts as its edge."""


@dataclass(frozen=True)
class Range:
    """Where one dimension is drawn from: between two ends, or out of a list."""

    kind: Literal["log", "uniform", "int", "choice"]
    values: tuple[Any, ...]
    """The ends, both possible; of a choice, all there are."""

    @property
    def probes(self) -> tuple[Any, ...]:
        """Values that show whether all can be: the ends and one between them; of a choice, all."""
        return self.values if self.kind in ("choice", "int") else (*self.values, self.at(0.499))

    def at(self, share: float) -> Any:
        """The value at a share of the way, from 0 up to, not including, 1."""
        if self.kind == "choice":
            return self.values[int(share * len(self.values))]
        low, high = self.values
        if self.kind == "int":
            return low + int(share * (high - low + 1))
        if self.kind == "log":
            return _rounded(math.exp(math.log(low) + share * (math.log(high) - math.log(low))))
        return _rounded(low + share * (high - low))

    def place(self, value: Any) -> float | None:
        """How far along a value is, from 0 to 1; None of a choice, which has no order."""
        if self.kind == "choice":
            return None
        low, high = self.values
        if self.kind == "log":
            return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
        return float((value - low) / (high - low))

    def edge(self, value: Any) -> str:
        """``lower`` or ``upper`` where a value lies at an end; else empty."""
        place = self.place(value)
        if place is None or EDGE < place < 1 - EDGE:
            return ""
        return "lower" if place <= EDGE else "upper"

    def describe(self) -> dict[str, Any]:
        """As a suite file has it."""
        return {self.kind: list(self.values)}

    def __str__(self) -> str:
        words = {"log": " (log)", "uniform": "", "int": " (whole numbers)"}
        if self.kind == "choice":
            return f"one of {', '.join(map(str, self.values))}"
        low, high = self.values
        return f"{low:g} to {high:g}{words[self.kind]}"


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


_FORMS = "{log: [0.001, 0.1]}, {uniform: [0, 0.3]}, {int: [32, 256]} or {choice: [32, 64]}"


def range_of(value: Any) -> Range:
    """The range that a suite file means by ``{log: [0.001, 0.1]}``; ValueError if it means none."""
    if isinstance(value, Range):
        return value
    if not isinstance(value, Mapping) or len(value) != 1:
        raise ValueError(f"found {describe(value)}, expected {_FORMS}")
    [(kind, values)] = value.items()
    if kind not in ("log", "uniform", "int", "choice"):
        raise ValueError(unknown("kind of range", str(kind), ("log", "uniform", "int", "choice")))
    if not isinstance(values, (list, tuple)):
        raise ValueError(f"{kind}: found {describe(values)}, expected a list")
    if kind == "choice":
        return Range("choice", _options(values))
    number = int if kind == "int" else (int, float)
    if len(values) != 2 or any(isinstance(end, bool) or not isinstance(end, number) for end in values):
        what = "whole numbers" if kind == "int" else "numbers"
        raise ValueError(f"{kind}: found {_shown(values)}, expected two {what}, the lower one first")
    low, high = values
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{kind}: found {_shown(values)}, expected finite numbers")
    if low == high:
        raise ValueError(f"{kind}: found {_shown(values)}, which is empty: say it in the recipe instead")
    if low > high:
        raise ValueError(f"{kind}: found {_shown(values)}, which is reversed: the lower end comes first")
    if kind == "log" and low <= 0:
        raise ValueError(f"log: found {_shown(values)}; a log scale has no 0, so both ends must be above it")
    ends = (low, high) if kind == "int" else (float(low), float(high))
    return Range(kind, ends)


def _options(values: Any) -> tuple[Any, ...]:
    if len(values) < 2:
        raise ValueError(f"choice: found {_shown(values)}, expected at least two values")
    if any(not isinstance(one, (int, float, str)) for one in values):
        raise ValueError(f"choice: found {_shown(values)}, expected numbers, words, yes or no")
    if len({*map(repr, values)}) < len(values):
        raise ValueError(f"choice: found {_shown(values)}, which has a value more than once")
    return tuple(values)


def _shown(values: Any) -> str:
    return f"[{', '.join(map(str, values))}]"


Dimension = Annotated[
    InstanceOf[Range], BeforeValidator(range_of), PlainSerializer(lambda found: found.describe())
]


class Tune(Strict):
    """How every loss is tuned, each with equally many trials."""

    budget: int = Field(16, ge=1)
    """T: the verdict is about losses that were tuned with so many trials."""
    trials: int = Field(default=0, validate_default=True, ge=0, le=MOST)
    """N: settings drawn for each data set × model × loss. Default: six times the budget."""
    space: Mapping[str, Dimension] = Field(default_factory=dict)
    """What is drawn for all losses, the same: ``optimizer.adam.lr`` of the recipe."""
    losses: Mapping[str, Mapping[str, Dimension]] = Field(default_factory=dict)
    """By loss: what is drawn of its own options."""
    seed: int = Field(0, ge=0, lt=MOST)
    """Of the settings and of their trainings."""
    design: Literal["pooled", "searches"] = "pooled"
    """What is compared: the best of T, pooled over all trials; or whole searches, their winners retrained."""
    searches: int = Field(0, ge=0)
    """Fresh searches of T trials each, for ``design: searches``."""

    @model_validator(mode="before")
    @classmethod
    def _counts(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        given, counted = (
            dict(values),
            all(isinstance(values.get(name, 1), int) for name in ("budget", "trials", "searches")),
        )
        if not counted:
            return values
        budget = given.get("budget", 16)
        if given.get("design", "pooled") == "searches":
            if "trials" in given:
                raise ValueError("trials: design: searches has searches × budget of them; leave it out")
            given["searches"] = searches = given.get("searches", FEWEST_SEARCHES)
            if searches != 1 and searches < FEWEST_SEARCHES:
                raise ValueError(
                    f"searches: found {searches}, expected at least {FEWEST_SEARCHES}, as fewer tell too "
                    "little of how much a search depends on its settings; or 1, whose verdict is for the "
                    "settings found only"
                )
            given["trials"] = searches * budget
            return given
        if "searches" in given:
            raise ValueError("searches: is for design: searches; design: pooled has trials")
        given.setdefault("trials", USUAL * budget)
        return given

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.design == "pooled" and self.trials < FEWEST * self.budget:
            raise ValueError(
                f"trials: found {self.trials}, expected at least {FEWEST} × budget, which is "
                f"{FEWEST * self.budget}: with fewer, the interval of the best of {self.budget} is too narrow"
            )
        if not self.space and not any(self.losses.values()):
            raise ValueError("space: nothing is to be tuned; name what is drawn, or leave out tune")
        return self

    def seed_of(self, trial: int) -> int:
        """From which a trial is trained, with every loss."""
        return SEEDS_OF_TRIALS + MOST * self.seed + trial

    def seed_in(self, search: int, seed: int) -> int:
        """Of the comparison: from which the winner of a search is trained where the suite says ``seed``."""
        return MOST * search + seed

    def setting(self, ranges: Mapping[str, Range], trial: int) -> dict[str, Any]:
        """What is drawn for one trial, by dimension."""
        return {name: range_.at(_share(self.seed, name, trial)) for name, range_ in ranges.items()}

    def describe(self) -> dict[str, Any]:
        """As a suite file has it, with defaults filled in."""
        losses = {name: _described(ranges) for name, ranges in self.losses.items() if ranges}
        description = {"budget": self.budget, "trials": self.trials, "space": _described(self.space)}
        searches = {"searches": self.searches} if self.design == "searches" else {}
        return {**description, "losses": losses, "seed": self.seed, "design": self.design, **searches}


def number_of(seed: int) -> int:
    """The trial that is trained from a seed."""
    return (seed - SEEDS_OF_TRIALS) % MOST


def search_of(seed: int) -> int:
    """Whose winner is trained from a seed of the comparison."""
    return seed // MOST


def _described(ranges: Mapping[str, Range]) -> dict[str, Any]:
    return {name: range_.describe() for name, range_ in ranges.items()}


def _share(seed: int, dimension: str, trial: int) -> float:
    """A number in [0, 1): 53 bits of a digest."""
    digest = hashlib.sha256(f"{seed}\n{dimension}\n{trial}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53
