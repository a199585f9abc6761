"""How a suite stands: from its run folders, and from what Slurm says of its jobs. Looking changes nothing."""

from __future__ import annotations

import contextlib
import statistics
from collections import Counter
from pathlib import Path

from pydantic import BaseModel

from bench.disk import Damaged
from bench.launch.executors import Executor, Job
from bench.launch.executors.slurm import Slurm
from bench.launch.logs import log_of
from bench.launch.preflight import unfinished
from bench.launch.queue import explain, look
from bench.launch.submission import SubmissionFolder
from bench.progress import watched
from bench.results.folder import RunFolder
from bench.results.reading import sighting
from bench.results.schema import Result
from bench.runs import Run
from bench.same_data import in_words
from bench.suite import Suite
from bench.tuning.changed import kept
from bench.versions.counting import changes

SLURM = Slurm()
STATES = ("done", "running", "waiting", "failed", "damaged")


class Counts(BaseModel):
    """How many runs are in each state."""

    planned: int = 0
    done: int = 0
    running: int = 0
    waiting: int = 0
    failed: int = 0
    damaged: int = 0
    """A result that cannot be believed: the next `bench run` sets it aside and trains it again."""


class CellStatus(Counts):
    """The runs of one cell."""

    dataset: str
    model: str
    loss: str


class Problem(BaseModel):
    """A run that failed or whose result is damaged, and why."""

    run_id: str
    dataset: str
    model: str
    loss: str
    seed: int
    state: str
    reason: str


class JobStatus(BaseModel):
    """A job of a cluster that has not done all of its runs."""

    id: str
    state: str
    """As Slurm calls it; UNKNOWN where Slurm does not answer."""
    done: int
    """Runs of its pack that are done or failed."""
    runs: int
    node: str
    why: str
    """Why it waits, or why it ended."""
    log: str


class Usage(BaseModel):
    """What a suite has cost on a cluster, over all starts of all its jobs that train."""

    jobs: int
    hours: float
    """Of jobs."""
    gpu_hours: float
    waiting: float
    """Share of the jobs' time that was spent in the queue."""
    efficiency: float | None
    """Share of the jobs' hours that trained what is finished; the rest is starting up and lost work. None:
    nothing to go by, or runs share GPUs."""


class Status(BaseModel):
    """What ``bench status --json`` prints."""

    suite: str
    question: str
    results: str
    runs: Counts
    cells: list[CellStatus]
    """Of a tuned suite, the winners: they wait until the trials of their search have ended."""
    searches: list[CellStatus] = []
    """Of a tuned suite, the trials of each cell."""
    problems: list[Problem]
    remarks: list[str] = []
    """What a person should know of finished runs: which do not count, and why."""
    jobs: list[JobStatus] = []
    """Jobs that wait or run, and the last ones of runs that are waiting for a new one."""
    queue: dict[str, int] = {}
    """How many of all the suite's jobs are in each of Slurm's states."""
    usage: Usage | None = None
    """None: nothing was submitted to a cluster."""
    seconds_left: float | None = None
    """Until the suite is done, at the pace of its running jobs; None: nothing to go by."""


def state_of(run: Run, results: Path) -> tuple[str, str, Result | None]:
    """The state of a run; the reason where it is ``failed`` or ``damaged``; the result where it is done."""
    folder = RunFolder(results, run.id)
    try:
        if (result := folder.result()) is not None:
            return "done", "", result
    except Damaged as damage:
        return "damaged", str(damage), None
    if (failure := folder.failure()) is not None:
        return "failed", failure.reason, None
    return ("running" if folder.claimed else "waiting"), "", None


