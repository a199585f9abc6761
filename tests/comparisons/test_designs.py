"""Three designs, one set of rules: words, scopes, levels, and what must not change when nothing does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers import flats
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.comparisons.analysis import Analysis, Images, Measured, analyse
from bench.comparisons.comparison import Comparison, Key, Metric, Seed
from bench.comparisons.designs import (
    FINISHED,
    TEST_SET,
    Design,
    Scores,
    Unpaired,
    fewest_seeds,
    in_order,
)
from bench.comparisons.until_decided import UntilDecided
from bench.statistics.crossed import Crossed, crossed_from_mean_squares
from bench.statistics.sequential import evidence, threshold
from bench.statistics.stopping import Outcome, Plan
from bench.statistics.verdicts import Word

ACCURACY = Metric("accuracy", "%", True, 0.5, counted=True)
RMSE = Metric("rmse", "", False, None)
FIXED = Design(0.05)
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
        assert found.equivalence is not None
        assert found.verdict.p == found.equivalence.p
        assert found.shown.within(0.005)
    else:
        assert found.verdict.p == found.adjusted.p
        assert found.shown == found.interval
        assert found.shown.excludes_zero() == (word in MIRROR)
    assert (found.seeds_to_decide is not None) == (word == "undecided" and found.delta != 0)


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
@pytest.mark.parametrize("failed", ["a", "ce"])
@pytest.mark.parametrize(("counts", "word"), [(BETTER, "superior"), (SAME, "equivalent")])
def test_the_scope_is_narrower_where_less_is_known(
    counts: list[int], word: str, images: Images | None, lost: tuple[int, ...], scope: str, failed: str
) -> None:
    planned = [*range(7), *lost]
    arms = {"ce": arm(BASE, planned=planned), "a": arm(counts, planned=planned)}
    arms[failed] = replace(arms[failed], lost=lost)
    found = only(compared(arms, images=images))
    assert found.verdict is not None
    assert (found.verdict.word, found.verdict.scope) == (word, scope)
    assert found.verdict.phrase == f"{word} {scope}".strip()
    assert found.missing == lost


def test_undecided_has_no_scope() -> None:
    found = only(compared({"ce": arm(BASE, planned=range(8), lost=[7]), "a": arm(NOISE)}))
    assert found.verdict is not None
    assert found.verdict.phrase == "undecided"
    assert found.missing == (7,)


def test_a_failed_run_of_a_seed_that_nobody_asked_for_changes_nothing() -> None:
    arms = {"ce": arm(BASE, planned=range(7)), "a": arm(BETTER, planned=range(7))}
    plan = Plan(5, 5, 10, comparisons=1)
    outside = replace(arms["a"], lost=frozenset({8}))
    found = only(compared({**arms, "a": outside}, UntilDecided(0.05, plan, range(10)), images=Known(1e-9)))
    assert found.verdict is not None
    assert (found.n, found.verdict.phrase) == (5, "superior")


def test_the_scope_is_at_a_level_for_the_whole_family() -> None:
    """What one comparison alone shows on new images need not hold for one of many."""
    alone = compared({"ce": arm(BASE), "a": arm(BETTER)}, images=Known(0.011))
    assert only(alone).new_images is not None
    assert only(alone).new_images.interval.excludes_zero()  # type: ignore[union-attr]
    assert only(alone).verdict.phrase == "superior"  # type: ignore[union-attr]
    many = {f"a{k}": arm([c + k % 3 for c in BETTER]) for k in range(10)}
    found = compared({"ce": arm(BASE), **many}, images=Known(0.011))
    assert {c.new_images.interval.excludes_zero() for c in found.comparisons} == {True}  # type: ignore[union-attr]
    assert {c.verdict.phrase for c in found.comparisons} == {f"superior {TEST_SET}"}  # type: ignore[union-attr]


def test_without_verdicts_all_the_rest_is_as_it_was() -> None:
    arms = {"ce": arm(BASE), "a": arm(BETTER), "b": arm(SAME), "c": arm(NOISE)}
    judged, not_judged = compared(arms), compared(arms, judged=False)
    assert [c.verdict for c in not_judged.comparisons] == [None] * 3
    expected = [replace(c, verdict=None, seeds_to_decide=None) for c in judged.comparisons]
    assert [*not_judged.comparisons] == expected
    for c, flat in zip(not_judged.comparisons, flats(not_judged.comparisons), strict=True):
        assert flat.verdict is flat.scope is flat.p_decided is None
        assert c.interval is not None
        assert (flat.low, flat.high, flat.level) == (c.interval.low, c.interval.high, 0.95)


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
            c.adjusted,
            c.flips,
            c.superiority,
            c.equivalence and c.equivalence.p,
            c.seeds_to_decide,
            c.note,
        )
        for c in found.comparisons
    ]


def arms_of(family: Mapping[str, Sequence[int]], total: int = 1000) -> dict[str, Scores]:
    return {loss: arm(counts, total) for loss, counts in family.items()}


DESIGNS = [FIXED, Unpaired(0.05)]
SCORE = Metric("score", "", True, 0.01)


@pytest.mark.parametrize("design", DESIGNS, ids=lambda d: d.name)
@settings(derandomize=True, deadline=None, max_examples=60)
@given(families())
def test_negating_values_and_direction_changes_nothing(design: Design, family: dict[str, list[int]]) -> None:
    less = {loss: [-count for count in counts] for loss, counts in family.items()}
    one = compared(arms_of(family), design, SCORE)
    other = compared(arms_of(less), design, replace(SCORE, higher_is_better=False))
    assert said(one) == said(other)
    for c, d in zip(one.comparisons, other.comparisons, strict=True):
        assert c.delta == -d.delta  # type: ignore[operator]
        assert (c.shown is None) == (d.shown is None)
        if c.shown and d.shown:
            assert (c.shown.low, c.shown.high) == pytest.approx((-d.shown.high, -d.shown.low))


@pytest.mark.parametrize("design", DESIGNS, ids=lambda d: d.name)
@settings(derandomize=True, deadline=None, max_examples=60)
@given(families(), st.integers(1, 10**6), st.integers(-(10**9), 10**9))
def test_a_constant_that_is_added_changes_nothing(
    design: Design, family: dict[str, list[int]], factor: int, constant: int
) -> None:
    moved = {loss: [count + constant for count in counts] for loss, counts in family.items()}
    one, other = (compared(arms_of(f), design, SCORE) for f in (family, moved))
    assert said(one) == said(other)
    assert [c.delta for c in one.comparisons] == [c.delta for c in other.comparisons]


@pytest.mark.parametrize("design", DESIGNS, ids=lambda d: d.name)
@settings(derandomize=True, deadline=None, max_examples=60)
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


@settings(derandomize=True, deadline=None, max_examples=60)
@given(families())
def test_counts_are_tested_like_any_other_numbers(family: dict[str, list[int]]) -> None:
    family = {loss: [min(max(count, 0), 1000) for count in counts] for loss, counts in family.items()}
    for design in DESIGNS:
        counted, free = (
            compared(arms_of(family), design, replace(SCORE, counted=counted)) for counted in (True, False)
        )
        assert counted.comparisons == free.comparisons


@settings(derandomize=True, deadline=None, max_examples=60)
@given(families(), st.randoms(use_true_random=False))
def test_the_order_of_seeds_and_the_side_do_not_matter(family: dict[str, list[int]], random: Any) -> None:
    order = [*range(len(family["ce"]))]
    random.shuffle(order)
    shuffled = {loss: Scores({s: counts[s] for s in order}, 1000) for loss, counts in family.items()}
    assert compared(shuffled, metric=SCORE) == compared(arms_of(family), metric=SCORE)
    pair = {"ce": family["ce"], "a": family["a0"]}
    swapped = {"ce": family["a0"], "a": family["ce"]}
    one, other = (only(compared(arms_of(f), metric=SCORE)) for f in (pair, swapped))
    assert one.verdict is not None
    assert other.verdict is not None
    assert other.verdict.word == MIRROR.get(one.verdict.word, one.verdict.word)
    assert (one.p, one.adjusted, one.flips) == (other.p, other.adjusted, other.flips)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(families())
def test_words_p_and_intervals_belong_together(family: dict[str, list[int]]) -> None:
    for design in DESIGNS:
        for c in compared(arms_of(family), design, SCORE).comparisons:
            assert c.verdict is not None
            match c.verdict.word:
                case Word.EQUIVALENT:
                    assert c.verdict.p is not None
                    assert c.verdict.p < 0.05
                    assert c.verdict.interval is None or c.verdict.interval.within(0.01 + 1e-12)
                case Word.SUPERIOR | Word.INFERIOR:
                    assert c.verdict.p is not None
                    assert c.verdict.p < 0.05
                    assert (c.verdict.word is Word.SUPERIOR) == (c.delta > 0)  # type: ignore[operator]
                case Word.UNDECIDED:
                    assert c.verdict.p is None or c.verdict.p >= 0.05
                    assert c.verdict.scope == ""


# -------------------------------------------------------------------------------------- what is told apart


def test_runs_meet_by_seed_and_never_by_position() -> None:
    ours, base = Scores({3: 10, 1: 20, 7: 30}, 100), Scores({7: 1, 3: 2, 5: 3}, 100, planned=[3, 5, 7, 9])
    pairing = FIXED.pair(key("a"), ACCURACY, ours, base)
    assert (pairing.seeds, pairing.missing) == ((3, 7), (1, 5, 9))
    assert pairing.differences.tolist() == [8, 29]
    everything = Unpaired(0.05).pair(key("a"), ACCURACY, ours, base)
    assert (everything.seeds, everything.missing) == ((), ())
    assert (everything.ours.tolist(), everything.theirs.tolist()) == ([20, 10, 30], [2, 3, 1])


def test_numbers_come_before_names_in_the_order_of_seeds() -> None:
    assert in_order(["b", 10, "a", 9]) == [9, 10, "a", "b"]


@pytest.mark.parametrize("alpha", [0.2, 0.1, 0.05, 0.01, 0.001])
def test_fewest_seeds_is_what_flips_need(alpha: float) -> None:
    least = fewest_seeds(alpha)
    assert 2.0 ** (1 - least) < alpha <= 2.0 ** (2 - least)


def test_too_many_differences_to_flip_even_by_chance_are_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw = np.random.default_rng(1)
    arms = {loss: arm(draw.integers(880, 920, 70).tolist()) for loss in ("ce", "a", "b")}
    whole = compared(arms)
    assert all(c.flips is not None and not c.flips.exact for c in whole.comparisons)
    monkeypatch.setattr("bench.comparisons.designs.MOST_SIMULATED", 139)
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
    assert found.p is found.interval is found.adjusted.p is found.detectable is None
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


def until(largest: int = 16, comparisons: int = 2, margin: float = 0.0, **more: Any) -> UntilDecided:
    plan = Plan(8, 4, largest, comparisons=comparisons, margin=margin)
    return UntilDecided(0.05, plan, tuple(range(largest)), **more)


def test_until_decided_a_difference_is_what_closed_the_comparison() -> None:
    draw = np.random.default_rng(3)
    base = [900 + int(d) for d in draw.integers(-9, 9, 16)]
    arms = {"ce": arm(base), "a": arm([b + 60 + k % 3 for k, b in enumerate(base)]), "b": arm(base[::-1])}
    found = compared(arms, until())
    a, b = found.comparisons
    assert (a.n, b.n) == (8, 16)  # later seeds are there, and not looked at
    assert a.sequence is not None
    assert (a.sequence.outcome, a.sequence.looks) == (Outcome.DIFFERENCE, 1)
    path = evidence(np.array([60 + k % 3 for k in range(8)]), 1000)
    assert a.sequence.e == pytest.approx(path.e[-1])
    assert a.sequence.e >= threshold(0.05, 2) == 40
    assert (a.p, a.adjusted.p, a.adjusted.by) == (1 / a.sequence.e, 2 / a.sequence.e, "e-value")
    assert a.verdict is not None
    assert (a.verdict.phrase, a.verdict.interval, a.verdict.p) == (
        *(f"superior {TEST_SET}", a.interval, a.adjusted.p),
    )
    assert b.sequence is not None
    assert b.sequence.outcome is Outcome.LARGEST
    assert b.verdict is not None
    assert b.verdict.phrase == "undecided"
    assert b.seeds_to_decide is None
    assert found.standings[key("a")].wanted == 8


@pytest.mark.parametrize("higher", [True, False])
def test_a_secondary_metric_closes_nothing_and_has_a_family_of_its_own(higher: bool) -> None:
    draw = np.random.default_rng(3)
    base = [900 + int(d) for d in draw.integers(-9, 9, 16)]
    arms = {"ce": arm(base), "a": arm([b + 60 + k % 3 for k, b in enumerate(base)]), "b": arm(base[::-1])}
    first = compared(arms, until())
    beside = {loss: Scores({s: 5 * c for s, c in a.counts.items()}, 10_000) for loss, a in arms.items()}
    metric = Metric("other", "", higher, None)
    found = compared(beside, until().secondary(first.standings), metric)
    assert [c.n for c in found.comparisons] == [8, 16]  # the seeds that the first one has asked for
    assert found.adjustment.by == first.adjustment.by
    a, b = found.comparisons
    assert a.sequence is not None
    assert (a.sequence.looks, a.sequence.outcome) == (None, None)
    assert a.sequence.e == pytest.approx(first.comparisons[0].sequence.e)  # type: ignore[union-attr]
    assert a.adjusted.p == pytest.approx(2 / a.sequence.e)  # type: ignore[operator]
    assert a.verdict is not None
    assert a.verdict.word == ("superior" if higher else "inferior")
    assert b.verdict is not None
    assert b.verdict.word == "undecided"
    assert FIXED.secondary(first.standings) is FIXED


def test_on_new_images_it_is_never_narrower_than_on_these() -> None:
    draw = np.random.default_rng(3)
    base = [900 + int(d) for d in draw.integers(-9, 9, 16)]
    arms = {"ce": arm(base), "a": arm([b + 60 + k % 3 for k, b in enumerate(base)])}
    plain = only(compared(arms, until(comparisons=1)))
    se = plain.difference.se  # type: ignore[union-attr]
    assert se is not None
    for factor, scope in ((1.0, ""), (10.0, ""), (1000.0, TEST_SET)):
        found = only(compared(arms, until(comparisons=1), images=Known(factor * se)))
        assert found.new_images is not None
        assert found.new_images.p is None  # it would not be valid
        wider, here = found.new_images.interval, found.interval
        assert wider is not None
        assert here is not None
        assert (wider.high - wider.low) == pytest.approx(factor * (here.high - here.low))
        assert found.verdict is not None
        assert found.verdict.scope == scope
    assert math.isfinite(se)
