"""Every loss against formulas written down a second time, in numpy and float64, from the papers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch.nn import functional

from bench.losses import Loss, as_function, choose_loss

Array = NDArray[np.float64]


def build(value) -> Loss:
    return as_function(choose_loss(value))


# --- the independent formulas: per image, the loss and its slopes h_k = p_k · ∂loss/∂p_k ---


def ce(lp: Array, q: Array) -> tuple[Array, Array]:
    return -(q * lp).sum(1), -q


def entropy(lp: Array, q: Array) -> tuple[Array, Array]:
    p = np.exp(lp)
    return -(p * lp).sum(1), -p * (lp + 1)


def reverse(lp: Array, log_q: Array) -> tuple[Array, Array]:
    p = np.exp(lp)
    return -(p * log_q).sum(1), -p * log_q


def blend(*terms: tuple[float, tuple[Array, Array]]) -> tuple[Array, Array]:
    return sum(w * each for w, (each, _) in terms), sum(w * h for w, (_, h) in terms)


def focal(lp: Array, q: Array, gamma: float) -> tuple[Array, Array]:
    p, rest = np.exp(lp), -np.expm1(lp)
    # (1 − p)^(γ−1)·ln p tends to 0 or to −1 as p → 1; the floor only keeps 0^(γ−1) out of the product.
    slope = gamma * np.maximum(rest, 1e-300) ** (gamma - 1) * p * lp - rest**gamma
    return -(q * rest**gamma * lp).sum(1), q * slope


def gce(lp: Array, q: Array, r: float) -> tuple[Array, Array]:
    return (q * (1 - np.exp(r * lp)) / r).sum(1), -q * np.exp(r * lp)


def missing(lp: Array, q: Array) -> tuple[Array, Array]:
    return (q * -np.expm1(lp)).sum(1), -q * np.exp(lp)


def absolute(lp: Array, q: Array) -> tuple[Array, Array]:
    p = np.exp(lp)
    return np.abs(p - q).sum(1), np.sign(p - q) * p


def clipped_log(q: Array, floor: float) -> Array:
    return np.log(np.maximum(q, math.exp(floor)))


LN_MIN, LN_MIX = (math.log(2.02), math.log(10.73)), (math.log(12.58), math.log(12.45))
FORMULAS = [
    ("ce", ce),
    ({"ce": {"scale": 1.193}}, lambda lp, q: blend((1.193, ce(lp, q)))),
    ("min_ent", lambda lp, q: blend((0.839 / LN_MIN[0], ce(lp, q)), (0.308 / LN_MIN[1], entropy(lp, q)))),
    (
        "mix_ent",
        lambda lp, q: blend(
            (0.717 / LN_MIX[0], ce(lp, q)), (0.943 / LN_MIX[1], reverse(lp, np.log(q + 1e-6)))
        ),
    ),
    ({"min_ent": {"preset": "plain"}}, lambda lp, q: blend((1, ce(lp, q)), (1, entropy(lp, q)))),
    (
        {"mix_ent": {"preset": "plain", "eps": 1e-3, "b2": 2}},
        lambda lp, q: blend((1, ce(lp, q)), (1 / math.log(2), reverse(lp, np.log(q + 1e-3)))),
    ),
    ({"label_smoothing": {"smoothing": 0.2}}, lambda lp, q: ce(lp, 0.8 * q + 0.2 / q.shape[1])),
    ("focal", lambda lp, q: focal(lp, q, 2)),
    ({"focal": {"gamma": 0.5}}, lambda lp, q: focal(lp, q, 0.5)),
    ({"focal": {"gamma": 0}}, ce),
    ("gce", lambda lp, q: gce(lp, q, 0.7)),
    ({"gce": {"q": 0.01}}, lambda lp, q: gce(lp, q, 0.01)),
    ("sce", lambda lp, q: blend((0.1, ce(lp, q)), (1, reverse(lp, clipped_log(q, -4))))),
    (
        {"sce": {"alpha": 6, "beta": 0.1, "log_zero": -6}},
        lambda lp, q: blend((6, ce(lp, q)), (0.1, reverse(lp, clipped_log(q, -6)))),
    ),
    ({"confidence_penalty": {"beta": 0.3}}, lambda lp, q: blend((1, ce(lp, q)), (-0.3, entropy(lp, q)))),
    ({"poly1": {"epsilon": 2}}, lambda lp, q: blend((1, ce(lp, q)), (2, missing(lp, q)))),
    ({"poly1": {"epsilon": -1}}, lambda lp, q: blend((1, ce(lp, q)), (-1, missing(lp, q)))),
    ("mae", absolute),
    ({"mae": {"scale": 0.5}}, lambda lp, q: blend((0.5, absolute(lp, q)))),
]
NAMED = [pytest.param(value, formula, id=choose_loss(value).label()) for value, formula in FORMULAS]
VALUES = [pytest.param(value, id=choose_loss(value).label()) for value, _ in FORMULAS]


def expected(formula, logits: Array, q: Array) -> tuple[float, Array]:
    """The mean loss and its gradient, through the Jacobian of softmax: ∂/∂z_j = h_j − p_j Σ h_k."""
    lp = log_softmax(logits, axis=1)
    each, h = formula(lp, q)
    return each.mean(), (h - np.exp(lp) * h.sum(1, keepdims=True)) / len(logits)


def computed(loss: Loss, logits: Array, target: torch.Tensor, dtype: torch.dtype) -> tuple[float, Array]:
    z = torch.tensor(logits, dtype=dtype, requires_grad=True)
    value = loss(z, target)
    value.backward()
    return value.item(), z.grad.double().numpy()


def batch(n: int = 6, k: int = 5, scale: float = 2) -> tuple[Array, torch.Tensor, torch.Tensor]:
    """Logits, hard targets, soft targets: always the same ones."""
    draw = np.random.default_rng(20250113)
    logits = draw.normal(size=(n, k)) * scale
    return logits, torch.tensor(draw.integers(k, size=n)), torch.tensor(draw.dirichlet(np.ones(k), size=n))


def one_hot(target: torch.Tensor, k: int) -> torch.Tensor:
    return functional.one_hot(target, k).double()


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize(("value", "formula"), NAMED)
def test_value_and_gradient_follow_the_formula(value, formula, soft):
    logits, hard, distribution = batch()
    target = distribution if soft else hard
    q = (distribution if soft else one_hot(hard, 5)).numpy()
    want_value, want_gradient = expected(formula, logits, q)
    got_value, got_gradient = computed(build(value), logits, target, torch.float64)
    assert got_value == pytest.approx(want_value, rel=1e-12)
    np.testing.assert_allclose(got_gradient, want_gradient, rtol=1e-9, atol=1e-14)


EXTREME = np.array(
    [
        [1e4, -1e4, 0.0],  # surely the first class
        [-1e4, -1e4, 1e4],
        [1e4, 1e4, -1e4],  # torn between two
        [1e4, 1e4, 1e4],
        [0.0, 30.0, -30.0],  # sure, but not beyond float32
        [0.0, 200.0, -200.0],  # e^−200 is 0 in float32
    ]
)


@pytest.mark.parametrize("target", ["0", "1", "2", "soft"])
@pytest.mark.parametrize(("value", "formula"), NAMED)
def test_exact_and_finite_at_extreme_logits_in_float32(value, formula, target):
    n = len(EXTREME)
    if target == "soft":
        q = torch.tensor([[0.7, 0.2, 0.1]]).repeat(n, 1)
        wanted_q = given_target = q
    else:
        given_target = torch.full((n,), int(target))
        wanted_q = one_hot(given_target, 3)
    want_value, want_gradient = expected(formula, EXTREME, wanted_q.double().numpy())
    got_value, got_gradient = computed(build(value), EXTREME, given_target, torch.float32)
    assert got_value == pytest.approx(want_value, rel=1e-6, abs=1e-6)
    np.testing.assert_allclose(got_gradient, want_gradient, rtol=1e-5, atol=1e-7)


def test_mae_still_pushes_when_p_rounds_to_one():
    """At p_y = 1 − 1.7e-8 the slopes, 2·p_k, are small and not 0, nor half of it."""
    logits, target = np.array([[18.0, 0.0, -2.0]]), torch.tensor([0])
    _, want = expected(absolute, logits, one_hot(target, 3).numpy())
    _, got = computed(build("mae"), logits, target, torch.float32)
    np.testing.assert_allclose(got[0, 1:], want[0, 1:], rtol=1e-5)


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("value", VALUES)
def test_gradcheck(value, soft):
    logits, hard, distribution = batch(n=3, k=4)
    loss = build(value)
    z = torch.tensor(logits, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: loss(z, distribution if soft else hard), (z,))


@pytest.mark.parametrize("value", VALUES)
def test_bfloat16_is_computed_in_float32(value):
    logits, hard, distribution = batch(n=32)
    half = torch.tensor(logits, dtype=torch.bfloat16)
    for target in (hard, distribution):
        got_value, got_gradient = computed(build(value), half.double().numpy(), target, torch.bfloat16)
        value32, gradient32 = computed(build(value), half.double().numpy(), target, torch.float32)
        assert build(value)(half, target).dtype is torch.float32
        assert got_value == value32
        np.testing.assert_allclose(got_gradient, gradient32, rtol=2**-8, atol=1e-9)


@pytest.mark.parametrize("value", VALUES)
def test_a_soft_target_of_another_precision_does_not_change_the_precision(value):
    logits, _, distribution = batch()
    assert build(value)(torch.tensor(logits).float(), distribution.double()).dtype is torch.float32
    assert build(value)(torch.tensor(logits).double(), distribution.float()).dtype is torch.float64


rows = st.lists(st.floats(-30, 30), min_size=4, max_size=4)


@given(rows, st.integers(0, 3), st.floats(-1e3, 1e3))
@settings(max_examples=25)
def test_one_hot_is_hard_and_a_shift_of_all_logits_changes_nothing(row, y, shift):
    z, hard = torch.tensor([row], dtype=torch.float64), torch.tensor([y])
    for value, _ in FORMULAS:
        loss = build(value)
        assert torch.equal(loss(z, hard), loss(z, one_hot(hard, 4)))
        assert loss(z + shift, hard).item() == pytest.approx(loss(z, hard).item(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("value", VALUES)
def test_the_batch_is_averaged(value):
    logits, hard, _ = batch()
    loss, z = build(value), torch.tensor(logits)
    alone = torch.stack([loss(z[i : i + 1], hard[i : i + 1]) for i in range(len(z))])
    assert loss(z, hard).shape == ()
    torch.testing.assert_close(loss(z, hard), alone.mean())


# --- what the papers and METHODS.md say the losses are ---


def parts() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, targets, and by naive float64: CE, H and 1 − p_y of each image."""
    logits, hard, _ = batch(n=50, k=26)
    z = torch.tensor(logits)
    p = z.exp() / z.exp().sum(1, keepdim=True)
    p_y = p[torch.arange(50), hard]
    return z, hard, -p_y.log(), -(p * p.log()).sum(1), 1 - p_y


