"""The first call of models, losses and data sets of one's own: it works, or is refused with what to do."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.errors import BenchError
from bench.suite import Suite
from bench.training.trial import complaint

Make = Callable[..., Suite]
Tried = Callable[..., str]

NO_CLASSIFIER = "give it a method `logits(features)` that classifies, or add a loss of the logits to it"


HEAD = "import torch\nfrom torch import nn\nfrom torch.nn.functional import cross_entropy, linear, one_hot\n"
LOSSES = {
    "works": ("def loss(logits, target):\n    return cross_entropy(logits, target)\n", ""),
    "dict": (
        "def loss(logits, target):\n    return {'loss': cross_entropy(logits, target)}\n",
        "it returns a mapping with loss, expected a tensor that is one number",
    ),
    "tuple": (
        "def loss(logits, target):\n    return cross_entropy(logits, target), 0\n",
        "it returns a tuple of 2, expected",
    ),
    "number": (
        "def loss(logits, target):\n    return cross_entropy(logits, target).item()\n",
        "it returns a float, expected",
    ),
    "nothing": (
        "def loss(logits, target):\n    cross_entropy(logits, target)\n",
        "it returns nothing, ",
    ),
    "an image each": (
        "def loss(logits, target):\n    return logits.square().sum(1)\n",
        "it returns [4], expected one number, the mean over the batch; end it with .mean()",
    ),
    "not finite": (
        "def loss(logits, target):\n    return (logits * 0).log().mean()\n",
        "it is -inf at the",
    ),
    "gradient not finite": (
        "def loss(logits, target):\n    return (logits * 0).sqrt().sum()\n",
        "its gradient is not finite at the first step",
    ),
    "no gradient": (
        "def loss(logits, target):\n    return (logits.argmax(1) != target).float().mean()\n",
        "it has no gradient: it is made of something that has none",
    ),
    "of something else": (
        "def loss(logits, target):\n    return torch.ones((), requires_grad=True) * target.float().mean()\n",
        "no gradient reaches the network",
    ),
    "late": (
        "def loss(logits, target, progress):\n    if progress > 0.5:\n        raise RuntimeError('later')\n"
        "    return cross_entropy(logits, target)\n",
        "RuntimeError: later",
    ),
    "last epoch": (
        "def loss(logits, target, epoch):\n    return [0, cross_entropy(logits, target)][1 - epoch]\n",
        "it returns a int",
    ),
    "hidden classifier": (
        "class loss(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.w = nn.Parameter(torch.randn(10, 10))\n"
        "    def forward(self, x, target):\n        return cross_entropy(linear(x, self.w), target)\n",
        "its parameter 'w' is [10, 10], for 10 classes, and it is called with the network's outputs",
    ),
    "declared": (
        "class loss(nn.Module):\n    own_classifier = False\n    def __init__(self):\n"
        "        super().__init__()\n        self.w = nn.Parameter(torch.randn(10, 10))\n"
        "    def forward(self, x, target):\n        return cross_entropy(linear(x, self.w), target)\n",
        "",
    ),
    "features alone": (
        "def loss(logits, target, features):\n    return features.square().mean()\n",
        NO_CLASSIFIER,
    ),
    "a classifier too narrow": (
        "class loss(nn.Module):\n    def logits(self, features):\n        return features[:, :3]\n"
        "    def forward(self, features, target):\n        return features.square().mean()\n",
        "its own classifier makes [4, 3] of features float32 [4, 128], expected [4, 10]",
    ),
    "needs a GPU": (
        "def loss(logits, target):\n    raise RuntimeError('Found no NVIDIA driver on your system')\n",
        "",
    ),
}
MODELS = {
    "works": (
        "def model(channels, classes):\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))\n",
        "",
    ),
    "wide": (
        "def model(channels, classes):\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 1000))\n",
        "its outputs are [4, 1000], expected logits [4, 10]; it is built with classes=…: make its last layer",
    ),
    "softmax": (
        "def model(channels, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes), nn.Softmax(1))\n",
        "each row of its outputs sums to 1: these are probabilities, and losses and scores take logits",
    ),
    "log-softmax": (
        "def model(channels, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes), nn.LogSoftmax(1))\n",
        "",
    ),
    "tuple": (
        "class model(nn.Module):\n    def __init__(self, channels, classes):\n        super().__init__()\n"
        "        self.l = nn.Linear(64, classes)\n"
        "    def forward(self, x):\n        return self.l(x.flatten(1)), x\n",
        "it returns a tuple of 2, expected one tensor of logits",
    ),
    "an object": (
        "class Out:\n    logits = 0\n"
        "class model(nn.Module):\n    def __init__(self, channels, classes):\n        super().__init__()\n"
        "    def forward(self, x):\n        return Out()\n",
        "it returns Out, expected one tensor of logits; wrap it in a module whose forward returns its `.l",
    ),
    "raises": (
        "def model(channels, classes):\n    return nn.Sequential(nn.Flatten(), nn.Linear(999, classes))\n",
        "it is called with float images [N, 1, 8, 8], channels first",
    ),
}
NUMBERS = itertools.count()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write a module, each time under another name."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(text: str) -> str:
        name = f"own_of_trial_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(HEAD + text)
        return name

    return write


@pytest.mark.parametrize("kind", LOSSES)
def test_losses_of_one_s_own(tried: Tried, module: Callable[[str], str], kind: str) -> None:
    text, words = LOSSES[kind]
    said = tried(losses=f"{module(text)}:loss")
    assert words in said
    assert (said == "") == (words == "")


@pytest.mark.parametrize("kind", MODELS)
def test_models_of_one_s_own(tried: Tried, module: Callable[[str], str], kind: str) -> None:
    text, words = MODELS[kind]
    said = tried(losses="torch.nn:NLLLoss" if kind == "log-softmax" else "ce", models=f"{module(text)}:model")
    assert words in said
    assert (said == "") == (words == "")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"timm/test_vit": {"image_size": 32, "img_size": 32}}, ""),
        (
            "timm/test_vit",
            "on images of 1×8×8: AssertionError: Input height (8) should be",
        ),
        ({"timm/test_vit": {"image_size": 24}}, "it gets images resized to 24×24: choose another"),
        ("torchvision/squeezenet1_1", "give it the option `image_size: 224` to have images resized"),
        (
            {"torchvision/googlenet": {"image_size": 64}},
            "it returns GoogLeNetOutputs, expected one tensor",
        ),
    ],
)
def test_models_of_libraries(tried: Tried, model: Any, words: str) -> None:
    said = tried(models=model, losses="ce")
    assert words in said
    assert (said == "") == (words == "")
    if "GoogLeNet" in words:
        assert said.endswith("give it the option `aux_logits: false`")


def test_the_last_layer_must_be_the_one_that_makes_the_outputs(
    tried: Tried, module: Callable[[str], str]
) -> None:
    model = (
        "class model(nn.Module):\n    def __init__(self, channels, classes):\n        super().__init__()\n"
        "        self.head, self.other = nn.Linear(64, classes), nn.Linear(classes, classes)\n"
        "    def forward(self, x):\n"
        "        y = self.head(x.flatten(1))\n        self.other(y)\n        return y\n"
    )
    named = "    def get_classifier(self):\n        return self.head\n"
    loss = "def loss(logits, target, features):\n    return cross_entropy(logits, target) + features.mean()\n"
    said = tried(models=f"{module(model)}:model", losses=f"{module(loss)}:loss")
    assert "give yours a method get_classifier() that returns the layer which does" in said
    assert tried(models=f"{module(model + named)}:model", losses=f"{module(loss)}:loss") == ""
    convolutions = tried(
        models={"torchvision/squeezenet1_1": {"image_size": 64}}, losses=f"{module(loss)}:loss"
    )
    assert "that layer cannot be told; choose a model that ends in a torch.nn.Linear" in convolutions


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        ((20, 3, 8, 8), "i % 3", ""),
        (
            (20, 8, 8, 3),
            "i % 3",
            "looks like N×H×W×C, expected [N, C, H, W]; return images.transpose(0",
        ),
        (
            (20, 3, 8, 8),
            "1 + i % 3",
            "labels begin at 1, expected classes counted from 0; subtract 1",
        ),
    ],
)
def test_data_sets_of_one_s_own(
    tried: Tried, module: Callable[[str], str], images: tuple[int, ...], labels: str, words: str
) -> None:
    name = module(
        f"def data():\n    x, i = torch.zeros({images}, dtype=torch.uint8), torch.arange(20)\n"
        f"    return x, {labels}, x, {labels}\n"
    )
    said = tried(datasets=f"{name}:data", losses="ce")
    assert words in said
    assert (said == "") == (words == "")


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"freeze": ["classifier"]}, ""),
        ({"freeze": ["clasifier"]}, "recipe.freeze: 'clasifier' is no parameter of .*mean 'classifier'"),
        ({"freeze": ["*"]}, "recipe.freeze: leaves nothing of the model to train"),
        ({"layer_decay": 0.5}, "recipe.layer_decay: Sequential does not say what its layers are"),
        ({"optimizer": {"torch/SGD": {"momentum": 0.9, "nesterov": True}},
          "schedule": {"torch/OneCycleLR": {"cycle_momentum": False}}}, ""),
        ({"optimizer": {"torch/SGD": {"nesterov": True}}}, "'torch/SGD.*' cannot be built: ValueError: Nest"),
        ({"optimizer": {"timm/lamb": {"betas": [0.9]}}}, "timm/lamb.* fails at its first step: ValueError"),
        ({"epochs": 2, "schedule": {"torch/StepLR": {"step_size": 0}}}, "'torch/StepLR.*' cannot be built"),
    ],
)  # fmt: skip
def test_recipes(tried: Tried, recipe: dict[str, Any], words: str) -> None:
    said = tried(losses="ce", recipe={"epochs": 1, "batch_size": 100, **recipe})
    assert re.search(words, said), said
    assert (said == "") == (words == "")


def test_what_is_our_own_is_not_called(tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.training.trial.first_call", lambda *given: pytest.fail("it was"))
    assert tried(losses="mix_ent") == ""


def test_a_trial_draws_nothing_and_keeps_nothing(tried: Tried, module: Callable[[str], str]) -> None:
    """An object that is called has counted no call, and torch's generator stays where it was."""
    name = module(
        "class Counts:\n    def __init__(self):\n        self.calls = 0\n"
        "    def __call__(self, logits, target):\n        self.calls += 1\n        torch.rand(3)\n"
        "        return cross_entropy(logits, target)\n"
        "    def state_dict(self):\n        return {'calls': self.calls}\n"
        "    def load_state_dict(self, state):\n        self.calls = state['calls']\n"
        "loss = Counts()\n"
    )
    before = torch.get_rng_state()
    assert tried(losses=f"{name}:loss") == ""
    assert torch.equal(torch.get_rng_state(), before)
    assert __import__(name).loss.calls == 0


def test_a_changed_code_is_no_riddle(make_suite: Make, module: Callable[[str], str], tmp_path: Path) -> None:
    name = module(LOSSES["works"][0])
    run = make_suite(losses=f"{name}:loss", baseline=None).runs()[0]
    (tmp_path / f"{name}.py").write_text(HEAD + LOSSES["dict"][0])
    with pytest.raises(BenchError, match="its code changed"):
        run.resolve()
    assert "its code changed" in complaint(run.text, tmp_path)
