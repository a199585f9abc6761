"""Simulated plans against exact power, published error rates and a loop that looks seed by seed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.statistics.futility import prospects
from bench.statistics.operating_characteristics import operating_characteristics
from bench.statistics.planning import power_of_t
from bench.statistics.sequential import critical_t, log_e_value
from bench.statistics.stopping import Plan, Rule


def simulate(effects, experiments=4000, **plan):
    return operating_characteristics(Plan(**plan), effects, experiments, seed=1)


def test_the_fixed_design_has_its_exact_power():
    none, some = simulate([0.0, 0.8], start=2, step=1, largest=15, rule=Rule.FIXED)
    assert none.decided == pytest.approx(0.05, abs=3 * none.decided_se + 0.003)
    assert some.power == pytest.approx(power_of_t(0.8 * 15**0.5, 14, 0.05), abs=4 * some.decided_se)
    assert (some.mean_n, some.mean_n_se, some.futile) == (15, 0, 0)
    assert some.undecided == pytest.approx(1 - some.decided)


def test_looking_after_every_seed_multiplies_false_alarms():
    # By 20 seeds, looked at from the fifth on, .19; with known σ and from the first, .248 (Armitage et al.).
    (naive,) = simulate([0.0], start=5, step=1, largest=20, rule=Rule.NAIVE)
    assert naive.decided == pytest.approx(0.19, abs=0.025)
    assert naive.power == 0
    draws = np.random.default_rng(8).standard_normal((4000, 20))
    p = [stats.ttest_1samp(draws[:, :n], 0, axis=1).pvalue for n in range(5, 21)]
    assert naive.decided == pytest.approx((np.min(p, axis=0) < 0.05).mean(), abs=0.03)


@pytest.mark.parametrize("rule", [Rule.E_VALUE, Rule.OBRIEN_FLEMING, Rule.POCOCK, Rule.PLANNED])
def test_valid_rules_keep_alpha(rule):
    (none,) = simulate([0.0], start=4, step=4, largest=40, rule=rule, alpha=0.05)
    # The t of few seeds in place of z costs a little: .054 for Pocock with looks at 5, 10, 15 and 20.
    assert none.decided <= 0.05 + 0.006 + 3 * 0.05**0.5 / 4000**0.5


@pytest.mark.parametrize("futility", [0.0, 0.3])
def test_a_loop_finds_the_same(futility):
    """Seed by seed, one experiment at a time, with the same draws."""
    plan = Plan(start=3, step=2, largest=12, futility=futility)
    assert plan.looks.tolist() == [3, 5, 7, 9, 11, 12]
    draws = np.random.default_rng(1).standard_normal((300, 12)) + 0.9
    last = float(critical_t(12, 20))
    decided = right = futile = 0
    taken = []
    for x in draws:
        for n in (3, 5, 7, 9, 11, 12):
            t = stats.ttest_1samp(x[:n], 0).statistic
            if log_e_value(t, n) >= np.log(20):
                decided += 1
                right += t > 0
                break
            if n < 12 and prospects(t, n, 12, last).favourable < futility:
                futile += 1
                break
        taken.append(n)
    (found,) = operating_characteristics(plan, [0.9], 300, seed=1)
    assert found.decided == pytest.approx(decided / 300)
    assert found.power == pytest.approx(right / 300)
    assert found.futile == pytest.approx(futile / 300)
    assert found.mean_n == pytest.approx(np.mean(taken))
    assert found.mean_n_se == pytest.approx(np.std(taken) / 300**0.5)


def test_futility_saves_seeds_and_adds_no_false_alarm():
    with_it, without = (
        simulate([0.0], start=5, step=5, largest=50, futility=futility)[0] for futility in (0.5, 0.0)
    )
    assert with_it.mean_n < without.mean_n - 1
    assert with_it.decided <= without.decided
    assert with_it.futile > 0 == without.futile


def test_the_sign_of_the_effect_mirrors():
    """Other draws, so up to simulation error."""
    plus, minus = simulate([0.7, -0.7], start=3, step=1, largest=20)
    assert plus.power == pytest.approx(minus.power, abs=0.04)
    assert plus.mean_n == pytest.approx(minus.mean_n, abs=0.5)


def test_larger_effects_are_found_more_often_and_earlier():
    small, large, huge = simulate([0.3, 0.8, 2.0], start=3, step=1, largest=30)
    assert small.power < large.power < huge.power
    assert small.mean_n > large.mean_n > huge.mean_n


def test_a_family_needs_more_seeds():
    one, eight = (simulate([1.0], start=3, step=1, largest=30, comparisons=k)[0] for k in (1, 8))
    assert eight.mean_n > one.mean_n
    plan = Plan(3, 1, 30, comparisons=8)
    assert plan.critical_t() == pytest.approx(critical_t(plan.looks, 160))


def test_the_seed_decides_the_answer():
    plan = Plan(3, 1, 10)
    one, same = (operating_characteristics(plan, [0.5], 500, seed=4) for _ in range(2))
    assert one == same
    assert one != operating_characteristics(plan, [0.5], 500, seed=5)


@pytest.mark.parametrize(
    "plan",
    [
        {"start": 1, "step": 1, "largest": 5},
        {"start": 6, "step": 1, "largest": 5},
        {"start": 2, "step": 0, "largest": 5},
        {"start": 2, "step": 1, "largest": 5, "futility": 1.0},
    ],
)
def test_plans_that_cannot_be(plan):
    with pytest.raises(ValueError, match="2 ≤ start ≤ largest, step ≥ 1 and 0 ≤ futility < 1 must hold"):
        Plan(**plan)


def test_bad_requests():
    with pytest.raises(ValueError, match="0 < alpha < 1 and one comparison"):
        Plan(2, 1, 5, alpha=5)
    with pytest.raises(ValueError, match="an experiment and finite effects"):
        operating_characteristics(Plan(2, 1, 5), [np.nan])
