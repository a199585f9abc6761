"""What a suite may say about a loss: presets, learned weights, code of the user's own, and mistakes."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from torch.nn import functional

from bench.errors import BenchError
from bench.losses import LOSSES, as_function, choose_loss
from bench.registry import restore


def build(value):
    return as_function(choose_loss(value))


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and targets: always the same ones."""
    draw = torch.Generator().manual_seed(2501)
    return torch.randn(6, 5, dtype=torch.float64, generator=draw), torch.tensor([0, 1, 2, 3, 4, 0])


@pytest.mark.parametrize("name", ["min_ent", "mix_ent"])
@pytest.mark.parametrize("learn", ["free", "square"])
def test_learned_weights_start_as_published_and_get_gradients(name, learn):
    z, hard = batch()
    z.requires_grad_()
    loss = build({name: {"learn": learn}})
    weights = torch.tensor(loss.initial_weights(), dtype=torch.float64, requires_grad=True)
    assert loss(z, hard, weights).item() == pytest.approx(build(name)(z, hard).item())
    assert torch.autograd.gradcheck(lambda z, w: loss(z, hard, w), (z, weights))


def test_minimising_over_weights_shrinks_them():
    z, hard = batch()
    ends = {}
    for learn in ("free", "square"):
        loss = build({"min_ent": {"learn": learn}})
        weights = torch.tensor(loss.initial_weights(), dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([weights], lr=0.1)
        for _ in range(100):
            optimizer.zero_grad()
            loss(z, hard, weights).backward()
            optimizer.step()
        ends[learn] = weights.tolist()
    assert max(ends["free"]) < 0
    assert 0 < min(ends["square"]) < max(ends["square"]) < 0.1


def test_learned_weights_must_be_given():
    z, hard = batch()
    with pytest.raises(ValueError, match="learn: free needs the two learned weights"):
        build({"mix_ent": {"learn": "free"}})(z, hard)


def test_presets_are_spelt_out():
    plain = choose_loss({"mix_ent": {"preset": "plain", "w2": 0.5}})
    want = {"b1": math.e, "b2": math.e, "w1": 1.0, "w2": 0.5, "learn": "fixed", "eps": 1e-6}
    assert plain.describe() == {"name": "mix_ent", **want}
    assert choose_loss({"mix_ent": {"preset": "published"}}) == choose_loss("mix_ent")
    assert restore(plain.describe(), LOSSES) == plain
    assert choose_loss({"min_ent": {"w2": 0.5}}).label() == "min_ent(w2=0.5)"


@pytest.mark.parametrize("name", [name for name in LOSSES if ":" not in name])
def test_every_loss_has_defaults_and_survives_its_description(name):
    choice = choose_loss(name)
    assert choice.options.initial_weights() == ()
    assert restore(choice.describe(), LOSSES) == choice
    assert choice.label() == name


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("mixent", "unknown loss 'mixent'.*did you mean 'mix_ent'"),
        ({"mix_ent": {"prest": "plain"}}, "mix_ent: unknown key 'prest'.*did you mean 'preset'"),
        ({"mix_ent": {"preset": "plane"}}, "mix_ent: preset: found 'plane'.*'published' or 'plain'"),
        ({"min_ent": {"b1": 1}}, "min_ent: b1: found 1, and there is no logarithm to base 1"),
        ({"min_ent": {"b2": 0}}, "min_ent: b2: found 0; input should be greater than 0"),
        ({"min_ent": {"learn": "softmax"}}, "min_ent: learn: found 'softmax'"),
        ({"min_ent": {"learn": "square", "w2": -1}}, "learn: square needs w1 and w2 above 0.*-1"),
        ({"label_smoothing": {"smoothing": 1}}, "smoothing: found 1; input should be less than 1"),
        ({"gce": {"q": 0}}, "gce: q: found 0; input should be greater than 0"),
        ({"ce": {"scale": True}}, "scale: found true"),
        ({"sce": {"log_zero": 0}}, "log_zero: found 0; input should be less than 0"),
        ({"poly1": {"epsilon": -2}}, "epsilon: found -2"),
        ({"mix_ent": {"w1": math.inf}}, "w1: found inf"),
    ],
)
def test_bad_requests_say_what_is_wrong(value, message):
    with pytest.raises(ValueError, match=message):
        choose_loss(value)


FOREIGN = """
import torch

def brier(logits, target, power=2):
    p = logits.softmax(1)
    return (1 - p.gather(1, target[:, None])).pow(power).mean()

class Scaled(torch.nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, logits, target):
        return self.scale * torch.nn.functional.cross_entropy(logits, target)

class Broken:
    def __init__(self):
        raise RuntimeError("no such file")

class Mute:
    pass
"""


def test_losses_of_the_users_own(tmp_path, monkeypatch):
    (tmp_path / "users_losses.py").write_text(FOREIGN)
    monkeypatch.syspath_prepend(tmp_path)
    z, hard = batch()
    p_y = z.softmax(1)[torch.arange(6), hard]
    assert build({"users_losses:brier": {"power": 3}})(z, hard).item() == pytest.approx(
        ((1 - p_y) ** 3).mean().item()
    )
    assert build({"users_losses:Scaled": {"scale": 2}})(z, hard).item() == pytest.approx(
        2 * functional.cross_entropy(z, hard).item()
    )
    for value, message in [
        ({"users_losses:brier": {"powr": 3}}, "'users_losses:brier' with powr=3: TypeError: .*'powr'"),
        ("users_losses:Scaled", "'users_losses:Scaled' with no options: TypeError: .*'scale'"),
        ("users_losses:Broken", "RuntimeError: no such file"),
        ("users_losses:Mute", "'users_losses:Mute' with no options: TypeError: .*not.* callable"),
        ("users_losses:absent", "cannot be imported"),
    ]:
        with pytest.raises(BenchError, match=message):
            build(value)


def test_planning_does_not_wait_for_torch():
    code = "import bench.losses, sys; bench.losses.choose_loss('mix_ent'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
