"""``bench compare``: the comparisons of a report on anybody's results. A table goes in, verdicts come out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from bench.errors import BenchError, unknown
from bench.reports.analysis import Question, analyse, method, summarise
from bench.reports.columns import find_layout
from bench.reports.documents import Compared
from bench.reports.scores import read_scores

BASELINES = ("baseline", "ce", "cross_entropy", "crossentropy", "cross_entropy_loss", "control", "reference")
"""What a baseline is usually called, in lower case and with words joined by ``_``."""


@dataclass(frozen=True)
class Request:
    """What is asked of a table."""

    baseline: str | None = None
    """None: the one method with a usual name for it."""
    alpha: float = 0.05
    margin: float = 0.1
    """In accuracy points."""
    paired: bool = True
    total_images: int | None = None
    percent: bool | None = None
    """Whether accuracies are percentages; None: by their size."""
    columns: Mapping[str, str | None] = field(default_factory=dict)
    """Role (see :mod:`bench.reports.columns`) → name; None: guessed."""


def compare_table(source: str, table: pd.DataFrame, request: Request) -> Compared:
    """All methods against the baseline, within each data set and model.

    Args:
        source: what the table is called, in the document and in messages.

    Raises:
        BenchError: what is asked cannot be: names column, row, what was found and what is allowed.
    """
    if not 0 < request.alpha < 0.5:
        raise BenchError(f"--alpha: found {request.alpha:g}, expected a probability above 0 and below 0.5")
    if not 0 <= request.margin < float("inf"):
        raise BenchError(f"--margin: found {request.margin:g}, expected accuracy points, 0 or more")
    table = table.rename(columns=str)
    layout = find_layout(source, table, request.columns)
    found = read_scores(source, table, layout, request.total_images, request.percent, request.paired)
    methods = list(dict.fromkeys(name for _, _, name in found.cells))
    baseline = _baseline(source, methods, request.baseline)
    cells = dict(sorted(found.cells.items(), key=lambda item: (item[0][:2], item[0][2] != baseline)))
    question = Question(baseline, request.alpha, request.margin / 100, request.paired)
    analysis = analyse(cells, question, found.joints)
    notes = [*found.notes, *analysis.notes]
    if len(methods) == 1:
        notes.append(f"there is one method, {baseline}, and nothing to compare it with")
    if request.paired and not found.joints and analysis.comparisons:
        notes.append(
            "± new and floor take the answers to single images: a column of images, with 0 or 1 each"
        )
    return Compared(
        source=source,
        reading=f"Read as {layout.said}; {found.said}.",
        paired=request.paired,
        baseline=baseline,
        alpha=request.alpha,
        margin=request.margin,
        method=method(analysis, question),
        cells=[summarise(key, scores, images=found.images) for key, scores in cells.items()],
        comparisons=analysis.comparisons,
        notes=notes,
        adjusted_by=analysis.adjusted_by,
    )


def _baseline(source: str, methods: list[str], asked: str | None) -> str:
    if asked is not None:
        if asked not in methods:
            raise BenchError(f"{source}: --baseline: {unknown('method', asked, methods)}")
        return asked
    usual = [name for name in methods if re.sub(r"\W+", "_", name.strip().casefold()) in BASELINES]
    if len(methods) == 1 or len(usual) == 1:
        return [*usual, *methods][0]
    raise BenchError(
        f"{source}: against which of its methods? Give --baseline; allowed: {', '.join(methods)}"
    )
