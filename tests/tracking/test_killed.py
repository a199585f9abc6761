"""A mirror that is killed anywhere, or is not alone."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mirrored import EPOCHS, add_epochs, begin, client_of, finish, history, make_results, make_suite, mirrored

from bench.tracking.answer import Answer
from bench.tracking.database import Tables
from bench.tracking.mirror import Mirror, Synced
from bench.tracking.store import default_uri

WRITES = (
    *("create_experiment", "set_experiment_tag", "create_run", "log_batch", "set_tag", "set_terminated"),
    *("update_run", "delete_run", "log_inputs"),
)
SAID = Answer("Is it?", "It is.", "It is.", {("digits", "vgg5-tiny", "ce"): "baseline"}, {"ce/delta": 0.0})


@pytest.mark.parametrize("way", ["tables", "calls"])
def test_a_mirror_killed_after_any_write_is_completed(
    results: Path, empty_store: bytes, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    import mlflow

    if way == "calls":
        monkeypatch.setattr(Tables, "known", lambda uri: None)
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
                if writes == at == 0:
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
            patch.setattr(Tables, "_insert", killed_at_a_write(Tables._insert))
            mirror.sync()
            mirror.attach_report([], SAID)
        for again in (mirror, Mirror(suite, results, uri)):
            again.sync()
            again.attach_report([], SAID)
            parent, runs = mirrored(uri)
            states = {run_id: run.info.status for run_id, run in runs.items()}
            assert states == {done.run_id: "FINISHED", failed.run_id: "FAILED"}
            assert parent.info.status == "FAILED"
            assert parent.data.tags["progress"] == "1 finished, 1 failed, of 2"
            experiment = client_of(uri).get_experiment(parent.info.experiment_id)
            assert experiment.tags["mlflow.note.content"].startswith("Is it? **It is.**")
            assert parent.data.tags["mlflow.note.content"] == SAID.text
            assert parent.data.metrics == SAID.numbers
            for run in runs.values():
                assert run.data.tags["verdict"] == "baseline"
                assert [used.dataset.name for used in run.inputs.dataset_inputs] == (
                    ["digits"] if run.info.status == "FINISHED" else []
                )
                assert [step for step, _, _ in history(uri, run, "lr")] == [1, 2, 3]
                assert run.data.params["epochs"] == str(EPOCHS)
            assert len(history(uri, runs[done.run_id], "accuracy")) == 1
    assert at >= 10


@pytest.mark.parametrize("turns", ["first second", "first second second first", "second first first second"])
def test_two_mirrors_that_take_turns_make_one_run_of_each(results: Path, turns: str) -> None:
    suite = make_suite(seeds=4, losses="ce")
    uri = default_uri(results)
    mirrors = {"first": Mirror(suite, results, uri), "second": Mirror(suite, results, uri)}
    for number, run in enumerate(suite.runs(), start=1):
        folder = begin(results, run)
        add_epochs(folder, 1, EPOCHS)
        finish(folder)
        for turn in turns.split():  # whoever wrote last writes again, and the other is none the wiser
            mirrors[turn].sync()
            assert len(mirrored(uri)[1]) == number


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
