"""Weights into networks: marks of training taken off, names mapped, outputs counted, and nothing guessed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import authors
import pytest
import torch

from bench.checkpoints.fitting import Fitted, fit
from bench.checkpoints.keys import read_key_map, rename
from bench.datasets import FORMS
from bench.errors import BenchError
from bench.models import build, choose_model
from bench.training.reading import Checkpoint

LETTERS = FORMS["emnist-letters"]
DIGITS = FORMS["digits"]
State = dict[str, torch.Tensor]


def state_of(model: Any = "vgg5-tiny", form: Any = DIGITS, outputs: int | None = None) -> State:
    torch.manual_seed(5)
    return build(choose_model(model), form.shape, outputs or form.classes).state_dict()


def fitted(state: State, model: Any = "vgg5-tiny", form: Any = DIGITS) -> Fitted:
    return fit(Checkpoint(Path("theirs.pt"), "", state), choose_model(model), form)


def same(made: Fitted, state: State) -> bool:
    return all(torch.equal(tensor, state[name]) for name, tensor in made.model.state_dict().items())


def test_the_authors_layout_fits_the_reference_and_says_what_is_not_used() -> None:
    net = authors.network()
    made = fitted(net.state_dict(), "vgg5", LETTERS)
    assert made.outputs == 62
    assert same(made, net.state_dict())
    said = "; ".join(made.notes)
    assert "loss_module.loss_1_weight = 0.839, loss_module.loss_2_weight = 0.308 (of the loss)" in said
    copies = sum(name.startswith("params.") for name in net.state_dict())
    assert f"{copies} tensors under 'params.' that are there twice" in said


def test_copies_that_are_none_are_refused() -> None:
    state = {**authors.network().state_dict()}
    state["params.base.4.1.weight"] = state["params.base.4.1.weight"] + 1
    with pytest.raises(BenchError, match=r"unexpected: 'params\.base\.4\.1\.weight'; name"):
        fitted(state, "vgg5", LETTERS)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.net."]
)
def test_marks_of_training_are_taken_off(prefix: str) -> None:
    state = state_of()
    made = fitted({f"{prefix}{name}": tensor for name, tensor in state.items()})
    assert same(made, state)
    assert made.notes


def test_compiled_parts_lose_their_mark_too() -> None:
    state = state_of()
    made = fitted({name.replace("l2.", "l2._orig_mod."): tensor for name, tensor in state.items()})
    assert same(made, state)


def test_the_reference_s_spinal_head_is_found_beside_the_stages() -> None:
    state = state_of("spinal-vgg5", LETTERS, 62)
    theirs = {name.removeprefix("classifier."): tensor for name, tensor in state.items()}
    assert "fc_out.1.weight" in theirs
    made = fitted(theirs, "spinal-vgg5", LETTERS)
    assert made.outputs == 62
    assert same(made, state)


def test_plain_weights_of_a_library_fit_where_images_are_resized() -> None:
    model = {"timm/resnet10t": {"image_size": 32}}
    state = state_of(model)
    plain = {name.removeprefix("model."): tensor for name, tensor in state.items()}
    for theirs in (plain, state):
        assert same(fitted(theirs, model), state)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions_are_computed_in_float32_and_said(dtype: torch.dtype) -> None:
    state = {n: t.to(dtype) if t.is_floating_point() else t for n, t in state_of().items()}
    made = fitted(state)
    assert {p.dtype for p in made.model.parameters()} == {torch.float32}
    assert same(made, {name: tensor.float() for name, tensor in state.items()})
    assert f"stored as {str(dtype).removeprefix('torch.')}, computed in float32" in made.notes


def test_old_files_without_counters_of_batch_norm_fit() -> None:
    state = {name: t for name, t in state_of().items() if not name.endswith("num_batches_tracked")}
    assert fitted(state).outputs == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("l1.0.bias"), r"\(of its 37 names, 36 do\): missing: 'l1\.0\.bias'; name another"),
        (
            lambda s: s.update({"classifier.1.wieght": s.pop("classifier.1.weight")}),
            r"missing: 'classifier\.1\.weight' did you mean 'classifier\.1\.wieght'; unexpected: 'clas",
        ),
        (
            lambda s: s.update({"l3.0.weight": torch.zeros(64, 33, 3, 3)}),
            r"of another shape: 'l3\.0\.weight' is \[64, 33, 3, 3\] and not \[64, 32, 3, 3\]",
        ),
        (lambda s: s.update({f"l9.{k}": torch.zeros(1) for k in range(9)}), r"'l9\.3' and 5 more"),
        (lambda s: s.update({"l1.0.bias": torch.full((16,), torch.nan)}), r"'l1\.0\.bias' holds values that"),
        (lambda s: s.update({"l1.0.bias": torch.zeros(16, dtype=torch.int8)}), "is torch.int8, expected flo"),
    ],
)
def test_what_does_not_fit_is_said_in_one_message(change: Any, message: str) -> None:
    state = {**state_of()}
    change(state)
    with pytest.raises(BenchError, match=message) as raised:
        fitted(state)
    assert str(raised.value).startswith("theirs.pt: ")
    assert "\n" not in str(raised.value)


def test_another_network_is_refused() -> None:
    with pytest.raises(BenchError, match=r"does not fit model 'vgg5' \(of its 79 names, \d+ do\): missing"):
        fitted(state_of("vgg5-tiny"), "vgg5", LETTERS)


def test_too_few_outputs_are_refused() -> None:
    with pytest.raises(BenchError, match="has 10 outputs, and the data set 26 classes"):
        fitted(state_of("vgg5", LETTERS, 10), "vgg5", LETTERS)


# ------------------------------------------------------------------------------------------------ key maps


def renamed(tmp_path: Path, text: str, state: State) -> State:
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    return rename(Path("theirs.pt"), state, read_key_map(path))


def test_rules_rename_prefixes_whole_names_and_groups_and_leave_out(tmp_path: Path) -> None:
    state = state_of()
    theirs = {
        re.sub(r"^l(\d)\.", r"features.block\1.", name).replace("classifier.5.weight", "head"): tensor
        for name, tensor in state.items()
    }
    theirs["aux.weight"] = torch.zeros(3)
    rules = 'features\\.block(\\d): l\\1\nhead: classifier.5.weight\n"aux.": \n'
    assert same(fitted(renamed(tmp_path, rules, theirs)), state)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a, b]", "keys.yaml: found a list of 2, expected a mapping of old names to new ones"),
        ("l1: 3", "keys.yaml: l1: found 3, expected a name, or nothing to leave out"),
        ("'l(1': x", "not a regular expression and its replacement: missing"),
        ("'l1': 'x\\2'", "not a regular expression and its replacement: invalid group"),
        ("classifer: x", "--key-map: 'classifer' begins none of its names; did you mean 'classifier"),
        ("l[12]\\.0: same", r"--key-map: both 'l1\.0\.weight' and 'l2\.0\.weight' become 'same\.weight'"),
    ],
)
def test_rules_that_cannot_be_get_one_message(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        renamed(tmp_path, text, state_of())
