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

from bench.comparisons.agreement_file import load
from bench.comparisons.analysis import Analysis, Images, Measured, analyse
from bench.comparisons.comparison import Key, Metric
from bench.comparisons.designs import Design
from bench.comparisons.pairings import Scores
from bench.comparisons.runs import Joint, read_measured
from bench.comparisons.unpaired import Unpaired
from bench.reports import files
from bench.reports.build import describe, report, report_and_agreement
from bench.results.folder import RunFolder
from bench.results.reading import frame
from bench.statistics.crossed import crossed_anova
from bench.statistics.equivalence import tost
from bench.statistics.paired import paired_t, t_interval
from bench.statistics.permutation import sign_flip
from bench.statistics.rotations import rotate
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
    columns = [[right[loss, s].sum() - right["ce", s].sum() for s in range(7)] for loss in ("mae", "gce")]
    family, both = rotate([np.array(columns, dtype=float).T]), {}
    for found in flats(made.comparisons):
        table = np.stack([right[found.loss, s] for s in range(7)] + [right["ce", s] for s in range(7)])
        d = table[:7].astype(np.int64) - table[7:].astype(np.int64)
        t, crossed = paired_t(d.sum(axis=1), IMAGES), crossed_anova(d @ d.T, d.sum(axis=1), IMAGES)
        if found.verdict.startswith("equivalent"):
            here = t.interval(1 - family.level(0.1))
            assert (found.low, found.high, found.level) == (*here, 0.9)
            assert found.p_decided == found.p_equivalence
            wider = t_interval(crossed.estimate, crossed.se, crossed.df, 1 - 0.1 / 2)
        else:
            here = t.interval(1 - family.level(0.05))
            assert (found.low, found.high, found.level) == (*here, 0.95)
            assert found.p_decided == found.p_adjusted
            wider = t_interval(crossed.estimate, crossed.se, crossed.df, 1 - 0.05 / 2)
        assert found.p_adjusted == family.chance(t.p)
        both[found.loss] = family.chance(min(2 * tost(t, 0.02), 1.0)) / 2, tost(t, 0.02), found
        assert (found.delta, found.p) == (t.estimate, t.p)
        # Never narrower than on these: where seeds alone vary more, their error and degrees of freedom.
        if crossed.se >= t.se and crossed.df <= t.df:
            reach = max(wider[1] - crossed.estimate, (here[1] - t.estimate) * crossed.se / t.se)
            ends = crossed.estimate - reach, crossed.estimate + reach
            assert (found.low_new_images, found.high_new_images) == pytest.approx(ends)
            assert found.p_new_images == pytest.approx(crossed.p)
        assert found.high_new_images - found.low_new_images >= found.high - found.low
        assert (found.level_new_images, found.floor) == (found.level, crossed.floor)
        assert found.discordant == np.abs(d).sum() / 7
        assert found.p_sign_flip == sign_flip(d.sum(axis=1)).p
    assert {c.adjusted_by for c in flats(made.comparisons)} == {"rotations"}
    # Equivalence steps down: where one level for both shows just one of them, the other is alone at the next.
    (_, _, first), (adjusted, alone, second) = sorted(both.values(), key=lambda item: item[1])
    assert first.p_equivalence == min(both["mae"][0], both["gce"][0])
    steps = first.p_equivalence < 0.05 <= adjusted
    assert second.p_equivalence == (max(alone, first.p_equivalence) if steps else adjusted)


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


def test_too_many_seeds_to_rotate_have_bonferroni() -> None:
    draw = np.random.default_rng(1)
    arms = {name: scores(draw.integers(880, 920, 4001).tolist()) for name in ("ce", "a", "b")}
    found = analysed({("", "", name): arm for name, arm in arms.items()})
    assert found.adjustment.by.endswith("by Bonferroni where there are too many seeds for that")
    for c in found.comparisons:
        assert c.p is not None
        assert c.adjusted.p == min(2 * c.p, 1)
        assert c.adjusted.interval is not None
        assert c.difference is not None
        ends = c.difference.interval(1 - 0.05 / 2)
        assert (c.adjusted.interval.low, c.adjusted.interval.high) == pytest.approx(ends)


def test_models_with_other_seeds_are_blocks_of_their_own() -> None:
    draw = np.random.default_rng(2)
    cells = {
        ("d", model, loss): scores(draw.integers(880, 920, 7).tolist())
        for model in ("vgg", "resnet")
        for loss in ("ce", "a", "b")
    }
    found = analysed(cells)
    blocks = [
        np.array(
            [[cells["d", m, x].counts[s] - cells["d", m, "ce"].counts[s] for x in "ab"] for s in range(7)]
        )
        for m in ("vgg", "resnet")
    ]
    together = rotate(blocks)
    assert [c.adjusted.p for c in found.comparisons] == [together.chance(c.p or 0) for c in found.comparisons]


def test_unpaired_runs_are_adjusted_by_bonferroni_and_need_not_share_seeds() -> None:
    cells = {
        ("", "", "ce"): scores(BASE),
        ("", "", "a"): scores([950, 960, 955, 957, 951]),
        ("", "", "b"): scores([930]),
    }
    found = analysed(cells, Unpaired(0.05))
    a, b = flats(found.comparisons)
    assert (a.n, a.n_baseline, a.adjusted_by, a.verdict) == (
        *(5, 7, "bonferroni", "superior on this test set"),
    )
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
    [comparison] = flats(analysed(cells).comparisons)
    assert (comparison.p_sign_flip, comparison.verdict) == (0.0625, "inferior on this test set")
    found = analysed(cells, Design(0.05, "flips"))
    [comparison] = flats(found.comparisons)
    assert comparison.p is not None
    assert comparison.p < 1e-4
    assert (comparison.p_sign_flip, comparison.verdict) == (0.0625, "undecided")
    [note] = found.notes
    assert "with 5 seeds no flip of signs gives an adjusted p below α = 0.05" in note
    assert "takes 6 seeds" in note
    four = {key: scores([*arm.counts.values()][:4]) for key, arm in cells.items()}
    for judge in (Design(0.05), Design(0.05, "flips")):
        [comparison] = flats(analysed(four, judge).comparisons)
        assert (comparison.verdict, comparison.low, comparison.p_adjusted) == ("undecided", None, None)
        assert comparison.note == "4 seeds: nothing is decided with fewer than 5"
