"""Where MLflow's UI shows a run: for what links to it from outside."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from bench.suite import Suite
from bench.tracking.store import TrackingError, connect, find_experiment, foreign_errors, is_server, shown


def link_to_runs(suite: Suite, results: Path, uri: str) -> str:
    """Address at which a server shows a run, with ``{run}`` for its id.

    Empty where there is nothing to link to: the store is no server, it does not answer, or nothing has been
    mirrored yet. The run is looked for by its id and not by MLflow's, which a new mirror would change.
    """
    if not is_server(uri):
        return ""
    try:
        _, _, experiment = find_experiment(connect(uri), suite.name, results, uri)
    except TrackingError:
        return ""
    except foreign_errors():
        return ""
    if experiment is None:
        return ""
    # Ordered by anything but its time, a run stands for itself: else it is folded away below the suite's own.
    query = "searchFilter=tags.`bench.run_id` = '{run}'&orderByKey=metrics.`accuracy`"
    page = f"{shown(uri).rstrip('/')}/#/experiments/{experiment.experiment_id}/runs"
    return f"{page}?workflowType=machine_learning&{quote(query, safe='=&{}')}"
