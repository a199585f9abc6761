"""Run folders → MLflow: a one-way mirror, brought up to date as often as one likes.

One experiment a suite. In it one parent run, which carries the report, and below it a run for each run that
has begun. What MLflow holds is compared with the folders, and what differs is written. What MLflow cannot
take back (a metric, a parameter, an end) is replaced by a new MLflow run, and the old one goes to its trash.

MLflow has no transactions over several calls, so what makes a run complete is written last: the digest of
what was mirrored, then the final status. After a kill in between, the next sync finds a run that does not
match, asks which epochs it holds, and logs the others.

Nothing here imports mlflow at the top: that takes more than a second.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import filelock

from bench.errors import BenchError
from bench.results import Damaged, RunFolder
from bench.suite import Cell, Run, Suite

BATCH = 700  # metrics in one call: MLflow takes 1,000 things, parameters and tags included
LONGEST_PARAM, LONGEST_TAG, MOST_PARAMS = 6000, 8000, 100  # more is refused
PAGE = 200  # runs asked for at once: a server needs seconds for more
SETTLED = 2.0  # seconds: a folder that changed just now may change again under the same time stamp


class TrackingError(BenchError):
    """MLflow cannot be reached, read or written. The runs themselves are not affected."""


def default_uri(results: Path) -> str:
    """Where to mirror: ``MLFLOW_TRACKING_URI``, else a SQLite file in the results folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{results.absolute() / 'mlflow.db'}"


def ui_command(results: Path, uri: str, port: int) -> list[str]:
    """The command that serves MLflow's own UI of the store, to this machine only.

    It is to inherit this process's environment, where telemetry and MLflow's own job queue are now off.

    Raises:
        BenchError: the store is a server, which has its own UI, or nothing has been mirrored yet.
    """
    if _is_server(uri):
        raise BenchError(f"{_shown(uri)} is an MLflow server: open that address in a browser")
    file = _sqlite_file(uri)
    if file is not None and not file.exists():
        raise BenchError(f"{file}: nothing has been mirrored yet; run bench track SUITE first")
    _set_environment()
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # eight more processes
    server = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    # Our experiments say where their files are. This is for others, which else land in the working directory.
    files = ["--artifacts-destination", (results.absolute() / "mlartifacts").as_uri()]
    return [*server, *files, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]


