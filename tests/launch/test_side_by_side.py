"""How many processes share a GPU: chosen by what was measured, and MPS started and stopped around them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.launch import side_by_side
from bench.launch.pack import Pack
from bench.launch.profile import Profile
from bench.launch.side_by_side import at_most, calibrate, choose
from bench.results import RunFolder
from bench.suite import Suite

Make = Callable[..., Suite]


@pytest.mark.parametrize(
    ("rates", "most", "expected"),
    [
        ({1: 100}, 1, 1),
        ({1: 100, 2: 200, 4: 390, 8: 700}, 8, 8),
        ({1: 100, 2: 200, 4: 390, 8: 400}, 16, 4),  # not worth twice the memory
        ({1: 100, 2: 90}, 16, 1),
        ({1: 100, 2: 180, 3: 190}, 3, 3),  # half as many more must gain half of 5 %
        ({1: 100, 2: 180, 3: 183}, 3, 2),
        ({1: 100, 2: 190, 4: 300, 6: 305}, 6, 4),
    ],
)
def test_doubled_while_it_pays(rates: Mapping[int, float], most: int, expected: int) -> None:
    assert choose(lambda count: rates[count], most) == expected


@given(st.lists(st.floats(1, 1e6), min_size=17, max_size=17), st.integers(1, 16))
def test_the_choice_was_measured_and_is_no_worse_than_one(rates: list[float], most: int) -> None:
    asked: list[int] = []

    def measure(count: int) -> float:
        asked.append(count)
        return rates[count]

    chosen = choose(measure, most)
    assert chosen in asked
    assert max(asked) <= most
    assert rates[chosen] >= rates[1]
    assert len(asked) <= 5


def test_bounds() -> None:
    gib = 2**30
    assert at_most(cores=16, runs=60, available=80 * gib, each=2 * gib) == 16
    assert at_most(cores=4, runs=60, available=80 * gib, each=2 * gib) == 4
    assert at_most(cores=16, runs=3, available=80 * gib, each=2 * gib) == 3
    assert at_most(cores=16, runs=60, available=80 * gib, each=30 * gib) == 2
    assert at_most(cores=16, runs=60, available=8 * gib, each=30 * gib) == 1


def pack_of(suite: Suite, folder: Path, search_path: Sequence[str] = ()) -> Path:
    pack = Pack(
        results=folder / "results",
        data=folder / "data",
        device="cpu",
        runs=list(suite.runs()),
        search_path=[*search_path],
        git=None,
        workers=None,
    )
    return pack.write(folder)


def test_real_probes_are_measured(make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "SECONDS", 0.1)
    assert calibrate(pack_of(make_suite(), tmp_path), runs=4, cores=2, gpu=None) in (1, 2)
    assert not (tmp_path / "results").exists()


def test_probe_that_cannot_train_is_no_measurement(make_suite: Make, tmp_path: Path) -> None:
    (tmp_path / "own_broken_loss.py").write_text("def broken(logits, target):\n    raise MemoryError\n")
    path = pack_of(make_suite(), tmp_path)
    path.write_text(path.read_text().replace('"ce"', '"own_broken_loss:broken"'))
    assert calibrate(path, runs=4, cores=2, gpu=None) is None


def test_probe_that_hangs_is_no_measurement(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "PATIENCE", 0.0)
    assert calibrate(pack_of(make_suite(), tmp_path), runs=4, cores=2, gpu=None) is None


def test_probes_that_there_is_no_room_for_are_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[Any] = []

    class Cramped:
        def __init__(self, *_: object) -> None:
            self.number, self.ended = len(made), 0
            made.append(self)

        def hear(self) -> dict[str, float]:
            if self.number >= 2:
                raise EOFError
            return {"available": 2**50, "memory": 0, "rate": 100.0}

        def go(self) -> None:
            assert not self.ended

        def end(self) -> None:
            self.ended += 1

    monkeypatch.setattr(side_by_side, "Probe", Cramped)
    assert calibrate(tmp_path, runs=8, cores=8, gpu=None) == 2
    assert all(probe.ended for probe in made)


def test_ending_a_probe_twice_is_ending_it(make_suite: Make, tmp_path: Path) -> None:
    probe = side_by_side.Probe(pack_of(make_suite(), tmp_path), None)
    probe.end()
    probe.end()
    assert probe.process.returncode is not None


def train_in_a_job(path: Path) -> int:
    """Train a pack by two processes side by side, in one of its own, as signal handlers stay: its number."""
    code = (
        "import os, sys; from pathlib import Path; from bench.launch import side_by_side, worker\n"
        "print(os.getpid())\n"
        "side_by_side.calibrate = lambda *_, **__: 2\n"
        "sys.exit(worker.Worker(Path(sys.argv[1]))() or worker.StopFlag().raised)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "2 processes side by side" in done.stderr
    return int(done.stdout)


def test_processes_of_a_job_share_its_pack(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite()
    supervisor = train_in_a_job(pack_of(suite, tmp_path))
    folders = [RunFolder(tmp_path / "results", run.id) for run in suite.runs()]
    assert all(folder.done for folder in folders)
    attempts = [attempt for folder in folders for attempt in folder.info()["attempts"]]
    assert len(attempts) == 4
    assert supervisor not in {attempt["pid"] for attempt in attempts}  # MPS ends when only that is left


TOO_LARGE_TOGETHER = """
import os, pathlib, signal, torch
def greedy(logits, target):
    alone = "help_with" not in pathlib.Path("/proc/self/cmdline").read_text()
    if not alone:
        {trouble}
    return torch.nn.functional.cross_entropy(logits, target)
