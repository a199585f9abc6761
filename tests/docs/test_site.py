"""The site: it builds strictly, holds together as files on a disk, and loads nothing from another host."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from browser import browser, complaints, open_page  # noqa: F401 # a fixture
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import element_to_be_clickable
from selenium.webdriver.support.wait import WebDriverWait

import bench
from bench.reports.figures import STORIES

ROOT = Path(__file__).parents[2]
CONFIG = (ROOT / "mkdocs.yml").read_text("utf-8")
SOURCES = re.findall(r"^ +- [\w' ]+: (.+\.md)$", CONFIG, re.MULTILINE)


class Read(HTMLParser):
    """A page: its anchors, where its links lead, and what a browser fetches to show it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.anchors, self.links, self.fetched = {""}, set[str](), set[str]()
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors.add(given.get("id", ""))
        if "href" in given:
            (self.links if tag == "a" else self.fetched).add(given["href"])
        if "src" in given:
            self.fetched.add(given["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Read]:
    return {file: Read(file) for file in site.rglob("*.html")}


def test_every_page_is_there(pages: dict[Path, Read], site: Path) -> None:
    built = {file.relative_to(site).as_posix() for file in pages}
    made = {re.sub("README.md$", "index.html", source).replace(".md", ".html") for source in SOURCES}
    assert built == made | {"404.html"}
    assert len(SOURCES) > 25


def test_links_and_anchors_lead_somewhere(pages: dict[Path, Read]) -> None:
    lost = []
    for file, page in pages.items():
        # 404.html is shown at any address: it names files from the root of a server.
        for target in page.links | page.fetched if file.name != "404.html" else ():
            path, _, anchor = unquote(target).partition("#")
            if re.match(r"[a-z]+:", path):
                continue
            there = (file.parent / path).resolve() if path else file
            there = there / "index.html" if there.is_dir() else there
            if not there.is_file() or (there in pages and anchor not in pages[there].anchors):
                lost.append(f"{file.name}: {target}")
    assert not lost


def test_nothing_is_loaded_from_another_host(pages: dict[Path, Read], site: Path) -> None:
    fetched = {target for page in pages.values() for target in page.fetched}
    styles = "".join(file.read_text("utf-8") for file in site.rglob("*.css"))
    fetched |= {*re.findall(r"""(?:url\(|@import )["']?([^"')]+)""", styles)}
    assert len(fetched) > 10
    assert [target for target in fetched if re.match(r"(?!data:)([a-z]+:|//)", target)] == []


@pytest.mark.parametrize("source", SOURCES)
def test_a_page_begins_with_what_it_is_for(source: str) -> None:
    title, beginning = (ROOT / source).read_text("utf-8").split("\n\n")[:2]
    assert re.fullmatch("# .+", title)
    assert re.match(r"[\w*`\"\[]", beginning), beginning  # no table, list, heading, block or picture
    assert len(beginning.split()) >= 12, beginning


def test_the_reference_has_every_name_and_argument(pages: dict[Path, Read], site: Path) -> None:
    file = site / "docs" / "reference.html"
    assert {f"bench.{name}" for name in bench.__all__} <= pages[file].anchors
    text = file.read_text("utf-8")
    for name in bench.__all__:
        assert f"<code>bench.{name}</code>" in text, f"bench.{name}: the table of docs/reference.md"
        assert (getattr(bench, name).__doc__ or "").strip(), f"bench.{name}"
    assert not re.search(r":(?:class|func|mod|meth|attr|data):", text)  # no role of Sphinx is left


@pytest.mark.parametrize("name", sorted({*bench.__all__} - {"BenchError", "Suite"}))  # which have no list
def test_docstrings_name_arguments_that_there_are(name: str) -> None:
    """And every one of those, or another function that has them."""
    public = getattr(bench, name)
    text = inspect.getdoc(public) or ""
    said, _, _ = text.partition("Args:\n")[2].partition("\n\n")
    rows = re.findall(r"^    ([\w, ]+):", said, re.MULTILINE)
    named = {name for row in rows for name in row.split(", ")}
    given = set(inspect.signature(public).parameters)
    assert named <= given
    if "Arguments as for" not in text and len(given) > 1:
        assert given <= named | {*re.findall(r"(\w+): ", said)}


def test_the_gallery_has_every_figure() -> None:
    text = (ROOT / "docs" / "gallery.md").read_text("utf-8")
    shown = re.findall(r"^!\[.+\]\((?:\S+/)?([\w-]+)\.svg\)\n\n`(\w+)`", text, re.MULTILINE)
    assert sorted(shown) == sorted((story, story) for story in STORIES)


def test_it_opens_from_disk_and_can_be_searched(browser: Chrome, site: Path) -> None:  # noqa: F811
    open_page(browser, site / "docs" / "gallery.html")
    wide = "return [...document.images].map(image => image.decode().then(() => image.naturalWidth))"
    assert len(browser.execute_script(f"return Promise.all((() => {{ {wide} }})())")) == len(STORIES)
    soon = WebDriverWait(browser, 60)
    field = soon.until(element_to_be_clickable((By.CSS_SELECTOR, "input.md-search__input")))
    field.send_keys("Westfall")
    found = soon.until(lambda shown: shown.find_elements(By.CSS_SELECTOR, "a.md-search-result__link"))
    assert any("words.html" in str(link.get_attribute("href")) for link in found)
    assert complaints(browser) == []
