"""What stands for numbers of single images where a metric is no mean of them: a jackknife, in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.metrics import METRICS, Measure, Metric, MetricError, choose_metric
from bench.predictions import Predictions

SMOOTH = ("balanced_accuracy", "macro_f1", "auroc")


@st.composite
def answered(draw: st.DrawFn) -> Predictions:
    """Few images of few classes, so that classes vanish with an image, and probabilities that tie."""
    classes, images = draw(st.integers(2, 5)), draw(st.integers(2, 14))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    p = random.integers(1, draw(st.sampled_from([3, 100])), (images, classes)).astype(float)
    return Predictions.from_probabilities(
        p / p.sum(axis=1, keepdims=True), random.integers(draw(st.integers(2, classes)), size=images)
    )


def without(predictions: Predictions, image: int) -> Predictions:
    kept = np.arange(len(predictions.labels)) != image
    return Predictions.from_probabilities(predictions.probabilities[kept], predictions.labels[kept])


@pytest.mark.parametrize("name", SMOOTH)
@settings(max_examples=80)
@given(answered())
def test_they_are_what_leaving_out_each_image_in_turn_gives(name: str, predictions: Predictions) -> None:
    metric, images = Metric.of(choose_metric(name)), len(predictions.labels)
    try:
        whole = metric.measure(predictions)
        values = [metric.value(without(predictions, image)) for image in range(images)]
    except MetricError:
        if len({*predictions.labels.tolist()}) > 1:  # one class is left when an image is left out
            assert metric.measure(predictions).per_image is None
        return
    expected = images * whole.value - (images - 1) * np.array(values)
    np.testing.assert_allclose(_numbers(whole.per_image), expected, atol=1e-10)


@pytest.mark.parametrize("name", SMOOTH)
def test_their_spread_is_the_error_of_the_metric(name: str) -> None:
    """Over 400 sets of 200 images, the standard error from pseudo-values is the spread of the values."""
    draw = np.random.default_rng(1)
    metric = Metric.of(choose_metric(name))
    values, errors = [], []
    for _ in range(400):
        labels = draw.choice(4, 200, p=[0.4, 0.3, 0.2, 0.1])
        logits = draw.normal(size=(200, 4)) + 1.2 * np.eye(4)[labels]
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        found = metric.measure(Predictions.from_probabilities(p, labels))
        values.append(found.value)
        errors.append(_numbers(found.per_image).std(ddof=1) / np.sqrt(200))
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.1)


def test_a_test_set_of_one_image_has_none() -> None:
    one = Predictions.from_probabilities([[0.2, 0.8]], [1])
    for name in ("balanced_accuracy", "macro_f1"):
        assert Metric.of(choose_metric(name)).measure(one).per_image is None


def test_every_metric_has_numbers_of_single_images_or_says_why_not() -> None:
    draw = np.random.default_rng(0)
    predictions = Predictions.from_probabilities(draw.dirichlet(np.ones(3), 50), np.arange(50) % 3)
    for name in [*METRICS][:-1]:
        metric = Metric.of(choose_metric(name))
        found = metric.measure(predictions)
        assert (found.per_image is None) == bool(metric.no_interval), name
        if found.per_image is not None:
            assert found.per_image.shape == (50,)
            if metric.over_images:
                assert found.per_image.mean() == pytest.approx(found.value)
    assert issubclass(METRICS["ece"], Measure)
    assert "bias" in METRICS["ece"].no_interval


def test_twenty_thousand_images_take_no_time() -> None:
    """Closed forms: not one computation an image. (Seconds, where it takes hundredths.)"""
    import time

    draw = np.random.default_rng(0)
    labels, predicted = draw.integers(1000, size=(2, 20_000))
    predictions = Predictions(predicted, labels, {"classes": np.array(1000)})
    began = time.process_time()
    for name in ("balanced_accuracy", "macro_f1"):
        assert Metric.of(choose_metric(name)).measure(predictions).per_image is not None
    assert time.process_time() - began < 2


def _numbers(found: NDArray[np.float64] | None) -> NDArray[np.float64]:
    assert found is not None
    return found
