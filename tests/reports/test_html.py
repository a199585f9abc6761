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
from hypothesis import given
from hypothesis import strategies as st
from invented import invent

from bench.reports.blocks import Block, Figure, Heading, Paragraph, Table
from bench.reports.build import report_and_agreement
from bench.reports.columns import flat as fields_of
from bench.reports.document import document
from bench.reports.html import _folded, page
from bench.reports.html.runs import list_runs
from bench.reports.schema import Report
from bench.results.folder import RunFolder
from bench.results.reading import frame
from bench.statistics.verdicts import Word
from bench.suite import Suite
from bench.visible import flat, visible

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
    "drawkcab \u202eeht\u202c",
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
    """Ten losses with names that break pages, one of them better, one worse; failed, missing."""
    losses = [{"mae": {"label": name, "recipe": {"epochs": 3 + k}}} for k, name in enumerate(NASTY)]
    suite = make_suite(
        question='Is <b>any</b> & all "better"?',
        losses=["ce", *losses],
        models=["vgg5-tiny", "spinal-vgg5-tiny"],
        seeds=8,
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


def texts_of(browser: Chrome, selector: str) -> list[str]:
    """Also of what is folded away."""
    script = "return [...document.querySelectorAll(arguments[0])].map(one => one.textContent.trim())"
    found: list[str] = browser.execute_script(script, selector)
    return found


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
    script = """return [...document.querySelectorAll('#evidence table')].map(table => [
        [...table.rows].map(row => [...row.cells].filter(cell => !cell.matches('.axis'))
            .map(cell => cell.textContent.trim())),
        [...table.rows].slice(1).map(row => [row.dataset.loss, row.dataset.verdict,
            Object.fromEntries([...row.cells].map(cell => [cell.dataset.field, cell.dataset.value]))])])"""
    shown = browser.execute_script(script)
    tables = [block for block in document(made, page=True).tables if isinstance(block, Table)]
    assert len(shown) == len(tables) == 6
    known = {(c.model, c.loss): fields_of(c) for c in made.comparisons}
    means = {(cell.model, cell.loss): cell.mean for cell in made.cells}
    checked = 0
    for k, (table, (texts, rows)) in enumerate(zip(tables, shown, strict=True)):
        model = ("vgg5-tiny", "spinal-vgg5-tiny")[k // 3]
        heads = [column.heading for column in table.columns]
        lines = [
            [cell.text if column.words else cell.text.replace("-", "−")
             for column, cell in zip(table.columns, row.cells, strict=True)]
            for row in table.rows
        ]  # fmt: skip
        assert texts == [heads, *([flat(line[0]), *line[1:]] for line in lines)]
        for row, (loss, verdict, values) in zip(table.rows, rows, strict=True):
            assert (loss, verdict) == (flat(row.tags["loss"]), row.tags["verdict"])
            of = known.get((model, row.tags["loss"]), {})
            for field in values.keys() & of.keys() - {"verdict", "n"}:
                assert same(values[field], of[field]), field
                checked += 1
            assert k % 3 or same(values["mean"], means[model, row.tags["loss"]])
    assert checked > 200
    sentences = texts_of(browser, ".sentences li")
    assert len(sentences) == len(made.comparisons)
    assert all(sum(flat(name) in said for said in sentences) >= 2 for name in NASTY)
    for comparison in made.comparisons:
        if comparison.delta is not None:
            start = f"{flat(comparison.loss)} "
            delta = f"{100 * comparison.delta:+.2f} points"
            assert any(start in said and delta in said for said in sentences)


def same(shown: str, value: float | None) -> bool:
    return shown == "" if value is None else float(shown) == value


def test_names_from_outside_stay_text(browser: Chrome, nasty: tuple[Suite, Report, Path]) -> None:
    _, made, path = nasty
    open_page(browser, path)
    assert first(browser, "h1").text == made.question
    assert browser.title == f"small: {made.question}"
    heads = texts_of(browser, "#evidence table tbody th")
    assert heads[:11] == ["ce", *map(flat, NASTY)]
    assert heads[10] == "drawkcab <U+202E>eht<U+202C>"
    assert browser.find_elements("css selector", "img[src='x'], h1 b, td script") == []
    alts = [image.get_attribute("alt") for image in browser.find_elements("css selector", "figure img")]
    assert alts == ['alt "text"'] * 2
    loaded = "return [...document.querySelectorAll('figure img')].every(one => one.naturalWidth > 0)"
    assert browser.execute_script(loaded)
    options = [
        option.get_attribute("value") for option in browser.find_elements("css selector", "#run-loss option")
    ]
    assert options == ["", "ce", *map(visible, NASTY)]


def test_warnings_come_first(browser: Chrome, nasty: tuple[Suite, Report, Path]) -> None:
    _, made, path = nasty
    open_page(browser, path)
    [banner] = texts(browser, "header .banner")
    assert banner == "167 of 176 runs are finished, 1 failed: all of this may still change."
    headline = first(browser, ".headline").text
    assert f"{NASTY[0]} (1 of 2 settings) is better than ce" in headline
    assert f"{NASTY[1]} (1 of 2 settings) is worse than ce" in headline
    assert texts(browser, ".tally .badge") == [
        word for word in Word if any(c.verdict and c.verdict.word is word for c in made.comparisons)
    ]
    few = texts_of(browser, "#answer > .sentences .badge")
    assert few == ["superior", "inferior"]  # of many, only differences are told at once
    assert len(texts_of(browser, "#answer details .badge")) == len(made.comparisons) - len(few)


def test_an_epoch_chosen_on_the_test_set_gets_no_verdict(
    browser: Chrome, make_suite: Make, tmp_path: Path
) -> None:
    suite = make_suite(losses=["ce", "mae", "gce"], seeds=6, selection="test")
    for k, cell in enumerate(suite.cells):
        for run in cell.runs:
            finish_run(run, tmp_path, 900 + 30 * k + run.seed, 1000)
    made, path = write_page(suite, tmp_path)
    open_page(browser, path)
    assert texts(browser, "header .banner")[0].startswith("OPTIMISTIC: the epoch was chosen on the test set")
    assert texts(browser, "h3 .mark") == ["OPTIMISTIC"]
    assert "No verdict" in first(browser, ".headline").text
    said = texts(browser, ".sentences li")
    assert [sentence.partition(" points")[0] for sentence in said] == [
        "no verdict\nmae differs from ce by +3.00",
        "no verdict\ngce differs from ce by +6.00",
    ]
    assert texts(browser, ".badge") == ["no verdict"] * 2
    assert all(c.verdict is None and c.delta for c in made.comparisons)
    assert not browser.find_elements("css selector", ".tally, .plot.superior, .plot.inferior")
    assert len(browser.find_elements("css selector", ".plot")) == 2


def test_a_phone_shows_each_name_with_its_interval(
    browser: Chrome, nasty: tuple[Suite, Report, Path]
) -> None:
    open_page(browser, nasty[2], 360)
    seen = browser.execute_script("""return [...document.querySelectorAll('.plot')].map(plot => {
        const [name, axis] = plot.closest('tr').cells;
        return [plot.closest('.scroll').getBoundingClientRect().right, axis.getBoundingClientRect().right,
                plot.getBoundingClientRect().width, name.getBoundingClientRect().right,
                axis.getBoundingClientRect().left, axis.contains(plot)] })""")
    assert len(seen) == sum(c.delta is not None for c in nasty[1].comparisons)
    for edge, end, width, name, axis, inside in seen:
        assert inside
        assert end <= edge <= 360
        assert width > 120
        assert name <= axis + 1


def test_all_intervals_of_a_metric_have_one_scale(browser: Chrome, make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(
        losses=["ce", "mae", "gce"],
        models=["vgg5-tiny", "spinal-vgg5-tiny"],
        seeds=6,
        metrics=["accuracy", "nll"],
    )
    for k, cell in enumerate(suite.cells):
        for run in cell.runs:
            nll = 0.3 + 0.01 * k + 0.001 * (run.seed * (k + 1) % 7)
            finish_run(run, tmp_path, 900 + k * k + run.seed * (k + 2) % 5, 1000, nll=nll)
    made, path = write_page(suite, tmp_path)
    open_page(browser, path)
    heads = [re.findall(r"[\d.]+", text) for text in texts_of(browser, "th.axis")]
    assert heads[0] == heads[1] != heads[2] == heads[3]
    places = browser.execute_script("""return [...document.querySelectorAll('circle.estimate')].map(dot =>
        [dot.getAttribute('cx'), dot.closest('tr').querySelector('[data-field=delta]').dataset.value])""")
    drawn = [(float(place) - 50, float(delta)) for place, delta in places]
    assert len(drawn) == len(made.comparisons) + len(made.secondary.comparisons) == 8
    for four, reach in ((drawn[:4], float(heads[0][0]) / 100), (drawn[4:], float(heads[2][0]))):
        for place, delta in four:
            assert place == pytest.approx(50 * delta / reach, rel=0.05, abs=0.02)
    assert [c.delta for c in made.comparisons] == [delta for _, delta in drawn[:4]]
    assert texts(browser, "#evidence h3")[-1] == "Secondary metrics"
    assert all(said.startswith("secondary · nll · ") for said in texts(browser, "#evidence h4"))


def test_the_page_speaks_of_the_metric_that_decides(
    browser: Chrome, make_suite: Make, tmp_path: Path
) -> None:
    suite = make_suite(
        losses=["ce", "mae"], seeds=6, metrics=["nll", "accuracy"], analysis={"margin": {"nll": 0.01}}
    )
    for k, cell in enumerate(suite.cells):
        for run in cell.runs:
            finish_run(run, tmp_path, 900, 1000, nll=0.5 - 0.1 * k + 0.01 * (run.seed % 3))
    made, path = write_page(suite, tmp_path)
    open_page(browser, path)
    lead = first(browser, "#evidence .lead").text
    assert lead.startswith("Lower nll is better; ")
    assert "Δ is the difference to ce in nats" in lead
    assert "margin of ±0.01 nats" in lead
    assert [texts_of(browser, f"#evidence th[data-key={key}]") for key in ("mean", "delta")] == [
        ["nll nats", "accuracy %"],
        ["Δ", "Δ"],
    ]
    assert "mae is better than ce" in first(browser, ".headline").text
    assert texts_of(browser, ".runs th[data-key=value]") == ["nll nats"]
    assert texts_of(browser, "td[data-field=delta][data-value^='-']") == ["−0.1000"]
    data = embedded(path)
    assert data["values"] == [
        {str(seed): pytest.approx(value, rel=1e-5) for seed, value in zip(c.seeds, c.values, strict=True)}
        for c in made.cells
    ]
    column = texts_of(browser, ".runs tbody td:nth-child(7)")
    assert column == [f"{value:.4f}" for cell in made.cells for value in cell.values]


def test_what_a_mark_at_a_verdict_means_stands_beneath(
    browser: Chrome, make_suite: Make, tmp_path: Path
) -> None:
    suite = make_suite(losses=["ce", "mae"], seeds=9)
    for k, cell in enumerate(suite.cells):  # always the same image, and once another one
        for run in cell.runs:
            finish_run(run, tmp_path, 900 + k * (1 + (run.seed == 8)), 1000)
    made, path = write_page(suite, tmp_path)
    [comparison] = made.comparisons
    assert comparison.verdict is not None
    assert comparison.verdict.scope
    open_page(browser, path)
    assert texts(browser, "#evidence td .badge") == [f"{comparison.verdict.word}†"]
    assert texts(browser, "#answer .sentences .badge") == [comparison.verdict.word]
    assert texts(browser, "#evidence > p.lead")[-1].startswith(f"† {comparison.verdict.scope}")


def test_every_run_is_there_with_its_traces(browser: Chrome, nasty: tuple[Suite, Report, Path]) -> None:
    suite, made, path = nasty
    data = embedded(path)
    rows = [dict(zip(data["fields"], row, strict=True)) for row in data["rows"]]
    assert [row["id"] for row in rows] == [run.id for cell in suite.cells for run in cell.runs]
    assert data["counts"] == {"done": 167, "waiting": 8, "failed": 1}
    for number, cell in enumerate(made.cells):
        found = [row["correct"] for row in rows if row["cell"] == number and row["state"] == "done"]
        assert found == [*cell.counts]
    open_page(browser, path)
    assert not first(browser, "#run-search").is_displayed()
    first(browser, "#run-list summary").click()
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

    focus(browser, first(browser, "#run-list summary"))
    press(browser, Keys.ENTER)
    head = first(browser, ".runs th[data-key=value]")
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
    assert "151 to 176 shown" in first(browser, "#run-count").text
    assert texts(browser, column)[-1] == "—"  # what has no accuracy comes last, also downwards

    focus(browser, first(browser, "#run-model"))
    press(browser, "spinal")
    assert first(browser, "#run-count").text == "88 of 176 runs, 1 to 50 shown"

    focus(browser, first(browser, "#evidence th[data-key=delta] button"))
    press(browser, Keys.ENTER)
    order = texts_of(browser, "#evidence table tbody th")[:11]
    known = {flat(c.loss): c.delta for c in made.comparisons if c.model == "vgg5-tiny"}
    known = {loss: delta for loss, delta in known.items() if delta is not None}
    assert order[: len(known)] == sorted(known, key=lambda loss: known[loss])
    assert len(known) == 9

    focus(browser, first(browser, "#filter-verdict"))
    press(browser, "inf")
    shown = [row for row in browser.find_elements("css selector", "#evidence tbody tr") if row.is_displayed()]
    assert [row.get_attribute("data-loss") for row in shown] == [
        flat(c.loss) for c in made.comparisons if c.verdict and c.verdict.word is Word.INFERIOR
    ]
    assert first(browser, "#comparison-count").text == f"{len(shown)} rows"


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
    assert browser.execute_script("return window.printed") == 1 + 176  # all runs, and not the first of them
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
    first(browser, "#run-list summary").click()
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


DETAILS = st.booleans().flatmap(
    lambda detail: st.sampled_from(
        [
            Heading("Title", 2, detail=detail),
            Heading("Below", 3, detail=detail),
            Paragraph("Said.", detail=detail),
        ]
    )
)


@given(st.lists(DETAILS))
def test_details_are_folded_where_they_stand_and_nothing_is_lost(blocks: list[Block]) -> None:
    folded = _folded(blocks, "More")
    kept = [
        block for block in blocks if not (isinstance(block, Heading) and block.detail and block.level == 2)
    ]
    assert [block for _, row in folded for block in row] == kept
    for summary, row in folded:
        assert all(block.detail == bool(summary) for block in row)
    summaries = [summary for summary, _ in folded if summary]
    assert summaries.count("Title") == len(blocks) - len(kept)
    assert all(summary == "Title" or summary.startswith("More") for summary in summaries)


def test_the_statistics_are_folded_after_their_table(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae"], models=["vgg5-tiny", "spinal-vgg5-tiny"], seeds=5)
    invent(suite, tmp_path, {"mae": -0.1})
    made, path = write_page(suite, tmp_path)
    evidence = path.read_text().split('id="evidence"')[1].split("</section>")[0]
    order = re.findall(r"<(h3|table|/details|details)\b", evidence)
    assert order == ["h3", "table", "details", "table", "table", "/details"] * 2
    for model in ("vgg5-tiny", "spinal-vgg5-tiny"):
        name = next(cell.dataset for cell in made.cells)
        assert f"<summary>All statistics of {name} · {model}</summary>" in evidence


COUNTS: list[tuple[Mapping[str, list[int]], str]] = [
    ({}, "Nothing can be said yet"),
    (
        {"ce": [900, 905, 899] * 3, "mae": [900, 906, 899] * 3},
        "Nothing is shown to be better or worse than ce",
    ),
    ({"ce": [900, 905, 899] * 3, "mae": [950, 957, 950] * 3}, "mae is better than ce"),
    (
        {"ce": [900, 905, 899] * 3, "mae": [850, 857, 850] * 3},
        "Nothing is shown to be better than ce. mae is worse than ce",
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
    text = path.read_text()
    assert "Nothing is compared: ce is the only loss." in text
    assert 'class="axis"' not in text


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


def test_runs_that_saw_other_data_are_counted_apart(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae", "focal"], seeds=3)
    for cell in suite.cells:
        source = ("a" if cell.loss != "focal" else "b") * 16
        for run in cell.runs[:2]:
            finish_run(run, tmp_path, 90, data={"source": source, "used": "0" * 16})
    _, path = write_page(suite, tmp_path)
    text = " ".join(path.read_text().split())
    assert "9 planned: 4 done, 3 waiting, 2 other data." in text
    assert f"saw other data (digest {'b' * 16}) than run" in text
    assert "4 of 9 runs are finished, 2 saw other data: all of this may still change." in text
