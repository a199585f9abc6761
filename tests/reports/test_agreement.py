"""Answers to single images: kept with the report, and enough to make every comparison again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import finish_run

from bench.reports import files
from bench.reports.agreement import load, read_joints
from bench.reports.analysis import Joint, Question, Scores, analyse
from bench.reports.comparison import report, report_and_agreement
from bench.reports.documents import Report
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
            finish_run(run, results, int(correct.sum()), IMAGES)
            folder = RunFolder(results, run.id)
            made = folder.result()
            assert made is not None
            content = made.model_dump(exclude={"run_id", "predictions_sha256", "weights_sha256", "finished"})
            folder.finish(content, np.stack([~correct, np.zeros(IMAGES)]).astype(np.uint8))
    return right


@pytest.fixture
def suite(make_suite: Make) -> Suite:
    return make_suite(losses=["ce", "mae", "gce"], seeds=7, analysis={"margin": 2.0})


def test_matrices_are_kept_in_as_few_bytes_as_their_images_need(suite: Suite, tmp_path: Path) -> None:
    answers(suite, tmp_path)
    _, kept = report_and_agreement(suite, tmp_path)
    (tmp_path / "agreement.npz").write_bytes(kept)
    _, _, joints = load(tmp_path / "agreement.npz")
    assert {joint.matrix.dtype for joint in joints.values()} == {np.dtype(np.uint16)}  # of 300 images
    assert max(joint.matrix.max() for joint in joints.values()) <= IMAGES


def test_both_intervals_are_those_of_the_statistics(suite: Suite, tmp_path: Path) -> None:
    right = answers(suite, tmp_path)
    made = report(suite, tmp_path)
    for found in made.comparisons:
        table = np.stack([right[found.loss, s] for s in range(7)] + [right["ce", s] for s in range(7)])
        d = differences(table, np.arange(7), np.arange(7, 14)).astype(np.int64)
        t, crossed = paired_t(d.sum(axis=1), IMAGES), crossed_anova(d @ d.T, d.sum(axis=1), IMAGES)
        assert (found.delta, found.low, found.high, found.p) == (t.estimate, t.low, t.high, t.p)
        assert (found.low_new_images, found.high_new_images) == (crossed.low, crossed.high)
        assert (found.p_new_images, found.floor) == (crossed.p, crossed.floor)
        assert found.discordant == np.abs(d).sum() / 7
        assert found.p_sign_flip == sign_flip(d.sum(axis=1)).p
    columns = [[right[loss, s].sum() - right["ce", s].sum() for s in range(7)] for loss in ("mae", "gce")]
    family = westfall_young(np.array(columns, dtype=float).T)
    assert [c.p_adjusted for c in made.comparisons] == family.p_adjusted.tolist()
    assert {c.adjusted_by for c in made.comparisons} == {"westfall-young"}


def test_the_same_runs_give_the_same_bytes(suite: Suite, tmp_path: Path) -> None:
    answers(suite, tmp_path)
    made, agreement = report_and_agreement(suite, tmp_path)
    assert report_and_agreement(suite, tmp_path) == (made, agreement)
    written = {path.name: path for path in files.write(made, tmp_path / "out", agreement)}
    assert written["agreement.npz"].read_bytes() == agreement


def everything_but_notes(made: Report) -> list[dict[str, object]]:
    return [c.model_dump(exclude={"note"}) for c in made.comparisons]


@pytest.mark.parametrize("finished", [42, 26, 1, 0])
def test_comparisons_can_be_made_again_without_predictions(
    make_suite: Make, tmp_path: Path, finished: int
) -> None:
    suite = make_suite(losses=["ce", "mae", "gce"], models=["vgg5-tiny", "spinal-vgg5-tiny"], seeds=7)
    answers(suite, tmp_path)
    for number, run in enumerate(suite.runs()):
        if number >= finished:
            (RunFolder(tmp_path, run.id).path / "result.json").unlink()
    made, agreement = report_and_agreement(suite, tmp_path)
    (tmp_path / "agreement.npz").write_bytes(agreement)
    cells, question, joints = load(tmp_path / "agreement.npz")
    assert question == Question("ce", 0.05, pytest.approx(0.001))
    again = analyse(cells, question, joints)
    assert [c.model_dump(exclude={"note"}) for c in again.comparisons] == everything_but_notes(made)
    assert {key: sorted(scores.counts.values()) for key, scores in cells.items()} == {
        (c.dataset, c.model, c.loss): sorted(c.counts) for c in made.cells
    }


@pytest.mark.parametrize(
    "folder", sorted((ROOT / "results").glob("*/agreement.npz")), ids=lambda p: p.parent.name
)
def test_what_results_publishes_is_what_the_statistics_say_today(folder: Path) -> None:
    published = Report.model_validate_json((folder.parent / "report.json").read_text())
    cells, question, joints = load(folder)
    again = [comparison.model_dump() for comparison in analyse(cells, question, joints).comparisons]
    for found, said in zip(again, published.comparisons, strict=True):
        assert found == {
            key: pytest.approx(v) if isinstance(v, float) else v for key, v in said.model_dump().items()
        }


def test_runs_without_their_predictions_do_not_count_and_say_so(suite: Suite, tmp_path: Path) -> None:
    answers(suite, tmp_path)
    lost = RunFolder(tmp_path, suite.cells[1].runs[3].id).path / "predictions.npy"
    lost.unlink()
    made = report(suite, tmp_path)
    assert made.comparisons[0].missing == [3]
    assert made.comparisons[0].p_new_images is not None  # of the six pairs that are whole
    assert any("predictions.npy: it is missing" in note for note in made.notes)


def test_runs_tested_on_other_images_get_no_interval_for_new_ones(suite: Suite, tmp_path: Path) -> None:
    answers(suite, tmp_path)
    folder = RunFolder(tmp_path, suite.cells[1].runs[3].id)
    made = folder.result()
    assert made is not None
    other = np.ones((2, IMAGES), dtype=np.uint8)  # as many correct answers, of other classes
    other[0, made.correct :] = 0
    content = made.model_dump(exclude={"run_id", "predictions_sha256", "weights_sha256", "finished"})
    folder.finish(content, other)
    found = report(suite, tmp_path)
    assert [c.low_new_images for c in found.comparisons] == [None, None]
    assert all(c.p is not None for c in found.comparisons)  # counts are all that this takes
    [note] = [note for note in found.notes if "new images" in note]
    assert "tested on other images" in note
    assert folder.run_id in note
    joints, _ = read_joints(frame(tmp_path, suite.cells), tmp_path)
    assert joints == {}


def scores(counts: list[int], total: int = 1000) -> Scores:
    return Scores(dict(enumerate(counts)), total)


BASE = [900, 910, 905, 915, 890, 905, 899]


def test_too_many_seeds_to_flip_are_adjusted_by_holm() -> None:
    draw = np.random.default_rng(1)
    arms = {name: scores(draw.integers(880, 920, 2001).tolist()) for name in ("ce", "a", "b")}
    found = analyse({("", "", name): arm for name, arm in arms.items()}, Question("ce", 0.05, 0.001))
    assert found.adjusted_by == "Holm"
    assert {c.adjusted_by for c in found.comparisons} == {"holm"}
    assert [c.p_adjusted for c in found.comparisons] == holm([c.p for c in found.comparisons]).tolist()


def test_unpaired_runs_are_adjusted_by_holm_and_need_not_share_seeds() -> None:
    cells = {
        ("", "", "ce"): scores(BASE),
        ("", "", "a"): scores([950, 960, 955]),
        ("", "", "b"): scores([930]),
    }
    found = analyse(cells, Question("ce", 0.05, 0.001, paired=False))
    a, b = found.comparisons
    assert (a.n, a.n_baseline, a.adjusted_by, a.verdict) == (3, 7, "holm", "superior")
    assert a.correlation is a.p_sign_flip is a.d_z is None
    assert (b.p, b.verdict) == (None, "undecided")
    assert "one run" in b.note


def test_a_joint_matrix_without_one_of_the_runs_is_not_used() -> None:
    cells = {("", "", "ce"): scores(BASE), ("", "", "a"): scores([901, *BASE[1:]])}
    joint = Joint({("ce", s): s for s in range(7)}, np.diag(BASE), 1000)
    [found] = analyse(cells, Question("ce", 0.05, 0.001), {("", ""): joint}).comparisons
    assert found.low_new_images is None
    assert found.p is not None


def test_without_a_baseline_for_its_model_a_cell_is_not_compared_and_says_so() -> None:
    cells = {("d", "vgg", "ce"): scores(BASE), ("d", "resnet", "mae"): scores(BASE)}
    found = analyse(cells, Question("ce", 0.05, 0.001))
    assert found.comparisons == []
    assert found.notes == ["d × resnet × mae: not compared: there is no ce with the same data set and model"]


def test_what_few_seeds_cannot_show_is_said() -> None:
    cells = {("", "", "ce"): scores(BASE[:5]), ("", "", "a"): scores([c - 60 + c % 3 for c in BASE[:5]])}
    found = analyse(cells, Question("ce", 0.05, 0.001))
    [comparison] = found.comparisons
    assert comparison.p is not None
    assert comparison.p < 1e-4
    assert (comparison.p_sign_flip, comparison.verdict) == (0.0625, "undecided")
    [note] = found.notes
    assert "0.0625" in note
    assert "takes 6 seeds" in note
