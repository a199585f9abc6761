"""Nothing in a results folder is executed or trusted: what others may have put there is data."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import bench as command
from helpers import finish_run

from bench import disk
from bench.disk import Damaged, NoFile, parse, read, read_part, strangers
from bench.errors import BenchError
from bench.front.reporting import _figures
from bench.launch.pack import Pack
from bench.launch.worker import Worker
from bench.results.folder import RunFolder
from bench.runs import Run
from bench.suite import Suite, load
from bench.training import checkpoint
from bench.versions import digests, store

Bench = Callable[..., tuple[int, str, str]]
NOBODY = 65534


class Planted:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """There as soon as a planted pickle was read."""
    return tmp_path / "mark"


@pytest.fixture
def planted(write_suite: Callable[..., Path], tmp_path: Path, mark: Path) -> Path:
    """A suite in whose folder of results every place that ever held a pickle holds a planted one."""
    path = write_suite(losses=["ce", "mae"], seeds=1)
    suite, results = load(path), tmp_path / "results"
    finished, begun = suite.runs()
    finish_run(finished, results, 90)
    RunFolder(results, begun.id).start(begun, {"started": 1.0, "job": "7"})
    (results / suite.name).mkdir()
    jobs = results / suite.name / "jobs" / "20200101T000000-abcdef"
    pack = Pack(results=results, data=results, device="cpu", runs=[begun], search_path=[], git=None)
    pack.write(jobs, "pack-0.json")
    submission = {
        "name": "bench-small-abcdef",
        "created": 1e9,
        "parallel": 1,
        "runs": [[begun.id]],
        "gpus": 0,
    }
    (jobs / "submission.json").write_text(json.dumps({**submission, "job": "7"}))
    (jobs / "7_0_log.err").write_text(f"12:00:00 run {begun.id} (seed 0) begins\n")
    content = pickle.dumps(Planted(mark))
    for name in ("7_submitted.pkl", "7_result.pkl", "7_0_result.pkl", "7_0_submitted.pkl"):
        (jobs / name).write_bytes(content)
        (jobs.parent / name).write_bytes(content)
        (results / name).write_bytes(content)
    for run in (finished, begun):
        for name in ("checkpoint.pt", "result.pkl", "a.pkl"):
            (results / "runs" / run.id / name).write_bytes(hashlib.sha256(content).digest() + content)
    return path


@pytest.mark.parametrize("verb", ["status", "logs", "report", "plan", "cancel", "track", "freeze"])
def test_no_verb_reads_a_pickle(
    bench: Bench, planted: Path, mark: Path, verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PATH", "")  # no Slurm: every job may be alive

    def read_one(*arguments: Any, **_: Any) -> Any:
        raise AssertionError("a pickle was read")

    monkeypatch.setattr(pickle, "load", read_one)
    monkeypatch.setattr(pickle, "loads", read_one)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    status, _, err = bench(verb, planted)
    assert status in (0, 1), err
    assert not mark.exists()


def test_nor_does_run(planted: Path, mark: Path, tmp_path: Path) -> None:
    """It starts jobs, each of which reads the one that this very process wrote for it."""
    results = tmp_path / "results"
    environment = {**os.environ, "BENCH_RESULTS": str(results), "MLFLOW_TRACKING_URI": f"{tmp_path}/none/"}
    done = command("run", planted, "--workers", "1", env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not mark.exists()
    assert all(RunFolder(results, run.id).done for run in load(planted).runs())
    assert len([*(results / "set-aside").iterdir()]) == 1  # the checkpoint


@pytest.mark.parametrize("form", ["pickle", "archive", "a list", "digest alone"])
def test_a_planted_checkpoint_is_damage(tmp_path: Path, mark: Path, form: str) -> None:
    buffer = io.BytesIO()
    if form == "pickle":
        buffer.write(pickle.dumps(Planted(mark)))
    elif form == "archive":
        torch.save({"epoch": Planted(mark)}, buffer)
    elif form == "a list":
        torch.save([1], buffer)
    content = buffer.getvalue()
    (tmp_path / "checkpoint.pt").write_bytes(hashlib.sha256(content).digest() + content)
    with pytest.raises(Damaged, match="is no checkpoint"):
        checkpoint.load(tmp_path / "checkpoint.pt", torch.device("cpu"))
    assert not mark.exists()


# --------------------------------------------------------------------------------------- whose code runs


def test_what_others_may_write_is_said(tmp_path: Path) -> None:
    mine, open_to_all = tmp_path / "mine.py", tmp_path / "open"
    mine.touch(mode=0o664)
    mine.chmod(0o664)  # a group that shares a folder has chosen so
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    assert strangers([mine, tmp_path / "gone", Path("/usr")]) == []
    [said] = strangers([open_to_all, open_to_all])
    assert said.startswith(f"{open_to_all} can be written by everybody here")


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All that lies in the folder of this test belongs to somebody else."""
    known = os.stat

    def stat(place: Any, *arguments: Any, **settings: Any) -> os.stat_result:
        found = known(place, *arguments, **settings)
        if str(place).startswith(str(tmp_path)):
            fields = [*found]
            fields[4] = NOBODY
            return os.stat_result(fields)
        return found

    monkeypatch.setattr(disk.os, "stat", stat)


