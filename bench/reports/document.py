"""From a report to the document that everybody reads: the answer, tables, notes, how it was done.

:mod:`bench.reports.columns` says what a column is, :mod:`bench.reports.render` how a document is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import NamedTuple

from rich.cells import cell_len

from bench.comparisons.comparison import Comparison, Metric
from bench.preregistration import date
from bench.reports import columns, tuning
from bench.reports.answer import all_remarks, notes
from bench.reports.blocks import (
    Block,
    Cell,
    Document,
    Heading,
    Notes,
    Paragraph,
    Plot,
    Row,
    Table,
    plain_table,
)
from bench.reports.columns import DesignKind, Entry, Where
from bench.reports.formats import NOTHING, Scale, counted, level, p_value, scale_of
from bench.reports.ranking import across, letters
from bench.reports.render.markdown import escaped, fitting, room_for_names, within
from bench.reports.schema import Analysed, Compared, Family, RankedLoss, Ranking, Report
from bench.reports.schema import Cell as CellOf
from bench.reports.words import in_words, only_ranked
from bench.statistics.verdicts import Interval, Word

HEADINGS = (20, 12)
"""Characters that a metric's name gets in a heading: fewer where that leaves those of losses less."""
MARKS = ("†", "‡", "§", "¶", "‖")
MOST_ROWS, MOST_SHOWN = 40, 20
"""Methods of a setting of somebody's table up to which all are shown; of more, so many of the best. And
remarks up to which those on single comparisons are shown."""
SCALED_DOWN = "SCALED DOWN: a trial with tiny models, few images and two epochs, which answers nothing."
OPTIMISTIC = "OPTIMISTIC: the epoch was chosen on the test set itself, so no verdict is given."
NOT_PAIRED = "NOT PAIRED: runs with the same seed are taken to have nothing in common."
EPOCHS_LEGEND = (
    "Mean {metric} of the epoch chosen on validation images, of the last, and of the best on the test set, "
    "which is OPTIMISTIC; then the difference, the adjusted p and the verdict that a report of the best "
    "epochs on the test set would have had."
)


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


def cautions(document: Analysed) -> list[str]:
    """What nobody may overlook, in a sentence each."""
    said = []
    if isinstance(document, Compared):
        return [] if document.paired else [NOT_PAIRED]
    assert isinstance(document, Report)
    if document.scaled_down:
        said.append(SCALED_DOWN)
    if document.look:
        said.append(f"A look at {document.look}: it is no report, and replaces none.")
    if document.plan is not None and document.plan.deviations:
        said.append(f"Not as planned: {'; '.join(document.plan.deviations)}.")
    if document.optimistic:
        said.append(OPTIMISTIC)
    if not document.complete:
        done, unknown, failed, odd, planned = (
            sum(getattr(c, of) for c in document.cells)
            for of in ("n", "unknown", "failed", "other_data", "planned")
        )
        done += unknown
        for search in document.tuning.searches if document.tuning else ():
            done, failed, planned = done + search.done, failed + search.failed, planned + search.trials
        ended = f", {failed:,} failed" * bool(failed) + f", {odd:,} saw other data" * bool(odd)
        rest = "all of this may still change" if done + failed + odd < planned else "no run is left to train"
        said.append(f"{done:,} of {planned:,} runs are finished{ended}: {rest}.")
    return said


def document(report: Analysed, title: str = "", *, page: bool = False) -> Document:
    """All that a report says.

    Args:
        title: in place of its question.
        page: for a page, which has room for whole names, and tells of each comparison in a sentence.
    """
    maker = _Maker(report, shorten=not page)
    tables = [
        *maker.first(),
        *maker.tuning(),
        *maker.epochs(),
        *maker.rankings(),
        *maker.secondary(),
        *maker.scopes(),
    ]
    closing: list[Block] = [
        *_listed(report, page=page),
        *in_full(maker.cut),
        Paragraph(report.method),
        *_planned(report, page=page),
        *maker.legend(),
    ]
    if isinstance(report, Compared):
        title = title or f"{report.source}, against {report.baseline}"
    else:
        title = title or getattr(report, "question", "")
    reading = report.reading if isinstance(report, Compared) else ""
    said = " ".join(filter(None, (report.answer, across(report))))
    if isinstance(report, Compared):
        said = in_words(report, said)
    return Document(title, tuple(cautions(report)), said, tuple(tables), tuple(closing), reading)


