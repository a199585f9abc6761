"""What a job executes: train the runs of a pack, one after another, in one process.

Workers that were given the same pack share its work: each takes the next run that nobody has claimed, so a
fast one takes more, and what a dead one leaves behind is taken up by the others.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from bench.disk import is_storage_trouble
from bench.errors import BenchError
from bench.launch.ended import Ended, Idle
from bench.launch.executors import Trouble
from bench.launch.executors.slurm import Slurm
from bench.launch.gpus import choose_gpu
from bench.launch.pack import Pack, installed_versions
from bench.launch.preflight import unfinished
from bench.launch.side_by_side import side_by_side
from bench.machine import fingerprint
from bench.results.folder import RunFolder
from bench.runs import Run
from bench.trainers import Work, train

WAIT_SECONDS = 0.5  # between looks at runs that another worker is training
END_SECONDS = 600.0  # that it may take to end a job which was to be queued again
HELPER_SECONDS = 60.0  # that the other processes of a job may take to save their states
MOST_IDLE = 3  # starts of a job, one after another, in which it makes no step
NO_STEP = 3  # exit status of a helper that made none
OUT_OF_MEMORY = "out of memory"
NOT_RECORDED = "a step could not be recorded"


@dataclass(frozen=True)
class Worker:
    """The callable that a job pickles: a path, and nothing that could go stale."""

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
            _say(remark)
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


class StopFlag:
    """Becomes true once on a signal, or when the launcher is gone. Training looks at it before each step."""

    def __init__(self, launcher: int | None = None) -> None:
        self.raised = False
        self.launcher = launcher
        self.worked = False  # whether a step was made, or another one's run waited for
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

    def before_step(self) -> bool:
        """The same, asked before a step that is made otherwise."""
        stopping = self()
        self.worked = self.worked or not stopping
        return stopping


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


def job_id(pack: Pack) -> str:
    """The id of the job that this process belongs to, as its launcher knows it: ``123`` or ``123_4``."""
    if pack.launcher is not None:  # which may run in a job of Slurm's, too
        return os.environ.get("SUBMITIT_LOCAL_JOB_ID", "")
    number = os.environ.get("SLURM_JOB_ID", "")
    if (array := os.environ.get("SLURM_ARRAY_JOB_ID")) is not None:
        number = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return f"{pack.cluster}:{number}" if pack.cluster else number


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
    here = installed_versions()
    for name, version in pack.versions.items():
        if here.get(name) != version:
            raise BenchError(
                f"node {socket.gethostname()} has {name} {here.get(name)} (with {sys.executable}), "
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
    with side_by_side(path, len(pack.runs), cores, None, _say) as count:
        _say(f"{count} processes side by side")
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
            if not _attempt(run, pack, device, stop):
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


def _attempt(run: Run, pack: Pack, device: str, stop: StopFlag) -> bool:
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


def _train(run: Run, folder: RunFolder, pack: Pack, device: str, stop: StopFlag) -> None:
    """Train one claimed run. Whatever its code raises is its failure, but not what the machine does."""
    outcomes = [str(earlier.get("outcome", "")) for earlier in folder.info().get("attempts", [])]

    def begin() -> None:
        place = {"started": time.time(), "pid": os.getpid(), "job": job_id(pack), "git": pack.git}
        folder.start(run, {**_fingerprint(run, device), **place})
        _note(run, f"(seed {run.seed}) begins")

    begin()
    try:
        train(
            Work(
                run,
                folder,
                pack.data,
                device,
                should_stop=stop.before_step,
                keep_weights=pack.keep_weights,
                keep_probabilities=pack.keep_probabilities,
                one_by_one=next((outcome for outcome in outcomes if outcome.startswith(NOT_RECORDED)), ""),
                metrics=pack.asked,
                suite=pack.suite,
                gpus=pack.gpus,
                nodes=pack.nodes,
                handling=pack.handling_of(run),
                say=lambda words: _note(run, words),
                begin=begin,
            )
        )
    except OSError as error:
        if is_storage_trouble(pack.results, error):
            raise
        _fail(run, folder, f"{type(error).__name__}: {error}")
    except BenchError as error:
        _fail(run, folder, str(error), getattr(error, "output", None))
    except Exception as error:
        if "torch" not in sys.modules:  # a trainer of the user's own that does without
            return _fail(run, folder, f"{type(error).__name__}: {error}")
        from torch import device as as_device

        from bench.training import device as devices
        from bench.training.replay import NotRecorded

        if isinstance(error, NotRecorded):
            # It may have left the device as if it were recording still. The next process goes on from the
            # last checkpoint, and takes this run's steps one by one.
            _end(run, folder, f"{NOT_RECORDED}: {error}")
        full, lost = devices.is_out_of_memory(error), devices.is_lost(as_device(device))
        if full and pack.launcher is not None:
            _fail(run, folder, f"{OUT_OF_MEMORY} on {device}: {error}")
        elif full:  # not this run's fault alone: tried with fewer side by side
            folder.end_attempt(OUT_OF_MEMORY)
            _note(run, f"{OUT_OF_MEMORY}: {error}")
        elif not lost:
            _fail(run, folder, f"{type(error).__name__}: {error}")
        if lost:
            # An error on a GPU, of this run or of one beside it, ends all that a process can do there. Who
            # looks after this process counts its deaths, and fails the run that it keeps dying of.
            _end(run, folder, None if full else f"{device} was lost: {error}")


def _fingerprint(run: Run, device: str) -> dict[str, Any]:
    if run.trainer is not None:
        return fingerprint(device)
    import torch

    from bench.training import device as devices

    return devices.fingerprint(torch.device(device))


def _end(run: Run, folder: RunFolder, outcome: str | None) -> NoReturn:
    """End this process at once: the exception under way came of a device that is of no more use to it."""
    if outcome is not None:
        folder.end_attempt(outcome)
    _note(run, f"ends its process\n{traceback.format_exc()}")
    os._exit(1)


def _fail(run: Run, folder: RunFolder, reason: str, output: str | None = None) -> None:
    """The exception under way is the run's failure: its trace goes into the run folder and the log, or what a
    program has said."""
    trace = traceback.format_exc() if output is None else f"{reason}\n{output}"
    folder.fail(reason, trace)
    _note(run, f"failed\n{trace}")


def _note(run: Run, words: str) -> None:
    _say(f"run {run.id} {words}")


def _say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)
