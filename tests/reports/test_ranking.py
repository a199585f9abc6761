"""Average ranks in the report's text, LaTeX, page and JSON are those of the statistics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from invented import invent

from bench.reports.build import report
from bench.reports.document import document
from bench.reports.html import page
from bench.reports.html.runs import list_runs
from bench.reports.ranking import letters, why_no_ranks
from bench.reports.render.latex import latex
from bench.reports.render.markdown import markdown
from bench.reports.schema import Report
from bench.results.folder import RunFolder
from bench.results.reading import frame
from bench.statistics.ranking import control_tests, friedman
from bench.suite import Suite

Make = Callable[..., Suite]
SETS = ["mnist", "kmnist", "fashion-mnist", "qmnist", "emnist-digits"]
LOSSES = ["mae", "ce", "gce"]


def text_of(made: Report) -> str:
    """In one line."""
    return " ".join(markdown(document(made).blocks(everything=False)).split())


def test_ranks_in_every_form_are_those_of_the_statistics(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(datasets=SETS, losses=LOSSES, baseline="ce")
    invent(suite, tmp_path, {"gce": 0.05})
    made = report(suite, tmp_path)
    counts = np.array([[c.correct for c in made.cells if c.dataset == name] for name in SETS])
    expected, control = friedman(counts), control_tests(counts, 1)
    [ranking] = made.rankings
    assert ranking.datasets == SETS
    found = {r.loss: r for r in ranking.losses}
    assert [found[loss].average_rank for loss in LOSSES] == pytest.approx(expected.average_ranks)
    assert ranking.losses[0].loss == "gce"
    assert [found[loss].p_adjusted for loss in ("mae", "gce")] == pytest.approx(control.p_adjusted[[0, 2]])
    assert found["ce"].p_adjusted is None
    assert (ranking.chi2_p, ranking.f_p) == pytest.approx((expected.p, expected.f_p))
    html = page(made, list_runs(suite, tmp_path, frame(tmp_path, suite.cells)))
    for text in (text_of(made), latex(document(made), "tab"), html):
        assert "verage ranks over 5 data sets" in text
        assert f"{found['gce'].average_rank:.2f}" in text
        assert "5 data sets are few" in text
        assert ranking.answer.split(",")[0] in text
        assert f"{found['gce'].wins}/{found['gce'].draws}/{found['gce'].losses}" in text
    own, theirs = (counts[:, LOSSES.index(loss)] for loss in ("gce", "ce"))
    won = [int(n) for n in ((own > theirs).sum(), (own == theirs).sum(), (own < theirs).sum())]
    assert [found["gce"].wins, found["gce"].draws, found["gce"].losses] == won
    assert found["ce"].wins is None
    better = found["gce"].probability_better
    assert better is not None
    assert better > 0.9
    assert found["gce"].improvement is not None
    assert f"χ²(2) = {expected.statistic:.2f}, p" in text_of(made)


def test_ranks_are_those_of_the_first_metric_in_its_own_direction(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(datasets=SETS, losses=LOSSES, baseline="ce", metrics=["nll", "accuracy"])
    invent(suite, tmp_path, {"gce": 0.2})
    made = report(suite, tmp_path)
    means = np.array([[c.mean for c in made.cells if c.dataset == name] for name in SETS])
    expected = friedman(-np.rint(means * 1e9).astype(np.int64))  # less is better
    [ranking] = made.rankings
    found = {r.loss: r.average_rank for r in ranking.losses}
    assert [found[loss] for loss in LOSSES] == pytest.approx(expected.average_ranks)
    assert found["gce"] == 1
    assert {cell.metric for cell in made.cells} == {"nll"}


def test_losses_with_no_letter_in_common_are_those_that_differ(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(datasets=[*SETS, "emnist-mnist"], losses=LOSSES, seeds=3)
    invent(suite, tmp_path, {"gce": 0.3, "mae": -0.3})
    [ranking] = report(suite, tmp_path).rankings
    named = letters(ranking)
    for a in ranking.losses:
        for b in ranking.losses:
            near = abs(a.average_rank - b.average_rank) < ranking.critical_difference
            assert bool({*named[a.loss]} & {*named[b.loss]}) == (near and bool(named[a.loss]))
    assert not {*named["gce"]} & {*named["mae"]}


def test_what_some_loss_lacks_is_left_out_and_said(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(datasets=SETS, losses=LOSSES)
    invent(suite, tmp_path)
    for run in next(c for c in suite.cells if (c.dataset, c.loss) == ("qmnist", "mae")).runs:
        RunFolder(tmp_path, run.id).set_aside()
    made = report(suite, tmp_path)
    assert made.rankings[0].left_out == ["qmnist"]
    assert "Left out, for lack of results: qmnist" in text_of(made)


@pytest.mark.parametrize(
    ("datasets", "reason"),
    [
        ("mnist", "this suite has one"),
        (["mnist", {"mnist": {"label_noise": 0.2}}], "variants of one"),
        (["mnist", "kmnist", {"mnist": {"train_size": 100}}], "variants of one"),
        (["mnist", "kmnist"], ""),
    ],
)
def test_variants_of_one_data_set_have_no_vote_each(make_suite: Make, datasets: object, reason: str) -> None:
    suite = make_suite(datasets=datasets, models=["vgg5-tiny", "spinal-vgg5-tiny"])
    assert reason in why_no_ranks(suite)
    assert bool(reason) == bool(why_no_ranks(suite))


def test_epochs_chosen_on_the_test_set_claim_nothing(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(datasets=SETS, losses=LOSSES, baseline="ce", selection="test")
    invent(suite, tmp_path, {"gce": 0.3})
    made = report(suite, tmp_path)
    assert "no verdict" in made.rankings[0].answer
    assert made.rankings[0].answer not in document(made).answer