"""


@pytest.mark.parametrize(
    "trouble",
    [
        "raise MemoryError",
        "raise RuntimeError('CUDNN_STATUS_ALLOC_FAILED')",
        "os.kill(os.getpid(), signal.SIGKILL)",
    ],
)
def test_what_fails_in_company_is_trained_alone(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_greedy_loss.py").write_text(TOO_LARGE_TOGETHER.format(trouble=trouble))
    suite = make_suite(losses=["ce", "own_greedy_loss:greedy"])
    path = pack_of(suite, tmp_path, search_path=[str(tmp_path)])
    train_in_a_job(path)
    folders = [RunFolder(tmp_path / "results", run.id) for run in suite.runs()]
    assert all(folder.done for folder in folders)
    assert {len(folder.info()["attempts"]) > 1 for folder in folders} == {True, False}


# ------------------------------------------------------------------------------------------------- MPS

CONTROL = """#!/bin/sh
[ -z "$CUDA_VISIBLE_DEVICES" ] || exit 9
echo "$CUDA_MPS_PIPE_DIRECTORY $*" >> {log}
[ "$1" = -d ] && exit {status}
cat >> {log}
"""


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
    """A stand-in for nvidia-cuda-mps-control, which notes how it is called; its start ends with a status."""
    monkeypatch.delenv("CUDA_MPS_PIPE_DIRECTORY", raising=False)

    def install(status: int) -> Path:
        log, file = tmp_path / "log", tmp_path / "nvidia-cuda-mps-control"
        file.write_text(CONTROL.format(log=log, status=status))
        file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return log

    return install


def test_mps_runs_as_long_as_the_processes(
    control: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = control(0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")  # by which a daemon would number its GPUs anew
    seen: list[str | None] = []

    def fake(*_: object) -> int:
        seen.append(os.environ.get("CUDA_MPS_PIPE_DIRECTORY"))
        return 4

    monkeypatch.setattr(side_by_side, "calibrate", fake)
    with side_by_side.side_by_side(tmp_path, 8, 8, 0) as count:
        pipe = os.environ["CUDA_MPS_PIPE_DIRECTORY"]
        assert Path(pipe).is_dir()
        assert log.read_text() == f"{pipe} -d\n"
    assert (count, seen) == (4, [pipe])
    assert log.read_text().splitlines()[1:] == [f"{pipe} ", "quit -t 10"]
    assert not Path(pipe).exists()
    assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ


@pytest.mark.parametrize("status", [0, 1])
def test_without_mps_where_nothing_trains_under_it_or_it_does_not_start(
    control: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int
) -> None:
    log = control(status)
    monkeypatch.setattr(
        side_by_side, "calibrate", lambda *_: None if "CUDA_MPS_PIPE_DIRECTORY" in os.environ else 2
    )
    with side_by_side.side_by_side(tmp_path, 8, 8, 0) as count:
        assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
    assert count == 2
    start, end, said = log.read_text().splitlines()
    assert (start.split()[0], said) == (end.strip(), "quit -t 10")  # ours, and nobody else's


def test_mps_of_somebody_else_is_left_alone(
    control: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = control(0)
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", "/theirs")
    monkeypatch.setattr(side_by_side, "calibrate", lambda *_: 2)
    with side_by_side.side_by_side(tmp_path, 8, 8, 0):
        assert os.environ["CUDA_MPS_PIPE_DIRECTORY"] == "/theirs"
    assert not log.exists()


# --------------------------------------------------------------------------------------------- profiles


def test_a_job_that_measures_is_one_task_a_gpu_with_all_cores() -> None:
    profile = Profile(gpus=2, cpus=16, workers="auto")
    parameters = profile.parameters("name", 1)
    assert (parameters["ntasks_per_node"], parameters["cpus_per_task"]) == (2, 8)
    assert profile.crowded(0).workers == "auto"
    assert profile.crowded(1).workers == 1
    assert Profile(workers=4).crowded(1).workers == 2
    assert Profile(gpus=0, cpus=6, workers="auto").tasks == 6
