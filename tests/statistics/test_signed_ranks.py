"""Signed ranks against scipy, two textbook examples and enumeration; P(A > B) and its promised coverage."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.statistics.permutation import sign_test
from bench.statistics.signed_ranks import SignedRank, Superiority, paired_superiority, wilcoxon, worst_rank

counts = st.lists(st.integers(-4, 4), min_size=1, max_size=9)


def test_scipys_darwin():
    # scipy.stats.wilcoxon, Examples (Darwin's maize): statistic 24.0, p 0.041259765625.
    result = wilcoxon([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75])
    assert (result.w_minus, result.p) == (24.0, 0.041259765625)


def test_rs_depression():
    # R, ?wilcox.test, after Hollander & Wolfe (1973), p. 29 f.: V = 40, p = 0.01953 one-sided.
    first = [1830, 500, 1620, 2480, 1680, 1880, 1550, 3060, 1300]
    second = [878, 647, 598, 2050, 1060, 1290, 1060, 3140, 1290]
    result = wilcoxon(np.subtract(first, second))
    assert result.w_plus == 40
    assert result.p / 2 == pytest.approx(0.01953, abs=5e-6)


@pytest.mark.parametrize("zeros", ["pratt", "wilcox"])
@given(counts)
@settings(max_examples=60)
def test_enumeration_agrees_with_zeros_and_ties(zeros, differences):
    d = np.array(differences)
    ranked = d if zeros == "pratt" else d[d != 0]
    ranks = stats.rankdata(np.abs(ranked))[ranked != 0]
    signs = np.sign(ranked[ranked != 0])
    result = wilcoxon(differences, zeros)
    assert result.w_plus == ranks[signs > 0].sum()
    assert result.w_minus == ranks[signs < 0].sum()
    every = [abs(np.dot(flips, ranks)) for flips in itertools.product([1, -1], repeat=len(ranks))]
    assert result.p == np.mean(np.array(every) >= abs(np.dot(signs, ranks)))


def test_scipy_agrees_with_zeros_and_ties():
    differences = [5, 3, 0, -2, 3, 3, 8, -1, 0, 4, 4]
    every = stats.PermutationMethod(n_resamples=np.inf)
    for zeros in ("pratt", "wilcox"):
        want = stats.wilcoxon(differences, zero_method=zeros, method=every).pvalue
        assert wilcoxon(differences, zeros).p == pytest.approx(want)


def test_zeros_can_be_treated_in_two_ways():
    differences = [0, 0, 0, 1, 2, -3, 4]
    assert wilcoxon(differences, "pratt").p != wilcoxon(differences, "wilcox").p
    assert wilcoxon(differences, "wilcox").p == wilcoxon([1, 2, -3, 4]).p


@given(st.lists(st.integers(-4, 4), max_size=7), st.integers(0, 3), st.integers(0, 3), st.integers(0, 2))
@settings(max_examples=60)
def test_failed_runs_are_the_worst_of_all(finished, lost, lost_by_baseline, both):
    """Whatever number stands for them, as long as it is the largest; in scipy's hands, and by ours."""
    result = worst_rank(np.array(finished, dtype=np.int64), lost, lost_by_baseline, both)
    values = [*finished, *[-999] * lost, *[999] * lost_by_baseline, *[0] * both]
    if not values:
        assert result.p is None
        return
    assert result == wilcoxon(values)
    assert result.n == len(finished) + lost + lost_by_baseline + both
    if any(values) and len(values) > 1:  # which scipy needs
        every = stats.PermutationMethod(n_resamples=np.inf)
        want = stats.wilcoxon(values, zero_method="pratt", method=every).pvalue
        assert result.p == pytest.approx(want)
    mirrored = worst_rank([-d for d in finished], lost_by_baseline, lost, both)
    assert (mirrored.p, mirrored.w_plus, mirrored.w_minus) == (result.p, result.w_minus, result.w_plus)


def test_a_loss_that_fails_is_worse_however_good_its_other_runs_are():
    better = [5, 6, 7, 8, 9, 10]
    assert worst_rank(better, 0, 0).p == 2 / 2**6
    assert worst_rank(better, 1, 0).p > 0.05  # one failure, and it is no longer shown to be better
    worse = worst_rank([1, 1, -1], 9, 0)
    assert worse.w_minus > worse.w_plus
    assert worse.p < 0.05


