"""What MLflow's own UI opens on: which runs, which columns, grouped by what.

The UI keeps such a view in a tag of the experiment, under the key that stands in the address. Those with a
name, which MLflow 3.17 knows, are also offered above its table of runs; older ones take the rest of the tag.
"""

from __future__ import annotations

import json
import re
from typing import Any

from bench.suite import Suite
from bench.tracking.text import key_of

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

PARAMS = {"loss": 120, "model": 130, "dataset": 100, "seed": 60}
SCORES = {"accuracy": 100, "correct": 80, "total": 70, "epoch": 70, "nll": 90, "ece": 90, "seconds": 90}
"""Columns in their order, and their widths in pixels. The metrics that a suite asks for come first."""

CURVES = "^(train|validation|test)_({})$"
"""The charts that are shown: what changes from epoch to epoch, and not a bar for every score."""
FORM = "2"  # of the views: raised when they change, so that those of an older mirror are replaced


def experiment_tags(suite: Suite) -> dict[str, str]:
    """Tags of a suite's experiment: that it is not about chats, and its views."""
    about = {"mlflow.experimentKind": "custom_model_development", "bench.views": FORM}
    return about | {f"{TAG}{key}": _saved(suite, name, grouped) for key, (name, grouped) in VIEWS.items()}


def page_of_runs(server: str, experiment: str, view: str = FIRST) -> str:
    """The address at which the UI shows the runs of an experiment."""
    return f"{server}/#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={view}"


def page_of_run(server: str, experiment: str, run: str) -> str:
    """The address at which the UI shows one run."""
    return f"{server}/#/experiments/{experiment}/runs/{run}?workflowType=machine_learning"


def page_of_report(server: str, experiment: str, run: str) -> str:
    """The address at which it shows the report of a suite's own run."""
    return page_of_run(server, experiment, run).replace("?", "/artifacts/report/report.html?")


def _saved(suite: Suite, name: str, grouped: tuple[str, ...]) -> str:
    first = suite.metrics[0]
    scores = {key_of(metric.name): SCORES.get(metric.name, 100) for metric in suite.metrics} | SCORES
    chooser = [re.escape(first.key)] if suite.chooses_by else []
    columns = {f"params.`{key}`": width for key, width in PARAMS.items()}
    columns |= {f"metrics.`{key}`": width for key, width in scores.items()}
    state: dict[str, Any] = {
        "searchFilter": "",
        "orderByKey": f"metrics.`{key_of(first.name)}`",
        "orderByAsc": not first.higher_is_better,
        "selectedColumns": [*columns],
        "columnOrder": [*columns],
        "columnWidths": columns,
        "runsHiddenMode": "FIRST_20_RUNS",
        "chartsSearchFilter": CURVES.format("|".join(["loss", "accuracy", *chooser])),
    }
    if grouped:
        keys = [{"mode": "param", "groupByData": key} for key in grouped]
        state["groupBy"] = {"aggregateFunction": "average", "groupByKeys": keys}
    # The state stands inside for those who know names, and outside for those who do not.
    return json.dumps({"name": name, "createdAt": 0, "state": json.dumps(state), **state})
