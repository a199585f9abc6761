"""Several data sets, one answer: how the losses rank over them, model by model (Demšar, JMLR 7, 2006).

The data sets are the sample here. One data set with several models is not that setting, and neither is one
data set with several levels of noise or of several sizes: its variants have not got a vote each.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from bench.comparisons.comparison import Metric
from bench.datasets import BuiltInOptions, DatasetOptions, OnDisk
from bench.registry import Choice
from bench.reports.answer import MOST_NAMES
from bench.reports.formats import listed
from bench.reports.schema import Analysed, Cell, RankedLoss, Ranking, Report, whole_numbers
from bench.statistics.bayes import bayesian_signed_rank
from bench.statistics.improvement import probability_of_improvement
from bench.statistics.ranking import control_tests, critical_difference_diagram, friedman
from bench.statistics.units import TooLarge
from bench.suite import Suite

FEWEST = 5
"""Data sets below which nothing is said to rank better or worse, whatever the p of z may be."""
DRAWS = 10_000
"""Of the Bayesian signed-rank test: a standard error of half a percent at most."""
MOST_RESAMPLED = 100_000
"""Runs up to which intervals of the probability of improvement take seconds; of more there are none."""


def why_no_ranks(suite: Suite) -> str:
    """Why losses are not ranked over the data sets of a suite; empty where they are."""
    if len(suite.datasets) < 2:
        return "average ranks need several data sets, and this suite has one"
    if len({_source(entry.choice) for entry in suite.datasets}) < len(suite.datasets):
        return "average ranks need different data sets, and some of this suite are variants of one"
    if len(suite.losses) < 2:
        return "average ranks need several losses, and this suite has one"
    return ""


def rank(
    cells: Sequence[Cell],
    metric: Metric,
    baseline: str,
    alpha: float,
    *,
    paired: bool = True,
    judged: bool = True,
) -> list[Ranking]:
    """One ranking of the losses for each model that has results on two or more data sets.

    Ranks are those of the metric over the seeds that all losses have finished; of accuracy, in correct
    answers: ties on counts are ties.

    Args:
        cells: of that metric. Data sets with different names are taken to be different ones.
        paired: whether the same seed of two losses belongs together; if not, all runs of each count.
        judged: whether anything may be claimed of these values.
    """
    rankings = (
        _ranking(
            model, [cell for cell in cells if cell.model == model], metric, baseline, alpha, paired, judged
        )
        for model in dict.fromkeys(cell.model for cell in cells)
    )
    return [ranking for ranking in rankings if ranking is not None]


def across(report: Analysed) -> str:
    """What the answer of a document ends with where one model has enough data sets; else empty."""
    optimistic = isinstance(report, Report) and report.optimistic
    one = report.rankings[0] if len(report.rankings) == 1 and not optimistic else None
    return one.answer if one is not None and len(one.datasets) >= FEWEST else ""


def letters(ranking: Ranking) -> dict[str, str]:
    """A letter for each set of losses that are not shown to differ: those with none in common do."""
    names = string.ascii_lowercase[: len(ranking.alike)]
    return {
        ranked.loss: "".join(
            name for name, alike in zip(names, ranking.alike, strict=False) if ranked.loss in alike
        )
        for ranked in ranking.losses
    }


class _Runs(NamedTuple):
    """Of all losses on one data set: whole numbers of 1/unit, turned so that more is better."""

    of_loss: list[list[int]]
    unit: int

    @property
    def means(self) -> list[Fraction]:
        """Exact, so that what is equal is seen to be equal."""
        return [Fraction(sum(runs), len(runs) * self.unit) for runs in self.of_loss]


def _source(choice: Choice) -> str:
    """What a data set is, whatever its size and noise."""
    if isinstance(choice.options, OnDisk) and choice.options.content:
        return choice.options.content
    varied = BuiltInOptions if isinstance(choice.options, BuiltInOptions) else DatasetOptions
    described = choice.describe()
    return json.dumps({k: v for k, v in described.items() if k not in varied.model_fields})


def _ranking(
    model: str, cells: Sequence[Cell], metric: Metric, baseline: str, alpha: float, paired: bool, judged: bool
) -> Ranking | None:
    by_key = {(cell.dataset, cell.loss): cell for cell in cells}
    every, all_losses = ([*dict.fromkeys(names)] for names in zip(*by_key, strict=True))
    datasets, losses = _complete(by_key, every, all_losses, baseline)
    used: dict[str, _Runs] = {}
    for dataset in datasets:
        runs = _runs([by_key[dataset, loss] for loss in losses], metric, paired)
        if runs is not None:
            used[dataset] = runs
    if len(used) < 2 or len(losses) < 2:
        return None
    means = [runs.means for runs in used.values()]
    places = np.array([_places(row) for row in means])
    diagram, overall = critical_difference_diagram(places, alpha), friedman(places)
    against: Mapping[int, Mapping[str, Any]] = {}
    if baseline in losses:
        control = losses.index(baseline)
        adjusted = control_tests(places, control).p_adjusted.tolist()
        against = {
            k: {"p_adjusted": adjusted[k], **_against(k, control, means, [*used.values()], metric, alpha)}
            for k in range(len(losses))
            if k != control
        }
    ranked = tuple(
        RankedLoss(loss=losses[k], average_rank=diagram.average_ranks[k], **against.get(k, {}))
        for k in diagram.order
    )
    return Ranking(
        model=model,
        datasets=[*used],
        left_out=[dataset for dataset in every if dataset not in used],
        left_out_losses=[loss for loss in all_losses if loss not in losses],
        losses=[*ranked],
        chi2=overall.statistic,
        chi2_df=overall.df,
        chi2_p=overall.p,
        f=overall.f,
        f_df=overall.f_df,
        f_p=overall.f_p,
        critical_difference=diagram.critical_difference,
        alike=[[losses[k] for k in clique] for clique in diagram.cliques],
        note=diagram.note or "",
        region=metric.limit or 0,
        answer=_answer(model, len(used), ranked, baseline, alpha, judged),
    )


def _complete(
    by_key: Mapping[tuple[str, str], Cell], datasets: list[str], losses: list[str], baseline: str
) -> tuple[list[str], list[str]]:
    """Data sets and losses of which each has results on each other.

    What lacks the largest share of its results is left out first, of equals a data set, and never the
    baseline: so neither one loss that was tried on few data sets, nor one data set that few losses have
    finished, takes all others with it.
    """
    present = np.array(
        [[bool((cell := by_key.get((d, loss))) and cell.values) for loss in losses] for d in datasets]
    )
    rows, columns = np.arange(len(datasets)), np.arange(len(losses))
    while present.size and not present.all():
        of_rows, of_columns = 1 - present.mean(axis=1), 1 - present.mean(axis=0)
        of_columns[[losses[k] == baseline for k in columns]] = 0
        if of_rows.max() >= of_columns.max():
            rest = np.arange(len(rows)) != of_rows.argmax()
            present, rows = present[rest], rows[rest]
        else:
            rest = np.arange(len(columns)) != of_columns.argmax()
            present, columns = present[:, rest], columns[rest]
    return [datasets[k] for k in rows], [losses[k] for k in columns]


def _runs(cells: Sequence[Cell], metric: Metric, paired: bool) -> _Runs | None:
    """Paired: of the seeds that every loss has finished, so that like meets like. None where it cannot."""
    if len({cell.test_images for cell in cells}) > 1:
        return None
    try:
        counts, unit = whole_numbers(cells)
    except TooLarge:
        return None
    if metric.counted:
        unit = cells[0].test_images or 0
    seeds = set(counts[0]).intersection(*counts)
    if not unit or (paired and not seeds):
        return None
    sign = 1 if metric.higher_is_better else -1
    return _Runs(
        [[sign * n for seed, n in count.items() if not paired or seed in seeds] for count in counts], unit
    )


def _places(means: Sequence[Fraction]) -> list[int]:
    """Whole numbers in the order of these, equal where they are."""
    order = {mean: place for place, mean in enumerate(sorted({*means}))}
    return [order[mean] for mean in means]


def _against(
    k: int,
    control: int,
    means: Sequence[Sequence[Fraction]],
    used: Sequence[_Runs],
    metric: Metric,
    alpha: float,
) -> dict[str, Any]:
    """A loss against the baseline over data sets: who wins, and how probable it is that it is better."""
    differences = [row[k] - row[control] for row in means]
    posterior = bayesian_signed_rank([float(d) for d in differences], metric.limit or 0, draws=DRAWS)
    fields: dict[str, Any] = {
        "wins": sum(d > 0 for d in differences),
        "draws": sum(d == 0 for d in differences),
        "losses": sum(d < 0 for d in differences),
        "probability_worse": posterior.worse,
        "probability_equivalent": posterior.equivalent,
        "probability_better": posterior.better,
    }
    ours, theirs = ([runs.of_loss[place] for runs in used] for place in (k, control))
    if any(len(runs) > 1 for runs in (*ours, *theirs)):
        few = sum(len(runs) for each in used for runs in each.of_loss) <= MOST_RESAMPLED
        improvement = probability_of_improvement(ours, theirs, 1 - alpha, resamples=2000 if few else 0)
        fields |= {
            "improvement": improvement.estimate,
            "improvement_low": improvement.low,
            "improvement_high": improvement.high,
        }
    return fields


def _answer(
    model: str, datasets: int, ranked: Sequence[RankedLoss], baseline: str, alpha: float, judged: bool
) -> str:
    """Which losses rank better or worse than the baseline, in a sentence."""
    where = f"Over {datasets} data sets{f' with {model}' if model else ''}"
    if not judged:
        return f"{where}, no verdict: the epoch was chosen on the test set itself."
    baseline_rank = next((each.average_rank for each in ranked if each.loss == baseline), None)
    if baseline_rank is None:
        return f"{where}, nothing is ranked against {baseline}, which has no results there."
    if datasets < FEWEST:
        return f"{where}, which are too few for a claim, nothing is shown to rank unlike {baseline}."
    differ = [each for each in ranked if each.p_adjusted is not None and each.p_adjusted < alpha]
    better = _named([each.loss for each in differ if each.average_rank < baseline_rank], len(ranked) - 1)
    worse = _named([each.loss for each in differ if each.average_rank > baseline_rank], len(ranked) - 1)
    if not better and not worse:
        return f"{where}, nothing is shown to rank better or worse than {baseline}."
    first = f"{better or 'nothing is shown to rank'} better than {baseline}"
    return f"{where}, {first}{f', and {worse} worse' if worse else ''}."


def _named(losses: Sequence[str], of: int) -> str:
    """``a and b rank``; empty where there is none."""
    if not losses:
        return ""
    who = listed(losses) if len(losses) <= MOST_NAMES else f"{len(losses)} of {of}"
    return f"{who} {'ranks' if len(losses) == 1 else 'rank'}"
