"""Seeds until decided on a real Slurm, while nobody watches."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers import attempts, bench, wait_for

from bench.launch.submission import read_all
from bench.sequential_design import as_it_stands
from bench.suite import load

Write = Callable[..., Path]
ADDED = {"start": 2, "step": 2, "max": 6, "until": "decided"}


def queue(path: Path, results: Path) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(bench("status", path, "--results", results, "--json").stdout)
    return status


def test_detached_suite_adds_its_seeds_by_itself(write_suite: Write, profile: Write, tmp_path: Path) -> None:
    path, results = write_suite(seeds=ADDED), tmp_path / "there"
    detached = bench("run", path, "--on", profile(), "--detach", "--results", results)
    assert detached.returncode == 0, detached.stderr
    assert "adds seeds when these jobs have ended" in detached.stderr
    # By now it may have run, and left another one.
    adding = [job for job in queue(path, results)["jobs"] if job["runs"] == 0]
    assert "adds seeds" in adding[0]["why"]

    def ended() -> bool:
        found = queue(path, results)
        return set(found["queue"]) == {"COMPLETED"} and found["runs"]["done"] == found["runs"]["planned"]

    wait_for(ended, seconds=240)
    now = as_it_stands(load(path), results)
    assert len(now.runs()) > 4  # the first look decides nothing
    assert attempts(now, results) == [1] * len(now.runs())
    # Each look was followed by a job that looked again; the last of them found nothing to do.
    steps = [folder.content.continuation is not None for folder in read_all(results / "small" / "jobs")]
    assert sum(steps) == len({len(cell.seeds) for cell in now.cells}) * (len(now.cells[0].seeds) // 2)
    assert bench("run", path, "--results", tmp_path / "here").returncode == 0
    there, here = (json.loads(bench("report", path, "--results", folder, "--json").stdout)
                   for folder in (results, tmp_path / "here"))  # fmt: skip
    assert there["comparisons"] == here["comparisons"]
    assert there["cells"] == here["cells"]


def test_cancelling_a_suite_cancels_the_job_that_would_add_seeds(
    write_suite: Write, profile: Write, tmp_path: Path
) -> None:
    path, results = write_suite(seeds=ADDED), tmp_path / "results"
    held = profile(sbatch={"hold": True})
    for _ in range(2):  # asked again, nothing more is submitted
        assert bench("run", path, "--on", held, "--detach", "--results", results).returncode == 0
    assert len(queue(path, results)["jobs"]) == 2
    assert bench("cancel", path, "--results", results, "--unasked", "--yes").returncode == 0
    assert len(queue(path, results)["jobs"]) == 2
    assert bench("cancel", path, "--results", results, "--yes").returncode == 0
    wait_for(lambda: set(queue(path, results)["queue"]) == {"CANCELLED"})


def test_jobs_that_a_person_cancels_are_not_submitted_again_by_the_one_that_adds_seeds(
    write_suite: Write, profile: Write, tmp_path: Path
) -> None:
    path, results = write_suite(seeds=ADDED), tmp_path / "results"
    held = profile(sbatch={"hold": True})
    assert bench("run", path, "--on", held, "--detach", "--results", results).returncode == 0
    trains, adds = (folder.content.job for folder in read_all(results / "small" / "jobs"))
    subprocess.run(["scontrol", "release", str(adds)], check=True, timeout=30)
    subprocess.run(["scancel", str(trains)], check=True, timeout=30)
    wait_for(lambda: queue(path, results)["queue"] == {"CANCELLED": 1, "COMPLETED": 1}, seconds=120)
    assert len(read_all(results / "small" / "jobs")) == 2
