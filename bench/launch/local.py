"""Training a suite on this machine: one worker a core (or a GPU), through submitit's local executor."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.disk import check_writable
from bench.errors import BenchError
from bench.launch.ended import Ended
from bench.launch.executors import Job, Request
from bench.launch.executors.local import Local
from bench.launch.gpus import gpus_here
from bench.launch.lock import only_launcher
from bench.launch.logs import log_of, tail
from bench.launch.needs import Needs, by_needs, check_here
from bench.launch.pack import Pack, git_state, of_trainers
from bench.launch.preflight import prepare, unfinished
from bench.launch.profile import Profile
from bench.launch.side_by_side import side_by_side
from bench.launch.worker import Worker
from bench.results.folder import RunFolder
from bench.runs import Run
from bench.suite import Suite
from bench.trainer_options import Command

POLL_SECONDS = 0.2
STOP_SECONDS = 60.0  # how long a worker may take to save its checkpoint
MOST_DEATHS = 3  # of workers on the same run, or before any run


def train_here(
    suite: Suite,
    runs: Sequence[Run],
    results: Path,
    data: Path,
    *,
    search_path: Sequence[str],
    watch: Callable[[], None],
    say: Callable[[str], None],
    workers: int | None = None,
    device: str = "auto",
    retry_failed: bool = False,
) -> None:
    """Train what is missing of these runs, on this machine, and return when nothing is left to train.

    Another ``bench run`` of the same suite on this machine is waited for; what it leaves is trained then.

    Args:
        suite: what is trained.
        runs: which of its runs.
        results: the results folder.
        data: the folder of the data sets.
        search_path: where modules of the user's own are.
        watch: called several times a second.
        say: gets each thing that a person should read.
        workers: processes; default one a core, or on GPUs as many as a measurement says.
        device: ``auto``, ``cpu`` or ``cuda``.
        retry_failed: train failed runs again.

    Raises:
        BenchError: workers cannot do their work here: no space, no permission, they die over and over.
        KeyboardInterrupt: someone stopped it. All workers have saved their state by then.
    """
    with only_launcher(results / suite.name, watch, say):
        prepare(suite, runs, results, data, say, search_path=search_path, retry_failed=retry_failed)
        missing = unfinished(runs, results)
        if not missing:
            return
        check_here(suite, device)
        for needs, group in by_needs(missing).items():
            crew = Crew(suite, group, results, data, search_path, workers, device, needs)
            with _terminated_is_interrupted(), crew.measured(workers, say):
                try:
                    crew.start()
                    while crew.tend():
                        watch()
                        time.sleep(POLL_SECONDS)
                except KeyboardInterrupt:
                    say("stopping: workers save where they are; a second Ctrl-C ends them without")
                    raise
                finally:
                    crew.stop()


def crew_size(workers: int | None, device: str) -> int:
    """How many workers there will be: as asked, or one a GPU (until it is measured), or one a core."""
    gpus = gpus_here() if device != "cpu" else []
    return workers or len(gpus) or len(os.sched_getaffinity(0))


class Crew:
    """The workers of one launcher. All of them get the same pack, and share it."""

    def __init__(
        self,
        suite: Suite,
        runs: Sequence[Run],
        results: Path,
        data: Path,
        search_path: Sequence[str],
        workers: int | None,
        device: str,
        needs: Needs,
    ) -> None:
        self.results = results
        self.runs = list(runs)
        self.folders = [RunFolder(results, run.id) for run in runs]
        self.gpus = gpus_here() if device != "cpu" and needs.gpus != 0 else []
        size = crew_size(workers, device)
        if needs.gpus:
            size = min(size, len(self.gpus) // needs.gpus)
        self.size = min(size, len(self.runs))
        self.each = needs.gpus or 1
        graces = [one.grace for one in suite.trainers if isinstance(one, Command)]
        self.patience = STOP_SECONDS + max(graces, default=0.0)
        name = f"{time.strftime('%Y%m%dT%H%M%S')}-{uuid.uuid4().hex[:6]}"
        self.folder = (results / suite.name / "jobs" / name).absolute()
        pack = Pack(
            results=results.absolute(),
            data=data.absolute(),
            device="cuda" if self.gpus else device,  # a GPU that is lost must not become a CPU in silence
            runs=self.runs,
            search_path=list(search_path),
            git=git_state(Path.cwd()),
            launcher=os.getpid(),
            keep_weights=suite.keep_weights,
            keep_probabilities=suite.keep_probabilities,
            gpus=needs.gpus,
            **of_trainers(suite),
        )
        self.pack = pack.write(self.folder)
        self.worker = Worker(self.pack)
        self.executor = Local()
        self.jobs: list[str] = []
        self.deaths: Counter[str] = Counter()

    @contextlib.contextmanager
    def measured(self, workers: int | None, say: Callable[[str], None]) -> Iterator[None]:
        """Where nobody said how many workers, have as many as each GPU does most with."""
        gpus = len(self.gpus)
        foreign = any(run.trainer is not None for run in self.runs)
        if workers is not None or not gpus or len(self.runs) <= gpus or foreign:
            yield
            return
        say("measuring how many runs to train side by side on a GPU")
        cores = len(os.sched_getaffinity(0)) // gpus
        with side_by_side(self.pack, len(self.runs) // gpus, cores, self.gpus[0], say) as count:
            say(f"{count} side by side on each of {gpus} GPUs")
            self.size = min(count * gpus, len(self.runs))
            yield

    def start(self) -> None:
        """Submit a job for every worker."""
        firsts = range(0, len(self.gpus) - self.each + 1, self.each)
        self.executor.gpus = [tuple(self.gpus[first : first + self.each]) for first in firsts]
        for _ in range(self.size):
            self._submit()

    def _submit(self) -> None:
        request = Request(Profile(), self.pack, self.folder.name, parallel=1)
        self.jobs.append(self.executor.submit(self.folder, [self.worker], request))

    def tend(self) -> bool:
        """Replace workers that died. False once all have ended, with nothing left to train.

        Raises:
            BenchError: a worker cannot go on, for a reason that another one would meet as well.
        """
        for job in self.executor.jobs(self.jobs, 0.0).values():
            if job.alive:
                continue
            self.jobs.remove(job.id)
            if (ended := Ended.read(self.folder, job.id)) is not None:
                if ended.message:
                    raise BenchError(ended.message)
                continue
            check_writable(self.results)
            self._count_death(job)
            if unfinished(self.runs, self.results):
                self._submit()
        return bool(self.jobs)

    def _count_death(self, job: Job) -> None:
        """A worker died, not its run's Python code: killed, out of memory, a crash in a library."""
        begun = [folder for folder in self.folders if _has_attempt(folder, job.id)]
        # The run it died of is the one that it left as it was. There is none if it died between two runs,
        # or if another worker has died of that run meanwhile, and the run has failed.
        victim = next((folder for folder in begun if not (folder.done or folder.failed)), None)
        if begun and victim is None:
            return
        key = victim.run_id if victim else "before any run"
        self.deaths[key] += 1
        if self.deaths[key] < MOST_DEATHS:
            return
        log = log_of(self.folder, job.id)
        if victim is None:
            raise BenchError(
                f"workers died {MOST_DEATHS} times before they trained anything; the end of the log "
                f"{log}:\n{tail(log, 5)}"
            )
        with victim.claim() as mine:
            if mine:
                reason = f"its worker died {MOST_DEATHS} times while training it (killed for its memory?)"
                victim.fail(f"{reason}; log: {log}", tail(log, 5, victim.run_id))

    def stop(self) -> None:
        """Ask the workers that are still there to save and end, and wait until they have.

        A second Ctrl-C ends them without saving.
        """
        try:
            self.executor.cancel(self.jobs)
            deadline = time.monotonic() + self.patience
            while self._any_alive() and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
        finally:
            self.executor.signal(self.jobs, signal.SIGKILL)

    def _any_alive(self) -> bool:
        return any(job.alive for job in self.executor.jobs(self.jobs, 0.0).values())


@contextlib.contextmanager
def _terminated_is_interrupted() -> Iterator[None]:
    """SIGTERM, or a closed terminal, stops the launcher as Ctrl-C does: with every worker's state saved."""
    # Under nohup it is ignored, and None is a handler that is none of Python's, which could not be put back.
    left = (signal.SIG_IGN, None)
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) not in left]
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _has_attempt(folder: RunFolder, job: str) -> bool:
    # Not the last attempt only: another worker may have taken the run up already.
    return any(attempt.get("job") == job for attempt in folder.info().get("attempts", []))
