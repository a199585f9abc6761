"""Real workers through submitit's local executor: nothing lost, nothing twice, whatever is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import attempts, bench, finish_run, start, states, wait_for

from bench.errors import BenchError
from bench.launch import gpus
from bench.results.folder import RunFolder
from bench.sequential_design import as_it_stands
from bench.suite import Suite, load

Write = Callable[..., Path]


LONG = {
    "datasets": {"digits": {"test_size": 100}},
    "losses": ["ce", "mae"],
    "seeds": 2,
    "recipe": {"epochs": 20, "batch_size": 32},
}
"""Four runs of several seconds each: long enough to be stopped in the middle."""


@pytest.mark.parametrize(
    ("visible", "files", "expected"),
    [
        (None, [], []),
        (None, ["nvidia3", "nvidiactl", "nvidia-uvm"], [0]),  # a container's only GPU
        ("", ["nvidia0"], []),
        ("-1", ["nvidia0"], []),
        ("2,0", ["nvidia0", "nvidia1", "nvidia2"], [2, 0]),
    ],
)
def test_gpus_are_numbered_as_cuda_does(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    visible: str | None,
    files: list[str],
    expected: list[int],
) -> None:
    monkeypatch.setattr(gpus, "DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    for name in files:
        (tmp_path / name).touch()
    assert gpus.gpus_here() == expected


def test_gpus_with_names_are_refused_and_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-4d1f")
    with pytest.raises(BenchError, match=r"CUDA_VISIBLE_DEVICES: found 'MIG-4d1f'; .*expected numbers"):
        gpus.gpus_here()


def test_suite_is_trained_once(write_suite: Write, tmp_path: Path) -> None:
    path, results = write_suite(seeds=3), tmp_path / "results"
    first = bench("run", path, "--results", results, "--json")
    assert first.returncode == 0, first.stderr
    document = json.loads(first.stdout)
    assert [cell["n"] for cell in document["cells"]] == [3, 3]
    assert attempts(load(path), results) == [1] * 6
    again = bench("run", path, "--results", results, "--json")
    assert json.loads(again.stdout) == document
    assert attempts(load(path), results) == [1] * 6


def test_seeds_are_added_until_decided(write_suite: Write, tmp_path: Path) -> None:
    added = {"start": 2, "step": 2, "max": 6, "until": "decided"}
    path, results = write_suite(seeds=added), tmp_path / "results"
    first = bench("run", path, "--results", results, "--json")
    assert first.returncode == 0, first.stderr
    document = json.loads(first.stdout)
    [comparison] = document["comparisons"]
    assert document["complete"]
    assert comparison["stopped"] != "open"
    assert comparison["n"] == 2 * comparison["looks"] > 2
    suite = as_it_stands(load(path), results)
    assert attempts(suite, results) == [1] * (2 * comparison["n"])
    again = bench("run", path, "--results", results, "--json")
    assert json.loads(again.stdout) == document
    assert attempts(suite, results) == [1] * (2 * comparison["n"])
    plan = json.loads(bench("plan", path, "--results", results, "--json").stdout)
    assert (plan["to_train"], plan["added"]["looks"], plan["added"]["most"]) == (0, [2, 4, 6], 12)


def test_failing_run_does_not_stop_the_others(write_suite: Write, tmp_path: Path) -> None:
    module = tmp_path / "own_failing_loss.py"
    module.write_text(
        f"from pathlib import Path\nMENDED = {str(tmp_path / 'mended')!r}\n"
        "def sometimes(logits, target):\n"
        "    if len(logits) > 6 and not Path(MENDED).exists(): raise RuntimeError('as the test wants')\n"
        "    return logits.square().mean()\n"
    )
    path, results = write_suite(losses=["ce", "own_failing_loss:sometimes"]), tmp_path / "results"
    first = bench("run", path, "--results", results)
    assert first.returncode == 1
    assert "RuntimeError: as the test wants" in first.stdout
    assert "Traceback" not in first.stdout + first.stderr
    assert states(load_in(path, tmp_path), results) == ["done", "done", "failed", "failed"]
    # It stays failed, without being trained again, until somebody says so.
    (tmp_path / "mended").touch()
    assert bench("run", path, "--results", results).returncode == 1
    assert attempts(load_in(path, tmp_path), results) == [1] * 4
    retried = bench("run", path, "--results", results, "--retry-failed")
    assert retried.returncode == 0, retried.stderr
    assert states(load_in(path, tmp_path), results) == ["done"] * 4


def load_in(path: Path, folder: Path) -> Suite:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return load(path)


def test_two_launchers_at_once_train_nothing_twice(write_suite: Write, tmp_path: Path) -> None:
    path, results = write_suite(seeds=4), tmp_path / "results"
    launchers = [start("run", path, "--results", results) for _ in range(2)]
    printed = [launcher.communicate(timeout=120) for launcher in launchers]
    assert [launcher.returncode for launcher in launchers] == [0, 0], printed
    assert printed[0][0] == printed[1][0]
    assert attempts(load(path), results) == [1] * 8


def test_suites_that_share_runs_train_them_once(write_suite: Write, tmp_path: Path) -> None:
    results = tmp_path / "results"
    one, other = write_suite("one", losses=["ce", "mae"]), write_suite("other", losses=["ce", "gce"])
    launchers = [start("run", path, "--results", results) for path in (one, other)]
    for launcher in launchers:
        assert launcher.wait(timeout=120) == 0
        launcher.communicate()
    assert attempts(load(one), results) + attempts(load(other), results) == [1] * 8
    assert len(list((results / "runs").iterdir())) == 6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_saves_what_was_under_way(
    write_suite: Write, tmp_path: Path, number: signal.Signals
) -> None:
    path, results = write_suite(**LONG), tmp_path / "results"
    suite = load(path)
    launcher = start("run", path, "--results", results)
    wait_for(lambda: list(results.glob("runs/*/metrics.jsonl")))
    time.sleep(0.3)
    # As Ctrl-C does: to every process of the terminal, the launcher, submitit's controllers, the workers.
    os.killpg(launcher.pid, number) if number == signal.SIGINT else launcher.send_signal(number)
    _, said = launcher.communicate(timeout=60)
    assert launcher.returncode == 130
    assert "the same command goes on from here" in said
    assert "Traceback" not in said
    saved = [run for run in suite.runs() if (results / "runs" / run.id / "checkpoint.pt").exists()]
    assert saved
    assert not any(RunFolder(results, run.id).claimed for run in suite.runs())
    trained = {run.id: len(RunFolder(results, run.id).metrics()) for run in saved}
    assert bench("run", path, "--results", results).returncode == 0
    for run in saved:
        epochs = [line["epoch"] for line in RunFolder(results, run.id).metrics()]
        assert epochs == list(range(1, 21))
        assert len(RunFolder(results, run.id).info()["attempts"]) == 2
    assert max(trained.values()) < 20


def test_workers_end_when_their_launcher_is_killed(write_suite: Write, tmp_path: Path) -> None:
    path, results = write_suite(**LONG), tmp_path / "results"
    suite = load(path)
    launcher = start("run", path, "--results", results)
    wait_for(lambda: any(RunFolder(results, run.id).claimed for run in suite.runs()))
    launcher.kill()
    launcher.communicate()
    wait_for(lambda: not any(RunFolder(results, run.id).claimed for run in suite.runs()))
    assert "done" not in states(suite, results)
    assert bench("run", path, "--results", results).returncode == 0


def test_killed_worker_is_replaced(write_suite: Write, tmp_path: Path) -> None:
    path, results = write_suite(**LONG), tmp_path / "results"
    suite = load(path)
    launcher = start("run", path, "--results", results)
    wait_for(lambda: [run for run in suite.runs() if RunFolder(results, run.id).info().get("attempts")])
    victim = next(
        pid
        for run in suite.runs()
        for attempt in RunFolder(results, run.id).info().get("attempts", [])
        if (pid := attempt["pid"])
    )
    os.kill(victim, signal.SIGKILL)
    _, said = launcher.communicate(timeout=120)
    assert launcher.returncode == 0, said
    assert states(suite, results) == ["done"] * 4
    assert sum(attempts(suite, results)) == 5


def test_run_that_kills_its_worker_over_and_over_is_failed(write_suite: Write, tmp_path: Path) -> None:
    module = tmp_path / "own_deadly_loss.py"
    module.write_text(
        "import os\ndef deadly(logits, target):\n"
        "    if len(logits) > 6: os.kill(os.getpid(), 9)  # not at the first call, which is tried before\n"
        "    return logits.square().mean()\n"
    )
    path, results = write_suite(losses=["ce", "own_deadly_loss:deadly"]), tmp_path / "results"
    # More workers than deadly runs: some die of a run that another one's death has failed already.
    done = bench("run", path, "--results", results, "--workers", "4")
    assert done.returncode == 1, done.stderr
    assert "its worker died 3 times while training it" in done.stdout
    suite = load_in(path, tmp_path)
    assert states(suite, results) == ["done", "done", "failed", "failed"]
    for run in suite.runs():
        if (failure := RunFolder(results, run.id).failure()) is not None:
            assert re.findall("run ([0-9a-f]{16}) ", failure.trace) == [run.id]


def test_damaged_result_is_set_aside_and_trained_again(write_suite: Write, tmp_path: Path) -> None:
    path, results = write_suite(), tmp_path / "results"
    suite = load(path)
    undisturbed = bench("run", path, "--results", results).stdout
    first, second, *_ = suite.runs()
    (results / "runs" / first.id / "result.json").write_text("{")
    (results / "runs" / second.id / "predictions.npz").write_bytes(b"")
    seen = bench("status", path, "--results", results, "--json")
    assert json.loads(seen.stdout)["runs"]["damaged"] == 1  # predictions are read by `run` and `report` only
    assert seen.returncode == 1
    assert "2 of 4 runs are finished" in bench("report", path, "--results", results).stdout
    again = bench("run", path, "--results", results)
    assert again.stderr.count("set aside as") == 2
    assert again.stdout == undisturbed
    assert len(list((results / "set-aside").iterdir())) == 2


def test_full_disk_ends_with_one_message_and_nothing_lost(write_suite: Write, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("no permission to mount a small file system")
    try:
        path = write_suite(seeds=40, recipe={"epochs": 1, "batch_size": 100})
        done = bench(
            "run", path, "--results", disk / "results", "--tracking-uri", f"sqlite:///{tmp_path}/m.db"
        )
        assert done.returncode == 2
        assert "no space left" in done.stderr
        assert "Traceback" not in done.stderr
        kept = states(load(path), disk / "results")
        assert "done" in kept
        assert set(kept) <= {"done", "missing"}
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        again = bench(
            "run", path, "--results", disk / "results", "--tracking-uri", f"sqlite:///{tmp_path}/m.db"
        )
        assert again.returncode == 0, again.stderr
        assert set(states(load(path), disk / "results")) == {"done"}
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_status_and_plan_change_nothing(write_suite: Write, tmp_path: Path) -> None:
    path, results = write_suite(), tmp_path / "results"
    finish_run(load(path).runs()[0], results, correct=90)
    before = sorted((str(file), file.stat().st_mtime_ns) for file in results.rglob("*"))
    for verb in ("status", "plan"):
        assert bench(verb, path, "--results", results).returncode == 0
    assert sorted((str(file), file.stat().st_mtime_ns) for file in results.rglob("*")) == before
