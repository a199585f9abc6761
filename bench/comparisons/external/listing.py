"""What a table holds, column by column, and a command that would work: for where nothing can be guessed."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from bench.comparisons.external.guessing import fractional, numeric
from bench.comparisons.external.layout import Request, find_layout
from bench.comparisons.external.names import (
    USUAL,
    is_accuracy,
    is_baseline,
    is_cost,
    is_score,
    is_setting,
    spellings,
)
from bench.comparisons.external.scores import read_scores
from bench.errors import BenchError
from bench.metrics import lower_is_better

MOST_COLUMNS = 30
"""Of a table that are listed: those that could be something come first."""
MOST_TRIES = 24
"""Commands that are tried."""
MOST_SETTINGS = 10
"""Different values of a setting that may tell methods apart."""
SAMPLE = 5_000
"""Rows of a table on which they are."""


def explain(
    source: str, table: pd.DataFrame, request: Request, need: str, guessed: Sequence[str] = ()
) -> str:
    """What could not be guessed, what was, what each column looks like, and what would work."""
    lines = [need, *(f"So far: {one}" for one in guessed), f"The columns of {source}, {len(table):,} rows:"]
    names = [name for name in table.columns if name]
    columns = sorted(names, key=lambda name: _dull(table[name], name))[:MOST_COLUMNS]
    width = min(max(map(len, columns), default=0), 30)
    lines += [f"  {name:<{width}}  {looks(table[name], name)}" for name in table.columns if name in columns]
    if len(columns) < len(table.columns):
        lines.append(f"  … and {len(table.columns) - len(columns)} more")
    if command := _command(source, table, request):
        lines.append(f"For example: {command}")
    elif "no column of methods" not in need:
        pass
    elif any({*spellings(name)} & {*USUAL["epoch"]} for name in names):
        lines.append(
            "These look like the epochs of one run: put those of all runs into one table, with columns "
            "method and seed."
        )
    else:
        lines.append(
            "No column tells methods apart: put the runs of all of them into one table, with a column method."
        )
    return "\n".join(lines)


def looks(column: pd.Series[Any], name: str) -> str:
    """``words, 3 different: a, b, c``; ``numbers from 0.1 to 0.4, a score by its name``."""
    cells = column.dropna()
    if cells.empty:
        return "empty"
    kinds, numbers = cells.nunique(), numeric(cells)
    if kinds == 1 and len(cells) > 1:
        return f"always {_cut(cells.iloc[0])}"
    if numbers.mean() > 0.5:
        values = pd.to_numeric(cells, errors="coerce").dropna()
        whole = "whole numbers" if bool((values % 1 == 0).all()) else "numbers"
        words = f"{whole} from {values.min():g} to {values.max():g}"
        words += f", {kinds} different" * (whole == "whole numbers")
        hint = ", a setting by its name" * is_setting(name)
        if lower_is_better(name) is not None or is_accuracy(name):
            hint = ", a cost by its name" if is_cost(name) else ", a score by its name"
        return words + hint
    some = ", ".join(_cut(word) for word in cells.unique()[:3])
    hint = "a score by its name, but " if is_score(name) and not is_cost(name) else ""
    return (
        f"{hint}words, {'all' if kinds == len(cells) else f'{kinds:,}'} different: {some}{' …' * (kinds > 3)}"
    )


def _cut(word: object) -> str:
    text = " ".join(str(word).split())
    return text if len(text) <= 24 else text[:23] + "…"


def _dull(column: Any, name: str) -> int:
    """What is the same in all rows, or empty, is nothing to go by."""
    return 0 if is_score(name) else 2 if len(column.dropna().unique()) < 2 else 1


def _command(source: str, table: pd.DataFrame, request: Request) -> str:
    """The first that works of those that could be meant; empty where none does."""
    rows = table.head(SAMPLE)
    for columns, metric, paired in itertools.islice(_tries(rows, request), MOST_TRIES):
        asked = replace(request, columns={**request.columns, **columns}, paired=paired)
        if metric is not None:
            asked = replace(asked, metrics=[metric])
        try:
            layout = find_layout(source, rows, asked)
            reading = read_scores(source, rows, layout, asked)
        except BenchError:
            continue
        methods = list(dict.fromkeys(name for _, _, name in reading.measured[0].cells))
        runs, pairs = reading.measured[0].cells, {key[:2] for key in reading.measured[0].cells}
        if len(methods) < 2 or (len(pairs) < 2 and all(len(scores.counts) < 2 for scores in runs.values())):
            continue  # one number a method tells nothing
        seeds = [seed for pair in pairs for key in runs if key[:2] == pair for seed in {*runs[key].counts}]
        if paired and len({*seeds}) == len(seeds):
            continue  # nor do seeds of which none comes again
        words = ["bench", "compare", source]
        for role, name in columns.items():
            words += [f"--{role}-column", name]
        words += ["--metric-column", metric] if metric is not None else []
        words += [] if paired else ["--unpaired"]
        if request.baseline is None and sum(map(is_baseline, methods)) != 1:
            words += ["--baseline", methods[0]]
        clear = metric is None or lower_is_better(metric) is not None or is_accuracy(metric)
        less = "" if clear or request.lower_is_better is not None else " (and --lower-is-better, if less is)"
        return " ".join(map(shlex.quote, words)) + less
    return ""


def _tries(table: pd.DataFrame, request: Request) -> Iterator[tuple[dict[str, str], str | None, bool]]:
    """Columns for what is not given yet, the likeliest first; the metric; and whether runs are paired."""
    free = [name for name in table.columns if name and name not in request.columns.values()]
    kinds = {name: table[name].nunique() for name in free}
    numbers = [name for name in free if numeric(table[name]).mean() > 0.5]
    words = [name for name in free if 1 < kinds[name] < max(len(table), 3)]
    few = min(len(table) // 2, MOST_SETTINGS)
    settings = {name for name in words if kinds[name] <= few and not is_score(name)}
    methods = sorted(
        (name for name in words if name in settings or not fractional(table[name])),
        key=lambda name: (name in numbers, fractional(table[name])),
    )
    scores = [name for name in numbers if is_score(name) or (kinds[name] > 1 and not is_setting(name))]
    counting = {name for role in ("seed", "fold", "repeat", "epoch") for name in free
                if {*spellings(name)} & {*USUAL[role]}}  # fmt: skip
    methods = [name for name in methods if name not in counting and not is_cost(name)]
    scores = [name for name in scores if not is_cost(name)] or scores
    scores = [name for name in scores if kinds[name] > 1] or scores
    scores.sort(
        key=lambda name: (not is_score(name), lower_is_better(name) is None, not fractional(table[name]))
    )
    metrics: Sequence[str | None] = scores
    if request.metrics or request.columns.get("accuracy") is not None:
        metrics = [None]
    method_given = request.columns.get("method") is not None
    for metric in metrics:
        for method in [None] if method_given else methods[:6]:
            if method is not None and method == metric:
                continue
            chosen = {} if method is None else {"method": method}
            yield chosen, metric, request.paired
            seeds = [
                n for n in numbers if n not in (method, metric) and kinds[n] > 1 and not fractional(table[n])
            ]
            for seed in seeds[:3] if request.columns.get("seed") is None else ():
                yield {**chosen, "seed": seed}, metric, request.paired
            if request.paired and request.folds is None:
                yield chosen, metric, False
