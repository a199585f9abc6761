"""Scores against scikit-learn and against sums written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss

from bench.training.evaluation import answer, calibration_error, reliability, score


def test_scores_agree_with_independent_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(500, 7, generator=generator)
    labels = torch.randint(7, (500,), generator=generator)
    ours = score(answer(logits, labels))
    p = np.exp(logits.double().numpy())
    p /= p.sum(axis=1, keepdims=True)
    assert ours.correct == round(500 * accuracy_score(labels, p.argmax(axis=1)))
    assert ours.nll == pytest.approx(log_loss(labels, p, labels=range(7)))
    assert ours.brier == pytest.approx(((p - np.eye(7)[labels]) ** 2).sum(axis=1).mean())
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels.numpy()
    expected = 0.0
    for k in range(15):
        inside = (confidence > k / 15) & (confidence <= (k + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
        in_bin = (ours.reliability["count"][k], ours.reliability["correct"][k])
        assert in_bin == (inside.sum(), right[inside].sum())
        mean = ours.reliability["confidence"][k]
        assert mean == (pytest.approx(confidence[inside].mean()) if inside.any() else None)
    assert ours.ece == pytest.approx(expected)


def test_scores_stay_finite_at_extreme_logits() -> None:
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]])
    scores = score(answer(logits, torch.tensor([0, 0])))
    assert scores.correct == 1
    assert scores.nll == pytest.approx(1e4)
    assert scores.brier == pytest.approx(1.0)


def test_always_sure_and_half_right_is_half_miscalibrated() -> None:
    bins = reliability(torch.ones(10), torch.arange(10) < 5)
    assert (bins["count"][-1], bins["confidence"][-1], bins["correct"][-1]) == (10, 1.0, 5)
    assert calibration_error(bins) == pytest.approx(0.5)
