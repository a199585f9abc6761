"""Two reports side by side: two suites, or one suite then and now. Which cells and verdicts changed?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ValidationError

from bench.choices import explain
from bench.design import as_it_stands
from bench.errors import BenchError
from bench.reports.comparison import report
from bench.reports.documents import Report
from bench.reports.text import escaped, points, table
from bench.statistics.verdicts import Verdict
from bench.suite import Suite


class Side(BaseModel):
    """A cell and its comparison, in one of the two reports. Accuracies and differences are fractions."""

    n: int
    planned: int
    mean: float | None
    delta: float | None
    p_adjusted: float | None
    verdict: Verdict | None
    """None: it is the baseline, or was not compared."""


class Pair(BaseModel):
    """One data set × model × loss in both reports; None in that which does not have it."""

    dataset: str
    model: str
    loss: str
    first: Side | None
    second: Side | None
    changed: bool


class SideBySide(BaseModel):
    """What ``bench report A B --json`` prints."""

    first: str
    second: str
    cells: list[Pair]
    notes: list[str]
    """What else differs between the two: baseline, selection, α, margin."""


def lay_beside(
    asked: Suite, name: str, other: str, load: Callable[[Path], Suite], results: Path
) -> SideBySide:
    """A suite beside another one, or beside itself as another results folder or a ``report.json`` has it.

    Raises:
        BenchError: ``other`` is none of these, or has nothing in common with the suite.
    """
    path, made = Path(other), _report(asked, results)
    if (path / "report.json").is_file():
        path = path / "report.json"
    if path.is_dir():
        then = _report(asked, path)
        if not any(cell.n or cell.failed for cell in then.cells):
            raise BenchError(f"{path}: this folder has no run of the suite '{asked.name}'")
    elif path.suffix == ".json":
        try:
            then = Report.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise BenchError(f"{path}: not a report.json of `bench report`: {explain(error)[0]}") from None
    else:
        return side_by_side(made, _report(load(path), results), (name, other))
    return side_by_side(then, made, (other, name))


def _report(suite: Suite, results: Path) -> Report:
    return report(as_it_stands(suite, results), results)


def side_by_side(first: Report, second: Report, names: tuple[str, str]) -> SideBySide:
    """Match the cells of two reports by data set, model and loss.

    Raises:
        BenchError: they have no cell in common.
    """
    ours, theirs = _sides(first), _sides(second)
    if not ours.keys() & theirs.keys():
        raise BenchError(
            f"{names[0]} and {names[1]} have no data set × model × loss in common: "
            f"the one has {_some(ours)}, the other {_some(theirs)}"
        )
    cells = [
        Pair(dataset=key[0], model=key[1], loss=key[2], first=a, second=b, changed=_differ(a, b))
        for key in dict.fromkeys([*ours, *theirs])
        for a, b in [(ours.get(key), theirs.get(key))]
    ]
    notes = [
        f"{what}: {getattr(first, what)} in {names[0]}, {getattr(second, what)} in {names[1]}"
        for what in ("question", "baseline", "selection", "alpha", "margin")
        if getattr(first, what) != getattr(second, what)
    ]
    return SideBySide(first=names[0], second=names[1], cells=cells, notes=notes)


def beside(document: SideBySide) -> str:
    """The pairs as Markdown: one value where both agree, an arrow where they do not."""
    changed = [cell for cell in document.cells if cell.changed]
    verdicts = [c for c in changed if _verdict(c.first) != _verdict(c.second)]
    lines = [f"# {escaped(document.first)} → {escaped(document.second)}", ""]
    of_all = (
        f"{len(changed)} of {len(document.cells)} cells changed, {len(verdicts)} of them in their verdict."
    )
    lines += [of_all if changed else f"All {len(document.cells)} cells are the same in both.", ""]
    by_group: dict[tuple[str, str], list[Pair]] = {}
    for cell in document.cells:
        by_group.setdefault((cell.dataset, cell.model), []).append(cell)
    for (dataset, model), cells in by_group.items():
        lines += [f"## {escaped(dataset)} · {escaped(model)}", ""]
        rows = [
            (
                cell.loss,
                _arrow(cell, lambda side: f"{side.n}/{side.planned}"),
                _arrow(cell, lambda side: points(side.mean, 3)),
                _arrow(cell, lambda side: "" if side.verdict is None else points(side.delta, 3, "+")),
                _arrow(cell, _verdict),
            )
            for cell in cells
        ]
        lines += [*table(("loss", "seeds", "accuracy %", "Δ", "verdict"), rows, words=(0, 4)), ""]
    notes = [f"- {escaped(note)}" for note in document.notes]
    return "\n".join([*lines, *notes, *([""] if notes else [])])


def _sides(made: Report) -> dict[tuple[str, str, str], Side]:
    compared = {(c.dataset, c.model, c.loss): c for c in made.comparisons}
    sides = {}
    for cell in made.cells:
        key = (cell.dataset, cell.model, cell.loss)
        found = compared.get(key)
        sides[key] = Side(
            n=cell.n,
            planned=cell.planned,
            mean=cell.mean,
            delta=found and found.delta,
            p_adjusted=found and found.p_adjusted,
            verdict=found and found.verdict,
        )
    return sides


def _differ(first: Side | None, second: Side | None) -> bool:
    """In more than the adjusted p, which other cells of the family move as well."""
    if first is None or second is None:
        return True
    return first.model_copy(update={"p_adjusted": second.p_adjusted}) != second


def _verdict(side: Side | None) -> str:
    return "—" if side is None else "baseline" if side.verdict is None else side.verdict.value


def _arrow(cell: Pair, shown: Callable[[Side], str]) -> str:
    first, second = ("—" if side is None else shown(side) for side in (cell.first, cell.second))
    return first if first == second else f"{first} → {second}"


def _some(sides: dict[tuple[str, str, str], Side]) -> str:
    names = [" × ".join(key) for key in sides]
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
