"""What a trainer of the user's own returns, checked.

It is a mapping with one of

- ``labels`` [N] and ``predictions`` [N], classes from 0,
- ``labels`` [N] and ``probabilities`` [N, K],
- ``correct`` and ``total``,
- metrics by name, in ``metrics`` or as they are; shares as fractions,

and the same for validation images in ``validation``, where there are any.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, nearest
from bench.metrics import METRICS, Measure, Metric, MetricError
from bench.predictions import NotKept, Predictions
from bench.registry import describe

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEYS = ("labels", "predictions", "probabilities", "correct", "total", "metrics", "validation")
EXPECTED = "expected labels with predictions or probabilities, correct with total, or metrics by name"
_MOST_CLASSES = 65_536
_MOST_IMAGES = 2**53
"""Of which a count is exact as a float."""
_CLOSE = 1e-2
"""By how much the probabilities of an image may miss 1 in all: half precision has no more digits."""


@dataclass(frozen=True)
class Outcome:
    """The outcome on one set of images."""

    predictions: Predictions | None = None
    correct: int | None = None
    total: int | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    """Metrics by name."""
    validation: Outcome | None = None

    def measured(self, metric: Metric) -> float:
        """The value of a metric.

        Raises:
            BenchError: that cannot be had.
        """
        for name in (metric.name, metric.choice.name):
            if name in self.values:
                return self.values[name]
        if metric.is_accuracy and self.correct is not None and self.total is not None:
            return self.correct / self.total
        if self.predictions is None:
            names = [*self.values, *(["accuracy"] if self.correct is not None else [])]
            raise BenchError(
                f"metric '{metric.name}' cannot be had: what came back is {', '.join(names)} alone"
                f"{nearest(metric.name, names)}"
            )
        try:
            return metric.value(self.predictions)
        except NotKept:
            raise BenchError(
                f"metric '{metric.name}' cannot be had of classes alone: give the probabilities [N, K]"
            ) from None
        except MetricError as error:
            raise BenchError(str(error)) from None


def outcome_of(answer: Any, *, within: str = "") -> Outcome:
    """Check what came back.

    Args:
        within: where in it this is, for messages.

    Raises:
        BenchError: it is none of the forms above, or its parts do not belong together.
    """
    if not isinstance(answer, Mapping):
        raise BenchError(f"{within}found {_short(answer)}, {EXPECTED}")
    parts = {key: value for key, value in answer.items() if key in KEYS}
    numbers = {str(key): value for key, value in answer.items() if key not in KEYS}
    validation = parts.pop("validation", None)
    metrics = parts.pop("metrics", {})
    if not isinstance(metrics, Mapping):
        raise BenchError(f"{within}metrics: found {_short(metrics)}, expected numbers by name")
    values = {name: _metric(within, str(name), value) for name, value in {**metrics, **numbers}.items()}
    outcome = Outcome(values=values)
    if "labels" in parts or "predictions" in parts or "probabilities" in parts:
        outcome = _with_images(within, parts, values)
    elif "correct" in parts or "total" in parts:
        correct, total = (_count(within, name, parts.get(name)) for name in ("correct", "total"))
        if total == 0 or correct > total:
            raise BenchError(f"{within}correct, total: found {correct} of {total}")
        outcome = Outcome(correct=correct, total=total, values=values)
    elif not values:
        raise BenchError(f"{within}found {_short(answer)}, {EXPECTED}")
    if validation is None:
        return outcome
    inner = outcome_of(validation, within=f"{within}validation: ")
    return Outcome(outcome.predictions, outcome.correct, outcome.total, outcome.values, inner)


def _with_images(within: str, parts: Mapping[str, Any], values: Mapping[str, float]) -> Outcome:
    import numpy as np

    if "labels" not in parts or len({*parts} & {"predictions", "probabilities"}) != 1:
        raise BenchError(
            f"{within}found {' and '.join(parts)}, expected labels with either predictions or probabilities"
        )
    labels = _classes(within, "labels", parts["labels"])
    if "predictions" in parts:
        predicted = _classes(within, "predictions", parts["predictions"])
        if len(predicted) != len(labels):
            raise BenchError(
                f"{within}predictions: found {len(predicted):,} of them for {len(labels):,} labels"
            )
        answers = Predictions(predicted, labels)
    else:
        p = _array(parts["probabilities"])
        if p.ndim != 2 or len(p) != len(labels) or p.shape[1] < 2 or not np.issubdtype(p.dtype, np.floating):
            raise BenchError(
                f"{within}probabilities: found {_form(p)} for {len(labels):,} labels, expected floats "
                f"[{len(labels)}, K]"
            )
        if len(labels) and labels.max() >= p.shape[1]:
            raise BenchError(
                f"{within}labels: found {labels.max()}, and there are probabilities of {p.shape[1]} classes, "
                "which are counted from 0"
            )
        wrong = ~np.isfinite(p).all(axis=1)
        wide = p.astype(np.float64)
        if not wrong.any():
            wrong = (wide < 0).any(axis=1) | (abs(wide.sum(axis=1) - 1) > _CLOSE)
        if wrong.any():
            first = int(wrong.argmax())
            raise BenchError(
                f"{within}probabilities: of image {first} found {wide[first, :4].tolist()}…, expected finite "
                "numbers of at least 0 that sum to 1: are these logits? softmax makes probabilities of them"
            )
        answers = Predictions.from_probabilities(p, labels)
    if not len(labels):
        raise BenchError(f"{within}labels: found none")
    right = int(np.count_nonzero(answers.predicted == answers.labels))
    return Outcome(answers, right, len(labels), values)


def _classes(within: str, name: str, value: Any) -> NDArray[Any]:
    """[N], as whole numbers."""
    import numpy as np

    classes = _array(value)
    if classes.ndim == 1 and np.issubdtype(classes.dtype, np.floating):
        if not np.isfinite(classes).all():
            raise BenchError(f"{within}{name}: found NaN or infinity, expected classes from 0")
        if (classes == np.round(classes)).all():
            classes = classes.astype(np.int64)
    if classes.ndim != 1 or not np.issubdtype(classes.dtype, np.integer):
        hint = "; give their numbers" if classes.dtype.kind in "UO" else ""
        hint = "; argmax(1) makes classes of scores" if classes.ndim == 2 else hint
        raise BenchError(f"{within}{name}: found {_form(classes)}, expected classes, whole numbers [N]{hint}")
    if len(classes) and (classes.min() < 0 or classes.max() >= _MOST_CLASSES):
        raise BenchError(
            f"{within}{name}: found {classes.min()} to {classes.max()}, expected classes from 0 to "
            f"{_MOST_CLASSES - 1}"
        )
    return classes


def _array(value: Any) -> NDArray[Any]:
    import numpy as np

    if hasattr(value, "detach"):  # of torch, wherever it is
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
    try:
        return np.asarray(value)
    except (TypeError, ValueError):  # rows of different lengths
        return np.empty((), dtype=object)


def _form(array: NDArray[Any]) -> str:
    return f"{array.dtype} {list(array.shape)}" if array.dtype != object or array.ndim else "no array"


def _count(within: str, name: str, value: Any) -> int:
    if value is None:
        raise BenchError(f"{within}{name}: is missing: a count needs what it is out of")
    number = _number(value)
    if number is None or number != int(number) or not 0 <= number < _MOST_IMAGES:
        raise BenchError(f"{within}{name}: found {_short(value)}, expected a whole number of images")
    return int(number)


def _metric(within: str, name: str, value: Any) -> float:
    number = _number(value)
    if number is None:
        raise BenchError(f"{within}{name}: found {_short(value)}, expected a finite number")
    check_share(within, name, number)
    return number


def check_share(within: str, name: str, number: float, advice: str = "divide percent by 100") -> None:
    """Raise BenchError where a metric that is a share is none: of 93.4, nobody can tell what 0.9 is."""
    metric = METRICS.get(name) if name != "module:callable" else None
    if metric is not None and issubclass(metric, Measure) and metric.unit == "%" and not 0 <= number <= 1:
        raise BenchError(f"{within}{name}: found {number:g}, expected a fraction from 0 to 1: {advice}")


def _number(value: Any) -> float | None:
    """A finite number, whatever library it is of."""
    if isinstance(value, (bool, str, bytes)) or value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _short(value: Any) -> str:
    return describe(value) if not hasattr(value, "shape") else f"an array of shape {tuple(value.shape)}"
