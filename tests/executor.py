"""An executor that is neither Slurm nor this machine: it says what a test wants; its jobs take no time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from helpers import finish_run

from bench.errors import BenchError
from bench.launch.ended import Ended
from bench.launch.executors import Job, Later, Limits, Request, Trouble, ids_of
from bench.launch.pack import Pack
from bench.launch.profile import Profile
from bench.launch.worker import Worker


@dataclass
class FakeExecutor:
    """Give it to a :class:`bench.launch.arrays.Cluster`."""

    capacity: Limits = field(default_factory=lambda: Limits(array=3, room=None))
    refusal: str = ""
    """Why it takes no jobs; empty: it does."""
    trouble: int = 0
    """How many calls it will not answer."""
    most: int | None = None
    """Jobs of one submission that it takes now, for a limit that it does not tell."""
    trains: bool = False
    """Whether jobs finish their runs, with made-up results."""
    requests: list[tuple[Request, int]] = field(default_factory=list)
    """What was submitted, with how many jobs each."""
    states: dict[str, Job] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    excluded: list[tuple[list[str], tuple[str, ...]]] = field(default_factory=list)
    """Jobs that waited, and nodes that they were kept off."""
    least_nodes: int = 0
    """It refuses jobs that exclude as many nodes; 0: none."""

    def require(self) -> None:
        pass

    def check(self, request: Request) -> None:
        if self.refusal:
            raise BenchError(self.refusal)
        if self.least_nodes and len(request.exclude) >= self.least_nodes:
            raise BenchError("no node is left")

    def limits(self, profile: Profile) -> Limits:
        return self.capacity

    def submit(self, folder: Path, workers: Sequence[Callable[[], object]], request: Request) -> str:
        if self.trouble:
            self.trouble -= 1
            raise Trouble("it did not answer")
        if self.most is not None and len(workers) > self.most:
            raise Later("too many")
        number = str(100 + len(self.requests))
        self.requests.append((request, len(workers)))
        for name, worker in zip(ids_of(number, len(workers)), workers, strict=True):
            if self.trains and isinstance(worker, Worker):
                pack = Pack.read(worker.pack)
                for run in pack.runs:
                    finish_run(run, pack.results, correct=90)
                Ended.note(folder, name, None)
            self.states[name] = Job(name, "COMPLETED" if self.trains else "PENDING")
        return number

    def find(
        self,
        folder: Path,
        workers: Sequence[Callable[[], object]],
        name: str,
        since: float,
        cluster: str | None = None,
    ) -> str | None:
        return None

    def jobs(self, ids: Sequence[str], since: float) -> dict[str, Job]:
        return {name: self.states.get(name, Job(name, "UNKNOWN")) for name in ids}

    def cancel(self, ids: Iterable[str]) -> None:
        self.cancelled += ids

    def exclude(self, ids: Iterable[str], nodes: Sequence[str]) -> None:
        self.excluded.append(([*ids], tuple(nodes)))

    def queue_again(self, job: str) -> None:
        pass
