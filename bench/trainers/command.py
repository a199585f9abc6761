"""A trainer that is a program: filled in, run from the copy that was submitted, and its result read."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import programs
from bench.errors import BenchError, nearest
from bench.placeholders import fill, placeholders, values_of
from bench.trainer_options import TABLES, Following, Reading, called
from bench.trainers.diary import Diary
from bench.trainers.files import read_result, read_table
from bench.trainers.process import Process
from bench.versions import store

if TYPE_CHECKING:
    from bench.trainers import Work

BY_OTHERS = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}
"""Signals by which somebody else ends a program: it is started again. All others are its own failure."""
MOST_KILLED = 20  # times, in all
MOST_FRUITLESS = 3  # times one after another without a sign that it came any further
LOOK_SECONDS = 1.0  # between looks at a table that it writes
_SHOWN = 3  # of its last lines, in the reason of a failure


class ProgramFailed(BenchError):
    """A program did not do what was asked. ``output``: its last lines."""

    def __init__(self, reason: str, output: str = "") -> None:
        super().__init__(reason)
        self.output = output


def train(work: Work) -> bool:
    """Run the program until it has ended by itself; see :func:`bench.trainers.train`.

    Raises:
        ProgramFailed: it is not found, fails, or leaves no result.
    """
    fruitless = 0
    for _ in range(MOST_KILLED):
        before = _signs(work)
        run = _Attempt(work)
        outcome = run.go()
        if outcome is not None:
            return outcome
        fruitless = fruitless + 1 if _signs(work) == before else 0
        work.folder.end_attempt(run.killed, run.seconds)
        if fruitless >= MOST_FRUITLESS:
            break
        work.begin()
    raise ProgramFailed(
        f"{run.killed}, again and again (for its memory?){_last(run.process)}", "\n".join(run.process.last)
    )


def _signs(work: Work) -> object:
    """The files and progress of a program: they change when it advances."""
    files = ((str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in _files(work.folder.work))
    with contextlib.suppress(OSError):
        return len(work.folder.metrics()), sorted(files)
    return None


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


class _Attempt:
    """One start of a program, to its end."""

    process: Process

    def __init__(self, work: Work) -> None:
        trainer = work.run.trainer
        assert trainer is not None
        self.work = work
        self.folder = work.folder.work.absolute()
        self.values = _values(work)
        words = [fill(word, self.values) for word in trainer["command"]]
        self.name = called(words)
        reading = Reading.model_validate(trainer["result"])
        file = None if reading.file is None else fill(reading.file, self.values)
        self.reading = reading.model_copy(update={"file": file})
        self.words, self.environment = _from_copy(work, words)
        self.diary = Diary(work.folder)
        self.match: re.Match[str] | None = None
        self.following = _following(work, self.reading)
        self.looked = 0.0
        self.first = 0  # what is added to its epochs, where it counts them from 0
        self.table: object = None
        self.killed = ""
        self.seconds = 0.0

    def go(self) -> bool | None:
        """Run it. Whether the run is finished; None: the program was killed."""
        began = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.process = Process(self.words, self.work.suite, self.folder, self.environment, self._hear)
        except OSError as error:
            raise _not_started(self.words[0], self.work.suite, error) from None
        handling = self.work.handling
        stop = self.process.wait(self.work.should_stop, handling.stop, handling.grace, self._look_at_table)
        self._look_at_table(now=True)
        code = self.process.process.returncode
        self.seconds = time.monotonic() - began
        if stop.told:
            if stop.killed:
                self.work.say(
                    f"{self.name} did not end within {handling.grace:g} s of {handling.stop}: it was killed, "
                    "and goes on from what it has in its folder"
                )
            self.work.stopped(self.seconds)
            return False
        if (by := _signal_of(code)) in BY_OTHERS:
            self.killed = f"its program was killed by {by.name}"
            self.work.say(self.killed)
            return None
        if code:
            how = f"was ended by {by.name}" if by else f"exited with {code}"
            raise self._failed(f"{self.name} {how}")
        metric = self.reading.metric or "accuracy"
        try:
            outcome = read_result(self.reading, self.folder, self.match, metric)
        except BenchError as error:
            raise self._failed(f"{self.name} ended without a result: {error}") from None
        except OSError as error:
            raise self._failed(f"{self.name}: its result cannot be read: {error}") from None
        self.work.finish(outcome, self.seconds, self.diary.epoch)
        return True

    def _failed(self, reason: str) -> ProgramFailed:
        return ProgramFailed(f"{reason}{_last(self.process)}", "\n".join(self.process.last))

    def _hear(self, line: str) -> None:
        if self.reading.stdout is not None and (match := re.search(self.reading.stdout, line)):
            self.match = match
        if self.following is None or self.following.stdout is None:
            return
        numbers: Any = None
        if self.following.stdout != "json":
            match = re.search(self.following.stdout, line)
            numbers = match.groupdict() if match else None
        elif line.lstrip().startswith("{"):
            with contextlib.suppress(ValueError, RecursionError):
                numbers = json.loads(line)
        if isinstance(numbers, dict):
            epoch = _epoch(numbers)
            self.first = 1 if epoch == 0 else self.first
            with contextlib.suppress(ValueError):  # what it says is shown, and fails nothing
                self.diary.log(None if epoch is None else epoch + self.first, numbers)

    def _look_at_table(self, *, now: bool = False) -> None:
        if self.following is None or self.following.file is None:
            return
        if not now and time.monotonic() - self.looked < LOOK_SECONDS:
            return
        self.looked = time.monotonic()
        path = self.folder / fill(self.following.file, self.values)
        with contextlib.suppress(OSError, BenchError):
            stat = path.stat()
            if (signature := (stat.st_size, stat.st_mtime_ns)) != self.table:
                self.diary.replace(read_table(path))
                self.table = signature


def _epoch(numbers: Mapping[str, Any]) -> int | None:
    try:
        return int(float(numbers["epoch"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _following(work: Work, reading: Reading) -> Following | None:
    """Where its progress is: also in the table of its result, where nobody says."""
    if work.handling.progress is None and reading.file is not None:
        kind = reading.file.rpartition(".")[2].lower()
        return Following(file=reading.file) if kind in TABLES else None
    return work.handling.progress


def _values(work: Work) -> dict[str, str]:
    """The values of all placeholders of a run."""
    trainer = work.run.trainer or {}
    gpus = work.gpus if work.gpus is not None else int(work.device.startswith("cuda"))
    values = values_of(work.run.description) | {
        "seed": str(work.run.seed),
        "folder": str(work.folder.work.absolute()),
        "data": str(work.data.absolute()),
        "gpus": str(gpus),
        "nodes": str(work.nodes),
        "device": work.device.partition(":")[0],
    }
    for word in trainer["command"]:
        for name in placeholders(word):
            if name.startswith("derive."):
                values[name] = str(work.run.derive(name.partition(".")[2]) % 2**31)
    return values


def _from_copy(work: Work, words: list[str]) -> tuple[list[str], dict[str, str]]:
    """The command, and its environment, such that the program's own files are those that were submitted."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SUBMITIT_")}
    environment["PYTHONUNBUFFERED"] = "1"  # or its lines come when they are many
    if work.gpus is not None or work.nodes > 1:
        environment = of_whole_job(environment)
    version = store.kept_program(work.folder.results, work.run)
    if version is None:
        return words, environment
    base = store.copy_of(work.folder.results, version).absolute()
    copied = programs.from_copy(words, version.modules, base, work.suite)
    if copied == words and (other := programs.changed(version.modules, work.suite)):
        # `python -m train`, or a shell's line: what runs is what lies beside the suite.
        raise ProgramFailed(
            f"{', '.join(other[:3])} changed after this was submitted, and the command does not name it as a "
            "word of its own, so that the copy cannot run in its place; `bench run` asks for the new one"
        )
    path = [str(base), *filter(None, [environment.get("PYTHONPATH")])]
    return copied, {**environment, "PYTHONPATH": os.pathsep.join(path)}


