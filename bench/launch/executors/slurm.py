"""Slurm as an executor, through submitit and Slurm's own commands. Nothing here is cached, nothing runs on.

A query that fails or is silent says nothing about a job: its state is then ``UNKNOWN``, and counts as alive.
So is that of a job that the controller no longer has, and the books do not have yet. Clusters without books
are asked for what their controller remembers, some minutes long.
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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError, nearest
from bench.launch.executors import (
    ENDED,
    OF_A_LAUNCHER,
    QUICK,
    UNKNOWN,
    Job,
    Later,
    Limits,
    Request,
    Trouble,
    ids_of,
    number_of,
    without,
)
from bench.launch.profile import Profile

if TYPE_CHECKING:
    import submitit

TIMEOUT = 20.0  # seconds that one of Slurm's commands may take
_OF_A_SHELL = (
    *("SLURM_", "_SLURM_", "SBATCH_", "SRUN_", "SALLOC_", "SQUEUE_"),
    *("SACCT_", "SACCTMGR_", "SCANCEL_", "SCONTROL_", "SINFO_"),
)
_WHERE = {"SLURM_CONF", "SLURM_CONF_SERVER"}


class Silent(Trouble):
    """A command had no answer: that refuses nothing."""


def clean_environment() -> dict[str, str]:
    """The environment of this process, without what a shell, or the job that it runs in, tells Slurm.

    And without what jobs have no use for.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name in _WHERE or (not name.startswith(_OF_A_SHELL) and name not in OF_A_LAUNCHER)
    }


def ask(*command: str, script: str = "", timeout: float = TIMEOUT) -> str:
    """Run one of Slurm's commands, which may read a script, and return what it prints.

    Raises:
        Trouble: it failed.
        Silent: there was no answer, or none in time.
        Later: a limit on queued jobs is reached.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            input=script,
            check=False,
            env=clean_environment(),
        )
    except subprocess.TimeoutExpired:
        raise Silent(f"{command[0]} did not answer within {timeout:g} s") from None
    except OSError as error:
        raise Trouble(f"{command[0]}: {error.strerror}") from None
    if done.returncode != 0:
        raise _trouble(f"{command[0]}: {one_line(done.stderr or done.stdout)}")
    return done.stdout


def _trouble(words: str) -> Trouble:
    # Slurm names such a limit as it does in the queue: QOSMaxSubmitJobPerUserLimit, AssocGrpSubmitJobsLimit.
    if re.search(r"(Assoc|QOS)\w*Submit", words):
        return Later(words)
    silent = re.search(r"contact slurm|timed out|connection refused|standby mode", words, re.IGNORECASE)
    return Silent(words) if silent else Trouble(words)


def keeps_books(cluster: str | None = None) -> bool:
    """Whether a cluster has accounting: without it, ended jobs are soon forgotten. Raises Trouble."""
    return _config(cluster).get("AccountingStorageType", "").endswith("slurmdbd")


def _config(cluster: str | None) -> dict[str, str]:
    """What the controller is set to. Raises Trouble."""
    said = ask("scontrol", *_on(cluster), "show", "config")
    return dict(re.findall(r"^(\w+)\s*=\s*(\S+)", said, re.MULTILINE))


def _on(cluster: str | None) -> list[str]:
    """What every command gets of a profile's ``clusters``."""
    return [f"--clusters={cluster}"] if cluster else []


