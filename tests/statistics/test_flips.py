"""Looks by sign flips: single-step maxT by enumeration, boundaries path by path, promises by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.statistics import flips
from bench.statistics.flips import Family, LookResult, Paths, critical_t, z_of_t
from bench.statistics.permutation import sign_flip

NAN = float("nan")
FEWEST = 5


@st.composite
def tables(draw: st.DrawFn, fewest: int = 5, most: int = 8) -> np.ndarray:
    """Whole numbers with ties, some of them missing: [seeds, comparisons]."""
    seeds, comparisons = draw(st.integers(fewest, most)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    table = rng.integers(-3, 4, size=(seeds, comparisons)) + draw(st.sampled_from([0.0, 1.0, 3.0]))
    table[rng.random(table.shape) < draw(st.sampled_from([0, 0, 0.15]))] = NAN
    return table


def enumerated(seeds: int, comparisons: int, alpha: float = 0.05) -> Family:
    """A family whose paths are all flips there are, each of them once."""
    family = Family(seeds, alpha, comparisons, paths=2)
    family.signs = np.array([*itertools.product([1.0, -1.0], repeat=seeds)])
    family.differences, family.equivalence = (Paths(2**seeds, share) for share in (alpha, 2 * alpha))
    return family


def furthest(table: np.ndarray) -> np.ndarray:
    """|Σd|/√Σd² of the furthest comparison, one flip and one comparison at a time."""
    found = []
    for signs in itertools.product([1, -1], repeat=len(table)):
        of_each = [0.0]
        for column in table.T:
            pairs = [(s, d) for s, d in zip(signs, column, strict=True) if d == d]
            squares = sum(d * d for _, d in pairs)
            of_each.append(abs(sum(s * d for s, d in pairs)) / math.sqrt(squares) if squares else 0.0)
        found.append(max(of_each))
    return np.array(found)


def can_be_tested(column: np.ndarray) -> bool:
    there = column[~np.isnan(column)]
    return len(there) >= FEWEST and len({*there.tolist()}) > 1


def z_of(column: np.ndarray) -> float:
    there = column[~np.isnan(column)]
    return float(abs(there.sum()) / np.sqrt((there**2).sum())) if there.any() else 0.0


# -------------------------------------------------------------------------------------------- one look


@given(tables(), st.sampled_from([0.02, 0.05, 0.2]))
@settings(max_examples=50)
def test_one_look_is_single_step_maxt(table: np.ndarray, alpha: float) -> None:
    """Westfall & Young (1993), § 2.6; the identity is one of the flips, and is counted once more."""
    tested = [can_be_tested(column) for column in table.T]
    every, count = furthest(table[:, tested]), 2 ** len(table)
    family = enumerated(len(table), table.shape[1], alpha)
    for column, said, there in zip(
        table.T, family.look(table, [0.0] * table.shape[1], FEWEST), tested, strict=True
    ):
        assert (said is not None) == there
        if said is not None:
            as_far = int((every >= z_of(column) - 1e-9).sum())
            assert said.p == pytest.approx((1 + as_far) / (1 + count), abs=1e-12)
            assert said.different == (said.p <= alpha)


@given(tables())
@settings(max_examples=15)
def test_flips_at_random_agree_with_enumeration(table: np.ndarray) -> None:
    every = furthest(table[:, [can_be_tested(column) for column in table.T]])
    said = Family(len(table), 0.05, table.shape[1]).look(table, [0.0] * table.shape[1], FEWEST)
    for column, found in zip(table.T, said, strict=True):
        if found is not None:
            want = float((every >= z_of(column) - 1e-9).mean())
            error = (want * (1 - want) / flips.PATHS) ** 0.5
            assert found.p == pytest.approx(want, abs=5 * error + 2 / flips.PATHS)


def test_one_comparison_is_the_sign_flip_test() -> None:
    differences = np.rint(np.random.default_rng(1).normal(3, 5, size=12)).astype(int)
    [said] = Family(12, 0.05, 1).look(differences[:, None].astype(float), [0.0], FEWEST)
    assert said is not None
    assert said.p == pytest.approx(sign_flip(differences).p, abs=5 * (0.05 * 0.95 / flips.PATHS) ** 0.5)
    assert (said.n, said.mean) == (12, pytest.approx(differences.mean()))
    assert said.se == pytest.approx(stats.sem(differences))


@given(tables(most=12), st.sampled_from([0.3, 1.0]), st.sampled_from([0.0, 1.5, 6.0]))
@settings(max_examples=80)
def test_what_is_said_p_and_interval_agree(table: np.ndarray, fraction: float, margin: float) -> None:
    """A difference where p is at most what may be spent, which is where Δ ± c·se excludes 0."""
    family = Family(len(table), 0.05, table.shape[1], paths=5000)
    spent = 0.05 * fraction**2
    for said in family.look(table, [margin] * table.shape[1], FEWEST, fraction):
        if said is None:
            continue
        low, high = said.mean - said.critical * said.se, said.mean + said.critical * said.se
        assert said.different == (not low <= 0 <= high)
        assert said.different == (said.p <= spent)
        assert 0 < said.p <= 1
        low = said.mean - said.critical_equivalence * said.se
        high = said.mean + said.critical_equivalence * said.se
        assert said.equivalent(margin) == (margin > 0 and max(-low, high) <= margin)
        if margin:
            assert said.p_equivalence is not None
            assert said.equivalent(margin) == (said.p_equivalence <= spent)
            assert 0 < said.p_equivalence <= 1
        else:
            assert said.p_equivalence is None


def test_five_seeds_cannot_cross_and_six_can() -> None:
    """All signs alike are 2 of 32 flips: more than 5 %. But of six, 2 of 64 are less."""
    for seeds, can in ((5, False), (6, True)):
        [said] = Family(seeds, 0.05, 1).look(900.0 + np.arange(seeds)[:, None] ** 2, [0.0], FEWEST)
        assert said is not None
        assert said.different == can
        assert math.isfinite(said.critical) == can


# ------------------------------------------------------------------------------------------ boundaries


@given(
    st.lists(st.lists(st.integers(0, 12), min_size=400, max_size=400), min_size=1, max_size=4),
    st.sampled_from([0.01, 0.05, 0.2]),
)
@settings(max_examples=60)
def test_no_more_paths_cross_than_may(looks: list[list[int]], alpha: float) -> None:
    """Whatever the statistics are, with many ties: at no look has more than α·f² of the paths crossed."""
    paths, fractions = Paths(400, alpha), np.arange(1, len(looks) + 1) / len(looks)
    crossed = np.zeros(400, dtype=bool)
    for furthest_of_each, fraction in zip(looks, fractions, strict=True):
        values = np.array(furthest_of_each, dtype=float)
        before = crossed.copy()
        boundary = paths.look(values, fraction)
        assert boundary.gone == before.sum()
        np.testing.assert_array_equal(boundary.largest, np.sort(values[~before]))
        crossed |= values > boundary.critical
        np.testing.assert_array_equal(paths.gone, crossed)
        assert crossed.sum() <= alpha * fraction**2 * 401
        # And the next lower value would have let too many cross.
        below = values[~before & (values <= boundary.critical)]
        if math.isfinite(boundary.critical):
            assert 1 + before.sum() + (values[~before] >= below.max()).sum() > alpha * fraction**2 * 401
        for z in {*values.tolist(), boundary.critical + 0.5} - {math.inf}:
            if z > boundary.critical:
                assert boundary.p(z) <= alpha * fraction**2
            elif z <= values[~before].max():
                assert boundary.p(z) > alpha * fraction**2


def test_boundaries_of_paths_that_are_normal_spend_what_they_may() -> None:
    draws = np.random.default_rng(3).standard_normal((20_000, 20))
    paths, crossed = Paths(20_000, 0.05), np.zeros(20_000, dtype=bool)
    criticals = []
    for n in (5, 10, 15, 20):
        z = np.abs(draws[:, :n].sum(axis=1)) / n**0.5
        boundary = paths.look(z, n / 20)
        crossed |= z > boundary.critical
        assert crossed.mean() == pytest.approx(0.05 * (n / 20) ** 2, abs=3 / 20_000)
        assert boundary.usual == pytest.approx(stats.norm.isf(0.025), abs=0.06)
        criticals.append(boundary.critical)
    assert criticals == sorted(criticals, reverse=True)
    assert criticals[-1] > stats.norm.isf(0.025)  # what was spent before is no longer there


@pytest.mark.parametrize("correlation", [0.0, 0.7])
def test_the_chance_of_any_false_alarm_at_any_look_is_alpha(correlation: float) -> None:
    draw, alarms, experiments = np.random.default_rng(4), 0, 600
    for _ in range(experiments):
        shared, own = draw.standard_normal((20, 1)), draw.standard_normal((20, 3))
        table = correlation**0.5 * shared + (1 - correlation) ** 0.5 * own
        family = Family(20, 0.05, 3, paths=2000)
        said = [one for n in (5, 10, 15, 20) for one in family.look(table[:n], [0.0] * 3, FEWEST, n / 20)]
        alarms += any(one.different for one in said if one)
    assert alarms / experiments == pytest.approx(0.05, abs=3.5 * (0.05 * 0.95 / experiments) ** 0.5)


def test_a_difference_as_large_as_the_margin_is_rarely_called_equivalent() -> None:
    draw, wrong, right, experiments = np.random.default_rng(5), 0, 0, 500
    for _ in range(experiments):
        table = draw.standard_normal((20, 2))
        table[:, 0] += 1.0
        family = Family(20, 0.05, 2, paths=2000)
        ever = [family.look(table[:n], [1.0, 1.0], FEWEST, n / 20) for n in (10, 15, 20)]
        wrong += any(look[0].equivalent(1.0) for look in ever if look[0])
        right += any(look[1].equivalent(1.0) for look in ever if look[1])
    assert wrong / experiments <= 0.05 + 3.5 * (0.05 * 0.95 / experiments) ** 0.5
    assert wrong > 0
    assert right / experiments > 0.6


def test_what_has_crossed_leaves_more_room_for_the_others_and_what_was_given_up_does_not() -> None:
    table = np.random.default_rng(6).standard_normal((20, 6))

    def last(different: list[bool] | None, equivalent: list[bool] | None) -> LookResult:
        family = Family(20, 0.05, 6)
        family.look(table[:10], [0.5] * 6, FEWEST, 0.5)
        *_, said = family.look(table, [0.5] * 6, FEWEST, 1.0, different, equivalent)
        assert said is not None
        return said

    five, none = [True] * 5 + [False], [False] * 6
    every = last(None, None)
    assert every == last(none, none)
    alone = last(five, none)
    assert alone.critical < every.critical
    assert alone.p < every.p
    assert (alone.critical_equivalence, alone.p_equivalence) == (
        every.critical_equivalence,
        every.p_equivalence,
    )
    alike = last(none, five)
    assert alike.critical_equivalence < every.critical_equivalence
    assert (alike.critical, alike.p) == (every.critical, every.p)


# ----------------------------------------------------------------------------------------- invariants


@given(tables(), st.sampled_from([0.25, 8.0, 1e6]))
@settings(max_examples=30)
def test_sides_units_and_order_of_comparisons_do_not_matter(table: np.ndarray, unit: float) -> None:
    comparisons = table.shape[1]

    def look(changed: np.ndarray, margin: float = 2.0) -> list[LookResult | None]:
        return Family(len(table), 0.05, comparisons, paths=2000).look(changed, [margin] * comparisons, FEWEST)

    one = look(table)
    turned, finer, reversed_ = look(-table), look(table * unit, 2.0 * unit), look(table[:, ::-1])[::-1]
    for a, b, c, d in zip(one, turned, finer, reversed_, strict=True):
        assert [x is None for x in (b, c, d)] == [a is None] * 3
        if a and b and c and d:
            assert b.mean == pytest.approx(-a.mean)
            for other in (b, c, d):
                assert (other.p, other.p_equivalence) == (a.p, a.p_equivalence)
                assert other.critical == pytest.approx(a.critical, rel=1e-6)
                assert (other.different, other.equivalent(2.0 * (unit if other is c else 1))) == (
                    a.different,
                    a.equivalent(2.0),
                )


def test_what_cannot_be_tested_is_not_of_the_family() -> None:
    table = np.random.default_rng(7).standard_normal((8, 4))
    table[:, 2] = 3.0  # no variance
    table[4:, 3] = NAN  # four pairs
    one, two, equal, few = Family(8, 0.05, 4, paths=4000).look(table, [0.5] * 4, FEWEST)
    assert equal is few is None
    assert [one, two] == Family(8, 0.05, 4, paths=4000).look(table[:, :2], [0.5] * 2, FEWEST)
    assert Family(8, 0.05, 2).look(table[:, 2:], [0.0] * 2, FEWEST) == [None, None]


@given(st.integers(2, 60), st.floats(-8, 8))
@settings(max_examples=80)
def test_students_t_and_z_of_the_squares(seeds: int, t: float) -> None:
    z = float(z_of_t(t, seeds))
    assert abs(z) < seeds**0.5
    assert critical_t(abs(z), seeds) == pytest.approx(abs(t), rel=1e-6, abs=1e-9)
    draw = np.random.default_rng(seeds).normal(t, 1, size=seeds)
    want = stats.ttest_1samp(draw, 0).statistic
    assert float(z_of_t(want, seeds)) == pytest.approx(draw.sum() / np.sqrt((draw**2).sum()))


def test_what_no_t_reaches() -> None:
    assert critical_t(3.0, 9) == math.inf  # |Σd|/√Σd² is √n at most
    assert critical_t(math.inf, 9) == math.inf
    assert critical_t(0.5, 1) == math.inf


def test_large_families_have_fewer_paths_but_never_too_few() -> None:
    assert len(Family(20, 0.05, 3).signs) == flips.PATHS
    assert len(Family(20, 0.05, 400).signs) == flips.MOST_NUMBERS // 400
    assert len(Family(20, 0.05, 10**5).signs) == flips.FEWEST_PATHS
    assert len(Family(10_000, 0.05, 2).signs) == flips.FEWEST_PATHS
    assert len(Family(20, 0.05, 3, paths=500).signs) == 500
    np.testing.assert_array_equal(Family(20, 0.05, 3).signs, Family(20, 0.05, 3).signs)


@given(st.integers(1, 400), st.integers(5, 12), st.floats(0.005, 0.3), st.integers(0, 10_000))
@settings(max_examples=150)
def test_p_is_below_what_may_be_spent_exactly_where_the_boundary_is_crossed(
    paths: int, seeds: int, alpha: float, seed: int
) -> None:
    """At the edges too: hardly any paths, an α that makes a whole number of them, ties, and an empty look."""
    alpha = math.ceil(alpha * (paths + 1)) / (paths + 1) if seed % 2 else alpha
    rng, found = np.random.default_rng(seed), Paths(paths, alpha)
    for n in range(5, seeds + 1):
        largest = rng.integers(0, 12, paths) / 8 if seed % 3 else rng.random(paths) * 1.5
        look = found.look(largest, n / seeds)
        for z in (*np.unique(largest).tolist(), 0.0, 1.5, 2.0):
            assert (look.p(z) < alpha * (n / seeds) ** 2 * (1 - 1e-9)) == (z > look.critical), (n, z)
