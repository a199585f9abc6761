"""From a suite's results to its report, in one pass: each cell against its baseline cell, seed by seed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from bench import preregistration
from bench.comparisons.agreement_file import to_bytes
from bench.comparisons.analysis import Measured, analyse
from bench.comparisons.comparison import Key, Metric
from bench.comparisons.designs import Design
from bench.comparisons.pairings import Scores, in_order
from bench.comparisons.resampled import Splits
from bench.comparisons.runs import read_measured
from bench.comparisons.searches import BySearches, OneSearch
from bench.comparisons.trials import read_trials
from bench.comparisons.until_decided import until_decided
from bench.preregistration.deviations import deviations
from bench.reports import sequential, tuning
from bench.reports.answer import answer
from bench.reports.choosing import other_epochs
from bench.reports.formats import listed
from bench.reports.loss_weights import final_weights
from bench.reports.ranking import rank, why_no_ranks
from bench.reports.run_notes import run_notes, tuned_for
from bench.reports.schema import Cell, Family, Plan, Report
from bench.results.reading import OTHER_DATA, frame
from bench.runs import Selection
from bench.sequential_design import stopping_plan
from bench.suite import Suite
from bench.tuning.changed import kept
from bench.versions.store import same_as


def report(suite: Suite, results: Path) -> Report:
    """Compare what is finished of a suite. Works at any time, and says n of N for every cell."""
    return report_and_agreement(suite, results)[0]


def report_and_agreement(
    suite: Suite, results: Path, runs: pd.DataFrame | None = None
) -> tuple[Report, bytes]:
    """The report, and the ``agreement.npz`` that belongs to it.

    Args:
        suite: where seeds are added until decided, as :func:`bench.sequential_design.as_it_stands` has it.
        runs: of :func:`bench.results.reading.frame`, where it has been read already.

    Raises:
        BenchError: a metric of the user's own fails on a run.
    """
    runs = frame(results, suite.cells, check_details=suite.needs_details) if runs is None else runs
    baseline, alpha = suite.baseline_label, suite.analysis.alpha
    metrics = describe(suite, runs)
    planned = [(cell.key, cell.seeds) for cell in suite.cells]
    measured, unknown = read_measured(
        runs, results, suite.metrics, metrics, planned, same_images=suite.splits == "given"
    )
    plan = stopping_plan(suite, results)
    fixed = Design(alpha, suite.analysis.test) if suite.splits == "given" else _splits(alpha, runs)
    design = until_decided(alpha, plan, suite.seeds) if plan else fixed
    judged = suite.selection != "test"
    searched = read_trials(suite, results, metrics) if suite.tune else None
    agreed, compared, other = runs, measured, _other_recipes(suite)
    if suite.tune is not None and searched is not None:  # winners differ in all that is tuned
        other = {}
        if suite.tune.design == "pooled":
            agreed, compared, design = searched.runs, [*searched.measured], searched.design
        elif suite.tune.searches == 1:
            design = OneSearch(alpha, suite.analysis.test)
        else:
            searches, each = suite.tune.searches, len(suite.seeds)
            design = BySearches(alpha, suite.analysis.test, searches=searches, each=each)
            compared = [replace(series, images={}) for series in measured]
    first = analyse(compared[:1], baseline, design, other, judged=judged)
    secondary = analyse(compared[1:], baseline, design.secondary(first.standings), judged=judged)
    added = sequential.summary(plan, first.comparisons, runs) if plan else None
    epochs = {}
    if searched is None:
        epochs = other_epochs(measured[0], baseline, fixed, runs, judged=judged)
    cells = tuple(cell.model_copy(update=epochs.get(cell.key, {})) for cell in _cells(measured[0], runs))
    guessed = [
        f"{metric.name}: {'higher' if metric.higher_is_better else 'lower'} is better, which was guessed "
        "from its name; say higher_is_better: true or false"
        for metric in suite.metrics
        if metric.direction_guessed
    ]
    rankings = []
    if not why_no_ranks(suite) and searched is None:
        rankings = rank(cells, metrics[0], baseline, alpha, judged=judged)
    document = Report(
        suite=suite.name,
        question=suite.question,
        baseline=baseline,
        selection=suite.selection,
        optimistic=not judged,
        alpha=alpha,
        margin=metrics[0].margin,
        metrics=metrics,
        answer=answer(
            baseline,
            first.comparisons,
            optimistic=not judged,
            unknown=metrics[0].name if any(cell.unknown for cell in cells) else "",
            budget=suite.tune.budget if suite.tune else 0,
        ),
        method=" ".join(filter(None, [_epoch(suite), *varied(suite), first.method])),
        splits=suite.splits,
        vary=suite.vary,
        complete=all(cell.n + cell.unknown == cell.planned for cell in cells)
        and (searched is None or searched.complete),
        cells=cells,
        comparisons=first.comparisons,
        adjusted_by=first.adjustment.by,
        secondary=Family(
            cells=tuple(cell for series in measured[1:] for cell in _cells(series, runs)),
            comparisons=secondary.comparisons,
            adjusted_by=secondary.adjustment.by if secondary.comparisons else "",
        ),
        notes=(
            *run_notes(runs, baseline),
            *unknown,
            *guessed,
            *first.notes,
            *(f"secondary: {note}" for note in secondary.notes if note not in first.notes),
            *final_weights(suite, results, runs),
            *([sequential.savings(added)] if added else []),
            *([*searched.notes, *kept(suite, results)] if searched else tuned_for(suite)),
        ),
        scaled_down=suite.scaled_down,
        look=_look(suite),
        plan=_plan(suite, results),
        rankings=tuple(rankings),
        sequential=added,
        tuning=tuning.summary(suite, searched, metrics[0], len(first.comparisons)) if searched else None,
    )
    every = [*first.comparisons, *secondary.comparisons]
    return document, to_bytes(agreed, compared, baseline, design, every)


def _splits(alpha: float, runs: pd.DataFrame) -> Splits:
    """The design of seeds that have drawn their own test images: how many, the finished runs know."""
    finished = runs[(runs.state == "done") & runs.class_counts.map(lambda counts: isinstance(counts, list))]
    ratios = finished.total.astype(float) / finished.class_counts.map(sum).astype(float)
    places = zip(finished.dataset, finished.model, strict=True)
    return Splits(alpha, ratios=dict(zip(places, map(float, ratios), strict=True)))


_DECIDED = {
    "init": "initial weights",
    "order": "the order of batches",
    "augmentation": "augmentation",
    "dropout": "dropout",
    "split": "the split of the data",
}


def varied(suite: Suite) -> list[str]:
    """What a seed decides, where that is not all: seeds are a sample of that alone."""
    fixed = [words for source, words in _DECIDED.items() if source not in suite.vary]
    if not fixed:
        return []
    varying = listed([words for source, words in _DECIDED.items() if source in suite.vary])
    return [
        f"Seeds differ in {varying} alone; {listed(fixed)} {'is' if len(fixed) == 1 else 'are'} the same in "
        "all runs, and verdicts are about trainings with these."
    ]


def _look(suite: Suite) -> str:
    if not suite.is_look:
        return ""
    whole = suite.whole.seeds
    most = "up to " * (suite.whole.until is not None)
    shared = len({*whole} & {*suite.seeds})
    more = f" and {len(suite.seeds) - shared} others" * (len(suite.seeds) > shared)
    return f"{shared} of the {most}{len(whole)} seeds that the suite asks for{more}"


def _plan(suite: Suite, results: Path) -> Plan | None:
    plan = preregistration.stated(suite, results)
    if plan is None:
        return None
    # A look says so itself, and takes back nothing; where seeds are added, the rule is what was planned, and
    # where losses are tuned, the search.
    whole = suite.is_look or suite.until is not None or suite.tune is not None
    now = preregistration.judged(suite.whole if whole else suite)
    return Plan(
        **plan.model_dump(exclude={"judged"}),
        deviations=tuple(deviations(plan.judged, now, partial(same_as, results))),
    )


def describe(suite: Suite, runs: pd.DataFrame | None = None) -> tuple[Metric, ...]:
    """The metrics of a suite, as documents list them.

    Args:
        runs: of :func:`bench.results.reading.frame`. Accuracy is counted unless one has a number only.
    """
    counts = runs is None or bool(runs[runs.state == "done"].correct.notna().all())
    return tuple(
        Metric(
            name=metric.name,
            unit=metric.unit,
            higher_is_better=metric.higher_is_better,
            margin=suite.margins.get(metric.name),
            counted=metric.choice.name == "accuracy" and counts,
        )
        for metric in suite.metrics
    )


def summarise(key: Key, scores: Scores, metric: Metric, images: int | None = None, finished: int = 0) -> Cell:
    """A cell's row.

    Args:
        images: of a test set, where the metric does not count them.
        finished: runs, of which the metric may not be known.
    """
    dataset, model, loss = key
    seeds = in_order(scores.counts)
    counts = [scores.counts[seed] for seed in seeds]
    values = [count / scores.total for count in counts] if scores.total else []
    spread = np.array(values, dtype=np.float64)
    counted = metric.counted
    return Cell(
        dataset=dataset,
        model=model,
        loss=loss,
        metric=metric.name,
        n=len(counts),
        planned=len(scores.planned) or len(counts),
        failed=len(scores.lost),
        mean=float(spread.mean()) if values else None,
        sd=float(spread.std(ddof=1)) if len(values) > 1 else None,
        correct=sum(counts) if counted else None,
        total=(scores.total or 0) * len(counts) if counted else None,
        seeds=tuple(seeds),
        counts=tuple(counts) if counted else (),
        values=tuple(values),
        test_images=scores.total if counted else images,
        unknown=max(finished - len(counts), 0),
    )


def _cells(series: Measured, runs: pd.DataFrame) -> tuple[Cell, ...]:
    done = runs[runs.state == "done"].groupby(["dataset", "model", "loss"], sort=False).total
    images = {
        key: int(sizes[0]) for key, sizes in done.unique().items() if len(sizes) == 1 and pd.notna(sizes[0])
    }
    finished = done.size().to_dict()
    odd = runs[runs.state == OTHER_DATA].groupby(["dataset", "model", "loss"]).size().to_dict()
    return tuple(
        summarise(key, scores, series.metric, images.get(key), finished.get(key, 0)).model_copy(
            update={"other_data": odd.get(key, 0)}
        )
        for key, scores in series.cells.items()
    )


def _other_recipes(suite: Suite) -> dict[tuple[str, str, str], str]:
    """What a recipe of a loss of its own changes against the baseline's."""
    recipes = {cell.key: cell.recipe for cell in suite.cells}
    notes = {}
    for key, ours in recipes.items():
        if key[2] != suite.baseline_label:
            theirs = recipes[*key[:2], suite.baseline_label]
            changed = ", ".join(name for name in {**theirs, **ours} if ours.get(name) != theirs.get(name))
            note = f"its recipe differs in {changed}, so this compares more than the loss"
            notes[key] = note if changed else ""
    return notes


def chosen_epoch(selection: Selection, metric: str) -> str:
    """Which epoch of a run counts, in words."""
    return {
        "last": "the last epoch",
        "validation": f"the epoch with the best {metric} on a validation split of the training images",
        "test": f"the epoch with the best {metric} on the test images themselves, which is OPTIMISTIC: no "
        "verdict is given, as a loss whose epochs vary more gains more by the choice",
    }[selection]


def _epoch(suite: Suite) -> str:
    names = listed([metric.name for metric in suite.metrics])
    verb = "is that" if len(suite.metrics) == 1 else "are those"
    choices = []
    if suite.ours("models"):
        choices.append(f"{verb} of {chosen_epoch(suite.selection, suite.metrics[0].name)}")
    if suite.trainers:
        trainers = listed([trainer.label() for trainer in suite.trainers])
        their = "its" if len(suite.trainers) == 1 else "their"
        choices.append(
            f"{verb.split()[0]} what {trainers} gave, and which epoch counts is {their} own affair"
        )
    return f"{names[:1].upper()}{names[1:]} {', or '.join(choices)}."
