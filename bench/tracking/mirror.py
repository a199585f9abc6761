"""Run folders → MLflow: a one-way mirror, brought up to date as often as one likes.

One experiment a suite. In it one parent run, which carries the report, and below it a run for each run that
has begun. What MLflow holds is compared with the folders, and what differs is written. What MLflow cannot
take back (a metric, a parameter, an end) is replaced by a new MLflow run, and the old one goes to its trash.

It may be killed at any moment. Runs are written many at a time, all or none of them
(:mod:`~bench.tracking.tables`), or in several calls each, of which the last one makes it complete
(:mod:`~bench.tracking.calls`): the next sync finds what is not, and finishes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from bench.design import Design
from bench.metrics import Metric
from bench.progress import watched
from bench.results import RunFolder
from bench.runs import Run
from bench.suite import Cell, Suite
from bench.tracking.calls import Calls
from bench.tracking.record import (
    LONGEST_TAG,
    Record,
    Signature,
    Twin,
    digest,
    has_settled,
    look_at,
    plain,
    read_record,
    run_name,
    stamp_of,
)
from bench.tracking.store import (
    LOCK,
    TrackingError,
    connect,
    find_experiment,
    foreign_errors,
    is_server,
    reason,
    shown,
)
from bench.tracking.tables import Tables
from bench.tracking.views import experiment_tags, page_of_run, page_of_runs

AT_ONCE = 100  # runs that are read, and then written together
THREADS = 4  # that talk to a server


@dataclass(frozen=True)
class Synced:
    """How many runs one sync created in MLflow, updated there, and found as they should be."""

    created: int
    updated: int
    unchanged: int


class Mirror:
    """The mirror of one suite. It remembers what it wrote, so that the next :meth:`sync` is cheap."""

    def __init__(self, suite: Suite, results: Path, uri: str) -> None:
        self.suite = suite
        self.results = results
        self.uri = uri
        self._design = Design(suite, results)
        self._client: Any = None
        self._calls: Calls
        self._many: Calls | Tables
        """Finds all runs and makes new ones, as fast as the store allows."""
        self._experiment = ""
        self._writer = ""  # who wrote to the experiment last, as far as we know
        self._announced = False  # whether that is us, since we hold the store
        self._parent: Twin | None = None
        self._twins: dict[str, Twin] = {}
        self._seen: dict[str, Signature] = {}  # of folders that are mirrored

    def sync(self, *, aloud: bool = False) -> Synced:
        """Bring MLflow up to date with the run folders.

        Args:
            aloud: say how far it is, where that takes long.

        Raises:
            TrackingError: the store or the server cannot be reached, read or written.
        """
        with self._store():
            runs = [_Wanted(*wanted, metrics=self.suite.metrics) for wanted in self._runs()]
            changed = [wanted for wanted in runs if self._has_changed(wanted)]
            created, updated = 0, 0
            part: list[_Wanted] = []
            for number, wanted in enumerate(
                watched(changed, "mirroring runs") if aloud else changed, start=1
            ):
                part.append(wanted)
                if len(part) == AT_ONCE or number == len(changed):
                    new, old = self._write(part)
                    created, updated, part = created + new, updated + old, []
            begun = sum(wanted.run.id in self._twins for wanted in runs)
            if begun:
                asked = [run.id for run in self._design.now().runs()]
                twins = [self._twins[run_id] for run_id in asked if run_id in self._twins]
                self._write_parent(twins, planned=len(asked))
        return Synced(created, updated, begun - created - updated)

    def attach_report(self, files: Sequence[Path], note: str) -> None:
        """Put the report on the suite's parent run: its files, and ``note`` as what its page says.

        Args:
            files: those in a folder below the suite's keep that folder.

        Raises:
            TrackingError: as for :meth:`sync`.
        """
        text = _fitted(note)
        with self._store():
            contents = {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
            stamp = digest(text, contents)
            parent = self._parent_run(start=0)
            if parent.tags.get("bench.report") == stamp:
                return
            self._announce()
            home = self.results / self.suite.name
            for file in files:
                folder = file.parent.relative_to(home).as_posix() if file.is_relative_to(home) else ""
                self._client.log_artifact(parent.id, str(file), folder.strip(".") or None)
            self._set_tags(parent, {"mlflow.note.content": text, "bench.report": stamp})

    def renew_report(self, files: Sequence[Path], note: str) -> bool:
        """As :meth:`attach_report`, where the suite has been mirrored. Returns whether it has."""
        with self._store(make=False) as found:
            mirrored = found and self._parent is not None
        if mirrored:
            self.attach_report(files, note)
        return mirrored

    def page(self, server: str) -> str:
        """Where MLflow's UI at ``server`` shows the runs of this suite, best first. Known after a sync."""
        return page_of_runs(server, self._experiment)

    def own_page(self, server: str) -> str:
        """Where it shows the parent run, with the report; empty where there is none yet."""
        return page_of_run(server, self._experiment, self._parent.id) if self._parent else ""

    # ---------------------------------------------------------------------------------------- the runs

    def _runs(self) -> Iterator[tuple[Run, Cell, str]]:
        """Every run of the suite, its cell, and its name in MLflow."""
        several = len({cell.dataset for cell in self.suite.cells}) > 1
        for cell in self._design.known().every_cell:
            labels = [cell.loss, cell.model, *([cell.dataset] if several else [])]
            for run in cell.runs:
                yield run, cell, run_name(labels, run.seed)

    def _has_changed(self, wanted: _Wanted) -> bool:
        """Look at a folder: whether there is one, and it may hold what MLflow does not show."""
        run_id = wanted.run.id
        wanted.signature = look_at(self.results / "runs" / run_id)
        if wanted.signature is None or wanted.signature == self._seen.get(run_id):
            return False
        twin = self._twins.get(run_id)
        if twin is None or not twin.is_of(wanted.stamp(wanted.signature)):
            return True
        self._seen[run_id] = wanted.signature
        return False

    def _write(self, changed: Sequence[_Wanted]) -> tuple[int, int]:
        """Make MLflow show what these folders hold. Returns how many runs are new there, and how many not."""
        new: dict[str, Record] = {}
        created = updated = 0
        for wanted in changed:
            run_id = wanted.run.id
            record, twin = wanted.read(self.results), self._twins.get(run_id)
            if record is None or (twin and twin.shows(record)):
                continue
            created, updated = created + (twin is None), updated + (twin is not None)
            parent = self._parent_run(record.start)
            self._announce()
            if twin is not None and self._calls.can_go_on(twin, record):
                self._twins[run_id] = self._calls.go_on(twin, record)
                continue
            if twin is not None:
                self._client.delete_run(self._twins.pop(run_id).id)
            new[run_id] = record
        if new:
            made = self._many.create(self._experiment, parent.id, [*new.values()])
            self._twins.update(zip(new, made, strict=True))
        for wanted in changed:
            if wanted.signature is not None and has_settled(wanted.signature):
                self._seen[wanted.run.id] = wanted.signature
        return created, updated

    # -------------------------------------------------------------------------------- the parent run

    def _parent_run(self, start: int) -> Twin:
        if self._parent is None:
            self._announce()
            tags = {"bench.suite": self.suite.name, "baseline": self.suite.baseline_label}
            tags |= {"mlflow.note.content": plain(self.suite.question)}
            made = self._client.create_run(self._experiment, start or None, tags, self.suite.name)
            self._parent = Twin(made.info.run_id, "RUNNING", 0, tags)
        return self._parent

    def _write_parent(self, twins: Sequence[Twin], planned: int) -> None:
        """Set the suite's own state: it has ended when all its runs have, and failed if one of them has."""
        finished, failed = (sum(twin.status == status for twin in twins) for status in ("FINISHED", "FAILED"))
        progress = {"progress": f"{finished} finished, {failed} failed, of {planned}"}
        parent = self._parent_run(start=0)
        status, end = "RUNNING", parent.end
        if finished + failed == planned:
            status, end = "FAILED" if failed else "FINISHED", max((twin.end for twin in twins), default=0)
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
    def _store(self, *, make: bool = True) -> Iterator[bool]:
        """Holds the store for this process, with the suite's experiment and its runs known.

        ``make``: the experiment, where there is none yet. Gives whether there is one.
        """
        try:
            self.results.mkdir(parents=True, exist_ok=True)
            # Around opening too: a fresh SQLite store does not survive two processes that set it up.
            with filelock.FileLock(self.results / LOCK):
                if self._client is None:
                    self._client = connect(self.uri)
                    self._calls = Calls(self._client, THREADS if is_server(self.uri) else 1)
                    self._many = (None if is_server(self.uri) else Tables.known(self.uri)) or self._calls
                self._announced = False
                yield self._find_experiment(make)
        except BaseException as error:
            self._client, self._writer = None, ""  # what was under way may be written or not: look anew
            if isinstance(error, foreign_errors()):
                raise TrackingError(f"MLflow at {shown(self.uri)}: {reason(error, self.uri)}") from error
            raise

    def _find_experiment(self, make: bool) -> bool:
        """Find or make the experiment, and look through its runs unless we know them all."""
        name, owner, experiment = find_experiment(self._client, self.suite.name, self.results, self.uri)
        wanted = experiment_tags(self.suite) | ({"bench.results": owner} if owner else {})
        if experiment is None and not make:
            return False
        if experiment is None:
            # A server decides itself where its files go.
            folder = self.results.absolute() / "mlartifacts" / self.suite.name
            location = None if is_server(self.uri) else folder.as_uri()
            made = self._client.create_experiment(name, location, wanted)
            experiment = self._client.get_experiment(made)
        elif experiment.lifecycle_stage == "deleted":
            self._client.restore_experiment(experiment.experiment_id)
        for key in wanted.keys() - experiment.tags.keys():
            self._client.set_experiment_tag(experiment.experiment_id, key, wanted[key])
        writer = experiment.tags.get("bench.writer", "nobody")
        if (experiment.experiment_id, writer) == (self._experiment, self._writer):
            return True
        self._experiment, self._writer = experiment.experiment_id, writer
        self._parent, self._twins, self._seen = None, {}, {}
        for twin in self._many.find(self._experiment):
            if twin.tags.get("bench.suite") == self.suite.name:
                self._parent = self._parent or twin
            elif "bench.run_id" not in twin.tags:
                continue  # somebody else's: not ours to touch
            elif self._twins.setdefault(twin.tags["bench.run_id"], twin) is not twin:
                # A replaced run came back, as restoring an experiment does. One will do, whichever.
                self._announce()
                self._client.delete_run(twin.id)
        return True

    def _announce(self) -> None:
        """Before writing: tell other mirrors of this suite that what they remember is out of date.

        Under a new name each time: one that looked since we wrote last knows the old one.
        """
        if not self._announced:
            self._writer, self._announced = os.urandom(8).hex(), True
            self._client.set_experiment_tag(self._experiment, "bench.writer", self._writer)

    def _set_tags(self, twin: Twin, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            self._client.set_tag(twin.id, key, value)
        twin.tags.update(tags)


@dataclass
class _Wanted:
    """A run that MLflow is to show, and under which name."""

    run: Run
    cell: Cell
    name: str
    metrics: Sequence[Metric]
    signature: Signature | None = None
    """Of its folder, when it was last looked at."""

    def stamp(self, signature: Signature) -> str:
        return stamp_of(signature, self.cell, self.name, self.metrics)

    def read(self, results: Path) -> Record | None:
        folder = RunFolder(results, self.run.id)
        return read_record(folder, self.run, self.cell, self.name, self.signature, self.metrics)


def _fitted(note: str) -> str:
    """As many paragraphs as a tag takes, and where the others are."""
    if len(note) <= LONGEST_TAG:
        return note
    rest = "\n\n*Shortened: report.html and report.md, among the artifacts, have it all.*"
    kept = note[: LONGEST_TAG - len(rest)]
    return (kept[: kept.rfind("\n\n")] if "\n\n" in kept else kept) + rest
