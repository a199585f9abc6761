"""State of a loss or a model of the user's own: kept to the bit where it is said, and warned of where not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training.test_loop import StopAfter, outcome

from bench.errors import BenchError
from bench.results.folder import RunFolder
from bench.runs import Run
from bench.suite import Suite
from bench.training import checkpoint
from bench.training.device import prepare
from bench.training.loop import Training
from bench.training.own_state import Watcher
from bench.training.run import train

Make = Callable[..., Suite]
Write = Callable[..., Run]

HEAD = """\
import collections, functools, itertools, random
import numpy, torch
from torch.nn.functional import cross_entropy
"""
COUNTS = """\
class Loss:
    def __init__(self):
        self.calls = 0
    def __call__(self, logits, target):
        self.calls += 1
        return cross_entropy(logits, target) / self.calls
"""
COUNTS_IN_MODULE = """\
class Loss(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0
    def forward(self, logits, target):
        self.calls += 1
        return cross_entropy(logits, target) / self.calls
"""
PAIR = """\
    def state_dict(self):
        return {"calls": self.calls}
    def load_state_dict(self, state):
        self.calls = state["calls"]
"""
EXTRA = """\
    def get_extra_state(self):
        return {"calls": self.calls}
    def set_extra_state(self, state):
        self.calls = state["calls"]
"""
PURE = "def Loss(logits, target):\n    return cross_entropy(logits, target)\n"
MODEL = """\
class Layer(torch.nn.Linear):
    calls = 0
    def forward(self, x):
        if self.training:
            self.calls += 1
        return super().forward(x) / (1 + self.calls)
"""
FACTORY = """\
def Model(channels, classes):
    return torch.nn.Sequential(torch.nn.Flatten(), Layer(64, classes))
"""
NUMBERS = itertools.count()
STEPS = 10
"""After which a run is stopped, of 14: in the second epoch."""


@pytest.fixture
def own(make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """A run of some code; each time under another name, so that none has the attributes of an earlier one."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(code: str, **changes: Any) -> Run:
        name = f"of_mine_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(HEAD + code)
        own = {part + "s": f"{name}:{part.title()}" for part in ("loss", "model") if part.title() in code}
        own = {"losses": own.pop("losss", "ce"), **own}
        return make_suite(**own, baseline=None, **changes).runs()[0]

    return write


def finished(run: Run, results: Path, data: Path, steps: int = 1_000) -> RunFolder:
    """A run that is stopped whenever it has taken a number of steps, and goes on from its checkpoint."""
    folder, device = RunFolder(results, run.id), prepare("cpu")
    while not train(run, folder, device=device, data=data, should_stop=StopAfter(steps)):
        pass
    return folder


def whole_and_parts(run: Run, tmp_path: Path) -> tuple[RunFolder, RunFolder]:
    return finished(run, tmp_path / "whole", tmp_path), finished(run, tmp_path / "parts", tmp_path, STEPS)


def warnings_of(folder: RunFolder) -> list[str]:
    result = folder.result()
    assert result is not None
    return result.warnings


def resumed(label: str) -> str:
    return f"resumed at step {STEPS}: what {label} keeps outside its state is not restored"


def changes(label: str, name: str) -> str:
    return (
        f"{label} changes '{name}' from step to step, and no state_dict of its own keeps that: "
        "a resumed run would not go on from it"
    )


# --------------------------------------------------------------------------------------- what is kept

KEPT = {
    "a counter": COUNTS + PAIR,
    "a module's counter": COUNTS_IN_MODULE + EXTRA,
    "a module's own pair": COUNTS_IN_MODULE + PAIR,
    "an object that is called": COUNTS + PAIR + "Loss = Loss()\n",
    "a function's": "def Loss(logits, target, rate=1.0):\n    Loss.calls += 1\n"
    "    return rate * cross_entropy(logits, target) / Loss.calls\n"
    "def load(state):\n    Loss.calls = state['calls']\n"
    "Loss.calls, Loss.state_dict, Loss.load_state_dict = 0, lambda: {'calls': Loss.calls}, load\n",
    "its own generators": "class Loss:\n"
    "    def __init__(self):\n        self.of_python, self.of_torch = random.Random(1), torch.Generator()\n"
    "        self.of_numpy, self.old = numpy.random.default_rng(1), numpy.random.RandomState(1)\n"
    "    def __call__(self, logits, target):\n"
    "        draws = [self.of_python.random(), self.of_numpy.random(), self.old.random()]\n"
    "        noise = torch.rand((), generator=self.of_torch) + sum(draws)\n"
    "        return cross_entropy(logits, target) * noise\n"
    "    def state_dict(self):\n"
    "        return {'python': self.of_python.getstate(), 'torch': self.of_torch.get_state(),\n"
    "                'numpy': self.of_numpy.bit_generator.state, 'old': self.old.get_state()}\n"
    "    def load_state_dict(self, state):\n"
    "        self.of_python.setstate(state['python'])\n"
    "        self.of_torch.set_state(state['torch'])\n"
    "        self.of_numpy.bit_generator.state = state['numpy']\n"
    "        self.old.set_state(state['old'])\n",
}


@pytest.mark.parametrize("kind", KEPT)
def test_what_a_pair_gives_is_restored(own: Write, tmp_path: Path, kind: str) -> None:
    run = own(KEPT[kind])
    parts = finished(run, tmp_path / "parts", tmp_path, STEPS)
    if "Loss = Loss()" in KEPT[kind] or "Loss.calls" in KEPT[kind]:
        run = own(KEPT[kind])  # one object for the life of a process, which has counted
    whole = finished(run, tmp_path / "whole", tmp_path)
    assert outcome(parts) == outcome(whole)
    assert warnings_of(parts) == warnings_of(whole) == []


def test_a_model_keeps_what_a_part_of_it_gives(own: Write, tmp_path: Path) -> None:
    run = own(MODEL + EXTRA + FACTORY)
    whole, parts = whole_and_parts(run, tmp_path)
    assert outcome(parts) == outcome(whole)
    assert warnings_of(parts) == warnings_of(whole) == []


def test_weights_of_a_model_with_more_in_its_state_are_kept(own: Write, tmp_path: Path) -> None:
    run = own(MODEL + EXTRA + FACTORY)
    folder = RunFolder(tmp_path / "results", run.id)
    train(run, folder, device=prepare("cpu"), data=tmp_path, keep_weights=True)
    assert (folder.path / "weights.safetensors").exists()


@pytest.mark.parametrize("draw", ["random.random()", "numpy.random.rand()"])
def test_draws_from_the_generators_of_python_and_numpy_repeat(own: Write, tmp_path: Path, draw: str) -> None:
    """Also those of a constructor; and `recordable` is believed."""
    run = own(
        f"class Loss:\n    recordable = True\n    def __init__(self):\n        self.scale = {draw}\n"
        f"    def __call__(self, logits, target):\n"
        f"        return cross_entropy(logits, target) * ({draw} + self.scale)\n"
    )
    whole, parts = whole_and_parts(run, tmp_path)
    assert outcome(parts) == outcome(whole)
    assert warnings_of(parts) == warnings_of(whole) == []


def test_a_checkpoint_reads_back_what_states_are_made_of(tmp_path: Path) -> None:
    state = {
        "arrays": [np.arange(3, dtype=kind) for kind in ("float32", "int64", "uint8", "complex64")],
        "words": np.array(["a", "b"]),
        "truth": np.array([True, False]),
        "numbers": (np.float64(1.5), np.int32(2), np.bool_(True), 2**70, 1j),
        "sets": {1, 2},
        "tensor": torch.tensor([1.0, 2.0]),
    }
    assert checkpoint.refusal(state) == ""
    checkpoint.save(tmp_path / "state", state)
    found = checkpoint.load(tmp_path / "state", torch.device("meta"))
    assert repr(found) == repr(state)  # no numbers are on that device: what was on a CPU has stayed there


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("random.Random(1)", "random.Random is not among tensors, numbers, strings and arrays"),
        ("numpy.array([print])", "something in it is not among tensors"),
        ("lambda: 1", "AttributeError: Can't pickle local object"),
        ("collections.deque([1])", "collections.deque is not among tensors"),
    ],
)
def test_what_cannot_be_kept_is_said_at_the_start(own: Write, tmp_path: Path, value: str, why: str) -> None:
    run = own(
        "class Loss:\n    def __init__(self):\n        self.value = VALUE\n"
        "    def __call__(self, logits, target):\n        return cross_entropy(logits, target)\n"
        "    def state_dict(self):\n        return {'value': self.value}\n"
        "    def load_state_dict(self, state):\n        self.value = state['value']\n".replace("VALUE", value)
    )
    said = "^loss 'of_mine_[0-9]+:Loss': a checkpoint cannot keep what its state_dict gives: .*"
    with pytest.raises(BenchError, match=said + why):
        Training(run.resolve(), tmp_path, prepare("cpu"))


