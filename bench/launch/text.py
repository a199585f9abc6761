"""Plan and status as a person reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from bench.cells import Search
from bench.launch.plan import Plan
from bench.launch.prospects import Added, Tuning
from bench.launch.status import CellStatus, Status
from bench.preregistration import Stated, date
from bench.progress import duration
from bench.suite import Suite
from bench.visible import flat

_MOST_JOBS = 20  # that are listed one by one
_STATES = ("planned", "done", "running", "waiting", "failed", "damaged")


def status_text(status: Status) -> str:
    """One line a cell, then why runs failed."""
    lines = [flat(status.question), "", *_cell_table([*_searches(status.searches), *status.cells])]
    for problem in status.problems:
        cell = f"{problem.dataset} × {problem.model} × {problem.loss}"
        place = f"{cell}, seed {problem.seed} (run {problem.run_id})"
        lines.append(flat(f"{problem.state}: {place}: {problem.reason}"))
    return "\n".join([*lines, *map(flat, status.remarks), *_job_lines(status)])


def _job_lines(status: Status) -> list[str]:
    """Jobs that run, wait or failed, and the time that all of them have used."""
    if status.usage is None:
        return []
    states = sorted(status.queue.items())
    lines = ["jobs: " + ", ".join(f"{count} {state.lower()}" for state, count in states)]
    if status.seconds_left is not None:
        lines[0] += f"; about {duration(status.seconds_left)} left"
    for job in status.jobs[:_MOST_JOBS]:
        reason = f": {job.why}" if job.why else ""
        node = f" on {job.node}" if job.node and job.node not in job.why else ""
        progress = f", {job.done} of {job.runs} runs done" if job.runs else ""
        lines.append("  " + flat(f"{job.id} {job.state.lower()}{node}{progress}{reason}"))
    if len(status.jobs) > _MOST_JOBS:
        lines.append(f"  … and {len(status.jobs) - _MOST_JOBS} more (--json lists all)")
    usage = status.usage
    trained = "" if usage.efficiency is None else f", {usage.efficiency:.0%} of it training finished runs"
    lines.append(
        f"used: {usage.hours:.3g} job-hours, {usage.gpu_hours:.3g} GPU-hours{trained}; "
        f"{usage.waiting:.0%} of the time in the queue"
    )
    return lines


def plan_text(plan: Plan) -> str:
    """One line a cell, then what a ``bench run`` would do."""
    if plan.run_hours is None:
        cost = "no finished run of some data set and model yet, so no estimate of the time"
    else:
        wall = plan.run_hours / max(plan.workers, 1)
        sources = [f"{plan.estimated_from} measured runs"] * bool(plan.estimated_from or not plan.guessed)
        sources += ["a guess by a few steps on this machine"] * bool(plan.guessed)
        hours = f"about {plan.run_hours:.3g}" if plan.run_hours >= 0.001 else "less than 0.001"
        cost = f"{hours} run-hours, {duration(wall * 3600)} of waiting (from {' and '.join(sources)})"
    todo = (
        f"{plan.to_train} to train by {plan.workers} workers: {cost}" if plan.to_train else "nothing to train"
    )
    table = _cell_table([*_searches(plan.searches), *plan.cells])
    lines = [flat(plan.question), "", *table, *map(flat, plan.remarks)]
    if plan.added is not None:
        lines += _added_lines(plan.added, plan.runs.planned)
    if plan.tuning is not None:
        lines += _tuning_lines(plan.tuning)
    if (jobs := plan.jobs) is None:
        return "\n".join([*lines, f"{plan.runs.planned} runs, {todo}"])
    hours = "no estimate of the GPU-hours yet"
    if jobs.gpu_hours is not None:
        hours = f"{'at most ' if jobs.shared else ''}{jobs.gpu_hours:.3g} GPU-hours"
    calls = "" if jobs.arrays is None else f", {jobs.arrays} calls of sbatch"
    lines.append(f"{plan.runs.planned} runs, {jobs.runs} to submit in {jobs.jobs} jobs{calls}: {hours}")
    lines += [f"  {name}: {value}" for name, value in jobs.parameters.items()]
    lines += [jobs.remark] if jobs.remark else []
    return "\n".join(lines)


def _added_lines(added: Added, planned: int) -> list[str]:
    """The rule by which seeds are added, and what it would do to a comparison."""
    looks = ", ".join(map(str, added.looks))
    lines = [
        f"seeds are added until decided, looking at {looks} seeds: {planned} runs now, {added.most} at most",
        "a difference can be called "
        + (
            f"from {added.first_difference} seeds on"
            if added.first_difference
            else "at none of these looks, however large it is: raise max"
        ),
        f"simulated, {added.experiments:,} comparisons a line; "
        + (
            "equivalence is left out: what the margin is in sd is not known before there are results"
            if added.margin is None
            else f"the margin is {added.margin:.2g} sd, by the finished runs"
            if added.margin
            else "equivalence is left out: there is no margin"
        ),
        "",
        "true difference, sd  called different  equivalent  undecided  seeds, on average",
    ]
    for row in added.simulated:
        shares = [f"{100 * share:.1f} %" for share in (row.different, row.equivalent, row.undecided)]
        lines.append(
            f"{row.effect:>19g}  {shares[0]:>16}  {shares[1]:>10}  {shares[2]:>9}  {row.seeds:>17.1f}"
        )
    return [*lines, ""]


def _tuning_lines(tuning: Tuning) -> list[str]:
    """The size of the search, and its power."""
    lines = [
        f"every loss is tuned: {tuning.trials} trials each for a budget of {tuning.budget}, "
        f"{tuning.trainings} trainings in all; then {tuning.retrainings} of the winners"
    ]
    if not tuning.finds:
        return [*lines, "power: not known before there are results"]
    powers = ", ".join(f"{row.difference:.3g} with {row.power:.2f}" for row in tuning.finds)
    source = "by the finished trials" if tuning.by_results else "as simulated, for accuracies around .95"
    return [*lines, f"power: a true difference of {powers} ({source})"]


def frozen_text(stated: Stated, suite: Suite, results: Path) -> str:
    """The plan that holds, and its digest."""
    git = stated.git
    commit = "outside a git repository"
    if git is not None:
        commit = f"at commit {git['commit']}{', with uncommitted changes' if git['dirty'] else ''}"
    return "\n".join(
        [
            flat(stated.judged["question"]),
            "",
            f"stated: {date(stated.time)} by bench {'freeze' if stated.frozen else 'run'}, {commit}",
            f"finished by then: {stated.finished} of {stated.planned} runs",
            f"kept in: {results / suite.name / 'plan.json'}",
            f"digest: {stated.digest}",
        ]
    )


def resolved_text(suite: Suite) -> str:
    """What run ids hash, cell by cell."""
    cells = [
        {
            "cell": {"dataset": cell.dataset, "model": cell.model, "loss": cell.loss},
            **json.loads(cell.text),
            "seeds": list(cell.seeds),
            **({"trials": _settings(cell)} if isinstance(cell, Search) else {}),
        }
        for cell in suite.searches or suite.cells
    ]
    return yaml.safe_dump(cells, sort_keys=False, allow_unicode=True, width=100).rstrip()


def _searches(cells: Sequence[CellStatus]) -> list[CellStatus]:
    """Rows of trials, told apart from those of what is compared."""
    return [cell.model_copy(update={"loss": f"{cell.loss}, trials"}) for cell in cells]


def _settings(search: Search) -> list[dict[str, Any]]:
    return [{"seed": seed, **setting} for seed, setting in search.settings.items()]


def _cell_table(cells: Sequence[CellStatus]) -> list[str]:
    header = ("dataset", "model", "loss", *_STATES)
    counts = [[str(getattr(cell, state)) for state in _STATES] for cell in cells]
    rows = [(*map(flat, (c.dataset, c.model, c.loss)), *n) for c, n in zip(cells, counts, strict=True)]
    widths = [max(len(row[k]) for row in (header, *rows)) for k in range(len(header))]
    lines = []
    for row in (header, *rows):
        words = (cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True))
        numbers = (cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True))
        lines.append("  ".join((*words, *numbers)))
    return [*lines, ""]
