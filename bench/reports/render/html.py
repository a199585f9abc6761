"""A document as a part of a page: plain elements, which a notebook shows in its own style."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from bench.reports.blocks import Block, Figure, Heading, Notes, Paragraph, Table
from bench.visible import flat


def html(blocks: Iterable[Block]) -> str:
    """Elements in a row, in one that holds them. Text from outside is text, and never markup."""
    return "\n".join(["<div>", *filter(None, map(_element, blocks)), "</div>"]) + "\n"


def _element(block: Block) -> str:
    match block:
        case Heading():
            size = f" ({block.size})" if block.size else ""
            marks = "".join(f" · {mark}" for mark in block.marks)
            level = block.level + 1  # the title of a page is the page's own
            return f"<h{level}>{_text(f'{block.text}{size}{marks}')}</h{level}>"
        case Paragraph():
            text = _text(block.text)
            return f"<p><strong>{text}</strong></p>" if block.strong else f"<p>{text}</p>"
        case Notes():
            return "<ul>\n" + "\n".join(f"<li>{_text(item)}</li>" for item in block.items) + "\n</ul>"
        case Table():
            return _table(block)
        case Figure():
            return ""


def _table(table: Table) -> str:
    align = ["left" if column.words else "right" for column in table.columns]
    lines = ["<table>", f"<caption>{_text(table.caption)}</caption>" if table.caption else "", "<thead>"]
    lines.append(_row("th", [column.heading for column in table.columns], align))
    lines += ["</thead>", "<tbody>"]
    for row in table.rows:
        lines.append(_row("td", [cell.text for cell in row.cells], align))
    return "\n".join(filter(None, [*lines, "</tbody>", "</table>"]))


def _row(element: str, texts: Iterable[str], align: Iterable[str]) -> str:
    cells = (
        f'<{element} style="text-align: {side}">{_text(text)}</{element}>'
        for text, side in zip(texts, align, strict=True)
    )
    return f"<tr>{''.join(cells)}</tr>"


def _text(text: str) -> str:
    return escape(flat(text))
