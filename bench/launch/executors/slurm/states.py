"""The states of jobs, from squeue (alive or remembered) and sacct (ended).

A query that fails or is silent says nothing about a job: its state is then ``UNKNOWN``, and counts as alive.
So is that of a job that the controller no longer has, and accounting does not have yet. Clusters without
accounting are asked for what their controller remembers, some minutes long.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from bench.launch.executors import ENDED, QUICK, UNKNOWN, Job, Trouble
from bench.launch.executors.slurm.commands import ask, keeps_books, option_of


def states_of(cluster: str, numbers: Sequence[str], since: float) -> dict[str, Job]:
    """The jobs of one cluster, by their numbers there."""
    queue: dict[str, Job] | None = None
    records: dict[str, Job] | None = None
    with contextlib.suppress(Trouble):
        queue = _queued(cluster, {*numbers})
    try:
        records = _accounted(cluster, sorted({number.partition("_")[0] for number in numbers}), since)
    except Trouble:
        with contextlib.suppress(Trouble):
            records = None if keeps_books(cluster) else {}
    jobs = {}
    for number in numbers:
        job = (records or {}).get(number, Job(number, UNKNOWN))
        if queue is not None and number in queue:
            now = queue[number]
            if now.alive or job.alive:  # accounting lags behind, or there is none
                latest = now if job.state == UNKNOWN else job
                job = replace(
                    now,
                    seconds=latest.seconds,
                    waited=latest.waited,
                    fleeting=not now.alive,
                    failed_nodes=(*job.failed_nodes, *now.failed_nodes),
                )
        elif job.alive:
            # Neither in the queue nor known to have ended: accounting lags behind, or does not answer.
            silent = queue is None or records is None
            job = replace(job, state=UNKNOWN, missing=not silent)
        jobs[number] = job
    return jobs


def _queued(cluster: str, numbers: set[str]) -> dict[str, Job]:
    """The jobs that the controller has, also ended ones that it still remembers."""
    fields = "--format=%i|%T|%r|%N|%V|%S|%e"
    options = [*option_of(cluster), "--me", "--all", "--noheader", "--array", "--states=all"]
    rows = ask("squeue", *options, fields).splitlines()
    queue = {}
    for row in rows:
        name, _, rest = row.partition("|")
        if name in numbers:
            state, reason, node, submitted, started, ended = rest.split("|")
            reason = "" if reason == "None" else reason
            # Of what is alive it says when it may start, and when it must end.
            started = "" if state == "PENDING" else started
            job = _job(name, state, node, submitted, started, ended if state in ENDED else "")
            queue[name] = replace(job, reason=reason, held_back=_is_held_back(state, reason))
    return queue


def _job(name: str, state: str, node: str, submitted: str, started: str, ended: str) -> Job:
    """One start of a job."""
    start, end, submit = _time(started), _time(ended), _time(submitted)
    ran = max((end or datetime.now().timestamp()) - start, 0.0) if start else 0.0
    quick = state == "FAILED" and ran < QUICK
    return Job(
        name,
        state,
        node="" if node.startswith("None") else node,
        ended=end,
        seconds=ran,
        waited=max(start - submit, 0.0) if start and submit else 0.0,
        failed_nodes=(node,) if node and (state == "NODE_FAIL" or quick) else (),
    )


_FIELDS = "JobID,State,ExitCode,NodeList,Submit,Start,End"


def _accounted(cluster: str, arrays: Sequence[str], since: float) -> dict[str, Job]:
    """All starts of each job (requeued jobs have several), folded into one."""
    begin = datetime.fromtimestamp(since - 60).strftime("%Y-%m-%dT%H:%M:%S")
    text = ask(
        "sacct", *option_of(cluster), "--allocations", "--duplicates", "--noheader", "--parsable2",
        f"--starttime={begin}", f"--jobs={','.join(arrays)}", f"--format={_FIELDS}",
    )  # fmt: skip
    jobs: dict[str, Job] = {}
    for row in text.splitlines():
        names, words, code, node, submitted, started, ended = row.split("|")
        for name in _each(names):
            # "CANCELLED by 1000"
            job = _job(name, words.split()[0], node, submitted, started, ended)
            before = jobs.get(name, Job(name, UNKNOWN))
            jobs[name] = replace(
                job,
                exit_code=code,
                seconds=job.seconds + before.seconds,
                waited=job.waited + before.waited,
                failed_nodes=(*before.failed_nodes, *job.failed_nodes),
            )
    return jobs


def _each(names: str) -> Iterator[str]:
    """The jobs of a row of sacct: tasks of an array that never started share one, ``123_[0-3,7%2]``."""
    array, bracket, rest = names.partition("_[")
    if not bracket:
        yield names
        return
    for part in re.split(r"[%\]]", rest)[0].split(","):
        first, _, last = part.partition("-")
        if first.isdigit():  # of long lists sacct shows the beginning: 0-3,7,...
            yield from (f"{array}_{k}" for k in range(int(first), int(last or first) + 1))


def _time(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:  # Unknown, None
        return None


def number_by_name(name: str, since: float, cluster: str | None) -> str | None:
    """The number of the job (or array) with this unique name; None where there is none.

    Raises:
        Trouble: Slurm does not answer, so nobody can tell.
    """
    queue = ["squeue", *option_of(cluster), "--me", "--all", "--noheader", "--states=all"]
    numbers = re.findall(r"^\d+$", ask(*queue, f"--name={name}", "--format=%F"), re.MULTILINE)
    if not numbers and keeps_books(cluster):
        begin = datetime.fromtimestamp(since - 60).strftime("%Y-%m-%dT%H:%M:%S")
        rows = ask(
            "sacct", *option_of(cluster), "--allocations", "--noheader", "--parsable2",
            f"--starttime={begin}", f"--name={name}", "--format=JobID",
        )  # fmt: skip
        numbers = [row.partition("_")[0] for row in rows.split()]
    return numbers[0] if numbers else None


def _is_held_back(state: str, reason: str) -> bool:
    # With underscores in later versions.
    return state == "PENDING" and "launch failed" in reason.replace("_", " ")
