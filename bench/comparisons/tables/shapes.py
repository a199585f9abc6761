"""Tables that are neither a row a run nor a column a method are turned into one that is, and that is said."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pandas as pd

from bench.comparisons.tables.guessing import fractional, guess_columns, numeric
from bench.comparisons.tables.layout import Request
from bench.comparisons.tables.names import USUAL, is_score, is_setting, spellings, stem
from bench.errors import BenchError

FIRST = "first column"
"""What a column of words without a name is called."""
LARGEST = 200_000
"""Rows up to which a table is looked at for other shapes than a row a run and a column a method."""
NO_METHOD = "--method-column says otherwise"

_EXTREME = re.compile(r"__(MIN|MAX|STDDEV|STDERR)$")
_OF_RUN = re.compile(r"(?P<run>.+) - (?P<metric>[^-]+)")
_SPLIT = re.compile(r"split(?P<fold>\d+)_test_(?P<scorer>\w+)")
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


class Shaped(NamedTuple):
    """A table as the others know it, and what was taken for granted."""

    table: pd.DataFrame
    said: tuple[str, ...]


def reshape(source: str, table: pd.DataFrame, request: Request, transpose: bool | None = None) -> Shaped:
    """Long or wide.

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
    said: list[str] = []
    shapes: Sequence[Callable[[pd.DataFrame, Request], Shaped | None]] = (
        _filled_down,
        _plots,
        _measures,
        _resamples,
        _cross_validation,
        _seeds_across,
        *([] if transpose is False else [_data_sets_across]),
        _run_names,
    )
    for shape in shapes:
        found = shape(table, request)
        if found is not None:
            table = found.table
            said += found.said
    return Shaped(table, tuple(said))


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """Without the numbers of rows that pandas writes; with a name for a column of words that has none."""
    if "" not in table.columns:
        return table
    if not numeric(table[""]).all():
        return table.rename(columns={"": FIRST})
    return table.drop(columns="")


def _words(table: pd.DataFrame) -> list[str]:
    return [
        name for name in table.columns if not numeric(table[name]).mean() > 0.5 and table[name].notna().any()
    ]


# ------------------------------------------------------------------------------------------ exports


def _filled_down(table: pd.DataFrame, request: Request) -> Shaped | None:
    """A name that stands in the first row of its group alone, as in merged cells."""
    roles = {*USUAL["method"], *USUAL["dataset"], *USUAL["model"]}
    names = [
        name for name in _words(table)
        if (name == FIRST or {*spellings(name)} & roles or name in request.columns.values())
        and not pd.isna(table[name].iloc[0]) and 2 * table[name].isna().sum() > len(table)
    ]  # fmt: skip
    if not names:
        return None
    said = [
        f"column '{name}': an empty cell is as the one above it (guessed; if not, fill them)"
        for name in names
    ]
    return Shaped(table.assign(**{name: table[name].ffill() for name in names}), tuple(said))


def _plots(table: pd.DataFrame, _: Request) -> Shaped | None:
    """W&B's export of a plot: a column a run, ``ce-1 - test_acc``, and a row a step."""
    kept = [name for name in table.columns if not _EXTREME.search(name)]
    runs = {name: match for name in kept if (match := _OF_RUN.fullmatch(name))}
    if not runs or len(runs) < len(kept) - 1 or len({match["metric"] for match in runs.values()}) > 1:
        return None
    step = [name for name in kept if name not in runs]
    metric = next(iter(runs.values()))["metric"]
    long = table[kept].melt(step, [*runs], var_name="run", value_name=metric).dropna(subset=[metric])
    long["run"] = long.run.map({name: match["run"] for name, match in runs.items()})
    return Shaped(
        long.reset_index(drop=True), (f"a plot of {metric}: a column a run, a row a step (guessed)",)
    )


