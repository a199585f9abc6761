"""Numbers as people write them — ``95,18``, ``95.18 %``, ``9,518`` — become numbers, or a question."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bench.errors import BenchError

MISSING = (
    *("", "nan", "na", "n/a", "n.a.", "none", "null", "-", "--", "---", "–", "—", "?", "tbd", "missing"),
    *("#n/a", "#div/0!", "#value!", "#num!", "#ref!", "#name?"),
)
"""What stands for a number that is not there, in any case."""
FAILED = re.compile(
    r"\s*(fail(ed|ure)?|diverged|oom|out of memory|error|crash(ed)?|time(d )?out)\b", re.IGNORECASE
)
"""How a cell begins that says that the run failed: a result, though without a number."""
SAMPLE = 1000
"""Different cells by which a column of words is known to hold no numbers."""
_MARKS = re.compile(r"\*+|[†‡§¶‖]|^[$€£]|\$$|\\(textbf|mathbf|underline)\b|[{}]")
"""Bold type, footnotes and currencies."""
_SPACES = re.compile("[ \t\u00a0\u2009\u202f'’]")
_WRITTEN = re.compile(
    r"[+\-]?(\d{1,3}(,\d{3})+(\.\d+)?|\d{1,3}(\.\d{3})+(,\d+)?|\d+([.,]\d*)?|[.,]\d+)([eE][+\-]?\d+)?%?"
)
_DECIMAL = re.compile(r",\d{1,2}(\D|$)|,\d{4,}|^\D?0+,|\d\.\d{3}[.,]\d")
"""What only a decimal comma explains: not three digits behind it, 0 before it, or points before it."""
_GROUPS = re.compile(r"\d,\d{3}[.,]\d")
"""And what only one explains that groups digits."""


@dataclass(frozen=True)
class Cells:
    """A table whose written numbers are numbers."""

    table: pd.DataFrame
    percent: frozenset[str] = frozenset()
    """Columns with a percent sign."""
    guessed: tuple[str, ...] = ()
    unclear: Mapping[str, str] = field(default_factory=dict)
    """Columns left as they were, since their commas may be either; and what is to be said of each."""


def read_cells(
    source: str, table: pd.DataFrame, decimal: str | None = None, percent: bool | None = None
) -> Cells:
    """Only columns of words are looked at, and changed only where most of them are numbers.

    Args:
        source: what messages call the table.
        decimal: what stands before decimals; None: by what else could not be, anywhere in the table.
        percent: whether accuracies are percentages, if that is asked.
    """
    if decimal not in (None, ",", "."):
        raise BenchError(f"{source}: --decimal: found '{decimal}', expected , or .")
    written = {name: originals for name in table.columns if (originals := _written(table[name]))}
    evidence = {name: _evidence(texts.values()) for name, texts in written.items()}
    commas = {comma for comma, _ in evidence.values() if comma is not None}
    changed, guessed, unclear = {}, [], {}
    for name, texts in written.items():
        comma, example = evidence[name]
        if decimal is not None or not example:
            comma = decimal == ","
        elif comma is None and len(commas) == 1:
            comma = next(iter(commas))
        if comma is None:
            readings = f"{example.replace(',', '')} or {example.replace(',', '.')}"
            unclear[name] = f"column '{name}': {example} may be {readings}: say --decimal . or --decimal ,"
            continue
        if decimal is None and example:
            kind = "a decimal comma" if comma else "a comma between thousands"
            guessed.append(f"column '{name}': {example} has {kind} (guessed; --decimal says otherwise)")
        if percent is None and (mixed := _mixed(texts.values())):
            unclear[name] = f"column '{name}': {mixed}"
            continue
        marked = next((str(cell).strip() for cell in texts if _MARKS.search(str(cell).strip())), "")
        if marked:
            guessed.append(f"column '{name}': marks as in {marked} are left out")
        numbers = {cell: float(_plain(text, comma)) for cell, text in texts.items()}
        changed[name] = table[name].map(lambda cell, commas=numbers: commas.get(cell, cell)).infer_objects()
    signs = frozenset(n for n, texts in written.items() if any(t.endswith("%") for t in texts.values()))
    return Cells(table.assign(**changed) if changed else table, signs, tuple(guessed), unclear)


def _written(column: pd.Series[Any]) -> dict[Any, str]:
    """Cell → the number in it, without spaces; empty where there is nothing that pandas does not know."""
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return {}
    cells = column.unique()
    cells = cells[~pd.isna(cells)]
    if not _mostly(cells[:SAMPLE]) or not _mostly(cells):
        return {}
    texts = {cell: text for cell in cells if _WRITTEN.fullmatch(text := _bare(cell))}
    numbers = pd.to_numeric(pd.Series([*texts]), errors="coerce").notna()
    return {} if numbers.all() else texts


def _bare(cell: object) -> str:
    return _MARKS.sub("", _SPACES.sub("", str(cell))).replace("−", "-")


def _mostly(cells: Iterable[Any]) -> bool:
    """Whether most are numbers, but for what says that there is none."""
    words = [str(c) for c in cells if str(c).strip().casefold() not in MISSING and not FAILED.match(str(c))]
    return 2 * sum(bool(_WRITTEN.fullmatch(_bare(word))) for word in words) > len(words)


def _evidence(texts: Iterable[str]) -> tuple[bool | None, str]:
    """Whether commas stand before decimals, None where they may be either; and one of the texts with one."""
    candidates = [text for text in texts if "," in text or text.count(".") > 1]
    decimals, groups = (
        next((text for text in candidates if pattern.search(text)), "") for pattern in (_DECIMAL, _GROUPS)
    )
    example = decimals or groups or next(iter(candidates), "")
    return (bool(decimals) if bool(decimals) != bool(groups) else None), example


def _mixed(texts: Iterable[str]) -> str:
    """What is to be said where percentages with their sign stand beside fractions; else nothing."""
    signed = [text for text in texts if text.endswith("%")]
    bare = [text for text in texts if not text.endswith("%") and re.fullmatch(r"0?[.,]\d+|1([.,]0*)?", text)]
    large = [text for text in signed if not re.fullmatch(r"0?[.,]\d+%|[01]%", text)]
    if not (large and bare):
        return ""
    signs = "percent signs in all of them or in none; if all are percentages, say --percent"
    return f"found {large[0]} and {bare[0]}, expected {signs}"


def _plain(text: str, comma: bool) -> str:
    text = text.removesuffix("%")
    if comma:
        groups = "," in text or re.fullmatch(r"\D?\d{1,3}(\.\d{3})+", text)
        return text.replace(".", "").replace(",", ".") if groups else text
    return text.replace(",", "")
