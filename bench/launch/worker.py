"""What a job executes: train the runs of a pack, one after another, in one process.

Workers that were given the same pack share its work: each takes the next run that nobody has claimed, so a
fast one takes more, and what a dead one leaves behind is taken up by the others.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.launch.pack import Pack
from bench.results import RunFolder, is_storage_trouble
from bench.run import Run

if TYPE_CHECKING:
    import torch

WAIT_SECONDS = 0.5  # between looks at runs that another worker is training


@dataclass(frozen=True)
class Worker:
    """The callable that a job pickles: a path, and nothing that could go stale."""

    pack: Path

    def __call__(self) -> str | None:
        """Train until every run of the pack is done or failed, or until told to stop.

        Returns why this machine cannot go on, or None: a pickled exception would need this very version of
        bench to be read again.
        """
        try:
            work(Pack.read(self.pack), StopFlag())
        except BenchError as error:
            return str(error)
        return None


class StopFlag:
    """Becomes true once on a signal, or when the launcher is gone. Training looks at it before each step."""

    def __init__(self, launcher: int | None = None) -> None:
        self.raised = False
        self.launcher = launcher
        self._looked = time.monotonic()
        # USR2 announces a time limit or preemption; TERM and INT are people, or Slurm without a word; HUP is
        # a terminal that was closed, which nohup says to ignore.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._raise)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        # Nothing else: whatever was interrupted may be in the middle of anything.
        self.raised = True

    def __call__(self) -> bool:
        """Whether to stop at the next step."""
        if self.launcher is not None and time.monotonic() - self._looked > 1:
            self._looked = time.monotonic()
            self.raised = self.raised or not is_alive(self.launcher)
        return self.raised


def is_alive(process: int) -> bool:
    """Whether a process of this machine runs. One that ended, and whose parent has not noticed, does not."""
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's, or a system without /proc: it exists
        return True
    return state != "Z"


def work(pack: Pack, stop: StopFlag) -> None:
    """Train the runs of a pack that are neither done nor failed.

    Raises:
        BenchError: this machine cannot go on (no device, a full disk). The runs stay as they are.
    """
    stop.launcher = pack.launcher
    # One thread, set before torch is imported: two would round sums in another order.
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    sys.path[:0] = [folder for folder in pack.search_path if folder not in sys.path]
    from bench.training import device as devices

    device = devices.prepare(pack.device)
    waiting = [Run.from_description(description) for description in pack.runs]
    while waiting and not stop():
        busy = []
        for run in waiting:
            if stop():
                return
            if not _attempt(run, pack, device, stop):
                busy.append(run)
        if busy and len(busy) == len(waiting):
            time.sleep(WAIT_SECONDS)
        waiting = busy


def _attempt(run: Run, pack: Pack, device: torch.device, stop: StopFlag) -> bool:
    """Train one run unless that is not needed. False: another process is at it."""
    folder = RunFolder(pack.results, run.id)
    if folder.done or folder.failed:
        return True
    try:
        with folder.claim() as mine:
            if mine and not (folder.done or folder.failed):
                _train(run, folder, pack, device, stop)
            return mine
    except OSError as error:
        raise BenchError(f"run {run.id}: {error}") from error


def _train(run: Run, folder: RunFolder, pack: Pack, device: torch.device, stop: StopFlag) -> None:
    """Train one claimed run. Whatever its code raises is its failure, but not what the machine does."""
    import torch

    from bench.training import device as devices
    from bench.training.loop import train

    attempt = {
        **devices.fingerprint(device),
        "started": time.time(),
        "pid": os.getpid(),
        "job": os.environ.get("SUBMITIT_LOCAL_JOB_ID", ""),
        "git": pack.git,
    }
    folder.start(run, attempt)
    print(f"{time.strftime('%H:%M:%S')} run {run.id} (seed {run.seed}) begins", flush=True)
    try:
        train(run, folder, device=device, data=pack.data, should_stop=stop)
    except OSError as error:
        if is_storage_trouble(pack.results, error):
            raise
        folder.fail(f"{type(error).__name__}: {error}", traceback.format_exc())
    except BenchError as error:
        folder.fail(str(error), traceback.format_exc())
    except (torch.OutOfMemoryError, MemoryError) as error:
        folder.fail(f"out of memory on {device}: {error}", traceback.format_exc())
    except Exception as error:
        folder.fail(f"{type(error).__name__}: {error}", traceback.format_exc())
