"""What travels: a suite as one file, two folders as one, and all suites as a site."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench import home
from bench.errors import BenchError
from bench.front.asking import asking
from bench.front.report import Report
from bench.scale import SUFFIX
from bench.sequential_design import as_it_stands
from bench.source import Source
from bench.visible import say

if TYPE_CHECKING:
    from bench.bundles.verifying import Verification
    from bench.merging import Merged
    from bench.sites import Index, Shown, Site
    from bench.suite import Suite


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
    from bench.front.reporting import still_to_come
    from bench.launch.status import status
    from bench.reports.document import document

    with reading.unpacked(bundle) as opened:
        bundled = reading.make(bundle, opened.folder)
        view, report = document(bundled.report), bundled.report
        whole = report.complete
        return Report(
            report, view, [] if whole else still_to_come(status(bundled.suite, opened.results), report)
        )


def check_alone(bundle: Path, **given: object) -> None:
    """Raise BenchError where more is said of the report of a bundle than it can have."""
    for option, value in given.items():
        if value:
            raise BenchError(f"{bundle}: the report of a bundle is what it is: leave out --{option}")


def merge(folders: Sequence[Path], into: Path) -> Merged:
    """Join results folders, or bundles, into one folder.

    Raises:
        BenchError: one is neither, or two contradict each other: nothing was written.
    """
    from bench.bundles import reading
    from bench.bundles.archive import is_bundle
    from bench.merging import merge

    with contextlib.ExitStack() as stack:
        named = {}
        for folder in folders:
            if str(folder) in named:
                raise BenchError(f"{folder}: it was given twice")
            place = folder
            if is_bundle(folder):
                place = stack.enter_context(reading.unpacked(folder, weights=True)).results
            named[str(folder)] = place
        return merge(named, into)


def site(folders: Sequence[Path], output: Path) -> Index:
    """Make a site of all suites of results folders, or of bundles.

    Raises:
        BenchError: one is neither, has nothing to show, or something else lies where the site is to be.
    """
    from bench.bundles.archive import is_bundle
    from bench.sites import Site

    with Site(output) as pages:
        for folder in folders:
            origin = str(folder) if len(folders) > 1 else ""
            if is_bundle(folder):
                pages.add(_shown_of_bundle(folder, origin))
            else:
                _add_suites(pages, folder, origin)
        return pages.finish()


def _shown_of_bundle(bundle: Path, origin: str) -> Shown:
    from bench.bundles import reading
    from bench.reports.html import page
    from bench.reports.html.runs import list_runs
    from bench.reports.methods import paper
    from bench.sites import HOME, Shown

    with reading.unpacked(bundle) as opened:
        bundled = reading.make(bundle, opened.folder)
        listed = list_runs(bundled.suite, opened.results, bundled.runs)
        texts = paper(bundled.suite, opened.results, bundled.report)
        html = page(bundled.report, listed, home=HOME)
        return Shown(
            bundled.report, html, float(bundled.runs.finished.max()), bundled.agreement, texts, origin
        )


def _add_suites(made: Site, results: Path, origin: str) -> None:
    """Every suite of a results folder: as its runs are now, where its file is still there."""
    from bench.sites import MINIATURE, REPORT, suites_in

    for folder in suites_in(results):
        noted = home.owner(folder.name, results)
        try:
            if noted is None:
                raise BenchError("nobody noted where its suite file is")
            with asking(Source.of(Path(noted.file)), results, names=False) as asked:
                if f"{asked.name}{SUFFIX}" == folder.name:
                    made.leave_out(f"{folder.name}: {MINIATURE}")
                elif asked.name != folder.name:
                    raise BenchError(f"{noted.file} is now the suite '{asked.name}'")
                elif (shown := _shown(as_it_stands(asked, results), results, origin)) is None:
                    made.leave_out(f"{folder.name}: no run of it has finished")
                else:
                    made.add(shown)
        except BenchError as error:
            if not (folder / REPORT).is_file():
                made.leave_out(f"{folder.name}: {error}")
                continue
            say(f"{folder}: shown as it was reported: {error}")
            made.add_written(folder, str(error).replace("\n", "; "), origin)


def _shown(now: Suite, results: Path, origin: str) -> Shown | None:
    from bench.reports.build import report_and_agreement
    from bench.reports.html import page
    from bench.reports.html.runs import list_runs
    from bench.reports.methods import paper
    from bench.results.reading import frame
    from bench.sites import HOME, Shown

    runs = frame(results, now.cells, check_details=now.needs_details)
    if not (runs.state == "done").any():
        return None
    report, agreement = report_and_agreement(now, results, runs)
    listed = list_runs(now, results, runs)
    at = listed.fields.index("log")
    for row in listed.rows:
        row[at] = ""  # logs are not part of the site
    html = page(report, listed, home=HOME)
    return Shown(report, html, float(runs.finished.max()), agreement, paper(now, results, report), origin)
