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
from typing import Literal

import numpy as np
import pytest
from helpers import finish_run

from bench import disk, results
from bench.errors import BenchError
from bench.results import Damaged, Result, RunFolder, frame
from bench.run import Run
from bench.suite import Suite


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
        "predictions.npy",
        "result.json",
        "run.json",
    ]


def test_predictions_take_one_byte_an_image(run: Run, tmp_path: Path) -> None:
    folder = finish_run(run, tmp_path, correct=90)
    result = folder.result()
    assert result is not None
    predictions = folder.predictions(result)
    assert predictions.dtype == np.uint8
    assert (predictions[0] == predictions[1]).sum() == 90


def test_results_from_before_reliability_was_recorded_still_count(run: Run, tmp_path: Path) -> None:
    folder = finish_run(run, tmp_path, correct=90)
    path = folder.path / "result.json"
    content = json.loads(path.read_text())
    del content["reliability"]
    path.write_text(json.dumps(content))
    result = folder.result(check_predictions=True)
    assert result is not None
    assert result.reliability is None


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("result.json", b'{"run_id": "', "result.json: .*[Jj][Ss][Oo][Nn]"),
        ("result.json", b"", "result.json"),
        ("result.json", b"{}", "result.json: run_id: .*required"),
        ("predictions.npy", b"\x93NUMPY", "not what the run wrote"),
        ("predictions.npy", None, "predictions.npy: it is missing"),
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


def test_one_flipped_bit_in_the_predictions_is_damage(run: Run, tmp_path: Path) -> None:
    folder = finish_run(run, tmp_path, correct=90)
    path = folder.path / "predictions.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(Damaged, match="not what the run wrote"):
        folder.result(check_predictions=True)


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


def test_predictions_that_are_no_array_are_damage(run: Run, tmp_path: Path) -> None:
    folder = finish_run(run, tmp_path, correct=90)
    result = folder.result()
    assert result is not None
    whole = (folder.path / "predictions.npy").read_bytes()
    for content in (b"", b"no array", whole[:60], whole[:-1], whole + b"\0", whole.replace(b"|u1", b"|O1")):
        (folder.path / "predictions.npy").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        with pytest.raises(Damaged, match=r"predictions\.npy: "):
            folder.predictions(result.model_copy(update={"predictions_sha256": digest}))


@pytest.mark.parametrize(("dtype", "order"), [("uint8", "C"), ("uint16", "C"), ("uint8", "F")])
def test_predictions_are_read_as_they_were_written(
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
    assert read.dtype == written.dtype
    assert np.array_equal(read, written)


def test_a_file_system_in_trouble_is_no_missing_result(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(path: str, **options: object) -> os.stat_result:
        raise OSError(errno.ESTALE, "stale file handle", path)

    folder = finish_run(run, tmp_path, correct=90)
    monkeypatch.setattr(results.os, "stat", stale)
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
        "import sys, time; from pathlib import Path; from bench.results import RunFolder\n"
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
    folder = results.RunFolder(tmp_path, "a" * 16)
    folder.fail("no such file: caf\udce9 'é'")
    failure = folder.failure()
    assert failure is not None
    assert failure.reason.startswith("no such file: caf")
    assert failure.reason.endswith("'é'")
