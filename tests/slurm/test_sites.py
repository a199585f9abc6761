"""What other people's sites have: shells full of settings, several clusters, no accounting, limits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import attempts, bench, start, states, wait_for

from bench.launch.executors import UNKNOWN
from bench.launch.executors.slurm import Slurm
from bench.launch.profile import Profile
from bench.launch.submission import SubmissionFolder, read_all
from bench.results.folder import RunFolder
from bench.suite import load

Write = Callable[..., Path]

A_SHELL = {
    "SBATCH_JOB_NAME": "mine", "SBATCH_OUTPUT": "/dev/null", "SBATCH_ERROR": "/dev/null",
    "SBATCH_NO_REQUEUE": "1", "SBATCH_PARTITION": "nowhere", "SBATCH_GRES": "gpu:9", "SBATCH_TIMELIMIT": "1",
    "SBATCH_ARRAY_INX": "7-9", "SBATCH_ACCOUNT": "nobody", "SBATCH_WCKEY": "none",
    "SBATCH_CLUSTERS": "nowhere", "SQUEUE_STATES": "RUNNING", "SQUEUE_FORMAT": "%A",
    "SQUEUE_PARTITION": "short", "SQUEUE_USERS": "nobody",
    "SLURM_TIME_FORMAT": "relative", "SLURM_CLUSTERS": "nowhere", "SACCT_FORMAT": "User",
    "SCANCEL_STATE": "RUNNING", "SCANCEL_NAME": "mine", "SLURM_BITSTR_LEN": "1", "SINFO_FORMAT": "%A",
}  # fmt: skip


def slurm(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def submissions(results: Path) -> list[SubmissionFolder]:
    return read_all(results / "small" / "jobs")


def queue(path: Path, results: Path) -> dict[str, int]:
    return dict(json.loads(bench("status", path, "--results", results, "--json").stdout)["queue"])


@pytest.fixture(autouse=True)
def no_jobs(cluster: Any) -> Iterator[None]:
    """What a test leaves in the queue would count for the next."""
    yield
    slurm("scancel", "--me")


def test_profile_is_all_that_counts_in_a_shell_full_of_settings(
    write_suite: Write, profile: Write, tmp_path: Path
) -> None:
    path, results = write_suite(losses="ce", baseline=None), tmp_path / "results"
    held = profile(sbatch={"hold": True}, fill=1e-6)
    shell = {**os.environ, **A_SHELL}
    done = bench("run", path, "--on", held, "--detach", "--results", results, env=shell)
    assert done.returncode == 0, done.stderr
    [folder] = submissions(results)
    number = folder.content.job
    assert number is not None
    said = slurm("squeue", "--noheader", f"--jobs={number}", "--format=%j|%P|%l|%a")
    assert said.splitlines()[0] == f"{folder.content.name}|main|10:00|root"
    shown = slurm("scontrol", "show", "job", number)
    assert "Requeue=1" in shown
    assert str(folder.path) in shown
    [script] = folder.path.glob("*_submission.sh")
    assert "wckey" not in script.read_text()
    # It is seen to wait, and is not submitted twice.
    status = bench("status", path, "--results", results, "--json", env=shell)
    assert json.loads(status.stdout)["queue"] == {"PENDING": 2}
    again = bench("run", path, "--on", held, "--detach", "--results", results, env=shell)
    assert again.returncode == 0, again.stderr
    # Nor when its launcher dies: it is found by its name.
    folder.content.job = None
    folder.write()
    assert bench("run", path, "--on", held, "--detach", "--results", results, env=shell).returncode == 0
    assert [folder.content.job for folder in submissions(results)] == [number]
    assert bench("cancel", path, "--results", results, "--yes", env=shell).returncode == 0
    assert queue(path, results) == {"CANCELLED": 2}


def test_suite_is_trained_from_inside_an_interactive_job(
    write_suite: Write, profile: Write, tmp_path: Path
) -> None:
    path, results = write_suite(losses="ce", baseline=None), tmp_path / "results"
    inside = ["salloc", "--quiet", "--ntasks=1", "--mem-per-cpu=100", "--time=5"]
    command = [sys.executable, "-m", "bench", "run", path, "--on", profile(memory="2G")]
    done = subprocess.run(
        [*inside, *map(str, command), "--results", str(results)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert states(load(path), results) == ["done"] * 2


def test_jobs_of_another_cluster_are_told_apart(
    write_suite: Write, profile: Write, tmp_path: Path, other: Any
) -> None:
    path, results = write_suite(losses="ce", baseline=None), tmp_path / "results"
    there = profile(clusters="other", sbatch={"hold": True}, fill=1e-6)
    assert bench("run", path, "--on", there, "--detach", "--results", results).returncode == 0
    [folder] = submissions(results)
    assert folder.content.job is not None
    cluster, _, number = folder.content.job.partition(":")
    assert cluster == "other"
    assert folder.content.name in slurm("squeue", "--clusters=other", "--noheader", "--format=%j")
    assert queue(path, results) == {"PENDING": 2}
    # A launcher that died is made up for there.
    folder.content.job = None
    folder.write()
    launcher = start("run", path, "--on", there, "--results", results)
    wait_for(lambda: submissions(results)[0].content.job == f"other:{number}")
    slurm("scontrol", "--clusters=other", "release", number)
    _, said = launcher.communicate(timeout=120)
    assert launcher.returncode == 0, said
    assert attempts(load(path), results) == [1] * 2
    run = load(path).runs()[0]
    assert bench("logs", path, run.id, "--results", results).returncode == 0
    assert RunFolder(results, run.id).info()["attempts"][0]["job"].startswith(f"other:{number}_")


def test_what_waits_on_another_cluster_is_cancelled_there(
    write_suite: Write, profile: Write, tmp_path: Path, other: Any
) -> None:
    path, results = write_suite(losses="ce", baseline=None), tmp_path / "results"
    there = profile(clusters="other", sbatch={"hold": True})
    assert bench("run", path, "--on", there, "--detach", "--results", results).returncode == 0
    assert bench("cancel", path, "--results", results, "--yes").returncode == 0
    [folder] = submissions(results)
    assert folder.content.name not in slurm("squeue", "--clusters=other", "--noheader", "--format=%j")
    assert queue(path, results) == {"CANCELLED": 1}


def test_suite_is_trained_without_accounting(
    write_suite: Write, profile: Write, tmp_path: Path, without_books: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(without_books.conf))
    assert "no accounting" in bench("doctor", "--results", tmp_path).stdout
    path, results = write_suite(losses="ce", baseline=None), tmp_path / "results"
    held = profile(sbatch={"hold": True}, fill=1e-6)
    launcher = start("run", path, "--on", held, "--results", results)
    wait_for(lambda: submissions(results) and submissions(results)[0].content.job)
    number = submissions(results)[0].content.job
    assert number is not None
    slurm("scontrol", "release", f"{number}_0")
    wait_for(lambda: "done" in states(load(path), results))
    wait_for(lambda: queue(path, results) == {"COMPLETED": 1, "PENDING": 1})
    slurm("scancel", number, "--state=PENDING")
    _, said = launcher.communicate(timeout=120)
    assert launcher.returncode == 0, said
    assert sorted(states(load(path), results)) == ["done", "missing"]
    assert queue(path, results) == {"COMPLETED": 1, "CANCELLED": 1}


def test_job_that_the_books_have_not_heard_of_has_not_ended(profile: Write, cluster: Any) -> None:
    slurm("scontrol", "update", "PartitionName=main", "State=UP")  # the controller answers
    began = time.time()
    assert Slurm().jobs(["99999"], began)["99999"].state == UNKNOWN
    assert Slurm().jobs(["99999"], began)["99999"].missing


@pytest.mark.parametrize("of", ["MaxSubmitJobsPerUser", "GrpSubmitJobs"])
def test_submit_limit_of_the_default_qos_means_later(
    write_suite: Write, profile: Write, tmp_path: Path, of: str
) -> None:
    path, results = write_suite(losses="ce", baseline=None, seeds=4), tmp_path / "results"
    slurm("sacctmgr", "--immediate", "modify", "qos", "normal", "set", f"{of}=3")
    try:
        held = slurm("sbatch", "--parsable", "--hold", "--output=/dev/null", "--wrap=true").strip()
        done = bench("run", path, "--on", profile(fill=1e-6), "--results", results)
        slurm("scancel", held)
    finally:
        slurm("sacctmgr", "--immediate", "modify", "qos", "normal", "set", f"{of}=-1")
    assert done.returncode == 0, done.stderr
    assert f"the queue has room for 2 of 4 jobs ({of}=3 of QOS normal); the others follow" in done.stderr
    assert attempts(load(path), results) == [1] * 4


def test_limits_are_those_that_count_for_these_jobs(cluster: Any) -> None:
    def room(**profile: Any) -> tuple[int | None, str]:
        limits = Slurm().limits(Profile(**profile))
        return limits.room, limits.words

    modify = ["sacctmgr", "--immediate", "modify"]
    wait_for(lambda: not slurm("squeue", "--noheader"))
    assert room() == (None, "")
    slurm(*modify, "account", "research", "set", "GrpSubmitJobs=7")
    slurm("sacctmgr", "--immediate", "add", "qos", "tight", "set", "MaxSubmitJobsPerUser=2")
    try:
        assert room(account="research") == (7, "GrpSubmitJobs=7 of account research")
        assert room(qos="tight") == (2, "MaxSubmitJobsPerUser=2 of QOS tight")
        slurm(*modify, "account", "research", "set", "GrpSubmitJobs=-1")
        slurm("scontrol", "update", "PartitionName=short", "QOS=tight")
        assert room(partition="short") == (2, "MaxSubmitJobsPerUser=2 of QOS tight")
        assert room(partition="main") == (None, "")
    finally:
        slurm("scontrol", "update", "PartitionName=short", "QOS=")
        slurm(*modify, "account", "research", "set", "GrpSubmitJobs=-1")
        slurm("sacctmgr", "--immediate", "delete", "qos", "tight")


def test_options_of_sites_reach_the_job(write_suite: Write, profile: Write, tmp_path: Path) -> None:
    path, results = write_suite(losses="ce", baseline=None), tmp_path / "results"
    wrapper = tmp_path / "container"
    wrapper.write_text(f'#!/bin/sh\necho inside >> {tmp_path}/seen\nexec "$@"\n')
    wrapper.chmod(0o755)
    chosen = profile(
        gpus_as="gpus-per-node", gpu_type="fake", python=f"{wrapper} {sys.executable}", fill=1e-6,
        srun=["--label"], sbatch={"comment": "as the site wants", "mail-type": "NONE", "wckey": "thesis"},
    )  # fmt: skip
    done = bench("run", path, "--on", chosen, "--results", results)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "seen").read_text() == "inside\n" * 2
    number = submissions(results)[0].content.job
    shown = slurm("scontrol", "show", "job", f"{number}_0")
    assert "Comment=as the site wants" in shown
    assert "gres:gpu:fake:1" in shown or "gres/gpu:fake" in shown
    [script] = submissions(results)[0].path.glob("*_submission.sh")
    assert "--wckey=thesis" in script.read_text()
    assert "srun --unbuffered" in script.read_text()


@pytest.mark.parametrize("form", ["gres", "gpus-per-node", "gpus-per-task"])
def test_gpus_that_are_not_there_are_refused_in_every_form(
    write_suite: Write, profile: Write, tmp_path: Path, form: str
) -> None:
    chosen = profile(gpus_as=form, gpu_type="a100")
    done = bench("plan", write_suite(), "--on", chosen, "--results", tmp_path)
    assert done.returncode == 2
    assert "Slurm refuses such a job" in done.stderr


def test_reservation_that_is_not_there_is_refused(write_suite: Write, profile: Write, tmp_path: Path) -> None:
    for options in ({"reservation": "none"}, {"licenses": "none:1"}):
        done = bench("plan", write_suite(), "--on", profile(sbatch=options), "--results", tmp_path)
        assert done.returncode == 2
        assert "Slurm refuses such a job" in done.stderr


def test_node_on_which_everything_fails_is_left_out(
    write_suite: Write, profile: Write, tmp_path: Path
) -> None:
    path, results = write_suite(losses=["ce", "mae"], seeds=4), tmp_path / "results"
    broken = 'if [ "$SLURMD_NODENAME" = node1 ]; then exit 7; fi'
    done = bench(
        "run", path, "--on", profile(fill=1e-6, setup=[broken], jobs=4), "--results", results, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(load(path), results) == ["done"] * 8
    books = slurm(
        "sacct", "--allocations", "--starttime=now-10minutes", "--format=jobid,state,node,start,end"
    )
    assert "node1" in done.stderr, done.stderr + books


def test_plan_is_shown_where_no_cluster_can_be_asked(
    write_suite: Write, profile: Write, tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_CONF")
    done = bench("plan", write_suite(), "--on", profile(), "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 to submit in 4 jobs: no estimate" in done.stdout
    assert [line for line in done.stdout.splitlines() if "cannot be asked" in line] == [
        "the cluster cannot be asked from here: scontrol: Slurm's commands are here, but no cluster is set up"
    ]


def test_another_apt_is_said_in_one_message(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = sys.modules["local_cluster"]
    for name, script in (
        ("apt-get", "echo 'E: Could not get lock /var/lib/apt/lists/lock' >&2; exit 100"),
        ("sudo", 'exec "$@"'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(local, "PROGRAMS", ["nothing-of-that-name"])
    with pytest.raises(SystemExit, match="Could not get lock"):
        local.install(agreed=True)
