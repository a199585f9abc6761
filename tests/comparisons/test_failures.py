"""Failed runs as results: which arm has more of them, and what holds with these ranked last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from bench.comparisons.analysis import Analysis, Measured, analyse
from bench.comparisons.comparison import Failures, Metric
from bench.comparisons.designs import FINISHED, Design
from bench.comparisons.failures import compare_failures, holds_with_failed_last
from bench.comparisons.pairings import Pairing, Scores
from bench.comparisons.unpaired import Unpaired
from bench.statistics.proportions import newcombe_paired
from bench.statistics.signed_ranks import worst_rank
from bench.statistics.verdicts import Word

ACCURACY = Metric("accuracy", "%", True, 0.5, counted=True)
LOSS = Metric("nll", "nats", False, None)
FIXED = Design(0.05, draws=2000)
SEEDS = range(8)


def arm(counts: Sequence[int | None], planned: Sequence[int] = SEEDS, lost: Sequence[int] = ()) -> Scores:
    """None: failed."""
    failed = {seed for seed, count in enumerate(counts) if count is None} | {*lost}
    return Scores({s: n for s, n in enumerate(counts) if n is not None}, 1000, planned, failed)


def pairings(arms: Mapping[str, Scores], metric: Metric = ACCURACY, design: Design = FIXED) -> list[Pairing]:
    return design.pairings(metric, {("d", "m", loss): of for loss, of in arms.items()}, "ce")


def only(arms: Mapping[str, Scores], metric: Metric = ACCURACY) -> Failures:
    [found] = compare_failures(pairings(arms, metric))
    assert found is not None
    return found


def analysed(arms: Mapping[str, Scores], design: Design = FIXED, **more: Any) -> Analysis:
    cells = {("d", "m", loss): of for loss, of in arms.items()}
    return analyse([Measured(ACCURACY, cells)], "ce", design, **more)


BASE = [900, 903, 897, 901, 899, 905, 895, 900]


def test_failures_are_counted_by_seed() -> None:
    ours = [930, None, None, 931, None, 935, 925, 930]
    base = [900, 903, None, 901, 899, 905, None, 900]
    found = only({"ce": arm(base), "a": arm(ours)})
    assert (found.loss, found.baseline, found.ended) == ((1, 2, 4), (2, 6), 8)
    # Of eight seeds one has failed in both, two in the loss alone, one in the baseline alone.
    assert found.difference == newcombe_paired(1, 2, 1, 4)
    assert found.difference.estimate == pytest.approx(3 / 8 - 2 / 8)
    assert found.p == pytest.approx(mcnemar([[1, 2], [1, 4]], exact=True).pvalue)
    finished = [30, 30, 30, 30]  # seeds 0, 3, 5, 7: and that of seed 6 beats a failure
    ranks = worst_rank(finished, 2, 1, 1)
    assert found.p_worst_rank == ranks.p
    assert found.better is (ranks.w_plus > ranks.w_minus)


@pytest.mark.parametrize("metric", [ACCURACY, LOSS])
def test_a_failure_is_the_worst_whatever_is_better(metric: Metric) -> None:
    ours = [n + 30 for n in BASE[:5]] + [None] * 3
    found = only({"ce": arm(BASE), "a": arm(ours)}, metric)
    differences = [30 if metric.higher_is_better else -30] * 5 + [-999] * 3
    want = stats.wilcoxon(differences, method=stats.PermutationMethod(n_resamples=np.inf)).pvalue
    assert found.p_worst_rank == pytest.approx(want)
    assert found.better is False  # five wins of the smallest size weigh less than three of the largest
    turned = only({"ce": arm(ours), "a": arm(BASE)}, metric)
    assert turned.p_worst_rank == found.p_worst_rank
    assert turned.better is not found.better


def test_seeds_that_have_not_ended_in_both_say_nothing_yet() -> None:
    ours = {"ce": arm(BASE[:6]), "a": arm([n + 9 for n in BASE[:5]], lost=(5, 7))}
    found = only(ours)
    assert (found.ended, found.loss) == (6, (5, 7))  # the run of seed 7 is listed, and has no rival yet
    assert found.difference.estimate == pytest.approx(1 / 6)
    assert compare_failures(pairings({"ce": arm([]), "a": arm([], lost=(3,))})) == [None]


def test_without_failures_there_is_nothing_to_say() -> None:
    assert compare_failures(pairings({"ce": arm(BASE), "a": arm(BASE)})) == [None]
    assert compare_failures([]) == []


def test_runs_that_are_not_paired_have_no_seeds_to_compare() -> None:
    arms = {"ce": arm(BASE), "a": arm([*[n + 20 for n in BASE[:6]], None, None])}
    assert compare_failures(pairings(arms, design=Unpaired(0.05))) == [None]
    [c] = analysed(arms, Unpaired(0.05)).comparisons
    assert c.verdict is not None
    assert c.verdict.scope.startswith(FINISHED)


def test_the_family_of_worst_ranks_is_of_all_comparisons_by_holm() -> None:
    """Those without any failed run are of the family too, as they would be judged alike if they had one."""
    arms = {
        "ce": arm(BASE),
        "a": arm([*[n + 20 for n in BASE[:7]], None]),
        "b": arm([n + 3 * (-1) ** k for k, n in enumerate(BASE)]),
        "c": arm([None, *[n - 20 for n in BASE[1:]]]),
    }
    a, b, c = compare_failures(pairings(arms))
    assert a is not None
    assert b is None
    assert c is not None
    raw = [
        worst_rank([20] * 7, 1, 0).p,
        worst_rank([3 * (-1) ** k for k in range(8)], 0, 0).p,
        worst_rank([-20] * 7, 1, 0).p,
    ]
    want = multipletests(raw, method="holm")[1]
    assert (a.p_worst_rank, c.p_worst_rank) == pytest.approx((want[0], want[2]))
    assert (a.better, c.better) == (True, False)


def test_collapsed_runs_have_finished_and_are_ranked_as_they_are() -> None:
    ours = [n + 20 for n in BASE[:6]] + [None, 300]
    [found] = pairings({"ce": arm(BASE), "a": arm(ours)})
    assert found.flagged == ((7,), ())
    ranks = worst_rank([*[20] * 6, -600], 1, 0)
    [failures] = compare_failures([found])
    assert failures is not None
    assert failures.p_worst_rank == ranks.p


def test_runs_on_other_images_are_compared_by_their_failures_alone() -> None:
    other = Scores(dict.fromkeys(range(7), 1800), 2000, SEEDS, {7})
    found = only({"ce": arm(BASE), "a": other})
    assert found.difference.estimate == pytest.approx(1 / 8)
    assert found.p_worst_rank == 1.0  # of one failure alone
    assert found.better is False


@pytest.mark.parametrize(
    ("word", "p", "better", "holds"),
    [
        (Word.SUPERIOR, 0.01, True, True),
        (Word.SUPERIOR, 0.01, False, False),
        (Word.SUPERIOR, 0.05, True, False),
        (Word.SUPERIOR, None, True, False),
        (Word.SUPERIOR, 0.01, None, False),
        (Word.INFERIOR, 0.01, False, True),
        (Word.INFERIOR, 0.01, True, False),
        (Word.INFERIOR, 0.2, False, False),
        (Word.EQUIVALENT, 0.01, True, False),  # ranks cannot say so
        (Word.EQUIVALENT, 0.9, None, False),
        (Word.UNDECIDED, 0.9, None, True),  # there is nothing to hold
    ],
)
def test_what_holds_with_failed_runs_last(
    word: Word, p: float | None, better: bool | None, holds: bool
) -> None:
    failures = Failures((1,), (), 8, newcombe_paired(0, 1, 0, 7), 1.0, p, better)
    assert holds_with_failed_last(failures, word, 0.05) == holds


@given(
    st.lists(st.sampled_from([None, 880, 899, 900, 901, 920]), min_size=8, max_size=8),
    st.lists(st.sampled_from([None, 880, 899, 900, 901, 920]), min_size=8, max_size=8),
)
@settings(max_examples=80)
def test_swapping_the_arms_mirrors_everything(ours: list[int | None], base: list[int | None]) -> None:
    [one], [other] = (
        compare_failures(pairings({"ce": arm(a), "a": arm(b)})) for a, b in ((base, ours), (ours, base))
    )
    assert (one is None) == (other is None) == (None not in ours + base)
    if one is not None and other is not None:
        assert (one.loss, one.baseline) == (other.baseline, other.loss)
        assert (one.p, one.p_worst_rank) == (other.p, other.p_worst_rank)
        assert one.difference.estimate == pytest.approx(-other.difference.estimate)
        assert (one.better is None) == (other.better is None)
        assert one.better is None or one.better is not other.better


@given(st.integers(0, 2**32), st.integers(0, 6), st.integers(0, 6), st.sampled_from([-40, -5, 0, 5, 40]))
@settings(max_examples=60)
def test_the_scope_says_finished_exactly_where_it_does_not_hold(
    seed: int, ours: int, theirs: int, shift: int
) -> None:
    rng = np.random.default_rng(seed)
    base = [int(n) for n in 900 + np.rint(rng.normal(0, 5, 14))]
    loss = [n + shift + int(d) for n, d in zip(base, np.rint(rng.normal(0, 2, 14)), strict=True)]
    fails = [rng.permutation(14)[:k] for k in (ours, theirs)]
    arms = {
        name: arm([None if k in out else n for k, n in enumerate(counts)], range(14))
        for name, counts, out in (("a", loss, fails[0]), ("ce", base, fails[1]))
    }
    [c] = analysed(arms).comparisons
    assert c.verdict is not None
    assert (c.failures is None) == (not ours and not theirs)
    assert (FINISHED in c.verdict.scope) == (
        c.verdict.word is not Word.UNDECIDED
        and c.failures is not None
        and not holds_with_failed_last(c.failures, c.verdict.word, 0.05)
    )
