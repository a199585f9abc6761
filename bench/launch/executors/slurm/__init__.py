"""Slurm as an executor, through submitit and Slurm's own commands. Nothing is cached, nothing runs on."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError, nearest
from bench.launch.executors import Job, Later, Limits, Request, Trouble, Workers, ids_of, number_of, without
from bench.launch.executors.slurm import commands
from bench.launch.executors.slurm.limits import limits_of
from bench.launch.executors.slurm.states import number_by_name, states_of
from bench.launch.profile import Profile

if TYPE_CHECKING:
    import submitit


class Slurm:
    """The :class:`~bench.launch.executors.Executor` of all clusters of a site, which profiles name."""

    def require(self) -> None:
        """Raise Trouble where there is no Slurm."""
        missing = [name for name in ("sbatch", "srun", "squeue", "scontrol") if shutil.which(name) is None]
        if missing:
            raise Trouble(
                f"there is no Slurm on this machine ({', '.join(missing)} not found); log in to the cluster, "
                "or leave out --on to train here. slurm/local-cluster/ starts a real one on one machine"
            )

    def limits(self, profile: Profile) -> Limits:
        """``MaxArraySize`` of the cluster, and what the submit limits of associations and QOS leave."""
        return limits_of(profile)

    def check(self, request: Request) -> None:
        """Test the script that would be submitted. Raises Trouble where Slurm does not answer."""
        script = _executor(request, request.file.parent)._make_submission_file_text("true", "test")
        try:
            commands.ask("sbatch", "--test-only", script=script)
        except (Later, commands.Silent):
            raise
        except Trouble as trouble:
            commands.configuration(request.profile.clusters)  # if that fails, too, it was no refusal
            raise BenchError(
                f"{request.file}: Slurm refuses such a job: {trouble}{_hint(request.profile)}"
            ) from None

    def submit(self, folder: Path, workers: Workers, request: Request) -> str:
        """Hand one array to Slurm through submitit."""
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        executor = _executor(request, folder)
        try:
            # submitit calls sbatch, which passes this environment on to the job.
            with without(os.environ.keys() - commands.clean_environment().keys()), executor.batch():
                submitted = [executor.submit(worker) for worker in workers]
        except (FailedSubmissionError, FailedJobError, OSError) as error:
            raise commands.trouble_of(f"sbatch: {commands.one_line(str(error))}") from None
        return _id(submitted[0].job_id.partition("_")[0], request.profile.clusters)

    def find(
        self, folder: Path, workers: Workers, name: str, since: float, cluster: str | None = None
    ) -> str | None:
        """By name; also write missing pickles of jobs, which submitit writes after sbatch."""
        from submitit.core.utils import DelayedSubmission, JobPaths

        number = number_by_name(name, since, cluster)
        for worker, job in zip(workers, ids_of(number, len(workers)), strict=False):
            pickled = JobPaths(folder, job).submitted_pickle
            if not pickled.exists():
                DelayedSubmission(worker).dump(pickled)
        return None if number is None else _id(number, cluster)

    def jobs(self, ids: Sequence[str], since: float) -> dict[str, Job]:
        """By one squeue for what is alive or remembered, and one sacct for what has ended."""
        jobs = {}
        for cluster, numbers in _by_cluster(ids).items():
            for number, job in states_of(cluster, numbers, since).items():
                name = _id(number, cluster)
                jobs[name] = replace(job, id=name)
        return jobs

    def cancel(self, ids: Iterable[str]) -> None:
        """End jobs. Those that have ended already are no error."""
        for cluster, numbers in _by_cluster(ids).items():
            for first in range(0, len(numbers), 500):
                commands.ask("scancel", *commands.option_of(cluster), *numbers[first : first + 500])

    def exclude(self, ids: Iterable[str], nodes: Sequence[str]) -> None:
        """Keep jobs that wait off these nodes, and let them on all others. Raises Trouble."""
        for cluster, numbers in _by_cluster(ids).items():
            change = ["update", f"jobid={','.join(numbers)}", f"excnodelist={','.join(nodes)}"]
            commands.ask("scontrol", *commands.option_of(cluster), *change)

    def queue_again(self, job: str) -> None:
        """Requeue the job.

        Slurm queues a preempted job again only if it is still there when its grace is over, and a job that
        reaches its time limit never. But a job that somebody cancels must not come back: Slurm counts it as
        ending already, and no longer as running.
        """
        number = number_of(job)  # of the cluster that this is
        if commands.ask("squeue", "--noheader", f"--jobs={number}", "--format=%T").strip() == "RUNNING":
            commands.ask("scontrol", "requeue", number)


def _executor(request: Request, folder: Path) -> submitit.SlurmExecutor:
    """What writes the script of such jobs, and submits it."""
    import submitit

    parameters = request.profile.parameters(request.name, request.parallel, request.exclude)
    if request.after:
        numbers = ":".join(map(number_of, request.after))
        parameters["additional_parameters"]["dependency"] = f"afterany:{numbers}"
    executor = submitit.SlurmExecutor(folder=folder, python=request.profile.python)
    # submitit has a wckey of its own, which sites that check them do not know.
    executor.update_parameters(wckey=None, **parameters)
    return executor


def _id(number: str, cluster: str | None) -> str:
    return f"{cluster}:{number}" if cluster else number


def _by_cluster(ids: Iterable[str]) -> dict[str, list[str]]:
    numbers: dict[str, list[str]] = {}
    for name in ids:
        cluster, _, number = name.rpartition(":")
        numbers.setdefault(cluster, []).append(number)
    return numbers


def _hint(profile: Profile) -> str:
    """Which names in a profile Slurm does not have, and those that it has."""
    user = getpass.getuser()
    account = ["sacctmgr", "--noheader", "--parsable2"]
    questions = {
        "partition": ["sinfo", *commands.option_of(profile.clusters), "--noheader", "--format=%R"],
        "account": [*account, "show", "assoc", f"user={user}", "format=account"],
        "qos": [*account, "show", "qos", "format=name"],
    }
    hints = ""
    for field, command in questions.items():
        value = getattr(profile, field)
        with contextlib.suppress(Trouble):
            names = sorted(set(commands.ask(*command).split()))
            if value is not None and not set(value.split(",")) <= set(names):
                hints += f"; {field}: found '{value}', allowed: {', '.join(names)}{nearest(value, names)}"
    return hints