# ------------------------------------------------------------------------------------- what is warned of

LOST = {
    "object": (COUNTS, ["calls"]),
    "module": (COUNTS_IN_MODULE, ["calls"]),
    "function": (PURE.replace("return", "Loss.calls += 1\n    return") + "Loss.calls = 0\n", ["calls"]),
    "half a pair": (COUNTS + PAIR.partition("    def load")[0], ["calls"]),
    "helper": (
        "class Helper:\n    calls = 0\nclass Loss:\n    def __init__(self):\n        self.helper = Helper()\n"
        "    def __call__(self, logits, target):\n        self.helper.calls += 1\n"
        "        return cross_entropy(logits, target)\n",
        ["helper"],
    ),
    "tensor and array": (
        "class Loss:\n    def __init__(self):\n        self.a, self.b = torch.zeros(9, 9), numpy.zeros(9)\n"
        "    def __call__(self, logits, target):\n        self.a[8, 8] += 1\n        self.b = self.b + 1\n"
        "        return cross_entropy(logits, target)\n",
        ["a", "b"],
    ),
    "later": (
        "class Loss:\n    def __init__(self):\n        self.calls, self.rate, self.table = 0, 1.0, None\n"
        "    def __call__(self, logits, target):\n        self.calls += 1\n"
        "        if self.calls > 5:\n            self.rate, self.table = 0.5, {'made': 'once'}\n"
        "        return self.rate * cross_entropy(logits, target)\n",
        ["calls", "rate"],
    ),
    "hidden": ("calls = 0\n" + PURE.replace("return", "global calls; calls += 1\n    return"), []),
    "nothing": (PURE, []),
    "made once": (
        "class Loss:\n    seen = None\n    def __call__(self, logits, target):\n"
        "        self.seen = self.seen or {'classes': logits.shape[1]}\n        self.again = list('ab')\n"
        "        return cross_entropy(logits, target)\n",
        [],
    ),
}


