"""One training: the same bits however it is interrupted, and honest about what went wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import train_run

from bench.results.folder import RunFolder
from bench.suite import Suite
from bench.training import checkpoint
from bench.training.device import prepare
from bench.training.loop import Diverged, Training
from bench.training.run import train

Make = Callable[..., Suite]

EVERYTHING_RANDOM: dict[str, Any] = {
    "models": {"vgg5-tiny": {"dropout": 0.3}},
    "losses": [{"mix_ent": {"learn": "square"}}],
    "baseline": None,
    "selection": "validation",
    "recipe": {
        "epochs": 4,
        "batch_size": 32,
        "schedule": "random_cube",
        "augment": [{"perspective": {}}, {"rotation": {"degrees": 20}}, {"shift": {"pixels": 1}}],
    },
}
CHANGES_WITH_THE_CLOCK = ("time", "images_per_second")


def outcome(folder: RunFolder) -> tuple[bytes, list[dict[str, Any]]]:
    """Everything a run says but for how long it took."""
    metrics = [
        {key: value for key, value in line.items() if key not in CHANGES_WITH_THE_CLOCK}
        for line in folder.metrics()
    ]
    return (folder.path / "predictions.npz").read_bytes(), metrics


class StopAfter:
    """A ``should_stop`` that lets a number of steps pass."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("steps", [1, 6, 7, 12, 23])
def test_resumed_anywhere_gives_the_same_bits(make_suite: Make, tmp_path: Path, steps: int) -> None:
    # 180 training images in batches of 32: six steps an epoch, so these stops are in and between epochs.
    [run, _] = make_suite(**EVERYTHING_RANDOM).runs()
    undisturbed = outcome(train_run(run, tmp_path / "whole"))
    folder = RunFolder(tmp_path / "parts", run.id)
    device = prepare("cpu")
    while not train(run, folder, device=device, data=tmp_path, should_stop=StopAfter(steps)):
        assert (folder.path / "checkpoint.pt").exists()
    assert outcome(folder) == undisturbed
    assert not (folder.path / "checkpoint.pt").exists()


def test_order_of_runs_and_company_change_nothing(make_suite: Make, tmp_path: Path) -> None:
    runs = make_suite(losses=["ce", "mix_ent", "mae"]).runs()
    forwards = [outcome(train_run(run, tmp_path / "forwards")) for run in runs]
    backwards = [outcome(train_run(run, tmp_path / "backwards")) for run in reversed(runs)]
    assert forwards == backwards[::-1]


