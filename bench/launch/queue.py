"""The state of all jobs ever submitted for a suite, and why they ended: from disk and from Slurm."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.launch.ended import Ended
from bench.launch.executors import LAUNCH_FAILED, LOST, QUICK, UNKNOWN, Executor, Job, cluster_of
from bench.launch.lock import only_launcher
from bench.launch.logs import log_of, tail
from bench.launch.submission import SubmissionFolder, read_all
from bench.results.folder import RunFolder
from bench.sequential_design import as_known
from bench.suite import Suite

NOTE_SECONDS = 10.0  # that another launcher is waited for, to note what was cancelled


@dataclass
class Look:
    """All submissions of a suite, and the states of their jobs."""

    folders: list[SubmissionFolder]
    jobs: dict[str, Job]
    covered: set[str] = field(default_factory=set)
    """Runs that a job which is alive is to train."""
    ended: dict[str, list[tuple[SubmissionFolder, Job]]] = field(default_factory=lambda: defaultdict(list))
    """For each run, the jobs that had it and have ended, oldest first."""
    unable: list[Job] = field(default_factory=list)
    """Jobs that said within seconds that they could not do their work."""

    @property
    def damage(self) -> list[str]:
        """What is wrong with files of submissions, in words."""
        return [folder.damage for folder in self.folders if folder.damage]

    @property
    def alive(self) -> list[Job]:
        """Jobs that run, wait, or may do so."""
        return [job for job in self.jobs.values() if job.alive]

    @property
    def training(self) -> list[str]:
        """Slurm's numbers of the arrays that have a job which is alive, and trains."""
        folders = [folder.content for folder in self.folders if folder.content.continuation is None]
        return [one.job for one in folders if one.job and any(self.jobs[name].alive for name in one.ids)]

    @property
    def to_be_continued(self) -> bool:
        """Whether a job waits that will add seeds. One that runs may have looked already."""
        folders = [folder.content for folder in self.folders if folder.content.continuation is not None]
        return any(self.jobs[name].state == "PENDING" for submission in folders for name in submission.ids)

    def bad_nodes(self, cluster: str | None) -> tuple[str, ...]:
        """Nodes of a cluster that failed twice under jobs of this suite, or on which two failed in seconds.

        Another cluster may have a node of that name, or none: then it refuses jobs that are kept off it.
        """
        jobs = [job for job in self.jobs.values() if cluster_of(job.id) == cluster]
        failures = Counter(node for job in jobs for node in job.failed_nodes)
        failures.update(job.node for job in self.unable if cluster_of(job.id) == cluster)
        return tuple(sorted(node for node, count in failures.items() if count > 1))


def look(jobs: Path, executor: Executor) -> Look:
    """Ask about every job that was ever submitted for a suite."""
    folders = read_all(jobs)
    ids = [name for folder in folders for name in folder.content.ids]
    states = executor.jobs(ids, min((folder.content.created for folder in folders), default=0.0))
    result = Look(folders, states)
    for folder in folders:
        if folder.content.job is None and not folder.content.void:
            result.covered.update(run for runs in folder.content.runs for run in runs)
        for runs, name in zip(folder.content.runs, folder.content.ids, strict=False):
            if name in folder.content.given_up:
                states[name] = replace(states[name], state=folder.content.given_up[name])
            elif states[name].state == UNKNOWN:
                states[name] = _as_noted(folder, states[name])
            if states[name].alive:
                result.covered.update(runs)
            else:
                for run in runs:
                    result.ended[run].append((folder, states[name]))
                if _unable(folder, states[name]):
                    result.unable.append(states[name])
    return result


def _as_noted(folder: SubmissionFolder, job: Job) -> Job:
    """How a job ended that the executor says nothing of: as was seen in time, or as it said itself."""
    if job.id in folder.content.ends:
        return folder.content.ends[job.id]
    mark = Ended.read(folder.path, job.id) if job.missing else None
    return job if mark is None else replace(job, state="COMPLETED", ended=mark.time, missing=False)


