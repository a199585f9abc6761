"""Names from outside in Markdown and on a terminal: shown as they are, never acted on."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import finish_run
from hypothesis import given, settings
from hypothesis import strategies as st
from nasty import NASTY
from rich.cells import cell_len
from rich.console import Console

from bench.launch.status import status
from bench.reports import terminal
from bench.reports.comparison import report
from bench.reports.documents import Report
from bench.reports.terminal import draw, show, still_to_come
from bench.reports.text import escaped, flat, markdown, table, unescaped
from bench.results import RunFolder
from bench.suite import Suite

Make = Callable[..., Suite]


@settings(derandomize=True, deadline=None)
@given(st.text() | st.text("\\`*_{}[]()#+-.!|~$<>&ab1; "))
def test_markdown_shows_what_was_written(text: str) -> None:
    assert unescaped(escaped(text)) == flat(text)
    [cell] = re.findall(r"((?:\\.|[^|\\])*)\|", escaped(text) + " |")
    assert unescaped(cell.rstrip()) == flat(text)


@settings(derandomize=True, deadline=None)
@given(st.text(st.characters(categories=["Cc", "Cf", "Zl", "Zp", "Ll"])))
def test_a_name_is_one_line_and_steers_no_terminal(text: str) -> None:
    assert not set(flat(text)) & {*map(chr, range(32)), "\x7f", "\x9b", "\u202e", "\u2066", "\u2028"}


@pytest.mark.parametrize(
    "name", ["min_ent", "label_smoothing(smoothing=0.1)", "timm/resnet18.a1_in1k", "a & b > c"]
)
def test_ordinary_names_look_as_they_are(name: str) -> None:
    assert escaped(name) == name


@pytest.mark.parametrize(
    "name",
    ["<b>", "*x*", "`x`", "_x_", "__x__", "a__b", "[x](y)", "~~x~~", "&lt;", "$x$", "# x", "1. x", "- x"],
)
def test_markup_is_escaped(name: str) -> None:
    assert escaped(name) != name


# ------------------------------------------------------------------------------------------------ terminal


def drawn(text: str, *, colour: bool = False, width: int = 120) -> list[str]:
    out = io.StringIO()
    draw(
        text,
        Console(file=out, force_terminal=colour, color_system="standard" if colour else None, width=width),
    )
    return out.getvalue().splitlines()


@pytest.fixture
def made(make_suite: Make, tmp_path: Path) -> Report:
    losses = ["ce", *({"focal": {"gamma": 1 + k, "label": label}} for k, label in enumerate(NASTY))]
    suite = make_suite(losses=losses, seeds=8, selection="test")
    for number, cell in enumerate(suite.cells):
        for run in cell.runs[: 8 - number % 2]:
            finish_run(run, tmp_path, 900 + 20 * (number == 1) + (run.seed * 5 + number) % 7, 1000)
    return report(suite, tmp_path)


def test_everything_fits_100_columns_however_wide_the_terminal(made: Report) -> None:
    lines = drawn(markdown(made), width=300)
    assert max(map(cell_len, lines)) <= 100
    for name in NASTY:
        if cell_len(flat(name)) < 20:
            assert any(line.startswith(flat(name) + " ") for line in lines), name
    assert any("7/8" in line for line in lines)


def test_columns_stand_below_each_other_whatever_the_letters(made: Report) -> None:
    lines = drawn(markdown(made))
    start = next(k for k, line in enumerate(lines) if line.startswith("loss") and "seeds" in line)
    rows = lines[start + 2 : start + 3 + len(NASTY)]
    ends = {cell_len(row[: re.search(r"\d/8", row).end()]) for row in rows}  # type: ignore[union-attr]
    assert len(ends) == 1


def test_colour_adds_nothing_that_words_do_not_say(made: Report) -> None:
    plain, coloured = drawn(markdown(made)), drawn(markdown(made), colour=True)
    assert [re.sub(r"\x1b\[[\d;]*m", "", line) for line in coloured] == plain
    assert not any("\x1b" in line for line in plain)
    row = next(line for line in coloured if line.startswith("<script>"))
    assert "\x1b[1;32msuperior\x1b[0m" in row


def test_no_color_is_honoured(made: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    draw(markdown(made), Console(file=out, force_terminal=True, width=100))
    assert not re.search(r"\x1b\[[\d;]*3[0-7]", out.getvalue())


def test_elsewhere_than_on_a_terminal_it_is_markdown(
    made: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    show(markdown(made))
    assert capsys.readouterr().out == markdown(made) + "\n"


def test_long_lists_end_somewhere() -> None:
    lines = drawn("\n".join(f"- failed: run {k}" for k in range(1000)))
    assert len(lines) == terminal.NOTES + 1
    assert lines[-1] == "… and 960 more: see report.md"


def test_wide_letters_are_shortened_until_they_fit() -> None:
    rows = [("交" * 70 + letter, "1") for letter in "ab"]
    lines = drawn("\n".join(table(("loss", "n"), rows)))
    assert max(map(cell_len, lines)) <= 100
    assert len(set(lines[2:])) == 2


def test_what_is_still_to_come_is_said(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(seeds=4)
    runs = suite.runs()
    finish_run(runs[0], tmp_path, 90)
    with RunFolder(tmp_path, runs[1].id).claim():
        running, waiting = still_to_come(status(suite, tmp_path))
    assert running == "- running: 1 runs (digits(train_size=200, test_size=100) × vgg5-tiny × mix_ent 1)"
    assert waiting.startswith("- waiting: 6 runs (")
    for run in runs[1:]:
        finish_run(run, tmp_path, 90)
    assert still_to_come(status(suite, tmp_path)) == []
