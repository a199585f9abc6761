"""Tables as other programs write them, neither a row a run nor a column a method: made into one that is."""

from __future__ import annotations

import re
from typing import NamedTuple

import pandas as pd

from bench.comparisons.external.guessing import guess_columns, numeric
from bench.comparisons.external.layout import Request
from bench.comparisons.external.names import stem

NO_METHOD = "--method-column says otherwise"

_EXTREME = re.compile(r"__(MIN|MAX|STDDEV|STDERR)$")
_OF_RUN = re.compile(r"(?P<run>.+) - (?P<metric>[^-]+)")
_SPLIT = re.compile(r"split(?P<fold>\d+)_test_(?P<scorer>\w+)")


class Shaped(NamedTuple):
    """A table as the others know it, and what was taken for granted."""

    table: pd.DataFrame
    words: tuple[str, ...]


def words_of(table: pd.DataFrame) -> list[str]:
    return [
        name for name in table.columns if not numeric(table[name]).mean() > 0.5 and table[name].notna().any()
    ]


def plots(table: pd.DataFrame, _: Request) -> Shaped | None:
    """W&B's export of a plot: a column a run, ``ce-1 - test_acc``, and a row a step."""
    names = [name for name in table.columns if not _EXTREME.search(name)]
    runs = {name: match for name in names if (match := _OF_RUN.fullmatch(name))}
    if not runs or len(runs) < len(names) - 1 or len({match["metric"] for match in runs.values()}) > 1:
        return None
    step = [name for name in names if name not in runs]
    metric = next(iter(runs.values()))["metric"]
    long = table[names].melt(step, [*runs], var_name="run", value_name=metric).dropna(subset=[metric])
    long["run"] = long.run.map({name: match["run"] for name, match in runs.items()})
    return Shaped(
        long.reset_index(drop=True), (f"a plot of {metric}: a column a run, a row a step (guessed)",)
    )


def measures(table: pd.DataFrame, request: Request) -> Shaped | None:
    """A row a number: what was measured stands in a column beside it."""
    names = [n for n in words_of(table) if stem(n) in ("metric", "measure", "metric_name", "variable")]
    values = [n for n in table.columns if stem(n) in ("value", "result") and numeric(table[n]).any()]
    if len(names) != 1 or len(values) != 1 or len({*table[names[0]]}) < 2 or request.metrics == values:
        return None
    keys = [name for name in table.columns if name not in (names[0], values[0])]
    if table.duplicated([*keys, names[0]]).any():
        return None
    wide = table.set_index([*keys, names[0]])[values[0]].unstack(sort=False).reset_index()  # noqa: PD010
    wide = wide.rename_axis(columns=None)
    return Shaped(wide, (f"a row a number: '{names[0]}' says which, '{values[0]}' what it is (guessed)",))


def resamples(table: pd.DataFrame, _: Request) -> Shaped | None:
    """caret's resamples: a row a fold, a column a method and metric, ``rf~Accuracy``."""
    pairs = {name: tuple(name.split("~")) for name in table.columns if name.count("~") == 1}
    rest = [name for name in table.columns if name not in pairs]
    methods, metrics = ({pair[place] for pair in pairs.values()} for place in (0, 1))
    if len(methods) < 2 or len(pairs) != len(methods) * len(metrics):
        return None
    parts = [
        table[rest].assign(method=method, **{m: table[f"{method}~{m}"] for m in sorted(metrics)})
        for method in dict.fromkeys(pair[0] for pair in pairs.values())
    ]
    return Shaped(pd.concat(parts, ignore_index=True), ("a column a method and metric (guessed)",))


def cross_validation(table: pd.DataFrame, request: Request) -> Shaped | None:
    """scikit-learn's ``cv_results_``: a row a setting, a column a fold."""
    splits = {name: match for name in table.columns if (match := _SPLIT.fullmatch(name))}
    if not splits:
        return None
    fitted = re.compile(r"(mean|std|rank|split\d+)_(fit|score|test|train)_\w+")
    rest = [name for name in table.columns if name not in splits and not fitted.fullmatch(name)]
    settings = [n for n in rest if n.startswith("param_") and len({*table[n].astype(str)}) > 1]
    method = request.columns.get("method") or guess_columns(table[rest], {}, ["method"], ()).get("method")
    method = method or (settings[0] if len(settings) == 1 else "params" if "params" in rest else None)
    if method is None or method not in rest:
        return None
    parts = []
    for scorer in dict.fromkeys(match["scorer"] for match in splits.values()):
        folds = {name: match["fold"] for name, match in splits.items() if match["scorer"] == scorer}
        long = table.melt(rest, [*folds], var_name="fold", value_name=f"test_{scorer}")
        parts.append(long.assign(fold=long.fold.map(folds).astype(int)))
    joined = parts[0]
    for part in parts[1:]:
        joined = joined.assign(**{part.columns[-1]: part.iloc[:, -1]})
    if not (asked := request.columns.get("method")):
        joined = joined.rename(columns={method: "method"}).assign(method=lambda rows: rows.method.astype(str))
    shape = f"a row a setting ('{asked or method}'), a column a fold"
    reading = f"cv_results_ of scikit-learn: {shape} (guessed; {NO_METHOD})"
    return Shaped(joined, (reading,))
