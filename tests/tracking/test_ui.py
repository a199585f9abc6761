"""MLflow's own UI as `bench ui` opens it, in a real browser: it shows what the report says.

What is MLflow's own (its layout, its panels, what its console says) is not looked at.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import yaml
from browser import browser, open_page
from helpers import bench
from invented import invent
from mirrored import client_of, mirrored
from servers import free_port, serving

from bench.suite import Suite, load

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

__all__ = ["browser"]

NASTY = '<script>alert(1)</script> "q" a_b__c 100% \\back 🎉'
SUITE = {
    "question": "Is <b>mix_ent</b> better & why?",
    "datasets": "digits",
    "models": ["vgg5-tiny", "spinal-vgg5-tiny"],
    "losses": ["ce", "mix_ent", {"mae": {"label": NASTY}}],
    "baseline": "ce",
    "seeds": 3,
    "recipe": {"epochs": 8},
}
WIDE, NARROW = 1900, 1100


@dataclass
class Shown:
    """A suite in MLflow's UI."""

    suite: Suite
    report: dict[str, Any]
    page: str
    own_page: str
    uri: str


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("ui")
    path, results = folder / "small.yaml", folder / "results"
    path.write_text(yaml.safe_dump(SUITE, allow_unicode=True), encoding="utf-8")
    suite = load(path)
    invent(suite, results, {"mix_ent": 0.02}, epochs=8)
    words = ("--results", results)
    assert bench("report", path, "--figures", *words, timeout=300).returncode == 0
    tracked = bench("track", path, *words, timeout=300)
    assert tracked.returncode == 0, tracked.stderr
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "bench",
        "ui",
        str(path),
        "--port",
        str(port),
        "--results",
        str(results),
    ]
    with serving(command, f"http://127.0.0.1:{port}", folder):
        said = (folder / "log").read_text()
        [own, page] = re.findall(r"^(?:the suite's own run|MLflow opens).* (http://\S+)$", said, re.MULTILINE)
        report = json.loads((results / "small" / "report.json").read_text())
        yield Shown(suite, report, page, own, f"sqlite:///{results / 'mlflow.db'}")


def wait_until(browser: Chrome, holds: Callable[[str], object], seconds: float = 60) -> str:
    """The text of the page, as soon as something holds of it."""
    deadline = time.monotonic() + seconds
    while True:
        text = str(browser.execute_script("return document.body.innerText"))
        if holds(text):
            return text
        assert time.monotonic() < deadline, text
        time.sleep(0.2)


def table(browser: Chrome) -> list[dict[str, str]]:
    """The rows of the table of runs: column → what is shown. A column that is out of sight is not there."""
    rows: dict[str, dict[str, str]] = {}
    script = """return [...document.querySelectorAll('.ag-row .ag-cell')].map(cell => [
        cell.closest('.ag-row').getAttribute('row-index'),
        cell.getAttribute('col-id'),
        cell.innerText.trim()])"""
    for row, column, text in browser.execute_script(script):
        rows.setdefault(row, {})[re.sub(r"^\w+\.`(.*)`$", r"\1", column)] = text
    return [rows[row] for row in sorted(rows, key=int)]


def epochs_of_curves(browser: Chrome, least: int) -> set[tuple[float, ...]]:
    """Where on the axis the points of curves lie, as soon as a chart has so many curves of eight points."""
    script = """return [...document.querySelectorAll('.js-plotly-plot')]
        .map(plot => plot.data.filter(line => line.x && line.x.length == 8).map(line => [...line.x]))"""
    deadline = time.monotonic() + 60
    while True:
        charts = [chart for chart in browser.execute_script(script) if len(chart) >= least]
        if charts:
            return {tuple(curve) for chart in charts for curve in chart}
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_the_table_shows_each_run_with_its_loss_model_seed_and_accuracy(
    browser: Chrome, shown: Shown
) -> None:
    open_page(browser, shown.page, WIDE)
    runs = len(shown.suite.runs()) + 1  # with the suite's own
    wait_until(browser, lambda text: f"{runs} matching runs" in text and "seed 2" in text)
    expected = {}
    for cell in shown.report["cells"]:
        for seed, correct in zip(cell["seeds"], cell["counts"], strict=True):
            expected[cell["loss"], cell["model"], str(seed)] = correct
    rows = table(browser)
    assert len(rows) > 10  # what fits on the screen
    accuracies = []
    for row in rows:
        if not row["loss"].strip("-"):
            continue  # the suite's own run, which has no accuracy, and so stands last
        key = row["loss"], row["model"], row["seed"]
        assert int(row["correct"]) == expected[key]
        accuracies.append(float(row["accuracy"]))
        assert accuracies[-1] == pytest.approx(expected[key] / 450)
        name = next(text for column, text in row.items() if "Run Name" in column or "run_name" in column)
        percent = f"{100 * expected[key] / 450:.2f}%"
        assert name.split("\n")[-1] == f"seed {key[2]} · {key[0]} · {percent} · {key[1]}"  # after its colour
    assert accuracies == sorted(accuracies, reverse=True)
    assert NASTY in {row["loss"] for row in rows}
    assert "Is <b>mix_ent</b> better & why?" in browser.execute_script("return document.body.innerText")


