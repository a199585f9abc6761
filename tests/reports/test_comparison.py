"""Tables and verdicts from made-up counts, whose answers are known."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from helpers import finish_run
from scipy import stats

from bench.reports import files
from bench.reports.comparison import Report, report
from bench.reports.text import markdown
from bench.results import RunFolder
from bench.suite import Suite

Make = Callable[..., Suite]


def fill(suite: Suite, results: Path, counts: Mapping[str, list[int | None]], total: int = 1000) -> None:
    """Made-up results, by label of the loss; None leaves a seed unfinished."""
    for cell in suite.cells:
        for run, count in zip(cell.runs, counts[cell.loss], strict=True):
            if count is not None:
                finish_run(run, results, count, total)


@pytest.fixture
def filled(make_suite: Make, tmp_path: Path) -> Report:
    suite = make_suite(losses=["ce", "mae", "gce", "focal"], seeds=7, analysis={"margin": 0.5})
    counts: dict[str, list[int | None]] = {
        "ce": [900, 910, 905, 915, 890, 905, 899],
        "mae": [850, 862, 858, 866, 839, 854, 850],  # five points worse, every time
        "gce": [901, 909, 906, 914, 891, 904, 900],  # the same but for one image either way
        "focal": [930, 880, 925, 880, 915, 905, 880],  # anything
    }
    fill(suite, tmp_path, counts)
    return report(suite, tmp_path)


def test_verdicts(filled: Report) -> None:
    assert {c.loss: c.verdict for c in filled.comparisons} == {
        "mae": "inferior",
        "gce": "equivalent",
        "focal": "undecided",
    }


def test_numbers_are_those_of_scipy(filled: Report) -> None:
    base = np.array(filled.cells[0].counts)
    for cell, comparison in zip(filled.cells[1:], filled.comparisons, strict=True):
        theirs = stats.ttest_rel(np.array(cell.counts), base)
        interval = theirs.confidence_interval(0.95)
        assert comparison.p == pytest.approx(theirs.pvalue)
        assert comparison.low == pytest.approx(interval.low / 1000)
        assert comparison.high == pytest.approx(interval.high / 1000)


def test_cells_hold_counts(filled: Report) -> None:
    ce = filled.cells[0]
    assert (ce.n, ce.planned, ce.correct, ce.total, ce.test_images) == (7, 7, 6324, 7000, 1000)
    assert ce.mean == pytest.approx(6324 / 7000)
    assert ce.sd == pytest.approx(np.std([0.900, 0.910, 0.905, 0.915, 0.890, 0.905, 0.899], ddof=1))


def test_pairs_are_made_by_seed_and_missing_ones_named(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae"], seeds=[3, 1, 7, 5])
    fill(suite, tmp_path, {"ce": [900, 910, None, 915], "mae": [899, None, 880, 913]})
    made = report(suite, tmp_path)
    [comparison] = made.comparisons
    assert (comparison.n, comparison.missing) == (2, [1, 7])
    assert comparison.delta == pytest.approx(-0.0015)  # seeds 3 and 5: −1 and −2 images
    assert not made.complete
    text = markdown(made)
    assert "3/4" in text
    assert "no pair for seed 1, 7" in text
    assert "6 of 8 runs are finished" in text


def test_failed_runs_are_missing_and_listed(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae"], seeds=3)
    fill(suite, tmp_path, {"ce": [900, 910, 905], "mae": [880, 890, None]})
    RunFolder(tmp_path, suite.cells[1].runs[2].id).fail("diverged: the training loss is nan in epoch 1")
    made = report(suite, tmp_path)
    assert made.cells[1].failed == 1
    assert made.comparisons[0].n == 2
    assert "seed 2" in made.notes[0]
    assert "diverged" in made.notes[0]


@pytest.mark.parametrize(
    ("ours", "note"),
    [([880], "one seed"), ([880, 890, 885], "all 3 differences are equal"), ([None, None], "")],
)
def test_what_cannot_be_computed_is_said(
    make_suite: Make, tmp_path: Path, ours: list[int | None], note: str
) -> None:
    suite = make_suite(losses=["ce", "mae"], seeds=len(ours))
    base: list[int | None] = [None if count is None else count + 20 for count in ours]
    fill(suite, tmp_path, {"ce": base, "mae": ours})
    [comparison] = report(suite, tmp_path).comparisons
    assert (comparison.p, comparison.p_adjusted, comparison.verdict) == (None, None, "undecided")
    assert note in comparison.note


def test_test_sets_of_different_size_are_not_compared(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae"], seeds=2)
    for run in suite.cells[0].runs:
        finish_run(run, tmp_path, 90, total=100)
    for run in suite.cells[1].runs:
        finish_run(run, tmp_path, 90, total=120)
    [comparison] = report(suite, tmp_path).comparisons
    assert comparison.delta is None
    assert "different numbers of images" in comparison.note


def test_choosing_on_the_test_set_is_marked_everywhere(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(selection="test")
    fill(suite, tmp_path, {"ce": [900, 901], "mix_ent": [900, 903]})
    made = report(suite, tmp_path)
    assert made.optimistic
    text = markdown(made)
    assert text.count("OPTIMISTIC") == 3  # on top, at the table, in the method


def test_a_recipe_of_its_own_is_pointed_out(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", {"mae": {"recipe": {"epochs": 9}}}])
    [comparison] = report(suite, tmp_path).comparisons
    assert "its recipe differs in epochs" in comparison.note


def test_one_loss_alone_is_a_table_without_verdicts(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses="ce", baseline=None)
    fill(suite, tmp_path, {"ce": [900, 910]})
    made = report(suite, tmp_path)
    assert made.comparisons == []
    assert "90.50 ± 0.71" in markdown(made)


def test_empty_suite_has_a_report(make_suite: Make, tmp_path: Path) -> None:
    made = report(make_suite(), tmp_path)
    assert [cell.mean for cell in made.cells] == [None, None]
    assert "0 of 4 runs are finished" in markdown(made)


def test_files_agree_with_each_other(filled: Report, tmp_path: Path) -> None:
    paths = {path.name: path.read_text() for path in files.write(filled, tmp_path / "out")}
    assert Report.model_validate(json.loads(paths["report.json"])) == filled
    assert paths["report.md"] == markdown(filled)
    rows = list(csv.DictReader(io.StringIO(paths["comparisons.csv"])))
    assert [(row["loss"], row["verdict"]) for row in rows] == [
        ("mae", "inferior"),
        ("gce", "equivalent"),
        ("focal", "undecided"),
    ]
    assert float(rows[0]["delta"]) == filled.comparisons[0].delta
    assert next(csv.DictReader(io.StringIO(paths["cells.csv"])))["counts"] == "900 910 905 915 890 905 899"


LONG = [f"label_smoothing(smoothing=0.{k}, temperature=2)" for k in (1, 2)]


@pytest.mark.parametrize("labels", [["confidence_penalty", "label_smoothing(0.1)"], LONG])
def test_the_tables_fit_a_terminal_of_100_columns(
    make_suite: Make, tmp_path: Path, labels: list[str]
) -> None:
    losses = ["ce", {"mae": {"label": labels[0]}}, {"gce": {"label": labels[1]}}]
    suite = make_suite(losses=losses, seeds=20)
    draw = np.random.default_rng(1)
    counts = {label: draw.integers(19_900, 20_000, 20).tolist() for label in ("ce", *labels)}
    fill(suite, tmp_path, counts, total=20_800)
    made = report(suite, tmp_path)
    tables = [line for line in markdown(made).splitlines() if line.startswith("|")]
    for width, lines in groupby(tables, key=len):
        shown = list(lines)
        assert width <= 100
        names = [line.split("|")[1].strip() for line in shown]
        assert len(set(names)) == len(names) >= 4  # told apart, however short
    text = "\n".join(tables)
    for comparison in made.comparisons:  # numbers are never cut
        assert f"{100 * comparison.delta:+.3f} |" in text
        assert f"{comparison.p_adjusted:.4f} |" in text
    assert "confidence_penalty  " in text or labels == LONG


def test_the_evidence_is_printed(filled: Report) -> None:
    mae = filled.comparisons[0]
    lines = [line for line in markdown(filled).splitlines() if line.startswith("| mae")]
    cells = [cell.strip() for cell in lines[1].split("|")]
    assert cells[2:4] == ["<.001", f"{mae.p_sign_flip:.3f}".lstrip("0")]
    assert cells[5] == f"{mae.d_z:.2f}"
    assert cells[7] == "0 [0,41]"  # Clopper–Pearson, 0 of 7: 1 − .025^(1/7)
    assert "(finds)" in markdown(filled)


def test_the_baseline_is_marked_and_what_has_none_is_not(filled: Report) -> None:
    rows = [line for line in markdown(filled).splitlines() if "baseline   |" in line]
    assert len(rows) == 1
    assert rows[0].startswith("| ce ")


def test_a_label_cannot_break_the_table(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", {"mae": {"label": "a|b\nc"}}])
    text = markdown(report(suite, tmp_path))
    row = next(line for line in text.splitlines() if "a" in line and "0/2" in line and "baseline" not in line)
    assert "a\\|b c" in row
