"""The rule for adding seeds: what it says at each look, against its own words; and from counts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.statistics import group_sequential
from bench.statistics.futility import equivalence_power, prospects
from bench.statistics.operating_characteristics import operating_characteristics
from bench.statistics.sequential import critical_t, log_e_value
from bench.statistics.stopping import OUTCOMES, Outcome, Plan, Rule, Standing, outcomes, standing


@dataclass
class Runs:
    """One arm."""

    counts: dict[int, int]
    lost: set[int] = field(default_factory=set)
    total: int | None = 1000


def arms(differences: list[int], base: int = 900) -> tuple[Runs, Runs]:
    return Runs({s: base + d for s, d in enumerate(differences)}), Runs(
        dict.fromkeys(range(len(differences)), base)
    )


@cache
def levels(looks: tuple[int, ...], alpha: float) -> np.ndarray:
    spending = group_sequential.Spending.OBRIEN_FLEMING
    return stats.norm.sf(group_sequential.bounds(np.array(looks) / looks[-1], alpha, spending))


def by_hand(plan: Plan, x: np.ndarray, looks: list[int]) -> tuple[Outcome, int]:
    """The rule in its own words, on all differences of one comparison."""
    f = np.array(looks) / looks[-1]
    spent = stats.norm.sf(
        group_sequential.bounds(f, 2 * plan.alpha, group_sequential.Spending.OBRIEN_FLEMING)
    )
    for look, n in enumerate(looks):
        test = stats.ttest_1samp(x[:n], 0)
        if log_e_value(test.statistic, n, plan.g) >= np.log(plan.comparisons / plan.alpha):
            return Outcome.DIFFERENCE, n
        if plan.margin:
            above = stats.ttest_1samp(x[:n], -plan.margin, alternative="greater").pvalue
            below = stats.ttest_1samp(x[:n], plan.margin, alternative="less").pvalue
            if max(above, below) <= spent[look]:
                return Outcome.EQUIVALENT, n
        if n == looks[-1]:
            return Outcome.LARGEST, n
        last = float(critical_t(looks[-1], plan.comparisons / plan.alpha, plan.g))
        chance = prospects(test.statistic, n, looks[-1], last).favourable
        if plan.margin:
            small = plan.margin / x[:n].std(ddof=1)
            chance = max(chance, equivalence_power(test.statistic, n, looks[-1], small, spent[-1]))
        if chance < plan.futility:
            return Outcome.FUTILE, n
    raise AssertionError


@pytest.mark.parametrize("margin", [0.0, 0.6, 1.2])
@pytest.mark.parametrize("effect", [0.0, 0.5, 1.5])
def test_the_rule_says_what_its_words_say(margin: float, effect: float) -> None:
    plan = Plan(4, 3, 15, comparisons=2, futility=0.2, margin=margin)
    looks = [4, 7, 10, 13, 15]
    assert plan.looks.tolist() == looks
    draws = np.random.default_rng(3).standard_normal((20, 15)) + effect
    mean = np.stack([draws[:, :n].mean(1) for n in looks], 1)
    se = np.stack([draws[:, :n].std(1, ddof=1) / n**0.5 for n in looks], 1)
    said = outcomes(plan, mean, se)
    first = (said != 0).argmax(1)
    found = [(OUTCOMES[codes[k]], looks[k]) for codes, k in zip(said, first, strict=True)]
    assert found == [by_hand(plan, x, looks) for x in draws]


def test_all_ways_to_end_occur() -> None:
    plan, ends = Plan(4, 3, 15, futility=0.2, margin=0.9), set()
    for effect in (0.0, 0.6, 2.0):
        draws = np.random.default_rng(5).standard_normal((200, 15)) + effect
        mean = np.stack([draws[:, :n].mean(1) for n in plan.looks], 1)
        se = np.stack([draws[:, :n].std(1, ddof=1) / n**0.5 for n in plan.looks], 1)
        said = outcomes(plan, mean, se)
        ends |= {OUTCOMES[codes[codes != 0][0]] for codes in said}
    assert ends == set(Outcome) - {Outcome.OPEN}


def test_one_look_is_the_ordinary_test_of_equivalence() -> None:
    plan = Plan(12, 1, 12, margin=0.5, alpha=0.05)
    for mean in (0.0, 0.02, 0.05):
        p = stats.t.sf((0.5 - mean) / 0.25, 11)
        [code] = outcomes(plan, [mean], [0.25])
        assert (OUTCOMES[code] is Outcome.EQUIVALENT) == (p <= 0.05)


def test_a_difference_as_large_as_the_margin_is_seldom_called_equivalent() -> None:
    plan = Plan(5, 5, 40, margin=0.7)
    at_margin, none = operating_characteristics(plan, [0.7, 0.0], experiments=20_000)
    assert at_margin.equivalent <= 0.05 + 3 * (0.05 * 0.95 / 20_000) ** 0.5
    assert at_margin.equivalent > 0.03  # it is a test that spends its α, and not one that cannot reject
    assert none.equivalent > 0.95
    assert none.equivalent + none.undecided + none.decided == pytest.approx(1)


def test_chance_of_equivalence_at_the_end_is_that_of_simulation() -> None:
    n, largest, level, margin, t = 10, 30, 0.04, 0.6, 0.9
    rng = np.random.default_rng(2)
    mean = t / n**0.5  # the spread is 1
    effect = max(mean - stats.t.isf(0.025, n - 1) / n**0.5, 0)
    end = (n * mean + (largest - n) * effect + (largest - n) ** 0.5 * rng.standard_normal(200_000)) / largest
    reached = (np.abs(end) <= margin - stats.t.isf(level, largest - 1) / largest**0.5).mean()
    assert equivalence_power(t, n, largest, margin, level) == pytest.approx(reached, abs=0.004)
    assert equivalence_power(t, n, largest, 0.01, level) == 0


def test_nothing_is_said_of_what_is_not_known() -> None:
    plan = Plan(3, 2, 7, margin=0.5, futility=0.2)
    assert outcomes(plan, [np.nan] * 3, [np.nan] * 3).tolist() == [0, 0, OUTCOMES.index(Outcome.LARGEST)]
    assert outcomes(plan, [0.5, 0.5, 0.5], [0, 0, 0]).tolist()[:2] == [0, 0]  # all seeds differ by the same


# ------------------------------------------------------------------------------------------- from counts

PLAN = Plan(3, 2, 9, comparisons=2, futility=0.2, margin=0.002)
SEEDS = list(range(9))


def test_looks_wait_for_both_runs_of_all_their_seeds() -> None:
    ours, base = arms([9, 7, 8])
    assert standing(PLAN, SEEDS, Runs({}), Runs({})) == Standing(Outcome.OPEN, 0, 3)
    del base.counts[1]
    assert standing(PLAN, SEEDS, ours, base) == Standing(Outcome.OPEN, 0, 3)
    base.lost.add(1)
    assert standing(PLAN, SEEDS, ours, base).looks == 1
    base.lost.clear()
    base.counts[1] = 900
    assert standing(PLAN, SEEDS, ours, base) == Standing(Outcome.OPEN, 1, 5)


def test_an_open_comparison_asks_for_the_seeds_of_its_next_look() -> None:
    wide = replace(PLAN, futility=0.0, margin=0.0)
    noise = [5, -4, 3, -5, 4, 1, -2, 3, -3]
    for done, wanted in ((3, 5), (4, 5), (5, 7), (7, 9)):
        assert standing(wide, SEEDS, *arms(noise[:done])) == Standing(Outcome.OPEN, wanted // 2 - 1, wanted)
    assert standing(wide, SEEDS, *arms(noise)) == Standing(Outcome.LARGEST, 4, 9)


def test_a_difference_closes_a_comparison_and_later_seeds_change_nothing() -> None:
    d = [50, 52, 51, 49, 50, 48, 51]
    closed = standing(PLAN, SEEDS, *arms(d))
    assert closed == Standing(Outcome.DIFFERENCE, 3, 7)
    for later in (-900, 100):
        assert standing(PLAN, SEEDS, *arms([*d, later, later])) == closed


def test_an_arm_that_has_lost_its_first_seeds_gets_no_more() -> None:
    for lost in range(2):
        pair = arms([9, 7, 8])
        pair[lost].lost |= {*pair[lost].counts}
        pair[lost].counts.clear()
        pair[lost].total = None
        assert standing(PLAN, SEEDS, *pair) == Standing(Outcome.FUTILE, 1, 3)
        pair[lost].lost.discard(0)  # to be trained again
        assert standing(PLAN, SEEDS, *pair) == Standing(Outcome.OPEN, 0, 3)


def test_runs_on_other_images_are_never_compared() -> None:
    ours, base = arms([9, 7, 8])
    base.total = 999
    assert standing(PLAN, SEEDS, ours, base) == Standing(Outcome.OPEN, 0, 3)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.integers(-30, 30), min_size=9, max_size=9), st.sampled_from([0.0, 0.002, 0.02]))
def test_whole_numbers_that_are_no_counts_close_alike(d: list[int], margin: float) -> None:
    """The same differences of a metric that is lower and may be negative, in billionths."""
    plan = replace(PLAN, margin=margin)
    closed = standing(plan, SEEDS, *arms(d))
    assert standing(plan, SEEDS, *arms(d), bounded=False) == closed
    ours, base = arms(d)
    for arm in (ours, base):
        arm.total = 10**9
        arm.counts = {seed: (count - 10**4) * 10**6 for seed, count in arm.counts.items()}
    assert standing(plan, SEEDS, ours, base, bounded=False) == closed


def test_differences_larger_than_the_total_close_a_comparison() -> None:
    ours, base = arms([5, 6, 7, 6, 5, 6, 7, 5, 6])
    ours.total = base.total = 2
    assert standing(PLAN, SEEDS, ours, base, bounded=False).outcome is Outcome.DIFFERENCE
    with pytest.raises(ValueError, match="images out of 2 cannot be"):
        standing(PLAN, SEEDS, ours, base)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(-30, 30), min_size=9, max_size=9),
    st.sets(st.integers(0, 8), max_size=3),
    st.sampled_from([0.0, 0.002, 0.02]),
)
def test_what_is_closed_stays_closed_whatever_comes(d: list[int], lost: set[int], margin: float) -> None:
    """Results arrive one by one: the first look that closes is never taken back, and asks for no more."""
    plan = replace(PLAN, margin=margin)
    closed = None
    for done in range(10):
        ours, base = arms(d[:done])
        for seed in lost & set(ours.counts):
            del ours.counts[seed]
            ours.lost.add(seed)
        ours.total = base.total = 1000
        now = standing(plan, SEEDS, ours, base)
        assert now.wanted in plan.looks
        if closed is not None:
            assert now == closed
        elif now.outcome is not Outcome.OPEN:
            closed = now
            assert now.wanted == plan.looks[now.looks - 1] <= done
        else:
            assert now.wanted > done or now.looks == 0
    assert closed is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": 1},
        {"step": 0},
        {"largest": 2},
        {"futility": 1.0},
        {"margin": -1.0},
        {"margin": 1.0, "alpha": 0.6},
    ],
)
def test_plans_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="found"):
        Plan(**{"start": 3, "step": 2, "largest": 9, **wrong})  # type: ignore[arg-type]


def test_other_rules_know_how_many_seeds_there_really_were() -> None:
    plan = Plan(4, 4, 12, rule=Rule.POCOCK)
    planned, fewer = plan.critical_t(), plan.critical_t([3, 8, 12])
    assert fewer[0] > planned[0]
    assert fewer[1:] == pytest.approx(planned[1:])
