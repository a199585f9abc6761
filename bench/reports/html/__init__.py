"""One HTML page with all of a suite's results: a single file that opens from disk, without a network.

Question and answer, then evidence, then every run. :mod:`~bench.reports.html.answer` says what is shown of
the comparisons, :mod:`~bench.reports.html.runs` what of the runs; ``page.html``, ``page.css`` and ``page.js``
say how.

Whatever comes from outside (labels, reasons, host names) is text and never markup: the template escapes all
of it, figures are images, runs are JSON from which the script makes text nodes. The page's own policy lets
nothing run but its script, and nothing be loaded.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
from markupsafe import Markup

from bench.reports import text
from bench.reports.documents import Report
from bench.reports.html.answer import VERDICTS, columns, groups, headline, p_value, signed
from bench.reports.html.runs import RunList
from bench.reports.text import epoch_row, rank_rows, rank_words

FOLDER = Path(__file__).parent


class Figure(NamedTuple):
    """A picture on the page."""

    title: str
    alt: str
    """What it shows, in words."""
    svg: str


def page(report: Report, runs: RunList, figures: Sequence[tuple[str, str, str]] = ()) -> str:
    """The whole page. The same report, runs and figures give the same text.

    Args:
        figures: as :class:`Figure`: title, text for those who do not see it, SVG.
    """
    style, script = ((FOLDER / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"signed": signed, "p_value": p_value}
    verdicts = Counter(comparison.verdict for comparison in report.comparisons)
    return environment.get_template("page.html").render(
        report=report,
        headline=headline(report),
        groups=groups(report),
        epochs=[
            (dataset, model, [epoch_row(cell, report.baseline, digits) for cell in cells])
            for dataset, model, cells, _, digits in text.groups(report)
            if text.shows_epochs(report)
        ],
        epoch_columns=text.EPOCHS,
        epoch_legend=text.EPOCHS_LEGEND,
        rankings=[
            (ranking, rank_rows(ranking, report.baseline), rank_words(ranking, report.alpha))
            for ranking in report.rankings
        ],
        verdicts={verdict: verdicts[verdict] for verdict in VERDICTS if verdicts[verdict]},
        columns=columns(report),
        runs=runs,
        data=_embedded(runs),
        figures=[(title, alt, _image(svg)) for title, alt, svg in figures],
        policy=(
            f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        ),
        style=Markup(style),
        script=Markup(script),
    )


def _hash(source: str) -> str:
    """What the page's policy knows its own script and style by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def _image(svg: str) -> str:
    """An SVG as an address. As an image it runs no script, and its ids cannot clash with those of another."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def _embedded(runs: RunList) -> Markup:
    """JSON that ends no script element, whatever is in it."""
    text = json.dumps(runs.model_dump(), separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
