"""What a paper takes from a suite: LaTeX that compiles whatever the names, methods, references, CSV."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import finish_run
from hypothesis import given, settings
from hypothesis import strategies as st
from invented import invent
from nasty import NASTY

from bench.reports import files
from bench.reports.blocks import Cell, Column, Document, Heading, Notes, Paragraph, Row, Table
from bench.reports.build import report
from bench.reports.document import document
from bench.reports.files import inert
from bench.reports.methods import paper
from bench.reports.references import _FIELDS, bibtex, cited, in_full, in_words, render
from bench.reports.render.latex import _BOLD, NOTES, ROWS, breakable, escape, latex
from bench.reports.schema import Report
from bench.results.folder import RunFolder
from bench.suite import Suite

Make = Callable[..., Suite]

needs_tex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
needs_reader = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext is not installed")


def fill(suite: Suite, results: Path, better: str = "", left_out: int = 0, total: int = 1000) -> Report:
    """Made-up results, of which the last ``left_out`` are missing; ``better`` gets two points more."""
    runs = [(cell.loss, run) for cell in suite.cells for run in cell.runs]
    for number, (loss, run) in enumerate(runs[: len(runs) - left_out]):
        finish_run(run, results, total * 9 // 10 + number * 7 % 11 + total // 50 * (loss == better), total)
    return report(suite, results)


def tables(made: Report) -> str:
    """``report.tex``."""
    return latex(document(made), made.suite)


def labelled(labels: list[str]) -> list[Any]:
    return ["ce", *({"focal": {"gamma": 1 + k, "label": label}} for k, label in enumerate(labels))]


def compile_tex(folder: Path, name: str = "report", references: bool = False) -> str:
    """Run pdflatex, and bibtex if asked; the log."""
    tex = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", name]
    for command in [tex, ["bibtex", name], tex, tex] if references else [tex]:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    return (folder / f"{name}.log").read_text(errors="replace")


# ------------------------------------------------------------------------------------------------- LaTeX


@needs_tex
def test_the_report_compiles_by_itself_with_methods_and_references(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(
        question="Is <b>A</b> & B_1 100% better than \\B {x}? 😀",
        datasets=[{"digits": {"label": "d_1 & <i>"}}, {"digits": {"train_size": 200, "label": "é|\n"}}],
        losses=labelled(NASTY),
        seeds=6,
        selection="test",
        recipe={"epochs": 1},
    )
    made = fill(suite, tmp_path, NASTY[0], left_out=3)
    files.write(made, tmp_path, paper=paper(suite, tmp_path, made))
    log = compile_tex(tmp_path, references=True)
    assert "undefined" not in log
    assert "LaTeX Warning: There were" not in log


@needs_tex
@pytest.mark.parametrize("preamble", ["", r"\usepackage[T1]{fontenc}\usepackage{booktabs}"])
def test_the_report_can_be_a_part_of_a_paper(make_suite: Make, tmp_path: Path, preamble: str) -> None:
    made = fill(make_suite(losses=labelled(NASTY), seeds=3), tmp_path)
    (tmp_path / "report.tex").write_text(tables(made))
    (tmp_path / "main.tex").write_text(
        rf"\documentclass{{article}}{preamble}\begin{{document}}Before.\input{{report}}After, table "
        rf"\ref{{tab:{made.suite}}}.\end{{document}}"
    )
    assert "Output written" in compile_tex(tmp_path, "main")


@needs_tex
def test_more_tables_than_latex_keeps_waiting(make_suite: Make, tmp_path: Path) -> None:
    cells = fill(make_suite(), tmp_path)
    many = [
        c.model_copy(update={"dataset": f"d{k}"}) for k in range(70) for c in [*cells.cells] * (ROWS // 2)
    ]
    (tmp_path / "report.tex").write_text(tables(cells.model_copy(update={"cells": many, "comparisons": []})))
    assert "Output written" in compile_tex(tmp_path)


PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=25)


@needs_tex
@needs_reader
@settings(max_examples=4)
@given(names=st.lists(PRINTABLE, min_size=40, max_size=80))
def test_the_page_shows_every_ascii_name_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("tex")
    lines = "\n".join(rf"\mbox{{{escape(name)}}}\\" for name in names)
    (folder / "names.tex").write_text(
        r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{lmodern}\pagestyle{empty}"
        rf"\begin{{document}}\raggedright\noindent {lines} \end{{document}}"
    )
    compile_tex(folder, "names")
    read = subprocess.run(["pdftotext", "-raw", "names.pdf", "-"], cwd=folder, capture_output=True, text=True)
    shown = unicodedata.normalize("NFKC", read.stdout.translate({0x2C6: "^", 0x2DC: "~", 0x2019: "'"}))
    assert shown.split() == names


# How each sign that means something to TeX may appear in what it is given.
HARMLESS = re.compile(
    r"\\[#$%&_{}]|\\[a-zA-Z]+(?:\{\})?|\\['`^~=.\"][{]|\$\^?\\?[-a-zA-Z2]+\$|\{[*\[\]]\}|\{\}"
)


@given(st.text())
def test_nothing_in_a_name_is_a_command(text: str) -> None:
    shown = escape(text)
    assert shown.isascii()
    assert not set(HARMLESS.sub("", shown)) & set("\\#$%&_^~[]*\n")
    assert escape(text) == escape(" ".join(text.split()))


@given(st.text(st.characters(max_codepoint=0x17F)), st.text(st.characters(max_codepoint=0x17F)))
def test_different_names_stay_different(a: str, b: str) -> None:
    same = [" ".join(unicodedata.normalize("NFC", text).split()) for text in (a, b)]
    assert (escape(a) == escape(b)) == (same[0] == same[1])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("min_ent", r"min\_ent"),
        ("a😀b", r"a\textless{}U+1F600\textgreater{}b"),
        ("é", r"\'{e}"),
        ("e\u0301", r"\'{e}"),
        ("---", "-{}-{}-"),
        ("±0.5", r"$\pm$0.5"),
        ("[x]", "{[}x{]}"),
        ("superior*†‡§¶", r"superior{*}\dag{}\ddag{}\S{}\P{}"),
        ("χ²", r"$\chi$$^2$"),
    ],
)
def test_escaping(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_long_words_may_break() -> None:
    assert (
        breakable("x" * 30 + " y_z") == "x" * 12 + r"\allowbreak{}" + "x" * 12 + r"\allowbreak{}xxxxxx y\_z"
    )


# ---------------------------------------------------------------------------------------------- bold, notes


@pytest.mark.parametrize(
    ("better", "bold"),
    [("mae", ["mae"]), ("", []), ("ce", ["ce"])],
)
def test_only_what_the_verdicts_call_better_is_bold(
    make_suite: Make, tmp_path: Path, better: str, bold: list[str]
) -> None:
    made = fill(make_suite(losses=["ce", "mae"], seeds=8), tmp_path, better)
    shown = [line.split(" & ")[0] for line in tables(made).splitlines() if "\\textbf" in line]
    assert shown == bold


def test_a_baseline_that_one_loss_ties_with_is_not_bold(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae", "gce"], seeds=8)
    for cell in suite.cells:
        for run in cell.runs:
            count = {"ce": 951, "mae": 900, "gce": 950}[cell.loss] + run.seed * (
                7 if cell.loss != "gce" else 5
            ) % 11
            finish_run(run, tmp_path, count, 1000)
    assert "\\textbf" not in tables(report(suite, tmp_path))


def test_notes_say_method_family_and_what_is_missing(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=labelled(["x" * 200]), seeds=4, selection="test")
    text = tables(fill(suite, tmp_path, left_out=1))
    assert "p needs no adjustment" in text
    assert "3 seeds: nothing is decided with fewer than 5" in text
    assert "no pair for seed 3" in text
    before = text.partition("\\begin{tabular}")[0]
    assert (
        "\\textbf{OPTIMISTIC: the epoch was chosen on the test set itself, so no verdict is given.}" in before
    )
    assert "\\textbf{7 of 8 runs are finished: all of this may still change.}" in before
    [short] = re.findall(r"^(x+)\\ldots\{\} & 3/4 &", text, re.M)
    assert f"{breakable(f'{short}…')} is {breakable('x' * 200)}" in text


def test_the_caption_says_unit_level_and_scope_of_the_intervals(make_suite: Make, tmp_path: Path) -> None:
    made = fill(make_suite(losses=["ce", "mae"], seeds=8, analysis={"margin": 5}), tmp_path)
    text = tables(made)
    assert "seeds & accuracy \\% & $\\Delta$ & CI & $p$ & verdict \\\\" in text
    said = "to ce in points; CI is its confidence interval on this test set, for all comparisons together, "
    assert f"{said}90 \\% where equivalent." in text
    [c] = made.comparisons
    assert c.verdict is not None
    assert c.verdict.word == "equivalent"
    row = next(line for line in text.splitlines() if line.startswith("mae &"))
    assert f"& {escape(f'{100 * c.shown.low:.2f} to {100 * c.shown.high:.2f}'.replace('-', '−'))} &" in row  # type: ignore[union-attr]
    metrics = make_suite(losses=["ce", "mae"], seeds=8, metrics=["accuracy", "nll"])
    text = tables(report(metrics, tmp_path))
    assert f"{said}95 \\%." in text
    assert "nll nats & " in text
    assert "secondary $\\cdot$ nll $\\cdot$ digits" in text
    assert "They decide nothing" in text


NUMBERS = (Column("name", words=True), Column("Δ", latex="$\\Delta$"))


def a_table(*rows: tuple[str, str], note: str = "", strong: bool = False, detail: bool = False) -> Table:
    cells = tuple(Row((Cell(name), Cell(text, strong=strong))) for name, text in rows)
    return Table(NUMBERS, cells, note=note, detail=detail)


def drawn(*tables: object, closing: tuple[Any, ...] = (), cautions: tuple[str, ...] = ()) -> str:
    shown = Document("A title", cautions, "", tuple(tables), closing)  # type: ignore[arg-type]
    return latex(shown, "t").partition("\\providecommand{\\bottomrule}{\\hline}\n\n")[2]


def test_blocks_as_latex() -> None:
    text = drawn(
        Heading("one_1", size="5 images"),
        a_table(("a", "-0.10"), ("b", "+2"), note="In points."),
        Heading("hidden", detail=True),
        a_table(("c", "3"), detail=True),
        Heading("two"),
        a_table(("d-e", "4 ± 1"), strong=True, note="In points."),
        Paragraph("About two."),
        closing=(Notes(("first", "second")), Paragraph("never shown", detail=True)),
        cautions=("CAREFUL",),
    )
    assert (
        text
        == r"""\begin{table}[htbp]\centering\footnotesize\setlength{\tabcolsep}{4pt}
