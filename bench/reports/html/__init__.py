"""One HTML page with all of a suite's results: a single file that opens from disk, without a network.

Question and answer, then evidence, then every run. :mod:`bench.reports.document` says what is shown of the
comparisons, :mod:`~bench.reports.html.runs` what of the runs; ``page.html``, ``page.css`` and ``page.js`` say
how.

Whatever comes from outside (labels, reasons, host names) is text and never markup: the template escapes all
of it, figures are images, runs are JSON from which the script makes text nodes. The page's own policy lets
nothing run but its script, and nothing be loaded.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from bench.reports.answer import sentence
from bench.reports.blocks import Block, Figure, Heading, Plot, Table
from bench.reports.document import document
from bench.reports.formats import scale_of
from bench.reports.groups import groups
from bench.reports.html.runs import RunList
from bench.reports.schema import Report
from bench.statistics.verdicts import Word
from bench.visible import flat, visible

FOLDER = Path(__file__).parent
MOST_TOLD = 12
"""Comparisons that are told one by one: of more, those without a difference are folded away."""

Told = tuple[Word | None, str]
"""A comparison: its verdict, and the sentence about it."""


def page(report: Report, runs: RunList, figures: Sequence[Figure] = (), home: str = "") -> str:
    """The whole page. The same report, runs and figures give the same text.

    Args:
        home: address of a page with all suites, where there is one.
    """
    style, script = ((FOLDER / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        finalize=lambda value: flat(value) if type(value) is str else value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"folded": _folded, "image": _image, "plots": _plots}
    words = Counter(comparison.verdict.word for comparison in report.comparisons if comparison.verdict)
    return environment.get_template("page.html").render(
        report=report,
        document=document(report, page=True),
        tally={word: words[word] for word in Word if words[word]},
        told=list(_told(report)),
        figures=figures,
        runs=runs,
        home=home,
        data=_embedded(runs, report),
        kind=lambda block: type(block).__name__,
        zip=zip,
        policy=(
            f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        ),
        style=Markup(style),
        script=Markup(script),
    )


def _told(report: Report) -> Iterator[tuple[str, list[Told], list[Told]]]:
    """Setting by setting: what is told of its comparisons, differences first, and what is folded away."""
    metric, few = report.metrics[0], len(report.comparisons) <= MOST_TOLD
    for group in groups(report, metric):
        sentences = sorted(
            (
                (c.verdict.word if c.verdict else None, sentence(c, metric, group.scale, report.alpha))
                for c in group.compared.values()
            ),
            key=lambda item: [*Word, None].index(item[0]),
        )
        first = [item for item in sentences if few or item[0] in (Word.SUPERIOR, Word.INFERIOR)]
        yield group.name, first, sentences[len(first) :]


def _folded(blocks: Sequence[Block], more: str) -> list[tuple[str, list[Block]]]:
    """Blocks by the summary they are folded under, none where they are not: details that stand in a row.

    Args:
        more: what they are called that have no heading of their own.
    """
    folds: list[tuple[str, list[Block]]] = []
    about = ""
    for block in blocks:
        if not block.detail:
            folds.append(("", [block]))
            about = f" of {block.text}" if isinstance(block, Heading) else about
        elif isinstance(block, Heading) and block.level == 2:
            folds.append((" · ".join((block.text, *block.marks)), []))
        elif folds and folds[-1][0]:
            folds[-1][1].append(block)
        else:
            folds.append((more + about, [block]))
    return folds


def _plots(table: Table) -> list[Plot | None]:
    """The one of each row; empty where no row has one."""
    plots = [next((cell.plot for cell in row.cells if cell.plot), None) for row in table.rows]
    return plots if any(plots) else []


def _hash(source: str) -> str:
    """What the page's policy knows its own script and style by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def _image(svg: str) -> Markup:
    """An SVG as an address. As an image it runs no script, and its ids cannot clash with those of another."""
    return Markup(f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}")


def _embedded(runs: RunList, report: Report) -> Markup:
    """The runs, and what the deciding metric says of each, as JSON that ends no script element."""
    metric = report.metrics[0]
    values = {
        cell.key: {seed: float(f"{value:.6g}") for seed, value in zip(cell.seeds, cell.values, strict=True)}
        for cell in report.cells
        if not metric.counted  # counts stand in the runs themselves
    }
    scale = scale_of(metric, report.cells)
    data = dict(runs) | {
        "counted": metric.counted,
        "scale": asdict(scale),
        "values": [values.get((cell["dataset"], cell["model"], cell["loss"]), {}) for cell in runs.cells],
    }
    text = json.dumps(_visible(data), separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _visible(value: Any) -> Any:
    """Plain data in which no text steers anything."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {_visible(key): _visible(inner) for key, inner in value.items()}
    return [*map(_visible, value)] if isinstance(value, (list, tuple)) else value
