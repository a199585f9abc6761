"""What a job executes: train the runs of a pack, one after another, in one process.

Workers that were given the same pack share its work: each takes the next run that nobody has claimed, so a
fast one takes more, and what a dead one leaves behind is taken up by the others.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError
from bench.launch.attempt import attempt_run, job_id, say
from bench.launch.ended import Ended, Idle
from bench.launch.executors import Trouble
from bench.launch.executors.slurm import Slurm
from bench.launch.gpus import choose_gpu
from bench.launch.pack import Pack, installed_versions
from bench.launch.preflight import unfinished
from bench.launch.side_by_side import side_by_side
from bench.launch.stop import StopFlag

WAIT_SECONDS = 0.5  # between looks at runs that another worker is training
END_SECONDS = 600.0  # that it may take to end a job which was to be queued again
HELPER_SECONDS = 60.0  # that the other processes of a job may take to save their states
MOST_IDLE = 3  # starts of a job, one after another, in which it makes no step
NO_STEP = 3  # exit status of a helper that made none


@dataclass(frozen=True)
class Worker:
    """The callable that a job pickles: the path of its pack."""

    pack: Path

    def __call__(self) -> None:
        """Train until every run of the pack is done or failed, or until told to stop.

        Says in a file beside the pack that it has ended, and why this machine cannot go on, if it cannot.
        """
        stop = StopFlag()
        try:
            pack = Pack.read(self.pack)
        except BenchError as error:  # which job this is stands there as well
            sys.exit(str(error))
        for remark in pack.strangers(self.pack):
            say(remark)
        job = job_id(pack)
        Ended.forget(self.pack.parent, job)
        message, finished = None, True
        try:
            finished = work_together(self.pack, pack, stop) if pack.workers is None else work(pack, stop)
        except BenchError as error:
            message = str(error)
        except Exception as error:
            Ended.note(self.pack.parent, job, f"{type(error).__name__}: {error}")
            raise
        if finished or pack.launcher is not None:
            Ended.note(self.pack.parent, job, message)
        elif not stop.worked and Idle.count(self.pack.parent, job, restarts()) >= MOST_IDLE:
            Ended.note(
                self.pack.parent,
                job,
                f"told to stop before its first step, {MOST_IDLE} times in a row: starting up takes longer "
                "than its time limit less its grace, or it is preempted at once; give it more time",
            )
        else:
            if stop.worked:
                Idle.forget(self.pack.parent, job)
            queue_again(job, stop)


def restarts() -> str:
    """How often this job was started before."""
    return os.environ.get("SLURM_RESTART_COUNT", "0")


def queue_again(job: str, stop: StopFlag) -> None:
    """Let this job be started again, now that its state is saved, and wait until it is ended."""
    stop.raised = False
    with contextlib.suppress(Trouble):  # then it is left to the executor
        Slurm().queue_again(job)
    deadline = time.monotonic() + END_SECONDS
    while not stop.raised and time.monotonic() < deadline:
        time.sleep(0.1)


def check_versions(pack: Pack) -> None:
    """Raise BenchError where this node would train with other packages than the launcher has."""
    installed = installed_versions()
    for name, version in pack.versions.items():
        if installed.get(name) != version:
            raise BenchError(
                f"node {socket.gethostname()} has {name} {installed.get(name)} (with {sys.executable}), "
                f"the machine that submitted has {version}: results of the two must not be mixed; "
                "put the environment on a file system that all nodes see, and start bench from there"
            )


def work_together(path: Path, pack: Pack, stop: StopFlag) -> bool:
    """As :func:`work`, by as many processes side by side as this job's GPU does most with.

    This process only looks after them, so that MPS ends when none is left that uses it. What they leave, as
    there was no memory for it beside others or a process died of it, is trained afterwards, alone.
    """
    choose_gpu(shared=pack.launcher is None)
    cores = len(os.sched_getaffinity(0))
    with side_by_side(path, len(pack.runs), cores, None, say) as count:
        say(f"{count} processes side by side")
        command = [
            sys.executable,
            "-c",
            f"from bench.launch.worker import help_with; help_with({str(path)!r})",
        ]
        helpers = [subprocess.Popen(command) for _ in range(count)]
        try:
            while not stop() and any(helper.poll() is None for helper in helpers):
                time.sleep(WAIT_SECONDS)
        finally:
            for helper in helpers:
                helper.terminate()
            for helper in helpers:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    stop.worked |= helper.wait(HELPER_SECONDS) != NO_STEP
    if not unfinished(pack.runs, pack.results):
        return True
    return not stop() and work(pack, stop)


def help_with(path: str) -> None:
    """One of a job's processes: trains its pack with the others, until their parent ends."""
    stop = StopFlag(os.getppid())
    try:
        finished = work(Pack.read(Path(path)), stop)
    except BenchError as error:
        sys.exit(str(error))
    if not finished and not stop.worked:
        sys.exit(NO_STEP)


def work(pack: Pack, stop: StopFlag) -> bool:
    """Train the runs of a pack that are neither done nor failed. False: it was told to stop before the end.

    Raises:
        BenchError: this machine cannot go on (no device, a full disk). The runs stay as they are.
    """
    if pack.launcher is not None:
        stop.launcher = pack.launcher
    check_versions(pack)
    choose_gpu(shared=pack.launcher is None and pack.gpus is None)
    # One thread, set before torch is imported: two would round sums in another order.
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    pack.find_modules()
    device = _prepare(pack)
    waiting = pack.runs
    while waiting:
        busy = []
        for run in waiting:
            if stop():
                return False
            if not attempt_run(run, pack, device, stop):
                busy.append(run)
        if busy and len(busy) == len(waiting):
            stop.worked = True
            time.sleep(WAIT_SECONDS)
        waiting = busy
    return not stop.raised


def _prepare(pack: Pack) -> str:
    """The device of a pack, made ready where bench itself is to train there."""
    if any(run.trainer is None for run in pack.runs):
        from bench.training import device as devices

        return str(devices.prepare(pack.device))
    return "cpu" if pack.device == "auto" else pack.device
