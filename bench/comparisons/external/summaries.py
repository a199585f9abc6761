"""What a paper prints of many runs: a mean, how it varies, and perhaps of how many runs, a method a row."""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import pandas as pd

from bench.comparisons.comparison import Key, Metric
from bench.comparisons.external.cells import MISSING
from bench.comparisons.external.guessing import guess_columns, numeric
from bench.comparisons.external.layout import Request
from bench.comparisons.external.names import Role, is_accuracy, is_score, stem
from bench.errors import BenchError
from bench.metrics import lower_is_better
from bench.suite.analysis import PERCENT_MARGIN

ASSUMED = 3
"""Runs behind a mean where nobody says how many: as few as papers have, and too few to decide."""

LARGEST = 10_000
"""Rows of a table of means: in longer ones each row is a run."""

_NUMBER = r"[+\-−]?(?:\d+(?:[.,]\d+)?|[.,]\d+)"
_CELL = re.compile(
    rf"(?P<mean>{_NUMBER})\s*%?\s*(?:±|\+/-|\+-|\\pm|_\{{?\\pm)\s*(?P<spread>{_NUMBER})\s*%?\}}?"
    rf"|(?P<mean2>{_NUMBER})\s*%?\s*\(\s*±?\s*(?P<spread2>{_NUMBER})\s*%?\s*\)"
)
_BARE = re.compile(rf"{_NUMBER}\s*%?")
_FONT = re.compile(r"\\(?:textbf|mathbf|underline|textit|bm)\b|[{}$*~]|\\(?=%)")
_MEAN = re.compile(r"(?:^|_)(?:mean|avg|average|mu)(?:_|$)")
_SD = re.compile(r"(?:^|_)(?:std|sd|stdev|stddev|std_dev|standard_deviation|sigma)(?:_|$)")
_SE = re.compile(r"(?:^|_)(?:se|sem|stderr|std_err|standard_error)(?:_|$)")
_RUNS = re.compile(r"(?:n|k|num|count|runs|seeds|repeats|n_?runs|n_?seeds|num_?runs|num_?seeds|n_?repeats)")


class Summary(NamedTuple):
    """Of all runs of a cell, in the unit of the metric; percentages as fractions."""

    mean: float
    sd: float | None
    """None: not printed."""
    runs: int


@dataclass(frozen=True)
class Summaries:
    """A table of means, and how it was understood."""

    cells: dict[Key, Summary]
    metric: Metric
    words: str
    assumed: tuple[str, ...]
    """What was taken for granted, each with the option that says otherwise."""


class _Columns(NamedTuple):
    mean: str
    spread: str | None
    kind: Literal["sd", "se"]
    dataset: str = ""


