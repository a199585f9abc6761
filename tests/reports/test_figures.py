"""Figures: nothing cut off, the numbers of the report, the same bytes for the same runs."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from helpers import bench, finish_run
from hypothesis import given, settings
from hypothesis import strategies as st
from invented import invent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy import stats

from bench.errors import BenchError
from bench.reports.answer import cautions
from bench.reports.build import report
from bench.reports.figures import (
    FORMATS,
    STORIES,
    agreement,
    curves,
    draw,
    evidence,
    intervals,
    power,
    ranks,
    reliability,
    seeds,
    selection,
    style,
)
from bench.reports.figures.material import Material, NothingToDraw, Sketch
from bench.results.folder import RunFolder
from bench.sequential_design import as_it_stands
from bench.statistics.ranking import critical_difference_diagram
from bench.statistics.sequential import evidence as e_values
from bench.statistics.sequential import threshold
from bench.statistics.verdicts import Interval, Word
from bench.suite import Suite, load

SKETCHES = {
    story.__name__.rpartition(".")[2]: story.draw
    for story in (intervals, seeds, ranks, power, selection, curves, reliability, agreement)
}
NASTY = [
    "<script>alert(1)</script>",
    "$x_1$",
    "under_score",
    "_first",
    "100 %",
    "back\\slash",
    "🚀 away",
    "日本語",
    "{braces} \"and' quotes",
    "x" * 200,
    "one\nand\ttwo",
    "a\u0301\u200dccent",
    "label_smoothing(smoothing=0.1, temperature=2)",
    "label_smoothing(smoothing=0.2, temperature=2)",
]
DATASETS = [{name: {"label": f"set_{k}"}} for k, name in enumerate(["mnist", "kmnist", "qmnist", "cifar10"])]


def named(labels: list[str]) -> list[Any]:
    return ["ce", *({"focal": {"gamma": 1 + k / 10, "label": label}} for k, label in enumerate(labels))]


SUITES: dict[str, dict[str, Any]] = {
    "two": {"losses": ["ce", "mae"]},
    "twenty": {"losses": named([*NASTY, *"abcde"]), "models": ["vgg5-tiny", "spinal-vgg5-tiny"]},
    "sets": {"losses": ["ce", "mae", "gce"], "datasets": DATASETS, "selection": "test"},
    "seven": {"losses": named([*"abcdef"]), "selection": "validation", "analysis": {"margin": 2}},
    "nll": {
        "losses": ["ce", "mae", "gce"],
        "models": ["vgg5-tiny", "spinal-vgg5-tiny"],
        "metrics": ["nll", "accuracy"],
        "analysis": {"margin": 0.01},
    },
    "long": {
        "datasets": {"digits": {"label": "data " * 30}},
        "models": {"vgg5-tiny": {"label": "M" * 90}},
        "losses": [{"ce": {"label": "B" * 80}}, {"mae": {"label": "W" * 80}}],
        "baseline": "B" * 80,
    },
}
GAINS = {"mae": 0.01, "$x_1$": -0.7, "under_score": 0.02, "b": -0.03}


def made_up(folder: Path, seeds: int = 7, **changes: Any) -> Suite:
    """A suite file in a folder of its own."""
    values = {
        "name": "made-up",
        "question": "Which?",
        "datasets": "digits",
        "models": "vgg5-tiny",
        "baseline": "ce",
        "seeds": seeds,
        "recipe": {"epochs": 8},
        "selection": "last",
        "analysis": {"margin": 0.5},
        **changes,
    }
    folder.mkdir(exist_ok=True)
    (folder / "suite.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    return load(folder / "suite.yaml")


def material(folder: Path, **changes: Any) -> Material:
    suite = made_up(folder, **changes)
    invent(suite, folder, GAINS)
    return Material(report(suite, folder), suite, folder)


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Material]:
    folder = tmp_path_factory.mktemp("materials")
    return {name: material(folder / name, **changes) for name, changes in SUITES.items()}


@pytest.fixture(autouse=True)
def as_drawn() -> Iterator[None]:
    """As when figures are drawn; and what matplotlib warns of is wrong."""
    with style.paper(), warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def drawn_texts(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Text], np.ndarray]:
    """Lay out and draw: every text that was really drawn, and the pixels."""
    texts: list[Text] = []
    original = Text.draw
    style.lay_out(figure)
    with monkeypatch.context() as patch:
        patch.setattr(
            Text, "draw", lambda self, *args, **more: (texts.append(self), original(self, *args, **more))
        )
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return [text for text in texts if text.get_visible() and text.get_text()], np.asarray(
        canvas.buffer_rgba()
    )


@pytest.mark.parametrize("story", SKETCHES)
@pytest.mark.parametrize("name", SUITES)
def test_nothing_is_cut_off(
    materials: dict[str, Material], name: str, story: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if story == "ranks" and name != "sets":
        with pytest.raises(NothingToDraw, match="several data sets"):
            ranks.draw(materials[name])
        return
    for sketch in SKETCHES[story](materials[name]):
        texts, pixels = drawn_texts(sketch.figure, monkeypatch)
        width, height = sketch.figure.get_size_inches()
        assert width in (style.SINGLE, style.DOUBLE)
        assert height <= style.TALLEST
        page = sketch.figure.bbox
        for text in texts:
            box = text.get_window_extent()
            inside = page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
            assert inside, f"{story}: {text.get_text()!r} at {box.bounds} of {page.bounds}"
        edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert edge[:, :3].min() == 255, f"{story}: something touches the edge"
        for axes in sketch.figure.axes:
            assert axes.get_position().width * width > 0.05  # names have left room for what they name


@pytest.mark.parametrize("story", SKETCHES)
@pytest.mark.parametrize("name", ["two", "sets", "seven", "long", "nll"])
def test_no_text_lies_on_another(
    materials: dict[str, Material], name: str, story: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if story == "ranks" and name != "sets":
        return
    for sketch in SKETCHES[story](materials[name]):
        texts, _ = drawn_texts(sketch.figure, monkeypatch)
        boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
        for k, (one, box) in enumerate(boxes):
            for other, second in boxes[:k]:
                across = min(box.x1, second.x1) - max(box.x0, second.x0)
                down = min(box.y1, second.y1) - max(box.y0, second.y0)
                assert across < 2 or down < 4, f"{story}: {one!r} on {other!r}"


def test_cautions_fit_on_the_narrowest_figure(
    materials: dict[str, Material], monkeypatch: pytest.MonkeyPatch
) -> None:
    used = materials["two"]
    warned = used.report.model_copy(update={"scaled_down": True, "optimistic": True, "complete": False})
    for sketch in curves.draw(Material(warned, used.suite, used.results)):
        assert sketch.figure.get_figwidth() == style.SINGLE
        texts, _ = drawn_texts(sketch.figure, monkeypatch)
        [caution] = [text for text in texts if "SCALED DOWN" in text.get_text()]
        assert " ".join(caution.get_text().split()) == " ".join(cautions(warned))
        box, page = caution.get_window_extent(), sketch.figure.bbox
        assert page.x0 <= box.x0 < box.x1 <= page.x1


# ------------------------------------------------------------------------------------- numbers of the report


def lines(figure: Figure, **wanted: Any) -> list[np.ndarray]:
    """x and y of the lines with these properties, in all panels."""
    return [
        line.get_xydata().T
        for axes in figure.axes
        for line in axes.lines
        if all(getattr(line, f"get_{name}")() == value for name, value in wanted.items())
    ]


def only(sketches: list[Sketch]) -> Figure:
    [sketch] = sketches
    return sketch.figure


def texts_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def test_intervals_are_those_of_the_report(materials: dict[str, Material]) -> None:
    used = materials["seven"]
    figure = only(intervals.draw(used))
    here, new = lines(figure, linewidth=2.0), lines(figure, linewidth=0.9)
    compared = used.report.comparisons
    assert [tuple(x / 100) for x, _ in here] == [pytest.approx(ends(c.shown)) for c in compared]
    assert [tuple(x / 100) for x, _ in new] == [pytest.approx(ends(c.new_images.interval)) for c in compared]
    marks = [x[0] / 100 for x, _ in lines(figure, markersize=5.0)]
    assert marks == pytest.approx([c.delta for c in compared])
    said = texts_of(figure)
    for c in compared:
        assert f"{100 * c.delta:+.2f}".replace("-", "−") in said
        assert " to ".join(f"{100 * end:.2f}" for end in ends(c.shown)).replace("-", "−") in said
    assert [said.count(word) for word in Word] == [
        [c.verdict.word for c in compared].count(word) for word in Word
    ]
    levels = {c.shown.level for c in compared}
    assert levels == {0.9, 0.95}  # of those that are equivalent, and of all others
    assert "Δ and the interval that decided (90 % or 95 %)" in said


def test_without_a_verdict_none_is_drawn(materials: dict[str, Material]) -> None:
    used = materials["sets"]
    [sketch] = intervals.draw(used)
    said = texts_of(sketch.figure)
    assert said.count("no verdict") == len(used.report.comparisons) == 8
    assert not {*Word} & {*said}
    assert not any(word in sketch.alt for word in Word)
    assert sketch.alt.count("no verdicts") == 1  # of all of them
    marks = lines(sketch.figure, markersize=5.0, marker=intervals.MARKS[None].marker)
    assert len(marks) == 8
    here = lines(sketch.figure, linewidth=2.0)
    assert [tuple(x / 100) for x, _ in here] == [
        pytest.approx(ends(c.adjusted.interval)) for c in used.report.comparisons
    ]
    assert "Δ and its interval (95 %)" in said
    assert not any("decided" in text for text in said)


def test_a_loss_gone_wrong_leaves_room_for_the_others(materials: dict[str, Material]) -> None:
    used = materials["twenty"]
    [first, _] = intervals.draw(used)
    low, high = first.figure.axes[0].get_xlim()
    bad = next(c for c in used.report.comparisons if c.loss == "$x_1$")
    assert 100 * bad.delta < -40 < low < high < 25
    arrows = [x for x, _ in lines(first.figure, marker="<")]
    assert len(arrows) == 1
    assert low < arrows[0][0] < low + 0.1 * (high - low)
    assert f"{100 * bad.delta:.2f}".replace("-", "−") in [t.get_text() for t in first.figure.findobj(Text)]


def test_lines_join_the_same_seed(materials: dict[str, Material]) -> None:
    used = materials["two"]
    base, ours = used.report.cells
    thin = lines(only(seeds.draw(used)), linewidth=0.7)
    pairs = sorted((b, o) for b, o in zip(base.counts, ours.counts, strict=True))
    assert sorted(tuple(y) for _, y in thin) == [pytest.approx((b / 4.5, o / 4.5)) for b, o in pairs]


@pytest.mark.parametrize("name", ["seven", "sets", "twenty", "nll"])
def test_both_ends_of_the_lines_are_labelled_and_axes_agree(
    materials: dict[str, Material], name: str
) -> None:
    used = materials[name]
    limits: dict[str, set[tuple[float, float]]] = {}
    labelled, panels = [], 0
    for sketch in seeds.draw(used):
        for axes in sketch.figure.axes:
            panels += 1
            dataset, _, _ = axes.get_title().partition(" · ")
            limits.setdefault(dataset, set()).add(axes.get_ylim())
            for tick, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True):
                labelled.append((round(tick % 1, 2), label.get_text()))
    left = [text for at, text in labelled if at == 0.75]
    right = [text for at, text in labelled if at == 0.25]
    assert left == ["ce"] * len(used.report.comparisons)
    assert len(right) == len(left)
    if name != "twenty":
        assert right == [c.loss for c in used.report.comparisons]
    assert panels > 1 or name == "seven"
    assert limits.keys() == {group.dataset for group in used.groups.values()}
    assert len(set.union(*limits.values())) == 1


def test_data_sets_that_lie_far_apart_have_axes_of_their_own(materials: dict[str, Material]) -> None:
    used = materials["sets"]
    cells = tuple(
        cell.model_copy(update={"counts": tuple(count // 2 for count in cell.counts)})
        if cell.dataset == "set_3"
        else cell
        for cell in used.report.cells
    )
    apart = Material(used.report.model_copy(update={"cells": cells}), used.suite, used.results)
    [sketch] = seeds.draw(apart)
    axes = sketch.figure.axes
    limits = [panel.get_ylim() for panel in axes]
    assert len({*limits[:3]}) == 3
    assert limits[3][1] < min(low for low, _ in limits[:3])
    for panel in axes:  # and each shows its lines
        inside = [
            panel.get_ylim()[0] < y < panel.get_ylim()[1] for line in panel.lines for y in line.get_ydata()
        ]
        assert inside
        assert all(inside)


def test_lower_is_better_where_the_metric_says_so(materials: dict[str, Material]) -> None:
    used = materials["nll"]
    assert used.report.cells[0].metric == "nll"
    [sketch] = seeds.draw(used)
    [first, second] = sketch.figure.axes
    assert first.get_ylabel() == "test nll (nats, lower is better)"
    for axes, group in zip((first, second), used.groups.values(), strict=True):
        base, *others = group.cells
        signs = [np.sign(np.array(base.values) - cell.values) for cell in others]
        assert {1, -1} <= {*np.concatenate(signs)}
        said = [text.get_text() for text in axes.texts]
        assert said == [f"{(s > 0).sum()} better, {(s < 0).sum()} worse" for s in signs]
        for sign, look in seeds.LOOKS.items():
            drawn = [line.get_ydata() for line in axes.lines if line.get_color() == look["color"]]
            wanted = [
                (b, o)
                for s, cell in zip(signs, others, strict=True)
                for b, o, which in zip(base.values, cell.values, s, strict=True)
                if which == sign
            ]
            assert [tuple(y) for y in drawn] == [pytest.approx(pair) for pair in wanted]


def test_differences_are_in_the_unit_of_the_metric(materials: dict[str, Material]) -> None:
    used = materials["nll"]
    [sketch] = intervals.draw(used)
    here = lines(sketch.figure, linewidth=2.0)
    compared = used.report.comparisons
    assert [tuple(x) for x, _ in here] == [pytest.approx(ends(c.shown)) for c in compared]
    assert sketch.figure.axes[-1].get_xlabel() == "Δ nll against ce (nats, lower is better)"
    assert "margin: ±0.01 nats" in texts_of(sketch.figure)
    [band] = sketch.figure.axes[0].patches
    assert (band.get_x(), band.get_width()) == pytest.approx((-0.01, 0.02))
    figure = only(power.draw(used))
    assert figure.get_supylabel() == "detectable difference in nll (nats)"
    marks = [at for _, y in lines(figure, marker="o") for at in y]
    assert marks == pytest.approx([c.detectable for c in compared])


def test_epochs_are_about_accuracy_where_nothing_else_was_recorded(materials: dict[str, Material]) -> None:
    used = materials["nll"]
    figure = only(curves.draw(used))
    assert figure.get_supylabel() == "test error (%)"
    accuracies = {cell.key: cell.mean for cell in used.report.secondary.cells}
    drawn = [y[-1] for _, y in lines(figure, markersize=2.6)]
    assert drawn == pytest.approx([100 * (1 - mean) for mean in accuracies.values()])
    [sketch] = selection.draw(used)
    assert sketch.figure.axes[-1].get_xlabel() == "test accuracy (%), mean over seeds"
    assert sketch.alt.startswith("Mean test accuracy (%) of different epochs.")
    for (dataset, model, loss), mean in accuracies.items():
        assert selection.means(used, (dataset, model), loss).counts == pytest.approx(mean)
    without = [cell.model_copy(update={"n": 0, "mean": None, "values": ()}) for cell in used.report.cells]
    unknown = Material(used.report.model_copy(update={"cells": (*without,)}), used.suite, used.results)
    for story in (curves, selection, reliability, agreement):  # of runs that kept too little for the metric
        assert [sketch.alt for sketch in story.draw(unknown)] == [sketch.alt for sketch in story.draw(used)]


@pytest.mark.parametrize(("metric", "direction"), [("nll", 1), ("macro_f1", -1)])
def test_the_metric_that_chose_the_epoch_is_drawn(tmp_path: Path, metric: str, direction: int) -> None:
    """Made-up values after each epoch, which fall or rise until the last but one."""
    suite = made_up(tmp_path, losses=["ce", "mae"], metrics=[metric], selection="validation", seeds=4)
    invent(suite, tmp_path, epochs=5)
    path = {"nll": 0.5, "macro_f1": 0.95}[metric] + direction * np.array([0.3, 0.2, 0.1, 0.02, 0.05])
    for run in suite.runs():
        folder = RunFolder(tmp_path, run.id)
        values = path + run.seed / 1000
        folder.write_metrics(
            line | {f"test_{metric}": value}
            for line, value in zip(folder.metrics(), values.tolist(), strict=True)
        )
        result = json.loads((folder.path / "result.json").read_text())
        result["last"]["value"], result["best_test"]["value"] = values[-1], values[-2]
        (folder.path / "result.json").write_text(json.dumps(result))
    used = Material(report(suite, tmp_path), suite, tmp_path)
    middle = np.mean([run.seed for run in suite.runs()]) / 1000
    figure = only(curves.draw(used))
    wanted = path + middle if metric == "nll" else 100 - 100 * (path + middle)
    for _, y in lines(figure, markersize=2.6):
        assert y == pytest.approx(wanted)
    labels = {"nll": "test nll (nats, lower is better)", "macro_f1": "100 − test macro_f1 (%)"}
    assert figure.get_supylabel() == labels[metric]
    [sketch] = selection.draw(used)
    scale = {"nll": 1, "macro_f1": 100}[metric]
    for name, value in (("last", path[-1]), ("best", path[-2])):
        drawn = lines(sketch.figure, marker=selection.MARKS[name]["marker"])
        assert [x[0] for x, _ in drawn] == pytest.approx([scale * (value + middle)] * 2)
    counts = lines(sketch.figure, marker="o")
    assert [x[0] for x, _ in counts] == pytest.approx([scale * cell.mean for cell in used.report.cells])
    assert sketch.figure.axes[-1].get_xlabel().startswith(f"test {metric}")


@pytest.mark.parametrize("metric", ["accuracy", "nll"])
def test_evidence_ends_where_the_report_is(tmp_path: Path, metric: str) -> None:
    added = {"start": 6, "step": 4, "max": 10, "until": "decided", "looks": "whenever"}
    suite = made_up(tmp_path, seeds=added, losses=["ce", "mae", "gce"], metrics=[metric])
    now = as_it_stands(suite, tmp_path)
    invent(now, tmp_path, GAINS)
    used = Material(report(now, tmp_path), now, tmp_path)
    figure = only(evidence.draw(used))
    drawn = [y for x, y in lines(figure, linewidth=1.0) if len(x) > 2]
    compared = used.report.comparisons
    assert [len(y) for y in drawn] == [c.n for c in compared]
    assert [y[-1] for y in drawn] == pytest.approx([c.sequence.e for c in compared])


def test_planned_looks_have_no_evidence_to_draw(tmp_path: Path) -> None:
    added = {"start": 6, "step": 4, "max": 10, "until": "decided"}
    suite = made_up(tmp_path, seeds=added, losses=["ce", "mae", "gce"])
    now = as_it_stands(suite, tmp_path)
    invent(now, tmp_path, GAINS)
    with pytest.raises(NothingToDraw, match="looks are planned, and judged by their boundaries"):
        evidence.draw(Material(report(now, tmp_path), now, tmp_path))


def test_power_marks_this_suite_on_the_curve(materials: dict[str, Material]) -> None:
    used = materials["two"]
    [comparison] = used.report.comparisons
    figure = only(power.draw(used))
    [(n, at)] = lines(figure, marker="o")
    assert n[0] == comparison.n
    assert at[0] / 100 == pytest.approx(comparison.detectable)
    [(seeds_at, curve)] = lines(figure, linewidth=1.2)
    assert np.interp(comparison.n, seeds_at, curve) == pytest.approx(at[0])
    t = stats.t.isf(0.025, 49)  # the noncentral t, written out, at fifty seeds
    exact = power.detectable(np.array([50]), comparison.sd, 0.05)[0] / comparison.sd * 50**0.5
    assert stats.nct.sf(t, 49, exact) == pytest.approx(0.8)


def test_curves_end_where_the_report_is(materials: dict[str, Material]) -> None:
    used = materials["two"]
    drawn = lines(only(curves.draw(used)), markersize=2.6)
    assert [y[-1] for _, y in drawn] == pytest.approx([100 * (1 - cell.mean) for cell in used.report.cells])
    assert [x[-1] for x, _ in drawn] == [8, 8]


@pytest.mark.parametrize("name", ["two", "sets", "seven"])
def test_selection_shows_what_runs_recorded(materials: dict[str, Material], name: str) -> None:
    used = materials[name]
    for cell in used.report.cells:
        found = selection.means(used, (cell.dataset, cell.model), cell.loss)
        assert found.counts == pytest.approx(cell.mean)
        assert found.best >= max(found.counts, found.last)
    texts = {t.get_text() for sketch in selection.draw(used) for t in sketch.figure.findobj(Text)}
    assert f"{100 * used.report.cells[0].mean:.2f}" in texts
    assert any("OPTIMISTIC" in text for text in texts) == (name == "sets")


def test_ranks_are_those_of_the_statistics(materials: dict[str, Material]) -> None:
    used = materials["sets"]
    sums = [[sum(cell.counts) for cell in group.cells] for group in used.groups.values()]
    diagram = critical_difference_diagram(np.array(sums))
    figure = only(ranks.draw(used))
    ends = [x[0] for x, _ in lines(figure, linewidth=0.6) if len(x) == 3]
    assert sorted(ends) == pytest.approx(sorted(diagram.average_ranks))
    bars = [x for x, _ in lines(figure, linewidth=2.6)]
    assert len(bars) == len(diagram.cliques)
    assert f"CD {diagram.critical_difference:.2f}" in [t.get_text() for t in figure.findobj(Text)]


def test_reliability_pools_bins_and_averages_errors(materials: dict[str, Material]) -> None:
    used = materials["two"]
    runs = used.runs_of(("digits", "vgg5-tiny"), "mae")
    bins = reliability.pooled(used, ("digits", "vgg5-tiny"), "mae")
    assert bins is not None
    assert bins.images.sum() == runs.total.sum()
    assert np.nansum(bins.accuracy * bins.images) == pytest.approx(runs.correct.sum())
    assert bins.ece == pytest.approx(runs.ece.mean())


def test_agreement_counts_images_on_which_runs_differ(materials: dict[str, Material]) -> None:
    used = materials["two"]
    figure = only(agreement.draw(used))
    shown = figure.axes[0].images[0].get_array()
    right = []
    for cell in used.suite.cells:
        for run in cell.runs:
            folder = RunFolder(used.results, run.id)
            answers = folder.predictions(folder.result())
            right.append(answers.predicted == answers.labels)
    expected = 100 * np.array([[np.mean(a != b) for b in right] for a in right])
    np.fill_diagonal(expected, np.nan)
    np.testing.assert_allclose(np.ma.filled(shown, np.nan), expected)


def test_more_runs_than_lines_are_shown_as_means(
    materials: dict[str, Material], monkeypatch: pytest.MonkeyPatch
) -> None:
    used = materials["seven"]
    fine = only(agreement.draw(used)).axes[0].images[0].get_array()
    monkeypatch.setattr(agreement, "FINE", 10)
    coarse = only(agreement.draw(used)).axes[0].images[0].get_array()
    assert coarse.shape == (7, 7)
    assert coarse[0, 1] == pytest.approx(np.asarray(fine)[:7, 7:14].mean())
    assert coarse[2, 2] == pytest.approx(np.nanmean(np.ma.filled(fine, np.nan)[14:21, 14:21]))


@pytest.mark.parametrize("count", [1, 20])
def test_evidence_takes_what_a_sequential_design_has_seen(
    materials: dict[str, Material], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = np.random.default_rng(3)
    seen = {f"loss_{k}": e_values(draws.integers(k, k + 9, 40) - 4, 1000) for k in range(count)}
    bar = threshold(0.05, count)
    sketches = evidence.sketch(materials["two"].report, {("digits", "vgg5-tiny"): seen}, bar)
    figure = only(sketches)
    drawn = [y for x, y in lines(figure, linewidth=1.0) if len(x) > 2]
    assert len(drawn) == count
    np.testing.assert_allclose(drawn[0], np.maximum(seen["loss_0"].e, evidence.FLOOR))
    assert ("loss_0 with vgg5-tiny on digits reached it" in sketches[0].alt) == (seen["loss_0"].e[-1] >= bar)
    texts, _ = drawn_texts(figure, monkeypatch)
    assert all(text.get_window_extent().x0 >= 0 for text in texts)
    with pytest.raises(NothingToDraw):
        evidence.sketch(materials["two"].report, {}, bar)


# -------------------------------------------------------------------------------------------------- names


def test_names_are_no_formulas_and_lose_nothing(materials: dict[str, Material]) -> None:
    texts = [t for t in intervals.draw(materials["twenty"])[0].figure.findobj(Text) if t.get_text()]
    assert not any(text.get_parse_math() for text in texts)
    shown = {text.get_text() for text in texts}
    verbatim = {name for name in NASTY if name.isascii() and len(name) < 27 and "\n" not in name}
    assert verbatim <= shown
    assert {"[rocket] away", "one and two", "[U+65E5][U+672C][U+8A9E]"} <= shown
    assert sum("…" in name for name in shown) == 3  # 200 letters, and two that differ in one
    smoothed = sorted(name for name in shown if name.startswith("label_smooth"))
    assert [k for name, k in zip(smoothed, ("0.1", "0.2"), strict=True) if k in name] == ["0.1", "0.2"]


def test_a_name_that_begins_with_an_underscore_is_in_the_legend(tmp_path: Path) -> None:
    used = material(tmp_path, losses=named(["_first", "$x_1$"]))
    figure = only(curves.draw(used))
    said = [text.get_text().strip("\u2060") for text in figure.legends[0].get_texts()]
    assert said[:3] == ["ce", "_first", "$x_1$"]


def test_shortened_names_fit_and_differ() -> None:
    names = [f"{'w' * 50}{k}{'w' * 50}" for k in range(20)]
    short = style.fitted(names, 1.0)
    assert len(set(short)) == 20
    assert max(map(style.width_of, short)) <= 1.0


@given(names=st.lists(st.text(min_size=1, max_size=60), min_size=2, max_size=6, unique=True))
@settings(max_examples=50)
def test_whatever_is_told_apart_in_full_is_told_apart_in_short(names: list[str]) -> None:
    whole = [style.printable(name) for name in names]
    short = style.fitted(names, 0.6)
    assert [a == b for a, b in combinations(short, 2)] == [a == b for a, b in combinations(whole, 2)]


@given(
    values=st.lists(st.floats(-1e6, 1e6), max_size=12),
    rows=st.integers(1, 12),
    always=st.lists(st.floats(-10, 10), max_size=3),
)
def test_an_axis_shows_what_must_be_seen(values: list[float], rows: int, always: list[float]) -> None:
    low, high = style.window(values, rows, always)
    assert low < high
    assert all(low <= value <= high for value in always)
    if rows == 1:
        assert all(low <= value <= high for value in values)
    if values:
        assert low <= np.median([*values, *always]) <= high


def test_looks_differ_without_colour() -> None:
    every = [style.BASELINE, *style.LOOKS]
    assert len({look.marker for look in every}) == len(every)
    assert len({str(look.dashes) for look in every}) >= len(every) - 1
    marks = [(mark.marker, mark.filled) for mark in intervals.MARKS.values()]
    assert len(set(marks)) == len(marks)


# -------------------------------------------------------------------------------------------------- files


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_same_runs_give_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    used = material(tmp_path, losses=["ce", "mae"])
    drawn = draw(used.report, used.suite, tmp_path, tmp_path / "here")
    assert list(drawn.skipped) == ["evidence", "tuning", "ranks", "weights"]
    done = bench("report", tmp_path / "suite.yaml", "--results", tmp_path, "--figures", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["suite"] == "made-up"
    assert "not drawn: ranks: average ranks need several data sets" in done.stderr
    there = written(tmp_path / "made-up" / "figures")
    assert there.keys() == {f"{made.name}.{kind}" for made in drawn.drawings for kind in FORMATS}
    assert there == written(tmp_path / "here")


def test_files_are_what_papers_and_pages_take(materials: dict[str, Material], tmp_path: Path) -> None:
    used = materials["twenty"]
    with style.paper():
        sketch = intervals.draw(used)[0]
        paths = style.save(sketch.figure, tmp_path, "intervals", FORMATS, sketch.title, sketch.alt)
    pdf = paths["pdf"].read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert b"CreationDate" not in pdf
    svg = paths["svg"].read_text(encoding="utf-8")
    root = ElementTree.parse(io.StringIO(svg)).getroot()
    assert float(root.get("width", "").removesuffix("pt")) == pytest.approx(72 * style.DOUBLE)
    assert "<script" not in svg
    assert "<dc:date>" not in svg
    assert "&lt;script&gt;" in svg
    assert paths["png"].read_bytes().startswith(b"\x89PNG")


def test_alternative_texts_hold_the_numbers(materials: dict[str, Material]) -> None:
    used = materials["two"]
    [comparison] = used.report.comparisons
    alt = intervals.draw(used)[0].alt
    assert f"{100 * comparison.delta:+.2f}" in alt.replace("−", "-")
    assert comparison.verdict.phrase in alt
    assert "equivalent on this test set" in intervals.draw(materials["seven"])[0].alt
    assert f"{100 * comparison.shown.level:g} %" in alt
    for story in SKETCHES.values():
        if story is not ranks.draw:
            for sketch in story(materials["twenty"]):
                assert len(sketch.alt) < 2500
                assert "\n" not in sketch.alt


def test_an_empty_suite_has_no_figures_and_says_why(tmp_path: Path) -> None:
    suite = made_up(tmp_path, losses=["ce", "mae"])
    drawn = draw(report(suite, tmp_path), suite, tmp_path, tmp_path / "out")
    assert drawn.drawings == []
    assert drawn.skipped.keys() == {*STORIES}
    assert all(drawn.skipped.values())


def test_a_suite_under_way_says_so_on_its_figures(tmp_path: Path) -> None:
    suite = made_up(tmp_path, losses=["ce", "mae", "gce"], seeds=4)
    for cell, n in zip(suite.cells, (4, 2, 0), strict=True):
        for k, run in enumerate(cell.runs[:n]):
            finish_run(run, tmp_path, 90 + k * len(cell.loss))
    made_report = report(suite, tmp_path)
    drawn = draw(made_report, suite, tmp_path, tmp_path / "out", ["svg"])
    names = [made.name for made in drawn.drawings]
    assert names == ["intervals", "seeds", "selection", "agreement"]
    assert "metrics.jsonl" in drawn.skipped["curves"]
    assert "from before bins were kept" in drawn.skipped["reliability"]
    for made in drawn.drawings:
        [caution] = cautions(made_report)
        assert caution.startswith("6 of 12 runs are finished")
        assert made.alt.startswith(caution)
        drawn_words = re.findall(r"<!-- (.*?) -->", made.paths["svg"].read_text("utf-8"), re.S)
        assert caution in [" ".join(words.split()) for words in drawn_words]


def test_one_loss_alone_has_curves_and_nothing_to_compare(tmp_path: Path) -> None:
    used = material(tmp_path, losses=["ce"], seeds=2)
    drawn = draw(used.report, used.suite, tmp_path, tmp_path / "out", ["png"])
    assert [made.name for made in drawn.drawings] == ["selection", "curves", "reliability", "agreement"]
    assert drawn.skipped["intervals"] == "there is no loss beside the baseline"


def test_figures_of_before_are_removed_and_other_files_kept(tmp_path: Path) -> None:
    suite = made_up(tmp_path, losses=["ce", "mae"])
    out = tmp_path / "out"
    out.mkdir()
    for name in ("intervals.pdf", "curves-2.svg", "curves-mine.svg", "notes.txt"):
        (out / name).write_text("x")
    draw(report(suite, tmp_path), suite, tmp_path, out)
    assert list(written(out)) == ["curves-mine.svg", "notes.txt"]


def test_an_unknown_format_is_refused(materials: dict[str, Material], tmp_path: Path) -> None:
    used = materials["two"]
    with pytest.raises(BenchError, match=r"unknown format 'jpg'; allowed: pdf, png, svg"):
        draw(used.report, used.suite, used.results, tmp_path, ["jpg"])


def test_drawing_leaves_the_settings_of_others_alone(materials: dict[str, Material], tmp_path: Path) -> None:
    import matplotlib

    used = materials["two"]
    with matplotlib.rc_context({"font.size": 31, "axes.facecolor": "red"}):
        first = draw(used.report, used.suite, used.results, tmp_path / "a", ["svg"])
        assert matplotlib.rcParams["font.size"] == 31
    second = draw(used.report, used.suite, used.results, tmp_path / "b", ["svg"])
    assert [p.paths["svg"].read_bytes() for p in first.drawings] == [
        p.paths["svg"].read_bytes() for p in second.drawings
    ]


@pytest.mark.parametrize("command", [["--help"], ["plan", "SUITE"], ["status", "SUITE"], ["report", "SUITE"]])
def test_matplotlib_is_imported_by_who_draws_only(
    tmp_path: Path, command: list[str], write_suite: Callable[..., Path]
) -> None:
    arguments = [str(write_suite()) if word == "SUITE" else word for word in command]
    code = (
        "import sys\nfrom bench.cli import app\n"
        f"sys.argv = ['bench', *{arguments!r}]\n"
        "try:\n    app()\nexcept SystemExit:\n    pass\n"
        "sys.exit('matplotlib' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 0, done.stderr
