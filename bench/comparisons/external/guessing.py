"""Which column is which, by its name and by what stands in it. What contradicts its name is not taken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.comparisons.external.cells import FAILED, MISSING
from bench.comparisons.external.names import (
    OF_A_RUN,
    SPLITS,
    USUAL,
    Columns,
    Role,
    is_accuracy,
    is_cost,
    is_of_training,
    is_setting,
    plain,
    preference,
    spellings,
    stem,
)
from bench.metrics import lower_is_better

MOST_SEEDS = 100
"""Iterations up to which they may be repeats of a run, and are no steps of one."""


def guess_columns(
    table: pd.DataFrame, stated: Columns, roles: Iterable[Role], metrics: Sequence[str]
) -> dict[Role, str]:
    """Role → column, those of ``stated`` first."""
    columns = {role: stated[role] for role in roles if role in stated}
    numbers = _Numbers(table)
    for role in roles:
        if role in columns or (role == "repeat" and "fold" not in columns):
            continue  # what is repeated where there are no folds are seeds
        taken = {*columns.values(), *metrics}
        names = [name for name in _called(table, role) if name not in taken]
        if role == "accuracy":
            called = [n for n in table.columns if is_accuracy(n) or stem(n) in USUAL["accuracy"]]
            called = [name for name in called if name not in taken]
            scored = [name for name in called if numbers[name].any()]
            scored = scored or [name for name in called if _is_empty(table[name])]
            names = [*_accuracy(scored, table.columns)]
        elif role in ("method", "dataset", "model"):
            names = [name for name in names if _are_names(table[name], name, numbers[name])]
            names = _told_apart(table, names) if role == "method" else names
        elif role == "fold":
            names = [n for n in names if plain(n) not in SPLITS or _numbered(table[n])]
            names = [n for n in names if plain(n) != "resample" or _are_folds(table[n])]
            if any(stem(n) in ("resampling", "resampling_id") for n in table.columns):  # mlr3
                names += [n for n in table.columns if stem(n) == "iteration"]
        elif role == "seed":
            names = [name for name in names if _are_seeds(table[name], name)]
        elif role == "epoch":
            names = [name for name in names if numbers[name].any() and len(table[name].unique()) > 1]
        if names:
            columns[role] = names[0]
    return columns


def guess_metrics(table: pd.DataFrame, taken: Iterable[str]) -> list[str]:
    """Columns of numbers with the name of a metric; of training, only where there is none of a result."""
    taken = {*taken}
    candidates = [
        name
        for name in table.columns
        if name not in taken
        and lower_is_better(name) is not None
        and not is_setting(name)
        and numeric(table[name]).any()
    ]
    results = [name for name in candidates if not is_of_training(name)]
    if all(is_cost(name) for name in results):
        rest = [name for name in table.columns if name not in taken and name not in candidates]
        # What nobody's list of metrics has is likelier to be meant than how long it took.
        varied = [n for n in rest if numeric(table[n]).all() and fractional(table[n]) and not is_setting(n)]
        return [] if varied and results else candidates
    shares = [name for name in results if is_accuracy(name)]
    best = min(map(preference, shares), default=None)
    shares = [name for name in shares if preference(name) == best]
    return shares if len(shares) > 1 else results


def numeric(column: pd.Series[Any]) -> pd.Series[bool]:
    """Which are numbers: a stray word between them is worth a message."""
    if pd.api.types.is_numeric_dtype(column):
        return column.notna()
    places, kinds = pd.factorize(column)  # of a million words few are different
    numbers = pd.to_numeric(pd.Series(kinds), errors="coerce").notna().to_numpy()
    return pd.Series(np.append(numbers, False)[places], column.index)


class _Numbers(dict[str, "pd.Series[bool]"]):
    """Column → which of it are numbers; found out once, and only where it is asked for."""

    def __init__(self, table: pd.DataFrame) -> None:
        super().__init__()
        self.table = table

    def __missing__(self, name: str) -> pd.Series[bool]:
        self[name] = column = numeric(self.table[name])
        return column


def _is_empty(column: pd.Series[Any]) -> bool:
    """Whether all its cells say that there is no number: then that is what is wrong with it."""
    words = column.dropna().astype(str).unique()
    return all(word.strip().casefold() in MISSING or FAILED.match(word) for word in words)


def fractional(column: Any) -> bool:
    """Whether there are numbers with decimals."""
    return pd.api.types.is_float_dtype(column) and bool((column.dropna() % 1 != 0).any())


def _called(table: pd.DataFrame, role: Role) -> list[str]:
    """Columns with a usual name for a role, in the order of those; one as it stands before one in parts."""
    by_spelling: dict[str, list[str]] = {}
    for place in range(4):
        for name in filter(None, table.columns):
            by_spelling.setdefault(spellings(name)[place], []).append(name)
    return list(dict.fromkeys(name for usual in USUAL[role] for name in by_spelling.get(usual, ())))


def _accuracy(candidates: Sequence[str], names: Iterable[str]) -> Iterable[str]:
    """The one that stands for a run, if that can be said. ``names``: of all columns."""
    stems = {stem(name) for name in names}
    # Keras writes 'accuracy' for the training images beside 'val_accuracy'.
    ranks = {
        name: (3,) if f"val_{stem(name)}" in stems and "loss" in stems else preference(name)
        for name in candidates
    }
    best = [name for name in candidates if ranks[name] == min(ranks.values())]
    usual = [name for name in best if plain(name) in USUAL["accuracy"]]
    if len(best) == 1:
        return best
    return usual if len(usual) == 1 else ()


def _are_names(column: pd.Series[Any], name: str, numbers: pd.Series[bool]) -> bool:
    """Whether what it holds may be names: a loss that was measured is called 'loss' as well."""
    measured = stem(name) in ("loss", "objective") and bool(numbers.mean() > 0.5)
    return not measured and not fractional(column) and not _scored(column, numbers)


def _scored(column: pd.Series[Any], numbers: pd.Series[bool]) -> bool:
    """Whether words hide fractions."""
    if pd.api.types.is_numeric_dtype(column) or not numbers.mean() > 0.5:
        return False
    return bool((pd.to_numeric(column, errors="coerce").dropna() % 1 != 0).any())


def _told_apart(table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Columns that tell methods apart before one that is the same everywhere; none with a name a run."""
    rows = len(table)
    kinds = {name: table[name].nunique() for name in names}
    names = [n for n in names if rows == 1 or kinds[n] < rows or not {*spellings(n)} & {*OF_A_RUN}]
    return sorted(names, key=lambda name: kinds[name] < 2)


def _numbered(column: pd.Series[Any]) -> bool:
    """Whether there are several whole numbers and nothing else: words may say train and test."""
    values = pd.to_numeric(column, errors="coerce")
    return bool((values.notna() & (values % 1 == 0)).all()) and values.min() < values.max()


def _are_folds(column: pd.Series[Any]) -> bool:
    return bool(column.astype(str).str.contains("fold", case=False).all())


def _are_seeds(column: pd.Series[Any], name: str) -> bool:
    """A few numbers that come again, where the name may mean something else."""
    if {*spellings(name)} & {"iteration", "iter"}:
        return _numbered(column) and column.nunique() <= MOST_SEEDS
    names_of_runs = not numeric(column).any() and column.nunique() == len(column) > 2
    return not fractional(column) and (stem(name) == "seed" or not names_of_runs)
