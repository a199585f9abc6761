"""Text of any encoding and separator → one DataFrame, as spreadsheets, R and people write tables."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from bench.comparisons.external.framed import unframed
from bench.comparisons.external.names import is_score
from bench.errors import BenchError, nearest

SEPARATORS = ",;\t|"
ENCODINGS = ("utf-8", "utf-16", "cp1252", "latin-1", "cp1250", "cp1251", "shift_jis", "gb18030", "mac_roman")
"""Named where one that Python does not know is asked for."""
FIRST_CHOICE = ("cp1252", "gb18030")
"""Of encodings that fit a few letters alike, those that most tables are in."""
HEAD = 1_000_000
"""Letters among which the heading is."""
SAMPLE = 200_000
"""Bytes by which an encoding is guessed."""

_RULE = re.compile(r"\s*\|?(\s*:?-{2,}:?\s*\|)+(\s*:?-{2,}:?)?\s*")
"""Below the heading of a Markdown table."""


def decoded(source: str, content: bytes, encoding: str | None, allowed: str) -> tuple[str, list[str]]:
    """The text, and what was guessed of its encoding.

    Args:
        encoding: asked for; None: UTF-8 where that fits, else what charset-normalizer makes of it.
        allowed: what files there may be, for messages.

    Raises:
        BenchError: an encoding that does not fit or does not exist, or no text at all.
    """
    if encoding is not None:
        try:
            return content.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding), []
        except LookupError:
            hint = nearest(encoding, ENCODINGS)
            raise BenchError(
                f"{source}: --encoding: unknown encoding '{encoding}'; such as {', '.join(ENCODINGS)}{hint}"
            ) from None
        except UnicodeError as error:
            raise BenchError(f"{source}: --encoding: this is no {encoding} text: {error}") from None
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace"), []
    if b"\0" in content[:SAMPLE]:
        for name, part in (("utf-16-le", content[1:SAMPLE:2]), ("utf-16-be", content[:SAMPLE:2])):
            if len(content) % 2 == 0 and part.count(0) > 0.9 * len(part):
                return content.decode(name, errors="replace"), [_guess(name)]
        raise BenchError(f"{source}: a binary file; expected {allowed}")
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        place = error.start
    from charset_normalizer import from_bytes

    guesses = list(from_bytes(content[max(place - SAMPLE // 2, 0) : place + SAMPLE // 2]))
    alike = [one for one in guesses if (one.chaos, one.coherence) == (guesses[0].chaos, guesses[0].coherence)]
    names = [name for one in alike for name in (one.encoding, *one.could_be_from_charset)]
    name = next((usual for usual in FIRST_CHOICE if usual in names), [*names, FIRST_CHOICE[0]][0])
    try:
        return content.decode(name), [_guess(name)]
    except UnicodeError:
        raise BenchError(
            f"{source}: byte {place:,} is no UTF-8 text, nor {name}; expected {allowed}, or say --encoding"
        ) from None


def _guess(name: str) -> str:
    return f"encoding: {name} (guessed; --encoding says otherwise)"


def read_csv(source: str, text: str) -> tuple[pd.DataFrame, list[str]]:
    """The table of a text, and what was guessed. Only an empty field is a missing value.

    The separator is whichever of ``, ; tab |`` the heading has most, else white space. Above the heading,
    comments, ``sep=`` and a title may stand.

    Raises:
        BenchError: rows that have not as many fields as the heading, or two columns of one name.
    """
    text = unframed(source, text)
    head = text[:HEAD].splitlines()
    skipped, header = _header(head)
    above = [line for line in head[:skipped] if line.strip()]
    said = [f"above the heading: '{above[0].strip()[:40]}' (skipped)"] if above else []
    separator = _separator(header)
    if header.startswith("'") and '"' not in header:
        text = text.replace("'", '"')
        head = text[:HEAD].splitlines()
        header = head[skipped]
    text, again = _once(text, header, separator)
    said += again
    if header.lstrip().startswith("|"):
        text, separator, skipped = _markdown(text, skipped), "|", 0
        head = text[:HEAD].splitlines()
        header = head[0]
    names = _fields(header, separator)
    rows = head[skipped : skipped + 2]
    wider = len(rows) > 1 and len(_fields(rows[1], separator)) == len(names) + 1
    if wider and separator in (" ", "\t") and names[0]:  # R's write.table has no heading for names of rows
        names = ["", *names]
    below = [_fields(line, separator) for line in head[skipped + 1 : skipped + 3]]
    names, lines = headings([names, *below])
    for name, count in Counter(filter(None, names)).items():
        if count > 1:
            raise BenchError(
                f"{source}: {count} columns are called '{name}'; every column needs its own name"
            )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                io.StringIO(text),
                sep=r"\s+" if separator == " " else separator,
                names=list(range(len(names))),
                header=None,
                skiprows=skipped + lines,
                index_col=False,
                skipinitialspace=True,
                keep_default_na=False,  # a method may be called None
                na_values=[""],
                low_memory=False,
            )
    except pd.errors.ParserWarning:
        raise BenchError(
            f"{source}: there are rows with more fields than the header, {len(names)}; a comma within a "
            "field needs quotes around it"
        ) from None
    except pd.errors.EmptyDataError:
        table = pd.DataFrame(columns=range(len(names)))
    except pd.errors.ParserError as error:
        reason = str(error).removeprefix("Error tokenizing data. C error: ").strip()
        raise BenchError(f"{source}: the rows do not have {len(names)} fields each: {reason}") from None
    table.columns = pd.Index(names)
    _refuse_without_heading(source, table)
    return without_nameless(table), said


def headings(rows: Sequence[Sequence[str]]) -> tuple[list[str], int]:
    """Names of columns, and in how many rows they stand: one, or as spreadsheets and pandas write levels.

    Args:
        rows: the first three.
    """
    names = [*rows[0]]
    below = rows[1] if len(rows) > 1 else []
    if len(below) != len(names) or any(map(_is_number, below)):
        return names, 1
    above = [*names]
    for place in range(1, len(above)):  # of merged cells only the first has the name
        above[place] = above[place] or (above[place - 1] if below[place] else "")
    levels = [f"{name} {more}".strip() for name, more in zip(above, below, strict=True)]
    if len({*above}) == len(above) or len({*levels}) < len(levels):
        return names, 1
    last = rows[2] if len(rows) > 2 else []
    if not last or any(last[1:]):
        return levels, 2
    if below[0]:  # a pivot: the name of the lower level stands beside it
        levels = [
            f"{more}~{name}" if is_score(name) else f"{name}~{more}"
            for name, more in zip(above, below, strict=True)
        ]
    return [last[0] or levels[0], *levels[1:]], 3


def _once(text: str, header: str, separator: str) -> tuple[str, list[str]]:
    """Without comments between the rows, and without a heading that stands there again."""
    again, comments = text.count(f"\n{header}\n"), "\n#" in text
    above, _, below = text.partition(header)
    if not below or (not comments and again < 1 + bool(above)):
        return text, []
    marks = header.count(separator)
    lines = below.splitlines()
    rest = [
        line for line in lines
        if line != header and not (line.startswith("#") and line.count(separator) < marks)
    ]  # fmt: skip
    repeats = lines.count(header)
    notes = [f"the heading stands there {repeats + 1} times, as where files are joined (skipped)"] * bool(
        repeats
    )
    return above + header + "\n".join(rest) + "\n", notes


def _refuse_without_heading(source: str, table: pd.DataFrame) -> None:
    """What would be its name is a number with decimals, such as those in the column below it."""
    for name, column in table.items():
        if re.fullmatch(r"[+\-]?\d+\.\d+", str(name)) and pd.api.types.is_numeric_dtype(column):
            least, most = column.min(), column.max()
            if least - (most - least) <= float(str(name)) <= most + (most - least):
                first = ", ".join(map(str, table.columns[:6]))
                raise BenchError(
                    f"{source}: there is no heading: its first line, {first}, looks like the rows below; "
                    "expected names of columns there, such as method,seed,accuracy"
                )


def without_nameless(table: pd.DataFrame) -> pd.DataFrame:
    """Without empty columns that have no name. The first other one keeps having none."""
    nameless = [k for k, name in enumerate(table.columns) if not name]
    empty = {k for k in nameless if table.iloc[:, k].isna().all()}
    names = [f"column {k + 1}" if k in nameless[1:] and k else n for k, n in enumerate(table.columns)]
    return table.set_axis(names, axis=1).iloc[:, [k for k in range(len(names)) if k not in empty]]


def _header(lines: list[str]) -> tuple[int, str]:
    """How many lines stand above the heading, and the heading itself."""
    visible = [
        (k, line)
        for k, line in enumerate(lines[:100])
        if line.strip() and not re.match(r"\s*#", line) and not re.fullmatch(r'"?sep=.{0,3}', line)
    ]
    first = visible[0][0] if visible else 0
    if 0 < first < len(lines) - 1 and lines[first - 1].lstrip().startswith("#"):  # as numpy and C++ write it
        above, below = lines[first - 1].lstrip()[1:], lines[first]
        fields_above = _fields(above, _separator(below))
        if len(fields_above) > 1 and len(fields_above) == len(_fields(below, _separator(below))):
            return first - 1, above
    if not visible:  # comments, and nothing else
        return 0, next(line for line in lines if line.strip())
    usual = Counter(sign for _, line in visible[:20] if (sign := _separator(line)) != " ")
    separator = usual.most_common(1)[0][0] if usual else " "
    fields = [len([f for f in _fields(line, separator) if f]) for _, line in visible[:20]]
    # A title has one field, and what stands below it several, all alike.
    titles = next((k for k, count in enumerate(fields) if count > 1), 0)
    rest = {*fields[titles:]}
    title = titles and not _separated(visible[0][1]) and _separated(visible[titles][1])
    if not (title and len(rest) == 1 and len(fields) > titles + 1):
        titles = 0
    return visible[titles]


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+\-]?[\d.]+(e[+\-]?\d+)?", text) is not None


def _separated(line: str) -> bool:
    return any(letter in line for letter in SEPARATORS)


def _separator(line: str) -> str:
    counts = Counter(letter for letter in line if letter in SEPARATORS)
    best = max(SEPARATORS, key=lambda letter: counts[letter])
    return " " if not counts[best] and len(line.split()) > 1 else best


def _fields(line: str, separator: str) -> list[str]:
    if separator == " ":
        return next(csv.reader([" ".join(line.split())], delimiter=" "), [])
    return [name.strip() for name in next(csv.reader([line], delimiter=separator), [])]


def _markdown(text: str, skipped: int) -> str:
    """Without the lines at both ends and below the heading, and without what makes words bold."""
    lines = text.splitlines()[skipped:]
    kept = [line.strip().strip("|") for line in lines if line.strip() and not _RULE.fullmatch(line)]
    rows = "\n".join(re.sub(r"\s*\|\s*", "|", line.strip()) for line in kept)
    return re.sub(r"\*\*|__|`|<br\s*/?>|<sup>.*?</sup>|</?(?:b|i|em|strong|sub)>", "", rows)