class Slurm:
    """All clusters of a site: that of this machine, and those that profiles name."""

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
        config = _config(profile.clusters)
        # Indices are 0 to one less; 0 and 1 leave single jobs only. Slurm's default is 1001.
        array = max(int(config.get("MaxArraySize", 1001)), 1)
        room, words = None, ""
        with contextlib.suppress(Trouble):  # a cluster without accounting has no such limits
            for cap in _caps(profile, config.get("ClusterName", "")):
                queued = ask(
                    "squeue", *_on(profile.clusters), "--noheader", "--array", *cap.scope, "--format=|"
                )
                left = max(cap.most - queued.count("|"), 0)
                if room is None or left < room:
                    room, words = left, cap.words
        return Limits(array, room, words)

    def check(self, request: Request) -> None:
        """Ask Slurm whether it would take such a job, by the script that would be submitted.

        Raises:
            BenchError: it would not, with the nearest name where one is misspelt.
            Later: a limit on queued jobs is reached.
            Trouble: it does not answer.
        """
        script = _executor(request, request.file.parent)._make_submission_file_text("true", "test")
        try:
            ask("sbatch", "--test-only", script=script)
        except (Later, Silent):
            raise
        except Trouble as trouble:
            _config(request.profile.clusters)  # if that fails, too, it was no refusal
            raise BenchError(
                f"{request.file}: Slurm refuses such a job: {trouble}{_hint(request.profile)}"
            ) from None

    def submit(self, folder: Path, workers: Sequence[Callable[[], object]], request: Request) -> str:
        """Hand one array to Slurm through submitit. Raises Trouble as the seam says."""
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        executor = _executor(request, folder)
        try:
            # submitit calls sbatch, which passes this environment on to the job.
            with without(os.environ.keys() - clean_environment().keys()), executor.batch():
                submitted = [executor.submit(worker) for worker in workers]
        except (FailedSubmissionError, FailedJobError, OSError) as error:
            raise _trouble(f"sbatch: {one_line(str(error))}") from None
        return _named(submitted[0].job_id.partition("_")[0], request.profile.clusters)

    def find(
        self,
        folder: Path,
        workers: Sequence[Callable[[], object]],
        name: str,
        since: float,
        cluster: str | None = None,
    ) -> str | None:
        """The number of the job (or array) with this unique name; None where there is none.

        submitit gives each job its pickle after sbatch: whoever died in between did not come to that.

        Raises:
            Trouble: Slurm does not answer, so nobody can tell.
        """
        from submitit.core.utils import DelayedSubmission, JobPaths

        number = _numbered(name, since, cluster)
        for worker, job in zip(workers, ids_of(number, len(workers)), strict=False):
            pickled = JobPaths(folder, job).submitted_pickle
            if not pickled.exists():
                DelayedSubmission(worker).dump(pickled)
        return None if number is None else _named(number, cluster)

    def jobs(self, ids: Sequence[str], since: float) -> dict[str, Job]:
        """The states of jobs: one squeue for what is alive or remembered, one sacct for what has ended.

        Args:
            ids: ``123`` or ``123_4``, with their cluster where it was named.
            since: Unix time before which none of them was submitted.
        """
        found = {}
        for cluster, numbers in _by_cluster(ids).items():
            for number, job in _states(cluster, numbers, since).items():
                name = _named(number, cluster)
                found[name] = replace(job, id=name)
        return found

    def cancel(self, ids: Iterable[str]) -> None:
        """End jobs. Those that have ended already are no error."""
        for cluster, numbers in _by_cluster(ids).items():
            for first in range(0, len(numbers), 500):
                ask("scancel", *_on(cluster), *numbers[first : first + 500])

    def exclude(self, ids: Iterable[str], nodes: Sequence[str]) -> None:
        """Keep jobs that wait off these nodes, and let them on all others. Raises Trouble."""
        for cluster, numbers in _by_cluster(ids).items():
            ask(
                "scontrol",
                *_on(cluster),
                "update",
                f"jobid={','.join(numbers)}",
                f"excnodelist={','.join(nodes)}",
            )

    def queue_again(self, job: str) -> None:
        """Let Slurm start this job again, now that its state is saved.

        Slurm queues a preempted job again only if it is still there when its grace is over, and a job that
        reaches its time limit never. But a job that somebody cancels must not come back: Slurm counts it as
        ending already, and no longer as running.
        """
        number = number_of(job)  # of the cluster that this is
        if ask("squeue", "--noheader", f"--jobs={number}", "--format=%T").strip() == "RUNNING":
            ask("scontrol", "requeue", number)


# ------------------------------------------------------------------------------------------- in its words


def _executor(request: Request, folder: Path) -> submitit.SlurmExecutor:
    """What writes the script of such jobs, and submits it."""
    import submitit

    parameters = request.profile.parameters(request.name, request.parallel, request.exclude)
    if request.after:
        parameters["additional_parameters"]["dependency"] = (
            f"afterany:{':'.join(map(number_of, request.after))}"
        )
    executor = submitit.SlurmExecutor(folder=folder, python=request.profile.python)
    # submitit has a wckey of its own, which sites that check them do not know.
    executor.update_parameters(wckey=None, **parameters)
    return executor


def _named(number: str, cluster: str | None) -> str:
    return f"{cluster}:{number}" if cluster else number