def test_losses_with_the_same_seed_differ_in_the_loss_alone(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae"], selection="validation")
    device = prepare("cpu")
    ce, mae = (Training(cell.runs[0].resolve(), tmp_path, device) for cell in suite.cells)
    other_seed = Training(suite.cells[0].runs[1].resolve(), tmp_path, device)
    for name, weights in ce.step.model.state_dict().items():
        assert torch.equal(weights, mae.step.model.state_dict()[name])
    assert torch.equal(ce.data.train_rows, mae.data.train_rows)
    assert not torch.equal(ce.data.train_rows, other_seed.data.train_rows)
    for (images, labels), (same_images, same_labels) in zip(
        ce.data.batches(0), mae.data.batches(0), strict=True
    ):
        assert torch.equal(images, same_images)
        assert torch.equal(labels, same_labels)


def test_loss_that_draws_random_numbers_does_not_disturb_dropout(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "noisy_loss.py"
    module.write_text(
        "import torch\n"
        "def quiet(logits, target):\n    return torch.nn.functional.cross_entropy(logits, target)\n"
        "def noisy(logits, target):\n    torch.rand(7)\n    return quiet(logits, target)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    suite = make_suite(losses=["noisy_loss:quiet", "noisy_loss:noisy"], baseline="noisy_loss:quiet")
    quiet, noisy = (outcome(train_run(cell.runs[0], tmp_path)) for cell in suite.cells)
    assert quiet == noisy


# ------------------------------------------------------------------------------ which epoch counts


def test_validation_split_is_stratified_and_apart(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(datasets="digits", selection="validation")
    training = Training(suite.runs()[0].resolve(), tmp_path, prepare("cpu"))
    assert training.data.validation is not None
    assert training.data.count + len(training.data.validation[1]) == 1347
    counts = torch.bincount(training.data.validation[1])
    assert counts.min() >= 13
    assert counts.max() <= 14


@pytest.mark.parametrize("selection", ["last", "validation", "test"])
def test_the_epoch_that_counts(make_suite: Make, tmp_path: Path, selection: str) -> None:
    run = make_suite(selection=selection, recipe={"epochs": 5, "batch_size": 32}).runs()[0]
    folder = train_run(run, tmp_path)
    result, metrics = folder.result(check_predictions=True), folder.metrics()
    assert result is not None
    curve = "validation_accuracy" if selection == "validation" else "test_accuracy"
    expected = 5 if selection == "last" else 1 + int(np.argmax([line[curve] for line in metrics]))
    assert result.epoch == expected
    assert result.correct == metrics[expected - 1]["test_correct"]
    assert result.last.correct == metrics[-1]["test_correct"]
    assert result.best_test.correct == max(line["test_correct"] for line in metrics)
    assert ("validation_accuracy" in metrics[0]) == (selection == "validation")
    bins = result.reliability
    assert bins is not None
    assert (sum(bins.count), sum(bins.correct)) == (result.total, result.correct)
    filled = [k for k in range(15) if bins.count[k]]
    gaps = [abs(bins.correct[k] - bins.count[k] * (bins.confidence[k] or 0)) for k in filled]
    assert result.ece == pytest.approx(sum(gaps) / result.total, abs=1e-15)


def test_random_cube_acts_after_epochs_without_a_new_best(make_suite: Make, tmp_path: Path) -> None:
    recipe = {"epochs": 12, "batch_size": 32, "schedule": "random_cube", "optimizer": {"adam": {"lr": 0.02}}}
    metrics = train_run(make_suite(selection="test", recipe=recipe).runs()[0], tmp_path).metrics()
    best = -1.0
    for line, following in itertools.pairwise(metrics):
        new_best, best = line["test_accuracy"] > best, max(best, line["test_accuracy"])
        if new_best:
            assert following["lr"] == line["lr"]
        else:
            assert 0 < following["lr"] < 0.02
            assert following["lr"] != line["lr"]
    assert len({line["lr"] for line in metrics}) > 1


# -------------------------------------------------------------------------------------- what goes wrong


def test_diverged_training_ends_early_with_its_reason(make_suite: Make, tmp_path: Path) -> None:
    recipe = {"epochs": 50, "batch_size": 32, "optimizer": {"sgd": {"lr": 1e30}}}
    run = make_suite(recipe=recipe).runs()[0]
    with pytest.raises(Diverged, match=r"diverged: the (training|test) loss is (nan|inf)"):
        train_run(run, tmp_path)
    assert len(RunFolder(tmp_path, run.id).metrics()) < 5


def test_damaged_checkpoint_is_set_aside_and_training_starts_again(make_suite: Make, tmp_path: Path) -> None:
    run = make_suite().runs()[0]
    undisturbed = outcome(train_run(run, tmp_path / "whole"))
    folder = RunFolder(tmp_path / "parts", run.id)
    train(run, folder, device=prepare("cpu"), data=tmp_path, should_stop=StopAfter(8))
    path = folder.path / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    train_run(run, tmp_path / "parts")
    assert outcome(folder) == undisturbed
    result = folder.result()
    assert result is not None
    assert "checkpoint.pt: its content is not what was written" in result.warnings[0]
    assert list((tmp_path / "parts" / "set-aside").iterdir())


def test_checkpoints_follow_the_clock(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = []
    monkeypatch.setattr(checkpoint, "save", lambda path, state: saved.append(state["progress"][:2]))
    train_run(make_suite().runs()[0], tmp_path / "seldom")
    assert saved == []
    train_run(make_suite().runs()[0], tmp_path / "always", checkpoint_seconds=0)
    assert saved[:3] == [(0, 0), (0, 1), (0, 2)]


def test_last_batch_of_one_image_is_left_out(make_suite: Make, tmp_path: Path) -> None:
    # 200 images in batches of 199: batch norm could not use the last one.
    folder = train_run(make_suite(recipe={"epochs": 1, "batch_size": 199}).runs()[0], tmp_path)
    assert folder.result() is not None


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
def test_every_recipe_learns(
    make_suite: Make, tmp_path: Path, precision: str, optimizer: str, schedule: str
) -> None:
    rate = 0.03 if optimizer == "sgd" else 0.01
    recipe = {
        "epochs": 3,
        "batch_size": 32,
        "precision": precision,
        "optimizer": {optimizer: {"lr": rate}},
        "schedule": schedule,
    }
    result = train_run(make_suite(losses="ce", recipe=recipe, seeds=1).runs()[0], tmp_path).result()
    assert result is not None
    assert result.accuracy > 0.5  # guessing gives 0.1


def test_learned_weights_are_recorded_and_move(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=[{"min_ent": {"learn": "free"}}], baseline=None)
    metrics = train_run(suite.runs()[0], tmp_path).metrics()
    assert metrics[0]["w1"] != pytest.approx(0.839, abs=1e-6)
    assert {"w1", "w2"} <= metrics[1].keys()


def test_model_of_a_library_takes_small_grey_images(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(models={"torchvision/squeezenet1_1": {"image_size": 32}}, losses="ce", seeds=1)
    assert train_run(suite.runs()[0], tmp_path).result() is not None
