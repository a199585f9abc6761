"""What adding seeds until decided took, and what it saves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from bench.comparisons.comparison import Comparison
from bench.reports.schema import Sequential
from bench.statistics.stopping import Outcome, Plan, Rule


def summary(plan: Plan, comparisons: Sequence[Comparison], runs: pd.DataFrame) -> Sequential:
    """What was trained, and what never will be, as things stand."""
    still_open = {c.key for c in comparisons if _open(c)}
    still_open |= {(c.dataset, c.model, c.baseline) for c in comparisons if c.key in still_open}
    saved, hours = 0, 0.0
    for key, cell in runs.groupby(["dataset", "model", "loss"], sort=False):
        if key not in still_open:
            saved += plan.largest - len(cell)
            hours += (plan.largest - len(cell)) * cell.seconds.mean() / 3600  # NaN where none has finished
    return Sequential(
        rule="planned" if plan.rule is Rule.PLANNED else "whenever",
        looks=plan.looks.tolist(),
        bar=plan.bar,
        futility=plan.futility,
        closed=sum(not _open(c) for c in comparisons),
        runs=int(runs.state.isin(["done", "failed"]).sum()),
        runs_fixed=plan.largest * runs.groupby(["dataset", "model", "loss"]).ngroups,
        runs_saved=saved,
        run_hours=float(runs.seconds.sum()) / 3600,
        run_hours_saved=hours if math.isfinite(hours) else None,
    )


def _open(comparison: Comparison) -> bool:
    return comparison.sequence is None or comparison.sequence.outcome in (None, Outcome.OPEN)


def savings(design: Sequential) -> str:
    """What adding seeds until decided took, beside the largest number of seeds everywhere."""
    hours = f" in {design.run_hours:.3g} run-hours" if design.run_hours else ""
    spared = ""
    if design.runs_saved:
        spared = f"; {design.runs_saved:,} are saved"
        if design.run_hours_saved is not None:
            spared += f", about {design.run_hours_saved:.3g} run-hours"
    return (
        f"seeds added until decided: {design.runs:,} runs have ended{hours}, of the {design.runs_fixed:,} of "
        f"a fixed design with {design.looks[-1]} seeds{spared}"
    )
