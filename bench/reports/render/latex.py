r"""A document as LaTeX: tables for a paper that pdflatex sets as they are, with no package but booktabs.

``\input{report}`` puts the tables into a paper; ``pdflatex report.tex`` makes pages of them, with the methods
paragraph that lies beside it (and bibtex its references).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bench.reports.blocks import Block, Column, Document, Heading, Notes, Paragraph, Row, Table
from bench.visible import flat

ROWS = 36
"""Rows in one table: a page holds them, with caption and notes."""
NOTES = 12
"""Remarks of a list below a table; the others are in ``report.md``."""
NAME, HEADING = 40, 80
"""Letters of a name, and of a heading, that take one line."""
WORD = 20
"""Letters of a word that is not broken."""

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
_BOLD = (
    "Bold is the best mean of a data set and model, and only where the verdicts say that it is the better "
    "one: superior to the baseline (losses are not compared with each other), or a baseline that all others "
    "are inferior to."
)


def latex(document: Document, name: str) -> str:
    """The tables of a document, without its details; all that is to be noted stands below the last of them.

    Args:
        name: labels are ``tab:name``, ``tab:name-2``, …
    """
    floats = _floats(block for block in document.tables if not block.detail)
    notes = [said for block in document.closing if not block.detail for said in _said(block)]
    if any("\\textbf{" in line for table in floats for line in table.lines):
        notes.append(_BOLD)
    cautions = [f"\\textbf{{{escape(caution)}}}" for caution in document.cautions]
    parts = [_HEAD]
    for number, table in enumerate(floats, start=1):
        again = f"-{number}" if number > 1 else ""
        table.notes += notes if number == len(floats) else ["Below the last of these tables."]
        title = _sentence(f"{document.title} (continued)" if again else document.title)
        parts.append(table.drawn(f"tab:{name}{again}", filter(None, [title, *table.captions, *cautions])))
        if number % 10 == 0:
            parts.append("\\clearpage % LaTeX keeps only so many tables waiting\n")
    return "\n".join([*parts, "\\reportend", ""])


@dataclass
class _Float:
    """One table on paper: those of a document that have the same columns, each under its heading."""

    columns: tuple[Column, ...]
    lines: list[str] = field(default_factory=list)
    captions: dict[str, None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def drawn(self, label: str, captions: Iterable[str]) -> str:
        """The table as LaTeX."""
        headings = " & ".join(column.latex or escape(column.heading) for column in self.columns)
        return "\n".join(
            [
                "\\begin{table}[htbp]\\centering\\footnotesize\\setlength{\\tabcolsep}{4pt}",
                f"\\caption{{{' '.join(captions)}}}\\label{{{label}}}\\smallskip",
                f"\\begin{{tabular}}{{@{{}}{''.join('rl'[column.words] for column in self.columns)}@{{}}}}",
                f"\\toprule\n{headings} \\\\\n\\midrule",
                *self.lines,
                "\\bottomrule\n\\end{tabular}\\par\\smallskip",
                "\\parbox{\\linewidth}{\\raggedright \\emph{Notes.}",
                "\\\\\n".join(self.notes) + "}\n\\end{table}\n",
            ]
        )


def _floats(blocks: Iterable[Block]) -> list[_Float]:
    """Tables that fit a page; long ones go on in the next. Sentences belong to the table that they follow."""
    floats: list[_Float] = []
    heading, first = Heading(""), list[str]()
    for block in blocks:
        match block:
            case Heading():
                heading = block
            case Paragraph() | Notes():
                (first if heading.text or not floats else floats[-1].notes).extend(_said(block))
            case Table():
                rows = [_row(block.columns, row) for row in block.rows]
                for start in range(0, len(rows), ROWS):
                    part = rows[start : start + ROWS]
                    full = not floats or len(floats[-1].lines) + len(part) > ROWS
                    if full or floats[-1].columns != block.columns:
                        floats.append(_Float(block.columns))
                    now = floats[-1]
                    now.lines += [
                        *(["\\midrule"] if now.lines else []),
                        _heading(heading, block.columns),
                        *part,
                    ]
                    now.captions[_sentence(block.note)] = None
                    now.notes += first
                    first = []
                heading = Heading("")
    return floats


def _heading(heading: Heading, columns: tuple[Column, ...]) -> str:
    size = f" ({escape(heading.size)})" if heading.size else ""
    text = f"\\emph{{{_within(heading.text, HEADING, 0.9)}}}{size}"
    return f"\\multicolumn{{{len(columns)}}}{{@{{}}l}}{{{text}}} \\\\"


def _row(columns: tuple[Column, ...], row: Row) -> str:
    cells = []
    for column, cell in zip(columns, row.cells, strict=True):
        text = _within(cell.text, NAME, 0.3) if column.words else escape(cell.text.replace("-", "−"))
        cells.append(f"\\textbf{{{text}}}" if cell.strong else text)
    return " & ".join(cells) + " \\\\"


def _within(text: str, letters: int, share: float) -> str:
    """In one line; longer text in several, which take this share of the page's width."""
    if len(spelled(text)) <= letters:
        return escape(text)
    return f"\\parbox[t]{{{share}\\linewidth}}{{\\raggedright {breakable(text)}}}"


def _said(block: Block) -> Iterator[str]:
    """What a block of sentences says, one note each."""
    match block:
        case Paragraph():
            yield breakable(block.text)
        case Notes():
            yield from map(breakable, block.items[:NOTES])
            if len(block.items) > NOTES:
                yield f"{len(block.items) - NOTES} more remarks are in \\texttt{{report.md}}."


def _sentence(text: str) -> str:
    return escape(text) + "." * (text[-1:] not in {*".?!", ""})


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
    **{"†": "\\dag{}", "‡": "\\ddag{}", "§": "\\S{}", "¶": "\\P{}", "²": "$^2$"},
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
    words = (re.findall(".{1,12}", word) if len(word) > WORD else [word] for word in spelled(text).split(" "))
    return " ".join("\\allowbreak{}".join(map(escape, pieces)) for pieces in words)
