"""The mirror in a thread beside training, which neither waits for it nor fails with it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from bench.errors import BenchError
from bench.tracking.answer import Answer
from bench.tracking.mirror import Mirror
from bench.tracking.store import without_secrets


class BackgroundMirror(threading.Thread):
    """Mirrors every few seconds while something else goes on. It never raises and never prints."""

    def __init__(self, mirror: Mirror, seconds: float = 5.0) -> None:
        super().__init__(name="mlflow-mirror", daemon=True)
        self.mirror = mirror
        self.warning: str | None = None
        """Why the last sync did not work; None where it did."""
        self._seconds = seconds
        self._finishing = threading.Event()
        self._abandoned = False
        self._report: tuple[Sequence[Path], Answer] | None = None

    def run(self) -> None:
        """Sync until told to finish, and then once more."""
        last = False
        while not last:
            last = self._finishing.is_set()
            if self._abandoned:
                return
            try:
                self.mirror.sync()
                if last and self._report is not None:
                    self.mirror.attach_report(*self._report)
                self.warning = None
            except BenchError as error:
                self.warning = str(error)
            except Exception as error:  # a mirror must not take down what it mirrors
                words = without_secrets(str(error), self.mirror.uri)
                self.warning = f"MLflow: {type(error).__name__}: {words}"
            if not last:
                self._finishing.wait(self._seconds)

    def finish(self, files: Sequence[Path] = (), answer: Answer | None = None, timeout: float = 60.0) -> None:
        """Sync a last time, attach the report and stop; after ``timeout`` seconds go on without it, with a
        warning. Arguments as for :meth:`Mirror.attach_report`.
        """
        self._report = (files, answer) if files and answer else None
        self._finishing.set()
        self.join(timeout)
        if self.is_alive():
            self.warning = f"MLflow: not up to date after {timeout:g} s; bench track SUITE completes it"

    def abandon(self) -> None:
        """Let it end after what it is writing now, which nobody waits for."""
        self._abandoned = True
        self._finishing.set()
