"""How MLflow shows a suite's runs: by the metric that decides, in its own direction."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from bench.suite import Suite
from bench.tracking.views import FIRST, TAG, VIEWS, experiment_tags

Make = Callable[..., Suite]


@pytest.mark.parametrize(
    ("changes", "first", "ascending", "curves"),
    [
        ({}, "accuracy", False, "loss|accuracy"),
        ({"metrics": ["nll", "accuracy"], "selection": "validation"}, "nll", True, "loss|accuracy|nll"),
        ({"metrics": "macro_f1", "selection": "test"}, "macro_f1", False, "loss|accuracy|macro_f1"),
        ({"metrics": "ece", "selection": "last"}, "ece", True, "loss|accuracy"),
        ({"metrics": {"top_k": {"k": 2, "label": "top/2"}}}, "top_2", False, "loss|accuracy"),
    ],
)
def test_the_best_runs_come_first(
    make_suite: Make, changes: dict[str, Any], first: str, ascending: bool, curves: str
) -> None:
    tags = experiment_tags(make_suite(**changes))
    states = [json.loads(tags[f"{TAG}{key}"]) for key in VIEWS]
    assert FIRST in VIEWS
    for state in states:
        assert (state["orderByKey"], state["orderByAsc"]) == (f"metrics.`{first}`", ascending)
        assert state["selectedColumns"][4] == f"metrics.`{first}`"
        assert state["chartsSearchFilter"] == f"^(train|validation|test)_({curves})$"