def _unable(folder: SubmissionFolder, job: Job) -> bool:
    quick = job.state == "COMPLETED" and job.node and 0 < job.seconds < QUICK
    return bool(quick and folder.message(job.id))


def note_ends(current: Look) -> None:
    """Keep on disk what the executor may forget. The caller holds the suite's lock."""
    for folder in current.folders:
        noted = folder.content.ends.keys() | folder.content.given_up.keys()
        ends = {name: current.jobs[name] for name in folder.content.ids if name not in noted}
        ends = {name: job for name, job in ends.items() if job.fleeting and not job.alive}
        if ends:
            folder.content.ends |= ends
            folder.write()


def explain(folder: SubmissionFolder, job: Job) -> str:
    """Why a job ended as it did, in words."""
    where = f"job {job.id}" + (f" on {job.node}" if job.node else "")
    words = {
        "OUT_OF_MEMORY": "was killed because it ran out of memory",
        "TIMEOUT": "was ended by its time limit",
        "NODE_FAIL": "ended because its node failed",
        "PREEMPTED": "was preempted and not queued again",
        "CANCELLED": "was cancelled by a person",
        LOST: "is gone: its controller does not know it, and nothing says how it ended",
        LAUNCH_FAILED: "could not be started by its node",
        "BOOT_FAIL": "never started: its node did not boot",
        "DEADLINE": "never started: its deadline passed",
    }
    if job.state in words:
        return f"{where} {words[job.state]}"
    log = log_of(folder.path, job.id)
    if message := folder.message(job.id):
        return f"{where} could not do its work: {message}"
    if job.state == "COMPLETED":
        return f"{where} ended before it was through with its runs; log: {log}"
    if not log.exists():
        return f"{where} never started: it could not write its log; does that node see {folder.path}?"
    code = f" with exit code {job.exit_code}" if job.exit_code else ""
    return f"{where} ended{code}: {last_line(log)}; log: {log}"


def last_line(path: Path) -> str:
    """The last line of a log that holds anything."""
    lines = [line.strip() for line in tail(path, 50).splitlines() if line.strip()]
    return lines[-1][:300] if lines else "its log is empty"


def to_cancel(
    suite: Suite, results: Path, executor: Executor, *, only_unasked: bool
) -> tuple[list[str], int]:
    """Jobs of a suite that are alive, and how many runs they have left.

    Args:
        only_unasked: leave out the jobs that hold any run which the suite, as it reads now, asks for.
    """
    asked = {run.id for run in as_known(suite, results).runs()}
    current = look(results / suite.name / "jobs", executor)
    ids, left = [], 0
    for folder in current.folders:
        for runs, name in zip(folder.content.runs, folder.content.ids, strict=False):
            is_asked = folder.content.continuation is not None or not asked.isdisjoint(runs)
            if current.jobs[name].alive and not (only_unasked and is_asked):
                ids.append(name)
                left += sum(not RunFolder(results, run).done for run in runs)
    return ids, left


def cancel(suite: Suite, results: Path, executor: Executor, ids: Sequence[str]) -> None:
    """Cancel jobs, and note so of those that wait: an executor may keep nothing of them.

    Raises:
        Trouble: the executor failed.
    """
    jobs = results / suite.name / "jobs"
    states = look(jobs, executor).jobs
    executor.cancel(ids)
    waiting = {name: states[name] for name in ids if states[name].state == "PENDING"}
    ends = {name: replace(job, state="CANCELLED", ended=time.time()) for name, job in waiting.items()}
    deadline = time.monotonic() + NOTE_SECONDS

    def give_up() -> None:
        if time.monotonic() > deadline:
            raise TimeoutError

    # Who trains here as well holds the lock until the end.
    with contextlib.suppress(TimeoutError), only_launcher(jobs.parent, give_up, lambda words: None):
        for folder in read_all(jobs):
            if ended := {name: ends[name] for name in folder.content.ids if name in ends}:
                folder.content.ends |= ended
                folder.write()
