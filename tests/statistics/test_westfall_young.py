"""Step-down maxT against its definition by brute force, and its promise by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.statistics.multiplicity import holm
from bench.statistics.permutation import sign_flip
from bench.statistics.westfall_young import westfall_young

NAN = float("nan")
tables = st.tuples(st.integers(1, 6), st.integers(1, 4)).flatmap(
    lambda shape: st.lists(
        st.lists(st.integers(-5, 5), min_size=shape[1], max_size=shape[1]),
        min_size=shape[0],
        max_size=shape[0],
    )
)
with_holes = st.tuples(st.integers(2, 6), st.integers(1, 4)).flatmap(
    lambda shape: st.lists(
        st.lists(
            st.one_of(st.integers(-5, 5).map(float), st.just(NAN)), min_size=shape[1], max_size=shape[1]
        ),
        min_size=shape[0],
        max_size=shape[0],
    )
)


def by_definition(table: np.ndarray) -> np.ndarray:
    """Westfall & Young (1993), algorithm 4.1, one flip and one comparison at a time."""
    seeds, comparisons = table.shape
    d = np.nan_to_num(table)

    def statistics(signs: tuple[int, ...]) -> list[float]:
        sums = [sum(signs[s] * d[s, k] for s in range(seeds)) for k in range(comparisons)]
        squares = [sum(d[s, k] ** 2 for s in range(seeds)) for k in range(comparisons)]
        return [abs(u) / math.sqrt(q) if q else 0.0 for u, q in zip(sums, squares, strict=True)]

    observed = statistics((1,) * seeds)
    every = [statistics(signs) for signs in itertools.product([1, -1], repeat=seeds)]
    order = sorted(range(comparisons), key=lambda k: -observed[k])
    adjusted, before = np.full(comparisons, NAN), 0.0
    for place, k in enumerate(order):
        beaten = [max(flip[j] for j in order[place:]) >= observed[k] - 1e-9 for flip in every]
        before = max(before, sum(beaten) / len(beaten))
        adjusted[k] = before
    adjusted[np.isnan(table).all(axis=0)] = NAN
    return adjusted


@given(st.one_of(tables, with_holes))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_it_is_its_definition(rows):
    table = np.array(rows, dtype=float)
    result = westfall_young(table)
    assert result.exact
    np.testing.assert_allclose(result.p_adjusted, by_definition(table), rtol=1e-12)


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=10))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_one_comparison_is_the_sign_flip_test(differences):
    assert westfall_young(np.array(differences)[:, None]).p_adjusted[0] == sign_flip(differences).p


@given(tables, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_mirrored_and_reordered(rows, random):
    table = np.array(rows)
    result = westfall_young(table)
    assert np.all((result.p_adjusted > 0) & (result.p_adjusted <= 1))
    mirrored = westfall_young(-table)
    np.testing.assert_array_equal(mirrored.p_adjusted, result.p_adjusted)
    np.testing.assert_array_equal(mirrored.statistic, -result.statistic)
    shuffled = table[random.sample(range(len(table)), len(table))]
    np.testing.assert_array_equal(westfall_young(shuffled).p_adjusted, result.p_adjusted)
    np.testing.assert_array_equal(westfall_young(shuffled).statistic, result.statistic)
    np.testing.assert_array_equal(westfall_young(table[:, ::-1]).p_adjusted[::-1], result.p_adjusted)


@given(st.one_of(tables, with_holes), st.sampled_from([3, 10**9, 2**45, 10**13 + 1]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_unit_does_not_matter(rows, unit):
    table = np.array(rows, dtype=float)
    in_units = westfall_young(unit * table)
    np.testing.assert_array_equal(in_units.p_adjusted, westfall_young(table).p_adjusted)
    columns = unit ** np.arange(table.shape[1]) if unit == 3 else unit  # a unit of its own for each column
    np.testing.assert_array_equal(westfall_young(columns * table).p_adjusted, in_units.p_adjusted)


@pytest.mark.parametrize("seeds", [5, 12])
def test_large_numbers(seeds):
    """Up to 10¹³, as of a metric in billionths whose values are in the thousands."""
    draw = np.random.default_rng(6)
    for _ in range(5):
        table = draw.integers(-(10**13), 2 * 10**13, size=(seeds, 3))
        np.testing.assert_allclose(
            westfall_young(table).p_adjusted, by_definition(table.astype(float)), rtol=1e-12
        )
        for column in table.T:
            assert westfall_young(column[:, None]).p_adjusted[0] == sign_flip(column).p


def test_sixty_seeds_of_large_numbers():
    draw = np.random.default_rng(7)
    table = 10**13 * draw.integers(-2, 4, size=(60, 4)) + draw.integers(0, 10**3, size=(60, 4))
    got = westfall_young(np.column_stack([table, -table[:, 0]]))
    assert got.p_adjusted[0] == got.p_adjusted[4]  # a tie with itself, in every flip
    np.testing.assert_array_equal(westfall_young(-table).p_adjusted, westfall_young(table).p_adjusted)
    shuffled = table[draw.permutation(60)]
    near = westfall_young(shuffled, seed=1)
    assert np.all(np.abs(near.p_adjusted - westfall_young(table).p_adjusted) < 6 * near.p_error + 1e-9)


def test_asking_the_same_twice_costs_nothing_and_holm_would_pay():
    draw = np.random.default_rng(1)
    one = np.rint(draw.normal(9, 8, size=10))
    twins = westfall_young(np.column_stack([one, one, 2 * one, -one]))
    alone = sign_flip(one.astype(int)).p
    np.testing.assert_allclose(twins.p_adjusted, alone)
    assert np.all(holm([alone] * 4) > twins.p_adjusted)


def test_another_comparison_never_helps():
    draw = np.random.default_rng(2)
    table = np.rint(draw.normal(5, 8, size=(9, 5)))
    fewer, more = westfall_young(table[:, :4]).p_adjusted, westfall_young(table).p_adjusted
    assert np.all(more[:4] >= fewer)


def test_two_seeds_do_not_drown_twenty():
    draw = np.random.default_rng(3)
    table = np.full((12, 2), NAN)
    table[:, 0] = np.rint(draw.normal(20, 10, size=12))
    table[:2, 1] = 7
    alone = westfall_young(table[:, :1]).p_adjusted[0]
    both = westfall_young(table)
    assert both.p_adjusted[0] <= 2 * alone
    assert both.p_adjusted[1] >= 0.5


def test_simulation_agrees_with_enumeration():
    draw = np.random.default_rng(4)
    table = np.rint(draw.normal([6, 3, 0, 1], 8, size=(12, 4)))
    exact = westfall_young(table)
    simulated = westfall_young(table, resamples=40_000, enumerate_up_to=1)
    assert (exact.exact, exact.flips, simulated.exact, simulated.flips) == (True, 2**11, False, 40_000)
    assert np.all(exact.p_error == 0)
    assert np.all(np.abs(simulated.p_adjusted - exact.p_adjusted) < 4 * simulated.p_error + 1e-4)
    again = westfall_young(table, resamples=40_000, enumerate_up_to=1)
    np.testing.assert_array_equal(again.p_adjusted, simulated.p_adjusted)
    few = westfall_young(np.full((30, 1), 5), resamples=99)
    assert few.p_adjusted[0] == 0.01


def test_missing_and_nothing():
    result = westfall_young([[3, NAN, NAN], [4, NAN, 5], [2, NAN, 5]])
    assert np.isnan(result.p_adjusted).tolist() == [False, True, False]
    assert westfall_young(np.zeros((0, 2))).p_adjusted.shape == (2,)
    assert np.isnan(westfall_young(np.zeros((0, 2))).p_adjusted).all()
    assert westfall_young(np.zeros((3, 0))).p_adjusted.shape == (0,)
    np.testing.assert_array_equal(westfall_young(np.zeros((3, 2))).p_adjusted, [1, 1])


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ([1, 2], {}, r"\[seeds, comparisons\], found an array of shape \(2,\)"),
        ([[0.5]], {}, "must be whole numbers"),
        ([[math.inf]], {}, "must be whole numbers"),
        ([[1]], {"resamples": 0}, "resamples must be at least 1, found 0"),
    ],
)
def test_bad_tables(table, options, message):
    with pytest.raises(ValueError, match=message):
        westfall_young(table, **options)


def test_family_wise_error_by_simulation():
    """Four true hypotheses with a common baseline: a false alarm in 5 % of 1,500 families, and not more."""
    draw = np.random.default_rng(5)
    alarms = []
    for _ in range(1500):
        arms = np.rint(30 * draw.standard_normal((7, 5)))
        alarms.append(westfall_young(arms[:, 1:] - arms[:, :1]).p_adjusted.min() <= 0.05)
    assert np.mean(alarms) == pytest.approx(0.047, abs=0.018)  # 3 of 64 flips, the most that 5 % allow
