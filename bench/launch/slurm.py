"""What bench asks of Slurm, through Slurm's own commands. Nothing here is cached, nothing runs on.

A query that fails or is silent says nothing about a job: its state is then ``UNKNOWN``, and counts as alive.
"""

from __future__ import annotations

import contextlib
import getpass
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from bench.errors import BenchError, nearest
from bench.launch.profile import Profile

TIMEOUT = 20.0  # seconds that one of Slurm's commands may take
LOST = "LOST"  # not Slurm's word: its controller no longer knows the job
LAUNCH_FAILED = "LAUNCH_FAILED"  # nor this: Slurm holds the job back because a node could not start it
ENDED = {
    LOST, LAUNCH_FAILED, "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL",
    "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT",
}  # fmt: skip
UNKNOWN = "UNKNOWN"


class SlurmTrouble(BenchError):
    """One of Slurm's commands failed or did not answer."""


@dataclass(frozen=True)
class Job:
    """What Slurm says of one job (one task of an array)."""

    id: str
    state: str
    """As sacct calls it; ``UNKNOWN`` where Slurm does not answer."""
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
    """Nodes that failed under it."""
    contradictory: bool = False
    """The controller answers and does not have it, accounting answers and has no end of it: accounting lags
    behind, or the controller has lost the job."""

    @property
    def held_by_slurm(self) -> bool:
        """Whether a node could not start it, so that it waits until somebody releases or cancels it."""
        # With underscores in later versions.
        return self.state == "PENDING" and "launch failed" in self.reason.replace("_", " ")

    @property
    def alive(self) -> bool:
        """Whether it runs, waits or may do so: everything but a certain end."""
        return self.state not in ENDED


def require() -> None:
    """Raise BenchError where there is no Slurm."""
    missing = [name for name in ("sbatch", "srun", "squeue", "scontrol") if shutil.which(name) is None]
    if missing:
        raise BenchError(
            f"there is no Slurm on this machine ({', '.join(missing)} not found); log in to the cluster, "
            "or leave out --on to train here. slurm/local-cluster/ starts a real one on one machine"
        )


def ask(*command: str, timeout: float = TIMEOUT) -> str:
    """Run one of Slurm's commands and return what it prints.

    Raises:
        SlurmTrouble: it failed, or did not answer in time.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        raise SlurmTrouble(f"{command[0]} did not answer within {timeout:g} s") from None
    except OSError as error:
        raise SlurmTrouble(f"{command[0]}: {error.strerror}") from None
    if done.returncode != 0:
        raise SlurmTrouble(f"{command[0]}: {one_line(done.stderr or done.stdout)}")
    return done.stdout


# ------------------------------------------------------------------------------------------ the cluster


@dataclass(frozen=True)
class Limits:
    """What one user may put into the queue."""

    array: int
    """Tasks of one array."""
    queued: int | None
    """Jobs queued or running at once; None: no limit."""


def limits(profile: Profile) -> Limits:
    """``MaxArraySize`` of the cluster, and the submit limits of the user's associations."""
    config = ask("scontrol", "show", "config")
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", config, re.MULTILINE)
    array = int(found.group(1)) if found else 1001  # Slurm's default; indices 0 to one less
    queued: list[int] = []
    with contextlib.suppress(SlurmTrouble):  # a cluster without accounting has no such limits
        words = ["sacctmgr", "--noheader", "--parsable2", "show", "assoc", f"user={getpass.getuser()}"]
        if profile.account:
            words.append(f"account={profile.account}")
        rows = ask(*words, "format=MaxSubmitJobs,GrpSubmitJobs").split()
        if profile.qos:
            question = ["show", "qos", f"name={profile.qos}", "format=MaxSubmitJobsPerUser,GrpSubmitJobs"]
            rows += ask("sacctmgr", "--noheader", "--parsable2", *question).split()
        queued = [int(number) for row in rows for number in row.split("|") if number.isdigit()]
    return Limits(array, min(queued, default=None))


def check_profile(profile: Profile, parameters: Mapping[str, object], where: Path) -> None:
    """Ask Slurm whether it would take such a job, without submitting one.

    Raises:
        BenchError: it would not, with the nearest name where one is misspelt.
    """
    options = [
        f"--{name.replace('_', '-')}={parameters[name]}"
        for name in ("partition", "account", "qos", "constraint", "time", "mem", "nodes", "exclude",
                     "ntasks_per_node", "cpus_per_task")
        if name in parameters
    ]  # fmt: skip
    extra = parameters.get("additional_parameters", {})
    assert isinstance(extra, Mapping)
    options += [f"--{key}" if value is True else f"--{key}={value}" for key, value in extra.items()]
    try:
        ask("sbatch", "--test-only", *options, "--wrap=true")
    except SlurmTrouble as trouble:
        raise BenchError(f"{where}: Slurm refuses such a job: {trouble}{_hint(profile)}") from None


