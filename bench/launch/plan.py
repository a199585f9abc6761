"""What a ``bench run`` would do: what is missing, and how long it would take. No side effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from pydantic import BaseModel

from bench.launch.grouping import Kind, kinds, measured_seconds, typical_seconds
from bench.launch.job_plan import JobPlan
from bench.launch.local import crew_size
from bench.launch.preflight import check_first_calls, unfinished
from bench.launch.prospects import Added, Tuning, search_prospects, simulate
from bench.launch.status import CellStatus, Counts, status
from bench.launch.trial import guess_seconds
from bench.sequential_design import SequentialDesign, as_it_stands
from bench.suite import Suite


class Plan(BaseModel):
    """What ``bench plan --json`` prints."""

    suite: str
    question: str
    results: str
    runs: Counts
    cells: list[CellStatus]
    searches: list[CellStatus] = []
    """As :attr:`bench.launch.status.Status.searches`."""
    remarks: list[str] = []
    """As :attr:`bench.launch.status.Status.remarks`."""
    to_train: int
    """Runs that would be trained: those that wait, and those whose result is damaged."""
    workers: int
    """Jobs that would share them, one after another, on this machine."""
    run_hours: float | None
    """Of one run after another. Estimated from finished runs of the same data set and model, as long as they
    took beside whatever shared their device, or from a few steps on this machine; None: neither."""
    estimated_from: int
    """How many finished runs that estimate rests on."""
    guessed: int = 0
    """How many of the data sets × models that it is of were never timed but by a few steps here."""
    jobs: JobPlan | None = None
    """What would be submitted; None: no profile was given."""
    added: Added | None = None
    """None: the number of seeds is fixed."""
    tuning: Tuning | None = None
    """None: all losses are trained by one recipe."""


def plan(
    suite: Suite,
    results: Path,
    workers: int | None,
    device: str,
    guesses: Mapping[Kind, float] = MappingProxyType({}),
) -> Plan:
    """Compare what a suite asks for with what there is.

    Args:
        guesses: seconds a run, of data sets and models of which no run has finished.
    """
    design = SequentialDesign(suite, results)
    now = status(design.now(), results)
    seconds = measured_seconds(suite, results)
    each = {**guesses, **typical_seconds(seconds)}
    cells = [cell for cell in (*now.searches, *now.cells) if cell.waiting + cell.damaged]
    left = [((cell.dataset, cell.model), cell.waiting + cell.damaged) for cell in cells]
    all_timed = all(kind in each for kind, _ in left)
    hours = sum(count * each[kind] for kind, count in left) / 3600 if all_timed else None
    to_train = now.runs.waiting + now.runs.damaged
    return Plan(
        **now.model_dump(include={"suite", "question", "results", "runs", "cells", "searches", "remarks"}),
        to_train=to_train,
        workers=min(crew_size(workers, device), to_train),
        run_hours=hours,
        estimated_from=sum(map(len, seconds.values())),
        guessed=len({kind for kind, _ in left} - {*seconds}) if all_timed else 0,
        added=None if suite.until is None else simulate(design),
        tuning=None if suite.tune is None else search_prospects(design.now(), results),
    )


def try_first(
    suite: Suite,
    results: Path,
    data: Path,
    device: str | None,
    search_path: Sequence[str],
    say: Callable[[str], None],
) -> dict[Kind, float]:
    """Try the first call of what a suite would train, and guess how long it takes where nothing was timed.

    Args:
        device: where it would be trained; None: elsewhere, so that nothing is guessed.
        search_path: where modules of the user's own are.
        say: gets what takes a while.

    Raises:
        BenchError: a model or a loss cannot be called.
    """
    runs = unfinished(as_it_stands(suite, results).runs(), results)
    check_first_calls(suite, runs, data, search_path, say)
    return {} if device is None else guess_untimed(suite, results, data, device, search_path, say)


def guess_untimed(
    suite: Suite,
    results: Path,
    data: Path,
    device: str,
    search_path: Sequence[str],
    say: Callable[[str], None] = lambda words: None,
) -> dict[Kind, float]:
    """Seconds a run, by a few steps on this machine, of data sets and models of which none has finished.

    Arguments and errors as of :func:`try_first`.
    """
    runs = unfinished(as_it_stands(suite, results).runs(), results)
    kind_of, timed = kinds(suite), measured_seconds(suite, results)
    untimed = {kind_of[run.id]: run for run in reversed(runs) if kind_of[run.id] not in timed}
    return guess_seconds(untimed, data, device, search_path, say)
