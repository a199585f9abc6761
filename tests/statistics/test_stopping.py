"""The rule for adding seeds: what it says at each look, against its own words; and from counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.statistics import group_sequential
from bench.statistics.flips import Family
from bench.statistics.futility import (
    equivalence_power,
    predictive_equivalence,
    predictive_power,
    prospects,
)
from bench.statistics.operating_characteristics import operating_characteristics
from bench.statistics.sequential import critical_t, log_e_value
from bench.statistics.standings import Direction, Standing, standings
from bench.statistics.stopping import OUTCOMES, Outcome, Plan, Rule, outcomes


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


def standing(plan: Plan, seeds: Sequence[int], ours: Runs, base: Runs, bounded: bool = True) -> Standing:
    """Of one comparison."""
    direction = Direction(bounded=bounded)
    return standings(plan, seeds, {("d", "m", "a"): ours, ("d", "m", "ce"): base}, "ce", direction)[
        "d", "m", "a"
    ]


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


def test_equivalence_spends_a_share_of_alpha_where_it_is_adjusted() -> None:
    looks = np.array([4, 7, 10, 13, 15])
    for adjusted, family in ((False, 1), (True, 3)):
        plan = Plan(4, 3, 15, comparisons=3, margin=0.5, adjusted_equivalence=adjusted)
        spending = group_sequential.Spending.OBRIEN_FLEMING
        spent = stats.norm.sf(group_sequential.bounds(looks / 15, 2 * 0.05 / family, spending))
        assert plan.equivalence_levels() == pytest.approx(spent)


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
    assert standing(PLAN, SEEDS, ours, base) == Standing(Outcome.OPEN, 1, 5, 3)


def test_an_open_comparison_asks_for_the_seeds_of_its_next_look() -> None:
    wide = replace(PLAN, futility=0.0, margin=0.0)
    noise = [5, -4, 3, -5, 4, 1, -2, 3, -3]
    for done, wanted in ((3, 5), (4, 5), (5, 7), (7, 9)):
        found = standing(wide, SEEDS, *arms(noise[:done]))
        assert found == Standing(Outcome.OPEN, wanted // 2 - 1, wanted, wanted - 2)
    assert standing(wide, SEEDS, *arms(noise)) == Standing(Outcome.LARGEST, 4, 9, 9)


def test_a_difference_closes_a_comparison_and_later_seeds_change_nothing() -> None:
    d = [50, 52, 51, 49, 50, 48, 51]
    closed = standing(PLAN, SEEDS, *arms(d))
    assert closed == Standing(Outcome.DIFFERENCE, 3, 7, 7)
    for later in (-900, 100):
        assert standing(PLAN, SEEDS, *arms([*d, later, later])) == closed


def test_fewer_than_five_pairs_decide_nothing() -> None:
    """Not even where they are far apart: with so few, no test over seeds holds α."""
    certain = replace(PLAN, alpha=0.4, comparisons=1, futility=0.5, margin=0.9)
    for d in ([500, 501, 502, 500], [0, 1, 0, -1]):
        assert standing(certain, SEEDS, *arms(d)) == Standing(Outcome.OPEN, 1, 5, 3)
        assert standing(certain, SEEDS, *arms([*d, d[0]])).outcome is not Outcome.OPEN


def test_an_arm_that_has_lost_its_first_seeds_gets_no_more() -> None:
    for lost in range(2):
        pair = arms([9, 7, 8])
        pair[lost].lost |= {*pair[lost].counts}
        pair[lost].counts.clear()
        pair[lost].total = None
        assert standing(PLAN, SEEDS, *pair) == Standing(Outcome.FUTILE, 1, 3, 3)
        pair[lost].lost.discard(0)  # to be trained again
        assert standing(PLAN, SEEDS, *pair) == Standing(Outcome.OPEN, 0, 3)


def test_runs_on_other_images_are_never_compared() -> None:
    ours, base = arms([9, 7, 8])
    base.total = 999
    assert standing(PLAN, SEEDS, ours, base) == Standing(Outcome.OPEN, 0, 3)


def test_collapsed_runs_are_left_out_and_stand_against_the_loss_alone() -> None:
    """Seed 2 of one arm is far below the rest of it: of the other seeds there is a clear difference."""
    d = [50, 52, 51, 49, 50, 48, 51, 50, 49]
    sound = standing(PLAN, SEEDS, *arms(d))
    ours, base = arms(d)
    ours.counts[2] = 300
    found = standing(PLAN, SEEDS, ours, base)
    assert found == Standing(Outcome.LARGEST, 4, 9, 9, (frozenset({2}), frozenset()))
    ours, base = arms(d)
    base.counts[2] = 300
    found = standing(PLAN, SEEDS, ours, base)
    assert (found.outcome, found.flagged) == (Outcome.DIFFERENCE, (frozenset(), frozenset({2})))
    assert found.looks >= sound.looks
    ours, base = arms([-n for n in d])
    ours.counts[2] = 300  # and of the worse arm nothing needs to be withheld
    assert standing(PLAN, SEEDS, ours, base).outcome is Outcome.DIFFERENCE
    same = replace(PLAN, margin=0.02, futility=0.0)
    ours, base = arms([1, -1, 0, 2, -2, 1, 0, -1, 0])
    assert standing(same, SEEDS, ours, base).outcome is Outcome.EQUIVALENT
    ours.counts[2] = 300
    assert standing(same, SEEDS, ours, base).outcome is Outcome.LARGEST


@settings(max_examples=40)
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


@settings(max_examples=40)
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
        assert now.seeds_needed in plan.looks
        assert now.seeds_seen == (plan.looks[now.looks - 1] if now.looks else 0)
        if closed is not None:
            assert now == closed
        elif now.outcome is not Outcome.OPEN:
            closed = now
            assert now.seeds_needed == plan.looks[now.looks - 1] <= done
        else:
            assert now.seeds_needed > done or now.looks == 0
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


# --------------------------------------------------------------------------------------- planned looks

PLANNED = Plan(5, 5, 20, rule=Rule.PLANNED, comparisons=3, futility=0.1, margin=0.004)
TWENTY = [*range(20)]
ARMS = ("a", "b", "c")


def key(loss: str) -> tuple[str, str, str]:
    return "d", "m", loss


def family(**differences: Sequence[int]) -> dict[tuple[str, str, str], Runs]:
    """Losses against one baseline, with as many seeds as there are differences."""
    most = max(map(len, differences.values()), default=0)
    cells = {key("ce"): Runs(dict.fromkeys(range(most), 900))}
    return cells | {
        key(loss): Runs({s: 900 + d for s, d in enumerate(of)}) for loss, of in differences.items()
    }


def planned(
    cells: Mapping[tuple[str, str, str], Runs], plan: Plan = PLANNED, **more: bool
) -> dict[str, Standing]:
    found = standings(plan, TWENTY, cells, "ce", Direction(**more), paths=4000)
    return {loss: found[key(loss)] for loss in ARMS if key(loss) in found}


def noise(number: int, sd: float = 8.0, mean: float = 0.0) -> list[int]:
    return np.rint(np.random.default_rng(number).normal(mean, sd, size=20)).astype(int).tolist()


def planned_by_hand(plan: Plan, table: Mapping[str, Sequence[int]]) -> dict[str, tuple[Outcome, int]]:
    """The rule in its own words, with the flips that a family draws, and all runs sound."""
    signs = Family(plan.largest, plan.alpha, len(table), 4000).signs
    count, open_, ended = len(signs), [*table], {}
    gone = {side: np.zeros(count, dtype=bool) for side in (1, 2)}
    for look, n in enumerate(plan.looks.tolist()):
        # What was closed goes on with the differences that it had, again and again.
        had = {loss: ended[loss][1] if loss in ended else n for loss in table}
        d = {loss: np.resize(np.array(of[: had[loss]]) / 1000, n) for loss, of in table.items()}
        varying = [loss for loss in open_ if d[loss].std() > 0]
        critical, usual = {}, {}
        for side, centred in ((1, 0), (2, 1)):
            far = np.zeros(count)
            crossed = Outcome.DIFFERENCE if side == 1 else Outcome.EQUIVALENT
            for loss in table:
                if d[loss].std() == 0 or ended.get(loss, (None,))[0] is crossed:
                    continue
                x = d[loss] - centred * d[loss].mean()
                far = np.maximum(far, np.abs(signs[:, :n] @ x) / np.sqrt((x**2).sum()))
            # The lowest value that, with those gone before, at most α f² of all cross (2α of both sides).
            may = side * plan.alpha * (n / plan.largest) ** 2 * (count + 1) - 1 - gone[side].sum()
            rising = np.sort(far[~gone[side]])
            beyond = len(rising) - np.searchsorted(rising, rising + 1e-12, side="right")
            z = rising[np.argmax(beyond <= may)] if may >= 1 else np.inf
            if z + 1e-12 >= rising[-1]:
                z = np.inf
            gone[side] |= far > z + 1e-12
            at = [n, plan.largest]
            critical[side], usual[side] = (
                np.sqrt((m - 1) / (m - v**2)) * v if v**2 < m else np.inf
                for v, m in zip((z, np.quantile(far, 1 - side * plan.alpha)), at, strict=True)
            )
        for loss in varying:
            t = stats.ttest_1samp(d[loss], 0).statistic
            se, mean = stats.sem(d[loss]), d[loss].mean()
            outcome = Outcome.LARGEST if n == plan.largest else Outcome.OPEN
            if look > 0 and n < plan.largest:
                room = plan.margin / d[loss].std(ddof=1)
                chance = predictive_power(t, n, plan.largest, usual[1])
                if plan.margin:
                    chance += predictive_equivalence(t, n, plan.largest, room, usual[2])
                if chance < plan.futility:
                    outcome = Outcome.FUTILE
            if plan.margin and abs(mean) + critical[2] * se <= plan.margin:
                outcome = Outcome.EQUIVALENT
            if abs(t) > critical[1]:
                outcome = Outcome.DIFFERENCE
            if outcome is not Outcome.OPEN:
                ended[loss] = outcome, n
        if n == plan.largest:
            ended |= {loss: (Outcome.LARGEST, n) for loss in open_ if loss not in ended}
        open_ = [loss for loss in open_ if loss not in ended]
        if not open_:
            break
    return ended


@pytest.mark.parametrize("margin", [0.0, 0.004, 0.012])
def test_planned_looks_are_what_their_words_say(margin: float) -> None:
    plan, ends = replace(PLANNED, margin=margin), set()
    for number in range(8):
        sd, mean = [(8, 0), (8, 6), (3, 1), (12, 12)][number % 4]
        table = {loss: noise(10 * number + k, sd, mean * k) for k, loss in enumerate(ARMS)}
        found = {loss: (one.outcome, one.seeds_seen) for loss, one in planned(family(**table), plan).items()}
        assert found == planned_by_hand(plan, table)
        ends |= {outcome for outcome, _ in found.values()}
    assert ends >= {Outcome.DIFFERENCE, Outcome.EQUIVALENT if margin else Outcome.FUTILE}


def test_all_open_comparisons_look_together() -> None:
    d = {loss: noise(k) for k, loss in enumerate(ARMS)}
    plan = replace(PLANNED, futility=0.0, margin=0.0)
    cells = family(**{loss: of[:10] for loss, of in d.items()})
    assert {(s.looks, s.seeds_needed, s.seeds_seen) for s in planned(cells, plan).values()} == {(2, 15, 10)}
    del cells[key("b")].counts[7]  # the look at ten seeds waits for one run of one of them
    assert {(s.looks, s.seeds_needed, s.seeds_seen) for s in planned(cells, plan).values()} == {(1, 10, 5)}
    cells[key("b")].lost.add(7)  # which counts as a seed of the look where it has failed
    found = planned(cells, plan)
    assert {(s.looks, s.seeds_needed, s.seeds_seen) for s in found.values()} == {(2, 15, 10)}
    assert [s.result.n for s in found.values() if s.result] == [10, 9, 10]
    assert planned({}, plan) == {}
    assert {s.looks for s in planned(family(a=[], b=[], c=[]), plan).values()} == {0}


def test_a_closed_comparison_asks_for_no_more_and_holds_nobody_up() -> None:
    d = {"a": noise(1, 3, 40), "b": noise(2), "c": noise(3)}
    plan = replace(PLANNED, futility=0.0, margin=0.0)
    whole = planned(family(**d), plan)
    assert (whole["a"].outcome, whole["a"].seeds_needed) == (Outcome.DIFFERENCE, 10)
    assert {whole[loss].seeds_seen for loss in "bc"} == {20}
    without = planned(family(a=d["a"][:10], b=d["b"], c=d["c"]), plan)
    assert without == whole


def test_what_others_have_trained_later_changes_nothing() -> None:
    """Neither runs of a closed comparison, nor the flags that these would raise, nor later looks' seeds."""
    d = {"a": noise(1, 3, 40), "b": noise(2)[:15], "c": noise(3)[:15]}
    d["a"] = d["a"][:10]
    plan = replace(PLANNED, futility=0.0)
    cells = family(**d)
    before = planned(cells, plan)
    for seed in range(10, 20):
        cells[key("a")].counts[seed] = 100 + 40 * seed
    for loss in ("b", "c", "ce"):
        cells[key(loss)].counts[19] = 100
    assert planned(cells, plan) == before


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 99), st.sampled_from([0, 5, 20])), min_size=3, max_size=3),
    st.sets(st.tuples(st.sampled_from(["a", "b", "ce"]), st.integers(0, 19)), max_size=6),
    st.sampled_from([0.0, 0.01]),
)
def test_results_that_arrive_one_by_one_never_take_a_decision_back(
    kinds: list[tuple[int, int]], lost: set[tuple[str, int]], margin: float
) -> None:
    plan, closed = replace(PLANNED, margin=margin), {}
    table = {loss: noise(n, 8, mean) for loss, (n, mean) in zip(ARMS, kinds, strict=True)}
    for done in range(4, 21, 4):
        cells = family(**{loss: of[:done] for loss, of in table.items()})
        for loss, seed in lost:
            if cells[key(loss)].counts.pop(seed, None) is not None:
                cells[key(loss)].lost.add(seed)
        now = planned(cells, plan)
        for loss, found in now.items():
            assert found.seeds_needed in plan.looks
            assert found.seeds_seen <= done
            if loss in closed:
                assert found == closed[loss]
            elif found.outcome is not Outcome.OPEN:
                closed[loss] = found
                assert found.seeds_needed == found.seeds_seen == plan.looks[found.looks - 1]
            else:
                assert found.seeds_needed > found.seeds_seen
    assert {*closed} == {*ARMS}


