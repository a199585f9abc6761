"""The settings of a report: all losses of one data set × model, by one metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bench.comparisons.comparison import Comparison, Metric
from bench.reports.columns import DesignKind
from bench.reports.formats import Scale, scale_of
from bench.reports.schema import Analysed, Compared, Family, Report
from bench.reports.schema import Cell as CellOf


class Group(NamedTuple):
    """All losses of one data set × model, by one metric."""

    dataset: str
    model: str
    metric: Metric
    cells: list[CellOf]
    scale: Scale
    compared: Mapping[str, Comparison]

    @property
    def images(self) -> int | None:
        """Test images; None: not known."""
        return next((cell.test_images for cell in self.cells if cell.test_images), None)

    @property
    def name(self) -> str:
        """``data set · model``."""
        return " · ".join(filter(None, (self.dataset, self.model))) or "All runs"


def groups(family: Family, metric: Metric) -> list[Group]:
    """The settings of one metric, in the order of the suite."""
    cells: dict[tuple[str, str], list[CellOf]] = {}
    for cell in family.cells:
        if cell.metric == metric.name:
            cells.setdefault((cell.dataset, cell.model), []).append(cell)
    compared = {(*c.key[:2], c.loss): c for c in family.comparisons if c.metric == metric.name}
    return [
        Group(
            *pair,
            metric=metric,
            cells=group,
            scale=scale_of(metric, group),
            compared={cell.loss: c for cell in group if (c := compared.get((*pair, cell.loss)))},
        )
        for pair, group in cells.items()
    ]


def design_of(document: Analysed) -> DesignKind:
    """By which design its comparisons were made."""
    if isinstance(document, Report):
        if document.splits == "per_seed":
            return "splits"
        if document.tuning is not None:
            return "tuned"
        return "fixed" if document.sequential is None else "sequential"
    if isinstance(document, Compared) and document.folds:
        return "folds"
    return "fixed" if not isinstance(document, Compared) or document.paired else "unpaired"