def find_summaries(source: str, table: pd.DataFrame, request: Request) -> Summaries | None:
    """None where each row is a run, as far as can be seen.

    Args:
        source: what messages call the table.

    Raises:
        BenchError: several means of which any could be meant; runs that are no whole number.
    """
    if len(table) > LARGEST:
        return None
    roles: list[Role] = ["method", "dataset", "model"]
    stated: dict[Role, str] = {r: n for r in roles if (n := request.columns.get(r)) in table.columns and n}
    guess = guess_columns(table, stated, roles, ())
    cells = {name: texts for name in table.columns if (texts := _in_cells(table[name]))}
    free = [
        n for n in table.columns if n not in cells and n not in guess.values() and not numeric(table[n]).any()
    ]
    method = guess.get("method") or next(iter(free), None)
    keys = [name for role, name in guess.items() if role != "method" and name != method]
    if (
        method is None
        or guess_columns(table, {}, ["fold"], ())
        or not (pairs := _pairs(source, table, [*cells], request))
    ):
        return None
    if table.duplicated([*keys, method]).any():
        _refuse_twice(source, table, [*keys, method], pairs)
        return None
    counts = [name for name in table.columns if _RUNS.fullmatch(stem(name)) and name not in keys]
    metric, in_heading = _metric(pairs, request)
    counts += [n for n in table.columns if stem(n) in (f"{metric}_count", f"{metric}_n", f"{metric}_runs")]
    share = is_accuracy(metric) and (in_heading or request.lower_is_better is None)
    percent_sign = any("%" in text for texts in cells.values() for text in texts.values())
    summaries: dict[Key, Summary] = {}
    for position, row in enumerate(table.to_dict("records")):
        runs = _runs(source, row, counts[0], position) if counts else request.runs or ASSUMED
        for one in pairs:
            if (read := _read(row, one, cells.get(one.mean))) is not None:
                mean, spread = read
                if spread is not None and (request.spread or one.kind) == "se":
                    spread *= math.sqrt(runs)
                names = {role: str(row[name]) for role, name in guess.items() if name in keys}
                key = (
                    one.dataset or names.get("dataset", ""),
                    names.get("model", ""),
                    str(row[method]).strip(),
                )
                summaries[key] = Summary(mean, spread, runs)
    if not summaries or all(summary.sd is None for summary in summaries.values()):
        return None
    largest = max(summary.mean for summary in summaries.values())
    if share and (percent_sign or largest > 1 if request.percent is None else request.percent):
        summaries = {
            key: Summary(mean / 100, None if sd is None else sd / 100, runs)
            for key, (mean, sd, runs) in summaries.items()
        }
    if share and not all(0 <= summary.mean <= 1 for summary in summaries.values()):
        raise BenchError(
            f"{source}: found {largest:g}, expected accuracies; of any other numbers, say --lower-is-better "
            "or --higher-is-better"
        )
    kind = "standard errors" if (request.spread or pairs[0].kind) == "se" else "standard deviations"
    assumed = []
    if request.spread is None and pairs[0].spread is None:
        assumed.append("±: a standard deviation (assumed; --spread se says otherwise)")
    if not counts and request.runs is None:
        assumed.append(
            f"runs: {ASSUMED} behind each mean (assumed, and too few for a verdict; --runs says otherwise)"
        )
    less = None if share else lower_is_better(metric)
    if request.lower_is_better is not None and not share:
        less = request.lower_is_better
    elif not share and less is None:
        assumed.append(f"{metric}: better the higher it is (assumed; --lower-is-better says otherwise)")
    if share and not in_heading:
        assumed.append(
            "numbers: accuracies (assumed; --lower-is-better or --higher-is-better says otherwise)"
        )
    where = f"column '{counts[0]}'" if counts else f"{request.runs or ASSUMED} behind each"
    words = (
        f"means with {kind}, method = '{method}', metric = '{metric}'"
        f"{', a column a data set' * bool(pairs[0].dataset)}, runs: {where}"
    )
    margin = request.margin if request.margin is not None or not share else PERCENT_MARGIN
    described = Metric(metric, "%" if share else "", not less, margin)
    return Summaries(summaries, described, words, tuple(assumed))


def _refuse_twice(source: str, table: pd.DataFrame, keys: list[str], pairs: list[_Columns]) -> None:
    """Means of one method in several rows, and what tells these apart; nothing where they are no means."""
    spreads = {name for one in pairs for name in one[:2]}
    apart = [
        n for n in table.columns if n not in (*keys, *spreads) and not table.duplicated([*keys, n]).any()
    ]
    if not apart or (not numeric(table[pairs[0].mean]).any() and not table[pairs[0].mean].notna().any()):
        return
    name = min(apart, key=lambda name: table[name].nunique())
    first = table[name].iloc[0]
    raise BenchError(
        f"{source}: means of '{table[keys[-1]].iloc[0]}' are there for several '{name}': --where "
        f"{shlex.quote(f'{name}={first}')} takes one of them, --dataset-column {shlex.quote(name)} or "
        f"--model-column {shlex.quote(name)} compares within each"
    )


