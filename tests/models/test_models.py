"""Models: the reference's sizes, names and initial weights, and what libraries and users bring."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import models
from bench.errors import BenchError
from bench.models import choose_model
from bench.models.resize import first_convolution

LETTERS, DIGITS, COLOUR = (1, 28, 28), (1, 8, 8), (3, 32, 32)
VIT = "timm/vit_tiny_patch16_224"


def build(
    value: Any, shape: tuple[int, int, int] = LETTERS, classes: int = 26, seed: int = 0
) -> torch.nn.Module:
    torch.manual_seed(seed)
    return models.build(choose_model(value), shape, classes)


def output_shape(model: torch.nn.Module, shape: tuple[int, int, int]) -> tuple[int, ...]:
    with torch.no_grad():
        return tuple(model(torch.rand(2, *shape)).shape)


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


# ------------------------------------------------------------------------------------------ built in


@pytest.mark.parametrize(("name", "count"), [("vgg5", 3_654_362), ("spinal-vgg5", 3_637_978)])
def test_sizes_are_those_of_the_reference(name: str, count: int) -> None:
    assert parameters(build(name)) == count


def test_layers_are_called_as_in_the_published_weights() -> None:
    # Of a stage, convolution and batch norm alternate with ReLU: 0, 1, 3, 4 and so on.
    convolutions = {"l1": 2, "l2": 2, "l3": 3, "l4": 3}
    of_norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    expected = []
    for stage, count in convolutions.items():
        for k in range(count):
            expected += [f"{stage}.{3 * k}.weight", f"{stage}.{3 * k}.bias"]
            expected += [f"{stage}.{3 * k + 1}.{part}" for part in of_norm]
    expected += ["classifier.1.weight", "classifier.1.bias"]
    expected += [f"classifier.2.{part}" for part in of_norm]
    expected += ["classifier.5.weight", "classifier.5.bias"]
    state = build("vgg5").state_dict()
    assert list(state) == expected
    assert state["l4.6.weight"].shape == (256, 256, 3, 3)
    assert state["classifier.1.weight"].shape == (512, 256)
    assert state["classifier.5.weight"].shape == (26, 512)


@pytest.mark.parametrize("name", ["vgg5", "spinal-vgg5"])
def test_convolutions_start_from_the_reference_s_normal_distribution(name: str) -> None:
    convolutions = [module for module in build(name).modules() if isinstance(module, torch.nn.Conv2d)]
    assert len(convolutions) == 10
    for convolution in convolutions:
        weight, std = convolution.weight.detach(), math.sqrt(2 / (9 * convolution.out_channels))
        # Four standard errors of the estimates.
        assert float(weight.std()) == pytest.approx(std, rel=4 / math.sqrt(2 * weight.numel()))
        assert abs(float(weight.mean())) < 4 * std / math.sqrt(weight.numel())


def test_the_spinal_head_sees_halves_of_the_features_in_turn() -> None:
    head = build("spinal-vgg5").eval().classifier
    seen: list[torch.Tensor] = []
    for number in (1, 2, 3, 4):
        layer = getattr(head, f"fc_spinal_layer{number}")
        layer.register_forward_hook(lambda _module, given, made: seen.extend([given[0], made]))
    head.fc_out.register_forward_hook(lambda _module, given, _made: seen.append(given[0]))
    features = torch.rand(2, 256)
    head(features)
    in1, out1, in2, out2, in3, out3, in4, out4, last = seen
    first, second = features[:, :128], features[:, 128:]
    assert torch.equal(in1, first)
    assert torch.equal(in2, torch.cat([second, out1], dim=1))
    assert torch.equal(in3, torch.cat([first, out2], dim=1))
    assert torch.equal(in4, torch.cat([second, out3], dim=1))
    assert torch.equal(last, torch.cat([out1, out2, out3, out4], dim=1))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        *itertools.product(["vgg5", "spinal-vgg5"], [LETTERS, COLOUR, (1, 16, 20)]),
        *itertools.product(["vgg5-tiny", "spinal-vgg5-tiny"], [DIGITS, LETTERS, COLOUR, (3, 9, 8)]),
    ],
)
@pytest.mark.parametrize("classes", [2, 100])
def test_images_become_one_logit_a_class(name: str, shape: tuple[int, int, int], classes: int) -> None:
    assert output_shape(build(name, shape, classes), shape) == (2, classes)


@pytest.mark.parametrize("name", ["vgg5", "spinal-vgg5", "vgg5-tiny", "spinal-vgg5-tiny"])
def test_the_seed_alone_decides_the_initial_weights(name: str) -> None:
    one, again, other = (build(name, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert not torch.equal(one["l1.0.weight"], other["l1.0.weight"])


@pytest.mark.parametrize("name", ["vgg5", "spinal-vgg5", "vgg5-tiny", "spinal-vgg5-tiny"])
def test_options_reach_the_layers(name: str) -> None:
    dropouts = [m.p for m in build({name: {"dropout": 0.1}}).modules() if isinstance(m, torch.nn.Dropout)]
    assert len(dropouts) == (5 if "spinal" in name else 2)
    assert set(dropouts) == {0.1}
    if "tiny" in name:
        assert build({name: {"width": 5}}).l1[0].out_channels == 5


@pytest.mark.parametrize("name", ["vgg5", "spinal-vgg5"])
def test_images_too_small_are_refused_with_advice(name: str) -> None:
    with pytest.raises(BenchError, match=f"at least 16×16 pixels, found 8×8; use '{name}-tiny'"):
        build(name, DIGITS)
    for too_small in ({name: {}}, f"{name}-tiny"):
        with pytest.raises(BenchError, match=r"pixels, found 28×4$"):
            build(too_small, (1, 28, 4))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("vgg", "unknown model 'vgg'; allowed: .*timm/<name>.*did you mean 'vgg5'"),
        ({"vgg5": {"width": 8}}, "vgg5: unknown key 'width'; allowed: digest, dropout, weights"),
        ({"vgg5": {"dropout": 1}}, "vgg5: dropout: found 1"),
        ({"vgg5-tiny": {"width": 0}}, "vgg5-tiny: width: found 0"),
        ({"timm/resnet18": {"image_size": 4}}, "timm/resnet18: image_size: found 4"),
        (
            {"torchvision/resnet18": {"weights": "DEFAULT"}},
            "weights: there is no file 'DEFAULT' .*those of a library are pretrained: true",
        ),
        ({"timm/resnet18": {"checkpoint_path": "a.pt"}}, "checkpoint_path: a file .* named by weights: FILE"),
        ({"timm/resnet18": {"pretrained": "yes please"}}, "pretrained: found 'yes please'"),
        ({"vgg5": {"pretrained": True}}, "vgg5: unknown key 'pretrained'; allowed: digest, dropout, weights"),
    ],
)
def test_what_does_not_hold_is_refused_before_anything_is_built(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_model(value)


# ----------------------------------------------------------------------------------------- libraries


@pytest.mark.parametrize("library", ["timm", "torchvision"])
@pytest.mark.parametrize("shape", [LETTERS, COLOUR])
def test_library_models_take_one_channel_or_three(library: str, shape: tuple[int, int, int]) -> None:
    model = build(f"{library}/resnet18", shape, 7)
    assert output_shape(model, shape) == (2, 7)
    assert model.conv1.in_channels == shape[0]


def test_images_are_resized_for_models_that_want_them_larger() -> None:
    with_size = build({VIT: {"image_size": 224}}, classes=5)
    assert output_shape(with_size, LETTERS) == (2, 5)
    small = build({"torchvision/resnet18": {"image_size": 64}}, classes=5)
    sizes = []
    small.model.register_forward_pre_hook(lambda _module, given: sizes.append(tuple(given[0].shape)))
    assert output_shape(small, LETTERS) == (2, 5)
    assert sizes == [(2, 1, 64, 64)]


def test_options_reach_the_library() -> None:
    model = build({VIT: {"img_size": 28, "patch_size": 7, "depth": 2}}, classes=5)
    assert len(model.blocks) == 2
    assert output_shape(model, LETTERS) == (2, 5)


@pytest.mark.parametrize("name", ["timm/resnet18", "torchvision/resnet18"])
def test_library_models_start_from_the_seed(name: str) -> None:
    one, again, other = (build(name, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert not torch.equal(one["conv1.weight"], other["conv1.weight"])


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_misspelt_library_names_get_the_nearest(library: str) -> None:
    message = rf"unknown {library} model 'resnet_18'; allowed: the \d+ models of .*; did you mean 'resnet18'"
    with pytest.raises(BenchError, match=message):
        models.check_library_name(choose_model(f"{library}/resnet_18"))
    with pytest.raises(BenchError, match=message):
        build(f"{library}/resnet_18")
    models.check_library_name(choose_model(f"{library}/resnet18"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"timm/resnet18": {"nope": 1}},
            r"model 'timm/resnet18\(nope=1\)' cannot be built: TypeError: .*'nope'",
        ),
        ({"torchvision/resnet18": {"nope": 1}}, "cannot be built: TypeError: .*'nope'"),
        ({"timm/resnet18": {"act_layer": "nope"}}, "cannot be built: KeyError: 'nope'"),
        ({"timm/resnet18": {"num_classes": 3}}, "cannot be built: TypeError: .*'num_classes'"),
    ],
)
def test_options_that_a_library_refuses_get_one_message(value: Any, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        build(value)


def test_a_model_without_convolutions_cannot_change_its_channels() -> None:
    with pytest.raises(ValueError, match="no convolution"):
        first_convolution(torch.nn.Linear(3, 2), 1)


# ------------------------------------------------------------------------------------ the user's own

Own = Callable[..., torch.nn.Module]

_numbers = itertools.count()  # a module is imported once: each test needs a name of its own


@pytest.fixture
def build_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Own:
    """Build ``make`` of a module with this source, called with these options."""
    monkeypatch.syspath_prepend(tmp_path)

    def build_it(source: str, **options: Any) -> torch.nn.Module:
        name = f"own_model_{next(_numbers)}"
        text = "from torch import nn\n" + textwrap.dedent(source)
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        return build({f"{name}:make": options}, DIGITS, 10)

    return build_it


def test_own_functions_and_classes_are_built(build_own: Own) -> None:
    function = build_own(
        """
        def make(channels, classes, hidden=4):
            sizes = channels * 64, hidden, classes
            return nn.Sequential(nn.Flatten(), nn.Linear(*sizes[:2]), nn.Linear(*sizes[1:]))
        """,
        hidden=3,
    )
    assert function[1].out_features == 3
    assert output_shape(function, DIGITS) == (2, 10)
    a_class = build_own(
        """
        class make(nn.Module):
            def __init__(self, *, channels, classes):
                super().__init__()
                self.layer = nn.Linear(channels * 64, classes)
            def forward(self, images):
                return self.layer(images.flatten(1))
        """
    )
    assert output_shape(a_class, DIGITS) == (2, 10)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("def make(): ...", {}, "cannot be built: TypeError: .*unexpected keyword argument 'channels'"),
        ("def make(channels, classes): ...", {"hid": 3}, r"make\(hid=3\)' cannot be built: .*'hid'"),
        ("def make(channels, classes): ...", {}, "returned nothing, not a torch.nn.Module"),
        ("def make(channels, classes): return nn.Linear", {}, "returned <class .*not a torch.nn.Module"),
        ("def make(channels, classes): return {}['x']", {}, "cannot be built: KeyError: 'x'"),
        ("def made(): ...", {}, "cannot be imported: .*has no attribute 'make'"),
    ],
)
def test_what_is_no_model_gets_one_message(
    build_own: Own, source: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BenchError, match=message):
        build_own(source, **options)