@pytest.mark.parametrize("mode", ["Model training", "GenAI"])
def test_opened_from_the_list_of_experiments_it_answers(browser: Chrome, shown: Shown, mode: str) -> None:
    """On a screen of 1,400 × 900, and without a link of ours; MLflow begins as for chats, and remembers."""
    open_page(browser, shown.page.split("#")[0] + "#/experiments", 1400)
    wait_until(browser, lambda text: "Model training" in text and "small" in text)
    for link in (mode, "small"):
        browser.execute_script(
            "[...document.querySelectorAll('a, button, label, span, div')].filter("
            "e => e.innerText && e.innerText.trim() === arguments[0]).pop().click()",
            link,
        )
        time.sleep(0.5)
    answer = shown.report["answer"].split(". ")[0]
    text = wait_until(browser, lambda text: answer in text)
    assert "Is <b>mix_ent</b> better & why?" in text
    where = browser.execute_script(
        "const box = [...document.querySelectorAll('p')].find(e => e.innerText.includes(arguments[0]))"
        ".getBoundingClientRect(); return [box.left, box.top, box.bottom]",
        answer,
    )
    assert 0 < where[0] < 700
    assert 0 < where[1] < where[2] < 300
    if mode == "GenAI":
        return  # it shows no runs there
    text = wait_until(browser, lambda text: "matching runs" in text and "seed 2" in text)
    assert f"{len(shown.suite.runs()) + 1} matching runs" in text
    names = [next(v for k, v in row.items() if "name" in k.lower()).split("\n")[-1] for row in table(browser)]
    assert names[0] == "small"  # the run that has the report
    assert len(names) > 10
    for name in names[1:]:
        assert re.fullmatch(r"seed \d · .+ · \d\d\.\d\d% · (spinal-)?vgg5-tiny", name), name


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_runs_are_grouped_by_loss_with_their_mean(browser: Chrome, shown: Shown, width: int) -> None:
    open_page(browser, shown.page.replace("bench-runs", "bench-by-loss"), width)
    text = wait_until(browser, lambda text: "Group: mix_ent" in text)
    assert "Group by: loss" in text
    assert all(f"Group: {loss}" in text for loss in ("ce", "mix_ent"))
    if width == WIDE:
        [mean] = [row["accuracy"] for row in table(browser) if "Group: mix_ent" in "".join(row.values())]
        cells = [cell for cell in shown.report["cells"] if cell["loss"] == "mix_ent"]
        assert float(mean.split()[0]) == pytest.approx(sum(c["mean"] for c in cells) / len(cells), abs=1e-4)


def test_the_views_are_offered_by_name(browser: Chrome, shown: Shown) -> None:
    open_page(browser, shown.page, WIDE)
    wait_until(browser, lambda text: "Best first" in text)
    browser.execute_script(
        "[...document.querySelectorAll('button')].find(b => b.innerText.trim() === 'Best first')"
        ".dispatchEvent(new PointerEvent('pointerdown', {bubbles: true, button: 0}))"
    )
    wait_until(browser, lambda text: all(f"By {what}" in text for what in ("loss", "model", "seed")))


def test_curves_of_all_losses_lie_over_the_same_epochs(browser: Chrome, shown: Shown) -> None:
    open_page(browser, f"{shown.page.replace('bench-runs', 'bench-by-loss')}&compareRunsMode=CHART", WIDE)
    text = wait_until(browser, lambda text: "test_accuracy" in text)
    assert all(chart in text for chart in ("train_loss", "train_accuracy", "test_loss"))
    assert epochs_of_curves(browser, least=3) == {tuple(range(1, 9))}


def test_the_page_that_compares_runs_knows_them_by_name(browser: Chrome, shown: Shown) -> None:
    parent, runs = mirrored(shown.uri)
    first = [run for run in runs.values() if re.match(r"seed 1 .* · vgg5-tiny$", run.info.run_name)]
    two = [run for run in first if run.data.params["loss"] != "ce"]
    ids = quote(json.dumps([run.info.run_id for run in two]))
    experiment = quote(json.dumps([parent.info.experiment_id]))
    server = shown.page.split("/#")[0]
    open_page(browser, f"{server}/#/compare-runs?runs={ids}&experiments={experiment}", WIDE)
    text = wait_until(browser, lambda text: "Comparing 2 Runs" in text and "test_accuracy" in text)
    assert all(run.info.run_name in text for run in two)
    metric = 'metric="test_accuracy"&plot_metric_keys=["test_accuracy"]&x_axis=step'
    open_page(
        browser, f"{server}/#/metric?runs={ids}&experiments={experiment}&{quote(metric, safe='=&')}", WIDE
    )
    assert epochs_of_curves(browser, least=2) == {tuple(range(1, 9))}


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_suites_own_run_has_the_answer_and_the_report(browser: Chrome, shown: Shown, width: int) -> None:
    open_page(browser, shown.own_page, width)
    text = wait_until(browser, lambda text: "Description" in text and "better & why?" in text)
    assert "Is <b>mix_ent</b> better & why?" in text
    verdicts = {comparison["verdict"] for comparison in shown.report["comparisons"]}
    html = browser.execute_script("return document.body.innerHTML")
    assert all(f">{verdict}</td>" in html for verdict in verdicts)  # Markdown became a table
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    open_page(browser, shown.own_page.replace("?", "/artifacts?"), width)
    text = wait_until(browser, lambda text: re.search(r"^results$", text, re.MULTILINE))
    assert re.search(r"^report\s+results$", text, re.MULTILINE)  # what somebody is to open stands first
    open_page(browser, shown.own_page.replace("?", "/artifacts/report/report.html?"), width)
    wait_until(browser, lambda text: "report.html" in text)
    parent, _ = mirrored(shown.uri)
    figures = {
        Path(f.path).name for f in client_of(shown.uri).list_artifacts(parent.info.run_id, "results/figures")
    }
    assert {"intervals.svg", "intervals.png", "intervals.pdf"} <= figures
