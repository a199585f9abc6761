"""Runs, found and written in the tables of an MLflow store: many runs in one transaction.

MLflow's own client takes about ten transactions a run. These tables have been the same since long before
MLflow 3, but they are no interface that it promises. So: only in databases where this was tried, only where
the columns are exactly the ones known here, and what a row of ``runs`` holds beyond our own is copied from
one that MLflow wrote itself. Everywhere else, :mod:`bench.tracking.calls` gives the same, more slowly (tests
hold one against the other, row by row).
"""

from __future__ import annotations

import math
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from bench.tracking.calls import written
from bench.tracking.record import Record, Twin

TRIED = ("sqlite", "postgresql")
_METRIC = {"key", "value", "timestamp", "step", "is_nan", "run_uuid"}
COLUMNS = {
    "runs": {
        *("run_uuid", "name", "source_type", "source_name", "entry_point_name", "user_id", "status"),
        *("start_time", "end_time", "deleted_time", "source_version", "lifecycle_stage", "artifact_uri"),
        "experiment_id",
    },
    "tags": {"key", "value", "run_uuid"},
    "params": {"key", "value", "run_uuid"},
    "metrics": _METRIC,
    "latest_metrics": _METRIC,
}
MARKS = (
    *("bench.suite", "bench.run_id", "bench.origin", "bench.mirrored", "bench.folder", "bench.report"),
    "progress",
)
"""The tags that a mirror asks for."""


class Tables:
    """One transaction for as many runs as are given: all of them are there afterwards, or none."""

    def __init__(self, engine: Any, tables: Any) -> None:
        self._engine = engine
        self._tables = tables

    @classmethod
    def known(cls, uri: str) -> Tables | None:
        """Of the store at ``uri``, which must have been set up; None where its schema is not one we know."""
        from sqlalchemy import MetaData, create_engine
        from sqlalchemy.exc import InvalidRequestError
        from sqlalchemy.pool import NullPool

        # As patient as MLflow, where somebody else is writing.
        patience = {"connect_args": {"timeout": 20}} if uri.startswith("sqlite:") else {}
        engine = create_engine(uri, poolclass=NullPool, **patience)
        if engine.dialect.name not in TRIED:
            return None
        found = MetaData()
        with suppress(InvalidRequestError):  # some of them are not there
            found.reflect(engine, only=[*COLUMNS], resolve_fks=False)
        columns = {name: set(table.columns.keys()) for name, table in found.tables.items()}
        return cls(engine, found.tables) if columns == COLUMNS else None

    def find(self, experiment: str) -> Iterator[Twin]:
        """All runs of an experiment, with their :data:`MARKS` instead of all tags."""
        from sqlalchemy import select

        runs, tags = self._tables["runs"], self._tables["tags"]
        here = (runs.c.experiment_id == int(experiment)) & (runs.c.lifecycle_stage == "active")
        with self._engine.connect() as connection:
            heads = connection.execute(select(runs.c.run_uuid, runs.c.status, runs.c.end_time).where(here))
            twins = {run: Twin(run, status, end or 0) for run, status, end in heads}
            both = select(tags.c.run_uuid, tags.c.key, tags.c.value).join(
                runs, tags.c.run_uuid == runs.c.run_uuid
            )
            for run, key, value in connection.execute(both.where(here, tags.c.key.in_(MARKS))):
                if run in twins:  # else it has just been made
                    twins[run].tags[key] = value
        yield from twins.values()

    def create(self, experiment: str, parent: str, records: Sequence[Record]) -> list[Twin]:
        """New runs that show these records, below the run ``parent``."""
        from sqlalchemy import select

        ids = [uuid.uuid4().hex for _ in records]
        runs = self._tables["runs"]
        with self._engine.begin() as connection:
            above = connection.execute(select(runs).where(runs.c.run_uuid == parent)).mappings().one()
            above = {**above, "lifecycle_stage": "active", "deleted_time": None}
            rows: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS}
            for run, record in zip(ids, records, strict=True):
                own = {"run_uuid": run, "name": record.name, "status": record.status}
                own["artifact_uri"] = above["artifact_uri"].replace(parent, run)
                times = {"start_time": record.start or above["start_time"], "end_time": record.end or None}
                rows["runs"].append({**above, **own, **times})
                tags = {"mlflow.runName": record.name, "mlflow.parentRunId": parent}
                tags |= {**record.tags, **record.marks}
                rows["tags"] += [{"key": k, "value": v, "run_uuid": run} for k, v in tags.items()]
                rows["params"] += [{"key": k, "value": v, "run_uuid": run} for k, v in record.params.items()]
                points, latest = _metrics(run, record)
                rows["metrics"] += points
                rows["latest_metrics"] += latest
            for name in COLUMNS:
                if rows[name]:
                    self._insert(connection, name, rows[name])
        return [written(run, record) for run, record in zip(ids, records, strict=True)]

    def _insert(self, connection: Any, table: str, rows: Sequence[dict[str, Any]]) -> None:
        """Straight to the driver: SQLAlchemy's own look at every value takes longer than the database."""
        from sqlalchemy import insert

        compiled = insert(self._tables[table]).compile(self._engine)
        order = compiled.positiontup
        values = rows if order is None else [tuple(map(row.__getitem__, order)) for row in rows]
        connection.exec_driver_sql(str(compiled), values)


def _metrics(run: str, record: Record) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All points of a run, and of each metric the latest: by step, then time, then value."""
    steps = [(epoch, when, metrics) for (epoch, when), metrics in record.epochs.items()]
    points: dict[tuple[Any, ...], dict[str, Any]] = {}
    latest: dict[str, tuple[tuple[int, int, float], dict[str, Any]]] = {}
    for step, when, metrics in [*steps, (0, record.end, record.scores)]:
        for key, value in metrics.items():
            stored, is_nan = _stored(value)
            point = {"key": key, "value": stored, "timestamp": when, "step": step, "is_nan": is_nan}
            points[key, step, when, stored, is_nan] = point | {"run_uuid": run}
            order = (step, when, stored)
            if key not in latest or order > latest[key][0]:
                latest[key] = order, point | {"run_uuid": run}
    return [*points.values()], [point for _, point in latest.values()]


def _stored(value: float) -> tuple[float, bool]:
    """As MLflow keeps a number in a database: no NaN, and nothing infinite."""
    if math.isnan(value):
        return 0.0, True
    return max(-sys.float_info.max, min(value, sys.float_info.max)), False
