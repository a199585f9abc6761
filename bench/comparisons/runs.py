"""Run folders → what was measured: every metric of finished runs, and what they make of single images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.comparisons.analysis import Images, Measured, sole
from bench.comparisons.comparison import Key, Metric, Seed
from bench.comparisons.pairings import Scores
from bench.disk import Damaged
from bench.errors import BenchError
from bench.metrics import Metric as Measure
from bench.metrics import MetricError
from bench.predictions import NotKept, Predictions
from bench.progress import watched
from bench.results.folder import RunFolder
from bench.results.reading import measured
from bench.results.schema import Result
from bench.statistics.agreement import difference_products, joint_correct, pack
from bench.statistics.crossed import Crossed, crossed_anova, crossed_of_table
from bench.statistics.units import TooLarge, in_units, unit_for

LARGEST = 4_000
"""Runs of one data set × model up to which their matrix is made: it takes 128 MB and some seconds then, and
32 MB are kept."""
MOST_REMARKS = 4
"""Of a metric: classes without test images may be others in every run."""
LARGEST_TABLE = 2**28
"""Numbers (2 GB) of single images, of all metrics together, up to which they are looked at."""

Pair = tuple[str, str]  # data set, model


@dataclass(frozen=True)
class Joint:
    """Which images runs of one data set × model get right together."""

    rows: Mapping[tuple[str, Seed], int]
    """(loss, seed) → row of the matrix."""
    matrix: NDArray[np.integer]
    """G [R, R] of :mod:`bench.statistics.agreement`."""
    images: int

    def crossed(
        self, loss: str, baseline: str, seeds: Sequence[Seed], estimate: float
    ) -> tuple[Crossed, float | None] | None:
        """The crossed analysis in whole numbers."""
        rows = _rows(self.rows, loss, baseline, seeds)
        if rows is None:
            return None
        products = difference_products(self.matrix, *rows)
        counts = self.matrix.diagonal().astype(np.int64)
        crossed = crossed_anova(products, counts[rows[0]] - counts[rows[1]], self.images)
        return crossed, float(np.trace(products)) / len(seeds)


@dataclass(frozen=True)
class Answers:
    """What a metric says of single images (or its pseudo-values), by runs of one data set × model."""

    rows: Mapping[tuple[str, Seed], int]
    values: NDArray[np.floating]
    """[R, N]."""

    def crossed(
        self, loss: str, baseline: str, seeds: Sequence[Seed], estimate: float
    ) -> tuple[Crossed, float | None] | None:
        """The crossed analysis in floating point."""
        rows = _rows(self.rows, loss, baseline, seeds)
        if rows is None:
            return None
        differences = self.values[rows[0]] - self.values[rows[1]]
        return crossed_of_table(differences, estimate=estimate), None


def _rows(
    rows: Mapping[tuple[str, Seed], int], loss: str, baseline: str, seeds: Sequence[Seed]
) -> tuple[list[int], list[int]] | None:
    """Of both arms, seed by seed; None where one is lacking."""
    ours, theirs = ([rows.get((name, seed), -1) for seed in seeds] for name in (loss, baseline))
    return None if -1 in ours or -1 in theirs else (ours, theirs)


@dataclass
class _Series:
    """One metric, while runs are read."""

    measure: Measure
    values: dict[str, float] = field(default_factory=dict)
    """Run id → the metric."""
    images: dict[Pair, Images] = field(default_factory=dict)
    lacking: dict[str, list[str]] = field(default_factory=dict)
    """Why a run has none → its name."""
    remarks: dict[str, None] = field(default_factory=dict)


def read_measured(
    runs: pd.DataFrame,
    results: Path,
    measures: Sequence[Measure],
    metrics: Sequence[Metric],
    cells: Iterable[tuple[Key, Sequence[int]]],
    *,
    same_images: bool = True,
) -> tuple[list[Measured], list[str]]:
    """All metrics of all finished runs, in one pass; and what is not known, and why.

    Args:
        runs: of :func:`bench.results.reading.frame`.
        metrics: the same as ``measures``, as documents describe them.
        cells: all that are planned with their seeds, in the suite's order.
        same_images: whether all runs of a data set are tested on the same; else nothing is said of single
            ones.

    Raises:
        BenchError: a metric of the user's own that fails, with the run.
    """
    series = [_Series(measure) for measure in measures]
    finished = runs[runs.state == "done"]
    notes: list[str] = []
    groups = list(finished.groupby(["dataset", "model"], sort=False))
    for (dataset, model), group in watched(groups, "comparing answers"):
        pair = str(dataset), str(model)
        notes += _read_group(pair, group, results, series, metrics, same_images=same_images)
    for one in series:
        for reason, names in one.lacking.items():
            more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
            notes.append(f"{one.measure.name}: not known of {', '.join(names[:3])}{more}: {reason}")
        notes += [f"{one.measure.name}: {remark}" for remark in [*one.remarks][:MOST_REMARKS]]
        if (more_said := len(one.remarks) - MOST_REMARKS) > 0:
            notes.append(f"{one.measure.name}: {more_said:,} more remarks of the kind, on other runs")
    keys = list(cells)
    return [
        Measured(metric, _scores(keys, runs, metric, one.values), one.images)
        for metric, one in zip(metrics, series, strict=True)
    ], notes


def _read_group(
    pair: Pair,
    group: pd.DataFrame,
    results: Path,
    series: Sequence[_Series],
    metrics: Sequence[Metric],
    *,
    same_images: bool,
) -> list[str]:
    """Measure the runs of one data set × model; returns why there is nothing on new images."""
    where = f"{pair[0]} × {pair[1]}: no intervals for new images: "
    counted = next((one for one, metric in zip(series, metrics, strict=True) if metric.counted), None)
    rest = [one for one in series if one is not counted]
    many = len(group) > LARGEST and same_images
    apart = many or not same_images
    if not rest and (apart or len(group) < 2):  # what is counted stands in the results
        return [f"{where}{len(group):,} runs are more than {LARGEST:,}"] if many else []
    rows: dict[tuple[str, Seed], int] = {}
    first: tuple[str, Predictions] | None = None
    packed: list[NDArray[np.uint64]] = []
    tables: dict[str, NDArray[np.float64]] = {}
    places: dict[str, dict[tuple[str, Seed], int]] = {}  # their rows: of runs that kept what it takes
    trouble, notes = "", list[str]()
    for number, (loss, seed, run_id) in enumerate(zip(group.loss, group.seed, group.run_id, strict=True)):
        rows[loss, int(seed)] = number
        name = f"{pair[0]} × {pair[1]} × {loss}, seed {seed} (run {run_id})"
        folder = RunFolder(results, run_id)
        try:
            result = _result(folder)
            known_of = {one.measure.name: _measure(one, folder, result, name) for one in rest}
            predictions = folder.predictions(result)
            first = first or (run_id, predictions)
            if same_images and not np.array_equal(first[1].labels, predictions.labels):
                trouble = f"run {run_id} was tested on other images than run {first[0]}"
        except (Damaged, NotKept) as reason:
            trouble = str(reason)
            continue
        if counted and not apart:
            packed.append(pack((predictions.predicted == predictions.labels)[None])[0])
        for metric, single in () if trouble or apart else known_of.items():
            if single is None:
                continue
            if metric not in places:
                places[metric] = {}
                if _held(series, tables) + len(group) * len(single) <= LARGEST_TABLE:
                    tables[metric] = np.empty((len(group), len(single)))
                else:
                    size = f"{len(group):,} runs × {len(single):,} images"
                    notes.append(f"{where}{metric} of {size} is too much")
            if metric in tables:
                tables[metric][number] = single
                places[metric][loss, int(seed)] = number
    if len(group) < 2 or not same_images:
        return []
    if many or trouble:
        return [where + (trouble or f"{len(group):,} runs are more than {LARGEST:,}")]
    if counted is not None and first is not None:
        images = len(first[1].labels)
        # In two bytes a number, up to 65,535 images: there may be a matrix for each of fifty models.
        matrix = joint_correct(np.stack(packed)).astype(np.min_scalar_type(images))
        counted.images[pair] = Joint(rows, matrix, images)
    for one in rest:
        if one.measure.name in tables:
            one.images[pair] = Answers(places[one.measure.name], tables[one.measure.name])
    return notes


def _held(series: Sequence[_Series], tables: Mapping[str, NDArray[np.float64]]) -> int:
    """Numbers of single images that are in memory."""
    parts = [images.values for one in series for images in one.images.values() if isinstance(images, Answers)]
    return sum(table.size for table in (*parts, *tables.values()))


def _result(folder: RunFolder) -> Result:
    result = folder.result()
    if result is None:
        raise Damaged(f"{folder.path}: its result is gone")
    return result


def _measure(one: _Series, folder: RunFolder, result: Result, name: str) -> NDArray[np.floating] | None:
    """Note the value of a run; returns what is known of its single images."""
    try:
        outcome = measured(one.measure, folder, result)
    except NotKept as reason:
        if result.predictions_sha256 is None:
            one.lacking.setdefault(str(reason), []).append(name)
            return None
        cause = f"{reason}; move the folder of a run away, and `bench run` trains it again and keeps it"
        one.lacking.setdefault(cause, []).append(name)
        return None
    except Damaged as reason:
        one.lacking.setdefault(str(reason), []).append(name)
        return None
    except MetricError as error:
        if ":" in one.measure.choice.name:  # somebody's code, which is to be mended
            raise BenchError(f"{name}: {error}") from None
        cause = str(error).removeprefix(f"metric '{one.measure.name}': ")
        one.lacking.setdefault(cause, []).append(name)
        return None
    one.values[folder.run_id] = outcome.value
    if outcome.remark:
        one.remarks[outcome.remark] = None
    if outcome.per_image is None and not one.measure.over_images:
        cause = one.measure.no_interval or "one number a run is all that there is"
        one.remarks[f"no interval for new images: {cause}"] = None
    return outcome.per_image


def _scores(
    keys: Iterable[tuple[Key, Sequence[int]]], runs: pd.DataFrame, metric: Metric, values: Mapping[str, float]
) -> dict[Key, Scores]:
    """The runs of each cell that have ended. In one pass: rows are slow to pick out cell by cell."""
    planned = dict(keys)
    # Of each data set × model: one whose values are large must not round those of another.
    numbers: dict[Pair, dict[str, float]] = {}
    places = (runs[name].tolist() for name in ("dataset", "model", "run_id"))
    for dataset, model, run_id in zip(*places, strict=True) if values else ():
        if run_id in values:
            numbers.setdefault((dataset, model), {})[run_id] = values[run_id]
    units: dict[Pair, int] = {}
    for pair, of_runs in numbers.items():
        try:
            units[pair] = unit_for(of_runs.values())
        except TooLarge as error:
            largest = max(of_runs, key=lambda run_id: abs(of_runs[run_id]))
            raise BenchError(f"run {largest}: metric '{metric.name}': {error}") from None
    counts: dict[Key, dict[Seed, int]] = {key: {} for key in planned}
    totals: dict[Key, set[int]] = {key: set() for key in planned}
    lost: dict[Key, set[Seed]] = {key: set() for key in planned}
    columns = ("dataset", "model", "loss", "seed", "run_id", "state", "correct", "total")
    for *names, seed, run_id, state, correct, total in zip(
        *(runs[name].tolist() for name in columns), strict=True
    ):
        key: Key = tuple(names)
        if state == "failed":
            lost[key].add(seed)
        elif state == "done" and metric.counted and pd.notna(correct):
            counts[key][seed] = int(correct)
            totals[key].add(int(total))
        elif state == "done" and run_id in values:
            unit = units[key[:2]]
            counts[key][seed] = in_units(values[run_id], unit)
            totals[key].add(unit)
    return {
        key: Scores(counts[key], sole(totals[key]), [*seeds], frozenset(lost[key]))
        for key, seeds in planned.items()
    }
