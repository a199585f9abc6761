"""A published claim of two numbers: what ``bench compare --claim`` says of it."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.reports.claim import Claimed, claim_text, judge_claim
from bench.reports.render.markdown import markdown


def test_the_paper() -> None:
    # arXiv:2501.13709: MIN-ENT 95.933 %, cross entropy 95.86 %, EMNIST-Letters has 20,800 test images.
    found = judge_claim(95.933, 95.86, 20_800)
    assert found.correct == (19_954, 19_939)
    assert round(found.unpaired_p, 3) == 0.711
    assert found.significant_up_to == 57
    assert (found.discordant_lowest, found.discordant_highest) == (15, 1707)
    p = [row.p for row in found.disagreements]
    assert p == sorted(p)  # the more they disagree, the less the difference means
    assert (p[0], p[-1]) == (found.p_lowest, found.p_highest)
    assert {(row.seed_sd, row.correlation): row.seeds for row in found.settling}[0.001, 0.0] == 33
    assert {(row.runs, row.seed_sd): row.excess for row in found.best}[5, 0.001] == pytest.approx(
        0.00116296, abs=1e-8
    )
    text = markdown(claim_text(found))
    for said in (
        "|       5 |    0.06 |    0.12 |    0.23 |",
        "p = .711",
        "+15 images",
        "no more than 57",
        ".717",
    ):
        assert said in text
    assert max(map(len, text.splitlines())) <= 100
    assert judge_claim(0.95933, 0.9586, 20_800) == found
    assert Claimed.model_validate_json(found.model_dump_json()) == found


def test_no_difference_is_never_significant() -> None:
    found = judge_claim(90.0, 90.0, 100)
    assert found.significant_up_to is None
    assert {row.seeds for row in found.settling} == {None}
    text = markdown(claim_text(found))
    assert "more than any such number" in text
    assert text.count("—") == len(found.settling)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((95.9, 95.8, None), "how many test images.*--total-images"),
        ((101.0, 95.8, 100), "found 101 and 95.8, expected two percentages"),
        ((95.9, 0.958, 100), "found 95.9 and 0.958, expected two percentages"),
        ((-0.1, 0.958, 100), "found -0.1 and 0.958"),
        ((float("nan"), 0.958, 100), "found nan and 0.958"),
        ((0.9, 0.8, 100, 0.7), "--alpha: found 0.7"),
        ((95.5, 95.0, 100), "found 95.5, which no number of 100 images is"),
        ((0.5, 0.123, 10), "found 0.123, which no number of 10 images is"),
    ],
)
def test_bad_claims_get_one_message(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        judge_claim(*arguments)  # type: ignore[arg-type]


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(0, 6), st.booleans())
def test_every_printed_share_of_images_is_a_claim(
    total: int, correct: int, digits: int, percent: bool
) -> None:
    share = min(correct, total) / total
    accuracy = round(100 * share, digits) if percent else round(share, digits + 2)
    assume(not percent or accuracy > 1)
    assert judge_claim(accuracy, accuracy, total).total == total
