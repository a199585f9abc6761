"""Runs written in tables and runs written through MLflow's own client: nobody can tell one from the other."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from mirrored import EPOCHS, add_epochs, begin, client_of, finish, history, make_suite, mirrored
from nasty import NASTY

from bench.suite import Suite
from bench.tracking.answer import Answer
from bench.tracking.database import COLUMNS, Tables
from bench.tracking.mirror import Mirror, Synced
from bench.tracking.record import run_name
from bench.tracking.store import default_uri
from bench.tracking.text import LONGEST_NAME
from bench.visible import visible


def some_of_all(results: Path) -> Suite:
    """A suite with a run that is done, one that failed, one that is running, and numbers that are none."""
    suite = make_suite(losses="ce", seeds=4)
    done, failed, running, odd = (begin(results, run) for run in suite.runs())
    for folder in (done, failed, running):
        add_epochs(folder, 1, EPOCHS)
    lines = [  # which training does not write, but a file may hold
        json.dumps({"epoch": epoch, "time": 1.0, "lr": 0.1, "a": value, "b": 5.0 - epoch})
        for epoch, value in enumerate([math.nan, math.inf, -math.inf, 1e300, math.nan], start=1)
    ]
    (odd.path / "metrics.jsonl").write_text("\n".join(lines))
    finish(done)
    finish(odd)
    failed.fail("out of memory: \0 <b>", "Traceback")
    return suite


SAID = Answer("Is it?", "It is.", verdicts={("digits", "vgg5-tiny", "ce"): "baseline"})


def everything(uri: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of a store, with names instead of ids, and without the times and ids that are made up anew."""
    tables = {}
    with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        names = dict(connection.execute("SELECT run_uuid, name FROM runs"))
        names |= dict(connection.execute("SELECT dataset_uuid, name FROM datasets"))
        names |= dict(connection.execute("SELECT input_uuid, source_type FROM inputs"))
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            found = connection.execute(f"SELECT * FROM {table}")
            columns = [column for column, *_ in found.description]
            rows = []
            for row in found:
                values = dict(zip(columns, row, strict=True))
                if values.get("key") in ("bench.writer", "bench.note"):
                    continue
                if values.get("name") == "small":  # the suite's own run, which begins now
                    values |= {"start_time": 0, "end_time": 0}
                kept = {k: v for k, v in values.items() if k not in ("creation_time", "last_update_time")}
                text = re.sub("|".join(names) or "$^", lambda hit: names[hit[0]], repr(kept))
                rows.append(text)
            tables[table] = sorted(rows)
    return tables


