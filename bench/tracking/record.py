"""What MLflow shall show of a run: read from its folder, and from nowhere else."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bench.results import Damaged, RunFolder
from bench.run import Run
from bench.suite import Cell

LONGEST_PARAM, LONGEST_TAG, MOST_PARAMS = 6000, 8000, 100  # MLflow refuses more


@dataclass(frozen=True)
class Record:
    """A run as MLflow shall show it. Times are in milliseconds."""

    name: str
    status: str
    start: int
    end: int
    params: Mapping[str, str]
    tags: Mapping[str, str]
    epochs: Mapping[tuple[int, int], Mapping[str, float]]
    """(epoch, time) → metrics."""
    scores: Mapping[str, float]
    """Metrics of the finished run."""

    @cached_property
    def origin(self) -> str:
        """Digest of what MLflow takes once and for all."""
        return digest(self.name, self.start, self.params)

    @cached_property
    def digest(self) -> str:
        """Digest of everything."""
        epochs = [[*at, metrics] for at, metrics in self.epochs.items()]
        return digest(self.origin, self.status, self.end, self.tags, epochs, self.scores)


def read_record(folder: RunFolder, run: Run, cell: Cell, name: str) -> Record | None:
    """What a run folder says; None where the run has not begun."""
    attempts, lines = folder.info().get("attempts", []), folder.metrics()
    status, end, said, scores = "RUNNING", 0.0, {}, {}
    try:
        if result := folder.result(check_predictions=True):
            status, end, said["bench.warnings"] = "FINISHED", result.finished, "\n".join(result.warnings)
            single = ("accuracy", "correct", "total", "nll", "brier", "ece", "epoch", "seconds")
            scores = {key: float(getattr(result, key)) for key in single}
            scores["last_accuracy"] = result.last.correct / result.total
            scores["best_test_accuracy"] = result.best_test.correct / result.total
        elif failure := folder.failure():
            status, end, said["bench.failure"] = "FAILED", failure.time, failure.reason
            said["mlflow.note.content"] = f"{failure.reason[:1000]}\n```\n{failure.trace[-6000:]}\n```"
    except Damaged as damage:
        status, said["bench.failure"] = "FAILED", f"damaged: {damage}"
        said["mlflow.note.content"] = said["bench.failure"]
    if not attempts and status == "RUNNING":
        return None

    times = [float(line.get("time", 0)) for line in lines]
    starts = [float(attempt.get("started", 0)) for attempt in attempts] or [*times[:1], end]
    # The run begins with the attempt that trained its first epoch: earlier ones left nothing behind.
    start = max((when for when in starts if not times or when <= times[0]), default=starts[0])
    attempt = attempts[-1] if attempts else {}
    git = attempt.get("git") or {}
    tags = {
        "bench.run_id": run.id,
        "dataset": cell.dataset,
        "model": cell.model,
        "loss": cell.loss,
        "seed": run.seed,
        "cell": f"{cell.dataset} · {cell.model} · {cell.loss}",
        **{key: attempt.get(key) for key in ("host", "device", "job", "torch", "python", "bench")},
        "git.commit": f"{git['commit']} and changes" if git.get("dirty") else git.get("commit"),
        "mlflow.source.git.commit": git.get("commit"),
        **said,
    }
    return Record(
        name=name,
        status=status,
        start=milliseconds(start),
        end=milliseconds(end or max([start, *times])) if status != "RUNNING" else 0,
        params=_params(run, cell),
        tags={key: str(value)[:LONGEST_TAG] for key, value in tags.items() if value not in (None, "")},
        epochs={
            (int(line["epoch"]), milliseconds(when)): {
                key: float(value)
                for key, value in line.items()
                if key not in ("epoch", "time") and isinstance(value, (int, float))
            }
            for line, when in zip(lines, times, strict=True)
        },
        scores=scores,
    )


def _params(run: Run, cell: Cell) -> dict[str, str]:
    """The resolved description, flat: ``loss``, ``loss.smoothing``, ``optimizer.lr``, ``seed``, …"""
    description = run.description
    flat = dict(_flatten({**description, **description.pop("recipe")}))
    flat |= {"dataset": cell.dataset, "model": cell.model, "loss": cell.loss}
    first = sorted(flat.items())[:MOST_PARAMS]
    return {re.sub(r"[^\w.: /-]", "_", key): str(value)[:LONGEST_PARAM] for key, value in first}


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value) if isinstance(value, list) else value


def digest(*content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
