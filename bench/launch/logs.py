"""What jobs wrote: on this machine and on a cluster, submitit names their logs alike."""

from __future__ import annotations

import re
from pathlib import Path

from bench.errors import BenchError
from bench.results import RunFolder
from bench.run import complete
from bench.suite import Suite


def find_log(suite: Suite, results: Path, run: str = "") -> Path:
    """The log of the job that trained a run last; without one, the log that was written to last.

    Args:
        run: id of a run of the suite, or how it begins.

    Raises:
        BenchError: no such run, or it was never begun; no job has written anything.
    """
    jobs = results / suite.name / "jobs"
    if not run:
        logs = sorted(jobs.glob("*/*_log.err"), key=lambda path: path.stat().st_mtime)
        if not logs:
            raise BenchError(f"{jobs}: no job of this suite has written a log yet")
        return logs[-1]
    run_id = complete(run, [planned.id for planned in suite.runs()], "the suite has no such run")
    attempts = RunFolder(results, run_id).info().get("attempts", [])
    for attempt in reversed(attempts):
        # The processes of a job have a log each.
        for path in sorted(jobs.glob(f"*/{attempt.get('job')}_*_log.err")):
            if f"run {run_id} " in path.read_text(errors="replace"):
                return path
    raise BenchError(f"run {run_id}: " + ("its log is gone" if attempts else "no job has begun it yet"))


def logs_of_runs(suite: Suite, results: Path) -> dict[tuple[str, str], Path]:
    """The log of each (job, run) of a suite: one look at every log, where :func:`find_log` seeks one run."""
    found: dict[tuple[str, str], Path] = {}
    for path in sorted((results / suite.name / "jobs").glob("*/*_log.err")):
        job = path.name.removesuffix("_log.err").rpartition("_")[0]
        for run in re.findall(r"run ([0-9a-f]{16}) ", path.read_text(errors="replace")):
            found.setdefault((job, run), path)
    return found


def tail(path: Path, lines: int) -> str:
    """The last lines of a file."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"({path} cannot be read: {error.strerror})"