def test_flags_are_those_of_the_seeds_of_the_look() -> None:
    cells = family(a=noise(1), b=noise(2), c=noise(3))
    cells[key("a")].counts[7] = 300
    cells[key("ce")].counts[12] = 300
    plan = replace(PLANNED, futility=0.0, margin=0.0)
    flags = {}
    for done in (5, 10, 15, 20):
        cut = {k: Runs({s: n for s, n in arm.counts.items() if s < done}) for k, arm in cells.items()}
        found = planned(cut, plan)
        flags[done] = found["a"].flagged
        assert found["a"].result is not None
        assert found["a"].result.n == done - sum(map(len, found["a"].flagged))
    none = frozenset[int]()
    assert flags == {
        5: (none, none),
        10: ({7}, none),
        15: ({7}, {12}),
        20: ({7}, {12}),
    }


def test_a_loss_that_collapsed_more_is_closed_as_no_better_one() -> None:
    plan = replace(PLANNED, futility=0.0)
    for mean, usually in ((40, Outcome.DIFFERENCE), (0, Outcome.EQUIVALENT)):
        table = {"a": noise(1, 2, mean), "b": noise(2), "c": noise(3)}
        assert planned(family(**table), plan)["a"].outcome is usually
        cells = family(**table)
        cells[key("a")].counts[1] = 300
        found = planned(cells, plan)["a"]
        assert (found.outcome, found.seeds_seen, found.flagged[0]) == (Outcome.LARGEST, 20, {1})
        cells[key("ce")].counts[2] = 300  # as many of the baseline's, and it is closed like any other
        assert planned(cells, plan)["a"].outcome is usually
    cells = family(a=noise(1, 2, -40), b=noise(2), c=noise(3))
    cells[key("a")].counts[1] = 300
    assert planned(cells, plan)["a"].outcome is Outcome.DIFFERENCE  # that it is worse is never withheld
    turned = family(a=noise(1, 2, -40), b=noise(2), c=noise(3))
    turned[key("a")].counts[1] = 1000  # where less is better, it is the other way round
    assert planned(turned, plan, higher_is_better=False)["a"].outcome is Outcome.LARGEST


