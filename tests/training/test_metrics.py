"""The metric that chooses the epoch, and what a run keeps of its answers for others to be measured."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import train_run
from sklearn.metrics import f1_score

from bench.launch.local import train_here
from bench.metrics import Metric, MetricError, choose_metric
from bench.predictions import NotKept
from bench.results.folder import RunFolder
from bench.results.reading import measure
from bench.results.schema import Result
from bench.suite import Suite
from bench.training import checkpoint
from bench.training.device import prepare
from bench.training.run import train

Make = Callable[..., Suite]
RECIPE = {"epochs": 5, "batch_size": 32, "optimizer": {"adam": {"lr": 0.02}}}
UNMOVED = {"epochs": 3, "batch_size": 199, "optimizer": {"sgd": {"lr": 1e-30}}}
"""With steps of no size at all, the first epoch is as good as any, and so it counts."""


def finished(folder: RunFolder) -> Result:
    result = folder.result(check_predictions=True, check_details=True)
    assert result is not None
    return result


def metric(value: Any) -> Metric:
    return Metric.of(choose_metric(value))


def stop_after(steps: int) -> Callable[[], bool]:
    left = iter(range(steps))
    return lambda: next(left, None) is None


def here(suite: Suite, folder: Path) -> None:
    """Train a suite as `bench run` does, with a worker process."""
    train_here(
        *(suite, suite.runs(), folder, folder),
        search_path=[str(folder)],
        watch=lambda: None,
        say=lambda words: None,
        workers=1,
        device="cpu",
    )


# ------------------------------------------------------------------------------ which epoch counts


@pytest.mark.parametrize("selection", ["validation", "test"])
@pytest.mark.parametrize("name", ["nll", "macro_f1", "auroc"])
def test_the_first_metric_chooses_in_its_own_direction(
    make_suite: Make, tmp_path: Path, selection: str, name: str
) -> None:
    suite = make_suite(
        selection=selection, recipe=RECIPE, metrics=[name, "accuracy"], keep_probabilities=True, losses="ce"
    )
    folder = train_run(suite.runs()[0], tmp_path, keep_probabilities=True)
    result, lines = finished(folder), folder.metrics()
    best = np.argmin if name == "nll" else np.argmax
    assert result.epoch == 1 + best([line[f"{selection}_{name}"] for line in lines])
    assert result.best_test.epoch == 1 + best([line[f"test_{name}"] for line in lines])
    for score in (result.last, result.best_test):
        line = lines[score.epoch - 1]
        assert (score.value, score.correct) == (line[f"test_{name}"], line["test_correct"])
    assert result.last.epoch == 5
    # To the bit what is measured on what was kept.
    assert measure(metric(name), folder, result).value == lines[result.epoch - 1][f"test_{name}"]
    assert result.correct == lines[result.epoch - 1]["test_correct"]
    assert (f"validation_{name}" in lines[0]) == (selection == "validation")


def test_metrics_that_do_not_choose_change_nothing(make_suite: Make, tmp_path: Path) -> None:
    """The last epoch is the last, whatever is measured: the same run, the same bits."""
    suite = make_suite(metrics=["nll", "accuracy"])
    folder = train_run(suite.runs()[0], tmp_path)
    result = finished(folder)
    assert "test_nll" not in folder.metrics()[0]
    assert result.last.value is None
    assert result.epoch == result.last.epoch == 2


def test_a_metric_of_one_s_own_chooses(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sure.py").write_text(
        "def doubt(predictions, of=0):\n    return of - predictions.confidence\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    chosen = {}
    for higher in (True, False):
        asked = {"sure:doubt": {"of": 1, "higher_is_better": higher}}
        suite = make_suite(selection="test", metrics=asked, recipe=RECIPE, losses="ce")
        folder = train_run(suite.runs()[0], tmp_path)
        curve = [line["test_sure.doubt"] for line in folder.metrics()]
        chosen[higher] = finished(folder).epoch
        assert chosen[higher] == 1 + (np.argmax if higher else np.argmin)(curve)
    assert chosen[True] != chosen[False]


@pytest.mark.parametrize("steps", [5, 6, 17])
def test_resumed_anywhere_it_chooses_the_same_epoch(make_suite: Make, tmp_path: Path, steps: int) -> None:
    suite = make_suite(selection="validation", metrics="nll", recipe=RECIPE, losses="ce")
    run = suite.runs()[0]
    whole = train_run(run, tmp_path / "whole", keep_probabilities=True)
    folder = RunFolder(tmp_path / "parts", run.id)
    again: dict[str, Any] = {"device": prepare("cpu"), "data": tmp_path, "keep_probabilities": True}
    while not train(run, folder, should_stop=stop_after(steps), **again):
        pass
    contents = [(f.path / "predictions.npz").read_bytes() for f in (whole, folder)]
    assert contents[0] == contents[1]
    assert finished(whole).best_test == finished(folder).best_test


def test_random_cube_acts_where_the_metric_finds_no_new_best(make_suite: Make, tmp_path: Path) -> None:
    recipe = {"epochs": 10, "batch_size": 32, "schedule": "random_cube", "optimizer": {"adam": {"lr": 0.02}}}
    suite = make_suite(selection="test", metrics="nll", recipe=recipe, losses="ce")
    best, acted = float("inf"), 0
    for line, following in itertools.pairwise(train_run(suite.runs()[0], tmp_path).metrics()):
        new_best, best = line["test_nll"] < best, min(best, line["test_nll"])
        assert (following["lr"] == line["lr"]) == new_best
        acted += not new_best
    assert acted


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("return float('nan')", r"metric 'broken:f' returned nan, expected finite numbers"),
        ("return 1 / 0", r"metric 'broken:f': ZeroDivisionError: division by zero"),
        ("return [1, 2]", r"metric 'broken:f' returned an array of shape \(2,\), expected a number"),
    ],
)
def test_a_metric_that_fails_ends_the_run_by_name(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, complaint: str
) -> None:
    (tmp_path / "broken.py").write_text(f"def f(predictions):\n    {body}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    run = make_suite(selection="test", metrics="broken:f", losses="ce").runs()[0]
    with pytest.raises(MetricError, match=complaint):
        train_run(run, tmp_path)
    assert RunFolder(tmp_path, run.id).result() is None


def test_a_worker_notes_it_as_the_reason_of_a_failed_run(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unfit.py").write_text("def f(predictions):\n    return float('inf')\n")
    monkeypatch.syspath_prepend(tmp_path)
    suite = make_suite(selection="validation", metrics="unfit:f", losses="ce", seeds=1)
    here(suite, tmp_path)
    failure = RunFolder(tmp_path, suite.runs()[0].id).failure()
    assert failure is not None
    assert failure.reason == "metric 'unfit:f' returned inf, expected finite numbers"


# ------------------------------------------------------------------------------------ what is kept


def test_every_metric_can_be_asked_of_a_run_that_nobody_prepared(make_suite: Make, tmp_path: Path) -> None:
    folder = train_run(make_suite(recipe=RECIPE).runs()[0], tmp_path)
    result = finished(folder)
    answers = folder.predictions(result)
    assert (answers.rank == 0).sum() == result.correct
    kept = answers.details["rank"].dtype, answers.nll.dtype
    assert (answers.classes, *kept) == (10, np.uint16, np.float32)
    for name in ("nll", "brier", "ece"):
        assert measure(metric(name), folder, result).value == pytest.approx(getattr(result, name), abs=1e-6)
    expected = f1_score(answers.labels, answers.predicted, average="macro")
    assert measure(metric("macro_f1"), folder, result).value == pytest.approx(expected, abs=1e-12)
    assert measure(metric({"top_k": {"k": 10}}), folder, result).value == 1
    with pytest.raises(NotKept, match=r"metric 'auroc' of run .*keep_probabilities: true"):
        measure(metric("auroc"), folder, result)


def test_kept_probabilities_are_those_of_the_epoch_that_counts(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(selection="test", recipe=RECIPE)
    folder = train_run(suite.runs()[0], tmp_path, keep_probabilities=True)
    result = finished(folder)
    answers = folder.predictions(result)
    p = answers.probabilities
    assert (p.shape, p.dtype) == ((100, 10), np.float32)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    assert np.array_equal(p.argmax(axis=1), answers.predicted)
    np.testing.assert_array_equal(p.max(axis=1), answers.confidence)
    true = p[np.arange(100), answers.labels].astype(float)
    assert -np.log(true).mean() == pytest.approx(result.nll, abs=1e-5)


def test_probabilities_asked_for_too_late_are_missed_in_words(make_suite: Make, tmp_path: Path) -> None:
    run = make_suite(selection="test", recipe=UNMOVED).runs()[0]
    folder, device = RunFolder(tmp_path, run.id), prepare("cpu")
    assert not train(run, folder, device=device, data=tmp_path, should_stop=stop_after(2))
    assert train(run, folder, device=device, data=tmp_path, keep_probabilities=True)
    result = finished(folder)
    assert result.epoch == 1
    assert result.warnings == ["probabilities were not kept: that was asked for after the epoch that counts"]
    with pytest.raises(NotKept):
        folder.predictions(result).probabilities  # noqa: B018
    assert measure(metric("nll"), folder, result).per_image is not None


def test_probabilities_that_nobody_wants_any_more_are_not_kept(make_suite: Make, tmp_path: Path) -> None:
    run = make_suite(selection="test", recipe=UNMOVED).runs()[0]
    folder, device = RunFolder(tmp_path, run.id), prepare("cpu")
    stop = stop_after(2)
    assert not train(run, folder, device=device, data=tmp_path, should_stop=stop, keep_probabilities=True)
    assert train(run, folder, device=device, data=tmp_path)
    assert "probabilities" not in folder.predictions(finished(folder)).details


def test_a_training_that_an_older_bench_began_is_finished(make_suite: Make, tmp_path: Path) -> None:
    run = make_suite(selection="test", recipe=UNMOVED).runs()[0]
    folder, device = RunFolder(tmp_path, run.id), prepare("cpu")
    assert not train(run, folder, device=device, data=tmp_path, should_stop=stop_after(2))
    path = folder.path / "checkpoint.pt"
    state = checkpoint.load(path, torch.device("cpu"))
    assert state is not None
    del state["chosen"]["details"]
    checkpoint.save(path, state)
    assert train(run, folder, device=device, data=tmp_path)
    result = finished(folder)
    assert result.epoch == 1  # which the older one had trained
    answers = folder.predictions(result)
    assert (answers.predicted == answers.labels).sum() == result.correct
    with pytest.raises(NotKept, match="from before it was recorded"):
        answers.rank  # noqa: B018
    assert measure(metric("nll"), folder, result).value == result.nll


def test_a_suite_keeps_probabilities_without_becoming_another(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(seeds=1, losses="ce", keep_probabilities=True, metrics=["accuracy", "auroc"])
    assert [run.id for run in suite.runs()] == [run.id for run in make_suite(seeds=1, losses="ce").runs()]
    here(suite, tmp_path)
    folder = RunFolder(tmp_path, suite.runs()[0].id)
    assert 0.5 < measure(suite.metrics[1], folder, finished(folder)).value <= 1
