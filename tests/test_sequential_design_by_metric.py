"""Seeds until decided, where another metric than accuracy decides."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import finish_run

from bench.errors import BenchError
from bench.launch.plan import plan
from bench.launch.text import plan_text
from bench.results.folder import RunFolder
from bench.sequential_design import SequentialDesign, as_it_stands, stopping_plan
from bench.statistics.stopping import Outcome
from bench.suite import Suite

Make = Callable[..., Suite]
ADDED = {"start": 4, "step": 4, "max": 24, "until": "decided"}
WORSE = {"ce": 0.0, "min_ent": -0.2, "mix_ent": 0.0}
"""How much more negative log-likelihood each loss leaves, in nats; all but it is noise of the seed."""


@pytest.fixture
def suite(make_suite: Make) -> Suite:
    return make_suite(losses=[*WORSE], seeds=ADDED, metrics=["nll", "accuracy"], analysis={"margin": 0.05})


def finish(suite: Suite, results: Path, scale: float = 1.0, **settings: Any) -> int:
    """Make up what the suite asks for now, accuracy always the same; returns how many runs that were."""
    made = 0
    for cell in as_it_stands(suite, results).cells:
        for run in cell.runs:
            if not RunFolder(results, run.id).done:
                noise = 0.02 * np.random.default_rng([run.seed, len(cell.loss)]).standard_normal()
                finish_run(run, results, 90, nll=scale * (0.6 + WORSE[cell.loss] + noise), **settings)
                made += 1
    return made


def test_the_first_metric_decides(suite: Suite, tmp_path: Path) -> None:
    while finish(suite, tmp_path):
        pass
    outcomes = {key[2]: found.outcome for key, found in SequentialDesign(suite, tmp_path).standings().items()}
    assert outcomes == {"min_ent": Outcome.DIFFERENCE, "mix_ent": Outcome.EQUIVALENT}
    assert SequentialDesign(suite, tmp_path).typical_sd() == pytest.approx(0.028, abs=0.015)


def test_accuracy_of_the_same_runs_decides_otherwise(suite: Suite, make_suite: Make, tmp_path: Path) -> None:
    finish(suite, tmp_path)
    by_accuracy = make_suite(losses=[*WORSE], seeds=ADDED, metrics=["accuracy", "nll"])
    assert {*by_accuracy.runs()} == {*suite.runs()}
    assert SequentialDesign(by_accuracy, tmp_path).typical_sd() == 0


def test_values_may_be_larger_than_one(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=[*WORSE], seeds=ADDED, metrics="nll", analysis={"margin": 50})
    while finish(suite, tmp_path, scale=1000):
        pass
    outcomes = {key[2]: found.outcome for key, found in SequentialDesign(suite, tmp_path).standings().items()}
    assert outcomes == {"min_ent": Outcome.DIFFERENCE, "mix_ent": Outcome.EQUIVALENT}


@pytest.mark.parametrize(
    ("metrics", "analysis", "margin"),
    [
        ("nll", None, 0.0),
        ("nll", {"margin": 0.05}, 0.05),
        ("macro_f1", None, 0.001),
        ("macro_f1", {"margin": {"macro_f1": 0.5}}, 0.005),
        (["accuracy", "nll"], {"margin": {"nll": 0.5}}, 0.001),
    ],
)
def test_margins_are_in_the_unit_of_the_metric(
    make_suite: Make, tmp_path: Path, metrics: Any, analysis: Any, margin: float
) -> None:
    plan = stopping_plan(make_suite(seeds=ADDED, metrics=metrics, analysis=analysis), tmp_path)
    assert plan is not None
    assert plan.margin == pytest.approx(margin)


def test_what_a_run_did_not_keep_is_said(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(
        losses=[*WORSE], seeds=ADDED, metrics="auroc", keep_probabilities=True, selection="last"
    )
    finish(make_suite(losses=[*WORSE], seeds=ADDED), tmp_path)
    with pytest.raises(BenchError, match=r"metric 'auroc' of run \w+: the probability .* not kept: .* move"):
        SequentialDesign(suite, tmp_path).now()


def test_damage_to_what_is_measured_holds_up_a_look(suite: Suite, tmp_path: Path) -> None:
    finish(suite, tmp_path)
    run = suite.cells[1].runs[2]
    asked = [len(cell.seeds) for cell in as_it_stands(suite, tmp_path).cells]
    path = RunFolder(tmp_path, run.id).path / "predictions.npz"
    path.write_bytes(path.read_bytes()[:-1])
    assert [len(cell.seeds) for cell in as_it_stands(suite, tmp_path).cells][1] == 4 < asked[1]


def test_a_plan_says_why_equivalence_is_not_simulated(make_suite: Make, tmp_path: Path) -> None:
    said = {}
    for margin in (None, 0.05):
        analysis = {} if margin is None else {"margin": margin}
        suite = make_suite(losses=[*WORSE], seeds=ADDED, metrics="nll", analysis=analysis)
        before = plan_text(plan(suite, tmp_path, 1, "cpu"))
        finish(suite, tmp_path)
        said[margin] = before, plan_text(plan(suite, tmp_path, 1, "cpu"))
        for run in suite.runs():
            shutil.rmtree(RunFolder(tmp_path, run.id).path, ignore_errors=True)
    assert all("equivalence is left out: there is no margin" in text for text in said[None])
    assert "is not known before there are results" in said[0.05][0]
    assert re.search(r"the margin is [\d.]+ sd, by the finished runs", said[0.05][1])