def _in_cells(column: pd.Series[Any]) -> dict[str, str]:
    """Cell → what is left without fonts; empty unless most are ``95.31 ± 0.12``."""
    if pd.api.types.is_numeric_dtype(column):
        return {}
    texts = {str(cell): _FONT.sub("", str(cell)).strip() for cell in column.dropna().unique()[:2000]}
    present = [text for text in texts.values() if text.casefold() not in MISSING]
    return texts if 2 * sum(bool(_CELL.fullmatch(text)) for text in present) > len(present) else {}


def _pairs(source: str, table: pd.DataFrame, cells: list[str], request: Request) -> list[_Columns]:
    """Where means stand, and what says how they vary."""
    if cells:
        asked = [name for name in cells if name in request.metrics]
        scores = asked or [name for name in cells if is_score(name)]
        if scores:
            return [_Columns(_one(source, scores, request), None, "sd")]
        if len(cells) == 1:
            return [_Columns(cells[0], None, "sd")]
        return [_Columns(name, None, "sd", dataset=name) for name in cells]
    numbers = {stem(name): name for name in table.columns if numeric(table[name]).any()}
    pairs: dict[str, _Columns] = {}
    kinds: tuple[tuple[Literal["sd", "se"], re.Pattern[str]], ...] = (("sd", _SD), ("se", _SE))
    for kind, pattern in kinds:
        for short, name in numbers.items():
            if not pattern.search(short):
                continue
            base = pattern.sub("_", short).strip("_")
            means = [n for n in numbers if n != short and _MEAN.sub("_", n).strip("_") == base]
            if means and numbers[means[0]] not in pairs:
                pairs[numbers[means[0]]] = _Columns(numbers[means[0]], name, kind)
    scores = (
        [name for name in pairs if name in request.metrics] or [n for n in pairs if is_score(n)] or [*pairs]
    )
    return [pairs[_one(source, scores, request)]] if scores else []


def _one(source: str, names: list[str], request: Request) -> str:
    shares = [name for name in names if is_accuracy(name)]
    if len(names) > 1 and len(shares) != 1:
        raise BenchError(
            f"{source}: which of its means is compared? Give --metric-column; allowed: {', '.join(names)}"
        )
    return shares[0] if len(shares) == 1 and names[0] not in request.metrics else names[0]


def _metric(pairs: list[_Columns], request: Request) -> tuple[str, bool]:
    """The name without what says that it is a mean; and whether there is one: else they are accuracies."""
    unnamed = "accuracy" if request.lower_is_better is None else "value", False
    if pairs[0].dataset:
        return (request.metrics[0], True) if request.metrics else unnamed
    name = pairs[0].mean
    short = _MEAN.sub("_", stem(name)).strip("_")
    return (name if short == stem(name) else short, True) if short else unnamed


def _runs(source: str, row: dict[Any, Any], column: str, position: int) -> int:
    count = pd.to_numeric(row[column], errors="coerce")
    if not count >= 1 or count % 1:
        raise BenchError(
            f"{source}: column '{column}', data row {position + 1}: found {row[column]}, expected a number "
            "of runs"
        )
    return int(count)


def _read(
    row: dict[Any, Any], one: _Columns, texts: dict[str, str] | None
) -> tuple[float, float | None] | None:
    """Mean and spread of a row; None where there is no mean."""
    if texts is None:
        mean, spread = (
            pd.to_numeric(row.get(name, "nan"), errors="coerce") for name in (one.mean, one.spread)
        )
        return None if pd.isna(mean) else (float(mean), None if pd.isna(spread) else float(spread))
    text = texts.get(str(row[one.mean]), "")
    if match := _CELL.fullmatch(text):
        return _float(match["mean"] or match["mean2"]), _float(match["spread"] or match["spread2"])
    return (_float(text), None) if _BARE.fullmatch(text) else None


def _float(text: str) -> float:
    return float(text.replace(",", ".").replace("−", "-").strip(" %"))
