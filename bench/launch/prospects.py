"""What a design is likely to find: its rule for adding seeds, simulated; the power of its searches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel

from bench.sequential_design import SequentialDesign, stopping_plan
from bench.suite import Suite

EFFECTS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)


EXPERIMENTS = 5_000


POINTS = (0.25, 0.5, 1.0)
"""Differences of percentages whose power is computed, beside the margin."""


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
    """The probability that a search finds a difference."""

    difference: float
    """In the first metric's unit; percentages in points."""
    power: float


class Tuning(BaseModel):
    """The size of a search, and its power."""

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


def search_prospects(suite: Suite, results: Path) -> Tuning:
    """Of a tuned suite, as it stands: what its searches take, and the differences that they would find."""
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
    finds = []
    for value in sorted(differences):
        power = power_of_search(value / scale, tune.trials, tune.budget, spread, alpha, family)
        finds.append(Finds(difference=value, power=power))
    return Tuning(
        budget=tune.budget,
        trials=tune.trials,
        trainings=sum(len(search.seeds) for search in suite.searches),
        retrainings=sum(len(cell.seeds) for cell in suite.cells),
        finds=finds,
        by_results=spread is not None,
    )


def simulate(design: SequentialDesign) -> Added:
    """Simulate the rule that adds seeds, a few thousand times for each effect (half a second)."""
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
