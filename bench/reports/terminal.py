"""A report on a terminal: its Markdown drawn, with verdicts in colour, which are words without it as well.

Only what :mod:`bench.reports.text` writes is understood: headings, tables, lists and paragraphs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import groupby

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.launch.status import Status
from bench.reports.text import WIDTH, flat, shortened, unescaped

NOTES = 40
"""Remarks that are shown; all of them are in ``report.md``."""

_STYLES = {
    **{"superior": "bold green", "inferior": "bold red", "equivalent": "cyan", "undecided": "yellow"},
    **{"baseline": "dim", "OPTIMISTIC": "bold magenta", "NOT PAIRED": "bold magenta"},
    "SCALED DOWN": "bold magenta",
    **{"failed": "red", "damaged": "red"},
}
_WORDS = re.compile(r"OPTIMISTIC|NOT PAIRED|SCALED DOWN|^(?:failed|damaged)\b|(?<=: )undecided\b")
_VERDICTS = re.compile(r"(?:superior|inferior|equivalent|undecided|baseline)(?: → \w+)?|— → \w+")


def show(markdown: str) -> None:
    """Print a report: drawn on a terminal, as the Markdown that it is everywhere else."""
    if sys.stdout.isatty():
        draw(markdown, Console(highlight=False))
    else:
        print(markdown, flush=True)


def clear() -> None:
    """Make room for the next look, where there is a terminal."""
    if sys.stdout.isatty():
        print("\x1b[H\x1b[2J", end="")


def draw(markdown: str, console: Console) -> None:
    """A report as a person at a terminal reads it, in at most :data:`WIDTH` columns."""
    console.width = min(console.width, WIDTH)
    for kind, group in groupby(markdown.splitlines(), key=_kind):
        lines = list(group)
        if kind == "table":
            for row in _table(lines):
                console.print(row, no_wrap=True, crop=False, overflow="ignore")
        elif kind == "list":
            items = Table.grid(padding=(0, 1))
            for line in lines[:NOTES]:
                items.add_row("•", _coloured(unescaped(line[2:])))
            console.print(items)
            if len(lines) > NOTES:
                console.print(f"… and {len(lines) - NOTES:,} more: see report.md")
        else:
            for line in lines:
                console.print(_paragraph(line))


def still_to_come(status: Status) -> list[str]:
    """What runs and what waits, as lines of Markdown; none where nothing does."""
    lines = []
    for state in ("running", "waiting"):
        counts = [(getattr(cell, state), cell) for cell in status.cells]
        where = [f"{c.dataset} × {c.model} × {c.loss} {count}" for count, c in counts if count]
        if where:
            more = f", and {len(where) - 6} more cells" if len(where) > 6 else ""
            lines.append(f"- {state}: {getattr(status.runs, state):,} runs ({', '.join(where[:6])}{more})")
    return lines


def _kind(line: str) -> str:
    return "table" if line.startswith("|") else "list" if line.startswith("- ") else "text"


def _paragraph(line: str) -> Text:
    if heading := re.match(r"#+ ", line):
        return Text(unescaped(line[heading.end() :]), style="bold" if heading.end() > 2 else "bold underline")
    return _coloured(unescaped(re.sub(r"^(\*+)(.*)\1$", r"\2", line)))


def _coloured(text: str) -> Text:
    shown = Text(text)
    for word in _WORDS.finditer(text):
        shown.stylize(_STYLES[word[0]], *word.span())
    return shown


def _table(lines: list[str]) -> Iterator[Text]:
    """Columns as wide as they look, which is twice the letters for those of East Asia."""
    rows = [
        [unescaped(cell.strip()) for cell in re.findall(r"((?:\\.|[^|\\])*)\|", line[1:])] for line in lines
    ]
    header, rule, *body = rows
    others = [max(cell_len(row[k]) for row in (header, *body)) for k in range(1, len(header))]
    room = max(WIDTH - sum(others) - 2 * len(others), 6)
    names = [flat(row[0]) for row in body]
    letters = room
    while letters > 6 and max(map(cell_len, shortened(names, letters)), default=0) > room:
        letters -= 1
    names = shortened(names, letters)
    widths = [max(map(cell_len, [header[0], *names])), *others]
    right = [cell.endswith(":") for cell in rule]
    yield _line(header, widths, right, "bold")
    yield Text("  ".join("─" * width for width in widths), style="dim")
    for name, row in zip(names, body, strict=True):
        yield _line([name, *row[1:]], widths, right)


def _line(cells: list[str], widths: list[int], right: list[bool], style: str = "") -> Text:
    line = Text(style=style)
    for k, (cell, width, to_the_right) in enumerate(zip(cells, widths, right, strict=True)):
        padding = " " * (width - cell_len(cell))
        shown = padding + cell if to_the_right else set_cell_size(cell, width)
        verdict = k > 0 and _VERDICTS.fullmatch(cell)
        line.append("  " * (k > 0))
        line.append(shown, style=_STYLES.get(cell.split()[-1]) if verdict else None)
    line.rstrip()
    return line
