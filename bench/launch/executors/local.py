"""This machine as an executor: a process for each job, through submitit, as long as the launcher runs."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.launch.ended import Ended
from bench.launch.executors import OF_A_LAUNCHER, UNKNOWN, Job, Limits, Request, Workers, without
from bench.launch.profile import Profile

if TYPE_CHECKING:
    import submitit


class Local:
    """Starts processes, and knows only those that it started.

    Args:
        gpus: each job sees one of these groups, that which the fewest jobs have.
    """

    def __init__(self, gpus: Sequence[tuple[int, ...]] = ()) -> None:
        self.gpus = gpus
        self._jobs: dict[str, submitit.Job[Any]] = {}
        self._gpu_of: dict[str, tuple[int, ...]] = {}

    def require(self) -> None:
        """Never raises."""

    def check(self, request: Request) -> None:
        """Never raises."""

    def limits(self, profile: Profile) -> Limits:
        """One job a submission, as each process has an id of its own."""
        return Limits(array=1, room=None)

    def submit(self, folder: Path, workers: Workers, request: Request) -> str:
        """Start a process. Its number is the process's."""
        import submitit

        [worker] = workers
        executor = submitit.LocalExecutor(folder=folder)
        busy = Counter(self._gpu_of[name] for name in self._alive())
        gpu = min(self.gpus, key=busy.__getitem__) if self.gpus else None
        # submitit hides all GPUs from a job that does not ask for one.
        one = {} if gpu is None else {"gpus_per_node": len(gpu), "visible_gpus": gpu}
        executor.update_parameters(timeout_min=60 * 24 * 365, **one)
        # Ctrl-C reaches every process of the terminal. submitit's controller would kill its worker then,
        # in the middle of a checkpoint; started like this it ignores Ctrl-C. The worker has its own handler.
        with _ignored(signal.SIGINT), without(OF_A_LAUNCHER):
            job: submitit.Job[Any] = executor.submit(worker)
        self._jobs[job.job_id] = job
        if gpu is not None:
            self._gpu_of[job.job_id] = gpu
        return str(job.job_id)

    def find(
        self, folder: Path, workers: Workers, name: str, since: float, cluster: str | None = None
    ) -> str | None:
        """None: no process outlives its launcher."""
        return None

    def jobs(self, ids: Sequence[str], since: float) -> dict[str, Job]:
        """A process that ended without a result has died."""
        states = {}
        for name in ids:
            job = self._jobs.get(name)
            if job is None:
                state = UNKNOWN
            elif not job.done():
                state = "RUNNING"
            else:
                state = "COMPLETED" if Ended.read(Path(job.paths.folder), name) else "FAILED"
            states[name] = Job(name, state)
        return states

    def cancel(self, ids: Iterable[str]) -> None:
        """Ask processes to save their state and end."""
        self.signal(ids, signal.SIGTERM)

    def exclude(self, ids: Iterable[str], nodes: Sequence[str]) -> None:
        """Nothing to do: no process waits."""

    def queue_again(self, job: str) -> None:
        """Nothing to do: the launcher starts another process."""

    def signal(self, ids: Iterable[str], number: signal.Signals) -> None:
        """Of those that have not ended. They get it through submitit's controller, whose number theirs is."""
        for name in ids:
            if name in self._jobs and not self._jobs[name].done():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(name), number)

    def _alive(self) -> Iterator[str]:
        return (name for name in self._gpu_of if not self._jobs[name].done())


@contextlib.contextmanager
def _ignored(number: signal.Signals) -> Iterator[None]:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)
