"""Figures for a paper and for a page: PDF, SVG and PNG, each with a title and its content in words.

One module a story; :mod:`~bench.reports.figures.style` is how all of them look. Importing this package costs
nothing: matplotlib is imported when something is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from bench.errors import BenchError, unknown
from bench.reports.schema import Report
from bench.suite import Suite

FORMATS = ("pdf", "svg", "png")
STORIES = ("intervals", "evidence", "tuning", "seeds", "ranks", "power",
           "selection", "curves", "weights", "reliability", "agreement")  # fmt: skip
"""Modules of this package, in the order in which to look at what they draw."""


@dataclass(frozen=True)
class Drawing:
    """A figure that has been written."""

    name: str
    """Of its files, without the ending: ``intervals``, or ``curves-2`` where one sheet was not enough."""
    title: str
    alt: str
    """What it shows, with the numbers that matter: for those who do not see it."""
    paths: dict[str, Path]
    """Format → file."""


@dataclass(frozen=True)
class Drawn:
    """All figures of a suite."""

    drawings: list[Drawing]
    """In the order in which to look at them."""
    skipped: dict[str, str]
    """Story → why there is nothing to draw."""


def draw(
    report: Report, suite: Suite, results: Path, folder: Path, formats: Iterable[str] = FORMATS
) -> Drawn:
    """Draw all that the finished runs of a suite allow. The same runs give the same bytes.

    Args:
        report: of :func:`bench.reports.build.report`, made from the same ``results``.
        folder: where the files go. Figures from before that are not drawn any more are removed from it.
        formats: of ``pdf``, ``svg`` and ``png``.

    Raises:
        BenchError: another format.
        OSError: the folder cannot be written.
    """
    endings = list(dict.fromkeys(formats))
    for kind in endings:
        if kind not in FORMATS:
            raise BenchError(f"figures: {unknown('format', kind, FORMATS)}")

    from bench.reports.answer import cautions
    from bench.reports.figures.material import Material, NothingToDraw
    from bench.reports.figures.style import paper, save

    material = Material(report, suite, results)
    drawings, skipped = [], {}
    for story in STORIES:
        with paper():
            try:
                sketches = import_module(f"{__name__}.{story}").draw(material)
            except NothingToDraw as reason:
                skipped[story] = str(reason)
                continue
            for number, sketch in enumerate(sketches, start=1):
                name = story if len(sketches) == 1 else f"{story}-{number}"
                alt = " ".join([*cautions(report), sketch.alt])
                paths = save(sketch.figure, folder, name, endings, sketch.title, alt)
                drawings.append(Drawing(name, sketch.title, alt, paths))
    _remove_others(folder, {path for sketch in drawings for path in sketch.paths.values()})
    return Drawn(drawings, skipped)


def _remove_others(folder: Path, current: set[Path]) -> None:
    """Figures from when there was more to draw would be taken for today's."""
    for story in STORIES:
        for path in [*folder.glob(f"{story}.*"), *folder.glob(f"{story}-[0-9]*.*")]:
            if path.suffix[1:] in FORMATS and path not in current:
                path.unlink()
