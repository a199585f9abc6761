"""What MLflow's page of a suite says: Markdown that a browser shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import finish_run
from nasty import NASTY

from bench.reports.comparison import report_and_agreement
from bench.reports.note import note
from bench.results import frame
from bench.suite import Suite


@pytest.mark.parametrize("name", NASTY)
def test_question_answer_and_tables_and_no_tag_of_somebody_elses(
    make_suite: Callable[..., Suite], tmp_path: Path, name: str
) -> None:
    suite = make_suite(question=f"Is {name} better?", losses=["ce", {"mae": {"label": name}}], seeds=6)
    for number, cell in enumerate(suite.cells):
        for run in cell.runs:
            finish_run(run, tmp_path, 60 + 30 * number + run.seed % 2 * (1 + number))
    made, _ = report_and_agreement(suite, tmp_path, frame(tmp_path, suite.cells))
    text = note(made)
    question, answer, rest = text.split("\n\n", 2)
    assert question.startswith("# Is ")
    assert answer.startswith("**")
    assert answer.endswith("better than ce.**")
    assert "| verdict " in rest
    assert "superior" in rest
    assert "<" not in text
