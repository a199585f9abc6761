"""What a model makes of a set of images: how many right, and how honest its probabilities are."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

CALIBRATION_BINS = 15
_PIXELS = 2**24  # in a batch on a GPU: 5,000 images of 28 × 28, and 334 of 224 × 224


def batch_size(device: torch.device, height: int, width: int) -> int:
    """Images to score at once, of the size that the network sees: the same wherever a run is looked at."""
    return 500 if device.type == "cpu" else max(1, min(5000, _PIXELS // (height * width)))


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


def score(logits: Tensor, labels: Tensor) -> Scores:
    """Scores from logits [N, K] of any float type and labels [N], computed in float64."""
    log_p = logits.double().log_softmax(dim=1)
    p = log_p.exp()
    confidence, predicted = p.max(dim=1)
    right = predicted == labels
    true = labels.unsqueeze(1)
    # Σ(p − q)² = Σp² − 2p_y + 1 for a one-hot q.
    bins = reliability(confidence, right)
    brier = p.square().sum(dim=1) - 2 * p.gather(1, true).squeeze(1) + 1
    return Scores(
        correct=int(right.sum()),
        total=len(labels),
        nll=float(-log_p.gather(1, true).mean()),
        brier=float(brier.mean()),
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
