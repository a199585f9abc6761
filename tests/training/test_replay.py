"""Recorded steps are the steps: the same bits, and where they cannot be, taken one by one, with a note."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from training.recorder import FakeRecorder, NoRecorder

from bench.suite import Suite
from bench.training.device import prepare
from bench.training.loop import Training
from bench.training.rehearsal import HostWatch

Make = Callable[..., Suite]

EVERYTHING: dict[str, Any] = {
    "models": {"vgg5-tiny": {"dropout": 0.3, "width": 4}},
    "losses": [{"mix_ent": {"learn": "square"}}],
    "baseline": None,
    "recipe": {
        "epochs": 2,
        "batch_size": 32,  # 200 images: six whole batches and one of 8
        "schedule": "one_cycle",
        "augment": [{"rotation": {}}],
    },
}


def trained(training: Training) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Weights, statistics, moments and metrics after all epochs."""
    while training.epoch < training.recipe.epochs:
        for _ in training.steps():
            pass
        training.end_epoch()
    state = training.state()
    moments = state["optimizer"]["state"]
    changing = ("time", "images_per_second")
    history = [{k: v for k, v in line.items() if k not in changing} for line in training.history]
    return {**state["model"], **state["objective"], **flat(moments)}, history


def flat(moments: dict[int, dict[str, Any]]) -> dict[str, Any]:
    return {f"{number}.{name}": value for number, state in moments.items() for name, value in state.items()}


def assert_same(one: Training, other: Training) -> None:
    (state, history), (same_state, same_history) = trained(one), trained(other)
    assert history == same_history
    assert state.keys() == same_state.keys()
    for name, value in state.items():
        assert torch.equal(value, same_state[name]), name


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_replayed_steps_give_the_bits_of_steps_taken(
    make_suite: Make, tmp_path: Path, optimizer: str, precision: str
) -> None:
    suite = make_suite(
        **{**EVERYTHING, "recipe": {**EVERYTHING["recipe"], "optimizer": optimizer, "precision": precision}}
    )
    run, device = suite.runs()[0].resolve(), prepare("cpu")
    recorder = FakeRecorder()
    replayed = Training(run, tmp_path, device, recorder)
    assert_same(replayed, Training(run, tmp_path, device, NoRecorder()))
    assert recorder.recordings == 2  # one for each size of batch
    assert recorder.replays == 2 * 7
    assert replayed.warnings == []


def test_what_cannot_be_recorded_is_taken_step_by_step(make_suite: Make, tmp_path: Path) -> None:
    # In float64, as numbers of Python's are, the rate in a tensor changes nothing: even that is the same.
    run, device = make_suite(**EVERYTHING).runs()[0].resolve(), prepare("cpu")
    refused = Training(run, tmp_path, device, NoRecorder())
    [group] = refused.step.optimizer.param_groups
    group["lr"] = group["lr"].double()
    assert_same(refused, Training(run, tmp_path, device))
    [warning] = refused.warnings
    assert "one by one" in warning
    assert "RuntimeError: not here" in warning
    assert "nobody" not in warning


def test_replaying_goes_on_from_a_checkpoint_to_the_same_bits(make_suite: Make, tmp_path: Path) -> None:
    run, device = make_suite(**EVERYTHING).runs()[0].resolve(), prepare("cpu")
    stopped = Training(run, tmp_path, device, FakeRecorder())
    for number, _ in enumerate(stopped.steps()):
        if number == 4:
            break
    resumed = Training(run, tmp_path, device, FakeRecorder())
    resumed.load_state(stopped.state())
    assert_same(resumed, Training(run, tmp_path, device, FakeRecorder()))


def test_checkpoint_of_a_cpu_goes_on_where_steps_are_replayed(make_suite: Make, tmp_path: Path) -> None:
    run, device = make_suite(**EVERYTHING).runs()[0].resolve(), prepare("cpu")
    stopped = Training(run, tmp_path, device)
    next(steps := stopped.steps())
    next(steps)
    resumed = Training(run, tmp_path, device, recorder := FakeRecorder())
    resumed.load_state(stopped.state())
    trained(resumed)
    assert resumed.warnings == []
    assert recorder.replays == 2 * 7 - 1


@pytest.mark.parametrize(
    "model",
    [
        {"timm/resnet18": {"image_size": 32}},
        {"timm/convnext_atto": {"image_size": 32}},
        {"timm/vit_tiny_patch16_224": {"image_size": 32, "img_size": 32}},
        {"timm/efficientnet_b0": {"image_size": 32}},
        {"torchvision/vgg11_bn": {"image_size": 32}},
    ],
    ids=lambda model: next(iter(model)),
)
def test_models_of_libraries_are_replayed(make_suite: Make, tmp_path: Path, model: dict[str, Any]) -> None:
    suite = make_suite(
        datasets={"digits": {"train_size": 18, "test_size": 10}},
        models=model,
        losses="mix_ent",
        baseline=None,
        recipe={"epochs": 1, "batch_size": 6},
    )
    run, device = suite.runs()[0].resolve(), prepare("cpu")
    replayed = Training(run, tmp_path, device, recorder := FakeRecorder())
    _, [line] = trained(replayed)
    assert (recorder.recordings, recorder.replays, replayed.warnings) == (1, 3, [])
    # Not to the bit: this recorder looks on at each operation, which then rounds another way in EfficientNet.
    _, [taken] = trained(Training(run, tmp_path, device, NoRecorder()))
    assert line["train_loss"] == pytest.approx(taken["train_loss"], rel=1e-3)


