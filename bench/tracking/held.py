"""A suite's experiment in MLflow, held for one process: the store, the experiment, and the runs in it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock

from bench.sequential_design import SequentialDesign
from bench.suite import Suite
from bench.tracking import store
from bench.tracking.calls import Calls
from bench.tracking.database import Tables
from bench.tracking.record import REPLACED, Signature, Twin
from bench.tracking.text import plain
from bench.tracking.views import experiment_tags

THREADS = 4  # that talk to a server


class Held:
    """A suite's experiment and its runs, as known while the store is locked."""

    def __init__(self, suite: Suite, results: Path, uri: str) -> None:
        self.suite = suite
        self.results = results
        self.uri = uri
        self.remark = ""
        """Why it is slower than it could be, if it is."""
        self._design = SequentialDesign(suite, results)
        self._client: Any = None
        self._calls: Calls
        self._many: Calls | Tables
        """Finds all runs and makes new ones, as fast as the store allows."""
        self._experiment = ""
        self._tags: dict[str, str] = {}  # tags of the experiment
        self._writer = ""  # who wrote to the experiment last, as far as we know
        self._announced = False  # whether that is us, since we hold the store
        self._parent: Twin | None = None
        self._twins: dict[str, Twin] = {}
        self._deleted: dict[str, int] = {}  # run id → when it had begun
        self._signatures: dict[str, Signature] = {}  # of folders that are mirrored

    @contextlib.contextmanager
    def _store(self, *, make: bool = True) -> Iterator[bool]:
        """Holds the store for this process, with the suite's experiment and its runs known.

        ``make``: the experiment, where there is none yet. Gives whether there is one.
        """
        try:
            self.results.mkdir(parents=True, exist_ok=True)
            # Around opening too: a fresh SQLite store does not survive two processes that set it up.
            with filelock.FileLock(self.results / store.LOCK):
                if self._client is None:
                    store.heal(self.results, self.uri)
                    self._client = store.connect(self.uri)
                    self._calls = Calls(self._client, THREADS if store.is_server(self.uri) else 1)
                    tables = None if store.is_server(self.uri) else Tables.known(self.uri)
                    self._many = tables or self._calls
                    self.remark = "" if tables or store.is_server(self.uri) else Tables.unknown(self.uri)
                self._announced = False
                yield self._find_experiment(make)
        except BaseException as error:
            self._client, self._writer = None, ""  # what was under way may be written or not: look anew
            if isinstance(error, store.foreign_errors()):
                reason = store.reason(error, self.uri)
                raise store.TrackingError(f"MLflow at {store.shown(self.uri)}: {reason}") from error
            raise

    def _find_experiment(self, make: bool) -> bool:
        """Find or make the experiment, and look through its runs unless we know them all."""
        name, owner, experiment = store.find_experiment(self._client, self.suite.name, self.results, self.uri)
        tags = experiment_tags(self.suite) | ({"bench.results": owner} if owner else {})
        if experiment is None and not make:
            return False
        if experiment is None:
            # A server decides itself where its files go.
            folder = self.results.absolute() / "mlartifacts" / self.suite.name
            location = None if store.is_server(self.uri) else folder.as_uri()
            first = {"mlflow.note.content": plain(self.suite.question)}
            experiment_id = self._client.create_experiment(name, location, tags | first)
            experiment = self._client.get_experiment(experiment_id)
        elif experiment.lifecycle_stage == "deleted":
            raise store.TrackingError(
                f"MLflow at {store.shown(self.uri)}: experiment '{name}' was deleted there, and stays "
                f"deleted; `mlflow experiments restore --experiment-id {experiment.experiment_id}` brings it "
                f"back, `mlflow gc --experiment-ids {experiment.experiment_id}` makes room for a new one"
            )
        self._tags = dict(experiment.tags)
        if self._tags.get("bench.views") != tags["bench.views"]:  # of an older mirror
            for key in sorted(tags, key="bench.views".__eq__):  # that one last
                if self._tags.get(key) != tags[key]:
                    self._client.set_experiment_tag(experiment.experiment_id, key, tags[key])
        writer = experiment.tags.get("bench.writer", "nobody")
        if (experiment.experiment_id, writer) == (self._experiment, self._writer):
            return True
        self._experiment, self._writer = experiment.experiment_id, writer
        self._look_through()
        return True

    def _look_through(self) -> None:
        """Learn which runs there are, and which somebody has deleted."""
        self._parent, self._twins, self._deleted, self._signatures = None, {}, {}, {}
        back: list[str] = []  # a replaced run that restoring an experiment has brought back, or one too many
        for twin in self._many.find(self._experiment):
            run_id, replaced = twin.tags.get("bench.run_id"), REPLACED in twin.tags
            if replaced and not twin.deleted:
                back.append(twin.id)
            elif replaced:
                continue
            elif twin.tags.get("bench.suite") == self.suite.name:
                if self._parent is None or self._parent.deleted:
                    self._parent = twin
            elif run_id is None:
                continue  # somebody else's: not ours to touch
            elif twin.deleted:
                self._deleted[run_id] = twin.start
            elif self._twins.setdefault(run_id, twin) is not twin:
                back.append(twin.id)
        for run_id in self._twins:
            self._deleted.pop(run_id, None)
        if back:
            self._announce()
            self._many.trash(back)

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
