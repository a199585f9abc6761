"""Anybody's table: small ones in the shapes that people have, each with its verdict or its message.

``corpus/expected.yaml`` says what ``bench compare`` makes of each.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from bench.comparisons.external.layout import Request
from bench.comparisons.external.reading import read_table
from bench.errors import BenchError
from bench.reports.document import document
from bench.reports.external import compare_table
from bench.reports.render.markdown import markdown

CORPUS = Path(__file__).parent / "corpus"
EXPECTED: dict[str, dict[str, Any]] = yaml.safe_load((CORPUS / "expected.yaml").read_text("utf-8"))


def outcome(made: dict[str, Any], said: list[str]) -> dict[str, Any]:
    """What ``expected.yaml`` has of a comparison: verdicts, and what was said of guesses."""
    metric = made["metrics"][0]
    scale = 100 if metric["unit"] == "%" else 1
    found: dict[str, Any] = {
        "by": f"{metric['name']} {metric['unit']}".strip(),
        "baseline": made["baseline"],
        "verdicts": {
            " · ".join(filter(None, (c["dataset"], c["model"], c["loss"]))): f"{c['verdict']}, n = {c['n']}"
            + ("" if c["delta"] is None else f", {scale * c['delta']:+.4g}")
            for c in made["comparisons"]
        },
    }
    if made["rankings"]:
        found["over"] = made["rankings"][0]["answer"]
    return {**found, "said": said} if said else found


@pytest.mark.parametrize("case", EXPECTED)
def test_each_table_gets_its_verdict_or_its_message(
    case: str, bench: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, *options = shlex.split(case)
    if name.endswith(".xlsx"):
        pytest.importorskip("openpyxl")
    monkeypatch.chdir(CORPUS)
    status, printed, said = bench("compare", name, *options, "--json")
    if status == 0:
        assert outcome(json.loads(printed), said.splitlines()) == EXPECTED[case]
    else:
        assert (status, printed) == (2, "")
        assert said.strip().removeprefix("bench: ") == EXPECTED[case]["refused"].strip()


def test_every_table_has_its_case_and_half_were_found_later() -> None:
    files = {str(path.relative_to(CORPUS)) for path in CORPUS.glob("*/*")}
    assert files == {shlex.split(case)[0] for case in EXPECTED}
    assert len(files) >= 60
    assert sum(name.startswith("found/") for name in files) >= 30


@pytest.mark.parametrize(
    "case", [case for case in EXPECTED if "For example" in EXPECTED[case].get("refused", "")]
)
def test_the_command_that_is_offered_works(
    case: str, bench: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CORPUS)
    offered = EXPECTED[case]["refused"].rpartition("For example: bench compare ")[2].partition(" (and ")[0]
    status, printed, _ = bench("compare", *shlex.split(offered), "--json")
    assert status == 0
    assert json.loads(printed)["comparisons"]


def test_many_methods_are_ranked_on_one_screen(
    bench: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    rows = [
        ("baseline" if k == 110 else f"m{k:03}", seed, round(90 + k / 50 + (7 * k + 3 * seed) % 11 / 20, 2))
        for k in range(220)
        for seed in range(6)
    ]
    table = pd.DataFrame(rows, columns=["method", "seed", "accuracy"])
    made = compare_table("table", table, Request())
    brief, whole = (markdown(document(made).blocks(everything=every)) for every in (False, True))
    assert len(brief.splitlines()) < 60
    assert "The best 20 of 220 by their means; baseline, which they meet, is number 1" in " ".join(
        brief.split()
    )
    first = [line.split("|")[1].strip() for line in brief.splitlines() if line.startswith("|")]
    means = table.groupby("method").accuracy.mean().sort_values(ascending=False)
    assert first[2:22] == [*means.index[:20]]
    assert first[22] == "baseline"
    assert all(f"|{name} " in whole.replace("| ", "|") for name in means.index)


def test_a_table_comes_through_standard_input(
    bench: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Piped:
        buffer = (CORPUS / "thought" / "comments.csv").open("rb")

    monkeypatch.setattr("sys.stdin", Piped)
    status, printed, _ = bench("compare", "-", "--json")
    assert (status, json.loads(printed)["comparisons"][0]["verdict"]) == (0, "superior on this test set")
    Piped.buffer.close()


def test_an_example_to_start_from(bench: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    status, printed, said = bench("compare", "--example")
    assert (status, said) == (0, "")
    file = tmp_path / "mine.csv"
    assert bench("compare", "--example", file)[0] == 0
    assert file.read_text() == printed
    made = compare_table("mine.csv", read_table(file), Request())
    assert [cell.failed for cell in made.cells] == [0, 1]
    assert made.comparisons[0].verdict is not None
    assert "is there already" in bench("compare", "--example", file)[2]


def test_numbers_that_are_far_off_are_asked_about() -> None:
    """On the worse side they are left out, as runs that collapsed; on the better one they count."""
    ce, ours = [94.1, 93.9, 94.3, 94.0, 94.2, 94.05], [94.8, 94.6, 94.9, 94.7, 94.75, 9.485]
    rows = [
        (name, seed, value) for name, arm in (("ce", ce), ("ours", ours)) for seed, value in enumerate(arm)
    ]
    made = compare_table("table", pd.DataFrame(rows, columns=["method", "seed", "accuracy"]), Request())
    [asked] = [line for line in made.guessed if "right?" in line]
    assert asked.startswith("ours, 5: is 9.485 right? The rest lie around 94.75; it is left out of verdicts")
    assert made.comparisons[0].delta == pytest.approx(0.0065)
    high = [*rows[:-1], ("ours", 5, 99.9)]
    made = compare_table("table", pd.DataFrame(high, columns=["method", "seed", "accuracy"]), Request())
    assert any("is 99.9 right?" in line and "it counts" in line for line in made.guessed)


def test_rows_keep_the_numbers_that_they_have_in_the_file() -> None:
    table = pd.DataFrame(
        {"method": ["ce", "a"] * 2, "seed": 0, "lr": [1, 1, 2, 2], "accuracy": [90, 91, 92, "much"]}
    )
    with pytest.raises(BenchError, match=r"column 'accuracy', data row 4: found much"):
        compare_table("table", table, Request(where={"lr": "2"}, percent=True))
