"""The record that MLflow shall show of a run, read from its folder alone; and the run in MLflow now."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from bench.cells import Cell, Search
from bench.disk import Damaged
from bench.metrics import Metric, MetricError
from bench.predictions import NotKept
from bench.results.folder import RunFolder
from bench.results.reading import measure
from bench.runs import Run
from bench.space import SEEDS_OF_TRIALS, number_of
from bench.tracking import text

SETTLED = 2.0  # seconds: a folder that changed just now may change again under the same time stamp
FORM = 2  # of a record: raised when the same folder gives another one, so that it is read again

REPLACED = "bench.replaced"
"""Tag of a run that a mirror put into MLflow's trash; the others there were deleted by somebody."""

Signature = tuple[int, int]


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
    data: tuple[str, str] | None = None
    """Name and digest of what it was trained on; None while that is not known."""
    stamp: str = ""
    """Of the folder it was read from, if at rest: while the folder stays the same, so does all of this."""

    @cached_property
    def origin(self) -> str:
        """Digest of what MLflow cannot change later."""
        return text.digest(self.start, self.params)

    @cached_property
    def digest(self) -> str:
        """Digest of everything."""
        epochs = [[*at, metrics] for at, metrics in self.epochs.items()]
        rest = self.name, self.status, self.end, self.tags, epochs, self.scores, self.data
        return text.digest(self.origin, *rest)

    @cached_property
    def marks(self) -> dict[str, str]:
        """Tags by which a mirror knows what it wrote."""
        marks = {"bench.origin": self.origin, "bench.mirrored": self.digest}
        return marks | ({"bench.folder": f"{self.status} {self.stamp}"} if self.stamp else {})


@dataclass
class Twin:
    """What is known of a run in MLflow."""

    id: str
    status: str
    start: int
    end: int
    name: str
    tags: dict[str, str] = field(default_factory=dict)
    logged: set[tuple[int, int]] | None = None
    """The (epoch, time) that it holds; None: ask MLflow."""
    deleted: bool = False
    """Whether it lies in MLflow's trash."""

    def shows(self, record: Record) -> bool:
        """Whether nothing of the record is missing."""
        return self.tags.get("bench.mirrored") == record.digest and self.status == record.status

    def is_of(self, stamp: str) -> bool:
        """Whether it shows the end of a folder that still looks the same. Its status was written last."""
        return self.status != "RUNNING" and self.tags.get("bench.folder") == f"{self.status} {stamp}"


def look_at(folder: Path) -> Signature | None:
    """When a folder last changed, and the size of what is appended to; None where there is no folder.

    Two looks suffice: all files but ``metrics.jsonl`` are moved into place, which touches the folder.
    """
    try:
        moved = os.stat(folder).st_mtime_ns
    except FileNotFoundError:
        return None
    try:
        metrics = os.stat(folder / "metrics.jsonl")
    except FileNotFoundError:
        return moved, 0
    return max(moved, metrics.st_mtime_ns), metrics.st_size


def has_settled(signature: Signature) -> bool:
    """Whether the next change of the folder will show."""
    return time.time_ns() - signature[0] > SETTLED * 1e9


def stamp_of(signature: Signature, cell: Cell, labels: Sequence[str], metrics: Sequence[Metric] = ()) -> str:
    """Digest of all that a record depends on, but for the run, which has an id."""
    asked = [[metric.name, metric.choice.describe()] for metric in metrics if not in_result(metric)]
    first = [metric.name for metric in metrics[:1]]
    return text.digest(FORM, signature, cell.dataset, cell.model, cell.loss, [*labels], first, *asked)


def in_result(metric: Metric) -> bool:
    """Whether a finished run's result has it, whatever the suite asks for."""
    return metric.is_accuracy or bool(metric.recorded)