@pytest.mark.usefixtures("foreign")
def test_a_launcher_says_whose_code_it_imports(
    write_suite: Callable[..., Path], bench: Bench, tmp_path: Path
) -> None:
    path = write_suite()
    status, _, err = bench("status", path)
    assert status == 0
    assert f"{tmp_path} belongs to user" in err


@pytest.fixture
def own(
    write_suite: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Suite, Path]:
    """A suite with a loss of the user's own, that is kept for jobs; and the file."""
    (tmp_path / "trusted_loss.py").write_text("def loss(logits, target):\n    return logits.sum()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    suite = load(write_suite(losses=["ce", "trusted_loss:loss"], seeds=1))
    store.keep(suite, tmp_path)
    [kept] = (tmp_path / "code").iterdir()
    return suite, kept


def pack_of(suite: Suite, results: Path, runs: list[Run]) -> Path:
    return Pack(
        results=results, data=results, device="cpu", runs=runs, search_path=[str(results)], git=None
    ).write(results / "jobs")


@pytest.mark.usefixtures("foreign")
def test_a_worker_says_so_before_it_runs(
    own: tuple[Suite, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    suite, kept = own
    said = ""

    def ended(*_: Any) -> bool:
        nonlocal said
        said = capsys.readouterr().err
        return True

    monkeypatch.setattr("bench.launch.worker.work", ended)
    path = pack_of(suite, tmp_path, [*suite.runs()])
    monkeypatch.setattr("bench.launch.worker.StopFlag", lambda: None)
    Worker(path)()
    for place in (path, tmp_path, kept):
        assert f"{place} belongs to user" in said
    assert said.count("\n") == 3


def test_kept_code_that_was_changed_is_not_run(
    own: tuple[Suite, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, kept = own
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    store.use(tmp_path, digests.of_suite(suite))
    content = json.loads(kept.read_text())
    content["modules"]["trusted_loss"]["text"] += "\nimport os\n"
    kept.write_text(json.dumps(content))
    before = [*sys.meta_path]
    with pytest.raises(BenchError, match=r"trusted_loss-.*\.json: its code is not what was kept"):
        store.use(tmp_path, digests.of_suite(suite))
    assert sys.meta_path == before


# ---------------------------------------------------------------------------------------- wrong content


@pytest.mark.parametrize(
    "content",
    [
        {"attempts": 3},
        {"attempts": [3]},
        {"attempts": [{"started": "now"}]},
        {"attempts": [{"started": float("nan")}]},
        {"attempts": [{"started": 1e300}]},
        {"attempts": [{"job": 7}]},
        {"attempts": [{"job": "7", "git": "x"}]},
        {"attempts": [{"outcome": []}]},
        {"attempts": {"a": 1}},
        {"attempts": [], "forgotten": "x"},
        [],
        None,
    ],
    ids=str,
)
def test_wrong_types_in_run_json_are_damage_and_no_traceback(
    bench: Bench, write_suite: Callable[..., Path], tmp_path: Path, content: Any
) -> None:
    path, results = write_suite(losses="ce", seeds=1), tmp_path / "results"
    [run] = load(path).runs()
    folder = RunFolder(results, run.id)
    finish_run(run, results, 90)
    (folder.path / "run.json").write_text(json.dumps(content))
    assert folder.info() == {}
    for verb in ("status", "report", "plan"):
        assert bench(verb, path)[0] == 0, verb
    folder.start(run, {"started": 1.0})
    assert folder.info()["attempts"] == [{"started": 1.0}]


@pytest.mark.parametrize(
    "line",
    ["[1]", '{"epoch": "2"}', '{"epoch": true}', '{"epoch": 2, "time": -1}', '{"epoch": 2, "time": NaN}',
     f'{{"epoch": 2, "lr": {10**400}}}', '{"epoch": 2, "lr": "x"}', '{"lr": 2}', "[" * 100_000],
    ids=lambda line: line[:30],
)  # fmt: skip
def test_a_line_of_metrics_that_is_none_ends_them(tmp_path: Path, line: str) -> None:
    folder = RunFolder(tmp_path, "a" * 16)
    folder.write_metrics([{"epoch": 1, "lr": 0.5}])
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write(f'{line}\n{{"epoch": 3}}\n')
    assert folder.metrics() == [{"epoch": 1, "lr": 0.5}]


@pytest.mark.parametrize(
    "changes",
    [
        *({"total": 0}, {"correct": -1}, {"finished": 1e300}, {"nll": float("inf")}),
        *({"predictions_bytes": 2**70}, {"predictions_bytes": -5}),
    ],
    ids=str,
)
def test_a_result_with_numbers_that_are_none_is_damaged(
    make_suite: Callable[..., Suite], tmp_path: Path, changes: dict[str, Any]
) -> None:
    [run] = make_suite(losses="ce", seeds=1).runs()
    folder = finish_run(run, tmp_path, 90)
    file = folder.path / "result.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    with pytest.raises(Damaged, match=next(iter(changes))):
        folder.result(check_predictions=True)


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "loop", "file above"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    if kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "device":
        place.symlink_to("/dev/zero")
    elif kind == "loop":
        place.symlink_to("place")
    else:
        place.touch()
        place /= "inner"
    for call in (lambda: read(str(place)), lambda: read_part(str(place), 0, 10)):
        with pytest.raises(NoFile):
            call()
    folder = RunFolder(tmp_path, "a" * 16)
    folder.path.parent.mkdir()
    if kind == "file above":
        folder.path.touch()
    else:
        folder.path.mkdir()
        for name in ("result.json", "failure.json", "run.json", "metrics.jsonl", ".claim"):
            (folder.path / name).symlink_to(place)
    with pytest.raises(Damaged, match=r"result\.json"):
        folder.result()
    assert (folder.info(), folder.metrics(), folder.claimed) == ({}, [], False)
    failure = folder.failure()
    assert failure is not None
    assert failure.reason == "failure.json is damaged"
    folder.set_aside()
    assert folder.result() is None


def test_only_our_own_temporaries_are_cleared(make_suite: Callable[..., Suite], tmp_path: Path) -> None:
    """A run folder may be a link to any other."""
    [run] = make_suite(losses="ce", seeds=1).runs()
    home = tmp_path / "home"
    home.mkdir()
    for name in (".bashrc.d", ".config.old.bak", f".run.json.{'0' * 12}"):
        (home / name).touch()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / run.id).symlink_to(home)
    finish_run(run, tmp_path, 90)
    assert sorted(path.name for path in home.glob(".*.*")) == [".bashrc.d", ".config.old.bak"]


def test_json_that_goes_too_deep_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="too deep"):
        parse(b"[" * 200_000)


@pytest.mark.parametrize("kind", ["files", "folder"])
def test_what_a_link_leads_to_is_no_figure(tmp_path: Path, kind: str) -> None:
    """Figures go into MLflow, where others read."""
    home, folder = tmp_path / "home", tmp_path / "figures"
    home.mkdir()
    (home / "secret.txt").touch()
    if kind == "folder":
        folder.symlink_to(home)
        assert _figures(folder) == []
        return
    folder.mkdir()
    (folder / "mine.svg").touch()
    os.mkfifo(folder / "pipe.svg")
    (folder / "a.folder").mkdir()
    for number, place in enumerate((home / "secret.txt", "/dev/zero", "nowhere")):
        (folder / f"{number}.svg").symlink_to(place)
    assert _figures(folder) == [folder / "mine.svg"]
