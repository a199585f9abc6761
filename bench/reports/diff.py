"""Two reports side by side: two suites, or one suite then and now. Which cells and verdicts changed?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from bench.comparisons.comparison import Metric
from bench.errors import BenchError
from bench.registry import explain
from bench.reports.blocks import Block, Heading, Notes, Paragraph, plain_table
from bench.reports.build import report
from bench.reports.comparison_tables import in_full
from bench.reports.formats import NOTHING, Scale, shortened, some
from bench.sequential_design import as_it_stands
from bench.suite import Suite
from bench.versions.counting import as_counted

NAME = 24
"""Characters that a name gets."""
KEY = ("metric", "dataset", "model", "loss")
"""What cells are matched by. Reports from before there were other metrics name none: it was accuracy."""
Key = tuple[str, ...]


class Side(BaseModel):
    """A cell and its comparison in one of the two reports, in the metric's unit; percentages as fractions."""

    n: int
    planned: int
    mean: float | None
    delta: float | None = None
    p_adjusted: float | None = None
    verdict: str | None = None
    """None: it is the baseline, was not compared, or no verdict was given."""
    baseline: bool = False


class Pair(BaseModel):
    """One data set × model × loss by one metric in both reports; None in that which does not have it."""

    dataset: str
    model: str
    loss: str
    first: Side | None
    second: Side | None
    changed: bool
    metric: str


class ReportDiff(BaseModel):
    """What ``bench report A B --json`` prints."""

    first: str
    second: str
    cells: list[Pair]
    notes: list[str]
    """What else differs between the two: baseline, selection, α, margin, metrics."""
    metrics: list[Metric]
    """That both have."""


class _Family(BaseModel):
    cells: list[dict[str, Any]] = []
    comparisons: list[dict[str, Any]] = []


class _Saved(_Family):
    """A report as its JSON has it, and of that what is compared: those of long ago had no metrics."""

    question: str
    baseline: str
    selection: str
    alpha: float
    margin: float | None
    metrics: list[Metric] = [Metric("accuracy", "%", higher_is_better=True, margin=None)]
    secondary: _Family = _Family()

    def sides(self) -> dict[Key, Side]:
        """All cells with their comparisons."""
        compared = {_key(row): row for row in (*self.comparisons, *self.secondary.comparisons)}
        return {
            _key(cell): Side.model_validate(
                {**compared.get(_key(cell), {}), **cell, "baseline": cell.get("loss") == self.baseline}
            )
            for cell in (*self.cells, *self.secondary.cells)
        }

    def asked(self) -> dict[str, object]:
        """Question, baseline, metrics and analysis, by name."""
        words = self.model_dump(include={"question", "baseline", "selection", "alpha", "margin"})
        return words | {"metrics": ", ".join(metric.name for metric in self.metrics)}


def _key(row: Mapping[str, Any]) -> Key:
    return tuple(str(row.get(name, "accuracy")) for name in KEY)


def diff_reports(
    asked: Suite, name: str, other: str, load: Callable[[Path], Suite], results: Path
) -> ReportDiff:
    """A suite beside another one, or beside itself as another results folder or a ``report.json`` has it.

    Raises:
        BenchError: ``other`` is none of these, or has nothing in common with the suite.
    """
    path, report = Path(other), _report(asked, results)
    if (path / "report.json").is_file():
        path = path / "report.json"
    if path.is_dir():
        then = _report(as_counted(asked, path), path)
        if not any(cell["n"] or cell["failed"] for cell in then.cells):
            raise BenchError(f"{path}: this folder has no run of the suite '{asked.name}'")
        return _matched(then, report, (other, name))
    if path.suffix != ".json":
        return _matched(report, _report(load(path), results), (name, other))
    try:
        return _matched(_Saved.model_validate_json(path.read_bytes()), report, (other, name))
    except ValidationError as error:
        raise BenchError(f"{path}: not a report.json of `bench report`: {explain(error)[0]}") from None


def _report(suite: Suite, results: Path) -> _Saved:
    return _Saved.model_validate(report(as_it_stands(suite, results), results).model_dump())


def _matched(first: _Saved, second: _Saved, names: tuple[str, str]) -> ReportDiff:
    ours, theirs = first.sides(), second.sides()
    if not ours.keys() & theirs.keys():
        one, another = (some([" × ".join(key) for key in sides], 2) for sides in (ours, theirs))
        raise BenchError(
            f"{names[0]} and {names[1]} have no data set × model × loss in common by the same metric: "
            f"the one has {one}, the other {another}"
        )
    metrics = [metric for metric in second.metrics if metric.name in {known.name for known in first.metrics}]
    cells = [
        Pair(
            **dict(zip(KEY, key, strict=True)), first=one, second=other, changed=_known(one) != _known(other)
        )
        for key in dict.fromkeys([*ours, *theirs])
        for one, other in [(ours.get(key), theirs.get(key))]
        if key[0] in {metric.name for metric in metrics}
    ]
    notes = [
        f"{what}: {one} in {names[0]}, {other} in {names[1]}"
        for (what, one), other in zip(first.asked().items(), second.asked().values(), strict=True)
        if one != other
    ]
    return ReportDiff(first=names[0], second=names[1], cells=cells, notes=notes, metrics=metrics)


def diff_blocks(document: ReportDiff) -> list[Block]:
    """A table of each setting: one value where both agree, an arrow where they do not."""
    changed = [cell for cell in document.cells if cell.changed]
    verdicts = [cell for cell in changed if _verdict(cell.first) != _verdict(cell.second)]
    count = len(document.cells)
    summary = f"{len(changed)} of {count} cells changed, {len(verdicts)} of them in their verdict."
    blocks: list[Block] = [
        Heading(f"{document.first} → {document.second}", 1),
        Paragraph(summary if changed else f"All {count} cells are the same in both."),
    ]
    short = shortened([cell.loss for cell in document.cells], NAME)
    metrics = {metric.name: metric for metric in document.metrics}
    groups: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for cell in document.cells:
        metric = metrics[cell.metric]
        row = _row(cell, short[cell.loss], Scale(metric.scale, 3 if metric.unit == "%" else 5))
        other = "" if metric == document.metrics[0] else f"{metric.name} · "
        groups.setdefault((metric.heading, f"{other}{cell.dataset} · {cell.model}"), []).append(row)
    for (heading, where), rows in groups.items():
        headings = ("loss", "seeds", heading, "Δ", "verdict")
        blocks += [Heading(where), plain_table(headings, rows, words=(0, 4))]
    return [*blocks, *([Notes(tuple(document.notes))] if document.notes else []), *in_full(short)]


def _known(side: Side | None) -> object:
    """All but the adjusted p, which other cells of the family move as well."""
    if side is None:
        return None
    values = (value and round(value, 12) for value in (side.mean, side.delta))
    return side.n, side.planned, side.verdict, *values


def _row(cell: Pair, name: str, scale: Scale) -> tuple[str, ...]:
    return (
        name,
        _arrow(cell, lambda side: f"{side.n}/{side.planned}"),
        _arrow(cell, lambda side: scale.value(side.mean)),
        _arrow(cell, lambda side: "" if side.baseline else scale.difference(side.delta)),
        _arrow(cell, _verdict),
    )


def _verdict(side: Side | None) -> str:
    return NOTHING if side is None else "baseline" if side.baseline else side.verdict or NOTHING


def _arrow(cell: Pair, text_of: Callable[[Side], str]) -> str:
    first, second = (NOTHING if side is None else text_of(side) for side in (cell.first, cell.second))
    return first if first == second else f"{first} → {second}"
