"""How many runs one GPU trains at once: the number with the highest throughput, measured in seconds.

A small model leaves most of a GPU idle, whose kernels then run beside those of other processes. (Processes,
not streams of one process: that way a run's bits do not depend on its company.) MPS lets their kernels truly
overlap; without it the GPU takes turns.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.launch.gpus import by_uuid

MOST = 16
GAIN = 1.05  # by which twice as many must train more images in a second
SECONDS = 2.0  # of one measurement
CONTEXT = 700 * 2**20  # bytes that CUDA itself takes for a process, about
PATIENCE = 120.0  # seconds that a probe may take to answer: some have hung for ever under MPS
ENDING = 10.0  # seconds that a probe or MPS may take to end
SHARE = 0.9  # of a GPU's memory that may be planned for


def choose(measure: Callable[[int], float], most: int) -> int:
    """The number of processes that together train most images a second: doubled while it pays."""
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


class Silent(Exception):
    """A probe has died, or says nothing for long; its last words."""


class Probe:
    """A process that trains a run for a while, to measure its speed, and keeps nothing of it."""

    def __init__(self, pack: Path, gpu: int | None) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = by_uuid(str(gpu))
        self.errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.launch.probe", str(pack)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=environment,
        )

    def hear(self) -> dict[str, Any]:
        """Its next line. Raises Silent where it has died, or prints nothing for :data:`PATIENCE`."""
        assert self.process.stdout is not None
        ready = select.select([self.process.stdout], [], [], PATIENCE)[0]
        if ready and (line := self.process.stdout.readline()):
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.errors.seek(0)
        words = self.errors.read().strip().splitlines()[-1:] or ["it said nothing"]
        raise Silent(words[0] if ready else f"no answer in {PATIENCE:g} s; its last words: {words[0]}")

    def go(self) -> None:
        """Have it train for :data:`SECONDS`."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{SECONDS}\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """End it; where a driver hangs, it is left running."""
        self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(ENDING)


def calibrate(pack: Path, runs: int, cores: int, gpu: int | None, say: Callable[[str], None]) -> int | None:
    """Measure how many processes one GPU does most with; None: none could be measured, and why is said.

    Trained is the first of a pack's ``runs``, on so many ``cores`` and the GPU of this number (None: the one
    that this process sees).
    """
    probes = [Probe(pack, gpu)]
    try:
        first = probes[0].hear()
        most = at_most(cores, runs, first["available"], first["memory"] + CONTEXT)
        probes += [Probe(pack, gpu) for _ in range(most - 1)]
        for ready, probe in enumerate(probes[1:], start=1):
            try:
                probe.hear()
            except Silent:  # no room for so many
                most = ready
                break
        for probe in probes[most:]:
            probe.end()

        def measure(count: int) -> float:
            for probe in probes[:count]:
                probe.go()
            return sum(float(probe.hear()["rate"]) for probe in probes[:count])

        return choose(measure, most)
    except (Silent, BrokenPipeError) as error:  # out of memory, or no GPU for it
        say(f"how many runs a GPU trains at once could not be measured: {error}")
        return None
    finally:
        for probe in probes:
            probe.end()


@contextlib.contextmanager
def side_by_side(
    pack: Path, runs: int, cores: int, gpu: int | None, say: Callable[[str], None]
) -> Iterator[int]:
    """How many processes to start on one GPU, and MPS for as long as they run, where that works."""
    with contextlib.ExitStack() as stack:
        count = None
        if stack.enter_context(multi_process_service()):
            count = calibrate(pack, runs, cores, gpu, say)
        if count in (None, 1):
            stack.close()
        if count is None:
            count = calibrate(pack, runs, cores, gpu, say)
        yield count or 1


@contextlib.contextmanager
def multi_process_service() -> Iterator[bool]:
    """NVIDIA's MPS as a child of ours, with a folder of its own; whether there is one.

    One that somebody else has started, and named in the environment, is used and left alone. GPUs are named
    by UUIDs on both sides, as a daemon that sees some of them numbers them anew.
    """
    control = shutil.which("nvidia-cuda-mps-control")
    if control is None or "CUDA_MPS_PIPE_DIRECTORY" in os.environ:
        yield False
        return
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    device = {"CUDA_VISIBLE_DEVICES": by_uuid(visible)} if visible else {}
    with tempfile.TemporaryDirectory(prefix="mps-", ignore_cleanup_errors=True) as folder:
        os.environ.update(device, CUDA_MPS_PIPE_DIRECTORY=folder, CUDA_MPS_LOG_DIRECTORY=folder)
        nowhere = subprocess.DEVNULL
        daemon = subprocess.Popen(
            [control, "-f"],  # in the foreground, and ended by the kernel where this process is killed
            stdin=nowhere, stdout=nowhere, stderr=nowhere,
            preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGTERM),  # PR_SET_PDEATHSIG
        )  # fmt: skip
        try:
            yield True
        finally:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run([control], input=b"quit -t 10\n", stdout=nowhere, stderr=nowhere, timeout=30)
            daemon.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(ENDING)
            daemon.kill()
            del os.environ["CUDA_MPS_PIPE_DIRECTORY"], os.environ["CUDA_MPS_LOG_DIRECTORY"]
            if visible:
                os.environ["CUDA_VISIBLE_DEVICES"] = visible
