"""Trainings that begin with weights that there are already, and what of them stays as it is."""

from __future__ import annotations

import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from helpers import train_run
from training.recorder import FakeRecorder
from training.test_library_optimizers import SMALL, assert_same, finished, interrupted, training

from bench.errors import BenchError
from bench.suite import Suite
from bench.training.device import prepare
from bench.training.loop import Training

Make = Callable[..., Suite]
RESNET = "timm/test_resnet"  # of timm's own tests: three small stages


def resnet(**options: Any) -> dict[str, Any]:
    return {RESNET: {"image_size": 32, **options}}


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of a network for 1,000 classes and RGB, in a folder where suites look."""
    torch.manual_seed(7)
    model = timm.create_model("test_resnet", num_classes=1000, in_chans=1)
    torch.save(
        {"state_dict": {f"module.{n}": t for n, t in model.state_dict().items()}}, tmp_path / "whole.pt"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "whole.pt"


def original(path: Path) -> dict[str, torch.Tensor]:
    state = torch.load(path, weights_only=True)["state_dict"]
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


# -------------------------------------------------------------------------------------------- a file


def test_all_but_the_last_layer_is_the_files(make_suite: Make, tmp_path: Path, published: Path) -> None:
    made, again = (training(make_suite, tmp_path, {}, models=resnet(weights="whole.pt")) for _ in "12")
    assert_same(dict(made.step.model.state_dict()), dict(again.step.model.state_dict()))
    given = original(published)
    for name, tensor in made.step.model.state_dict().items():
        if name not in ("model.fc.weight", "model.fc.bias"):
            assert torch.equal(tensor, given[name.removeprefix("model.")]), name
    assert made.step.model.model.fc.weight.shape == (10, given["fc.weight"].shape[1])


def test_weights_that_a_run_kept_begin_another(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train_run(make_suite(**SMALL, recipe={"epochs": 1, "batch_size": 20}).runs()[0], tmp_path,
                      keep_weights=True)  # fmt: skip
    content = first.weights(first.result())
    (tmp_path / "kept.safetensors").write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    models = {"vgg5-tiny": {"width": 2, "weights": "kept.safetensors"}}
    made = training(make_suite, tmp_path, {}, models=models)
    assert_same(dict(made.step.model.state_dict()), safetensors.torch.load(content))


def test_a_file_is_part_of_a_run(make_suite: Make, tmp_path: Path, published: Path) -> None:
    suite = make_suite(models=resnet(weights="whole.pt"))
    run = suite.runs()[0]
    described = run.description["model"]
    assert (described["weights"], len(described["digest"])) == ("whole.pt", 16)
    assert run.resolve().model.describe() == described
    assert suite.labels("models") == [f"{RESNET}(weights=whole.pt, image_size=32)"]
    assert not {"weights", "digest"} & make_suite(models=resnet()).runs()[0].description["model"].keys()
    safetensors.torch.save_file(original(published), published)
    assert make_suite(models=resnet(weights="whole.pt")).runs()[0].id != run.id
    with pytest.raises(ValueError, match=r"whole.pt is no longer the file that these runs were planned with"):
        run.resolve()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "hole.pt"}, r"weights: there is no file 'hole.pt' .*did you mean 'whole.pt'\?"),
        (
            {"weights": "whole.pt", "pretrained": True},
            "pretrained, weights: found both, expected one of them",
        ),
    ],
)
def test_wrong_files_are_found_when_the_suite_is_read(
    make_suite: Make, published: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BenchError, match=message):
        make_suite(models=resnet(**options))


def test_weights_of_another_model_are_refused(make_suite: Make, tmp_path: Path, published: Path) -> None:
    models = {"timm/test_vit": {"img_size": 32, "image_size": 32, "weights": "whole.pt"}}
    with pytest.raises(
        BenchError, match=r"whole.pt: does not fit model '.*': \d+ missing, such as .*; \d+ unexp"
    ):
        training(make_suite, tmp_path, {}, models=models)
    half = original(published)
    half["conv1.0.weight"] = half["conv1.0.weight"][:3]
    torch.save(half, published)
    with pytest.raises(
        BenchError, match=r"1 of another shape, such as conv1.0.weight \(3, 1, 3, 3\) for \(\d+, 1"
    ):
        training(make_suite, tmp_path, {}, models=resnet(weights="whole.pt"))


# ------------------------------------------------------------------------------------------- a library


def test_pretrained_weights_of_timm(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(7)
    theirs = timm.create_model("test_resnet", num_classes=1000, in_chans=3).state_dict()
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", lambda *_, **__: dict(theirs))
    made = training(make_suite, tmp_path, {}, models=resnet(pretrained=True))
    found = {name.removeprefix("model."): t for name, t in made.step.model.state_dict().items()}
    assert torch.equal(found["layer1.0.conv1.weight"], theirs["layer1.0.conv1.weight"])
    assert torch.allclose(found["conv1.0.weight"], theirs["conv1.0.weight"].sum(1, keepdim=True))  # grey
    plain = training(make_suite, tmp_path, {}, models=resnet())
    assert made.resolved.model.describe()["pretrained"] is True
    assert "pretrained" in plain.resolved.model.describe()  # always was


def test_pretrained_weights_of_torchvision(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(7)
    theirs = torchvision.models.squeezenet1_1().state_dict()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: dict(theirs))
    models = {"torchvision/squeezenet1_1": {"image_size": 32, "pretrained": True}}
    made = training(make_suite, tmp_path, {}, models=models)
    found = {name.removeprefix("model."): t for name, t in made.step.model.state_dict().items()}
    for name, tensor in theirs.items():
        if name == "features.0.weight":
            assert torch.equal(found[name], tensor.sum(1, keepdim=True))
        elif not name.startswith("classifier"):
            assert torch.equal(found[name], tensor)
    assert found["classifier.1.weight"].shape[0] == 10


@pytest.mark.parametrize("name", ["timm/test_resnet", "torchvision/squeezenet1_1"])
def test_a_hub_out_of_reach_gets_one_message(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("Name or service not known\nand more lines")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(BenchError) as caught:
        training(make_suite, tmp_path, {}, models={name: {"image_size": 32, "pretrained": True}})
    message = str(caught.value)
    assert message.startswith(
        f"model '{name}': its pretrained weights are not here, and fetching them failed ("
    )
    library, _, bare = name.partition("/")
    assert f'fetch them once: python -c "import {library}; {library}.' in message
    assert bare in message
    assert message.endswith(f"Or name a file that you have: {{{name}: {{weights: FILE}}}}")
    assert "\n" not in message


def test_what_timm_has_no_weights_of_is_said(make_suite: Make, tmp_path: Path) -> None:
    models = {"timm/mnasnet_050": {"image_size": 32, "pretrained": True}}
    with pytest.raises(
        BenchError, match=r"timm has no pretrained weights for it; did you mean 'mnasnet_100'"
    ):
        training(make_suite, tmp_path, {}, models=models)


# -------------------------------------------------------------------------------------------- frozen


def test_frozen_parts_stay_to_the_bit(make_suite: Make, tmp_path: Path) -> None:
    recipe = {
        "optimizer": {"adamw": {"lr": 0.1, "weight_decay": 0.5}},
        "freeze": ["conv1", "layer[12].*", "bn1"],
    }
    made = training(make_suite, tmp_path, recipe, models=resnet())
    before = {name: value.clone() for name, value in made.step.model.state_dict().items()}
    finished(made)
    frozen = ("model.conv1.", "model.layer1.", "model.layer2.", "model.bn1.")
    for name, value in made.step.model.state_dict().items():
        if name.startswith(frozen):
            assert torch.equal(value, before[name]), name  # statistics as well
        elif name.endswith(("weight", "bias")):
            assert not torch.equal(value, before[name]), name
    trained = {id(p) for group in made.step.optimizer.param_groups for p in group["params"]}
    for name, parameter in made.step.model.named_parameters():
        assert (id(parameter) in trained) == parameter.requires_grad == (not name.startswith(frozen))
        assert parameter.requires_grad or parameter.grad is None


def test_statistics_of_frozen_norms_may_go_on(make_suite: Make, tmp_path: Path) -> None:
    recipe = {"freeze": ["layer1"], "frozen_statistics": "updated"}
    made = training(make_suite, tmp_path, recipe, models=resnet())
    before = {name: value.clone() for name, value in made.step.model.state_dict().items()}
    finished(made)
    for name, value in made.step.model.state_dict().items():
        if name.startswith("model.layer1."):
            assert torch.equal(value, before[name]) == name.endswith(("weight", "bias")), name


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        (["layer11"], r"freeze: 'layer11' is no parameter of ResNet; its parts: conv1, .*mean 'layer1'"),
        (["*"], "recipe.freeze: leaves nothing of the model to train"),
    ],
)  # fmt: skip
def test_wrong_parts_are_named(make_suite: Make, tmp_path: Path, freeze: list[str], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        training(make_suite, tmp_path, {"freeze": freeze}, models=resnet())


FROZEN: dict[str, Any] = {
    "freeze": ["conv1", "layer1"],
    "no_decay": "norms_and_biases",
    "layer_decay": 0.5,
    "ema": 0.9,
    "clip": {"norm": 1.0},
}


def test_fine_tuning_goes_on_to_the_same_bits(make_suite: Make, tmp_path: Path, published: Path) -> None:
    def whole() -> Training:
        return training(make_suite, tmp_path, FROZEN, models=resnet(weights="whole.pt"))

    final = finished(whole())
    for steps in (1, 4):
        assert_same(final, interrupted(whole, steps))


def test_two_losses_begin_and_freeze_alike(make_suite: Make, tmp_path: Path, published: Path) -> None:
    models = resnet(weights="whole.pt")
    ce, mae = (training(make_suite, tmp_path, FROZEN, models=models, losses=loss) for loss in ("ce", "mae"))
    assert_same(dict(ce.step.model.state_dict()), dict(mae.step.model.state_dict()))
    for pair in zip(ce.data.batches(1), mae.data.batches(1), strict=True):
        assert all(map(torch.equal, *pair))


def test_frozen_steps_are_replayed(make_suite: Make, tmp_path: Path) -> None:
    recipe = {"epochs": 2, "batch_size": 20, "freeze": ["l1"], "ema": 0.9}
    run = make_suite(**SMALL, recipe=recipe).runs()[0].resolve()
    made, taken = (
        Training(run, tmp_path, prepare("cpu"), FakeRecorder(), one_by_one=why) for why in ("", "asked for")
    )
    assert_same(finished(made), finished(taken))
    assert made.warnings == []


def test_the_miniature_of_a_suite_draws_its_weights(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.scale import tiny

    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pt")
    monkeypatch.syspath_prepend(tmp_path)
    suite = tiny(make_suite(models={"vgg5-tiny": {"weights": "other.pt"}}, recipe={"freeze": ["l1"]}))
    assert "weights" not in suite.runs()[0].description["model"]
    assert "freeze" not in suite.runs()[0].description["recipe"]
