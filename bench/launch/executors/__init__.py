"""The interface of executors: what runs jobs, a queue or this machine.

An :class:`Executor` submits, looks, cancels, says its limits and queues again. What is submitted, and what
follows from how it ended, is decided above: :mod:`bench.launch.submitter`, :mod:`bench.launch.local`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.errors import BenchError
from bench.launch.profile import Profile

LOST = "LOST"  # no executor's word: it no longer knows the job
LAUNCH_FAILED = "LAUNCH_FAILED"  # nor this: it holds the job back because a node could not start it
UNKNOWN = "UNKNOWN"
OF_A_LAUNCHER = ("MLFLOW_TRACKING_URI", "MLFLOW_BACKEND_STORE_URI")
"""Variables that jobs do not get: they mirror nothing, and a password may stand there."""
QUICK = 60.0  # seconds within which a job that fails makes its node suspect
ENDED = {
    LOST, LAUNCH_FAILED, "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL",
    "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT",
}  # fmt: skip
"""States that a job does not leave, as Slurm calls them; all others count as alive."""
Workers = Sequence[Callable[[], object]]  # what jobs call, one each


class Trouble(BenchError):
    """An executor failed or did not answer: it says nothing about any job."""


class Later(Trouble):
    """A limit on queued jobs is reached: the same jobs may be submitted later."""


@dataclass(frozen=True)
class Job:
    """What an executor says of one job (one task of an array)."""

    id: str
    state: str
    """``UNKNOWN`` where it does not answer."""
    reason: str = ""
    """Why it is still pending."""
    node: str = ""
    exit_code: str = ""
    ended: float | None = None
    """Unix time."""
    seconds: float = 0.0
    """That it has run, over all its starts."""
    waited: float = 0.0
    """Seconds in the queue before those starts."""
    failed_nodes: tuple[str, ...] = ()
    """Nodes that failed under it, or on which it failed within seconds."""
    missing: bool = False
    """The executor answers, but it no longer has the job, and does not say how it ended: a part of it lags
    behind, or has lost or forgotten the job."""
    fleeting: bool = False
    """That it has ended is remembered for some minutes, and may then be forgotten."""
    held_back: bool = False
    """It could not be started, and waits until somebody releases or cancels it."""

    @property
    def alive(self) -> bool:
        """Whether it runs, waits or may do so: everything but a certain end."""
        return self.state not in ENDED


@dataclass(frozen=True)
class Limits:
    """What one user may put into the queue."""

    array: int
    """Jobs of one submission."""
    room: int | None
    """Jobs that may be queued beside those that are; None: no limit."""
    words: str = ""
    """The limit that leaves that room."""


@dataclass(frozen=True)
class Request:
    """The properties of the jobs to be submitted."""

    profile: Profile
    file: Path
    """Of the profile: what messages name."""
    name: str
    """Unique: a launcher that dies is made up for by it."""
    parallel: int
    """Most of them that may run at once."""
    exclude: tuple[str, ...] = ()
    """Nodes that they must not run on."""
    after: Sequence[str] = ()
    """Jobs that must have ended before, however that may be."""


class Executor(Protocol):
    """The seam. All ids are as :meth:`submit` has made them: ``123``, or ``123_4`` of an array; of a profile
    that names a cluster, ``there:123_4``."""

    def require(self) -> None:
        """Raise BenchError where it cannot be used from here."""

    def check(self, request: Request) -> None:
        """Raise BenchError where it would not take such jobs, with the field and what is allowed.

        Raises Later where that is a matter of time.
        """

    def limits(self, profile: Profile) -> Limits:
        """What may be queued. Raises Trouble where it does not answer."""

    def submit(self, folder: Path, workers: Workers, request: Request) -> str:
        """Submit one job for each of ``workers`` and return their common number.

        Args:
            folder: where logs go, and what jobs need.

        Raises:
            Later: it takes no more for now.
            Trouble: it refused, or nobody knows whether it took them: the name will tell.
        """

    def find(
        self, folder: Path, workers: Workers, name: str, since: float, cluster: str | None = None
    ) -> str | None:
        """The number of what was submitted under a unique name; None where there is none.

        What a launcher that died did not come to give those jobs, they get now.

        Raises:
            Trouble: it does not answer, so nobody can tell.
        """

    def jobs(self, ids: Sequence[str], since: float) -> dict[str, Job]:
        """The states of jobs, none of which was submitted before ``since`` (Unix time). Never raises."""

    def cancel(self, ids: Iterable[str]) -> None:
        """End jobs; those that have ended already are no error. Raises Trouble."""

    def exclude(self, ids: Iterable[str], nodes: Sequence[str]) -> None:
        """Keep jobs that wait off these nodes, and let them on all others. Raises Trouble."""

    def queue_again(self, job: str) -> None:
        """Called inside a job that has saved its state: let it be started again. Raises Trouble."""


@contextlib.contextmanager
def without(names: Iterable[str]) -> Iterator[None]:
    """Remove these variables from the environment of this process, and of what it starts, for a while."""
    before = {**os.environ}
    for name in names:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.update(before)


def ids_of(number: str | None, count: int) -> list[str]:
    """The ids of ``count`` jobs that were submitted together."""
    if number is None:
        return []
    return [number] if count == 1 else [f"{number}_{k}" for k in range(count)]


def cluster_of(job: str) -> str | None:
    """The cluster that an id names; None: that of this machine."""
    return job.rpartition(":")[0] or None


def number_of(job: str) -> str:
    """An id without its cluster: what the job itself, and its log, are called there."""
    return job.rpartition(":")[2]
