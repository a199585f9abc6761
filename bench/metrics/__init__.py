"""What is measured on a run's predictions: one idea a file, named in a suite as losses are.

A file of this folder that is called ``x.py`` and holds one subclass of :class:`Measure` makes ``x`` a metric:
nothing else has to be changed. Code of the user's own is named ``module:callable`` and called as
``f(predictions, **options)``, or, where it is a class, made with the options and called as ``(predictions)``;
it returns a number, or one number an image, of which the mean is taken.

numpy is not imported here, and a metric's file only once it is named: planning must not wait for them.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from pydantic import Field

from bench.disk import Damaged
from bench.errors import BenchError
from bench.metrics._direction import lower_is_better
from bench.predictions import NotKept, Predictions
from bench.registry import Choice, ForeignOptions, Options, choose, construct, describe, load_callable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "METRICS",
    "Measure",
    "Measured",
    "Metric",
    "MetricError",
    "Own",
    "as_function",
    "choose_metric",
    "lower_is_better",
]


class MetricError(BenchError):
    """A metric cannot be had from these predictions. The message names the metric."""


class Measure(Options):
    """What every built-in metric is: options, and a call that makes numbers of predictions."""

    unit: ClassVar[str] = ""
    """``%`` for fractions, which are shown in percent, and their differences in points; or a word."""
    higher_is_better: ClassVar[bool] = True
    over_images: ClassVar[bool]
    """Whether the value is the mean of one number an image."""
    needs_probabilities: ClassVar[bool] = False
    """Whether it needs the probability of every class, which runs keep on request only."""
    no_interval: ClassVar[str] = ""
    """Why there is no interval for new images, where there is none: a clause."""

    def __call__(self, predictions: Predictions) -> NDArray[np.float64] | float:
        """One number an image [N] where :attr:`over_images`, else the value.

        Raises:
            MetricError: it is not defined for these predictions.
            NotKept: they lack what it is made of.
        """
        raise NotImplementedError

    def remark(self, predictions: Predictions) -> str:
        """The convention that was taken for these predictions, as a clause; empty where none was needed."""
        return ""

    def pseudo_values(self, predictions: Predictions) -> NDArray[np.float64] | None:
        """N·θ − (N − 1)·θ₍₋ᵢ₎ for each image i [N], θ₍₋ᵢ₎ being the value θ without it (Tukey's jackknife).

        They stand for the numbers that a metric which is no mean over images does not have, in the crossed
        analysis of variance too: Dorfman, Berbaum & Metz, Investigative Radiology 27 (1992) 723. None where
        :attr:`no_interval` says why, or where the value is not defined without some image.
        """
        return None

    @property
    def recorded(self) -> str:
        """The field of a run's result that has this value, also in runs that kept nothing more; or empty."""
        return ""


class Own(ForeignOptions):
    """Options of a metric of the user's own: these are ours, all others are handed to it."""

    higher_is_better: bool | None = None
    """Default: what an attribute of the callable of this name says, else its name, else that it is."""
    unit: str = Field("", exclude=True)  # a word for people: other words make no other run


class _Table(Mapping[str, type[Options]]):
    """What may be named → its options; a file is imported when its name is looked up."""

    @cached_property
    def _names(self) -> list[str]:
        return [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]

    def __getitem__(self, name: str) -> type[Options]:
        if name == "module:callable":
            return Own
        if name not in self._names:
            raise KeyError(name)
        module = importlib.import_module(f"{__name__}.{name}")
        [measure] = (
            entry
            for entry in vars(module).values()
            if isinstance(entry, type) and issubclass(entry, Measure) and entry.__module__ == module.__name__
        )
        return measure

    def __iter__(self) -> Iterator[str]:
        return iter([*self._names, "module:callable"])

    def __len__(self) -> int:
        return len(self._names) + 1


METRICS: Mapping[str, type[Options]] = _Table()
"""The metrics that a suite can name."""


def choose_metric(value: Any) -> Choice:
    """The metric named as ``name`` or ``{name: {option: value}}``; ValueError if it cannot be."""
    return choose("metric", value, METRICS)


def as_function(choice: Choice) -> Callable[[Predictions], Any]:
    """The callable for predictions.

    Raises:
        BenchError: the user's code cannot be imported, or not be called with these options.
    """
    if isinstance(choice.options, Measure):
        return choice.options
    return construct("metric", choice, "predictions")


class Means(Protocol):
    """What the result of every run has, also of those that kept no more of each image than its class."""

    @property
    def nll(self) -> float | None: ...
    @property
    def brier(self) -> float | None: ...
    @property
    def ece(self) -> float | None: ...


class Measured(NamedTuple):
    """A metric on one run's predictions."""

    value: float
    per_image: NDArray[np.float64] | None = None
    """[N], whose mean is the value where the metric is one over images; else pseudo-values, or None: see
    :meth:`Measure.pseudo_values`."""
    remark: str = ""
    """The convention that was taken, as a clause."""


@dataclass(frozen=True)
class Metric:
    """A metric that somebody asked for."""

    choice: Choice
    name: str
    """What tables call it."""

    @classmethod
    def of(cls, choice: Choice, label: str | None = None) -> Metric:
        """Under a name of its own, or under that of its choice."""
        options = choice.options
        if isinstance(options, Own):  # its direction is said elsewhere
            options = options.model_copy(update={"higher_is_better": None})
        return cls(choice, label or Choice(choice.name, options).label())

    @property
    def measure_type(self) -> type[Measure] | None:
        """What is known of it before it is called; None for one of the user's own."""
        return type(self.choice.options) if isinstance(self.choice.options, Measure) else None

    @property
    def is_accuracy(self) -> bool:
        """Whether it counts whole images."""
        return self.choice.name == "accuracy"

    @property
    def key(self) -> str:
        """Its name within other names, such as those of the columns of an epoch."""
        return self.choice.name.replace(":", ".")

    @property
    def unit(self) -> str:
        """``%`` for fractions, which are shown in percent, and their differences in points; or a word."""
        unit: str = self.choice.options.unit  # type: ignore[attr-defined]
        return unit

    @property
    def over_images(self) -> bool | None:
        """Whether the value is a mean over images; None: that is seen once the user's own code was called."""
        return self.measure_type.over_images if self.measure_type else None

    @property
    def no_interval(self) -> str:
        """Why there is no interval for new images, where that is known in advance: a clause."""
        return self.measure_type.no_interval if self.measure_type else ""

    @property
    def needs_probabilities(self) -> bool:
        """Whether it is known to need the probability of every class."""
        return self.measure_type is not None and self.measure_type.needs_probabilities

    @property
    def recorded(self) -> str:
        """The field of a run's result that has its value; or empty."""
        return self.choice.options.recorded if isinstance(self.choice.options, Measure) else ""

    @cached_property
    def _direction(self) -> tuple[bool, bool]:
        """Whether higher is better, and whether that was guessed."""
        if self.measure_type:
            return self.measure_type.higher_is_better, False
        direction = self.choice.options.higher_is_better  # type: ignore[attr-defined]
        if direction is None:
            function = load_callable(self.choice.name)
            # Of a class, what it is made into says it: there it may depend on the options.
            source = self._function if isinstance(function, type) else function
            direction = getattr(source, "higher_is_better", None)
        if isinstance(direction, bool):
            return direction, False
        return not lower_is_better(self.choice.name.rpartition(":")[2]), True

    @property
    def higher_is_better(self) -> bool:
        """Its direction. Raises BenchError where code of the user's own has to be asked and cannot."""
        return self._direction[0]

    @property
    def direction_guessed(self) -> bool:
        """Whether nobody said its direction, so that it was guessed from its name."""
        return self._direction[1]

    @cached_property
    def _function(self) -> Callable[[Predictions], Any]:
        return as_function(self.choice)

    def value(self, predictions: Predictions) -> float:
        """The value alone: see :meth:`measure`."""
        return float(self._numbers(predictions).mean())

    def measure(self, predictions: Predictions, result: Means | None = None) -> Measured:
        """The value, one number an image where there are such, and what convention was taken.

        Args:
            result: of the same run. Where it kept too little of each image, its means do for some metrics.

        Raises:
            MetricError: it is not defined here, is not finite, or the user's own code fails.
            NotKept: the predictions lack what it is made of.
            BenchError: the user's own code cannot be imported.
        """
        try:
            numbers = self._numbers(predictions)
        except NotKept:
            value = getattr(result, self.recorded) if result is not None and self.recorded else None
            if value is None:
                raise
            content = "mean over images: no interval for new images" if self.over_images else "value"
            return Measured(value, remark=f"some runs kept only the {content}")
        value = float(numbers.mean())
        if not isinstance(self.choice.options, Measure):
            return Measured(value, numbers if numbers.ndim else None)
        remark = self.choice.options.remark(predictions)
        if not numbers.ndim:
            return Measured(value, self.choice.options.pseudo_values(predictions), remark)
        return Measured(value, numbers, remark)

    def _numbers(self, predictions: Predictions) -> NDArray[np.float64]:
        """What it returned: finite, [N] or [] and nothing else."""
        import numpy as np

        function, images = self._function, len(predictions.labels)
        if not isinstance(self.choice.options, Measure):
            # Kept in a byte each, where 3 − 5 is 254.
            predicted, labels = (a.astype(np.int64) for a in (predictions.predicted, predictions.labels))
            predictions = Predictions(predicted, labels, predictions.details)
        try:
            value = function(predictions)
        except (NotKept, Damaged):
            raise
        except MetricError as error:
            raise MetricError(f"metric '{self.name}': {error}") from None
        except Exception as error:  # code of the user's own can raise anything
            raise MetricError(f"metric '{self.name}': {type(error).__name__}: {error}") from error
        expected = f"expected a number, or one number an image: {images:,}"
        try:
            numbers = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise MetricError(f"metric '{self.name}' returned {describe(value)}, {expected}") from None
        if value is None or numbers.shape not in ((), (images,)):
            shape = describe(value) if value is None else f"an array of shape {numbers.shape}"
            raise MetricError(f"metric '{self.name}' returned {shape}, {expected}")
        wrong = np.flatnonzero(~np.isfinite(numbers))
        if len(wrong):
            where = f" for image {wrong[0]}" if numbers.ndim else ""
            more = f" and {len(wrong) - 1:,} more" if len(wrong) > 1 else ""
            value = numbers.ravel()[wrong[0]]
            raise MetricError(f"metric '{self.name}' returned {value}{where}{more}, expected finite numbers")
        return numbers
