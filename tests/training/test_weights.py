"""Weights that are kept: those of the epoch that counts, through any interruption, and none unasked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import finish_run, train_run
from safetensors.torch import load

from bench.datasets import load as load_images
from bench.disk import Damaged
from bench.launch.local import train_here
from bench.models import build
from bench.results.folder import RunFolder
from bench.runs import Run
from bench.suite import Suite
from bench.training.device import prepare
from bench.training.run import train

Make = Callable[..., Suite]
RECIPE = {"epochs": 4, "batch_size": 32, "optimizer": {"adam": {"lr": 0.02}}}


def answers(content: bytes, run: Run, data: Path) -> torch.Tensor:
    """What a network with these weights says of the test images, without any of the training's code."""
    resolved = run.resolve()
    images = load_images(resolved.dataset, data)
    model = build(resolved.model, images.form.shape, images.form.classes).eval()
    model.load_state_dict(load(content))
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (images.form.mean, images.form.std))
    with torch.no_grad():
        return model((images.test_images / 255 - mean) / std).argmax(1)


@pytest.mark.parametrize("selection", ["last", "validation", "test"])
def test_kept_weights_give_the_predictions_of_the_epoch_that_counts(
    make_suite: Make, tmp_path: Path, selection: str
) -> None:
    run = make_suite(selection=selection, recipe=RECIPE).runs()[0]
    folder = train_run(run, tmp_path, keep_weights=True)
    result = folder.result()
    assert result is not None
    content = folder.weights(result)
    assert content is not None
    assert answers(content, run, tmp_path).tolist() == folder.predictions(result).predicted.tolist()
    assert {path.name for path in folder.path.iterdir()} == {
        *("metrics.jsonl", "predictions.npz", "result.json", "weights.safetensors")
    }


def test_the_best_epoch_s_weights_survive_being_stopped(make_suite: Make, tmp_path: Path) -> None:
    recipe = {"epochs": 6, "batch_size": 32, "optimizer": {"adam": {"lr": 0.06}}}
    # Which epoch is the best depends on how a processor rounds. Where it is the last, nothing would be seen.
    for run in make_suite(selection="test", recipe=recipe, losses="ce", seeds=8).runs():
        undisturbed = train_run(run, tmp_path / "whole", keep_weights=True)
        result = undisturbed.result()
        assert result is not None
        if result.epoch < 6:
            break
    assert result.epoch < 6
    folder = RunFolder(tmp_path / "parts", run.id)
    ended = False
    while not ended:
        left = iter(range(5))
        ended = train(
            *(run, folder),
            device=prepare("cpu"),
            data=tmp_path,
            should_stop=lambda left=left: next(left, None) is None,
            keep_weights=True,
        )
    again = folder.result()
    assert again is not None
    assert folder.weights(again) == undisturbed.weights(result)


def test_weights_asked_for_too_late_are_missed_in_words(make_suite: Make, tmp_path: Path) -> None:
    # With steps of no size at all, the first epoch is as good as any, and so it counts.
    recipe = {"epochs": 3, "batch_size": 199, "optimizer": {"sgd": {"lr": 1e-30}}}
    run = make_suite(selection="test", recipe=recipe).runs()[0]
    folder, device = RunFolder(tmp_path, run.id), prepare("cpu")
    left = iter(range(2))
    assert not train(run, folder, device=device, data=tmp_path, should_stop=lambda: next(left, None) is None)
    assert train(run, folder, device=device, data=tmp_path, keep_weights=True)
    result = folder.result()
    assert result is not None
    assert result.epoch == 1
    assert folder.weights(result) is None
    assert "weights were not kept" in result.warnings[0]


def test_weights_that_nobody_wants_any_more_are_not_kept(make_suite: Make, tmp_path: Path) -> None:
    run = make_suite(recipe=RECIPE).runs()[0]
    folder, device = RunFolder(tmp_path, run.id), prepare("cpu")
    left = iter(range(10))
    train(
        *(run, folder),
        device=device,
        data=tmp_path,
        should_stop=lambda: next(left, None) is None,
        keep_weights=True,
    )
    (folder.path / "weights.safetensors").write_bytes(b"of an attempt that died before its result")
    train(run, folder, device=device, data=tmp_path)
    result = folder.result()
    assert result is not None
    assert result.weights_sha256 is None
    assert not (folder.path / "weights.safetensors").exists()


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"short")])
def test_damaged_weights_are_seen_and_the_result_still_counts(
    make_suite: Make, tmp_path: Path, damage: Callable[[Path], Any]
) -> None:
    run = make_suite().runs()[0]
    folder = finish_run(run, tmp_path, correct=90, weights=b"all of them")
    result = folder.result(check_predictions=True)
    assert result is not None
    assert folder.weights(result) == b"all of them"
    damage(folder.path / "weights.safetensors")
    with pytest.raises(Damaged, match=r"weights\.safetensors: it(s content)? is"):
        folder.weights(result)
    assert folder.result(check_predictions=True) == result


def test_a_suite_keeps_weights_without_becoming_another(make_suite: Make, tmp_path: Path) -> None:
    suite, plain = make_suite(seeds=1, losses="ce", keep_weights=True), make_suite(seeds=1, losses="ce")
    assert [run.id for run in suite.runs()] == [run.id for run in plain.runs()]
    train_here(
        *(suite, suite.runs(), tmp_path, tmp_path),
        search_path=[],
        watch=lambda: None,
        say=lambda words: None,
        workers=1,
        device="cpu",
    )
    folder = RunFolder(tmp_path, suite.runs()[0].id)
    result = folder.result()
    assert result is not None
    assert folder.weights(result)
