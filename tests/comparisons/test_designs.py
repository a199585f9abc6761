"""All designs, one set of rules: words, scopes, levels, and what must not change when nothing does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers import flats
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import wilcoxon
from statsmodels.stats.power import TTestPower

from bench.comparisons.analysis import Analysis, Images, Measured, analyse
from bench.comparisons.comparison import Comparison, Key, Metric, Seed
from bench.comparisons.designs import FINISHED, SOUND, TEST_SET, Design, fewest_flipped
from bench.comparisons.pairings import Scores, in_order
from bench.comparisons.resampled import Folds
from bench.comparisons.unpaired import Unpaired
from bench.comparisons.until_decided import UntilDecided, Whenever, until_decided
from bench.statistics.crossed import Crossed, crossed_from_mean_squares
from bench.statistics.sequential import evidence, threshold
from bench.statistics.stopping import Outcome, Plan, Rule
from bench.statistics.verdicts import Word

ACCURACY = Metric("accuracy", "%", True, 0.5, counted=True)
RMSE = Metric("rmse", "", False, None)
FIXED = Design(0.05)
FLIPS = Design(0.05, "flips")
BASE = [900, 910, 905, 915, 890, 905, 899]
MIRROR = {"superior": "inferior", "inferior": "superior"}


def key(loss: str) -> Key:
    return "d", "m", loss


def arm(counts: Sequence[int], total: int = 1000, **more: Any) -> Scores:
    return Scores(dict(enumerate(counts)), total, **more)


class Known:
    """Images of which the crossed analysis of variance is known: here, one interval around the difference."""

    def __init__(self, se: float) -> None:
        self.se = se

    def crossed(
        self, loss: str, baseline: str, seeds: Sequence[Seed], estimate: float
    ) -> tuple[Crossed, float | None] | None:
        square = self.se**2 * len(seeds) * 1000
        return crossed_from_mean_squares(estimate, square, 0.0, 0.0, len(seeds), 1000), None


def compared(
    arms: Mapping[str, Scores],
    design: Design = FIXED,
    metric: Metric = ACCURACY,
    images: Images | None = None,
    **more: Any,
) -> Analysis:
    cells = {key(loss): scores for loss, scores in arms.items()}
    return analyse([Measured(metric, cells, {("d", "m"): images} if images else {})], "ce", design, **more)


def only(found: Analysis) -> Comparison:
    [comparison] = found.comparisons
    return comparison


# ------------------------------------------------------------------------------------- words and scopes

BETTER, SAME, NOISE = (
    [c + 30 + k % 2 for k, c in enumerate(BASE)],
    [c + (-1) ** k for k, c in enumerate(BASE[:6])] + [BASE[6]],
    [930, 880, 925, 880, 915, 905, 880],
)


@pytest.mark.parametrize(
    ("counts", "metric", "word", "level"),
    [
        (BETTER, ACCURACY, "superior", 0.95),
        (BETTER, replace(ACCURACY, higher_is_better=False), "inferior", 0.95),
        (BETTER, replace(ACCURACY, margin=None), "superior", 0.95),
        (SAME, ACCURACY, "equivalent", 0.9),
        (SAME, replace(ACCURACY, higher_is_better=False), "equivalent", 0.9),
        (SAME, replace(ACCURACY, margin=None), "undecided", 0.95),
        (NOISE, ACCURACY, "undecided", 0.95),
    ],
)
def test_a_verdict_has_its_own_interval_and_p(
    counts: list[int], metric: Metric, word: str, level: float
) -> None:
    found = only(compared({"ce": arm(BASE), "a": arm(counts)}, metric=metric))
    assert found.verdict is not None
    assert found.verdict.word == word
    assert found.shown is found.verdict.interval
    assert found.shown is not None
    assert found.shown.level == pytest.approx(level)
    if word == "equivalent":
        assert found.adjusted.equivalence is not None
        assert found.verdict.p == found.adjusted.equivalence.p
        assert found.shown.within(0.005)
    else:
        assert found.verdict.p == found.adjusted.p
        assert found.shown == found.adjusted.interval
        assert found.shown.excludes_zero() == (word in MIRROR)
    assert (found.seeds_to_decide is not None) == (word == "undecided")


@pytest.mark.parametrize(
    ("images", "lost", "scope"),
    [
        (None, (), TEST_SET),
        (Known(1e-9), (), ""),
        (Known(1.0), (), TEST_SET),
        (None, (9,), f"{FINISHED}, {TEST_SET}"),
        (Known(1e-9), (9,), FINISHED),
        (Known(1.0), (9,), f"{FINISHED}, {TEST_SET}"),
    ],
)
@pytest.mark.parametrize(
    ("counts", "failed", "word"),
    [(BETTER, "a", "superior"), (SAME, "a", "equivalent"), (SAME, "ce", "equivalent")],
)
def test_the_scope_is_narrower_where_less_is_known(
    counts: list[int], word: str, images: Images | None, lost: tuple[int, ...], scope: str, failed: str
) -> None:
    planned = [*range(7), *lost]
    arms = {"ce": arm(BASE, planned=planned), "a": arm(counts, planned=planned)}
    if lost:
        arms[failed] = replace(arms[failed], lost=lost)
        other = "ce" if failed == "a" else "a"
        arms[other] = Scores({**arms[other].counts, 9: 900}, 1000, planned)
    found = only(compared(arms, images=images))
    assert found.verdict is not None
    assert (found.verdict.word, found.verdict.scope) == (word, scope)
    assert found.verdict.phrase == f"{word} {scope}".strip()
    assert found.missing == lost


@pytest.mark.parametrize(("failed", "scope"), [("ce", ""), ("a", FINISHED)])
def test_a_difference_that_holds_with_failed_runs_last_is_of_all_runs(failed: str, scope: str) -> None:
    """The better loss has failed once: seven wins and a defeat by the largest rank are no longer certain. But
    where the baseline has, that is one more win."""
    arms = {"ce": arm([*BASE, 900]), "a": arm([*BETTER, 930])}
    arms[failed] = Scores(dict(enumerate([*arms[failed].counts.values()][:7])), 1000, range(8), {7})
    found = only(compared(arms, images=Known(1e-9)))
    assert found.verdict is not None
    assert (found.verdict.word, found.verdict.scope) == ("superior", scope)
    assert found.failures is not None
    wins = 8 if failed == "ce" else 7
    p = 2 / 2**8 if wins == 8 else wilcoxon([1, 2, 3, 4, 5, 6, 7, -8]).pvalue
    assert found.failures.p_worst_rank == pytest.approx(p, rel=0.5)
    assert (found.failures.p_worst_rank < 0.05) == (scope == "")


def test_a_run_that_has_no_rival_yet_does_not_narrow_the_scope_for_good() -> None:
    """Seed 7 of the baseline has failed, and that of the loss is still to come: nobody knows how it ends."""
    arms = {"ce": arm(BASE, planned=range(8), lost={7}), "a": arm(BETTER, planned=range(8))}
    found = only(compared(arms, images=Known(1e-9)))
    assert found.verdict is not None
    assert found.verdict.phrase == "superior"
    assert found.failures is not None
    assert found.failures.ended == 7


def test_undecided_has_no_scope() -> None:
    found = only(compared({"ce": arm(BASE, planned=range(8), lost=[7]), "a": arm(NOISE)}))
    assert found.verdict is not None
    assert found.verdict.phrase == "undecided"
    assert found.missing == (7,)


def test_a_failed_run_of_a_seed_that_nobody_asked_for_changes_nothing() -> None:
    arms = {"ce": arm(BASE, planned=range(7)), "a": arm(BETTER, planned=range(7))}
    plan = Plan(5, 5, 10, comparisons=1)
    outside = replace(arms["a"], lost=frozenset({8}))
    design = until_decided(0.05, plan, range(10))
    found = only(compared({**arms, "a": outside}, design, images=Known(1e-9)))
    assert found.verdict is not None
    assert (found.n, found.verdict.phrase) == (5, "superior")


def test_the_scope_is_at_a_level_for_the_whole_family() -> None:
    """What one comparison alone shows on new images need not hold for one of many."""
    alone = only(compared({"ce": arm(BASE), "a": arm(BETTER)}, images=Known(0.011)))
    assert alone.verdict is not None
    assert alone.verdict.phrase == "superior"
    many = {f"a{k}": arm([c + k % 3 for c in BETTER]) for k in range(10)}
    found = compared({"ce": arm(BASE), **many}, images=Known(0.011))
    assert {c.verdict.phrase for c in found.comparisons if c.verdict} == {f"superior {TEST_SET}"}
    for c, level in ((alone, 0.05), (found.comparisons[0], 0.05 / 10)):
        assert c.new_images is not None
        wider, df = c.new_images.interval, min(c.new_images.crossed.df, 6)  # type: ignore[type-var]
        assert wider is not None
        assert wider.level == 0.95
        reach = 0.011 * stats.t.isf(level / 2, df)
        assert (wider.low, wider.high) == pytest.approx((c.delta - reach, c.delta + reach))  # type: ignore[operator]


def test_without_verdicts_all_the_rest_is_as_it_was() -> None:
    arms = {"ce": arm(BASE), "a": arm(BETTER), "b": arm(SAME), "c": arm(NOISE)}
    judged, not_judged = compared(arms), compared(arms, judged=False)
    assert [c.verdict for c in not_judged.comparisons] == [None] * 3
    expected = [replace(c, verdict=None, seeds_to_decide=None) for c in judged.comparisons]
    assert [*not_judged.comparisons] == expected
    for c, flat in zip(not_judged.comparisons, flats(not_judged.comparisons), strict=True):
        assert flat.verdict is flat.scope is flat.p_decided is None
        interval = c.adjusted.interval
        assert interval is not None
        assert (flat.low, flat.high, flat.level) == (interval.low, interval.high, 0.95)


# ------------------------------------------------------------------------------------------- invariants

values = st.lists(st.integers(0, 1000), min_size=2, max_size=9)


@st.composite
def families(draw: st.DrawFn) -> dict[str, list[int]]:
    """A baseline and one to three others, with as many seeds each; differences from none to large."""
    base = draw(values)
    shifts = st.lists(st.integers(-60, 60), min_size=len(base), max_size=len(base))
    others = draw(st.lists(st.tuples(st.integers(-200, 200), shifts), min_size=1, max_size=3))
    family = {"ce": base}
    for k, (much, noise) in enumerate(others):
        spread = draw(st.sampled_from([0, 1, 30]))
        family[f"a{k}"] = [b + much + round(s * spread / 60) for b, s in zip(base, noise, strict=True)]
    return family


def said(found: Analysis) -> list[tuple[Any, ...]]:
    """What must not depend on units and directions."""
    return [
        (
            c.verdict and c.verdict.word,
            c.verdict and c.verdict.scope,
            c.verdict and c.verdict.p,
            c.p,
            (c.adjusted.p, c.adjusted.by),
            c.adjusted.equivalence and c.adjusted.equivalence.p,
            c.flips,
            c.superiority,
            c.seeds_to_decide,
            c.note,
        )
        for c in found.comparisons
    ]


def arms_of(family: Mapping[str, Sequence[int]], total: int = 1000) -> dict[str, Scores]:
    return {loss: arm(counts, total) for loss, counts in family.items()}


FEW = 2000
"""Rotations or flips where it is their consistency that counts."""
DESIGNS = [Design(0.05, draws=FEW), Design(0.05, "flips", FEW), Unpaired(0.05)]
SCORE = Metric("score", "", True, 0.01)


@pytest.mark.parametrize("design", DESIGNS, ids=["rotations", "flips", "unpaired"])
@settings(max_examples=60)
@given(families())
def test_negating_values_and_direction_changes_nothing(design: Design, family: dict[str, list[int]]) -> None:
    less = {loss: [-count for count in counts] for loss, counts in family.items()}
    one = compared(arms_of(family), design, SCORE)
    other = compared(arms_of(less), design, replace(SCORE, higher_is_better=False))
    assert said(one) == said(other)
    for c, d in zip(one.comparisons, other.comparisons, strict=True):
        assert c.delta == -d.delta  # type: ignore[operator]
        for one_of, other_of in ((c.shown, d.shown), (c.adjusted.interval, d.adjusted.interval)):
            assert (one_of is None) == (other_of is None)
            if one_of and other_of:
                assert (one_of.low, one_of.high) == pytest.approx((-other_of.high, -other_of.low))


@pytest.mark.parametrize("design", DESIGNS, ids=["rotations", "flips", "unpaired"])
@settings(max_examples=60)
@given(families(), st.integers(1, 10**6), st.integers(-(10**9), 10**9))
def test_a_constant_that_is_added_changes_nothing(
    design: Design, family: dict[str, list[int]], factor: int, constant: int
) -> None:
    moved = {loss: [count + constant for count in counts] for loss, counts in family.items()}
    one, other = (compared(arms_of(f), design, SCORE) for f in (family, moved))
    assert said(one) == said(other)
    for c, d in zip(one.comparisons, other.comparisons, strict=True):
        assert (c.delta, c.adjusted, c.shown) == (d.delta, d.adjusted, d.shown)


@pytest.mark.parametrize("design", DESIGNS, ids=["rotations", "flips", "unpaired"])
@settings(max_examples=60)
@given(families(), st.integers(1, 10**6))
def test_a_finer_unit_changes_nothing(design: Design, family: dict[str, list[int]], factor: int) -> None:
    finer = {loss: [count * factor for count in counts] for loss, counts in family.items()}
    one = compared(arms_of(family), design, SCORE)
    other = compared(arms_of(finer, 1000 * factor), design, SCORE)
    for c, d in zip(one.comparisons, other.comparisons, strict=True):
        assert (c.verdict and c.verdict.phrase) == (d.verdict and d.verdict.phrase)
        assert c.delta == pytest.approx(d.delta)
        assert (c.p, c.adjusted.p) == (pytest.approx(d.p), pytest.approx(d.adjusted.p))
        assert (c.flips and c.flips.p) == (d.flips and d.flips.p)


@settings(max_examples=60)
@given(families())
def test_counts_are_tested_like_any_other_numbers(family: dict[str, list[int]]) -> None:
    family = {loss: [min(max(count, 0), 1000) for count in counts] for loss, counts in family.items()}
    for design in DESIGNS:
        counted, free = (
            compared(arms_of(family), design, replace(SCORE, counted=counted)) for counted in (True, False)
        )
        assert counted.comparisons == free.comparisons


@settings(max_examples=60)
@given(families(), st.randoms(use_true_random=False))
def test_the_order_of_seeds_and_the_side_do_not_matter(family: dict[str, list[int]], random: Any) -> None:
    order = [*range(len(family["ce"]))]
    random.shuffle(order)
    shuffled = {loss: Scores({s: counts[s] for s in order}, 1000) for loss, counts in family.items()}
    for design in DESIGNS:
        assert compared(shuffled, design, SCORE) == compared(arms_of(family), design, SCORE)
    pair = {"ce": family["ce"], "a": family["a0"]}
    swapped = {"ce": family["a0"], "a": family["ce"]}
    one, other = (only(compared(arms_of(f), metric=SCORE)) for f in (pair, swapped))
    assert one.verdict is not None
    assert other.verdict is not None
    assert other.verdict.word == MIRROR.get(one.verdict.word, one.verdict.word)
    assert (one.p, one.adjusted.p, one.flips) == (other.p, other.adjusted.p, other.flips)


# --------------------------------------------------------------------------------------- whole decisions


@st.composite
def troubled(draw: st.DrawFn) -> dict[str, Scores]:
    """A baseline and up to three others of nine seeds: some missing, failed, collapsed, or all alike."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    seeds = draw(st.sampled_from([4, 6, 9, 9, 9]))
    noise, arms = rng.normal(0, 5, size=seeds), {}
    for k in range(draw(st.integers(1, 3)) + 1):
        shift = draw(st.sampled_from([0, 0, 3, -12, 40, -40])) if k else 0
        own = draw(st.sampled_from([0.0, 0.3, 2.0, 10.0]))
        counts = np.rint(800 + shift + noise + own * rng.standard_normal(seeds)).astype(int)
        for collapse in rng.permutation(seeds)[: draw(st.sampled_from([0, 0, 0, 1, 2]))]:
            counts[collapse] = rng.integers(0, 500)
        out = rng.permutation(seeds)[: draw(st.sampled_from([0, 0, 1, 3]))]
        failed = {int(seed) for seed in out if rng.random() < 0.7}
        there = {int(s): int(counts[s]) for s in range(seeds) if s not in out}
        arms["ce" if not k else f"a{k}"] = Scores(there, 1000 if there else None, range(9), failed)
    return arms


