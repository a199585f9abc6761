"""A document as Markdown that is also legible as it stands."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Sequence

from rich.cells import cell_len

from bench.reports.blocks import Block, Figure, Heading, Notes, Paragraph, Table
from bench.reports.formats import shortened
from bench.visible import flat

WIDTH = 100
"""Characters of a line at most, as far as that can be."""
NARROW = 80
"""The same of a table that everybody sees."""
NAME_WIDTHS = (6, 30)
"""Characters that a name gets there, at least and at most."""
_HTML = {"&": "&amp;", "<": "&lt;"}

# What Markdown would take for markup. An underscore within a word is none, and looks better as it is; so does
# a bracket that begins no link, no reference and no box to tick.
_MARKUP = re.compile(
    r"[*`~$|]|\[(?=[^\]]*\][\[(:]|[ xX]\](?: |$))"
    r"|<(?=[A-Za-z/!?])|\\(?=[!-/:-@\[-`{-~]|\s|$)|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)"
    r"|(?<= )#(?=#*$)"
)
_BEGINNING = re.compile(r"^(?:[#>=+-]|\d+[.)](?=\s|$))")
"""The same at the beginning of a line."""


def markdown(blocks: Iterable[Block], *, html: bool = False) -> str:
    """Text for files, pipes and pages.

    Args:
        html: for whoever shows Markdown as HTML and takes a tag for a tag, whatever stands before it.
    """
    escape = in_html if html else escaped
    lines: list[str] = []
    for block in blocks:
        match block:
            case Heading():
                size = f" ({escape(block.size)})" if block.size else ""
                marks = "".join(f" · {mark}" for mark in block.marks)
                lines.append(f"{'#' * block.level} {escape(block.text)}{size}{marks}")
            case Paragraph():
                text = escape(block.text)
                lines.append(_wrapped(f"**{text}**" if block.strong else text))
            case Notes():
                lines.append("\n".join(_wrapped(f"- {escape(item)}", "  ") for item in block.items))
            case Table():
                lines.append("\n".join(_table(block, escape)))
            case Figure():
                pass
    return "\n\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text from outside as one line of Markdown that shows it as it is, in a table as well."""
    return _begun(_MARKUP.sub(r"\\\g<0>", flat(text)))


def in_html(text: str) -> str:
    """The same for Markdown that becomes HTML."""
    return re.sub(r"(\\\\)|\\?([&<])", lambda match: match[1] or _HTML[match[2]], escaped(text))


def room_for_names(tables: Iterable[Table]) -> int:
    """Characters that the other columns of these tables leave of a line."""
    beside = [0]
    for table in tables:
        widths = _widths(_lines(table, escaped))
        beside.append(sum(widths[1:]) + len(widths) + 1)
    return NARROW - max(beside)


def fitting(names: Sequence[str], tables: Iterable[Table]) -> dict[str, str]:
    """Short names, with which a line of these tables has no more than :data:`NARROW` characters.

    Their columns may stand as close as they can; a backslash before what would be markup takes room, too.
    """
    return within(names, min(max(room_for_names(tables), NAME_WIDTHS[0]), NAME_WIDTHS[1]))


def within(names: Sequence[str], room: int) -> dict[str, str]:
    """Names that take no more than ``room`` characters, backslashes included."""
    for fewer in range(room, 0, -1):
        short = shortened(names, fewer)
        if all(cell_len(escaped(name)) <= room for name in short.values()):
            break
    return short


def _begun(line: str) -> str:
    """A line that does not begin like a heading, a list or a quotation."""
    return _BEGINNING.sub(lambda match: f"{match[0][:-1]}\\{match[0][-1]}", line)


def _lines(table: Table, escape: Callable[[str], str]) -> list[list[str]]:
    """Headings and rows as they are written. Numbers stay as they are, but for whoever takes < for a tag."""
    words = [column.words or escape is in_html for column in table.columns]
    return [
        [escape(column.heading) for column in table.columns],
        *(
            [escape(cell.text) if word else cell.text for cell, word in zip(row.cells, words, strict=True)]
            for row in table.rows
        ),
    ]


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(cell_len, column)) for column in zip(*lines, strict=True)]


def _table(table: Table, escape: Callable[[str], str]) -> list[str]:
    """With room between the columns where the line has it, without where it has not."""
    left = [column.words for column in table.columns]
    lines = _lines(table, escape)
    widths = _widths(lines)
    limit = WIDTH if table.detail else NARROW
    space = " " if sum(widths) + 3 * len(widths) + 1 <= limit else ""

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell + " " * (width - cell_len(cell)) if words else " " * (width - cell_len(cell)) + cell
            for cell, width, words in zip(cells, widths, left, strict=True)
        )
        return f"|{space}{f'{space}|{space}'.join(padded)}{space}|"

    rule = "|".join(
        "-" * (width + 2 * len(space)) if words else "-" * (width + 2 * len(space) - 1) + ":"
        for width, words in zip(widths, left, strict=True)
    )
    return [line(lines[0]), f"|{rule}|", *map(line, lines[1:])]


def _wrapped(text: str, indent: str = "") -> str:
    """In lines of at most :data:`WIDTH` characters, none of which begins like markup."""
    # One character less, for a backslash before what would.
    lines = textwrap.wrap(text, WIDTH - 1 - len(indent), break_long_words=False, break_on_hyphens=False)
    return f"\n{indent}".join([*lines[:1], *map(_begun, lines[1:])])
