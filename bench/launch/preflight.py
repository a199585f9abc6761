"""Checks before anything is submitted: names, programs, data, first calls."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench import datasets, metrics, models
from bench.disk import Damaged
from bench.entries import AXES
from bench.errors import BenchError, nearest
from bench.launch.trial import try_first_calls
from bench.registry import Choice, ForeignOptions, construct, load_callable
from bench.results.folder import RunFolder
from bench.results.reading import sighting
from bench.runs import Run
from bench.same_data import AGAIN, odd_ones
from bench.sequential_design import as_known
from bench.suite import Suite
from bench.trainer_options import Command
from bench.versions import store


def check_names(suite: Suite) -> None:
    """Make sure that what a suite takes from libraries and from its user's modules is there.

    Imports what it must: timm for a timm model, and nothing for the built-in ones.

    Raises:
        BenchError: a name does not exist, with the nearest one that does.
    """
    for axis in AXES:
        for entry in suite.ours(axis):
            try:
                if isinstance(entry.choice.options, ForeignOptions):
                    load_callable(entry.choice.name)
                elif isinstance(entry.choice.options, models.LibraryModel):
                    models.check_library_name(entry.choice)
            except BenchError as error:
                raise BenchError(f"{suite.name}: {axis}: {error}") from None
    for trainer in suite.trainers:
        try:
            if isinstance(trainer, Command):
                check_program(trainer, suite)
            else:
                construct("trainer", trainer, "job")
        except BenchError as error:
            raise BenchError(f"{suite.name}: trainer: {error}") from None
    for metric in suite.metrics:
        try:
            metrics.as_function(metric.choice)
        except BenchError as error:
            raise BenchError(f"{suite.name}: metrics: {error}") from None


def check_program(trainer: Command, suite: Suite) -> None:
    """Make sure that a program which is named by a path is there. Others may be on the nodes alone.

    Raises:
        BenchError: it is not, or cannot be run.
    """
    program = trainer.command[0]
    if "/" not in program or "{" in program:
        return
    path = suite.folder / program
    if not path.is_file():
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise BenchError(f"command: '{program}' is not found{nearest(path.name, beside)}")
    if not os.access(path, os.X_OK):
        raise BenchError(f"command: '{program}' cannot be run: it is no program (chmod +x makes it one)")


def check_program_here(suite: Suite) -> None:
    """The same of programs that are looked for in ``PATH``, where they are to run on this machine.

    Raises:
        BenchError: one is not found, with the nearest that is.
    """
    for trainer in suite.trainers:
        if not isinstance(trainer, Command) or "/" in (program := trainer.command[0]) or "{" in program:
            continue
        if shutil.which(program) is None:
            folders = os.environ.get("PATH", "").split(os.pathsep)
            names = {name for folder in folders if os.path.isdir(folder) for name in os.listdir(folder)}
            raise BenchError(
                f"{suite.name}: trainer: command: '{program}' is not found in PATH{nearest(program, names)}"
            )


def check_data(chosen: Iterable[Choice], data: Path, say: Callable[[str], None]) -> None:
    """Make sure that data sets that come as files are on disk; fetch those that are not.

    Raises:
        BenchError: one is neither here nor to be had.
    """
    for choice in chosen:
        if not datasets.present(choice, data):
            datasets.fetch(choice, data, say)


def prepare(
    suite: Suite,
    runs: Sequence[Run],
    results: Path,
    data: Path,
    say: Callable[[str], None],
    *,
    search_path: Sequence[str] = (),
    retry_failed: bool,
) -> None:
    """What every launcher does first: keeps the code for jobs, forgets failures if asked, fetches data, tries
    the first call of each model and loss.

    Raises:
        BenchError: a data set is neither here nor to be had; a model or a loss cannot be called; code changed
            since the suite was read; the results are where no job can write its log.
    """
    if pattern := re.search(r"%\d*[A-Za-z%]", str(results.absolute() / suite.name)):
        raise BenchError(
            f"{results.absolute()}: found '{pattern[0]}' in the path, which stands for something else in the "
            "names of logs; choose another folder with --results"
        )
    store.keep(suite, results)
    if retry_failed:
        for run in runs:
            RunFolder(results, run.id).forget_failure()
    if missing := unfinished(runs, results):
        check_data({entry.choice for entry in suite.ours("datasets")}, data, say)
        check_first_calls(suite, missing, data, search_path, say)


def check_first_calls(
    suite: Suite, runs: Iterable[Run], data: Path, search_path: Sequence[str], say: Callable[[str], None]
) -> None:
    """As :func:`bench.launch.trial.try_first_calls`, with the suite's name before each line."""
    try:
        try_first_calls(runs, data, search_path, say)
    except BenchError as error:
        raise BenchError("\n".join(f"{suite.name}: {line}" for line in str(error).splitlines())) from None


def set_aside_damaged(suite: Suite, results: Path, say: Callable[[str], None]) -> None:
    """Move the folders of results that cannot be believed out of the way, so that they are trained again.

    Afterwards runs are to be counted again (:func:`bench.versions.counting.as_counted`): others may stand for
    a cell.
    """
    for run in as_known(suite, results).runs():
        folder = RunFolder(results, run.id)
        try:
            if folder.result(check_predictions=True, check_details=suite.needs_details) and run.trainer:
                folder.clear_work()
        except Damaged as damage:
            say(f"damaged result: {damage}; set aside as {folder.set_aside()}, it will be trained again")


def set_aside_odd(suite: Suite, results: Path, data: Path, say: Callable[[str], None]) -> None:
    """Move the folders of runs out of the way that saw other data than is there now, to be trained again.

    Also of those that saw another subset, noise or split of it than their pair. Runs that do not say what
    they saw stay.

    Raises:
        BenchError: a data set is not there, or cannot be loaded.
    """
    choices = {entry.label: entry.choice for entry in suite.ours("datasets")}
    check_data(choices.values(), data, say)
    now = {label: datasets.load(choice, data).source for label, choice in choices.items()}
    odd: dict[str, str] = {}
    left = []
    for cell in as_known(suite, results).every_cell:
        for run in cell.runs:
            with contextlib.suppress(Damaged):
                if (result := RunFolder(results, run.id).result()) is None or result.data is None:
                    continue
                if run.trainer is None and result.data.source != now[cell.dataset]:
                    odd[run.id] = f"saw other data (digest {result.data.source}) than there is now"
                else:
                    left.append(sighting(cell, run, result))
    odd |= odd_ones(left)
    for run_id, reason in odd.items():
        aside = RunFolder(results, run_id).set_aside()
        say(f"run {run_id} {reason}; set aside as {aside}, to be trained again")
    if not odd:
        sources = ", ".join(f"{label} {digest}" for label, digest in now.items())
        say(f"{AGAIN}: no finished run saw other data than there is now ({sources})")


def unfinished(runs: Iterable[Run], results: Path) -> list[Run]:
    """The runs that are neither done nor failed."""
    waiting = []
    for run in runs:
        folder = RunFolder(results, run.id)
        if not folder.done and not folder.failed:
            waiting.append(run)
    return waiting