def _by_cluster(ids: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in ids:
        cluster, _, number = name.rpartition(":")
        found.setdefault(cluster, []).append(number)
    return found


@dataclass(frozen=True)
class _Cap:
    """A limit on queued jobs."""

    most: int
    words: str
    scope: tuple[str, ...]
    """Which jobs count, as squeue is asked for them."""


def _caps(profile: Profile, cluster: str) -> Iterator[_Cap]:
    """Submit limits of the user's association and its account, of the QOS, and of the partition's.

    Those of the accounts above are not read: what they refuse is submitted in smaller parts.
    """
    user = getpass.getuser()
    books = ["sacctmgr", "--noheader", "--parsable2", "show"]
    account = profile.account or ask(*books, "user", user, "format=defaultaccount").strip()
    fields = "format=user,partition,defaultqos,maxsubmitjobs,grpsubmitjobs"
    default = "normal"  # Slurm's own
    for row in ask(*books, "assoc", f"account={account}", f"cluster={cluster}", fields).splitlines():
        owner, partition, qos, most, together = row.split("|")
        if owner not in ("", user) or partition not in ("", profile.partition):
            continue
        scope = (*(("--me",) if owner else ()), f"--account={account}")
        if owner and most:
            yield _Cap(int(most), f"MaxSubmitJobs={most} of account {account}", scope)
        if together:
            yield _Cap(int(together), f"GrpSubmitJobs={together} of account {account}", scope)
        default = qos if owner and qos else default
    place = _partition(profile)
    counted = {profile.qos or default: f"--qos={profile.qos or default}"}
    if place.get("QoS", "N/A") != "N/A":
        counted[place["QoS"]] = f"--partition={place['PartitionName']}"
    fields = "format=name,maxsubmitjobsperuser,maxsubmitjobsperaccount,grpsubmitjobs"
    for row in ask(*books, "qos", f"name={','.join(counted)}", fields).splitlines():
        name, own, of_account, together = row.split("|")
        for most, limit, scope in (
            (own, "MaxSubmitJobsPerUser", ("--me",)),
            (of_account, "MaxSubmitJobsPerAccount", (f"--account={account}",)),
            (together, "GrpSubmitJobs", ()),
        ):
            if most:
                yield _Cap(int(most), f"{limit}={most} of QOS {name}", (*scope, counted[name]))


def _partition(profile: Profile) -> dict[str, str]:
    """What Slurm says of the partition that jobs go to."""
    for row in ask("scontrol", *_on(profile.clusters), "--oneliner", "show", "partition").splitlines():
        found = dict(word.split("=", 1) for word in row.split() if "=" in word)
        name = found.get("PartitionName")
        if name == profile.partition if profile.partition else found.get("Default") == "YES":
            return found
    return {}


def _hint(profile: Profile) -> str:
    """Which of a profile's names Slurm does not have, and what it has instead."""
    user = getpass.getuser()
    account = ["sacctmgr", "--noheader", "--parsable2"]
    questions = {
        "partition": ["sinfo", *_on(profile.clusters), "--noheader", "--format=%R"],
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


def _states(cluster: str, numbers: Sequence[str], since: float) -> dict[str, Job]:
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
    found = {}
    for number in numbers:
        job = (records or {}).get(number, Job(number, UNKNOWN))
        if queue is not None and number in queue:
            now = queue[number]
            if now.alive or job.alive:  # the books lag behind, or there are none
                known = now if job.state == UNKNOWN else job
                job = replace(
                    now,
                    seconds=known.seconds,
                    waited=known.waited,
                    fleeting=not now.alive,
                    failed_nodes=(*job.failed_nodes, *now.failed_nodes),
                )
        elif job.alive:
            # Neither in the queue nor known to have ended: accounting lags behind, or does not answer.
            silent = queue is None or records is None
            job = replace(job, state=UNKNOWN, missing=not silent)
        found[number] = job
    return found


def _queued(cluster: str, wanted: set[str]) -> dict[str, Job]:
    """What the controller has, and what has ended and it remembers."""
    fields = "--format=%i|%T|%r|%N|%V|%S|%e"
    rows = ask(
        "squeue", *_on(cluster), "--me", "--all", "--noheader", "--array", "--states=all", fields
    ).splitlines()
    queue = {}
    for row in rows:
        name, _, rest = row.partition("|")
        if name in wanted:
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
        "sacct", *_on(cluster), "--allocations", "--duplicates", "--noheader", "--parsable2",
        f"--starttime={begin}", f"--jobs={','.join(arrays)}", f"--format={_FIELDS}",
    )  # fmt: skip
    found: dict[str, Job] = {}
    for row in text.splitlines():
        names, said, code, node, submitted, started, ended = row.split("|")
        for name in _each(names):
            # CANCELLED by 1000
            job = _job(name, said.split()[0], node, submitted, started, ended)
            before = found.get(name, Job(name, UNKNOWN))
            found[name] = replace(
                job,
                exit_code=code,
                seconds=job.seconds + before.seconds,
                waited=job.waited + before.waited,
                failed_nodes=(*before.failed_nodes, *job.failed_nodes),
            )
    return found


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


def _numbered(name: str, since: float, cluster: str | None) -> str | None:
    """The number of the job (or array) with this unique name; None where there is none.

    Raises:
        Trouble: Slurm does not answer, so nobody can tell.
    """
    queue = ["squeue", *_on(cluster), "--me", "--all", "--noheader", "--states=all"]
    numbers = re.findall(r"^\d+$", ask(*queue, f"--name={name}", "--format=%F"), re.MULTILINE)
    if not numbers and keeps_books(cluster):
        begin = datetime.fromtimestamp(since - 60).strftime("%Y-%m-%dT%H:%M:%S")
        rows = ask(
            "sacct", *_on(cluster), "--allocations", "--noheader", "--parsable2", f"--starttime={begin}",
            f"--name={name}", "--format=JobID",
        )  # fmt: skip
        numbers = [row.partition("_")[0] for row in rows.split()]
    return numbers[0] if numbers else None


def one_line(text: str) -> str:
    """What one of Slurm's commands complains about, short."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line.removeprefix("sbatch: ").removeprefix("error: ") for line in lines]
    if any("configuration source" in line for line in said):  # after a search, of which each step complains
        return "Slurm's commands are here, but no cluster is set up"
    return "; ".join(dict.fromkeys(said))[:500]


def _is_held_back(state: str, reason: str) -> bool:
    # With underscores in later versions.
    return state == "PENDING" and "launch failed" in reason.replace("_", " ")