\caption{A title. In points. \textbf{CAREFUL}}\label{tab:t}\smallskip
\begin{tabular}{@{}lr@{}}
\toprule
name & $\Delta$ \\
\midrule
\multicolumn{2}{@{}l}{\emph{one\_1} (5 images)} \\
a & $-$0.10 \\
b & +2 \\
\midrule
\multicolumn{2}{@{}l}{\emph{two}} \\
d-e & \textbf{4 $\pm$ 1} \\
\bottomrule
\end{tabular}\par\smallskip
\parbox{\linewidth}{\raggedright \emph{Notes.}
About two.\\
first\\
second\\
BOLD}
\end{table}

\reportend
""".replace("BOLD", _BOLD)
    )


def test_other_columns_begin_another_table_and_sentences_stay_with_theirs() -> None:
    other = Table((Column("name", words=True),), (Row((Cell("z"),)),))
    text = drawn(
        Heading("one"),
        a_table(("a", "1")),
        Heading("two"),
        Paragraph("Of the next."),
        other,
        Paragraph("And this."),
    )
    first, second = text.split("\\end{table}")[:2]
    assert "\\emph{Notes.}\nBelow the last of these tables.}" in first
    assert "\\caption{A title (continued).}\\label{tab:t-2}" in second
    assert "\\emph{Notes.}\nOf the next.\\\\\nAnd this.}" in second


def test_long_tables_go_on_and_long_lists_end_under_each_heading() -> None:
    rows = [(f"n{k}", str(k)) for k in range(2 * ROWS + 5)]
    text = drawn(
        Heading("long"), a_table(*rows), closing=(Notes(tuple(f"note {k}" for k in range(NOTES + 3))),)
    )
    parts = text.split("\\end{table}")[:-1]
    assert [len(re.findall(r"^n\d+ &", part, re.M)) for part in parts] == [ROWS, ROWS, 5]
    assert all("\\emph{long}" in part for part in parts)
    assert f"note {NOTES - 1}\\\\\n3 more remarks are in \\texttt{{report.md}}." in parts[-1]
    assert f"note {NOTES}" not in text


@needs_tex
def test_names_too_wide_for_a_line_are_broken(tmp_path: Path) -> None:
    wide = "深" * 15
    (tmp_path / "report.tex").write_text(
        latex(Document("T", (), "", (Heading(wide * 3), a_table((wide, "1"))), ()), "t")
    )
    assert "Overfull" not in compile_tex(tmp_path)


# ------------------------------------------------------------------------------------ methods and references


def test_methods_name_what_was_done(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mix_ent"], seeds=6)
    made = fill(suite, tmp_path)
    written = paper(suite, tmp_path, made)["methods.md"]
    for said in (
        "each combination from 6 random seeds: 12 trainings in all",
        "mix_ent (b1 12.58, b2 12.45, eps 1e-06",
        "for 2 epochs, in batches of 32, by adam (betas 0.9 and 0.999, eps 1e-08, lr 0.003",
        "All test images count (1,000 of digits",
        "accuracy: the share of the test images that are classified correctly; higher is better",
        "Accuracy is that of the last epoch",
        "Student's t (Student 1908)",
        "with fewer than 5 seeds nothing is decided",
        "say nothing of collapses too rare for so many seeds to show",
        "within ±0.1 points",
        "two one-sided tests (Schuirmann 1987)",
        "superior or inferior to ce where its interval excludes 0; otherwise equivalent where",
        "A verdict is about this test set alone unless an interval on new images",
        "p needs no adjustment; a loss is superior or inferior where that interval excludes 0",
    ):
        assert said in written
    assert "are finished" not in written
    assert "otations" not in written  # of a single comparison there is nothing to rotate
    assert "Slurm" not in written
    assert "held out" not in written
    assert "econdary" not in written


def test_methods_say_how_losses_were_compared_over_data_sets(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(datasets=["mnist", "kmnist", "qmnist"], losses=["ce", "mae"], seeds=2)
    invent(suite, tmp_path)
    written = paper(suite, tmp_path, report(suite, tmp_path))["methods.md"]
    for said in (
        "Over 3 data sets, which are the sample there",
        "Nemenyi's critical difference (Demšar 2006)",
        "region of practical equivalence is within ±0.1 points (Benavoli et al. 2017)",
        "with the bootstrap over runs stratified by data set (Agarwal et al. 2021)",
    ):
        assert said in written


def test_methods_say_what_each_metric_is_and_which_decides(make_suite: Make, tmp_path: Path) -> None:
    metrics = ["accuracy", "nll", {"top_k": {"k": 2, "label": "top two"}}, "macro_f1", "ece"]
    suite = make_suite(losses=["ce", "mae"], seeds=6, metrics=metrics, analysis={"margin": {"nll": 0.01}})
    written = paper(suite, tmp_path, fill(suite, tmp_path))
    for said in (
        "nll: the mean negative log-likelihood of the true class; lower is better",
        "top two, which is top_k (k 2): the share of the test images whose true class is among",
        "ece (bins 15): the expected calibration error: how far confidence is from accuracy (Guo et al.",
        "accuracy alone decides; secondary: nll, top two, macro_f1 and ece",
        "p is adjusted over their 4 comparisons alone, by one level for all, by rotations of residuals",
        "rotations of residuals (Langsrud 2005; Solari, Finos and Goeman 2014)",
        "equivalent means within ±0.01 nats of nll",
        "jackknife pseudo-values of images for macro_f1 (Dorfman, Berbaum and Metz 1992)",
        "ece has no interval for new images: the calibration error is biased upwards",
    ):
        assert said in written["methods.md"]
    assert "@inproceedings{guo2017," in written["references.bib"]


def test_methods_call_nothing_equivalent_where_no_verdict_is_given(make_suite: Make, tmp_path: Path) -> None:
    margins = {"accuracy": 0.5, "nll": 0.01}
    said = {}
    for selection in ("last", "test"):
        suite = make_suite(
            name=selection,
            losses=["ce", "mae"],
            seeds=6,
            metrics=["accuracy", "nll"],
            selection=selection,
            analysis={"margin": margins},
        )
        said[selection] = paper(suite, tmp_path, fill(suite, tmp_path))["methods.md"]
    assert "and equivalent means within ±0.01 nats of nll" in said["last"]
    assert "equivalent" not in said["test"]


def test_methods_say_that_flips_have_judged(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae", "gce"], seeds=8, analysis={"test": "flips"})
    written = paper(suite, tmp_path, fill(suite, tmp_path))["methods.md"]
    assert "by sign flips of whole seeds, against the largest of the family (single-step maxT)" in written
    assert "maxT by flips of whole seeds (Westfall and Young 1993)" in written
    assert "otations" not in written


def test_methods_say_what_was_made_of_failed_and_collapsed_runs(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae"], seeds=8)
    fill(suite, tmp_path)
    finish_run(suite.cells[1].runs[0], tmp_path, 905, 1000)  # not all differences are equal
    without = paper(suite, tmp_path, report(suite, tmp_path))["methods.md"]
    finish_run(suite.cells[1].runs[3], tmp_path, 300, 1000)
    run = suite.cells[1].runs[5]
    (RunFolder(tmp_path, run.id).path / "result.json").unlink()
    RunFolder(tmp_path, run.id).fail("it broke")
    written = paper(suite, tmp_path, report(suite, tmp_path))["methods.md"]
    for said in (
        "the median absolute deviation, by which runs are flagged (Hampel 1974)",
        "the worst-rank analysis of failed runs (Lachin 1999)",
        "Holm's adjustment (Holm 1979)",
    ):
        assert said in written
        assert said not in without


ADDED = {"start": 5, "step": 5, "max": 15, "until": "decided"}


def test_methods_of_planned_looks(make_suite: Make, tmp_path: Path) -> None:
    more = {"metrics": ["accuracy", "nll"], "analysis": {"margin": {"nll": 0.01}}}
    suite = make_suite(losses=["ce", "mae", "gce"], seeds=ADDED, **more)
    written = paper(suite, tmp_path, fill(suite, tmp_path))
    for said in (
        "The design is sequential. Accuracy and nll are those of the last epoch.",
        "with looks at 5, 10, 15 seeds",
        "where t exceeds the boundary c of its look on either side",
        "Of 2 comparisons, 2 ",
        "where its interval excludes 0; otherwise equivalent",
        "p is adjusted over their 2 comparisons alone, by the bar of e-values",
        "boundaries from flips of whole seeds (Lan and DeMets 1983; Kim and DeMets 1987; Westfall and Young",
        "stopping for futility by predictive power (Spiegelhalter, Freedman and Blackburn 1986)",
    ):
        assert said in written["methods.md"].replace("\\|", "|"), said
    assert "Student" not in written["methods.md"]
    assert "of nll" not in written["methods.md"]  # a secondary metric is not called equivalent there
    without = make_suite(losses=["ce", "mae", "gce"], seeds=ADDED, analysis={"margin": 0})
    written = paper(without, tmp_path, report(without, tmp_path))
    assert "equivalent" not in written["methods.md"]
    assert "schuirmann1987" not in written["references.bib"]


def test_methods_of_looks_whenever_one_likes(make_suite: Make, tmp_path: Path) -> None:
    more = {"metrics": ["accuracy", "nll"], "analysis": {"margin": {"nll": 0.01}}}
    seeds = {**ADDED, "looks": "whenever"}
    suite = make_suite(losses=["ce", "mae", "gce"], seeds=seeds, **more)
    written = paper(suite, tmp_path, fill(suite, tmp_path))
    for said in (
        "The design is sequential. Accuracy and nll are those of the last epoch.",
        "with looks at 5, 10, 15 seeds",
        "Of 2 comparisons, 2 ",
        "their α/K spent over the looks",
        "where its interval excludes 0; otherwise equivalent",
        "p is adjusted over their 2 comparisons alone, by the bar of e-values",
        "confidence sequences (Wang and Ramdas 2023)",
        "spending of α over looks (Lan and DeMets 1983)",
    ):
        assert said in written["methods.md"], said
    assert "Student" not in written["methods.md"].replace("never narrower than Student's t", "")
    assert "of nll" not in written["methods.md"]
    assert "westfall" not in written["references.bib"]
    without = make_suite(losses=["ce", "mae", "gce"], seeds=seeds, analysis={"margin": 0})
    written = paper(without, tmp_path, report(without, tmp_path))
    assert "equivalent" not in written["methods.md"]
    assert "lan1983" not in written["references.bib"]
    assert "schuirmann1987" not in written["references.bib"]


def test_methods_name_a_metric_of_the_user_s_own(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours_of_paper.py").write_text("def error(predictions):\n    return 0.5\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    suite = make_suite(losses=["ce", "mae"], seeds=3, metrics=["accuracy", "ours_of_paper:error"])
    written = paper(suite, tmp_path, fill(suite, tmp_path))["methods.md"]
    assert "ours_of_paper:error: what code of our own computes; lower is better." in written


def test_methods_admit_what_a_reviewer_would_ask_for(make_suite: Make, tmp_path: Path) -> None:
    losses = ["ce", {"mae": {"recipe": {"epochs": 9}}}]
    suite = make_suite(losses=losses, seeds=6, selection="test")
    written = paper(suite, tmp_path, fill(suite, tmp_path, left_out=2))["methods.md"]
    assert "OPTIMISTIC: the epoch was chosen on the test set itself, so no verdict is given." in written
    assert "We call a loss superior" not in written
    assert "10 of 12 runs are finished: all of this may still change." in written
    assert "did not share epochs" in written
    assert "In 1 comparison some pairs are missing" in written
    validated = make_suite(selection="validation", recipe={"validation": 0.2})
    written = paper(validated, tmp_path, fill(validated, tmp_path))["methods.md"]
    assert "with 20 % of the training images held out for validation" in written
    assert "Accuracy is that of the epoch with the best accuracy on a validation split" in written


def test_methods_say_all_that_a_recipe_asks_for(make_suite: Make, tmp_path: Path) -> None:
    recipe = {
        "optimizer": {"timm/lamb": {"lr": 0.01}},
        "schedule": {"torch/StepLR": {"step_size": 3}},
        "accumulate": 4,
        "clip": {"norm": 1.0},
        "no_decay": "norms_and_biases",
        "layer_decay": 0.7,
        "ema": 0.999,
        "freeze": ["stem"],
        "stop_early": {"patience": 5},
    }
    suite = make_suite(recipe=recipe, selection="validation")
    written = paper(suite, tmp_path, fill(suite, tmp_path))["methods.md"]
    for words in (
        "by timm/lamb (lr 0.01)",
        "by the schedule torch/StepLR (step_size 3)",
        "with the gradients of 4 batches in each step",
        "with gradients clipped by norm (1)",
        "without weight decay on norms and biases",
        "with 0.7 times the learning rate from each layer to the one before",
        "scored by an exponential moving average of the weights (decay 0.999)",
        "with stem frozen",
        "ended early after 5 epochs without a better validation metric",
    ):
        assert words in re.sub(r"\\(?=\W)", "", written), words


def test_versions_are_those_of_the_runs(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite()
    fill(suite, tmp_path)
    for number, run in enumerate(suite.runs()):
        path = RunFolder(tmp_path, run.id).path / "run.json"
        info = json.loads(path.read_text())
        info["attempts"][-1] |= {"torch": "2.7" if number else "2.8", "device": "NVIDIA_H200"}
        path.write_text(json.dumps(info))
    jobs = tmp_path / suite.name / "jobs" / "one"
    jobs.mkdir(parents=True)
    ids = [[run.id for run in suite.runs()]]
    submission = {"name": "n", "created": 1.0, "parallel": 1, "runs": ids, "gpus": 1, "job": "17"}
    (jobs / "submission.json").write_text(json.dumps(submission))
    written = paper(suite, tmp_path, report(suite, tmp_path))
    assert "PyTorch 2.7 (3 trainings) and 2.8 (1 training) \\cite{paszke2019}" in written["methods.tex"]
    assert "They ran on NVIDIA\\_H200." in written["methods.tex"]
    assert "Slurm \\cite{yoo2003}" in written["methods.tex"]
    assert "@misc{submitit," in written["references.bib"]


@pytest.mark.parametrize("seeds", [1, 6])
def test_references_are_exactly_what_is_cited(make_suite: Make, tmp_path: Path, seeds: int) -> None:
    suite = make_suite(seeds=seeds)
    written = paper(suite, tmp_path, fill(suite, tmp_path))
    keys = {key for keys in re.findall(r"\\cite\{(.*?)\}", written["methods.tex"]) for key in keys.split(",")}
    assert set(re.findall(r"@\w+\{(\w+),", written["references.bib"])) == keys
    assert ("student1908" in keys) == (seeds > 1)
    assert written["methods.md"].count("\n- ") == len(keys)


def test_an_empty_suite_has_methods_and_tables(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite()
    made = report(suite, tmp_path)
    assert "0 of 4 runs are finished" in paper(suite, tmp_path, made)["methods.md"]
    assert "0/2" in tables(made)


def test_entries_are_complete() -> None:
    needed = {"author", "title", "year"}
    places = {"journal", "booktitle", "publisher", "howpublished"}
    for key, fields in _FIELDS.items():
        assert fields.keys() >= needed, key
        assert fields.keys() & places, key
        assert in_words(key).endswith(fields["year"])
        assert fields["year"] in in_full(key)
        assert "\\" not in in_full(key)  # every letter is as it is read
    assert len(_FIELDS) == len(re.findall("^@", bibtex(_FIELDS), re.M)) == 36


def test_citations_are_told_from_names() -> None:
    text = "so [@holm1979; @fisher1935] and [@nobody] [x]"
    assert cited(text) == ["fisher1935", "holm1979"]
    assert render(text, "+".join, str.upper) == "SO holm1979+fisher1935 AND [@NOBODY] [X]"


# --------------------------------------------------------------------------------------------------- files


def test_the_same_runs_give_the_same_bytes(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=labelled(NASTY), seeds=3)
    written = []
    for name in ("one", "two"):
        made = fill(suite, tmp_path) if name == "one" else report(suite, tmp_path)
        paths = files.write(made, tmp_path / name, paper=paper(suite, tmp_path, made))
        written.append({path.name: path.read_bytes() for path in paths})
    assert written[0] == written[1]
    assert {"report.tex", "methods.md", "methods.tex", "references.bib"} <= written[0].keys()
    assert not any(str(tmp_path).encode() in content for content in written[0].values())


def test_no_cell_of_a_table_is_a_formula(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=labelled(NASTY), seeds=3)
    made = fill(suite, tmp_path, better="ce")
    paths = {path.name: path for path in files.write(made, tmp_path / "out")}
    rows = list(csv.DictReader(io.StringIO(paths["comparisons.csv"].read_bytes().decode(), newline="")))
    assert [row["loss"].removeprefix("'") for row in rows] == NASTY
    for row in rows:
        for value in row.values():
            number = re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", value)
            assert number or not value.startswith(("=", "+", "-", "@", "\t", "\r"))
    deltas = [float(row["delta"]) for row in rows]
    assert deltas == [c.delta for c in made.comparisons]
    assert min(deltas) < 0


def test_csv_has_the_rows_of_all_metrics(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae"], seeds=3, metrics=["accuracy", "nll"])
    made = fill(suite, tmp_path)
    files.write(made, tmp_path / "out")
    read = {
        name: list(csv.DictReader((tmp_path / "out" / f"{name}.csv").read_text().splitlines()))
        for name in ("cells", "comparisons")
    }
    assert [(row["metric"], row["loss"]) for row in read["cells"]] == [
        ("accuracy", "ce"), ("accuracy", "mae"), ("nll", "ce"), ("nll", "mae")
    ]  # fmt: skip
    assert [row["metric"] for row in read["comparisons"]] == ["accuracy", "nll"]
    for row, cell in zip(read["cells"], [*made.cells, *made.secondary.cells], strict=True):
        assert row.keys() == cell.model_dump().keys()
        assert [float(value) for value in row["values"].split()] == list(cell.values)
        assert row["seeds"] == "0 1 2"
        assert row["counts"] == " ".join(map(str, cell.counts))
        assert row["correct"] == str(cell.correct or "")
    flat = json.loads(made.model_dump_json())
    for row, known in zip(
        read["comparisons"], [*flat["comparisons"], *flat["secondary"]["comparisons"]], strict=True
    ):
        assert row.keys() == known.keys()
        assert float(row["delta"]) == known["delta"]
        assert row["verdict"] == known["verdict"]


def test_csv_of_nothing_has_its_columns(make_suite: Make, tmp_path: Path) -> None:
    files.write(report(make_suite(losses="ce"), tmp_path), tmp_path / "out")
    [line] = (tmp_path / "out" / "comparisons.csv").read_text().splitlines()
    assert {"metric", "delta", "low", "high", "p_adjusted", "verdict", "scope", "level"} <= {*line.split(",")}


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@A1", "\tx", "\rx", "＝1", "-", "--1", "-1e5"])
def test_what_begins_like_a_formula_is_made_inert(text: str) -> None:
    assert inert(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "ce", "-1", "+2.5", "a=b", "0 1 2", "'=x"])
def test_other_text_and_numbers_stay(text: str) -> None:
    assert inert(text) == text
