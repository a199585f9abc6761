"""Two reports side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import finish_run

from bench.errors import BenchError
from bench.reports.beside import SideBySide, beside, lay_beside
from bench.reports.comparison import report
from bench.suite import Suite, load

Make = Callable[..., Suite]


def lay(suite: Suite, other: str | Path, results: Path) -> SideBySide:
    return lay_beside(suite, "now", str(other), load, results)


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
    text = beside(document)
    assert "3 of 3 cells changed, 1 of them in their verdict." in text
    row = next(line for line in text.splitlines() if line.startswith("| mae"))
    assert "5/8 → 8/8" in row
    assert "undecided → superior" in row
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("other", [".", "small", "small/report.json"])
def test_nothing_changed(suite: Suite, tmp_path: Path, other: str) -> None:
    fill(suite, tmp_path, 8)
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "report.json").write_text(report(suite, tmp_path).model_dump_json())
    document = lay(suite, tmp_path / other, tmp_path)
    assert not any(cell.changed for cell in document.cells)
    assert "All 3 cells are the same in both." in beside(document)
    assert "→" not in beside(document).partition("\n")[2]


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
    assert "— → undecided" in beside(document)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("nothing", "this folder has no run of the suite 'small'"),
        ("broken.json", "not a report.json"),
        ("array.json", "not a report.json"),
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
    write_suite("unlike", models="spinal-vgg5-tiny")
    with pytest.raises(BenchError, match=message):
        lay(suite, tmp_path / other, tmp_path)
