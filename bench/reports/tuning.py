"""What the searches of a tuned suite have found: settings, curves over the budget, what losses care for."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bench.cells import Cell
from bench.comparisons.comparison import Key, Metric
from bench.comparisons.trials import Searched
from bench.comparisons.tuned import Search
from bench.reports.blocks import Block, Heading, Notes, Paragraph, plain_table
from bench.reports.formats import NOTHING, Scale, counted, listed
from bench.reports.schema import Report, SearchOf, TrialOf, Tuning
from bench.settings import CHOSEN, OF_LOSS, ranges_of
from bench.space import Range, Tune, range_of
from bench.statistics.bands import bands
from bench.statistics.searches import best_of, budgets_for, curve, superior_from
from bench.statistics.sensitivity import sensitivity
from bench.suite import Suite
from bench.tuning.trials import Trial
from bench.tuning.winners import winners_of

MOST_SETTINGS = 12
"""That prose spells out."""


def summary(suite: Suite, searched: Searched, metric: Metric, comparisons: int) -> Tuning:
    """The searches by the first metric.

    Args:
        comparisons: K of the family, over which α is shared.
    """
    tune = suite.tune
    assert tune is not None
    tested = budgets_for(tune.trials)
    choices = {entry.label: entry.choice for entry in suite.losses}
    searches = []
    for key, trials in searched.trials.items():
        ranges = ranges_of(tune, choices[key[2]], key[2])
        scores = searched.design.searches[metric.name].get(key)
        values = searched.measured[0].cells[key].values
        best = searched.best[key]
        ended = sum(trial.ended for trial in trials)
        searches.append(
            SearchOf(
                dataset=key[0],
                model=key[1],
                loss=key[2],
                trials=len(trials),
                done=sum(trial.state == "done" for trial in trials),
                failed=sum(trial.state == "failed" for trial in trials),
                best=None if best is None else dict(best.setting),
                best_trial=None if best is None else best.number,
                validation=None if best is None else best.validation,
                winners=_winners(tune, trials, best, higher_is_better=metric.higher_is_better),
                edges={} if best is None else _edges(ranges, best.setting),
                sensitivity={} if scores is None else _sensitivity(ranges, key, searched, scores),
                superior_from=_superior_from(key, searched, metric, suite, comparisons, tested)
                if tune.design == "pooled"
                else None,
                **(
                    _curves(scores, metric, tune.budget)
                    if scores is not None and ended == len(trials)
                    else {}
                ),
                settings=tuple(
                    TrialOf(
                        trial=trial.number,
                        run_id=trial.run_id,
                        setting=dict(trial.setting),
                        state=trial.state,
                        validation=trial.validation,
                        test=values.get(trial.seed),
                    )
                    for trial in trials
                ),
            )
        )
    described = tune.describe()
    return Tuning(
        budget=tune.budget,
        trials=tune.trials,
        design=tune.design,
        seed=tune.seed,
        space={**described["space"]},
        losses={**described["losses"]},
        tested=list(tested),
        guess={
            " · ".join(key[:2]): search.guess for key, search in searched.design.searches[metric.name].items()
        },
        run_hours=float(searched.runs.seconds.sum()) / 3600,
        searches=tuple(searches),
    )


def _winners(
    tune: Tune, trials: Sequence[Trial], best: Trial | None, *, higher_is_better: bool
) -> tuple[int, ...]:
    if best is None:
        return ()
    if tune.design == "pooled":
        return (best.number,)
    won = winners_of(trials, tune.budget, higher_is_better=higher_is_better)
    return tuple(trial.number for trial in won if trial is not None)


def _edges(ranges: Mapping[str, Range], setting: Mapping[str, Any]) -> dict[str, str]:
    return {name: edge for name, value in setting.items() if (edge := ranges[name].edge(value))}


def _curves(search: Search, metric: Metric, budget: int) -> dict[str, Any]:
    """Of a search that has ended: in the metric's own direction."""
    sign = 1 if metric.higher_is_better else -1
    n = len(search.seeds)
    budgets = range(1, n // 4 + 1)
    low, high = bands(search.validation, budgets=budgets)
    ends = (low, high) if sign > 0 else (high, low)
    return {
        "best_of": sign * best_of(search.validation, search.test, budget),
        "budgets": tuple(budgets),
        "curve": _numbers(sign * curve(search.validation, search.test, budgets)),
        "band_low": _numbers(sign * ends[0]),
        "band_high": _numbers(sign * ends[1]),
    }


def _numbers(values: Any) -> tuple[float | None, ...]:
    return tuple(float(value) if math.isfinite(value) else None for value in values)


def _sensitivity(
    ranges: Mapping[str, Range], key: Key, searched: Searched, search: Search
) -> dict[str, float | None]:
    """Of the validation scores. Choices that are no numbers are taken in the order of the list."""
    settings = {trial.seed: trial.setting for trial in searched.trials[key]}
    table = [[_number(of, settings[int(seed)][name]) for name, of in ranges.items()] for seed in search.seeds]
    if len(table) < 2:
        return {}
    shares = sensitivity(np.array(table, dtype=np.float64), search.validation)
    return dict(zip(ranges, _numbers(shares), strict=True))


def _number(of: Range, value: Any) -> float:
    return float(of.values.index(value)) if of.kind == "choice" else float(value)


def _superior_from(
    key: Key, searched: Searched, metric: Metric, suite: Suite, comparisons: int, tested: tuple[int, ...]
) -> int | None:
    """The smallest tested budget from which on the loss is better than the baseline at all of them."""
    searches, base = searched.design.searches[metric.name], (*key[:2], suite.baseline_label)
    if key == base or searched.best[key] is None or searched.best.get(base) is None:
        return None
    ours, theirs = searches[key], searches[base]
    both = [seed for seed in ours.seeds if seed in theirs.seeds]
    if len(both) < searched.design.trials:
        return None
    alpha = suite.analysis.alpha / max(comparisons, 1)
    return superior_from(*ours.at(both), *theirs.at(both), tested, alpha)


def blocks(report: Report, scales: Mapping[tuple[str, str], Scale]) -> Iterator[Block]:
    """The searches, setting by setting of data set and model.

    Args:
        scales: how numbers of each are written.
    """
    tuning, metric = report.tuning, report.metrics[0]
    if tuning is None:
        return
    yield Heading("Tuning", 2)
    yield Paragraph(protocol(tuning))
    spaces = [(f"{name} ({_space_in_words(space)})") for name, space in tuning.losses.items()]
    shared = f"All losses: {_space_in_words(tuning.space)}. " * bool(tuning.space)
    of_losses = f"Besides: {'; '.join(spaces)}." * bool(spaces)
    yield Paragraph(f"{shared}{of_losses}".strip())
    for pair in dict.fromkeys((search.dataset, search.model) for search in tuning.searches):
        group = [search for search in tuning.searches if (search.dataset, search.model) == pair]
        where, scale = " · ".join(pair), scales[pair]
        yield Heading(f"tuned · {where}", 3)
        headings = ("loss", "trials", "failed", f"best of {tuning.budget}", "setting found", "better from")
        rows = [
            (
                search.loss,
                f"{search.done + search.failed}/{search.trials}",
                str(search.failed),
                NOTHING if search.best_of is None else scale.value(search.best_of),
                NOTHING if search.best is None else setting_in_words(search.best),
                "baseline" if search.loss == report.baseline else str(search.superior_from or NOTHING),
            )
            for search in group
        ]
        yield plain_table(headings, rows, words=(0, 4), caption=f"What tuning found on {where}")
        names = list(dict.fromkeys(name for search in group for name in search.sensitivity))
        if names:
            every = [(search.loss, [search.sensitivity.get(name) for name in names]) for search in group]
            shares = [(loss, *(NOTHING if x is None else f"{x:.2f}" for x in of)) for loss, of in every]
            yield plain_table(
                ("loss", *names), shares, caption=f"What each loss cares for on {where}", detail=True
            )
    yield Paragraph(
        f"best of {tuning.budget}: mean test {metric.heading} of the setting that is best in validation of "
        f"{tuning.budget} trials; better from: the smallest budget n₀ such that the loss is better at every "
        f"tested budget from n₀ to {tuning.tested[-1]} (of {listed([*map(str, tuning.tested)])}, tested from "
        "the largest down until one fails). It says nothing of larger ones."
    )
    yield Paragraph(
        "What a loss cares for: the share of the variance of its trials' validation ranks that each "
        "dimension explains by itself.",
        detail=True,
    )
    if remarks := [*_remarks(tuning, report.baseline)]:
        yield Notes(tuple(remarks))


def protocol(tuning: Tuning) -> str:
    """How many settings were tried of what, and what chose."""
    if tuning.design == "searches":
        return (
            f"Every loss is compared as tuned with {counted(tuning.budget, 'trial')}: by "
            f"{_searches(tuning)} of as many settings, drawn independently and uniformly (seed "
            f"{tuning.seed}), the same for all losses where they share a dimension. The best in validation "
            "of each was retrained; the validation split alone chooses."
        )
    return (
        f"Every loss is compared as tuned with {counted(tuning.budget, 'trial')}: {tuning.trials} settings "
        f"of each were drawn independently and uniformly (seed {tuning.seed}), the same for all losses where "
        "they share a dimension, and trained once each, from a seed that no training of the comparison has. "
        "The validation split alone chooses."
    )


def untuned(suite: Suite, cell: Cell) -> dict[str, Any]:
    """The description of a cell, without what is tuned in it."""
    described: dict[str, Any] = json.loads(cell.text)
    if suite.tune is None:
        return described
    for path in suite.tune.space:
        field, *rest = path.split(".")
        if field in CHOSEN:
            described["recipe"][field].pop(rest[-1], None)
        else:
            described["recipe"].pop(field, None)
    choice = next(entry.choice for entry in suite.losses if entry.label == cell.loss)
    for name in ranges_of(suite.tune, choice, cell.loss):
        if name.startswith(OF_LOSS):
            described["loss"].pop(name.removeprefix(OF_LOSS), None)
    return described


def tuning_in_words(suite: Suite, report: Report) -> list[str]:
    """The protocol, as checklists ask for it: budget, space, what chose, what it took. Nothing without."""
    tuning = report.tuning
    if tuning is None or suite.tune is None:
        return []
    of_losses = [f"{name}: {_space_in_words(space)}" for name, space in tuning.losses.items()]
    spaces = [*([f"all losses: {_space_in_words(tuning.space)}"] if tuning.space else []), *of_losses]
    failed = sum(search.failed for search in tuning.searches)
    settings = [
        f"{search.loss} on {search.dataset} with {search.model}: {setting_in_words(search.best)}"
        for search in tuning.searches
        if search.best is not None
    ]
    sentences = [
        f"Hyperparameters were tuned for every loss, with a budget of {counted(tuning.budget, 'trial')}, the "
        "same for all, by random search [@bergstra2012].",
        f"Search space ({'; '.join(spaces)}).",
        f"{tuning.trials} settings of each data set, model and loss were drawn independently and uniformly "
        f"(seed {tuning.seed}), equal across losses in the dimensions that they share, and trained once "
        "each, from seeds that no reported training has.",
        f"Epoch and setting were chosen by {report.metrics[0].name} on the validation split; the test set "
        "took part in no choice.",
    ]
    if failed:
        sentences.append(
            f"Of {sum(search.trials for search in tuning.searches):,} trials {failed:,} diverged or failed; "
            "they rank last, with the test score of a guess."
        )
    if settings and len(settings) <= MOST_SETTINGS:
        sentences.append(f"Settings chosen: {'; '.join(settings)}.")
    elif settings:
        sentences.append("The settings chosen are in the report.")
    sentences.append(f"All trials together took {tuning.run_hours:.3g} run-hours, each training by itself.")
    return sentences


def _searches(tuning: Tuning) -> str:
    count = tuning.trials // tuning.budget
    return f"{count} searches" if count > 1 else "one search"


def _space_in_words(space: Mapping[str, Mapping[str, Any]]) -> str:
    return listed([f"{name} {range_of(described)}" for name, described in space.items()])


def setting_in_words(setting: Mapping[str, Any]) -> str:
    """A setting in a row: ``lr 0.0123, loss.gamma 2.1``."""
    values = []
    for name, value in setting.items():
        short = name if name.startswith(OF_LOSS) else name.rpartition(".")[2]
        values.append(f"{short} {value:.3g}" if isinstance(value, float) else f"{short} {value}")
    return ", ".join(values)


def _remarks(tuning: Tuning, baseline: str) -> Iterator[str]:
    """Trials that failed, settings at the edge of the space."""
    for search in tuning.searches:
        where = f"{search.dataset} × {search.model} × {search.loss}"
        if search.failed == search.trials:
            yield f"{where}: all {search.trials} trials failed: there is no setting to train, and no verdict"
        elif search.failed:
            yield (
                f"{where}: {search.failed} of {search.trials} trials diverged or failed: they rank last, "
                "with the score of a guess"
            )
        for name, edge in search.edges.items():
            yield (
                f"{where}: the best setting lies at the {edge} edge of {name}: a wider space may hold a "
                "better one"
            )
