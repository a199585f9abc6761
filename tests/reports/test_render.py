"""Blocks in Markdown and on a terminal: text from outside is shown as it is, never acted on; lines fit."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from helpers import finish_run
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from nasty import NASTY
from rich.cells import cell_len
from rich.console import Console

from bench.front.reporting import still_to_come
from bench.launch.status import status
from bench.reports.blocks import Block, Heading, Notes, Paragraph, plain_table
from bench.reports.build import report
from bench.reports.document import document
from bench.reports.formats import shortened
from bench.reports.render import terminal
from bench.reports.render.markdown import WIDTH, escaped, in_html, markdown
from bench.reports.render.terminal import draw, show
from bench.results.folder import RunFolder
from bench.suite import Suite
from bench.visible import flat

Make = Callable[..., Suite]
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
WORDS = [
    "a",
    "word",
    "x" * 30,
    "-",
    "#",
    "##",
    "1.",
    "12)",
    "=",
    "==",
    "---",
    ">",
    "+",
    "*",
    "|",
    "~~~",
    "```",
    "<b>",
]
TEXTS = (
    st.text()
    | st.text("\\`*_{}[]()#+-.!|~$<>&ab1;= ")
    | st.lists(st.sampled_from([*WORDS, "&lt;", "\\", "交" * 9]), max_size=60).map(" ".join)
)


def unescaped(text: str) -> str:
    """What Markdown shows for text without markup: undoes :func:`escaped`."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)


def parsed(text: str) -> tuple[list[str], list[str]]:
    """What somebody else's parser makes of Markdown: blocks, and the text of each piece of text in them."""
    tokens = PARSER.parse(text)
    pieces = [
        "".join(" " if child.type == "softbreak" else child.content for child in token.children or [])
        for token in tokens
        if token.type == "inline"
    ]
    markup = {child.type for token in tokens for child in token.children or []}
    assert markup <= {"text", "softbreak", "text_special"}
    return [token.type for token in tokens if token.type.endswith("_open")], pieces


# ------------------------------------------------------------------------------------------------ Markdown


@given(TEXTS)
def test_markdown_shows_what_was_written(text: str) -> None:
    assert unescaped(escaped(text)) == flat(text)
    [cell] = re.findall(r"((?:\\.|[^|\\])*)\|", escaped(text) + "|")
    assert unescaped(cell) == flat(text)


@settings(max_examples=300)
@given(TEXTS)
def test_every_block_is_read_back_as_what_it_is(text: str) -> None:
    assume(flat(text))
    for html in (False, True):
        blocks: dict[str, list[Block]] = {
            "heading": [Heading(text, 2)],
            "paragraph": [Paragraph(text)],
            "bullet_list list_item paragraph list_item paragraph": [Notes((text, "the other"))],
        }
        for kinds, [block] in blocks.items():
            opened, pieces = parsed(markdown([block], html=html))
            assert opened == [f"{kind}_open" for kind in kinds.split()]
            assert pieces == [flat(text), "the other"][: len(pieces)]
        if not flat(text).endswith("\\"):  # which GitHub reads before a bar, and this parser does not
            _, pieces = parsed(markdown([plain_table((text, "n"), [(text, "1"), ("b", "<.01")])], html=html))
            assert pieces == [flat(text), "n", flat(text), "1", "b", "<.01"]


@given(TEXTS)
def test_lines_are_wrapped_and_the_text_survives(text: str) -> None:
    for strong in (False, True):
        lines = markdown([Paragraph(text, strong=strong)]).rstrip("\n").split("\n")
        assert unescaped(" ".join(lines).strip("*") if strong else " ".join(lines)) == flat(text) or strong
        assert all(len(line) <= WIDTH or " " not in line for line in lines)
        assert not any(re.match(r"\s|[#>=+-]|\d+[.)](\s|$)", line) for line in lines)
    first, *others = markdown([Notes((text,))]).rstrip("\n").split("\n")
    assert first.startswith("-")
    assert all(line.startswith("  ") and (len(line) <= WIDTH or " " not in line.strip()) for line in others)
    assert unescaped(" ".join([first, *map(str.strip, others)])) == f"- {flat(text)}".strip()


