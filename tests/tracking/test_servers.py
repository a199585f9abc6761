"""A real MLflow server, on SQLite and on PostgreSQL: what is there is the same as in a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirrored import (
    BEGUN,
    EPOCHS,
    add_epochs,
    begin,
    client_of,
    finish,
    history,
    make_results,
    make_suite,
    mirrored,
)
from nasty import NASTY
from servers import free_port, postgresql, serving

from bench.suite import Suite
from bench.tracking.answer import Answer
from bench.tracking.database import Tables
from bench.tracking.mirror import Mirror, Synced
from bench.tracking.store import default_uri, ui_command


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgresql() as address:
        yield address


@pytest.fixture(params=["a server on SQLite", "a server on PostgreSQL", "PostgreSQL itself"])
def store(request: pytest.FixtureRequest, tmp_path: Path, empty_store: bytes) -> Iterator[str]:
    """Where to mirror to, other than into a file."""
    if request.param == "PostgreSQL itself":
        yield request.getfixturevalue("database")
        return
    place, port = tmp_path / "server", free_port()
    place.mkdir()
    address = f"http://127.0.0.1:{port}"
    if request.param == "a server on SQLite":
        (place / "store.db").write_bytes(empty_store)
        command = ui_command(place, f"sqlite:///{place / 'store.db'}", port)
    else:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--backend-store-uri", request.getfixturevalue("database"), "--workers", "1"]
        command += ["--artifacts-destination", (place / "artifacts").as_uri()]
    with serving(command, address, place):
        yield address


def test_a_server_gets_the_same_as_a_file(results: Path, store: str) -> None:
    name = f"small-{abs(hash(store))}"  # the database is there for several tests
    suite = make_suite(name=name)
    folders = make_results(results, suite)
    (folders[0].path / "result.json").unlink()
    mirror = Mirror(suite, results, store)
    assert mirror.sync() == Synced(4, 0, 0)
    assert Mirror(suite, results, store).sync() == Synced(0, 0, 4)
    finish(folders[0])
    assert Mirror(suite, results, store).sync() == Synced(0, 1, 3)
    assert mirror.sync() == Synced(0, 0, 4)
    assert isinstance(mirror._many, Tables) == store.startswith("postgresql:")
    report, figure = results / "report.md", results / name / "figures" / "intervals.png"
    figure.parent.mkdir(parents=True)
    for file in (report, figure):
        file.write_text("superior")
    said = Answer("Is it?", "It is.", "It is.", {("digits", "vgg5-tiny", "ce"): "baseline"})
    mirror.attach_report([report, figure], said)

    file = default_uri(results)
    Mirror(suite, results, file).sync()
    (parent, there), (_, here) = mirrored(store, name), mirrored(file, name)
    assert there.keys() == here.keys()
    for run_id, run in there.items():
        for of in ("params", "metrics"):
            assert getattr(run.data, of) == getattr(here[run_id].data, of)
        ours = {key for key in run.data.tags if key not in ("bench.folder", "verdict")}
        assert {key: here[run_id].data.tags[key] for key in ours} == {key: run.data.tags[key] for key in ours}
        assert history(store, run, "lr") == history(file, here[run_id], "lr")
        assert (run.info.status, run.info.start_time) == ("FINISHED", BEGUN * 1000)
        assert run.info.run_name == here[run_id].info.run_name
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["mlflow.note.content"] == "It is."
    about = client_of(store).get_experiment(parent.info.experiment_id).tags["mlflow.note.content"]
    assert about.startswith("Is it? **It is.**")
    gone = there[folders[0].run_id].info.run_id
    assert client_of(store).get_run(gone).data.tags["verdict"] == "baseline"
    client_of(store).delete_run(gone)
    assert Mirror(suite, results, store).sync() == Synced(0, 0, 3, deleted=1)
    files = client_of(store).list_artifacts(parent.info.run_id)
    assert [found.path for found in files] == ["results"]
    [found] = client_of(store).list_artifacts(parent.info.run_id, "results/figures")
    assert found.path == "results/figures/intervals.png"


def test_postgresql_takes_every_name(results: Path, database: str) -> None:
    """It is stricter than SQLite: about lengths, and about what is text."""
    losses = [
        "ce",
        *({"mae": {"label": name, "recipe": {"epochs": k}}} for k, name in enumerate(NASTY, start=1)),
    ]
    model = {"vgg5-tiny": {"label": "m" * 200}}
    suite = make_suite(name="nasty", losses=losses, models=[model], seeds=1, question=NASTY[0])
    for run in suite.runs()[:-1]:
        finish(begin(results, run))
    failed = begin(results, suite.runs()[-1])
    add_epochs(failed, 1, EPOCHS)
    failed.fail("reason \0" + "x" * 10_000, "trace \0" + "x" * 10_000)
    everywhere = []
    for uri in (database, default_uri(results)):
        assert Mirror(suite, results, uri).sync().created == len(suite.runs())
        _, runs = mirrored(uri, "nasty")
        everywhere.append({key: (run.info.run_name, run.data.params) for key, run in runs.items()})
    assert everywhere[0] == everywhere[1]


def test_two_results_folders_have_an_experiment_each(tmp_path: Path, database: str) -> None:
    folders = [tmp_path / "mine", tmp_path / "theirs"]
    suite: Suite = make_suite(name="shared")
    for folder in folders:
        make_results(folder, suite)
        assert Mirror(suite, folder, database).sync() == Synced(4, 0, 0)
    for folder in folders:
        assert Mirror(suite, folder, database).sync() == Synced(0, 0, 4)
    folders[1].rename(tmp_path / "moved")
    assert Mirror(suite, tmp_path / "moved", database).sync() == Synced(0, 0, 4)
    names = [found.name for found in client_of(database).search_experiments() if "shared" in found.name]
    assert sorted(names)[0] == "shared"
    assert sorted(names)[1].startswith("shared · ")
    assert len(names) == 2
