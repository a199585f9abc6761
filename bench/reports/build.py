"""From a suite's results to its report, in one pass: each cell against its baseline cell, seed by seed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

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
from bench.reports import sequential, tuning
from bench.reports.answer import answer
from bench.reports.choosing import other_epochs
from bench.reports.formats import counted, listed, some
from bench.reports.loss_weights import final_weights
from bench.reports.ranking import rank, why_no_ranks
from bench.reports.schema import Cell, Family, Plan, Report
from bench.results.reading import OTHER_DATA, frame
from bench.runs import Selection
from bench.sequential_design import stopping_plan
from bench.suite import Suite
from bench.tuning.changed import kept
from bench.versions import same_as

MOST_WARNINGS = 3
"""Kinds of a cell's that are spelt out. Those that name a file are all different."""


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
    told, compared, other = runs, measured, _other_recipes(suite)
    if suite.tune is not None and searched is not None:  # winners differ in all that is tuned
        other = {}
        if suite.tune.design == "pooled":
            told, compared, design = searched.runs, [*searched.measured], searched.design
        elif suite.tune.searches == 1:
            design = OneSearch(alpha, suite.analysis.test)
        else:
            searches, each = suite.tune.searches, len(suite.seeds)
            design = BySearches(alpha, suite.analysis.test, searches=searches, each=each)
            compared = [replace(series, images={}) for series in measured]
    first = analyse(compared[:1], baseline, design, other, judged=judged)
    others = analyse(compared[1:], baseline, design.secondary(first.standings), judged=judged)
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
    made = Report(
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
            comparisons=others.comparisons,
            adjusted_by=others.adjustment.by if others.comparisons else "",
        ),
        notes=(
            *_failures(runs),
            *runs.attrs["data"],
            *_unbalanced(runs),
            *_mixed_devices(runs, baseline),
            *_warned(runs),
            *unknown,
            *guessed,
            *first.notes,
            *(f"secondary: {note}" for note in others.notes if note not in first.notes),
            *final_weights(suite, results, runs),
            *([sequential.savings(added)] if added else []),
            *([*searched.notes, *kept(suite, results)] if searched else _tuned_for(suite)),
        ),
        scaled_down=suite.scaled_down,
        look=_look(suite),
        plan=_plan(suite, results),
        rankings=tuple(rankings),
        sequential=added,
        tuning=tuning.summary(suite, searched, metrics[0], len(first.comparisons)) if searched else None,
    )
    return made, to_bytes(told, compared, baseline, design, [*first.comparisons, *others.comparisons])


def _tuned_for(suite: Suite) -> list[str]:
    """For which loss the recipe that all share was chosen."""
    if suite.scaled_down or len(suite.losses) < 2:
        return []
    if suite.tuned_for:
        others = "other losses might do better at settings of their own"
        return [f"recipe: chosen for {suite.tuned_for}, by the suite's word; {others}"]
    return ["recipe: for which loss it was chosen, nobody said (tuned_for); docs/tuning.md tunes every loss"]


def _splits(alpha: float, runs: pd.DataFrame) -> Splits:
    """The design of seeds that have drawn their own test images: how many, the finished runs know."""
    done = runs[(runs.state == "done") & runs.class_counts.map(lambda counts: isinstance(counts, list))]
    ratios = done.total.astype(float) / done.class_counts.map(sum).astype(float)
    places = zip(done.dataset, done.model, strict=True)
    return Splits(alpha, ratios=dict(zip(places, map(float, ratios), strict=True)))


_DECIDED = {
    "init": "initial weights",
    "order": "the order of batches",
    "augmentation": "augmentation",
    "dropout": "dropout",
    "split": "the split of the data",
}


def varied(suite: Suite) -> list[str]:
    """What a seed decides, and so what the seeds of a claim are a sample of; nothing where that is all."""
    fixed = [words for source, words in _DECIDED.items() if source not in suite.vary]
    if not fixed:
        return []
    found = listed([words for source, words in _DECIDED.items() if source in suite.vary])
    return [
        f"Seeds differ in {found} alone; {listed(fixed)} {'is' if len(fixed) == 1 else 'are'} the same in "
        "all runs, and verdicts are about trainings with these."
    ]


def _look(suite: Suite) -> str:
    if not suite.is_look:
        return ""
    whole = suite.whole.seeds
    most = "up to " * (suite.whole.until is not None)
    shared = len({*whole} & {*suite.seeds})
    others = f" and {len(suite.seeds) - shared} others" * (len(suite.seeds) > shared)
    return f"{shared} of the {most}{len(whole)} seeds that the suite asks for{others}"


