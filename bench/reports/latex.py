r"""A report as LaTeX: tables for a paper that pdflatex sets as they are, with no package but booktabs.

``\input{report}`` puts the tables into a paper; ``pdflatex report.tex`` makes pages of them, with the methods
paragraph that lies beside it (and bibtex its references).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from bench.reports.documents import CellSummary, Comparison, Report
from bench.reports.text import (
    SCALED_DOWN,
    flat,
    groups,
    rank_rows,
    rank_words,
    remarks,
    shortened,
    verdict_row,
)
from bench.statistics.verdicts import Verdict

ROWS = 36
"""Losses in one table: a page holds them, with caption and notes."""
NOTES = 12
"""Remarks below a table; the others are in ``report.md``."""
NAME, HEADING = 30, 50
"""Letters of a loss, and of a data set or model: longer names are shortened, and written out in the notes."""

_HEAD = r"""% The tables of this suite: \input them, or run pdflatex on this file.
\expandafter\ifx\csname @nodocument\endcsname\relax % within a document
  \let\reportend\relax
\else
  \documentclass{article}
  \usepackage[T1]{fontenc}
  \usepackage{lmodern}
  \usepackage[margin=2cm]{geometry}
  \usepackage{booktabs}
  \begin{document}
  \IfFileExists{methods.tex}{\section*{Methods}\input{methods}\par
    \def\reportend{\bibliographystyle{plain}\bibliography{references}\end{document}}%
  }{\def\reportend{\end{document}}}
