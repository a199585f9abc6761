"""The claim this harness was born from, and what two numbers can say in general."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.statistics.proportions import mcnemar
from bench.statistics.single_runs import claim, count_of, counts_behind, seeds_to_settle


def test_the_paper():
    # arXiv:2501.13709: VGG on EMNIST-Letters, cross entropy 95.86 %, MIN-ENT 95.933 %, one run each.
    ce, min_ent = count_of(0.9586, 20_800), count_of(0.95933, 20_800)
    got = claim(min_ent, ce, 20_800)
    assert got.difference * 20_800 == 15
    assert round(got.unpaired_p, 2) == 0.71
    assert (got.discordant_lowest, got.discordant_highest) == (15, 846 + 861)
    assert got.p_lowest < 0.001
    assert round(got.p_highest, 2) == 0.72
    # The two would have to agree on all but 57 of 20,800 images, and two seeds of one loss differ on more.
    assert got.significant_up_to == 57
    assert mcnemar(21, 36).mid_p < 0.05 < mcnemar(22, 37).mid_p
    # A spread of 0.1 points over seeds, not unusual: 33 seeds of either loss, 18 if pairing gives ρ = ½.
    assert seeds_to_settle(got.difference, 0.001) == 33
    assert seeds_to_settle(-got.difference, 0.001, correlation=0.5) == 18


@given(st.integers(1, 60), st.data())
@settings(max_examples=80)
def test_every_possible_table(total, data):
    """By enumeration of all tables with these two margins."""
    first, second = (data.draw(st.integers(0, total)) for _ in range(2))
    got = claim(first, second, total)
    tables = [
        (first - both, second - both)
        for both in range(min(first, second) + 1)
        if first + second - both <= total
    ]
    discordant = [b + c for b, c in tables]
    p_values = [mcnemar(b, c).mid_p for b, c in tables]
    assert (got.discordant_lowest, got.discordant_highest) == (min(discordant), max(discordant))
    assert (got.p_lowest, got.p_highest) == pytest.approx((min(p_values), max(p_values)))
    significant = [n for n, p in zip(discordant, p_values, strict=True) if p < 0.05]
    assert got.significant_up_to == (max(significant) if significant else None)


@given(st.integers(0, 500), st.integers(0, 500))
@settings(max_examples=60)
def test_swapping_the_two_changes_the_sign_alone(first, second):
    one, other = claim(first, second, 500), claim(second, first, 500)
    assert other.difference == -one.difference
    assert (other.unpaired_p, other.p_lowest, other.p_highest, other.significant_up_to) == (
        *(one.unpaired_p, one.p_lowest, one.p_highest, one.significant_up_to),
    )


def test_no_difference():
    got = claim(90, 90, 100)
    assert (got.unpaired_p, got.p_highest, got.discordant_lowest, got.significant_up_to) == (1, 1, 0, None)
    assert got.p_lowest == pytest.approx(0.75)  # one image won and one lost
    assert seeds_to_settle(0.0, 0.001) is None


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (lambda: claim(101, 90, 100), "101 correct answers out of 100"),
        (lambda: claim(0.9, 90, 100), "whole number"),
        (lambda: claim(80, 90, 100, alpha=5), "alpha must lie between 0 and ½, found 5"),
        (lambda: count_of(95.9, 100), "fraction between 0 and 1, found 95.9"),
        (lambda: count_of(0.9, 0), "at least one image, found 0"),
    ],
)
def test_bad_requests(request_, message):
    with pytest.raises(ValueError, match=message):
        request_()


@pytest.mark.parametrize(
    ("accuracy", "rounded", "cut"),
    [
        ("95.933", (19_954, 19_954), None),
        # What the paper prints for MIX-ENT, and what the leaderboard makes of it.
        ("95.927", None, (19_953, 19_953)),
        ("95.928", (19_953, 19_953), None),
        ("95.86", (19_938, 19_939), (19_939, 19_940)),
        ("0.95933", (19_954, 19_954), None),
        ("100", (20_696, 20_800), (20_800, 20_800)),
    ],
)
def test_counts_behind_published_accuracies(accuracy, rounded, cut):
    behind = counts_behind(accuracy, 20_800)
    assert (behind.rounded, behind.cut) == (rounded, cut)


@settings(max_examples=200)
@given(st.integers(1, 30_000), st.data())
def test_every_count_is_behind_its_own_accuracy(total, data):
    correct = data.draw(st.integers(total // 50 + 1, total))
    digits = data.draw(st.integers(1, 4))
    rounded = f"{100 * correct / total:.{digits}f}"
    behind = counts_behind(rounded, total).rounded
    assert behind is not None
    assert behind[0] <= correct <= behind[1]
    # Nothing else is: one image more on either side prints other digits, but for ties.
    for other in (behind[0] - 1, behind[1] + 1):
        assert other > total or f"{100 * other / total:.{digits}f}" != rounded
    whole, fraction = divmod(100 * 10**digits * correct // total, 10**digits)
    cut = counts_behind(f"{whole}.{fraction:0{digits}d}", total).cut
    assert cut is not None
    assert cut[0] <= correct <= cut[1]


@pytest.mark.parametrize("accuracy", ["", "x", "-1", "100.5", "1e2", "95,9", "nan", "95.9%"])
def test_accuracies_that_cannot_be_are_refused(accuracy):
    with pytest.raises(ValueError, match="an accuracy is a percentage up to 100"):
        counts_behind(accuracy, 100)
