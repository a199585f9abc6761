"""What a ``bench run`` would do: what is missing, and how long it would take. No side effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from bench.launch.executors import Executor, Later, Request, Trouble
from bench.launch.grouping import Kind, in_packs, kinds, measured_seconds, typical_seconds
from bench.launch.local import crew_size
from bench.launch.needs import by_needs, check_there, profile_for
from bench.launch.preflight import check_first_calls, unfinished
from bench.launch.profile import Profile
from bench.launch.queue import look
from bench.launch.status import CellStatus, Counts, status
from bench.launch.trial import guess_seconds
from bench.sequential_design import SequentialDesign, as_it_stands, stopping_plan
from bench.suite import Suite

EFFECTS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)
EXPERIMENTS = 5_000
POINTS = (0.25, 0.5, 1.0)
"""Differences of percentages whose power is told, beside the margin."""


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


class Simulated(BaseModel):
    """What the rule does to a comparison with this true difference: shares of the simulated ones."""

    effect: float
    """In standard deviations of the paired differences."""
    different: float
    """Called superior or inferior; for effect 0: false alarms."""
    equivalent: float
    undecided: float
    seeds: float
    """On average."""


class Added(BaseModel):
    """How seeds are added until decided."""

    looks: list[int]
    """Seeds at each look."""
    first_difference: int | None
    """Seeds at the first look at which a difference can be called at all, however large it is."""
    most: int
    """Runs, if every comparison got the largest number of seeds."""
    margin: float | None
    """In standard deviations of the differences: median over comparisons of what has finished. None: nothing
    to go by, and equivalence is left out of the simulation."""
    experiments: int
    simulated: list[Simulated]


class Finds(BaseModel):
    """How likely a difference is found."""

    difference: float
    """In the first metric's unit; percentages in points."""
    power: float


class Tuning(BaseModel):
    """What a search takes, and what it would find."""

    budget: int
    trials: int
    """Of each data set × model × loss."""
    trainings: int
    """Trials of all of them."""
    retrainings: int
    """Of winners."""
    finds: list[Finds]
    by_results: bool
    """Whether that is by the suite's own trials; else for losses as the design was simulated on."""


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
    left = [
        ((cell.dataset, cell.model), count)
        for cell in (*now.searches, *now.cells)
        if (count := cell.waiting + cell.damaged)
    ]
    known = all(kind in each for kind, _ in left)
    hours = sum(count * each[kind] for kind, count in left) / 3600 if known else None
    to_train = now.runs.waiting + now.runs.damaged
    return Plan(
        **now.model_dump(include={"suite", "question", "results", "runs", "cells", "searches", "remarks"}),
        to_train=to_train,
        workers=min(crew_size(workers, device), to_train),
        run_hours=hours,
        estimated_from=sum(map(len, seconds.values())),
        guessed=len({kind for kind, _ in left} - {*seconds}) if known else 0,
        added=None if suite.until is None else _simulate(design),
        tuning=None if suite.tune is None else _search(design.now(), results),
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


def _search(suite: Suite, results: Path) -> Tuning:
    """Of a tuned suite, as it stands."""
    from bench.statistics.planning import power_of_search
    from bench.tuning.power import typical_spread

    tune, metric = suite.tune, suite.metrics[0]
    assert tune is not None
    family = max(sum(cell.loss != suite.baseline_label for cell in suite.cells), 1)
    scale = 100 if metric.unit == "%" else 1
    spread = typical_spread(suite, results) if tune.design == "pooled" else None
    differences: set[float] = set()
    if tune.design == "pooled" and (spread is not None or metric.is_accuracy):
        margin = suite.margins[metric.name]
        differences = {*(POINTS if scale == 100 else ()), *([margin] if margin else [])}
    alpha = suite.analysis.alpha
    finds = [
        Finds(
            difference=value,
            power=power_of_search(value / scale, tune.trials, tune.budget, spread, alpha, family),
        )
        for value in sorted(differences)
    ]
    return Tuning(
        budget=tune.budget,
        trials=tune.trials,
        trainings=sum(len(search.seeds) for search in suite.searches),
        retrainings=sum(len(cell.seeds) for cell in suite.cells),
        finds=finds,
        by_results=spread is not None,
    )


def _simulate(design: SequentialDesign) -> Added:
    """Each effect a few thousand times; half a second."""
    from bench.statistics.operating_characteristics import operating_characteristics

    rule = stopping_plan(design.suite, design.results)
    assert rule is not None
    sd = design.typical_sd()
    margin = (rule.margin / sd if sd else None) if rule.margin else 0.0
    rule = replace(rule, margin=margin or 0.0)
    return Added(
        looks=rule.looks.tolist(),
        first_difference=next((n for n in rule.looks.tolist() if rule.can_differ(n)), None),
        most=len(design.suite.runs()),
        margin=margin,
        experiments=EXPERIMENTS,
        simulated=[
            Simulated(
                effect=row.effect,
                different=row.decided,
                equivalent=row.equivalent,
                undecided=row.undecided,
                seeds=row.mean_n,
            )
            for row in operating_characteristics(rule, EFFECTS, EXPERIMENTS)
        ],
    )


def plan_jobs(suite: Suite, results: Path, executor: Executor, profile: Profile, file: Path) -> JobPlan:
    """What would be submitted now; asks whether that would be taken, and submits nothing.

    Raises:
        BenchError: the executor would refuse such jobs.
    """
    suite = as_it_stands(suite, results)
    check_there(suite, profile, file)
    asked = [profile_for(needs, profile) for needs in by_needs(suite.runs())]
    parameters = asked[0].parameters(f"bench-{suite.name}", profile.jobs or 0, ())
    size, remark = None, ""
    try:
        executor.require()
        size = executor.limits(profile).array
        for wanted in asked:
            executor.check(Request(wanted, file, f"bench-{suite.name}", profile.jobs or 0))
    except Later as refusal:
        remark = f"not now: {refusal}"
    except Trouble as trouble:
        remark = f"the cluster cannot be asked from here: {trouble}"
    covered = look(results / suite.name / "jobs", executor).covered
    runs = [run for run in unfinished(suite.runs(), results) if run.id not in covered]
    seconds = typical_seconds(measured_seconds(suite, results))
    kind_of = kinds(suite)
    known = all(kind_of[run.id] in seconds for run in runs)
    untimed = dict.fromkeys(kind_of.values(), profile.time * 60.0 * profile.tasks)
    packs, hours = [], 0.0
    for needs, group in by_needs(runs).items():
        wanted = profile_for(needs, profile)
        packs += in_packs(group, kind_of, {**untimed, **seconds}, wanted)
        if known:
            total = sum(seconds[kind_of[run.id]] for run in group) / wanted.tasks
            hours += total * wanted.gpus * wanted.nodes / 3600
    return JobPlan(
        jobs=len(packs),
        arrays=None if size is None else -(-len(packs) // size),
        runs=len(runs),
        gpu_hours=hours if known else None,
        shared=profile.shares,
        parameters=parameters,
        remark=remark,
    )