def _listed(report: Analysed, *, page: bool) -> list[Block]:
    """Remarks; of somebody's table, those on single comparisons only where there are few, and some matter."""
    whole, every = notes(report), all_remarks(report)
    if page or not isinstance(report, Compared) or not (only_ranked(report) or len(every) > MOST_ROWS):
        items = tuple(whole if page else every)
        return [Notes(items)] if items else []
    single = every[: len(every) - len(whole)]
    more = [f"{counted(len(single), 'remark')} on single comparisons: --all shows them"] * bool(single)
    return [Notes((*whole, *more)), *([Notes(tuple(single), detail=True)] if single else [])]


def _planned(report: Analysed, *, page: bool) -> list[Block]:
    """Whether the plan that was stated first was kept. Its date is for the page: tables are made again."""
    plan = report.plan if isinstance(report, Report) else None
    if plan is None:
        return []
    said = "A plan was stated first" if plan.deviations else "As planned"
    if plan.finished:
        said += f", though {plan.finished:,} of {plan.planned:,} runs had finished when the plan was stated"
    if page:
        commit = f", at commit {plan.git['commit'][:12]}" if plan.git else ""
        changed = " with uncommitted changes" if plan.git and plan.git["dirty"] else ""
        by = "bench freeze" if plan.frozen else "the first bench run"
        said += f" (by {by} on {date(plan.time)}{commit}{changed})"
    return [Paragraph(f"{said}; the plan's digest is {plan.digest[:16]}.")]


