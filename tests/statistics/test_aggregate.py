"""Interquartile mean, bootstrap and profiles against scipy, a plain bootstrap, and published examples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from bench.statistics.aggregate import (
    aggregate,
    interquartile_mean,
    mean,
    median,
    optimality_gap,
    performance_profile,
    stratified_bootstrap,
)

STATISTICS = [interquartile_mean, mean, median, optimality_gap]
shapes = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5))
scores = arrays.arrays(np.float64, shapes, elements=st.integers(0, 8).map(lambda k: k / 8))
SOME = np.random.default_rng(3).beta(6, 2, size=(3, 7, 5))


def test_published_interquartile_means():
    # Wikipedia, "Interquartile mean": 12 observations with mean 6.5 of the middle six; and nine that are
    # symmetric around 9, as their mean is whatever is cut off.
    twelve = np.array([5, 8, 4, 38, 8, 6, 9, 7, 7, 3, 1, 6])
    assert interquartile_mean(twelve.reshape(1, 3, 4)) == pytest.approx([6.5])
    assert interquartile_mean(np.arange(1, 18, 2).reshape(3, 3)) == pytest.approx(9)


def test_scipys_trimmed_mean_agrees():
    for shape in ((26, 10), (7, 5), (1, 1), (1, 3), (2, 2)):
        values = np.random.default_rng(1).normal(size=shape)
        assert interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25, axis=None))


def test_the_other_statistics_by_their_definitions():
    assert mean(SOME) == pytest.approx(SOME.mean(axis=(1, 2)))
    assert median(SOME) == pytest.approx([np.median([task.mean() for task in method]) for method in SOME])
    gap = [np.mean([max(0.8 - score, 0) for score in method.ravel()]) for method in SOME]
    assert optimality_gap(SOME, 0.8) == pytest.approx(gap)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_bootstrap_is_a_plain_bootstrap(statistic):
    """Mean and standard deviation of resamples drawn one at a time, with ``random.choice`` for each task."""
    rng = np.random.default_rng(2)
    plain = []
    for _ in range(3000):
        drawn = [[rng.choice(task, len(task)) for task in method] for method in SOME]
        plain.append(statistic(np.array(drawn)))
    draws = stratified_bootstrap(SOME, statistic, resamples=3000)
    assert draws.shape == (3000, 3)
    spread = np.std(plain, axis=0)
    assert np.abs(draws.mean(axis=0) - np.mean(plain, axis=0)).max() < 5 * spread.max() * (2 / 3000) ** 0.5
    assert draws.std(axis=0) == pytest.approx(spread, rel=0.08)
    assert np.corrcoef(draws.T)[0, 1] == pytest.approx(0, abs=0.08)


def test_the_fast_way_finds_what_the_general_way_finds():
    """The same draws, once through sorted places and once through the scores themselves; with ties."""
    tied = np.round(SOME, 1)

    def by_scores(values):
        return interquartile_mean(values)

    for values in (SOME, tied):
        fast = stratified_bootstrap(values, interquartile_mean, 200, seed=9)
        assert fast == pytest.approx(stratified_bootstrap(values, by_scores, 200, seed=9), abs=1e-14)


def test_memory_is_taken_in_pieces(monkeypatch):
    monkeypatch.setattr("bench.statistics.aggregate.CHUNK", 3 * SOME.size)
    draws = stratified_bootstrap(SOME, resamples=100)
    assert draws.shape == (100, 3)
    assert len(np.unique(draws[:, 0])) > 50


def test_all_resamples_of_a_tiny_case():
    """Two runs on one task: four resamples, equally likely."""
    draws = stratified_bootstrap([[[0.0, 1.0]]], mean, resamples=20_000)[:, 0]
    for value, share in ((0.0, 0.25), (0.5, 0.5), (1.0, 0.25)):
        assert np.mean(draws == value) == pytest.approx(share, abs=0.015)


def test_paired_draws_cancel_what_seeds_share():
    twins = np.stack([SOME[0], SOME[0] + 0.01])
    paired = np.diff(stratified_bootstrap(twins, mean, 500, paired=True), axis=1)
    apart = np.diff(stratified_bootstrap(twins, mean, 500), axis=1)
    assert paired == pytest.approx(0.01)
    assert apart.std() > 0.005


def test_an_interval_holds_its_share_of_the_draws():
    found = aggregate(SOME, confidence=0.9, seed=4)
    draws = stratified_bootstrap(SOME, seed=4)
    assert ((draws >= found.low) & (draws <= found.high)).mean(axis=0) == pytest.approx(0.9, abs=2e-3)
    assert found.estimate == pytest.approx(interquartile_mean(SOME))
    assert (found.low < found.estimate).all()
    assert (found.estimate < found.high).all()


def test_the_coverage_of_the_interval_for_the_mean():
    """Ten runs on each of five tasks, 300 experiments: a little under .95, as percentile intervals are."""
    rng = np.random.default_rng(6)
    experiments = rng.normal(0.5, 0.1, size=(300, 5, 10))
    found = aggregate(experiments, mean, resamples=400)
    covered = ((found.low <= 0.5) & (found.high >= 0.5)).mean()
    assert covered == pytest.approx(0.94, abs=0.045)


def binomial_sum(counts, runs):
    """The distribution of a sum of Binomial(runs, k/runs), one for each task, by convolution."""
    law = np.ones(1)
    for k in counts:
        law = np.convolve(law, stats.binom.pmf(np.arange(runs + 1), runs, k / runs))
    return law


def test_profiles_and_their_bands_by_convolution():
    levels = [0.3, 0.6, 0.75, 0.8, 0.99]
    found = performance_profile(SOME, levels, confidence=0.9)
    for method, (place, level) in itertools.product(range(3), enumerate(levels)):
        above = SOME[method] > level
        assert found.share[method, place] == pytest.approx(above.mean())
        cumulative = np.cumsum(binomial_sum(above.sum(axis=1), 5))
        for bound, q in ((found.low, 0.05), (found.high, 0.95)):
            assert bound[method, place] == pytest.approx(np.searchsorted(cumulative, q - 1e-12) / 35)


def test_the_band_is_that_of_the_bootstrap():
    found = performance_profile(SOME, [0.75])

    def share(values):
        return (values > 0.75).mean(axis=(-2, -1))

    draws = stratified_bootstrap(SOME, share, resamples=20_000)
    for q, bound in ((0.025, found.low), (0.975, found.high)):
        assert bound[:, 0] == pytest.approx(np.quantile(draws, q, axis=0), abs=1 / 35 + 1e-9)


def test_a_share_that_is_reached_exactly_is_reached():
    # One of two runs above: 0, 1 or 2 of a resample with .25, .5 and .25, so the quartiles are 0 and 1.
    found = performance_profile([[[0.0, 1.0]]], [0.5], confidence=0.5)
    assert (found.low[0, 0], found.high[0, 0]) == (0, 0.5)


@given(scores, st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_the_order_of_methods_tasks_and_runs_does_not_matter(values, random):
    methods, tasks, runs = (random.sample(range(size), size) for size in values.shape)
    mixed = values[np.ix_(methods, tasks, runs)]
    for statistic in STATISTICS:
        assert statistic(mixed) == pytest.approx(statistic(values)[methods])
    levels = [0.1, 0.5, 0.9]
    one, other = performance_profile(values, levels), performance_profile(mixed, levels)
    for field in ("share", "low", "high"):
        assert getattr(other, field) == pytest.approx(getattr(one, field)[methods])


@given(scores)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_turning_scores_upside_down_mirrors_the_result(values):
    for statistic in (interquartile_mean, mean, median):
        one = aggregate(values, statistic, resamples=40)
        other = aggregate(1 - values, statistic, resamples=40)
        assert other.estimate == pytest.approx(1 - one.estimate)
        assert other.low == pytest.approx(1 - one.high)


@given(scores)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_profiles_fall_and_stay_shares(values):
    found = performance_profile(values, np.linspace(-0.1, 1, 7))
    assert (found.share[:, 0] == 1).all()
    assert (found.share[:, -1] == 0).all()
    assert (np.diff(found.share, axis=1) <= 0).all()
    assert ((found.low >= 0) & (found.low <= found.share + 1e-9)).all()
    assert ((found.high <= 1) & (found.high >= found.share - 1e-9)).all()


def test_degenerate_scores():
    constant = aggregate(np.full((2, 3, 1), 0.7), resamples=10)
    assert constant.low == pytest.approx([0.7, 0.7])
    assert constant.high == pytest.approx([0.7, 0.7])
    # One run a task: there is nothing to draw from, and the interval says so by having no width.
    single = aggregate(SOME[:, :, :1], resamples=10)
    assert single.low == pytest.approx(single.estimate)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([[0.5, 0.6]], {}, r"\[methods, tasks, runs\], none of them 0; found shape \(1, 2\)"),
        (np.zeros((2, 0, 3)), {}, "none of them 0"),
        ([[[0.5, np.nan]]], {}, "finite numbers; leave out methods or tasks with missing runs"),
        (SOME, {"confidence": 95}, "confidence must lie between 0 and 1, found 95"),
        (SOME, {"resamples": 0}, "at least one, found 0"),
    ],
)
def test_bad_requests(values, options, message):
    with pytest.raises(ValueError, match=message):
        aggregate(values, **options)


@pytest.mark.parametrize("levels", [[], [0.5, 0.5], [0.5, np.nan], 0.5])
def test_thresholds_that_do_not_rise(levels):
    with pytest.raises(ValueError, match="thresholds must be rising numbers"):
        performance_profile(SOME, levels)
