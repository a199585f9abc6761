"""The logs of jobs: on this machine and on a cluster, submitit names them alike."""

from __future__ import annotations

import contextlib
import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path

from bench.disk import read
from bench.errors import BenchError
from bench.launch.executors import number_of
from bench.results.folder import RunFolder
from bench.runs import complete
from bench.sequential_design import as_known
from bench.suite import Suite


def log_of(folder: Path, job: str, task: int = 0) -> Path:
    """Where a process of a job writes its log."""
    from submitit.core.utils import JobPaths

    return Path(JobPaths(folder, number_of(job), task).stderr)


def end_of_log(suite: Suite, results: Path, run: str = "", lines: int = 30) -> tuple[Path, str]:
    """A file, and its last lines: all of them those of one run, if one is named.

    Of a run that failed, the file is ``failure.json``: a reason, and the last lines of the trace.

    Raises:
        BenchError: as :func:`find_log` does.
    """
    if not run:
        path = find_log(suite, results)
        return path, tail(path, lines)
    run = _complete(suite, results, run)
    folder = RunFolder(results, run)
    failure = folder.failure() if folder.failed else None
    if failure is not None:
        return folder.path / "failure.json", "\n".join([failure.reason, *failure.trace.splitlines()[-lines:]])
    path = find_log(suite, results, run)
    return path, tail(path, lines, run)


def _complete(suite: Suite, results: Path, run: str) -> str:
    runs = as_known(suite, results).runs()
    return complete(run, [planned.id for planned in runs], "the suite has no such run")


def find_log(suite: Suite, results: Path, run: str = "") -> Path:
    """The log of the job that trained a run last; without one, the log that was written to last.

    Args:
        run: id of a run of the suite, or how it begins.

    Raises:
        BenchError: no such run, or it was never begun; no job has written anything.
    """
    jobs = results / suite.name / "jobs"
    if not run:
        logs = sorted(filter(os.path.exists, jobs.glob("*/*_log.err")), key=os.path.getmtime)
        if not logs:
            raise BenchError(f"{jobs}: no job of this suite has written a log yet")
        return logs[-1]
    run_id = _complete(suite, results, run)
    attempts = RunFolder(results, run_id).info().get("attempts", [])
    for attempt in reversed(attempts):
        # The processes of a job have a log each. Numbers come again, here at least: the newest folder first.
        job = glob.escape(number_of(str(attempt.get("job"))))
        for path in sorted(jobs.glob(f"*/{job}_*_log.err"), reverse=True):
            if f"run {run_id} " in _text(path):
                return path
    raise BenchError(f"run {run_id}: " + ("its log is gone" if attempts else "no job has begun it yet"))


def logs_of_runs(suite: Suite, results: Path) -> dict[tuple[str, str], Path]:
    """The log of each (number of a job, run): one look at every log, where :func:`find_log` seeks one run."""
    logs: dict[tuple[str, str], Path] = {}
    for path in sorted((results / suite.name / "jobs").glob("*/*_log.err")):
        job = path.name.removesuffix("_log.err").rpartition("_")[0]
        for run in re.findall(r"run ([0-9a-f]{16}) ", _text(path)):
            logs[job, run] = path
    return logs


def _text(path: Path) -> str:
    """The content of a log; empty where it cannot be read."""
    with contextlib.suppress(OSError):
        return read(str(path)).decode(errors="replace")
    return ""


def tail(path: Path, lines: int, run: str = "") -> str:
    """The last lines of a file; with a run, of what a job's log says of it."""
    try:
        text = read(str(path)).decode(errors="replace").splitlines()
    except OSError as error:
        return f"({path} cannot be read: {error.strerror})"
    return "\n".join((_about(run, text) if run else text)[-lines:])


def _about(run: str, log: Iterable[str]) -> list[str]:
    """The lines of a log about a run: each note of it, and all that follows until a note of another."""
    about, noted = [], ""
    for line in log:
        if note := re.match(r"\d\d:\d\d:\d\d run ([0-9a-f]{16}) ", line):
            noted = note[1]
        if noted == run:
            about.append(line)
    return about