def test_published_coefficients():
    z, y, ce, entropy, rest = parts()
    min_ent, mix_ent = (1.193 * ce + 0.1298 * entropy).mean(), (0.2832 * ce + 5.166 * rest).mean()
    # METHODS.md rounds its coefficients to four digits.
    assert build("min_ent")(z, y).item() == pytest.approx(min_ent.item(), rel=5e-4)
    assert build("mix_ent")(z, y).item() == pytest.approx(mix_ent.item(), rel=5e-4)


def test_mix_ent_is_ce_plus_mae_to_within_a_millionth():
    z, y, ce, _, rest = parts()
    linear = -0.943 / math.log(12.45) * math.log(1e-6)
    assert linear == pytest.approx(5.166, abs=2e-3)
    want = (0.717 / math.log(12.58) * ce + linear * rest).mean()
    assert build("mix_ent")(z, y).item() == pytest.approx(want.item(), abs=1e-6)


def test_swapped_cross_entropy_is_entropy_plus_divergence():
    z, _, _, entropy, _ = parts()
    q, eps = torch.tensor(np.random.default_rng(1).dirichlet(np.ones(26), size=50)), 1e-6
    p = z.softmax(1)
    divergence = (p * (p / (q + eps)).log()).sum(1)
    swapped_only = build({"mix_ent": {"preset": "plain", "w1": 0}})
    assert swapped_only(z, q).item() == pytest.approx((entropy + divergence).mean().item(), rel=1e-12)