def test_both_ways_write_the_same_rows(
    results: Path, empty_store: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = some_of_all(results)
    for folder in (results / "runs").iterdir():
        os.utime(folder, (0, 0))  # all at rest, however long this takes
    found = {}
    for way in ("tables", "calls"):
        (results / "mlflow.db").write_bytes(empty_store)
        with monkeypatch.context() as patch:
            if way == "calls":
                patch.setattr(Tables, "known", lambda uri: None)
            mirror = Mirror(suite, results, default_uri(results))
            assert mirror.sync() == Synced(4, 0, 0)
            mirror.attach_report([], SAID)
            assert isinstance(mirror._many, Tables) == (way == "tables")
        found[way] = everything(default_uri(results))
    assert sum("'verdict', 'value': 'baseline'" in row for row in found["tables"]["tags"]) == 4
    assert len(found["tables"]["inputs"]) == 2
    assert len(found["tables"]["metrics"]) > 70
    assert {name for name, rows in found["tables"].items() if rows} >= COLUMNS.keys()
    assert found["tables"] == found["calls"]


def test_either_way_goes_on_with_what_the_other_began(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = make_suite(losses="ce", seeds=2)
    folders = [begin(results, run) for run in suite.runs()]
    uri, known = default_uri(results), Tables.known
    for epoch in range(1, 5):
        for folder in folders:
            add_epochs(folder, epoch, epoch)
        monkeypatch.setattr(Tables, "known", known if epoch % 2 else lambda uri: None)
        assert Mirror(suite, results, uri).sync().unchanged == 0
    for folder in folders:
        finish(folder)
    assert Mirror(suite, results, uri).sync() == Synced(0, 2, 0)
    _, runs = mirrored(uri)
    for run in runs.values():
        assert [step for step, _, _ in history(uri, run, "lr")] == [1, 2, 3, 4]
        assert run.data.metrics["train_loss"] == 0.25


def test_numbers_that_are_none_are_kept_as_mlflow_keeps_them(results: Path) -> None:
    suite = some_of_all(results)
    Mirror(suite, results, default_uri(results)).sync()
    _, runs = mirrored(default_uri(results))
    odd = runs[suite.runs()[3].id]
    assert math.isnan(odd.data.metrics["a"])
    values = [value for _, _, value in history(default_uri(results), odd, "a")]
    assert values[1:4] == [sys.float_info.max, -sys.float_info.max, 1e300]
    assert odd.data.metrics["b"] == 0.0  # of the last epoch, not the greatest


@pytest.mark.parametrize(
    "change", ["ALTER TABLE metrics ADD COLUMN unit TEXT", "ALTER TABLE tags RENAME TO old_tags"]
)
def test_tables_that_are_not_as_known_are_left_alone(results: Path, change: str) -> None:
    uri = default_uri(results)
    assert Tables.known(uri) is not None
    with contextlib.closing(sqlite3.connect(results / "mlflow.db")) as connection:
        connection.execute(change)
    assert Tables.known(uri) is None


def test_a_store_with_another_column_is_mirrored_into_all_the_same(results: Path) -> None:
    uri, suite = default_uri(results), some_of_all(results)
    with contextlib.closing(sqlite3.connect(results / "mlflow.db")) as connection:
        connection.execute("ALTER TABLE metrics ADD COLUMN unit TEXT")
    mirror = Mirror(suite, results, uri)
    assert mirror.sync() == Synced(4, 0, 0)
    assert mirror._many is mirror._calls
    assert Mirror(suite, results, uri).sync() == Synced(0, 0, 4)


def test_only_what_may_have_changed_is_read_again(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = some_of_all(results)
    uri = default_uri(results)
    Mirror(suite, results, uri).sync()
    read = []
    monkeypatch.setattr("bench.tracking.mirror.read_record", lambda folder, *_: read.append(folder.run_id))
    Mirror(suite, results, uri).sync()
    done, failed, running, odd = (run.id for run in suite.runs())
    assert read == [failed, running]  # the failure is so young that it may be forgotten within the same tick
    renamed = make_suite(losses={"ce": {"label": "other"}}, seeds=4)
    read.clear()
    Mirror(renamed, results, uri).sync()
    assert set(read) >= {done, odd}


@pytest.mark.parametrize("name", NASTY)
def test_names_come_out_as_they_are_but_for_what_steers(results: Path, name: str) -> None:
    suite = make_suite(losses=["ce", {"mae": {"label": name}}], seeds=1, question=name)
    for run in suite.runs():
        finish(begin(results, run))
    Mirror(suite, results, default_uri(results)).sync()
    _, runs = mirrored(default_uri(results))
    cell = suite.cells[1]
    run, loss = runs[cell.runs[0].id], visible(cell.loss)
    assert run.data.params["loss"] == run.data.tags["loss"] == loss
    assert run.info.run_name == run.data.tags["mlflow.runName"] == f"seed 0 · {loss} · 70.00% · vgg5-tiny"
    found = client_of(default_uri(results)).search_runs(
        [run.info.experiment_id], filter_string="params.loss != 'ce'"
    )
    assert [run.data.params["loss"] for run in found] == [loss]


def test_long_names_are_shortened_alike_and_keep_what_tells_them_apart() -> None:
    name = run_name(["x" * 200, "y" * 200, "short"], 12, "98.22%")
    assert len(name) <= LONGEST_NAME
    assert name.count("…") == 2
    assert name.startswith("seed 12 · xxx")
    assert name.endswith("y… · short")
    assert " · 98.22% · " in name
    assert run_name(["x" * 200, "vgg5"], 1) == f"seed 1 · {'x' * 200} · vgg5"