@given(st.text(st.characters(categories=["Cc", "Cf", "Zl", "Zp", "Ll"])))
def test_a_name_is_one_line_and_steers_no_terminal(text: str) -> None:
    assert not set(flat(text)) & {*map(chr, range(32)), "\x7f", "\x9b", "\u202e", "\u2066", "\u2028"}


@pytest.mark.parametrize(
    "name",
    [
        "min_ent",
        "label_smoothing(smoothing=0.1)",
        "timm/resnet18.a1_in1k",
        "a & b > c",
        "1.5x",
        "C#",
        "at [0, 1]",
    ],
)
def test_ordinary_names_look_as_they_are(name: str) -> None:
    assert escaped(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *(
            "<b>",
            "*x*",
            "`x`",
            "_x_",
            "__x__",
            "a__b",
            "[x](y)",
            "[x][y]",
            "[x]: y",
            "[x] y",
            "~~x~~",
            "&lt;",
            "$x$",
            "# x",
            "1. x",
            "- x",
        ),
        *("> x", "12) x", "x #"),
    ],
)
def test_markup_is_escaped(name: str) -> None:
    assert escaped(name) != name


@pytest.mark.parametrize("name", ["<b>", "a<b", "\\<b>", "\\&lt;", "&lt;", "a & b"])
def test_where_markdown_becomes_html_no_tag_and_no_entity_is_left(name: str) -> None:
    assert not re.search(r"<|&(?!amp;|lt;)", in_html(name))
    assert parsed(in_html(name))[1] == [name]


# ------------------------------------------------------------------------------------------------- names


@settings(max_examples=400)
@given(
    st.lists(
        st.text(max_size=40)
        | st.text("abc交_.(=", min_size=6, max_size=60)
        | st.builds("torch.nn:CrossEntropyLoss(label_smoothing={})".format, st.integers(0, 99))
        | st.builds("{}:{}".format, st.sampled_from("ab"), st.text("xy", min_size=1, max_size=30)),
        max_size=12,
    ),
    st.integers(6, 40),
)
def test_short_names_are_told_apart_and_fit(names: list[str], room: int) -> None:
    short = shortened(names, room)
    assert short.keys() == {*names}
    assert len({*short.values()}) == len(short)
    for name, text in short.items():
        assert cell_len(text) <= room
        assert flat(text) == text
        if (
            cell_len(flat(name)) <= room
            and "…" not in flat(name)
            and len({*map(flat, names)}) == len({*names})
        ):
            assert text == flat(name)  # nothing is shortened without need
    assert shortened(names, room) == short == shortened([*names, *names], room)


@pytest.mark.parametrize(
    ("names", "room", "expected"),
    [
        (["ce", "min_ent"], 20, ["ce", "min_ent"]),
        (
            [f"torch.nn:CrossEntropyLoss(label_smoothing=0.{k})" for k in (2, 4)],
            20,
            ["CrossEntropyLoss…0.2", "CrossEntropyLoss…0.4"],
        ),
        (["torch.nn:CrossEntropyLoss", "ce"], 20, ["CrossEntropyLoss", "ce"]),
        (["a.b:CrossEntropyLoss", "c.d:CrossEntropyLoss"], 18, ["a.b:CrossEntropyL…", "c.d:CrossEntropyL…"]),
        (
            [f"label_smoothing(smoothing=0.{k}, temperature=2)" for k in (1, 2)],
            17,
            ["label_smoothi…0.1", "label_smoothi…0.2"],
        ),
        (
            [f"mine:Smoothed(alpha=0.{a}, beta=0.{b})" for a, b in ((1, 2), (1, 3), (2, 3))],
            12,
            ["Smoothed…0.2", "Smoothed…0.3", "Smoothed…#2"],  # in one word they are not told apart
        ),
        (["confidence_penalty", "ce"], 12, ["confidence_…", "ce"]),
        (["x" * 30 + "1", "x" * 30 + "2"], 8, ["xxxxxx…1", "xxxxxx…2"]),
        (["focal", "focal(gamma=2, alpha=0.25)"], 12, ["focal", "focal(gamma…"]),
    ],
)
def test_short_names_keep_their_beginning_and_what_differs(
    names: list[str], room: int, expected: list[str]
) -> None:
    assert [*shortened(names, room).values()] == expected


