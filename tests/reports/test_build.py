"""Tables and verdicts from made-up counts, whose answers are known."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import finish_run, flats
from scipy import stats

from bench.reports import files
from bench.reports.answer import OPTIMISTIC
from bench.reports.build import report
from bench.reports.document import document
from bench.reports.html import page
from bench.reports.html.runs import list_runs
from bench.reports.render import markdown as rendered
from bench.reports.render.latex import latex
from bench.reports.schema import Cell, Report
from bench.results.folder import RunFolder
from bench.results.reading import frame
from bench.statistics.rotations import rotate
from bench.suite import Suite

Make = Callable[..., Suite]


def fill(suite: Suite, results: Path, counts: Mapping[str, list[int | None]], total: int = 1000) -> None:
    """Made-up results, by label of the loss; None leaves a seed unfinished."""
    for cell in suite.cells:
        for run, count in zip(cell.runs, counts[cell.loss], strict=True):
            if count is not None:
                finish_run(run, results, count, total)


def markdown(made: Report) -> str:
    """All that a report says, the evidence included."""
    return rendered.markdown(document(made).blocks(everything=True))


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
    assert {c.loss: (c.verdict, c.scope, c.level) for c in flats(filled.comparisons)} == {
        "mae": ("inferior", "", 0.95),
        "gce": ("equivalent", "", 0.9),
        "focal": ("undecided", "", 0.95),
    }
    mae, gce, focal = flats(filled.comparisons)
    assert (mae.p_decided, gce.p_decided, focal.p_decided) == (
        *(mae.p_adjusted, gce.p_equivalence, focal.p_adjusted),
    )


def test_numbers_are_those_of_scipy(filled: Report) -> None:
    base = np.array(filled.cells[0].counts)
    family = rotate([np.array([np.array(cell.counts) - base for cell in filled.cells[1:]]).T])
    each = {0.95: 1 - family.level(0.05), 0.9: 1 - family.level(0.1)}
    assert 1 - 0.05 / 3 > each[0.95] > 0.95
    for cell, comparison in zip(filled.cells[1:], filled.comparisons, strict=True):
        theirs = stats.ttest_rel(np.array(cell.counts), base)
        assert comparison.p == pytest.approx(theirs.pvalue)
        decided = comparison.verdict and comparison.verdict.interval
        assert decided is comparison.shown
        assert comparison.adjusted.p == pytest.approx(family.chance(theirs.pvalue))
        for interval, level in (
            (comparison.adjusted.interval, 0.95),
            (decided, 0.9 if cell.loss == "gce" else 0.95),
        ):
            assert interval is not None
            expected = theirs.confidence_interval(each[level])
            assert (interval.low, interval.high) == pytest.approx((expected.low / 1000, expected.high / 1000))
            assert interval.level == level


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
    assert (comparison.n, comparison.missing) == (2, (1, 7))
    assert comparison.delta == pytest.approx(-0.0015)  # seeds 3 and 5: −1 and −2 images
    assert not made.complete
    text = " ".join(markdown(made).split())
    assert "3/4" in text
    assert "no pair for seed 1, 7" in text
    assert "6 of 8 runs are finished" in text


def test_pairs_on_two_kinds_of_device_are_remarked_on(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae", "focal"], seeds=4)
    devices = {
        "ce": [["A"], ["A"], ["B"], ["A"]],
        "mae": [["A"], ["B"], ["B"], ["A", "B", "A"]],
        "focal": [["A"], ["A"], ["B"], []],
    }
    for cell in suite.cells:
        for run, trained in zip(cell.runs, devices[cell.loss], strict=True):
            finish_run(run, tmp_path, 90, devices=trained)
    cell = f"{suite.cells[1].dataset} × vgg5-tiny × mae"
    assert [note for note in report(suite, tmp_path).notes if note.startswith("devices")] == [
        f"devices: {cell}: 2 of 4 pairs were not trained on the same kind (B; A and B; A): rounding differs "
        "there, and not the loss alone"
    ]


def test_runs_with_warnings_are_counted(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae"], seeds=4)
    lost = "resumed at step {}: what mine:Brier keeps outside its state is not restored"
    warnings = [[lost.format("1,140")], [], [lost.format(7), "a", lost.format(9)], list("abcd")]
    for cell in suite.cells:
        for run, warned in zip(cell.runs, warnings, strict=True):
            finish_run(run, tmp_path, 90, warnings=warned if cell.loss == "mae" else [])
    cell = f"{suite.cells[1].dataset} × vgg5-tiny × mae"
    assert [note for note in report(suite, tmp_path).notes if note.startswith("warned")] == [
        f"warned: {cell}: 3 of 4 runs: {lost.format('1,140')}; a; b; and 2 more"
    ]


def test_failed_runs_are_missing_and_listed(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae"], seeds=3)
    fill(suite, tmp_path, {"ce": [900, 910, 905], "mae": [880, 890, None]})
    RunFolder(tmp_path, suite.cells[1].runs[2].id).fail("diverged: the training loss is nan in epoch 1")
    made = report(suite, tmp_path)
    assert made.cells[1].failed == 1
    assert made.comparisons[0].n == 2
    assert made.comparisons[0].verdict is not None
    assert made.comparisons[0].verdict.word == "undecided"  # two seeds
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
    [comparison] = flats(report(suite, tmp_path).comparisons)
    assert (comparison.p, comparison.p_adjusted, comparison.verdict) == (None, None, "undecided")
    assert comparison.low is comparison.high is comparison.level is comparison.p_decided is None
    assert note in comparison.note


def test_what_is_noted_of_secondary_metrics_is_not_taken_for_the_first(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both families have too many differences to flip: each says so of its own."""
    suite = make_suite(losses=["ce", "mae"], seeds=70, metrics=["accuracy", "nll"])
    draw = np.random.default_rng(1)
    for run in suite.runs():
        mae = run.text == suite.cells[1].text
        finish_run(run, tmp_path, 900 - 9 * mae - run.seed % 7 * (3 - mae), 1000, nll=draw.uniform(0.1, 0.2))
    monkeypatch.setattr("bench.comparisons.adjustment.MOST_SIMULATED", 69)
    monkeypatch.setattr(
        "bench.comparisons.adjustment.countable", lambda differences: np.max(differences) > 10**6
    )
    made = report(suite, tmp_path)
    assert [c.verdict.word for c in made.comparisons if c.verdict] == ["inferior"]
    assert [c.flips is None for c in (*made.comparisons, *made.secondary.comparisons)] == [True, False]
    [note] = [note for note in made.notes if "70 differences take too long" in note]
    assert note.startswith("p of sign flips")
    monkeypatch.setattr(
        "bench.comparisons.adjustment.countable", lambda differences: np.max(differences) < 10**6
    )
    made = report(suite, tmp_path)
    [note] = [note for note in made.notes if "70 differences take too long" in note]
    assert note.startswith("secondary: p of sign flips")


