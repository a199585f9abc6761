"""``bench report`` as it is typed: on a terminal, in a pipe, beside another, watched."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import bench, finish_run, start, wait_for

from bench.reports.diff import ReportDiff
from bench.suite import load

Write = Callable[..., Path]
ESCAPE = "\x1b["


def on_terminal(*arguments: str | Path, **environment: str) -> str:
    """What the command prints on a terminal of 100 columns."""
    own, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", *map(str, arguments)],
        stdout=theirs,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **environment},
    )
    os.close(theirs)
    printed = b""
    while True:
        try:
            some = os.read(own, 65536)
        except OSError:  # Linux: the other side is closed
            break
        if not some:
            break
        printed += some
    process.wait(60)
    os.close(own)
    return printed.decode().replace("\r\n", "\n")


@pytest.fixture
def suite(write_suite: Write, tmp_path: Path) -> Path:
    path = write_suite(losses=["ce", {"mae": {"label": "<script>"}}], seeds=6)
    for cell in load(path).cells:
        for run in cell.runs:
            other = cell.loss != "ce"
            finish_run(run, tmp_path / "results", 90 - 20 * other + run.seed * (3 - other) % 5)
    return path


def test_a_terminal_gets_colours_and_a_pipe_gets_markdown(suite: Path, tmp_path: Path) -> None:
    results = ("--results", tmp_path / "results")
    shown = on_terminal("report", suite, *results)
    assert f"{ESCAPE}1;31minferior" in shown
    assert "<script>" in shown
    piped = bench("report", suite, *results).stdout
    assert ESCAPE not in piped
    assert re.search(r"^\| ?\\<script> *\|", piped, re.M)
    assert max(map(len, piped.splitlines())) <= 100
    tables = [line for line in piped.splitlines() if line.startswith("|")]
    assert len(tables) == 4
    assert {line.count("|") for line in tables} == {8}
    assert max(map(len, tables)) <= 80
    plain = on_terminal("report", suite, *results, NO_COLOR="1")
    assert not re.search(r"\x1b\[[\d;]*3\d", plain)
    assert "inferior" in plain
    assert json.loads(on_terminal("report", suite, *results, "--json"))["suite"] == "small"
    for path in (tmp_path / "results" / "small").iterdir():
        assert b"\x1b" not in path.read_bytes() or path.suffix == ".npz"


def test_the_evidence_comes_with_all_and_stands_in_the_files(suite: Path, tmp_path: Path) -> None:
    results = ("--results", tmp_path / "results")
    short, whole = (bench("report", suite, *results, *extra).stdout for extra in ((), ("--all",)))
    assert (short.count("p adj."), short.count("d_z")) == (0, 0)
    assert (whole.count("p adj."), whole.count("d_z")) == (2, 3)  # a column, and its legend
    assert (tmp_path / "results" / "small" / "report.md").read_text() == whole
    left = whole.splitlines()
    assert all(line in left for line in short.splitlines())
    assert "d_z" in on_terminal("report", suite, *results, "--all")


def test_a_pipe_that_knows_only_ascii_gets_what_it_can_take(suite: Path, tmp_path: Path) -> None:
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = bench("report", suite, "--results", tmp_path / "results", env=ascii_only)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"\| ?inferior *\|$", done.stdout, re.M)


def test_the_folder_of_a_suite_holds_what_a_paper_needs(suite: Path, tmp_path: Path) -> None:
    assert bench("report", suite, "--results", tmp_path / "results").returncode == 0
    written = {path.name for path in (tmp_path / "results" / "small").iterdir()}
    assert written >= {"report.tex", "methods.md", "methods.tex", "references.bib", "report.md", "cells.csv"}


def test_two_states_side_by_side_change_nothing_on_disk(suite: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    before = bench("report", suite, "--results", results, "--json").stdout
    saved = tmp_path / "report.json"
    saved.write_text(before)
    files = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    shown = bench("report", suite, saved, "--results", results)
    assert "All 2 cells are the same in both." in shown.stdout
    document = bench("report", suite, saved, "--results", results, "--json").stdout
    assert ReportDiff.model_validate_json(document).second == str(suite)
    assert files == {path: path.stat().st_mtime_ns for path in results.rglob("*")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["smal.yaml"], "there is no such file; there are "),
        ([".", "--watch"], "leave out either --watch or OTHER"),
        (["nothing.json"], "nothing.json: No such file or directory"),
        (["wrong.yaml"], "unknown loss 'mixent'; "),
    ],
)
def test_a_wrong_other_gets_one_message(
    suite: Path, write_suite: Write, tmp_path: Path, arguments: list[str], message: str
) -> None:
    write_suite("wrong", losses=["ce", "mixent"])
    arguments = [str(tmp_path / word) if word.endswith(("yaml", "json")) else word for word in arguments]
    done = bench("report", suite, *arguments, "--results", tmp_path / "results")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_watching_ends_with_the_last_run(suite: Path, tmp_path: Path) -> None:
    results, runs = tmp_path / "results", load(suite).runs()
    last = results / "runs" / runs[-1].id / "result.json"
    hidden = last.rename(tmp_path / "result.json")
    watcher = start("report", suite, "--results", results, "--watch")
    wait_for(lambda: (results / "small" / "report.md").exists())
    time.sleep(1)
    hidden.rename(last)
    shown, said = watcher.communicate(timeout=60)
    assert (watcher.returncode, said) == (0, "")
    assert shown.count("# Does it run?") == 2
    assert "- waiting: 1 runs" in shown.partition("# Does it run?")[2]
    assert "finished: all of this may still change" not in shown.rpartition("# Does it run?")[2]


def test_control_c_ends_watching_without_a_traceback(write_suite: Write, tmp_path: Path) -> None:
    results, path = tmp_path / "results", write_suite()
    finish_run(load(path).runs()[0], results, correct=90)
    watcher = start("report", path, "--results", results, "--watch")
    wait_for(lambda: (results / "small" / "report.md").exists())
    time.sleep(1)
    watcher.send_signal(signal.SIGINT)
    _, said = watcher.communicate(timeout=60)
    assert (watcher.returncode, said) == (130, "")


def test_what_reports_import_is_not_imported_by_quick_verbs(write_suite: Write, tmp_path: Path) -> None:
    code = (
        "import sys; from bench import cli\n"
        f"sys.argv = ['bench', 'plan', {str(write_suite())!r}, '--results', {str(tmp_path)!r}]\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith('bench.reports')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"
