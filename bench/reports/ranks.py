"""Several data sets: how the losses rank over them, model by model (Demšar, JMLR 7, 2006).

The data sets are the sample here. One data set with several models is not that setting, and neither is one
data set with several levels of noise or of several sizes: its variants have not got a vote each.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence

import numpy as np

from bench.choices import Choice
from bench.comparisons.comparison import Metric
from bench.datasets import DatasetOptions
from bench.reports.schema import Cell, RankedLoss, Ranking, whole_numbers
from bench.statistics.ranking import control_tests, critical_difference_diagram, friedman
from bench.suite import Suite


def why_no_ranks(suite: Suite) -> str:
    """Why losses are not ranked over the data sets of a suite; empty where they are."""
    if len(suite.datasets) < 2:
        return "average ranks need several data sets, and this suite has one"
    if len({_source(entry.choice) for entry in suite.datasets}) < len(suite.datasets):
        return "average ranks need different data sets, and some of this suite are variants of one"
    if len(suite.losses) < 2:
        return "average ranks need several losses, and this suite has one"
    return ""


def rank(suite: Suite, cells: Sequence[Cell], metric: Metric) -> list[Ranking]:
    """One ranking of the losses for each model that has results on two or more data sets.

    Ranks are those of the metric over the seeds that all losses have finished; of accuracy, in correct
    answers: ties on counts are ties.
    """
    if why_no_ranks(suite):
        return []
    made = (
        _ranking(suite, model, [cell for cell in cells if cell.model == model], metric)
        for model in suite.labels("models")
    )
    return [ranking for ranking in made if ranking is not None]


def letters(ranking: Ranking) -> dict[str, str]:
    """A letter for each set of losses that are not shown to differ: those with none in common do."""
    names = string.ascii_lowercase[: len(ranking.alike)]
    return {
        ranked.loss: "".join(
            name for name, alike in zip(names, ranking.alike, strict=False) if ranked.loss in alike
        )
        for ranked in ranking.losses
    }


def _source(choice: Choice) -> str:
    """What a data set is, whatever its size and noise."""
    described = choice.describe()
    return json.dumps({k: v for k, v in described.items() if k not in DatasetOptions.model_fields})


def _ranking(suite: Suite, model: str, cells: Sequence[Cell], metric: Metric) -> Ranking | None:
    by_dataset: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        by_dataset.setdefault(cell.dataset, {})[cell.loss] = cell
    losses = [loss for loss in suite.labels("losses") if all(loss in found for found in by_dataset.values())]
    rows = {dataset: _row([found[loss] for loss in losses], metric) for dataset, found in by_dataset.items()}
    used = {dataset: row for dataset, row in rows.items() if row}
    if len(used) < 2 or len(losses) < 2:
        return None
    counts = np.array([*used.values()], dtype=np.int64)
    alpha = suite.analysis.alpha
    diagram = critical_difference_diagram(counts, alpha)
    overall = friedman(counts)
    p: Mapping[int, float] = {}
    if suite.baseline_label in losses:
        control = losses.index(suite.baseline_label)
        adjusted = control_tests(counts, control).p_adjusted.tolist()
        p = {k: value for k, value in enumerate(adjusted) if k != control}
    return Ranking(
        model=model,
        datasets=[*used],
        left_out=[dataset for dataset in rows if dataset not in used],
        losses=[
            RankedLoss(loss=losses[k], average_rank=diagram.average_ranks[k], p_adjusted=p.get(k))
            for k in diagram.order
        ],
        chi2=overall.statistic,
        chi2_df=overall.df,
        chi2_p=overall.p,
        f=overall.f,
        f_df=overall.f_df,
        f_p=overall.f_p,
        critical_difference=diagram.critical_difference,
        alike=[[losses[k] for k in clique] for clique in diagram.cliques],
        note=diagram.note or "",
    )


def _row(cells: Sequence[Cell], metric: Metric) -> list[int]:
    """Sums over the seeds that every loss has finished, so that like meets like: more is better."""
    sign = 1 if metric.higher_is_better else -1
    counts, _ = whole_numbers(cells)
    seeds = set(counts[0]).intersection(*counts) if counts else set()
    if not seeds or len({cell.test_images for cell in cells}) > 1:
        return []
    return [sign * sum(count[seed] for seed in seeds) for count in counts]