def status(suite: Suite, results: Path, executor: Executor = SLURM) -> Status:
    """Look at every run folder of a suite, and ask the executor about its jobs, if there were any."""
    every = suite.every_cell
    counts = [Counter(planned=len(cell.seeds), waiting=len(cell.seeds) - len(cell.runs)) for cell in every]
    problems, sightings = [], []
    planned = [(number, run) for number, cell in enumerate(every) for run in cell.runs]
    for number, run in watched(planned, "looking at runs"):
        cell = every[number]
        state, reason, result = state_of(run, results)
        if result is not None:
            sightings.append(sighting(cell, run, result))
        counts[number][state] += 1
        if reason:
            names = {"dataset": cell.dataset, "model": cell.model, "loss": cell.loss}
            problems.append(Problem(run_id=run.id, seed=run.seed, state=state, reason=reason, **names))
    pairs = zip(every, counts, strict=True)
    rows = [CellStatus(dataset=c.dataset, model=c.model, loss=c.loss, **count) for c, count in pairs]
    total = {name: sum(getattr(row, name) for row in rows) for name in Counts.model_fields}
    answer = Status(
        suite=suite.name,
        question=suite.question,
        results=str(results),
        runs=Counts(**total),
        cells=rows[len(suite.searches) :],
        searches=rows[: len(suite.searches)],
        problems=problems,
        remarks=[*changes(suite, results), *kept(suite, results), *in_words(sightings)],
    )
    _add_jobs(answer, suite, results, executor)
    return answer


def _add_jobs(status: Status, suite: Suite, results: Path, executor: Executor) -> None:
    """What Slurm says, where anything was ever submitted to it."""
    current = look(results / suite.name / "jobs", executor)
    status.remarks += current.damage
    if not current.jobs:
        return
    missing = {run.id for run in unfinished(suite.runs(), results)}
    finished = {run.id for run in suite.runs()} - missing
    pending = missing - current.covered
    for folder in current.folders:
        for runs, name in zip(folder.content.runs, folder.content.ids, strict=False):
            job = current.jobs[name]
            gave_up = bool(missing) and folder is current.folders[-1] and _gave_up(folder, job)
            last = any(current.ended[run][-1][1].id == name for run in runs if run in pending)
            if not (job.alive or last or gave_up):
                continue
            status.jobs.append(
                JobStatus(
                    id=name,
                    state=job.state,
                    done=sum(run in finished for run in runs),
                    runs=len(runs),
                    node=job.node,
                    why=_why(folder, job, tuned=suite.tune is not None),
                    log=str(log_of(folder.path, name)),
                )
            )
    status.queue = dict(Counter(job.state for job in current.jobs.values()))
    # A job that adds seeds waits for the others by design, and trains nothing.
    training = [folder.content for folder in current.folders if folder.content.continuation is None]
    jobs = [(submission, current.jobs[name]) for submission in training for name in submission.ids]
    seconds = sum(job.seconds for _, job in jobs)
    waited = sum(job.waited for _, job in jobs)
    # Runs that share a GPU, however many do, take longer each: what they add up to is then not known.
    tasks_known = all(submission.tasks is not None for submission in training)
    trainers = sum((submission.tasks or 0) * job.seconds for submission, job in jobs)
    submitted = {run for folder in current.folders for runs in folder.content.runs for run in runs}
    trained = [_seconds(results, run) for run in finished & submitted]
    status.usage = Usage(
        jobs=len(jobs),
        hours=seconds / 3600,
        gpu_hours=sum(submission.gpus * job.seconds for submission, job in jobs) / 3600,
        waiting=waited / (waited + seconds) if waited + seconds else 0.0,
        efficiency=min(sum(trained) / trainers, 1.0) if trainers and tasks_known else None,
    )
    running = sum(submission.tasks or 1 for submission, job in jobs if job.state == "RUNNING")
    timed = [value for value in trained if value]
    if running and timed and tasks_known:
        left = status.runs.waiting + status.runs.running
        status.seconds_left = left * statistics.fmean(timed) / running


def _gave_up(folder: SubmissionFolder, job: Job) -> bool:
    """Whether this is a job that was to add seeds, and could not."""
    if folder.content.continuation is None or job.alive:
        return False
    return job.state != "COMPLETED" or folder.message(job.id) is not None


def _why(folder: SubmissionFolder, job: Job, *, tuned: bool) -> str:
    if folder.content.continuation is not None and job.alive:
        subject = "the winners of the searches" if tuned else "seeds, where comparisons are still open"
        return f"adds {subject}, when the jobs before it have ended"
    return job.reason if job.alive else explain(folder, job)


def _seconds(results: Path, run: str) -> float:
    with contextlib.suppress(Damaged):
        result = RunFolder(results, run).result()
        if result is not None:
            return result.seconds
    return 0.0
