"""Welch and Brunner–Munzel against scipy, R's and the authors' examples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.statistics.signed_ranks import Superiority
from bench.statistics.unpaired import BrunnerMunzel, Welch, brunner_munzel, welch, welch_of_summaries

arms = st.tuples(*[st.lists(st.integers(0, 60), min_size=2, max_size=9)] * 2)


def test_students_sleep_unpaired():
    # R, ?t.test: t.test(extra ~ group, data = sleep): t = −1.8608, df = 17.776, p = 0.07939,
    # 95 % −3.3654832 to 0.2054832 hours. In tenths of an hour, moved up so that they are counts.
    first = np.add([7, -16, -2, -12, -1, 34, 37, 8, 0, 20], 16)
    second = np.add([19, 8, 11, 1, -1, 44, 55, 16, 46, 34], 16)
    got = welch(first, second, 100)
    hours = 100 / 10
    assert (round(got.t, 4), round(got.df, 3), round(got.p, 5)) == (-1.8608, 17.776, 0.07939)
    assert (got.low * hours, got.high * hours) == pytest.approx((-3.3654832, 0.2054832), abs=1e-7)


def test_brunner_and_munzels_pain_scores():
    # Brunner & Munzel (2000), as in R's lawstat: statistic 3.1375, df 17.683, p 0.005786;
    # P(X < Y) + ½P(X = Y) 0.788961, 95 % 0.5952169 to 0.9827052.
    yes, no = [1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 1, 1], [3, 3, 4, 3, 1, 2, 3, 1, 1, 5, 4]
    got = brunner_munzel(no, yes, 5)
    assert (round(got.df, 3), round(got.p, 6)) == (17.683, 0.005786)
    shown = got.superiority.estimate, got.superiority.low, got.superiority.high
    assert shown == pytest.approx((0.788961, 0.5952169, 0.9827052), abs=5e-7)


@given(arms)
@settings(max_examples=60)
def test_scipy_agrees(pair):
    a, b = pair
    got = welch(a, b, 100)
    if got.p is not None:
        want = stats.ttest_ind(a, b, equal_var=False)
        interval = want.confidence_interval()
        assert (got.t, got.df, got.p) == pytest.approx((want.statistic, want.df, want.pvalue), abs=1e-12)
        assert (100 * got.low, 100 * got.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
    ranked = brunner_munzel(a, b, 100)
    u = stats.mannwhitneyu(a, b).statistic
    assert ranked.superiority.estimate == pytest.approx(u / (len(a) * len(b)))
    if ranked.p is not None:
        assert ranked.p == pytest.approx(stats.brunnermunzel(a, b).pvalue, abs=1e-12)


@given(arms, st.integers(0, 30), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_mirrored_reordered_and_shifted(pair, gain, random):
    a, b = pair
    got, other = welch(a, b, 100), welch(b, a, 100)
    assert (other.p, other.se) == (got.p, got.se)
    assert other.estimate == -got.estimate
    if got.p is not None:
        assert 0 < got.p <= 1
        assert (other.low, other.high) == (-got.high, -got.low)
    ranked, flipped = brunner_munzel(a, b, 100), brunner_munzel(b, a, 100)
    assert flipped.superiority.estimate == pytest.approx(1 - ranked.superiority.estimate)
    if ranked.p is not None:
        assert 0 < ranked.p <= 1
        assert flipped.p == pytest.approx(ranked.p)
        assert flipped.superiority.low == pytest.approx(1 - ranked.superiority.high, abs=1e-12)
    shuffled, more = random.sample(a, len(a)), [x + gain for x in a]
    assert welch(shuffled, b, 100) == got == welch(more, [x + gain for x in b], 100)
    assert brunner_munzel(shuffled, b, 100) == ranked == brunner_munzel(more, [x + gain for x in b], 100)


@given(arms, st.integers(-(10**15), 10**15), st.floats(0.5, 0.999))
@settings(max_examples=60)
def test_whole_numbers_that_are_no_counts_and_other_levels(pair, shift, confidence):
    a, b = pair
    got, ranked = welch(a, b, 100), brunner_munzel(a, b, 100)
    assert welch(a, b, 100, bounded=False) == got
    assert brunner_munzel(a, b, 100, bounded=False) == ranked
    moved = [x + shift for x in a], [x + shift for x in b]
    assert welch(*moved, 100, bounded=False) == got
    assert brunner_munzel(*moved, 100, bounded=False) == ranked
    other = welch(a, b, 100, confidence)
    assert got.interval(confidence) == (None if other.low is None else (other.low, other.high))


def test_sums_beyond_64_bits():
    big = 4 * 10**18
    got = welch([big, big + 4, big + 8], [-big, -big, -big - 6], 10**9, bounded=False)
    assert got.estimate == pytest.approx(8e9)
    assert got.se == pytest.approx(np.sqrt((16 + 12) / 3) / 1e9)


def test_what_cannot_be_computed_is_none():
    assert welch([], [3], 10) == Welch(0, 1)
    assert welch([4], [3, 5], 10) == Welch(1, 2, 0.0)
    assert welch([5, 5], [3, 3], 10) == Welch(2, 2, 0.2, 0.0)
    assert welch([5, 5], [3, 4], 10).p is not None
    assert brunner_munzel([], [3], 10) == BrunnerMunzel(Superiority(0))
    assert brunner_munzel([4], [3, 5], 10) == BrunnerMunzel(Superiority(2, 0.5))
    assert brunner_munzel([8, 9], [3, 4], 10) == BrunnerMunzel(Superiority(4, 1.0))
    assert brunner_munzel([3, 3], [3, 3], 10) == BrunnerMunzel(Superiority(4, 0.5))


@pytest.mark.parametrize("test", [welch, brunner_munzel])
@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        ([0.9, 0.8], {}, "must be integers .*found float64"),
        ([11, 5], {}, "11 correct answers out of 10"),
        ([-1, 5], {}, "-1 correct answers out of 10"),
        ([5, 5], {"confidence": 95}, "confidence must lie between 0 and 1"),
    ],
)
def test_bad_requests(test, loss, options, message):
    with pytest.raises(ValueError, match=message):
        test(loss, [1, 2], 10, **options)


summaries = st.tuples(st.floats(-5, 5), st.floats(0.01, 3), st.integers(2, 40))


@given(summaries, summaries)
@settings(max_examples=60)
def test_from_summaries_it_is_scipys(ours: tuple[float, float, int], theirs: tuple[float, float, int]):
    got = welch_of_summaries(ours, theirs)
    expected = stats.ttest_ind_from_stats(*ours, *theirs, equal_var=False)
    assert (got.t, got.p) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)
    assert (got.n_loss, got.n_baseline) == (ours[2], theirs[2])


def test_from_summaries_of_the_runs_it_is_the_same():
    ours, theirs = [905, 910, 903, 915], [899, 890, 905]
    of_runs = welch(ours, theirs, 1000)
    of_means = welch_of_summaries(
        *((np.mean(a) / 1000, np.std(a, ddof=1) / 1000, len(a)) for a in (ours, theirs))
    )
    for name in ("estimate", "se", "df", "low", "high", "p"):
        assert getattr(of_means, name) == pytest.approx(getattr(of_runs, name)), name
    assert welch_of_summaries((0.9, 0.1, 1), (0.8, 0.1, 5)).p is None
    with pytest.raises(ValueError, match="deviations of 0 or more"):
        welch_of_summaries((0.9, -0.1, 3), (0.8, 0.1, 5))
