"""All suites of a folder as pages that lead to each other, from disk and from any server."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import browser, complaints, open_page, overflow  # noqa: F401 # a fixture
from helpers import as_asked, finish_run

import bench as api
from bench.preregistration import state

Command = Callable[..., tuple[int, str, str]]
Write = Callable[..., Path]


@pytest.fixture
def results(write_suite: Write, tmp_path: Path) -> Path:
    """Two suites with finished runs, one of them not as planned; one without; one in miniature."""
    folder = tmp_path / "results"
    for name, question, seeds in (("one", "Is <b>mix</b> better?", 6), ("two", "Does it train?", 2)):
        file = write_suite(name, question=question, seeds=seeds)
        for number, run in enumerate(as_asked(file, folder).runs()):
            finish_run(run, folder, correct=80 + number % 5)
        state(as_asked(file, folder), folder, None, frozen=name == "two")
        api.report(file, results=folder)
    write_suite("two", question="Does it train?", seeds=2, analysis={"alpha": 0.01})
    api.report(write_suite("none", seeds=1, losses="ce", recipe={"epochs": 9}), results=folder)
    api.report(tmp_path / "one.yaml", results=folder, scale="tiny")
    (folder / "published").mkdir()
    return folder


class Links(HTMLParser):
    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attributes if name in ("href", "src") and value]


def test_the_index_says_what_was_asked_and_found(results: Path, tmp_path: Path) -> None:
    index = api.site(results, output=tmp_path / "site")
    text = index.read_text("utf-8")
    said = json.loads((tmp_path / "site" / "index.json").read_text())
    by_name = {entry["suite"]: entry for entry in said["suites"]}
    assert by_name.keys() == {"one", "two"}
    assert by_name["one"]["plan"] == "kept, stated by the first bench run"
    assert by_name["two"]["plan"] == "stated, and not kept: 1 deviation"
    assert by_name["two"]["deviations"] == ["alpha: 0.01, planned 0.05"]
    assert by_name["one"]["runs"] == "12 of 12"
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", by_name["one"]["date"])
    assert "Is &lt;b&gt;mix&lt;/b&gt; better?" in text
    assert by_name["one"]["answer"] in text
    assert sorted(said["left_out"]) == [
        "none: no run of it has finished",
        "one-tiny: it is a suite in miniature, and answers nothing",
    ]


def test_every_link_leads_somewhere_inside(results: Path, tmp_path: Path) -> None:
    site = api.site(results, output=tmp_path / "site").parent
    pages = [*site.rglob("*.html")]
    assert len(pages) == 3
    for page in pages:
        for link in Links(page).found:
            if link.startswith(("#", "data:")):
                continue
            there = (page.parent / link).resolve()
            assert there.is_file(), f"{page}: {link}"
            assert there.is_relative_to(site.resolve())


def test_nothing_else_is_replaced(results: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    api.site(results, output=site)
    (site / "old.html").write_text("of another day")
    api.site(results, output=site)
    assert not (site / "old.html").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    (tmp_path / "link").symlink_to(mine)
    (tmp_path / "file").write_text("x")
    for taken in (mine, tmp_path / "link", tmp_path / "file", results):
        with pytest.raises(api.BenchError, match="nothing is overwritten"):
            api.site(results, output=taken)
    assert (mine / "thesis.tex").read_text() == "years of work"
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith(".")} == set()


def test_suites_whose_file_is_gone_are_shown_as_they_were(
    results: Path, tmp_path: Path, bench: Command
) -> None:
    (tmp_path / "two.yaml").unlink()
    (tmp_path / "one.yaml").unlink()
    (results / "one" / "report.html").unlink()  # as version control keeps it
    status, printed, said = bench("site", results, "--output", tmp_path / "site")
    assert (status, printed) == (0, f"{tmp_path / 'site' / 'index.html'}: 2 suites\n")
    assert "shown as it was reported" in said
    assert "# Is" in (tmp_path / "site" / "one" / "report.html").read_text()
    assert "As it was reported then" in (tmp_path / "site" / "index.html").read_text()
    (results / "two" / "report.json").write_text("[]")
    with pytest.raises(api.BenchError, match=r"two/report\.json: no report of `bench report`"):
        api.site(results, output=tmp_path / "site")


def test_bundles_and_several_folders(results: Path, tmp_path: Path) -> None:
    made = api.bundle(tmp_path / "one.yaml", results=results, output=tmp_path / "one.zip")
    site = api.site([results, made], output=tmp_path / "site").parent
    said = json.loads((site / "index.json").read_text())["suites"]
    assert sorted(entry["page"] for entry in said) == [
        "one-2/report.html",
        "one/report.html",
        "two/report.html",
    ]
    assert {entry["origin"] for entry in said} == {str(results), str(made)}


def test_wrong_requests(results: Path, tmp_path: Path, bench: Command) -> None:
    for arguments, words in (
        ((tmp_path / "nope",), "nope: there is no such folder"),
        ((tmp_path / "one.yaml",), "one.yaml: it is a file, expected a results folder, or a bundle"),
        ((results, "--output", tmp_path / "no" / "site"), "there is no folder"),
    ):
        status, printed, said = bench("site", *arguments)
        assert (status, printed) == (2, ""), said
        assert words in said


def test_it_opens_from_disk(results: Path, tmp_path: Path, browser) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    index = api.site(results, output=tmp_path / "site")
    shutil.rmtree(results)
    for width in (1400, 380):
        open_page(browser, index, width)
        assert overflow(browser) == 0
        assert complaints(browser) == []
    browser.find_element("link text", "Is <b>mix</b> better?").click()
    assert "Answer" in browser.find_element("tag name", "body").text
    assert complaints(browser) == []
    browser.find_element("link text", "All suites").click()
    assert browser.current_url == index.as_uri()
