"""How many processes share a GPU: chosen by what was measured, and MPS started and stopped around them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.launch import side_by_side
from bench.launch.gpus import by_uuid
from bench.launch.pack import Pack
from bench.launch.profile import Profile
from bench.launch.side_by_side import at_most, calibrate, choose
from bench.launch.stop import is_alive
from bench.results.folder import RunFolder
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
    assert calibrate(pack_of(make_suite(), tmp_path), 4, 2, None, print) in (1, 2)
    assert not (tmp_path / "results").exists()


def test_probe_that_cannot_train_is_no_measurement_and_says_why(make_suite: Make, tmp_path: Path) -> None:
    code = "def broken(logits, target):\n    raise MemoryError('no room at all')\n"
    (tmp_path / "own_broken_loss.py").write_text(code)
    path, said = pack_of(make_suite(), tmp_path), []
    path.write_text(path.read_text().replace('"ce"', '"own_broken_loss:broken"'))
    assert calibrate(path, 4, 2, None, said.append) is None
    [words] = said
    assert words.startswith("how many runs a GPU trains at once could not be measured: ")
    assert "own_broken_loss" in words  # here it cannot be imported: those were its last words


def test_probe_that_hangs_is_no_measurement_and_is_ended(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "PATIENCE", 0.2)
    said: list[str] = []
    assert calibrate(pack_of(make_suite(), tmp_path), 4, 2, None, said.append) is None
    [words] = said
    assert words.endswith(": no answer in 0.2 s; its last words: it said nothing")


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
                raise side_by_side.Silent
            return {"available": 2**50, "memory": 0, "rate": 100.0}

        def go(self) -> None:
            assert not self.ended

        def end(self) -> None:
            self.ended += 1

    monkeypatch.setattr(side_by_side, "Probe", Cramped)
    assert calibrate(tmp_path, 8, 8, None, print) == 2
    assert all(probe.ended for probe in made)


def test_ending_a_probe_twice_is_ending_it(make_suite: Make, tmp_path: Path) -> None:
    probe = side_by_side.Probe(pack_of(make_suite(), tmp_path), None)
    probe.end()
    probe.end()
    assert probe.process.returncode is not None


def train_in_a_job(path: Path) -> int:
    """Train a pack by two processes side by side, in one of its own, as signal handlers stay: its number."""
    code = (
        "import os, sys; from pathlib import Path; from bench.launch import side_by_side, stop, worker\n"
        "print(os.getpid())\n"
        "side_by_side.calibrate = lambda *_, **__: 2\n"
        "sys.exit(worker.Worker(Path(sys.argv[1]))() or stop.StopFlag().raised)"
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


ASKS = "def asks(logits, target):\n    loss = cross_entropy(logits, target)\n    return loss / loss.item()\n"


def test_a_run_that_cannot_be_recorded_ends_its_process_and_goes_on_one_by_one(
    make_suite: Make, tmp_path: Path
) -> None:
    """With the recorder of the tests in every process: as on a GPU."""
    head = "from torch.nn.functional import cross_entropy\n"
    (tmp_path / "own_asking_loss.py").write_text(head + ASKS + "asks.recordable = True\n")
    sys.path.insert(0, str(tmp_path))
    try:
        suite = make_suite(losses=["ce", "own_asking_loss:asks"], seeds=1)
    finally:
        sys.path.remove(str(tmp_path))
    path = pack_of(suite, tmp_path, [str(tmp_path)])
    code = (
        "import sys; from pathlib import Path; from training.recorder import FakeRecorder\n"
        "from bench.launch import pack, stop, worker; from bench.training import run\n"
        "made = run.Training\n"
        "run.Training = lambda *a, **k: made(*a, recorder=FakeRecorder(), **k)\n"
        "worker.work(pack.Pack.read(Path(sys.argv[1])), stop.StopFlag())\n"
    )
    tests = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])}
    ends = [
        subprocess.run([sys.executable, "-c", code, path], env=environment, capture_output=True, timeout=120)
        for _ in range(2)
    ]
    assert [end.returncode for end in ends] == [1, 0], ends[-1].stderr
    plain, asking = (RunFolder(tmp_path / "results", run.id) for run in suite.runs())
    first, second = asking.info()["attempts"]
    why = "a step could not be recorded: RuntimeError: called a synchronizing CUDA operation"
    assert (first["outcome"], second.get("outcome")) == (why, None)
    assert plain.result().warnings == []  # type: ignore[union-attr]
    assert asking.result().warnings == [  # type: ignore[union-attr]
        f"steps were launched one by one, which is slower: {why}"
    ]


# ------------------------------------------------------------------------------------------------- MPS

CONTROL = """#!/bin/sh
echo "$CUDA_MPS_PIPE_DIRECTORY on $CUDA_VISIBLE_DEVICES: $*" >> {log}
[ "$1" = -f ] || {{ cat >> {log}; kill $(cat {folder}/control.pid); exit; }}
echo $$ > {folder}/control.pid
exec sleep {seconds}
"""
LISTED = """#!/bin/sh
cat <<END
GPU 0: NVIDIA H200 (UUID: GPU-5f10cdd2-e7e4)
GPU 1: NVIDIA H200 (UUID: GPU-8a99ffc1-0001)
  MIG 1g.18gb     Device  0: (UUID: MIG-f1a3)
  MIG 2g.35gb     Device  1: (UUID: MIG-07bb)
