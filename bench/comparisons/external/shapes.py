"""Tables that are neither a row a run nor a column a method are turned into one that is, and that is said."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pandas as pd

from bench.comparisons.external.exports import (
    NO_METHOD,
    Shaped,
    cross_validation,
    measures,
    plots,
    resamples,
    words_of,
)
from bench.comparisons.external.guessing import fractional, guess_columns, numeric
from bench.comparisons.external.layout import Request
from bench.comparisons.external.names import USUAL, is_score, is_setting, spellings, stem
from bench.errors import BenchError

FIRST = "first column"
"""What a column of words without a name is called."""
LARGEST = 200_000
"""Rows up to which a table is looked at for other shapes than a row a run and a column a method."""

_NUMBERED = re.compile(
    r"(?P<metric>.*?)[ _\-./]*(?P<word>seed|run|trial|rep|repeat|fold|split|iter|iteration|#)[ _\-.=#]*\d+",
    re.IGNORECASE,
)
_SEED_WITHIN = re.compile(
    r"(?P<before>.*?)[\s_\-./,]*\bseed[\s_\-=:]*(?P<seed>\d+)(?P<after>.*)", re.IGNORECASE
)
_SEED_LAST = re.compile(
    r"(?P<before>.*?[^\s_\-./#])(?P<after>)[\s_\-./#]+\(?(?:seed|run|rep|fold|trial|s|r)?[\s_\-=]*(?P<seed>\d+)\)?",
    re.IGNORECASE,
)
_DATA_SETS = re.compile(
    r"mnist|cifar|svhn|imagenet|letters|digits|stl|caltech|flowers|food|coco|voc|pets|cars|places|glue|sst"
    r"|mnli|qnli|qqp|mrpc|squad|iris|wine|adult|higgs|abalone|breast|boston|housing|heart|ionosphere|sonar",
    re.IGNORECASE,
)


def reshape(source: str, table: pd.DataFrame, request: Request, transpose: bool | None = None) -> Shaped:
    """The table in the long or the wide form.

    Args:
        source: what messages call the table.
        transpose: whether its rows are what columns should be; None: by the names of the columns.

    Raises:
        BenchError: it is to be transposed, and has no column of different words to become headings.
    """
    table = _named(table)
    if transpose:
        return _transposed(source, table, request)
    if len(table) > LARGEST:
        return Shaped(table, ())
    notes: list[str] = []
    shapes: Sequence[Callable[[pd.DataFrame, Request], Shaped | None]] = (
        _filled_down,
        plots,
        measures,
        resamples,
        cross_validation,
        _seeds_across,
        *([] if transpose is False else [_data_sets_across]),
        _run_names,
        _seeds_named_after_methods,
    )
    for shape in shapes:
        shaped = shape(table, request)
        if shaped is not None:
            table = shaped.table
            notes += shaped.words
    return Shaped(table, tuple(notes))


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """Without the numbers of rows that pandas writes; with a name for a column of words that has none."""
    if "" not in table.columns:
        return table
    if not numeric(table[""]).all():
        return table.rename(columns={"": FIRST})
    return table.drop(columns="")


def _filled_down(table: pd.DataFrame, request: Request) -> Shaped | None:
    """A name that stands in the first row of its group alone, as in merged cells."""
    roles = {*USUAL["method"], *USUAL["dataset"], *USUAL["model"]}
    names = [
        name
        for name in words_of(table)
        if (name == FIRST or {*spellings(name)} & roles or name in request.columns.values())
        and _heads_groups(table[name])
    ]
    if not names:
        return None
    said = [
        f"column '{name}': an empty cell is as the one above it (guessed; if not, fill them)"
        for name in names
    ]
    return Shaped(table.assign(**{name: table[name].ffill() for name in names}), tuple(said))


def _heads_groups(column: pd.Series[Any]) -> bool:
    """Whether names stand at equal distances, each another one, with nothing between them."""
    there = column[column.notna()]
    starts = [*there.index, len(column)]
    sizes = {later - first for first, later in pairwise(starts)}
    return starts[0] == 0 and len(there) > 1 and len(sizes) == 1 and min(sizes) > 1 and there.is_unique


def _seeds_across(table: pd.DataFrame, request: Request) -> Shaped | None:
    """A method a row, a seed (or fold) a column: ``run_1``, ``acc seed 2``, ``3``."""
    numbered = {name: match for name in table.columns if (match := _NUMBERED.fullmatch(name))}
    digits = [name for name in table.columns if re.fullmatch(r"\d+", name)]
    if len(numbered) < 2:
        numbered = {}
        if len(digits) < 2:
            return None
    columns = [name for name in (numbered or digits) if name not in request.columns.values()]
    metrics = {match["metric"].strip(" _-./") for match in numbered.values()} or {""}
    words = {match["word"].casefold() for match in numbered.values()}
    rest = [name for name in table.columns if name not in columns]
    roles = guess_columns(table[rest], {}, ["method", "dataset", "model"], ())
    method = request.columns.get("method") or roles.get("method")
    free = [name for name in words_of(table[rest]) if name not in roles.values()]
    method = method or (free[0] if len(free) == 1 else None)
    if method not in rest or len(metrics) > 1 or len(words) > 1:
        return None
    keys = [name for role, name in roles.items() if role != "method" and name != method]
    if table.duplicated([*keys, method]).any() or any(is_score(n) for n in rest if n not in (*keys, method)):
        return None
    unit = "fold" if words & {"fold", "split"} else "seed"
    number = {name: int(re.findall(r"\d+", name)[-1]) for name in columns}
    long = table.melt([*keys, method], columns, var_name=unit, value_name="value")
    long[unit] = long[unit].map(number)
    note = f"a row a {method}, a column a {unit} ({columns[0]}, …)"
    metric = metrics.pop()
    if metric:
        return Shaped(long.rename(columns={"value": metric}), (f"{note}, of {metric} (guessed)",))
    wide = long.set_index([*keys, unit, method])["value"].unstack(sort=False).reset_index()  # noqa: PD010
    return Shaped(wide.rename_axis(columns=None), (f"{note} (guessed)",))


def _data_sets_across(table: pd.DataFrame, request: Request) -> Shaped | None:
    """A method a row, a data set a column, as papers print it."""
    words = words_of(table)
    numbers = [name for name in table.columns if name not in words]
    if len(words) != 1 or len(numbers) < 2 or table[words[0]].duplicated().any() or request.metrics:
        return None
    if any(is_score(n) or is_setting(n) for n in numbers) or not (
        2 * sum(bool(_DATA_SETS.search(name)) for name in numbers) > len(numbers)
    ):
        return None
    turned = (
        table.set_index(words[0])[numbers].T.rename_axis("dataset").reset_index().rename_axis(columns=None)
    )
    return Shaped(
        turned, (f"a row a {words[0]}, a column a data set (guessed; --no-transpose says otherwise)",)
    )


def _transposed(source: str, table: pd.DataFrame, request: Request) -> Shaped:
    asked = request.columns.get("method")
    words = [asked] if asked in table.columns else words_of(table)
    if not words or table[words[0]].duplicated().any():
        problem = f"names that come again in '{words[0]}'" if words else "no column of words"
        raise BenchError(
            f"{source}: --transpose: found {problem}; expected a column of different names, which become "
            "those of columns"
        )
    rest = [name for name in table.columns if name != words[0]]
    seeds = all(re.fullmatch(r"\D*\d+", name) for name in rest)
    name = "seed" if seeds else "dataset"
    turned = table.set_index(words[0])[rest].T.rename_axis(name).reset_index().rename_axis(columns=None)
    turned.columns = turned.columns.map(str)
    return Shaped(turned.infer_objects(), (f"transposed: a row a {words[0]}, a column a {name}",))


def _run_names(table: pd.DataFrame, request: Request) -> Shaped | None:
    """Method and seed out of names of runs, ``ce-1`` or ``focal_seed2``, where no column holds them."""
    if request.columns.get("method") is not None:
        return None
    roles = guess_columns(table, {}, [role for role in USUAL if role != "epoch"], request.metrics)
    run_columns = [
        n for n in words_of(table) if {*spellings(n)} & {"name", "run_name", "run", "experiment", "run_id"}
    ]
    if "method" in roles and roles["method"] not in run_columns:
        return None
    if (
        not any(is_score(name) for name in table.columns if name not in request.metrics)
        and not request.metrics
    ):
        return None
    for name in run_columns:
        runs = table[name].astype(str).str.strip()
        for pattern in (_SEED_WITHIN, _SEED_LAST):
            matches = {run: pattern.fullmatch(run) for run in runs.unique()}
            if not all(matches.values()):
                continue
            methods = {run: (m["before"] + m["after"]).strip(" _-./,") for run, m in matches.items() if m}
            seeds = {run: int(m["seed"]) for run, m in matches.items() if m}
            sets = [{seeds[run] for run in methods if methods[run] == one} for one in {*methods.values()}]
            if len(sets) < 2 or len(set.intersection(*sets)) < 2 or not all(methods.values()):
                continue
            named_runs = table.assign(method=runs.map(methods))
            note = f"method: of the names in '{name}', such as '{runs.iloc[0]}' (guessed; {NO_METHOD})"
            if "seed" in roles and roles["seed"] != name and not fractional(table[roles["seed"]]):
                return Shaped(named_runs, (note,))
            drop = [name] if stem(name) == "run" else []
            note = note.replace("method:", "method and seed:")
            return Shaped(named_runs.assign(seed=runs.map(seeds)).drop(columns=drop), (note,))
    return None


def _seeds_named_after_methods(table: pd.DataFrame, request: Request) -> Shaped | None:
    """Names of runs as seeds, ``ce-1`` beside a column that says ``ce``: without that they are shared."""
    roles = guess_columns(table, {}, ["method", "seed"], request.metrics)
    if len(roles) < 2 or roles.keys() & {role for role, name in request.columns.items() if name}:
        return None
    if table[[*roles.values()]].isna().any(axis=None):
        return None
    methods, seeds = (table[roles[role]].astype(str) for role in ("method", "seed"))
    pairs = {*zip(methods, seeds, strict=True)}
    if not all(method in seed and method != seed for method, seed in pairs):
        return None
    rest = {(method, seed): seed.replace(method, "", 1).strip(" _-./") for method, seed in pairs}
    sets = [{seed for (of, _), seed in rest.items() if of == method} for method in {*methods}]
    if (
        len(sets) < 2
        or len(set.intersection(*sets)) < 2
        or len({(of, seed) for (of, _), seed in rest.items()}) < len(pairs)
    ):
        return None
    whole = table.assign(**{roles["seed"]: [rest[pair] for pair in zip(methods, seeds, strict=True)]})
    note = (
        f"seed: what the names in '{roles['seed']}', such as '{seeds.iloc[0]}', have besides those of methods"
    )
    return Shaped(whole, (f"{note} (guessed; --seed-column says otherwise)",))