PLANS = {
    "planned": Plan(5, 2, 9, rule=Rule.PLANNED, comparisons=3, margin=0.01, futility=0.1),
    "whenever": Plan(5, 2, 9, comparisons=3, margin=0.01, futility=0.2, adjusted_equivalence=True),
}
EVERY: dict[str, Design] = {
    "rotations": Design(0.05, draws=FEW),
    "flips": Design(0.05, "flips", FEW),
    "unpaired": Unpaired(0.05),
    "folds": Folds(0.05, folds={("d", "m"): 3}),
    "planned": replace(until_decided(0.05, PLANS["planned"], range(9)), draws=FEW),
    "whenever": until_decided(0.05, PLANS["whenever"], range(9)),
}
MATTERS = Metric("score", "%", True, 1.0)


@pytest.mark.parametrize("name", [*EVERY])
@pytest.mark.parametrize("higher", [True, False])
@settings(max_examples=80)
@given(arms=troubled(), se=st.sampled_from([None, 1e-6, 0.003, 0.05]))
def test_words_p_and_intervals_belong_together(
    name: str, higher: bool, arms: dict[str, Scores], se: float | None
) -> None:
    metric = replace(MATTERS, higher_is_better=higher)
    found = compared(arms, EVERY[name], metric, Known(se) if se else None)
    for c in found.comparisons:
        verdict, interval, inside = c.verdict, c.adjusted.interval, c.adjusted.equivalence
        assert verdict is not None
        better = c.delta is not None and (c.delta > 0) == higher
        fewer = c.collapse is not None and len(c.collapse.loss) > len(c.collapse.baseline)
        differs = interval is not None and interval.excludes_zero()
        within = inside is not None and inside.interval is not None and inside.interval.within(0.01)
        closed = name in ("planned", "whenever")
        if closed and not fewer:  # where it is withheld, the look has not closed it
            within &= c.sequence is not None and c.sequence.outcome is Outcome.EQUIVALENT
        # The word is what the intervals say, but for a loss that collapsed more often.
        match verdict.word:
            case Word.SUPERIOR | Word.INFERIOR:
                assert differs
                assert (verdict.word is Word.SUPERIOR) == better
                assert (verdict.interval, verdict.p) == (interval, c.adjusted.p)
            case Word.EQUIVALENT:
                assert within
                assert not differs
                assert (verdict.interval, verdict.p) == (inside.interval, inside.p)  # type: ignore[union-attr]
                assert inside.p < 0.05  # type: ignore[operator, union-attr]
            case Word.UNDECIDED:
                assert verdict.scope == ""
                if (differs and better and fewer) or (within and not differs and fewer):
                    assert verdict.interval is verdict.p is None
                    assert "it collapsed in" in c.note
                else:
                    assert not differs
                    assert not within
                    assert (verdict.interval, verdict.p) == (interval, c.adjusted.p)
        if fewer:
            assert verdict.word not in (Word.SUPERIOR, Word.EQUIVALENT)
        # p and intervals agree.
        if not closed:
            # Of flips it may be without ends: where not even all signs alike are as rare as α.
            assert (interval is not None) == (c.adjusted.p is not None) or (name == "flips" and not interval)
            assert differs == (c.adjusted.p is not None and c.adjusted.p < 0.05)
            if inside is not None and inside.p is not None:
                assert within == (inside.p < 0.05)
        elif name == "whenever":
            assert differs == (c.adjusted.p is not None and c.adjusted.p <= 0.05)
        if c.adjusted.p is not None and c.p is not None and name != "flips":
            assert c.adjusted.p >= c.p * (1 - 1e-12) or name == "planned"
        # Too few to decide anything, and none that is tested without a reason why not.
        if min(c.n, c.n if c.n_baseline is None else c.n_baseline) < 5:
            assert (verdict.word, interval, inside, c.adjusted.p) == (Word.UNDECIDED, None, None, None)
        if not closed and c.adjusted.p is None:
            assert c.note or c.missing
        # On new images it is never narrower, and a scope that says nothing has been shown there.
        wider = c.new_images.interval if c.new_images else None
        if wider is not None and verdict.interval is not None:
            assert wider.high - wider.low >= (verdict.interval.high - verdict.interval.low) * (1 - 1e-12)
            assert wider.low <= verdict.interval.low + 1e-12
            assert wider.high >= verdict.interval.high - 1e-12
        if verdict.word is not Word.UNDECIDED:
            assert any(bool(part) for part in (c.collapse,)) == (SOUND in verdict.scope)
            there = wider is not None and (
                wider.within(0.01) if verdict.word is Word.EQUIVALENT else wider.excludes_zero()
            )
            assert there == (EVERY[name].here not in verdict.scope)


