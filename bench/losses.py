"""The losses that a suite can name: cross entropy, those of arXiv:2501.13709, their rivals, and your own.

Notation: z the logits [N, K], p = softmax(z), q the target as probabilities [N, K], H(p) = −Σ p_k ln p_k;
a sum runs over the K classes. A loss is a frozen set of options that can be called; it returns the mean over
the N images.

A target is either class indices y [N], read as one-hot rows, or probabilities [N, K] as label smoothing and
mixup make them. Losses that are stated for a whole distribution (entropies, distances) take q as it is; those
that are stated for the true class alone, f(p_y), become their mean over y drawn from q: Σ q_k f(p_k).

Logits of ±1e4 in float32 must give exact, finite values and gradients. Two habits see to that: everything
starts from ln p = log_softmax(z), finite where p has underflowed to 0; and 1 − p is −expm1(ln p) or the sum
of the other classes, never a subtraction from 1, which has no digits left once p rounds to 1.

torch is not imported here: planning a suite must not wait for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from bench.registry import Choice, ForeignOptions, Options, choose, construct

if TYPE_CHECKING:
    from torch import Tensor


class Loss(Options):
    """What every built-in loss is: options, and a call that makes a scalar of logits and targets."""

    def __call__(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """The mean loss over a batch.

        Args:
            logits: [N, K], any float type; half precision is computed in float32, float64 stays float64.
            target: int64 [N] class indices, or floating-point [N, K] probabilities whose rows sum to 1.
            weights: the learned weights, as many as :meth:`initial_weights` has. Losses that learn none
                ignore them.

        Returns:
            A scalar of type float32, or float64 for logits of that type.
        """
        return self.per_image(*_compare(logits, target)).mean()

    def per_image(self, log_p: Tensor, q: Tensor) -> Tensor:
        """The loss of each image [N], from ln p [N, K] and the target q [N, K]."""
        raise NotImplementedError

    def initial_weights(self) -> tuple[float, ...]:
        """Starting values of what this loss learns along with the model: mostly nothing."""
        return ()

    def weigh(self, learned: Tensor) -> Tensor:
        """The weights w that learned numbers stand for, of the same shape."""
        return learned


def _compare(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """ln p and q, both [N, K] and of one type. Indices become one-hot, so hard and soft cannot disagree."""
    wide = logits if logits.element_size() == 8 else logits.float()
    log_p = wide.log_softmax(dim=1)
    if target.is_floating_point():
        return log_p, target.to(log_p.dtype)
    return log_p, log_p.new_zeros(log_p.shape).scatter(1, target.unsqueeze(1), 1.0)


def _cross_entropy(log_p: Tensor, q: Tensor) -> Tensor:
    return -(q * log_p).sum(dim=1)


def _entropy(log_p: Tensor) -> Tensor:
    return -(log_p.exp() * log_p).sum(dim=1)


def _reverse_cross_entropy(log_p: Tensor, log_q: Tensor) -> Tensor:
    return -(log_p.exp() * log_q).sum(dim=1)


class CrossEntropy(Loss):
    """scale · −Σ q_k ln p_k. The scale is a control: "more weight on CE" is not "entropy helps"."""

    scale: float = Field(1.0, gt=0)

    def per_image(self, log_p: Tensor, q: Tensor) -> Tensor:
        return self.scale * _cross_entropy(log_p, q)


def _not_one(base: float) -> float:
    if base == 1:
        raise ValueError("found 1, and there is no logarithm to base 1")
    return base


LogBase = Annotated[float, Field(gt=0), AfterValidator(_not_one)]
PLAIN = {"b1": math.e, "b2": math.e, "w1": 1.0, "w2": 1.0}


class EntropyBlend(Loss):
    """w₁·CE/ln b₁ + w₂·E/ln b₂, where E is what the subclass calls its partner (arXiv:2501.13709).

    ``preset`` is shorthand: ``published`` (the default) for the authors' settings, ``plain`` for natural
    logarithms and weights of 1. Values given beside it win. It is spelt out before anything is checked, so
    a description holds values only, and two ways to say the same thing are equal.

    ``learn`` replaces w₁ and w₂ by two learned numbers v that start where the options say: ``free`` (w = v)
    or ``square`` (w = v²). Both terms are positive, so minimising over the weights shrinks the loss without
    training anything: it drives a free weight to zero and, as nothing holds it there, below; a squared one
    to zero. The authors' scripts learn weights too, but the module that says how was never published: none
    of this is a reproduction of it.
    """

    b1: LogBase
    b2: LogBase
    w1: float
    w2: float
    learn: Literal["fixed", "free", "square"] = "fixed"
    preset: Literal["published", "plain"] | None = Field(None, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _spell_out_preset(cls, values: Any) -> Any:
        # The published values are the defaults. An unknown preset stays, for its field to complain about.
        if not isinstance(values, Mapping) or values.get("preset") not in ("published", "plain"):
            return values
        given = {key: value for key, value in values.items() if key != "preset"}
        return {**PLAIN, **given} if values["preset"] == "plain" else given

    @model_validator(mode="after")
    def _square_needs_a_slope(self) -> Self:
        if self.learn == "square" and min(self.w1, self.w2) <= 0:
            raise ValueError(f"learn: square needs w1 and w2 above 0, found {self.w1:g} and {self.w2:g}")
        return self

    def initial_weights(self) -> tuple[float, ...]:
        if self.learn == "square":
            return math.sqrt(self.w1), math.sqrt(self.w2)
        return (self.w1, self.w2) if self.learn == "free" else ()

    def weigh(self, learned: Tensor) -> Tensor:
        return learned.square() if self.learn == "square" else learned

    def __call__(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """As :meth:`Loss.__call__`; ``weights`` [2] are required where they are learned, else ignored.

        Raises:
            ValueError: the weights are learned and none were given.
        """
        w1: float | Tensor = self.w1
        w2: float | Tensor = self.w2
        if self.learn != "fixed":
            if weights is None:
                raise ValueError(f"learn: {self.learn} needs the two learned weights at every call")
            w1, w2 = self.weigh(weights)
        log_p, q = _compare(logits, target)
        own = _cross_entropy(log_p, q).mean() / math.log(self.b1)
        partner = self.partner(log_p, q).mean() / math.log(self.b2)
        return w1 * own + w2 * partner

    def partner(self, log_p: Tensor, q: Tensor) -> Tensor:
        """The second term, [N], in natural logarithms."""
        raise NotImplementedError


class MinEnt(EntropyBlend):
    """MIN-ENT: CE and the entropy of the prediction, H(p). As published: 1.193·CE + 0.1298·H(p)."""

    b1: LogBase = 2.02
    b2: LogBase = 10.73
    w1: float = 0.839
    w2: float = 0.308

    def partner(self, log_p: Tensor, q: Tensor) -> Tensor:
        return _entropy(log_p)


class MixEnt(EntropyBlend):
    """MIX-ENT: CE and the swapped cross entropy −Σ p_k ln(q_k + ε) = H(p) + KL(p ‖ q+ε).

    With a one-hot target the swapped term is linear in p_y. As published, to within 1e-6:
    0.2832·CE + 5.166·(1 − p_y), which is cross entropy plus mean absolute error.
    """

    b1: LogBase = 12.58
    b2: LogBase = 12.45
    w1: float = 0.717
    w2: float = 0.943
    eps: float = Field(1e-6, ge=1e-30)  # smaller ones are 0 in float32, whose logarithm is −∞

    def partner(self, log_p: Tensor, q: Tensor) -> Tensor:
        return _reverse_cross_entropy(log_p, (q + self.eps).log())


class LabelSmoothing(Loss):
    """CE against (1 − s)·q + s/K (Szegedy et al., 1512.00567): s of the target is spread over all classes."""

    smoothing: float = Field(0.1, ge=0, lt=1)

    def per_image(self, log_p: Tensor, q: Tensor) -> Tensor:
        return (1 - self.smoothing) * _cross_entropy(log_p, q) - self.smoothing * log_p.mean(dim=1)


class Focal(Loss):
    """Σ q_k (1 − p_k)^γ (−ln p_k): easy images count less (Lin et al., 1708.02002). γ = 0 is CE."""

    gamma: float = Field(2.0, ge=0)

    def per_image(self, log_p: Tensor, q: Tensor) -> Tensor:
        # For γ < 1 the power has an infinite slope at p = 1, where the whole is flat: clamping keeps 0·∞ out.
        missing = (-log_p.expm1()).clamp_min(1e-30)
        return _cross_entropy(log_p * missing**self.gamma, q)


class GeneralisedCrossEntropy(Loss):
    """Σ q_k (1 − p_k^r)/r, r being the option q: from CE to 1 − p_y (Zhang & Sabuncu, 1805.07836)."""

    q: float = Field(0.7, gt=0, le=1)

    def per_image(self, log_p: Tensor, q: Tensor) -> Tensor:
        return -(q * (self.q * log_p).expm1()).sum(dim=1) / self.q


class SymmetricCrossEntropy(Loss):
    """α·CE + β·(−Σ p_k max(ln q_k, A)) (Wang et al., 1908.06112).

    A, here ``log_zero``, stands for ln 0: with a one-hot target the second term is −A·(1 − p_y).
    """

    alpha: float = Field(0.1, ge=0)
    beta: float = Field(1.0, ge=0)
    log_zero: float = Field(-4.0, lt=0)

    def per_image(self, log_p: Tensor, q: Tensor) -> Tensor:
        reverse = _reverse_cross_entropy(log_p, q.log().clamp_min(self.log_zero))
        return self.alpha * _cross_entropy(log_p, q) + self.beta * reverse


class ConfidencePenalty(Loss):
    """CE − β·H(p): rewards the entropy that MIN-ENT punishes (Pereyra et al., 1701.06548)."""

    beta: float = Field(0.1, ge=0)

    def per_image(self, log_p: Tensor, q: Tensor) -> Tensor:
        return _cross_entropy(log_p, q) - self.beta * _entropy(log_p)


class Poly1(Loss):
    """CE + ε·(1 − Σ q_k p_k) (Leng et al., 2204.12511). Below ε = −1 it would reward mistakes."""

    epsilon: float = Field(1.0, ge=-1)

    def per_image(self, log_p: Tensor, q: Tensor) -> Tensor:
        return _cross_entropy(log_p + self.epsilon * log_p.expm1(), q)


class MeanAbsoluteError(Loss):
    """scale · Σ|p_k − q_k|, which is 2·(1 − p_y) for a one-hot target (Ghosh et al., 1712.09482; 1908.06112).

    Others call half of it MAE: ``scale: 0.5`` is 1 − p_y.
    """

    scale: float = Field(1.0, gt=0)

    def per_image(self, log_p: Tensor, q: Tensor) -> Tensor:
        # Both sum to 1, so p exceeds q by as much as it lacks; the excess keeps its digits as p_y → 1.
        return 2 * self.scale * (log_p.exp() - q).clamp_min(0).sum(dim=1)


LOSSES: dict[str, type[Options]] = {
    "ce": CrossEntropy,
    "min_ent": MinEnt,
    "mix_ent": MixEnt,
    "label_smoothing": LabelSmoothing,
    "focal": Focal,
    "gce": GeneralisedCrossEntropy,
    "sce": SymmetricCrossEntropy,
    "confidence_penalty": ConfidencePenalty,
    "poly1": Poly1,
    "mae": MeanAbsoluteError,
    "module:callable": ForeignOptions,
}


def choose_loss(value: Any) -> Choice:
    """The loss that a suite names as ``name`` or ``{name: {option: value}}``; ValueError if it cannot be."""
    return choose("loss", value, LOSSES)


def as_function(choice: Choice, **told: Any) -> Callable[..., Tensor]:
    """What training calls: ``f(logits, target)``, and with ``weights`` where the loss learns some.

    A function of the user's own is called as ``f(logits, target, **options)``. A class, such as an
    ``nn.Module``, is constructed with the options and its instance is called; moving that to a device and
    training parameters of its own are the caller's business.

    Args:
        told: ``known``, ``later`` and ``translate`` of :func:`bench.registry.construct`.

    Raises:
        BenchError: the user's code cannot be imported, or not be built with these options.
    """
    if isinstance(choice.options, Loss):
        return choice.options
    return construct("loss", choice, "logits", "target", **told)
