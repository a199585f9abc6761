"""How numbers and names are written: once, for tables, sentences, pages and figures."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len

from bench.statistics.verdicts import Interval
from bench.visible import flat

if TYPE_CHECKING:
    from bench.comparisons.comparison import Metric
    from bench.reports.schema import Cell

NOTHING = "—"


@dataclass(frozen=True)
class Scale:
    """How values of one metric are written: so many times as large, with so many decimals."""

    factor: int
    digits: int
    powers: bool = False
    """Whether with a power of ten: what is very small or very large."""

    def value(self, value: float | None) -> str:
        """A value, or a spread."""
        return self._written(value, "")

    def difference(self, value: float | None) -> str:
        """A value with its sign."""
        return self._written(value, "+")

    def _written(self, value: float | None, sign: str) -> str:
        if value is None:
            return NOTHING
        return _short(f"{self.factor * value:{sign}.{self.digits}{'e' if self.powers else 'f'}}")

    def interval(self, interval: Interval | None) -> str:
        """``low to high``."""
        return NOTHING if interval is None else f"{self.value(interval.low)} to {self.value(interval.high)}"

    def mean(self, cell: Cell) -> str:
        """Mean ± standard deviation over seeds."""
        spread = "" if cell.sd is None else f" ± {self.value(cell.sd)}"
        return self.value(cell.mean) + spread


def scale_of(metric: Metric, cells: Sequence[Cell]) -> Scale:
    """Decimals that the values of some cells deserve.

    Of percentages: one image is worth 1/images. Of anything else: two digits of the smallest spread, if a
    table of 80 characters has room for them: five digits of the largest value, unless that is tiny; or powers
    of ten.
    """
    if metric.unit == "%":
        images = max((cell.test_images or 0 for cell in cells), default=0)
        return Scale(100, 2 if 0 < images < 5000 else 3)
    spreads = [cell.sd for cell in cells if cell.sd] or [abs(cell.mean) / 100 for cell in cells if cell.mean]
    digits = 1 - math.floor(math.log10(min(spreads))) if spreads else 3
    largest = max((abs(cell.mean) for cell in cells if cell.mean), default=1.0)
    if largest >= 0.01:
        digits = min(digits, 4 - max(math.floor(math.log10(largest)), 0))
    if digits > 5 or largest >= 1e8:
        return Scale(1, 1 if largest < 1e-7 else 2, powers=True)
    return Scale(1, max(digits, 0))


def p_value(p: float | None, digits: int = 4) -> str:
    """A probability that is never 0, without the 0 in front."""
    if p is None:
        return NOTHING
    return bare(f"{p:.{digits}f}") if p >= 10**-digits else bare(f"<{10**-digits:.{digits}f}")


def e_value(e: float | None) -> str:
    """Evidence: three digits, and from a million on its power of ten."""
    if e is None:
        return NOTHING
    if 1e-3 <= e < 1e6:
        return f"{e:.3g}"
    return _short(f"{e:.0e}")


def _short(text: str) -> str:
    """A power of ten in as few letters as can be: ``3e-9``."""
    return text.replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")


def number(value: float | None, digits: str = ".2f") -> str:
    """A number without a unit; large ones without decimals."""
    return NOTHING if value is None else format(value, digits if abs(value) < 100 else ".0f")


def bare(text: str) -> str:
    """Without the 0 in front: of what cannot exceed 1."""
    return text.replace("0.", ".", 1)


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def counted(count: int, noun: str) -> str:
    """``1 comparison``, ``2,000 comparisons``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def some(words: Sequence[object], most: int = 10, between: str = ", ") -> str:
    """The first of them in a row, and how many more there are."""
    more = f"{between}and {len(words) - most:,} more" if len(words) > most else ""
    return between.join(map(str, words[:most])) + more


_SHORTEST = 3
"""Letters without which names cannot be told apart."""


def shortened(names: Sequence[str], room: int) -> dict[str, str]:
    """A short name for each that is wider than ``room``: still told apart, and still read.

    The module of ``module:callable`` goes first. Then a name keeps its beginning and, where another begins
    alike, the word from which on the two differ: ``label_smoo…0.1`` and ``label_smoo…0.2``. Wide letters, as
    of East Asia, count two.

    Args:
        room: columns of a terminal.
    """
    room = max(room, _SHORTEST)
    distinct = list(dict.fromkeys(names))
    bare_names = {name: re.sub(r"^[\w.]+[:/](?=\w)", "", flat(name)) for name in distinct}
    if len(set(bare_names.values())) < len(distinct):
        bare_names = {name: flat(name) for name in distinct}
    whole = {name: text if cell_len(text := flat(name)) <= room else bare_names[name] for name in distinct}
    labels = {
        name: text if cell_len(text) <= room else _abbreviated(text, [*whole.values()], room)
        for name, text in whole.items()
    }
    taken: set[str] = set()
    for name, text in labels.items():  # only where no word tells them apart: they are numbered
        count = 2
        while labels[name] in taken:
            tail = f"…#{count}"
            labels[name], count = _cut(text, room - len(tail)).rstrip("…") + tail, count + 1
        taken.add(labels[name])
    return labels


def _abbreviated(text: str, rivals: Sequence[str], room: int) -> str:
    """Its beginning; and where others begin so too, the words in which it differs from them."""
    head = _cut(text, room - 1)
    alike = [other for other in rivals if other != text and other.startswith(head)]
    if not alike:
        return head + "…"
    common = max(_common(text, other) for other in alike)
    starts = [match.end() for match in re.finditer(r"[^\w.]+|_", text) if match.end() <= common]
    start = max(starts, default=common)
    if common - start >= room // 2:  # too long a word
        start = common
    tail = text[start:] if start < len(text) else text[-4:]
    tail = tail.rstrip(")]}")
    if (cut := _cut(tail, room // 2)) != tail:  # whole words, if there are any
        tail = re.sub(r"(?<=\w)[^\w.]+[\w.]*$", "", cut)
    return _cut(text, room - 1 - cell_len(tail)).rstrip("_-.,( ") + "…" + tail


def _common(one: str, other: str) -> int:
    """Letters in which two texts begin alike."""
    return next(
        (k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _cut(text: str, room: int) -> str:
    """As much of its beginning as is no wider than ``room``."""
    while cell_len(text) > room:
        text = text[: max(len(text) - max((cell_len(text) - room) // 2, 1), 0)]
    return text