@settings(max_examples=40)
@given(arms=troubled())
def test_every_interval_of_the_family_is_of_one_level(arms: dict[str, Scores]) -> None:
    """Student's, of rotations: as many standard errors for the same number of seeds, and never narrower."""
    for c in compared(arms, EVERY["rotations"], MATTERS).comparisons:
        if c.adjusted.interval is None:
            continue
        known = c.difference
        assert known is not None
        reach = (c.adjusted.interval.high - c.adjusted.interval.low) / 2 / known.se  # type: ignore[operator]
        level = 2 * stats.t.sf(reach, c.n - 1)
        assert 0.05 / 3 * (1 - 1e-9) <= level <= 0.05 * (1 + 1e-9)
        assert c.adjusted.interval.level == 0.95
        assert (c.p < level * (1 - 1e-6)) <= (c.adjusted.p < 0.05)  # type: ignore[operator]


# -------------------------------------------------------------------------------------- what is told apart


def test_runs_meet_by_seed_and_never_by_position() -> None:
    ours, base = Scores({3: 10, 1: 20, 7: 30}, 100), Scores({7: 1, 3: 2, 5: 3}, 100, planned=[3, 5, 7, 9])
    cells = {key("ce"): base, key("a"): ours}
    [pairing] = FIXED.pairings(RMSE, cells, "ce")
    assert (pairing.seeds, pairing.missing) == ((3, 7), (1, 5, 9))
    assert pairing.differences.tolist() == [8, 29]
    [everything] = Unpaired(0.05).pairings(RMSE, cells, "ce")
    assert (everything.seeds, everything.missing) == ((), ())
    assert (everything.ours.tolist(), everything.theirs.tolist()) == ([20, 10, 30], [2, 3, 1])


