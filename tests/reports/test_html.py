"""The page, in a real browser: its numbers, its manners, and what names from outside do to it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from browser import browser, complaints, open_page, overflow, serious_faults
from helpers import finish_run

from bench.reports.comparison import Report, report_and_agreement
from bench.reports.html import Figure, page
from bench.reports.html.runs import list_runs
from bench.results import RunFolder, frame
from bench.suite import Suite

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

__all__ = ["browser"]

Make = Callable[..., Suite]
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle id="a" r="4" cx="4" cy="4"/></svg>'
NASTY = [
    "<script>alert(1)</script>",
    "\"double\" & 'single'",
    "under_score_100%",
    "back\\slash",
    "emoji 🎉",
    "x" * 200,
    "</title></script><img src=x onerror=alert(2)>",
    "{{ 7 * 7 }}",
    "javascript:alert(3)",
]


def write_page(
    suite: Suite, results: Path, link: str = "", figures: tuple[Figure, ...] = ()
) -> tuple[Report, Path]:
    runs = frame(results, suite.cells)
    made, _ = report_and_agreement(suite, results, runs)
    path = results / suite.name / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(made, list_runs(suite, results, runs, link), figures), encoding="utf-8")
    return made, path


@pytest.fixture
def nasty(make_suite: Make, tmp_path: Path) -> tuple[Suite, Report, Path]:
    """Nine losses with names that break pages, one of them better, one worse; failed, missing; optimistic."""
    losses = [{"mae": {"label": name, "recipe": {"epochs": 3 + k}}} for k, name in enumerate(NASTY)]
    suite = make_suite(
        question='Is <b>any</b> & all "better"?',
        losses=["ce", *losses],
        models=["vgg5-tiny", "spinal-vgg5-tiny"],
        seeds=8,
        selection="test",
        analysis={"margin": 0.5},
    )
    draw = np.random.default_rng(1)
    for number, cell in enumerate(suite.cells):
        shift = {1: 40, 2: -300}.get(number, 0)
        for run in cell.runs:
            if number == 3 and run.seed == 0:
                RunFolder(tmp_path, run.id).fail("diverged: <img src=x onerror=alert(4)> in epoch 1")
            elif number != 4:
                finish_run(run, tmp_path, 1800 + shift + int(draw.integers(-9, 9)), 2000)
    made, path = write_page(
        suite,
        tmp_path,
        "https://mlflow.example/#/x?f=%27{run}%27",
        (Figure("Two <dots>", 'alt "text"', SVG),) * 2,
    )
    return suite, made, path


def embedded(path: Path) -> dict[str, Any]:
    [content] = re.findall(r'id="run-data">(.*?)</script>', path.read_text())
    data: dict[str, Any] = json.loads(content)
    return data


def texts(browser: Chrome, selector: str) -> list[str]:
    return [element.text for element in browser.find_elements("css selector", selector)]


def first(browser: Chrome, selector: str) -> WebElement:
    return browser.find_element("css selector", selector)


def press(browser: Chrome, *keys: str) -> None:
    """Keys for whatever has the focus."""
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def focus(browser: Chrome, element: WebElement) -> None:
    browser.execute_script("arguments[0].focus()", element)


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (360, False), (1400, True), (360, True)])
def test_the_page_has_no_faults(
    browser: Chrome, nasty: tuple[Suite, Report, Path], width: int, dark: bool
) -> None:
    open_page(browser, nasty[2], width, dark=dark)
    browser.execute_script("document.querySelectorAll('details').forEach(one => { one.open = true })")
    first(browser, ".opener").click()
    assert serious_faults(browser) == []
    assert overflow(browser) <= 0
    assert complaints(browser) == []
    ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", ground)[0]) < 100) == dark


def test_the_page_shows_the_numbers_of_the_report(browser: Chrome, nasty: tuple[Suite, Report, Path]) -> None:
    _, made, path = nasty
    open_page(browser, path)
    script = """return [...document.querySelectorAll('table.comparisons tbody tr')].map(row => [
        row.dataset.loss, row.dataset.verdict, row.closest('article').querySelector('h3').innerText,
        Object.fromEntries([...row.querySelectorAll('[data-field]')].map(
            cell => [cell.dataset.field, [cell.dataset.value, cell.textContent.trim()]]))])"""
    shown: dict[tuple[str, str], dict[str, list[str]]] = {}
    for loss, verdict, heading, fields in browser.execute_script(script):
        model = heading.split(" · ")[1].split()[0]
        if verdict:
            assert fields.get("verdict", [verdict])[0] == verdict
        shown.setdefault((model, loss), {}).update(fields)
    assert len(shown) == len(made.cells) == 20
    for cell in made.cells:
        fields = shown[cell.model, cell.loss]
        assert same(fields["mean"][0], cell.mean)
        if cell.mean is not None and cell.sd is not None:
            assert fields["mean"][1] == f"{100 * cell.mean:.2f} ± {100 * cell.sd:.2f}"
    for comparison in made.comparisons:
        fields = shown[comparison.model, comparison.loss]
        assert fields["verdict"][0] == comparison.verdict
        for name, (value, _) in fields.items():
            if name not in ("mean", "verdict"):
                assert same(value, getattr(comparison, name)), name
        if comparison.delta is not None:
            assert fields["delta"][1] == f"{100 * comparison.delta:+.2f}".replace("-", "−")
    sentences = browser.execute_script(
        "return [...document.querySelectorAll('.sentences li')].map(one => one.textContent)"
    )
    assert len(sentences) == len(made.comparisons)
    assert all(any(name in said for said in sentences) for name in NASTY)


def same(shown: str, value: float | None) -> bool:
    return shown == "" if value is None else float(shown) == value


def test_names_from_outside_stay_text(browser: Chrome, nasty: tuple[Suite, Report, Path]) -> None:
    _, made, path = nasty
    open_page(browser, path)
    assert first(browser, "h1").text == made.question
    assert browser.title == f"small: {made.question}"
    heads = browser.execute_script(
        "return [...document.querySelectorAll('article:first-of-type table:not(.statistics) tbody th')]"
        ".map(head => head.textContent)"
    )
    assert heads == ["ce", *NASTY]
    assert browser.find_elements("css selector", "img[src='x'], h1 b, td script") == []
    alts = [image.get_attribute("alt") for image in browser.find_elements("css selector", "figure img")]
    assert alts == ['alt "text"'] * 2
    loaded = "return [...document.querySelectorAll('figure img')].every(one => one.naturalWidth > 0)"
    assert browser.execute_script(loaded)
    options = [
        option.get_attribute("value") for option in browser.find_elements("css selector", "#run-loss option")
    ]
    assert options == ["", "ce", *NASTY]


def test_warnings_come_first(browser: Chrome, nasty: tuple[Suite, Report, Path]) -> None:
    open_page(browser, nasty[2])
    banners = texts(browser, "header .banner")
    assert "OPTIMISTIC" in banners[0]
    assert "151 of 160 runs are finished" in banners[1]
    assert texts(browser, "h3 .mark") == ["OPTIMISTIC"] * 2
    headline = first(browser, ".headline").text
    assert f"{NASTY[0]} (1 of 2 settings) is better than ce." in headline
    assert f"{NASTY[1]} (1 of 2 settings) is worse than ce." in headline


def test_every_run_is_there_with_its_traces(browser: Chrome, nasty: tuple[Suite, Report, Path]) -> None:
    suite, made, path = nasty
    data = embedded(path)
    rows = [dict(zip(data["fields"], row, strict=True)) for row in data["rows"]]
    assert [row["id"] for row in rows] == [run.id for cell in suite.cells for run in cell.runs]
    assert data["counts"] == {"done": 151, "waiting": 8, "failed": 1}
    for number, cell in enumerate(made.cells):
        found = [row["correct"] for row in rows if row["cell"] == number and row["state"] == "done"]
        assert found == cell.counts
    open_page(browser, path)
    first(browser, "#run-search").send_keys("FAILED onerror=alert(4)")
    [row] = browser.find_elements("css selector", ".runs tbody tr")
    failed = suite.cells[3].runs[0].id
    assert failed in row.text
    assert "diverged: <img src=x onerror=alert(4)> in epoch 1" in row.text
    links = [link.get_attribute("href") or "" for link in row.find_elements("css selector", "a")]
    assert links[0] == (path.parent.parent / "runs" / failed).as_uri() + "/"
    assert links[1] == f"https://mlflow.example/#/x?f=%27{failed}%27"
    first(browser, ".opener").click()
    details = first(browser, ".details").text
    assert "recipe.epochs\n5" in details
    assert "loss.name\nmae" in details


def test_sorting_and_filtering_work_from_the_keyboard(
    browser: Chrome, nasty: tuple[Suite, Report, Path]
) -> None:
    from selenium.webdriver.common.keys import Keys

    _, made, path = nasty
    open_page(browser, path)
    press(browser, Keys.TAB)
    assert browser.switch_to.active_element.text == "Skip to the answer"
    press(browser, Keys.ENTER, Keys.TAB)
    assert "answer" in browser.current_url

    head = first(browser, ".runs th[data-key=accuracy]")
    focus(browser, head.find_element("css selector", "button"))
    press(browser, Keys.ENTER)
    assert head.get_attribute("aria-sort") == "ascending"
    worst = min(count for cell in made.cells for count in cell.counts)
    column = ".runs tbody tr td:nth-child(7)"
    assert texts(browser, column)[0] == f"{100 * worst / 2000:.2f}"
    press(browser, Keys.SPACE)
    assert head.get_attribute("aria-sort") == "descending"
    best = max(count for cell in made.cells for count in cell.counts)
    assert texts(browser, column)[0] == f"{100 * best / 2000:.2f}"
    focus(browser, first(browser, "#run-next"))
    press(browser, Keys.ENTER, Keys.ENTER, Keys.ENTER)
    assert "151 to 160 shown" in first(browser, "#run-count").text
    assert texts(browser, column)[-1] == "—"  # what has no accuracy comes last, also downwards

    focus(browser, first(browser, "#run-model"))
    press(browser, "spinal")
    assert first(browser, "#run-count").text == "80 of 160 runs, 1 to 50 shown"

    delta = first(browser, "article th:nth-child(3) button")
    focus(browser, delta)
    press(browser, Keys.ENTER)
    order = texts(browser, "article:first-of-type table:not(.statistics) tbody th")
    known = {c.loss: c.delta for c in made.comparisons if c.model == "vgg5-tiny"}
    assert (
        order[:7] == sorted((k for k, v in known.items() if v is not None), key=lambda k: known[k] or 0)[:7]
    )

    focus(browser, first(browser, "#filter-verdict"))
    press(browser, "inf")
    shown = [
        row
        for row in browser.find_elements("css selector", "table.comparisons tbody tr")
        if row.is_displayed()
    ]
    assert len(shown) == sum(c.verdict == "inferior" for c in made.comparisons)


def test_the_theme_can_be_changed_and_is_kept(browser: Chrome, nasty: tuple[Suite, Report, Path]) -> None:
    open_page(browser, nasty[2])
    button = first(browser, "#theme")
    assert button.text == "Dark"
    button.click()
    scheme = "return getComputedStyle(document.documentElement).colorScheme"
    assert (button.text, browser.execute_script(scheme)) == ("Light", "dark")
    browser.refresh()
    assert browser.execute_script(scheme) == "dark"
    browser.execute_script("localStorage.clear()")


def test_paper_shows_what_is_folded_away(browser: Chrome, nasty: tuple[Suite, Report, Path]) -> None:
    open_page(browser, nasty[2], dark=True)
    browser.execute_script(
        "onbeforeprint = () => { window.printed = document.querySelector('table.runs').rows.length }"
    )
    browser.execute_cdp_cmd("Page.printToPDF", {})
    assert browser.execute_script("return window.printed") == 1 + 160  # all runs, and not the first of them
    assert len(texts(browser, ".runs tbody tr")) == 50
    folded = "return [...document.querySelectorAll('details')].filter(one => !one.open).length"
    assert browser.execute_script(folded) == 0
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not first(browser, "#run-search").is_displayed()
    assert browser.execute_script("return getComputedStyle(document.documentElement).colorScheme") == "light"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_five_thousand_runs_open_at_once(browser: Chrome, make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae", "gce", "focal", "sce"], seeds=1000)
    for cell in suite.cells:
        finish_run(cell.runs[0], tmp_path, 90)
    _, path = write_page(suite, tmp_path)
    assert len(embedded(path)["rows"]) == 5000
    open_page(browser, path)
    begin = time.perf_counter()
    browser.refresh()
    assert first(browser, "#run-count").text == "5,000 runs, 1 to 50 shown"
    first(browser, "#run-search").send_keys("sce seed=99")
    assert first(browser, "#run-count").text == "1 of 5,000 runs"
    assert time.perf_counter() - begin < 5  # 0.3 s on an idle machine


# ---------------------------------------------------------------------------------- without a browser


def test_the_page_is_one_file_that_asks_for_nothing(nasty: tuple[Suite, Report, Path]) -> None:
    text = nasty[2].read_text()
    assert "default-src &#39;none&#39;" in text
    assert not re.search(r'(src|href)="(?!data:|#|report\.json|cells\.csv|comparisons\.csv)', text)
    assert "@import" not in text
    assert text.count("<script") == 2
    assert re.findall(r' id="([^"]+)"', text) == list(dict.fromkeys(re.findall(r' id="([^"]+)"', text)))


def test_the_same_runs_give_the_same_page(nasty: tuple[Suite, Report, Path], tmp_path: Path) -> None:
    suite, _, path = nasty
    before = path.read_text()
    figures = (Figure("Two <dots>", 'alt "text"', SVG),) * 2
    assert (
        write_page(suite, tmp_path, "https://mlflow.example/#/x?f=%27{run}%27", figures)[1].read_text()
        == before
    )


COUNTS: list[tuple[Mapping[str, list[int]], str]] = [
    ({}, "Nothing can be said yet"),
    (
        {"ce": [900, 905, 899] * 3, "mae": [900, 906, 899] * 3},
        "No loss is shown to be better or worse than ce.",
    ),
    ({"ce": [900, 905, 899] * 3, "mae": [950, 957, 950] * 3}, "mae is better than ce."),
    (
        {"ce": [900, 905, 899] * 3, "mae": [850, 857, 850] * 3},
        "No loss is shown to be better than ce. mae is worse than ce.",
    ),
]


@pytest.mark.parametrize(("counts", "said"), COUNTS)
def test_the_answer_is_a_sentence(
    make_suite: Make, tmp_path: Path, counts: Mapping[str, list[int]], said: str
) -> None:
    suite = make_suite(losses=["ce", "mae"], seeds=9)
    for cell in suite.cells:
        for run, correct in zip(cell.runs, counts.get(cell.loss, []), strict=False):
            finish_run(run, tmp_path, correct, 1000)
    _, path = write_page(suite, tmp_path)
    assert said in path.read_text()


def test_a_suite_of_one_loss_has_a_page(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses="ce", baseline=None)
    _, path = write_page(suite, tmp_path)
    assert "There is no other loss to compare with." in path.read_text()


def test_a_run_names_the_log_of_its_last_attempt(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite()
    run = suite.cells[0].runs[0]
    folder = finish_run(run, tmp_path, 90)
    folder.start(run, {"host": "there", "job": "12_3"})
    jobs = tmp_path / suite.name / "jobs"
    for name in ("a/7_0_log.err", "b/12_3_0_log.err", "b/12_3_1_log.err"):
        (jobs / name).parent.mkdir(parents=True, exist_ok=True)
        (jobs / name).write_text(
            f"00:00:00 run {run.id if name != 'b/12_3_0_log.err' else '0' * 16} begins\n"
        )
    _, path = write_page(suite, tmp_path)
    data = embedded(path)
    assert data["rows"][0][data["fields"].index("log")] == "jobs/b/12_3_1_log.err"
    assert data["rows"][0][data["fields"].index("trained")] == "there, attempt 2"
