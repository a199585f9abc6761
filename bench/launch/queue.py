"""What was submitted to a cluster for a suite, what became of it, and why: from disk and from Slurm."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.launch.executors import LAUNCH_FAILED, LOST, Executor, Job
from bench.launch.logs import log_of, tail
from bench.launch.submission import SubmissionFolder, read_all
from bench.results import RunFolder
from bench.suite import Suite


@dataclass
class Look:
    """What has been submitted for a suite, and what became of it."""

    folders: list[SubmissionFolder]
    jobs: dict[str, Job]
    covered: set[str] = field(default_factory=set)
    """Runs that a job which is alive is to train."""
    ended: dict[str, list[tuple[SubmissionFolder, Job]]] = field(default_factory=lambda: defaultdict(list))
    """For each run, the jobs that had it and have ended, oldest first."""

    @property
    def alive(self) -> list[Job]:
        """Jobs that run, wait, or may do so."""
        return [job for job in self.jobs.values() if job.alive]

    @property
    def training(self) -> list[str]:
        """Slurm's numbers of the arrays that have a job which is alive, and trains."""
        folders = [folder.content for folder in self.folders if folder.content.continuation is None]
        return [made.job for made in folders if made.job and any(self.jobs[name].alive for name in made.ids)]

    @property
    def to_be_continued(self) -> bool:
        """Whether a job waits that will add seeds. One that runs may have looked already."""
        folders = [folder.content for folder in self.folders if folder.content.continuation is not None]
        return any(self.jobs[name].state == "PENDING" for made in folders for name in made.ids)

    @property
    def bad_nodes(self) -> tuple[str, ...]:
        """Nodes that failed twice under jobs of this suite."""
        failures = Counter(node for job in self.jobs.values() for node in job.failed_nodes)
        return tuple(sorted(node for node, count in failures.items() if count > 1))


def look(jobs: Path, executor: Executor) -> Look:
    """Ask about every job that was ever submitted for a suite."""
    folders = read_all(jobs)
    ids = [name for folder in folders for name in folder.content.ids]
    states = executor.jobs(ids, min((folder.content.created for folder in folders), default=0.0))
    found = Look(folders, states)
    for folder in folders:
        if folder.content.job is None and not folder.content.void:
            found.covered.update(run for runs in folder.content.runs for run in runs)
        for runs, name in zip(folder.content.runs, folder.content.ids, strict=False):
            if name in folder.content.given_up:
                states[name] = replace(states[name], state=folder.content.given_up[name])
            if states[name].alive:
                found.covered.update(runs)
            else:
                for run in runs:
                    found.ended[run].append((folder, states[name]))
    return found


def explain(folder: SubmissionFolder, job: Job) -> str:
    """Why a job ended as it did, in words."""
    where = f"job {job.id}" + (f" on {job.node}" if job.node else "")
    words = {
        "OUT_OF_MEMORY": "was killed because it ran out of memory",
        "TIMEOUT": "was ended by its time limit",
        "NODE_FAIL": "ended because its node failed",
        "PREEMPTED": "was preempted and not queued again",
        "CANCELLED": "was cancelled by a person",
        LOST: "is gone: Slurm's books have it running, but its controller does not know it",
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
    return f"{where} ended with exit code {job.exit_code}: {last_line(log)}; log: {log}"


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
    asked = {run.id for run in suite.runs()}
    seen = look(results / suite.name / "jobs", executor)
    ids, left = [], 0
    for folder in seen.folders:
        for runs, name in zip(folder.content.runs, folder.content.ids, strict=False):
            wanted = folder.content.continuation is not None or not asked.isdisjoint(runs)
            if seen.jobs[name].alive and not (only_unasked and wanted):
                ids.append(name)
                left += sum(not RunFolder(results, run).done for run in runs)
    return ids, left
