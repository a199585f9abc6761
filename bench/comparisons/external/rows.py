"""Somebody's table, long: one row a run (or an image of a run), with its keys checked and its numbers read.

Messages name data rows, counted from 1 behind the header.
"""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np
import pandas as pd

from bench.comparisons.external.cells import FAILED, MISSING
from bench.comparisons.external.folds import fold_names
from bench.comparisons.external.guessing import fractional, numeric
from bench.comparisons.external.layout import Layout, Unclear
from bench.comparisons.external.names import Role, is_score
from bench.errors import BenchError

KEY = ["dataset", "model", "method", "seed"]


def long_rows(
    source: str, table: pd.DataFrame, layout: Layout, score: str, *, paired: bool = True
) -> pd.DataFrame:
    """Columns ``dataset``, ``model``, ``method``, ``seed``; ``found``, a score as it stands in the table, and
    ``column`` and ``row``, where; ``failed``, whether some cell says that a run failed; and ``image``
    and ``total`` where the table has them. Of folds also ``fold`` and ``repeat``, and their names as seeds.

    Without a column of seeds a row of the wide form is a seed. In the long form that would pair by position,
    so there each row is a run of its own, which only unpaired comparisons allow; but for one run of each
    method on each of several data sets, where the data sets are what is compared over.

    Args:
        source: what messages call the table.
        table: its index counts the rows of the source from 0.
        score: which column holds the scores of the long form.

    Raises:
        BenchError: a key that is missing, or that comes twice.
    """
    columns = layout.columns
    rows = pd.DataFrame({"row": table.index.to_numpy() + 1, "failed": False})
    for name in table.columns.difference([*columns.values(), *layout.methods]):
        rows["failed"] |= _failures(table[name]).to_numpy()  # as a column of states says it
    for role in ("dataset", "model"):
        rows[role] = _filled(source, table, columns[role]).astype(str) if role in columns else ""
    if "method" in columns:
        rows["method"] = _filled(source, table, columns["method"]).astype(str)
    of_folds: tuple[Role, ...] = ("fold", "repeat")
    for role in of_folds:
        if role in columns:
            rows[role] = _seeds(_filled(source, table, columns[role]))
    if "fold" in columns:
        rows["seed"] = fold_names(rows)
    elif "seed" in columns:
        rows["seed"] = _seeds(_filled(source, table, columns["seed"]))
    elif layout.methods or not paired or _one_each(rows):
        rows["seed"] = rows.groupby([key for key in KEY if key in rows]).cumcount() + 1
        if layout.by_fold:
            rows["fold"] = rows.seed
            rows["seed"] = fold_names(rows)
    else:
        what, instead = ("folds", "") if layout.by_fold else ("seeds", ", or say --unpaired")
        single = not layout.by_fold and not rows.duplicated([key for key in KEY if key in rows]).any()
        alone = ": there is one number a method, and without those of its runs nothing can be tested"
        raise Unclear(
            f"{source}: no column of {what} is known by its name, and without {what} nothing is paired"
            f"{alone * single}; name it with --{what.removesuffix('s')}-column{instead}"
        )
    if "image" in columns:
        rows["image"] = _filled(source, table, columns["image"])
    if "total" in columns:
        rows["total"] = table[columns["total"]].to_numpy()
    parts = [
        rows.assign(method=name, column=name, found=table[name].to_numpy()) for name in layout.methods
    ] or [rows.assign(column=score, found=table[score].to_numpy())]
    joined = pd.concat(parts, ignore_index=True)
    keys = [*KEY, *(["image"] if "image" in joined else [])]
    if joined.duplicated(keys).any():
        raise BenchError(_there_twice(source, joined, keys, table, layout))
    return joined.assign(failed=joined.failed | _failures(joined.found))


def numbers(source: str, rows: pd.DataFrame) -> pd.Series[float]:
    """``found`` as numbers, NaN where there is none.

    Raises:
        BenchError: words, but for those of a run that failed; or infinity.
    """
    if pd.api.types.is_numeric_dtype(rows.found):
        short = rows.found.dtype == np.float32  # 0.3 is no 0.30000001
        values = (rows.found.astype(str) if short else rows.found).astype(float)
    else:
        values = pd.to_numeric(rows.found, errors="coerce").astype(float)
        absent = rows.found.isna() | rows.found.astype(str).str.strip().str.casefold().isin(MISSING)
        refuse(source, rows, values.isna() & ~absent & ~_failures(rows.found), "a number")
    refuse(source, rows, values.abs() == np.inf, "a finite number")
    return values


