"""The luck of the best against published tables, enumeration and simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.statistics.selection import (
    expected_best,
    expected_maximum,
    optimism_of_best_epoch,
    optimism_of_best_run,
)

counts = st.lists(st.integers(0, 50), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("m", "published"),
    [(2, 0.56419), (3, 0.84628), (4, 1.02938), (5, 1.16296), (10, 1.53875), (20, 1.86748)],
)
def test_expected_normal_order_statistics(m, published):
    # Harter, Biometrika 48 (1961), table 1: the expected value of the largest of m.
    assert round(expected_maximum(m), 5) == published


def test_one_two_three_and_very_many():
    assert expected_maximum(1) == pytest.approx(0, abs=1e-12)
    assert expected_maximum(2) == pytest.approx(np.pi**-0.5, abs=1e-12)
    assert expected_maximum(3) == pytest.approx(1.5 * np.pi**-0.5, abs=1e-12)
    draws = np.random.default_rng(1).standard_normal((20_000, 500)).max(axis=1)
    assert expected_maximum(500) == pytest.approx(draws.mean(), abs=4 * draws.std() / 20_000**0.5)
    assert expected_maximum(10**9) == pytest.approx(6.0, abs=0.2)


def test_the_best_of_runs_by_simulation():
    draws = np.random.default_rng(2).normal(0.95, 0.002, size=(50_000, 5)).max(axis=1)
    assert optimism_of_best_run(5, 0.002) == pytest.approx(draws.mean() - 0.95, abs=3e-5)


def test_the_best_of_epochs_by_simulation():
    """Thirty epochs that share most of the luck of the test set, and no skill of their own."""
    draw = np.random.default_rng(3)
    noise = np.sqrt(0.95 * 0.05 / 20_800)
    common, own = draw.standard_normal((40_000, 1)), draw.standard_normal((40_000, 30))
    best = (noise * (np.sqrt(0.8) * common + np.sqrt(0.2) * own)).max(axis=1)
    assert optimism_of_best_epoch(30, 0.95, 20_800, 0.8) == pytest.approx(best.mean(), abs=3e-5)
    assert optimism_of_best_epoch(30, 0.95, 20_800, 1.0) == 0


@given(counts, st.integers(1, 8))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_the_best_of_some_by_enumeration(correct, m):
    got = expected_best(correct, 50, m)
    if m > len(correct):
        assert got is None
    else:
        best = [max(chosen) for chosen in itertools.combinations(correct, m)]
        assert got == pytest.approx(np.mean(best) / 50)
        assert got == expected_best(correct[::-1], 50, m)


def test_one_is_the_mean_and_all_the_maximum():
    assert expected_best([3, 9, 6], 10, 1) == pytest.approx(0.6)
    assert expected_best([3, 9, 6], 10, 3) == pytest.approx(0.9)
    assert expected_best([], 10, 1) is None


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (lambda: expected_maximum(0), "at least one, found 0"),
        (lambda: expected_best([1, 2], 10, 0), "at least one, found 0"),
        (lambda: expected_best([11], 10, 1), "11 correct answers out of 10"),
        (lambda: optimism_of_best_run(3, -1), "at least 0, found -1"),
        (lambda: optimism_of_best_epoch(3, 95, 100, 0.5), "accuracy and ρ between 0 and 1"),
        (lambda: optimism_of_best_epoch(3, 0.95, 0, 0.5), "images ≥ 1"),
    ],
)
def test_bad_requests(request_, message):
    with pytest.raises(ValueError, match=message):
        request_()