GPU 12: NVIDIA H200 (UUID: GPU-c0ffee)
END
"""


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
    """Stand-ins for nvidia-cuda-mps-control, which notes how it is called and stays for so many seconds, and
    for nvidia-smi."""
    monkeypatch.delenv("CUDA_MPS_PIPE_DIRECTORY", raising=False)

    def install(seconds: int) -> Path:
        log = tmp_path / "log"
        written = CONTROL.format(log=log, folder=tmp_path, seconds=seconds)
        for name, text in (("nvidia-cuda-mps-control", written), ("nvidia-smi", LISTED)):
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return log

    return install


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("0", "GPU-5f10cdd2-e7e4"),
        ("12,0", "GPU-c0ffee,GPU-5f10cdd2-e7e4"),
        ("1", "MIG-f1a3"),  # the first part of a GPU that is divided: CUDA would take that, too
        ("MIG-07bb", "MIG-07bb"),
        ("0, 7", "GPU-5f10cdd2-e7e4,7"),
    ],
)
def test_gpus_have_names_that_nobody_numbers_anew(
    control: Callable[[int], Path], visible: str, expected: str
) -> None:
    control(0)
    assert by_uuid(visible) == expected


def test_gpus_keep_their_numbers_where_nobody_knows_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert by_uuid("1,0") == "1,0"


def test_mps_runs_as_long_as_the_processes(
    control: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = control(60)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "12")
    seen: list[str | None] = []

    def fake(*_: object) -> int:
        wait_for(log.exists)
        seen.append(os.environ.get("CUDA_MPS_PIPE_DIRECTORY"))
        return 4

    monkeypatch.setattr(side_by_side, "calibrate", fake)
    with side_by_side.side_by_side(tmp_path, 8, 8, 0, print) as count:
        pipe = os.environ["CUDA_MPS_PIPE_DIRECTORY"]
        assert Path(pipe).is_dir()
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-c0ffee"  # on both sides
        wait_for((tmp_path / "control.pid").exists)
        server = int((tmp_path / "control.pid").read_text())
        assert is_alive(server)
    assert (count, seen) == (4, [pipe])
    assert log.read_text().splitlines() == [
        f"{pipe} on GPU-c0ffee: -f", f"{pipe} on GPU-c0ffee: ", "quit -t 10"
    ]  # fmt: skip
    assert not is_alive(server)
    assert not Path(pipe).exists()
    assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "12"


def test_mps_ends_with_a_process_that_is_killed(control: Callable[[int], Path], tmp_path: Path) -> None:
    control(60)
    code = (
        "import time; from bench.launch.side_by_side import multi_process_service\n"
        "with multi_process_service(): time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        wait_for((tmp_path / "control.pid").exists)
        wait_for(lambda: (tmp_path / "control.pid").read_text() != "")
        server = int((tmp_path / "control.pid").read_text())
        parent.kill()
    wait_for(lambda: not is_alive(server))


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("seconds", [0, 60])
def test_without_mps_where_nothing_trains_under_it_or_it_does_not_stay(
    control: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seconds: int
) -> None:
    control(seconds)
    monkeypatch.setattr(
        side_by_side, "calibrate", lambda *_: None if "CUDA_MPS_PIPE_DIRECTORY" in os.environ else 2
    )
    with side_by_side.side_by_side(tmp_path, 8, 8, 0, print) as count:
        assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
    assert count == 2


def test_mps_of_somebody_else_is_left_alone(
    control: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = control(60)
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", "/theirs")
    monkeypatch.setattr(side_by_side, "calibrate", lambda *_: 2)
    with side_by_side.side_by_side(tmp_path, 8, 8, 0, print):
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
