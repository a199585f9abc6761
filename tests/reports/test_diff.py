"""Two reports side by side."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import finish_run

from bench.errors import BenchError
from bench.reports.build import report
from bench.reports.diff import ReportDiff, diff_blocks, diff_reports
from bench.reports.render.markdown import markdown
from bench.suite import Suite, load

Make = Callable[..., Suite]


def lay(suite: Suite, other: str | Path, results: Path) -> ReportDiff:
    return diff_reports(suite, "now", str(other), load, results)


def fill(suite: Suite, results: Path, seeds: int, better: int = 0) -> None:
    for cell in suite.cells:
        for run in cell.runs[:seeds]:
            finish_run(
                run,
                results,
                900 + run.seed * 3 % 7 + better * (cell.loss == "mae") + 2 * (run.seed % 2),
                1000,
            )


@pytest.fixture
def suite(make_suite: Make) -> Suite:
    return make_suite(losses=["ce", "mae", "gce"], seeds=8)


def test_then_and_now(suite: Suite, tmp_path: Path) -> None:
    then, now = tmp_path / "then", tmp_path / "now"
    fill(suite, then, 5)
    fill(suite, now, 8, better=30)
    for run in suite.cells[1].runs:
        finish_run(run, now, 950 + run.seed * 5 % 9, 1000)
    document = lay(suite, then, now)
    assert (document.first, document.second) == (str(then), "now")
    mae = document.cells[1]
    assert mae.changed
    assert mae.first is not None
    assert mae.second is not None
    assert (mae.first.n, mae.second.n) == (5, 8)
    assert (mae.first.verdict, mae.second.verdict) == ("undecided", "superior")
    assert mae.second.delta == report(suite, now).comparisons[0].delta
    text = markdown(diff_blocks(document))
    assert "3 of 3 cells changed, 1 of them in their verdict." in text
    [row] = [line for line in text.splitlines() if line.strip("| ").startswith("mae")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == ["mae", "5/8 → 8/8", "90.400 → 95.400", "+0.000 → +5.038", "undecided → superior"]
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("other", [".", "small", "small/report.json"])
def test_nothing_changed(suite: Suite, tmp_path: Path, other: str) -> None:
    fill(suite, tmp_path, 8)
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "report.json").write_text(report(suite, tmp_path).model_dump_json())
    document = lay(suite, tmp_path / other, tmp_path)
    assert not any(cell.changed for cell in document.cells)
    text = markdown(diff_blocks(document))
    assert "All 3 cells are the same in both." in text
    assert "→" not in text.partition("\n")[2]


def test_a_report_from_before_there_were_metrics_can_still_be_read(suite: Suite, tmp_path: Path) -> None:
    fill(suite, tmp_path, 8)
    saved = report(suite, tmp_path).model_dump(mode="json")
    for name in ("metrics", "secondary", "answer", "method_name"):
        saved.pop(name)
    for row in saved["cells"] + saved["comparisons"]:
        row.pop("metric")
    for row in saved["comparisons"]:
        row.pop("scope")
    saved["comparisons"][1]["verdict"] = "inferior"
    (tmp_path / "old.json").write_text(json.dumps(saved))
    document = lay(suite, tmp_path / "old.json", tmp_path)
    assert [cell.changed for cell in document.cells] == [False, False, True]
    assert {cell.metric for cell in document.cells} == {"accuracy"}
    assert "inferior → undecided" in markdown(diff_blocks(document))
    assert document.notes == []


def test_all_metrics_that_both_have_stand_side_by_side(
    write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    more = {"losses": ["ce", "mae"], "seeds": 4}
    asked = load(write_suite("asked", metrics=["accuracy", "nll", "macro_f1"], **more))
    other = write_suite("other", metrics=["accuracy", "brier", "nll"], selection="test", **more)
    fill(asked, tmp_path, 4)
    for cell in load(other).cells:
        for run in cell.runs:
            finish_run(run, tmp_path, 910 + run.seed, 1000, nll=0.25 + run.seed / 8)
    document = lay(asked, other, tmp_path)
    assert [(cell.metric, cell.loss) for cell in document.cells] == [
        ("accuracy", "ce"), ("accuracy", "mae"), ("nll", "ce"), ("nll", "mae")
    ]  # fmt: skip
    text = markdown(diff_blocks(document))
    assert "0.10000 → 0.43750" in text
    assert "undecided → —" in text  # no verdict is given where the epoch was chosen on the test set
    assert text.count("baseline") == 2
    assert "## nll · digits" in text
    assert f"- metrics: accuracy, nll, macro_f1 in now, accuracy, brier, nll in {other}" in " ".join(
        text.split()
    )


def test_a_narrower_scope_is_a_change(suite: Suite, tmp_path: Path) -> None:
    fill(suite, tmp_path, 8)
    saved = report(suite, tmp_path).model_dump(mode="json")
    saved["comparisons"][0]["verdict"] = "undecided on this test set"
    (tmp_path / "old.json").write_text(json.dumps(saved))
    document = lay(suite, tmp_path / "old.json", tmp_path)
    assert [cell.loss for cell in document.cells if cell.changed] == ["mae"]
    assert "undecided on this test set → undecided" in markdown(diff_blocks(document))


def test_long_names_are_told_apart_and_written_out(make_suite: Make, tmp_path: Path) -> None:
    names = [f"{'long ' * 8}{k}" for k in range(2)]
    suite = make_suite(losses=["ce", *({"mae": {"scale": 1 + k, "label": n}} for k, n in enumerate(names))])
    fill(suite, tmp_path, 2)
    text = " ".join(markdown(diff_blocks(lay(suite, tmp_path, tmp_path))).split())
    assert all(f" is {name}" in text for name in names)


def test_two_suites_stand_in_their_order_with_what_only_one_has(
    suite: Suite, write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    other = write_suite("other", losses=["mae", "ce", "focal"], baseline="mae", seeds=4, selection="last")
    fill(suite, tmp_path, 8)
    document = lay(suite, other, tmp_path)
    assert (document.first, document.second) == ("now", str(other))
    assert [cell.loss for cell in document.cells] == ["ce", "mae", "gce", "focal"]
    assert document.cells[2].second is None
    assert document.cells[3].first is None
    assert any("baseline: ce in now, mae in " in note for note in document.notes)
    assert "— → undecided" in markdown(diff_blocks(document))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("nothing", "this folder has no run of the suite 'small'"),
        ("broken.json", "not a report.json"),
        ("array.json", "not a report.json"),
        ("cell.json", "not a report.json of `bench report`: planned: "),
        ("none.yaml", "there is no such file"),
        ("unlike.yaml", "no data set × model × loss in common"),
    ],
)
def test_what_cannot_be_laid_beside_gets_one_message(
    suite: Suite, write_suite: Callable[..., Path], tmp_path: Path, other: str, message: str
) -> None:
    (tmp_path / "nothing").mkdir()
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "array.json").write_text("[]")
    saved = report(suite, tmp_path).model_dump(mode="json")
    saved["cells"][0]["planned"] = "many"
    (tmp_path / "cell.json").write_text(json.dumps(saved))
    write_suite("unlike", models="spinal-vgg5-tiny")
    with pytest.raises(BenchError, match=message):
        lay(suite, tmp_path / other, tmp_path)