MODULES = {
    "counts": "class Loss:\n    calls = 0\n    def __call__(self, logits, target):\n"
    "        self.calls += 1\n        return cross_entropy(logits, target) / self.calls\n",
    "counts in its file": "calls = 0\ndef Loss(logits, target):\n"
    "    global calls\n    calls += 1\n    return cross_entropy(logits, target) / calls\n",
    "keeps another tensor": "class Loss(torch.nn.Module):\n    def __init__(self):\n"
    "        super().__init__()\n"
    "        self.register_buffer('mean', torch.ones(()))\n    def forward(self, logits, target):\n"
    "        loss = cross_entropy(logits, target)\n        self.mean = .9 * self.mean + loss.detach()\n"
    "        return loss / self.mean\n",
    "rolls dice": "import random\ndef Loss(logits, target):\n"
    "    return cross_entropy(logits, target) * random.random()\n",
    "rolls numpy's dice": "import numpy\ndef Loss(logits, target):\n"
    "    return cross_entropy(logits, target) * numpy.random.rand()\n",
    "asks for a value": "def Loss(logits, target):\n    loss = cross_entropy(logits, target)\n"
    "    return loss / (1 + loss.item())\n",
    "keeps a list": "class Loss:\n    def __init__(self):\n        self.seen = []\n"
    "    def __call__(self, logits, target):\n        loss = cross_entropy(logits, target)\n"
    "        self.seen.append(loss.detach())\n        return loss / len(self.seen)\n",
    "counts in a list": "class Loss:\n    def __init__(self):\n        self.calls = [0]\n"
    "    def __call__(self, logits, target):\n        self.calls[0] += 1\n"
    "        return cross_entropy(logits, target) / self.calls[0]\n",
    "counts in a dictionary": "state = {'calls': 0}\ndef Loss(logits, target):\n"
    "    state['calls'] += 1\n    return cross_entropy(logits, target) / state['calls']\n",
    "keeps the last three": "from collections import deque\nclass Loss:\n    def __init__(self):\n"
    "        self.last = deque(maxlen=3)\n    def __call__(self, logits, target):\n"
    "        self.last.append(cross_entropy(logits, target))\n"
    "        return self.last[-1] / (1 + float(len(self.last)))\n",
    "counts as numpy does": "import numpy\nclass Loss:\n    calls = numpy.int64(0)\n"
    "    def __call__(self, logits, target):\n        self.calls = self.calls + numpy.int64(1)\n"
    "        return cross_entropy(logits, target) / int(self.calls)\n",
    "begins otherwise": "class Loss:\n    begun = False\n    def __call__(self, logits, target):\n"
    "        loss = cross_entropy(logits, target)\n        loss = loss if self.begun else loss / 2\n"
    "        self.begun = True\n        return loss\n",
    "remembers the last": "class Loss:\n    def __call__(self, logits, target):\n"
    "        loss = cross_entropy(logits, target)\n        last = getattr(self, 'last', 1.0)\n"
    "        self.last = loss.detach()\n        return loss / (1 + last)\n",
}


@pytest.fixture
def own_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    monkeypatch.syspath_prepend(tmp_path)

    def write(code: str) -> str:
        name = f"own_{abs(hash(code))}"
        head = "import torch\nfrom torch.nn.functional import cross_entropy\n"
        (tmp_path / f"{name}.py").write_text(head + code)
        return f"{name}:Loss"

    return write


@pytest.mark.parametrize("kind", MODULES)
def test_a_loss_that_does_things_on_the_host_is_not_replayed(
    make_suite: Make, tmp_path: Path, kind: str, own_loss: Callable[[str], str]
) -> None:
    suite = make_suite(**{**EVERYTHING, "losses": own_loss(MODULES[kind])})
    training = Training(suite.runs()[0].resolve(), tmp_path, prepare("cpu"), recorder := FakeRecorder())
    trained(training)
    assert recorder.replays == 0
    [warning] = training.warnings
    assert "one by one" in warning


