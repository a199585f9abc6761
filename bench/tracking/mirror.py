"""Run folders → MLflow: a one-way mirror, brought up to date as often as one likes.

One experiment a suite. In it one parent run, which carries the report, and below it a run for each run that
has begun. What MLflow holds is compared with the folders, and what differs is written. What MLflow cannot
take back (a metric, a parameter, an end) is replaced by a new MLflow run, and the old one goes to its trash.

MLflow has no transactions over several calls, so what makes a run complete is written last: the digest of
what was mirrored, then the final status. After a kill in between, the next sync finds a run that does not
match, asks which epochs it holds, and logs the others.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import filelock

from bench.errors import BenchError
from bench.results import RunFolder
from bench.run import Run
from bench.suite import Cell, Suite
from bench.tracking.record import LONGEST_TAG, Record, digest, read_record
from bench.tracking.store import LOCK, TrackingError, connect, foreign_errors, is_server, reason, shown

BATCH = 700  # metrics in one call: MLflow takes 1,000 things, parameters and tags included
PAGE = 200  # runs asked for at once: a server needs seconds for more
SETTLED = 2.0  # seconds: a folder that changed just now may change again under the same time stamp


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
            stamp = digest(text, contents)
            parent = self._parent_run(start=0)
            if parent.tags.get("bench.report") == stamp:
                return
            self._announce()
            for file in files:
                self._client.log_artifact(parent.id, str(file))
            self._set_tags(parent, {"mlflow.note.content": text, "bench.report": stamp})

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
        logged = set(record.epochs) if record.status == "RUNNING" else set()  # ended: asked for no more
        return _Twin(twin.id, record.status, record.end, tags, set(), logged)

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
            with filelock.FileLock(self.results / LOCK):
                if self._client is None:
                    self._client = connect(self.uri)
                self._find_experiment()
                yield
        except BaseException as error:
            self._client, self._writer = None, ""  # what was under way may be written or not: look anew
            if isinstance(error, foreign_errors()):
                raise TrackingError(f"MLflow at {shown(self.uri)}: {reason(error)}") from error
            raise

    def _find_experiment(self) -> None:
        """Find or make the experiment, and look through its runs unless we know them all."""
        experiment = self._client.get_experiment_by_name(self.suite.name)
        if experiment is None:
            # A server decides itself where its files go.
            folder = self.results.absolute() / "mlartifacts" / self.suite.name
            location = None if is_server(self.uri) else folder.as_uri()
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
