"""The luck of the best against published tables and simulation."""

from __future__ import annotations

import numpy as np
import pytest

from bench.statistics.selection import expected_maximum, optimism_of_best_run


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


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (lambda: expected_maximum(0), "at least one, found 0"),
        (lambda: optimism_of_best_run(3, -1), "at least 0, found -1"),
    ],
)
def test_bad_requests(request_, message):
    with pytest.raises(ValueError, match=message):
        request_()
