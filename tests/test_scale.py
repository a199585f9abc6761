"""Suites in miniature: each of ours runs to its end here, and none can be taken for the real one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import bench, states, train_run
from typer.testing import CliRunner

from bench.cli import app
from bench.datasets import FORMS
from bench.datasets.miniature import letters_like
from bench.front.reporting import write_report
from bench.reports.blocks import Heading
from bench.scale import tiny
from bench.sequential_design import SequentialDesign
from bench.suite import Suite, load

SUITES = Path(__file__).parents[1] / "suites"
OURS = ["paper", "emnist-family", "label-noise", "cifar-timm"]
WORDS = "SCALED DOWN"


@pytest.mark.parametrize("name", [*OURS, "synthetic-letters"])
def test_our_suites_run_to_their_end(name: str, tmp_path: Path) -> None:
    design = SequentialDesign(tiny(load(SUITES / f"{name}.yaml")), tmp_path)
    trained: set[str] = set()
    while left := [run for run in design.now().runs() if run.id not in trained]:
        for run in left:
            train_run(run, tmp_path)
            trained.add(run.id)
    suite = design.now()
    assert {*states(suite, tmp_path)} == {"done"}
    made, shown, written = write_report(suite, tmp_path)
    assert made.complete
    assert {path.parent.name for path in written} == {f"{name}-tiny"}
    said = {path.name: path.read_text() for path in written if path.suffix != ".npz"}
    for file in ("report.md", "report.tex", "report.html", "methods.md", "methods.tex"):
        assert WORDS in said[file], file
    assert json.loads(said["report.json"])["scaled_down"]
    for heading in (block for block in shown.tables if isinstance(block, Heading) and block.level == 2):
        assert WORDS in heading.marks


@pytest.mark.parametrize("name", OURS)
def test_our_suites_start_with_a_question_and_say_what_they_cost(name: str) -> None:
    path = SUITES / f"{name}.yaml"
    assert load(path).question.endswith("?")
    [cost] = [line for line in path.read_text().splitlines() if line.startswith("# Cost: about ")]
    assert "GPU-hours" in cost
    assert "an estimate" in cost


def test_the_command_keeps_a_miniature_apart(write_suite: Callable[..., Path], tmp_path: Path) -> None:
    path, results = write_suite(datasets="mnist", models="vgg5", losses=["ce", "mae"]), tmp_path / "results"
    scaled = (path, "--scale", "tiny", "--results", results)
    ran = bench("run", *scaled, "--data", tmp_path / "none", timeout=400)
    assert ran.returncode == 0, ran.stderr
    assert WORDS in ran.stdout
    assert [*status_of(*scaled).values()] == ["small-tiny", 4, 4]
    assert [*status_of(path, "--results", results).values()] == ["small", 4, 0]
    assert {p.name for p in results.iterdir() if p.is_dir()} >= {"small-tiny", "runs"}
    assert not (results / "small").exists()
    from mlflow import MlflowClient

    found = MlflowClient(f"sqlite:///{results / 'mlflow.db'}").search_experiments()
    assert {e.name for e in found} == {"Default", "small-tiny"}


def status_of(*arguments: str | Path) -> dict[str, Any]:
    made = CliRunner().invoke(app, ["status", *map(str, arguments), "--json"])
    found = json.loads(made.stdout)
    return {"suite": found["suite"], **{name: found["runs"][name] for name in ("planned", "done")}}


# -------------------------------------------------------------------------------- what is made small, and how


def described(suite: Suite) -> list[dict[str, Any]]:
    return [json.loads(cell.text) for cell in suite.cells]


def test_what_differs_still_differs(make_suite: Callable[..., Suite]) -> None:
    suite = make_suite(
        datasets=["mnist", {"mnist": {"train_size": 1000, "label": "few"}}, "digits"],
        models=["vgg5-tiny", {"vgg5-tiny": {"width": 32}}, "timm/resnet18", "timm/resnet34"],
        losses=["ce", {"ce": {"label": "longer", "recipe": {"epochs": 50, "batch_size": 500}}}],
        seeds=5,
        exclude=[{"dataset": "digits", "model": ["timm/resnet18", "timm/resnet34"]}, {"seed": 4}],
    )
    small = tiny(suite)
    assert len(small.cells) == len(suite.cells)
    assert small.labels("datasets") == ["mnist-tiny", "few-tiny", "digits-tiny"]
    assert {d["recipe"]["epochs"] for d in described(small)} == {2, 3}
    assert {d["recipe"]["batch_size"] for d in described(small)} == {32, 33}
    assert small.seeds == (0, 1)
    assert not {run.id for run in small.runs()} & {run.id for run in suite.runs()}


def test_noise_selection_and_the_rest_of_the_recipe_stay() -> None:
    suite = load(SUITES / "label-noise.yaml")
    small = tiny(suite)
    assert {d["dataset"]["label_noise"] for d in described(small)} == {0.0, 0.2, 0.4}
    kept = ("loss", "selection")
    assert small.analysis == suite.analysis
    for whole, little in zip(described(suite), described(small), strict=True):
        assert all(whole[key] == little[key] for key in kept)
        assert whole["recipe"] == {**little["recipe"], "epochs": 200, "batch_size": 100}


def test_metrics_and_their_margins_stay(make_suite: Callable[..., Suite]) -> None:
    suite = make_suite(
        metrics=[{"auroc": {"label": "area"}}, "nll"],
        keep_probabilities=True,
        selection="validation",
        analysis={"alpha": 0.01, "margin": {"nll": 0.02, "area": 0.3}},
    )
    small = tiny(suite)
    assert small.metrics == suite.metrics
    assert small.margins == suite.margins == {"area": 0.3, "nll": 0.02}
    assert (small.keep_probabilities, small.analysis.alpha) == (True, 0.01)
    assert {d["metric"]["name"] for d in described(small)} == {"auroc"}
    assert tiny(make_suite(metrics="nll")).margins == {"nll": None}


def test_a_users_own_code_stays(make_suite: Callable[..., Suite], tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "scale_mine.py").write_text("def net(channels, classes): ...\ndef data(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    suite = make_suite(datasets="scale_mine:data", models=["scale_mine:net", "torchvision/alexnet"])
    for whole, little in zip(described(suite), described(tiny(suite)), strict=True):
        assert (whole["dataset"], whole["model"]) == (little["dataset"], little["model"])


@pytest.mark.parametrize("name", FORMS)
def test_letters_take_any_form(name: str) -> None:
    form = FORMS[name]
    images, labels, _, test_labels = letters_like(name, 260, 130)
    if name == "digits":
        return  # smaller than a letter, and never replaced
    assert images.shape == (260, *form.shape)
    assert images.dtype == torch.uint8
    assert labels.unique().tolist() == list(range(form.classes))
    assert len(test_labels) == 130
