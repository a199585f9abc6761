"""Run folders → every metric: values, what is known of single images, and why something is not known."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import again, alike, finish_run, flats
from invented import invent
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, f1_score

from bench.comparisons import runs as reading
from bench.comparisons.comparison import Metric
from bench.errors import BenchError
from bench.predictions import Predictions
from bench.reports.answer import cautions
from bench.reports.build import report
from bench.results.folder import RunFolder
from bench.statistics.crossed import crossed_of_table
from bench.statistics.paired import paired_t
from bench.statistics.rotations import rotate
from bench.suite import Suite

Make = Callable[..., Suite]
Bench = Callable[..., tuple[int, str, str]]
LOSSES = ["ce", "mae", "gce"]
EVERY = ["accuracy", "nll", "macro_f1", "balanced_accuracy", "brier", "ece", {"top_k": {"k": 1}}]
NAMES = ["nll", "macro_f1", "balanced_accuracy", "brier", "ece", "top_k(k=1)"]


def answers(suite: Suite, results: Path) -> dict[tuple[str, int], Predictions]:
    """What each finished run answers, by loss and seed."""
    found = {}
    for cell in suite.cells:
        for run in cell.runs:
            folder = RunFolder(results, run.id)
            if (made := folder.result()) is not None:
                found[cell.loss, run.seed] = folder.predictions(made)
    return found


def value(metric: str, predictions: Predictions) -> float:
    """The metric, by definition or by scikit-learn."""
    labels, predicted = predictions.labels, predictions.predicted
    values: dict[str, Callable[[], Any]] = {
        "nll": lambda: predictions.nll.astype(float).mean(),
        "brier": lambda: predictions.brier.astype(float).mean(),
        "macro_f1": lambda: f1_score(labels, predicted, average="macro", zero_division=0),
        "balanced_accuracy": lambda: balanced_accuracy_score(labels, predicted),
        "top_k(k=1)": lambda: (predictions.rank < 1).mean(),
        "accuracy": lambda: (labels == predicted).mean(),
    }
    return float(values[metric]())


@pytest.fixture
def suite(make_suite: Make) -> Suite:
    return make_suite(losses=LOSSES, seeds=7, metrics=EVERY)


def test_every_metric_of_every_run_is_there(suite: Suite, tmp_path: Path) -> None:
    invent(suite, tmp_path, {"gce": 0.05})
    made, found = report(suite, tmp_path), answers(suite, tmp_path)
    assert [metric.name for metric in made.metrics] == ["accuracy", *NAMES]
    assert [(c.metric, c.loss) for c in made.secondary.cells] == [(m, loss) for m in NAMES for loss in LOSSES]
    for cell in (*made.cells, *made.secondary.cells):
        if cell.metric != "ece":  # tests/metrics
            expected = [value(cell.metric, found[cell.loss, seed]) for seed in range(7)]
            assert cell.values == pytest.approx(expected, abs=1e-11)
        assert cell.mean == pytest.approx(np.mean(cell.values))
        assert cell.sd == pytest.approx(np.std(cell.values, ddof=1))
        assert (cell.n, cell.test_images) == (7, 450)
        assert (cell.correct is None, cell.counts == ()) == ((cell.metric != "accuracy",) * 2)


def test_secondary_metrics_are_one_family_of_their_own(suite: Suite, tmp_path: Path) -> None:
    invent(suite, tmp_path, {"gce": 0.3})
    made = report(suite, tmp_path)
    values = {(c.metric, c.loss): np.array(c.values) for c in made.secondary.cells}
    secondary = flats(made.secondary.comparisons)
    assert [(c.metric, c.loss) for c in secondary] == [(m, loss) for m in NAMES for loss in LOSSES[1:]]
    table = np.stack([values[c.metric, c.loss] - values[c.metric, "ce"] for c in secondary], axis=1)
    family = rotate([table])
    assert [c.p_adjusted for c in secondary] == pytest.approx(
        [family.chance(c.p) for c in secondary], rel=1e-6
    )
    ce, *others = (np.array(cell.counts, dtype=float) for cell in made.cells)
    alone = rotate([np.stack([other - ce for other in others], axis=1)])
    first = flats(made.comparisons)
    assert [c.p_adjusted for c in first] == pytest.approx([alone.chance(c.p) for c in first], rel=1e-6)
    for k, c in enumerate(secondary):
        test = paired_t(np.rint(table[:, k] * 1e12).astype(np.int64), 10**12)
        assert (c.delta, c.p) == (pytest.approx(test.estimate, abs=1e-11), pytest.approx(test.p, rel=1e-6))
        ends = test.interval(1 - family.level(0.05))
        assert (c.low, c.high) == pytest.approx(ends, rel=1e-5, abs=1e-11)
    words = {(c.metric, c.loss): c.verdict.split()[0] for c in secondary}
    assert words["macro_f1", "gce"] == words["top_k(k=1)", "gce"] == "superior"
    assert words["nll", "gce"] == "superior"
    [nll] = [c for c in secondary if (c.metric, c.loss) == ("nll", "gce")]
    assert nll.high < 0  # loss − baseline, never turned: less is better
    shown = json.loads(made.model_dump_json())
    assert [m["higher_is_better"] for m in shown["metrics"]] == [True, False, True, True, False, False, True]
    assert [m["unit"] for m in shown["metrics"]] == ["%", "nats", "%", "%", "", "%", "%"]
    assert [m["margin"] for m in shown["metrics"]] == [0.1, *[None] * 6]
    assert {c["p_equivalence"] for c in shown["secondary"]["comparisons"]} == {None}


def test_the_first_metric_decides_in_its_own_unit_and_direction(make_suite: Make, tmp_path: Path) -> None:
    margins = {"nll": 0.01, "accuracy": 0.5}
    suite = make_suite(losses=LOSSES, seeds=7, metrics=["nll", "accuracy"], analysis={"margin": margins})
    noise = [0.004, -0.002, 0.001, -0.003, 0.002, 0.0, -0.001]
    worth = {"ce": (0.3, 1), "mae": (0.2, 2), "gce": (0.3005, 3)}  # and other noise for each
    for cell in suite.cells:
        mean, times = worth[cell.loss]
        for run in cell.runs:
            nll = mean + noise[run.seed * times % 7]
            finish_run(run, tmp_path, 900 + 10 * (cell.loss == "mae") + run.seed * times % 5, 1000, nll=nll)
    made = report(suite, tmp_path)
    mae, gce = flats(made.comparisons)
    assert [(c.metric, c.verdict) for c in (mae, gce)] == [("nll", "superior"), ("nll", "equivalent")]
    assert (mae.delta, gce.delta) == pytest.approx((-0.1, 0.0005), abs=1e-7)
    assert (mae.low, mae.high) == pytest.approx((-0.1, -0.1), abs=0.01)
    assert mae.high < 0
    assert max(abs(gce.low), abs(gce.high)) <= 0.01
    assert made.answer == "mae is better than ce. gce is as good as ce."
    assert made.margin == 0.01
    within = "for all together that no wider one shows to be, lies within ±0.01 nats"
    assert within in made.method
    assert made.method.startswith("Nll and accuracy are those of the last epoch.")
    beside = flats(made.secondary.comparisons)
    assert [c.metric for c in beside] == ["accuracy", "accuracy"]
    assert all(c.p_equivalence is not None for c in beside)
    assert [cell.counts for cell in made.cells] == [()] * 3
    assert [sum(cell.counts) for cell in made.secondary.cells] == [c.correct for c in made.secondary.cells]


def test_new_images_by_the_crossed_analysis_of_variance(suite: Suite, tmp_path: Path) -> None:
    invent(suite, tmp_path, {"gce": 0.05})
    made, found = report(suite, tmp_path), answers(suite, tmp_path)
    by = {metric.name: metric for metric in suite.metrics}
    for c in made.secondary.comparisons:
        tables = [
            np.stack([by[c.metric].measure(found[loss, s]).per_image for s in range(7)])
            if c.metric != "ece"
            else None
            for loss in (c.loss, "ce")
        ]
        if tables[0] is None:
            assert c.new_images is None
            continue
        expected = crossed_of_table(tables[0] - tables[1], estimate=c.delta)
        assert c.new_images is not None
        assert c.new_images.interval is not None
        interval, here, known = c.new_images.interval, c.adjusted.interval, c.difference
        assert here is not None
        # At α/K, with the larger error and fewer degrees of freedom, and never narrower than on these.
        se, df = max(expected.se, known.se), min(expected.df, known.df)
        reach = stats.t.isf(0.05 / 2 / len(made.secondary.comparisons), df) * se
        reach = max(reach, (here.high - here.low) / 2 * se / known.se)
        assert (interval.low, interval.high) == pytest.approx((c.delta - reach, c.delta + reach), rel=1e-6)
        assert interval.level == here.level == 0.95
        assert c.new_images.p == pytest.approx(2 * stats.t.sf(abs(c.delta) / se, df), rel=1e-6)
        assert c.new_images.discordant is None
    assert any(
        re.match("ece: no interval for new images: the calibration error is bias", n) for n in made.notes
    )


# --------------------------------------------------------------------------------------------- old runs


def made_old(
    suite: Suite, results: Path, *, only: Callable[[str, int], bool] = lambda loss, seed: True
) -> None:
    """Runs as they were before anything but classes was kept: a ``predictions.npy``."""
    import hashlib

    from bench.disk import array_bytes

    for cell in suite.cells:
        for run in cell.runs:
            if only(cell.loss, run.seed):
                folder = RunFolder(results, run.id)
                made = folder.result()
                assert made is not None
                kept = folder.predictions(made)
                pair = array_bytes(np.stack([kept.predicted, kept.labels]).astype(np.uint8))
                (folder.path / "predictions.npy").write_bytes(pair)
                (folder.path / "predictions.npz").unlink()
                content = json.loads((folder.path / "result.json").read_text())
                content["predictions_sha256"] = hashlib.sha256(pair).hexdigest()
                del content["predictions_bytes"], content["details_sha256"]
                (folder.path / "result.json").write_text(json.dumps(content))


def test_old_runs_give_what_they_can_and_say_what_they_cannot(suite: Suite, tmp_path: Path) -> None:
    invent(suite, tmp_path, {"gce": 0.05})
    whole = report(suite, tmp_path)
    made_old(suite, tmp_path)
    made = report(suite, tmp_path)
    assert [c.n for c in made.cells] == [7, 7, 7]
    assert made.comparisons == whole.comparisons
    before, now = ({(c.metric, c.loss): c for c in r.secondary.cells} for r in (whole, made))
    for metric in NAMES:
        for loss in LOSSES:
            expected = () if metric == "top_k(k=1)" else before[metric, loss].values
            tolerance = 0.1 if metric == "ece" else 1e-6  # made up apart from its bins
            assert now[metric, loss].values == pytest.approx(expected, abs=tolerance)
    intervals = {
        metric: {c.new_images is not None for c in made.secondary.comparisons if c.metric == metric}
        for metric in NAMES
    }
    kept = {"macro_f1", "balanced_accuracy"}
    assert intervals == {metric: {metric in kept} for metric in NAMES}
    said = [note for note in made.notes if note.startswith("top_k")]
    assert len(said) == 1
    assert "not known of digits" in said[0]
    assert "and 18 more: the rank of the true class of each image was not kept" in said[0]
    assert "from before it was recorded" in said[0]
    for metric in ("nll", "brier"):
        said = [note for note in made.notes if note.startswith(f"{metric}: ")]
        assert any("only the mean over images" in note for note in said)
        assert any("no interval for new images" in note for note in said)
    for c in flats(made.secondary.comparisons):
        assert (c.delta is None) == (c.metric == "top_k(k=1)")
        assert c.verdict == "undecided" or c.delta is not None


def test_where_only_some_runs_are_old_the_pairs_of_the_others_are_compared(
    suite: Suite, tmp_path: Path
) -> None:
    invent(suite, tmp_path)
    made_old(suite, tmp_path, only=lambda loss, seed: (loss, seed) in {("mae", 3), ("ce", 5)})
    made = report(suite, tmp_path)
    found = {(c.metric, c.loss): c for c in (*made.comparisons, *made.secondary.comparisons)}
    assert (found["accuracy", "mae"].n, found["accuracy", "mae"].missing) == (7, ())
    assert (found["top_k(k=1)", "mae"].n, found["top_k(k=1)", "mae"].missing) == (5, (3, 5))
    assert (found["top_k(k=1)", "gce"].n, found["top_k(k=1)", "gce"].missing) == (6, (5,))
    assert found["nll", "mae"].n == 7
    assert found["nll", "mae"].new_images is None
    # For new images, too: of the runs that kept what it takes.
    for loss, seeds in (("mae", [0, 1, 2, 4, 6]), ("gce", [0, 1, 2, 3, 4, 6])):
        kept = answers(suite, tmp_path)
        table = [(kept[loss, s].rank < 1).astype(float) - (kept["ce", s].rank < 1) for s in seeds]
        new = found["top_k(k=1)", loss].new_images
        assert new is not None
        expected = crossed_of_table(np.array(table))
        assert (new.crossed.seeds, new.crossed.df) == (len(seeds), pytest.approx(expected.df))
    [note] = [note for note in made.notes if note.startswith("top_k")]
    for loss, seed in (("ce", 5), ("mae", 3)):
        assert f"{loss}, seed {seed} (run " in note
    assert made.complete


def test_it_does_not_matter_which_runs_are_old(suite: Suite, tmp_path: Path) -> None:
    invent(suite, tmp_path)
    made_old(suite, tmp_path, only=lambda loss, seed: (loss, seed) == ("ce", 0))  # the one that is read first
    found = {(c.metric, c.loss): c for c in report(suite, tmp_path).secondary.comparisons}
    assert found["top_k(k=1)", "gce"].n == 6
    assert found["top_k(k=1)", "gce"].new_images is not None
    assert found["nll", "gce"].n == 7
    assert found["nll", "gce"].new_images is None


def test_runs_that_lack_the_first_metric_have_finished_all_the_same(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=LOSSES, seeds=3, metrics=[{"top_k": {"k": 1}}, "accuracy"])
    invent(suite, tmp_path)
    made_old(suite, tmp_path)
    made = report(suite, tmp_path)
    assert [(cell.n, cell.unknown) for cell in made.cells] == [(0, 3)] * 3
    assert [(cell.n, cell.unknown) for cell in made.secondary.cells] == [(3, 0)] * 3
    assert made.complete
    assert cautions(made) == []
    assert made.answer == "Nothing can be said: top_k(k=1) is not known of runs that have finished."
    (RunFolder(tmp_path, suite.cells[0].runs[0].id).path / "result.json").unlink()
    assert cautions(report(suite, tmp_path)) == ["8 of 9 runs are finished: all of this may still change."]


def test_damaged_details_are_seen_where_they_are_needed_and_only_there(
    make_suite: Make, tmp_path: Path
) -> None:
    plain, more = (make_suite(losses=LOSSES, seeds=4, metrics=m) for m in ("accuracy", ["accuracy", "nll"]))
    invent(plain, tmp_path)
    path = RunFolder(tmp_path, plain.cells[1].runs[2].id).path / "predictions.npz"
    content = bytearray(path.read_bytes())
    content[-200] ^= 1
    path.write_bytes(content)
    assert [c.n for c in report(plain, tmp_path).cells] == [4, 4, 4]
    made = report(more, tmp_path)
    assert [c.n for c in (*made.cells, *made.secondary.cells)] == [4, 3, 4] * 2
    [note] = [note for note in made.notes if note.startswith("damaged")]
    assert "predictions.npz: its content is not what the run wrote" in note


# ------------------------------------------------------------------------------------- what is too much


def test_more_runs_or_images_than_fit_in_memory_are_said(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    invent(suite, tmp_path)
    whole = report(suite, tmp_path)
    monkeypatch.setattr(reading, "LARGEST_TABLE", 21 * 450 - 1)
    made = report(suite, tmp_path)
    assert {c.new_images for c in made.secondary.comparisons} == {None}
    assert made.comparisons == whole.comparisons
    for metric in set(NAMES) - {"ece"}:
        assert any(f"{metric} of 21 runs × 450 images is too much" in note for note in made.notes)
    monkeypatch.setattr(reading, "LARGEST", 20)
    made = report(suite, tmp_path)
    assert {c.new_images for c in (*made.comparisons, *made.secondary.comparisons)} == {None}
    assert any(note.endswith("no intervals for new images: 21 runs are more than 20") for note in made.notes)
    assert [c.values for c in made.secondary.cells] == [c.values for c in whole.secondary.cells]


# ---------------------------------------------------------------------------- metrics of the user's own

OWN = '''
import numpy as np
import pandas as pd

def half(predictions, weight=1.0):
    """One number an image."""
    return weight * np.where(predictions.predicted == predictions.labels, 0.5, 0.0)

def error(predictions):
    """One number a run."""
    return float(np.mean(predictions.predicted != predictions.labels))

class Cost:
    higher_is_better = False
    def __init__(self, scale):
        self.scale = scale
    def __call__(self, predictions):
        return self.scale * np.mean(predictions.predicted != predictions.labels)

def raises(predictions):
    return {}["no such key"]

def wrong(predictions):
    return np.zeros(3)

def nothing(predictions):
    return None

def not_finite(predictions):
    return np.where(predictions.labels == 0, np.nan, 1.0)

def late(predictions):
    return float("inf") if np.mean(predictions.predicted != predictions.labels) > 0.2 else 1.0

def needs(predictions):
    return predictions.probabilities[:, 0]
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "metrics_of_mine.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


def filled(make_suite: Make, results: Path, **changes: Any) -> Suite:
    """Accuracies of 90 % and of 70 %."""
    suite = make_suite(name="own", losses=["ce", "mae"], seeds=6, **changes)
    for cell in suite.cells:
        for run in cell.runs:
            finish_run(
                run, results, 90 - 20 * (cell.loss == "mae") + run.seed * (2 + (cell.loss == "mae")) % 5
            )
    return suite


@pytest.mark.usefixtures("own")
def test_a_metric_of_the_users_own_is_measured_and_judged(make_suite: Make, tmp_path: Path) -> None:
    half = {"metrics_of_mine:half": {"weight": 2.0, "unit": "EUR", "label": "worth"}}
    cost = {"metrics_of_mine:Cost": {"scale": 1e7, "label": "cost"}}
    suite = filled(make_suite, tmp_path, metrics=["accuracy", half, "metrics_of_mine:error", cost])
    made = report(suite, tmp_path)
    worth, error, paid = made.metrics[1:]
    assert (worth.name, worth.unit, worth.higher_is_better) == ("worth", "EUR", True)
    assert (error.higher_is_better, paid.higher_is_better) == (False, False)
    accuracy, [of_worth, of_error, of_cost] = made.comparisons[0], made.secondary.comparisons
    assert of_worth.delta == pytest.approx(accuracy.delta)
    assert of_error.delta == pytest.approx(-accuracy.delta)
    assert of_cost.delta == pytest.approx(-1e7 * accuracy.delta)
    assert {c.verdict and c.verdict.word for c in made.secondary.comparisons} == {"inferior"}
    squares = [c.new_images.crossed for c in (of_worth, accuracy) if c.new_images]
    assert [(s.se, s.df) for s in squares] == [pytest.approx((squares[0].se, squares[0].df))] * 2
    assert of_error.new_images is of_cost.new_images is None
    name = error.name
    assert f"{name}: lower is better, which was guessed from its name; " in "\n".join(made.notes)
    assert f"{name}: no interval for new images: one number a run is all that there is" in made.notes
    assert not any(note.startswith("cost: lower is better") for note in made.notes)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raises", "KeyError: 'no such key'"),
        ("wrong", r"returned an array of shape \(3,\), expected a number, or one number an image: 100"),
        ("nothing", "returned nothing, expected a number, or one number an image: 100"),
        ("not_finite", "returned nan for image 0 and 99 more, expected finite numbers"),
        ("late", "returned inf, expected finite numbers"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_one_that_fails_is_named_with_the_run(
    make_suite: Make, tmp_path: Path, name: str, said: str, first: bool
) -> None:
    metrics = [f"metrics_of_mine:{name}", "accuracy"][:: 1 if first else -1]
    suite = filled(make_suite, tmp_path, metrics=metrics)
    cell = suite.cells[name == "late"]  # of which the first runs are as they should be
    run = cell.runs[0]
    where = f"{cell.dataset} × {cell.model} × {cell.loss}, seed {run.seed} (run {run.id})"
    with pytest.raises(BenchError, match=f"^{re.escape(where)}: metric 'metrics_of_mine:{name}'.* ?{said}$"):
        report(suite, tmp_path)


@pytest.mark.usefixtures("own")
def test_the_command_says_it_in_one_line_before_any_table(
    bench: Bench, write_suite: Callable[..., Path], make_suite: Make, tmp_path: Path
) -> None:
    metrics = ["accuracy", "metrics_of_mine:wrong"]
    filled(make_suite, tmp_path / "results", metrics=metrics)
    path = write_suite("own", losses=["ce", "mae"], seeds=6, metrics=metrics)
    status, printed, said = bench("report", path)
    assert (status, printed) == (2, "")
    assert re.fullmatch(r".* seed 0 \(run \w+\): metric 'metrics_of_mine:wrong' returned .*\n", said)
    assert not (tmp_path / "results" / "own").exists()


@pytest.mark.usefixtures("own")
def test_one_that_needs_what_runs_did_not_keep_is_said(make_suite: Make, tmp_path: Path) -> None:
    made = report(filled(make_suite, tmp_path, metrics=["accuracy", "metrics_of_mine:needs"]), tmp_path)
    assert {cell.n for cell in made.secondary.cells} == {0}
    [note] = [note for note in made.notes if "needs: not known" in note]
    assert note.endswith(
        "was not kept: the suite that trained the run has no `keep_probabilities: true`; move the folder of "
        "a run away, and `bench run` trains it again and keeps it"
    )


def test_an_infinite_loss_is_no_value_and_says_so(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae"], seeds=4, metrics=["accuracy", "nll"])
    for run in suite.runs():
        folder = finish_run(run, tmp_path, 90 + run.seed, nll=0.2 + 0.01 * run.seed)
    made = folder.result()
    assert made is not None
    predicted = (np.arange(100) >= made.correct).astype(np.uint8)
    made_up = alike(predicted, np.zeros(100, dtype=np.uint8), made.model_dump())
    made_up.nll[7] = np.inf
    again(folder, made_up)
    found = report(suite, tmp_path)
    assert [c.n for c in found.secondary.cells] == [4, 3]
    assert any("returned inf for image 7" in note for note in found.notes)


def test_remarks_that_differ_from_run_to_run_are_not_all_listed(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae"], seeds=4, metrics=["accuracy", "macro_f1"])
    for number, run in enumerate(suite.runs()):
        folder = finish_run(run, tmp_path, 99)
        labels = np.zeros(100, dtype=np.uint8)
        predicted = labels.copy()
        predicted[0] = 1 + number  # a class without a test image, another one in every run
        made = folder.result()
        assert made is not None
        again(folder, alike(predicted, labels, made.model_dump(), classes=10))
    notes = [note for note in report(suite, tmp_path).notes if note.startswith("macro_f1")]
    assert len(notes) == 5
    assert notes[-1] == "macro_f1: 4 more remarks of the kind, on other runs"


def test_classes_without_test_images_are_said_with_the_convention(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae"], seeds=3, metrics=["accuracy", "macro_f1", "balanced_accuracy"])
    for run in suite.runs():
        finish_run(run, tmp_path, 90 + run.seed)  # all images are of class 0, and some are taken for class 1
    notes = report(suite, tmp_path).notes
    assert any(
        re.match("macro_f1: class 1 has no test image but is predicted, .* 0$", note) for note in notes
    )
    assert "balanced_accuracy: class 1 has no test image and is left out" in notes


def test_a_value_that_is_too_large_names_its_run_and_not_a_larger_one_elsewhere() -> None:
    # On the first data set all values are large, which rounds nothing.
    values = {"a0": 5e16, "a1": 6e16, "b0": 0.2, "b1": 0.3, "b2": 4e16}
    rows = [("ab".index(run[0]), "m", "l", int(run[1]), run, "done", 0, 1) for run in values]
    columns = ["dataset", "model", "loss", "seed", "run_id", "state", "correct", "total"]
    runs = pd.DataFrame(rows, columns=columns).replace({"dataset": {0: "large", 1: "usual"}})
    metric = Metric("nll", "nats", higher_is_better=False, margin=None)
    keys = {(name, "m", "l"): range(3) for name in ("large", "usual")}
    with pytest.raises(BenchError, match=r"run b2: metric 'nll': 4e\+16 is too large"):
        reading._scores(keys.items(), runs, metric, values)
