"""An MLflow experiment → one table, whoever wrote it: what ``bench compare mlflow:NAME`` reads.

Reading changes nothing. A SQLite file is copied first, as MLflow brings any that it opens to its own schema,
after which the version that wrote it can no longer open it.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pandas as pd

from bench.errors import nearest
from bench.progress import watched
from bench.tracking import store

PAGE = 1000
GUESSED = "guessed"
"""In a table's ``attrs``: what was taken for granted, and the option that says otherwise."""
PARENT, NAME = "mlflow.parentRunId", "mlflow.runName"
_NO_SEED = {"bench.suite", "bench.trial"}
"""Tags of our own runs that are no seed of anything: that of a suite, and trials of a search."""
DIVERGED = "diverged (NaN)"
"""In place of a metric that is no number, or infinite: the run has failed."""
LARGEST = 1e307
"""MLflow's databases hold the largest number in place of infinity."""


def read_experiment(source: str, uri: str, *, every_step: bool = False) -> pd.DataFrame:
    """One row a run: its name, tags, parameters and last metrics, each under its own name.

    A name that is taken already, as ``loss`` often is, becomes ``metrics.loss``. Runs that did not finish
    have no metrics. Runs below another one have its parameters and tags too, where they have none of that
    name, and its name as ``parent``. Left out: MLflow's own tags, runs that only hold others together, runs
    that somebody deleted, and trials of a search, which are no seeds of anything. What was taken for granted
    stands in ``attrs["guessed"]``.

    Args:
        source: ``mlflow:NAME``.
        uri: of the store or server.
        every_step: one row for each step of a run that logged something, as column ``step``.

    Raises:
        TrackingError: the store cannot be read, or has no such experiment, or that has no runs.
    """
    name = source.removeprefix("mlflow:")
    try:
        with _reading(uri) as client:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                names = sorted(entry.name for entry in client.search_experiments())
                raise store.TrackingError(
                    f"MLflow at {store.shown(uri)}: unknown experiment '{name}'; "
                    f"allowed: {', '.join(names)}{nearest(name, names)}"
                )
            runs = _runs(client, experiment.experiment_id)
            by_id = {run.info.run_id: run for run in runs}
            parents = {run.data.tags.get(PARENT) for run in runs}
            aggregates = {run.info.run_id for run in runs if _NO_SEED & run.data.tags.keys()}
            leaves = [run for run in runs if run.info.run_id not in parents | aggregates]
            steps = _histories(client, leaves) if every_step else {}
    except store.foreign_errors() as error:
        raise store.TrackingError(f"MLflow at {store.shown(uri)}: {store.reason(error, uri)}") from error
    if not leaves:
        raise store.TrackingError(f"MLflow at {store.shown(uri)}: experiment '{name}' has no runs")
    rows = [row for run in leaves for row in _rows(run, by_id, steps.get(run.info.run_id))]
    table = pd.DataFrame(rows)
    notes = [] if every_step else ["metrics: the last value of each (--epoch says otherwise)"]
    if held := len(runs) - len(leaves):
        notes.append(f"{held} runs hold others together, and are left out; those have their parameters too")
    table.attrs[GUESSED] = notes
    return table


@contextlib.contextmanager
def _reading(uri: str) -> Iterator[Any]:
    """A client that leaves the store as it is."""
    file, folder = store.sqlite_file(uri), _folder(uri)
    if file is not None:
        if not file.exists() or not file.stat().st_size:
            raise store.TrackingError(
                f"{file}: there is no MLflow store; say which with --tracking-uri or --results"
            )
        with tempfile.TemporaryDirectory(prefix="bench-mlflow-") as place:
            copy, address = Path(place) / "copy.db", f"{file.absolute().as_uri()}?mode=ro"
            with (
                contextlib.closing(sqlite3.connect(address, uri=True)) as source,
                contextlib.closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)
            yield store.connect(f"sqlite:///{copy}")
    elif folder is not None:
        if not folder.is_dir():
            raise store.TrackingError(
                f"{folder}: there is no MLflow store; say which with --tracking-uri or --results"
            )
        yield store.connect(uri)
    else:
        if not store.is_server(uri):
            _refuse_other_schema(uri)
        yield store.connect(uri)


def _folder(uri: str) -> Path | None:
    """Of MLflow's store of files, which it makes where it is not there."""
    scheme = uri.partition(":")[0] if ":" in uri else ""
    if scheme == "file":
        return Path(unquote(urlsplit(uri).path))
    return None if scheme else Path(uri)


def _refuse_other_schema(uri: str) -> None:
    """A database whose tables are those of another MLflow would be changed by being opened."""
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 - which tables there are
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config
    from sqlalchemy import create_engine

    store.check_answers(uri)
    engine = create_engine(uri)
    try:
        with engine.connect() as connection:
            revision = MigrationContext.configure(connection).get_current_revision()
        head = ScriptDirectory.from_config(_get_alembic_config(uri)).get_current_head()
    finally:
        engine.dispose()
    if revision != head:
        raise store.TrackingError(
            f"MLflow at {store.shown(uri)}: another version of MLflow made its tables "
            f"({revision or 'none yet'}; this one has {head}), and opening it would change them: start "
            "mlflow server with that version, and say --tracking-uri http://…"
        )


def _runs(client: Any, experiment: str) -> list[Any]:
    page = client.search_runs([experiment], max_results=PAGE)
    runs = list(page)
    while page.token:
        page = client.search_runs([experiment], max_results=PAGE, page_token=page.token)
        runs += page
    return runs


def _histories(client: Any, runs: list[Any]) -> dict[str, dict[int, dict[str, float]]]:
    """Run → step → all that it logged there; of one step the last."""
    histories: dict[str, dict[int, dict[str, float]]] = {}
    for run in watched(runs, "reading metrics"):
        steps = histories.setdefault(run.info.run_id, {})
        for key in run.data.metrics:
            for metric in client.get_metric_history(run.info.run_id, key):
                steps.setdefault(metric.step, {})[key] = metric.value
    return histories


def _rows(
    run: Any, by_id: dict[str, Any], steps: dict[int, dict[str, float]] | None
) -> Iterator[dict[str, Any]]:
    """One, or one a step."""
    described = _described(run, by_id)
    for step, metrics in [(None, run.data.metrics)] if not steps else sorted(steps.items()):
        row = dict(described)
        for key, value in metrics.items():
            key = f"metrics.{key}" if key in row else key
            row[key] = _value(value) if run.info.status == "FINISHED" else None
        if step is not None:
            row["metrics.step" if "step" in row else "step"] = step
        row.setdefault("status", run.info.status.lower())  # a run that failed is a result
        yield row


def _value(value: float) -> float | str:
    return DIVERGED if math.isnan(value) or abs(value) > LARGEST else value


def _described(run: Any, by_id: dict[str, Any]) -> dict[str, Any]:
    """Tags and parameters, its own before those of runs above it; and the names of both."""
    row: dict[str, Any] = {}
    above, ids = run, {run.info.run_id}
    while above is not None:
        tags = {key: value for key, value in above.data.tags.items() if not key.startswith("mlflow.")}
        row = {**tags, **above.data.params, **row}
        parent = by_id.get(above.data.tags.get(PARENT, ""))
        above = parent if parent is not None and parent.info.run_id not in ids else None
        if above is not None:
            ids.add(above.info.run_id)
            row.setdefault("parent", above.data.tags.get(NAME))
    if name := run.data.tags.get(NAME):
        row.setdefault("run_name", name)
    return row
