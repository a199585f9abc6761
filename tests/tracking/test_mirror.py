"""What MLflow shows of run folders, and how it follows them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mirrored import (
    BEGUN,
    EPOCHS,
    add_epochs,
    begin,
    client_of,
    dump,
    finish,
    history,
    make_results,
    make_suite,
    mirrored,
)

from bench.results.folder import RunFolder
from bench.tracking.answer import Answer
from bench.tracking.database import Tables
from bench.tracking.mirror import Mirror, Synced
from bench.tracking.record import read_record
from bench.tracking.store import TrackingError, default_uri


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
    assert run.info.run_name == f"seed 1 · {label} · 70.00% · vgg5-tiny"
    assert run.info.status == "FINISHED"
    assert run.info.start_time == BEGUN * 1000
    result = RunFolder(results, smoothed.id).result()
    assert result is not None
    assert run.info.end_time == round(result.finished * 1000)
    assert run.data.params["loss"] == label
    assert run.data.params["loss.name"] == "label_smoothing"
    assert run.data.params["loss.smoothing"] == "0.2"
    assert not {"model.name", "dataset.name", "recipe.epochs"} & run.data.params.keys()  # said already
    assert run.data.params["optimizer.lr"] == "0.002"
    assert run.data.params["selection"] == "validation"
    assert run.data.params["seed"] == run.data.tags["seed"] == "1"
    assert run.data.tags["host"] == "node1"
    assert run.data.tags["git.commit"] == run.data.tags["mlflow.source.git.commit"] == "abc123"
    assert run.data.tags["mlflow.source.name"] == "bench"
    assert run.data.tags["mlflow.user"] == run.info.user_id == (results / "runs").owner()
    [used] = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("digits", "0123456789abcdef")
    assert [(tag.key, tag.value) for tag in used.tags] == [("mlflow.data.context", "training")]
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
    (folder.path / "predictions.npz").write_bytes(b"not what was written")
    Mirror(suite, results, default_uri(results)).sync()
    _, runs = mirrored(default_uri(results))
    assert runs[folder.run_id].info.status == "FAILED"
    assert "damaged" in runs[folder.run_id].data.tags["bench.failure"]
    assert "accuracy" not in runs[folder.run_id].data.metrics


def test_a_shared_run_is_in_both_experiments(results: Path) -> None:
    one, other = make_suite(), make_suite(name="other", losses="ce", question="And here?")
    make_results(results, one)
    for suite in (one, other):
        Mirror(suite, results, default_uri(results)).sync()
    shared = mirrored(default_uri(results), "other")[1].keys()
    assert shared == {run.id for run in other.runs()}
    assert shared < mirrored(default_uri(results), "small")[1].keys()


@pytest.mark.parametrize("way", ["tables", "calls"])
def test_what_is_deleted_in_mlflow_stays_deleted(
    results: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "calls":
        monkeypatch.setattr(Tables, "known", lambda uri: None)
    suite = make_suite()
    folders = make_results(results, suite)
    uri = default_uri(results)
    mirror = Mirror(suite, results, uri)
    mirror.sync()
    _, runs = mirrored(uri)
    gone, client = folders[0].run_id, client_of(uri)
    client.delete_run(runs[gone].info.run_id)
    for again in (Mirror(suite, results, uri), Mirror(suite, results, uri)):
        assert again.sync() == Synced(0, 0, 3, deleted=1)
    parent, runs = mirrored(uri)
    assert gone not in runs
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["progress"] == "3 finished, 0 failed, of 3"

    renamed = make_suite(losses=[{"ce": {"label": "CE"}}, {"label_smoothing": {"smoothing": 0.2}}])
    assert Mirror(renamed, results, uri).sync() == Synced(0, 1, 2, deleted=1)  # what we replace is no wish
    assert Mirror(suite, results, uri).sync() == Synced(0, 1, 2, deleted=1)

    (folders[0].path / "result.json").unlink()  # trained anew, it is another
    begin(results, suite.runs()[0], started=BEGUN + 1000)
    folders[0].write_metrics([])
    add_epochs(folders[0], 1, EPOCHS, started=BEGUN + 1000)
    finish(folders[0])
    assert Mirror(suite, results, uri).sync() == Synced(1, 0, 3)


def test_a_suites_own_run_that_is_deleted_stays_deleted(results: Path) -> None:
    suite = make_suite()
    folders = make_results(results, suite)
    (folders[0].path / "result.json").unlink()
    uri = default_uri(results)
    Mirror(suite, results, uri).sync()
    client_of(uri).delete_run(mirrored(uri)[0].info.run_id)
    finish(folders[0])
    mirror = Mirror(suite, results, uri)
    assert mirror.sync() == Synced(0, 1, 3)
    assert mirror.own_page("http://here") == ""
    mirror.attach_report([], Answer("Is it?", "It is."))
    found = client_of(uri).search_runs([client_of(uri).get_experiment_by_name("small").experiment_id])
    assert {run.data.tags.get("bench.run_id") for run in found} == {run.id for run in suite.runs()}


def test_of_an_experiment_that_is_deleted_it_is_said_how_to_have_it_back(results: Path) -> None:
    suite = make_suite(losses="ce")
    make_results(results, suite)
    uri = default_uri(results)
    Mirror(suite, results, uri).sync()
    Mirror(make_suite(losses={"ce": {"label": "CE"}}), results, uri).sync()  # replaces both runs
    client = client_of(uri)
    experiment = client.get_experiment_by_name("small").experiment_id
    client.delete_experiment(experiment)
    with pytest.raises(TrackingError, match=f"stays deleted; `mlflow experiments restore .* {experiment}`"):
        Mirror(suite, results, uri).sync()
    client.restore_experiment(experiment)  # and with it, runs that were replaced
    Mirror(suite, results, uri).sync()
    assert len(mirrored(uri)[1]) == 2


def test_another_label_makes_another_run(results: Path) -> None:
    suite = make_suite()
    make_results(results, suite)
    uri = default_uri(results)
    Mirror(suite, results, uri).sync()
    renamed = make_suite(losses=["ce", {"label_smoothing": {"smoothing": 0.2, "label": "LS"}}])
    assert Mirror(renamed, results, uri).sync() == Synced(0, 2, 2)
    _, runs = mirrored(uri)
    assert sorted(run.data.params["loss"] for run in runs.values()) == ["LS", "LS", "ce", "ce"]


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


def test_a_run_that_has_not_begun_is_not_there(results: Path) -> None:
    suite = make_suite()
    cell = suite.cells[0]
    folder = RunFolder(results, cell.runs[0].id)
    folder.path.mkdir(parents=True)
    assert read_record(folder, cell.runs[0], cell, ["name"]) is None
    assert Mirror(suite, results, default_uri(results)).sync() == Synced(0, 0, 0)


def test_importing_it_does_not_import_mlflow() -> None:
    script = "import sys, bench.tracking.mirror; print('mlflow' in sys.modules, 'torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "False"]
