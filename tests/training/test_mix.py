"""Mixup and CutMix: torchvision's arithmetic, drawn apart from everything else, and back to the same bits."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import train_run
from scipy.stats import ks_2samp
from torchvision.transforms import v2
from training.recorder import FakeRecorder

from bench.registry import choose
from bench.results.folder import RunFolder
from bench.suite import Suite
from bench.training import mix
from bench.training.device import prepare
from bench.training.loop import Training
from bench.training.run import train
from bench.transforms import MIXES

Make = Callable[..., Suite]
BOTH = [{"mixup": {"alpha": 0.5}}, {"cutmix": {"alpha": 1.0}}]
EITHER = {"mixup_or_cutmix": {"mixup": 0.5, "cutmix": 1.0, "switch": 0.3}}


def recipe(value: Any, **more: Any) -> dict[str, Any]:
    return {"epochs": 2, "batch_size": 32, "mix": value, **more}


@pytest.mark.parametrize("value", [*BOTH, EITHER], ids=str)
def test_same_as_torchvision_at_equal_parameters(value: Any) -> None:
    images, labels = torch.rand(16, 3, 9, 12), torch.arange(16) % 5
    for mixture in mix.draw(choose("mix", value, MIXES), 20, (3, 9, 12), seed=1):
        kind = v2.MixUp(num_classes=5) if mixture.box is None else v2.CutMix(num_classes=5)
        params = {"lam": mixture.share, "lam_adjusted": mixture.share, "box": mixture.box, "labels": labels}
        expected = [kind.transform(part, params | {"batch_size": 16}) for part in (images, labels)]
        for mine, theirs in zip(mix.apply(mixture, images, labels, 5), expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-7)


@pytest.mark.parametrize("value", BOTH, ids=str)
def test_distribution_is_torchvisions(value: Any) -> None:
    drawn = [mixture.share for mixture in mix.draw(choose("mix", value, MIXES), 4000, (1, 28, 28), seed=2)]
    kind = v2.MixUp(alpha=0.5, num_classes=2) if "mixup" in value else v2.CutMix(alpha=1.0, num_classes=2)
    torch.manual_seed(0)
    image = torch.zeros(2, 1, 28, 28)
    theirs = [kind.make_params([image]) for _ in range(4000)]
    shares = [each.get("lam", each.get("lam_adjusted")) for each in theirs]
    assert np.mean(drawn) == pytest.approx(np.mean(shares), abs=0.02)
    assert np.quantile(drawn, [0.1, 0.25, 0.75, 0.9]) == pytest.approx(
        np.quantile(shares, [0.1, 0.25, 0.75, 0.9]), abs=0.04
    )


def test_one_of_both_for_each_batch() -> None:
    drawn = mix.draw(choose("mix", EITHER, MIXES), 4000, (1, 28, 28), seed=3)
    pasted = [mixture.share for mixture in drawn if mixture.box is not None]
    averaged = [mixture.share for mixture in drawn if mixture.box is None]
    assert len(pasted) / 4000 == pytest.approx(0.3, abs=0.03)
    for value, shares in zip(BOTH, (averaged, pasted), strict=True):
        alone = [
            mixture.share for mixture in mix.draw(choose("mix", value, MIXES), 4000, (1, 28, 28), seed=4)
        ]
        assert ks_2samp(shares, alone).pvalue > 0.001
    with_one = mix.draw(choose("mix", {"mixup_or_cutmix": {"switch": 1}}, MIXES), 50, (1, 28, 28), seed=3)
    assert all(mixture.box is not None for mixture in with_one)


def test_recipes_that_do_not_mix_keep_their_ids(make_suite: Make) -> None:
    plain, spelt = (make_suite(recipe={"epochs": 2, **more}) for more in ({}, {"mix": None}))
    assert "mix" not in plain.runs()[0].text
    assert [run.id for run in plain.runs()] == [run.id for run in spelt.runs()]
    mixed = make_suite(recipe={"epochs": 2, "mix": "mixup"})
    assert mixed.runs()[0].id != plain.runs()[0].id
    assert mixed.runs()[0].resolve().recipe.mix == choose("mix", {"mixup": {"alpha": 0.2}}, MIXES)


def test_one_loss_of_a_suite_may_mix_or_do_without(make_suite: Make) -> None:
    losses = ["ce", {"ce": {"label": "plain", "recipe": {"mix": None}}}]
    mixed, plain = make_suite(losses=losses, recipe={"mix": "cutmix"}).cells
    assert mixed.runs[0].resolve().recipe.mix is not None
    assert plain.runs[0].resolve().recipe.mix is None


def test_wrong_mixes_are_named(make_suite: Make) -> None:
    with pytest.raises(Exception, match=r"unknown mix 'mixupp'.*mixup"):
        make_suite(recipe={"mix": "mixupp"})
    with pytest.raises(Exception, match=r"mix: mixup: alpha: found 0; .*greater than 0"):
        make_suite(recipe={"mix": {"mixup": {"alpha": 0}}})


@pytest.mark.parametrize("value", [*BOTH, EITHER], ids=str)
def test_two_losses_see_the_same_mixtures(make_suite: Make, tmp_path: Path, value: Any) -> None:
    suite = make_suite(losses=["ce", "mae"], recipe=recipe(value))
    device = prepare("cpu")
    ce, mae = (Training(cell.runs[0].resolve(), tmp_path, device) for cell in suite.cells)
    other = Training(suite.cells[0].runs[1].resolve(), tmp_path, device)
    plain = Training(make_suite(recipe=recipe(None)).runs()[0].resolve(), tmp_path, device)
    for (images, target), (same, same_target) in zip(ce.data.batches(0), mae.data.batches(0), strict=True):
        assert torch.equal(images, same)
        assert torch.equal(target, same_target)
        torch.testing.assert_close(target.sum(1), torch.ones(len(target)))
    first, second, elsewhere = (next(t.data.batches(e)) for t, e in ((ce, 0), (ce, 1), (other, 0)))
    assert not torch.equal(first[1], second[1])
    assert not torch.equal(first[1], elsewhere[1])
    # The order of the images is that of a run which does not mix: all else is drawn apart.
    _, labels = next(plain.data.batches(0))
    assert (first[1].gather(1, labels[:, None]) > 0).all()


@pytest.mark.parametrize("loss", ["mix_ent", "focal"])
@pytest.mark.parametrize("steps", [3, 7, 9])
def test_resumed_anywhere_to_the_same_bits(make_suite: Make, tmp_path: Path, steps: int, loss: str) -> None:
    suite = make_suite(losses=loss, baseline=None, recipe=recipe("cutmix"))
    [run, _] = suite.runs()
    whole = train_run(run, tmp_path / "whole")
    folder = RunFolder(tmp_path / "parts", run.id)
    # True at every so-manieth question.
    stop = itertools.cycle([False] * steps + [True]).__next__
    while not train(run, folder, device=prepare("cpu"), data=tmp_path, should_stop=stop):
        pass
    losses = [[line["train_loss"] for line in f.metrics()] for f in (whole, folder)]
    assert losses[0] == losses[1]
    assert (whole.path / "predictions.npz").read_bytes() == (folder.path / "predictions.npz").read_bytes()


def test_training_accuracy_counts_the_larger_part(make_suite: Make, tmp_path: Path) -> None:
    # λ from Beta(.01, .01) is nearly always 0 or 1: learning these is learning the images.
    made = make_suite(losses="ce", recipe=recipe({"mixup": {"alpha": 0.01}}, epochs=4))
    metrics = train_run(made.runs()[0], tmp_path).metrics()
    assert 0.5 < metrics[-1]["train_accuracy"] <= 1


def test_mixed_steps_are_replayed(make_suite: Make, tmp_path: Path) -> None:
    run = make_suite(recipe=recipe("mixup")).runs()[0].resolve()
    histories = []
    for asked in ("", "one by one"):
        training = Training(run, tmp_path, prepare("cpu"), FakeRecorder(), one_by_one=asked)
        for _ in training.steps():
            pass
        histories.append(training.end_epoch()["train_loss"])
    assert histories[0] == histories[1]
