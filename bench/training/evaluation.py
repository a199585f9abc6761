"""The predictions of a model for a set of images, and their scores: accuracy, likelihood, calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bench.predictions import Predictions

CALIBRATION_BINS = 15
_PIXELS = 2**24  # in a batch on a GPU: 5,000 images of 28 × 28, and 334 of 224 × 224


def batch_size(device: torch.device, height: int, width: int) -> int:
    """Images to score at once, of the size that the network sees: the same wherever a run is looked at."""
    return 500 if device.type == "cpu" else max(1, min(5000, _PIXELS // (height * width)))


class Answers(NamedTuple):
    """Predictions for the images of a set [N], on the device: see :class:`bench.predictions.Predictions`."""

    labels: Tensor
    """The true class."""
    predicted: Tensor
    """The class with the largest logit, on a CPU the first of those that tie."""
    rank: Tensor
    """Of the true class, by the logits: probabilities of unlikely classes may all be 0."""
    nll: Tensor
    brier: Tensor
    confidence: Tensor
    probabilities: Tensor
    """[N, K] in float32, computed like the three before in float64, which they are in."""

    @classmethod
    def join(cls, parts: Sequence[Answers]) -> Answers:
        """Concatenate those of successive batches."""
        return cls(*map(torch.cat, zip(*parts, strict=True)))

    def details(self, *, probabilities: bool) -> dict[str, Tensor]:
        """What is kept of them beside the classes, in the host's memory."""
        values = {name: getattr(self, name).float() for name in ("nll", "brier", "confidence")}
        if probabilities:
            values["probabilities"] = self.probabilities
        values["classes"] = torch.tensor(self.probabilities.shape[1])
        # There is hardly an operation for torch.uint16.
        return {name: value.cpu() for name, value in {"rank": self.rank.int(), **values}.items()}

    def predictions(self) -> Predictions:
        """All that metrics may use, as exact as it is stored."""
        return predictions(self.predicted, self.labels, self.details(probabilities=True))


def predictions(predicted: Tensor, labels: Tensor, details: Mapping[str, Tensor]) -> Predictions:
    """Predicted and true classes [N] and :meth:`Answers.details`, for metrics and files."""
    arrays = {name: value.cpu().numpy() for name, value in details.items()}
    return Predictions(predicted.cpu().numpy(), labels.cpu().numpy(), arrays)


class Scores(NamedTuple):
    """Scores on one set of images."""

    correct: int
    total: int
    nll: float
    """Mean negative log-likelihood of the true class, in nats."""
    brier: float
    """Mean squared distance of the probabilities from the one-hot truth: 0 to 2 (Brier 1950)."""
    ece: float
    """Expected calibration error, 15 equally wide bins of confidence (Guo et al., 1706.04599 §2)."""
    reliability: dict[str, list[Any]]
    """The bins that ``ece`` is made of: see :func:`reliability`. Plain data, for checkpoints."""


def answer(logits: Tensor, labels: Tensor) -> Answers:
    """Answers from logits [N, K] of any float type and labels [N]; probabilities are computed in float64."""
    log_p = logits.double().log_softmax(dim=1)
    p = log_p.exp()
    true = labels.unsqueeze(1)
    logit = logits.gather(1, true)
    before = torch.arange(logits.shape[1], device=logits.device) < true
    predicted = logits.argmax(dim=1)
    rank = (logits > logit).sum(dim=1) + ((logits == logit) & before).sum(dim=1)
    return Answers(
        labels=labels,
        predicted=predicted,
        # Of several that tie for the first place, a GPU may predict another one than the first.
        rank=rank.clamp(min=1).masked_fill(predicted == labels, 0),
        nll=-log_p.gather(1, true).squeeze(1),
        # Σ(p − q)² = Σp² − 2p_y + 1 for a one-hot q.
        brier=p.square().sum(dim=1) - 2 * p.gather(1, true).squeeze(1) + 1,
        confidence=p.amax(dim=1),
        probabilities=p.float(),
    )


def score(answers: Answers) -> Scores:
    """The means over images, in float64."""
    right = answers.predicted == answers.labels
    bins = reliability(answers.confidence, right)
    return Scores(
        correct=int(right.sum()),
        total=len(right),
        nll=float(answers.nll.mean()),
        brier=float(answers.brier.mean()),
        ece=calibration_error(bins),
        reliability=bins,
    )


def reliability(confidence: Tensor, right: Tensor, bins: int = CALIBRATION_BINS) -> dict[str, list[Any]]:
    """Images by the confidence of their prediction; bin k of K is ((k − 1)/K, k/K].

    Args:
        confidence: [N], the probability of the predicted class.
        right: [N], whether it is the true one.

    Returns:
        ``count``, ``confidence`` (its mean, None in an empty bin) and ``correct``: one number a bin.
    """
    which = (confidence * bins).ceil().long().clamp(1, bins) - 1
    values = torch.stack([torch.ones_like(confidence), confidence, right]).double()
    sums = torch.zeros(3, bins, dtype=torch.float64, device=values.device).index_add_(1, which, values)
    count, summed, correct = sums.tolist()
    return {
        "count": [int(n) for n in count],
        "confidence": [total / n if n else None for total, n in zip(summed, count, strict=True)],
        "correct": [int(n) for n in correct],
    }


def calibration_error(bins: dict[str, list[Any]]) -> float:
    """Σ over bins of (share of images) · |accuracy − mean confidence|, from :func:`reliability`."""
    filled = [row for row in zip(bins["count"], bins["confidence"], bins["correct"], strict=True) if row[0]]
    images: int = sum(count for count, _, _ in filled)
    return math.fsum(abs(correct - count * confidence) for count, confidence, correct in filled) / images
