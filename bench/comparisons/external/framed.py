"""Tables within LaTeX, lines drawn of letters, or Weka's ARFF → the same table as CSV or Markdown."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from bench.errors import BenchError

LOOKED_AT = 50_000
"""Letters by which a frame is known."""

_BOX = re.compile(r"\s*\+[-=+]*-[-=+]*\+\s*")
_RULES = re.compile(r"\s*={2,}(\s+={2,})+\s*")
_AND = re.compile(r"(?<!\\)&")
_ROW = re.compile(r"(?m)(?<!\\)&.*\\\\")
_LINES = re.compile(r"\\(?:hline|(?:top|mid|bottom)rule|c(?:mid)?(?:line|rule)(?:\([lr]+\))?\{[^}]*\})")
_ROWS = re.compile(r"\\multirow\*?\{[^}]*\}\{[^}]*\}\{([^}]*)\}")
_COLUMNS = re.compile(r"\\multicolumn\{(\d+)\}\{[^}]*\}\{([^}]*)\}")
_FONTS = re.compile(r"\\(?:text(?:bf|it|rm|sc|tt)|math(?:bf|rm|it)|underline|emph|bm|bf|cite\w*\{[^}]*\})")


def unframed(source: str, text: str) -> str:
    """The same text where there is no frame that is known.

    Raises:
        BenchError: a page of HTML, or XML.
    """
    head = text[:LOOKED_AT].lstrip()
    if head.startswith("<"):
        raise BenchError(f"{source}: a page of HTML or XML; expected its table alone, saved as CSV")
    first = head.partition("\n")[0]
    if head[:9].casefold() == "@relation" or re.search(r"(?mi)^@relation\b", head):
        return _arff(text)
    if _BOX.fullmatch(first):
        return "\n".join(line for line in text.splitlines() if not _BOX.fullmatch(line))
    if _RULES.fullmatch(first):
        return _between_rules(text, first)
    return _latex(text) if _ROW.search(head) else text


def _arff(text: str) -> str:
    """What Weka saves: names of columns, a line each, before the rows."""
    names, columns, rows = re.compile(r"@attribute\s+('[^']*'|\"[^\"]*\"|\S+)", re.IGNORECASE), [], []
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("%")]
    for place, line in enumerate(lines):
        if match := names.match(line.strip()):
            columns.append(match[1].strip("'\""))
        elif line.strip().casefold() == "@data":
            rows = [line.replace("'", '"') for line in lines[place + 1 :]]
    return "\n".join([_written([columns]), *rows])


def _between_rules(text: str, rule: str) -> str:
    """A simple table of reStructuredText: fields begin where the runs of = do."""
    starts = [match.start() for match in re.finditer("=+", rule)]
    ends = [*starts[1:], None]
    lines = [line for line in text.splitlines() if line.strip() and not _RULES.fullmatch(line)]
    return _written(
        [[line[a:b].strip() for a, b in zip(starts, ends, strict=True)] for line in lines]
    )  # fmt: skip


def _latex(text: str) -> str:
    """The lines with fields of a ``tabular``, without fonts."""
    text = _ROWS.sub(r"\1", _LINES.sub("", text.replace(r"\tabularnewline", r"\\")))
    text = _COLUMNS.sub(lambda match: match[2] + " &" * (int(match[1]) - 1), text)
    rows = [_AND.split(line.partition(r"\\")[0]) for line in text.splitlines() if _AND.search(line)]
    return _written([[_bare(field) for field in row] for row in rows])


def _bare(field: str) -> str:
    field = re.sub(r"[{}$]|(?<!\\)~", " ", _FONTS.sub("", field).replace(r"\pm", "±"))
    field = re.sub(r"\\([%&_#])", r"\1", field)
    return re.sub(r"\s*_\s*±", " ±", " ".join(field.split()))


def _written(rows: Sequence[Sequence[str]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()
