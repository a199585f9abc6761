"""How many runs one GPU trains at once: as many as it does most with, found in some seconds.

A small model leaves most of a GPU idle, whose kernels then run beside those of other processes. (Processes,
not streams of one process: that way a run's bits do not depend on its company.) MPS lets their kernels truly
overlap; without it the GPU takes turns.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MOST = 16
GAIN = 1.05  # by which twice as many must train more images in a second
SECONDS = 2.0  # of one measurement
CONTEXT = 700 * 2**20  # bytes that CUDA itself takes for a process, about
PATIENCE = 120.0  # seconds that a probe may take to answer: some have hung for ever under MPS
SHARE = 0.9  # of a GPU's memory that may be planned for


def choose(measure: Callable[[int], float], most: int) -> int:
    """The number of processes that train most: doubled for as long as that is worth it.

    Args:
        measure: images a second that so many processes train together.
        most: that there may be, at least 1.
    """
    best, rate = 1, measure(1)
    while best < most:
        more = min(2 * best, most)
        faster = measure(more)
        # Where the last step is no doubling, it must gain its share.
        if faster < rate * (1 + (GAIN - 1) * (more / best - 1)):
            break
        best, rate = more, faster
    return best


def at_most(cores: int, runs: int, available: int, each: int) -> int:
    """How many processes there may be: a core and a run each, and memory (in bytes) for all of them."""
    return max(1, min(MOST, cores, runs, int(SHARE * available) // max(each, 1)))


class Probe:
    """A process that trains a run for as long as it is told to, and forgets it."""

    def __init__(self, pack: Path, gpu: int | None) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = str(gpu)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.launch.probe", str(pack)],
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def hear(self) -> dict[str, Any]:
        """What it says next. Raises EOFError where it has died, or says nothing for long."""
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            raise EOFError
        line = self.process.stdout.readline()
        if not line:
            raise EOFError
        answer: dict[str, Any] = json.loads(line)
        return answer

    def go(self) -> None:
        """Have it train for :data:`SECONDS`."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{SECONDS}\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


def calibrate(pack: Path, runs: int, cores: int, gpu: int | None) -> int | None:
    """Measure how many processes one GPU does most with; None: not even one could be measured.

    Args:
        pack: whose first run is taken for all of them.
        runs: there are.
        cores: of the machine that these processes may use.
        gpu: its number; None: the one that this process sees.
    """
    probes = [Probe(pack, gpu)]
    try:
        first = probes[0].hear()
        most = at_most(cores, runs, first["available"], first["memory"] + CONTEXT)
        probes += [Probe(pack, gpu) for _ in range(most - 1)]
        for ready, probe in enumerate(probes[1:], start=1):
            try:
                probe.hear()
            except EOFError:  # no room for so many
                most = ready
                break
        for probe in probes[most:]:
            probe.end()

        def measure(count: int) -> float:
            for probe in probes[:count]:
                probe.go()
            return sum(float(probe.hear()["rate"]) for probe in probes[:count])

        return choose(measure, most)
    except (EOFError, BrokenPipeError):  # out of memory, or no GPU for it
        return None
    finally:
        for probe in probes:
            probe.end()


@contextlib.contextmanager
def side_by_side(pack: Path, runs: int, cores: int, gpu: int | None) -> Iterator[int]:
    """How many processes to start on one GPU, and MPS for as long as they run, where that works."""
    with contextlib.ExitStack() as stack:
        count = None
        if stack.enter_context(multi_process_service()):
            count = calibrate(pack, runs, cores, gpu)
            if count in (None, 1):
                stack.close()
        if count is None:
            count = calibrate(pack, runs, cores, gpu)
        yield count or 1


@contextlib.contextmanager
def multi_process_service() -> Iterator[bool]:
    """NVIDIA's MPS, started and stopped by us, in folders of its own; whether that worked.

    One that somebody else has started, and named in the environment, is used and left alone.
    """
    control = shutil.which("nvidia-cuda-mps-control")
    if control is None or "CUDA_MPS_PIPE_DIRECTORY" in os.environ:
        yield False
        return
    folder = Path(tempfile.mkdtemp(prefix="mps-"))
    own = {"CUDA_MPS_PIPE_DIRECTORY": str(folder), "CUDA_MPS_LOG_DIRECTORY": str(folder)}
    # A daemon that sees some GPUs only numbers them anew, and its clients would take others or none.
    environment = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"} | own
    try:
        started = _ask(control, "-d", environment=environment)
        if started:
            os.environ.update(own)
        yield started
    finally:
        # Also where it seems not to have started; in no case that of somebody else.
        _ask(control, said="quit -t 10\n", environment=environment)
        for name in own:
            os.environ.pop(name, None)
        shutil.rmtree(folder, ignore_errors=True)


def _ask(*command: str, environment: dict[str, str], said: str = "") -> bool:
    nowhere = subprocess.DEVNULL  # a daemon may keep a pipe open for as long as it lives
    try:
        done = subprocess.run(
            command, input=said, text=True, env=environment, stdout=nowhere, stderr=nowhere, timeout=30,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
