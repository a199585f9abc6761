"""Answers to single images: kept with the report, and enough to make every comparison again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import again, alike, finish_run, flats
from invented import invent

from bench.comparisons.agreement import load
from bench.comparisons.analysis import Analysis, Images, Measured, analyse
from bench.comparisons.comparison import Key, Metric
from bench.comparisons.designs import Design, Scores, Unpaired
from bench.comparisons.runs import Joint, read_measured
from bench.reports import files
from bench.reports.build import describe, report, report_and_agreement
from bench.results import RunFolder, frame
from bench.statistics.agreement import differences
from bench.statistics.crossed import crossed_anova
from bench.statistics.multiplicity import holm
from bench.statistics.paired import paired_t
from bench.statistics.permutation import sign_flip
from bench.statistics.westfall_young import westfall_young
from bench.suite import Suite

Make = Callable[..., Suite]
IMAGES = 300
ROOT = Path(__file__).parents[2]


def answers(suite: Suite, results: Path) -> dict[tuple[str, int], np.ndarray]:
    """Finish all runs with images of different difficulty; which images each gets right."""
    draw = np.random.default_rng(5)
    chance = draw.beta(4, 0.4, size=IMAGES)
    right = {}
    for cell in suite.cells:
        for run in cell.runs:
            correct = draw.random(IMAGES) < chance
            right[cell.loss, run.seed] = correct
            folder = finish_run(run, results, int(correct.sum()), IMAGES)
            truth = np.zeros(IMAGES, dtype=np.uint8)
            again(folder, alike((~correct).astype(np.uint8), truth, folder.result().model_dump()))
    return right


@pytest.fixture
def suite(make_suite: Make) -> Suite:
    return make_suite(losses=["ce", "mae", "gce"], seeds=7, analysis={"margin": 2.0})


def test_matrices_are_kept_in_as_few_bytes_as_their_images_need(suite: Suite, tmp_path: Path) -> None:
    answers(suite, tmp_path)
    _, kept = report_and_agreement(suite, tmp_path)
    (tmp_path / "agreement.npz").write_bytes(kept)
    [measured], _, _ = load(tmp_path / "agreement.npz")
    [joint] = measured.images.values()
    assert isinstance(joint, Joint)
    assert joint.matrix.dtype == np.uint16  # of 300 images
    assert joint.matrix.max() <= IMAGES == joint.images


def test_both_intervals_are_those_of_the_statistics(suite: Suite, tmp_path: Path) -> None:
    right = answers(suite, tmp_path)
    made = report(suite, tmp_path)
    for found in flats(made.comparisons):
        table = np.stack([right[found.loss, s] for s in range(7)] + [right["ce", s] for s in range(7)])
        d = differences(table, np.arange(7), np.arange(7, 14)).astype(np.int64)
        t, crossed = paired_t(d.sum(axis=1), IMAGES), crossed_anova(d @ d.T, d.sum(axis=1), IMAGES)
        if found.verdict.startswith("equivalent"):
            assert (found.low, found.high, found.level) == (*t.interval(0.9), 0.9)
            assert found.p_decided == found.p_equivalence
        else:
            assert (found.low, found.high, found.level) == (t.low, t.high, 0.95)
            assert found.p_decided == found.p_adjusted
        assert (found.delta, found.p) == (t.estimate, t.p)
        assert (found.low_new_images, found.high_new_images) == (crossed.low, crossed.high)
        assert (found.p_new_images, found.floor) == (crossed.p, crossed.floor)
        assert found.discordant == np.abs(d).sum() / 7
        assert found.p_sign_flip == sign_flip(d.sum(axis=1)).p
    columns = [[right[loss, s].sum() - right["ce", s].sum() for s in range(7)] for loss in ("mae", "gce")]
    family = westfall_young(np.array(columns, dtype=float).T)
    assert [c.p_adjusted for c in flats(made.comparisons)] == family.p_adjusted.tolist()
    assert {c.adjusted_by for c in flats(made.comparisons)} == {"westfall-young"}


def test_the_same_runs_give_the_same_bytes(suite: Suite, tmp_path: Path) -> None:
    answers(suite, tmp_path)
    made, agreement = report_and_agreement(suite, tmp_path)
    assert report_and_agreement(suite, tmp_path) == (made, agreement)
    written = {path.name: path for path in files.write(made, tmp_path / "out", agreement)}
    assert written["agreement.npz"].read_bytes() == agreement


def made_again(path: Path) -> Analysis:
    """All comparisons of an ``agreement.npz``: of the first metric, then of the others."""
    measured, baseline, design = load(path)
    first = analyse(measured[:1], baseline, design)
    others = analyse(measured[1:], baseline, design.secondary(first.standings))
    return replace(first, comparisons=(*first.comparisons, *others.comparisons))


@pytest.mark.parametrize(
    "metrics", [["accuracy"], ["accuracy", "nll", "macro_f1", "ece"], ["brier", "accuracy"]]
)
@pytest.mark.parametrize("finished", [42, 26, 9, 0])
def test_comparisons_can_be_made_again_without_predictions(
    make_suite: Make, tmp_path: Path, finished: int, metrics: list[str]
) -> None:
    suite = make_suite(
        losses=["ce", "mae", "gce"], models=["vgg5-tiny", "spinal-vgg5-tiny"], seeds=7, metrics=metrics
    )
    invent(suite, tmp_path, {"gce": 0.05}, images=IMAGES)
    for number, run in enumerate(suite.runs()):
        if number >= finished:
            (RunFolder(tmp_path, run.id).path / "result.json").unlink()
    RunFolder(tmp_path, suite.runs()[-1].id).fail("it broke")
    made, agreement = report_and_agreement(suite, tmp_path)
    (tmp_path / "agreement.npz").write_bytes(agreement)
    measured, baseline, design = load(tmp_path / "agreement.npz")
    assert (baseline, design) == ("ce", Design(0.05))
    assert [series.metric for series in measured] == [*describe(suite)]
    comparisons = [*made.comparisons, *made.secondary.comparisons]
    assert [replace(c, note="") for c in made_again(tmp_path / "agreement.npz").comparisons] == [
        replace(c, note="") for c in comparisons
    ]
    if finished == 42:  # not even the intervals on new images take the answers, where there are any
        there = {c.metric for c in comparisons if c.new_images and c.new_images.interval}
        assert there == {*metrics} - {"ece"}
    values = {
        (series.metric.name, *key): [count / (scores.total or 1) for count in scores.counts.values()]
        for series in measured
        for key, scores in series.cells.items()
    }
    assert values == {(c.metric, *c.key): [*c.values] for c in (*made.cells, *made.secondary.cells)}


@pytest.mark.parametrize(
    "folder", sorted((ROOT / "results").glob("*/agreement.npz")), ids=lambda p: p.parent.name
)
def test_what_results_publishes_is_what_the_statistics_say_today(folder: Path) -> None:
    published = json.loads((folder.parent / "report.json").read_text())
    said = [*published["comparisons"], *published["secondary"]["comparisons"]]
    for found, as_published in zip(flats(made_again(folder).comparisons), said, strict=True):
        assert vars(found) == {
            key: pytest.approx(v) if isinstance(v, float) else v for key, v in as_published.items()
        }


def test_runs_without_their_predictions_do_not_count_and_say_so(suite: Suite, tmp_path: Path) -> None:
    answers(suite, tmp_path)
    lost = RunFolder(tmp_path, suite.cells[1].runs[3].id).path / "predictions.npz"
    lost.unlink()
    made = report(suite, tmp_path)
    assert made.comparisons[0].missing == (3,)
    assert made.comparisons[0].new_images is not None
    assert made.comparisons[0].new_images.p is not None  # of the six pairs that are whole
    assert any("predictions.npz: it is missing" in note for note in made.notes)


def test_runs_tested_on_other_images_get_no_interval_for_new_ones(suite: Suite, tmp_path: Path) -> None:
    answers(suite, tmp_path)
    folder = RunFolder(tmp_path, suite.cells[1].runs[3].id)
    made = folder.result()
    assert made is not None
    truth = np.ones(IMAGES, dtype=np.uint8)  # as many correct answers, of other classes
    again(folder, alike((np.arange(IMAGES) < made.correct).astype(np.uint8), truth, made.model_dump()))
    found = report(suite, tmp_path)
    assert [c.new_images for c in found.comparisons] == [None, None]
    assert all(c.p is not None for c in found.comparisons)  # counts are all that this takes
    [note] = [note for note in found.notes if "new images" in note]
    assert "tested on other images" in note
    assert folder.run_id in note
    runs, planned = frame(tmp_path, suite.cells), [(cell.key, cell.seeds) for cell in suite.cells]
    [measured], _ = read_measured(runs, tmp_path, suite.metrics, describe(suite), planned)
    assert measured.images == {}


def scores(counts: list[int], total: int = 1000) -> Scores:
    return Scores(dict(enumerate(counts)), total)


BASE = [900, 910, 905, 915, 890, 905, 899]
FIXED = Design(0.05)
ACCURACY = Metric("accuracy", "%", True, 0.1, counted=True)


def analysed(
    cells: Mapping[Key, Scores], design: Design | None = None, images: Images | None = None
) -> Analysis:
    where = {} if images is None else {("", ""): images}
    return analyse([Measured(ACCURACY, cells, where)], "ce", design or Design(0.05))


def test_too_many_seeds_to_flip_are_adjusted_by_holm() -> None:
    draw = np.random.default_rng(1)
    arms = {name: scores(draw.integers(880, 920, 2001).tolist()) for name in ("ce", "a", "b")}
    found = analysed({("", "", name): arm for name, arm in arms.items()})
    assert found.adjustment.by == "Holm"
    assert {c.adjusted.by for c in found.comparisons} == {"holm"}
    assert [c.adjusted.p for c in found.comparisons] == holm([c.p for c in found.comparisons]).tolist()


def test_unpaired_runs_are_adjusted_by_holm_and_need_not_share_seeds() -> None:
    cells = {
        ("", "", "ce"): scores(BASE),
        ("", "", "a"): scores([950, 960, 955]),
        ("", "", "b"): scores([930]),
    }
    found = analysed(cells, Unpaired(0.05))
    a, b = flats(found.comparisons)
    assert (a.n, a.n_baseline, a.adjusted_by, a.verdict) == (3, 7, "holm", "superior on this test set")
    assert a.correlation is a.p_sign_flip is a.d_z is None
    assert (b.p, b.verdict) == (None, "undecided")
    assert "one run" in b.note


def test_a_joint_matrix_without_one_of_the_runs_is_not_used() -> None:
    cells = {("", "", "ce"): scores(BASE), ("", "", "a"): scores([901, *BASE[1:]])}
    [found] = analysed(cells, images=Joint({("ce", s): s for s in range(7)}, np.diag(BASE), 1000)).comparisons
    assert found.new_images is None
    assert found.p is not None


def test_without_a_baseline_for_its_model_a_cell_is_not_compared_and_says_so() -> None:
    found = analysed({("d", "vgg", "ce"): scores(BASE), ("d", "resnet", "mae"): scores(BASE)})
    assert found.comparisons == ()
    assert found.notes == ("d × resnet × mae: not compared: there is no ce with the same data set and model",)


def test_what_few_seeds_cannot_show_is_said() -> None:
    cells = {("", "", "ce"): scores(BASE[:5]), ("", "", "a"): scores([c - 60 + c % 3 for c in BASE[:5]])}
    found = analysed(cells)
    [comparison] = flats(found.comparisons)
    assert comparison.p is not None
    assert comparison.p < 1e-4
    assert (comparison.p_sign_flip, comparison.verdict) == (0.0625, "undecided")
    [note] = found.notes
    assert "0.0625" in note
    assert "takes 6 seeds" in note