def test_numbers_come_before_names_in_the_order_of_seeds() -> None:
    assert in_order(["b", 10, "a", 9]) == [9, 10, "a", "b"]


@pytest.mark.parametrize("alpha", [0.2, 0.1, 0.05, 0.01, 0.001])
def test_fewest_seeds_is_what_flips_need(alpha: float) -> None:
    least = fewest_flipped(alpha)
    assert 2.0 ** (1 - least) < alpha <= 2.0 ** (2 - least)


def test_too_many_differences_to_flip_even_by_chance_are_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw = np.random.default_rng(1)
    arms = {loss: arm(draw.integers(880, 920, 70).tolist()) for loss in ("ce", "a", "b")}
    whole = compared(arms)
    assert all(c.flips is not None and not c.flips.exact for c in whole.comparisons)
    monkeypatch.setattr("bench.comparisons.adjustment.MOST_SIMULATED", 139)
    found = compared(arms)
    assert [c.flips for c in found.comparisons] == [None, None]
    assert found.notes == (
        "p of sign flips (flip) is left out where there are too many to count: 140 differences take too long",
    )
    assert [c.adjusted for c in found.comparisons] == [c.adjusted for c in whole.comparisons]


def test_large_numbers_are_flipped_exactly_where_halves_can() -> None:
    draw = np.random.default_rng(2)
    arms = {loss: arm(draw.integers(0, 10**12, 30).tolist(), 10**12) for loss in ("ce", "a")}
    found = only(compared(arms, metric=RMSE))
    assert found.flips is not None
    assert found.flips.exact


