"""What is checked once, here, before a hundred jobs fail over it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench import datasets, metrics, models, versions
from bench.choices import Choice, ForeignOptions, load_callable
from bench.errors import BenchError
from bench.results import Damaged, RunFolder
from bench.run import Run
from bench.suite import Suite


def check_names(suite: Suite) -> None:
    """Make sure that what a suite takes from libraries and from its user's modules is there.

    Imports what it must: timm for a timm model, and nothing for the built-in ones.

    Raises:
        BenchError: a name does not exist, with the nearest one that does.
    """
    for axis, entries in (("datasets", suite.datasets), ("models", suite.models), ("losses", suite.losses)):
        for entry in entries:
            try:
                if isinstance(entry.choice.options, ForeignOptions):
                    load_callable(entry.choice.name)
                elif isinstance(entry.choice.options, models.LibraryModel):
                    models.check_library_name(entry.choice)
            except BenchError as error:
                raise BenchError(f"{suite.name}: {axis}: {error}") from None
    for metric in suite.metrics:
        try:
            metrics.as_function(metric.choice)
        except BenchError as error:
            raise BenchError(f"{suite.name}: metrics: {error}") from None


def check_data(chosen: Iterable[Choice], data: Path, say: Callable[[str], None]) -> None:
    """Make sure that data sets that come as files are on disk; fetch those that are not.

    Raises:
        BenchError: one is neither here nor to be had.
    """
    for choice in chosen:
        if not datasets.present(choice, data):
            say(f"fetching data set {choice.name} into {data}")
            datasets.fetch(choice, data)


def prepare(
    suite: Suite,
    runs: Sequence[Run],
    results: Path,
    data: Path,
    say: Callable[[str], None],
    *,
    retry_failed: bool,
) -> None:
    """What every launcher does first: keeps code, sets damaged results aside, forgets failures, fetches data.

    Raises:
        BenchError: a data set is neither here nor to be had; code changed since the suite was read.
    """
    versions.keep(suite, results)
    set_aside_damaged(suite, runs, results, say)
    if retry_failed:
        for run in runs:
            RunFolder(results, run.id).forget_failure()
    if unfinished(runs, results):
        check_data({entry.choice for entry in suite.datasets}, data, say)


def set_aside_damaged(suite: Suite, runs: Iterable[Run], results: Path, say: Callable[[str], None]) -> None:
    """Move the folders of results that cannot be believed out of the way, so that they are trained again."""
    for run in runs:
        folder = RunFolder(results, run.id)
        try:
            folder.result(check_predictions=True, check_details=suite.needs_details)
        except Damaged as damage:
            say(f"damaged result: {damage}; set aside as {folder.set_aside()}, it will be trained again")


def unfinished(runs: Iterable[Run], results: Path) -> list[Run]:
    """The runs that are neither done nor failed."""
    waiting = []
    for run in runs:
        folder = RunFolder(results, run.id)
        if not folder.done and not folder.failed:
            waiting.append(run)
    return waiting
