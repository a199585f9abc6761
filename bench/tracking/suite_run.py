"""The suite's own run in MLflow, which carries the report, and what the experiment says of it."""

from __future__ import annotations

import getpass
import time
from collections.abc import Mapping

from bench.tracking.held import Held
from bench.tracking.record import Twin
from bench.tracking.text import digest, milliseconds, plain
from bench.visible import visible

AT_ONCE = 100  # runs, or numbers, that are written together


class SuiteRun(Held):
    """What a mirror writes of the suite itself."""

    def _parent_run(self) -> Twin:
        """The suite's own run. It begins now, and so stands first until another run begins."""
        if self._parent is None:
            self._announce()
            now, name = milliseconds(time.time()), visible(self.suite.name)
            tags = {"bench.suite": self.suite.name, "baseline": self.suite.baseline_label}
            tags |= {"mlflow.note.content": plain(self.suite.question), "mlflow.user": getpass.getuser()}
            tags |= {"mlflow.source.name": "bench", "mlflow.source.type": "LOCAL"}
            run = self._client.create_run(self._experiment, now, tags, name)
            self._parent = Twin(run.info.run_id, "RUNNING", now, 0, name, tags)
        return self._parent

    def _write_parent(self) -> Twin:
        """Set the suite's own state: it has ended when all its runs have, and failed if one of them has."""
        parent = self._parent_run()
        if parent.deleted:
            return parent
        run_ids = [run.id for run in self._design.now().runs() if run.id not in self._deleted]
        twins = [self._twins[run_id] for run_id in run_ids if run_id in self._twins]
        finished, failed = (sum(twin.status == status for twin in twins) for status in ("FINISHED", "FAILED"))
        progress = {"progress": f"{finished} finished, {failed} failed, of {len(run_ids)}"}
        status, end = "RUNNING", parent.end
        if finished + failed == len(run_ids):
            status = "FAILED" if failed else "FINISHED"
            end = max((parent.start, *(twin.end for twin in twins)))
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
        return parent

    def _tell_experiment(self, note: str) -> None:
        """Describe the experiment, unless somebody else has done so."""
        now, ours = self._tags.get("mlflow.note.content", ""), self._tags.get("bench.note", "").split()
        untouched = [text.replace("\\", "") for text in (now, plain(self.suite.question))]
        if now == note or (digest(now) not in ours and untouched[0] != untouched[1]):
            return
        self._announce()
        # Killed between the two, it still knows both.
        tags = {"bench.note": f"{digest(now)} {digest(note)}", "mlflow.note.content": note}
        for key, value in tags.items():
            self._client.set_experiment_tag(self._experiment, key, value)
            self._tags[key] = value

    def _log_numbers(self, parent: Twin, numbers: Mapping[str, float]) -> None:
        from mlflow.entities import Metric as Point

        if numbers:
            now = milliseconds(time.time())
            points = [Point(key, value, now, 0) for key, value in numbers.items()]
            for start in range(0, len(points), AT_ONCE):
                self._client.log_batch(parent.id, points[start : start + AT_ONCE])
