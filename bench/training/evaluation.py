"""What a model makes of a set of images: how many right, and how honest its probabilities are."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

CALIBRATION_BINS = 15


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


def score(logits: Tensor, labels: Tensor) -> Scores:
    """Scores from logits [N, K] of any float type and labels [N], computed in float64."""
    log_p = logits.double().log_softmax(dim=1)
    p = log_p.exp()
    confidence, predicted = p.max(dim=1)
    right = predicted == labels
    true = labels.unsqueeze(1)
    # Σ(p − q)² = Σp² − 2p_y + 1 for a one-hot q.
    brier = p.square().sum(dim=1) - 2 * p.gather(1, true).squeeze(1) + 1
    return Scores(
        correct=int(right.sum()),
        total=len(labels),
        nll=float(-log_p.gather(1, true).mean()),
        brier=float(brier.mean()),
        ece=calibration_error(confidence, right),
    )


def calibration_error(confidence: Tensor, right: Tensor, bins: int = CALIBRATION_BINS) -> float:
    """Σ over bins of (share of images) · |accuracy − mean confidence|; bins are (k/bins, (k+1)/bins]."""
    which = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gap = right.double() - confidence.double()
    sums = torch.zeros(bins, dtype=torch.float64, device=gap.device).index_add_(0, which, gap)
    return float(sums.abs().sum() / len(confidence))
