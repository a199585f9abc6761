"""The result of a run that a trainer of the user's own trained: the fields of its file, from the outcome."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.metrics import Metric, MetricError, choose_metric
from bench.metrics.ece import RECORDED_BINS
from bench.predictions import Predictions
from bench.trainers.outcome import Outcome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
    predictions = outcome.predictions
    if predictions is None:
        return result, None
    if "nll" in predictions.details:
        for name in ("nll", "brier", "ece"):
            result[name] = _mean(name, predictions)
        result["reliability"] = _reliability(predictions)
        if result["nll"] is None:
            result["warnings"].append("a true class has probability 0: there is no negative log-likelihood")
    details = dict(predictions.details)
    if not keep_probabilities:
        details.pop("probabilities", None)
    if keep_probabilities and "probabilities" not in details:
        result["warnings"].append("probabilities were not kept: its trainer gave none")
    digest = _digest(predictions.labels)
    result["data"] = {"source": digest, "used": digest}
    return result, Predictions(predictions.predicted, predictions.labels, details)


def _reliability(predictions: Predictions) -> dict[str, list[Any]]:
    """As :func:`bench.training.evaluation.reliability` has it, without torch."""
    import numpy as np

    confidence, bins = predictions.confidence.astype(np.float64), RECORDED_BINS
    right = predictions.predicted == predictions.labels
    which = np.ceil(confidence * bins).astype(int).clip(1, bins) - 1
    weights = (None, confidence, right)
    count, summed, correct = (np.bincount(which, weights=w, minlength=bins) for w in weights)
    return {
        "count": count.tolist(),
        "confidence": [total / n if n else None for total, n in zip(summed, count.tolist(), strict=True)],
        "correct": correct.astype(int).tolist(),
    }


def _digest(labels: NDArray[Any]) -> str:
    content: np.ndarray[Any, Any] = labels.astype("<i4")
    return hashlib.sha256(content.tobytes()).hexdigest()[:16]


def _validation(outcome: Outcome | None, metrics: Sequence[Metric]) -> dict[str, float]:
    """The metrics of validation images: those that are asked of test images, and all that came back."""
    if outcome is None:
        return {}
    values = dict(outcome.values)
    for metric in metrics:
        values[metric.name] = outcome.measured(metric)
    if outcome.correct is not None and outcome.total is not None:
        values.setdefault("accuracy", outcome.correct / outcome.total)
    return values


def _mean(name: str, predictions: Predictions) -> float | None:
    try:
        return Metric.of(choose_metric(name)).value(predictions)
    except MetricError:  # infinite
        return None