@pytest.mark.parametrize("counts", [[900], [900, 901, 902]])
def test_what_has_no_spread_has_no_test(counts: list[int]) -> None:
    found = only(compared({"ce": arm(counts), "a": arm([c + 5 for c in counts])}))
    assert found.delta == 0.005
    assert found.p is found.adjusted.interval is found.adjusted.p is found.detectable is None
    assert found.note
    assert found.verdict is not None
    assert found.verdict.phrase == "undecided"


def test_what_is_lacking_altogether_is_told_from_what_is_still_to_come() -> None:
    empty = Scores({}, None)
    assert only(compared({"ce": arm(BASE), "a": empty})).note == ""  # its seeds are missing, and listed
    assert only(compared({"ce": empty, "a": empty})).note == "no runs of one of the two"
    other = only(compared({"ce": arm(BASE), "a": arm(BASE, 2000)}))
    assert "different numbers of images" in other.note
    assert other.delta is None


# -------------------------------------------------------------------------------------- until decided


def whenever(largest: int = 16, comparisons: int = 2, margin: float = 0.0) -> UntilDecided:
    plan = Plan(8, 4, largest, comparisons=comparisons, margin=margin)
    return until_decided(0.05, plan, tuple(range(largest)))


def planned(largest: int = 16, comparisons: int = 2, margin: float = 0.0) -> UntilDecided:
    plan = Plan(8, 4, largest, rule=Rule.PLANNED, comparisons=comparisons, margin=margin)
    return until_decided(0.05, plan, tuple(range(largest)))


