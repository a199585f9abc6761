"""Where a suite's results lie is said when they are not found, and two suites of one name are told apart."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import finish_run

from bench.results.folder import RunFolder
from bench.suite import load

Write = Callable[..., Path]
Bench = Callable[..., tuple[int, str, str]]
NAME = "told-apart"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, beside two others."""
    for folder in ("here", "a", "b"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def one(place: Path, write_suite: Write) -> Path:
    return write_suite(f"a/{NAME}", question="The one?")


@pytest.fixture
def other(place: Path, write_suite: Write) -> Path:
    return write_suite(f"b/{NAME}", question="The other?", losses=["ce", "mae"])


def finish(path: Path, results: Path) -> None:
    for run in load(path).runs():
        finish_run(run, results, correct=90)


def owner(results: Path, name: str = NAME) -> str:
    found: str = json.loads((results / name / "suite.json").read_text())["file"]
    return found


# ------------------------------------------------------------------------------- where results lie


@pytest.mark.parametrize(
    ("verb", "expected"), [("status", 0), ("report", 0), ("cancel", 0), ("track", 0), ("logs", 2), ("ui", 2)]
)
def test_folder_that_is_not_there_is_said_by_whoever_looks(
    bench: Bench, one: Path, place: Path, verb: str, expected: int
) -> None:
    status, _, said = bench(verb, one, "--results", "results")
    assert status == expected
    assert said.splitlines()[0] == (
        f"{place / 'results'}: no run of '{NAME}' (the folder does not exist), nor in any results/ nearby; "
        "--results or BENCH_RESULTS says where they are"
    )
    assert said.count("BENCH_RESULTS") == 1


def test_folder_of_others_is_said_and_json_stays_clean(bench: Bench, one: Path, other: Path) -> None:
    results = one.parent.parent / "results"  # what BENCH_RESULTS names
    finish_run(load(other).runs()[-1], results, correct=90)
    assert load(other).runs()[-1] not in load(one).runs()
    status, printed, said = bench("status", one, "--json")
    assert (status, json.loads(printed)["runs"]["done"]) == (0, 0)
    assert said.startswith(f"{results}: no run of '{NAME}', nor in any results/ nearby; ")
    assert len(said.splitlines()) == 1


def test_nearest_results_are_above_the_suite_or_above_where_one_is(
    bench: Bench, one: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(one, place / "results")
    for folder in ("below", "below/it"):
        (place / folder).mkdir()
    monkeypatch.chdir(place / "below" / "it")
    _, _, said = bench("status", one, "--results", "results")
    assert said.startswith(
        f"{place / 'below' / 'it' / 'results'}: no run of '{NAME}' (the folder does not exist); "
    )
    assert f"; the nearest are in {place / 'results'}; " in said
    finish(one, one.parent / "results")  # nearer to the suite
    _, _, said = bench("status", Path("../../..") / "a" / one.name, "--results", "results")
    assert "/a/results; --results" in said
    assert len(said.splitlines()) == 1


def test_first_run_is_quiet_unless_another_folder_has_some(bench: Bench, one: Path, place: Path) -> None:
    status, _, said = bench("plan", one, "--results", "results")
    assert (status, said) == (0, "")
    (place / "file").write_text("")  # where no run can be written
    _, _, said = bench("run", one, "--results", "file")
    assert len(said.splitlines()) == 1
    finish(one, one.parent / "results")
    for verb, results in (("plan", "results"), ("run", "file")):
        _, _, said = bench(verb, one, "--results", results)
        assert said.startswith(f"{place / results}: no run of '{NAME}' (the folder does not exist); ")
        assert f"; the nearest are in {one.parent}/results; " in said


def test_nothing_is_said_where_there_is_anything(bench: Bench, one: Path, tmp_path: Path) -> None:
    for number, make in enumerate(
        (
            lambda results: finish_run(load(one).runs()[0], results, correct=90),
            lambda results: RunFolder(results, load(one).runs()[-1].id).fail("out of luck"),
            lambda results: (results / NAME / "jobs").mkdir(parents=True),
        )
    ):
        make(tmp_path / str(number))
        assert bench("status", one, "--results", tmp_path / str(number))[2] == ""


def test_tables_without_a_run_hide_nothing(bench: Bench, one: Path, place: Path) -> None:
    finish(one, one.parent / "results")
    for _ in range(2):  # the first writes a report of nothing into the wrong folder
        _, _, said = bench("report", one, "--results", "results")
        assert f"the nearest are in {one.parent}/results" in said
    assert (place / "results" / NAME / "report.md").exists()


def test_results_of_another_suite_of_that_name_are_not_the_nearest(
    bench: Bench, one: Path, other: Path, place: Path
) -> None:
    finish(one, place / "results")
    assert bench("report", one, "--results", place / "results")[0] == 0
    _, _, said = bench("status", other, "--results", "elsewhere")
    assert "nor in any results/ nearby" in said


# ------------------------------------------------------------------------------- whose folder it is


VERBS = ["status", "report", "logs", "cancel", "track", "ui", "plan", "run", "export"]


@pytest.mark.parametrize("verb", VERBS)
def test_another_suite_of_that_name_is_refused(
    bench: Bench, one: Path, other: Path, tmp_path: Path, verb: str
) -> None:
    results = tmp_path / "results"
    finish(one, results)
    assert bench("report", one)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    before_it, after_it = (["0"], ["-o", tmp_path / "out"]) if verb == "export" else ([], [])
    status, printed, said = bench(verb, *before_it, other, *after_it)
    assert (status, printed) == (2, "")
    assert said == (
        f"bench: {other}: name: '{NAME}' is taken: {results / NAME} is the folder of {one}, which asks "
        "'The one?'; this file asks 'The other?'. Give one of the two a name: of its own, or choose another "
        "results folder with --results or BENCH_RESULTS\n"
    )
    assert before == {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    assert bench("status", one)[0] == 0


@pytest.mark.parametrize("renamed", ["one", "other"])
def test_a_name_in_either_file_tells_them_apart(
    bench: Bench, one: Path, other: Path, tmp_path: Path, renamed: str
) -> None:
    assert bench("report", one)[0] == 0
    file = one if renamed == "one" else other
    file.write_text(f"name: mine\n{file.read_text()}")
    for path in (other, one):
        assert bench("report", path)[0] == 0
    kept = other if renamed == "one" else one
    assert (owner(tmp_path / "results"), owner(tmp_path / "results", "mine")) == (str(kept), str(file))


def test_two_files_in_one_folder_can_have_one_name(bench: Bench, place: Path, write_suite: Write) -> None:
    one, other = (write_suite(f"a/{file}", question=f"{file}?") for file in ("x", "y"))
    for path in (one, other):
        path.write_text(f"name: {NAME}\n{path.read_text()}")
    assert bench("report", one)[0] == 0
    assert f"'{NAME}' is taken" in bench("report", other)[2]


def test_another_results_folder_has_another_owner(bench: Bench, one: Path, other: Path, place: Path) -> None:
    assert bench("report", one)[0] == 0
    assert bench("report", other, "--results", "results")[0] == 0
    assert owner(place / "results") == str(other)
    assert bench("status", one, "--results", "results")[0] == 2


def test_whoever_writes_takes_the_folder_and_whoever_looks_does_not(
    bench: Bench, one: Path, tmp_path: Path
) -> None:
    finish(one, tmp_path / "results")
    for verb in ("status", "plan"):
        assert bench(verb, one)[0] == 0
    assert not (tmp_path / "results" / NAME).exists()
    for verb in (["run", "--tracking-uri", "http://127.0.0.1:9"], ["report"], ["track"]):
        assert bench(verb[0], one, *verb[1:])[0] == 0
        file = tmp_path / "results" / NAME / "suite.json"
        assert owner(tmp_path / "results") == str(one)
        file.unlink()


def test_a_suite_that_moved_or_changed_is_the_same(
    bench: Bench, one: Path, other: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    assert bench("report", one)[0] == 0
    one.write_text(one.read_text().replace("The one?", "The one, said better?"))
    assert bench("report", one)[0] == 0
    one.rename(one.parent.parent / "here" / one.name)
    assert bench("status", other)[0] == 0
    assert owner(results) == str(one)
    assert bench("report", other)[0] == 0
    assert owner(results) == str(other)


def test_a_copy_is_the_same_until_it_changes(bench: Bench, one: Path, tmp_path: Path) -> None:
    results, copy = tmp_path / "results", one.parent.parent / "b" / one.name
    assert bench("report", one)[0] == 0
    copy.write_text(f"# mine, too\n{one.read_text()}")
    for _ in range(2):
        for path in (copy, one):
            assert bench("report", path)[0] == 0
            assert bench("status", path, "--seeds", "1")[0] == 0
    assert owner(results) == str(one)
    copy.write_text(copy.read_text().replace("seeds: 2", "seeds: 3"))
    status, _, said = bench("report", copy)
    assert (status, "this file asks the same of something else" in said) == (2, True)
    assert bench("report", one)[0] == 0


def test_links_lead_to_the_same_suite(bench: Bench, one: Path, place: Path) -> None:
    assert bench("report", one)[0] == 0
    (place / one.name).symlink_to(one)
    (place / "folder").symlink_to(one.parent)
    for path in (place / one.name, Path(one.name), place / "folder" / one.name, Path("../a") / one.name):
        assert bench("report", path)[0] == 0
        one.write_text(f"# changed\n{one.read_text()}")


def test_the_same_words_about_other_code_are_another_suite(
    bench: Bench, place: Path, write_suite: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (
        write_suite(f"{folder}/{NAME}", losses=["ce", "loss_told_apart:f"]) for folder in ("a", "b")
    )
    for path in (one, other):
        (path.parent / "loss_told_apart.py").write_text("def f(logits, target): return logits.sum()\n")
    assert bench("report", one)[0] == 0
    assert bench("report", other)[0] == 0
    (other.parent / "loss_told_apart.py").write_text("def f(logits, target): return logits.mean()\n")
    status, _, said = bench("report", other)
    assert (status, "this file asks the same of something else" in said) == (2, True)
    (one.parent / "loss_told_apart.py").write_text("def f(logits, target): return logits.max()\n")
    assert bench("report", one)[0] == 0


def test_miniatures_have_owners_of_their_own(
    bench: Bench, one: Path, other: Path, write_suite: Write, tmp_path: Path
) -> None:
    assert bench("report", one, "--scale", "tiny")[0] == 0
    assert owner(tmp_path / "results", f"{NAME}-tiny") == str(one)
    status, _, said = bench("status", other, "--scale", "tiny")
    assert (status, f"'{NAME}-tiny' is taken" in said) == (2, True)
    assert bench("report", other)[0] == 0  # the whole suite is in no way
    full = write_suite(f"a/{NAME}-tiny", question="A miniature?")
    assert bench("status", full)[0] == 2


@pytest.mark.parametrize("content", ["[", "[1, 2]", "no: suite", None])
def test_an_owner_that_is_no_suite_any_more_owns_nothing(
    bench: Bench, one: Path, other: Path, tmp_path: Path, content: str | None
) -> None:
    assert bench("report", one)[0] == 0
    if content is None:
        (tmp_path / "results" / NAME / "suite.json").write_text("{")
    else:
        one.write_text(content)
    for verb in ("status", "report"):
        assert bench(verb, other)[0] == 0
    assert owner(tmp_path / "results") == str(other)


def test_a_path_that_is_no_text_owns_nothing(bench: Bench, one: Path, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    path = one.rename(folder / one.name)
    for _ in range(2):
        assert bench("report", path)[0] == 0
    assert "caf?" in owner(tmp_path / "results")