@pytest.mark.parametrize("kind", LOST)
def test_a_loss_that_promises_nothing(own: Write, tmp_path: Path, kind: str) -> None:
    code, names = LOST[kind]
    run = own(code)
    whole, parts = whole_and_parts(run, tmp_path)
    label = run.resolve().loss.label()
    noted = [changes(label, name) for name in names]
    assert sorted(warnings_of(whole)) == noted
    assert sorted(warnings_of(parts)) == [*noted, resumed(label)]


def test_a_model_that_promises_nothing(own: Write, tmp_path: Path) -> None:
    run = own(MODEL + FACTORY)
    whole, parts = whole_and_parts(run, tmp_path)
    label = run.resolve().model.label()
    assert warnings_of(whole) == [changes(label, "1.calls")]
    assert warnings_of(parts) == [changes(label, "1.calls"), resumed(label)]
    assert outcome(whole) != outcome(parts)  # as the warnings say


@pytest.mark.parametrize(
    "changes",
    [
        {"losses": "mix_ent"},
        {"losses": "ce", "models": {"torchvision/squeezenet1_1": {"image_size": 32}}},
    ],
    ids=["built in", "library"],
)
def test_what_is_no_code_of_the_users_own_gets_no_warning(
    make_suite: Make, tmp_path: Path, changes: dict[str, Any]
) -> None:
    suite = make_suite(**changes, baseline=None, datasets={"digits": {"train_size": 50, "test_size": 10}})
    parts = finished(suite.runs()[0], tmp_path / "parts", tmp_path, 3)
    assert warnings_of(parts) == []


def test_recordable_code_gets_no_warning(own: Write, tmp_path: Path) -> None:
    parts = finished(own(PURE + "Loss.recordable = True\n"), tmp_path / "parts", tmp_path, STEPS)
    assert warnings_of(parts) == []


@pytest.mark.parametrize("code", [COUNTS + PAIR, COUNTS_IN_MODULE + EXTRA])
def test_a_checkpoint_of_before_has_kept_nothing_of_a_loss(own: Write, tmp_path: Path, code: str) -> None:
    run, device = own(code).resolve(), prepare("cpu")
    stopped = Training(run, tmp_path, device)
    for number, _ in enumerate(stopped.steps()):
        if number == 4:
            break
    state = stopped.state()
    del state["loss"]
    state["objective"] = stopped.step.objective.state_dict()  # as it was
    training = Training(run, tmp_path, device)
    training.load_state(state)
    [warning] = training.warnings
    assert warning.startswith("resumed at step 4: what of_mine_")


def test_a_run_that_was_stopped_before_its_first_step_has_lost_nothing(own: Write, tmp_path: Path) -> None:
    run, device = own(PURE).resolve(), prepare("cpu")
    training = Training(run, tmp_path, device)
    training.load_state(Training(run, tmp_path, device).state())
    assert training.warnings == []


def test_the_watcher_bears_any_object() -> None:
    class Odd:
        __slots__ = ("calls",)

    class Raises:
        def __init__(self) -> None:
            self.calls, self.this, self.large = 0, self, torch.zeros(1000, 1000)
            self.sparse, self.open = torch.eye(3).to_sparse(), open(__file__)  # noqa: SIM115
            self.__dict__[3] = "no name"  # type: ignore[index]

        def __reduce__(self) -> Any:
            raise RuntimeError("not to be pickled")

        def __getattr__(self, name: str) -> Any:
            raise KeyError(name)

        @property
        def broken(self) -> Any:
            raise RuntimeError("not to be looked at")

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("not to be compared")

        __hash__ = None  # type: ignore[assignment]

    thing, warnings = Raises(), list[str]()
    watcher = Watcher({"odd": Odd(), "raises": thing, "a number": 3, "numpy's": np.add}, warnings)
    for calls in range(4):
        thing.calls = calls
        watcher.count_step()
    assert warnings == [changes("raises", "calls")]
