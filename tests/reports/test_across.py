"""Tables with several data sets: one answer over them, checked against scipy and slow ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.comparisons.external.layout import Request
from bench.reports.document import document
from bench.reports.external import compare_table
from bench.reports.render.latex import latex
from bench.reports.render.markdown import markdown
from bench.reports.schema import Compared, RankedLoss

Means = dict[str, list[float]]
"""Method → its value on each data set."""


def one_each(means: Means, metric: str = "accuracy", **more: list[Any]) -> pd.DataFrame:
    """One run of each method on each data set, without seeds."""
    rows = [(f"set{n}", name, value) for name, values in means.items() for n, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["dataset", "method", metric]).assign(**more)


def compare(table: pd.DataFrame, **request: Any) -> Compared:
    return compare_table("table", table, Request(**request))


def shown(made: Compared) -> str:
    return markdown(document(made).blocks(everything=False))


def in_a_row(made: Compared) -> str:
    return " ".join(shown(made).split())


def by_loss(made: Compared) -> dict[str, RankedLoss]:
    [ranking] = made.rankings
    return {ranked.loss: ranked for ranked in ranking.losses}


def twelve() -> Means:
    rng = np.random.default_rng(3)
    base = rng.uniform(0.6, 0.9, 12)
    moved = {"ce": 0.0, "gce": 0.02, "mae": -0.03}
    return {m: [round(float(v), 4) for v in base + by + rng.normal(0, 0.008, 12)] for m, by in moved.items()}


def seeded() -> pd.DataFrame:
    """8 data sets × 4 methods × 5 seeds."""
    rng = np.random.default_rng(5)
    better = {"ce": 0, "focal": 1, "gce": 12, "mae": -15}
    rows = [
        (f"set{d}", name, seed, int(600 + 30 * d + by + rng.normal(0, 8)), 1000)
        for d in range(8)
        for name, by in better.items()
        for seed in range(5)
    ]
    return pd.DataFrame(rows, columns=["dataset", "method", "seed", "correct", "total"])


def test_one_run_on_each_of_twelve_data_sets() -> None:
    means = twelve()
    made = compare(one_each(means))
    found, [ranking] = by_loss(made), made.rankings
    table = np.array([means[name] for name in ("ce", "gce", "mae")])
    ranks = stats.rankdata(-table, axis=0).mean(axis=1)
    assert [found[name].average_rank for name in ("ce", "gce", "mae")] == pytest.approx(ranks)
    assert (ranking.chi2, ranking.chi2_p) == pytest.approx(tuple(stats.friedmanchisquare(*table)))
    p = 2 * stats.norm.sf(np.abs(ranks[1:] - ranks[0]) / np.sqrt(3 * 4 / (6 * 12)))
    holm = [min(1, 2 * p.min()), max(p.max(), min(1, 2 * p.min()))]
    assert sorted([found["gce"].p_adjusted or 0, found["mae"].p_adjusted or 0]) == pytest.approx(holm)
    for row, name in enumerate(("gce", "mae"), 1):
        d = np.round(table[row] - table[0], 4)
        tally = [int((d > 0).sum()), int((d == 0).sum()), int((d < 0).sum())]
        assert [found[name].wins, found[name].draws, found[name].losses] == tally
        assert found[name].improvement is None
    assert found["ce"].wins is found["ce"].probability_better is found["ce"].p_adjusted is None
    assert ranking.region == pytest.approx(0.001)  # .1 points
    assert ranking.answer.startswith("Over 12 data sets, ")
    text = shown(made)
    assert "## Average ranks over 12 data sets\n\nOver 12 data sets, " in text
    assert "P(impr.)" not in text
    assert max(len(line) for line in text.splitlines() if line.startswith("|")) <= 80
    assert f"{found['gce'].wins}/{found['gce'].draws}/{found['gce'].losses}" in latex(document(made), "tab")
    assert json.loads(made.model_dump_json())["rankings"][0]["losses"][0]["loss"] == ranking.losses[0].loss


@pytest.mark.parametrize("seed_column", [True, False])
def test_every_form_of_one_run_each_says_the_same(seed_column: bool) -> None:
    means = twelve()
    long = one_each(means, **({"seed": [0] * 36} if seed_column else {}))
    wide = pd.DataFrame({"dataset": [f"set{n}" for n in range(12)], **means})
    for request in ({}, {"paired": False}):
        assert compare(long, **request).rankings == compare(wide, **request).rankings
    mixed = long.sample(frac=1, random_state=1)
    assert compare(mixed).rankings == compare(long).rankings


def test_the_bayesian_test_is_a_plain_sampler_of_it() -> None:
    means = twelve()
    found = by_loss(compare(one_each(means), margin=1.5))
    rng = np.random.default_rng(7)
    for name in ("gce", "mae"):
        d = np.append(0, np.array(means[name]) - np.array(means["ce"]))
        sums = d[:, None] + d
        weights = rng.dirichlet([0.5, *[1] * 12], 4000)
        shares = np.stack([((weights @ m) * weights).sum(axis=1) for m in (sums < -0.03, sums > 0.03)])
        theta = np.stack([shares[0], 1 - shares.sum(axis=0), shares[1]])
        want = np.bincount(theta.argmax(axis=0), minlength=3) / 4000
        got = found[name]
        said = (got.probability_worse, got.probability_equivalent, got.probability_better)
        assert said == pytest.approx(want, abs=0.03)


def test_several_seeds_have_a_probability_of_improvement() -> None:
    table = seeded()
    made = compare(table)
    found = by_loss(made)
    pivot = {key: group.correct.to_numpy() for key, group in table.groupby(["method", "dataset"])}
    sets = sorted({*table.dataset})
    for name in ("focal", "gce", "mae"):
        u = [stats.mannwhitneyu(pivot[name, d], pivot["ce", d]).statistic / 25 for d in sets]
        got = found[name]
        assert got.improvement == pytest.approx(np.mean(u))
        assert got.improvement_low is not None
        assert got.improvement_high is not None
        assert 0 <= got.improvement_low <= got.improvement <= got.improvement_high <= 1
        signs = [np.sign(pivot[name, s].sum() - pivot["ce", s].sum()) for s in sets]
        assert [got.wins, got.draws, got.losses] == [signs.count(sign) for sign in (1, 0, -1)]
    text = in_a_row(made)
    assert "P(impr.) %: probability of improvement" in text
    assert "mae ranks worse" in made.rankings[0].answer
    assert made.rankings[0].answer in document(made).answer
    lines = [line for line in shown(made).splitlines() if line.startswith("|")]
    assert max(map(len, lines)) <= 80


def test_so_many_runs_have_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.reports.ranking.MOST_RESAMPLED", 159)
    made = compare(seeded())
    gce = by_loss(made)["gce"]
    assert gce.improvement is not None
    assert gce.improvement_low is gce.improvement_high is None
    assert "in brackets" not in in_a_row(made)


def test_less_is_better_where_the_metric_says_so() -> None:
    errors = {name: [round(10 * (1 - v), 4) for v in values] for name, values in twelve().items()}
    found = by_loss(compare(one_each(errors, "rmse")))
    want = by_loss(compare(one_each(twelve())))
    for name in ("gce", "mae"):
        assert found[name].average_rank == want[name].average_rank
        assert (found[name].wins, found[name].losses) == (want[name].wins, want[name].losses)
    assert found["gce"].probability_better == pytest.approx(0.99, abs=0.02)
    made = compare(one_each(errors, "rmse"))
    assert made.rankings[0].region == 0
    assert "without a margin" in in_a_row(made)
    assert "equiv. %" not in shown(made)


def test_what_lacks_results_is_left_out_and_said() -> None:
    table = one_each({**twelve(), "rare": [0.8] * 12})
    gone = ((table.method == "mae") & (table.dataset == "set3")) | (
        (table.method == "rare") & ~table.dataset.isin(["set1", "set2"])
    )
    made = compare(table[~gone])
    [ranking] = made.rankings
    assert ranking.left_out == ["set3"]
    assert ranking.left_out_losses == ["rare"]
    assert len(ranking.datasets) == 11
    assert {*by_loss(made)} == {"ce", "gce", "mae"}
    assert "Left out, for lack of results: set3, rare." in in_a_row(made)
    want = compare(one_each(twelve()).query("dataset != 'set3'")).rankings[0]
    assert [r.average_rank for r in ranking.losses] == [r.average_rank for r in want.losses]


def test_the_baseline_is_never_left_out() -> None:
    table = one_each(twelve())
    made = compare(table[(table.method != "ce") | table.dataset.isin(["set0", "set1"])])
    assert made.rankings[0].datasets == ["set0", "set1"]
    made = compare(table[(table.method != "ce") | (table.dataset == "set0")])
    assert made.rankings == ()


def test_two_data_sets_claim_nothing() -> None:
    made = compare(one_each({"ce": [0.7, 0.8], "gce": [0.9, 0.95], "mae": [0.1, 0.2]}))
    [ranking] = made.rankings
    assert "too few for a claim" in ranking.answer
    assert ranking.note.startswith("2 data sets are few")
    assert "which are too few for a claim" in document(made).answer
    assert by_loss(made)["gce"].wins == 2


def test_all_may_tie() -> None:
    same = [0.7, 0.8, 0.9, 0.6, 0.5, 0.4]
    made = compare(one_each({"ce": same, "gce": same, "mae": same}))
    [ranking] = made.rankings
    assert ranking.chi2 is None
    assert ranking.answer == "Over 6 data sets, nothing is shown to rank better or worse than ce."
    assert [r.average_rank for r in ranking.losses] == [2, 2, 2]
    gce = by_loss(made)["gce"]
    assert (gce.wins, gce.draws, gce.losses, gce.probability_equivalent) == (0, 6, 0, 1)
    assert "All losses tie on all data sets" in in_a_row(made)
    assert ">99.9" in shown(made)


def test_models_have_a_ranking_each() -> None:
    tables = [one_each(twelve()).assign(model=name) for name in ("small", "large")]
    made = compare(pd.concat(tables))
    assert [ranking.model for ranking in made.rankings] == ["large", "small"]
    assert "Over 12 data sets with large, " in made.rankings[0].answer
    assert "## Average ranks over 12 data sets · large" in shown(made)


def test_runs_on_different_images_have_no_rank() -> None:
    table = seeded()
    table.loc[(table.dataset == "set2") & (table.method == "gce"), "total"] = 1001
    assert compare(table).rankings[0].left_out == ["set2"]
    table.loc[(table.dataset == "set4") & (table.seed == 1), "total"] = 1001
    assert compare(table).rankings[0].left_out == ["set2", "set4"]


def test_unpaired_runs_need_no_common_seed() -> None:
    table = seeded()
    table["seed"] += 10 * (table.method == "gce")
    assert (
        compare(table, paired=False).rankings[0].losses == compare(seeded(), paired=False).rankings[0].losses
    )
    assert compare(table).rankings == ()


def test_one_data_set_has_no_ranking(tmp_path: Path) -> None:
    table = one_each({"ce": [0.7], "gce": [0.8]}, seed=[0, 0])
    assert compare(table).rankings == ()
    assert "Average ranks" not in shown(compare(table))
