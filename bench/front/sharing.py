"""What travels: a suite as one file, two folders as one, and all suites as a site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.front.asking import asking
from bench.front.report import Report
from bench.source import Source

if TYPE_CHECKING:
    from bench.bundles.verifying import Verification


def bundle(source: Source, results: Path, output: Path | None = None, *, weights: bool = False) -> Path:
    """Write a suite, its plan, code, finished runs and report into one file; returns its path.

    Raises:
        BenchError: the suite does not hold, nothing of it has finished, or there is such a file already.
    """
    from bench.bundles import making

    with asking(source, results, names=False) as asked:
        return making.bundle(
            asked, source, results, output or Path(f"{asked.name}.bundle.zip"), weights=weights
        )


def verify(bundle: Path) -> Verification:
    """Compute every number of a bundle again, and compare.

    Raises:
        BenchError: it is none, or damaged.
    """
    from bench.bundles.verifying import verify

    return verify(bundle)


def report_of(bundle: Path) -> Report:
    """The report of a bundle, from its run folders.

    Raises:
        BenchError: it is none, or damaged.
    """
    from bench.bundles import reading
    from bench.reports.document import document

    with reading.unpacked(bundle) as found:
        made = reading.make(bundle, found.folder).report
        return Report(made, document(made))


def check_alone(bundle: Path, **given: object) -> None:
    """Raise BenchError where more is said of the report of a bundle than it can have."""
    for option, value in given.items():
        if value:
            raise BenchError(f"{bundle}: the report of a bundle is what it is: leave out --{option}")
