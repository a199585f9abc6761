"""How all figures look: a paper's widths and fonts, marks that survive a grey printer, names that fit.

Everything here and in the stories is drawn inside :func:`paper`, which sets all of matplotlib's settings, so
that neither somebody's ``matplotlibrc`` nor an earlier figure can change a byte of the output.
"""

from __future__ import annotations

import io
import textwrap
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from bench.disk import write_atomically
from bench.reports.answer import cautions
from bench.reports.formats import shortened
from bench.reports.schema import Report

SINGLE, DOUBLE = 3.25, 6.75
"""Widths in inches: one column of a paper, and both."""
TALLEST = 8.75
"""Inches. What needs more goes on a second figure."""
SMALL, NORMAL = 6.5, 7.5
"""Font sizes in points, as they are printed."""
LETTERS = 21
"""Of the smaller and bold, at least so many an inch, whatever the words."""

# Times is what most papers are set in; STIX is its like, and comes with matplotlib, so it is the same
# everywhere. DejaVu has the letters that STIX lacks.
FONTS = ("STIXGeneral", "DejaVu Sans")

_SETTINGS: dict[str, Any] = {
    "font.family": list(FONTS),
    "font.size": NORMAL,
    "axes.titlesize": NORMAL,
    "axes.labelsize": NORMAL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "text.parse_math": False,  # a loss may be called $x_1$
    "axes.unicode_minus": True,
    "axes.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "lines.linewidth": 1.0,
    "lines.markersize": 4.0,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.columnspacing": 1.4,
    "legend.borderaxespad": 0.2,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "figure.dpi": 300,  # laid out as it is written
    "savefig.dpi": 300,
    "text.hinting": "none",  # letters are as wide in every format
    "pdf.fonttype": 42,  # TrueType, embedded: what publishers ask for
    "svg.fonttype": "path",  # letters as shapes: looks alike whatever fonts the reader has
    "svg.hashsalt": "bench",
}

BLACK, GREY, PALE = "#000000", "#767676", "#e4e4e4"


@dataclass(frozen=True)
class Look:
    """How one loss is told from another: by colour, and without colour by dashes and marker."""

    colour: str
    dashes: Any
    marker: str

    def line(self, **more: Any) -> dict[str, Any]:
        """Arguments of a line."""
        return {"color": self.colour, "linestyle": self.dashes, **more}


# Okabe & Ito's colours ("Color universal design", 2008), the yellow left out: it is too pale to print. Light
# and dark alternate.
BASELINE = Look(BLACK, "-", "o")
LOOKS = (
    Look("#0072b2", (0, (5, 1.2)), "s"),
    Look("#d55e00", (0, (1.2, 1)), "^"),
    Look("#009e73", (0, (5, 1, 1.2, 1)), "D"),
    Look("#cc79a7", "-", "v"),
    Look("#56b4e9", (0, (3, 1, 1, 1, 1, 1)), "P"),
    Look("#e69f00", (0, (8, 2)), "X"),
)


@contextmanager
def paper() -> Iterator[None]:
    """Draw with these settings, and put back those of before."""
    with matplotlib.style.context(["default", _SETTINGS]):
        yield


def sheet(width: float, height: float) -> Figure:
    """An empty figure, in inches, whose layout keeps everything inside."""
    return Figure(figsize=(width, height), layout="constrained")


