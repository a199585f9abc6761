"""What a loss of one's own sees by the names of its arguments, and by what a network is scored."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import train_run
from training.recorder import FakeRecorder
from training.test_loop import StopAfter, outcome

from bench.errors import BenchError
from bench.models import build, choose_model
from bench.models.last_layer import last_layer
from bench.results.folder import RunFolder
from bench.runs import Run
from bench.suite import Suite, load
from bench.training.device import prepare
from bench.training.loop import Training
from bench.training.run import train

Make = Callable[..., Suite]
Write = Callable[..., Run]

SHOWN = Path(__file__).parents[2] / "suites" / "losses" / "ten_lines.yaml"
NAMES = ["logit_adjustment", "LDAM", "ELR", "Centre", "ArcFace"]
ARCFACE = {
    "pytorch_metric_learning.losses:ArcFaceLoss": {"num_classes": 10, "embedding_size": 128, "scale": 16}
}
NOTES = """\
from torch.nn.functional import cross_entropy
seen = []
def loss(logits, target, *, progress, epoch, index, class_counts, features, extra=1):
    seen.append((progress, epoch, index, class_counts, features, logits, target, extra))
    return cross_entropy(logits, target) + 0 * features.sum()
class Built:
    def __init__(self, class_counts, feature_size, epoch=7):
        self.made = class_counts, feature_size, epoch
    def __call__(self, logits, target):
        return cross_entropy(logits, target)
"""
NUMBERS = itertools.count()


@pytest.fixture
def own(make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """A run with a loss of this code, each time in another module."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(loss: str = "loss", code: str = NOTES, options: Any = None, **changes: Any) -> Run:
        name = f"sees_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(code)
        return make_suite(losses={f"{name}:{loss}": options}, baseline=None, **changes).runs()[0]

    return write


def seen_by(run: Run) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = __import__(run.resolve().loss.name.partition(":")[0]).seen
    return found


def all_steps(training: Training) -> None:
    while training.epoch < training.recipe.epochs:
        for _ in training.steps():
            pass
        training.end_epoch()


@pytest.mark.parametrize("selection", ["last", "validation"])
def test_arguments_are_filled_by_name(own: Write, tmp_path: Path, selection: str) -> None:
    run = own(selection=selection)
    training = Training(run.resolve(), tmp_path, prepare("cpu"))
    all_steps(training)
    data, seen = training.data, seen_by(run)
    steps = data.steps_per_epoch
    assert [call[0] for call in seen] == [k / (2 * steps) for k in range(2 * steps)]
    assert [call[1] for call in seen] == [0] * steps + [1] * steps
    trained = data.labels if data.train_rows is None else data.labels[data.train_rows]
    assert data.count == len(trained) == (200 if selection == "last" else 180)
    for epoch in (0, 1):
        calls = [call for call in seen if call[1] == epoch]
        order = torch.cat([call[2] for call in calls])
        assert order.dtype is torch.int64
        assert sorted(order.tolist()) == list(range(data.count))
        assert torch.equal(trained[order], torch.cat([call[6] for call in calls]))
    assert torch.equal(seen[0][3], torch.bincount(trained, minlength=10))
    layer = last_layer(training.step.model)
    assert isinstance(layer, torch.nn.Linear)
    assert seen[0][4].shape == (32, layer.in_features)
    assert seen[0][7] == 1


def test_features_are_what_makes_the_logits(own: Write, tmp_path: Path) -> None:
    run = own()
    training = Training(run.resolve(), tmp_path, prepare("cpu"))
    layer = last_layer(training.step.model)
    assert layer is not None
    weight, bias = (parameter.detach().clone() for parameter in layer.parameters())
    next(steps := training.steps())
    next(steps)
    *_, features, logits, _, _ = seen_by(run)[0]
    torch.testing.assert_close(torch.nn.functional.linear(features, weight, bias), logits)


def test_an_option_of_that_name_wins(own: Write, tmp_path: Path) -> None:
    run = own(options={"epoch": 70, "extra": 2})
    training = Training(run.resolve(), tmp_path, prepare("cpu"))
    next(steps := training.steps())
    next(steps)
    assert (seen_by(run)[0][1], seen_by(run)[0][7]) == (70, 2)


