"""``bench compare``: the comparisons of a report on anybody's results. A table goes in, verdicts come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pandas as pd

from bench.comparisons.analysis import Measured, analyse
from bench.comparisons.comparison import Comparison
from bench.comparisons.designs import Design
from bench.comparisons.external.far_off import far_off
from bench.comparisons.external.layout import Request
from bench.comparisons.external.names import is_baseline
from bench.comparisons.external.preparing import prepare, understand
from bench.comparisons.external.summaries import Summaries, find_summaries
from bench.comparisons.resampled import Folds
from bench.comparisons.runs import Answers
from bench.comparisons.summaries import analyse_summaries
from bench.comparisons.unpaired import Unpaired
from bench.errors import BenchError, unknown
from bench.reports.answer import answer
from bench.reports.build import summarise
from bench.reports.formats import some
from bench.reports.ranking import rank
from bench.reports.schema import Cell, Compared, Family

MOST_ASKED = 20
"""Methods that are named where it is asked which one is the baseline."""


def compare_table(source: str, table: pd.DataFrame, request: Request) -> Compared:
    """All methods against the baseline, within each data set and model.

    Args:
        source: what the table is called, in the document and in messages.

    Raises:
        BenchError: what is asked cannot be: names column, row, what was found and what is allowed.
    """
    if not 0 < request.alpha < 0.5:
        raise BenchError(f"--alpha: found {request.alpha:g}, expected a probability above 0 and below 0.5")
    if request.margin is not None and not 0 <= request.margin < float("inf"):
        raise BenchError(
            f"--margin: found {request.margin:g}, expected a number in the metric's unit, 0 or more"
        )
    if request.folds is not None and request.folds < 2:
        raise BenchError(f"--folds: found {request.folds}, expected 2 or more")
    prepared = prepare(source, table, request)
    summaries = find_summaries(source, prepared.table, request)
    if summaries is not None:
        return _compare_summaries(source, summaries, prepared.guessed, request)
    understood = understand(source, prepared, request)
    reading, layout = understood.reading, understood.layout
    methods = list(dict.fromkeys(name for _, _, name in reading.measured[0].cells))
    baseline = _baseline(source, methods, request.baseline)
    order = partial(sorted, key=lambda item: (item[0][:2], item[0][2] != baseline))
    measured = [replace(series, cells=dict(order(series.cells.items()))) for series in reading.measured]
    design = (Design if request.paired else Unpaired)(request.alpha)
    if reading.folds:
        design = Folds(request.alpha, folds=reading.folds)
    first, secondary = (analyse(series, baseline, design) for series in (measured[:1], measured[1:]))
    metrics = tuple(series.metric for series in measured)
    further = [f"secondary: {note}" for note in secondary.notes if note not in first.notes]
    notes = dict.fromkeys([*reading.notes, *first.notes, *further])
    if len(methods) == 1:
        notes[f"there is one method, {baseline}, and nothing to compare it with"] = None
    notes |= dict.fromkeys(_no_seeds_in_common(measured[0], first.comparisons))
    cells = _cells(measured[0])
    rankings = rank(cells, metrics[0], baseline, request.alpha, paired=request.paired)
    return Compared(
        source=source,
        reading=f"Read as {understood.words}.",
        guessed=(*understood.guessed, *far_off(measured[0])),
        paired=request.paired,
        folds=tuple(sorted({*reading.folds.values()})),
        baseline=baseline,
        alpha=request.alpha,
        margin=metrics[0].margin,
        metrics=metrics,
        answer=_unshared(first.comparisons, measured[0]) or answer(baseline, first.comparisons),
        method=first.method,
        method_name=layout.columns.get("method", "method"),
        cells=cells,
        comparisons=first.comparisons,
        adjusted_by=first.adjustment.by,
        secondary=Family(
            cells=tuple(cell for series in measured[1:] for cell in _cells(series)),
            comparisons=secondary.comparisons,
            adjusted_by=secondary.adjustment.by if secondary.comparisons else "",
        ),
        notes=tuple(notes),
        rankings=tuple(rankings),
    )


def _compare_summaries(source: str, table: Summaries, guessed: Sequence[str], request: Request) -> Compared:
    """What a paper prints: unpaired, whatever is asked, and ranked by its means."""
    methods = list(dict.fromkeys(name for _, _, name in table.cells))
    baseline = _baseline(source, methods, request.baseline)
    metric = table.metric
    ordered = sorted(table.cells.items(), key=lambda item: (item[0][:2], item[0][2] != baseline))
    analysis = analyse_summaries(dict(ordered), metric, baseline, request.alpha)
    cells = tuple(
        Cell(
            dataset=key[0],
            model=key[1],
            loss=key[2],
            metric=metric.name,
            n=summary.runs,
            planned=summary.runs,
            failed=0,
            mean=summary.mean,
            sd=summary.sd,
            correct=None,
            total=None,
            seeds=(),
            counts=(),
            values=(),
            test_images=None,
        )
        for key, summary in ordered
    )
    means = [cell.model_copy(update={"seeds": (1,), "values": (cell.mean,)}) for cell in cells]
    return Compared(
        source=source,
        reading=f"Read as {table.words}.",
        guessed=(*guessed, *table.assumed),
        paired=False,
        baseline=baseline,
        alpha=request.alpha,
        margin=metric.margin,
        metrics=(metric,),
        answer=answer(baseline, analysis.comparisons),
        method=analysis.method,
        method_name="method",
        cells=cells,
        comparisons=analysis.comparisons,
        adjusted_by=analysis.adjustment.by,
        secondary=Family(cells=(), comparisons=(), adjusted_by=""),
        notes=(*analysis.notes, *(one for one in table.assumed)),
        rankings=tuple(rank(means, metric, baseline, request.alpha, paired=False)),
    )


def _baseline(source: str, methods: list[str], asked: str | None) -> str:
    if asked is not None:
        if asked not in methods:
            raise BenchError(f"{source}: --baseline: {unknown('method', asked, methods)}")
        return asked
    usual = [name for name in methods if is_baseline(name)]
    if len(methods) == 1 or len(usual) == 1:
        return [*usual, *methods][0]
    raise BenchError(
        f"{source}: against which of its methods? Give --baseline; allowed: {some(methods, MOST_ASKED)}"
    )


def _apart(series: Measured, comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Those of which both arms have runs, and no seed in common."""
    return [
        c
        for c in comparisons
        if not c.n
        and c.n_baseline is None
        and series.cells[c.key].counts
        and series.cells[c.dataset, c.model, c.baseline].counts
        and not {*series.cells[c.key].counts} & {*series.cells[c.dataset, c.model, c.baseline].counts}
    ]


def _unshared(comparisons: Sequence[Comparison], series: Measured) -> str:
    """What is answered where no method has a seed in common with the baseline; else empty."""
    if not comparisons or len(_apart(series, comparisons)) < len(comparisons):
        return ""
    return (
        f"Nothing can be compared in pairs: nothing has a seed in common with {comparisons[0].baseline}. If "
        "their numbers mean nothing, say --unpaired."
    )


def _no_seeds_in_common(series: Measured, comparisons: Sequence[Comparison]) -> list[str]:
    return [
        f"{' × '.join(filter(None, c.key))}: no {c.unit} in common with {c.baseline}: --unpaired compares "
        "runs that have nothing in common"
        for c in _apart(series, comparisons)
    ]


def _cells(series: Measured) -> tuple[Cell, ...]:
    cells = []
    for key, scores in series.cells.items():
        images_of_runs = series.images.get(key[:2])
        images = images_of_runs.values.shape[1] if isinstance(images_of_runs, Answers) else None
        cells.append(summarise(key, scores, series.metric, images))
    return tuple(cells)
