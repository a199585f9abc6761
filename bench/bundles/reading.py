"""A bundle's report, made again from its run folders: with neither the data nor the user's code at hand."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from bench.bundles import measured
from bench.bundles.archive import Manifest, open_archive
from bench.bundles.resolved import Resolved, restore
from bench.disk import read
from bench.errors import BenchError
from bench.registry import explain
from bench.reports.build import report_and_agreement
from bench.reports.html import page
from bench.reports.html.runs import list_runs
from bench.reports.methods import paper
from bench.reports.schema import Report
from bench.results.reading import frame
from bench.sequential_design import as_it_stands
from bench.suite import Suite

RESULTS = "results"
RESOLVED = "suite/resolved.json"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Rebuilt:
    """A report with what it was made from."""

    suite: Suite
    """With the seeds that it asks for as things stand."""
    report: Report
    agreement: bytes
    runs: pd.DataFrame


@dataclass(frozen=True)
class Unpacked:
    """A bundle whose files lie in a folder, each as its digest says."""

    folder: Path
    manifest: Manifest

    @property
    def results(self) -> Path:
        """The bundle's results folder."""
        return self.folder / RESULTS


@contextlib.contextmanager
def unpacked(path: Path, *, weights: bool = False) -> Iterator[Unpacked]:
    """A bundle, in a folder of its own for a while.

    Args:
        weights: with the weights of runs, which no report needs.

    Raises:
        BenchError: it is none, or is not what was bundled.
    """
    with open_archive(path) as archive, tempfile.TemporaryDirectory(prefix="bench-bundle-") as temporary:
        folder = Path(temporary)
        archive.unpack(folder, lambda name: weights or not name.endswith(f"/{WEIGHTS}"))
        yield Unpacked(folder, archive.manifest)


def make(path: Path, folder: Path) -> Rebuilt:
    """The report on an unpacked bundle.

    Args:
        path: what messages call it.
        folder: where it lies.

    Raises:
        BenchError: there can be none.
    """
    try:
        return _make(folder)
    except BenchError as error:
        raise BenchError(f"{path}: {str(error).replace(f'{folder}/', '')}") from None
    except Exception as error:  # others can have written anything into it
        raise BenchError(f"{path}: no report can be made of it: {type(error).__name__}: {error}") from error


def _make(folder: Path) -> Rebuilt:
    suite = suite_of(folder)
    results = folder / RESULTS
    now = as_it_stands(suite, results)
    runs = frame(results, now.cells, check_details=now.needs_details)
    document, agreement = report_and_agreement(now, results, runs)
    return Rebuilt(now, without_place(document, results), agreement, runs)


def suite_of(folder: Path) -> Suite:
    """The suite of an unpacked bundle. Raises BenchError where what it says of it does not hold."""
    try:
        resolved = Resolved.model_validate_json(read(str(folder / RESOLVED)))
    except FileNotFoundError:
        raise BenchError(f"it has no {RESOLVED}") from None
    except ValidationError as error:
        raise BenchError(f"{RESOLVED}: {explain(error)[0]}") from None
    try:
        return restore(resolved, folder / measured.FOLDER)
    except BenchError as error:
        raise BenchError(f"{RESOLVED}: {error}") from None


def without_place(document: Report, results: Path) -> Report:
    """The same report, with files named from the results folder, wherever that is."""
    notes = tuple(note.replace(f"{results}/", f"{RESULTS}/") for note in document.notes)
    return document.model_copy(update={"notes": notes})


def texts(rebuilt: Rebuilt, folder: Path) -> tuple[str, dict[str, str]]:
    """The page, and the words for a paper: the same everywhere, as dates are those of UTC.

    Args:
        folder: of the bundle.
    """
    results = folder / RESULTS
    listed = list_runs(rebuilt.suite, results, rebuilt.runs)
    place = listed.fields.index("reason")
    for row in listed.rows:
        row[place] = str(row[place] or "").replace(f"{results}/", f"{RESULTS}/")
    with _utc():
        return page(rebuilt.report, listed), paper(rebuilt.suite, results, rebuilt.report)


@contextlib.contextmanager
def _utc() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()
