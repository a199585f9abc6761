"""From a report to the document that everybody reads: the answer, tables, notes, how it was done.

:mod:`bench.reports.columns` says what a column is, :mod:`bench.reports.render` how a document is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.preregistration import date
from bench.reports import tuning
from bench.reports.answer import all_remarks, caution_marks, cautions, notes
from bench.reports.blocks import Block, Document, Heading, Notes, Paragraph, plain_table
from bench.reports.comparison_tables import MOST_ROWS, ComparisonTables, in_full
from bench.reports.formats import NOTHING, counted, p_value
from bench.reports.groups import groups
from bench.reports.rank_tables import rank_tables
from bench.reports.ranking import across
from bench.reports.schema import Analysed, Compared, Report
from bench.reports.words import in_words, only_ranked

EPOCHS_LEGEND = (
    "Mean {metric} of the epoch chosen on validation images, of the last, and of the best on the test set, "
    "which is OPTIMISTIC; then the difference, the adjusted p and the verdict that a report of the best "
    "epochs on the test set would have had."
)


def document(report: Analysed, title: str = "", *, page: bool = False) -> Document:
    """All that a report says.

    Args:
        title: in place of its question.
        page: for a page, which has room for whole names, and tells of each comparison in a sentence.
    """
    comparisons = ComparisonTables(report, shorten=not page)
    method = comparisons.method[report.method_name]
    tables = [
        *comparisons.primary(),
        *_tuning(report),
        *_other_epochs(report, comparisons.short, method),
        *rank_tables(report, comparisons.short, method),
        *comparisons.secondary(),
        *comparisons.scopes(),
    ]
    closing: list[Block] = [
        *_remarks(report, page=page),
        *in_full(comparisons.full_names),
        Paragraph(report.method),
        *_planned(report, page=page),
        *comparisons.legend(),
    ]
    words = " ".join(filter(None, (report.answer, across(report))))
    if isinstance(report, Compared):
        title = title or f"{report.source}, against {report.baseline}"
        words, reading = in_words(report, words), report.reading
    else:
        title, reading = title or getattr(report, "question", ""), ""
    return Document(title, tuple(cautions(report)), words, tuple(tables), tuple(closing), reading)


def _tuning(report: Analysed) -> Iterator[Block]:
    """What the searches found, where losses are tuned."""
    if isinstance(report, Report) and report.tuning is not None:
        settings = groups(report, report.metrics[0])
        yield from tuning.blocks(report, {(g.dataset, g.model): g.scale for g in settings})


def _other_epochs(report: Analysed, short: Mapping[str, str], method: str) -> Iterator[Block]:
    """What the epochs that were not chosen would have shown."""
    if not (
        isinstance(report, Report)
        and report.selection == "validation"
        and report.tuning is None
        and any(c.n for c in report.cells)
    ):
        return
    metric = report.metrics[0]
    yield Heading("Had other epochs counted", 2, marks=caution_marks(report), detail=True)
    headings = (method, "chosen", "last", "best on test", "Δ then", "p then", "verdict then")
    for group in groups(report, metric):
        rows = []
        for cell in group.cells:
            means = [group.scale.value(mean) for mean in (cell.mean, cell.mean_last, cell.mean_best_test)]
            then = ["", "", "baseline" if cell.loss == report.baseline else NOTHING]
            if cell.verdict_best_test is not None:
                delta = group.scale.difference(cell.delta_best_test)
                then = [delta, p_value(cell.p_adjusted_best_test), cell.verdict_best_test]
            rows.append((short[cell.loss], *means, *then))
        yield Heading(group.name, 3, detail=True)
        caption = f"Other epochs of {group.name}"
        yield plain_table(headings, rows, words=(0, 6), caption=caption, detail=True)
    yield Paragraph(EPOCHS_LEGEND.format(metric=metric.heading), detail=True)


def _remarks(report: Analysed, *, page: bool) -> list[Block]:
    """Remarks; of somebody's table, those on single comparisons only where there are few, and some matter."""
    general, remarks = notes(report), all_remarks(report)
    if page or not isinstance(report, Compared) or not (only_ranked(report) or len(remarks) > MOST_ROWS):
        items = tuple(general if page else remarks)
        return [Notes(items)] if items else []
    single = remarks[: len(remarks) - len(general)]
    more = [f"{counted(len(single), 'remark')} on single comparisons: --all shows them"] * bool(single)
    return [Notes((*general, *more)), *([Notes(tuple(single), detail=True)] if single else [])]


def _planned(report: Analysed, *, page: bool) -> list[Block]:
    """Whether the plan that was stated first was kept. Its date is for the page: tables are made again."""
    plan = report.plan if isinstance(report, Report) else None
    if plan is None:
        return []
    words = "A plan was stated first" if plan.deviations else "As planned"
    if plan.finished:
        words += f", though {plan.finished:,} of {plan.planned:,} runs had finished when the plan was stated"
    if page:
        commit = f", at commit {plan.git['commit'][:12]}" if plan.git else ""
        changed = " with uncommitted changes" if plan.git and plan.git["dirty"] else ""
        by = "bench freeze" if plan.frozen else "the first bench run"
        words += f" (by {by} on {date(plan.time)}{commit}{changed})"
    return [Paragraph(f"{words}; the plan's digest is {plan.digest[:16]}.")]
