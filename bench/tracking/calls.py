"""Runs, found and written through MLflow's own client: what works with every store and every server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from bench.tracking.record import REPLACED, Record, Twin

BATCH = 700  # metrics in one call: MLflow takes 1,000 things, parameters and tags included
PAGE = 200  # runs asked for at once: a server needs seconds for more
SOURCE = "code", '{"tags": {"mlflow.source.name": "bench", "mlflow.source.type": "LOCAL"}}'
"""Where MLflow is told that data come from, in its own form: what bench loaded, by a digest of all of it."""
USED = "mlflow.data.context", "training"


class Calls:
    """Several calls a run.

    MLflow has no transactions over several calls, so what makes a run complete is written last: the digest of
    what was mirrored, then the final status. After a kill in between, the run does not match its record; it
    is asked which epochs it holds, and gets the others.
    """

    def __init__(self, client: Any, threads: int = 1) -> None:
        """``threads``: how many runs are under way at once. A server answers several."""
        self._client = client
        self._threads = threads
        self._data: set[tuple[str, tuple[str, str]]] = set()  # that the server knows

    def find(self, experiment: str) -> Iterator[Twin]:
        """All runs of an experiment, those in MLflow's trash too."""
        from mlflow.entities import ViewType

        page = None
        while page is None or page.token:
            page = self._client.search_runs(
                [experiment],
                run_view_type=ViewType.ALL,
                max_results=PAGE,
                page_token=page.token if page else None,
            )
            for run in page:
                info = run.info
                twin = Twin(info.run_id, info.status, info.start_time or 0, info.end_time or 0, info.run_name)
                twin.tags, twin.deleted = run.data.tags, info.lifecycle_stage == "deleted"
                yield twin

    def create(self, experiment: str, records: Sequence[Record]) -> list[Twin]:
        """New runs that show these records."""
        one = partial(self._create, experiment)
        # A server that is told of a new data set twice at once takes the second for an error.
        new = {record.data: number for number, record in reversed([*enumerate(records)]) if record.data}
        first = {k: one(records[k]) for data, k in new.items() if (experiment, data) not in self._data}
        self._data |= {(experiment, data) for data in new}
        rest = [k for k in range(len(records)) if k not in first]
        twins = first | dict(zip(rest, self._together(one, [records[k] for k in rest]), strict=True))
        return [twins[k] for k in range(len(records))]

    def set_tag(self, key: str, values: Mapping[str, str]) -> None:
        """One tag of several runs, by their ids in MLflow."""
        self._together(lambda run: self._client.set_tag(run, key, values[run]), [*values])

    def trash(self, runs: Sequence[str]) -> None:
        """Put runs that are replaced into MLflow's trash, marked so that nobody takes them for deleted."""

        def trash(run: str) -> None:
            self._client.set_tag(run, REPLACED, "true")
            self._client.delete_run(run)

        self._together(trash, runs)

    def _together(self, do: Callable[[Any], Any], each: Sequence[Any]) -> list[Any]:
        if self._threads == 1 or len(each) < 2:
            return [do(one) for one in each]
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(do, each))

    def can_go_on(self, twin: Twin, record: Record) -> bool:
        """Whether what MLflow holds is a beginning of the record."""
        if twin.status != "RUNNING" or twin.tags.get("bench.origin") != record.origin:
            return False
        if twin.logged is None:
            # An epoch's metrics were logged together: any one of them tells which epochs are there.
            held = self._client.get_run(twin.id).data.metrics
            name = min(held.keys() - record.scores.keys(), default=None)
            history = self._client.get_metric_history(twin.id, name) if name else []
            twin.logged = {(point.step, point.timestamp) for point in history}
        return twin.logged <= record.epochs.keys()

    def go_on(self, twin: Twin, record: Record) -> Twin:
        """Write what a run that can go on lacks. Returns what it is then."""
        now = self._complete(twin, record, {**record.tags, **record.marks})
        now.tags = {**twin.tags, **now.tags}
        return now

    def _create(self, experiment: str, record: Record) -> Twin:
        early = {**record.tags, "bench.origin": record.origin}
        late = {"bench.mirrored": record.digest}
        if record.status != "RUNNING":  # counts only with its final status, so the digest may come early
            early, late = {**early, **record.marks}, {}
        run = self._client.create_run(experiment, record.start or None, early, record.name)
        new = Twin(run.info.run_id, "RUNNING", record.start, 0, record.name, early, set())
        return self._complete(new, record, late)

    def _complete(self, twin: Twin, record: Record, tags: dict[str, str]) -> Twin:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

        batches: list[list[Any]] = [[]]
        for (epoch, when), metrics in record.epochs.items():
            if (epoch, when) not in (twin.logged or ()):
                if len(batches[-1]) + len(metrics) > BATCH:
                    batches.append([])  # an epoch is never split: it is there or it is not
                batches[-1] += [Metric(key, value, when, epoch) for key, value in metrics.items()]
        batches[-1] += [Metric(key, value, record.end, step=0) for key, value in record.scores.items()]
        params = [Param(*item) for item in record.params.items()]
        for batch in batches[:-1]:
            self._client.log_batch(twin.id, batch)
        self._client.log_batch(twin.id, batches[-1], params, [RunTag(*item) for item in tags.items()])
        if record.data is not None:
            data = Dataset(*record.data, *SOURCE)
            self._client.log_inputs(twin.id, [DatasetInput(data, [InputTag(*USED)])])
        if record.name != twin.name:
            self._client.update_run(twin.id, name=record.name)
        if record.status != "RUNNING":
            self._client.set_terminated(twin.id, record.status, record.end)
        return written(twin.id, record)


def written(run: str, record: Record) -> Twin:
    """What is known of a run that shows a record."""
    logged = set(record.epochs) if record.status == "RUNNING" else set()  # ended: asked for no more
    tags = {**record.tags, **record.marks}
    return Twin(run, record.status, record.start, record.end, record.name, tags, logged)
