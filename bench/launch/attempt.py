"""One attempt at a run in a job: claimed, trained, and its failure told from that of the machine."""

from __future__ import annotations

import os
import sys
import time
import traceback
from typing import Any, NoReturn

from bench.disk import is_storage_trouble
from bench.errors import BenchError
from bench.launch.pack import Pack
from bench.launch.stop import StopFlag
from bench.machine import fingerprint
from bench.results.folder import RunFolder
from bench.runs import Run
from bench.trainers import Work, train

OUT_OF_MEMORY = "out of memory"
NOT_RECORDED = "a step could not be recorded"


def job_id(pack: Pack) -> str:
    """The id of the job that this process belongs to, as its launcher knows it: ``123`` or ``123_4``."""
    if pack.launcher is not None:  # which may run in a job of Slurm's, too
        return os.environ.get("SUBMITIT_LOCAL_JOB_ID", "")
    number = os.environ.get("SLURM_JOB_ID", "")
    if (array := os.environ.get("SLURM_ARRAY_JOB_ID")) is not None:
        number = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return f"{pack.cluster}:{number}" if pack.cluster else number


def attempt_run(run: Run, pack: Pack, device: str, stop: StopFlag) -> bool:
    """Train one run unless it is done or has failed. False: another process trains it."""
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
    """Train one claimed run. What its code raises is its failure; an error of the machine is not."""
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
    """End this process at once: after the exception under way it cannot use its device any more."""
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
    say(f"run {run.id} {words}")


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)
