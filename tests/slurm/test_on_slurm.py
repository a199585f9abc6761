"""Suites on a real Slurm: found again, resumed, requeued, explained. Nothing here is faked but the GPUs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import attempts, bench, start, states, wait_for

from bench.launch.submission import SubmissionFolder, read_all
from bench.results.folder import RunFolder
from bench.runs import Run
from bench.suite import Suite, load

Write = Callable[..., Path]
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def slow_suite(write_suite: Write, folder: Path) -> Path:
    """A suite of one run that takes minutes, until there is a file ``fast`` in the folder."""
    (folder / "own_slow_loss.py").write_text(
        "import time\nfrom pathlib import Path\nfrom torch.nn.functional import cross_entropy\n"
        "def slow(logits, target):\n"
        f"    if not Path({str(folder / 'fast')!r}).exists(): time.sleep(0.1)\n"
        "    return cross_entropy(logits, target)\n"
    )
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return write_suite(losses="own_slow_loss:slow", baseline=None, seeds=1, recipe={"epochs": 200})


def slurm(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def submissions(results: Path) -> list[SubmissionFolder]:
    return read_all(results / "small" / "jobs")


def ids(results: Path) -> list[str]:
    return [name for folder in submissions(results) for name in folder.content.ids]


def attempts_of(run: Run, results: Path) -> list[dict[str, Any]]:
    return list(RunFolder(results, run.id).info().get("attempts", []))


def undisturbed(path: Path, folder: Path) -> Path:
    """The same suite, trained on this machine."""
    assert bench("run", path, "--results", folder).returncode == 0
    return folder


def predictions(suite: Suite, results: Path) -> list[bytes]:
    return [(results / "runs" / run.id / "predictions.npz").read_bytes() for run in suite.runs()]


def test_suite_is_split_into_arrays_and_equals_the_one_trained_here(
    write_suite: Write, profile: Write, tmp_path: Path
) -> None:
    path, results = write_suite(seeds=4), tmp_path / "there"
    # Packs of one run: 8 jobs, and the cluster takes arrays of 6.
    there = bench("run", path, "--on", profile(fill=1e-6, jobs=4), "--results", results, "--json")
    assert there.returncode == 0, there.stderr
    here = undisturbed(path, tmp_path / "here")
    for table in ("report.md", "report.json", "cells.csv", "comparisons.csv"):
        assert (results / "small" / table).read_bytes() == (here / "small" / table).read_bytes()
    found = submissions(results)
    assert sorted(len(folder.content.runs) for folder in found) == [2, 6]
    assert sum(folder.content.parallel for folder in found) <= 4
    assert attempts(load(path), results) == [1] * 8
    # Asked again, nothing is submitted; the status knows what it has cost.
    assert bench("run", path, "--on", profile(), "--results", results).returncode == 0
    assert len(submissions(results)) == 2
    status = json.loads(bench("status", path, "--results", results, "--json").stdout)
    assert status["queue"] == {"COMPLETED": 8}
    assert status["usage"]["gpu_hours"] > 0


def test_detached_suite_is_found_by_any_later_launcher(
    write_suite: Write, profile: Write, tmp_path: Path
) -> None:
    path, results = write_suite(), tmp_path / "results"
    detached = bench("run", path, "--on", profile(), "--detach", "--results", results)
    assert detached.returncode == 0, detached.stderr
    assert "0 of 4 runs are finished" in detached.stdout
    launchers = [start("run", path, "--on", profile(), "--results", results) for _ in range(2)]
    for launcher in launchers:
        _, said = launcher.communicate(timeout=120)
        assert launcher.returncode == 0, said
    assert attempts(load(path), results) == [1] * 4
    assert len(submissions(results)) == 1


@pytest.mark.parametrize("reached", ["intent", "sbatch"])
def test_launcher_that_died_while_submitting_is_made_up_for(
    write_suite: Write, profile: Write, tmp_path: Path, reached: str
) -> None:
    path, results = write_suite(), tmp_path / "results"
    held = profile(sbatch={"hold": True}, fill=1e-6)
    assert bench("run", path, "--on", held, "--detach", "--results", results).returncode == 0
    [folder] = submissions(results)
    number, token = folder.content.job, folder.path.name.rpartition("-")[2]
    assert number is not None
    if reached == "intent":
        slurm("scancel", number)
        # A name that Slurm has not heard of; a submission has that of its folder.
        folder.path = folder.path.rename(folder.path.with_name(folder.path.name.replace(token, "never")))
        folder.content.name = folder.content.name.replace(token, "never")
    else:
        # submitit had not yet given the jobs their pickles.
        for pickled in folder.path.glob("*_submitted.pkl"):
            pickled.unlink()
    folder.content.job = None
    folder.write()
    again = start("run", path, "--on", profile(), "--results", results)
    if reached == "sbatch":
        wait_for(lambda: submissions(results)[0].content.job == number)
        slurm("scontrol", "release", number)
    _, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert states(load(path), results) == ["done"] * 4
    assert len(submissions(results)) == (2 if reached == "intent" else 1)
    assert ("found 4 jobs of a launcher that died" in said) == (reached == "sbatch")
    assert attempts(load(path), results) == [1] * 4


@pytest.mark.parametrize("disturbance", ["preempted", "time limit", "node failure", "requeued"])
def test_training_goes_on_to_the_same_predictions(
    write_suite: Write, profile: Write, tmp_path: Path, cluster: Any, disturbance: str
) -> None:
    path, results = slow_suite(write_suite, tmp_path), tmp_path / "results"
    suite = load(path)
    [run] = suite.runs()
    changes = {
        "time limit": {"partition": "short", "time": 1, "grace": 45},
        "preempted": {"partition": "low"},
    }
    launcher = start("run", path, "--on", profile(**changes.get(disturbance, {})), "--results", results)
    wait_for(lambda: len(RunFolder(results, run.id).metrics()) > 5)
    [job] = ids(results)
    if disturbance == "preempted":
        all_nodes = ["--array=0-3", "--cpus-per-task=4", "--output=/dev/null", "--wrap=sleep 1"]
        slurm("sbatch", "--partition=high", *all_nodes)
    elif disturbance == "requeued":
        slurm("scontrol", "requeue", job)
    elif disturbance == "node failure":
        node = slurm("squeue", "--noheader", f"--jobs={job}", "--format=%N").strip()
        cluster.stop(node, signal.SIGKILL)
        os.kill(attempts_of(run, results)[0]["pid"], signal.SIGKILL)  # no signal that it could hear
    wait_for(lambda: len(attempts_of(run, results)) > 1, seconds=150)
    (tmp_path / "fast").touch()
    if disturbance == "node failure":
        cluster.start_slurmd(node)
    _, said = launcher.communicate(timeout=180)
    assert launcher.returncode == 0, said
    # A node that dies slowly takes the job's process first: then Slurm may call the job failed.
    assert len(submissions(results)) <= (2 if disturbance == "node failure" else 1)
    assert [line["epoch"] for line in RunFolder(results, run.id).metrics()] == list(range(1, 201))
    assert predictions(suite, results) == predictions(suite, undisturbed(path, tmp_path / "here"))


def test_killed_worker_costs_only_time(write_suite: Write, profile: Write, tmp_path: Path) -> None:
    path, results = slow_suite(write_suite, tmp_path), tmp_path / "results"
    [run] = load(path).runs()
    launcher = start("run", path, "--on", profile(), "--results", results)
    wait_for(lambda: attempts_of(run, results))
    os.kill(attempts_of(run, results)[0]["pid"], signal.SIGKILL)
    (tmp_path / "fast").touch()
    _, said = launcher.communicate(timeout=180)
    assert launcher.returncode == 0, said
    assert len(attempts_of(run, results)) == 2
    assert len(submissions(results)) == 2


def test_cancelled_job_is_left_alone_until_somebody_asks_again(
    write_suite: Write, profile: Write, tmp_path: Path
) -> None:
    path, results = slow_suite(write_suite, tmp_path), tmp_path / "results"
    [run] = load(path).runs()
    launcher = start("run", path, "--on", profile(), "--results", results)
    wait_for(lambda: attempts_of(run, results))
    asked = bench("cancel", path, "--results", results, input="n\n")
    assert asked.returncode == 1
    assert "to be cancelled: 1 jobs with 1 unfinished runs" in asked.stderr
    assert bench("cancel", path, "--results", results, "--yes").returncode == 0
    launcher.communicate(timeout=120)
    assert launcher.returncode == 0
    assert states(load(path), results) == ["missing"]
    status = bench("status", path, "--results", results)
    assert "was cancelled by a person" in status.stdout
    (tmp_path / "fast").touch()
    assert bench("run", path, "--on", profile(), "--results", results).returncode == 0
    assert states(load(path), results) == ["done"]
    nothing = bench("cancel", path, "--results", results, "--yes")
    assert "nothing to cancel" in nothing.stderr


def test_failing_and_greedy_runs_say_why(write_suite: Write, profile: Write, tmp_path: Path) -> None:
    (tmp_path / "own_slurm_losses.py").write_text(
        "def broken(logits, target):\n"
        "    if len(logits) > 6: raise RuntimeError('as the test wants')  # no first call, tried before\n"
        "    return logits.square().mean()\n"
        "def greedy(logits, target):\n    raise MemoryError('all of it')\n"
    )
    losses = ["ce", "own_slurm_losses:broken", "own_slurm_losses:greedy"]
    path, results = write_suite(losses=losses, seeds=1), tmp_path / "results"
    done = bench("run", path, "--on", profile(workers=2), "--results", results, timeout=300)
    assert done.returncode == 1
    assert "RuntimeError: as the test wants" in done.stdout
    assert "out of memory, also with fewer runs side by side" in done.stdout
    sys.path.insert(0, str(tmp_path))
    broken = load(path).runs()[1]
    assert attempts(load(path), results)[:2] == [1, 1]
    logged = bench("logs", path, broken.id[:8], "--results", results)
    assert logged.returncode == 0
    assert f"{broken.id}/failure.json" in logged.stderr
    assert "RuntimeError: as the test wants" in logged.stdout


def test_edited_suite_submits_the_difference_and_names_what_is_left_over(
    write_suite: Write, profile: Write, tmp_path: Path
) -> None:
    path, results = write_suite(losses=["ce", "mae"]), tmp_path / "results"
    held = profile(sbatch={"hold": True}, fill=1e-6)
    assert bench("run", path, "--on", held, "--detach", "--results", results).returncode == 0
    status = bench("status", path, "--results", results)
    assert "4 pending" in status.stdout
    assert "JobHeldUser" in status.stdout
    path = write_suite(losses=["ce", "gce"])
    again = bench("run", path, "--on", held, "--detach", "--results", results)
    assert "2 queued or running runs are no longer asked for" in again.stderr
    assert ": jobs 2, runs 2 (" in again.stderr
    assert bench("cancel", path, "--results", results, "--unasked", "--yes").returncode == 0
    wait_for(lambda: json.loads(bench("status", path, "--results", results, "--json").stdout)["queue"]
             == {"CANCELLED": 2, "PENDING": 4})  # fmt: skip
    assert bench("cancel", path, "--results", results, "--yes").returncode == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"partition": "mian"},
            "partition: found 'mian', allowed: high, low, main, short; did you mean 'main'",
        ),
        ({"account": "reserch"}, "account: found 'reserch', allowed: .*research.*; did you mean 'research'"),
        ({"qos": "norml"}, "qos: found 'norml', allowed: normal; did you mean 'normal'"),
        ({"sbatch": {"nodelist": "node9"}}, "Slurm refuses such a job: .*node"),
    ],
)
def test_what_slurm_does_not_have_is_said_before_anything_is_submitted(
    write_suite: Write, profile: Write, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path, results = write_suite(), tmp_path / "results"
    for verb in (["plan"], ["run", "--detach"]):
        done = bench(*verb, path, "--on", profile(**changes), "--results", results)
        assert done.returncode == 2
        assert re.search(message, done.stderr), done.stderr
        assert "profile.yaml" in done.stderr
    assert not submissions(results)


def test_results_that_the_nodes_do_not_see_are_named(
    write_suite: Write, profile: Write, tmp_path: Path
) -> None:
    """A mount that only the launcher has, as a login node's own disk is."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    shell = 'mount -t tmpfs tmpfs "$1" && shift && exec "$@"'
    unshared = ["unshare", "--mount", "sh", "-c", shell, "sh", str(hidden)]
    if subprocess.run([*unshared, "true"], capture_output=True).returncode != 0:
        pytest.skip("no permission for a mount of one's own")
    path = write_suite()
    verbs = f"""
        {sys.executable} -m bench run {path} --on {profile()} --detach --results {hidden} >/dev/null
        for i in 1 2 3 4 5 6 7 8 9 10; do
          sleep 1; {sys.executable} -m bench status {path} --results {hidden} > {tmp_path}/status
          grep -q 'never started' {tmp_path}/status && break
        done
    """
    subprocess.run([*unshared, "sh", "-c", verbs], check=True, timeout=120, capture_output=True)
    assert (
        "never started: it could not write its log; does that node see" in (tmp_path / "status").read_text()
    )