class _Maker:
    """What the parts of a document share: names, marks, which columns have been used."""

    def __init__(self, report: Analysed, *, shorten: bool) -> None:
        self.report = report
        self.design = design_of(report)
        self.marks: dict[str, str] = {}
        """Scope → its mark."""
        self.used: dict[str, str] = {}
        """Heading of a column that needs a legend → its meaning."""
        every = (*report.comparisons, *report.secondary.comparisons)
        self.plots = {
            metric.name: _Plots([c for c in every if c.metric == metric.name], metric)
            for metric in report.metrics
        }
        """One scale for all settings of a metric, so that intervals can be compared from one to the next."""
        self.notes = {metric.name: _intervals(report, metric) for metric in report.metrics}
        names = list(dict.fromkeys(cell.loss for cell in (*report.cells, *report.secondary.cells)))
        self.short = {name: name for name in names}
        """What tables call a loss; so with the heading of a metric, and of what is compared."""
        self.headings = {metric.heading: metric.heading for metric in report.metrics}
        self.method = {report.method_name: report.method_name}
        if not shorten:
            return
        longest = max((cell_len(escaped(name)) for name in names), default=0)
        for length in HEADINGS:
            self.headings = within([*self.headings], length)
            tables = [block for block in (*self.first(), *self.secondary()) if isinstance(block, Table)]
            first = [table for table in tables if not table.detail]
            if room_for_names(first) >= min(HEADINGS[-1], longest):
                break
        self.short = fitting(names, first)
        self.method = fitting([report.method_name], first)
        self.marks, self.used = {}, {}

    @property
    def cut(self) -> dict[str, str]:
        """All names, and what stands for them."""
        return {**self.headings, **self.method, **self.short}

    # ------------------------------------------------------------------------------------- its parts

    def first(self) -> Iterator[Block]:
        """The tables of the metric that decides, with their evidence."""
        metric = self.report.metrics[0]
        ranked = isinstance(self.report, Compared) and only_ranked(self.report)
        for group in groups(self.report, metric):
            size = f"{group.images:,} test images" if group.images else ""
            blocks = [Heading(group.name, 2, size, self._cautions()), *self._tables(group)]
            yield from (replace(block, detail=True) for block in blocks) if ranked else blocks

    def secondary(self) -> Iterator[Block]:
        """The others, metric by metric."""
        family = self.report.secondary
        if not family.cells:
            return
        yield Heading("Secondary metrics", 2, marks=self._cautions())
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

    def tuning(self) -> Iterator[Block]:
        """What the searches found, where losses are tuned."""
        if isinstance(self.report, Report) and self.report.tuning is not None:
            every = groups(self.report, self.report.metrics[0])
            yield from tuning.blocks(self.report, {(g.dataset, g.model): g.scale for g in every})

    def epochs(self) -> Iterator[Block]:
        """What the epochs that were not chosen would have shown."""
        report = self.report
        if not (
            isinstance(report, Report)
            and report.selection == "validation"
            and report.tuning is None
            and any(c.n for c in report.cells)
        ):
            return
        metric = report.metrics[0]
        yield Heading("Had other epochs counted", 2, marks=self._cautions(), detail=True)
        method = self.method[report.method_name]
        headings = (method, "chosen", "last", "best on test", "Δ then", "p then", "verdict then")
        for group in groups(report, metric):
            rows = []
            for cell in group.cells:
                means = [group.scale.value(mean) for mean in (cell.mean, cell.mean_last, cell.mean_best_test)]
                then = ["", "", "baseline" if cell.loss == report.baseline else NOTHING]
                if cell.verdict_best_test is not None:
                    delta = group.scale.difference(cell.delta_best_test)
                    then = [delta, p_value(cell.p_adjusted_best_test), cell.verdict_best_test]
                rows.append((self.short[cell.loss], *means, *then))
            yield Heading(group.name, 3, detail=True)
            caption = f"Other epochs of {group.name}"
            yield plain_table(headings, rows, words=(0, 6), caption=caption, detail=True)
        yield Paragraph(EPOCHS_LEGEND.format(metric=metric.heading), detail=True)

    def rankings(self) -> Iterator[Block]:
        """How losses rank over several data sets, and how each fares against the baseline there."""
        report = self.report
        method = self.method[report.method_name]
        for ranking in report.rankings:
            over = f"{len(ranking.datasets)} data sets"
            name = " · ".join(filter(None, (f"Average ranks over {over}", ranking.model)))
            yield Heading(name, 2, marks=self._cautions())
            yield Paragraph(ranking.answer)
            alike = letters(ranking)
            rows = [
                (
                    self.short[ranked.loss],
                    f"{ranked.average_rank:.2f}",
                    "baseline" if ranked.loss == report.baseline else p_value(ranked.p_adjusted),
                    alike[ranked.loss],
                )
                for ranked in ranking.losses
            ]
            where = f" with {ranking.model}" * bool(ranking.model)
            caption = f"Average ranks over {over}{where}, 1 is best"
            yield plain_table((method, "rank", "p adj.", "alike"), rows, words=(0, 3), caption=caption)
            against = [ranked for ranked in ranking.losses if ranked.wins is not None]
            if against:
                equivalent, improvement = _shown_of(ranking)
                headings = (method, "W/D/L", "worse %", *equivalent, "better %", *improvement)
                fares = [
                    (
                        self.short[ranked.loss],
                        f"{ranked.wins}/{ranked.draws}/{ranked.losses}",
                        _percent(ranked.probability_worse),
                        *(_percent(ranked.probability_equivalent) for _ in equivalent),
                        _percent(ranked.probability_better),
                        *(_improvement(ranked) for _ in improvement),
                    )
                    for ranked in against
                ]
                caption = f"Against {report.baseline} over {over}{where}"
                yield plain_table(headings, fares, caption=caption)
            yield Paragraph(rank_words(ranking, report.alpha))
            if against:
                yield Paragraph(against_words(ranking, report))

    def scopes(self) -> Iterator[Block]:
        """What the marks at verdicts mean."""
        for scope, mark in self.marks.items():
            why = []
            if "sound" in scope:
                why.append("runs that collapsed are left out, and counted in the notes")
            if "finished" in scope:
                why.append("it does not hold with failed runs ranked last")
            if "test set" in scope:
                known = any(
                    c.new_images for c in (*self.report.comparisons, *self.report.secondary.comparisons)
                )
                why.append(
                    "all trials of all searches share it"
                    if self.design == "tuned"
                    else "not shown for new images"
                    if known
                    else "answers to single images, which would tell about new ones, are not there"
                )
            yield Paragraph(f"{mark} {scope}{': ' * bool(why)}{'; '.join(why)}.")

    def legend(self) -> Iterator[Block]:
        """What the columns of the evidence are."""
        if self.used:
            said = "; ".join(f"{heading}: {meaning}" for heading, meaning in self.used.items())
            yield Paragraph(f"Further columns: {said}.", detail=True)

    # ------------------------------------------------------------------------------------ one setting

    def _cautions(self) -> tuple[str, ...]:
        if not isinstance(self.report, Report):
            return ()
        marks = {
            "SCALED DOWN": self.report.scaled_down,
            "A LOOK": self.report.look,
            "OPTIMISTIC": self.report.optimistic,
        }
        return tuple(mark for mark, there in marks.items() if there)

    def _tables(self, group: Group) -> Iterator[Block]:
        entries = [self._entry(cell, group) for cell in group.cells]
        best = _best(entries, self.report.baseline, group.metric)
        place = self.plots[group.metric.name]
        if isinstance(self.report, Compared) and len(entries) > MOST_ROWS:
            entries = _best_first(entries, group.metric)
            few, said = _shown_of_many(entries, self.report.baseline)
            yield Paragraph(said)
            yield self._table("first", few, group, partial(_first_cell, best=best, place=place))
            whole = partial(_first_cell, best=best, place=place)
            yield replace(self._table("first", entries, group, whole, place.shown(group.scale)), detail=True)
        else:
            yield self._table(
                "first",
                entries,
                group,
                partial(_first_cell, best=best, place=place),
                place.shown(group.scale),
            )
        compared = [
            entry for entry in entries if entry.comparison is not None and entry.comparison.p is not None
        ]
        for where in ("tests", "effects"):
            table = self._table(where, compared, group, lambda column, entry: column.cell(entry))
            if len(table.columns) > 1:
                self.used |= {column.heading: column.meaning for column in table.columns if column.meaning}
                yield table

    def _entry(self, cell: CellOf, group: Group) -> Entry:
        comparison = group.compared.get(cell.loss)
        said = "baseline" if cell.loss == self.report.baseline else NOTHING
        if comparison is not None and comparison.verdict is not None:
            scope = comparison.verdict.scope
            if scope and scope not in self.marks:
                self.marks[scope] = MARKS[min(len(self.marks), len(MARKS) - 1)]
            said = comparison.verdict.word + (self.marks[scope] if scope else "")
        return Entry(cell, comparison, group.scale, self.short[cell.loss], said)

    def _table(
        self,
        where: Where,
        entries: Sequence[Entry],
        group: Group,
        cell: Callable[[columns.Column, Entry], Cell],
        scale: str = "",
    ) -> Table:
        heading, method = self.headings[group.metric.heading], self.method[self.report.method_name]
        shown = columns.columns_of(where, self.design, entries, heading, method)
        rows = tuple(
            Row(
                tuple(cell(column, entry) for column in shown),
                {
                    "loss": entry.cell.loss,
                    "verdict": entry.comparison.verdict.word
                    if entry.comparison and entry.comparison.verdict
                    else "",
                },
            )
            for entry in entries
        )
        what = {"first": "Compared with", "tests": "How sure, against", "effects": "How large, against"}[
            where
        ]
        caption = f"{what} {self.report.baseline} on {group.name}, {group.metric.name}"
        note = self.notes[group.metric.name] if where == "first" else ""
        return Table(tuple(shown), rows, caption, scale, note, detail=where != "first")


