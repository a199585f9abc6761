"""Learned loss weights end to end: recorded as they weigh, drawn, and told apart from the paper's."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import train_run
from invented import invent

from bench.losses import as_function
from bench.reports.build import report
from bench.reports.document import document
from bench.reports.figures import draw
from bench.reports.figures import weights as figure
from bench.reports.figures.material import Material, NothingToDraw
from bench.reports.loss_weights import final_weights, learning, paths
from bench.reports.methods import paper
from bench.reports.render.markdown import markdown
from bench.reports.schema import Report
from bench.results.folder import RunFolder
from bench.results.reading import frame
from bench.suite import Suite

Make = Callable[..., Suite]
LOSSES = [
    "ce",
    {"mix_ent": {"learn": "free", "label": "free"}},
    {"min_ent": {"learn": "square", "label": "sq"}},
]


def written(made: Report) -> str:
    """In one line, so that no sentence is broken."""
    return " ".join(markdown(document(made).blocks(everything=True)).split())


def weigh(suite: Suite, results: Path) -> None:
    """Made-up paths: seed s ends at w1 = 0.5 + s / 10 and w2 = −0.1."""
    invent(suite, results, epochs=4)
    for cell in suite.cells:
        for run in cell.runs if cell.loss in learning(suite) else ():
            folder = RunFolder(results, run.id)
            lines = folder.metrics()
            ends = np.linspace([0.8, 0.9], [0.5 + run.seed / 10, -0.1], len(lines))
            folder.write_metrics(
                line | {"w1": float(w1), "w2": float(w2)} for line, (w1, w2) in zip(lines, ends, strict=True)
            )


def test_final_weights_are_in_the_report_which_says_what_they_are_not(
    make_suite: Make, tmp_path: Path
) -> None:
    suite = make_suite(losses=LOSSES, seeds=3)
    weigh(suite, tmp_path)
    notes = final_weights(suite, tmp_path, frame(tmp_path, suite.cells))
    assert [note.split(":")[0].split(" × ")[-1] for note in notes] == ["free", "sq", "learned weights"]
    assert "w1 = 0.6 ± 0.1 and w2 = -0.1 ± 0 over 3 seeds" in notes[0]
    text = written(report(suite, tmp_path))
    assert text.count("no reproduction of the weights that arXiv:2501.13709 learns") == 1


def test_a_figure_shows_their_paths(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=LOSSES, seeds=3)
    weigh(suite, tmp_path)
    used = Material(report(suite, tmp_path), suite, tmp_path)
    [sketch] = figure.draw(used)
    [axes] = sketch.figure.axes
    drawn = [line.get_ydata() for line in axes.lines if len(np.asarray(line.get_ydata())) == 4]
    known = paths(tmp_path, used.runs_of(next(iter(used.groups)), "free").run_id)
    assert known is not None
    np.testing.assert_allclose(drawn[0], known[:, :, 0].mean(axis=0))
    np.testing.assert_allclose(drawn[1], known[:, :, 1].mean(axis=0))
    assert len(drawn) == 4
    assert "to 0.6 after epoch 4" in sketch.alt
    assert "no reproduction" in sketch.alt


def test_there_is_none_where_nothing_is_learned(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mix_ent"])
    weigh(suite, tmp_path)
    made = report(suite, tmp_path)
    with pytest.raises(NothingToDraw, match="no loss of this suite learns"):
        figure.draw(Material(made, suite, tmp_path))
    assert "learned weights" not in written(made)
    drawn = draw(made, suite, tmp_path, tmp_path / "figures", ["svg"])
    assert "weights" in drawn.skipped


def test_squared_weights_are_recorded_as_they_weigh(make_suite: Make, tmp_path: Path) -> None:
    """The recorded w₁ and w₂ are those of w₁·CE/ln b₁ + w₂·E/ln b₂, not the numbers that are squared."""
    recipe = {
        "epochs": 1,
        "batch_size": 32,
        "optimizer": {"sgd": {"lr": 1e-9}},
    }  # so they stay where they start
    suite = make_suite(losses={"mix_ent": {"learn": "square"}}, baseline=None, recipe=recipe, seeds=1)
    [line] = train_run(suite.runs()[0], tmp_path).metrics()
    assert (line["w1"], line["w2"]) == pytest.approx((0.717, 0.943), abs=1e-5)
    loss = as_function(suite.losses[0].choice)
    logits, target = torch.randn(4, 10), torch.arange(4)
    learned = torch.tensor([math.sqrt(line["w1"]), math.sqrt(line["w2"])])
    fixed = as_function(make_suite(losses="mix_ent", baseline=None).losses[0].choice)
    assert float(loss(logits, target, learned)) == pytest.approx(float(fixed(logits, target)), rel=1e-5)


def test_methods_state_the_noise(make_suite: Make, tmp_path: Path) -> None:
    noisy = {"digits": {"label_noise": 0.2, "noise_seed": 3, "label": "noisy digits"}}
    for selection, held_out in (("validation", True), ("last", False)):
        suite = make_suite(datasets=["digits", noisy], selection=selection)
        text = paper(suite, tmp_path, report(suite, tmp_path))["methods.md"]
        assert "20 % of noisy digits (noise seed 3)" in text
        assert ("those of the held-out validation images among them" in text) == held_out
        assert "test labels stay as they are" in text
    suite = make_suite()
    assert "noise seed" not in paper(suite, tmp_path, report(suite, tmp_path))["methods.md"].split("Each")[0]


def test_a_recipe_of_each_model_is_no_reason_to_doubt_a_loss(make_suite: Make, tmp_path: Path) -> None:
    own = {"recipe": {"epochs": 3}}
    models = ["vgg5-tiny", {"spinal-vgg5-tiny": own}]
    for changes, said in (
        ({"models": models}, "Data sets or models differ in epochs, which all losses of each share."),
        ({"losses": ["ce", {"mae": own}]}, "did not share epochs, so a difference may be due to more"),
    ):
        suite = make_suite(**changes)
        assert said in paper(suite, tmp_path, report(suite, tmp_path))["methods.md"]
