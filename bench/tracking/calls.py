"""Runs, found and written through MLflow's own client: what works with every store and every server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from bench.tracking.record import Record, Twin

BATCH = 700  # metrics in one call: MLflow takes 1,000 things, parameters and tags included
PAGE = 200  # runs asked for at once: a server needs seconds for more


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

    def find(self, experiment: str) -> Iterator[Twin]:
        """All runs of an experiment."""
        page = None
        while page is None or page.token:
            page = self._client.search_runs(
                [experiment], max_results=PAGE, page_token=page.token if page else None
            )
            for run in page:
                yield Twin(run.info.run_id, run.info.status, run.info.end_time or 0, run.data.tags)

    def create(self, experiment: str, parent: str, records: Sequence[Record]) -> list[Twin]:
        """New runs that show these records, below the run ``parent``."""
        one = partial(self._create, experiment, parent)
        if self._threads == 1 or len(records) == 1:
            return [one(record) for record in records]
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(one, records))

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
        return self._complete(twin, record, {**record.tags, **record.marks})

    def _create(self, experiment: str, parent: str, record: Record) -> Twin:
        early = {**record.tags, "bench.origin": record.origin, "mlflow.parentRunId": parent}
        late = {"bench.mirrored": record.digest}
        if record.status != "RUNNING":  # counts only with its final status, so the digest may come early
            early, late = {**early, **record.marks}, {}
        made = self._client.create_run(experiment, record.start or None, early, record.name)
        return self._complete(Twin(made.info.run_id, "RUNNING", 0, early, set()), record, late)

    def _complete(self, twin: Twin, record: Record, tags: dict[str, str]) -> Twin:
        from mlflow.entities import Metric, Param, RunTag

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
        if record.status != "RUNNING":
            self._client.set_terminated(twin.id, record.status, record.end)
        return written(twin.id, record)


def written(run: str, record: Record) -> Twin:
    """What is known of a run that shows a record."""
    logged = set(record.epochs) if record.status == "RUNNING" else set()  # ended: asked for no more
    return Twin(run, record.status, record.end, {**record.tags, **record.marks}, logged)
