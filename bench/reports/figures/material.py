"""What figures are made of: a report, and of its runs what the report does not hold.

Figures are about the metric that decides; those of single epochs or images are about accuracy, and say so,
where nothing else was recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.comparisons.comparison import Comparison, Metric
from bench.comparisons.runs import Joint, Pair, read_measured
from bench.metrics import Metric as Measure
from bench.metrics import choose_metric
from bench.reports.figures.style import brief
from bench.reports.groups import Group, groups
from bench.reports.schema import Report, whole_numbers
from bench.results.folder import RunFolder
from bench.results.reading import frame
from bench.suite import Suite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACCURACY = Metric("accuracy", "%", higher_is_better=True, margin=None, counted=True)
Known = TypeVar("Known")


class NothingToDraw(Exception):
    """Why a figure would be empty: one clause, for people."""


@dataclass(frozen=True)
class Sketch:
    """A figure before it is written. ``alt`` lacks what :func:`bench.reports.document.cautions` says."""

    title: str
    alt: str
    figure: Figure


@dataclass(frozen=True)
class Material:
    """A suite's report, and its run folders."""

    report: Report
    suite: Suite
    results: Path

    @property
    def metric(self) -> Metric:
        """The metric that decides."""
        return self.report.metrics[0]

    @property
    def epoch_metric(self) -> Metric:
        """What is known of single epochs: the metric that decides where it chose one, else accuracy."""
        judged = self.metric.counted or self.report.selection != "last"
        return self.metric if judged else ACCURACY

    @cached_property
    def groups(self) -> dict[Pair, Group]:
        """Cells and comparisons of each data set × model, in the suite's order."""
        return {(group.dataset, group.model): group for group in groups(self.report, self.metric)}

    def paired(self, comparison: Comparison) -> tuple[NDArray[np.int64], int]:
        """Of one with a difference: baseline and loss [2, seeds], seeds in the order in which they are added.

        Whole numbers, and of how many of them 1 is made.
        """
        cells = {cell.loss: cell for cell in self.groups[comparison.key[:2]].cells}
        both = [cells[loss] for loss in (comparison.baseline, comparison.loss)]
        arms, unit = whole_numbers(both)
        seeds = [seed for seed in self.suite.seeds if all(seed in arm for arm in arms)][: comparison.n]
        numbers = np.array([[arm[seed] for seed in seeds] for arm in arms], dtype=np.int64)
        return numbers, (both[0].test_images or 1) if self.metric.counted else unit

    def known(self, look: Callable[[Pair, str], Known | None]) -> dict[Pair, dict[str, Known]]:
        """What can be told of cells, by data set × model and loss; without those of which nothing can."""
        values: dict[Pair, dict[str, Known]] = {}
        for pair, group in self.groups.items():
            for cell in group.cells:
                if (value := look(pair, cell.loss)) is not None:
                    values.setdefault(pair, {})[cell.loss] = value
        return values

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The finished runs, as :func:`bench.results.reading.frame` has them."""
        every = frame(self.results, self.suite.cells)
        return every[every.state == "done"]

    def runs_of(self, pair: Pair, loss: str) -> pd.DataFrame:
        """The finished runs of one cell."""
        runs = self.runs
        return runs[(runs.dataset == pair[0]) & (runs.model == pair[1]) & (runs.loss == loss)]

    def epochs(self, run_id: str) -> list[dict[str, Any]]:
        """The metrics of a run, one mapping an epoch."""
        return RunFolder(self.results, run_id).metrics()

    @cached_property
    def joints(self) -> tuple[dict[Pair, Joint], list[str]]:
        """Which images runs get right together; and for what data set × model that is not known, and why."""
        planned = [(cell.key, cell.seeds) for cell in self.suite.cells]
        measures = [Measure.of(choose_metric("accuracy"))]
        [measured], reasons = read_measured(self.runs, self.results, measures, [ACCURACY], planned)
        return {
            pair: answers for pair, answers in measured.images.items() if isinstance(answers, Joint)
        }, reasons


def who(pair: Pair, loss: str = "") -> str:
    """``loss with model on data set``, for sentences."""
    where = f"{brief(pair[1])} on {brief(pair[0])}"
    return f"{brief(loss)} with {where}" if loss else where


def axis(quantity: str, metric: Metric, unit: str) -> str:
    """What an axis shows, with its unit, and the direction where that is not the usual one."""
    more = ", ".join(filter(None, (unit, "" if metric.higher_is_better else "lower is better")))
    return f"{quantity} ({more})" if more else quantity
