"""The file that a job writes beside its log when it ends, with the reason if it failed.

Without it a job did not come to its end, whatever else is known of it. It is JSON: nobody who reads it runs
anything.
"""

from __future__ import annotations

import time
from pathlib import Path

from pydantic import BaseModel, ValidationError

from bench.disk import read, write_atomically
from bench.results.schema import UnixTime


class Ended(BaseModel):
    """The content of the file."""

    time: UnixTime
    message: str | None
    """Why the job could not do its work; None: it did."""

    @classmethod
    def note(cls, folder: Path, job: str, message: str | None) -> None:
        """Note that a job has ended. Of its processes the last to say so counts, and each that complains."""
        before = cls.read(folder, job)
        message = message or (before.message if before else None)
        content = cls(time=time.time(), message=message)
        write_atomically(_file(folder, job), content.model_dump_json().encode())

    @classmethod
    def read(cls, folder: Path, job: str) -> Ended | None:
        """None where the job has not come to its end, or the file is not what was written."""
        try:
            return cls.model_validate_json(read(str(_file(folder, job))))
        except (OSError, ValidationError):
            return None

    @staticmethod
    def forget(folder: Path, job: str) -> None:
        """Remove the file of a job that is started again."""
        _file(folder, job).unlink(missing_ok=True)


class Idle:
    """Counts consecutive starts of a job without a step: its start-up may outlast its time limit."""

    @staticmethod
    def count(folder: Path, job: str, start: str) -> int:
        """Note such a start, and return how many there have been. Each process of a job calls it once."""
        try:
            starts = read(str(_idle(folder, job))).decode().split()
        except (OSError, UnicodeDecodeError):
            starts = []
        starts = [*dict.fromkeys([*starts, start])]
        write_atomically(_idle(folder, job), "\n".join(starts).encode())
        return len(starts)

    @staticmethod
    def forget(folder: Path, job: str) -> None:
        """Forget these starts: the job has made a step."""
        _idle(folder, job).unlink(missing_ok=True)


def _idle(folder: Path, job: str) -> Path:
    return folder / f"{job}_idle.txt"


def _file(folder: Path, job: str) -> Path:
    return folder / f"{job}_ended.json"