def test_a_class_is_made_with_what_does_not_change(own: Write, tmp_path: Path) -> None:
    training = Training(own("Built").resolve(), tmp_path, prepare("cpu"))
    counts, size, epoch = training.step.objective.bare.made
    assert int(counts.sum()) == 200
    assert (size, epoch) == (128, 7)  # the last is an option of its own: an epoch is no news of a class


def test_where_mixed_the_index_is_of_an_image_and_the_one_before_it_is_its_partner(
    own: Write, tmp_path: Path
) -> None:
    run = own(recipe={"mix": "mixup", "epochs": 1, "batch_size": 32})
    training = Training(run.resolve(), tmp_path, prepare("cpu"))
    all_steps(training)
    labels = training.data.labels
    for call in seen_by(run):
        index, target = call[2], call[6]
        pair = torch.stack([labels[index], labels[index.roll(1)]], dim=1)
        assert torch.equal(target > 0, torch.zeros_like(target).scatter(1, pair, 1.0) * target > 0)
        torch.testing.assert_close(target.gather(1, pair[:, :1]).clamp_min(0), target.gather(1, pair[:, :1]))


def test_what_changes_each_step_is_not_recorded(own: Write, tmp_path: Path) -> None:
    code = NOTES + "loss.recordable = True\n"
    run = own(code=code)
    training = Training(run.resolve(), tmp_path, prepare("cpu"), recorder := FakeRecorder())
    all_steps(training)
    assert recorder.recordings == 0
    [warning] = training.warnings
    assert warning.endswith(":loss takes progress and epoch and index")


def test_features_and_a_classifier_of_one_s_own_are_recorded(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(SHOWN.parent)
    run = make_suite(losses="ten_lines:ArcFace", baseline=None).runs()[0].resolve()
    plain = Training(run, tmp_path, prepare("cpu"))
    all_steps(plain)
    recorded = Training(run, tmp_path, prepare("cpu"), recorder := FakeRecorder())
    all_steps(recorded)
    assert recorder.recordings > 0
    assert plain.warnings == recorded.warnings == []
    for (name, one), (_, other) in zip(plain.step.tensors(), recorded.step.tensors(), strict=False):
        if name.startswith("loss"):
            torch.testing.assert_close(one, other)


# ------------------------------------------------------------------------------------------ examples


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_resume_to_the_same_bits(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.syspath_prepend(SHOWN.parent)
    run = make_suite(losses=f"ten_lines:{name}", baseline=None, selection="validation").runs()[0]
    whole = train_run(run, tmp_path / "whole")
    parts, device = RunFolder(tmp_path / "parts", run.id), prepare("cpu")
    while not train(run, parts, device=device, data=tmp_path, should_stop=StopAfter(4)):
        pass
    assert outcome(whole) == outcome(parts)
    result = parts.result()
    assert result is not None
    assert result.warnings == []


def test_the_examples_are_a_suite_and_take_about_ten_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SHOWN.parent)
    assert load(SHOWN).labels("losses")[1:] == [f"ten_lines:{name}" for name in NAMES]
    text = (SHOWN.parent / "ten_lines.py").read_text()
    for part in text.split("\n\n\n")[1:]:
        assert sum(bool(line.strip()) for line in part.splitlines()) <= 20, part


def test_margins_are_for_rare_classes_and_weights_come_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SHOWN.parent)
    import ten_lines

    loss = ten_lines.LDAM(torch.tensor([1000, 10]))
    logits, target = torch.zeros(4, 2), torch.tensor([0, 0, 0, 1])
    assert loss.margins.tolist() == pytest.approx([0.5 * 0.01**0.25, 0.5])
    early, late = loss(logits, target, 0.79), loss(logits, target, 0.8)
    assert late > early  # the rare class, whose margin is larger, counts more


def test_a_network_is_scored_by_the_classifier_of_its_loss(make_suite: Make, tmp_path: Path) -> None:
    """Of pytorch-metric-learning: on embeddings it was at chance, 10 %."""
    suite = make_suite(
        losses=ARCFACE,
        baseline=None,
        datasets="digits",
        recipe={"epochs": 3, "batch_size": 64, "optimizer": {"adam": {"lr": 0.01}}},
    )
    folder = train_run(suite.runs()[0], tmp_path, keep_weights=True)
    result = folder.result()
    assert result is not None
    assert result.correct > 0.9 * result.total
    assert folder.metrics()[-1]["train_accuracy"] > 0.9
    assert not (folder.path / "weights.safetensors").exists()
    assert [warning.partition(":")[0] for warning in result.warnings] == ["weights were not kept"]


