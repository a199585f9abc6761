"""The workflow of docs/gate.md: GitHub's schema takes it, and its gate lets in what is no worse."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers import finish_run

from bench.suite import load

ROOT = Path(__file__).parents[2]
SUITE, WORKFLOW = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs/gate.md").read_text("utf-8"), re.M | re.S)


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [("", "", 0), ("runs-on:", "run-on:", 1), ("        run: bench", "        runs: bench", 1)],
)
def test_the_schema_of_workflows_takes_it_and_no_other(
    tmp_path: Path, before: str, after: str, status: int
) -> None:
    file = tmp_path / "gate.yaml"
    file.write_text(WORKFLOW.replace(before, after) if before else WORKFLOW)
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", file]
    done = subprocess.run(check, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stdout + done.stderr


@pytest.mark.parametrize(("right", "status"), [(96, 0), (60, 1)])
def test_its_gate_lets_in_what_is_no_worse(tmp_path: Path, right: int, status: int) -> None:
    (tmp_path / "suites").mkdir()
    suite = tmp_path / "suites" / "gate.yaml"
    suite.write_text(SUITE)
    for cell in load(suite).cells:
        for run in cell.runs:
            correct = 90 + run.seed % 3 if cell.loss == "ce" else right + run.seed % 2
            finish_run(run, tmp_path / "results", correct=correct)
    steps = yaml.safe_load(WORKFLOW)["jobs"]["gate"]["steps"]
    judge = next(step["run"] for step in steps if "--fail-on" in step.get("run", ""))
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("BENCH_", "MLFLOW_T"))},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        ["bash", "-e", "-c", judge],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert ("--fail-on: 1 verdict of inferior" in done.stderr) == (status == 1)
    [page] = (step["with"]["path"] for step in steps if "upload" in step.get("uses", ""))
    assert (tmp_path / page).exists()