def _measures(table: pd.DataFrame, request: Request) -> Shaped | None:
    """A row a number: what was measured stands in a column beside it."""
    names = [n for n in _words(table) if stem(n) in ("metric", "measure", "metric_name", "variable")]
    values = [n for n in table.columns if stem(n) in ("value", "result") and numeric(table[n]).any()]
    if len(names) != 1 or len(values) != 1 or len({*table[names[0]]}) < 2 or request.metrics == values:
        return None
    keys = [name for name in table.columns if name not in (names[0], values[0])]
    if table.duplicated([*keys, names[0]]).any():
        return None
    made = table.set_index([*keys, names[0]])[values[0]].unstack(sort=False).reset_index()  # noqa: PD010
    made = made.rename_axis(columns=None)
    return Shaped(made, (f"a row a number: '{names[0]}' says which, '{values[0]}' what it is (guessed)",))


def _resamples(table: pd.DataFrame, _: Request) -> Shaped | None:
    """caret's resamples: a row a fold, a column a method and metric, ``rf~Accuracy``."""
    pairs = {name: tuple(name.split("~")) for name in table.columns if name.count("~") == 1}
    others = [name for name in table.columns if name not in pairs]
    methods, metrics = ({pair[place] for pair in pairs.values()} for place in (0, 1))
    if len(methods) < 2 or len(pairs) != len(methods) * len(metrics):
        return None
    parts = [
        table[others].assign(method=method, **{m: table[f"{method}~{m}"] for m in sorted(metrics)})
        for method in dict.fromkeys(pair[0] for pair in pairs.values())
    ]
    return Shaped(pd.concat(parts, ignore_index=True), ("a column a method and metric (guessed)",))


def _cross_validation(table: pd.DataFrame, request: Request) -> Shaped | None:
    """scikit-learn's ``cv_results_``: a row a setting, a column a fold."""
    splits = {name: match for name in table.columns if (match := _SPLIT.fullmatch(name))}
    if not splits:
        return None
    fitted = re.compile(r"(mean|std|rank|split\d+)_(fit|score|test|train)_\w+")
    others = [name for name in table.columns if name not in splits and not fitted.fullmatch(name)]
    settings = [n for n in others if n.startswith("param_") and len({*table[n].astype(str)}) > 1]
    method = request.columns.get("method") or guess_columns(table[others], {}, ["method"], ()).get("method")
    method = method or (settings[0] if len(settings) == 1 else "params" if "params" in others else None)
    if method is None or method not in others:
        return None
    parts = []
    for scorer in dict.fromkeys(match["scorer"] for match in splits.values()):
        own = {name: match["fold"] for name, match in splits.items() if match["scorer"] == scorer}
        long = table.melt(others, [*own], var_name="fold", value_name=f"test_{scorer}")
        parts.append(long.assign(fold=long.fold.map(own).astype(int)))
    made = parts[0]
    for part in parts[1:]:
        made = made.assign(**{part.columns[-1]: part.iloc[:, -1]})
    if not (given := request.columns.get("method")):
        made = made.rename(columns={method: "method"}).assign(method=lambda rows: rows.method.astype(str))
    what = f"a row a setting ('{given or method}'), a column a fold"
    said = f"cv_results_ of scikit-learn: {what} (guessed; {NO_METHOD})"
    return Shaped(made, (said,))


# ---------------------------------------------------------------------------------- methods in rows