def test_losses_of_other_totals_are_left_out_and_hold_nobody_up() -> None:
    table = {"a": noise(1, 3, 40), "b": noise(2), "c": noise(3)}
    cells = family(**table)
    cells[key("b")].total = 500
    found = planned(cells)
    assert found["b"] == Standing(Outcome.OPEN, 0, 5)
    assert found["a"].outcome is Outcome.DIFFERENCE
    assert found["c"].outcome is not Outcome.OPEN
    cells[key("b")].counts = {0: cells[key("b")].counts[0]}
    assert planned(cells) == found


def test_an_arm_that_lost_its_first_seeds_holds_nobody_up() -> None:
    cells = family(a=noise(1, 3, 40), b=[], c=noise(3))
    cells[key("b")] = Runs({}, set(range(5)), None)
    found = planned(cells)
    assert found["b"] == Standing(Outcome.FUTILE, 1, 5, 5)
    assert found["a"].outcome is Outcome.DIFFERENCE
    assert found["c"].seeds_needed > 5


def test_models_look_together_and_meet_their_own_baseline() -> None:
    cells = family(a=noise(1), b=noise(2))
    other = {("d", "other", k[2]): Runs(dict(arm.counts)) for k, arm in cells.items()}
    del other["d", "other", "b"]
    other["d", "other", "a"].counts.pop(9)
    found = standings(replace(PLANNED, futility=0.0, margin=0.0), TWENTY, cells | other, "ce", paths=4000)
    assert {*found} == {key("a"), key("b"), ("d", "other", "a")}
    assert {s.looks for s in found.values()} == {1}
    del other["d", "other", "ce"]  # without a baseline there is nothing to wait for
    found = standings(replace(PLANNED, futility=0.0, margin=0.0), TWENTY, cells | other, "ce", paths=4000)
    assert {k: s.looks for k, s in found.items()} == {key("a"): 4, key("b"): 4}


@pytest.mark.parametrize(
    ("n", "largest", "can"),
    [
        (4, 5, False),
        (5, 5, False),
        (5, 20, False),
        (6, 6, True),
        (10, 20, True),
        (7, 20, False),
        (9, 20, True),
    ],
)
def test_so_many_seeds_can_show_a_difference_at_a_planned_look(n: int, largest: int, can: bool) -> None:
    """All signs alike are 2 of 2^n flips."""
    plan = Plan(n, 1, largest, rule=Rule.PLANNED)
    assert plan.can_differ(n) == can == (n >= 5 and 2 / 2**n <= 0.05 * (n / largest) ** 2)
    d = [400 + k for k in range(n)]
    found = standings(plan, [*range(largest)], family(a=d), "ce")[key("a")]
    assert (found.outcome is Outcome.DIFFERENCE) == can


def test_planned_boundaries_are_not_known_beforehand() -> None:
    with pytest.raises(ValueError, match="planned looks take their boundaries from the data"):
        PLANNED.critical_t()
