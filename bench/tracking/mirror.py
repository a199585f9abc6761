"""Run folders → MLflow: a one-way mirror, brought up to date as often as one likes.

One experiment a suite. In it the suite's own run, which carries the report, and a run for each run that has
begun, side by side: MLflow folds what is nested away. What MLflow holds is compared with the folders, and
what differs is written. What MLflow cannot take back (a metric, a parameter, an end) is replaced by a new
MLflow run, and the old one goes to its trash, marked. What somebody else put there stays there.

It may be killed at any moment. Runs are written many at a time, all or none of them
(:mod:`~bench.tracking.database`), or in several calls each, of which the last one makes it complete
(:mod:`~bench.tracking.calls`): the next sync finds what is not, and finishes it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cells import Cell
from bench.metrics import Metric
from bench.progress import watched
from bench.results.folder import RunFolder
from bench.runs import Run
from bench.tracking.answer import FIRST, REPORT, REST, Answer
from bench.tracking.record import Record, Signature, has_settled, look_at, read_record, stamp_of
from bench.tracking.suite_run import AT_ONCE, SuiteRun
from bench.tracking.views import page_of_run, page_of_runs
from bench.visible import visible


@dataclass(frozen=True)
class Synced:
    """How many runs one sync created in MLflow, updated there, and found as they should be."""

    created: int
    updated: int
    unchanged: int
    deleted: int = 0
    """Runs that somebody has deleted in MLflow, and that stay so."""


class Mirror(SuiteRun):
    """The mirror of one suite. It remembers what it wrote, so that the next :meth:`sync` is cheap."""

    def sync(self, *, aloud: bool = False) -> Synced:
        """Bring MLflow up to date with the run folders.

        Args:
            aloud: say how far it is, where that takes long.

        Raises:
            TrackingError: the store or the server cannot be reached, read or written; or the experiment was
                deleted there.
        """
        with self._store():
            runs = [_MirroredRun(*entry, metrics=self.suite.metrics) for entry in self._runs()]
            changed = [item for item in runs if self._has_changed(item)]
            created, updated = 0, 0
            part: list[_MirroredRun] = []
            for number, item in enumerate(watched(changed, "mirroring runs") if aloud else changed, start=1):
                part.append(item)
                if len(part) == AT_ONCE or number == len(changed):
                    new, old = self._write(part)
                    created, updated, part = created + new, updated + old, []
            begun = sum(item.run.id in self._twins for item in runs)
            deleted = sum(item.run.id in self._deleted for item in runs)
            if begun:
                self._write_parent()
        return Synced(created, updated, begun - created - updated, deleted)

    def attach_report(self, files: Sequence[Path], answer: Answer) -> None:
        """Put the report on the suite's own run, and what it says on the experiment and on every run.

        Args:
            files: those in a folder below the suite's keep that folder.

        Raises:
            TrackingError: as for :meth:`sync`.
        """
        with self._store():
            parent = self._parent_run()
            later = any(twin.start >= parent.start for twin in self._twins.values())
            if later and parent.status != "RUNNING" and not parent.deleted:
                # MLflow lists what began last first, and cannot be told that a run began at another time.
                self._announce()
                self._many.trash([parent.id])
                self._parent = None
                parent = self._write_parent()
            self._tell_runs(answer)
            parent_id = "" if parent.deleted else parent.id
            self._tell_experiment(answer.note_of_experiment(self._experiment, parent_id))
            stamp = answer.stamp(files)
            if parent.deleted or parent.tags.get("bench.report") == stamp:
                return
            self._announce()
            home = self.results / self.suite.name
            for file in files:
                folder = file.parent.relative_to(home) if file.is_relative_to(home) else Path()
                place = FIRST if file.name == REPORT else (REST / folder).as_posix()
                self._client.log_artifact(parent.id, str(file), place)
            self._log_numbers(parent, answer.numbers)
            verdict = {"verdict": visible(answer.verdict)} if answer.verdict else {}
            self._set_tags(parent, {"mlflow.note.content": answer.note, **verdict, "bench.report": stamp})

    def renew_report(self, files: Sequence[Path], answer: Answer) -> bool:
        """As :meth:`attach_report`, where the suite has been mirrored. Returns whether it has."""
        with self._store(make=False) as exists:
            mirrored = exists and self._parent is not None
        if mirrored:
            self.attach_report(files, answer)
        return mirrored

    def log_models(self, data: Path) -> int:
        """Put the networks of finished runs that kept their weights on these runs, as artifact ``model``.

        Args:
            data: folder of the data sets, which may have to be read for the form of their images.

        Returns how many are new there.

        Raises:
            BenchError: as for :func:`bench.tracking.models.save_model`, and as for :meth:`sync`.
        """
        from bench.tracking.models import save_model

        count = 0
        with self._store():
            for run, _, _ in self._runs():
                twin = self._twins.get(run.id)
                if twin is None or twin.status != "FINISHED" or "bench.model" in twin.tags:
                    continue
                with tempfile.TemporaryDirectory(prefix="bench-model-") as place:
                    weights = save_model(run, RunFolder(self.results, run.id), data, Path(place, "model"))
                    if weights:
                        self._announce()
                        self._client.log_artifacts(twin.id, place)
                        self._set_tags(twin, {"bench.model": weights})
                        count += 1
        return count

    def page(self, server: str) -> str:
        """Where MLflow's UI at ``server`` shows the runs of this suite, best first. Known after a sync."""
        return page_of_runs(server, self._experiment)

    def own_page(self, server: str) -> str:
        """Where it shows the suite's own run, with the report; empty where there is none."""
        parent = self._parent
        return "" if parent is None or parent.deleted else page_of_run(server, self._experiment, parent.id)

    def _runs(self) -> Iterator[tuple[Run, Cell, tuple[str, ...]]]:
        """Every run of the suite, its cell, and what its name in MLflow has beside the seed."""
        several = len({cell.dataset for cell in self.suite.cells}) > 1
        for cell in self._design.known().every_cell:
            labels = (cell.loss, cell.model, *([cell.dataset] if several else []))
            for run in cell.runs:
                yield run, cell, labels

    def _has_changed(self, item: _MirroredRun) -> bool:
        """Look at a folder: whether there is one, and it may hold what MLflow does not show."""
        run_id = item.run.id
        item.signature = look_at(self.results / "runs" / run_id)
        if item.signature is None or item.signature == self._signatures.get(run_id):
            return False
        twin = self._twins.get(run_id)
        if twin is None or not twin.is_of(item.stamp(item.signature)):
            return True
        self._signatures[run_id] = item.signature
        return False

    def _write(self, changed: Sequence[_MirroredRun]) -> tuple[int, int]:
        """Make MLflow show what these folders hold. Returns how many runs are new there, and how many not."""
        new: dict[str, Record] = {}
        old: list[str] = []
        created = updated = 0
        for item in changed:
            run_id = item.run.id
            record, twin = item.read(self.results), self._twins.get(run_id)
            if record is None or (twin and twin.shows(record)):
                continue
            if self._deleted.get(run_id) == record.start:
                continue  # trained anew, it would be another
            self._deleted.pop(run_id, None)
            created, updated = created + (twin is None), updated + (twin is not None)
            self._parent_run()
            self._announce()
            if twin is not None and self._calls.can_go_on(twin, record):
                self._twins[run_id] = self._calls.go_on(twin, record)
                continue
            if twin is not None:
                old.append(self._twins.pop(run_id).id)
            new[run_id] = record
        if old:
            self._many.trash(old)
        if new:
            twins = self._many.create(self._experiment, [*new.values()])
            self._twins.update(zip(new, twins, strict=True))
        for item in changed:
            if item.signature is not None and has_settled(item.signature):
                self._signatures[item.run.id] = item.signature
        return created, updated

    def _tell_runs(self, answer: Answer) -> None:
        """Write on every run what the verdict on its loss is."""
        words: dict[str, str] = {}
        for run, cell, _ in self._runs():
            twin = self._twins.get(run.id)
            word = answer.verdicts.get((cell.dataset, cell.model, cell.loss), "")
            if twin is not None and word != twin.tags.get("verdict", ""):
                words[twin.id] = twin.tags["verdict"] = word
        if words:
            self._announce()
            self._many.set_tag("verdict", words)


@dataclass
class _MirroredRun:
    """A run that MLflow is to show, and under which name."""

    run: Run
    cell: Cell
    labels: tuple[str, ...]
    metrics: Sequence[Metric]
    signature: Signature | None = None
    """Of its folder, when it was last looked at."""

    def stamp(self, signature: Signature) -> str:
        return stamp_of(signature, self.cell, self.labels, self.metrics)

    def read(self, results: Path) -> Record | None:
        folder = RunFolder(results, self.run.id)
        return read_record(folder, self.run, self.cell, self.labels, self.signature, self.metrics)