def _hint(profile: Profile) -> str:
    """Which of a profile's names Slurm does not have, and what it has instead."""
    user = getpass.getuser()
    account = ["sacctmgr", "--noheader", "--parsable2"]
    questions = {
        "partition": ["sinfo", "--noheader", "--format=%R"],
        "account": [*account, "show", "assoc", f"user={user}", "format=account"],
        "qos": [*account, "show", "qos", "format=name"],
    }
    hints = ""
    for field, command in questions.items():
        found = getattr(profile, field)
        with contextlib.suppress(SlurmTrouble):
            names = sorted(set(ask(*command).split()))
            if found is not None and not set(found.split(",")) <= set(names):
                hints += f"; {field}: found '{found}', allowed: {', '.join(names)}{nearest(found, names)}"
    return hints


# --------------------------------------------------------------------------------------------- the jobs


def jobs(ids: Sequence[str], since: float) -> dict[str, Job]:
    """The states of jobs: one squeue for what is alive, one sacct for what has ended.

    Args:
        ids: ``123`` or ``123_4``.
        since: Unix time before which none of them was submitted.
    """
    if not ids:
        return {}
    queue: dict[str, tuple[str, str, str]] | None = None
    records: dict[str, Job] | None = None
    with contextlib.suppress(SlurmTrouble):
        queue = _queued(set(ids))
    with contextlib.suppress(SlurmTrouble):
        records = _accounted(sorted({name.partition("_")[0] for name in ids}), since)
    found = {}
    for name in ids:
        job = (records or {}).get(name, Job(name, UNKNOWN))
        if queue is not None and name in queue:
            state, reason, node = queue[name]
            job = replace(job, state=state, reason=reason, node=node)
        elif queue is not None and records is not None and name not in records:
            # Both answer, and neither has it: Slurm's books leave out what was cancelled before it started.
            job = Job(name, "CANCELLED")
        elif job.alive:
            # Neither in the queue nor known to have ended: accounting lags behind, or does not answer.
            silent = queue is None or records is None
            job = replace(job, state=UNKNOWN, contradictory=not silent)
        found[name] = job
    return found


def _queued(wanted: set[str]) -> dict[str, tuple[str, str, str]]:
    rows = ask("squeue", "--me", "--noheader", "--array", "--format=%i|%T|%r|%N").splitlines()
    queue = {}
    for row in rows:
        name, state, reason, node = row.split("|", 3)
        if name in wanted:
            queue[name] = (state, "" if reason == "None" else reason, node)
    return queue


_FIELDS = "JobID,State,ExitCode,NodeList,Submit,Start,End"


def _accounted(arrays: Sequence[str], since: float) -> dict[str, Job]:
    """All starts of each job (requeued jobs have several), folded into one."""
    begin = datetime.fromtimestamp(since - 60).strftime("%Y-%m-%dT%H:%M:%S")
    text = ask(
        "sacct", "--allocations", "--duplicates", "--noheader", "--parsable2", f"--starttime={begin}",
        f"--jobs={','.join(arrays)}", f"--format={_FIELDS}",
    )  # fmt: skip
    found: dict[str, Job] = {}
    for row in text.splitlines():
        name, said, code, node, submitted, started, ended = row.split("|")
        state = said.split()[0]  # CANCELLED by 1000
        start, end, submit = _time(started), _time(ended), _time(submitted)
        ran = max((end or datetime.now().timestamp()) - start, 0.0) if start else 0.0
        waited = max(start - submit, 0.0) if start and submit else 0.0
        before = found.get(name)
        failed = (node,) if state == "NODE_FAIL" else ()
        found[name] = Job(
            name,
            state,
            node="" if node.startswith("None") else node,
            exit_code=code,
            ended=end,
            seconds=ran + (before.seconds if before else 0.0),
            waited=waited + (before.waited if before else 0.0),
            failed_nodes=(*(before.failed_nodes if before else ()), *failed),
        )
    return found


def _time(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:  # Unknown, None
        return None


def find(name: str, since: float) -> str | None:
    """The number of the job (or array) with this unique name; None where there is none.

    Raises:
        SlurmTrouble: Slurm does not answer, so nobody can tell.
    """
    numbers = ask("squeue", "--me", "--noheader", f"--name={name}", "--format=%F").split()
    if not numbers:
        begin = datetime.fromtimestamp(since - 60).strftime("%Y-%m-%dT%H:%M:%S")
        rows = ask(
            "sacct", "--allocations", "--noheader", "--parsable2", f"--starttime={begin}", f"--name={name}",
            "--format=JobID",
        )  # fmt: skip
        numbers = [row.partition("_")[0] for row in rows.split()]
    return numbers[0] if numbers else None


def cancel(ids: Iterable[str]) -> None:
    """End jobs. Those that have ended already are no error."""
    ids = list(ids)
    for first in range(0, len(ids), 500):
        ask("scancel", *ids[first : first + 500])


def one_line(text: str) -> str:
    """What one of Slurm's commands complains about, short."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(line.removeprefix("sbatch: ").removeprefix("error: ") for line in lines)[:500]
