"""From a report to its document: the answer, the first table, names, scopes, and a column that is added."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import finish_run
from hypothesis import given, settings
from hypothesis import strategies as st
from nasty import NASTY
from rich.cells import cell_len
from rich.console import Console

from bench.comparisons.analysis import Measured, analyse
from bench.comparisons.comparison import Comparison, Key, Metric
from bench.comparisons.designs import FINISHED, SOUND, TEST_SET, Design
from bench.comparisons.pairings import Scores
from bench.front.reporting import answer_of
from bench.reports import columns, files
from bench.reports.answer import answer, sentence
from bench.reports.blocks import Block, Heading, Notes, Paragraph, Table
from bench.reports.build import report, summarise
from bench.reports.columns import Column
from bench.reports.comparison_tables import MARKS
from bench.reports.document import document
from bench.reports.formats import scale_of
from bench.reports.html import page
from bench.reports.html.runs import list_runs
from bench.reports.render.markdown import markdown
from bench.reports.render.terminal import draw
from bench.reports.schema import Family, Report
from bench.results.reading import frame
from bench.statistics.paired import PairedT
from bench.statistics.verdicts import Verdict, Word
from bench.suite import Suite
from bench.visible import flat

Make = Callable[..., Suite]
ACCURACY = Metric("accuracy", "%", True, 0.5, counted=True)
UNIT = 10**9
NLL = Metric("nll", "nats", False, None)
MARK = MARKS[0]
FIRST = ["loss", "seeds", "accuracy %", "Δ", "interval", "p", "verdict"]
BASE = [900, 910, 905, 915, 890, 905, 899]
BETTER = [c + 30 + k % 2 for k, c in enumerate(BASE)]
WORSE = [c - 30 - k % 2 for k, c in enumerate(BASE)]
SAME = [c + (-1) ** k for k, c in enumerate(BASE)]
NOISE = [930, 880, 925, 880, 915, 905, 880]


def made(*measured: Measured, baseline: str = "ce", **changes: Any) -> Report:
    """A report of what was measured: the first metric decides."""
    first, others = (analyse(series, baseline, Design(0.05)) for series in (measured[:1], measured[1:]))
    rows = [
        tuple(summarise(key, scores, m.metric, 1000) for m in series for key, scores in m.cells.items())
        for series in (measured[:1], measured[1:])
    ]
    known: dict[str, Any] = {
        "suite": "tab",
        "question": "Is it better?",
        "baseline": baseline,
        "selection": "last",
        "optimistic": False,
        "complete": True,
        "alpha": 0.05,
        "margin": measured[0].metric.margin,
        "metrics": tuple(m.metric for m in measured),
        "answer": answer(baseline, first.comparisons),
        "method": "As it was done.",
        "cells": rows[0],
        "comparisons": first.comparisons,
        "secondary": Family(cells=rows[1], comparisons=others.comparisons),
        "notes": (),
    }
    return Report(**known | changes)


def measured(
    arms: Mapping[str, Sequence[int]], metric: Metric = ACCURACY, total: int = 1000, **more: Any
) -> Measured:
    """Of one setting; ``more``: of all arms."""
    cells: dict[Key, Scores] = {
        ("digits", "vgg", loss): Scores(dict(enumerate(counts)), total, **more)
        for loss, counts in arms.items()
    }
    return Measured(metric, cells)


def with_failures(told: Measured, loss: str = "a", seed: int = 7) -> Measured:
    """A run of one loss has failed, and that of each other one is as it is elsewhere."""
    cells = {
        key: replace(of, planned=range(8), lost={seed})
        if key[2] == loss
        else replace(of, counts={**of.counts, seed: of.counts[0]}, planned=range(8))
        for key, of in told.cells.items()
    }
    return replace(told, cells=cells)


def tables(report: Report) -> list[Table]:
    """Those that everybody sees."""
    return [t for t in document(report).blocks(everything=False) if isinstance(t, Table)]


def texts(blocks: Sequence[Block]) -> list[str]:
    """What paragraphs and notes say."""
    return [
        said
        for block in blocks
        for said in (
            block.items if isinstance(block, Notes) else [block.text] if isinstance(block, Paragraph) else []
        )
    ]


# --------------------------------------------------------------------------------------- the first table


def labels() -> st.SearchStrategy[str]:
    """As people write them, and as they do not."""
    smoothed = "label_smoothing(smoothing={}, temperature={})".format
    return (
        st.sampled_from([*NASTY, "ce", "focal", "confidence_penalty", "交叉熵损失函数平滑" * 3])
        | st.text(min_size=1, max_size=60)
        | st.text("*_[<|`交x", min_size=10, max_size=40)
        | st.builds(smoothed, st.floats(0, 1).map("{:.2f}".format), st.integers(1, 9))
        | st.builds("torch.nn:CrossEntropyLoss(label_smoothing=0.{})".format, st.integers(0, 30))
    ).filter(lambda name: flat(name))


@settings(max_examples=200)
@given(
    st.lists(labels(), min_size=1, max_size=6, unique_by=flat),
    st.sampled_from([450, 20_800]),
    st.sampled_from([(7, 20), (20, 20), (2, 5), (9, 1000)]),
    st.floats(0.05, 0.999),
    st.sampled_from([0.0005, 0.01, 0.2]),
    st.integers(0, 2**32 - 1),
)
def test_the_first_table_fits_80_characters_and_names_are_told_apart(
    names: list[str], images: int, seeds: tuple[int, int], level: float, spread: float, random: int
) -> None:
    draw_ = np.random.default_rng(random)
    n, planned = seeds
    counts = {
        name: np.clip(draw_.normal(level, spread, n) * images, 0, images).astype(int).tolist()
        for name in names
    }
    nll = {name: draw_.choice([0.05, 0.4, 20]) * draw_.lognormal(0, spread, n) for name in names}
    told = made(
        measured(counts, total=images, planned=range(planned)),
        measured(
            {k: np.rint(v * UNIT).astype(int).tolist() for k, v in nll.items()},
            NLL,
            UNIT,
            planned=range(planned),
            lost=range(n, planned),
        ),
        baseline=names[0],
    )
    shown = tables(told)
    assert [len(table.rows) for table in shown] == [len(names)] * 2
    assert len(shown[0].columns) <= len(FIRST)
    headings = [column.heading for column in shown[0].columns]
    assert [heading for heading in FIRST if heading in headings] == headings
    assert {*FIRST[:3], *["Δ"] * (len(names) > 1), "verdict"} <= {*headings}
    assert shown[1].columns[2].heading == "nll nats"
    short = [[row.cells[0].text for row in table.rows] for table in shown]
    assert short[0] == short[1]
    assert len({*short[0]}) == len(names)
    said = texts(document(told).blocks(everything=False))
    for name, text in zip(names, short[0], strict=True):
        assert text == flat(name) or f"{text} is {name}" in said
    # Whatever the table, and as the terminal shows it as well.
    lines = [line for line in markdown(shown).splitlines() if line]
    assert len(lines) == 2 * (len(names) + 2)
    assert max(map(cell_len, lines)) <= 80
    assert len({cell_len(line) for line in lines[: len(names) + 2]}) == 1
    out = io.StringIO()
    draw(shown, Console(file=out, width=200))
    assert max(map(cell_len, out.getvalue().splitlines())) <= 80
    for row, name, c in zip(shown[0].rows[1:], names[1:], told.comparisons, strict=True):
        # Numbers are never cut; and means of all runs and differences of sound ones may be at odds.
        differences = np.array(counts[name]) - np.array(counts[names[0]])
        out_ = [*c.collapse.loss, *c.collapse.baseline] if c.collapse else []
        delta = np.mean(np.delete(differences, out_)) / images
        decimals = 2 if images == 450 else 3
        assert re.fullmatch(rf"[+-]\d+\.\d{{{decimals}}}", row.cells[3].text)
        assert float(row.cells[3].text) == pytest.approx(100 * delta, abs=0.5001 * 10**-decimals)
    # The same names in the evidence, which comes with all.
    for table in document(told).blocks(everything=True):
        if isinstance(table, Table) and table.rows:
            assert {row.cells[0].text for row in table.rows} <= {*short[0]}


@settings(max_examples=60)
@given(
    labels(),
    st.sampled_from(["", "%", "nats", "milliseconds an image"]),
    st.sampled_from(["method", "which_algorithm_was_used", "loss"]),
    st.integers(-15, 14),
)
def test_long_names_of_metrics_fit_as_well_and_so_do_numbers_of_any_size(
    name: str, unit: str, method: str, power: int
) -> None:
    metric = Metric(name, unit, False, None)
    arms = {"ce": BASE, "confidence_penalty(weight=0.1)": BETTER, "confidence_penalty(weight=0.2)": WORSE}
    told = made(
        measured(arms),
        measured(arms, metric, total=max(10 ** (3 - power), 1) if unit != "%" else 1000),
        method_name=method,
    )
    lines = [line for line in markdown(tables(told)).splitlines() if line]
    assert max(map(cell_len, lines)) <= 80
    said = texts(document(told).blocks(everything=False))
    for table, full in zip(tables(told), ("accuracy %", metric.heading), strict=True):
        for heading, whole in ((table.columns[0].heading, method), (table.columns[2].heading, full)):
            assert heading == flat(whole) or f"{heading} is {whole}" in said
    whole = [t for t in document(told, page=True).tables if isinstance(t, Table) and not t.detail]
    assert whole[1].columns[2].heading == metric.heading  # a page has room


@pytest.mark.parametrize(
    ("means", "spread", "written"),
    [
        ([1.036, 0.737], 0.07, ("0.737", "-0.299")),
        ([302.1, 255.0], 5.7, ("255.0", "-47.1")),
        ([0.012, 0.011], 0.0003, ("0.0110", "-0.0010")),
        ([0.0031, 0.0025], 0.00004, ("2.50e-3", "-6.00e-4")),
        ([3e-14, 2.5e-14], 6e-16, ("2.5e-14", "-5.0e-15")),
        ([3e14, 2.5e14], 6e12, ("2.50e14", "-5.00e13")),
        ([0.0, 0.0], 0.0, ("0.000", "+0.000")),
    ],
)
def test_numbers_have_the_decimals_that_they_deserve(
    means: list[float], spread: float, written: tuple[str, str]
) -> None:
    cells = [
        summarise(("d", "m", str(k)), Scores({}, None), NLL).model_copy(update={"mean": mean, "sd": spread})
        for k, mean in enumerate(means)
    ]
    scale = scale_of(NLL, cells)
    assert (scale.value(means[1]), scale.difference(means[1] - means[0])) == written


def test_columns_that_nothing_fills_are_not_there() -> None:
    told = made(measured({"ce": BASE}))
    assert [c.heading for c in tables(told)[0].columns] == ["loss", "seeds", "accuracy %", "verdict"]
    told = made(measured({"ce": BASE, "a": [899]}))  # one pair: nothing can be tested
    assert [c.heading for c in tables(told)[0].columns] == [*("loss", "seeds", "accuracy %", "Δ", "verdict")]


def test_the_first_column_is_headed_by_what_is_compared() -> None:
    told = made(measured({"ce": BASE, "a": BETTER}), method_name="optimiser")
    for table in document(told).blocks(everything=True):
        if isinstance(table, Table):
            assert table.columns[0].heading == "optimiser"


def test_cells_hold_what_they_are_sorted_by_and_rows_what_they_are_found_by() -> None:
    told = made(measured({"ce": BASE, "a": BETTER}))
    [table] = tables(told)
    [comparison] = told.comparisons
    assert [row.tags for row in table.rows] == [
        {"loss": "ce", "verdict": ""},
        {"loss": "a", "verdict": "superior"},
    ]
    cells = dict(zip([c.heading for c in table.columns], table.rows[1].cells, strict=True))
    assert cells["Δ"].value == comparison.delta
    assert comparison.shown is not None
    assert cells["interval"].value == comparison.shown.low
    assert cells["p"].value == comparison.adjusted.p
    assert cells["accuracy %"].value == told.cells[1].mean
    assert all(cell.value is None and cell.text == "" for cell in table.rows[0].cells[3:6])


@pytest.mark.parametrize(
    ("arms", "best"),
    [
        ({"ce": BASE, "a": BETTER, "b": SAME}, "a"),
        ({"ce": BASE, "a": WORSE}, "ce"),
        ({"ce": BASE, "a": WORSE, "b": SAME}, None),  # the best is not shown to be the better one
        ({"ce": BASE, "a": SAME}, None),
    ],
)
def test_the_best_mean_is_strong_only_where_the_verdicts_say_so(
    arms: Mapping[str, Sequence[int]], best: str | None
) -> None:
    for metric, turned in ((ACCURACY, 1), (replace(NLL, margin=0.005), -1)):
        told = made(measured({loss: [turned * c for c in counts] for loss, counts in arms.items()}, metric))
        strong = [row.cells[0].text for row in tables(told)[0].rows if any(c.strong for c in row.cells)]
        assert strong == ([best] if best else [])


def test_all_interval_plots_of_a_metric_have_one_scale() -> None:
    cells = {("d", model, loss): Scores(dict(enumerate(counts)), 1000)
             for model, arms in {"m": {"ce": BASE, "a": BETTER}, "n": {"ce": BASE, "a": SAME}}.items()
             for loss, counts in arms.items()}  # fmt: skip
    told = made(Measured(ACCURACY, cells))
    shown = tables(told)
    assert len({table.scale for table in shown}) == 1
    far = float(shown[0].scale)
    for table, comparison in zip(shown, told.comparisons, strict=True):
        assert table.rows[0].cells[3].plot is None
        plot = table.rows[1].cells[3].plot
        assert plot is not None
        assert comparison.delta is not None
        assert plot.estimate == pytest.approx(50 + 5000 * comparison.delta / far, abs=1.5)
        assert plot.interval is not None
        assert plot.interval[0] <= plot.estimate <= plot.interval[1]
        assert sum(plot.margin) == pytest.approx(100)
        assert plot.beyond == 0


# ------------------------------------------------------------------------------------- scopes and cautions


def test_scopes_stand_beneath_in_words_and_the_table_has_marks() -> None:
    arms = {"ce": BASE, "a": BETTER, "b": SAME, "c": NOISE}
    told = made(measured(arms))
    [table] = tables(told)
    assert [row.cells[-1].text for row in table.rows] == [
        *("baseline", f"superior{MARK}", f"equivalent{MARK}", "undecided")
    ]
    [scope] = [text for text in texts(document(told).blocks(everything=False)) if text.startswith(MARK)]
    assert scope.startswith(f"{MARK} {TEST_SET}: answers to single images, which would tell about new ones, ")
    told = made(with_failures(measured(arms)))
    [table] = tables(told)
    assert table.rows[1].cells[-1].text == f"superior{MARK}"
    [scope] = [text for text in texts(document(told).blocks(everything=False)) if text.startswith(MARK)]
    assert scope.startswith(
        f"{MARK} {FINISHED}, {TEST_SET}: it does not hold with failed runs ranked last; answers to single "
    )
    told = made(measured({**arms, "ce": [*BASE[:6], 300], "a": [*BETTER[:6], 300]}))
    [table] = tables(told)
    assert table.rows[1].cells[-1].text == f"superior{MARK}"
    [scope] = [text for text in texts(document(told).blocks(everything=False)) if text.startswith(MARK)]
    assert scope.startswith(
        f"{MARK} {SOUND}, {TEST_SET}: runs that collapsed are left out, and counted in the notes; answers "
    )


@pytest.mark.parametrize("page", [False, True])
def test_a_run_that_collapsed_by_a_secondary_metric_alone_is_named(page: bool) -> None:
    """Its table says that it is among sound runs, and only the notes can say which are not."""
    worse = measured({"ce": [200 + k for k in range(7)], "a": [*(300 + k % 3 for k in range(6)), 900]}, NLL)
    told = made(measured({"ce": BASE, "a": SAME}), worse)
    said = texts(document(told, page=page).blocks(everything=False))
    [found] = [text for text in said if "collapsed, and not compared" in text]
    assert found.startswith("digits × vgg × a by nll: collapsed, and not compared: 1 of 7 runs of a (seed 6)")


def test_each_scope_has_its_own_mark() -> None:
    first = measured({"ce": BASE, "a": BETTER})
    lost = with_failures(measured({"ce": BASE, "a": BETTER}))
    cells = {("d", model, loss): scores for model, m in (("m", first), ("n", lost))
             for (_, _, loss), scores in m.cells.items()}  # fmt: skip
    told = made(Measured(ACCURACY, cells))
    assert [table.rows[1].cells[-1].text for table in tables(told)] == [
        f"superior{mark}" for mark in MARKS[:2]
    ]
    said = texts(document(told).blocks(everything=False))
    assert tuple(text[0] for text in said if text[0] in MARKS) == MARKS[:2]


@pytest.mark.parametrize(
    ("changes", "caution", "mark"),
    [
        ({"scaled_down": True}, "SCALED DOWN: ", "SCALED DOWN"),
        ({"optimistic": True}, "OPTIMISTIC: the epoch was chosen on the test set itself", "OPTIMISTIC"),
    ],
)
def test_what_nobody_may_overlook_is_on_top_and_at_every_table(
    changes: dict[str, bool], caution: str, mark: str
) -> None:
    told = made(measured({"ce": BASE, "a": BETTER}), measured({"ce": BASE, "a": BETTER}, NLL), **changes)
    shown = document(told)
    assert [said.startswith(caution) for said in shown.cautions] == [True]
    assert shown.blocks(everything=False)[1] == Paragraph(shown.cautions[0], strong=True)
    headings = [b for b in shown.tables if isinstance(b, Heading) and b.level == 2]
    assert [heading.marks for heading in headings] == [(mark,)] * 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"planned": range(9)}, "14 of 18 runs are finished: all of this may still change."),
        (
            {"planned": range(9), "lost": [8]},
            "14 of 18 runs are finished, 2 failed: all of this may still change.",
        ),
        (
            {"planned": range(8), "lost": [7]},
            "14 of 16 runs are finished, 2 failed: no run is left to train.",
        ),
    ],
)
def test_it_says_how_much_is_finished(more: dict[str, Any], said: str) -> None:
    told = made(measured({"ce": BASE, "a": BETTER}, **more), complete=False)
    assert document(told).cautions == (said,)


def test_secondary_metrics_are_headed_so_and_say_their_direction() -> None:
    f1 = Metric("macro_f1", "%", True, 0.5)
    told = made(*(measured({"ce": BASE, "a": BETTER}, metric) for metric in (ACCURACY, NLL, f1)))
    shown = document(told)
    headings = [(b.text, b.size) for b in shown.tables if isinstance(b, Heading)]
    assert headings == [
        ("digits · vgg", "1,000 test images"),
        ("Secondary metrics", ""),
        ("secondary · nll · digits · vgg", "lower is better"),
        ("secondary · macro_f1 · digits · vgg", "higher is better, margin ±0.5 points"),
    ]
    assert [t.rows[1].cells[-1].text for t in tables(told)] == [
        f"{word}{MARK}" for word in ("superior", "inferior", "superior")
    ]
    assert any("family of their own: 2 comparisons" in text for text in texts(shown.tables))


# ------------------------------------------------------------------------------------------- in words


def told_of(arms: Mapping[str, Sequence[int]], metric: Metric = ACCURACY, models: int = 1) -> str:
    """The answer; the same in each of several settings."""
    cells = {
        ("digits", f"vgg{model}", loss): Scores(dict(enumerate(counts)), 1000)
        for model in range(models)
        for loss, counts in arms.items()
    }
    return made(Measured(metric, cells)).answer


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ({"ce": BASE}, "Nothing is compared: ce is the only loss."),
        (
            {"ce": BASE, "a": []},
            "Nothing can be said yet: nothing has finished a seed that ce has finished too.",
        ),
        ({"ce": BASE, "a": BETTER}, "a is better than ce on this test set."),
        (
            {"ce": BASE, "a": WORSE},
            "Nothing is shown to be better than ce. a is worse than ce on this test set.",
        ),
        (
            {"ce": BASE, "a": BETTER, "b": WORSE, "c": BETTER},
            "a and c are better than ce on this test set. b is worse than ce on this test set.",
        ),
        (
            {"ce": BASE, "a": BETTER, "b": BETTER, "c": BETTER, "d": BETTER},
            "4 of 4 are better than ce on this test set.",
        ),
        ({"ce": BASE, "a": NOISE}, "Nothing is shown to be better or worse than ce."),
        (
            {"ce": BASE, "a": SAME, "b": NOISE},
            "Nothing is shown to be better or worse than ce. a is as good as ce on this test set.",
        ),
        (
            {"ce": BASE, "a": SAME, "b": SAME},
            "Nothing is shown to be better or worse than ce. a and b are as good as ce on this test set.",
        ),
    ],
)
def test_the_answer_is_a_sentence_or_two(arms: Mapping[str, Sequence[int]], said: str) -> None:
    assert told_of(arms) == said


def test_the_answer_counts_settings() -> None:
    assert told_of({"ce": BASE, "a": BETTER}, models=2) == (
        "a (2 of 2 settings) is better than ce on this test set."
    )
    arms = {"ce": BASE, "a": BETTER, "b": BETTER, "c": BETTER, "d": BETTER, "e": NOISE}
    assert told_of(arms, models=2) == ("4 of 5 are better than ce in at least one setting on this test set.")


@pytest.mark.parametrize(
    ("scopes", "said"),
    [
        ({"a": ["", ""]}, "a (2 of 2 settings) is better than ce."),
        ({"a": ["", "", ""], "b": ["here"]}, "a (3 of 3 settings) and b (here) are better than ce."),
        ({"a": ["", "here"]}, "a (2 of 2 settings, in part here) is better than ce."),
        ({"a": ["here"], "b": ["here"]}, "a and b are better than ce here."),
        (
            {name: ["here" if name == "a" else ""] for name in "abcd"},
            "4 of 4 are better than ce, some of them in a narrower scope than others.",
        ),
    ],
)
def test_the_answer_says_what_each_claim_is_about(scopes: Mapping[str, list[str]], said: str) -> None:
    compared = [
        Comparison("digits", str(k), loss, "ce", "accuracy", 6, (), difference=PairedT(6, 0.1),
                   verdict=Verdict(Word.SUPERIOR, scope))
        for loss, found in scopes.items()
        for k, scope in enumerate(found)
    ]  # fmt: skip
    assert answer("ce", compared) == said


def test_less_is_better_where_the_metric_says_so() -> None:
    metric = replace(NLL, margin=0.005)
    assert told_of({"ce": BASE, "a": BETTER}, metric) == (
        "Nothing is shown to be better than ce. a is worse than ce on this test set."
    )
    assert told_of({"ce": BASE, "a": WORSE}, metric) == "a is better than ce on this test set."


def test_where_the_epoch_was_chosen_on_the_test_set_there_is_no_answer() -> None:
    comparisons = analyse([measured({"ce": BASE, "a": BETTER})], "ce", Design(0.05), judged=False).comparisons
    assert answer("ce", comparisons, optimistic=True).startswith("No verdict: the epoch was chosen on the ")


@pytest.mark.parametrize(
    ("counts", "metric", "said"),
    [
        (
            BETTER,
            ACCURACY,
            "a is better than ce on this test set: +3.04 points (95 % interval 2.99 to 3.09) over 7 seeds, "
            "adjusted p <.0001.",
        ),
        (
            BETTER,
            NLL,
            "a is worse than ce on this test set: +0.0304 nats (95 % interval 0.0299 to 0.0309) over 7 "
            "seeds, adjusted p <.0001.",
        ),
        (
            SAME,
            ACCURACY,
            "a is as good as ce on this test set, within ±0.5 points: +0.01 points (90 % interval -0.06 to "
            "0.09) over 7 seeds, p of a difference that matters <.0001.",
        ),
        (
            NOISE,
            ACCURACY,
            r"a cannot be told apart from ce yet: -0.13 points (95 % interval -2.63 to 2.38) over 7 seeds, "
            "adjusted p = .9041. The two vary against each other over seeds (ρ = -0.49), so pairing makes "
            "their difference less certain and not more. A new experiment needs ",
        ),
        ([901], ACCURACY, "a cannot be told apart from ce yet: +0.10 points over 1 seed. One seed: no "),
        ([], ACCURACY, "a cannot be compared with ce yet: no pair for seed 0, 1, 2, 3, 4, 5, 6: only seeds "),
    ],
)
def test_every_comparison_is_a_sentence(counts: list[int], metric: Metric, said: str) -> None:
    told = made(measured({"ce": BASE, "a": counts}, metric))
    [comparison] = told.comparisons
    found = sentence(comparison, metric, scale_of(metric, told.cells), 0.05)
    assert found.startswith(said)
    assert found.endswith(".")


# ----------------------------------------------------------------------------------------- one more column


def test_adding_a_column_takes_one_entry_and_shows_everywhere(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = make_suite(losses=["ce", "mae"], seeds=6, metrics=["accuracy", "nll"])
    for cell in suite.cells:
        for run in cell.runs:
            worse = cell.loss == "mae"
            nll = 0.1 + 0.01 * run.seed * (1 + worse)
            finish_run(run, tmp_path, 60 + run.seed * (1 + worse) % 3, nll=nll)
    more = [
        Column(
            f"new {where}",
            key=f"new_{where}",
            path="comparison.difference.df",
            where=where,
            write=lambda value, entry: f"df {value}!",
            meaning=f"what a test adds to {where}",
        )
        for where in ("first", "tests")
    ]
    monkeypatch.setattr(columns, "COLUMNS", (*columns.COLUMNS, *more))
    told = report(suite, tmp_path)
    shown, out = document(told), io.StringIO()
    draw(shown.blocks(everything=True), Console(file=out, width=100))
    written = {path.name: path.read_text() for path in files.write(told, tmp_path / "out")}
    html = page(told, list_runs(suite, tmp_path, frame(tmp_path, suite.cells)))
    for text in (out.getvalue(), written["report.md"], html):
        assert text.count("df 5!") == 4  # both tables of both metrics
        assert {f"new {where}" in text for where in ("first", "tests")} == {True}
        assert "what a test adds to tests" in " ".join(text.split())  # the first table needs no legend
    assert "df 5!" in answer_of(told).text
    assert "new tests" not in answer_of(told).text
    assert "new first" in written["report.tex"]
    assert written["report.tex"].count("df 5!") == 2
    assert "new_first,new_tests" in written["comparisons.csv"].splitlines()[0]
    for comparison in json.loads(written["report.json"])["comparisons"]:
        assert comparison["new_first"] == comparison["new_tests"] == 5