def test_test_sets_of_different_size_are_not_compared(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae"], seeds=2)
    for run in suite.cells[0].runs:
        finish_run(run, tmp_path, 90, total=100)
    for run in suite.cells[1].runs:
        finish_run(run, tmp_path, 90, total=120)
    [comparison] = report(suite, tmp_path).comparisons
    assert comparison.delta is None
    assert "different numbers of images" in comparison.note


WORD = re.compile(r"superior|inferior|equivalent|undecided")


def written(suite: Suite, results: Path) -> list[str]:
    """What people read of a report: Markdown, LaTeX, and the page without its script and style."""
    made = report(suite, results)
    html = page(made, list_runs(suite, results, frame(results, suite.cells)))
    html = re.sub(r"<(style|script)\b.*?</\1>", "", html, flags=re.S)
    return [markdown(made), latex(document(made), "tab"), html]


def test_choosing_on_the_test_set_is_marked_everywhere_and_judged_nowhere(
    make_suite: Make, tmp_path: Path
) -> None:
    counts = {"ce": [900 + k for k in range(8)], "mix_ent": [960 + k % 3 for k in range(8)]}
    honest, peeking = (
        make_suite(name=name, selection=name, seeds=8, metrics=["accuracy", "macro_f1"])
        for name in ("last", "test")
    )
    for suite in (honest, peeking):
        fill(suite, tmp_path, counts)
    made = report(peeking, tmp_path)
    assert made.optimistic
    assert made.answer.startswith("No verdict: the epoch was chosen on the test set itself")
    shown = json.loads(made.model_dump_json())
    for family in (shown, shown["secondary"]):
        [comparison] = family["comparisons"]
        assert comparison["p_adjusted"] == pytest.approx(comparison["p"])  # of one
        assert comparison["p_adjusted"] < 1e-6
        assert comparison["p_sign_flip"] == 2 / 2**8
        assert comparison["delta"] > 0
        assert comparison["verdict"] is comparison["scope"] is comparison["p_decided"] is None
        assert (comparison["level"], comparison["seeds_to_decide"]) == (0.95, None)
        assert comparison["low"] > 0  # there is an interval, that of the difference
    text = markdown(made)
    # On top, at the headings of the table and of the secondary metrics, in the method.
    assert text.count("OPTIMISTIC") == 4
    assert OPTIMISTIC in " ".join(text.split())
    assert all(WORD.search(text) for text in written(honest, tmp_path))
    assert not any(WORD.search(text) for text in written(peeking, tmp_path))


def test_a_recipe_of_its_own_is_pointed_out(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", {"mae": {"recipe": {"epochs": 9}}}])
    [comparison] = report(suite, tmp_path).comparisons
    assert "its recipe differs in epochs" in comparison.note


def test_one_loss_alone_is_a_table_without_verdicts(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses="ce", baseline=None)
    fill(suite, tmp_path, {"ce": [900, 910]})
    made = report(suite, tmp_path)
    assert made.comparisons == made.secondary.comparisons == ()
    assert made.answer == "Nothing is compared: ce is the only loss."
    [table] = tables_of(markdown(made))
    assert [cells(line) for line in table[::2]] == [
        ["loss", "seeds", "accuracy %", "verdict"],
        ["ce", "2/2", "90.50 ± 0.71", "baseline"],
    ]


def test_empty_suite_has_a_report(make_suite: Make, tmp_path: Path) -> None:
    made = report(make_suite(), tmp_path)
    assert [cell.mean for cell in made.cells] == [None, None]
    assert "0 of 4 runs are finished" in markdown(made)


def test_files_agree_with_each_other(filled: Report, tmp_path: Path) -> None:
    paths = {path.name: path.read_text() for path in files.write(filled, tmp_path / "out")}
    saved = json.loads(paths["report.json"])
    assert [SimpleNamespace(**c) for c in saved["comparisons"]] == flats(filled.comparisons)
    assert [Cell.model_validate(cell) for cell in saved["cells"]] == [*filled.cells]
    assert saved["metrics"] == [
        {"name": "accuracy", "unit": "%", "higher_is_better": True, "margin": 0.5, "counted": True}
    ]
    assert saved["secondary"] == {"cells": [], "comparisons": [], "adjusted_by": ""}
    assert paths["report.md"] == markdown(filled)
    rows = list(csv.DictReader(io.StringIO(paths["comparisons.csv"])))
    assert [(row["loss"], row["verdict"]) for row in rows] == [
        ("mae", "inferior"),
        ("gce", "equivalent"),
        ("focal", "undecided"),
    ]
    assert {row["metric"] for row in rows} == {"accuracy"}
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
    tables = tables_of(markdown(made))
    assert [len(table) for table in tables] == [5, 4, 4]
    for table, width in zip(tables, (80, 100, 100), strict=True):
        assert {len(line) for line in table} <= {*range(width + 1)}
        names = [cells(line)[0] for line in table]
        assert len(set(names)) == len(names)  # told apart, however short
    first, tests, effects = tables
    assert [cells(line)[0] for line in first[3:]] == [cells(line)[0] for line in tests[2:]]
    assert [cells(line)[0] for line in first[3:]] == [cells(line)[0] for line in effects[2:]]
    for line, tested, comparison in zip(first[3:], tests[2:], made.comparisons, strict=True):
        assert cells(line)[3] == f"{100 * comparison.delta:+.3f}"  # numbers are never cut
        assert cells(tested)[1] == f"{comparison.adjusted.p:.4f}".removeprefix("0")
    assert labels == LONG or cells(first[3])[0].startswith("confidence_pen")


def tables_of(text: str) -> list[list[str]]:
    """The lines of each table of some Markdown."""
    return [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]


def cells(line: str) -> list[str]:
    """What stands between its bars."""
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_the_evidence_is_printed(filled: Report) -> None:
    [mae, *_], text = flats(filled.comparisons), markdown(filled)
    first, tests, effects = tables_of(text)
    shown = dict(zip(cells(first[0]), cells(first[3]), strict=True))
    assert [*shown] == ["loss", "seeds", "accuracy %", "Δ", "interval", "p", "verdict"]
    assert shown["interval"] == f"{100 * mae.low:.2f} to {100 * mae.high:.2f}"
    assert (shown["p"], shown["verdict"]) == ("<.0001", "inferior")
    shown = dict(zip(cells(tests[0]), cells(tests[2]), strict=True))
    assert (shown["p t"], shown["flip"], shown["eq."]) == ("<.0001", ".0156", "1.0000")
    assert mae.p_adjusted < 1e-4
    assert shown["p adj."] == "<.0001"
    assert shown["on new images"] == f"{100 * mae.low_new_images:.2f} to {100 * mae.high_new_images:.2f}"
    shown = dict(zip(cells(effects[0]), cells(effects[2]), strict=True))
    assert shown["d_z"] == f"{mae.d_z:.2f}"
    assert shown["P(better) %"] == "0 [0,41]"  # Clopper–Pearson, 0 of 7: 1 − .025^(1/7)
    said = " ".join(text.split())
    for heading in [*cells(tests[0])[1:], *cells(effects[0])[1:]]:  # no column without its legend
        assert f" {heading}: " in said, heading


def test_the_baseline_is_marked_and_what_has_none_is_not(filled: Report) -> None:
    first = tables_of(markdown(filled))[0]
    assert [(cells(line)[0], cells(line)[-1] == "baseline") for line in first[2:]] == [
        *[("ce", True), ("mae", False), ("gce", False), ("focal", False)]
    ]
    assert str(tables_of(markdown(filled))).count("baseline") == 1


def test_a_label_cannot_break_the_table(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", {"mae": {"label": "a|b\nc"}}])
    text = markdown(report(suite, tmp_path))
    row = next(line for line in text.splitlines() if "a" in line and "0/2" in line and "baseline" not in line)
    assert "a\\|b c" in row
