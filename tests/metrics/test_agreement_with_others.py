"""Every built-in metric against scikit-learn or torchmetrics, from the same float32 probabilities."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sklearn
from torchmetrics.functional.classification import multiclass_auroc, multiclass_calibration_error
from torchmetrics.functional.classification.calibration_error import _ce_compute

from bench.metrics import METRICS, MetricError, choose_metric
from bench.metrics import Metric as Named
from bench.predictions import Predictions

Case = tuple[NDArray[np.float32], NDArray[np.int64]]
KINDS = ("random", "sharp", "ties", "absent classes", "one class", "a thousand classes", "two classes")


def case(kind: str, seed: int) -> Case:
    """Probabilities [N, K] in float32, and true classes [N]."""
    draw = np.random.default_rng(seed)
    classes = {"a thousand classes": 1000, "two classes": 2}.get(kind, int(draw.integers(3, 12)))
    images = int(draw.integers(2, 200))
    logits = draw.normal(0, 8 if kind == "sharp" else 2, (images, classes))
    if kind == "ties":
        logits = np.rint(logits)
    labels = draw.integers(classes, size=images)
    if kind == "absent classes":
        labels = draw.choice(draw.choice(classes, 2, replace=False), images)
    if kind == "one class":
        labels = np.full(images, draw.integers(classes))
    logits[np.arange(images), labels] += draw.exponential(2, images).round()
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (p / p.sum(axis=1, keepdims=True)).astype(np.float32), labels


cases = st.builds(case, st.sampled_from(KINDS), st.integers(0, 2**32))


def value(name: Any, p: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    return Named.of(choose_metric(name)).value(Predictions.from_probabilities(p, labels))


def accuracy(p: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    return float(sklearn.accuracy_score(labels, p.argmax(axis=1)))


def balanced_accuracy(p: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    return float(sklearn.balanced_accuracy_score(labels, p.argmax(axis=1)))


def macro_f1(p: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    return float(sklearn.f1_score(labels, p.argmax(axis=1), average="macro", zero_division=0))


def nll(p: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    true = p[np.arange(len(p)), labels].astype(np.float64)
    if true.min() < np.finfo(np.float64).eps:  # which scikit-learn clips
        return float(-np.log(true).mean())
    return float(sklearn.log_loss(labels, p.astype(np.float64), labels=range(p.shape[1])))


def brier(p: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    known = range(p.shape[1])
    wide = p.astype(np.float64)
    if p.shape[1] == 2:  # sums to 1 in float32 only, and of two classes scikit-learn looks at one
        return float(((wide - np.eye(2)[labels]) ** 2).sum(axis=1).mean())
    return float(sklearn.brier_score_loss(labels, wide, labels=known, scale_by_half=False))


def ece(p: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    # What multiclass_calibration_error calls, after it has made float32 of everything. A hair less of each
    # confidence is in the same bin, and where it lies between two, in the lower, as ours.
    confidence = np.nextafter(p.max(axis=1).astype(np.float64), 0)
    right = (p.argmax(axis=1) == labels).astype(np.float64)
    return float(_ce_compute(torch.from_numpy(confidence), torch.from_numpy(right), 15, norm="l1"))


def auroc(p: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    there = [c for c in range(p.shape[1]) if 0 < (labels == c).sum() < len(labels)]
    return float(np.mean([sklearn.roc_auc_score(labels == c, p[:, c]) for c in there]))


OTHERS: dict[str, Callable[[NDArray[np.float32], NDArray[np.int64]], float]] = {
    **{"accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "macro_f1": macro_f1},
    **{"nll": nll, "brier": brier, "ece": ece, "auroc": auroc},
}


def test_no_metric_is_left_out() -> None:
    assert {*METRICS} - {"module:callable"} == {*OTHERS, "top_k"}


@pytest.mark.parametrize("name", OTHERS)
@settings(max_examples=60)
@given(cases)
def test_values_agree_with_those_of_others(name: str, given_case: Case) -> None:
    p, labels = given_case
    if name == "auroc" and len({*labels.tolist()}) == 1:
        with pytest.raises(MetricError, match=f"'auroc': all test images are of class {labels[0]}"):
            value(name, p, labels)
        return
    if name == "nll" and not p[np.arange(len(p)), labels].all():
        with pytest.raises(MetricError, match="'nll' returned inf"):
            value(name, p, labels)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about classes that are absent
        expected = OTHERS[name](p, labels)
    assert value(name, p, labels) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in OTHERS for kind in KINDS if (name, kind) != ("auroc", "one class")],
)
def test_every_kind_of_case_is_met(name: str, kind: str) -> None:
    p, labels = case(kind, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert value(name, p, labels) == pytest.approx(OTHERS[name](p, labels), abs=1e-9)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@settings(max_examples=40)
@given(st.builds(case, st.sampled_from(("random", "absent classes")), st.integers(0, 2**32)))
def test_top_k_agrees_with_scikit_learn_where_nothing_ties(k: int, given_case: Case) -> None:
    p, labels = given_case
    if any(len({*row.tolist()}) < p.shape[1] for row in p) or k >= p.shape[1]:
        return
    expected = sklearn.top_k_accuracy_score(labels, p, k=k, labels=range(p.shape[1]))
    assert value({"top_k": {"k": k}}, p, labels) == pytest.approx(expected, abs=1e-9)


def test_the_first_of_classes_that_tie_is_the_prediction() -> None:
    """scikit-learn's top_k_accuracy_score prefers the last: ours says 0 images, where it says 1."""
    p, labels = np.array([[0.4, 0.4, 0.2]], dtype=np.float32), np.array([1])
    assert value("accuracy", p, labels) == value({"top_k": {"k": 1}}, p, labels) == 0
    assert sklearn.top_k_accuracy_score(labels, p, k=1, labels=range(3)) == 1
    assert value({"top_k": {"k": 2}}, p, labels) == 1