def test_first_cell_is_trained_here(write_suite: Write, profile: Write, tmp_path: Path) -> None:
    path, results = write_suite(), tmp_path / "results"
    done = bench("run", path, "--on", profile(), "--first", "--results", results)
    assert done.returncode == 0, done.stderr
    assert [sum(map(len, folder.content.runs)) for folder in submissions(results)] == [2]
    assert attempts(load(path), results) == [1] * 4


def test_unknown_is_alive_when_slurm_is_silent(
    write_suite: Write, profile: Write, tmp_path: Path, cluster: Any
) -> None:
    path, results = write_suite(), tmp_path / "results"
    held = profile(sbatch={"hold": True})
    assert bench("run", path, "--on", held, "--detach", "--results", results).returncode == 0
    # Neither the controller nor accounting answers.
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("squeue", "sacct"):
        (broken / name).write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact' >&2\nexit 1\n")
        (broken / name).chmod(0o755)
    silent = {**os.environ, "PATH": f"{broken}:{os.environ['PATH']}"}
    status = bench("status", path, "--results", results, "--json", env=silent)
    assert json.loads(status.stdout)["queue"] == {"UNKNOWN": 1}
    again = bench("run", path, "--on", held, "--detach", "--results", results, env=silent)
    assert again.returncode == 0, again.stderr
    assert len(submissions(results)) == 1
    assert bench("cancel", path, "--results", results, "--yes").returncode == 0


def test_faults_of_every_kind_lose_nothing(cluster: Any, other: Any) -> None:
    numbers = ["--seeds", "6", "--faults", "14", "--seed", "1"]
    command = [sys.executable, str(BENCHMARKS / "slurm_chaos.py"), *numbers]
    folders = ["--cluster", str(cluster.folder), "--other", str(other.folder)]
    began = time.monotonic()
    done = subprocess.run([*command, *folders], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"after {time.monotonic() - began:.0f} s\n{done.stdout}{done.stderr}"
    assert "runs lost: 0, runs doubled: 0" in done.stdout
