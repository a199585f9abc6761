"""The mirror, held against real SQLite stores and a real MLflow server."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import BenchError
from bench.results import RunFolder
from bench.run import Run
from bench.suite import Suite
from bench.tracking.background import BackgroundMirror
from bench.tracking.mirror import Mirror, Synced
from bench.tracking.record import read_record
from bench.tracking.store import TrackingError, default_uri, ui_command

BEGUN = 1_700_000_000.0
EPOCHS = 3


def make_suite(**changes: Any) -> Suite:
    values = {
        "name": "small",
        "question": "Is it mirrored?",
        "datasets": "digits",
        "models": "vgg5-tiny",
        "losses": ["ce", {"label_smoothing": {"smoothing": 0.2}}],
        "seeds": 2,
        "recipe": {"epochs": EPOCHS, "optimizer": {"adam": {"lr": 0.002}}},
    }
    return Suite.model_validate({**values, **changes})


def begin(results: Path, run: Run, started: float = BEGUN, **attempt: Any) -> RunFolder:
    folder = RunFolder(results, run.id)
    origin = {"host": "node1", "device": "cpu", "git": {"commit": "abc123", "dirty": False}}
    folder.start(run, {"started": started, **origin, **attempt})
    return folder


def add_epochs(folder: RunFolder, first: int, last: int, started: float = BEGUN) -> None:
    for epoch in range(first, last + 1):
        line = {"epoch": epoch, "time": started + 10 * epoch, "lr": 0.002, "train_loss": 1 / epoch}
        folder.append_metrics(line | {"test_accuracy": epoch / 10, "test_correct": epoch})


def finish(folder: RunFolder, correct: int = 7) -> None:
    truth = np.zeros(10, dtype=np.uint8)
    predicted = np.where(np.arange(10) < correct, 0, 1).astype(np.uint8)
    scores = {"correct": correct, "total": 10, "epoch": 2, "nll": 0.5, "brier": 0.1, "ece": 0.01}
    other = {"last": {"epoch": 3, "correct": 6}, "best_test": {"epoch": 2, "correct": 7}}
    speed = {"images_per_second": 100.0, "seconds": 30.0}
    folder.finish({**scores, **other, **speed}, np.stack([predicted, truth]))


def make_results(results: Path, suite: Suite) -> list[RunFolder]:
    """All runs of the suite, finished."""
    folders = []
    for run in suite.runs():
        folders.append(begin(results, run))
        add_epochs(folders[-1], 1, EPOCHS)
        finish(folders[-1])
    return folders


def client_of(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri)


def mirrored(uri: str, name: str = "small") -> tuple[Any, dict[str, Any]]:
    """The parent run and, by bench's run id, the others. Fails where a run is there twice."""
    client = client_of(uri)
    found = client.search_runs([client.get_experiment_by_name(name).experiment_id])
    [parent] = [run for run in found if "bench.suite" in run.data.tags]
    runs = [run for run in found if "bench.run_id" in run.data.tags]
    assert all(run.data.tags["mlflow.parentRunId"] == parent.info.run_id for run in runs)
    by_id = {run.data.tags["bench.run_id"]: run for run in runs}
    assert len(by_id) == len(runs)
    return parent, by_id


def history(uri: str, run: Any, metric: str) -> list[tuple[int, int, float]]:
    points = client_of(uri).get_metric_history(run.info.run_id, metric)
    return sorted((point.step, point.timestamp, point.value) for point in points)


def dump(uri: str) -> list[str]:
    """Everything a SQLite store holds."""
    with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        return list(connection.iterdump())


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A store that MLflow has just set up: making one takes a second, a copy takes none."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    client_of(f"sqlite:///{file}")
    return file.read_bytes()