def _intervals(report: Analysed, metric: Metric) -> str:
    """Unit, level and scope of the differences of a metric and their intervals."""
    levels = {
        level(c.shown.level)
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


def _first_cell(column: columns.Column, entry: Entry, best: str | None, place: _Plots) -> Cell:
    """A cell of the first table: the best mean is strong, Δ comes with its plot."""
    made = column.cell(entry)
    if column.path == "cell.mean" and entry.cell.loss == best:
        return Cell(made.text, made.value, strong=True)
    if column.path == "comparison.delta" and entry.comparison is not None:
        return Cell(made.text, made.value, plot=place(entry.comparison))
    return made


def _best_first(entries: Sequence[Entry], metric: Metric) -> list[Entry]:
    """By their means; those without one last."""
    sign = -1 if metric.higher_is_better else 1
    known = [entry for entry in entries if entry.cell.mean is not None]
    known.sort(key=lambda entry: sign * (entry.cell.mean or 0))
    return [*known, *(entry for entry in entries if entry.cell.mean is None)]


def _shown_of_many(entries: Sequence[Entry], baseline: str) -> tuple[list[Entry], str]:
    """The best and the baseline, of methods in this order; and where that stands."""
    place = next(k for k, entry in enumerate(entries) if entry.cell.loss == baseline)
    shown = [*entries[:MOST_SHOWN], *([entries[place]] if place >= MOST_SHOWN else [])]
    return shown, (
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
    cut = tuple(f"{shown} is {name}" for name, shown in short.items() if shown != name)
    return [Notes(cut)] if cut else []


def rank_words(ranking: Ranking, alpha: float) -> str:
    """What the table of ranks rests on, and how far it can be trusted."""
    r, tests = ranking, []
    left_out = [*r.left_out, *r.left_out_losses]
    if r.chi2 is not None:
        tests.append(f"Friedman χ²({r.chi2_df}) = {r.chi2:.2f}, p = {p_value(r.chi2_p)}")
    if r.f_df is not None:
        f = "∞" if r.f is None else f"{r.f:.2f}"
        tests.append(f"Iman–Davenport F({r.f_df[0]}, {r.f_df[1]}) = {f}, p = {p_value(r.f_p)}")
    said = [
        f"{'; '.join(tests) or 'All losses tie on all data sets'}.".replace("= <", "< "),
        f"p adj. is of z of a rank against the baseline's, by Holm; ranks {r.critical_difference:.2f} apart "
        f"differ (Nemenyi, α = {alpha:g}), and losses with no letter in common (alike) do.",
        *([f"Left out, for lack of results: {', '.join(left_out)}."] if left_out else []),
        *([f"{r.note}."] if r.note else []),
    ]
    return " ".join(said)


def against_words(ranking: Ranking, report: Analysed) -> str:
    """What the table against the baseline says."""
    metric, baseline, name = report.metrics[0], report.baseline, report.method_name
    equivalent, improvement = _shown_of(ranking)
    paired = not isinstance(report, Compared) or report.paired
    over = "the seeds that all of these have" if paired else "all runs"
    region = f"equivalent within ±{metric.within}" if equivalent else "without a margin"
    columns_named = "worse %, equiv. % and better %" if equivalent else "worse % and better %"
    said = [
        f"W/D/L: data sets on which the mean of a {name} over {over} is better than, exactly equal to and "
        f"worse than that of {baseline}.",
        f"{columns_named}: probability, over data sets like these, by the Bayesian signed-rank test "
        f"({region}), which weighs differences by their size, whatever the data set.",
    ]
    if improvement:
        interval = any(ranked.improvement_low is not None for ranked in ranking.losses)
        limits = f" (in brackets its {level(1 - report.alpha)} interval over runs)" if interval else ""
        said.append(
            f"P(impr.) %: probability of improvement, that any run of a {name} is better than any of "
            f"{baseline}, ties counting half, mean over these data sets{limits}."
        )
    return " ".join(said)


def _shown_of(ranking: Ranking) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Headings of the two columns that not every ranking has: none without a margin, or with one run each."""
    known = any(ranked.improvement is not None for ranked in ranking.losses)
    return ("equiv. %",) * bool(ranking.region), ("P(impr.) %",) * known


def _percent(probability: float | None) -> str:
    """Drawn probabilities are never quite 0 or 1."""
    if probability is None:
        return NOTHING
    if not 0.0005 <= probability < 0.9995:
        return "<0.1" if probability < 0.5 else ">99.9"
    return f"{100 * probability:.1f}"


def _improvement(ranked: RankedLoss) -> str:
    if ranked.improvement is None:
        return NOTHING
    low, high = ranked.improvement_low, ranked.improvement_high
    limits = "" if low is None or high is None else f" [{100 * low:.0f},{100 * high:.0f}]"
    return f"{100 * ranked.improvement:.0f}{limits}"


# ------------------------------------------------------------------------------------------ interval plots


class _Plots:
    """Where the intervals of one metric are drawn: on one scale, as wide as they need."""

    def __init__(self, comparisons: Sequence[Comparison], metric: Metric) -> None:
        self.limit = metric.limit or 0.0
        self.reach = _reach(comparisons, self.limit)

    def shown(self, scale: Scale) -> str:
        """What the plots go up to."""
        return f"{scale.factor * self.reach:.2g}"

    def __call__(self, c: Comparison) -> Plot | None:
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
