"""Folds of a cross-validation are no seeds: how a table says so, and what is made of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.comparisons.external.layout import Request
from bench.comparisons.pairings import in_order
from bench.errors import BenchError
from bench.reports.columns import flat
from bench.reports.document import document
from bench.reports.external import compare_table
from bench.reports.render.markdown import markdown
from bench.reports.schema import Compared
from bench.statistics.equivalence import tost
from bench.statistics.paired import paired_t
from bench.statistics.resampled import corrected_t, correlated_posterior

K, REPEATS = 10, 10
DRAW = np.random.default_rng(1)
CE = DRAW.integers(70, 80, K * REPEATS)
LUCKY = CE + np.tile(np.repeat([-3, 5], K // 2), REPEATS) + np.tile([0, 1], K * REPEATS // 2)
"""Better by 1.5 images of 100, with a spread of 4: over 100 independent runs that were plain to see."""
CLEAR = CE + 10 + np.arange(K * REPEATS) % 3


def long(repeats: int = REPEATS, **arms: Sequence[int]) -> pd.DataFrame:
    rows = [
        (name, number // K + 1, number % K, count, 100)
        for name, counts in arms.items()
        for number, count in enumerate(counts[: repeats * K])
    ]
    return pd.DataFrame(rows, columns=["method", "repeat", "fold", "correct", "total"])


TABLE = long(ce=CE, lucky=LUCKY, clear=CLEAR)


def compare(table: pd.DataFrame, **request: Any) -> Compared:
    return compare_table("table", table, Request(**request))


def comparisons(made: Compared) -> dict[str, SimpleNamespace]:
    """As JSON has them."""
    return {c.loss: SimpleNamespace(**flat(c)) for c in (*made.comparisons, *made.secondary.comparisons)}


def shown(made: Compared) -> str:
    return " ".join(markdown(document(made).blocks(everything=True)).split())


def refused(table: pd.DataFrame, **request: Any) -> str:
    with pytest.raises(BenchError) as found:
        compare(table, **request)
    return str(found.value)


# ------------------------------------------------------------------------------------------- right answers


def test_what_looks_certain_over_independent_runs_is_not_over_folds() -> None:
    naive = comparisons(compare(TABLE.assign(seed=range(len(TABLE))).assign(
        seed=lambda t: (t.repeat - 1) * K + t.fold).drop(columns=["repeat", "fold"])))["lucky"]  # fmt: skip
    assert (naive.verdict, naive.p < 0.001) == ("superior on this test set", True)
    made = compare(TABLE)
    found = comparisons(made)["lucky"]
    assert (found.verdict, found.n, found.delta) == ("undecided", 100, naive.delta)
    assert found.p > 0.2
    assert comparisons(made)["clear"].verdict == "superior on this data set"
    assert made.answer == "clear is better than ce on this data set."


def test_the_numbers_are_those_of_the_statistics() -> None:
    """Two comparisons: p doubled, and intervals at 1 − α/2, so that both always agree."""
    found = comparisons(compare(TABLE, margin=2.0))["lucky"]
    t = corrected_t(LUCKY - CE, 100, 1 / (K - 1))
    posterior = correlated_posterior(t, 0.02)
    assert posterior is not None
    assert t.p is not None
    assert (found.p, found.p_adjusted, found.adjusted_by) == (t.p, min(2 * t.p, 1), "bonferroni")
    assert (found.p_worse, found.p_rope, found.p_better) == (
        posterior.worse,
        posterior.equivalent,
        posterior.better,
    )
    assert (found.p_equivalence, found.sd) == (
        max(min(2 * tost(t, 0.02), 0.5), tost(t, 0.02)),
        paired_t(LUCKY - CE, 100).sd,
    )
    assert (found.low, found.high) == t.interval(0.975)
    assert (found.level, found.p_decided, found.p_sign_flip) == (0.95, found.p_adjusted, None)
    # What takes independent folds, or promises that more of them would help, is not there.
    assert (found.superiority_low, found.seeds_to_decide, found.low_new_images) == (None, None, None)
    assert found.superiority == 0.5


def test_equivalence_is_adjusted_too() -> None:
    d = np.tile([0, 1, 0, -1], 25)
    close = long(ce=CE, a=CE + d, b=CE - d)
    found = comparisons(compare(close, margin=1.0))["a"]
    t = corrected_t(d, 100, 1 / (K - 1))
    p = tost(t, 0.01)
    assert p is not None
    assert (found.verdict, found.level) == ("equivalent on this data set", 0.9)
    assert found.p_decided == pytest.approx(2 * p)
    assert (found.low, found.high) == t.interval(0.95)
    assert -0.01 < found.low < found.high < 0.01


def test_less_error_is_better() -> None:
    errors = TABLE.assign(rmse=100 - TABLE.correct).drop(columns=["correct", "total"])
    found, turned = (comparisons(compare(table, margin=5.0)) for table in (TABLE, errors))
    assert turned["clear"].verdict == "superior on this data set"
    for key in ("p_worse", "p_better"):
        assert getattr(turned["lucky"], key) == pytest.approx(getattr(found["lucky"], key), abs=0.05)
    without = comparisons(compare(errors))["lucky"]
    assert without.p_rope is None
    assert without.p_worse + without.p_better == pytest.approx(1)


def test_every_form_of_a_table_gives_the_same() -> None:
    expected = {name: vars(c) | {"missing": ()} for name, c in comparisons(compare(TABLE)).items()}
    wide = TABLE.pivot_table(index=["repeat", "fold"], columns="method", values="correct").reset_index()
    numbered = TABLE.assign(seed=TABLE.repeat * K + TABLE.fold).drop(columns=["repeat", "fold"])
    forms: list[tuple[pd.DataFrame, dict[str, Any]]] = [
        (TABLE.sample(frac=1, random_state=1), {}),
        (TABLE.rename(columns={"repeat": "seed"}), {}),
        (TABLE.rename(columns={"repeat": "rep", "fold": "cv"}), {}),
        (TABLE.rename(columns={"fold": "split"}).assign(seed=7), {}),
        (
            TABLE.rename(columns={"repeat": "a", "fold": "b"}),
            {"columns": {"repeat": "a", "fold": "b"}},
        ),
        (wide, {"total_images": 100}),
        (wide.assign(total=100), {}),
        (wide.drop(columns=["repeat", "fold"]).assign(total=100), {"folds": K}),
        (numbered, {"folds": K}),
        (TABLE, {"folds": K}),
    ]
    for table, asked in forms:
        made = compare(table, **asked)
        assert made.folds == (K,)
        assert "compared by folds, 10 of them, repeated 10 times" in made.reading, asked
        found = {name: vars(c) for name, c in comparisons(made).items()}
        for name in expected:
            differing = {key for key, value in expected[name].items() if found[name][key] != value}
            assert differing <= {"missing"}, (asked, made.reading)


def test_folds_alone() -> None:
    made = compare(long(1, ce=CE, clear=CLEAR).drop(columns="repeat"))
    assert "compared by folds, 10 of them; " in made.reading
    assert made.cells[0].seeds == tuple(f"fold {k}" for k in range(10))
    t = corrected_t((CLEAR - CE)[:K], 100, 1 / (K - 1))
    assert comparisons(made)["clear"].p == t.p
    [asked] = comparisons(compare(long(1, ce=CE, clear=CLEAR).rename(columns={"fold": "seed"}).drop(
        columns="repeat"), folds=10)).values()  # fmt: skip
    assert asked.p == t.p


def test_a_fold_has_its_name_and_folds_their_natural_order() -> None:
    made = compare(TABLE)
    seeds = made.cells[0].seeds
    assert (seeds[0], seeds[10], seeds[-1]) == (
        "repeat 1, fold 0",
        "repeat 2, fold 0",
        "repeat 10, fold 9",
    )
    named = compare(TABLE.assign(fold=TABLE.fold.map("part {}".format)))
    assert named.cells[0].seeds[0] == "repeat 1, fold part 0"


def test_a_column_of_seeds_beside_repeats_is_not_used() -> None:
    made = compare(TABLE.assign(seed=range(len(TABLE))))
    assert "not used: seed" in made.reading
    assert comparisons(made).keys() == {"lucky", "clear"}
    wide = TABLE.pivot_table(index=["repeat", "fold"], columns="method", values="correct").reset_index()
    made = compare(wide.assign(total=100, seed=range(100)))
    assert "not used: seed" in made.reading
    assert comparisons(made).keys() == {"lucky", "clear"}


def test_a_column_of_repeats_without_folds_is_one_of_seeds() -> None:
    made = compare(TABLE[TABLE.fold == 0].drop(columns="fold"))
    assert "seed = 'repeat' (guessed)" in made.reading
    assert made.folds == ()
    assert comparisons(made)["clear"].p_better is None


def test_who_insists_gets_seeds() -> None:
    table = long(1, ce=CE, clear=CLEAR).drop(columns="repeat")
    assert compare(table, columns={"seed": "fold"}).folds == ()


def test_a_column_split_that_says_test_holds_no_folds() -> None:
    table = TABLE[TABLE.fold == 0].drop(columns="fold").assign(split="test")
    assert "not used: split" in compare(table).reading


def test_data_sets_may_have_folds_of_their_own() -> None:
    five = TABLE[TABLE.fold < 5].assign(dataset="five")
    made = compare(pd.concat([TABLE.assign(dataset="ten"), five]))
    assert made.folds == (5, 10)
    by_data = {(c.dataset, c.loss): c for c in made.comparisons}
    d = np.array(LUCKY - CE)
    assert by_data["five", "lucky"].p == corrected_t(d[np.arange(100) % 10 < 5], 100, 1 / 4).p
    assert by_data["ten", "lucky"].p == corrected_t(d, 100, 1 / 9).p
    assert "of 5 or 10 folds (k)" in shown(made)


def test_folds_need_not_be_of_one_size() -> None:
    """75 images in the first, 76 in the others: means are compared."""
    sizes = np.where(TABLE.fold == 0, 75, 76)
    table = TABLE.assign(total=sizes, correct=TABLE.correct * 3 // 4)
    made = compare(table, margin=0.2)
    found = comparisons(made)["lucky"]
    by_method = dict(iter(table.groupby("method")))
    d = (by_method["lucky"].correct / by_method["lucky"].total).to_numpy() - (
        by_method["ce"].correct / by_method["ce"].total
    ).to_numpy()
    assert found.delta == pytest.approx(d.mean())
    assert found.sd == pytest.approx(d.std(ddof=1))
    assert "folds are of unequal sizes" in made.reading


def test_answers_to_single_images() -> None:
    """Every image is in one fold of a repeat: nothing can be said of new ones."""
    draw = np.random.default_rng(4)
    rows = [
        (name, repeat, image % 5, image, int(draw.random() < share))
        for name, share in (("ce", 0.5), ("clear", 0.97))
        for repeat in range(3)
        for image in range(203)
    ]
    table = pd.DataFrame(rows, columns=["method", "repeat", "fold", "image", "correct"])
    made = compare(table)
    found = comparisons(made)["clear"]
    assert (found.verdict, found.n, found.low_new_images) == ("superior on this data set", 15, None)
    assert not any("new images" in note for note in made.notes)
    assert "folds are of unequal sizes" in made.reading
    loss = table.assign(nll=table.correct * 0.25 + 0.125).drop(columns="correct")
    assert comparisons(compare(loss))["clear"].n == 15


def test_many_folds_that_are_not_repeated_may_be_repeats() -> None:
    table = TABLE.assign(fold=TABLE.repeat * K + TABLE.fold).drop(columns="repeat")
    assert "100 of them (if they are repeats of fewer, say --folds)" in compare(table).reading
    assert comparisons(compare(table, folds=10))["lucky"].p == comparisons(compare(TABLE))["lucky"].p


def test_what_is_shown() -> None:
    made = compare(TABLE, margin=1.0)
    text = shown(made)
    for words in (
        "compared by folds",
        "|method| folds|",
        "P worse | P same | P better",
        "folds are not independent",
        "Nadeau and Bengio 2003",
        "Benavoli et al. 2017",
        "97.5 % one, as p is adjusted over 2 comparisons by Bonferroni",
        "† on this data set.",
    ):
        assert words in text, words
    assert "on new images" not in text
    assert "probabilities that it is worse and better are" in shown(
        compare(TABLE.rename(columns={"correct": "rmse"}))
    )


def test_a_pair_that_is_missing_is_said_to_be() -> None:
    lacks = TABLE[~((TABLE.method == "lucky") & (TABLE.repeat == 2) & (TABLE.fold == 3))]
    made = compare(lacks)
    found = comparisons(made)["lucky"]
    assert (found.n, list(found.missing)) == (99, ["repeat 2, fold 3"])
    only = "only folds that both have a result for are compared"
    assert f"lucky: no pair for repeat 2, fold 3: {only}" in shown(made)
    failed = TABLE.astype({"correct": object})
    failed.loc[lacks.index.symmetric_difference(TABLE.index), "correct"] = "diverged"
    made = compare(failed)
    assert comparisons(made)["clear"].verdict == "superior on this data set"
    assert any("the run failed: lucky, repeat 2, fold 3 (data row" in note for note in made.notes)
    failed.loc[(failed.method == "clear") & (failed.fold == 3), "correct"] = "diverged"
    found = comparisons(compare(failed))["clear"]
    assert found.verdict == "superior on this data set"  # 90 folds are won, and 10 are lost to failure
    failed.loc[(failed.method == "clear") & (failed.fold < 5), "correct"] = "diverged"
    found = comparisons(compare(failed))["clear"]
    assert found.verdict == "superior among runs that finished, on this data set"


def test_without_a_spread_nothing_is_tested() -> None:
    found = comparisons(compare(long(ce=CE, same=CE + 3)))["same"]
    assert (found.p, found.p_better, found.verdict) == (None, None, "undecided")
    assert "all 100 differences are equal" in found.note


@given(st.lists(st.integers(0, 100), min_size=12, max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_the_order_of_rows_does_not_matter(counts: list[int], random: Any) -> None:
    rows = [("ce", k, 50 + k % 3) for k in range(12)] + [("a", k, count) for k, count in enumerate(counts)]
    made = []
    for order in (rows, random.sample(rows, len(rows))):
        table = pd.DataFrame(order, columns=["method", "fold", "correct"])
        made.append(compare(table, total_images=100))
    assert made[0].comparisons == made[1].comparisons
    assert made[0].cells == made[1].cells


def test_names_are_in_their_natural_order() -> None:
    names = ["b", "a10", "a9", "a09", 3, "a9 10", "a9 2", "10", 20, "٣", "٢"]
    assert in_order(names) == [3, 20, "10", "a09", "a9", "a9 2", "a9 10", "a10", "b", "٢", "٣"]
    assert in_order(reversed(names)) == in_order(names)


# ------------------------------------------------------------------------------------------- bad requests


def test_a_fold_missing_in_one_repeat() -> None:
    lacks = TABLE[~((TABLE.repeat == 2) & (TABLE.fold == 3))]
    assert refused(lacks) == (
        "table: column 'fold': repeat 2 has no fold 3, which repeat 1 has in data row 4; expected the same "
        "folds in each repeat, and repeats in column 'repeat' (if they are in another, say --repeat-column)"
    )
    assert "column 'fold', mnist: repeat 2 has no fold 3" in refused(lacks.assign(dataset="mnist"))


def test_one_fold_only() -> None:
    one = TABLE[TABLE.fold == 3]
    assert refused(one).startswith("table: column 'fold', data row 1: found fold 3 and no other; expected 2")


def test_a_fold_twice() -> None:
    twice = pd.concat([TABLE, TABLE.iloc[[4]]])
    assert "table: ce, repeat 1, fold 4 is there twice, in data rows 5 and 301" in refused(twice)
    message = refused(TABLE.drop(columns="repeat"))
    assert "ce, fold 0 is there twice, in data rows 1 and 11" in message
    assert "a column of repeats, data sets, models or another setting is lacking" in message


def test_folds_are_paired() -> None:
    words = "says that runs are folds, which are the same images for all methods, and compared in pairs"
    assert f"--unpaired: --folds {words}" in refused(TABLE, folds=10, paired=False)
    assert f"--unpaired: column 'fold' {words}" in refused(TABLE, paired=False)


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (1, "--folds: found 1, expected 2 or more"),
        (0, "--folds: found 0, expected 2 or more"),
        (5, "table: --folds: found 5, but column 'fold' has 10 folds; expected 10"),
    ],
)
def test_a_wrong_number_of_folds(folds: int, message: str) -> None:
    assert refused(TABLE, folds=folds) == message


def test_seeds_that_are_no_repeats_of_so_many_folds() -> None:
    table = long(1, ce=CE, clear=CLEAR).drop(columns="repeat").rename(columns={"fold": "seed"})
    assert refused(table, folds=4) == (
        "table: --folds: found 4, but column 'seed' has 10 folds; expected a number that divides 10"
    )
    wide = pd.DataFrame({"ce": CE, "clear": CLEAR})
    assert "but the table has 100 folds; expected a number that divides 100" in refused(
        wide, folds=3, total_images=100
    )


def test_columns_that_are_not_there_or_too_many() -> None:
    assert "--fold-column: unknown column 'fald'; " in refused(TABLE, columns={"fold": "fald"})
    assert "did you mean 'fold'?" in refused(TABLE, columns={"fold": "fald"})
    none = TABLE.drop(columns=["fold", "repeat"])
    assert refused(none, folds=10).partition("\n")[0].endswith("name it with --fold-column")
    alone = TABLE.drop(columns="fold")
    assert "--repeat-column: repeats of what? Give --fold-column too" in refused(
        alone, columns={"repeat": "repeat"}
    )
    both = {"repeat": "repeat", "seed": "run"}
    assert "found both, expected the one" in refused(TABLE.assign(run=1), columns=both)
    empty = TABLE.astype({"fold": object})
    empty.loc[3, "fold"] = None
    assert "column 'fold', data row 4: found nothing, expected a name or number" in refused(empty)


def test_the_command(tmp_path: Path) -> None:
    TABLE.rename(columns={"fold": "k", "repeat": "r"}).to_csv(tmp_path / "folds.csv", index=False)
    command = [sys.executable, "-m", "bench", "compare", "folds.csv"]

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )

    named = run("--fold-column", "k", "--repeat-column", "r")
    assert (named.returncode, "compared by folds, 10 of them" in " ".join(named.stdout.split())) == (0, True)
    wrong = run("--fold-column", "k", "--repeat-column", "r", "--folds", "1")
    assert (wrong.returncode, wrong.stderr) == (2, "bench: --folds: found 1, expected 2 or more\n")
