"""The tables of one setting: each loss against the baseline, how sure that is, and how large."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import median

from rich.cells import cell_len

from bench.comparisons.comparison import Comparison, Metric
from bench.reports import columns
from bench.reports.answer import caution_marks
from bench.reports.blocks import Block, Cell, Heading, Notes, Paragraph, Plot, Row, Table
from bench.reports.columns import Entry, Where
from bench.reports.formats import NOTHING, Scale, counted
from bench.reports.groups import Group, design_of, groups
from bench.reports.render.markdown import escaped, fitting, room_for_names, within
from bench.reports.schema import Analysed, Compared, Report
from bench.reports.schema import Cell as CellOf
from bench.reports.words import only_ranked
from bench.statistics.verdicts import Interval, Word, percent

HEADINGS = (20, 12)
"""Characters that a metric's name gets in a heading: fewer where that leaves those of losses less."""
MARKS = ("†", "‡", "§", "¶", "‖")
MOST_ROWS, MOST_SHOWN = 40, 20
"""Methods of a setting of somebody's table up to which all are shown; of more, so many of the best. And
remarks up to which those on single comparisons are shown."""


class ComparisonTables:
    """The tables of all settings, with what they share: names, marks, which columns have been used."""

    def __init__(self, report: Analysed, *, shorten: bool) -> None:
        self.report = report
        self.design = design_of(report)
        self.marks: dict[str, str] = {}
        """Scope → its mark."""
        self.used: dict[str, str] = {}
        """Heading of a column that needs a legend → its meaning."""
        comparisons = (*report.comparisons, *report.secondary.comparisons)
        self.plots = {
            metric.name: _Plots([c for c in comparisons if c.metric == metric.name], metric)
            for metric in report.metrics
        }
        """One scale for all settings of a metric, so that intervals can be compared from one to the next."""
        self.notes = {metric.name: _intervals(report, metric) for metric in report.metrics}
        names = list(dict.fromkeys(cell.loss for cell in (*report.cells, *report.secondary.cells)))
        self.short = {name: name for name in names}
        """What tables call a loss; so with the heading of a metric, and of what is compared."""
        self.headings = {metric.heading: metric.heading for metric in report.metrics}
        self.method = {report.method_name: report.method_name}
        if shorten:
            self._shorten(names)

    def _shorten(self, names: Sequence[str]) -> None:
        """Cut names that leave no room for the columns."""
        longest = max((cell_len(escaped(name)) for name in names), default=0)
        for length in HEADINGS:
            self.headings = within([*self.headings], length)
            blocks = (*self.primary(), *self.secondary())
            tables = [block for block in blocks if isinstance(block, Table) and not block.detail]
            if room_for_names(tables) >= min(HEADINGS[-1], longest):
                break
        self.short = fitting(names, tables)
        self.method = fitting([self.report.method_name], tables)
        self.marks, self.used = {}, {}

    @property
    def full_names(self) -> dict[str, str]:
        """All names, and what stands for them."""
        return {**self.headings, **self.method, **self.short}

    def primary(self) -> Iterator[Block]:
        """The tables of the metric that decides, with their evidence."""
        metric = self.report.metrics[0]
        ranked = isinstance(self.report, Compared) and only_ranked(self.report)
        for group in groups(self.report, metric):
            size = f"{group.images:,} test images" if group.images else ""
            blocks = [Heading(group.name, 2, size, caution_marks(self.report)), *self._tables(group)]
            yield from (replace(block, detail=True) for block in blocks) if ranked else blocks

    def secondary(self) -> Iterator[Block]:
        """The tables of the other metrics."""
        family = self.report.secondary
        if not family.cells:
            return
        yield Heading("Secondary metrics", 2, marks=caution_marks(self.report))
        yield Paragraph(
            "They decide nothing, and their p are adjusted over a family of their own: "
            f"{counted(len(family.comparisons), 'comparison')} by {family.adjusted_by or 'no method'}."
        )
        for metric in self.report.metrics[1:]:
            better = f"{'higher' if metric.higher_is_better else 'lower'} is better"
            margin = f", margin ±{metric.within}" if metric.margin else ""
            for group in groups(family, metric):
                yield Heading(f"secondary · {metric.name} · {group.name}", 3, better + margin)
                yield from self._tables(group)

    def _tables(self, group: Group) -> Iterator[Block]:
        entries = [self._entry(cell, group) for cell in group.cells]
        best = _best(entries, self.report.baseline, group.metric)
        plots = self.plots[group.metric.name]
        first_cell, scale = partial(_first_cell, best=best, plots=plots), plots.limit_label(group.scale)
        if isinstance(self.report, Compared) and len(entries) > MOST_ROWS:
            entries = _best_first(entries, group.metric)
            few, words = _best_of_many(entries, self.report.baseline)
            yield Paragraph(words)
            yield self._table("first", few, group, first_cell)
            yield replace(self._table("first", entries, group, first_cell, scale), detail=True)
        else:
            yield self._table("first", entries, group, first_cell, scale)
        compared = [entry for entry in entries if entry.comparison and entry.comparison.p is not None]
        for where in ("tests", "effects"):
            table = self._table(where, compared, group, lambda column, entry: column.cell(entry))
            if len(table.columns) > 1:
                self.used |= {column.heading: column.meaning for column in table.columns if column.meaning}
                yield table

    def _entry(self, cell: CellOf, group: Group) -> Entry:
        comparison = group.compared.get(cell.loss)
        verdict = "baseline" if cell.loss == self.report.baseline else NOTHING
        if comparison is not None and comparison.verdict is not None:
            scope = comparison.verdict.scope
            if scope and scope not in self.marks:
                self.marks[scope] = MARKS[min(len(self.marks), len(MARKS) - 1)]
            verdict = comparison.verdict.word + (self.marks[scope] if scope else "")
        return Entry(cell, comparison, group.scale, self.short[cell.loss], verdict)

    def _table(
        self,
        where: Where,
        entries: Sequence[Entry],
        group: Group,
        cell: Callable[[columns.Column, Entry], Cell],
        scale: str = "",
    ) -> Table:
        heading, method = self.headings[group.metric.heading], self.method[self.report.method_name]
        visible = columns.columns_of(where, self.design, entries, heading, method)
        rows = []
        for entry in entries:
            verdict = entry.comparison.verdict if entry.comparison else None
            data = {"loss": entry.cell.loss, "verdict": verdict.word if verdict else ""}
            rows.append(Row(tuple(cell(column, entry) for column in visible), data))
        subjects = {"first": "Compared with", "tests": "How sure, against", "effects": "How large, against"}
        caption = f"{subjects[where]} {self.report.baseline} on {group.name}, {group.metric.name}"
        note = self.notes[group.metric.name] if where == "first" else ""
        return Table(tuple(visible), tuple(rows), caption, scale, note, detail=where != "first")

    def scopes(self) -> Iterator[Block]:
        """What the marks at verdicts mean."""
        comparisons = (*self.report.comparisons, *self.report.secondary.comparisons)
        for scope, mark in self.marks.items():
            reasons = []
            if "sound" in scope:
                reasons.append("runs that collapsed are left out, and counted in the notes")
            if "finished" in scope:
                reasons.append("it does not hold with failed runs ranked last")
            if "test set" in scope:
                reasons.append(
                    "all trials of all searches share it"
                    if self.design == "tuned"
                    else "not shown for new images"
                    if any(c.new_images for c in comparisons)
                    else "answers to single images, which would tell about new ones, are not there"
                )
            yield Paragraph(f"{mark} {scope}{': ' * bool(reasons)}{'; '.join(reasons)}.")

    def legend(self) -> Iterator[Block]:
        """What the columns of the evidence are."""
        if self.used:
            meanings = "; ".join(f"{heading}: {meaning}" for heading, meaning in self.used.items())
            yield Paragraph(f"Further columns: {meanings}.", detail=True)


