"""What MLflow's page of a suite says: Markdown that a browser shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import finish_run
from nasty import NASTY

from bench.front.reporting import answer_of
from bench.reports.build import report
from bench.suite import Suite


@pytest.mark.parametrize("name", NASTY)
def test_question_answer_and_tables_and_no_tag_of_somebody_elses(
    make_suite: Callable[..., Suite], tmp_path: Path, name: str
) -> None:
    suite = make_suite(question=f"Is {name} better?", losses=["ce", {"mae": {"label": name}}], seeds=6)
    for number, cell in enumerate(suite.cells):
        for run in cell.runs:
            finish_run(run, tmp_path, 60 + 30 * number + run.seed % 2 * (1 + number))
    text = answer_of(report(suite, tmp_path)).text
    question, answer, rest = text.split("\n\n", 2)
    assert question.startswith("# Is ")
    assert " ".join(answer.split()).endswith("is better than ce.")
    assert re.search(r"^\| ?loss .*\| ?verdict +\|$", rest, re.M)
    assert re.search(r"\| ?superior *\|$", rest, re.M)
    assert "<" not in text
    assert "p adj." not in rest  # the evidence is in the files