def test_calibration_error_agrees_with_torchmetrics_as_far_as_float32_goes() -> None:
    p, labels = case("random", 3)
    theirs = multiclass_calibration_error(
        torch.from_numpy(p), torch.from_numpy(labels), num_classes=p.shape[1], n_bins=15, norm="l1"
    )
    assert value("ece", p, labels) == pytest.approx(float(theirs), abs=1e-6)


def test_a_confidence_between_two_bins_is_in_the_lower() -> None:
    """torchmetrics puts it into the upper one, and has one bin more for a confidence of 1."""
    p = np.array([[0.5, 0.5], [0.25, 0.75]])
    labels = np.array([0, 0])
    # Bins (0, ½] and (½, 1]: one image each; [0, ½) and [½, 1] hold none and two.
    assert value({"ece": {"bins": 2}}, p, labels) == pytest.approx((0.5 + 0.75) / 2)
    theirs = multiclass_calibration_error(
        torch.from_numpy(p), torch.from_numpy(labels), num_classes=2, n_bins=2, norm="l1"
    )
    assert float(theirs) == pytest.approx(abs(0.5 - 0.625))


def test_area_of_several_classes_is_that_of_torchmetrics() -> None:
    p, labels = case("random", 5)
    theirs = multiclass_auroc(torch.from_numpy(p).double(), torch.from_numpy(labels), num_classes=p.shape[1])
    assert value("auroc", p, labels) == pytest.approx(float(theirs), abs=1e-6)  # which it returns in float32
    ovr = sklearn.roc_auc_score(labels, p.astype(np.float64), multi_class="ovr")
    assert value("auroc", p, labels) == pytest.approx(ovr, abs=1e-9)


def test_what_training_writes_gives_the_same_as_float64_to_seven_digits() -> None:
    from bench.training.evaluation import answer

    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(500, 7, generator=generator)
    labels = torch.randint(7, (500,), generator=generator)
    kept = answer(logits, labels).predictions()
    exact = Predictions.from_probabilities(logits.double().softmax(dim=1).numpy(), labels.numpy())
    for name in OTHERS:
        metric = Named.of(choose_metric(name))
        assert metric.value(kept) == pytest.approx(metric.value(exact), rel=1e-6, abs=1e-7), name
    assert np.array_equal(kept.rank, exact.rank)
    assert np.array_equal(kept.predicted, exact.predicted)
