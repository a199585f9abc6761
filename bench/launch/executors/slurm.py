"""Slurm as an executor, through submitit and Slurm's own commands. Nothing here is cached, nothing runs on.

A query that fails or is silent says nothing about a job: its state is then ``UNKNOWN``, and counts as alive.
What a person's shell tells Slurm (``SBATCH_PARTITION``, ``SQUEUE_STATES``, the settings of an interactive
job) is kept from all of these commands: a profile is all there is.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.errors import BenchError, nearest
from bench.launch.executors import UNKNOWN, Job, Limits, Request, Trouble, ids_of
from bench.launch.profile import Profile

TIMEOUT = 20.0  # seconds that one of Slurm's commands may take
_OF_A_SHELL = (
    *("SLURM_", "SBATCH_", "SRUN_", "SALLOC_", "SQUEUE_"),
    *("SACCT_", "SACCTMGR_", "SCANCEL_", "SCONTROL_", "SINFO_"),
)
_WHERE = {"SLURM_CONF", "SLURM_CONF_SERVER"}


def clean_environment() -> dict[str, str]:
    """The environment of this process, without what a shell, or the job that it runs in, tells Slurm."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _WHERE or not name.startswith(_OF_A_SHELL)
    }


def ask(*command: str, timeout: float = TIMEOUT) -> str:
    """Run one of Slurm's commands and return what it prints.

    Raises:
        Trouble: it failed, or did not answer in time.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
            env=clean_environment(),
        )
    except subprocess.TimeoutExpired:
        raise Trouble(f"{command[0]} did not answer within {timeout:g} s") from None
    except OSError as error:
        raise Trouble(f"{command[0]}: {error.strerror}") from None
    if done.returncode != 0:
        raise Trouble(f"{command[0]}: {one_line(done.stderr or done.stdout)}")
    return done.stdout


class Slurm:
    """One cluster, or all of a site where its ``clusters`` are named."""

    def require(self) -> None:
        """Raise BenchError where there is no Slurm."""
        missing = [name for name in ("sbatch", "srun", "squeue", "scontrol") if shutil.which(name) is None]
        if missing:
            raise BenchError(
                f"there is no Slurm on this machine ({', '.join(missing)} not found); log in to the cluster, "
                "or leave out --on to train here. slurm/local-cluster/ starts a real one on one machine"
            )

    def limits(self, profile: Profile) -> Limits:
        """``MaxArraySize`` of the cluster, and the submit limits of the user's associations."""
        config = ask("scontrol", "show", "config")
        found = re.search(r"^MaxArraySize\s*=\s*(\d+)", config, re.MULTILINE)
        array = int(found.group(1)) if found else 1001  # Slurm's default; indices 0 to one less
        queued: list[int] = []
        with contextlib.suppress(Trouble):  # a cluster without accounting has no such limits
            words = ["sacctmgr", "--noheader", "--parsable2", "show", "assoc", f"user={getpass.getuser()}"]
            if profile.account:
                words.append(f"account={profile.account}")
            rows = ask(*words, "format=MaxSubmitJobs,GrpSubmitJobs").split()
            if profile.qos:
                question = ["show", "qos", f"name={profile.qos}", "format=MaxSubmitJobsPerUser,GrpSubmitJobs"]
                rows += ask("sacctmgr", "--noheader", "--parsable2", *question).split()
            queued = [int(number) for row in rows for number in row.split("|") if number.isdigit()]
        return Limits(array, min(queued, default=None))

    def check(self, request: Request) -> None:
        """Ask Slurm whether it would take such jobs, without submitting one.

        Raises:
            BenchError: it would not, with the nearest name where one is misspelt.
        """
        parameters = _parameters(request)
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
        except Trouble as trouble:
            raise BenchError(
                f"{request.file}: Slurm refuses such a job: {trouble}{_hint(request.profile)}"
            ) from None

    def submit(self, folder: Path, workers: Sequence[Callable[[], object]], request: Request) -> str:
        """Hand one array to Slurm through submitit. Raises Trouble as the seam says."""
        import submitit
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        executor = submitit.SlurmExecutor(folder=folder)
        executor.update_parameters(**_parameters(request))
        try:
            with _cleaned(), executor.batch():
                submitted = [executor.submit(worker) for worker in workers]
            return str(submitted[0].job_id.partition("_")[0])
        except (FailedSubmissionError, FailedJobError, OSError) as error:
            raise Trouble(f"sbatch: {one_line(str(error))}") from None

    def find(
        self, folder: Path, workers: Sequence[Callable[[], object]], name: str, since: float
    ) -> str | None:
        """The number of the job (or array) with this unique name; None where there is none.

        submitit gives each job its pickle after sbatch: whoever died in between did not come to that.

        Raises:
            Trouble: Slurm does not answer, so nobody can tell.
        """
        from submitit.core.utils import DelayedSubmission, JobPaths

        number = _numbered(name, since)
        for worker, job in zip(workers, ids_of(number, len(workers)), strict=False):
            pickled = JobPaths(folder, job).submitted_pickle
            if not pickled.exists():
                DelayedSubmission(worker).dump(pickled)
        return number

    def jobs(self, ids: Sequence[str], since: float) -> dict[str, Job]:
        """The states of jobs: one squeue for what is alive, one sacct for what has ended.

        Args:
            ids: ``123`` or ``123_4``.
            since: Unix time before which none of them was submitted.
        """
        if not ids:
            return {}
        queue: dict[str, tuple[str, str, str]] | None = None
        records: dict[str, Job] | None = None
        with contextlib.suppress(Trouble):
            queue = _queued(set(ids))
        with contextlib.suppress(Trouble):
            records = _accounted(sorted({name.partition("_")[0] for name in ids}), since)
        found = {}
        for name in ids:
            job = (records or {}).get(name, Job(name, UNKNOWN))
            if queue is not None and name in queue:
                state, reason, node = queue[name]
                job = replace(
                    job, state=state, reason=reason, node=node, held_back=_is_held_back(state, reason)
                )
            elif queue is not None and records is not None and name not in records:
                # Both answer, and neither has it: its books leave out what was cancelled before it started.
                job = Job(name, "CANCELLED")
            elif job.alive:
                # Neither in the queue nor known to have ended: accounting lags behind, or does not answer.
                silent = queue is None or records is None
                job = replace(job, state=UNKNOWN, contradictory=not silent)
            found[name] = job
        return found

    def cancel(self, ids: Iterable[str]) -> None:
        """End jobs. Those that have ended already are no error."""
        ids = list(ids)
        for first in range(0, len(ids), 500):
            ask("scancel", *ids[first : first + 500])

    def queue_again(self, job: str) -> None:
        """Let Slurm start this job again, now that its state is saved.

        Slurm queues a preempted job again only if it is still there when its grace is over, and a job that
        reaches its time limit never. But a job that somebody cancels must not come back: Slurm counts it as
        ending already, and no longer as running.
        """
        if ask("squeue", "--noheader", f"--jobs={job}", "--format=%T").strip() == "RUNNING":
            ask("scontrol", "requeue", job)


