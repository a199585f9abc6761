"""One level for a family: against Student's t, a rotation written out in loops, geometry, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.statistics import rotations
from bench.statistics.rotations import Rotated, Smallest, rotate

NAN = float("nan")
DRAWS = 4000
SOME = np.random.default_rng(1).normal(0.3, 1, size=(9, 4))
"""Differences of four comparisons; the last two are nearly one."""
SOME[:, 3] = SOME[:, 2] + 0.01 * SOME[:, 3]
HOLES = SOME.copy()
HOLES[[0, 5], 1] = NAN
HOLES[[0, 5], 2] = NAN
HOLES[7, 3] = NAN


@st.composite
def tables(draw: st.DrawFn, holes: bool = True) -> np.ndarray:
    """Whole numbers, some of them missing; of three seeds at least, that are not all equal."""
    seeds, comparisons = draw(st.integers(3, 9)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    table = rng.integers(-9, 10, size=(seeds, comparisons)).astype(float)
    if holes:
        for column in table.T:
            out = rng.permutation(seeds)[: rng.integers(0, seeds - 2)]
            column[out] = NAN
    for column in table.T:
        first, second = np.flatnonzero(~np.isnan(column))[:2]
        column[second] = column[first] + 1 + abs(column[second])
    return table


def by_hand(table: np.ndarray, draws: int, seed: int = 0) -> np.ndarray:
    """The smallest p of each rotation: one direction and one comparison at a time."""
    directions = np.random.default_rng(seed).standard_normal((draws, len(table)), dtype=np.float32)
    smallest = []
    for direction in directions.astype(np.float64):
        p = []
        for column in table.T:
            there = ~np.isnan(column)
            residual, u = column[there] - column[there].mean(), direction[there] - direction[there].mean()
            # The cosine of the angle to a random direction is a correlation, and so is its p.
            r = residual @ u / np.sqrt(residual @ residual * (u @ u))
            df = there.sum() - 2
            p.append(2 * stats.t.sf(abs(r) * np.sqrt(df / (1 - r**2)), df))
        smallest.append(min(p))
    return np.sort(smallest)


# ----------------------------------------------------------------------------------------- what it is


@pytest.mark.parametrize("table", [SOME, HOLES, SOME[:3], SOME[:, :2]], ids=["all", "holes", "three", "two"])
def test_it_is_its_definition(table: np.ndarray) -> None:
    found, smallest = rotate([table], DRAWS), by_hand(table, DRAWS)
    comparisons = table.shape[1]
    for p in (1e-4, 0.001, 0.01, 0.02, 0.05, 0.1, 0.3, 0.8):
        share = (1 + np.searchsorted(smallest, p, side="right")) / (1 + DRAWS)
        assert found.chance(p) == pytest.approx(min(max(share, p), comparisons * p), abs=2.5 / DRAWS)
    assert (found.sizes, found.draws, found.bounded) == ((comparisons,), DRAWS, False)


@given(tables(), st.floats(1e-9, 1))
@settings(max_examples=60)
def test_one_comparison_is_students_t(table: np.ndarray, p: float) -> None:
    found = rotate([table[:, :1]])
    assert found.chance(p) == p
    assert found.level(0.05) == pytest.approx(0.05, abs=1e-15)
    assert (found.draws, found.bounded) == (0, False)


def test_no_comparison_at_all() -> None:
    found = rotate([])
    assert (found.sizes, found.draws, found.bounded) == ((), 0, False)


def test_three_seeds_by_geometry() -> None:
    """Their residuals lie in a plane, where two that are orthogonal are never both near one direction."""
    table = np.array([[1.0, 1.0], [-1.0, 1.0], [0.0, -2.0]])
    found = rotate([table])
    for p in (0.01, 0.05, 0.2, 0.4):
        assert found.chance(p) == pytest.approx(2 * p, abs=5 * (p / found.draws) ** 0.5)
    angle = np.pi / 8  # and of two that are this far apart, the cones around them overlap
    near = np.column_stack([table @ [np.cos(a) / 2**0.5, np.sin(a) / 6**0.5] for a in (0.0, angle)])
    found = rotate([near])
    for p in (0.05, 0.2, 0.4):
        # p is the share of the circle within ±pπ/2 of the residual, or of its opposite.
        together = p + min(p, angle / np.pi)
        assert found.chance(p) == pytest.approx(together, abs=5 * (p / found.draws) ** 0.5)


def test_the_same_question_twice_costs_nothing() -> None:
    one = SOME[:, :1]
    found = rotate([np.hstack([one, 3 * one, -one, one + 7])])
    for p in (0.001, 0.01, 0.05, 0.3):
        assert found.chance(p) == pytest.approx(p, abs=5 * (p / found.draws) ** 0.5)


def test_blocks_are_independent() -> None:
    both, one, other = rotate([SOME, HOLES], DRAWS), rotate([SOME], DRAWS), rotate([HOLES], DRAWS)
    alone = rotate([SOME, SOME[:, :1]], DRAWS)
    for p in (0.001, 0.01, 0.05, 0.3):
        assert both.chance(p) == pytest.approx(1 - (1 - one.chance(p)) * (1 - other.chance(p)))
        assert alone.chance(p) == pytest.approx(1 - (1 - one.chance(p)) * (1 - p))


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
def test_the_chance_of_any_false_alarm_is_alpha(correlation: float) -> None:
    draw, alarms, experiments = np.random.default_rng(2), 0, 1500
    for _ in range(experiments):
        shared, own = draw.standard_normal((5, 1)), draw.standard_normal((5, 3))
        table = correlation**0.5 * shared + (1 - correlation) ** 0.5 * own
        p = stats.ttest_1samp(table, 0).pvalue
        alarms += rotate([table], 2000).chance(p.min()) < 0.05
    # The covariance is estimated from five seeds: what that costs is in the benchmark of decisions.
    assert alarms / experiments == pytest.approx(0.05, abs=3.5 * (0.05 * 0.95 / experiments) ** 0.5)


# ------------------------------------------------------------------------------------------ invariants


@given(st.lists(tables(), min_size=1, max_size=3), st.lists(st.floats(0, 1), min_size=2, max_size=6))
@settings(max_examples=60)
def test_never_below_p_nor_above_bonferroni_and_monotone(blocks: list[np.ndarray], some: list[float]) -> None:
    found, size = rotate(blocks, 2000), sum(block.shape[1] for block in blocks)
    chances = [found.chance(p) for p in sorted(some)]
    assert chances == sorted(chances)
    for p, chance in zip(sorted(some), chances, strict=True):
        assert p <= chance <= min(size * p, 1) * (1 + 1e-12)


@given(st.lists(tables(), min_size=1, max_size=3), st.floats(0.001, 0.9), st.floats(0, 1))
@settings(max_examples=80)
def test_adjusted_p_is_below_alpha_exactly_where_p_is_below_the_level(
    blocks: list[np.ndarray], alpha: float, p: float
) -> None:
    found = rotate(blocks, 2000)
    level = found.level(alpha)
    size = sum(found.sizes)
    assert alpha / size * (1 - 1e-9) <= level <= alpha * (1 + 1e-12)
    just_below = float(np.nextafter(level, 0))
    for one in (p, p * level, level, just_below, level * (1 - 1e-9), level * (1 + 1e-9)):
        assert (found.chance(one) < alpha) == (one < level)


@given(tables(), st.floats(0.001, 0.5))
@settings(max_examples=40)
def test_sides_and_units_do_not_matter(table: np.ndarray, p: float) -> None:
    expected = rotate([table], 2000).chance(p)
    comparisons = table.shape[1]
    sides = np.where(np.arange(comparisons) % 2, 1.0, -1.0)
    assert rotate([sides * table], 2000).chance(p) == expected
    assert rotate([table * 2.0 ** np.arange(comparisons)], 2000).chance(p) == expected
    for other in (table * 0.37, table + 5.0, table[:, ::-1]):  # but for rounding
        assert rotate([other], 2000).chance(p) == pytest.approx(expected, abs=2.5 / 2000)


@given(tables(holes=False), st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_the_order_of_seeds_matters_no_more_than_other_directions(table: np.ndarray, random) -> None:
    shuffled = table[random.sample(range(len(table)), len(table))]
    for p in (0.01, 0.05, 0.3):
        one, other = rotate([table], 20_000).chance(p), rotate([shuffled], 20_000).chance(p)
        assert one == pytest.approx(other, abs=5.5 * (2 * table.shape[1] * p / 20_000) ** 0.5)


def test_the_same_numbers_always() -> None:
    assert rotate([SOME]).level(0.05) == rotate([SOME]).level(0.05)
    near = rotate([SOME], 90_000).level(0.05)
    assert rotate([SOME]).level(0.05) == pytest.approx(near, rel=0.03)


# ------------------------------------------------------------------------------------ sizes, and requests


def test_many_seeds_have_fewer_directions_and_too_many_have_none() -> None:
    draw = np.random.default_rng(4)
    assert rotate([draw.standard_normal((40, 2))]).draws == 100_000
    assert rotate([draw.standard_normal((9, 80))]).draws == rotations.MOST_NUMBERS // 80
    assert rotate([draw.standard_normal((400, 2))]).draws == rotations.MOST_NUMBERS // 400
    longest = rotations.MOST_NUMBERS // rotations.FEWEST_DRAWS
    most = rotate([draw.standard_normal((longest, 2))])
    assert (most.draws, most.bounded) == (rotations.FEWEST_DRAWS, False)
    long = draw.standard_normal((longest + 1, 3))
    found = rotate([long])
    assert (found.draws, found.bounded) == (0, True)
    assert found.chance(0.01) == pytest.approx(0.03)
    assert found.chance(0.5) == 1
    assert found.level(0.05) == pytest.approx(0.05 / 3)
    alone = rotate([long[:, :1], SOME])  # a single comparison needs none, however many seeds it has
    assert (alone.draws, alone.bounded) == (100_000, False)


def test_few_rotations_are_asked_for_directly() -> None:
    assert rotate([SOME], rotations.FEWEST_DRAWS - 1).bounded


def test_a_large_block_is_rotated_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rotate([HOLES], DRAWS)
    monkeypatch.setattr(rotations, "AT_ONCE", 900)
    [one], [other] = whole.families, rotate([HOLES], DRAWS).families
    assert isinstance(one, Rotated)
    assert isinstance(other, Rotated)
    np.testing.assert_allclose(one.rest, other.rest, atol=1e-5)


def test_zero_and_one() -> None:
    found = rotate([SOME, HOLES])
    assert (found.chance(0.0), found.chance(1.0)) == (0.0, 1.0)
    assert Smallest((3,), (None,)).chance(0.0) == 0


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ([1.0, 2.0, 4.0], r"a block must be \[seeds, comparisons\], found an array of shape \(3,\)"),
        ([[1.0], [2.0], [np.inf]], "must be finite, or NaN where one is missing"),
        ([[1.0], [2.0]], "needs three seeds, and differences that are not all equal"),
        ([[1.0, 1.0], [2.0, NAN], [4.0, 2.0]], "needs three seeds"),
        ([[1.0, 2.0], [2.0, 2.0], [4.0, 2.0]], "not all equal"),
        ([[NAN], [NAN], [NAN]], "needs three seeds"),
        (np.empty((0, 1)), "needs three seeds"),
    ],
)
def test_blocks_that_cannot_be(block: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rotate([SOME, block])  # type: ignore[list-item]


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, NAN])
def test_levels_that_cannot_be(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1, found"):
        rotate([SOME], 2000).level(alpha)