def _plan(suite: Suite, results: Path) -> Plan | None:
    found = preregistration.stated(suite, results)
    if found is None:
        return None
    # A look says so itself, and takes back nothing; where seeds are added, the rule is what was planned, and
    # where losses are tuned, the search.
    whole = suite.is_look or suite.until is not None or suite.tune is not None
    now = preregistration.judged(suite.whole if whole else suite)
    return Plan(
        **found.model_dump(exclude={"judged"}),
        deviations=tuple(preregistration.deviations(found.judged, now, partial(same_as, results))),
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
        key: int(found[0]) for key, found in done.unique().items() if len(found) == 1 and pd.notna(found[0])
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
    """What a per-loss recipe changes: then the two differ in more than the loss."""
    recipes = {cell.key: cell.recipe for cell in suite.cells}
    return {
        key: _changes(recipe, recipes[*key[:2], suite.baseline_label])
        for key, recipe in recipes.items()
        if key[2] != suite.baseline_label
    }


def _changes(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    changed = [key for key in {**theirs, **ours} if ours.get(key) != theirs.get(key)]
    return (
        f"its recipe differs in {', '.join(changed)}, so this compares more than the loss" if changed else ""
    )


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
    said = []
    if suite.ours("models"):
        said.append(f"{verb} of {chosen_epoch(suite.selection, suite.metrics[0].name)}")
    if suite.trainers:
        own = listed([trainer.label() for trainer in suite.trainers])
        whose = "its" if len(suite.trainers) == 1 else "their"
        said.append(f"{verb.split()[0]} what {own} gave, and which epoch counts is {whose} own affair")
    return f"{names[:1].upper()}{names[1:]} {', or '.join(said)}."


def _failures(runs: pd.DataFrame) -> list[str]:
    notes = []
    for row in runs[runs.state.isin(["failed", "damaged"])].itertuples():
        where = f"{row.dataset} × {row.model} × {row.loss}, seed {row.seed} (run {row.run_id})"
        notes.append(f"{row.state}: {where}: {row.reason}")
    return notes


def _mixed_devices(runs: pd.DataFrame, baseline: str) -> list[str]:
    """Where the two of a pair were not trained on the same kind of device."""
    done = runs[(runs.state == "done") & (runs.trained_on != "")]
    if done.trained_on.nunique() < 2:
        return []
    place = ["dataset", "model", "seed"]
    base = done[done.loss == baseline].set_index(place).trained_on.rename("base")
    pairs = done[done.loss != baseline].join(base, on=place, how="inner")
    notes = []
    for names, found in pairs.groupby(["dataset", "model", "loss"], sort=False):
        mixed = found[found.trained_on != found.base]
        if len(mixed):
            kinds = "; ".join(dict.fromkeys([*mixed.trained_on, *mixed.base]))
            notes.append(
                f"devices: {' × '.join(map(str, names))}: {len(mixed):,} of {counted(len(found), 'pair')} "
                f"were not trained on the same kind ({kinds}): rounding differs there, and not the loss alone"
            )
    return notes


def _unbalanced(runs: pd.DataFrame) -> list[str]:
    """Data sets of which one class has at least twice as many training images as another."""
    notes = []
    # Of runs that say it: where others do not, pandas has put NaN.
    done = runs[(runs.state == "done") & runs.class_counts.map(lambda counts: isinstance(counts, list))]
    for name, found in done.groupby("dataset", sort=False):
        counts: list[int] = found.class_counts.iloc[0]
        if max(counts) >= 2 * min(counts):
            notes.append(
                f"classes: {name}: its {len(counts):,} classes have {min(counts):,} to {max(counts):,} "
                f"training images, {sum(counts):,} in all; accuracy counts images, balanced_accuracy classes"
            )
    return notes


def _warned(runs: pd.DataFrame) -> list[str]:
    """How many finished runs of each cell have warnings, and the first of each kind: steps may differ."""
    notes = []
    done = runs[runs.state == "done"]
    for names, cell in done.groupby(["dataset", "model", "loss"], sort=False):
        kinds: dict[str, str] = {}
        for warning in itertools.chain.from_iterable(cell.warnings):
            kinds.setdefault(re.sub(r"\bstep [\d,]+", "", warning), warning)
        if kinds:
            warned = int(cell.warnings.map(bool).sum())
            said = some([*kinds.values()], MOST_WARNINGS, between="; ")
            notes.append(
                f"warned: {' × '.join(map(str, names))}: {warned:,} of {counted(len(cell), 'run')}: {said}"
            )
    return notes
