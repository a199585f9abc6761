"""How a suite stands, from its run folders alone. Looking changes nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pydantic import BaseModel

from bench.results import Damaged, RunFolder
from bench.run import Run
from bench.suite import Suite

STATES = ("done", "running", "waiting", "failed", "damaged")


class Counts(BaseModel):
    """How many runs are in each state."""

    planned: int = 0
    done: int = 0
    running: int = 0
    waiting: int = 0
    failed: int = 0
    damaged: int = 0
    """A result that cannot be believed: the next `bench run` sets it aside and trains it again."""


class CellStatus(Counts):
    """The runs of one cell."""

    dataset: str
    model: str
    loss: str


class Problem(BaseModel):
    """A run that failed or whose result is damaged, and why."""

    run_id: str
    dataset: str
    model: str
    loss: str
    seed: int
    state: str
    reason: str


class Status(BaseModel):
    """What ``bench status --json`` prints."""

    suite: str
    question: str
    results: str
    runs: Counts
    cells: list[CellStatus]
    problems: list[Problem]


def state_of(run: Run, results: Path) -> tuple[str, str]:
    """The state of a run, and the reason where it is ``failed`` or ``damaged``."""
    folder = RunFolder(results, run.id)
    try:
        if folder.result() is not None:
            return "done", ""
    except Damaged as damage:
        return "damaged", str(damage)
    if (failure := folder.failure()) is not None:
        return "failed", failure.reason
    return ("running" if folder.claimed else "waiting"), ""


def status(suite: Suite, results: Path) -> Status:
    """Look at every run folder of a suite."""
    cells, problems = [], []
    for cell in suite.cells:
        counts: Counter[str] = Counter(planned=len(cell.runs))
        for run in cell.runs:
            state, reason = state_of(run, results)
            counts[state] += 1
            if reason:
                names = {"dataset": cell.dataset, "model": cell.model, "loss": cell.loss}
                problems.append(Problem(run_id=run.id, seed=run.seed, state=state, reason=reason, **names))
        cells.append(CellStatus(dataset=cell.dataset, model=cell.model, loss=cell.loss, **counts))
    total = {name: sum(getattr(cell, name) for cell in cells) for name in Counts.model_fields}
    return Status(
        suite=suite.name,
        question=suite.question,
        results=str(results),
        runs=Counts(**total),
        cells=cells,
        problems=problems,
    )
