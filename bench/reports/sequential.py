"""Comparisons whose seeds are added until decided: what stays valid whenever one stops, and what it saves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.reports.documents import Comparison, Sequential
from bench.statistics.crossed import Crossed
from bench.statistics.sequential import critical_t, evidence, threshold
from bench.statistics.stopping import Outcome, Plan, Standing
from bench.statistics.verdicts import Verdict


def method(plan: Plan) -> str:
    """How the numbers of a table were computed."""
    equivalence = (
        f"by equivalence, within ±{100 * plan.margin:g} points, where two one-sided tests at the planned "
        "looks say so, their α spent over the looks after O'Brien and Fleming; "
    )
    percent = f"{100 * (1 - plan.alpha):g}"
    looks = ", ".join(map(str, plan.looks.tolist()))
    return (
        "Δ is the mean difference over seeds, paired by seed. Seeds were added until decided, with looks at "
        f"{looks} seeds. A comparison is closed by a difference where the e-value (e) of its seeds reaches "
        f"{plan.bar:g}, which is K/α for K = {plan.comparisons} comparisons and α = {plan.alpha:g}: the "
        f"chance of even one false alarm, at any look, is at most α; {equivalence if plan.margin else ''}or, "
        "without a decision, where even the most "
        f"favourable true difference would be decided by {plan.largest} seeds with a chance below "
        f"{plan.futility:g}. “± here” is half the {percent} % confidence sequence on this test set, which "
        "holds whenever one stops; “± new” is as many standard errors on new images too (seeds × images, "
        "crossed analysis of variance). p adj. is K/e."
    )


def note_evidence(comparison: Comparison, d: NDArray[np.int64], total: int, plan: Plan) -> None:
    """What stays valid although one stops when it suits: in place of Student's interval and p."""
    path = evidence(d, total, plan.alpha, plan.g)
    last = [float(values[-1]) for values in (path.e, path.low, path.high)]
    comparison.e, comparison.low, comparison.high = (x if math.isfinite(x) else None for x in last)
    comparison.detectable = None  # what a t-test over a fixed number of seeds would find
    comparison.p = None if comparison.e is None or len(d) == 1 else min(1 / comparison.e, 1.0)


def note_new_images(comparison: Comparison, crossed: Crossed, plan: Plan) -> None:
    """As many standard errors as the confidence sequence has, for new images too.

    What the images add does not depend on when one stops, so this is on the safe side; and unlike an interval
    of a fixed number of seeds it is never narrower than the one on this test set.
    """
    if crossed.se is None or crossed.estimate is None or crossed.seeds < 2:
        return
    reach = crossed.se * float(critical_t(crossed.seeds, threshold(plan.alpha), plan.g))
    if math.isfinite(reach):
        comparison.low_new_images = crossed.estimate - reach
        comparison.high_new_images = crossed.estimate + reach


def verdict_of(comparison: Comparison, now: Standing) -> Verdict:
    """What the look that closed a comparison said, and not what the rule of fixed seeds would say."""
    match now.outcome:
        case Outcome.DIFFERENCE:
            return Verdict.SUPERIOR if (comparison.delta or 0) > 0 else Verdict.INFERIOR
        case Outcome.EQUIVALENT:
            return Verdict.EQUIVALENT
    return Verdict.UNDECIDED


def summary(plan: Plan, comparisons: Sequence[Comparison], runs: pd.DataFrame) -> Sequential:
    """What was trained, and what never will be, as things stand."""
    still_open = {c.key for c in comparisons if c.stopped is Outcome.OPEN}
    still_open |= {(c.dataset, c.model, c.baseline) for c in comparisons if c.key in still_open}
    saved, hours = 0, 0.0
    for key, cell in runs.groupby(["dataset", "model", "loss"], sort=False):
        if key not in still_open:
            saved += plan.largest - len(cell)
            hours += (plan.largest - len(cell)) * cell.seconds.mean() / 3600  # NaN where none has finished
    return Sequential(
        looks=plan.looks.tolist(),
        bar=plan.bar,
        futility=plan.futility,
        closed=sum(c.stopped is not Outcome.OPEN for c in comparisons),
        runs=int(runs.state.isin(["done", "failed"]).sum()),
        runs_fixed=plan.largest * runs.groupby(["dataset", "model", "loss"]).ngroups,
        runs_saved=saved,
        run_hours=float(runs.seconds.sum()) / 3600,
        run_hours_saved=hours if math.isfinite(hours) else None,
    )


def savings(made: Sequential) -> str:
    """What adding seeds until decided took, beside the largest number of seeds everywhere."""
    hours = f" in {made.run_hours:.3g} run-hours" if made.run_hours else ""
    spared = ""
    if made.runs_saved:
        spared = f"; {made.runs_saved:,} are saved"
        if made.run_hours_saved is not None:
            spared += f", about {made.run_hours_saved:.3g} run-hours"
    return (
        f"seeds added until decided: {made.runs:,} runs have ended{hours}, of the {made.runs_fixed:,} of a "
        f"fixed design with {made.looks[-1]} seeds{spared}"
    )
