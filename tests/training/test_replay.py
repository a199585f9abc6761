"""Recorded steps are the steps, to the bit; what does not say that it may be recorded is taken one by one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from training.recorder import FakeGraph, FakeRecorder

from bench.runs import Resolved
from bench.suite import Suite
from bench.training.device import is_out_of_memory, prepare
from bench.training.loop import Training
from bench.training.replay import NotRecorded

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


def taken(run: Resolved, folder: Path) -> Training:
    """One step at a time, with all that goes with a recorder but recordings."""
    return Training(run, folder, prepare("cpu"), FakeRecorder(), one_by_one="the test says so")


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_replayed_steps_give_the_bits_of_steps_taken(
    make_suite: Make, tmp_path: Path, optimizer: str, precision: str
) -> None:
    suite = make_suite(
        **{**EVERYTHING, "recipe": {**EVERYTHING["recipe"], "optimizer": optimizer, "precision": precision}}
    )
    run = suite.runs()[0].resolve()
    recorder = FakeRecorder()
    replayed = Training(run, tmp_path, prepare("cpu"), recorder)
    assert_same(replayed, taken(run, tmp_path))
    assert recorder.recordings == 2  # one for each size of batch
    assert recorder.replays == 2 * 7 + 4  # each is held against two steps
    assert replayed.warnings == []


def test_one_step_at_a_time_is_said_and_has_the_same_bits(make_suite: Make, tmp_path: Path) -> None:
    # In float64, as numbers of Python's are, the rate in a tensor changes nothing: even that is the same.
    run = make_suite(**EVERYTHING).runs()[0].resolve()
    stepped = taken(run, tmp_path)
    [group] = stepped.step.optimizer.param_groups
    group["lr"] = group["lr"].double()
    assert_same(stepped, Training(run, tmp_path, prepare("cpu")))
    assert stepped.warnings == ["steps were launched one by one, which is slower: the test says so"]


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
    assert recorder.replays == 2 * 7 - 1 + 4


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
    run = suite.runs()[0].resolve()
    replayed = Training(run, tmp_path, prepare("cpu"), recorder := FakeRecorder())
    _, [line] = trained(replayed)
    assert (recorder.recordings, recorder.replays, replayed.warnings) == (1, 3 + 2, [])
    # Not to the bit: this recorder looks on at each operation, which then rounds another way in EfficientNet.
    _, [other] = trained(taken(run, tmp_path))
    assert line["train_loss"] == pytest.approx(other["train_loss"], rel=1e-3)


# -------------------------------------------------------------------- what does something on the host

STATEFUL = {
    "class attribute": "class Loss:\n    calls = 0\n    def __call__(self, logits, target):\n"
    "        type(self).calls += 1\n        return cross_entropy(logits, target) / self.calls\n",
    "generator of numpy": "import numpy\ndice = numpy.random.default_rng(0)\ndef Loss(logits, target):\n"
    "    return cross_entropy(logits, target) * dice.random()\n",
    "generator of random": "import random\ndice = random.Random(0)\ndef Loss(logits, target):\n"
    "    return cross_entropy(logits, target) * dice.random()\n",
    "generator of torch": "dice = torch.Generator()\ndef Loss(logits, target):\n"
    "    return cross_entropy(logits, target) * float(torch.rand((), generator=dice).numpy())\n",
    "helper object": "class Helper:\n    calls = 0\nclass Loss:\n    def __init__(self):\n"
    "        self.helper = Helper()\n    def __call__(self, logits, target):\n"
    "        self.helper.calls += 1\n        return cross_entropy(logits, target) / self.helper.calls\n",
    "iterator": "import itertools\nnumbers = itertools.count(1)\ndef Loss(logits, target):\n"
    "    return cross_entropy(logits, target) / next(numbers)\n",
    "closure": "def make():\n    calls = 0\n    def loss(logits, target):\n        nonlocal calls\n"
    "        calls += 1\n        return cross_entropy(logits, target) / calls\n    return loss\n"
    "Loss = make()\n",
    "nested list": "class Loss:\n    def __init__(self):\n        self.seen = [[0]]\n"
    "    def __call__(self, logits, target):\n        self.seen[0][0] += 1\n"
    "        return cross_entropy(logits, target) / self.seen[0][0]\n",
    "another tensor": "class Loss(torch.nn.Module):\n    def __init__(self):\n"
    "        super().__init__()\n"
    "        self.register_buffer('mean', torch.ones(()))\n    def forward(self, logits, target):\n"
    "        loss = cross_entropy(logits, target)\n        self.mean = .9 * self.mean + loss.detach()\n"
    "        return loss / self.mean\n",
}


NUMBERS = itertools.count()


@pytest.fixture
def own_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write a loss; each time under another name, so that none has the state of an earlier one."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(code: str, recordable: bool = False) -> str:
        name = f"own_{next(NUMBERS)}"
        head = "import torch\nfrom torch.nn.functional import cross_entropy\n"
        (tmp_path / f"{name}.py").write_text(head + code + "Loss.recordable = True\n" * recordable)
        return f"{name}:Loss"

    return write


@pytest.mark.parametrize("kind", STATEFUL)
def test_a_loss_with_state_of_its_own_is_not_recorded(
    make_suite: Make, tmp_path: Path, kind: str, own_loss: Callable[..., str]
) -> None:
    """It is taken step by step, and no rehearsal has counted: the bits of a training that has no recorder."""
    of_recorder, of_none = (
        make_suite(**{**EVERYTHING, "losses": own_loss(STATEFUL[kind])}).runs()[0].resolve() for _ in "12"
    )
    training = Training(of_recorder, tmp_path, prepare("cpu"), recorder := FakeRecorder())
    [group] = training.step.optimizer.param_groups
    group["lr"] = group["lr"].double()
    assert_same(training, Training(of_none, tmp_path, prepare("cpu")))
    assert recorder.recordings == 0
    warning, *noted = training.warnings
    assert "one by one" in warning
    assert "`recordable = True` is not said by own_" in warning
    assert all("from step to step" in note for note in noted)


@pytest.mark.parametrize("kind", STATEFUL)
def test_one_that_says_so_wrongly_is_found_out(
    make_suite: Make, tmp_path: Path, kind: str, own_loss: Callable[..., str]
) -> None:
    """Replays do not do what the next steps do: so their bits are others."""
    run = (
        make_suite(**{**EVERYTHING, "losses": own_loss(STATEFUL[kind], recordable=True)}).runs()[0].resolve()
    )
    with pytest.raises(NotRecorded, match="a replay of it has other bits than the step itself: "):
        trained(Training(run, tmp_path, prepare("cpu"), FakeRecorder()))


PURE = "def Loss(logits, target):\n    return cross_entropy(logits, target)\n"


@pytest.mark.parametrize(
    ("code", "may"),
    [
        (PURE, True),
        ("class Loss:\n    def __call__(self, logits, target):\n"
         "        return cross_entropy(logits, target)\n", True),
        ("class Parent:\n    recordable = True\nclass Loss(Parent):\n"
         "    def __call__(self, logits, target):\n        return cross_entropy(logits, target)\n", False),
        (PURE + "Loss.recordable = 1\n", False),
        ("from torch.nn import CrossEntropyLoss as Loss\n", False),
    ],
)  # fmt: skip
def test_only_what_says_so_itself_is_recorded(
    make_suite: Make, tmp_path: Path, code: str, may: bool, own_loss: Callable[..., str]
) -> None:
    run = make_suite(**{**EVERYTHING, "losses": own_loss(code, recordable=may)}).runs()[0].resolve()
    training = Training(run, tmp_path, prepare("cpu"), recorder := FakeRecorder())
    assert_same(training, taken(run, tmp_path))
    assert (recorder.recordings > 0) == (training.warnings == []) == may


def test_a_model_of_ones_own_says_so_too(
    make_suite: Make, tmp_path: Path, own_loss: Callable[..., str]
) -> None:
    code = "def Loss(channels, classes):\n    return torch.nn.Sequential(torch.nn.Flatten(), " \
        "torch.nn.Linear(64, classes))\n"  # fmt: skip
    for may in (False, True):
        run = make_suite(**{**EVERYTHING, "models": own_loss(code, recordable=may)}).runs()[0].resolve()
        training = Training(run, tmp_path, prepare("cpu"), recorder := FakeRecorder())
        trained(training)
        assert (recorder.recordings > 0) == (training.warnings == []) == may


def test_a_statistic_that_a_loss_keeps_in_place_is_replayed(
    make_suite: Make, tmp_path: Path, own_loss: Callable[..., str]
) -> None:
    code = STATEFUL["another tensor"].replace(
        "self.mean = .9 * self.mean + loss.detach()", "self.mean.mul_(.9).add_(loss.detach())"
    ).replace("loss / self.mean", "loss / self.mean.clone()")  # fmt: skip
    run = make_suite(**{**EVERYTHING, "losses": own_loss(code, recordable=True)}).runs()[0].resolve()
    replayed = Training(run, tmp_path, prepare("cpu"), recorder := FakeRecorder())
    assert_same(replayed, taken(run, tmp_path))
    assert recorder.replays == 2 * 7 + 4


# ------------------------------------------------------------------------------- where recording fails


def test_a_step_that_asks_for_a_value_is_not_recorded(
    make_suite: Make, tmp_path: Path, own_loss: Callable[..., str]
) -> None:
    """Seen in the rehearsal already: a recording that breaks off may leave the device unusable."""
    code = (
        "def Loss(logits, target):\n    loss = cross_entropy(logits, target)\n    return loss / loss.item()\n"
    )
    run = make_suite(**{**EVERYTHING, "losses": own_loss(code, recordable=True)}).runs()[0].resolve()
    with pytest.raises(NotRecorded, match=r"^RuntimeError: called a synchronizing CUDA operation$"):
        trained(Training(run, tmp_path, prepare("cpu"), FakeRecorder()))


class Raises(FakeRecorder):
    """Cannot record, as something else than the end of the recording says."""

    def __init__(self, cause: Exception) -> None:
        super().__init__()
        self.cause = cause

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        work()  # half of it may have been done
        try:
            raise self.cause
        finally:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")


def test_a_recording_that_fails_says_why(make_suite: Make, tmp_path: Path) -> None:
    run = make_suite(**EVERYTHING).runs()[0].resolve()
    cause = ValueError("not here\nand more lines that nobody wants to read")
    with pytest.raises(NotRecorded, match=r"^ValueError: not here$"):
        trained(Training(run, tmp_path, prepare("cpu"), Raises(cause)))


@pytest.mark.parametrize(
    "cause",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        MemoryError(),
    ],
    ids=lambda cause: str(cause)[:50],
)
def test_no_memory_for_a_recording_is_no_memory(make_suite: Make, tmp_path: Path, cause: Exception) -> None:
    run = make_suite(**EVERYTHING).runs()[0].resolve()
    with pytest.raises(RuntimeError, match="previous error during capture") as caught:
        trained(Training(run, tmp_path, prepare("cpu"), Raises(cause)))
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))


class Drops(FakeRecorder):
    """Records all but the last operation: the optimizer's."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        graph = FakeGraph()
        with graph:
            work()
        computing = [n for n, (done, *_) in enumerate(graph.operations) if done.namespace != "profiler"]
        del graph.operations[computing[-1]]
        return graph.replay