@pytest.mark.parametrize("zeros", ["pratt", "wilcox"])
def test_above_sixty_scipys_approximation(zeros):
    differences = np.rint(np.random.default_rng(2).normal(0.8, 4, size=90)).astype(int)
    want = stats.wilcoxon(differences, zero_method=zeros, method="asymptotic").pvalue
    result = wilcoxon(differences, zeros)
    assert not result.exact
    assert result.p == pytest.approx(want)


@given(st.lists(st.integers(-30, 30), min_size=1, max_size=70), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_mirrored_and_reordered(differences, random):
    result, mirrored = wilcoxon(differences), wilcoxon([-d for d in differences])
    assert 0 < result.p <= 1
    assert (mirrored.p, mirrored.w_plus, mirrored.w_minus) == (result.p, result.w_minus, result.w_plus)
    assert wilcoxon(random.sample(differences, len(differences))) == result
    beaten, won = paired_superiority([-d for d in differences]), paired_superiority(differences)
    assert beaten.estimate == pytest.approx(1 - won.estimate)
    assert (beaten.low, beaten.high) == pytest.approx((1 - won.high, 1 - won.low))


def test_nothing_and_nothing_but_zeros():
    assert wilcoxon([]) == SignedRank(0, 0, "pratt", 0, 0)
    assert wilcoxon([0, 0]) == SignedRank(2, 0, "pratt", 0, 0, 1.0)
    assert wilcoxon([0, 0], "wilcox") == SignedRank(2, 0, "wilcox", 0, 0, 1.0)
    assert paired_superiority([]) == Superiority(0)


@pytest.mark.parametrize(
    ("wins", "n", "low", "high"),
    [(13, 16, 0.5435, 0.9595), (10, 10, 0.6915, 1.0), (0, 10, 0.0, 0.3085)],
)
def test_clopper_pearson(wins, n, low, high):
    # R package contingencytables, its tests of ClopperPearson_exact_CI_1x2 (Fagerland, Lydersen & Laake,
    # Statistical Analysis of Contingency Tables, 2017).
    result = paired_superiority([1] * wins + [-1] * (n - wins))
    assert result.estimate == wins / n
    assert (round(result.low, 4), round(result.high, 4)) == (low, high)


def test_ties_count_half():
    result = paired_superiority([3, 0, 0, -1, 2, 5])
    assert result.estimate == pytest.approx(4 / 6)
    one_tie = paired_superiority([1, 1, 1, 0])
    assert one_tie.low == paired_superiority([1, 1, 1, -1]).low
    assert one_tie.high == paired_superiority([1, 1, 1, 1]).high


@given(st.lists(st.integers(-3, 3).filter(bool), min_size=1, max_size=12))
@settings(max_examples=100)
def test_it_never_contradicts_the_sign_test(differences):
    result = paired_superiority(differences)
    assert (result.low > 0.5 or result.high < 0.5) == (sign_test(differences).p < 0.05)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_coverage_is_at_least_what_is_promised(n):
    """Over every outcome of n seeds, for many chances of winning and of a tie: exact, no simulation."""
    outcomes = [(w, t, n - w - t) for w in range(n + 1) for t in range(n + 1 - w)]
    intervals = [paired_superiority([1] * w + [0] * t + [-1] * b) for w, t, b in outcomes]
    for win, tie in itertools.product(np.linspace(0.01, 0.99, 15), [0.0, 0.1, 0.5]):
        lose = 1 - win - tie
        if lose < 0:
            continue
        truth = win + tie / 2
        covered = sum(
            math.comb(n, w) * math.comb(n - w, t) * win**w * tie**t * lose**b
            for (w, t, b), got in zip(outcomes, intervals, strict=True)
            if got.low <= truth <= got.high
        )
        assert covered >= 0.95


def test_bad_requests():
    with pytest.raises(ValueError, match="zeros must be 'pratt' or 'wilcox', found 'zsplit'"):
        wilcoxon([1], "zsplit")
    with pytest.raises(ValueError, match=r"must be signed integers .*found float64"):
        wilcoxon([float("nan")])
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1, found 95"):
        paired_superiority([1], confidence=95)