# ------------------------------------------------------------------------------------------- in its words


def _parameters(request: Request) -> dict[str, Any]:
    """What submitit's SlurmExecutor gets."""
    parameters = request.profile.parameters(request.name, request.parallel, request.exclude)
    if request.after:
        parameters["additional_parameters"]["dependency"] = f"afterany:{':'.join(request.after)}"
    return parameters


@contextlib.contextmanager
def _cleaned() -> Iterator[None]:
    """While submitit calls sbatch, which passes this environment on to the job."""
    before = {**os.environ}
    for name in before.keys() - clean_environment().keys():
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(before)


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
        with contextlib.suppress(Trouble):
            names = sorted(set(ask(*command).split()))
            if found is not None and not set(found.split(",")) <= set(names):
                hints += f"; {field}: found '{found}', allowed: {', '.join(names)}{nearest(found, names)}"
    return hints


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


def _numbered(name: str, since: float) -> str | None:
    """The number of the job (or array) with this unique name; None where there is none.

    Raises:
        Trouble: Slurm does not answer, so nobody can tell.
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


def one_line(text: str) -> str:
    """What one of Slurm's commands complains about, short."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(line.removeprefix("sbatch: ").removeprefix("error: ") for line in lines)[:500]


def _is_held_back(state: str, reason: str) -> bool:
    # With underscores in later versions.
    return state == "PENDING" and "launch failed" in reason.replace("_", " ")
