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
from nasty import NASTY

from bench.reports import files
from bench.reports.comparison import report
from bench.reports.documents import Report
from bench.reports.files import inert
from bench.reports.latex import ROWS, breakable, escape, latex
from bench.reports.methods import paper
from bench.reports.references import _FIELDS, bibtex, cited, in_full, in_words, render
from bench.results import RunFolder
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
    (tmp_path / "report.tex").write_text(latex(made))
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
    (tmp_path / "report.tex").write_text(latex(cells.model_copy(update={"cells": many, "comparisons": []})))
    assert "Output written" in compile_tex(tmp_path)


PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=25)


@needs_tex
@needs_reader
@settings(derandomize=True, max_examples=4, deadline=None)
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
HARMLESS = re.compile(r"\\[#$%&_{}]|\\[a-zA-Z]+(?:\{\})?|\\['`^~=.\"][{]|\$\\?[-a-zA-Z]+\$|\{[*\[\]]\}|\{\}")


@settings(derandomize=True, deadline=None)
@given(st.text())
def test_nothing_in_a_name_is_a_command(text: str) -> None:
    shown = escape(text)
    assert shown.isascii()
    assert not set(HARMLESS.sub("", shown)) & set("\\#$%&_^~[]*\n")
    assert escape(text) == escape(" ".join(text.split()))


@settings(derandomize=True, deadline=None)
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
    shown = [line.split(" & ")[0] for line in latex(made).splitlines() if "\\textbf" in line]
    assert shown == bold


def test_a_baseline_that_one_loss_ties_with_is_not_bold(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae", "gce"], seeds=8)
    for cell in suite.cells:
        for run in cell.runs:
            count = {"ce": 951, "mae": 900, "gce": 950}[cell.loss] + run.seed * (
                7 if cell.loss != "gce" else 5
            ) % 11
            finish_run(run, tmp_path, count, 1000)
    assert "\\textbf" not in latex(report(suite, tmp_path))


def test_notes_say_method_family_and_what_is_missing(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=labelled(["x" * 200]), seeds=4, selection="test")
    text = latex(fill(suite, tmp_path, left_out=1))
    assert "adjusted over 1 comparison by Westfall--Young" in text
    assert "7 of 8 runs are finished" in text
    assert "no pair for seed 3" in text
    assert "OPTIMISTIC" in text.partition("\\begin{tabular}")[0]
    assert "Names in full" in text
    assert "3/4" in text


# ------------------------------------------------------------------------------------ methods and references


def test_methods_name_what_was_done(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mix_ent"], seeds=6)
    written = paper(suite, tmp_path, fill(suite, tmp_path))["methods.md"]
    for said in (
        "each combination from 6 random seeds: 12 trainings in all",
        "mix_ent (b1 12.58, b2 12.45, eps 1e-06",
        "for 2 epochs, in batches of 32, by adam (betas 0.9 and 0.999, eps 1e-08, lr 0.003",
        "after its last epoch: no epoch was chosen",
        "Student's t over seeds (Student 1908)",
        "flipping the signs of whole seeds (all flips) (Westfall and Young 1993)",
        "within ±0.1 points (Schuirmann 1987)",
        "one comparison",
    ):
        assert said in written
    assert "INCOMPLETE" not in written
    assert "Slurm" not in written


def test_methods_admit_what_a_reviewer_would_ask_for(make_suite: Make, tmp_path: Path) -> None:
    losses = ["ce", {"mae": {"recipe": {"epochs": 9}}}]
    suite = make_suite(losses=losses, seeds=6, selection="test")
    written = paper(suite, tmp_path, fill(suite, tmp_path, left_out=2))["methods.md"]
    assert "OPTIMISTIC" in written
    assert "INCOMPLETE: 10 of these 12 trainings had finished" in written
    assert "did not share epochs" in written
    assert "In 1 comparison some pairs are missing" in written
    validated = make_suite(selection="validation", recipe={"validation": 0.2})
    written = paper(validated, tmp_path, fill(validated, tmp_path))["methods.md"]
    assert "20 % of the training images that were held out" in written


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
    assert "INCOMPLETE: 0 of these 4" in paper(suite, tmp_path, made)["methods.md"]
    assert "0/2" in latex(made)


def test_entries_are_complete() -> None:
    needed = {"author", "title", "year"}
    places = {"journal", "booktitle", "publisher", "howpublished"}
    for key, fields in _FIELDS.items():
        assert fields.keys() >= needed, key
        assert fields.keys() & places, key
        assert in_words(key).endswith(fields["year"])
        assert fields["year"] in in_full(key)
    assert len(_FIELDS) == len(re.findall("^@", bibtex(_FIELDS), re.M)) == 20


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


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@A1", "\tx", "\rx", "＝1", "-", "--1", "-1e5"])
def test_what_begins_like_a_formula_is_made_inert(text: str) -> None:
    assert inert(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "ce", "-1", "+2.5", "a=b", "0 1 2", "'=x"])
def test_other_text_and_numbers_stay(text: str) -> None:
    assert inert(text) == text