# ------------------------------------------------------------------------------------------------ terminal


def drawn(blocks: Iterable[Block], *, colour: bool = False, width: int = 120) -> list[str]:
    out = io.StringIO()
    draw(
        blocks,
        Console(file=out, force_terminal=colour, color_system="standard" if colour else None, width=width),
    )
    return out.getvalue().splitlines()


@pytest.fixture
def made(make_suite: Make, tmp_path: Path) -> list[Block]:
    losses = ["ce", *({"focal": {"gamma": 1 + k, "label": label}} for k, label in enumerate(NASTY))]
    suite = make_suite(losses=losses, seeds=8)
    for number, cell in enumerate(suite.cells):
        for run in cell.runs[: 8 - number % 2]:
            finish_run(run, tmp_path, 900 + 20 * (number == 1) + (run.seed * 5 + number) % 7, 1000)
    return document(report(suite, tmp_path)).blocks(everything=True)


def test_everything_fits_100_columns_however_wide_the_terminal(made: list[Block]) -> None:
    lines = drawn(made, width=300)
    assert max(map(cell_len, lines)) <= 100
    for name in NASTY:
        if cell_len(escaped(name)) < 15:
            assert any(line.startswith(flat(name) + " ") for line in lines), name
    assert any("7/8" in line for line in lines)


def test_columns_stand_below_each_other_whatever_the_letters(made: list[Block]) -> None:
    lines = drawn(made)
    start = next(k for k, line in enumerate(lines) if line.startswith("loss") and "seeds" in line)
    rows = lines[start + 2 : start + 3 + len(NASTY)]
    ends = {cell_len(row[: re.search(r"\d/8", row).end()]) for row in rows}  # type: ignore[union-attr]
    assert len(ends) == 1


def test_colour_adds_nothing_that_words_do_not_say(made: list[Block]) -> None:
    plain, coloured = drawn(made), drawn(made, colour=True)
    assert [re.sub(r"\x1b\[[\d;]*m", "", line) for line in coloured] == plain
    assert not any("\x1b" in line for line in plain)
    row = next(line for line in coloured if line.startswith("<script>") and "7/8" in line)
    assert "\x1b[1;32msuperior" in row


def test_no_color_is_honoured(made: list[Block], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    draw(made, Console(file=out, force_terminal=True, width=100))
    assert not re.search(r"\x1b\[[\d;]*3[0-7]", out.getvalue())


def test_elsewhere_than_on_a_terminal_it_is_markdown(
    made: list[Block], capsys: pytest.CaptureFixture[str]
) -> None:
    show(made)
    assert capsys.readouterr().out == markdown(made)


def test_long_lists_end_somewhere() -> None:
    lines = drawn([Notes(tuple(f"failed: run {k}" for k in range(1000)))])
    assert lines[0].rstrip() == "• failed: run 0"
    assert lines[terminal.NOTES :] == ["… and 960 more: see report.md", ""]


def test_what_is_still_to_come_is_said(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(seeds=4)
    runs = suite.runs()
    finish_run(runs[0], tmp_path, 90)
    with RunFolder(tmp_path, runs[1].id).claim():
        [notes] = still_to_come(status(suite, tmp_path), report(suite, tmp_path))
    running, waiting = notes.items
    assert running == "running: 1 runs (digits(train_size=200, test_size=100) × vgg5-tiny × mix_ent 1)"
    assert waiting.startswith("waiting: 6 runs (")
    for run in runs[1:]:
        finish_run(run, tmp_path, 90)
    assert still_to_come(status(suite, tmp_path), report(suite, tmp_path)) == []
