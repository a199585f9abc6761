"""What steers a terminal reaches no terminal and no page, whichever way it comes and goes."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nasty import NASTY

import bench as house
from bench.results.folder import RunFolder
from bench.suite import Suite, load
from bench.tracking.record import read_record
from bench.visible import flat, visible, visible_json

EVIL = "evil \x1b]0;owned\x07\x1b[2J \x9b31m \u202egnp\u2066\x7f\r"
STEERING = {*map(chr, (*range(9), *range(11, 32), *range(127, 160))), *"\u061c\u200e\u200f\u202e\u2066"}
Bench = Callable[..., tuple[int, str, str]]


@given(st.text(st.characters()) | st.sampled_from(NASTY))
def test_nothing_steers_and_all_is_there(text: str) -> None:
    assert not STEERING & {*visible(text)}
    assert not STEERING & {*flat(text)}
    assert "\n" not in flat(text)
    assert visible(visible(text)) == visible(text)
    said = visible_json(json.dumps(text, ensure_ascii=False))
    assert not STEERING & {*said}
    assert json.loads(said) == text


def test_what_is_harmless_stays_as_it_is() -> None:
    for text in ("loss 😀👩‍🔬", "交叉熵损失函数", "אנטרופיה", "tab\tand\nline"):
        assert visible(text) == text


@pytest.fixture
def evil(write_suite: Callable[..., Path], tmp_path: Path) -> tuple[Path, Suite, Path]:
    """A suite whose question, label, failure, damage and log all hold what steers a terminal."""
    path = write_suite(question=f"Is it {EVIL}?", losses=["ce", {"mae": {"label": f"mae {EVIL}"}}])
    suite, results = load(path), tmp_path / "results"
    failed, damaged, *_ = suite.runs()
    RunFolder(results, failed.id).fail(f"it fell {EVIL}\nsecond line {EVIL}", f"Trace {EVIL}\n  {EVIL}")
    (results / "runs" / damaged.id).mkdir(parents=True)
    (results / "runs" / damaged.id / "result.json").write_text(json.dumps({EVIL: EVIL, "run_id": EVIL}))
    log = results / suite.name / "jobs" / "one" / "7_0_log.err"
    log.parent.mkdir(parents=True)
    log.write_text(f"it says {EVIL}\n")
    return path, suite, results


@pytest.mark.parametrize(
    "verb", [["status"], ["status", "--json"], ["plan"], ["plan", "--resolved"], ["report"], ["logs"]]
)
def test_no_verb_passes_it_on(bench: Bench, evil: tuple[Path, Suite, Path], verb: list[str]) -> None:
    path, suite, results = evil
    status, out, err = bench(verb[0], path, *verb[1:])
    assert status in (0, 1)
    assert "evil" in out
    assert not STEERING & {*out, *err}
    for made in ("report.html", "report.md", "report.tex") if verb == ["report"] else ():
        assert not STEERING & {*(results / suite.name / made).read_text()}, made


def test_neither_do_a_trace_and_an_error(bench: Bench, evil: tuple[Path, Suite, Path]) -> None:
    path, suite, _ = evil
    status, out, err = bench("logs", path, suite.runs()[0].id)
    assert status == 0
    assert "it fell evil <U+001B>]0;owned<U+0007>" in out
    assert not STEERING & {*out, *err}
    status, out, err = bench("report", path, f"{EVIL}.json")
    assert status == 2
    assert "evil" in err
    assert not STEERING & {*out, *err}


def test_one_reason_is_one_line(bench: Bench, evil: tuple[Path, Suite, Path]) -> None:
    """Else it could say that other runs are done."""
    _, out, _ = bench("status", evil[0])
    assert not [line for line in out.splitlines() if line.startswith("second line")]


def test_mlflow_gets_text(evil: tuple[Path, Suite, Path]) -> None:
    _, suite, results = evil
    run, cell = suite.runs()[0], suite.cells[0]
    RunFolder(results, run.id).fail(f"![x](http://spy/) {EVIL}", "```\n<img src=x>\n")
    record = read_record(RunFolder(results, run.id), run, cell, "name")
    assert record is not None
    note = record.tags["mlflow.note.content"]
    assert not STEERING & {*"".join(record.tags.values())}
    assert "![x](" not in note
    assert note.count("```") == 2


def test_the_command_prints_in_one_place() -> None:
    """``put``, ``say`` and ``print_document`` are where text from outside becomes harmless."""
    bench = Path(house.__file__).parent
    for file in [*(bench / "cli").glob("*.py"), *(bench / "front").glob("*.py"), bench / "visible.py"]:
        calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        printing = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"]
        assert len(printing) == {"shared.py": 2, "visible.py": 1, "app.py": 1}.get(file.name, 0), file
