"""What a ``bench run --on`` would submit now: jobs, arrays and GPU-hours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from bench.launch.executors import Executor, Later, Request, Trouble
from bench.launch.grouping import in_packs, kinds, measured_seconds, typical_seconds
from bench.launch.needs import by_needs, check_there, profile_for
from bench.launch.preflight import unfinished
from bench.launch.profile import Profile
from bench.launch.queue import look
from bench.sequential_design import as_it_stands
from bench.suite import Suite


class JobPlan(BaseModel):
    """What a ``bench run --on`` would submit now."""

    jobs: int
    arrays: int | None
    """Calls of sbatch; None: the cluster cannot be asked how large they may be."""
    runs: int
    gpu_hours: float | None
    """None: some kind of run was never timed; each such run is counted as a job of its own."""
    shared: bool
    """Runs will share GPUs, as many as each job measures: the hours are what they took last time, which is
    more than that where they shared one then."""
    parameters: dict[str, Any]
    """What submitit gets for sbatch."""
    remark: str = ""
    """Why the cluster does not take jobs now, or cannot be asked whether it would."""


def plan_jobs(suite: Suite, results: Path, executor: Executor, profile: Profile, file: Path) -> JobPlan:
    """What would be submitted now; asks whether that would be taken, and submits nothing.

    Raises:
        BenchError: the executor would refuse such jobs.
    """
    suite = as_it_stands(suite, results)
    check_there(suite, profile, file)
    profiles = [profile_for(needs, profile) for needs in by_needs(suite.runs())]
    parameters = profiles[0].parameters(f"bench-{suite.name}", profile.jobs or 0, ())
    size, remark = None, ""
    try:
        executor.require()
        size = executor.limits(profile).array
        for one in profiles:
            executor.check(Request(one, file, f"bench-{suite.name}", profile.jobs or 0))
    except Later as refusal:
        remark = f"not now: {refusal}"
    except Trouble as trouble:
        remark = f"the cluster cannot be asked from here: {trouble}"
    covered = look(results / suite.name / "jobs", executor).covered
    runs = [run for run in unfinished(suite.runs(), results) if run.id not in covered]
    seconds = typical_seconds(measured_seconds(suite, results))
    kind_of = kinds(suite)
    all_timed = all(kind_of[run.id] in seconds for run in runs)
    untimed = dict.fromkeys(kind_of.values(), profile.time * 60.0 * profile.tasks)
    packs, hours = [], 0.0
    for needs, group in by_needs(runs).items():
        fitted = profile_for(needs, profile)
        packs += in_packs(group, kind_of, {**untimed, **seconds}, fitted)
        if all_timed:
            total = sum(seconds[kind_of[run.id]] for run in group) / fitted.tasks
            hours += total * fitted.gpus * fitted.nodes / 3600
    return JobPlan(
        jobs=len(packs),
        arrays=None if size is None else -(-len(packs) // size),
        runs=len(runs),
        gpu_hours=hours if all_timed else None,
        shared=profile.shares,
        parameters=parameters,
        remark=remark,
    )