def sixteen() -> dict[str, Scores]:
    """One loss that is much better, and one that is the baseline's own counts in another order."""
    base = [900 + int(d) for d in np.random.default_rng(3).integers(-9, 9, 16)]
    better = [b + 40 + k % 3 for k, b in enumerate(base)]
    return {"ce": arm(base), "a": arm(better), "b": arm(base[::-1])}


def test_the_rule_makes_the_design() -> None:
    assert type(planned()) is UntilDecided
    assert type(whenever()) is Whenever


def test_whenever_a_difference_is_what_closed_the_comparison() -> None:
    found = compared(sixteen(), whenever())
    a, b = found.comparisons
    assert (a.n, b.n) == (8, 16)  # later seeds are there, and not looked at
    assert a.sequence is not None
    assert (a.sequence.outcome, a.sequence.looks) == (Outcome.DIFFERENCE, 1)
    path = evidence(np.array([40 + k % 3 for k in range(8)]), 1000)
    assert a.sequence.e == pytest.approx(path.e[-1])
    assert a.sequence.e >= threshold(0.05, 2) == 40
    assert (a.p, a.adjusted.p, a.adjusted.by) == (1 / a.sequence.e, 2 / a.sequence.e, "e-value")
    assert a.verdict is not None
    assert (a.verdict.phrase, a.verdict.interval, a.verdict.p) == (
        *(f"superior {TEST_SET}", a.adjusted.interval, a.adjusted.p),
    )
    sequence = evidence(np.array([40 + k % 3 for k in range(8)]), 1000, 0.05 / 2)
    assert a.adjusted.interval is not None
    assert (a.adjusted.interval.low, a.adjusted.interval.high) == pytest.approx(
        (sequence.low[-1], sequence.high[-1])
    )
    assert a.adjusted.interval.level == 0.95
    assert b.sequence is not None
    assert b.sequence.outcome is Outcome.LARGEST
    assert b.verdict is not None
    assert b.verdict.phrase == "undecided"
    assert b.seeds_to_decide is None
    assert found.standings[key("a")].seeds_needed == 8


def test_planned_looks_have_the_interval_of_the_look_that_closed_them() -> None:
    found = compared(sixteen(), planned())
    a, b = found.comparisons
    look = found.standings[key("a")]
    assert look.result is not None
    assert (a.n, look.looks, look.outcome) == (look.seeds_seen, look.looks, Outcome.DIFFERENCE)
    assert a.n < 16 == b.n
    d = np.array([40 + k % 3 for k in range(a.n)]) / 1000
    reach = look.result.critical * stats.sem(d)
    interval = a.adjusted.interval
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((d.mean() - reach, d.mean() + reach))
    assert reach > stats.t.isf(0.025, a.n - 1) * stats.sem(d)
    assert (interval.level, a.adjusted.by, a.adjusted.p) == (0.95, "flips", look.result.p)
    assert a.adjusted.p <= 0.05 * (a.n / 16) ** 2
    assert a.verdict is not None
    assert (a.verdict.phrase, a.verdict.interval, a.verdict.p) == (
        *(f"superior {TEST_SET}", interval, a.adjusted.p),
    )
    assert a.p == pytest.approx(stats.ttest_1samp(d, 0).pvalue)  # beside it, and it decides nothing
    assert b.sequence is not None
    assert (b.sequence.outcome, b.sequence.e) == (Outcome.LARGEST, None)
    assert b.verdict is not None
    assert (b.verdict.phrase, b.seeds_to_decide, b.detectable) == ("undecided", None, None)
    assert b.adjusted.p is not None  # at the last look p is what it says


def test_an_open_comparison_has_an_interval_and_no_p() -> None:
    arms = {loss: Scores({s: of.counts[s] for s in range(12)}, 1000) for loss, of in sixteen().items()}
    b = compared(arms, planned(margin=0.0005)).comparisons[1]
    assert b.sequence is not None
    assert (b.sequence.outcome, b.sequence.looks, b.n) == (Outcome.OPEN, 2, 12)
    assert b.adjusted.interval is not None
    assert b.adjusted.equivalence is not None
    assert (b.adjusted.p, b.adjusted.equivalence.p) == (None, None)
    assert b.verdict is not None
    assert b.verdict.phrase == "undecided"


def test_equivalence_at_a_planned_look() -> None:
    base = sixteen()["ce"].counts
    same = arm([n + (-1) ** k for k, n in base.items()])
    found = compared({"ce": sixteen()["ce"], "a": same}, planned(comparisons=1, margin=0.005))
    look, c = found.standings[key("a")], only(found)
    assert look.outcome is Outcome.EQUIVALENT
    assert look.result is not None
    assert c.verdict is not None
    assert c.verdict.phrase == f"equivalent {TEST_SET}"
    d = np.array([(-1) ** k for k in range(c.n)]) / 1000
    reach = look.result.critical_equivalence * stats.sem(d)
    assert c.verdict.interval is not None
    assert (c.verdict.interval.low, c.verdict.interval.high) == pytest.approx(
        (d.mean() - reach, d.mean() + reach)
    )
    assert (c.verdict.interval.level, c.verdict.p) == (0.9, look.result.p_equivalence)
    assert c.verdict.interval.within(0.005)


