"""Rows below others that sum them up, as spreadsheets and papers have them: they are no runs."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from bench.comparisons.external.guessing import numeric
from bench.comparisons.external.names import USUAL, spellings

LARGEST = 200_000
"""Rows of a table up to which they are looked for."""

_SUM = re.compile(
    r"(?i)\s*(the |grand |overall |macro |micro |sample )?(mean|average|avg|median|total|sum|overall|std|sd"
    r"|stdev|std\.? ?dev|standard deviation|mean ?(±|\+/-|\() ?std\)?|min|max|count)[.:]?\s*"
)
_COUNTED = re.compile(r"(?i)(seed|run|trial|rep|repeat|fold|split|s|r)?[ _\-#]*\d+")


def without_totals(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Without them, and what is said of that.

    A row sums up others where a word such as 'mean' stands among numbers of seeds or names of data sets, or
    where, beside the word, a column is empty that is full in all other rows. A method may be called 'mean'.
    """
    notes: list[str] = []
    if len(table) > LARGEST:
        return table, notes
    for place, name in enumerate(table.columns):
        if pd.api.types.is_numeric_dtype(table[name]):
            continue
        sums = table[name].map(lambda cell: isinstance(cell, str) and bool(_SUM.fullmatch(cell))).astype(bool)
        rest = table[~sums]
        if not sums.any() or len(rest) < 2:
            continue
        if not _are_counted(rest[name]) and not _are_data_sets(table, name, place, sums):
            full = rest.columns[rest.notna().all()].drop(name, errors="ignore")
            sums &= table[full].isna().any(axis=1)
        if sums.any():
            words = ", ".join(dict.fromkeys(table[name][sums].str.strip()))
            of = f"column '{name}'" if name else "the first column"
            notes.append(
                f"{of}: rows called {words} sum up others, and are left out (guessed; if not, rename them)"
            )
            table = table[~sums]
    return table, notes


def _are_counted(column: pd.Series[Any]) -> bool:
    cells = column.dropna()
    return not cells.empty and bool(
        (numeric(cells) | cells.astype(str).str.fullmatch(_COUNTED.pattern)).all()
    )


def _are_data_sets(table: pd.DataFrame, name: str, place: int, sums: pd.Series[bool]) -> bool:
    """Whether a column names data sets: by its own name, or as the first, in which no word comes again."""
    if {*spellings(name)} & {*USUAL["dataset"]}:
        return True
    last = bool(sums.iloc[-int(sums.sum()) :].all())
    unnamed = not name or not {*spellings(name)} & {*USUAL["method"], *USUAL["model"]}
    rest = [table[one] for one in table.columns if one != name]
    return (
        place == 0
        and unnamed
        and last
        and not table[name].duplicated().any()
        and all(numeric(one).mean() > 0.5 for one in rest)
    )
