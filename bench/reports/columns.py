"""Which column of somebody's table is which: given by name, or guessed from the usual names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from bench.errors import BenchError, unknown

Role = Literal["method", "seed", "image", "accuracy", "correct", "total", "dataset", "model"]

USUAL: dict[Role, tuple[str, ...]] = {
    "method": ("method", "loss", "loss_function", "criterion", "algorithm", "approach", "variant", "model"),
    "seed": ("seed", "random_seed", "random_state", "run", "repeat", "repetition", "trial", "fold"),
    "image": ("image", "image_id", "example", "example_id", "sample", "sample_id", "item"),
    "accuracy": ("accuracy", "acc", "test_accuracy", "test_acc", "accuracy_test", "acc_test", "top1", "acc1"),
    "correct": ("correct", "n_correct", "num_correct", "test_correct"),
    "total": ("total", "n_total", "n_test", "test_images", "num_images", "n_images", "images", "test_size"),
    "dataset": ("dataset", "data_set", "data", "task", "benchmark"),
    "model": ("model", "architecture", "arch", "network", "backbone"),
}
"""Lower case, words joined by ``_``; the first that a table has is taken."""

WIDE: tuple[Role, ...] = ("seed", "total", "dataset", "model")
"""Roles of columns beside those of the methods."""


@dataclass(frozen=True)
class Layout:
    """How a table is to be read."""

    columns: Mapping[Role, str]
    methods: tuple[str, ...]
    """Wide form: a column a method. Empty in the long form."""
    said: str
    """Form and columns; which of them were guessed, and which are not used."""


def find_layout(source: str, table: pd.DataFrame, asked: Mapping[str, str | None]) -> Layout:
    """Long form where there is a column of methods and one of accuracies or correct answers, else wide form.

    Args:
        source: what messages call the table.
        asked: names of columns by role; where there is None, it is guessed.

    Raises:
        BenchError: a given column that is not there, or a table that is neither long nor wide.
    """
    given = {role: name for role in USUAL if (name := asked.get(role)) is not None}
    for role, name in given.items():
        if name not in table.columns:
            raise BenchError(f"{source}: --{role}-column: {unknown('column', name, table.columns)}")
    methods: tuple[str, ...] = ()
    columns, form = _guessed(table, given, tuple(USUAL)), "long form"
    if "method" not in columns or not columns.keys() & {"accuracy", "correct"}:
        words = columns.get("method")
        columns, form = _guessed(table, given, WIDE), "wide form, a column a method"
        methods = tuple(
            name for name in table.columns if name and name not in columns.values() and _numbers(table[name])
        )
        # A column of methods without one of scores is no wide form.
        if not methods or given.keys() - {*WIDE} or words not in (None, columns.get("model")):
            missing = "methods" if words is None else "accuracies or correct answers"
            raise BenchError(
                f"{source}: no column of {missing} among {', '.join(table.columns)}; expected method, seed, "
                "and accuracy or correct and total (long form), or a column a method and a row a seed (wide "
                "form); name columns with --method-column, --accuracy-column, …"
            )
    unused = [name for name in table.columns if name and name not in {*columns.values(), *methods}]
    said = [f"{role} = '{name}'{'' if role in given else ' (guessed)'}" for role, name in columns.items()]
    if unused:
        said.append(f"not used: {', '.join(unused[:10])}{' …' if len(unused) > 10 else ''}")
    return Layout(columns, methods, ", ".join([form, *said]))


def _guessed(table: pd.DataFrame, given: Mapping[Role, str], roles: Iterable[Role]) -> dict[Role, str]:
    columns = {role: given[role] for role in roles if role in given}
    plain = {re.sub(r"\W+", "_", name.strip().casefold()): name for name in reversed(table.columns)}
    for role in roles:
        for name in (plain.get(usual) for usual in USUAL[role] if role not in columns):
            if name in (None, *columns.values()):
                continue
            # A training loss is called 'loss' as well: names are no fractions.
            if role in ("method", "dataset", "model") and _fractions(table[name]):
                continue
            columns[role] = str(name)
            break
    return columns


def _numbers(column: pd.Series[Any]) -> bool:
    """Whether there are any: a stray word in them is worth a message."""
    return bool(pd.to_numeric(column, errors="coerce").notna().any())


def _fractions(column: pd.Series[Any]) -> bool:
    return pd.api.types.is_float_dtype(column) and bool((column.dropna() % 1 != 0).any())
