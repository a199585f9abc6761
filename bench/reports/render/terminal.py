"""A document on a terminal: verdicts in colour, which are words without it as well."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from bench.reports.blocks import Block, Heading, Notes, Paragraph, Table
from bench.reports.render.markdown import NARROW, WIDTH, markdown
from bench.visible import flat, visible

NOTES = 40
"""Remarks that are shown; all of them are in ``report.md``."""

_STYLES = {
    **{"superior": "bold green", "inferior": "bold red", "equivalent": "cyan", "undecided": "yellow"},
    **{"baseline": "dim", "OPTIMISTIC": "bold magenta", "NOT PAIRED": "bold magenta"},
    "SCALED DOWN": "bold magenta",
    **{"failed": "red", "damaged": "red"},
}
_WORDS = re.compile(r"OPTIMISTIC|NOT PAIRED|SCALED DOWN|^(?:failed|damaged)\b")
_VERDICT = re.compile(r"(superior|inferior|equivalent|undecided|baseline)[†‡§¶‖]?$")


def show(blocks: Iterable[Block]) -> None:
    """Print blocks: drawn on a terminal, as Markdown everywhere else."""
    if sys.stdout.isatty():
        draw(blocks, Console(highlight=False))
    else:
        print(visible(markdown(blocks)), end="", flush=True)


def clear() -> None:
    """Make room for the next look, where there is a terminal."""
    if sys.stdout.isatty():
        print("\x1b[H\x1b[2J", end="")


def draw(blocks: Iterable[Block], console: Console) -> None:
    """A document as a person at a terminal reads it, in at most :data:`WIDTH` columns."""
    console.width = min(console.width, WIDTH)
    for block in blocks:
        match block:
            case Heading():
                size = f" ({block.size})" if block.size else ""
                heading = Text(
                    flat(block.text + size), style="bold underline" if block.level == 1 else "bold"
                )
                for mark in block.marks:
                    heading.append(f" · {mark}", style=_STYLES[mark])
                console.print(heading)
            case Paragraph():
                console.print(_coloured(block.text))
            case Notes():
                items = Grid.grid(padding=(0, 1))
                for item in block.items[:NOTES]:
                    items.add_row("•", _coloured(item))
                console.print(items)
                if len(block.items) > NOTES:
                    console.print(f"… and {len(block.items) - NOTES:,} more: see report.md")
            case Table():
                _print_table(block, console)
        console.print()


def _coloured(text: str) -> Text:
    words_of = Text(flat(text))
    for word in _WORDS.finditer(words_of.plain):
        words_of.stylize(_STYLES[word[0]], *word.span())
    return words_of


def _print_table(table: Table, console: Console) -> None:
    """Columns as wide as they look, which is twice the letters for those of East Asia."""
    headings = [flat(column.heading) for column in table.columns]
    rows = [[flat(cell.text) for cell in row.cells] for row in table.rows]
    widths = [max(cell_len(row[k]) for row in (headings, *rows)) for k in range(len(headings))]
    words = [column.words for column in table.columns]
    limit = WIDTH if table.detail else NARROW
    gap = "  " if sum(widths) + 2 * (len(widths) - 1) <= limit else " "

    def line(cells: list[str], style: str = "") -> Text:
        text = Text(style=style)
        for k, (cell, width, left) in enumerate(zip(cells, widths, words, strict=True)):
            padding = " " * (width - cell_len(cell))
            verdict = _VERDICT.search(cell) if left and k else None
            text.append(gap * (k > 0))
            text.append(
                cell + padding if left else padding + cell, style=_STYLES[verdict[1]] if verdict else None
            )
        text.rstrip()
        return text

    lines = [line(headings, "bold"), Text(gap.join("─" * width for width in widths), style="dim")]
    for row_text in [*lines, *map(line, rows)]:
        console.print(row_text, no_wrap=True, crop=False, overflow="ignore")