def lay_out(figure: Figure) -> None:
    """Decide where everything goes, once, for all formats alike."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")


def save(
    figure: Figure, folder: Path, name: str, formats: Iterable[str], title: str, alt: str
) -> dict[str, Path]:
    """Write a figure, whole, once a format; the same figure gives the same bytes, whenever it is written.

    Returns:
        format → path.
    """
    lay_out(figure)
    metadata: dict[str, dict[str, str | None]] = {
        "pdf": {"Title": title, "Subject": alt, "Creator": "bench", "CreationDate": None},
        "svg": {"Title": title, "Description": alt, "Creator": "bench", "Date": None},
        "png": {"Title": title, "Description": alt, "Software": "bench"},
    }
    paths = {}
    for kind in formats:
        content = io.BytesIO()
        figure.savefig(content, format=kind, metadata=metadata[kind])
        paths[kind] = folder / f"{name}.{kind}"
        write_atomically(paths[kind], content.getvalue())
    return paths


@cache
def _letters() -> frozenset[int]:
    fonts = (FT2Font(findfont(FontProperties(family=[family]))) for family in FONTS)
    return frozenset(code for font in fonts for code in font.get_charmap())


def printable(text: str) -> str:
    """Text from a suite as one line of letters that the fonts have: emoji and the like by their names."""
    parts = []
    for letter in " ".join(text.split()):
        kind = unicodedata.category(letter)
        if ord(letter) in _letters() and kind[0] != "C":
            parts.append(letter)
        elif kind[0] == "S":
            parts.append(f"[{unicodedata.name(letter, f'U+{ord(letter):04X}').lower()}]")
        elif kind[0] not in "CM":  # controls, joiners and accents have no width of their own
            parts.append(f"[U+{ord(letter):04X}]")
    return "".join(parts) or "?"


@cache
def width_of(text: str, size: float = SMALL) -> float:
    """Inches that a line of text takes."""
    width, _, _ = text_to_path.get_text_width_height_descent(
        text, FontProperties(family=list(FONTS), size=size), ismath=False
    )
    return float(width) / 72


def fitted(names: Sequence[str], inches: float, size: float = SMALL) -> list[str]:
    """Names that take at most so many inches each and are still told apart; … stands for what is left out."""
    whole = [printable(name) for name in names]

    def excess(room: int) -> float:
        return max((width_of(name, size) for name in shortened(whole, room).values()), default=0.0) - inches

    rooms = range(6, max(6, min(max(map(len, whole), default=0), 100)) + 1)
    short = shortened(whole, rooms[max(bisect_right(rooms, 0.0, key=excess) - 1, 0)])
    return [short[name] for name in whole]


def brief(name: str) -> str:
    """A name as part of a sentence: one line of at most 40 characters."""
    return shortened([name], 40)[name]


def heading(dataset: str, model: str, inches: float, size: float = NORMAL) -> str:
    """``data set · model``, shortened to fit."""
    return " · ".join(fitted([word], inches / 2, size)[0] for word in (dataset, model) if word)


def head(figure: Figure, report: Report, legend: Sequence[tuple[Any, str]] = (), title: str = "") -> None:
    """What stands above all panels: a title, what nobody may overlook, and the legend.

    The legend has as many columns as the width allows. Cautions are on the figure itself, because it will be
    shown where its caption is not.
    """
    width = figure.get_figwidth()
    lines = [line for caution in cautions(report) for line in textwrap.wrap(caution, int(LETTERS * width))]
    if not (lines or title or legend):
        return
    widest = max((width_of(name) for _, name in legend), default=0.0) + 0.5
    box = figure.legend(
        [handle for handle, _ in legend],
        # Matplotlib leaves out names that begin with an underscore; not those that begin with a word joiner.
        [f"\u2060{name}" if name.startswith("_") else name for _, name in legend],
        title="\n".join(filter(None, (title, *lines))) or None,
        loc="outside upper center",
        ncols=min(max(len(legend), 1), max(1, int(width // widest))),
    )
    box.get_title().set(fontsize=SMALL, multialignment="center", fontweight="bold" if lines else "normal")


def entry(**line: Any) -> Line2D:
    """A line or a marker as an entry of a legend."""
    return Line2D([], [], **line)


def logarithmic(axis: Axis, subs: Sequence[float] = (1.0, 2.0, 5.0)) -> None:
    """Label an axis that is, with plain numbers: those of each decade that are ``subs`` of it."""
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def window(values: ArrayLike, rows: int, always: Sequence[float] = ()) -> tuple[float, float]:
    """Limits of an axis that one loss gone wrong does not squeeze for all others.

    Values more than ten times as far from the median as the median one is are left outside, if there are
    several rows; the caller draws an arrow there. ``always`` is inside.
    """
    finite = np.asarray(values, dtype=np.float64).ravel()
    finite = np.concatenate([finite[np.isfinite(finite)], np.asarray(always, dtype=np.float64)])
    if not finite.size:
        return -1.0, 1.0
    inside: NDArray[np.float64] = finite
    if rows > 1:
        away = np.abs(finite - np.median(finite))
        inside = np.concatenate([finite[away <= 10 * max(np.median(away), 1e-9)], np.asarray(always)])
    low, high = float(inside.min()), float(inside.max())
    room = 0.06 * (high - low) or min(0.5, abs(high)) or 0.5
    return low - room, high + room