@pytest.fixture
def results(tmp_path: Path, empty_store: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_bytes(empty_store)
    return tmp_path


def test_everything_of_a_run_is_shown(results: Path) -> None:
    suite = make_suite()
    make_results(results, suite)
    uri = default_uri(results)
    assert Mirror(suite, results, uri).sync() == Synced(created=4, updated=0, unchanged=0)

    parent, runs = mirrored(uri)
    assert runs.keys() == {run.id for run in suite.runs()}
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["progress"] == "4 finished, 0 failed, of 4"
    assert parent.data.tags["mlflow.note.content"] == "Is it mirrored?"

    smoothed = next(run for run in suite.cells[1].runs if run.seed == 1)
    run = runs[smoothed.id]
    label = suite.cells[1].loss
    assert run.info.run_name == f"{label} · vgg5-tiny · seed 1"
    assert run.info.status == "FINISHED"
    assert run.info.start_time == BEGUN * 1000
    result = RunFolder(results, smoothed.id).result()
    assert result is not None
    assert run.info.end_time == round(result.finished * 1000)
    assert run.data.params["loss"] == label
    assert run.data.params["loss.name"] == "label_smoothing"
    assert run.data.params["loss.smoothing"] == "0.2"
    assert run.data.params["optimizer.lr"] == "0.002"
    assert run.data.params["selection"] == "validation"
    assert run.data.params["seed"] == run.data.tags["seed"] == "1"
    assert run.data.tags["host"] == "node1"
    assert run.data.tags["git.commit"] == run.data.tags["mlflow.source.git.commit"] == "abc123"
    assert (run.data.metrics["accuracy"], run.data.metrics["epoch"]) == (0.7, 2)
    assert history(uri, run, "test_accuracy") == [
        (epoch, round((BEGUN + 10 * epoch) * 1000), epoch / 10) for epoch in range(1, EPOCHS + 1)
    ]


def test_nothing_is_written_twice(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "bench.tracking.calls.PAGE", 2
    )  # so that looking through the runs takes several pages
    suite = make_suite()
    make_results(results, suite)
    uri = default_uri(results)
    mirror = Mirror(suite, results, uri)
    mirror.sync()
    before = dump(uri)
    for again in (mirror, Mirror(suite, results, uri)):  # the second one knows only what MLflow holds
        assert again.sync() == Synced(0, 0, 4)
        assert again.sync() == Synced(0, 0, 4)
    assert dump(uri) == before


def test_a_running_run_gets_its_epochs_as_they_come(results: Path) -> None:
    suite = make_suite(seeds=1, losses="ce")
    [run] = suite.runs()
    uri = default_uri(results)
    mirror = Mirror(suite, results, uri)
    assert mirror.sync() == Synced(0, 0, 0)
    folder = begin(results, run)
    assert mirror.sync() == Synced(1, 0, 0)
    add_epochs(folder, 1, 1)
    assert mirror.sync() == Synced(0, 1, 0)
    parent, runs = mirrored(uri)
    assert (parent.info.status, runs[run.id].info.status) == ("RUNNING", "RUNNING")
    add_epochs(folder, 2, 2)
    assert Mirror(suite, results, uri).sync() == Synced(0, 1, 0)  # another mirror goes on …
    add_epochs(folder, 3, 3)
    finish(folder)
    assert mirror.sync() == Synced(0, 1, 0)  # … and so does the first
    parent, after = mirrored(uri)
    assert after[run.id].info.run_id == runs[run.id].info.run_id
    assert after[run.id].info.status == parent.info.status == "FINISHED"
    assert [step for step, _, _ in history(uri, after[run.id], "lr")] == [1, 2, 3]


def test_epochs_trained_anew_replace_the_old_ones(results: Path) -> None:
    suite = make_suite(seeds=1, losses="ce")
    [run] = suite.runs()
    uri = default_uri(results)
    mirror = Mirror(suite, results, uri)
    folder = begin(results, run)
    add_epochs(folder, 1, 2)
    mirror.sync()
    folder.write_metrics(folder.metrics()[:1])  # preempted; the checkpoint was one epoch old
    begin(results, run, started=BEGUN + 500)
    add_epochs(folder, 2, 3, started=BEGUN + 500)
    mirror.sync()
    _, runs = mirrored(uri)
    assert [when for _, when, _ in history(uri, runs[run.id], "lr")] == [
        round((BEGUN + seconds) * 1000) for seconds in (10, 520, 530)
    ]
    assert runs[run.id].info.start_time == BEGUN * 1000


def test_a_failed_run_that_is_retried_ends_finished(results: Path) -> None:
    suite = make_suite(seeds=1, losses="ce")
    [run] = suite.runs()
    uri = default_uri(results)
    mirror = Mirror(suite, results, uri)
    folder = begin(results, run)
    add_epochs(folder, 1, 1)
    folder.fail("out of memory on cuda:0", "Traceback: …")
    mirror.sync()
    parent, runs = mirrored(uri)
    assert (parent.info.status, runs[run.id].info.status) == ("FAILED", "FAILED")
    assert runs[run.id].data.tags["bench.failure"] == "out of memory on cuda:0"
    assert "Traceback" in runs[run.id].data.tags["mlflow.note.content"]

    folder.forget_failure()
    begin(results, run, started=BEGUN + 1000)
    folder.write_metrics([])
    add_epochs(folder, 1, 3, started=BEGUN + 1000)
    finish(folder)
    assert mirror.sync() == Synced(0, 1, 0)
    parent, runs = mirrored(uri)
    assert (parent.info.status, runs[run.id].info.status) == ("FINISHED", "FINISHED")
    assert "bench.failure" not in runs[run.id].data.tags
    assert runs[run.id].info.start_time == (BEGUN + 1000) * 1000
    assert len(history(uri, runs[run.id], "lr")) == EPOCHS


def test_a_damaged_result_is_not_finished(results: Path) -> None:
    suite = make_suite(seeds=1, losses="ce")
    [folder] = make_results(results, suite)
    (folder.path / "predictions.npy").write_bytes(b"not what was written")
    Mirror(suite, results, default_uri(results)).sync()
    _, runs = mirrored(default_uri(results))
    assert runs[folder.run_id].info.status == "FAILED"
    assert "damaged" in runs[folder.run_id].data.tags["bench.failure"]
    assert "accuracy" not in runs[folder.run_id].data.metrics


WRITES = (
    *("create_experiment", "set_experiment_tag", "create_run", "log_batch", "set_tag", "set_terminated"),
    *("update_run", "delete_run"),
)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_mirror_killed_at_any_write_is_completed(
    results: Path, empty_store: bytes, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    import mlflow

    monkeypatch.setattr("bench.tracking.calls.BATCH", 4)  # so that a run needs several calls
    suite = make_suite(losses="ce")
    done, failed = make_results(results, suite)
    (failed.path / "result.json").unlink()
    failed.fail("out of memory")
    at = writes = -1
    while at == writes:  # until a mirror got through before it was killed
        at, writes = at + 1, -1
        (results / f"{at}.db").write_bytes(empty_store)
        uri = f"sqlite:///{results}/{at}.db"

        def killed_at_a_write(original: Any, at: int = at) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal writes
                writes += 1
                if writes == at and when == "before":
                    raise KeyboardInterrupt
                answer = original(*args, **kwargs)
                if writes == at:
                    raise KeyboardInterrupt
                return answer

            return call

        mirror = Mirror(suite, results, uri)
        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            for name in WRITES:
                patch.setattr(
                    mlflow.MlflowClient, name, killed_at_a_write(getattr(mlflow.MlflowClient, name))
                )
            mirror.sync()
        for again in (mirror, Mirror(suite, results, uri)):
            again.sync()
            parent, runs = mirrored(uri)
            states = {run_id: run.info.status for run_id, run in runs.items()}
            assert states == {done.run_id: "FINISHED", failed.run_id: "FAILED"}
            assert parent.info.status == "FAILED"
            assert parent.data.tags["progress"] == "1 finished, 1 failed, of 2"
            for run in runs.values():
                assert [step for step, _, _ in history(uri, run, "lr")] == [1, 2, 3]
                assert run.data.params["epochs"] == str(EPOCHS)
            assert len(history(uri, runs[done.run_id], "accuracy")) == 1
    assert at > 10


def test_a_shared_run_is_in_both_experiments(results: Path) -> None:
    one, other = make_suite(), make_suite(name="other", losses="ce", question="And here?")
    make_results(results, one)
    for suite in (one, other):
        Mirror(suite, results, default_uri(results)).sync()
    shared = mirrored(default_uri(results), "other")[1].keys()
    assert shared == {run.id for run in other.runs()}
    assert shared < mirrored(default_uri(results), "small")[1].keys()


def test_what_is_deleted_in_mlflow_comes_back(results: Path) -> None:
    suite = make_suite()
    make_results(results, suite)
    uri = default_uri(results)
    Mirror(suite, results, uri).sync()
    _, runs = mirrored(uri)
    client_of(uri).delete_run(min(run.info.run_id for run in runs.values()))
    assert Mirror(suite, results, uri).sync() == Synced(1, 0, 3)
    client = client_of(uri)
    client.delete_experiment(client.get_experiment_by_name("small").experiment_id)
    Mirror(suite, results, uri).sync()
    assert len(mirrored(uri)[1]) == 4


def test_another_label_makes_another_run(results: Path) -> None:
    suite = make_suite()
    make_results(results, suite)
    uri = default_uri(results)
    Mirror(suite, results, uri).sync()
    renamed = make_suite(losses=["ce", {"label_smoothing": {"smoothing": 0.2, "label": "LS"}}])
    assert Mirror(renamed, results, uri).sync() == Synced(0, 2, 2)
    _, runs = mirrored(uri)
    assert sorted(run.data.params["loss"] for run in runs.values()) == ["LS", "LS", "ce", "ce"]


def test_the_report_is_attached(results: Path) -> None:
    suite = make_suite()
    make_results(results, suite)
    uri = default_uri(results)
    mirror = Mirror(suite, results, uri)
    mirror.sync()
    report = results / "report.md"
    report.write_text("superior")
    mirror.attach_report([report], "ce: baseline")
    before = dump(uri)
    Mirror(suite, results, uri).attach_report([report], "ce: baseline")
    assert dump(uri) == before
    parent, _ = mirrored(uri)
    assert parent.data.tags["mlflow.note.content"] == "Is it mirrored?\n\nce: baseline"
    assert [file.path for file in client_of(uri).list_artifacts(parent.info.run_id)] == ["report.md"]
    [copy] = (results / "mlartifacts" / "small").rglob("report.md")
    assert copy.read_text() == "superior"


def test_long_histories_and_values_fit(results: Path) -> None:
    suite = make_suite(seeds=1, losses="ce")
    [run] = suite.runs()
    folder = begin(results, run, host="h" * 10_000)
    folder.write_metrics(
        {"epoch": epoch, "time": BEGUN + epoch, **{f"m{k}": float(k) for k in range(9)}}
        for epoch in range(1, 301)
    )
    folder.fail("x" * 10_000, "y" * 100_000)
    Mirror(suite, results, default_uri(results)).sync()
    _, runs = mirrored(default_uri(results))
    for metric in ("m0", "m8"):
        assert len(history(default_uri(results), runs[run.id], metric)) == 300


def test_two_processes_may_mirror_into_a_fresh_store(tmp_path: Path) -> None:
    suite = make_suite()
    make_results(tmp_path, suite)
    uri = default_uri(tmp_path)
    script = (
        "import sys; from pathlib import Path\n"
        "from bench.suite import Suite; from bench.tracking.mirror import Mirror\n"
        "print(Mirror(Suite.model_validate_json(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]).sync())"
    )
    values = (
        '{"name": "small", "question": "Is it mirrored?", "datasets": "digits", "models": "vgg5-tiny",'
        ' "losses": ["ce", {"label_smoothing": {"smoothing": 0.2}}], "seeds": 2,'
        f' "recipe": {{"epochs": {EPOCHS}, "optimizer": {{"adam": {{"lr": 0.002}}}}}}}}'
    )
    command = [sys.executable, "-c", script, values, str(tmp_path), uri]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted(out.strip() for out, _ in said) == [str(Synced(0, 0, 4)), str(Synced(4, 0, 0))]
    assert [err for _, err in said] == ["", ""]
    assert len(mirrored(uri)[1]) == 4


@pytest.mark.parametrize("server", ["absent", "silent"])
def test_a_server_that_does_not_answer_is_one_message_soon(
    results: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = make_suite()
    make_results(results, suite)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")  # in earnest it is twelve
    began = time.monotonic()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if server == "silent":
            taken.listen()
        with pytest.raises(TrackingError, match="does not answer") as caught:
            Mirror(suite, results, f"http://me:secret@127.0.0.1:{taken.getsockname()[1]}").sync()
    assert time.monotonic() - began < 5
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dialect", ["postgresql", "mysql+pymysql"])
def test_a_database_that_is_not_there_is_one_message_soon(results: Path, dialect: str) -> None:
    began = time.monotonic()
    with pytest.raises(TrackingError, match="Connection refused"):
        Mirror(make_suite(), results, f"{dialect}://me:secret@127.0.0.1:{free_port()}/mlflow").sync()
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("trouble", ["not a database", "other schema", "folder", "no such place"])
def test_a_store_that_cannot_be_used_is_one_message(results: Path, trouble: str, capfd: Any) -> None:
    store = results / "own.db"
    if trouble == "not a database":
        store.write_bytes(b"something else " * 100)
    elif trouble == "other schema":
        store.write_bytes((results / "mlflow.db").read_bytes())
        with contextlib.closing(sqlite3.connect(store)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
            connection.commit()
    elif trouble == "folder":
        store.mkdir()
    else:
        (results / "file").touch()
        store = results / "file" / "own.db"
    suite = make_suite()
    make_results(results, suite)
    began = time.monotonic()
    with pytest.raises(TrackingError) as caught:
        Mirror(suite, results, f"sqlite:///{store}").sync()
    assert time.monotonic() - began < 15
    assert str(store) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_in_the_background_it_catches_up_and_keeps_its_warnings(results: Path, capfd: Any) -> None:
    suite = make_suite()
    uri = default_uri(results)
    background = BackgroundMirror(Mirror(suite, results, uri), seconds=0.05)
    background.start()
    make_results(results, suite)
    report = results / "report.md"
    report.write_text("superior")
    background.finish([report], "ce: baseline")
    assert background.warning is None
    parent, runs = mirrored(uri)
    assert len(runs) == 4
    assert [file.path for file in client_of(uri).list_artifacts(parent.info.run_id)] == ["report.md"]

    background = BackgroundMirror(Mirror(suite, results, f"http://127.0.0.1:{free_port()}"), seconds=0.05)
    background.start()
    background.finish(timeout=60)
    assert "does not answer" in (background.warning or "")
    assert capfd.readouterr() == ("", "")


def test_a_run_that_has_not_begun_is_not_there(results: Path) -> None:
    suite = make_suite()
    cell = suite.cells[0]
    folder = RunFolder(results, cell.runs[0].id)
    folder.path.mkdir(parents=True)
    assert read_record(folder, cell.runs[0], cell, "name") is None
    assert Mirror(suite, results, default_uri(results)).sync() == Synced(0, 0, 0)


def test_where_to_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert default_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert default_uri(tmp_path) == "http://tracking:5000"
    with pytest.raises(BenchError, match="open that address"):
        ui_command(tmp_path, "http://tracking:5000", 5000)
    with pytest.raises(BenchError, match="nothing has been mirrored"):
        ui_command(tmp_path, f"sqlite:///{tmp_path}/mlflow.db", 5000)


def test_importing_it_does_not_import_mlflow() -> None:
    script = "import sys, bench.tracking.mirror; print('mlflow' in sys.modules, 'torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "False"]


# ------------------------------------------------------------------------------------ a real server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path, empty_store: bytes) -> Iterator[str]:
    """The address of an MLflow server that the command of `bench ui` started."""
    place = tmp_path / "server"
    place.mkdir()
    store = place / "store.db"
    store.write_bytes(empty_store)
    port = free_port()
    command = ui_command(place, f"sqlite:///{store}", port)
    address = f"http://127.0.0.1:{port}"
    with (place / "log").open("w") as log:
        # A session of its own: MLflow's server starts further processes, which must end with it.
        process = subprocess.Popen(command, cwd=place, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (place / "log").read_text()
                assert time.monotonic() < deadline, (place / "log").read_text()
                time.sleep(0.1)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_a_server_gets_the_same_as_a_file(results: Path, server: str) -> None:
    suite = make_suite()
    folders = make_results(results, suite)
    (folders[0].path / "result.json").unlink()
    mirror = Mirror(suite, results, server)
    assert mirror.sync() == Synced(4, 0, 0)
    assert Mirror(suite, results, server).sync() == Synced(0, 0, 4)
    finish(folders[0])
    assert Mirror(suite, results, server).sync() == Synced(0, 1, 3)
    assert mirror.sync() == Synced(0, 0, 4)
    assert mirror.page(server).startswith(f"{server}/#/experiments/1/runs?workflowType=machine_learning&")
    report = results / "report.md"
    report.write_text("superior")
    mirror.attach_report([report], "ce: baseline")

    file = default_uri(results)
    Mirror(suite, results, file).sync()
    (parent, there), (_, here) = mirrored(server), mirrored(file)
    assert there.keys() == here.keys()
    for run_id, run in there.items():
        for of in ("params", "metrics"):
            assert getattr(run.data, of) == getattr(here[run_id].data, of)
        ours = {key for key in run.data.tags if key not in ("mlflow.parentRunId", "mlflow.user")}
        assert {key: here[run_id].data.tags[key] for key in ours} == {key: run.data.tags[key] for key in ours}
        assert history(server, run, "lr") == history(file, here[run_id], "lr")
        assert (run.info.status, run.info.start_time) == ("FINISHED", BEGUN * 1000)
    assert [found.path for found in client_of(server).list_artifacts(parent.info.run_id)] == ["report.md"]
