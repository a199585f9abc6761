"""The probability of improvement against its definition, scipy's Mann–Whitney U and a plain bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.statistics.improvement import probability_of_improvement

runs = st.lists(st.integers(0, 6), min_size=1, max_size=5)
tasks = st.lists(st.tuples(runs, runs), min_size=1, max_size=5)
RNG = np.random.default_rng(1)
OURS, THEIRS = RNG.integers(0, 12, (7, 5)) + 1, RNG.integers(0, 12, (7, 6))


def by_definition(ours, theirs):
    won = [[(x > y) + (x == y) / 2 for x in a for y in b] for a, b in zip(ours, theirs, strict=True)]
    return np.mean([np.mean(each) for each in won])


@given(tasks)
@settings(max_examples=80)
def test_all_pairs_of_runs_then_the_mean_over_data_sets(pairs):
    ours, theirs = zip(*pairs, strict=True)
    found = probability_of_improvement(ours, theirs, resamples=20)
    assert found.estimate == pytest.approx(by_definition(ours, theirs))
    other = probability_of_improvement(theirs, ours, resamples=20)
    assert found.estimate + other.estimate == pytest.approx(1)
    several = min(len(arm) for pair in pairs for arm in pair) > 1
    assert (found.low is not None) == (found.high is not None) == several
    if several:
        assert 0 <= found.low <= found.high <= 1


def test_scipys_u_agrees():
    u = [stats.mannwhitneyu(a, b).statistic / 30 for a, b in zip(OURS, THEIRS, strict=True)]
    assert probability_of_improvement(OURS, THEIRS).estimate == pytest.approx(np.mean(u))


def test_the_interval_is_that_of_a_plain_bootstrap():
    rng, drawn = np.random.default_rng(2), []
    for _ in range(4000):
        ours, theirs = ([rng.choice(task, len(task)) for task in arm] for arm in (OURS, THEIRS))
        drawn.append(by_definition(ours, theirs))
    found = probability_of_improvement(OURS, THEIRS, 0.9, resamples=4000)
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.05, 0.95]), abs=0.01)


def test_neither_the_order_of_runs_nor_pieces_change_it(monkeypatch):
    found = probability_of_improvement(OURS, THEIRS, seed=4)
    assert probability_of_improvement(OURS[:, ::-1], THEIRS[:, ::-1], seed=4) == found
    assert probability_of_improvement(OURS, THEIRS, seed=5) != found
    monkeypatch.setattr("bench.statistics.improvement.CHUNK", 700)
    pieces = probability_of_improvement(OURS, THEIRS, seed=4)
    assert (pieces.low, pieces.high) == pytest.approx((found.low, found.high), abs=0.03)


def test_who_wins_all_pairs_wins_surely():
    found = probability_of_improvement([[5, 6], [9, 8]], [[1, 2], [3, 4]])
    assert (found.estimate, found.low, found.high) == (1, 1, 1)


@pytest.mark.parametrize(
    ("ours", "theirs", "options", "message"),
    [
        ([], [], {}, "one at least; found 0 and 0"),
        ([[1]], [[1], [2]], {}, "the same data sets are needed, one at least; found 1 and 2"),
        ([[]], [[1]], {}, "finite numbers, one a run and one at least"),
        ([[np.nan]], [[1]], {}, "finite numbers"),
        ([[1]], [[1]], {"confidence": 95}, "confidence must lie between 0 and 1"),
        ([[1]], [[1]], {"resamples": -1}, "resamples be at least 0"),
    ],
)
def test_bad_requests(ours, theirs, options, message):
    with pytest.raises(ValueError, match=message):
        probability_of_improvement(ours, theirs, **options)