\fi
% Without booktabs, the lines of LaTeX itself.
\providecommand{\toprule}{\hline}
\providecommand{\midrule}{\hline}
\providecommand{\bottomrule}{\hline}
"""
_COLUMNS = (
    r"Loss & Seeds & Accuracy (\%) & $\Delta$ (points) & $\pm$ here & $\pm$ new & $p$ adj.\ & Verdict \\"
)
_WIDTH = _COLUMNS.count("&") + 1
_BOLD = (
    "Bold is the highest mean of a data set and model, and only where the verdicts say that it is the better "
    "one: superior to the baseline (losses are not compared with each other), or a baseline that all others "
    "are inferior to."
)


def latex(report: Report) -> str:
    """Tables of all data sets and models, with notes below the last of them."""
    tables = list(_pages(list(_blocks(report))))
    parts = [_HEAD]
    for number, rows in enumerate(tables, start=1):
        parts.append(_table(report, rows, number, last=number == len(tables)))
        if number % 10 == 0:
            parts.append("\\clearpage % LaTeX keeps only so many tables waiting\n")
    parts += [_rank_table(report, number) for number in range(len(report.rankings))]
    return "\n".join([*parts, "\\reportend", ""])


# ------------------------------------------------------------------------------------------------ the tables


def _blocks(report: Report) -> Iterator[tuple[str, list[str]]]:
    """Of each data set × model: its heading, and a row for each loss."""
    by_key = {(c.dataset, c.model, c.loss): c for c in report.comparisons}
    for dataset, model, cells, images, digits in groups(report):
        names = " · ".join(shortened([spelled(name)], HEADING)[0] for name in (dataset, model))
        size = f" ({images:,} test images)" if images else ""
        heading = f"\\multicolumn{{{_WIDTH}}}{{@{{}}l}}{{\\emph{{{escape(names)}}}{size}}} \\\\"
        found = {cell.loss: by_key.get((dataset, model, cell.loss)) for cell in cells}
        best = _best(cells, found, report.baseline)
        labels = shortened([spelled(cell.loss) for cell in cells], NAME)
        rows = []
        for cell, label in zip(cells, labels, strict=True):
            row = verdict_row(cell, found[cell.loss], report.baseline, digits)
            mean, *spread = (escape(part.replace("-", "−")) for part in row[2].split(" ± "))
            accuracy = " $\\pm$ ".join([f"\\textbf{{{mean}}}" if cell.loss == best else mean, *spread])
            numbers = [escape(number.replace("-", "−")) for number in row[3:7]]
            rows.append(" & ".join([escape(label), row[1], accuracy, *numbers, escape(row[7])]) + " \\\\")
        yield heading, rows


def _best(cells: Sequence[CellSummary], found: Mapping[str, Comparison | None], baseline: str) -> str | None:
    """The loss to print in bold: the highest mean, if the verdicts say that it is the better one."""
    means = {cell.loss: cell.mean for cell in cells if cell.mean is not None}
    if not means:
        return None
    best = max(means, key=lambda loss: means[loss])
    comparison = found[best]
    if comparison is not None:
        return best if comparison.verdict == Verdict.SUPERIOR else None
    others = [other for other in found.values() if other is not None]
    beaten = bool(others) and all(other.verdict == Verdict.INFERIOR for other in others)
    return best if best == baseline and beaten else None


def _pages(blocks: Sequence[tuple[str, list[str]]]) -> Iterator[list[str]]:
    """Rows of tables that fit a page, each group under its heading; long groups go on in the next table."""
    page: list[str] = []
    for heading, rows in blocks:
        for start in range(0, len(rows), ROWS):
            some = rows[start : start + ROWS]
            if page and len(page) + len(some) > ROWS:
                yield page
                page = []
            page += [*(["\\midrule"] if page else []), heading, *some]
    yield page


def _table(report: Report, rows: Sequence[str], number: int, *, last: bool) -> str:
    caption = f"{escape(report.question)}{' (continued)' if number > 1 else ''}"
    if report.scaled_down:
        caption += f" \\textbf{{{SCALED_DOWN}}}"
    if report.optimistic:
        caption += " \\textbf{OPTIMISTIC: the epoch was chosen on the test set itself.}"
    label = f"tab:{report.suite}{f'-{number}' if number > 1 else ''}"
    notes = _notes(report) if last else ["Notes: below the last of these tables."]
    return "\n".join(
        [
            "\\begin{table}[htbp]",
            "\\centering\\footnotesize\\setlength{\\tabcolsep}{4pt}",
            f"\\caption{{{caption}}}\\label{{{label}}}\\smallskip",
            "\\begin{tabular}{@{}lrrrrrrl@{}}",
            "\\toprule",
            _COLUMNS,
            "\\midrule",
            *rows,
            "\\bottomrule",
            "\\end{tabular}",
            "\\par\\smallskip",
            "\\parbox{\\linewidth}{\\raggedright",
            "\\\\\n".join(notes) + "}",
            "\\end{table}",
            "",
        ]
    )


def _rank_table(report: Report, number: int) -> str:
    ranking = report.rankings[number]
    caption = f"Average ranks over {len(ranking.datasets)} data sets with {escape(ranking.model)}; 1 is best."
    if report.scaled_down:
        caption += f" \\textbf{{{SCALED_DOWN}}}"
    rows = [" & ".join(map(escape, row)) + r" \\" for row in rank_rows(ranking, report.baseline)]
    return "\n".join(
        [
            "\\begin{table}[htbp]",
            "\\centering\\footnotesize",
            f"\\caption{{{caption}}}\\label{{tab:{report.suite}-ranks-{number + 1}}}\\smallskip",
            "\\begin{tabular}{@{}lrrl@{}}",
            "\\toprule",
            r"Loss & Rank & $p$ adj.\ & Alike \\",
            "\\midrule",
            *rows,
            "\\bottomrule",
            "\\end{tabular}",
            "\\par\\smallskip",
            f"\\parbox{{\\linewidth}}{{\\raggedright {breakable(rank_words(ranking, report.alpha))}}}",
            "\\end{table}",
            "",
        ]
    )


def _notes(report: Report) -> list[str]:
    """Method and family, what is bold, what is missing, and the names that were too long."""
    notes = [f"\\emph{{Notes.}} {escape(report.method)}", _BOLD]
    if not report.complete:
        done, planned = (sum(getattr(cell, of) for cell in report.cells) for of in ("n", "planned"))
        notes.append(f"{done} of {planned} runs are finished: all of this may still change.")
    said = remarks(report)
    notes += [breakable(remark) for remark in said[:NOTES]]
    if len(said) > NOTES:
        notes.append(f"{len(said) - NOTES} more remarks are in \\texttt{{report.md}}.")
    names = dict.fromkeys(
        [n for cell in report.cells for n in (cell.dataset, cell.model) if len(spelled(n)) > HEADING]
        + [cell.loss for cell in report.cells if len(spelled(cell.loss)) > NAME]
    )
    full = ", ".join(map(breakable, [*names][:NOTES]))
    return [*notes, f"Names in full: {full}."] if full else notes


# ------------------------------------------------------------------------------------------ text from outside

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,:;()/+=@!?'-")
_GREEK = (
    "α alpha β beta γ gamma δ delta ε epsilon ζ zeta η eta θ theta ι iota κ kappa λ lambda μ mu ν nu ξ xi "
    "π pi ρ rho σ sigma τ tau υ upsilon φ phi χ chi ψ psi ω omega "
    "Γ Gamma Δ Delta Θ Theta Λ Lambda Ξ Xi Π Pi Σ Sigma Φ Phi Ψ Psi Ω Omega"
)
_MATHS = {
    **dict(zip(_GREEK.split()[::2], _GREEK.split()[1::2], strict=True)),
    **{"±": "pm", "×": "times", "−": "-", "≤": "leq", "≥": "geq", "≠": "neq", "≈": "approx", "∞": "infty"},
    **{"→": "rightarrow", "←": "leftarrow", "·": "cdot", "√": "surd", "∈": "in", "µ": "mu"},
}
_SYMBOLS = {
    **{char: f"\\{char}" for char in "#$%&_{}"},
    # In brackets, lest \\ takes them for its arguments.
    **{char: f"{{{char}}}" for char in "[]*"},
    **{"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"},
    **{"<": "\\textless{}", ">": "\\textgreater{}", "|": "\\textbar{}", "`": "\\textasciigrave{}"},
    **{'"': "{\\char34}", "–": "--", "—": "---", "“": "``", "”": "''", "…": "\\ldots{}", "°": "$^\\circ$"},
    **{"ß": "\\ss{}", "æ": "\\ae{}", "Æ": "\\AE{}", "œ": "\\oe{}", "Œ": "\\OE{}", "ø": "\\o{}", "Ø": "\\O{}"},
    **{"å": "\\aa{}", "Å": "\\AA{}", "ł": "\\l{}", "Ł": "\\L{}", "ı": "\\i{}"},
    **{char: f"${name}$" if name == "-" else f"$\\{name}$" for char, name in _MATHS.items()},
}
_ACCENTS = {
    **{"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u"},
    **{"\u0307": ".", "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c"},
}


def spelled(text: str) -> str:
    """One line in which letters that pdflatex has no font for are numbers: ``<U+1F600>``."""
    return "".join(
        c if c in _PLAIN or _typeset(c) else f"<U+{ord(c):04X}>"
        for c in unicodedata.normalize("NFC", flat(text))
    )


def escape(text: str) -> str:
    """Text from outside as one line of LaTeX that shows it as it is (see :func:`spelled`)."""
    # Two hyphens, quotes or commas in a row must not melt into one sign.
    apart = re.split(r"(?<=[-',])(?=[-',])", spelled(text))
    return "{}".join("".join(c if c in _PLAIN else _typeset(c) or c for c in part) for part in apart)


def _typeset(c: str) -> str | None:
    """A letter other than the plain ones, whatever the encoding of the fonts; None: not to be had."""
    if c in _SYMBOLS:
        return _SYMBOLS[c]
    apart = unicodedata.normalize("NFD", c)
    base, marks = apart[:1], apart[1:]
    if not marks or not (base.isascii() and base.isalpha()) or not _ACCENTS.keys() >= {*marks}:
        return None
    for mark in marks:
        base = f"\\{_ACCENTS[mark]}{{{base}}}"
    return base


def breakable(text: str) -> str:
    """As :func:`escape`, with places to break long words at."""
    words = (re.findall(".{1,12}", word) for word in spelled(text).split(" "))
    return " ".join("\\allowbreak{}".join(map(escape, pieces)) for pieces in words)
