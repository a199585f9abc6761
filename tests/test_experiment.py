"""MLflow experiments as tables: those that bench mirrored, and those of others."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import finish_run, flats

from bench.errors import BenchError
from bench.reports.build import report
from bench.reports.external import Request, compare_table
from bench.results.folder import RunFolder
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


def make_run(client: Any, experiment: str, name: str = "", parent: str = "", **params: object) -> str:
    tags = {"mlflow.parentRunId": parent} if parent else {}
    run = client.create_run(experiment, run_name=name or None, tags=tags).info.run_id
    for key, value in params.items():
        client.log_param(run, key, value)
    return str(run)


def test_seeds_below_a_run_of_their_method_have_its_parameters(tmp_path: Path) -> None:
    uri = default_uri(tmp_path)
    client = connect(uri)
    experiment = client.create_experiment("nested")
    for number, criterion in enumerate(("ce", "focal")):
        parent = make_run(client, experiment, f"all of {criterion}", criterion=criterion, lr=0.1)
        client.set_terminated(parent, "FINISHED")
        for seed in range(5):
            run = make_run(client, experiment, parent=parent, seed=seed)
            client.log_metric(run, "val_acc", 0.9 + seed / 100 + number * (2 + seed % 2) / 1000)
            client.set_terminated(run, "FINISHED")
    made = compare_table("mlflow:nested", read_experiment("mlflow:nested", uri), Request())
    [found] = made.comparisons
    assert (found.loss, found.n, found.delta) == ("focal", 5, pytest.approx(0.0024))
    assert any(line.startswith("2 runs hold others together") for line in made.guessed)
    assert "metrics: the last value of each (--epoch says otherwise)" in made.guessed


def test_names_of_runs_steps_and_numbers_that_are_none(tmp_path: Path) -> None:
    """Last and best differ, one run diverged, and nothing but its name says which run is which."""
    uri = default_uri(tmp_path)
    client = connect(uri)
    experiment = client.create_experiment("names")
    for number, method in enumerate(("ce", "focal")):
        for seed in range(6):
            run = make_run(client, experiment, f"{method}-seed{seed}", lr=0.1)
            for step, (val, test) in enumerate(((0.5, 0.50), (0.9, 0.70), (0.6, 0.60))):
                better = test + seed / 1000 + number * (10 + seed % 2) / 1000
                client.log_metric(run, "val_acc", val, step=step)
                client.log_metric(run, "test_acc", better, step=step)
            if method == "focal" and seed == 5:
                client.log_metric(run, "test_acc", float("nan"), step=3)
            client.set_terminated(run, "FINISHED")
    last, steps = (read_experiment("mlflow:names", uri, every_step=every) for every in (False, True))
    made = compare_table("mlflow:names", last, Request())
    [found] = made.comparisons
    assert (found.loss, found.n) == ("focal", 5)
    assert [cell.failed for cell in made.cells] == [0, 1]
    assert made.cells[0].values[0] == pytest.approx(0.6)
    assert any("of the names in 'run_name', such as" in line for line in made.guessed)
    best = compare_table("mlflow:names", steps, Request(epoch="best"))
    assert best.cells[0].values[0] == pytest.approx(0.7)
    assert any("the step with the highest val_acc of each run" in line for line in best.guessed)
    assert compare_table("mlflow:names", steps, Request(epoch="0")).cells[0].values[0] == pytest.approx(0.5)
    with pytest.raises(BenchError, match=r"one for each 'step' .*--epoch: last, best \(by val_acc"):
        compare_table("mlflow:names", steps, Request())


def test_what_cannot_be_guessed_is_offered(tmp_path: Path) -> None:
    uri = default_uri(tmp_path)
    client = connect(uri)
    experiment = client.create_experiment("odd")
    for number, way in enumerate(("plain", "ours")):
        for time in range(5):
            run = make_run(client, experiment, head=way, attempt=time)
            client.log_metric(run, "quality", 0.5 + time / 100 + number * (time % 2 + 1) / 1000)
            client.set_terminated(run, "FINISHED")
    table = read_experiment("mlflow:odd", uri)
    with pytest.raises(BenchError) as caught:
        compare_table("mlflow:odd", table, Request())
    text = str(caught.value)
    assert "head      words, 2 different: " in text
    command = text.rpartition("For example: ")[2]
    options = "--method-column head --seed-column attempt --metric-column quality"
    assert command.startswith(f"bench compare mlflow:odd {options} --baseline ")
    asked = Request(columns={"method": "head", "seed": "attempt"}, metrics=["quality"], baseline="plain")
    assert compare_table("mlflow:odd", table, asked).comparisons[0].n == 5


def older_store(file: Path, revision: str = "cc1f77228345") -> None:
    """As MLflow 1.x left it: its schema, and two methods with three seeds."""
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base
    from sqlalchemy import create_engine

    engine = create_engine(f"sqlite:///{file}")
    Base.metadata.create_all(engine)
    config = _get_alembic_config(f"sqlite:///{file}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    with contextlib.closing(sqlite3.connect(file)) as store, store:
        store.execute(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage) "
            "VALUES (1, 'old', '/nowhere', 'active')"
        )
        for number, loss in enumerate(("ce", "focal")):
            for seed in range(3):
                run = f"{number}{seed}" * 16
                store.execute(
                    "INSERT INTO runs (run_uuid, name, source_type, status, start_time, end_time, "
                    "lifecycle_stage, artifact_uri, experiment_id, source_name, entry_point_name, user_id, "
                    "source_version) VALUES (?, '', 'LOCAL', 'FINISHED', 1, 2, 'active', '/nowhere', 1, '', "
                    "'', 'me', '')",
                    [run],
                )
                for key, value in (("loss", loss), ("seed", str(seed))):
                    store.execute(
                        "INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", [key, value, run]
                    )
                value = 0.9 + seed / 100 + number * (1 + seed % 2) / 1000
                for table in ("metrics", "latest_metrics"):
                    store.execute(
                        f"INSERT INTO {table} (key, value, timestamp, step, is_nan, run_uuid) "
                        "VALUES ('test_acc', ?, 1, 0, 0, ?)",
                        [value, run],
                    )


def test_reading_changes_nothing(tmp_path: Path) -> None:
    """A store that an older MLflow made stays as that can open it, to the last byte."""
    file = tmp_path / "mlflow.db"
    older_store(file)
    before = file.read_bytes()
    made = compare_table("mlflow:old", read_experiment("mlflow:old", default_uri(tmp_path)), Request())
    assert (made.comparisons[0].loss, made.comparisons[0].n) == ("focal", 3)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_hundred_thousand_metric_rows_take_seconds(tmp_path: Path) -> None:
    uri = default_uri(tmp_path)
    client = connect(uri)
    experiment = client.create_experiment("long")
    runs = [
        make_run(client, experiment, loss=loss, seed=seed) for loss in ("ce", "focal") for seed in range(5)
    ]
    for run in runs:
        client.log_metric(run, "test_acc", 0.1, step=0)
        client.set_terminated(run, "FINISHED")
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as store, store:
        store.executemany(
            "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) "
            "VALUES ('test_acc', ?, ?, ?, 0, ?)",
            (
                (0.1 + k / 1e5 + n / 1e3 * (1 + k % 2), k, k, run)
                for n, run in enumerate(runs)
                for k in range(1, 10_001)
            ),
        )
    table = read_experiment("mlflow:long", uri, every_step=True)
    assert len(table) == 100_010
    made = compare_table("mlflow:long", table, Request(epoch="10000"))
    assert made.comparisons[0].n == 5


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"there is no MLflow store; say which with --tracking-uri"):
        read_experiment("mlflow:x", default_uri(tmp_path))
    assert not (tmp_path / "mlflow.db").exists()
    connect(default_uri(tmp_path)).create_experiment("bare")
    with pytest.raises(TrackingError, match="experiment 'bare' has no runs"):
        read_experiment("mlflow:bare", default_uri(tmp_path))
