"""Which runs have collapsed: the rule in numbers, row by row, and against itself written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.statistics.collapse import collapsed

STEADY = {0: 0.90, 1: 0.91, 2: 0.92, 3: 0.93, 4: 0.94}
"""Median .92, median absolute deviation .01: six of them are .06, and 5/3 of that, as there are five, .1."""


def cell(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def flagged(*cells: dict[int, float], points: bool = True, **more: bool) -> list[set[int]]:
    return [set(found) for found in collapsed(cells, points=points, **more)]


@pytest.mark.parametrize(
    ("lowest", "out"), [(0.83, False), (0.82, False), (0.81999, True), (0.10, True), (0.99, False)]
)
def test_six_pooled_mads_where_they_are_more_than_five_points(lowest: float, out: bool) -> None:
    [found] = flagged({**STEADY, 0: lowest})
    assert found == ({0} if out else set())


@pytest.mark.parametrize(("lowest", "out"), [(0.851, False), (0.85, False), (0.84999, True), (0.5, True)])
def test_five_points_where_runs_are_nearer_to_each_other(lowest: float, out: bool) -> None:
    [found] = flagged(cell(0.899, 0.9, 0.9, 0.901, lowest))
    assert found == ({4} if out else set())


def test_the_pooled_mad_is_the_median_over_the_cells() -> None:
    wild = cell(0.5, 0.6, 0.7, 0.8, 0.9)  # MAD .1
    assert flagged(STEADY, wild, STEADY) == [set(), {0}, set()]  # MADs .01, .1, .01: limit .1
    assert flagged(wild, wild, STEADY) == [set(), set(), set()]  # limit 1
    assert flagged({**STEADY, 0: 0.4}, wild) == [set(), set()]  # limit 6 · .055 · 5/3 = .55
    assert flagged({**STEADY, 0: 0.3}, wild) == [{0}, set()]


def test_empty_cells_say_nothing_of_the_spread() -> None:
    assert flagged({**STEADY, 0: 0.8}, {}, {}) == [{0}, set(), set()]
    assert flagged({}) == [set()]
    assert flagged() == []


def test_without_points_six_mads_alone_decide() -> None:
    assert flagged(cell(1.0, 1.001, 1.002, 1.003, 0.9), points=False) == [{4}]
    assert flagged(cell(10.0, 20.0, 30.0, 40.0, 50.0), points=False) == [set()]


def test_a_pooled_mad_of_zero_flags_nothing_without_points_and_five_points_with_them() -> None:
    values = cell(0.9, 0.9, 0.9, 0.9, 0.1)
    assert flagged(values, points=False) == [set()]
    assert flagged(values) == [{4}]
    assert flagged(cell(0.9, 0.9, 0.9, 0.9, 0.86)) == [set()]


@pytest.mark.parametrize("seeds", [5, 6, 7, 10, 20, 40])
@pytest.mark.parametrize("cells", [2, 3, 6])
def test_normal_runs_are_flagged_in_one_cell_of_a_hundred_whatever_their_number(
    seeds: int, cells: int
) -> None:
    """Five runs have a median absolute deviation that is often small by chance."""
    values = np.random.default_rng(0).standard_normal((2000 // cells, cells, seeds))
    found = [flags for some in values for flags in flagged(*[cell(*one) for one in some], points=False)]
    assert np.mean([bool(flags) for flags in found]) < 0.02


def test_worse_is_what_the_metric_says() -> None:
    loss = cell(0.30, 0.31, 0.32, 0.33, 2.5)
    assert flagged(loss, points=False, higher_is_better=False) == [{4}]
    assert flagged(loss, points=False) == [set()]  # so much better is no collapse
    assert flagged(cell(0.09, 0.1, 0.1, 0.11, 0.9), higher_is_better=False) == [{4}]


def test_one_run_or_two_are_far_from_nothing() -> None:
    assert flagged(cell(0.1), STEADY) == [set(), set()]
    assert flagged(cell(0.1, 0.9), STEADY) == [set(), set()]
    assert flagged(cell(0.1, 0.9, 0.9), STEADY) == [{0}, set()]


@given(
    st.lists(st.lists(st.integers(0, 1000), max_size=7), min_size=1, max_size=4), st.booleans(), st.booleans()
)
@settings(max_examples=150)
def test_it_is_its_definition(counts: list[list[int]], points: bool, higher: bool) -> None:
    """In thousandths, and whole numbers of a half: no rounding."""
    cells = [cell(*(n / 1000 for n in some)) for some in counts]
    twice = [2 * np.array(some) for some in counts]  # medians are whole numbers then
    mads = [np.median(np.abs(some - np.median(some))) for some in twice if len(some)]
    pooled, expected = np.median(mads) if mads else 0.0, []
    for some in twice:
        drops = (np.median(some) if len(some) else 0.0) - some
        drops = drops if higher else -drops
        large = drops > (100 if points else 0)
        rare = (drops * (len(some) - 2) > 6 * pooled * len(some)) & (len(some) > 2)
        noted = large & rare & (points or pooled > 0)
        expected.append(set(np.flatnonzero(noted).tolist()))
    assert flagged(*cells, points=points, higher_is_better=higher) == expected


@given(st.lists(st.lists(st.integers(0, 1000), min_size=1, max_size=7), min_size=1, max_size=4))
@settings(max_examples=60)
def test_directions_units_and_order_do_not_matter(counts: list[list[int]]) -> None:
    cells = [cell(*some) for some in counts]
    found = flagged(*cells, points=False)
    turned = [cell(*(-n for n in some)) for some in counts]
    assert flagged(*turned, points=False, higher_is_better=False) == found
    assert flagged(*[cell(*(4 * n + 64 for n in some)) for some in counts], points=False) == found
    assert flagged(*reversed(cells), points=False) == found[::-1]
    assert flagged(*[dict(reversed(some.items())) for some in cells], points=False) == found
    for some, out in zip(cells, found, strict=True):
        assert len(out) <= len(some) / 2  # a median cannot be far from more than half
