"""A suite made in Python on a real Slurm: nothing of the program that made it is needed any more."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SMALL
from helpers import attempts, wait_for

import bench
from bench.sequential_design import as_it_stands
from bench.suite import load

BRIER = "def brier(logits, target):\n    return logits.softmax(1).square().sum(1).mean()\n"


def test_its_functions_train_and_seeds_are_added(
    tmp_path: Path, profile: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "brier_in_python.py").write_text(BRIER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "code")])
    brier = importlib.import_module("brier_in_python").brier
    values = {**SMALL, "recipe": {"epochs": 1, "batch_size": 32}, "losses": ["ce", brier]}
    suite = bench.Suite(
        name="made", **{**values, "seeds": {"start": 2, "step": 1, "max": 3, "until": "decided"}}
    )
    report = bench.run(suite, on=profile(), detach=True, results="there")
    assert not report.failed

    def ended() -> bool:
        now = bench.status(suite, results="there")
        return {*now.queue} == {"COMPLETED"} and now.runs.done == now.runs.planned == 6

    wait_for(ended, seconds=240)
    now = as_it_stands(load(tmp_path / "there" / "made" / "suite.yaml"), tmp_path / "there")
    assert attempts(now, tmp_path / "there") == [1] * 6
