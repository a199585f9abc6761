"""The paired t-test against scipy, two famous experiments, its symmetries, and its promised error rates."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.statistics.paired import PairedT, p_of_t, paired_t, t_interval

# Darwin's maize: cross- minus self-fertilised plants, in eighths of an inch (Fisher, The Design of
# Experiments, 1935, chapter III).
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]

# Additional sleep under the second drug over the first, in tenths of an hour (Student, 1908, table I).
SLEEP = [12, 24, 13, 13, 0, 10, 18, 8, 46, 14]

TOTAL = 1000
counts = st.lists(st.integers(-50, 50), min_size=2, max_size=12)


def test_darwins_maize():
    result = paired_t(DARWIN, TOTAL)
    assert (result.n, result.df) == (15, 14)
    # R, t.test(HistData::ZeaMays$diff), in inches: t = 2.148, p = 0.0497, 2.616667 [0.003899165, 5.229434169]
    assert result.t == pytest.approx(2.148, abs=5e-4)
    assert result.p == pytest.approx(0.0497, abs=5e-5)
    inches = TOTAL / 8
    assert result.estimate * inches == pytest.approx(2.616667, abs=1e-6)
    assert result.low * inches == pytest.approx(0.003899165, abs=1e-9)
    assert result.high * inches == pytest.approx(5.229434169, abs=1e-9)


def test_students_sleep():
    # R, datasets::sleep, paired t.test: t = 4.0621, df = 9, p = 0.002833, 1.58 [0.7001142, 2.4598858] hours
    result = paired_t(SLEEP, TOTAL)
    hours = TOTAL / 10
    assert result.t == pytest.approx(4.0621, abs=5e-5)
    assert result.p == pytest.approx(0.002833, abs=5e-7)
    shown = [result.estimate * hours, result.low * hours, result.high * hours]
    assert shown == pytest.approx([1.58, 0.7001142, 2.4598858], abs=1e-7)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
def test_scipy_agrees(confidence):
    draw = np.random.default_rng(7)
    loss, baseline = draw.integers(9000, 9100, size=(2, 12))
    result = paired_t(loss - baseline, 10_000, confidence)
    want = stats.ttest_rel(loss / 10_000, baseline / 10_000)
    interval = want.confidence_interval(confidence)
    assert (result.t, result.p, result.df) == pytest.approx((want.statistic, want.pvalue, want.df))
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))
    assert result.sd == pytest.approx(((loss - baseline) / 10_000).std(ddof=1))
    assert result.se == pytest.approx(result.sd / math.sqrt(12))


@given(counts)
@settings(max_examples=60)
def test_swapping_the_arms_mirrors_the_result(differences):
    one, other = paired_t(differences, TOTAL), paired_t([-d for d in differences], TOTAL)
    assert other.estimate == -one.estimate
    assert (other.sd, other.se, other.p) == (one.sd, one.se, one.p)
    if one.t is not None:
        assert (other.t, other.low, other.high) == (-one.t, -one.high, -one.low)


@given(counts, st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_the_order_of_the_seeds_does_not_matter(differences, random):
    shuffled = random.sample(differences, len(differences))
    assert paired_t(shuffled, TOTAL) == paired_t(differences, TOTAL)


@given(counts, st.lists(st.integers(0, 900), min_size=12, max_size=12), st.integers(0, 50))
@settings(max_examples=60)
def test_what_both_arms_gain_cancels(differences, baseline, gain):
    base = np.array(baseline[: len(differences)])
    loss = base + differences
    assert paired_t((loss + gain) - (base + gain), TOTAL) == paired_t(loss - base, TOTAL)


@given(counts)
@settings(max_examples=100)
def test_p_is_a_probability_and_agrees_with_the_interval(differences):
    result = paired_t(differences, TOTAL)
    if len(set(differences)) == 1:
        assert result.p is None
    else:
        assert 0 < result.p <= 1
        assert result.low < result.estimate < result.high
        if abs(result.p - 0.05) > 1e-9:
            assert (result.p < 0.05) == (result.low > 0 or result.high < 0)


def test_what_cannot_be_computed_is_none():
    assert paired_t([], TOTAL) == PairedT(n=0)
    assert paired_t([7], TOTAL) == PairedT(n=1, estimate=0.007)
    assert paired_t([7, 7, 7], TOTAL) == PairedT(n=3, estimate=0.007, sd=0.0, se=0.0, df=2)
    assert paired_t([0, 0], TOTAL) == PairedT(n=2, estimate=0.0, sd=0.0, se=0.0, df=1)


@given(counts)
@settings(max_examples=60)
def test_whole_numbers_that_are_no_counts_are_tested_alike(differences):
    assert paired_t(differences, TOTAL, bounded=False) == paired_t(differences, TOTAL)


def test_a_metric_in_billionths():
    """Perplexities: differences of several units, so whole numbers far above the total."""
    draw = np.random.default_rng(11)
    loss, baseline = np.rint(draw.normal([[31.0], [28.0]], 4.0, size=(2, 9)) * 1e9) / 1e9
    result = paired_t(np.rint((loss - baseline) * 1e9).astype(np.int64), 10**9, 0.9, bounded=False)
    want = stats.ttest_rel(loss, baseline)
    interval = want.confidence_interval(0.9)
    assert (result.t, result.p) == pytest.approx((want.statistic, want.pvalue), rel=1e-9)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert result.estimate == pytest.approx((loss - baseline).mean(), rel=1e-9)
    with pytest.raises(ValueError, match="images out of 1000000000 cannot be"):
        paired_t(np.rint((loss - baseline) * 1e9).astype(np.int64), 10**9)


def test_differences_in_the_last_place_are_no_ties():
    """10¹⁸ and one more: equal as floats, but not here."""
    result = paired_t([10**18, 10**18 + 1, 10**18 + 2], 10**9, bounded=False)
    assert result.sd == 1e-9
    assert paired_t([10**18] * 3, 10**9, bounded=False) == PairedT(3, 1e9, 0.0, 0.0, 2)


@given(counts, st.floats(0.5, 0.999))
@settings(max_examples=60)
def test_an_interval_at_another_level_is_that_of_the_test_at_that_level(differences, confidence):
    result, other = paired_t(differences, TOTAL), paired_t(differences, TOTAL, confidence)
    assert result.interval(confidence) == (None if other.low is None else (other.low, other.high))
    assert result.interval(0.95) == (None if result.low is None else (result.low, result.high))


def test_there_is_no_interval_without_a_spread():
    for differences in ([], [7], [7, 7, 7]):
        assert paired_t(differences, TOTAL).interval(0.9) is None
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1, found 1"):
        paired_t([], TOTAL).interval(1)


@pytest.mark.parametrize("df", [1, 3.7, 19, math.inf])
def test_the_distribution_is_that_of_scipys_t(df):
    for t in (0.0, 0.4, -3.0, 40.0):
        assert p_of_t(t, df) == pytest.approx(max(2 * stats.t.sf(abs(t), df), math.ulp(0.0)), rel=1e-13)
    for confidence in (0.5, 0.95, 0.99999):
        reach = 3 * stats.t.isf((1 - confidence) / 2, df)
        assert t_interval(2.0, 3.0, df, confidence) == pytest.approx((2 - reach, 2 + reach), rel=1e-13)


def test_a_p_too_small_for_a_float_is_not_zero():
    assert paired_t([10**9] * 100 + [10**9 - 1] * 100, 10**9).p == math.ulp(0.0)


def test_counts_too_large_for_int64_sums_do_not_overflow():
    result = paired_t(np.array([4 * 10**18, -(4 * 10**18), 4 * 10**18]), 4 * 10**18)
    assert result.estimate == pytest.approx(1 / 3)
    assert result.sd == pytest.approx(np.std([1, -1, 1], ddof=1))


@pytest.mark.parametrize(
    ("differences", "total", "confidence", "message"),
    [
        ([0.1, 0.2], 10, 0.95, "must be signed integers .*found float64"),
        (np.array([1, 2], dtype=np.uint16), 10, 0.95, "must be signed integers .*found uint16"),
        ([True, False], 10, 0.95, "must be signed integers .*found bool"),
        ([[1, 2]], 10, 0.95, r"one number a seed, found an array of shape \(1, 2\)"),
        ([1, -12], 10, 0.95, "a difference of -12 images out of 10"),
        ([1, 2], 0, 0.95, "at least one image, found 0"),
        ([1, 2], 10, 95, "confidence must lie between 0 and 1, found 95"),
    ],
)
def test_bad_requests(differences, total, confidence, message):
    with pytest.raises(ValueError, match=message):
        paired_t(differences, total, confidence)


def test_error_rates_by_simulation():
    """5 % false alarms and 95 % coverage over 2,000 experiments: within three binomial standard errors."""
    draw = np.random.default_rng(3)
    experiments = np.rint(draw.normal(loc=8, scale=20, size=(2000, 6))).astype(int)
    covered = [r.low < 0.008 < r.high for r in (paired_t(e, TOTAL) for e in experiments)]
    alarms = [paired_t(e - 8, TOTAL).p < 0.05 for e in experiments]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)
    assert np.mean(alarms) == pytest.approx(0.05, abs=0.015)


def test_a_result_is_a_value():
    with pytest.raises(dataclasses.FrozenInstanceError):
        paired_t(SLEEP, TOTAL).p = 0.01
