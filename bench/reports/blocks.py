"""A document before it is drawn: headings, paragraphs, tables, notes, figures. Text in them is plain text.

:mod:`bench.reports.render` draws them: on a terminal, as Markdown, LaTeX, HTML. No renderer reads another's
output, and none knows what a comparison is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Heading:
    """A heading of the blocks that follow."""

    text: str
    level: int = 2
    """1 is the title of the document."""
    size: str = ""
    """How much it is about: ``450 test images``."""
    marks: tuple[str, ...] = ()
    """What nobody may overlook: ``OPTIMISTIC``."""
    detail: bool = False
    """Whether what it heads is only shown when all is asked for, as of every block."""


@dataclass(frozen=True)
class Paragraph:
    """Sentences. ``strong``: what nobody may overlook."""

    text: str
    strong: bool = False
    detail: bool = False


@dataclass(frozen=True)
class Notes:
    """A list, one remark each."""

    items: tuple[str, ...]
    detail: bool = False


@dataclass(frozen=True)
class Column:
    """How a table shows one thing."""

    heading: str
    words: bool = False
    """Whether it holds words, which begin at the left, and not numbers."""
    key: str = ""
    """Its name in JSON, where it has one."""
    meaning: str = ""
    """What it is, in a clause."""
    latex: str = ""
    """Its heading in a paper, where that is another one."""


@dataclass(frozen=True)
class Plot:
    """An interval to be drawn where there are pictures: 0 is the left end of the scale, 100 the right."""

    estimate: float
    interval: tuple[float, float] | None
    wider: tuple[float, float] | None
    """The interval on new images."""
    margin: tuple[float, float]
    beyond: int
    """−1 or 1 where the estimate lies outside, on that side."""


@dataclass(frozen=True)
class Cell:
    """One field of a table."""

    text: str
    value: Any = None
    """What it is sorted by."""
    strong: bool = False
    plot: Plot | None = None


@dataclass(frozen=True)
class Row:
    """One row of a table; ``tags`` are what it can be found by: ``loss``, ``verdict``."""

    cells: tuple[Cell, ...]
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Rows of equal length under their columns. The first column holds names."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    """What it shows, for those who do not see it."""
    scale: str = ""
    """What its plots go up to, on both sides of no difference."""
    note: str = ""
    """A sentence on what its headings have no room for, where they are as short as those of a paper."""
    detail: bool = False


@dataclass(frozen=True)
class Figure:
    """A picture."""

    title: str
    alt: str
    """What it shows, in words."""
    svg: str
    detail: bool = False


Block = Heading | Paragraph | Notes | Table | Figure


@dataclass(frozen=True)
class Document:
    """What a report says, in the order in which it is read."""

    title: str
    cautions: tuple[str, ...]
    answer: str
    tables: tuple[Block, ...]
    closing: tuple[Block, ...]
    """Notes, method, legends."""
    reading: str = ""
    """How somebody's table was understood."""

    def blocks(self, *, everything: bool) -> list[Block]:
        """All of it in a row; ``everything``: with the details."""
        every: list[Block] = [
            Heading(self.title, 1),
            *(Paragraph(caution, strong=True) for caution in self.cautions),
            *([Paragraph(self.answer)] if self.answer else []),
            *([Paragraph(self.reading)] if self.reading else []),
            *self.tables,
            *self.closing,
        ]
        return [block for block in every if everything or not block.detail]


def plain_table(
    headings: tuple[str, ...], rows: Sequence[tuple[str, ...]], words: tuple[int, ...] = (0,), **more: Any
) -> Table:
    """A table of texts. ``words``: which columns hold words."""
    columns = tuple(Column(heading, k in words) for k, heading in enumerate(headings))
    return Table(columns, tuple(Row(tuple(map(Cell, row))) for row in rows), **more)
