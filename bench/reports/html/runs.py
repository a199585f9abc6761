"""Every run of a suite, as the data of the page's table: what it is, how it stands, where its traces are."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel

from bench.launch.executors import number_of
from bench.launch.logs import logs_of_runs
from bench.launch.status import STATES, state_of
from bench.progress import watched
from bench.results.folder import RunFolder
from bench.results.reading import OTHER_DATA
from bench.suite import Suite

FIELDS = ("cell", "seed", "id", "state", "reason", "correct", "total", "epoch", "seconds", "log", "trained")
"""Of a row of :attr:`RunList.rows`. ``log`` is relative to the page, ``trained`` says where and how often."""
_KNOWN = ("state", "reason", "correct", "total", "epoch", "seconds")
"""Columns of :func:`bench.results.reading.frame` that rows are made of."""


class RunList(BaseModel):
    """What the page knows of runs. There may be thousands: what those of a cell share is there once."""

    cells: list[dict[str, Any]]
    """Data set, model and loss as tables call them, and ``parameters``: the resolved description."""
    fields: tuple[str, ...] = FIELDS
    rows: list[list[Any]]
    counts: dict[str, int]
    """Runs in each state."""
    link: str = ""
    """Address of a run in MLflow's UI, with ``{run}`` for its id."""


def list_runs(suite: Suite, results: Path, runs: pd.DataFrame, link: str = "") -> RunList:
    """Look at the folders of all runs.

    Args:
        runs: of :func:`bench.results.reading.frame`.
        link: of :func:`bench.tracking.links.link_to_runs`.
    """
    logs = logs_of_runs(suite, results)
    planned = [(number, run) for number, cell in enumerate(suite.cells) for run in cell.runs]
    rows = []
    # Lists first: a dictionary for each of thousands of rows takes more memory than all else of a report.
    columns = zip(*(runs[name].tolist() for name in _KNOWN), strict=True)
    for (number, run), values in zip(watched(planned, "listing runs"), columns, strict=True):
        state, reason, *counts, seconds = values
        attempts = RunFolder(results, run.id).info().get("attempts", [])
        tried = (logs.get((number_of(str(attempt.get("job"))), run.id)) for attempt in reversed(attempts))
        log = next(filter(None, tried), None)
        finished = state == "done"
        if state == "missing":
            state, reason, _ = state_of(run, results)
        rows.append(
            [
                *(number, run.seed, run.id, state, reason),
                *(int(count) if finished and pd.notna(count) else None for count in counts),
                round(float(seconds), 1) if finished else None,
                log.relative_to(results / suite.name).as_posix() if log else "",
                _trained(attempts),
            ]
        )
    states = Counter(row[FIELDS.index("state")] for row in rows)
    return RunList(
        cells=[
            {"dataset": c.dataset, "model": c.model, "loss": c.loss, "parameters": json.loads(c.text)}
            for c in suite.cells
        ],
        rows=rows,
        counts={state: states[state] for state in (*STATES, OTHER_DATA) if states[state]},
        link=link,
    )


def _trained(attempts: list[dict[str, Any]]) -> str:
    """Where the last attempt was made, on what, and which it was."""
    if not attempts:
        return ""
    last = attempts[-1]
    where = [str(last[key]) for key in ("host", "device") if last.get(key)]
    if len(attempts) > 1:
        where.append(f"attempt {len(attempts)}")
    return ", ".join(where)
