"""What MLflow's own UI opens on: which runs, which columns, grouped by what.

The UI keeps such a view in a tag of the experiment, under the key that stands in the address. Those with a
name, which MLflow 3.17 knows, are also offered above its table of runs; older ones take the rest of the tag.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from bench.suite import Suite

TAG = "mlflow.sharedViewState."
FIRST = "bench-runs"
VIEWS = {
    FIRST: ("Best first", ()),
    "bench-by-loss": ("By loss", ("loss",)),
    "bench-by-model": ("By model", ("model",)),
    "bench-by-loss-and-model": ("By loss and model", ("loss", "model")),
    "bench-by-seed": ("By seed", ("seed",)),
}
"""Key → its name, and the parameters that runs are grouped by."""

COLUMNS = (
    *("params.`loss`", "params.`model`", "params.`dataset`", "params.`seed`"),
    *("metrics.`accuracy`", "metrics.`correct`", "metrics.`total`", "metrics.`epoch`"),
    *("metrics.`nll`", "metrics.`ece`", "metrics.`seconds`"),
)
EVERY_RUN = 'params.seed != ""'
"""Without the suite's own run: with it, all others are folded away below it."""


def experiment_tags(suite: Suite) -> dict[str, str]:
    """Tags of a suite's experiment: its question, that it is not about chats, and its views."""
    about = {"mlflow.note.content": suite.question, "mlflow.experimentKind": "custom_model_development"}
    return about | {f"{TAG}{key}": _saved(name, grouped) for key, (name, grouped) in VIEWS.items()}


def page_of_runs(server: str, experiment: str, view: str = FIRST) -> str:
    """The address at which the UI shows the runs of an experiment."""
    return f"{server}/#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={view}"


def page_of_run(server: str, experiment: str, run: str) -> str:
    """The address at which the UI shows one run."""
    return f"{server}/#/experiments/{experiment}/runs/{run}"


def link_by_tag(server: str, experiment: str, key: str, value: str) -> str:
    """The address at which the UI shows the runs with a tag."""
    # Ordered by anything but its time, a run stands for itself: else it is folded away below the suite's own.
    wanted = f"searchFilter=tags.`{key}` = '{value}'&orderByKey=metrics.`accuracy`"
    page = f"{server}/#/experiments/{experiment}/runs?workflowType=machine_learning"
    return f"{page}&{quote(wanted, safe='=&{}')}"


def _saved(name: str, grouped: tuple[str, ...]) -> str:
    state: dict[str, Any] = {
        "searchFilter": EVERY_RUN,
        "orderByKey": "metrics.`accuracy`",
        "orderByAsc": False,
        "selectedColumns": COLUMNS,
        "runsHiddenMode": "FIRST_20_RUNS",
    }
    if grouped:
        keys = [{"mode": "param", "groupByData": key} for key in grouped]
        state["groupBy"] = {"aggregateFunction": "average", "groupByKeys": keys}
    # The state stands inside for those who know names, and outside for those who do not.
    return json.dumps({"name": name, "createdAt": 0, "state": json.dumps(state), **state})
