"""Every optimizer of timm and torch: checked before anything is built, and gone on with to the bit."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm.optim
import torch
from training.recorder import FakeRecorder

from bench import factories
from bench.errors import BenchError
from bench.suite import Suite
from bench.training.device import prepare
from bench.training.loop import Training

Make = Callable[..., Suite]

OF_TORCH = [n for n in torch.optim.__all__ if n[0].isupper() and n != "Optimizer"]
NAMES = [f"timm/{name}" for name in timm.optim.list_optimizers()] + [f"torch/{name}" for name in OF_TORCH]
ELSEWHERE = ("timm/bnb", "timm/fused")  # need another library, and a GPU
SMALL: dict[str, Any] = {
    "datasets": {"digits": {"train_size": 60, "test_size": 20}},
    "models": {"vgg5-tiny": {"width": 2}},
    "losses": [{"mix_ent": {"learn": "square"}}],
    "baseline": None,
    "seeds": 1,
}


def training(make_suite: Make, folder: Path, recipe: dict[str, Any], **changes: Any) -> Training:
    made = make_suite(**{**SMALL, **changes}, recipe={"epochs": 2, "batch_size": 20, **recipe})
    return Training(made.runs()[0].resolve(), folder, prepare("cpu"))


def finished(training: Training) -> dict[str, torch.Tensor]:
    """The weights when all epochs are done, their average with them where there is one."""
    while not training.ended:
        for _ in training.steps():
            pass
        training.end_epoch()
    parts = {"": training.step.model, "loss ": training.step.objective, "scored ": training.step.scored}
    return {f"{part}{name}": value for part, of in parts.items() for name, value in of.state_dict().items()}


def interrupted(whole: Callable[[], Training], steps: int) -> dict[str, torch.Tensor]:
    """The same of a training that goes on, from what a file of its state gives back, after so many steps."""
    file = io.BytesIO()
    torch.save(stopped(whole(), steps).state(), file)
    file.seek(0)
    resumed = whole()
    resumed.load_state(torch.load(file, weights_only=True))
    return finished(resumed)


def stopped(training: Training, steps: int) -> Training:
    """After so many steps, where its state may be saved."""
    while True:
        for _ in training.steps():
            if steps == 0:
                return training
            steps -= 1
        training.end_epoch()


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize(
    "name", [n for n in NAMES if n not in factories.REFUSED and not n.startswith(ELSEWHERE)]
)
@pytest.mark.filterwarnings("ignore:.*opt_einsum")
def test_all_train_and_go_on_to_the_same_bits(
    make_suite: Make, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timm.optim.kron.has_dynamo", False)  # compiles for a minute

    def whole() -> Training:
        return training(make_suite, tmp_path, {"optimizer": {name: {"lr": 0.002}}, "schedule": "cosine"})

    before = {n: value.clone() for n, value in whole().step.model.named_parameters()}
    after = finished(whole())
    assert all(torch.isfinite(value).all() for value in after.values())
    assert any(not torch.equal(value, after[n]) for n, value in before.items())
    assert_same(after, interrupted(whole, 2))


@pytest.mark.parametrize("name", [n for n in factories.REFUSED if n in NAMES])
def test_what_a_step_cannot_do_is_refused_with_the_reason(make_suite: Make, name: str) -> None:
    with pytest.raises(BenchError, match=rf"recipe: optimizer: {name} (needs|takes)"):
        make_suite(recipe={"optimizer": name})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("timm/lam", r"unknown timm optimizer 'lam'; allowed: .*did you mean 'lamb'\?"),
        ("torch/nadam", r"unknown torch optimizer 'nadam'; allowed: .*did you mean 'NAdam'\?"),
        ({"timm/lamb": {"beta": [0.9, 0.99]}}, r"unknown option 'beta'; allowed: .*did you mean 'betas'\?"),
        ({"timm/lion": {"eps": 1e-8}}, r"timm/lion: unknown option 'eps'"),  # its factory drops that
        ({"torch/Adam": {"fused": True}}, r"fused: how steps are computed follows from the device"),
        ({"torch/Adam": {"lr": 0}}, r"torch/Adam: lr: found 0"),
        ("timm/adafactor", r"timm/adafactor: lr: required"),  # it would choose rates by itself
        ("timm/bnbadam", r"timm/bnbadam needs bitsandbytes, which is not installed here"),
    ],
)
def test_wrong_names_and_options_are_found_when_the_suite_is_read(
    make_suite: Make, value: Any, message: str
) -> None:
    with pytest.raises(BenchError, match=message):
        make_suite(recipe={"optimizer": value})


def test_names_are_those_that_the_libraries_list() -> None:
    for name in NAMES:
        if name not in factories.REFUSED and not name.startswith(ELSEWHERE):
            factories.check("optimizer", name, {"lr": 1.0})


def test_reading_a_suite_imports_neither_library(write_suite: Callable[..., Path]) -> None:
    path = write_suite(recipe={"optimizer": {"timm/lamb": {"lr": 0.1}}, "schedule": "timm/cosine"})
    code = (
        "import sys, pathlib; from bench.suite import load; load(pathlib.Path(sys.argv[1]));"
        "assert not {'torch', 'timm'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)


def test_options_that_do_not_hold_are_the_libraries_to_name(make_suite: Make, tmp_path: Path) -> None:
    with pytest.raises(
        BenchError, match=r"optimizer 'torch/NAdam\(.*\)' cannot be built: ValueError: Invalid"
    ):
        training(make_suite, tmp_path, {"optimizer": {"torch/NAdam": {"betas": [2, 0.9]}}})


def test_rate_and_options_reach_the_library(make_suite: Make, tmp_path: Path) -> None:
    made = training(make_suite, tmp_path, {"optimizer": {"timm/lamb": {"lr": 0.1, "betas": [0.8, 0.99]}}})
    assert made.step.optimizer.defaults["betas"] == (0.8, 0.99)
    assert made.base_rate == 0.1
    assert training(make_suite, tmp_path, {"optimizer": "torch/NAdam"}).base_rate == 0.002  # torch's own


def test_their_steps_are_taken_one_by_one_where_others_are_recorded(make_suite: Make, tmp_path: Path) -> None:
    run = make_suite(**SMALL, recipe={"optimizer": {"timm/lamb": {"lr": 0.1}}}).runs()[0].resolve()
    made = Training(run, tmp_path, prepare("cpu"), FakeRecorder())
    assert made.warnings == [
        "steps were launched one by one, which is slower: timm/lamb computes with numbers on the host"
    ]


# ------------------------------------------------------------------------------------- groups of parameters

VIT = {
    "timm/vit_tiny_patch16_224": {
        "image_size": 32,
        "img_size": 32,
        "depth": 2,
        "embed_dim": 24,
        "num_heads": 2,
    }
}


def rates(training: Training) -> dict[str, tuple[float, float]]:
    """By parameter: its learning rate after a step, and its weight decay."""
    next(steps := training.steps())
    next(steps)
    names = {
        p: n for part in (training.step.model, training.step.objective) for n, p in part.named_parameters()
    }
    groups = training.step.optimizer.param_groups
    return {names[p]: (float(g["lr"]), g["weight_decay"]) for g in groups for p in g["params"]}


def test_norms_and_biases_are_not_decayed(make_suite: Make, tmp_path: Path) -> None:
    recipe = {"optimizer": {"adamw": {"lr": 0.01, "weight_decay": 0.3}}, "no_decay": "norms_and_biases"}
    for name, (_, decay) in rates(training(make_suite, tmp_path, recipe)).items():
        vector = name.endswith((".bias", "weights")) or name in ("features.1.weight",)
        assert decay in (0, 0.3)
        assert not (vector and decay), name
    decays = {n: d for n, (_, d) in rates(training(make_suite, tmp_path, recipe)).items()}
    assert {0.0, 0.3} == set(decays.values())
    exempt = rates(training(make_suite, tmp_path, recipe, models=VIT))
    assert exempt["model.pos_embed"][1] == 0  # no vector, but named by the model
    assert exempt["model.head.weight"][1] == 0.3


@pytest.mark.parametrize("optimizer", ["adamw", "timm/lamb"])
def test_rates_decay_from_layer_to_layer(make_suite: Make, tmp_path: Path, optimizer: str) -> None:
    recipe = {"optimizer": {optimizer: {"lr": 0.01, "weight_decay": 0.3}}, "layer_decay": 0.5}
    found = rates(training(make_suite, tmp_path, recipe, models=VIT))
    assert found["model.head.weight"] == (0.01, 0.3)
    assert found["model.blocks.1.attn.qkv.bias"] == pytest.approx((0.005, 0.3))
    assert found["model.blocks.0.attn.qkv.bias"] == pytest.approx((0.0025, 0.3))
    assert found["model.patch_embed.proj.weight"] == pytest.approx((0.00125, 0.3))


def test_layers_that_nobody_names_are_asked_for(make_suite: Make, tmp_path: Path) -> None:
    with pytest.raises(
        BenchError, match=r"recipe.layer_decay: .* does not say what its layers are; models of timm"
    ):
        training(make_suite, tmp_path, {"layer_decay": 0.5})


def test_groups_go_on_and_are_replayed_to_the_same_bits(make_suite: Make, tmp_path: Path) -> None:
    recipe = {
        "epochs": 2,
        "batch_size": 20,
        "optimizer": {"adamw": {"lr": 0.01}},
        "schedule": "cosine",
        "no_decay": "norms_and_biases",
        "layer_decay": 0.7,
    }
    run = make_suite(**{**SMALL, "models": VIT}, recipe=recipe).runs()[0].resolve()

    def whole(one_by_one: str = "") -> Training:
        return Training(run, tmp_path, prepare("cpu"), FakeRecorder(), one_by_one=one_by_one)

    replayed = whole()
    assert_same(finished(replayed), interrupted(whole, 2))
    assert_same(finished(replayed), finished(whole("the test says so")))
    assert replayed.warnings == []


def test_what_is_not_asked_for_is_not_described(make_suite: Make) -> None:
    plain = make_suite(recipe={"epochs": 2}).runs()[0]
    spelt = make_suite(recipe={"epochs": 2, "no_decay": None, "layer_decay": None}).runs()[0]
    asked = make_suite(recipe={"epochs": 2, "layer_decay": 0.5}).runs()[0]
    assert plain.id == spelt.id != asked.id
    assert not {"no_decay", "layer_decay"} & plain.description["recipe"].keys()
    assert asked.resolve().recipe.layer_decay == 0.5