def _intervals(report: Analysed, metric: Metric) -> str:
    """Unit, level and scope of the differences of a metric and their intervals."""
    levels = {
        percent(c.shown.level)
        + " where equivalent" * (c.verdict is not None and c.verdict.word is Word.EQUIVALENT)
        for c in (*report.comparisons, *report.secondary.comparisons)
        if c.metric == metric.name and c.shown is not None
    }
    if not levels:
        return ""
    unit = f" in {metric.difference_unit}" if metric.difference_unit else ""
    if isinstance(report, Report) and report.tuning is not None:
        return (
            f"Δ is the difference to {report.baseline}{unit} after tuning with {report.tuning.budget} trials "
            "each, pooled over all trials; CI is its confidence interval on this test set, for all "
            f"comparisons together, {', '.join(sorted(levels, reverse=True))}; means are of the retrained "
            "winners."
        )
    return (
        f"Δ is the mean difference to {report.baseline}{unit}; CI is its confidence interval on this test "
        f"set, for all comparisons together, {', '.join(sorted(levels, reverse=True))}."
    )


def _first_cell(column: columns.Column, entry: Entry, best: str | None, plots: _Plots) -> Cell:
    """A cell of the first table: the best mean is strong, Δ comes with its plot."""
    cell = column.cell(entry)
    if column.path == "cell.mean" and entry.cell.loss == best:
        return Cell(cell.text, cell.value, strong=True)
    if column.path == "comparison.delta" and entry.comparison is not None:
        return Cell(cell.text, cell.value, plot=plots.plot(entry.comparison))
    return cell