def test_a_tensor_of_the_host_that_is_changed_in_place_is_seen(
    make_suite: Make, tmp_path: Path, own_loss: Callable[[str], str]
) -> None:
    """A GPU's recording would hold its value for ever. Here all tensors are the host's: so it is asked."""
    code = (
        "class Loss:\n    def __init__(self):\n        self.calls = torch.zeros(())\n"
        "    def __call__(self, logits, target):\n        self.calls += 1\n"
        "        return cross_entropy(logits, target) / self.calls\n"
    )
    run = make_suite(**{**EVERYTHING, "losses": own_loss(code)}).runs()[0].resolve()
    step = Training(run, tmp_path, prepare("cpu"), NoRecorder()).step
    watch = HostWatch(step, SimpleNamespace(device=torch.device("cuda")))  # type: ignore[arg-type]
    assert watch.changed() is None
    step.objective(torch.zeros(2, 10), torch.zeros(2, dtype=torch.long))
    assert watch.changed() == "'calls', on the CPU, is changed at every step"


def test_a_training_that_could_not_be_recorded_is_let_go(make_suite: Make, tmp_path: Path) -> None:
    run = make_suite(**EVERYTHING).runs()[0].resolve()
    training = Training(run, tmp_path, prepare("cpu"), NoRecorder())
    gc.disable()  # a GPU's memory does not wait for it
    try:
        next(steps := training.steps())
        next(steps)
        assert training.warnings
        left = weakref.ref(training.step.model)
        del training, steps
        assert left() is None
    finally:
        gc.enable()


STATEFUL = [
    "counts", "keeps another tensor", "keeps a list", "counts in a list", "keeps the last three",
    "counts as numpy does", "begins otherwise", "remembers the last",
]  # fmt: skip


@pytest.mark.parametrize("kind", STATEFUL)
def test_rehearsals_leave_no_trace_in_a_loss(
    make_suite: Make, tmp_path: Path, own_loss: Callable[[str], str], kind: str
) -> None:
    run = make_suite(**{**EVERYTHING, "losses": own_loss(MODULES[kind])}).runs()[0].resolve()
    rehearsed = Training(run, tmp_path, prepare("cpu"), NoRecorder())
    [group] = rehearsed.step.optimizer.param_groups
    group["lr"] = group["lr"].double()
    assert_same(rehearsed, Training(run, tmp_path, prepare("cpu")))
    if kind == "counts":
        assert rehearsed.step.objective.function.calls == 2 * 7  # type: ignore[union-attr]


def test_a_mask_that_a_loss_makes_once_is_recorded(
    make_suite: Make, tmp_path: Path, own_loss: Callable[[str], str]
) -> None:
    code = (
        "masks = {}\ndef Loss(logits, target):\n    if len(target) not in masks:\n"
        "        masks[len(target)] = torch.ones(len(target))\n"
        "    return (masks[len(target)] * cross_entropy(logits, target, reduction='none')).mean()\n"
    )
    run = make_suite(**{**EVERYTHING, "losses": own_loss(code)}).runs()[0].resolve()
    replayed = Training(run, tmp_path, prepare("cpu"), recorder := FakeRecorder())
    assert_same(replayed, Training(run, tmp_path, prepare("cpu"), NoRecorder()))
    assert recorder.replays == 2 * 7


def test_a_statistic_that_a_loss_keeps_in_place_is_replayed(
    make_suite: Make, tmp_path: Path, own_loss: Callable[[str], str]
) -> None:
    code = MODULES["keeps another tensor"].replace(
        "self.mean = .9 * self.mean + loss.detach()", "self.mean.mul_(.9).add_(loss.detach())"
    ).replace("loss / self.mean", "loss / self.mean.clone()")  # fmt: skip
    run = make_suite(**{**EVERYTHING, "losses": own_loss(code)}).runs()[0].resolve()
    replayed = Training(run, tmp_path, prepare("cpu"), recorder := FakeRecorder())
    assert_same(replayed, Training(run, tmp_path, prepare("cpu"), NoRecorder()))
    assert recorder.replays == 2 * 7


@pytest.mark.filterwarnings("ignore:max_unpooling2d")
def test_an_operation_without_a_deterministic_form_is_done_without_and_noted(
    make_suite: Make, tmp_path: Path, own_loss: Callable[[str], str]
) -> None:
    code = (
        "def Loss(logits, target):\n"
        "    # As some CUDA kernels, max_unpool2d has no deterministic form, not even on a CPU.\n"
        "    ones = torch.ones(1, 1, 1, 1)\n"
        "    one = torch.nn.functional.max_unpool2d(ones, torch.zeros(1, 1, 1, 1, dtype=torch.long), 1)\n"
        "    return cross_entropy(logits, target) * one.squeeze()\n"
    )
    run = make_suite(**{**EVERYTHING, "losses": own_loss(code)}).runs()[0].resolve()
    training = Training(run, tmp_path, prepare("cpu"), FakeRecorder())
    torch.use_deterministic_algorithms(True)
    try:
        trained(training)
    finally:
        torch.use_deterministic_algorithms(False)
    [warning] = training.warnings
    assert warning.startswith("its bits do not repeat: max_unpooling2d")
