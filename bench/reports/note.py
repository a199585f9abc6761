"""What MLflow's page of a suite says of it."""

from __future__ import annotations

import re

from bench.reports.documents import Report
from bench.reports.html.answer import headline
from bench.reports.text import escaped, markdown

_HTML = {"&": "&amp;", "<": "&lt;"}


def note(report: Report) -> str:
    """The question, the answer in words, then the tables: Markdown that is shown as HTML."""
    question, _, rest = markdown(report).partition("\n\n")
    text = f"{question}\n\n**{escaped(headline(report))}**\n\n{rest}"
    # MLflow's Markdown takes a tag for a tag, whatever stands before it.
    return re.sub(r"\\?([&<])", lambda found: _HTML[found[1]], text)
