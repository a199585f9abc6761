"""Power, number of seeds and detectable effect against statsmodels, G*Power and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.power import TTestPower

from bench.statistics.paired import PairedT, paired_t
from bench.statistics.planning import minimum_detectable_effect, power_of_t, seeds_to_decide

TOTAL = 1000
counts = st.lists(st.integers(-50, 50), min_size=2, max_size=12).filter(lambda d: len(set(d)) > 1)


def result_of(effect: float, n: int) -> PairedT:
    """n seeds with a mean difference of ``effect`` standard deviations."""
    return PairedT(n=n, estimate=effect * 0.01, sd=0.01, se=0.01 / n**0.5, df=n - 1)


def test_g_power():
    # G*Power 3.1 manual, "Difference between two dependent means", Cohen's matched pairs of pupils:
    # d_z = 0.421637, N = 50, α = .05 two-sided: noncentrality 2.981424, power 0.832114.
    assert power_of_t(2.981424, 49, 0.05) == pytest.approx(0.832114, abs=2e-6)
    assert seeds_to_decide(result_of(0.421637, 5), 0.05, power=0.832) == 50
    detectable = minimum_detectable_effect(result_of(0.1, 50), 0.05, power=0.832114)
    assert detectable == pytest.approx(0.421637 * 0.01, abs=1e-8)


@pytest.mark.parametrize("effect", [0.05, 0.2, 0.5, 0.8, 1.5, 4.0])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 8])
def test_statsmodels_agrees_on_seeds(effect, alpha):
    # Its power, not its solve_power: that misses by one seed for the largest effect here.
    needed = seeds_to_decide(result_of(effect, 10), alpha)
    enough, too_few = (TTestPower().power(effect, n, alpha) for n in (needed, needed - 1))
    assert too_few < 0.8 <= enough


@pytest.mark.parametrize("n", [3, 5, 10, 40])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_statsmodels_agrees_on_the_detectable_effect(n, power):
    want = TTestPower().solve_power(nobs=n, alpha=0.05, power=power, effect_size=None)
    assert minimum_detectable_effect(result_of(0.3, n), 0.05, power) == pytest.approx(want * 0.01, rel=1e-4)


@given(counts)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_an_undecided_comparison_needs_more_seeds_and_arms_are_alike(differences):
    result, mirrored = paired_t(differences, TOTAL), paired_t([-d for d in differences], TOTAL)
    needed = seeds_to_decide(result, 0.05)
    assert needed == seeds_to_decide(mirrored, 0.05)
    assert minimum_detectable_effect(result, 0.05) == minimum_detectable_effect(mirrored, 0.05)
    if needed is not None and result.p >= 0.05:
        assert needed > result.n


def test_the_two_plans_agree():
    """With the detectable effect as the true one, the seeds at hand are just enough."""
    detectable = minimum_detectable_effect(result_of(0.1, 12), 0.05)
    assert seeds_to_decide(result_of(detectable / 0.01 * (1 + 1e-9), 12), 0.05) == 12


def test_it_stays_sane_at_the_edges():
    assert seeds_to_decide(result_of(1e-6, 10), 0.05) == pytest.approx(7.849e12, rel=1e-3)
    assert seeds_to_decide(result_of(1e6, 2), 0.05) == 2
    assert minimum_detectable_effect(result_of(1, 2), 1e-9) > 1
    # On both sides of the change of formula, for two seeds.
    alphas = (6.4e-5, 6.3e-5)
    exact, limit = (minimum_detectable_effect(result_of(1, 2), alpha) * alpha for alpha in alphas)
    assert exact == pytest.approx(limit, rel=1e-3)


def test_what_cannot_be_computed_is_none():
    for differences in ([], [3], [3, 3, 3]):
        assert seeds_to_decide(paired_t(differences, TOTAL), 0.05) is None
        assert minimum_detectable_effect(paired_t(differences, TOTAL), 0.05) is None
    no_difference = paired_t([-1, 1], TOTAL)
    assert seeds_to_decide(no_difference, 0.05) is None
    assert minimum_detectable_effect(no_difference, 0.05) > 0


@pytest.mark.parametrize(("alpha", "power"), [(0, 0.8), (0.05, 1), (0.5, 0.4)])
@pytest.mark.parametrize("plan", [seeds_to_decide, minimum_detectable_effect])
def test_bad_plans(plan, alpha, power):
    with pytest.raises(ValueError, match="0 < alpha < power < 1 must hold"):
        plan(result_of(1, 5), alpha, power)


def test_power_by_simulation():
    draw = np.random.default_rng(13)
    n = seeds_to_decide(result_of(1.0, 4), 0.05)
    experiments = np.rint(draw.normal(loc=30, scale=30, size=(2000, n))).astype(int)
    found = [(r := paired_t(e, TOTAL)).p < 0.05 and r.t > 0 for e in experiments]
    assert np.mean(found) == pytest.approx(power_of_t(n**0.5, n - 1, 0.05), abs=0.03)