def _best_first(entries: Sequence[Entry], metric: Metric) -> list[Entry]:
    """By their means; those without one last."""
    sign = -1 if metric.higher_is_better else 1
    return sorted(entries, key=lambda e: (e.cell.mean is None, sign * (e.cell.mean or 0)))


def _best_of_many(entries: Sequence[Entry], baseline: str) -> tuple[list[Entry], str]:
    """The best and the baseline, of methods in this order; and where that stands."""
    place = next(k for k, entry in enumerate(entries) if entry.cell.loss == baseline)
    rows = [*entries[:MOST_SHOWN], *([entries[place]] if place >= MOST_SHOWN else [])]
    return rows, (
        f"The best {MOST_SHOWN} of {len(entries):,} by their means; {baseline}, which they meet, is number "
        f"{place + 1:,} of them. --all shows all, in this order."
    )


def _best(entries: Sequence[Entry], baseline: str, metric: Metric) -> str | None:
    """The loss to print in bold: the best mean, and only if the verdicts say that it is the better one."""
    means = {entry.cell.loss: entry.cell.mean for entry in entries if entry.cell.mean is not None}
    if not means:
        return None
    best = (max if metric.higher_is_better else min)(means, key=lambda loss: means[loss])
    verdicts = {e.cell.loss: e.comparison.verdict for e in entries if e.comparison is not None}
    words = {loss: verdict.word if verdict else None for loss, verdict in verdicts.items()}
    if best in words:
        return best if words[best] is Word.SUPERIOR else None
    beaten = bool(words) and all(word is Word.INFERIOR for word in words.values())
    return best if best == baseline and beaten else None


def in_full(short: Mapping[str, str]) -> list[Block]:
    """Names that were too long for a column."""
    notes = tuple(f"{heading} is {name}" for name, heading in short.items() if heading != name)
    return [Notes(notes)] if notes else []


class _Plots:
    """Where the intervals of one metric are drawn: on one scale, as wide as they need."""

    def __init__(self, comparisons: Sequence[Comparison], metric: Metric) -> None:
        self.limit = metric.limit or 0.0
        self.reach = _reach(comparisons, self.limit)

    def limit_label(self, scale: Scale) -> str:
        """The largest difference that plots show."""
        return f"{scale.factor * self.reach:.2g}"

    def plot(self, c: Comparison) -> Plot | None:
        """The interval of a comparison; None where there is no difference."""
        if c.delta is None:
            return None
        wider = c.new_images.interval if c.new_images else None
        beyond = (c.delta > self.reach) - (c.delta < -self.reach)
        margin = self._at(-self.limit), self._at(self.limit)
        return Plot(self._at(c.delta), self._between(c.shown), self._between(wider), margin, beyond)

    def _at(self, difference: float) -> float:
        return round(50 + 50 * min(max(difference / self.reach, -1), 1), 2)

    def _between(self, interval: Interval | None) -> tuple[float, float] | None:
        return None if interval is None else (self._at(interval.low), self._at(interval.high))


def _reach(comparisons: Sequence[Comparison], margin: float) -> float:
    """How far plots go: one loss that is far off must not squeeze all others to dots."""
    far = [
        max(abs(end) for interval in (c.shown, c.new_images and c.new_images.interval)
            for end in ((c.delta or 0, interval.low, interval.high) if interval else (c.delta or 0,)))
        for c in comparisons
        if c.delta is not None
    ]  # fmt: skip
    if not far:
        return max(2 * margin, 1e-3)
    widest = max(min(max(far), max(2.5 * median(far), 2 * margin)), 1.2 * margin) * 1.05
    return widest or 1e-6
