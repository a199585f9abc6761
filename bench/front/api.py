"""What ``import bench`` gives: the verbs of the command, as functions with the same options.

Errors are :class:`bench.BenchError`, and name keywords where the command names options. Progress goes to
standard error, nothing to standard output.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from bench.errors import BenchError
from bench.front import reporting, sharing, training
from bench.front.arguments import checked_arguments
from bench.front.keywords import in_python
from bench.front.report import Report
from bench.front.suites import Suite
from bench.front.training import Device
from bench.scale import Scale
from bench.source import Source
from bench.visible import say

if TYPE_CHECKING:
    from pandas import DataFrame

    from bench.bundles.verifying import Verification
    from bench.front.looks import Plan, Status
    from bench.merging import Merged
else:  # what checks arguments needs no more
    DataFrame = Merged = Plan = Status = Verification = Any

PathLike = str | os.PathLike[str]
Count = Annotated[int, Field(ge=1)]


def _source(suite: Suite | PathLike) -> Source:
    return suite.source if isinstance(suite, Suite) else Source.of(Path(suite))


def _folder(given: PathLike | None, variable: str, usual: str) -> Path:
    return Path(given if given is not None else os.environ.get(variable) or usual)


def _results(given: PathLike | None) -> Path:
    return _folder(given, "BENCH_RESULTS", "results")


def _data(given: PathLike | None) -> Path:
    return _folder(given, "BENCH_DATA", "data")


def _tracking_uri(given: str | None) -> str | None:
    return given or os.environ.get("MLFLOW_TRACKING_URI") or None


@checked_arguments
def run(
    suite: Suite | PathLike,
    *,
    on: PathLike | None = None,
    detach: bool = False,
    first: bool = False,
    seeds: Count | None = None,
    scale: Scale = "full",
    results: PathLike | None = None,
    data: PathLike | None = None,
    workers: Count | None = None,
    device: Device = "auto",
    retry_failed: bool = False,
    same_code: bool = False,
    retrain_odd: bool = False,
    keep_weights: bool = False,
    tracking_uri: str | None = None,
) -> Report:
    """Train what a suite is missing, watch, mirror into MLflow, report. Called again, it goes on.

    Args:
        suite: what :func:`load` or :class:`Suite` gives, or the path of a suite file.
        on: a cluster profile, as ``slurm/gpu.yaml``; None: train on this machine.
        detach: submit to the cluster and return at once.
        first: train the first cell here before all else.
        seeds: use this many seeds instead of the suite's.
        scale: ``tiny``: the suite in miniature, to see that all of it runs.
        results: folder of run folders and tables. Default: ``BENCH_RESULTS``, or ``results``.
        data: folder of the data sets. Default: ``BENCH_DATA``, or ``data``.
        workers: processes on this machine. Default: one a GPU, or one a core.
        device: where to compute: ``auto`` (on a GPU if there is one), ``cpu`` or ``cuda``.
        retry_failed: train failed runs again.
        same_code: your code changed, and computes the same: keep finished runs.
        retrain_odd: train runs again that saw other data than is there now.
        keep_weights: keep the weights of what is trained now.
        tracking_uri: MLflow store. Default: ``MLFLOW_TRACKING_URI``, or ``mlflow.db`` in the results folder.

    Raises:
        BenchError: the suite, the machine, the cluster or the folders do not allow it.
        KeyboardInterrupt: it was interrupted, and nothing runs any more: what is finished is kept.
    """
    if threading.current_thread() is not threading.main_thread():
        raise BenchError(
            "bench.run: called in a thread, which no Ctrl-C would reach; call it in the main thread, or give "
            "the suite to `bench run` in a process of its own"
        )
    try:
        return training.run(
            _source(suite),
            on=None if on is None else Path(on),
            detach=detach,
            first=first,
            seeds=seeds,
            scale=scale,
            results=_results(results),
            data=_data(data),
            workers=workers,
            device=device,
            retry_failed=retry_failed,
            same_code=same_code,
            retrain_odd=retrain_odd,
            keep_weights=keep_weights,
            tracking_uri=_tracking_uri(tracking_uri),
        )
    except KeyboardInterrupt:
        say("bench: stopped; what is finished is kept, and the same call goes on from here")
        raise


@checked_arguments
def plan(
    suite: Suite | PathLike,
    *,
    on: PathLike | None = None,
    seeds: Count | None = None,
    scale: Scale = "full",
    results: PathLike | None = None,
    data: PathLike | None = None,
    workers: Count | None = None,
    device: Device = "auto",
) -> Plan:
    """What would run, and how long it would take. Changes nothing.

    Arguments as for :func:`run`. What it returns prints as ``bench plan`` does, and has the fields of its
    ``--json``.

    Raises:
        BenchError: the suite or the profile does not hold.
    """
    profile = None if on is None else Path(on)
    return training.plan(
        _source(suite),
        profile,
        seeds,
        scale,
        _results(results),
        _folder(data, "BENCH_DATA", "data"),
        workers,
        device,
    )


@checked_arguments
def status(
    suite: Suite | PathLike,
    *,
    seeds: Count | None = None,
    scale: Scale = "full",
    results: PathLike | None = None,
) -> Status:
    """How a suite stands: done, running, waiting, failed and why. Changes nothing.

    Arguments as for :func:`run`. What it returns prints as ``bench status`` does, and has the fields of its
    ``--json``.

    Raises:
        BenchError: the suite does not hold.
    """
    return training.status(_source(suite), seeds, scale, _results(results))


@checked_arguments
def report(
    suite: Suite | PathLike,
    *,
    seeds: Count | None = None,
    scale: Scale = "full",
    results: PathLike | None = None,
    figures: bool = False,
) -> Report:
    """Tables and verdicts from what is finished, also while runs go on.

    Writes them into the suite's folder, too, as the command does. Arguments as for :func:`run`.

    Args:
        suite: also the path of a bundle, which is reported as it is, without the data or the code; nothing is
            written then.
        figures: also draw figures: PDF, SVG, PNG, and on the page.

    Raises:
        BenchError: the suite, the bundle, or a metric of the user's own, does not hold.
    """
    from bench.bundles.archive import is_bundle

    if not isinstance(suite, Suite) and is_bundle(Path(suite)):
        sharing.check_alone(Path(suite), seeds=seeds, scale=scale != "full", figures=figures)
        return sharing.report_of(Path(suite))
    return reporting.report(_source(suite), seeds, scale, _results(results), figures)


@checked_arguments
def bundle(
    suite: Suite | PathLike,
    *,
    output: PathLike | None = None,
    weights: bool = False,
    results: PathLike | None = None,
) -> Path:
    """The study as one file: suite, plan, code, runs and report. Returns its path.

    Args:
        suite: as for :func:`run`.
        output: the file. Default: ``<suite>.bundle.zip`` in the working directory.
        weights: with the weights that runs kept.
        results: as for :func:`run`.

    Raises:
        BenchError: the suite does not hold, nothing of it has finished, or there is such a file already.
    """
    return sharing.bundle(
        _source(suite), _results(results), None if output is None else Path(output), weights=weights
    )


@checked_arguments
def verify(bundle: PathLike) -> Verification:
    """Compute every number of a bundle again from its run folders, and compare the bits.

    What it returns has ``same``, and ``differences``: which number, there and here.

    Raises:
        BenchError: it is no bundle, or damaged.
    """
    return sharing.verify(Path(bundle))


@checked_arguments
def merge(folders: Sequence[PathLike], *, into: PathLike) -> Merged:
    """Results folders, or bundles, as one folder: says what they share, and what differs.

    Args:
        folders: of results, or the files of bundles.
        into: a new folder, or one with runs, which is then the first of them and keeps all that it has.

    Raises:
        BenchError: one is neither, or two have other predictions of the same run: nothing was written.
    """
    return sharing.merge([Path(folder) for folder in folders], Path(into))


@checked_arguments
def site(folders: PathLike | Sequence[PathLike] | None = None, *, output: PathLike = "site") -> Path:
    """All suites of results folders, or of bundles, as pages. Returns the path of the index.

    Args:
        folders: default: ``BENCH_RESULTS``, or ``results``.
        output: the folder. A site that was made there before is replaced, and nothing else.

    Raises:
        BenchError: there is no such folder, or something else lies where the site is to be.
    """
    if folders is None or isinstance(folders, (str, os.PathLike)):
        folders = [_results(folders)]
    sharing.site([Path(folder) for folder in folders], Path(output))
    return Path(output) / "index.html"


@checked_arguments
def compare(
    source: DataFrame | PathLike,
    *,
    baseline: str | None = None,
    alpha: float = 0.05,
    margin: float | None = None,
    unpaired: bool = False,
    folds: int | None = None,
    total_images: Count | None = None,
    percent: bool | None = None,
    method: str | None = None,
    seed: str | None = None,
    fold: str | None = None,
    repeat: str | None = None,
    metric: str | Sequence[str] = (),
    lower_is_better: bool | None = None,
    accuracy: str | None = None,
    correct: str | None = None,
    total: str | None = None,
    dataset: str | None = None,
    model: str | None = None,
    image: str | None = None,
    epoch_column: str | None = None,
    epoch: str | int | None = None,
    where: Mapping[str, Any] | None = None,
    runs: Count | None = None,
    spread: Literal["sd", "se"] | None = None,
    transpose: bool | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    results: PathLike | None = None,
    tracking_uri: str | None = None,
) -> Report:
    """The comparisons of a report on anybody's results: a row a run, or a column a method and a row a seed.

    Args:
        source: a pandas DataFrame; a file (CSV, Excel, JSON, Parquet); or ``mlflow:EXPERIMENT``.
        baseline: the method that all others meet. Default: the one with a usual name for it.
        alpha: chance of any false alarm, and of each false *equivalent*.
        margin: what does not matter, in the metric's unit. Default: .1 points of accuracy, else none.
        unpaired: seeds have nothing in common.
        folds: seeds are so many folds of a cross-validation. Default: by the columns.
        total_images: test images of every run.
        percent: whether accuracies are percentages, and no fractions. Default: by size.
        method, seed, fold, repeat, accuracy, correct, total, dataset, model, image, epoch_column: names of
            columns; what is not given is guessed, which is said.
        metric: columns of any numbers, the first of which decides.
        lower_is_better: default: by the metric's name.
        epoch: of a row an epoch: ``last``, ``best``, ``best:COLUMN`` or a number.
        where: column → value: only rows that have it.
        runs: behind each mean ± deviation of a table. Default: by a column, else 3 are assumed.
        spread: what stands behind ±: ``sd`` or ``se``. Default: by the column's name, else ``sd``.
        transpose: whether methods are rows. Default: by the names of the columns.
        decimal: what stands before decimals; encoding: of a text; sheet: of an Excel file. Default: guessed.
        results, tracking_uri: where ``mlflow:`` looks, as for :func:`run`.

    Raises:
        BenchError: what is asked cannot be: names column, row, what was found and what is allowed.
    """
    given = locals()
    from bench.comparisons.external.layout import Request

    request = Request.of(
        given,
        epoch=None if epoch is None else str(epoch),
        where={name: str(value) for name, value in (where or {}).items()},
    )
    if isinstance(source, (str, os.PathLike)):
        name = os.fspath(source)
        places = _results(results), _tracking_uri(tracking_uri)
        table = reporting.read_results(name, *places, request, encoding=encoding, sheet=sheet)
    else:
        name, table = "data frame", reporting.as_table(source)
    return reporting.compare(name, table, request, in_python)
