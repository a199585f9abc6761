"""The run folder: whole files, honest readings, one owner at a time."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from helpers import finish_run

from bench import disk
from bench.disk import Damaged
from bench.errors import BenchError
from bench.metrics import Metric, MetricError, choose_metric
from bench.predictions import NotKept
from bench.results.folder import RunFolder
from bench.results.reading import frame, measure
from bench.results.schema import Result
from bench.runs import Run
from bench.suite import Suite


def metric(value: Any) -> Metric:
    return Metric.of(choose_metric(value))


@pytest.fixture
def run(make_suite: Callable[..., Suite]) -> Run:
    return make_suite().runs()[0]


def test_finished_folder_has_at_most_five_files(run: Run, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, run.id)
    with folder.claim():
        folder.write_metrics([{"epoch": 1, "time": 0.0}])
        (folder.path / "checkpoint.pt").write_bytes(b"x")
        finish_run(run, tmp_path, correct=90)
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "metrics.jsonl",
        "predictions.npz",
        "result.json",
        "run.json",
    ]


def test_kept_weights_make_a_fifth_file(run: Run, tmp_path: Path) -> None:
    folder = finish_run(run, tmp_path, correct=90, weights=b"all of them")
    folder.write_metrics([{"epoch": 1, "time": 0.0}])
    (folder.path / "predictions.npy").write_bytes(b"of an attempt by an older bench")
    finish_run(run, tmp_path, correct=90, weights=b"all of them")
    assert len(list(folder.path.iterdir())) == 5
    assert not (folder.path / "predictions.npy").exists()


@pytest.mark.parametrize("name", ["run.json", "metrics.jsonl", "predictions.npz", "result.json"])
def test_a_file_that_a_killed_attempt_was_writing_does_not_stay(name: str, run: Run, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, run.id)

    def die(file: int) -> None:
        raise SystemExit

    with folder.claim():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", die)
            # A process that is killed does not come to clean up either.
            patch.setattr(Path, "unlink", lambda path, missing_ok=False: None)
            with pytest.raises(SystemExit):
                disk.write_atomically(folder.path / name, b"half of it")
        assert len(list(folder.path.glob(f".{name}.*"))) == 1
        # Another process, one that launches runs, may be about to say that this one failed.
        (folder.path / ".failure.json.0123456789ab").write_bytes(b"{}")
        finish_run(run, tmp_path, correct=90)
        left = {path.name for path in folder.path.glob(".*")}
        assert left == {".claim", ".failure.json.0123456789ab"}


def test_classes_take_one_byte_an_image(run: Run, tmp_path: Path) -> None:
    folder = finish_run(run, tmp_path, correct=90)
    result = folder.result()
    assert result is not None
    predictions = folder.predictions(result)
    assert predictions.predicted.dtype == predictions.labels.dtype == np.uint8
    assert (predictions.predicted == predictions.labels).sum() == 90
    assert (predictions.rank == 0).sum() == 90
    assert predictions.nll.tolist() == [np.float32(0.1)] * 100
    with pytest.raises(NotKept, match="keep_probabilities"):
        predictions.probabilities  # noqa: B018


@pytest.fixture
def old(run: Run, tmp_path: Path) -> RunFolder:
    """A run as it was left before more than classes were kept."""
    folder = finish_run(run, tmp_path, correct=90)
    result = folder.result()
    assert result is not None
    answers = folder.predictions(result)
    content = io.BytesIO()
    np.save(content, np.stack([answers.predicted, answers.labels]))
    (folder.path / "predictions.npy").write_bytes(content.getvalue())
    (folder.path / "predictions.npz").unlink()
    described = json.loads((folder.path / "result.json").read_text())
    described["predictions_sha256"] = hashlib.sha256(content.getvalue()).hexdigest()
    for name in ("predictions_bytes", "details_sha256"):
        del described[name]
    for name in ("last", "best_test"):
        del described[name]["value"]
    (folder.path / "result.json").write_text(json.dumps(described))
    return folder


def test_runs_from_before_details_were_kept_still_count(
    old: RunFolder, tmp_path: Path, make_suite: Callable[..., Suite]
) -> None:
    result = old.result(check_predictions=True, check_details=True)
    assert result is not None
    predictions = old.predictions(result)
    assert (predictions.predicted == predictions.labels).sum() == result.correct == 90
    assert predictions.classes is None
    with pytest.raises(NotKept, match="from before it was recorded"):
        predictions.rank  # noqa: B018
    assert frame(tmp_path, make_suite().cells).set_index("run_id").state[old.run_id] == "done"


def test_metrics_of_old_runs_are_those_that_they_kept(old: RunFolder) -> None:
    result = old.result()
    assert result is not None
    for name, value in (("accuracy", 0.9), ("balanced_accuracy", 0.9), ("macro_f1", 0.9 / 1.9)):
        found = measure(metric(name), old, result)
        assert found.value == pytest.approx(value)
        assert found.per_image is not None
    for name, value in (("nll", result.nll), ("brier", result.brier), ("ece", result.ece)):
        found = measure(metric(name), old, result)
        assert (found.value, found.per_image) == (value, None)
        assert f"only the {'value' if name == 'ece' else 'mean over images'}" in found.remark
    for name, reason in (
        ("top_k", "the rank of the true class of each image was not kept: the run is from before"),
        (
            {"ece": {"bins": 10}},
            "the confidence of the prediction of each image was not kept: the run is from",
        ),
        ("auroc", "the probability of every class of each image was not kept: the suite"),
    ):
        with pytest.raises(NotKept, match=rf"metric '.*' of run {old.run_id}: {reason}.*another training"):
            measure(metric(name), old, result)


def test_a_metric_that_fails_is_named_with_the_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no_number.py").write_text("def found(predictions):\n    return float('nan')\n")
    monkeypatch.syspath_prepend(tmp_path)
    folder = finish_run(run, tmp_path, correct=90)
    result = folder.result()
    assert result is not None
    with pytest.raises(MetricError, match=f"run {run.id}: metric 'no_number:found' returned nan, expected"):
        measure(metric("no_number:found"), folder, result)


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("result.json", b'{"run_id": "', "result.json: .*[Jj][Ss][Oo][Nn]"),
        ("result.json", b"", "result.json"),
        ("result.json", b"{}", "result.json: run_id: .*required"),
        ("predictions.npz", b"PK\x03\x04", "not what the run wrote"),
        ("predictions.npz", None, "predictions.npz: it is missing"),
    ],
)
def test_damage_is_seen_and_not_counted(
    run: Run,
    tmp_path: Path,
    make_suite: Callable[..., Suite],
    file: str,
    content: bytes | None,
    complaint: str,
) -> None:
    folder = finish_run(run, tmp_path, correct=90)
    if content is None:
        (folder.path / file).unlink()
    else:
        (folder.path / file).write_bytes(content)
    with pytest.raises(Damaged, match=complaint):
        folder.result(check_predictions=True)
    row = frame(tmp_path, make_suite().cells).set_index("run_id").loc[run.id]
    assert row.state == "damaged"
    assert np.isnan(row.correct)


def test_any_flipped_bit_in_the_predictions_is_damage(
    run: Run, tmp_path: Path, make_suite: Callable[..., Suite]
) -> None:
    folder = finish_run(run, tmp_path, correct=90)
    result = folder.result()
    assert result is not None
    assert result.predictions_bytes is not None
    path = folder.path / "predictions.npz"
    whole = path.read_bytes()
    assert 2 * 100 < result.predictions_bytes < len(whole) - 14 * 100
    for at in range(0, len(whole), 7):
        content = bytearray(whole)
        content[at] ^= 1
        path.write_bytes(content)
        with pytest.raises(Damaged, match="not what the run wrote"):
            folder.result(check_details=True)
        if at < result.predictions_bytes:
            with pytest.raises(Damaged, match="not what the run wrote"):
                folder.result(check_predictions=True)
        else:  # what accuracy does not need does not hold it up
            assert folder.result(check_predictions=True) == result
    states = [
        frame(tmp_path, make_suite().cells, check_details=checked).set_index("run_id").state[run.id]
        for checked in (False, True)
    ]
    assert states == ["done", "damaged"]


@pytest.mark.parametrize("content", [b"", b"PK"])
def test_damage_to_details_is_seen_when_they_are_asked_for(run: Run, tmp_path: Path, content: bytes) -> None:
    folder = finish_run(run, tmp_path, correct=90)
    result = folder.result()
    assert result is not None
    path = folder.path / "predictions.npz"
    path.write_bytes(path.read_bytes()[: result.predictions_bytes] + content)
    assert measure(metric("accuracy"), folder, result).value == 0.9
    for name in ("nll", "macro_f1"):
        with pytest.raises(Damaged, match=r"predictions\.npz: its content is not what the run wrote"):
            measure(metric(name), folder, result)
    predictions = folder.predictions(result)
    path.unlink()
    with pytest.raises(Damaged, match=r"predictions\.npz: it is missing"):
        predictions.nll  # noqa: B018


def test_result_of_another_run_is_damage(tmp_path: Path, make_suite: Callable[..., Suite]) -> None:
    first, second, *_ = make_suite().runs()
    finish_run(first, tmp_path, correct=90)
    (tmp_path / "runs" / first.id).rename(tmp_path / "runs" / second.id)
    with pytest.raises(Damaged, match=f"belongs to run {first.id}"):
        RunFolder(tmp_path, second.id).result()


def test_result_that_disagrees_with_its_predictions_is_damage(run: Run, tmp_path: Path) -> None:
    folder = finish_run(run, tmp_path, correct=90)
    path = folder.path / "result.json"
    path.write_text(path.read_text().replace('"correct": 90', '"correct": 91'))
    with pytest.raises(Damaged, match="does not agree"):
        folder.result(check_predictions=True)


def test_old_predictions_that_are_no_array_are_damage(old: RunFolder) -> None:
    result = old.result()
    assert result is not None
    whole = (old.path / "predictions.npy").read_bytes()
    for content in (b"", b"no array", whole[:60], whole[:-1], whole + b"\0", whole.replace(b"|u1", b"|O1")):
        (old.path / "predictions.npy").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        with pytest.raises(Damaged, match=r"predictions\.npy: "):
            old.predictions(result.model_copy(update={"predictions_sha256": digest}))


def test_predictions_of_other_members_are_damage(run: Run, tmp_path: Path) -> None:
    folder = finish_run(run, tmp_path, correct=90)
    result = folder.result()
    assert result is not None
    content = io.BytesIO()
    np.savez(content, labels=np.zeros(100, dtype=np.uint8))
    (folder.path / "predictions.npz").write_bytes(content.getvalue())
    said = {
        "predictions_bytes": len(content.getvalue()),
        "predictions_sha256": hashlib.sha256(content.getvalue()).hexdigest(),
    }
    with pytest.raises(Damaged, match=r"predictions\.npz: it begins with labels"):
        folder.predictions(result.model_copy(update=said))


@pytest.mark.parametrize(("dtype", "order"), [("uint8", "C"), ("uint16", "C"), ("uint8", "F")])
def test_old_predictions_are_read_as_they_were_written(
    dtype: str, order: Literal["C", "F"], tmp_path: Path
) -> None:
    written = np.array(np.random.default_rng(0).integers(0, 200, (2, 77)), dtype=dtype, order=order)
    content = io.BytesIO()
    np.save(content, written)
    folder = RunFolder(tmp_path, "x")
    folder.path.mkdir(parents=True)
    (folder.path / "predictions.npy").write_bytes(content.getvalue())
    digest = hashlib.sha256(content.getvalue()).hexdigest()
    result = Result.model_construct(
        predictions_sha256=digest, total=77, correct=int((written[0] == written[1]).sum())
    )
    read = folder.predictions(result)
    assert read.predicted.dtype == read.labels.dtype == written.dtype
    assert np.array_equal([read.predicted, read.labels], written)


def test_a_file_system_in_trouble_is_no_missing_result(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(path: str, **options: object) -> os.stat_result:
        raise OSError(errno.ESTALE, "stale file handle", path)

    folder = finish_run(run, tmp_path, correct=90)
    monkeypatch.setattr(os, "stat", stale)
    with pytest.raises(OSError, match="stale"):
        folder.done  # noqa: B018
    with pytest.raises(OSError, match="stale"):
        folder.failed  # noqa: B018


def test_set_aside_keeps_the_evidence(run: Run, tmp_path: Path) -> None:
    folder = finish_run(run, tmp_path, correct=90)
    kept = folder.set_aside()
    assert not folder.path.exists()
    assert (kept / "result.json").exists()


@pytest.mark.parametrize("tail", [b'{"epoch": 3, "ti', b"\xff\xfe\n", b"3\n", b"\0\0\0"])
def test_damaged_or_half_written_line_of_metrics_is_left_out(run: Run, tmp_path: Path, tail: bytes) -> None:
    folder = RunFolder(tmp_path, run.id)
    folder.write_metrics([{"epoch": 1}, {"epoch": 2}])
    with (folder.path / "metrics.jsonl").open("ab") as file:
        file.write(tail)
    assert folder.metrics() == [{"epoch": 1}, {"epoch": 2}]


# --------------------------------------------------------------------------------------------- claims


def test_claim_is_exclusive_and_ends_with_its_process(run: Run, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, run.id)
    code = (
        "import sys, time; from pathlib import Path; from bench.results.folder import RunFolder\n"
        f"with RunFolder(Path({str(tmp_path)!r}), {run.id!r}).claim() as mine:\n"
        "    print(mine, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == "True"
        assert folder.claimed
        with folder.claim() as mine:
            assert not mine
        other.kill()
        other.wait()
    assert not folder.claimed
    with folder.claim() as mine:
        assert mine


def test_looking_creates_nothing(run: Run, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, run.id)
    assert not folder.claimed
    assert not folder.done
    assert folder.result() is None
    assert folder.metrics() == []
    assert list(tmp_path.glob("runs/*")) == []


# ------------------------------------------------------------------------------------- file systems


def test_interrupted_write_leaves_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "value.json"
    disk.write_json(path, 1)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        disk.write_json(path, 2)
    assert json.loads(path.read_text()) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["value.json"]


def test_full_disk_gets_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BenchError, match=r"no space left .* Finished runs are safe"):
        disk.check_writable(tmp_path)


def test_folder_that_cannot_be_written_gets_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match=r"cannot be written .*--results or BENCH_RESULTS"):
        disk.check_writable(tmp_path / "file")


def test_nan_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        disk.write_json(tmp_path / "x.json", float("nan"))


def test_a_reason_with_letters_that_are_none_is_not_lost(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "a" * 16)
    folder.fail("no such file: caf\udce9 'é'")
    failure = folder.failure()
    assert failure is not None
    assert failure.reason.startswith("no such file: caf")
    assert failure.reason.endswith("'é'")