def read_record(
    folder: RunFolder,
    run: Run,
    cell: Cell,
    labels: Sequence[str],
    signature: Signature | None = None,
    metrics: Sequence[Metric] = (),
) -> Record | None:
    """The record of a run from its folder; None where the run has not begun.

    Args:
        labels: that its name has beside the seed.
        metrics: of the suite: their values stand beside those that every result has.
        signature: of :func:`look_at`, from before this call.
    """
    attempts, lines = folder.info().get("attempts", []), folder.metrics()
    status, end, notes, scores, data = "RUNNING", 0.0, {}, {}, None
    try:
        if result := folder.result(check_predictions=True):
            status, end, notes["bench.warnings"] = "FINISHED", result.finished, "\n".join(result.warnings)
            single = ("accuracy", "correct", "total", "nll", "brier", "ece", "epoch", "seconds")
            numbers = {key: getattr(result, key) for key in single}
            if result.total is not None and result.last is not None and result.best_test is not None:
                numbers["last_accuracy"] = result.last.correct / result.total
                numbers["best_test_accuracy"] = result.best_test.correct / result.total
            numbers |= {text.key_of(metric): value for metric, value in result.values.items()}
            numbers |= {text.key_of(f"validation_{name}"): value for name, value in result.validation.items()}
            scores = {key: float(number) for key, number in numbers.items() if number is not None}
            if result.data is not None:
                data = text.clean(cell.dataset)[: text.LONGEST_DATASET], result.data.source
            for metric in metrics:
                if not in_result(metric) and text.key_of(metric.name) not in scores:
                    # What a run has not kept, or what the user's own code cannot say, the report tells.
                    with contextlib.suppress(NotKept, MetricError):
                        scores[text.key_of(metric.name)] = measure(metric, folder, result).value
        elif failure := folder.failure():
            status, end, notes["bench.failure"] = "FAILED", failure.time, failure.reason
            notes["mlflow.note.content"] = text.note_of(failure)
    except Damaged as damage:
        status, notes["bench.failure"] = "FAILED", f"damaged: {damage}"
        notes["mlflow.note.content"] = text.plain(notes["bench.failure"])
    if not attempts and status == "RUNNING":
        return None

    times = [float(line.get("time", 0)) for line in lines]
    starts = [float(attempt.get("started", 0)) for attempt in attempts] or [*times[:1], end]
    # The run begins with the attempt that trained its first epoch: earlier ones left nothing behind.
    start = max((when for when in starts if not times or when <= times[0]), default=starts[0])
    attempt = attempts[-1] if attempts else {}
    git = attempt.get("git") or {}
    # A result is final. A failure can be forgotten at once.
    at_rest = status == "FINISHED" or (status == "FAILED" and signature and has_settled(signature))
    tags = {
        "bench.run_id": run.id,
        "dataset": cell.dataset,
        "model": cell.model,
        "loss": cell.loss,
        "seed": run.seed,
        "cell": f"{cell.dataset} · {cell.model} · {cell.loss}{' · trials' * isinstance(cell, Search)}",
        "bench.trial": number_of(run.seed) if isinstance(cell, Search) else None,
        **{key: attempt.get(key) for key in ("host", "device", "job", "torch", "python", "bench")},
        "git.commit": f"{git['commit']} and changes" if git.get("dirty") else git.get("commit"),
        "mlflow.source.git.commit": git.get("commit"),
        "mlflow.source.name": "bench",
        "mlflow.source.type": "JOB" if attempt.get("job") else "LOCAL",
        "mlflow.user": _owner(folder),
        **notes,
    }
    outcome = _score(scores, metrics) if status == "FINISHED" else "failed" * (status == "FAILED")
    return Record(
        name=run_name(labels, run.seed, outcome),
        status=status,
        start=text.milliseconds(start),
        end=text.milliseconds(end or max([start, *times])) if status != "RUNNING" else 0,
        params=_params(run, cell),
        tags={key: text.clean(tag)[: text.LONGEST_TAG] for key, tag in tags.items() if tag not in (None, "")},
        epochs={
            (int(line["epoch"]), text.milliseconds(when)): {
                key: float(value)
                for key, value in line.items()
                if key not in ("epoch", "time") and isinstance(value, (int, float))
            }
            for line, when in zip(lines, times, strict=True)
        },
        scores=scores,
        data=data,
        stamp=stamp_of(signature, cell, labels, metrics) if at_rest and signature else "",
    )


def _params(run: Run, cell: Cell) -> dict[str, str]:
    """The resolved description, flat: ``loss``, ``loss.smoothing``, ``optimizer.lr``, ``seed``, …"""
    description = run.description
    recipe = description.pop("recipe")
    flat = dict(_flatten({**description, **recipe}))
    for axis, label in (("dataset", cell.dataset), ("model", cell.model), ("loss", cell.loss)):
        if flat.get(f"{axis}.name") == label:  # it stands there already
            del flat[f"{axis}.name"]
        flat[axis] = label
    first = sorted(flat.items())[: text.MOST_PARAMS]
    return {text.key_of(key): text.clean(value)[: text.LONGEST_PARAM] for key, value in first}


def run_name(labels: Sequence[str], seed: int, outcome: str = "") -> str:
    """``seed 3 · min_ent · 98.22% · vgg5``: where MLflow cuts it off, what tells runs apart is still there.

    Every label is shortened alike where all of them are too long for MLflow. Of a trial: ``trial 3 · …``.
    """
    joint = " · "
    which = f"trial {number_of(seed)}" if seed >= SEEDS_OF_TRIALS else f"seed {seed}"

    def joined(loss: str, *parts: str) -> str:
        return joint.join(filter(None, (which, loss, text.clean(outcome), *parts)))

    labels = [text.clean(label) for label in labels]  # which may make them longer
    name = joined(*labels)
    if len(name) > text.LONGEST_NAME:
        room = (text.LONGEST_NAME - len(joined("")) - len(joint) * len(labels)) // len(labels)
        name = joined(*(label if len(label) <= room else label[: room - 1] + "…" for label in labels))
    return name


def _score(scores: Mapping[str, float], metrics: Sequence[Metric]) -> str:
    """The first metric of a finished run, in its own unit."""
    if not metrics:
        return ""
    value = scores.get(text.key_of(metrics[0].name))
    if value is None:
        return ""
    return f"{100 * value:.2f}%" if metrics[0].unit == "%" else f"{metrics[0].name} {value:.4g}"


def _owner(folder: RunFolder) -> str:
    """The user who trained it: the owner of the folder."""
    try:
        return _user(os.stat(folder.path).st_uid)
    except FileNotFoundError:  # set aside just now
        return ""


@cache
def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # of another machine
        return str(number)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value) if isinstance(value, list) else value