def of_whole_job(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which srun starts what it is asked to on all nodes of the job: that of the job's
    script, and not of the one task in which a worker runs."""
    if "SLURM_JOB_ID" not in environment:
        return dict(environment)
    of_step = ("SLURM_STEP", "SLURM_SRUN", "SLURM_CPU_BIND", "SLURM_TASK", "SLURM_MPI", "SLURM_PMI", "PMI_")
    single = {
        *("SLURM_NTASKS", "SLURM_NPROCS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_GTIDS"),
        *("SLURM_DISTRIBUTION", "SLURM_OVERLAP", "SLURM_LAUNCH_NODE_IPADDR", "SLURM_NTASKS_PER_NODE"),
    }
    names = [name for name in environment if not name.startswith(of_step) and name not in single]
    variables = {name: environment[name] for name in names}
    nodes = variables.get("SLURM_JOB_NUM_NODES", "1")
    variables["SLURM_NNODES"] = nodes
    if "SLURM_JOB_NODELIST" in variables:
        variables["SLURM_NODELIST"] = variables["SLURM_JOB_NODELIST"]
    return variables


def _signal_of(code: int) -> signal.Signals | None:
    """The signal that ended a program, or the one that it ran, as shells tell it."""
    number = -code if code < 0 else code - 128
    try:
        return signal.Signals(number)
    except ValueError:
        return None


def _not_started(program: str, suite: Path, error: OSError) -> ProgramFailed:
    if not suite.is_dir():
        return ProgramFailed(f"{suite}: the folder of the suite is not there: does this machine see it?")
    if isinstance(error, FileNotFoundError) and "/" not in program and shutil.which(program) is None:
        folders = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if os.path.isdir(folder)]
        names = {name for folder in folders for name in os.listdir(folder)}
        return ProgramFailed(f"command: '{program}' is not found in PATH{nearest(program, names)}")
    return ProgramFailed(f"command: '{program}' cannot be started: {error.strerror}")


def _last(process: Process) -> str:
    """The last output of a program, for the reason of a failure."""
    lines = [line.strip() for line in process.last if line.strip()][-_SHOWN:]
    return f"; its last lines: {' | '.join(lines)[-500:]}" if lines else "; it said nothing"
