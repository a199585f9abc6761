"""Links to runs in MLflow's UI: only where there is a server that knows the suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.suite import Suite
from bench.tracking import links

Make = Callable[..., Suite]


def answer(monkeypatch: pytest.MonkeyPatch, found: Any) -> None:
    client = SimpleNamespace(get_experiment_by_name=lambda name: found if name == "small" else None)
    monkeypatch.setattr(links, "connect", lambda uri: client)


def test_a_link_finds_a_run_by_its_id_and_holds_no_password(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, SimpleNamespace(experiment_id="7", tags={}))
    link = links.link_to_runs(make_suite(), tmp_path, "https://me:secret@mlflow.example/base/")
    assert link.startswith("https://mlflow.example/base/#/experiments/7/runs?workflowType=machine_learning&")
    assert "searchFilter=tags.%60bench.run_id%60%20=%20%27{run}%27&" in link


def test_no_link_where_nothing_would_open(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = make_suite()
    assert links.link_to_runs(suite, tmp_path, "sqlite:///mlflow.db") == ""
    assert links.link_to_runs(suite, tmp_path, "http://127.0.0.1:9") == ""  # nobody listens there
    assert links.link_to_runs(suite, tmp_path, "http://mlflow:50O0") == ""
    answer(monkeypatch, None)
    assert links.link_to_runs(suite, tmp_path, "http://mlflow.example") == ""
