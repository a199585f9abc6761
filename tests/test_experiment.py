"""MLflow experiments as tables: those that bench mirrored, and those of others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import finish_run, flats

from bench.reports.build import report
from bench.reports.compare import Request, compare_table
from bench.results import RunFolder
from bench.suite import Suite
from bench.tracking.experiment import read_experiment
from bench.tracking.mirror import Mirror
from bench.tracking.store import TrackingError, connect, default_uri


def test_a_mirrored_suite_gives_the_numbers_of_its_report(
    make_suite: Callable[..., Suite], tmp_path: Path
) -> None:
    suite = make_suite(losses=["ce", "mae"], seeds=4)
    counts = iter([90, 91, 89, 92, 70, 72, 73])
    *finished, failed = suite.runs()
    for run in finished:
        finish_run(run, tmp_path, next(counts))
    folder = RunFolder(tmp_path, failed.id)
    folder.start(failed, {"host": "here", "started": 0.0})
    folder.fail("out of memory")
    uri = default_uri(tmp_path)
    Mirror(suite, tmp_path, uri).sync()
    made = compare_table("mlflow:small", read_experiment("mlflow:small", uri), Request(margin=0.1))
    [there], [here] = flats(made.comparisons), flats(report(suite, tmp_path).comparisons)
    assert there.missing == here.missing == [failed.seed]
    assert there.n == 3
    left_out = {"note", "low_new_images", "high_new_images", "p_new_images", "floor", "discordant", "metric"}
    assert {**vars(there), **dict.fromkeys(left_out)} == {**vars(here), **dict.fromkeys(left_out)}
    assert any(f"seed {failed.seed}" in note for note in made.notes)
    with pytest.raises(TrackingError, match=r"unknown experiment 'smal'; allowed: .*did you mean 'small'"):
        read_experiment("mlflow:smal", uri)


def test_an_experiment_of_somebody_else(tmp_path: Path) -> None:
    uri = default_uri(tmp_path)
    client = connect(uri)
    experiment = client.create_experiment("theirs")
    parent = client.create_run(experiment).info.run_id
    for criterion in ("ce", "focal"):
        for seed in range(3):
            tags = {"architecture": "resnet18", "mlflow.parentRunId": parent}
            run = client.create_run(experiment, tags=tags).info.run_id
            client.log_param(run, "criterion", criterion)
            client.log_param(run, "random_seed", seed)
            client.log_metric(run, "loss", 0.1)
            client.log_metric(run, "test_acc", 0.9 + seed / 100 + (criterion == "focal") * seed / 1000)
            client.set_terminated(run, "FINISHED")
    lost = client.create_run(experiment, tags={"architecture": "resnet18", "mlflow.parentRunId": parent})
    for name, value in (("criterion", "focal"), ("random_seed", 3)):
        client.log_param(lost.info.run_id, name, value)
    client.log_metric(lost.info.run_id, "test_acc", 0.1)  # not at its end
    client.set_terminated(lost.info.run_id, "FAILED")
    made = compare_table("mlflow:theirs", read_experiment("mlflow:theirs", uri), Request())
    [found] = made.comparisons
    assert (found.model, found.loss, found.n, found.missing) == ("resnet18", "focal", 3, (3,))
    assert found.delta == pytest.approx(0.001)
    assert "method = 'criterion' (guessed)" in made.reading


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"there is no MLflow store; say which with --tracking-uri"):
        read_experiment("mlflow:x", default_uri(tmp_path))
    assert not (tmp_path / "mlflow.db").exists()
    connect(default_uri(tmp_path)).create_experiment("bare")
    with pytest.raises(TrackingError, match="experiment 'bare' has no runs"):
        read_experiment("mlflow:bare", default_uri(tmp_path))
