"""Reading finished runs: which there are, a metric of one, and a table of all that are planned."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cells import Cell
from bench.disk import Damaged
from bench.metrics import Measured, Metric, MetricError
from bench.predictions import NotKept
from bench.progress import watched
from bench.results.folder import RunFolder
from bench.results.schema import Result
from bench.runs import Run, canonical
from bench.same_data import Sighting, in_words, odd_ones

if TYPE_CHECKING:
    import pandas as pd


def finished(results: Path) -> set[str]:
    """Ids of all runs that have a result, from the names of files alone."""
    with contextlib.suppress(FileNotFoundError), os.scandir(results / "runs") as folders:
        return {entry.name for entry in folders if os.path.exists(f"{entry.path}/result.json")}
    return set()


def measure(metric: Metric, folder: RunFolder, result: Result) -> Measured:
    """A metric on the predictions of a finished run: see :meth:`bench.metrics.Metric.measure`.

    Raises:
        NotKept: the run did not keep what the metric needs.
        MetricError: the metric cannot be had from these predictions; it and the run are named.
        Damaged: the predictions are not what was written.
    """
    try:
        return measured(metric, folder, result)
    except NotKept as reason:
        if result.predictions_sha256 is None:
            raise NotKept(f"metric '{metric.name}' of run {folder.run_id}: {reason}") from None
        raise NotKept(
            f"metric '{metric.name}' of run {folder.run_id}: {reason}; only another training can give it: "
            f"move {folder.path} away and `bench run` the suite"
        ) from None
    except MetricError as error:
        raise MetricError(f"run {folder.run_id}: {error}") from None


def measured(metric: Metric, folder: RunFolder, result: Result) -> Measured:
    """As :func:`measure`, with messages that do not name the run."""
    value = result.values.get(metric.name, result.values.get(metric.choice.name))
    if value is not None:
        return Measured(value, remark="its trainer gave one number a run: no interval for new images")
    if metric.is_accuracy and result.predictions_sha256 is None and result.accuracy is not None:
        return Measured(result.accuracy)
    return metric.measure(folder.predictions(result), result)


_FILES = {"run_id", "predictions_sha256", "predictions_bytes", "details_sha256", "data"}
"""Fields of a result that are about its folder, or what it saw, and in no table."""


OTHER_DATA = "other data"
"""The state of a run that is done, and compared with none: see :mod:`bench.same_data`."""


def sighting(cell: Cell, run: Run, result: Result) -> Sighting:
    """What a finished run was trained and tested on."""
    data = result.data
    return Sighting(
        run.id,
        cell.dataset,
        cell.model,
        cell.loss,
        run.seed,
        share=0.0 if run.trainer else float(cell.recipe["validation"]),
        finished=result.finished,
        source=sys.intern(data.source) if data else "",
        used=data.used if data else "",
        trainer=sys.intern(canonical({**run.trainer, "source": ""})) if run.trainer else "",
    )


def frame(results: Path, cells: Iterable[Cell], *, check_details: bool = False) -> pd.DataFrame:
    """One row for each planned run of ``cells``.

    Columns: dataset, model, loss, seed, run_id, state (``done``, ``failed``, ``damaged``, ``other data`` or
    ``missing``), reason, and, where done, the fields of :class:`Result`. Its ``attrs["data"]`` says in words
    which runs saw what. Reads only. ``check_details``: damage to what only other metrics than accuracy need
    makes a run damaged, too.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    sightings: list[Sighting] = []
    planned = [(cell, run) for cell in cells for run in cell.runs]
    for cell, run in watched(planned, "reading results"):
        row: dict[str, Any] = {"dataset": cell.dataset, "model": cell.model, "loss": cell.loss}
        row |= {"seed": run.seed, "run_id": run.id, "state": "missing", "reason": ""}
        folder = RunFolder(results, run.id)
        try:
            result = folder.result(check_predictions=True, check_details=check_details)
        except Damaged as damage:
            row |= {"state": "damaged", "reason": str(damage)}
        else:
            if result is not None:
                row |= {"state": "done", **result.model_dump(exclude=_FILES)}
                sightings.append(sighting(cell, run, result))
            elif (failure := folder.failure()) is not None:
                row |= {"state": "failed", "reason": failure.reason}
        rows.append(row)
    odd = odd_ones(sightings)
    for row in rows if odd else ():
        if row["run_id"] in odd:
            row |= {"state": OTHER_DATA, "reason": odd[row["run_id"]]}
    first = ["dataset", "model", "loss", "seed", "run_id", "state", "reason"]
    columns = first + [name for name in Result.model_fields if name not in {*first, *_FILES}]
    table = pd.DataFrame(rows, columns=columns)
    table.attrs["data"] = in_words(sightings)
    return table
