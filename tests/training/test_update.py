"""Between gradients and weights: accumulated, scaled, clipped, averaged; and when a training ends early."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import train_run
from safetensors.torch import load
from training.recorder import FakeRecorder
from training.test_library_optimizers import SMALL, VIT, assert_same, finished, interrupted, training

from bench.errors import BenchError
from bench.results.folder import RunFolder
from bench.suite import Suite
from bench.training.device import prepare
from bench.training.loop import Training
from bench.training.run import train
from bench.training.update import Average

Make = Callable[..., Suite]
SGD = {"sgd": {"lr": 1.0, "momentum": 0}}


def weights(training: Training) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in training.step.model.parameters()]


def moved(made: Training) -> list[torch.Tensor]:
    """By how much each parameter moves in one step."""
    before = weights(made)
    next(steps := made.steps())
    next(steps, None)
    return [new - old for new, old in zip(weights(made), before, strict=True)]


# ---------------------------------------------------------------------------------------- accumulated


def test_accumulated_batches_are_one_larger_batch(make_suite: Make, tmp_path: Path) -> None:
    # A model without batch norm. 60 images: one step of 45 and one of 15, or 3 and 1 batches of 15.
    common = {"optimizer": {"sgd": {"lr": 0.1}}, "schedule": "cosine", "mix": "mixup"}
    whole, parts = (
        training(make_suite, tmp_path, {**common, **sizes}, models=VIT)
        for sizes in ({"batch_size": 45}, {"batch_size": 15, "accumulate": 3})
    )
    assert whole.data.steps_per_epoch == parts.data.steps_per_epoch == 2
    final, again = finished(whole), finished(parts)
    for name, value in final.items():
        torch.testing.assert_close(again[name], value, rtol=1e-3, atol=1e-5)
    for one, other in zip(whole.history, parts.history, strict=True):
        assert one["lr"] == other["lr"]
        assert other["train_loss"] == pytest.approx(one["train_loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "seen", "steps"),
    [(20, 1, 60, 3), (20, 2, 60, 2), (20, 3, 60, 1), (59, 1, 59, 1), (59, 2, 59, 1), (7, 4, 60, 3)],
)
def test_images_of_an_epoch(
    make_suite: Make, tmp_path: Path, batch_size: int, accumulate: int, seen: int, steps: int
) -> None:
    # No batch has one image: batch norm could not use it.
    recipe = {"batch_size": batch_size, "accumulate": accumulate}
    data = training(make_suite, tmp_path, recipe).data
    batches = [len(labels) for _, labels in data.batches(0)]
    assert (sum(batches), len(batches)) == (data.seen_per_epoch, data.steps_per_epoch) == (seen, steps)


# ------------------------------------------------------------------------------------------- clipped


def test_norm_is_clipped(make_suite: Make, tmp_path: Path) -> None:
    free, clipped = (
        moved(training(make_suite, tmp_path, {"optimizer": SGD, **more}, losses="ce"))
        for more in ({}, {"clip": {"norm": 0.01}})
    )
    norm, limited = (torch.cat([d.flatten() for d in moves]).norm() for moves in (free, clipped))
    assert norm > 0.1
    assert limited == pytest.approx(0.01, rel=1e-3)


def test_values_are_clipped(make_suite: Make, tmp_path: Path) -> None:
    free = moved(training(make_suite, tmp_path, {"optimizer": SGD}))
    clipped = moved(training(make_suite, tmp_path, {"optimizer": SGD, "clip": {"value": 0.001}}))
    for one, other in zip(free, clipped, strict=True):
        torch.testing.assert_close(other, one.clamp(-0.001, 0.001), rtol=0, atol=1e-7)


def test_units_are_clipped_by_the_size_of_their_weights(make_suite: Make, tmp_path: Path) -> None:
    made = training(make_suite, tmp_path, {"optimizer": SGD, "clip": {"agc": 0.001}})
    before = weights(made)
    free, clipped = moved(training(make_suite, tmp_path, {"optimizer": SGD})), moved(made)
    for old, move in [*zip(before, clipped, strict=True)][:-2]:
        dims = tuple(range(1, move.ndim)) or (0,)
        most = 0.001 * torch.linalg.vector_norm(old, dim=dims).clamp(min=1e-3)
        assert (torch.linalg.vector_norm(move, dim=dims) <= most * 1.01 + 1e-6).all()
    # As in the paper, all but the last layer.
    assert all(map(torch.equal, free[-2:], clipped[-2:]))


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ({}, "clip: found nothing, expected one of norm, value, agc"),
        ({"norm": 1, "agc": 0.1}, "clip: found norm and agc, expected one of"),
        ({"norms": 1}, "clip: unknown key 'norms'; allowed: agc, norm, value; did you mean 'norm'"),
        ({"norm": 0}, "clip.norm: found 0; .*greater than 0"),
        (1.0, "clip: found 1.0, expected a mapping of norm, value, agc"),
    ],
)
def test_wrong_limits_are_named(make_suite: Make, clip: Any, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        make_suite(recipe={"clip": clip})


# ------------------------------------------------------------------------------------------ averaged


def test_average_follows_the_weights(make_suite: Make, tmp_path: Path) -> None:
    made = training(make_suite, tmp_path, {"ema": 0.9})
    expected = {name: value.clone() for name, value in made.step.model.state_dict().items()}
    steps = made.steps()
    next(steps)
    for _ in itertools.takewhile(lambda _: True, steps):
        for name, value in made.step.model.state_dict().items():
            mine = expected[name]
            expected[name] = 0.9 * mine + 0.1 * value if value.is_floating_point() else value.clone()
    for name, value in made.step.model.state_dict().items():  # the last step
        mine = expected[name]
        expected[name] = 0.9 * mine + 0.1 * value if value.is_floating_point() else value.clone()
    averaged = made.step.scored.state_dict()
    assert averaged.keys() == expected.keys()
    for name, value in averaged.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6)


def test_averaged_weights_are_scored_and_kept(make_suite: Make, tmp_path: Path) -> None:
    recipe = {"epochs": 3, "batch_size": 20, "optimizer": {"adam": {"lr": 0.02}}}
    plain, averaged = (
        make_suite(**SMALL, recipe={**recipe, **more}).runs()[0] for more in ({}, {"ema": 0.7})
    )
    folder = train_run(averaged, tmp_path / "kept", keep_weights=True)
    made = Training(averaged.resolve(), tmp_path, prepare("cpu"))
    finished(made)
    kept = load(folder.weights(folder.result()))
    assert_same(kept, dict(made.step.scored.state_dict()))
    assert not all(torch.equal(kept[n], value) for n, value in made.step.model.named_parameters())
    # The weights themselves are those of a training without: its losses are the same, its scores are not.
    [one, other] = (folder.metrics() for folder in (train_run(plain, tmp_path / "plain"), folder))
    assert [line["train_loss"] for line in one] == [line["train_loss"] for line in other]
    assert [line["test_loss"] for line in one] != [line["test_loss"] for line in other]


def test_average_of_what_does_not_move_is_that_to_the_bit() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    average = Average(model, 0.999)
    for _ in range(5):
        average.follow()
    assert_same(dict(average.model.state_dict()), dict(model.state_dict()))


# ---------------------------------------------------------------------------------------------- fp16


def test_fp16_learns_with_a_scaled_loss(make_suite: Make, tmp_path: Path) -> None:
    recipe = {"epochs": 6, "precision": "fp16", "optimizer": {"adam": {"lr": 0.02}}}
    made = training(
        make_suite,
        tmp_path,
        recipe,
        datasets={"digits": {"train_size": 200, "test_size": 100}},
        models={"vgg5-tiny": {"width": 4}},
    )
    finished(made)
    assert made.history[-1]["test_accuracy"] > 0.5
    assert made.step.update.scaler is not None
    assert made.step.update.scaler.get_scale() >= 1


@pytest.mark.parametrize("more", [{}, {"clip": {"norm": 1.0}}, {"optimizer": "timm/lamb"}], ids=str)
def test_steps_that_overflow_are_left_out(make_suite: Make, tmp_path: Path, more: dict[str, Any]) -> None:
    made = training(make_suite, tmp_path, {"precision": "fp16", **more})
    assert made.step.update.scaler is not None
    made.step.update.scaler.load_state_dict({**made.step.update.scaler.state_dict(), "scale": 2.0**120})
    assert not any(move.any() for move in moved(made))
    assert made.step.update.scaler.get_scale() <= 2.0**119


# -------------------------------------------------------------------------------- stopped early


def test_a_training_ends_when_it_gets_no_better(make_suite: Make, tmp_path: Path) -> None:
    # With steps of no size at all, the first epoch is as good as any.
    recipe = {
        "epochs": 9,
        "batch_size": 20,
        "optimizer": {"sgd": {"lr": 1e-30}},
        "stop_early": {"patience": 3},
    }
    run = make_suite(**{**SMALL, "models": VIT}, selection="validation", recipe=recipe).runs()[0]
    folder = RunFolder(tmp_path, run.id)
    stop = itertools.cycle([False] * 4 + [True]).__next__
    while not train(run, folder, device=prepare("cpu"), data=tmp_path, should_stop=stop):
        pass
    result = folder.result()
    assert result is not None
    assert (result.epoch, result.last.epoch, len(folder.metrics())) == (1, 4, 4)


def test_what_is_better_by_less_does_not_count(make_suite: Make, tmp_path: Path) -> None:
    recipe = {
        "epochs": 9,
        "stop_early": {"patience": 2, "min_delta": 1.0},
        "optimizer": {"adam": {"lr": 0.01}},
    }
    made = training(make_suite, tmp_path, recipe, selection="validation")
    while not made.ended:
        for _ in made.steps():
            pass
        made.end_epoch()
    assert made.epoch == 3


@pytest.mark.parametrize(
    ("stop", "selection", "message"),
    [
        ({"patience": 3}, "last", "stop_early: looks at the validation metric, so it needs selection: valid"),
        ({"patience": 3}, "test", "needs selection: validation; found selection: test"),
        ({"patience": 0}, "validation", "stop_early.patience: found 0"),
        (5, "validation", "stop_early: found 5, expected a mapping of patience, min_delta"),
    ],
)
def test_wrong_ends_are_named(make_suite: Make, stop: Any, selection: str, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        make_suite(recipe={"stop_early": stop}, selection=selection)


# --------------------------------------------------------------------- bits, pairs, recordings, identity

FEATURES: dict[str, dict[str, Any]] = {
    "accumulate": {"accumulate": 2},
    "clip norm": {"clip": {"norm": 0.1}},
    "clip value": {"clip": {"value": 0.01}},
    "clip agc": {"clip": {"agc": 0.01}},
    "ema": {"ema": 0.9},
    "fp16": {"precision": "fp16"},
    "all": {
        "accumulate": 2,
        "clip": {"norm": 0.1},
        "ema": 0.9,
        "precision": "fp16",
        "no_decay": "norms_and_biases",
        "optimizer": {"timm/lamb": {"lr": 0.01, "weight_decay": 0.02}},
        "schedule": {"timm/cosine": {"step_on_epochs": False, "warmup_epochs": 1}},
        "stop_early": {"patience": 3},
        "mix": "cutmix",
    },
}


@pytest.mark.parametrize("feature", FEATURES)
def test_interrupted_anywhere_to_the_same_bits(make_suite: Make, tmp_path: Path, feature: str) -> None:
    def whole() -> Training:
        recipe = {"batch_size": 10, **FEATURES[feature]}
        return training(make_suite, tmp_path, recipe, selection="validation")

    undisturbed = whole()
    final = finished(undisturbed)
    for steps in (1, 2, 4):
        assert_same(final, interrupted(whole, steps))


@pytest.mark.parametrize("feature", FEATURES)
def test_two_losses_see_the_same_images(make_suite: Make, tmp_path: Path, feature: str) -> None:
    recipe = {"batch_size": 10, **FEATURES[feature]}
    one, other = (
        training(make_suite, tmp_path, recipe, selection="validation", losses=loss) for loss in ("ce", "mae")
    )
    assert_same(dict(one.step.model.state_dict()), dict(other.step.model.state_dict()))
    for pair in zip(one.data.batches(1), other.data.batches(1), strict=True):
        assert all(map(torch.equal, *pair))


@pytest.mark.parametrize("feature", [name for name in FEATURES if name not in ("fp16", "all")])
def test_replayed_steps_are_steps(make_suite: Make, tmp_path: Path, feature: str) -> None:
    recipe = {"epochs": 2, "batch_size": 10, "schedule": "cosine", **FEATURES[feature]}
    run = make_suite(**SMALL, recipe=recipe).runs()[0].resolve()
    replayed = Training(run, tmp_path, prepare("cpu"), recorder := FakeRecorder())
    taken = Training(run, tmp_path, prepare("cpu"), FakeRecorder(), one_by_one="the test says so")
    assert_same(finished(replayed), finished(taken))
    assert_same(dict(replayed.step.scored.state_dict()), dict(taken.step.scored.state_dict()))
    assert recorder.recordings == 1
    assert replayed.warnings == []


def test_fp16_is_taken_step_by_step(make_suite: Make, tmp_path: Path) -> None:
    run = make_suite(**SMALL, recipe={"precision": "fp16"}).runs()[0].resolve()
    made = Training(run, tmp_path, prepare("cpu"), FakeRecorder())
    assert made.warnings == [
        "steps were launched one by one, which is slower: fp16 scales its loss on the host"
    ]


@pytest.mark.parametrize("feature", FEATURES)
def test_what_is_used_is_part_of_a_run_and_nothing_else(make_suite: Make, feature: str) -> None:
    made = make_suite(recipe=FEATURES[feature], selection="validation").runs()[0]
    plain = make_suite(recipe={}, selection="validation").runs()[0]
    described = made.description["recipe"]
    assert described.keys() - plain.description["recipe"].keys() == FEATURES[feature].keys() - {
        "precision",
        "optimizer",
        "schedule",
    }
    assert made.id != plain.id
    assert made.resolve().recipe.model_dump(mode="json") == described