# ------------------------------------------------------------------------------ what to say of a run


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
        return _digest(self.name, self.start, self.params)

    @cached_property
    def digest(self) -> str:
        """Digest of everything."""
        epochs = [[*at, metrics] for at, metrics in self.epochs.items()]
        return _digest(self.origin, self.status, self.end, self.tags, epochs, self.scores)


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
        start=_milliseconds(start),
        end=_milliseconds(end or max([start, *times])) if status != "RUNNING" else 0,
        params=_params(run, cell),
        tags={key: str(value)[:LONGEST_TAG] for key, value in tags.items() if value not in (None, "")},
        epochs={
            (int(line["epoch"]), _milliseconds(when)): {
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


def _digest(*content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


# ---------------------------------------------------------------------------------------- the mirror


@dataclass(frozen=True)
class Synced:
    """How many runs one sync created in MLflow, updated there, and found as they should be."""

    created: int
    updated: int
    unchanged: int


@dataclass
class _Twin:
    """What is known of a run in MLflow."""

    id: str
    status: str
    end: int
    tags: dict[str, str]
    metrics: set[str]
    """Names of the metrics that it had when MLflow was last asked."""
    logged: set[tuple[int, int]] | None = None
    """The (epoch, time) that it holds; None: ask MLflow."""

    def shows(self, record: Record) -> bool:
        """Whether nothing of the record is missing."""
        return self.tags.get("bench.mirrored") == record.digest and self.status == record.status


class Mirror:
    """The mirror of one suite. It remembers what it wrote, so that the next :meth:`sync` is cheap."""

    def __init__(self, suite: Suite, results: Path, uri: str) -> None:
        self.suite = suite
        self.results = results
        self.uri = uri
        self._client: Any = None
        self._experiment = ""
        self._writer = ""  # who wrote to the experiment last, as far as we know
        self._is_writer = False  # whether that is us
        self._parent: _Twin | None = None
        self._twins: dict[str, _Twin] = {}
        self._seen: dict[str, tuple[int, int]] = {}  # signatures of folders that are mirrored

    def sync(self, progress: Callable[[int, int], None] | None = None) -> Synced:
        """Bring MLflow up to date with the run folders.

        Args:
            progress: called with the number of changed folders done, and of all of them.

        Raises:
            TrackingError: the store or the server cannot be reached, read or written.
        """
        with self._store():
            runs = list(self._runs())
            created, updated, changed = 0, 0, []
            for run, cell, name in runs:
                folder = RunFolder(self.results, run.id)
                signature = _signature(folder.path)
                if signature is not None and signature != self._seen.get(run.id):
                    changed.append((folder, signature, run, cell, name))
            for number, (folder, signature, run, cell, name) in enumerate(changed, start=1):
                record = read_record(folder, run, cell, name)
                twin = self._twins.get(run.id)
                if record is not None and not (twin and twin.shows(record)):
                    self._twins[run.id] = self._write(record, twin)
                    created, updated = created + (twin is None), updated + (twin is not None)
                if time.time_ns() - signature[0] > SETTLED * 1e9:
                    self._seen[run.id] = signature
                if progress is not None:
                    progress(number, len(changed))
            twins = [self._twins[run.id] for run, _, _ in runs if run.id in self._twins]
            if twins:
                self._write_parent(twins, planned=len(runs))
        return Synced(created, updated, len(twins) - created - updated)

    def attach_report(self, files: Sequence[Path], note: str) -> None:
        """Put the report on the suite's parent run: its files, and the question with ``note`` below it.

        Raises:
            TrackingError: as for :meth:`sync`.
        """
        text = f"{self.suite.question}\n\n{note}"[:LONGEST_TAG]
        with self._store():
            contents = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
            digest = _digest(text, contents)
            parent = self._parent_run(start=0)
            if parent.tags.get("bench.report") == digest:
                return
            self._announce()
            for file in files:
                self._client.log_artifact(parent.id, str(file))
            self._set_tags(parent, {"mlflow.note.content": text, "bench.report": digest})

    def page(self, server: str) -> str:
        """Where MLflow's UI at ``server`` shows the runs of this suite, best first. Known after a sync.

        Without these options it opens on chats, with all runs folded away below the suite's own.
        """
        options = 'workflowType=machine_learning&searchFilter=params.seed != ""&orderByKey=metrics.`accuracy`'
        return f"{server}/#/experiments/{self._experiment}/runs?{quote(options, safe='=&')}&orderByAsc=false"

    def _runs(self) -> Iterator[tuple[Run, Cell, str]]:
        """Every run of the suite, its cell, and its name in MLflow."""
        several = len({cell.dataset for cell in self.suite.cells}) > 1
        for cell in self.suite.cells:
            names = [cell.loss, cell.model, *([cell.dataset] if several else [])]
            for run in cell.runs:
                yield run, cell, " · ".join([*names, f"seed {run.seed}"])

    def _write(self, record: Record, twin: _Twin | None) -> _Twin:
        """Make MLflow show a record, whatever it shows now."""
        from mlflow.entities import Metric, Param, RunTag

        parent = self._parent_run(record.start)
        self._announce()
        if twin is not None and not self._can_continue(twin, record):
            self._client.delete_run(twin.id)
            twin = None
        tags = {**record.tags, "bench.mirrored": record.digest}
        if twin is None:
            early = {**record.tags, "bench.origin": record.origin, "mlflow.parentRunId": parent.id}
            if record.status != "RUNNING":  # counts only with its final status, so the digest may come early
                early, tags = {**early, **tags}, {}
            twin = self._create(record.name, record.start, early)

        batches: list[list[Any]] = [[]]
        for (epoch, when), metrics in record.epochs.items():
            if (epoch, when) not in (twin.logged or ()):
                if len(batches[-1]) + len(metrics) > BATCH:
                    batches.append([])  # an epoch is never split: it is there or it is not
                batches[-1] += [Metric(key, value, when, epoch) for key, value in metrics.items()]
        batches[-1] += [Metric(key, value, record.end, step=0) for key, value in record.scores.items()]
        params = [Param(*item) for item in record.params.items()]
        for batch in batches[:-1]:
            self._client.log_batch(twin.id, batch)
        self._client.log_batch(twin.id, batches[-1], params, [RunTag(*item) for item in tags.items()])
        if record.status != "RUNNING":
            self._client.set_terminated(twin.id, record.status, record.end)
        tags = {**record.tags, "bench.origin": record.origin, "bench.mirrored": record.digest}
        return _Twin(twin.id, record.status, record.end, tags, set(), set(record.epochs))

    def _can_continue(self, twin: _Twin, record: Record) -> bool:
        """Whether what MLflow holds is a beginning of the record."""
        if twin.status != "RUNNING" or twin.tags.get("bench.origin") != record.origin:
            return False
        if twin.logged is None:
            # An epoch's metrics were logged together: any one of them tells which epochs are there.
            name = min(twin.metrics - record.scores.keys(), default=None)
            history = self._client.get_metric_history(twin.id, name) if name else []
            twin.logged = {(point.step, point.timestamp) for point in history}
        return twin.logged <= record.epochs.keys()

    # -------------------------------------------------------------------------------- the parent run

    def _parent_run(self, start: int) -> _Twin:
        if self._parent is None:
            self._announce()
            tags = {"bench.suite": self.suite.name, "mlflow.note.content": self.suite.question}
            tags["baseline"] = self.suite.baseline_label
            self._parent = self._create(self.suite.name, start, tags)
        return self._parent

    def _write_parent(self, twins: Sequence[_Twin], planned: int) -> None:
        """Set the suite's own state: it has ended when all its runs have, and failed if one of them has."""
        finished, failed = (sum(twin.status == status for twin in twins) for status in ("FINISHED", "FAILED"))
        progress = {"progress": f"{finished} finished, {failed} failed, of {planned}"}
        parent = self._parent_run(start=0)
        status, end = "RUNNING", parent.end
        if finished + failed == planned:
            status, end = "FAILED" if failed else "FINISHED", max(twin.end for twin in twins)
        if (status, end) != (parent.status, parent.end):
            self._announce()
            if status == "RUNNING":
                self._client.update_run(parent.id, status=status)
            else:
                self._client.set_terminated(parent.id, status, end)
            parent.status, parent.end = status, end
        if not progress.items() <= parent.tags.items():
            self._announce()
            self._set_tags(parent, progress)

    # ------------------------------------------------------------------------------------- the store

    @contextlib.contextmanager
    def _store(self) -> Iterator[None]:
        """Holds the store for this process, with the suite's experiment and its runs known."""
        try:
            self.results.mkdir(parents=True, exist_ok=True)
            # Around opening too: a fresh SQLite store does not survive two processes that set it up.
            with filelock.FileLock(self.results / ".mlflow.lock"):
                if self._client is None:
                    self._client = _connect(self.results, self.uri)
                self._find_experiment()
                yield
        except BaseException as error:
            self._client, self._writer = None, ""  # what was under way may be written or not: look anew
            if isinstance(error, _foreign_errors()):
                raise TrackingError(f"MLflow at {_shown(self.uri)}: {_reason(error)}") from error
            raise

    def _find_experiment(self) -> None:
        """Find or make the experiment, and look through its runs unless we know them all."""
        experiment = self._client.get_experiment_by_name(self.suite.name)
        if experiment is None:
            # A server decides itself where its files go.
            folder = self.results.absolute() / "mlartifacts" / self.suite.name
            location = None if _is_server(self.uri) else folder.as_uri()
            note = {"mlflow.note.content": self.suite.question}
            made = self._client.create_experiment(self.suite.name, location, note)
            experiment = self._client.get_experiment(made)
        elif experiment.lifecycle_stage == "deleted":
            self._client.restore_experiment(experiment.experiment_id)
        writer = experiment.tags.get("bench.writer", "nobody")
        if (experiment.experiment_id, writer) == (self._experiment, self._writer):
            return
        self._experiment, self._writer, self._is_writer = experiment.experiment_id, writer, False
        self._parent, self._twins, self._seen = None, {}, {}
        page = None
        while page is None or page.token:
            page = self._client.search_runs(
                [self._experiment], max_results=PAGE, page_token=page.token if page else None
            )
            for run in page:
                info, tags = run.info, run.data.tags
                twin = _Twin(info.run_id, info.status, info.end_time or 0, tags, set(run.data.metrics))
                if tags.get("bench.suite") == self.suite.name:
                    self._parent = self._parent or twin
                elif "bench.run_id" not in tags:
                    continue  # somebody else's: not ours to touch
                elif self._twins.setdefault(tags["bench.run_id"], twin) is not twin:
                    # A replaced run came back, as restoring an experiment does. One will do, whichever.
                    self._announce()
                    self._client.delete_run(twin.id)

    def _announce(self) -> None:
        """Before writing: tell other mirrors of this suite that what they remember is out of date."""
        if not self._is_writer:
            self._writer, self._is_writer = os.urandom(8).hex(), True
            self._client.set_experiment_tag(self._experiment, "bench.writer", self._writer)

    def _create(self, name: str, start: int, tags: dict[str, str]) -> _Twin:
        made = self._client.create_run(self._experiment, start or None, tags, name)
        return _Twin(made.info.run_id, "RUNNING", 0, tags, set(), set())

    def _set_tags(self, twin: _Twin, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            self._client.set_tag(twin.id, key, value)
        twin.tags.update(tags)


class BackgroundMirror(threading.Thread):
    """Mirrors every few seconds while something else goes on. It never raises and never prints."""

    def __init__(self, mirror: Mirror, seconds: float = 5.0) -> None:
        super().__init__(name="mlflow-mirror", daemon=True)
        self.mirror = mirror
        self.warning: str | None = None
        """Why the last sync did not work; None where it did."""
        self._seconds = seconds
        self._finishing = threading.Event()
        self._report: tuple[Sequence[Path], str] | None = None

    def run(self) -> None:
        """Sync until told to finish, and then once more."""
        last = False
        while not last:
            last = self._finishing.is_set()
            try:
                self.mirror.sync()
                if last and self._report is not None:
                    self.mirror.attach_report(*self._report)
                self.warning = None
            except BenchError as error:
                self.warning = str(error)
            except Exception as error:  # a mirror must not take down what it mirrors
                self.warning = f"MLflow: {type(error).__name__}: {error}"
            if not last:
                self._finishing.wait(self._seconds)

    def finish(self, files: Sequence[Path] = (), note: str = "", timeout: float = 60.0) -> None:
        """Sync a last time, attach the report and stop; after ``timeout`` seconds go on without it, with a
        warning. Arguments as for :meth:`Mirror.attach_report`.
        """
        self._report = (files, note) if files else None
        self._finishing.set()
        self.join(timeout)
        if self.is_alive():
            self.warning = f"MLflow: not up to date after {timeout:g} s; bench track SUITE completes it"


def _signature(folder: Path) -> tuple[int, int] | None:
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


# ------------------------------------------------------------------------------ mlflow and its ways


def _set_environment() -> None:
    """What MLflow reads from the environment. A setting of the user's own stays."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # A server that does not answer must be known in seconds, not in many minutes. The next sync tries again,
    # and better: MLflow's own retry makes a second run where only the answer to the first got lost.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "12")


def _connect(results: Path, uri: str) -> Any:
    """An MLflow client that is quiet, fails fast, and does not wait for the disk more than it needs to."""
    file = _sqlite_file(uri)
    if file is not None and file.exists():
        # MLflow would try a broken file ten times, for two minutes.
        with contextlib.closing(sqlite3.connect(file, timeout=10)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")
    _set_environment()
    import mlflow
    import sqlalchemy

    # It logs, with its traceback, what it raises too.
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3").setLevel(logging.ERROR)

    own = (results / "mlflow.db").resolve()

    def relax(connection: Any, _: Any) -> None:
        # Seven commits a run that each wait for the disk make a mirror up to six times slower, and ours can
        # be built again. A store that is not in the results folder stays as safe as it was.
        if isinstance(connection, sqlite3.Connection):
            [(_, _, found)] = connection.execute("PRAGMA database_list")
            if found and Path(found).resolve() == own:
                connection.execute("PRAGMA synchronous=OFF")

    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", relax)
    return mlflow.MlflowClient(uri)


def _foreign_errors() -> tuple[type[Exception], ...]:
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, CommandError, sqlite3.Error, OSError


def _reason(error: BaseException) -> str:
    """What MLflow, or what lies below it, raised: in one line, with what to do."""
    text = " ".join(str(error).split())
    rebuild = "if it is only bench's mirror, move the file away and bench track SUITE makes it anew"
    if "Max retries exceeded" in text or "timed out" in text:
        return "the server does not answer; once it does, bench track SUITE catches up"
    if "schema" in text or "revision" in text:
        return f"{text[:200]}: another version of MLflow made it; {rebuild}"
    if "malformed" in text or "not a database" in text:
        return f"{text[:200]}; {rebuild}"
    return text[:400]


def _sqlite_file(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _shown(uri: str) -> str:
    """An address without the password in it."""
    return re.sub(r"//[^/@]*@", "//", uri)