def test_relatives():
    z, y, ce, _, rest = parts()
    assert build("mae")(z, y).item() == pytest.approx(2 * rest.mean().item())
    assert build({"gce": {"q": 1}})(z, y).item() == pytest.approx(rest.mean().item())
    assert build({"gce": {"q": 1e-7}})(z, y).item() == pytest.approx(ce.mean().item(), rel=1e-5)
    assert build({"sce": {"alpha": 0, "log_zero": -2}})(z, y).item() == pytest.approx(2 * rest.mean().item())
    opposite = build({"min_ent": {"preset": "plain", "w2": -0.1}})
    assert build("confidence_penalty")(z, y).item() == pytest.approx(opposite(z, y).item())


def test_torch_agrees():
    logits, hard, soft = batch(n=40, k=10)
    z = torch.tensor(logits)
    for target in (hard, soft):
        torch.testing.assert_close(build("ce")(z, target), functional.cross_entropy(z, target))
        torch.testing.assert_close(
            build({"label_smoothing": {"smoothing": 0.3}})(z, target),
            functional.cross_entropy(z, target, label_smoothing=0.3),
        )


def test_timm_and_torchvision_agree():
    timm_loss = pytest.importorskip("timm.loss")
    ops = pytest.importorskip("torchvision.ops")
    logits, hard, soft = batch(n=40, k=10)
    z = torch.tensor(logits)
    torch.testing.assert_close(build("ce")(z, soft), timm_loss.SoftTargetCrossEntropy()(z, soft))
    torch.testing.assert_close(
        build("label_smoothing")(z, hard), timm_loss.LabelSmoothingCrossEntropy(0.1)(z, hard)
    )
    # With two classes softmax is the sigmoid of the difference of the logits.
    pair, binary = z[:, :2], hard % 2
    sigmoid = ops.sigmoid_focal_loss(
        pair[:, 1] - pair[:, 0], binary.double(), alpha=-1, gamma=2, reduction="mean"
    )
    torch.testing.assert_close(build("focal")(pair, binary), sigmoid)
