"""An MLflow experiment → one table, whoever wrote it: what ``bench compare mlflow:NAME`` reads."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.errors import nearest
from bench.tracking.store import TrackingError, connect, foreign_errors, reason, shown, sqlite_file

PAGE = 1000


def read_experiment(source: str, uri: str) -> pd.DataFrame:
    """One row a run: its tags, parameters and last metrics, each under its own name.

    A name that is taken already, as ``loss`` often is, becomes ``metrics.loss``. Runs that did not finish
    have no metrics. Left out: MLflow's own tags, runs that only hold others together, and
    trials of a search, which are no seeds of anything.

    Args:
        source: ``mlflow:NAME``.
        uri: of the store or server.

    Raises:
        TrackingError: the store cannot be read, or has no such experiment, or that has no runs.
    """
    name, file = source.removeprefix("mlflow:"), sqlite_file(uri)
    if file is not None and not file.exists():
        raise TrackingError(f"{file}: there is no MLflow store; say which with --tracking-uri or --results")
    try:
        client = connect(uri)
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            names = sorted(found.name for found in client.search_experiments())
            hint = nearest(name, names)
            raise TrackingError(
                f"MLflow at {shown(uri)}: unknown experiment '{name}'; allowed: {', '.join(names)}{hint}"
            )
        runs = _runs(client, experiment.experiment_id)
    except foreign_errors() as error:
        raise TrackingError(f"MLflow at {shown(uri)}: {reason(error, uri)}") from error
    parents = {run.data.tags.get("mlflow.parentRunId") for run in runs}
    left_out = {run.info.run_id for run in runs if "bench.trial" in run.data.tags} | parents
    rows = [_row(run) for run in runs if run.info.run_id not in left_out]
    if not rows:
        raise TrackingError(f"MLflow at {shown(uri)}: experiment '{name}' has no runs")
    return pd.DataFrame(rows)


def _runs(client: Any, experiment: str) -> list[Any]:
    page = client.search_runs([experiment], max_results=PAGE)
    runs = list(page)
    while page.token:
        page = client.search_runs([experiment], max_results=PAGE, page_token=page.token)
        runs += page
    return runs


def _row(run: Any) -> dict[str, Any]:
    tags = {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}
    row: dict[str, Any] = {**tags, **run.data.params}
    for key, value in run.data.metrics.items():
        key = f"metrics.{key}" if key in row else key
        row[key] = value if run.info.status == "FINISHED" else None
    row.setdefault("status", run.info.status.lower())  # a run that failed is a result
    return row
