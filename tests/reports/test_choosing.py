"""What other epochs would have shown: counted by hand, and compared as a suite that chooses them is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import finish_run

from bench.reports.comparison import report
from bench.reports.html import page
from bench.reports.html.runs import list_runs
from bench.reports.text import EPOCHS_LEGEND, markdown
from bench.results import frame
from bench.suite import Suite

Make = Callable[..., Suite]
CHOSEN = {"ce": [900, 905, 910, 895, 902, 907], "mae": [901, 904, 911, 894, 903, 906]}
BEST = {"ce": [905, 909, 915, 899, 906, 912], "mae": [935, 938, 944, 929, 936, 942]}
"""Equally good where nobody peeks; peeking is worth three points more to one of the two."""


def fill(suite: Suite, results: Path) -> None:
    for cell in suite.cells:
        for run in cell.runs:
            chosen, best = CHOSEN[cell.loss][run.seed], BEST[cell.loss][run.seed]
            counts = best if suite.selection == "test" else chosen
            extra = {"last": {"epoch": 9, "correct": chosen - 10}, "best_test": {"epoch": 4, "correct": best}}
            finish_run(run, results, counts, 1000, **extra)


def test_the_papers_way_stands_beside_the_suites(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae"], seeds=6, selection="validation", analysis={"margin": 0.5})
    fill(suite, tmp_path)
    made = report(suite, tmp_path)
    ce, mae = made.cells
    assert ce.mean_last == pytest.approx(np.mean(CHOSEN["ce"]) / 1000 - 0.01)
    assert mae.mean_best_test == pytest.approx(np.mean(BEST["mae"]) / 1000)
    assert (made.comparisons[0].verdict, mae.verdict_best_test) == ("equivalent", "superior")
    assert ce.verdict_best_test is None
    text = markdown(made)
    assert EPOCHS_LEGEND in text
    [row] = [line for line in text.splitlines() if "superior" in line]
    assert [cell.strip() for cell in row.split("|")[2:-1]] == [
        *("90.32", "89.32", "93.73", "+2.97", "0.0312", "superior")
    ]
    html = page(made, list_runs(suite, tmp_path, frame(tmp_path, suite.cells)))
    assert "Had other epochs counted" in html
    assert "93.73" in html


def test_it_is_what_a_suite_that_chooses_on_the_test_set_says(make_suite: Make, tmp_path: Path) -> None:
    honest, peeking = (
        make_suite(name=selection, losses=["ce", "mae"], seeds=6, selection=selection)
        for selection in ("validation", "test")
    )
    fill(honest, tmp_path)
    fill(peeking, tmp_path)
    there = report(peeking, tmp_path)
    cell = report(honest, tmp_path).cells[1]
    [found] = there.comparisons
    assert cell.mean_best_test == pytest.approx(there.cells[1].mean)
    assert (cell.delta_best_test, cell.p_adjusted_best_test) == (found.delta, found.p_adjusted)
    assert cell.verdict_best_test == found.verdict


@pytest.mark.parametrize("selection", ["last", "test"])
def test_no_table_where_no_other_epoch_is_honest_or_chosen(
    make_suite: Make, tmp_path: Path, selection: str
) -> None:
    suite = make_suite(losses=["ce", "mae"], seeds=6, selection=selection)
    fill(suite, tmp_path)
    made = report(suite, tmp_path)
    assert EPOCHS_LEGEND not in markdown(made)
    assert made.cells[0].mean_best_test == pytest.approx(np.mean(BEST["ce"]) / 1000)