# ------------------------------------------------------------------------------------- options, layers

TAKES = """\
import torch
from typing import Optional
from torch.nn.functional import cross_entropy
class Takes(torch.nn.Module):
    def __init__(self, a: torch.Tensor, b: "Optional[Tensor]" = None, c: list = (), d: "Tensor | list" = None,
                 e: torch.LongTensor = None, f=None):
        super().__init__()
        self.given = a, b, c, d, e, f
    def forward(self, logits, target):
        return cross_entropy(logits, target)
"""


def test_lists_become_tensors_where_the_code_says_so(own: Write, tmp_path: Path) -> None:
    given: dict[str, Any] = {"a": [1, 2], "b": [[1, 0], [0, 1]], "c": [1], "d": [1], "e": [1], "f": [1]}
    training = Training(own("Takes", TAKES, given).resolve(), tmp_path, prepare("cpu"))
    a, b, c, d, e, f = training.step.objective.bare.given
    assert torch.equal(a, torch.tensor([1.0, 2.0]))
    assert torch.equal(b, torch.eye(2))
    assert (c, d, f) == ([1], [1], [1])
    assert torch.equal(e, torch.tensor([1]))


def test_weights_of_classes_are_weights_of_classes(make_suite: Make, tmp_path: Path) -> None:
    weight = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    suite = make_suite(losses={"torch.nn:CrossEntropyLoss": {"weight": weight}}, baseline=None)
    training = Training(suite.runs()[0].resolve(), tmp_path, prepare("cpu"))
    logits, target = torch.randn(5, 10), torch.arange(5)
    expected = torch.nn.functional.cross_entropy(logits, target, torch.tensor(weight).float())
    assert torch.equal(training.step.objective(logits, target), expected)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("vgg5-tiny", torch.nn.Linear),
        ("spinal-vgg5-tiny", torch.nn.Linear),
        ({"timm/test_resnet": {"image_size": 32}}, torch.nn.Linear),
        ({"torchvision/mobilenet_v3_small": {"image_size": 32}}, torch.nn.Linear),
        ({"torchvision/squeezenet1_1": {"image_size": 32}}, type(None)),
    ],
)
def test_last_layers(name: Any, kind: type) -> None:
    layer = last_layer(build(choose_model(name), (1, 8, 8), 7))
    assert type(layer) is kind
    assert layer is None or layer.out_features == 7


def test_a_classifier_that_nothing_would_be_scored_by_is_refused(own: Write, tmp_path: Path) -> None:
    code = (
        "import torch\nclass Head(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.w = torch.nn.Parameter(torch.randn(10, 10))\n"
        "    def forward(self, x, target):\n        return (x @ self.w).mean()\n"
    )
    with pytest.raises(BenchError, match=r"its parameter 'w' is \[10, 10\], for 10 classes"):
        Training(own("Head", code).resolve(), tmp_path, prepare("cpu"))


def test_parts_of_a_step_have_their_own_index(own: Write, tmp_path: Path) -> None:
    run = own(recipe={"epochs": 1, "batch_size": 16, "accumulate": 3})
    training = Training(run.resolve(), tmp_path, prepare("cpu"))
    all_steps(training)
    labels = training.data.labels
    for call in seen_by(run):
        assert torch.equal(labels[call[2]], call[6])
    assert sorted(torch.cat([call[2] for call in seen_by(run)]).tolist()) == list(range(200))


def test_what_would_be_scored_by_something_else_is_refused(own: Write, tmp_path: Path) -> None:
    code = NOTES + "class Head(Built):\n    def __call__(self, features, target): return features.sum()\n"
    code += "    def logits(self, features): return features\n"
    run = own("Head", code, recipe={"epochs": 1, "batch_size": 32, "ema": 0.9})
    with pytest.raises(BenchError, match=r"recipe\.ema averages the model's weights"):
        Training(run.resolve(), tmp_path, prepare("cpu"))
    run = own(recipe={"epochs": 1, "batch_size": 32, "mix": "mixup", "accumulate": 2})
    with pytest.raises(BenchError, match="with mix and accumulate"):
        Training(run.resolve(), tmp_path, prepare("cpu"))