@pytest.mark.parametrize("make", [planned, whenever])
@pytest.mark.parametrize("higher", [True, False])
def test_a_secondary_metric_closes_nothing_and_has_a_family_of_its_own(
    make: Callable[[], UntilDecided], higher: bool
) -> None:
    arms = sixteen()
    first = compared(arms, make())
    beside = {loss: Scores({s: 5 * c for s, c in a.counts.items()}, 10_000) for loss, a in arms.items()}
    metric = Metric("other", "", higher, None)
    found = compared(beside, make().secondary(first.standings), metric)
    # The seeds that the first one has asked for; and what holds whenever one stops, as it closes nothing.
    assert [c.n for c in found.comparisons] == [c.n for c in first.comparisons]
    assert "e-values" in found.adjustment.by
    a, b = found.comparisons
    assert a.sequence is not None
    assert (a.sequence.looks, a.sequence.outcome) == (None, None)
    path = evidence(np.array([40 + k % 3 for k in range(a.n)]), 1000)
    assert a.sequence.e == pytest.approx(path.e[-1])
    assert a.adjusted.by == "e-value"
    assert a.adjusted.p == pytest.approx(2 / a.sequence.e)  # type: ignore[operator]
    assert a.verdict is not None
    assert a.verdict.word == ("superior" if higher else "inferior")
    assert b.verdict is not None
    assert b.verdict.word == "undecided"
    assert FIXED.secondary(first.standings) is FIXED


@pytest.mark.parametrize("make", [planned, whenever])
def test_on_new_images_it_is_never_narrower_than_on_these(make: Callable[..., UntilDecided]) -> None:
    arms = {loss: of for loss, of in sixteen().items() if loss != "b"}
    se = only(compared(arms, make(comparisons=1))).difference.se  # type: ignore[union-attr]
    assert se is not None
    for factor, scope in ((0.1, ""), (1.0, ""), (10.0, ""), (1000.0, TEST_SET)):
        found = only(compared(arms, make(comparisons=1), images=Known(factor * se)))
        assert found.new_images is not None
        assert found.new_images.p is None  # it would not be valid
        wider, here = found.new_images.interval, found.adjusted.interval
        assert wider is not None
        assert here is not None
        assert (wider.high - wider.low) == pytest.approx(max(factor, 1) * (here.high - here.low))
        assert found.verdict is not None
        assert found.verdict.scope == scope


# ------------------------------------------------------------------------------------ collapse, and flips


def test_collapsed_runs_are_left_out_named_and_narrow_the_scope() -> None:
    ours = arm(BETTER)
    base = Scores({**arm(BASE).counts, 2: 400}, 1000)
    found = only(compared({"ce": base, "a": ours}, images=Known(1e-9)))
    assert found.collapse is not None
    assert (found.collapse.loss, found.collapse.baseline) == ((), (2,))
    assert (found.collapse.runs, found.collapse.runs_baseline, found.n, found.missing) == (7, 7, 6, ())
    every = np.array([*ours.counts.values()]) - np.array([*base.counts.values()])
    assert found.collapse.delta == pytest.approx(every.mean() / 1000)
    assert found.delta == pytest.approx(np.delete(every, 2).mean() / 1000)
    assert found.p == pytest.approx(stats.ttest_1samp(np.delete(every, 2), 0).pvalue)
    assert found.verdict is not None
    assert found.verdict.phrase == f"superior {SOUND}"
    none = only(compared({"ce": arm(BASE), "a": ours}))
    assert none.collapse is None


@pytest.mark.parametrize("name", [*EVERY])
@pytest.mark.parametrize(
    ("counts", "withheld"), [(BETTER, True), (SAME, True), ([c - 30 + c % 2 for c in BASE], False)]
)
def test_a_loss_that_collapsed_more_gets_no_verdict_in_its_favour(
    name: str, counts: list[int], withheld: bool
) -> None:
    base, ours = [*BASE, 901, 897], [*counts, counts[0] + 1, counts[1]]
    ours[1] = 400
    arms = {"ce": arm(base, planned=range(9)), "a": arm(ours, planned=range(9))}
    found = only(compared(arms, EVERY[name], MATTERS))
    assert found.verdict is not None
    assert found.collapse is not None
    assert found.collapse.loss == (1,)
    if withheld:
        assert found.verdict.word is Word.UNDECIDED
    else:
        assert found.verdict.word in (Word.INFERIOR, Word.UNDECIDED)
        assert found.verdict.interval == found.adjusted.interval
    if name in ("rotations", "folds") and withheld:
        assert found.verdict.interval is found.verdict.p is None
        assert found.note == (
            "neither a verdict in its favour nor an interval: it collapsed in 1 of 9 runs, and the "
            "baseline in 0 of 9"
        )
    arms["ce"] = Scores({**arms["ce"].counts, 2: 400}, 1000, range(9))  # as many of the baseline's
    even = only(compared(arms, EVERY[name], MATTERS))
    assert even.verdict is not None
    if name == "rotations":
        assert even.verdict.word in (Word.SUPERIOR, Word.EQUIVALENT, Word.INFERIOR)
        assert even.verdict.scope.startswith(SOUND)
    assert "collapsed" not in even.note


