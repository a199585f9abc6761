"""What a trainer of the user's own says that it predicted, checked, and made a run's result.

It is a mapping with one of

- ``labels`` [N] and ``predictions`` [N], classes from 0,
- ``labels`` [N] and ``probabilities`` [N, K],
- ``correct`` and ``total``,
- metrics by name, in ``metrics`` or as they are; shares as fractions,

and the same for validation images in ``validation``, where there are any.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, nearest
from bench.metrics import METRICS, Measure, Metric, MetricError, choose_metric
from bench.metrics.ece import RECORDED_BINS
from bench.predictions import NotKept, Predictions
from bench.registry import describe

if TYPE_CHECKING:
    import numpy as np
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
    """What came back of one set of images."""

    predictions: Predictions | None = None
    correct: int | None = None
    total: int | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    """Metrics by name."""
    validation: Outcome | None = None

    def measured(self, metric: Metric) -> float:
        """A metric of it.

        Raises:
            BenchError: that cannot be had.
        """
        for name in (metric.name, metric.choice.name):
            if name in self.values:
                return self.values[name]
        if metric.is_accuracy and self.correct is not None and self.total is not None:
            return self.correct / self.total
        if self.predictions is None:
            there = [*self.values, *(["accuracy"] if self.correct is not None else [])]
            raise BenchError(
                f"metric '{metric.name}' cannot be had: what came back is {', '.join(there)} alone"
                f"{nearest(metric.name, there)}"
            )
        try:
            return metric.value(self.predictions)
        except NotKept:
            raise BenchError(
                f"metric '{metric.name}' cannot be had of classes alone: give the probabilities [N, K]"
            ) from None
        except MetricError as error:
            raise BenchError(str(error)) from None


def outcome_of(given: Any, *, within: str = "") -> Outcome:
    """Check what came back.

    Args:
        within: where in it this is, for messages.

    Raises:
        BenchError: it is none of the forms above, or its parts do not belong together.
    """
    if not isinstance(given, Mapping):
        raise BenchError(f"{within}found {_short(given)}, {EXPECTED}")
    known = {key: value for key, value in given.items() if key in KEYS}
    others = {str(key): value for key, value in given.items() if key not in KEYS}
    validation = known.pop("validation", None)
    named = known.pop("metrics", {})
    if not isinstance(named, Mapping):
        raise BenchError(f"{within}metrics: found {_short(named)}, expected numbers by name")
    values = {name: _metric(within, str(name), value) for name, value in {**named, **others}.items()}
    made = Outcome(values=values)
    if "labels" in known or "predictions" in known or "probabilities" in known:
        made = _with_images(within, known, values)
    elif "correct" in known or "total" in known:
        correct, total = (_count(within, name, known.get(name)) for name in ("correct", "total"))
        if total == 0 or correct > total:
            raise BenchError(f"{within}correct, total: found {correct} of {total}")
        made = Outcome(correct=correct, total=total, values=values)
    elif not values:
        raise BenchError(f"{within}found {_short(given)}, {EXPECTED}")
    if validation is None:
        return made
    inner = outcome_of(validation, within=f"{within}validation: ")
    return Outcome(made.predictions, made.correct, made.total, made.values, inner)


def _with_images(within: str, known: Mapping[str, Any], values: Mapping[str, float]) -> Outcome:
    import numpy as np

    if "labels" not in known or len({*known} & {"predictions", "probabilities"}) != 1:
        raise BenchError(
            f"{within}found {' and '.join(known)}, expected labels with either predictions or probabilities"
        )
    labels = _classes(within, "labels", known["labels"])
    if "predictions" in known:
        predicted = _classes(within, "predictions", known["predictions"])
        if len(predicted) != len(labels):
            raise BenchError(
                f"{within}predictions: found {len(predicted):,} of them for {len(labels):,} labels"
            )
        made = Predictions(predicted, labels)
    else:
        p = _array(known["probabilities"])
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
        made = Predictions.from_probabilities(p, labels)
    if not len(labels):
        raise BenchError(f"{within}labels: found none")
    right = int(np.count_nonzero(made.predicted == made.labels))
    return Outcome(made, right, len(labels), values)


def _classes(within: str, name: str, given: Any) -> NDArray[Any]:
    """[N], as whole numbers."""
    import numpy as np

    found = _array(given)
    if found.ndim == 1 and np.issubdtype(found.dtype, np.floating):
        if not np.isfinite(found).all():
            raise BenchError(f"{within}{name}: found NaN or infinity, expected classes from 0")
        if (found == np.round(found)).all():
            found = found.astype(np.int64)
    if found.ndim != 1 or not np.issubdtype(found.dtype, np.integer):
        hint = "; give their numbers" if found.dtype.kind in "UO" else ""
        hint = "; argmax(1) makes classes of scores" if found.ndim == 2 else hint
        raise BenchError(f"{within}{name}: found {_form(found)}, expected classes, whole numbers [N]{hint}")
    if len(found) and (found.min() < 0 or found.max() >= _MOST_CLASSES):
        raise BenchError(
            f"{within}{name}: found {found.min()} to {found.max()}, expected classes from 0 to "
            f"{_MOST_CLASSES - 1}"
        )
    return found


def _array(given: Any) -> NDArray[Any]:
    import numpy as np

    if hasattr(given, "detach"):  # of torch, wherever it is
        given = given.detach().cpu()
        given = given.float() if given.is_floating_point() else given
    try:
        return np.asarray(given)
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
    known = METRICS.get(name) if name != "module:callable" else None
    if known is not None and issubclass(known, Measure) and known.unit == "%" and not 0 <= number <= 1:
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


# --------------------------------------------------------------------------------------- as a run's result


def result_of(
    outcome: Outcome,
    *,
    metrics: Sequence[Metric],
    seconds: float,
    epoch: int | None,
    keep_probabilities: bool,
) -> tuple[dict[str, Any], Predictions | None]:
    """The fields of a :class:`bench.results.schema.Result`, and the predictions to keep.

    Args:
        metrics: what is asked of the run: each must be had.

    Raises:
        BenchError: one of them cannot be.
    """
    for metric in metrics:
        outcome.measured(metric)
    result: dict[str, Any] = {
        "correct": outcome.correct,
        "total": outcome.total,
        "epoch": epoch,
        "seconds": seconds,
        "values": dict(outcome.values),
        "validation": _validation(outcome.validation, metrics),
        "warnings": [],
    }
    kept = outcome.predictions
    if kept is None:
        return result, None
    if "nll" in kept.details:
        for name in ("nll", "brier", "ece"):
            value = _mean(name, kept)
            result[name] = value
        result["reliability"] = _reliability(kept)
        if result["nll"] is None:
            result["warnings"].append("a true class has probability 0: there is no negative log-likelihood")
    details = {
        name: array for name, array in kept.details.items() if name != "probabilities" or keep_probabilities
    }
    if keep_probabilities and "probabilities" not in details:
        result["warnings"].append("probabilities were not kept: its trainer gave none")
    seen = _digest(kept.labels)
    result["data"] = {"source": seen, "used": seen}
    return result, Predictions(kept.predicted, kept.labels, details)


def _reliability(predictions: Predictions) -> dict[str, list[Any]]:
    """As :func:`bench.training.evaluation.reliability` has it, without torch."""
    import numpy as np

    confidence, bins = predictions.confidence.astype(np.float64), RECORDED_BINS
    right = predictions.predicted == predictions.labels
    which = np.ceil(confidence * bins).astype(int).clip(1, bins) - 1
    count, summed, correct = (
        np.bincount(which, weights=weights, minlength=bins) for weights in (None, confidence, right)
    )
    return {
        "count": count.tolist(),
        "confidence": [total / n if n else None for total, n in zip(summed, count.tolist(), strict=True)],
        "correct": correct.astype(int).tolist(),
    }


def _digest(labels: NDArray[Any]) -> str:
    content: np.ndarray[Any, Any] = labels.astype("<i4")
    return hashlib.sha256(content.tobytes()).hexdigest()[:16]


def _validation(outcome: Outcome | None, metrics: Sequence[Metric]) -> dict[str, float]:
    """All that is known of validation images: what is asked of test images, and what has a name."""
    if outcome is None:
        return {}
    known = dict(outcome.values)
    for metric in metrics:
        known[metric.name] = outcome.measured(metric)
    if outcome.correct is not None and outcome.total is not None:
        known.setdefault("accuracy", outcome.correct / outcome.total)
    return known


def _mean(name: str, predictions: Predictions) -> float | None:
    try:
        return Metric.of(choose_metric(name)).value(predictions)
    except MetricError:  # infinite
        return None
