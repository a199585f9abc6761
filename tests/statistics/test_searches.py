"""The pooled best of T: enumeration, a leave-one-out loop, its symmetries, and what is refused."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.statistics.searches import (
    Pooled,
    best_of,
    best_of_weights,
    budgets_for,
    curve,
    difference,
    lost_searches,
    pooled,
    superior_from,
    without_each,
)

NAN = math.nan
whole = st.integers(-50, 50).map(float)
"""Few values, so that many tie."""
trials = st.lists(st.tuples(whole | st.just(NAN), whole), min_size=4, max_size=14).map(
    lambda rows: tuple(np.array(column) for column in zip(*rows, strict=True))
)
pairs = st.lists(st.tuples(whole, whole, whole, whole), min_size=8, max_size=24).map(
    lambda rows: tuple(np.array(column) for column in zip(*rows, strict=True))
)


def enumerated(validation, test, budget):
    """By definition: of every subset the best, of those that tie for it the mean."""
    ranked = np.where(np.isnan(validation), -np.inf, validation)
    found = []
    for chosen in map(list, combinations(range(len(ranked)), budget)):
        best = ranked[chosen] == ranked[chosen].max()
        found.append(test[chosen][best].mean())
    return np.mean(found)


@pytest.mark.parametrize(
    "validation",
    [
        [3, 1, 4, 1.5, 9, 2, 6, 5, 3.5],
        [3, 1, 4, 1, 5, 9, 2, 6, 5],
        [7, 7, 7, 7, 7, 7, 7, 7, 7],
        [NAN, 1, 4, 1, NAN, 9, NAN, 6, 9],
        [NAN, NAN, NAN, NAN, NAN, NAN, 1, 1, 0],
    ],
)
def test_it_is_the_mean_over_all_subsets(validation):
    validation, test = np.array(validation), np.random.default_rng(1).normal(size=9)
    # Of a subset whose best tie, each is drawn as often: the mean over subsets is that of the weights.
    assert best_of(validation, test, 4) == pytest.approx(enumerated(validation, test, 4), rel=1e-12)


@given(trials, st.data())
@settings(max_examples=80)
def test_weights_are_shares(scores, data):
    validation, test = scores
    budget = data.draw(st.integers(1, len(test)))
    weights = best_of_weights(validation, budget)
    assert weights.sum() == pytest.approx(1)
    assert weights.min() >= 0
    assert np.all(np.diff(weights[np.argsort(np.where(np.isnan(validation), -np.inf, validation))]) >= -1e-12)
    assert best_of(validation, test, 1) == pytest.approx(test.mean(), abs=1e-9)
    assert test.min() - 1e-9 <= best_of(validation, test, budget) <= test.max() + 1e-9


def test_weights_of_distinct_scores_are_binomials():
    weights = best_of_weights(np.arange(96.0), 16)
    assert weights == pytest.approx([math.comb(i, 15) / math.comb(96, 16) for i in range(96)], rel=1e-11)


@given(trials, st.data())
@settings(max_examples=80)
def test_leaving_one_out_is_a_loop(scores, data):
    validation, test = scores
    budget = data.draw(st.integers(1, len(test) - 1))
    loop = [best_of(np.delete(validation, k), np.delete(test, k), budget) for k in range(len(test))]
    assert without_each(validation, test, budget) == pytest.approx(loop, abs=1e-9)


@given(pairs, st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_the_order_of_the_settings_does_not_matter(scores, random):
    order = random.sample(range(len(scores[0])), len(scores[0]))
    one, other = pooled(*scores, 2), pooled(*(of[order] for of in scores), 2)
    same(one, other)


@given(pairs, whole)
@settings(max_examples=60)
def test_a_constant_shifts_and_no_more(scores, constant):
    va, xa, vb, xb = scores
    one, other = pooled(va, xa, vb, xb, 2), pooled(va + 7, xa + constant, vb - 3, xb, 2)
    assert other.estimate == pytest.approx(one.estimate + constant, abs=1e-9)
    assert other.se == pytest.approx(one.se, abs=1e-9)


@given(pairs)
@settings(max_examples=60)
def test_swapping_the_losses_mirrors_the_result(scores):
    va, xa, vb, xb = scores
    one, other = pooled(va, xa, vb, xb, 2), pooled(vb, xb, va, xa, 2)
    assert other.estimate == pytest.approx(-one.estimate, abs=1e-12)
    assert other.se == pytest.approx(one.se, abs=1e-12)
    if one.p is not None:
        assert (other.low, other.high) == pytest.approx((-one.high, -one.low), abs=1e-9)
        assert other.p == pytest.approx(one.p)


def same(one: Pooled, other: Pooled) -> None:
    for field in ("estimate", "se", "low", "high", "p", "t"):
        ours, theirs = getattr(one, field), getattr(other, field)
        assert ours is theirs is None or ours == pytest.approx(theirs, rel=1e-9, abs=1e-9), field


def scores_of(n, seed=3, lead=0.0):
    draw = np.random.default_rng(seed)
    test = draw.normal(size=(2, n)) + np.array([[lead], [0]])
    validation = test + 0.3 * draw.normal(size=(2, n))
    return validation[0], test[0], validation[1], test[1]


def test_the_standard_error_is_the_jackknifes():
    va, xa, vb, xb = scores_of(64)
    found = pooled(va, xa, vb, xb, 16, 0.9)
    keep = [np.arange(64) != k for k in range(64)]
    loop = np.array([best_of(va[k], xa[k], 16) - best_of(vb[k], xb[k], 16) for k in keep])
    assert found.se == pytest.approx(math.sqrt(63 / 64 * ((loop - loop.mean()) ** 2).sum()), rel=1e-10)
    assert (found.n, found.budget, found.df) == (64, 16, 8)
    assert found.t == pytest.approx(found.estimate / found.se)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(found.t), 8))
    reach = stats.t.isf(0.05, 8) * found.se
    assert (found.low, found.high) == pytest.approx((found.estimate - reach, found.estimate + reach))
    assert found.interval(0.9) == (found.low, found.high)
    assert found.spread == pytest.approx(2 * found.se)


def test_with_a_budget_of_one_it_is_the_paired_t_test_of_the_means():
    va, xa, vb, xb = scores_of(40)
    want = stats.ttest_rel(xa, xb)
    found = pooled(va, xa, vb, xb, 1)
    assert (found.t, found.df) == (pytest.approx(want.statistic), 80)


def test_many_at_once_are_each_alone():
    draw = np.random.default_rng(9)
    table = np.round(draw.normal(size=(4, 3, 32)), 1)
    table[0, 1, :3] = NAN
    estimates, errors = difference(*table, 4)
    for k in range(3):
        found = pooled(*table[:, k], 4)
        assert (found.estimate, found.se) == pytest.approx((estimates[k], errors[k]))


def test_equal_test_scores_have_no_spread():
    v = np.arange(32.0)
    found = pooled(v, np.full(32, 0.1), v, np.full(32, 0.3), 8)
    assert found == Pooled(32, 8, found.estimate, 0.0, 8.0)
    assert found.estimate == pytest.approx(-0.2)
    assert found.interval(0.9) is None


def test_where_a_search_may_come_to_nothing_there_is_no_p():
    va, xa, vb, xb = scores_of(96)
    assert lost_searches(va, 16) == 0
    some, most = va.copy(), va.copy()
    some[:48], most[:72] = NAN, NAN
    assert lost_searches(most, 16) == pytest.approx(6 * math.comb(72, 16) / math.comb(96, 16))
    assert pooled(some, xa, vb, xb, 16).p is not None
    for found in (pooled(most, xa, vb, xb, 16), pooled(vb, xb, most, xa, 16)):
        assert (found.se, found.p, found.interval(0.95), found.spread) == (None, None, None, None)
    # With one trial, half of the searches come to nothing: often enough to be seen.
    assert pooled(some, xa, vb, xb, 1).p is not None


def test_a_curve_is_the_best_of_each():
    va, xa, *_ = scores_of(32)
    assert curve(va, xa) == pytest.approx([best_of(va, xa, n) for n in range(1, 9)])
    assert curve(va, xa, [32, 2]) == pytest.approx([xa[va.argmax()], best_of(va, xa, 2)])
    assert curve(va[:3], xa[:3]).shape == (0,)


def test_the_grid_is_known_beforehand():
    assert budgets_for(96) == (1, 2, 4, 8, 16, 24)
    assert budgets_for(64) == (1, 2, 4, 8, 16)
    assert budgets_for(3) == ()


def test_superior_down_to_the_first_budget_that_fails():
    found = {}
    for lead in (0.0, 0.8, 3.0):
        scores = scores_of(64, lead=lead)
        p = {n: pooled(*scores, n) for n in budgets_for(64)}
        ahead = [n for n in p if p[n].estimate > 0 and p[n].p < 0.05]
        first = superior_from(*scores, budgets_for(64))
        assert first is None or [n for n in p if n >= first] == [n for n in ahead if n >= first]
        found[lead] = first
        va, xa, vb, xb = scores
        assert lead == 0 or superior_from(vb, xb, va, xa, budgets_for(64)) is None
    assert found[0.0] is None
    assert found[3.0] == 1
    # Better with few trials, no better with many: the largest budget fails, and nothing is said.
    v = np.arange(64.0)
    noise = np.random.default_rng(0).normal(size=64) / 100
    better_early = np.where(v < 40, 1.0, 0.0) + noise
    assert pooled(v, better_early, v, np.zeros(64), 1).p < 0.05
    assert superior_from(v, better_early, v, np.zeros(64), budgets_for(64)) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pooled(*scores_of(63), 16), "a budget of 16 needs at least 64 trials, found 63"),
        (lambda: pooled(*scores_of(64), 0), "between 1 and the 64 trials, found 0"),
        (
            lambda: pooled(*scores_of(64)[:2], *scores_of(65)[2:], 16),
            "same number of trials, found 64 and 65",
        ),
        (lambda: pooled(*scores_of(64), 16, 1.0), "confidence must lie between 0 and 1"),
        (lambda: best_of([1, 2], [1, NAN], 1), "one that diverged, that of a guess"),
        (lambda: best_of([1, 2], [1, 2, 3], 1), "needs both scores, found 2 and 3"),
        (lambda: best_of_weights([], 1), "one score a trial"),
        (lambda: without_each([1, 2], [1, 2], 2), "between 1 and the 1 trials, found 2"),
    ],
)
def test_bad_requests(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_false_alarms_by_simulation():
    """Scores of equal losses, best of 16 of 96: of 4000, one-sided .025, as t with 12 degrees of freedom."""
    draw = np.random.default_rng(5)
    quality = -draw.exponential(size=(2, 4000, 96))
    test = quality + 0.2 * draw.normal(size=quality.shape)
    validation = test + 0.4 * draw.normal(size=quality.shape)
    estimate, se = difference(validation[0], test[0], validation[1], test[1], 16)
    rates = [np.mean(sign * estimate > stats.t.isf(0.025, 12) * se) for sign in (1, -1)]
    assert max(rates) < 0.032
    assert np.mean(estimate > stats.norm.isf(0.025) * se) > max(rates)