def test_flips_judge_where_they_were_asked_for() -> None:
    """Five seeds that all agree: Student's t is certain, and 2 of 32 flips are as far."""
    five = {"ce": arm(BASE[:5]), "a": arm(BETTER[:5])}
    assert only(compared(five)).verdict.word is Word.SUPERIOR  # type: ignore[union-attr]
    found = compared(five, FLIPS)
    c = only(found)
    assert c.verdict is not None
    assert (c.verdict.word, c.adjusted.by, c.adjusted.interval) == (Word.UNDECIDED, "flips", None)
    assert c.adjusted.p == pytest.approx(2 / 2**5, abs=0.01)
    [note] = found.notes
    assert "with 5 seeds no flip of signs gives an adjusted p below α = 0.05" in note
    assert note.endswith("that takes 6 seeds or more")
    seven = {"ce": arm(BASE), "a": arm(BETTER), "b": arm(NOISE)}
    found = compared(seven, FLIPS)
    a, b = found.comparisons
    assert found.notes == ()
    assert (a.verdict.word, b.verdict.word) == (Word.SUPERIOR, Word.UNDECIDED)  # type: ignore[union-attr]
    assert a.flips is not None
    assert a.adjusted.p is not None
    assert a.flips.p - 0.005 < a.adjusted.p < 2 * a.flips.p + 0.005
    assert (
        found.adjustment.by
        == "sign flips of whole seeds, against the largest of the family (single-step maxT)"
    )


@pytest.mark.parametrize(("runs", "decided"), [(3, False), (4, False), (5, True)])
@pytest.mark.parametrize("name", ["rotations", "unpaired", "folds"])
def test_fewer_than_five_runs_decide_nothing(name: str, runs: int, decided: bool) -> None:
    arms = {"ce": arm(BASE[:runs]), "a": arm([c + 60 + k for k, c in enumerate(BASE[:runs])])}
    found = only(compared(arms, EVERY[name]))
    assert found.verdict is not None
    assert found.p is not None
    assert (found.verdict.word is Word.SUPERIOR) == decided
    assert (found.adjusted.interval is None) == (found.adjusted.p is None) == (not decided)
    assert ("ewer than 5" in found.note) == (not decided)


def test_unpaired_and_folds_are_bonferroni() -> None:
    arms = {"ce": arm(BASE), "a": arm(BETTER), "b": arm(SAME), "c": arm(BASE[:4]), "d": arm(NOISE)}
    for name in ("unpaired", "folds"):
        found = compared(arms, EVERY[name])
        assert found.adjustment.by == "Bonferroni"
        one_sided = []
        for c in found.comparisons:
            if c.loss == "c":
                assert c.adjusted.p is None  # four runs: not one of the family
                continue
            known = c.difference
            assert known is not None
            assert c.p is not None
            assert (c.adjusted.p, c.adjusted.by) == (min(3 * c.p, 1), "bonferroni")
            interval, inside = c.adjusted.interval, c.adjusted.equivalence
            assert interval is not None
            assert (interval.low, interval.high) == known.interval(1 - 0.05 / 3)
            assert interval.level == 0.95
            assert inside is not None
            assert inside.interval is not None
            reach = (0.005 - abs(c.delta)) / known.se  # type: ignore[arg-type, operator]
            one_sided.append((stats.t.sf(reach, known.df), inside))
        # Equivalence steps down: of three those at 3p < α, then of those left as many times p as there are.
        left, least = one_sided, 0.0
        while left:
            shown = [(p, inside) for p, inside in left if len(left) * p < 0.05]
            for p, inside in shown or left:
                assert inside.p == pytest.approx(max(min(len(left) * p, 0.5), p, least))
                assert (inside.p < 0.05) == inside.interval.within(0.005) == bool(shown)
            least = max([least, *(inside.p for _, inside in shown)])
            left = [item for item in left if item not in shown] if shown else []


def test_seeds_of_a_new_experiment_by_what_the_interval_allows() -> None:
    """Not of the observed difference: of the largest that there may be, and of the margin."""
    arms = {"ce": arm(BASE), "a": arm(NOISE), "b": arm(BASE[::-1])}
    for c in compared(arms).comparisons:
        assert c.verdict is not None
        assert c.verdict.phrase == "undecided"
        interval, seeds, sd = c.adjusted.interval, c.seeds_to_decide, c.sd
        assert interval is not None
        assert seeds is not None
        assert sd is not None
        far = max(-interval.low, interval.high) / sd
        power = TTestPower()
        assert power.power(far, seeds.fewest, 0.05 / 2) >= 0.8
        assert seeds.fewest == 5 or power.power(far, seeds.fewest - 1, 0.05 / 2) < 0.8
        # In four of five experiments the true spread is below this.
        cautious = sd * (6 / stats.chi2.ppf(0.2, 6)) ** 0.5
        assert seeds.most is not None
        assert power.power(0.005 / cautious, seeds.most, 0.05 / 2) >= 0.8
        assert power.power(0.005 / cautious, seeds.most - 1, 0.05 / 2) < 0.8
    none = compared(arms, metric=replace(ACCURACY, margin=None)).comparisons[0]
    assert none.seeds_to_decide is not None
    assert none.seeds_to_decide.most is None
