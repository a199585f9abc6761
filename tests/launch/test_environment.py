"""What jobs get of the environment that they are submitted from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import submitit

from bench.launch.executors import Request, without
from bench.launch.executors.local import Local
from bench.launch.executors.slurm.commands import clean_environment
from bench.launch.profile import Profile

SECRET = "http://me:hushhush@host"


def test_no_command_of_slurm_gets_what_a_shell_or_a_job_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"SLURM_CONF": "/etc/slurm.conf", "PATH": "/bin", "SLURMS": "no prefix of theirs"}
    gone = ("SLURM_MPI_TYPE", "SQUEUE_SORT", "SACCT_X", "SBATCH_EXCLUSIVE", "_SLURM_SPANK_OPTION_pyxis_image")
    for name, value in {**kept, **dict.fromkeys(gone, "x"), "MLFLOW_TRACKING_URI": SECRET}.items():
        monkeypatch.setenv(name, value)
    clean = clean_environment()
    assert {name: clean[name] for name in kept} == kept
    assert not {*gone, "MLFLOW_TRACKING_URI"} & clean.keys()


def test_what_was_left_out_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SECRET)
    with without(["MLFLOW_TRACKING_URI", "not there"]):
        assert "MLFLOW_TRACKING_URI" not in os.environ
    assert os.environ["MLFLOW_TRACKING_URI"] == SECRET


def test_a_worker_gets_no_tracking_uri(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SECRET)
    started: dict[str, str] = {}

    def submit(self: Any, worker: Any) -> Any:
        started.update(os.environ)
        raise OSError("nothing is started")

    monkeypatch.setattr(submitit.LocalExecutor, "submit", submit)
    with pytest.raises(OSError, match="nothing is started"):
        Local().submit(tmp_path, [lambda: None], Request(Profile(), tmp_path, "x", 1))
    assert started
    assert SECRET not in started.values()
