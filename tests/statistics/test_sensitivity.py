"""Shares of variance: what matters is found, what does not is near 0, and units do not matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.statistics.sensitivity import sensitivity

TABLE = np.random.default_rng(0).random((96, 3))


def test_a_peak_in_the_middle_is_found():
    scores = -((TABLE[:, 1] - 0.5) ** 2) + 0.01 * np.random.default_rng(1).normal(size=96)
    shares = sensitivity(TABLE, scores)
    assert abs(stats.spearmanr(TABLE[:, 1], scores).statistic) < 0.4
    assert shares[1] > 0.7
    assert max(shares[0], shares[2]) < 0.15


def test_noise_explains_nothing_on_average():
    draw = np.random.default_rng(2)
    shares = [sensitivity(TABLE, draw.normal(size=96)) for _ in range(100)]
    assert np.mean(shares) < 0.03


def test_it_is_the_effect_size_of_kruskal_and_wallis():
    """ε² = H/(N − 1), less what N − k degrees of freedom would explain; four values are four bins."""
    column = np.repeat([1.0, 2.0, 5.0, 9.0], 24)
    scores = column % 4 + np.random.default_rng(3).normal(size=96)
    h = stats.kruskal(*(scores[column == value] for value in (1, 2, 5, 9))).statistic
    assert sensitivity(column[:, None], scores) == pytest.approx([1 - (1 - h / 95) * 95 / 92])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_units_and_order_do_not_matter(seed):
    draw = np.random.default_rng(seed)
    table, scores = draw.random((30, 2)), draw.normal(size=30)
    scores[draw.random(30) < 0.2] = np.nan
    order = draw.permutation(30)
    shares = sensitivity(table, scores)
    assert sensitivity(10 ** (3 * table[order]), 2 * scores[order] + 1) == pytest.approx(shares)
    assert np.all((shares >= 0) & (shares <= 1))


def test_trials_that_diverged_are_the_worst():
    scores = np.random.default_rng(4).normal(size=96)
    scores[TABLE[:, 0] > 0.6] = np.nan
    assert sensitivity(TABLE, scores)[0] > 0.5


def test_what_says_nothing_is_nan():
    assert np.isnan(sensitivity(TABLE[:5], np.arange(5))).all()
    assert np.isnan(sensitivity(TABLE, np.ones(96))).all()
    assert np.isnan(sensitivity(np.ones((96, 1)), np.arange(96))).all()


@pytest.mark.parametrize(
    ("table", "scores", "message"),
    [
        (TABLE, np.ones(95), r"found \(96, 3\) and \(95,\)"),
        (np.full((9, 1), np.nan), np.ones(9), "every setting needs a number"),
    ],
)
def test_bad_requests(table, scores, message):
    with pytest.raises(ValueError, match=message):
        sensitivity(table, scores)
