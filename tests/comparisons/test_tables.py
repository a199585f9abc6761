"""Any number in somebody's table: which column is meant, which way is better, what did not finish."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.comparisons.external.layout import Request
from bench.comparisons.external.reading import read_table
from bench.errors import BenchError
from bench.reports.answer import all_remarks
from bench.reports.columns import flat
from bench.reports.document import document
from bench.reports.external import compare_table
from bench.reports.render.markdown import markdown
from bench.reports.schema import Compared
from bench.statistics.crossed import crossed_of_table
from bench.statistics.paired import paired_t
from bench.statistics.unpaired import welch

CE = [36.31, 36.12, 35.87, 36.55, 36.02, 36.4, 35.95, 36.21]
OURS = [35.82, 35.7, 35.3, 36.02, 35.61, 35.88, 35.52, 35.6]


def table(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])


def long(column: str = "rmse", **arms: Sequence[Any]) -> pd.DataFrame:
    rows = [(name, seed, value) for name, values in arms.items() for seed, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["method", "seed", column])


def compare(table: pd.DataFrame, *metrics: str, **request: Any) -> Compared:
    return compare_table("table", table, Request(metrics=metrics, **request))


def comparisons(made: Compared) -> list[SimpleNamespace]:
    """As JSON has them."""
    return [SimpleNamespace(**flat(c)) for c in (*made.comparisons, *made.secondary.comparisons)]


# ------------------------------------------------------------------------------------------ any numbers


def test_the_numbers_are_those_of_the_statistics_and_less_error_is_better() -> None:
    made = compare(long(ce=CE, ours=OURS), margin=0.1)
    [found] = comparisons(made)
    ours, ce = ((100 * np.array(arm)).round().astype(int) for arm in (OURS, CE))
    t = paired_t(ours - ce, 100, bounded=False)
    assert (found.delta, found.low, found.high, found.p) == pytest.approx((t.estimate, t.low, t.high, t.p))
    assert (found.verdict, found.metric) == ("superior on this test set", "rmse")
    assert found.superiority == 1.0  # all seeds
    assert made.answer == "ours is better than ce on this test set."
    [metric] = made.metrics
    assert (metric.name, metric.unit, metric.higher_is_better, metric.margin) == ("rmse", "", False, 0.1)
    cell = made.cells[0]
    assert (cell.mean, cell.sd) == (pytest.approx(np.mean(CE)), pytest.approx(np.std(CE, ddof=1)))
    assert (cell.values, cell.counts) == (tuple(CE), ())
    assert (cell.correct, cell.total, cell.test_images) == (None, None, None)


def test_without_a_margin_no_equivalence_is_tested() -> None:
    same = long(ce=CE, ours=[value + (-1) ** seed / 1000 for seed, value in enumerate(CE)])
    made = compare(same)
    [found] = comparisons(made)
    assert (found.verdict, found.p_equivalence, made.margin) == ("undecided", None, None)
    assert "equivalent" not in made.method
    [found] = comparisons(compare(same, margin=0.1))
    assert found.verdict.startswith("equivalent")
    method = compare(same, margin=0.1).method
    assert "a 90 % interval, for all together that no wider one shows to be, lies within ±0.1," in method


def test_the_heading_is_the_column_s_own_name() -> None:
    rows = long(ce=CE, ours=OURS).rename(columns={"method": "Optimiser's loss"})
    made = compare(rows, columns={"method": "Optimiser's loss"})
    text = markdown(document(made).blocks(everything=True))
    heading = next(line for line in text.splitlines() if line.startswith("|"))
    assert [cell.strip() for cell in heading.strip("|").split("|")] == [
        *("Optimiser's loss", "seeds", "rmse", "Δ", "interval", "p", "verdict"),
    ]
    assert "accuracy" not in text


def test_differences_of_decimals_are_seen_to_be_equal() -> None:
    """As floats they are not."""
    assert 0.3 - 0.2 != 0.2 - 0.1
    equal = long(ce=[0.2, 0.1], ours=[0.3, 0.2])
    for frame in (equal, equal.astype({"rmse": np.float32}), equal.assign(rmse=equal.rmse * 1e-9)):
        made = compare(frame)
        assert comparisons(made)[0].p is None
        assert "all 2 differences are equal" in made.comparisons[0].note


@pytest.mark.parametrize("size", [1e-280, 1e-20, 1e-7, 1.0, 1e6, 1e14])
def test_numbers_may_be_of_any_size(size: float) -> None:
    [found] = comparisons(compare(long(ce=np.array(CE) * size, ours=np.array(OURS) * size)))
    [expected] = comparisons(compare(long(ce=CE, ours=OURS)))
    assert found.delta / size == pytest.approx(expected.delta)
    assert (found.p, found.p_sign_flip) == pytest.approx((expected.p, expected.p_sign_flip))
    assert found.verdict == expected.verdict


def test_a_run_that_went_wrong_does_not_round_the_others() -> None:
    """It has collapsed: the rest of its cell is compared, and what all runs say is told beside that."""
    arms = {"ce": CE, "ours": OURS}
    [whole] = comparisons(compare(long(**arms)))
    for wrong in (4e5, 4e9):
        made = compare(long(**arms, bad=[*np.array(CE[:-1]) + 0.01 * np.arange(7), wrong]))
        by_name = {c.loss: c for c in comparisons(made)}
        ours, bad = by_name["ours"], by_name["bad"]
        assert ours.delta == pytest.approx(whole.delta, rel=1e-12)
        assert (ours.sd, ours.p) == pytest.approx((whole.sd, whole.p))
        assert (bad.collapsed, bad.collapsed_baseline, bad.n) == ((7,), (), 7)
        assert bad.delta == pytest.approx(0.03)
        assert bad.delta_all == pytest.approx((0.21 + wrong - CE[-1]) / len(CE))
        assert any("collapsed, and not compared: 1 of 8 runs of bad (seed 7)" in r for r in all_remarks(made))


def test_unpaired_numbers() -> None:
    [found] = comparisons(compare(long(ce=CE, ours=OURS[:5]).drop(columns="seed"), paired=False))
    ce, ours = (np.array(arm) * 100 for arm in (CE, OURS[:5]))
    expected = welch(ours.round().astype(int), ce.round().astype(int), 100, bounded=False)
    assert (found.delta, found.low, found.p) == pytest.approx((expected.estimate, expected.low, expected.p))
    assert found.verdict == "superior on this test set"


def test_each_model_and_data_set_has_decimals_of_its_own() -> None:
    small, large = (
        long(ce=np.array(CE) * f, ours=np.array(OURS) * f).assign(dataset=name)
        for name, f in (("a", 1e-9), ("b", 1e9))
    )
    found = comparisons(compare(pd.concat([small, large])))
    assert [found[0].delta * 1e9, found[1].delta / 1e9] == pytest.approx([-0.4975, -0.4975], rel=1e-9)
    assert found[0].p == pytest.approx(found[1].p, rel=1e-9)


# ----------------------------------------------------------------------------------------- which column

RUNS = "method,seed,{}\nce,0,{}\nours,0,{}\n"


@pytest.mark.parametrize(
    ("columns", "values", "metric", "better"),
    [
        ("rmse", "2", "rmse", "lower"),
        ("Test Error (%)", "2", "Test Error (%)", "lower"),
        ("f1", "0.5", "f1", "higher"),
        ("loss", "0.5", "loss", "lower"),  # numbers are no methods
        ("train_loss,val_loss", "0.1,0.2", "val_loss", "lower"),
        ("loss,perplexity", "0.1,1.2", "perplexity", "lower"),
        ("train_loss", "0.1", "train_loss", "lower"),
        ("lr,nll", "0.1,0.2", "nll", "lower"),
        ("host,nll", "x,0.2", "nll", "lower"),
        ("balanced_accuracy", "0.2", "balanced_accuracy", "higher"),
        ("seconds", "12", "seconds", "lower"),
    ],
)
def test_a_metric_is_known_by_its_name(columns: str, values: str, metric: str, better: str) -> None:
    made = compare(table(RUNS.format(columns, values, values)))
    [found] = made.metrics
    assert (found.name, found.unit, found.higher_is_better) == (metric, "", better == "higher")
    assert f"metric = '{metric}' (guessed)" in made.reading
    assert f"; {metric}: {better} is better (guessed from its name)" in made.reading
    assert made.method_name == "method"


@pytest.mark.parametrize("name", ["val_acc", "Test Accuracy (%)", "top_1", "testAcc", "eval accuracy"])
def test_an_accuracy_is_one_whatever_it_is_called(name: str) -> None:
    asked = compare(table(RUNS.format(name, "95.1", "95.3")), name)
    [metric] = asked.metrics
    assert (metric.name, metric.unit, metric.margin, metric.counted) == (name, "%", 0.1, False)
    assert metric.heading.count("%") == 1
    assert "accuracies are percentages" in asked.reading
    assert asked.cells[0].mean == pytest.approx(0.951)
    counted = compare(table(RUNS.format(name, "95.1", "95.3")), name, total_images=1000)
    assert (counted.cells[0].counts, counted.metrics[0].counted) == ((951,), True)


def test_accuracy_comes_before_other_numbers() -> None:
    both = table(RUNS.format("rmse,acc", "2,95", "1,96"))
    assert [metric.name for metric in compare(both).metrics] == ["acc"]
    assert "not used: rmse" in compare(both).reading
    assert [metric.name for metric in compare(both, "rmse").metrics] == ["rmse"]
    with_option = compare(both, "rmse", columns={"accuracy": "acc"})
    assert [(metric.name, metric.unit) for metric in with_option.metrics] == [("acc", "%"), ("rmse", "")]
    called = compare(both.rename(columns={"acc": "x"}), "rmse", "x", columns={"accuracy": "x"})
    assert [(metric.name, metric.unit) for metric in called.metrics] == [("rmse", ""), ("x", "%")]


def test_a_column_of_methods_may_be_called_loss_or_model() -> None:
    names = table("loss,seed,val_loss\nce,0,0.2\nmae,0,0.3\n")
    assert (compare(names).method_name, compare(names).metrics[0].name) == ("loss", "val_loss")
    models = table("Model,seed,rmse\nce,0,0.2\nmae,0,0.3\n")
    assert (compare(models).method_name, compare(models).metrics[0].name) == ("Model", "rmse")


def test_a_method_may_be_called_as_a_metric_is() -> None:
    """mae is a loss and an error; beside ce, it is a loss."""
    for form in ("seed,ce,mae\n0,95.1,95.3\n", "model,seed,ce,mae\nvgg,0,95.1,95.3\n"):
        made = compare(table(form))
        assert [cell.loss for cell in made.cells] == ["ce", "mae"]
        assert made.metrics[0].name == "accuracy"
    assert compare(table("seed,mse,mae\n0,95.1,95.3\n"), baseline="mse").cells[1].loss == "mae"


@pytest.mark.parametrize(
    ("text", "metrics", "message"),
    [
        (RUNS.format("rmse,r2", "2,1", "2,1"), [], "which of its .*Give --metric-column.*: rmse, r2\n"),
        (RUNS.format("rmse,seconds", "2,1", "2,1"), [], "allowed: rmse, seconds\n"),
        (RUNS.format("loss,seconds", "2,1", "2,1"), [], "allowed: loss, seconds\n"),
        (RUNS.format("rmse,r2", "2,1", "2,1"), ["rsme"], "--metric-column: unknown column 'rsme'.*'rmse'"),
        (RUNS.format("rmse,r2", "2,1", "2,1"), ["r2", "r2"], "found r2, r2; expected each metric once"),
        (RUNS.format("points", "2", "2"), [], "no column of accuracies or correct answers .*--metric-column"),
        ("name,seed,rmse\na,0,1\nb,0,2\n", [], "no column of methods .*name  +words, all different: a, b"),
        ("name,seed,rmse\na,0,1\nb,0,2\n", ["rmse"], "no column of methods .*name +words, all"),
        ("name,seed,rmse,r2\na,0,1,2\nb,0,2,2\n", [], "no column of methods .*"),
        ("seed,acc\n0,1\n1,2\n", [], "no column of methods "),
        ("model,seed,rmse,runtime\na,0,1,2\nb,0,2,2\n", [], "allowed: rmse, runtime\n"),
        (RUNS.format("rmse", "2", "inf"), [], "column 'rmse', data row 2: found inf, expected a finite n"),
        (RUNS.format("rmse", "2", "two"), [], "column 'rmse', data row 2: found two, expected a number"),
        (RUNS.format("rmse", "-", ""), ["rmse"], "column 'rmse': there is no number in it"),
        (RUNS.format("rmse", "2", "4e18"), [], "row 2: found 4e.18, expected a number below 1e.14: in a"),
        (RUNS.format("nll,acc", "1,95", "2,0.9"), ["nll", "acc"], "'acc', data row 2: found 0.9, expected"),
        ("method,seed,image,nll\nce,0,1,\n", ["nll"], "found nothing, expected a number, since .* images"),
        ("method,seed,image,acc\nce,0,1,95\n", [], "found 95, expected 0 or 1, since .* images"),
    ],
)  # fmt: skip
def test_where_several_could_be_meant_it_asks(text: str, metrics: list[str], message: str) -> None:
    with pytest.raises(BenchError, match=f"(?s){message}"):
        compare(table(text), *metrics)


# ------------------------------------------------------------------------------------------- wide form

WIDE = pd.DataFrame({"seed": range(8), "ce": np.multiply(CE, 10), "ours": np.multiply(OURS, 10)})


def test_wide_form_holds_any_numbers_where_a_direction_is_given() -> None:
    for asked, name, verdict in (
        ({"lower_is_better": True}, "value", "superior"),
        ({"lower_is_better": False}, "value", "inferior"),
        ({"metrics": ["rmse"]}, "rmse", "superior"),
        ({"metrics": ["fitness"]}, "fitness", "inferior"),
        ({"metrics": ["fitness"], "lower_is_better": True}, "fitness", "superior"),
    ):
        made = compare_table("table", WIDE, Request(**asked))  # type: ignore[arg-type]
        [found] = comparisons(made)
        assert (found.metric, found.verdict) == (name, f"{verdict} on this test set")
        assert found.delta == pytest.approx(-4.975)
        assert made.method_name == "method"
    with pytest.raises(
        BenchError, match=r"found 363.1, expected an accuracy from 0 to 100; .*--lower-is-better or"
    ):
        compare(WIDE)
    with pytest.raises(
        BenchError, match=r"found -0.5, expected an accuracy from 0 to 1; .*--higher-is-better"
    ):
        compare(pd.DataFrame({"ce": [0.5, -0.5], "ours": [0.5, 0.6]}))


def test_wide_form_under_the_name_of_an_accuracy() -> None:
    made = compare(pd.DataFrame({"seed": [0, 1], "ce": [95.1, 95.2], "ours": [95.3, 95.1]}), "top1")
    assert (made.metrics[0].name, made.metrics[0].unit, made.cells[0].values) == ("top1", "%", (0.951, 0.952))


# ------------------------------------------------------------------------------------------- direction


@pytest.mark.parametrize(
    ("metrics", "lower", "directions", "said"),
    [
        (["zeta"], None, [True], "zeta: taken to be better the higher it is (if not, say --lower-is-better)"),
        (["zeta"], True, [False], "zeta: lower is better."),
        (["rmse"], False, [True], "rmse: higher is better."),
        (["rmse", "zeta", "acc"], True, [False, False, True], "zeta: lower is better;"),
        (["rmse", "zeta"], False, [False, True], "rmse: lower is better (guessed from its name); zeta: h"),
        (["rmse", "seconds"], True, [False, False], "rmse: lower is better (guessed from its name)"),
        (["acc"], False, [True], "accuracies are"),
    ],
)  # fmt: skip
def test_which_way_is_better(
    metrics: list[str], lower: bool | None, directions: list[bool], said: str
) -> None:
    made = compare(
        table(RUNS.format("rmse,zeta,acc,seconds", "1,2,3,4", "1,2,3,4")), *metrics, lower_is_better=lower
    )
    assert [metric.higher_is_better for metric in made.metrics] == directions
    assert said in made.reading


@pytest.mark.parametrize(
    ("metrics", "request_", "message"),
    [
        (["acc"], {"lower_is_better": True}, "--lower-is-better: acc is better the higher it is"),
        (["rmse", "acc"], {"lower_is_better": True}, "--lower-is-better: acc is better the higher"),
        (["rmse", "r2"], {"lower_is_better": False}, "--higher-is-better: rmse is better the lower"),
        ([], {"lower_is_better": True}, "--lower-is-better: acc is better the higher it is"),
        (["rmse"], {"percent": True}, "--percent and --fraction are for accuracies: rmse is none"),
        (["rmse"], {"margin": -1.0}, "--margin: found -1, expected a number in the metric's unit, 0 or more"),
    ],
)
def test_directions_that_cannot_be(metrics: list[str], request_: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        compare(table(RUNS.format("rmse,acc,r2", "1,2,3", "1,2,3")), *metrics, **request_)


def test_several_metrics_the_first_decides() -> None:
    rows = long(ce=CE, ours=OURS).assign(acc=[95.1, 95.2] * 8, zeta=[*CE, *OURS])
    made = compare(rows, "rmse", "acc", "zeta", margin=0.7)
    first, *others = comparisons(made)
    assert [c.metric for c in (first, *others)] == ["rmse", "acc", "zeta"]
    assert [c.metric for c in made.comparisons] == ["rmse"]
    assert [metric.margin for metric in made.metrics] == [0.7, None, None]
    assert (first.verdict, others[1].verdict) == ("superior on this test set", "inferior on this test set")
    assert [cell.metric for cell in made.secondary.cells] == ["acc", "acc", "zeta", "zeta"]
    assert "2 comparisons" in markdown(document(made).blocks(everything=False))
    alone = comparisons(compare(rows, "rmse", margin=0.7))
    assert alone == [first]  # its family is its own


# ----------------------------------------------------------------------------------- what did not finish


@pytest.mark.parametrize(
    "word", ["failed", "Diverged", "OOM", "error", "CRASHED", "timeout", " Out of memory", "failed: NaN loss"]
)
def test_a_cell_that_says_so_is_a_failed_run(word: str) -> None:
    for rows in (long(ce=CE, ours=[*OURS[:6], word, word]), long("acc", ce=CE, ours=[*OURS[:6], word, word])):
        made = compare(rows)
        ours = made.cells[1]
        assert (ours.n, ours.planned, ours.failed) == (6, 8, 2)
        [found] = comparisons(made)
        assert (found.n, found.missing) == (6, (6, 7))
        # Two failures of the loss itself: that it is worse holds all the more, that it is better does not.
        assert (found.verdict, found.failed, found.failed_baseline) == (
            "inferior on this test set"
            if found.metric == "acc"
            else "superior among runs that finished, on this test set",
            (6, 7),
            (),
        )
        assert found.p_failed == 0.5
        assert any(note.startswith("the run failed: ours, seed 6 (data row 15)") for note in made.notes)


def test_failed_runs_in_every_form() -> None:
    wide = WIDE.astype({"ours": object})
    wide.loc[7, "ours"] = "diverged"
    made = compare(wide, lower_is_better=True)
    assert [(cell.n, cell.failed) for cell in made.cells] == [(8, 0), (7, 1)]
    images = pd.DataFrame(
        [(m, s, i, s * i % 3) for m in ("ce", "ours") for s in range(3) for i in range(4)],
        columns=["method", "seed", "image", "nll"],
    ).astype({"nll": object})
    images.loc[14, "nll"] = "OOM"
    made = compare(images)
    assert [(cell.n, cell.failed) for cell in made.cells] == [(3, 0), (2, 1)]
    assert made.comparisons[0].missing == (0,)
    none = compare(long(ce=CE, ours=["failed"] * 8))
    assert [(cell.n, cell.failed) for cell in none.cells] == [(8, 0), (0, 8)]


def test_a_missing_value_is_no_failure_unless_another_cell_says_so() -> None:
    rows = long(ce=CE, ours=[*OURS[:6], None, "nan"])
    made = compare(rows)
    assert (made.cells[1].n, made.cells[1].failed, made.cells[1].planned) == (6, 0, 8)
    assert comparisons(made)[0].verdict == "superior on this test set"
    assert any("no score, so the run counts as missing: ours, seed 6" in note for note in made.notes)
    states = ["finished"] * 14 + ["crashed", "running"]
    made = compare(rows.assign(State=states))
    assert (made.cells[1].n, made.cells[1].failed) == (6, 1)
    finished = compare(rows.assign(State=["failed"] * 16))  # but there is a score
    assert [cell.failed for cell in finished.cells] == [0, 2]


# ---------------------------------------------------------------------------------------- single images


def by_image(values: np.ndarray[Any, Any], column: str = "nll") -> pd.DataFrame:
    """[2, seeds, images]"""
    rows = [
        (method, seed, f"img{image}", values[k, seed, image])
        for k, method in enumerate(("ce", "ours"))
        for seed in range(values.shape[1])
        for image in range(values.shape[2])
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "image", column])


def test_a_number_an_image_gives_intervals_for_new_images() -> None:
    draw = np.random.default_rng(5)
    values = draw.exponential(1, (2, 7, 60)).round(4)
    values[1] *= 0.8
    made = compare(by_image(values).sample(frac=1, random_state=1))
    [found] = comparisons(made)
    crossed = crossed_of_table(values[1] - values[0])
    assert found.delta == pytest.approx(crossed.estimate)
    assert (found.low_new_images, found.high_new_images) == pytest.approx((crossed.low, crossed.high))
    assert found.discordant is None
    assert made.cells[0].values == pytest.approx(values[0].mean(axis=1))
    assert made.cells[0].test_images == 60
    assert "nll: lower is better (guessed from its name); nll is the mean over images" in made.reading


def test_images_and_answers_together() -> None:
    draw = np.random.default_rng(6)
    rows = by_image(draw.exponential(1, (2, 5, 30)).round(3)).assign(correct=draw.integers(0, 2, 300))
    made = compare(rows, "nll", "correct")
    nll, accuracy = comparisons(made)
    assert (nll.metric, accuracy.metric) == ("nll", "accuracy")
    assert None not in (nll.low_new_images, accuracy.low_new_images, accuracy.discordant)
    alone = flat(compare(rows, "correct").comparisons[0])
    of_margin = {"p_equivalence", "seeds_to_decide_most", "seeds_to_be_equivalent"}  # which the first one has
    assert accuracy == SimpleNamespace(**{**alone, **dict.fromkeys(of_margin & alone.keys())})


def test_runs_on_other_images_are_not_compared() -> None:
    rows = by_image(np.arange(60.0).reshape(2, 3, 10)).drop(index=[59])
    made = compare(rows)
    assert made.comparisons[0].delta is None
    assert "different numbers of images" in made.comparisons[0].note
    assert any("ours, seed 2, lacks image img9" in note for note in made.notes)


# ------------------------------------------------------------------------------------------- the command


def test_what_every_comparison_needs_is_all_that_is_imported(tmp_path: Path) -> None:
    long(ce=CE, ours=OURS).to_csv(tmp_path / "theirs.csv", index=False)
    code = (
        "import sys; from bench import cli\n"
        "sys.argv = ['bench', 'compare', 'theirs.csv', '--json']\n"
        "try: cli.main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = 'torch mlflow sklearn matplotlib jinja2 submitit timm'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert '"metric": "rmse"' in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_options_of_the_command(bench: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    file = tmp_path / "theirs.csv"
    long("zeta", ce=CE, ours=OURS).assign(rmse=[*CE, *OURS]).to_csv(file, index=False)
    status, printed, said = bench(
        "compare",
        file,
        "--metric-column",
        "zeta",
        "--metric-column",
        "rmse",
        "--lower-is-better",
        "--margin",
        0.2,
    )
    assert (status, said) == (0, "")
    assert "zeta: lower is better; rmse: lower is better (guessed from its name)" in " ".join(printed.split())
    assert "| method | seeds |         zeta |" in printed
    assert "secondary · rmse" in printed
    assert "d_z" not in printed
    assert "d_z" in bench("compare", file, "--metric-column", "zeta", "--all")[1]
    status, printed, said = bench("compare", file, "--metric-column", "zet")
    assert (status, printed) == (2, "")
    allowed = "allowed: method, rmse, seed, zeta; did you mean 'zeta'?"
    assert said.endswith(f"theirs.csv: --metric-column: unknown column 'zet'; {allowed}\n")


def test_a_parquet_of_any_types(tmp_path: Path) -> None:
    rows = long(ce=CE, ours=OURS)
    [expected] = comparisons(compare(rows))
    rows.astype({"method": "category", "rmse": "Float64"}).to_parquet(tmp_path / "a.parquet")
    rows.astype({"rmse": np.float32}).to_parquet(tmp_path / "b.parquet")
    rows.astype({"rmse": str}).to_parquet(tmp_path / "c.parquet")
    rows.to_json(tmp_path / "d.jsonl", orient="records", lines=True)
    for path in tmp_path.iterdir():
        assert comparisons(compare(read_table(path))) == [expected], path


# ----------------------------------------------------------------------------------------------- properties

thousandths = st.integers(-5_000_000, 5_000_000)
ARMS = st.integers(2, 8).flatmap(
    lambda n: st.tuples(*(st.lists(thousandths, min_size=n, max_size=n) for _ in range(3)))
)
QUICK = settings(max_examples=25)
P = ("p", "p_adjusted", "p_equivalence", "p_sign_flip", "p_decided")
NEVER_TURNED = ("delta", "d_z", "g_z", "d_av", "g_av")


def of(arms: tuple[list[int], ...], scale: float = 1, shift: int = 0) -> pd.DataFrame:
    return long("zeta", **{
        name: [scale * (value + shift) / 1000 for value in arm] for name, arm in zip("abc", arms, strict=True)
    })  # fmt: skip


def judged(
    table: pd.DataFrame, baseline: str = "a", margin: float = 50.0, **request: Any
) -> list[SimpleNamespace]:
    return comparisons(compare(table, "zeta", baseline=baseline, margin=margin, **request))


def same(one: SimpleNamespace, other: SimpleNamespace, names: Sequence[str], factor: float = 1.0) -> None:
    for name in names:
        there, here = getattr(one, name), getattr(other, name)
        assert there is here is None or here == pytest.approx(factor * there, rel=1e-9, abs=1e-12), name


@given(ARMS, st.booleans())
@QUICK
def test_swapping_the_arms_mirrors_every_result(arms: tuple[list[int], ...], paired: bool) -> None:
    table = of(arms)
    table = table[table.method != "c"]
    [one] = judged(table, "a", paired=paired)
    [other] = judged(table, "b", paired=paired)
    word, _, scope = one.verdict.partition(" ")
    mirrored = {"superior": "inferior", "inferior": "superior"}.get(word, word)
    assert other.verdict == f"{mirrored} {scope}".strip()
    same(one, other, P)
    same(one, other, NEVER_TURNED, -1)
    assert one.low is other.high is None or one.low == pytest.approx(-other.high)


@given(ARMS, st.booleans())
@QUICK
def test_negating_the_numbers_and_their_direction_changes_no_verdict(
    arms: tuple[list[int], ...], paired: bool
) -> None:
    ones = judged(of(arms), paired=paired, lower_is_better=False)
    others = judged(of(arms, -1), paired=paired, lower_is_better=True)
    for one, other in zip(ones, others, strict=True):
        assert one.verdict == other.verdict
        same(one, other, [*P, "superiority", "superiority_low", "superiority_high", "correlation"])
        same(one, other, NEVER_TURNED, -1)


@given(ARMS, st.booleans(), st.sampled_from([1000, 1e-6]))
@QUICK
def test_another_unit_changes_the_differences_only(
    arms: tuple[list[int], ...], paired: bool, scale: float
) -> None:
    for one, other in zip(
        judged(of(arms), paired=paired),
        judged(of(arms, scale), paired=paired, margin=50 * scale),
        strict=True,
    ):
        assert one.verdict == other.verdict
        same(one, other, [*P, "d_z", "g_av", "superiority"])
        for name in ("delta", "low", "high", "sd", "detectable"):
            there, here = getattr(one, name), getattr(other, name)
            assert there is here is None or here == pytest.approx(scale * there, rel=1e-9, abs=1e-15 * scale)


@given(ARMS, st.booleans(), st.integers(-10_000_000, 10_000_000))
@QUICK
def test_a_constant_on_all_numbers_changes_nothing(
    arms: tuple[list[int], ...], paired: bool, shift: int
) -> None:
    for one, other in zip(
        judged(of(arms), paired=paired), judged(of(arms, shift=shift), paired=paired), strict=True
    ):
        assert (one.verdict, one.note) == (other.verdict, other.note)
        same(one, other, [*P, *NEVER_TURNED, "low", "high", "superiority", "detectable"])


@given(ARMS, st.randoms(use_true_random=False), st.booleans())
@QUICK
def test_permuting_rows_changes_nothing(arms: tuple[list[int], ...], random: Any, paired: bool) -> None:
    table = of(arms)
    order = list(range(len(table)))
    random.shuffle(order)
    shuffled = table.iloc[order].reset_index(drop=True)
    one, other = (compare(rows, "zeta", baseline="a", paired=paired) for rows in (table, shuffled))
    assert one == other