def test_a_recording_that_is_another_step_is_not_used(make_suite: Make, tmp_path: Path) -> None:
    run = make_suite(**EVERYTHING).runs()[0].resolve()
    with pytest.raises(NotRecorded, match="other bits than the step itself"):
        trained(Training(run, tmp_path, prepare("cpu"), Drops()))


@pytest.mark.filterwarnings("ignore:max_unpooling2d")
def test_an_operation_without_a_deterministic_form_is_done_without_and_noted(
    make_suite: Make, tmp_path: Path, own_loss: Callable[..., str]
) -> None:
    code = (
        "def Loss(logits, target):\n"
        "    # As some CUDA kernels, max_unpool2d has no deterministic form, not even on a CPU.\n"
        "    ones = torch.ones(1, 1, 1, 1)\n"
        "    one = torch.nn.functional.max_unpool2d(ones, torch.zeros(1, 1, 1, 1, dtype=torch.long), 1)\n"
        "    return cross_entropy(logits, target) * one.squeeze()\n"
    )
    run = make_suite(**{**EVERYTHING, "losses": own_loss(code, recordable=True)}).runs()[0].resolve()
    training = Training(run, tmp_path, prepare("cpu"), FakeRecorder())
    torch.use_deterministic_algorithms(True)
    try:
        trained(training)
    finally:
        torch.use_deterministic_algorithms(False)
    [warning] = training.warnings
    assert warning.startswith("its bits do not repeat: max_unpooling2d")
