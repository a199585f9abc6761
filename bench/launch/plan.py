"""What a ``bench run`` would do: what is missing, and how long it would take. No side effects."""

from __future__ import annotations

import statistics
from pathlib import Path

from pydantic import BaseModel

from bench.launch.local import crew_size
from bench.launch.status import CellStatus, Counts, status
from bench.results import Damaged, RunFolder
from bench.suite import Suite


class Plan(BaseModel):
    """What ``bench plan --json`` prints."""

    suite: str
    question: str
    results: str
    runs: Counts
    cells: list[CellStatus]
    to_train: int
    """Runs that would be trained: those that wait, and those whose result is damaged."""
    workers: int
    """Jobs that would share them, one after another, on this machine."""
    device_hours: float | None
    """Estimated from measured times of finished runs of the same data set and model. None: no such run."""
    estimated_from: int
    """How many finished runs that estimate rests on."""


def plan(suite: Suite, results: Path, workers: int | None, device: str) -> Plan:
    """Compare what a suite asks for with what there is."""
    now = status(suite, results)
    seconds = _measured_seconds(suite, results)
    hours: float | None = 0.0
    for cell in now.cells:
        left = cell.waiting + cell.damaged
        known = seconds.get((cell.dataset, cell.model))
        if left and known is None:
            hours = None
        elif left and hours is not None and known:
            hours += left * statistics.median(known) / 3600
    to_train = now.runs.waiting + now.runs.damaged
    return Plan(
        **now.model_dump(include={"suite", "question", "results", "runs", "cells"}),
        to_train=to_train,
        workers=min(crew_size(workers, device), to_train),
        device_hours=hours,
        estimated_from=sum(map(len, seconds.values())),
    )


def _measured_seconds(suite: Suite, results: Path) -> dict[tuple[str, str], list[float]]:
    seconds: dict[tuple[str, str], list[float]] = {}
    for cell in suite.cells:
        for run in cell.runs:
            try:
                result = RunFolder(results, run.id).result()
            except Damaged:
                continue
            if result is not None:
                seconds.setdefault((cell.dataset, cell.model), []).append(result.seconds)
    return seconds