def refuse(source: str, rows: pd.DataFrame, bad: pd.Series[bool], expected: str) -> None:
    """Raise BenchError for the first row that is bad, if there is one."""
    if bad.any():
        first = rows[bad].iloc[0]
        content = first.found if str(first.found).casefold() not in MISSING else "nothing"
        raise BenchError(
            f"{source}: column '{first.column}', data row {first.row}: found {content}, expected {expected}"
        )


def named(run: Any, *, by_fold: bool = False) -> str:
    """A row in words: ``digits × vgg × ce, seed 3``; of folds, ``digits × ce, repeat 1, fold 3``."""
    seed = run.seed if by_fold else f"seed {run.seed}"
    return f"{' × '.join(filter(None, (run.dataset, run.model, run.method)))}, {seed}"


def _one_each(rows: pd.DataFrame) -> bool:
    """Whether every method has one run on each of several data sets."""
    return len(rows.dataset.unique()) > 1 and not rows.duplicated([key for key in KEY if key in rows]).any()


def _failures(column: pd.Series[Any]) -> pd.Series[bool]:
    """Which cells say that a run failed."""
    if pd.api.types.is_numeric_dtype(column):
        return pd.Series(False, column.index)
    text = column.astype(str)
    return text.isin([word for word in text.unique() if FAILED.match(str(word))])


def _filled(source: str, table: pd.DataFrame, name: str) -> pd.Series[Any]:
    """A column in which nothing may be missing."""
    column = table[name].reset_index(drop=True)
    if pd.api.types.is_numeric_dtype(column):
        missing = column.isna()
    else:  # word by word, and not cell by cell: there may be a million, of few words
        codes, words = pd.factorize(column)
        stripped = np.array([*(str(word).strip() for word in words), np.nan], dtype=object)
        column = pd.Series(stripped[codes])
        missing = pd.Series(((stripped == "") | (np.arange(len(stripped)) == len(words)))[codes])
    if missing.any():
        rows = pd.DataFrame({"row": table.index.to_numpy() + 1, "column": name, "found": column})
        refuse(source, rows, missing, "a name or number")
    return column


def _seeds(column: pd.Series[Any]) -> pd.Series[Any]:
    """Whole numbers where all are, else words."""
    values = pd.to_numeric(column, errors="coerce")
    if bool((values.notna() & (values % 1 == 0)).all()):
        return values.astype(np.int64)
    return column.astype(str)


def _there_twice(
    source: str, rows: pd.DataFrame, keys: list[str], table: pd.DataFrame, layout: Layout
) -> str:
    """Which run, in which rows, what tells these apart, and what to say of that."""
    second = rows[rows.duplicated(keys)].iloc[0]
    first = rows[(rows[keys] == second[keys]).all(axis=1)].iloc[0]
    place = named(second, by_fold=layout.by_fold) + (f", image {second.image}" if "image" in keys else "")
    message = f"{source}: {place} is there twice, in data rows {first.row} and {second.row}"
    used = {*layout.columns.values(), *layout.methods, *(score.column for score in layout.scores)}
    free = [name for name in table.columns if name not in used and not is_score(name)]
    apart = [
        name
        for name in free
        if not layout.methods
        and not rows.assign(_apart=table[name].to_numpy()).duplicated([*keys, "_apart"]).any()
    ]
    # What differs in every row, as names and times of runs do, tells nothing but that they are two.
    kinds = {name: table[name].nunique() for name in apart}
    apart = sorted((name for name in apart if kinds[name] < len(table)), key=lambda name: kinds[name])
    differ = apart or [
        name for name in free if table[name].loc[first.row - 1] != table[name].loc[second.row - 1]
    ]
    expected = f"{message}, {{}}; expected one row each: "
    if not differ:
        repeats = "repeats, " * (layout.by_fold and "repeat" not in layout.columns)
        expected = expected.format("which differ in nothing but results")
        return f"{expected}a column of {repeats}data sets, models or another setting is lacking"
    name = differ[0]
    if pd.isna(first.found):
        first, second = second, first  # the one with a result is likelier to be wanted
    one, other = table[name].loc[[first.row - 1, second.row - 1]]
    quoted, one_of = shlex.quote(name), shlex.quote(f"{name}={one}")
    options = (
        f"--where {one_of} takes one of them, --dataset-column {quoted} or --model-column {quoted} compares "
        "within each"
    )
    if numeric(table[name]).all() and not fractional(table[name]):
        options += f", --fold-column {quoted} or --epoch-column {quoted} says what it counts"
    more = f" (as do {', '.join(differ[1:4])})" if len(differ) > 1 else ""
    place = f"which differ in '{name}' ({one} and {other}){more}"
    return f"{expected.format(place)}{options}"