def _seeds_across(table: pd.DataFrame, request: Request) -> Shaped | None:
    """A method a row, a seed (or fold) a column: ``run_1``, ``acc seed 2``, ``3``."""
    found = {name: match for name in table.columns if (match := _NUMBERED.fullmatch(name))}
    digits = [name for name in table.columns if re.fullmatch(r"\d+", name)]
    if len(found) < 2:
        found = {}
        if len(digits) < 2:
            return None
    columns = [name for name in (found or digits) if name not in request.columns.values()]
    metrics = {match["metric"].strip(" _-./") for match in found.values()} or {""}
    words = {match["word"].casefold() for match in found.values()}
    others = [name for name in table.columns if name not in columns]
    known = guess_columns(table[others], {}, ["method", "dataset", "model"], ())
    method = request.columns.get("method") or known.get("method")
    free = [name for name in _words(table[others]) if name not in known.values()]
    method = method or (free[0] if len(free) == 1 else None)
    if method not in others or len(metrics) > 1 or len(words) > 1:
        return None
    keys = [name for role, name in known.items() if role != "method" and name != method]
    if table.duplicated([*keys, method]).any() or any(
        is_score(n) for n in others if n not in (*keys, method)
    ):
        return None
    unit = "fold" if words & {"fold", "split"} else "seed"
    number = {name: int(re.findall(r"\d+", name)[-1]) for name in columns}
    long = table.melt([*keys, method], columns, var_name=unit, value_name="value")
    long[unit] = long[unit].map(number)
    said = f"a row a {method}, a column a {unit} ({columns[0]}, …)"
    metric = metrics.pop()
    if metric:
        return Shaped(long.rename(columns={"value": metric}), (f"{said}, of {metric} (guessed)",))
    wide = long.set_index([*keys, unit, method])["value"].unstack(sort=False).reset_index()  # noqa: PD010
    return Shaped(wide.rename_axis(columns=None), (f"{said} (guessed)",))


def _data_sets_across(table: pd.DataFrame, request: Request) -> Shaped | None:
    """A method a row, a data set a column, as papers print it."""
    words = _words(table)
    numbers = [name for name in table.columns if name not in words]
    if len(words) != 1 or len(numbers) < 2 or table[words[0]].duplicated().any() or request.metrics:
        return None
    if any(is_score(n) or is_setting(n) for n in numbers) or not (
        2 * sum(bool(_DATA_SETS.search(name)) for name in numbers) > len(numbers)
    ):
        return None
    made = table.set_index(words[0])[numbers].T.rename_axis("dataset").reset_index().rename_axis(columns=None)
    return Shaped(
        made, (f"a row a {words[0]}, a column a data set (guessed; --no-transpose says otherwise)",)
    )


def _transposed(source: str, table: pd.DataFrame, request: Request) -> Shaped:
    asked = request.columns.get("method")
    words = [asked] if asked in table.columns else _words(table)
    if not words or table[words[0]].duplicated().any():
        found = f"names that come again in '{words[0]}'" if words else "no column of words"
        raise BenchError(
            f"{source}: --transpose: found {found}; expected a column of different names, which become those "
            "of columns"
        )
    others = [name for name in table.columns if name != words[0]]
    seeds = all(re.fullmatch(r"\D*\d+", name) for name in others)
    name = "seed" if seeds else "dataset"
    made = table.set_index(words[0])[others].T.rename_axis(name).reset_index().rename_axis(columns=None)
    made.columns = made.columns.map(str)
    return Shaped(made.infer_objects(), (f"transposed: a row a {words[0]}, a column a {name}",))


# ------------------------------------------------------------------------------------- names of runs


def _run_names(table: pd.DataFrame, request: Request) -> Shaped | None:
    """Method and seed out of names of runs, ``ce-1`` or ``focal_seed2``, where no column holds them."""
    if request.columns.get("method") is not None:
        return None
    known = guess_columns(table, {}, [role for role in USUAL if role != "epoch"], request.metrics)
    named = [
        n for n in _words(table) if {*spellings(n)} & {"name", "run_name", "run", "experiment", "run_id"}
    ]
    if "method" in known and known["method"] not in named:
        return None
    if (
        not any(is_score(name) for name in table.columns if name not in request.metrics)
        and not request.metrics
    ):
        return None
    for name in named:
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
            made = table.assign(method=runs.map(methods))
            said = f"method: of the names in '{name}', such as '{runs.iloc[0]}' (guessed; {NO_METHOD})"
            if "seed" in known and known["seed"] != name and not fractional(table[known["seed"]]):
                return Shaped(made, (said,))
            drop = [name] if stem(name) == "run" else []
            said = said.replace("method:", "method and seed:")
            return Shaped(made.assign(seed=runs.map(seeds)).drop(columns=drop), (said,))
    return None
