"""What figures are made of: a report, and of its runs what the report does not hold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.reports.agreement import Joints, read_joints
from bench.reports.documents import CellSummary, Comparison, Report
from bench.results import RunFolder, frame
from bench.suite import Suite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pair = tuple[str, str]  # data set, model


class NothingToDraw(Exception):
    """Why a figure would be empty: one clause, for people."""


@dataclass(frozen=True)
class Sketch:
    """A figure before it is written."""

    name: str
    title: str
    alt: str
    figure: Figure


@dataclass(frozen=True)
class Material:
    """A suite's report, and its run folders."""

    report: Report
    suite: Suite
    results: Path

    @cached_property
    def pairs(self) -> dict[Pair, list[CellSummary]]:
        """The cells of each data set × model, in the suite's order."""
        grouped: dict[Pair, list[CellSummary]] = {}
        for cell in self.report.cells:
            grouped.setdefault((cell.dataset, cell.model), []).append(cell)
        return grouped

    @cached_property
    def comparisons(self) -> dict[Pair, list[Comparison]]:
        """The comparisons of each data set × model that has any, in the suite's order."""
        grouped: dict[Pair, list[Comparison]] = {}
        for comparison in self.report.comparisons:
            grouped.setdefault((comparison.dataset, comparison.model), []).append(comparison)
        return grouped

    def cell(self, pair: Pair, loss: str) -> CellSummary:
        """One cell's row of the report."""
        return next(cell for cell in self.pairs[pair] if cell.loss == loss)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The finished runs, as :func:`bench.results.frame` has them."""
        every = frame(self.results, self.suite.cells)
        return every[every.state == "done"]

    def runs_of(self, pair: Pair, loss: str) -> pd.DataFrame:
        """The finished runs of one cell."""
        runs = self.runs
        return runs[(runs.dataset == pair[0]) & (runs.model == pair[1]) & (runs.loss == loss)]

    def metrics(self, run_id: str) -> list[dict[str, Any]]:
        """One mapping an epoch."""
        return RunFolder(self.results, run_id).metrics()

    @cached_property
    def joints(self) -> tuple[Joints, list[str]]:
        """Which images runs get right together; and for what data set × model that is not known, and why."""
        return read_joints(self.runs, self.results)


def points(fraction: float, digits: int = 2) -> str:
    """A difference in accuracy points, signed."""
    return f"{100 * fraction:+.{digits}f}".replace("-", "−")


def percent(fraction: float) -> str:
    """A level of confidence."""
    return f"{100 * fraction:g} %"


def digits_for(cells: list[CellSummary]) -> int:
    """Decimals of accuracy points: one image is worth 100/images of them."""
    images = max((cell.test_images or 0 for cell in cells), default=0)
    return 3 if images >= 5000 else 2


def where(pair: Pair) -> str:
    """``model on data set``, for sentences."""
    return f"{pair[1]} on {pair[0]}"


def some(clauses: list[str], most: int = 8) -> str:
    """Clauses in a row, not more than somebody listens to."""
    left = len(clauses) - most
    return "; ".join(clauses[:most]) + (f"; and {left} more, which the tables hold" if left > 0 else "")
