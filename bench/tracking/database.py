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
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from bench.tracking.calls import SOURCE, USED, written
from bench.tracking.record import REPLACED, Record, Twin

TRIED = ("sqlite", "postgresql")
SCHEMAS = {
    "6953534de441",  # 3.1
    "1a0cddfcaa16",  # 3.3
    "bf29a5ff90ea",  # 3.6
    "1bd49d398cd23",  # 3.8
    "c3d6457b6d8a",  # 3.11
    "b7e4c1a90f23",  # 3.14
    "b7e2c1a4d9f3",  # 3.16
    "dc11669786a5",  # 3.17
}
"""The versions of MLflow's schema that were tried, each with an MLflow that has it, by
benchmarks/mlflow_versions.py."""
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
    "datasets": {
        *("dataset_uuid", "experiment_id", "name", "digest", "dataset_source_type", "dataset_source"),
        *("dataset_schema", "dataset_profile"),
    },
    "inputs": {"input_uuid", "source_type", "source_id", "destination_type", "destination_id", "step"},
    "input_tags": {"input_uuid", "name", "value"},
}
MARKS = (
    *("bench.suite", "bench.run_id", "bench.origin", "bench.mirrored", "bench.folder", "bench.report"),
    *("progress", "verdict", "bench.model", REPLACED),
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
        if engine.dialect.name not in TRIED or schema_of(engine) not in SCHEMAS:
            return None
        metadata = MetaData()
        with suppress(InvalidRequestError):  # some of them are not there
            metadata.reflect(engine, only=[*COLUMNS], resolve_fks=False)
        columns = {name: set(table.columns.keys()) for name, table in metadata.tables.items()}
        return cls(engine, metadata.tables) if columns == COLUMNS else None

    @staticmethod
    def unknown(uri: str) -> str:
        """Why the tables of the store at ``uri`` are left alone."""
        from sqlalchemy import create_engine

        engine = create_engine(uri)
        if engine.dialect.name not in TRIED:
            reason = f"its tables in {engine.dialect.name} were not tried"
        elif (schema := schema_of(engine)) not in SCHEMAS:
            reason = f"the schema of this MLflow, {schema}, is not one that was tried"
        else:
            reason = "its tables have other columns than those that were tried"
        engine.dispose()
        return f"{reason}: runs are written through MLflow's own client, which is slower"

    def find(self, experiment: str) -> Iterator[Twin]:
        """All runs of an experiment, those in MLflow's trash too, with their :data:`MARKS` of all tags."""
        from sqlalchemy import select

        runs, tags = self._tables["runs"], self._tables["tags"]
        ours = runs.c.experiment_id == int(experiment)
        c = runs.c
        asked = (c.run_uuid, c.status, c.start_time, c.end_time, c.name, c.lifecycle_stage)
        with self._engine.connect() as connection:
            twins = {
                run: Twin(run, status, start or 0, end or 0, name or "", deleted=stage == "deleted")
                for run, status, start, end, name, stage in connection.execute(select(*asked).where(ours))
            }
            columns = tags.c.run_uuid, tags.c.key, tags.c.value
            both = select(*columns).join(runs, tags.c.run_uuid == runs.c.run_uuid)
            for run, key, value in connection.execute(both.where(ours, tags.c.key.in_(MARKS))):
                if run in twins:  # else it has just been made
                    twins[run].tags[key] = value
        yield from twins.values()

    def create(self, experiment: str, records: Sequence[Record]) -> list[Twin]:
        """New runs that show these records, in an experiment that has a suite's own run."""
        from sqlalchemy import select

        ids = [uuid.uuid4().hex for _ in records]
        runs, tags = self._tables["runs"], self._tables["tags"]
        tagged = select(runs).join(tags, tags.c.run_uuid == runs.c.run_uuid)
        parent = tagged.where(runs.c.experiment_id == int(experiment), tags.c.key == "bench.suite").limit(1)
        with self._engine.begin() as connection:
            first = connection.execute(parent).mappings().one()  # which MLflow wrote
            like, first = first["run_uuid"], {**first, "lifecycle_stage": "active", "deleted_time": None}
            rows: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS}
            data = self._data(connection, experiment, records, rows["datasets"])
            for run, record in zip(ids, records, strict=True):
                row = {**first, "run_uuid": run, "name": record.name, "status": record.status}
                row["user_id"] = record.tags.get("mlflow.user", "unknown")
                row["artifact_uri"] = first["artifact_uri"].replace(like, run)
                row |= {"start_time": record.start or first["start_time"], "end_time": record.end or None}
                rows["runs"].append(row)
                texts = {"mlflow.runName": record.name, **record.tags, **record.marks}
                rows["tags"] += [{"key": k, "value": v, "run_uuid": run} for k, v in texts.items()]
                rows["params"] += [{"key": k, "value": v, "run_uuid": run} for k, v in record.params.items()]
                points, latest = _metrics(run, record)
                rows["metrics"] += points
                rows["latest_metrics"] += latest
                if record.data is not None:
                    edge = {"input_uuid": uuid.uuid4().hex, "source_type": "DATASET", "step": 0}
                    edge |= {"source_id": data[record.data], "destination_type": "RUN"}
                    rows["inputs"].append(edge | {"destination_id": run})
                    used = dict(zip(("name", "value"), USED, strict=True))
                    rows["input_tags"].append(used | {"input_uuid": edge["input_uuid"]})
            for name in COLUMNS:
                if rows[name]:
                    self._insert(connection, name, rows[name])
        return [written(run, record) for run, record in zip(ids, records, strict=True)]

    def set_tag(self, key: str, values: Mapping[str, str]) -> None:
        """One tag of several runs, by their ids in MLflow."""
        with self._engine.begin() as connection:
            self._set_tag(connection, key, values)

    def trash(self, runs: Sequence[str]) -> None:
        """Put runs that are replaced into MLflow's trash, marked so that nobody takes them for deleted."""
        table = self._tables["runs"]
        gone = {"lifecycle_stage": "deleted", "deleted_time": round(time.time() * 1000)}
        with self._engine.begin() as connection:
            self._set_tag(connection, REPLACED, dict.fromkeys(runs, "true"))
            for some in _parts([*runs]):
                connection.execute(table.update().where(table.c.run_uuid.in_(some)).values(gone))

    def _set_tag(self, connection: Any, key: str, values: Mapping[str, str]) -> None:
        tags = self._tables["tags"]
        for some in _parts([*values]):
            connection.execute(tags.delete().where(tags.c.key == key, tags.c.run_uuid.in_(some)))
        self._insert(connection, "tags", [{"key": key, "value": v, "run_uuid": r} for r, v in values.items()])

    def _data(
        self, connection: Any, experiment: str, records: Sequence[Record], rows: list[dict[str, Any]]
    ) -> dict[tuple[str, str], str]:
        """The data sets of these records, by name and digest. Those that are not there yet become rows."""
        from sqlalchemy import select

        table = self._tables["datasets"]
        columns = table.c.name, table.c.digest, table.c.dataset_uuid
        query = select(*columns).where(table.c.experiment_id == int(experiment))
        ids = {(name, digest): data for name, digest, data in connection.execute(query)}
        for name, digest in {record.data for record in records if record.data} - ids.keys():
            ids[name, digest] = uuid.uuid4().hex
            row = {"dataset_uuid": ids[name, digest], "experiment_id": int(experiment), "name": name}
            row |= dict(zip(("dataset_source_type", "dataset_source"), SOURCE, strict=True))
            rows.append(row | {"digest": digest, "dataset_schema": None, "dataset_profile": None})
        return ids

    def _insert(self, connection: Any, table: str, rows: Sequence[dict[str, Any]]) -> None:
        """Straight to the driver: SQLAlchemy's own look at every value takes longer than the database."""
        from sqlalchemy import insert

        compiled = insert(self._tables[table]).compile(self._engine)
        order = compiled.positiontup
        values = rows if order is None else [tuple(map(row.__getitem__, order)) for row in rows]
        connection.exec_driver_sql(str(compiled), values)


def schema_of(engine: Any) -> str:
    """The version of a store's schema, as MLflow calls it; empty where it has none."""
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with engine.connect() as connection:
            return " ".join(connection.execute(text("SELECT version_num FROM alembic_version")).scalars())
    except SQLAlchemyError:
        return ""


def _parts(runs: list[str], size: int = 500) -> Iterator[list[str]]:
    """As many as a database takes in one statement."""
    for start in range(0, len(runs), size):
        yield runs[start : start + size]


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
