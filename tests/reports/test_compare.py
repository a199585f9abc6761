"""``bench compare`` on somebody's table: right answers for all its forms, one message for what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.comparisons.external.layout import Request
from bench.comparisons.external.reading import read_table
from bench.errors import BenchError
from bench.reports.columns import flat
from bench.reports.document import document
from bench.reports.external import compare_table
from bench.reports.render.markdown import markdown
from bench.reports.schema import Compared
from bench.statistics.crossed import crossed_anova
from bench.statistics.paired import paired_t
from bench.statistics.rotations import rotate
from bench.statistics.unpaired import brunner_munzel, welch

CE = [905, 910, 903, 915, 890, 905, 899]
MAE = [857, 862, 858, 866, 839, 854, 850]
GCE = [906, 909, 904, 914, 891, 904, 900]


def long(total: int = 1000, **arms: list[int]) -> pd.DataFrame:
    return pd.DataFrame(
        [(name, seed, count, total) for name, counts in arms.items() for seed, count in enumerate(counts)],
        columns=["method", "seed", "correct", "total"],
    )


def compare(table: pd.DataFrame, **request: Any) -> Compared:
    return compare_table("table", table, Request(**request))


def comparisons(made: Compared) -> list[SimpleNamespace]:
    """As JSON has them."""
    return [SimpleNamespace(**flat(c)) for c in made.comparisons]


def numbers(made: Compared) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in flat(c).items() if key not in ("metric", "note")}
        for c in made.comparisons
    ]


def shown(made: Compared) -> str:
    return markdown(document(made).blocks(everything=True))


def in_a_row(made: Compared) -> str:
    """The same without line breaks."""
    return " ".join(shown(made).split())


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


# ------------------------------------------------------------------------------------------- right answers


def test_the_numbers_are_those_of_the_statistics() -> None:
    mae = comparisons(compare(long(ce=CE, mae=MAE, gce=GCE), margin=0.5))[1]
    t = paired_t(np.array(MAE) - CE, 1000)
    family = rotate([np.array([np.array(GCE) - CE, np.array(MAE) - CE], dtype=float).T])
    assert (mae.loss, mae.delta, mae.p) == ("mae", t.estimate, t.p)
    assert (mae.low, mae.high) == pytest.approx(t.interval(1 - family.level(0.05)))
    assert mae.p_adjusted == family.chance(t.p)
    assert mae.verdict == "inferior on this test set"
    assert mae.p_sign_flip == 2 / 2**7


def test_every_form_of_a_table_gives_the_same(tmp_path: Path) -> None:
    table = long(ce=CE, gce=GCE, mae=MAE)
    expected = numbers(compare(table))
    wide = pd.DataFrame({"seed": range(7), "ce": CE, "gce": GCE, "mae": MAE})
    table.to_csv(tmp_path / "comma.csv", index=False)
    table.to_csv(tmp_path / "index.csv")  # a nameless first column
    table.to_csv(tmp_path / "tab.tsv", index=False, sep="\t", encoding="utf-8-sig")
    table.to_csv(tmp_path / "semicolon.csv", index=False, sep=";")
    table.to_json(tmp_path / "lines.jsonl", orient="records", lines=True)
    table.to_parquet(tmp_path / "table.parquet")
    table.astype({"method": "category", "correct": "Int64"}).to_parquet(tmp_path / "types.parquet")
    table.set_index(["method", "seed"]).to_parquet(tmp_path / "indexed.parquet")
    for path in tmp_path.iterdir():
        assert numbers(compare(read_table(path))) == expected, path
    assert numbers(compare(wide, total_images=1000)) == expected
    assert numbers(compare(wide.assign(total=1000))) == expected
    assert numbers(compare(wide.drop(columns="seed").assign(total=1000)))[0]["p"] == expected[0]["p"]
    percent = table.assign(acc=table.correct / 10).drop(columns=["correct", "total"])
    fraction = table.assign(acc=table.correct / 1000).drop(columns=["correct", "total"])
    for accuracies in (percent, fraction):
        assert numbers(compare(accuracies, total_images=1000)) == expected
        assert numbers(compare(accuracies)) == expected  # in steps of 1/1,000


def test_what_was_guessed_is_said() -> None:
    table = pd.DataFrame({"Loss": ["ce", "b"] * 2, "run": [0, 0, 1, 1], "Test Acc": [95.5, 95.6, 95.4, 95.7]})
    made = compare(table.assign(host="x"))
    for words in (
        "long form",
        "method = 'Loss' (guessed)",
        "accuracy = 'Test Acc' (guessed)",
        "not used: host",
    ):
        assert words in made.reading
    assert "percentages (guessed: the largest is 95.7)" in made.reading
    assert "steps of 1/1,000" in made.reading
    assert made.cells[0].test_images is None
    assert "seed = 'run', " in compare(table, columns={"seed": "run"}).reading
    assert made.reading in in_a_row(made)
    assert "fractions" in compare(table.assign(**{"Test Acc": [0.9, 0.8, 0.7, 0.6]})).reading


def test_whole_numbers_without_a_name_are_counts_or_percentages() -> None:
    percent = pd.DataFrame({"seed": range(6), "ce": [94, 95, 96, 95, 94, 96], "a": [96, 97, 97, 97, 95, 97]})
    for asked in ({}, {"percent": True}):
        made = compare(percent, total_images=10_000, **asked)
        assert made.cells[0].counts[0] == 9_400
        assert "accuracies are percentages" in made.reading
        # No name says what they are: errors would get the opposite verdict.
        assert ("(if not, say --lower-is-better)" in made.reading) == (not asked)
    counts = compare(percent.assign(ce=percent.ce * 100, a=percent.a * 100), total_images=10_000)
    assert counts.cells[0].counts[0] == 9_400
    assert "numbers of correct answers (guessed: the largest is 9700)" in counts.reading


def test_the_family_is_what_can_be_tested() -> None:
    made = compare(long(ce=CE, mae=MAE, same=[count + 7 for count in CE]))
    assert "1 of 2 can be tested, so that p needs no adjustment" in made.method
    assert "adjusted over 2 comparisons by" in compare(long(ce=CE, mae=MAE, gce=GCE)).method


def test_a_training_loss_is_no_method() -> None:
    table = pd.DataFrame({"criterion": ["ce", "b"], "loss": [0.31, 0.2], "seed": 0, "acc": [0.9, 0.8]})
    assert "method = 'criterion'" in compare(table).reading


def test_accuracies_with_all_their_digits_are_whole_steps() -> None:
    """Differenced floats would break ties; here the three differences are seen to be equal."""
    counts = np.array([19_900, 19_910, 19_923])
    for accuracies in (counts / 20_800, 100 * counts / 20_800, (counts / 20_800).astype(np.float32)):
        table = pd.DataFrame(
            {"seed": range(3), "ce": accuracies, "b": accuracies + (accuracies[1] - accuracies[0])}
        )
        made = compare(table)
        assert "steps of 1/2,080," in made.reading or "steps of 1/20,800" in made.reading
        [found] = comparisons(made)
        assert (found.p, found.verdict) == (None, "undecided")
        assert "all 3 differences are equal" in found.note


def test_printed_accuracies_stand_for_the_nearest_count() -> None:
    table = pd.DataFrame({"method": ["ce", "min_ent"], "seed": 0, "accuracy": [95.86, 95.933]})
    made = compare(table, total_images=20_800)
    assert [cell.counts for cell in made.cells] == [(19_939,), (19_954,)]
    rounded = compare(table.assign(accuracy=[95.86, 95.93]), total_images=20_800)
    assert "in steps of 0.01 points, which are 2.1 of 20,800 images" in rounded.reading


def test_answers_to_single_images_give_intervals_for_new_images() -> None:
    draw = np.random.default_rng(3)
    answers = draw.random((14, 200)) < draw.beta(4, 1, 200)
    rows = [
        (method, seed, f"img{i}", bool(answers[7 * k + seed, i]))
        for k, method in enumerate(["ce", "mae"])
        for seed in range(7)
        for i in range(200)
    ]
    table = pd.DataFrame(rows, columns=["method", "seed", "image", "correct"])
    [found] = comparisons(compare(table.sample(frac=1, random_state=1)))
    d = answers[7:].astype(np.int64) - answers[:7].astype(np.int64)
    crossed = crossed_anova(d @ d.T, d.sum(axis=1), 200)
    t = paired_t(d.sum(axis=1), 200)
    se, df = max(crossed.se, t.se), min(crossed.df, t.df)
    reach = max(stats.t.isf(0.025, df) * se, (found.high - found.low) / 2 * se / t.se)
    ends = t.estimate - reach, t.estimate + reach
    assert (found.low_new_images, found.high_new_images) == pytest.approx(ends)
    assert found.discordant == np.abs(d).sum() / 7
    assert comparisons(compare(table.astype({"correct": int}))) == [found]
    made = compare(table.assign(image=np.where(table.index == 5, "other", table.image)))
    [lacking] = comparisons(made)
    assert (lacking.low_new_images, lacking.p) == (None, found.p)
    assert any("lacks image" in note for note in made.notes)


def test_unpaired_runs_are_said_to_be(write: Callable[[str, str], Path]) -> None:
    table = long(ce=CE, mae=MAE[:5]).drop(columns="seed")
    made = compare(table, paired=False)
    [found] = comparisons(made)
    expected = welch(MAE[:5], CE, 1000)
    assert (found.delta, found.low, found.high, found.p) == (
        *(expected.estimate, expected.low, expected.high, expected.p),
    )
    assert found.superiority == brunner_munzel(MAE[:5], CE, 1000).superiority.estimate
    assert (found.n, found.n_baseline, found.missing, found.d_z) == (5, 7, (), None)
    assert "**NOT PAIRED" in shown(made)
    with pytest.raises(BenchError, match=r"no column of seeds .*--unpaired"):
        compare(table)


def test_data_sets_and_models_are_compared_within() -> None:
    tables = [
        long(ce=CE, mae=MAE).assign(dataset=d, arch=m) for d, m in (("a", "vgg"), ("b", "vgg"), ("b", "x"))
    ]
    made = compare(pd.concat(tables))
    assert [(c.dataset, c.model, c.loss) for c in made.comparisons] == [
        *(("a", "vgg", "mae"), ("b", "vgg", "mae"), ("b", "x", "mae")),
    ]


def test_missing_pairs_and_scores_are_named() -> None:
    table = long(ce=CE, mae=MAE).drop(index=[8]).reset_index(drop=True)
    table.loc[3, "correct"] = np.nan
    made = compare(table)
    [found] = made.comparisons
    assert (found.n, found.missing) == (5, (1, 3))
    assert any("ce, seed 3 (data row 4)" in note for note in made.notes)
    text = in_a_row(made)
    assert "no pair for seed 1, 3" in text
    assert "6/7" in text


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ({"ce": [905], "b": [907]}, "one seed"),
        ({"ce": [905, 910], "b": [907, 912]}, "all 2 differences are equal"),
        ({"ce": [905, 905], "b": [905, 905]}, "all 2 differences are equal"),
        ({"ce": [905, 910]}, "one method, ce, and nothing to compare it with"),
    ],
)
def test_what_cannot_be_computed_is_said(arms: dict[str, list[int]], said: str) -> None:
    made = compare(long(**arms))
    assert said in in_a_row(made)
    assert made.cells[0].mean is not None
    assert all((c.p, c.verdict) == (None, "undecided") for c in comparisons(made))


def test_test_sets_of_different_size_are_not_compared_and_named() -> None:
    table = long(ce=CE, mae=MAE)
    table.loc[2, "total"] = 1200
    table.loc[8, "correct"] = np.nan
    made = compare(table)
    assert made.comparisons[0].delta is None
    assert "ce: its seeds were tested on 1,000 to 1,200 images" in made.notes


def test_the_baseline_is_known_by_its_usual_name_only() -> None:
    assert compare(long(ours=MAE, cross_entropy=CE)).baseline == "cross_entropy"
    with pytest.raises(BenchError, match=r"Give --baseline; allowed: mae, ours"):
        compare(long(ours=CE, mae=MAE))


def test_a_million_rows_take_seconds() -> None:
    draw = np.random.default_rng(0)
    rows = pd.DataFrame({"method": np.repeat(["ce", "b"], 500_000), "seed": np.tile(np.arange(500_000), 2)})
    made = compare(rows.assign(correct=draw.integers(900, 950, 1_000_000), total=1000))
    assert made.comparisons[0].n == 500_000
    assert any("takes too long" in note or "take too long" in note for note in made.notes)


# ---------------------------------------------------------------------------------------------- bad tables

HEADER = "method,seed,correct,total\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "a.csv: the file is empty; expected CSV"),
        ("a.csv", HEADER, "but no rows"),
        ("a.csv", b"\x7fELF\x00\xff\xfe", "a binary file; expected CSV"),
        ("a.csv", b"abc\x00def,x\n1,2\n", "a binary file"),
        ("a.parquet", b"\x7fELF\x00", "a.parquet: no Parquet file that can be read"),
        ("a.csv", b"PAR1 and nothing behind", "no Parquet file that can be read"),
        ("a.jsonl", '{"method": "ce"}\n{"meth', "a.jsonl: line 2: no JSON"),
        ("a.jsonl", "[1, 2]\n", "line 1: expected one object a line"),
        ("a.csv", "seed,seed,ce\n1,1,3\n", "2 columns are called 'seed'"),
        ("a.csv", HEADER + "ce,0,1,2,3,4\n", "rows with more fields than the header, 4"),
        ("a.csv", HEADER + "ce,0,1,2\nce,1,2,3,4,5\n", "the rows do not have 4 fields each: .*line 3, saw 6"),
        ("a.csv", HEADER + "ce,0,9,10\nce,0,8,10\n", "ce, seed 0 is there twice, in data rows 1 and 2"),
        ("a.csv", HEADER + "ce,0,9.5,10\n", "column 'correct', data row 1: found 9.5, expected a whole"),
        ("a.csv", HEADER + "ce,0,9,10\nce,1,11,10\n", "data row 2: found 11.*, expected from 0 to 10"),
        ("a.csv", HEADER + "ce,0,-1,10\n", "data row 1: found -1, expected from 0 to 10 correct"),
        ("a.csv", HEADER + "ce,0,9,ten\n", "column 'total', data row 1: found ten, expected a number"),
        ("a.csv", HEADER + "ce,0,9,\n", "column 'total', data row 1: found nothing"),
        ("a.csv", HEADER + ",0,9,10\nce,0,9,10\n", "column 'method', data row 1: found nothing"),
        ("a.csv", HEADER + "ce,,9,10\n", "column 'seed', data row 1: found nothing, expected a name"),
        ("a.csv", HEADER + "ce,0,,10\n", "column 'correct': there is no number in it"),
        ("a.csv", "method,seed,correct\nce,0,9\n", "'correct': out of how many\\? Give --total-column"),
        ("a.csv", "loss,seed,acc\nce,0,95,1\n", "more fields than the header"),
        ("a.csv", 'loss;seed;acc\nce;0;"95,1"\nb;0;1\n', "data row 2: found 1.0, expected a percentage, as"),
        ("a.csv", "loss,seed,acc\nce,0,95\nb,0,0.9\n", "data row 2: found 0.9, expected a percentage"),
        ("a.csv", "loss,seed,acc\nce,0,-0.1\n", "found -0.1, expected an accuracy from 0 to 1"),
        ("a.csv", "loss,seed,acc\nce,0,19954\n", "expected an accuracy from 0 to 100; .*--total-images"),
        ("a.csv", "loss,seed,acc\nce,0,inf\nb,0,1\n", "data row 1: found inf, expected a finite number"),
        ("a.csv", "loss,seed,points\nce,0,1\n", "no column of accuracies .*points  whole numbers"),
        ("a.csv", "a,b\nx,y\n", "no column of methods "),
        ("a.csv", "method,seed,image,correct\nce,0,1,0.5\n", "expected 0 or 1, since there is"),
        ("a.csv", "method,seed,image,correct\nce,0,1,1\nce,0,1,0\n", "ce, seed 0, image 1 is there twice"),
    ],
)  # fmt: skip
def test_bad_tables_get_one_message(
    write: Callable[[str, str | bytes], Path], name: str, content: str | bytes, message: str
) -> None:
    path = write(name, content)
    with pytest.raises(BenchError, match=f"(?s){message}") as caught:
        compare_table(str(path), read_table(path), Request())
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"baseline": "maee"}, "--baseline: unknown method 'maee'; allowed: ce, mae; did you mean 'mae'?"),
        ({"columns": {"seed": "sed"}}, "--seed-column: unknown column 'sed'; .*did you mean 'seed'"),
        ({"alpha": 0.0}, "--alpha: found 0, expected a probability above 0 and below 0.5"),
        ({"margin": -1.0}, "--margin: found -1"),
        ({"margin": float("nan")}, "--margin: found nan"),
        ({"columns": {"accuracy": "correct"}, "percent": False}, "found 905, expected an accuracy"),
    ],
)  # fmt: skip
def test_bad_requests_get_one_message(request_: dict[str, Any], message: str) -> None:
    table = long(ce=CE, mae=MAE)
    if "percent" in request_:
        table = table.drop(columns="total")
    with pytest.raises(BenchError, match=message):
        compare(table, **request_)


def test_accuracies_that_no_count_gives_are_refused() -> None:
    table = pd.DataFrame({"method": ["ce", "b"], "seed": 0, "accuracy": [0.91234, 0.9]})
    with pytest.raises(BenchError, match=r"data row 1: found 0.91234, .*this is 91.23 of 100 test images"):
        compare(table, total_images=100)


def test_a_file_that_is_not_there_is_named_with_one_that_is(tmp_path: Path) -> None:
    (tmp_path / "results.csv").touch()
    with pytest.raises(BenchError, match=r"there is no such file; did you mean 'results.csv'"):
        read_table(tmp_path / "result.csv")
    with pytest.raises(BenchError, match="a folder; expected a file"):
        read_table(tmp_path)


def test_words_that_pandas_takes_for_nothing_are_names(write: Callable[[str, str], Path]) -> None:
    made = compare(read_table(write("a.csv", HEADER + "None,0,9,10\nce,0,8,10\n")))
    assert [cell.loss for cell in made.cells] == ["ce", "None"]


def test_the_document_can_be_read_back() -> None:
    made = compare(long(ce=CE, mae=MAE))
    read = json.loads(made.model_dump_json())
    assert read["comparisons"] == [json.loads(json.dumps(flat(c))) for c in made.comparisons]
    assert read["metrics"] == [
        {"name": "accuracy", "unit": "%", "higher_is_better": True, "margin": 0.1, "counted": True}
    ]
    assert (read["secondary"]["comparisons"], read["cells"][0]["values"][0]) == ([], 0.905)


# ----------------------------------------------------------------------------------------------- properties

counts = st.integers(0, 60)
ARMS = st.integers(2, 8).flatmap(
    lambda n: st.tuples(*(st.lists(counts, min_size=n, max_size=n) for _ in range(3)))
)
QUICK = settings(max_examples=25)


def of(arms: tuple[list[int], ...], total: int = 100) -> pd.DataFrame:
    return long(total, **dict(zip("abc", arms, strict=True)))


@given(ARMS, st.booleans())
@QUICK
def test_swapping_the_arms_mirrors_every_result(arms: tuple[list[int], ...], paired: bool) -> None:
    table = of(arms)
    table = table[table.method != "c"]
    [one] = comparisons(compare(table, baseline="a", margin=1.0, paired=paired))
    [other] = comparisons(compare(table, baseline="b", margin=1.0, paired=paired))
    mirrored = {"superior": "inferior", "inferior": "superior"}
    word, _, scope = one.verdict.partition(" ")
    assert other.verdict == f"{mirrored.get(word, word)} {scope}".strip()
    for name in ("delta", "d_z", "g_z", "d_av", "g_av"):
        there, back = getattr(one, name), getattr(other, name)
        assert there is back is None or there == pytest.approx(-back, abs=1e-15)
    for low, high in (("low", "high"), ("superiority_low", "superiority_high")):
        middle = 1.0 if low.startswith("superiority") else 0.0
        there, back = getattr(one, low), getattr(other, high)
        assert there is back is None or there == pytest.approx(middle - back, abs=1e-12)
    same = (
        "p",
        "p_adjusted",
        "p_equivalence",
        "p_sign_flip",
        "p_decided",
        "detectable",
        "seeds_to_decide",
        "correlation",
    )
    for name in same:
        there, back = getattr(one, name), getattr(other, name)
        assert there is back is None or there == pytest.approx(back, rel=1e-9), name


@given(ARMS, st.randoms(use_true_random=False), st.booleans())
@QUICK
def test_permuting_rows_changes_nothing(arms: tuple[list[int], ...], random: Any, paired: bool) -> None:
    table = of(arms)
    order = list(range(len(table)))
    random.shuffle(order)
    shuffled = table.iloc[order].reset_index(drop=True)
    assert compare(table, baseline="a", paired=paired) == compare(shuffled, baseline="a", paired=paired)


@given(ARMS, st.integers(1, 40))
@QUICK
def test_more_correct_answers_in_both_arms_change_no_difference(
    arms: tuple[list[int], ...], more: int
) -> None:
    raised = tuple([count + more for count in arm] for arm in arms)
    assert numbers(compare(of(arms), baseline="a")) == numbers(compare(of(raised), baseline="a"))


@given(ARMS, st.booleans())
@QUICK
def test_p_is_never_0_nor_above_1_and_no_margin_is_never_met(
    arms: tuple[list[int], ...], paired: bool
) -> None:
    for found in comparisons(compare(of(arms), baseline="a", margin=0.0, paired=paired)):
        p_values = (found.p, found.p_adjusted, found.p_equivalence, found.p_sign_flip, found.p_new_images)
        assert all(p is None or 0 < p <= 1 for p in p_values)
        assert not found.verdict.startswith("equivalent")
