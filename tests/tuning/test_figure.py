"""The picture of a search."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up import LR, TUNE, finish_trials, tuned

from bench.reports.build import report
from bench.reports.figures import tuning
from bench.reports.figures.material import Material, NothingToDraw
from bench.sequential_design import as_it_stands


def test_a_search_is_drawn_over_the_budget_and_by_hyperparameter(tmp_path: Path) -> None:
    space = {LR: {"log": [0.001, 0.1]}, "batch_size": {"choice": [32, 64]}}
    suite = tuned(tune={**TUNE, "trials": 12, "space": space})
    before = as_it_stands(suite, tmp_path)
    with pytest.raises(NothingToDraw, match="no search has ended"):
        tuning.draw(Material(report(before, tmp_path), before, tmp_path))
    finish_trials(suite, tmp_path, lambda loss, s: None if s[LR] > 0.05 else (s[LR] * 9, int(900 * s[LR])))
    now = as_it_stands(suite, tmp_path)
    made = report(now, tmp_path)
    [sketch] = tuning.draw(Material(made, now, tmp_path))
    panels = [axes for axes in sketch.figure.axes if axes.axison]
    assert [axes.get_xlabel() for axes in panels] == ["trials", "trials", LR, "batch_size", "loss.gamma"]
    assert made.tuning is not None
    curve = panels[0].lines[0]
    assert [*curve.get_xdata()] == [1, 2, 3]
    assert [*curve.get_ydata()] == pytest.approx([100 * (v or 0) for v in made.tuning.searches[0].curve])
    assert panels[2].get_xscale() == "log"
    assert [tick.get_text() for tick in panels[3].get_xticklabels()] == ["32", "64"]
    assert f"ce {100 * (made.tuning.searches[0].best_of or 0):.4g} %" in sketch.alt
