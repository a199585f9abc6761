"""Sign flips against Fisher's own count, scipy's enumeration and brute force; the sign test."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.statistics import permutation
from bench.statistics.permutation import SignFlip, SignTest, countable, sign_flip, sign_test

# Darwin's maize, in eighths of an inch, as in test_paired.
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]

counts = st.lists(st.integers(-6, 6), min_size=1, max_size=9)


def enumerated(differences: list[int]) -> float:
    signs = itertools.product([1, -1], repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(sign, differences, strict=True))) for sign in signs]
    return sum(s >= abs(sum(differences)) for s in sums) / len(sums)


def test_fishers_count_of_darwins_maize():
    # The Design of Experiments, § 21: of 32,768 ways to sign the differences, 863 give a sum of at least
    # 314, and as many at most −314: 1,726, or 5.267 per cent.
    result = sign_flip(DARWIN)
    assert result == SignFlip(15, 1726 / 32768, 2 / 32768)
    assert round(100 * result.p, 3) == 5.267


@given(counts)
@settings(max_examples=100)
def test_it_counts_what_enumeration_counts(differences):
    assert sign_flip(differences).p == enumerated(differences)


def test_scipy_agrees():
    draw = np.random.default_rng(3)
    differences = draw.integers(-60, 90, size=13)
    arms = (differences, np.zeros_like(differences))
    want = stats.permutation_test(
        arms,
        lambda loss, baseline, axis: (loss - baseline).sum(axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    assert sign_flip(differences).p == pytest.approx(want.pvalue, abs=1e-15)


@given(counts, st.randoms(use_true_random=False), st.integers(1, 1000))
@settings(max_examples=60)
def test_sign_order_and_unit_do_not_matter(differences, random, unit):
    result = sign_flip(differences)
    assert 0 < result.p_smallest <= result.p <= 1
    assert sign_flip([-d for d in differences]) == result
    assert sign_flip(random.sample(differences, len(differences))) == result
    assert sign_flip([unit * d for d in differences]) == result
    assert sign_flip([*differences, 0]).p == result.p
    assert sign_test([-d for d in differences]).p == sign_test(differences).p


def test_with_five_seeds_nothing_is_significant():
    result = sign_flip([10, 11, 12, 13, 14])
    assert result.p == result.p_smallest == 0.0625


def test_sixty_seeds_are_counted_exactly():
    # All equal: the sum of n signs is binomial, so scipy knows the answer to the last digit.
    differences = [7] * 38 + [-7] * 22
    want = stats.binomtest(38, 60).pvalue
    assert sign_flip(differences).p == pytest.approx(want, rel=1e-14)
    assert sign_flip([1] * 60).p == 2.0**-59
    assert sign_flip([20_000 + i for i in range(60)]).p == 2.0**-59


def test_forty_seeds_against_two_halves():
    """Meeting in the middle, an algorithm of its own: 2²⁰ sums of either half."""
    differences = np.random.default_rng(1).integers(-300, 420, size=40)

    def sums(half: np.ndarray) -> np.ndarray:
        found = np.zeros(1, dtype=np.int64)
        for d in half:
            found = np.concatenate([found + d, found - d])
        return np.sort(found)

    left, right = sums(differences[:20]), sums(differences[20:])
    reach = abs(differences.sum())
    below = np.searchsorted(right, -reach - left, side="right").sum()
    assert sign_flip(differences).p == 2 * int(below) / 2**40


@given(st.lists(st.integers(-(2**57), 2**57), min_size=1, max_size=10))
@settings(max_examples=100)
def test_large_numbers_are_counted_as_enumeration_counts_them(differences):
    result = sign_flip(differences)
    assert (result.p, result.exact) == (enumerated(differences), True)


@given(st.lists(st.integers(1, 60), min_size=2, max_size=24), st.floats(0, 1))
@settings(max_examples=100)
def test_two_halves_count_what_a_table_counts(sizes, share):
    most = int(share * sum(sizes))
    values = np.array(sizes)
    found = permutation._by_halves(values, most)
    assert found == permutation._by_table(values, most)
    assert found >= 1  # the empty one
    if most == sum(sizes):
        assert found == 2 ** len(sizes)


@pytest.mark.parametrize("seeds", [39, 40])
def test_forty_large_differences_are_counted_exactly(seeds):
    """Units of 10⁷ with so little added that only ties change; without it, the table counts them."""
    draw = np.random.default_rng(6)
    tens = draw.integers(-300, 420, size=seeds)
    differences = 10**7 * tens + draw.integers(-9, 10, size=seeds)
    fine, coarse = sign_flip(differences), sign_flip(10**7 * tens)
    ties = sign_flip([*tens]).p
    assert fine.exact
    assert coarse == sign_flip(tens)
    below = 2 * permutation._by_table(*_steps(tens, -1)) / 2 ** np.count_nonzero(tens)
    assert below < fine.p < ties == coarse.p


def _steps(differences: np.ndarray, more: int) -> tuple[np.ndarray, int]:
    sizes, most = permutation._in_steps(differences)
    return sizes, most + more


def test_sums_up_to_the_largest_do_not_overflow():
    """40 differences of nearly 2⁵⁵: 28 of one sign, so their p is that of the binomial, but for the ties."""
    draw = np.random.default_rng(7)
    differences = (2**55 - draw.integers(1, 2**20, size=40)) * np.repeat([1, -1], [28, 12])
    result = sign_flip(differences)
    assert result.exact
    more, tied = stats.binom.sf(28, 40, 0.5), stats.binom.pmf(28, 40, 0.5)
    assert 2 * more < result.p < 2 * (more + tied)
    assert sign_flip(-differences) == result
    assert sign_flip(draw.permutation(differences)) == result


def test_what_can_be_counted_is_known_beforehand():
    draw = np.random.default_rng(9)
    for seeds in (0, 1, 5, 40, 41, 60, 61):
        for unit in (1, 10**9):
            differences = unit * draw.integers(-90, 99, size=seeds) + draw.integers(0, unit, size=seeds)
            assert countable(differences) == sign_flip(differences, resamples=9).exact
            assert countable(differences) == (seeds <= (60 if unit == 1 else 40))
            assert countable([*differences, *-differences])  # sum 0: p is 1
            assert countable(np.abs(differences)) or seeds > 60  # only one sum is as far from 0
    assert countable([0] * 99)
    with pytest.raises(ValueError, match="must be signed integers"):
        countable([0.5])


def test_simulation_says_how_wrong_it_may_be():
    differences = np.rint(np.random.default_rng(4).normal(3, 20, size=80)).astype(int)
    result = sign_flip(differences, resamples=40_000)
    assert not result.exact
    z = differences.sum() / math.sqrt((differences**2).sum())
    assert result.p == pytest.approx(2 * stats.norm.sf(abs(z)), abs=4 * result.p_error + 0.003)
    assert result.p_error == pytest.approx(math.sqrt(result.p * (1 - result.p) / 40_001))
    assert sign_flip(differences, resamples=40_000) == result
    assert sign_flip(differences, resamples=40_000, seed=1) != result
    assert sign_flip(-differences, resamples=40_000) == result


def test_simulation_where_neither_can_count(monkeypatch):
    differences = [10**9 * d + place for place, d in enumerate(DARWIN)]
    exact = sign_flip(differences)
    assert exact.exact
    monkeypatch.setattr(permutation, "HALVES", 14)
    simulated = sign_flip(differences, resamples=200_000)
    assert not simulated.exact
    assert simulated.p == pytest.approx(exact.p, abs=4 * simulated.p_error)


def test_a_simulated_p_is_never_zero():
    assert sign_flip([5] * 100, resamples=99).p == 0.01


def test_nothing_and_nothing_but_zeros():
    assert sign_flip([]) == SignFlip(0)
    assert sign_flip([0, 0, 0]) == SignFlip(3, 1.0, 1.0)
    assert sign_flip([4]) == SignFlip(1, 1.0, 1.0)
    assert sign_test([]) == SignTest(0, 0, 0, None)
    assert sign_test([0, 0]) == SignTest(0, 0, 2, 1.0)


def test_the_sign_test_of_deer_legs():
    # Zar, Biostatistical Analysis, as told by Wikipedia ("Sign test"): the left hind leg of 8 deer of 10 was
    # the longer one; two-sided p = 0.109375.
    legs = [4, 4, -3, 5, -1, 5, 6, 1, 6, 2]
    assert sign_test(legs) == SignTest(8, 2, 0, pytest.approx(0.109375, rel=1e-12))


@pytest.mark.parametrize(
    ("differences", "message"),
    [
        ([0.1, 0.2], "must be signed integers .*found float64"),
        ([float("nan")], "must be signed integers .*found float64"),
        (np.array([1, 2], dtype=np.uint8), "must be signed integers .*found uint8"),
        ([True], "must be signed integers .*found bool"),
        ([[1]], "one number a seed"),
        ([2**62, 2**62], "overflow"),
    ],
)
@pytest.mark.parametrize("test", [sign_flip, sign_test])
def test_bad_differences(test, differences, message):
    with pytest.raises(ValueError, match=message):
        test(differences)


def test_no_resamples():
    with pytest.raises(ValueError, match="resamples must be at least 1, found 0"):
        sign_flip([1], resamples=0)
