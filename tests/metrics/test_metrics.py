"""Metrics as a suite names them: what each says of itself, what bad ones get, one file for a new one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench.metrics
from bench.errors import BenchError
from bench.metrics import METRICS, Metric, MetricError, choose_metric, lower_is_better
from bench.predictions import NotKept, Predictions
from bench.registry import restore

PREDICTIONS = Predictions.from_probabilities(
    [[0.7, 0.2, 0.1, 0.0], [0.1, 0.6, 0.2, 0.1], [0.5, 0.4, 0.1, 0.0], [0.3, 0.4, 0.2, 0.1]], [0, 1, 1, 0]
)


def metric(value: Any, label: str | None = None) -> Metric:
    return Metric.of(choose_metric(value), label)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write a module of the user's own; a metric in it by its callable's name."""

    def write(source: str, module: str = "mine") -> Any:
        (tmp_path / f"{module}.py").write_text(f"import numpy as np\n{source}")
        monkeypatch.delitem(sys.modules, module, raising=False)
        return lambda name, **options: metric({f"{module}:{name}": options})

    monkeypatch.syspath_prepend(tmp_path)
    return write


# ------------------------------------------------------------------------------------- what they say


def test_what_each_says_of_itself() -> None:
    said = {
        name: (found.unit, found.higher_is_better, found.over_images, found.needs_probabilities)
        for name in [*METRICS][:-1]
        for found in [metric(name)]
    }
    assert said == {
        "accuracy": ("%", True, True, False),
        "auroc": ("%", True, False, True),
        "balanced_accuracy": ("%", True, False, False),
        "brier": ("", False, True, False),
        "ece": ("%", False, False, False),
        "macro_f1": ("%", True, False, False),
        "nll": ("nats", False, True, False),
        "top_k": ("%", True, True, False),
    }


def test_accuracy_is_exact() -> None:
    found = metric("accuracy").measure(PREDICTIONS)
    assert found.per_image is not None
    assert (found.value, found.per_image.tolist(), found.remark) == (0.5, [1, 1, 0, 0], "")


@pytest.mark.parametrize(
    ("value", "remark"),
    [
        ("balanced_accuracy", "classes 2, 3 have no test image and are left out"),
        ("macro_f1", "classes 2, 3 have no test image and are left out"),
        ("auroc", "classes 2, 3 have no test image and are left out"),
        ("top_k", "5 of 4 classes: always right"),
        ({"top_k": {"k": 3}}, ""),
        ("nll", ""),
    ],
)
def test_conventions_that_were_taken_are_said(value: Any, remark: str) -> None:
    assert metric(value).measure(PREDICTIONS).remark == remark


def test_a_class_that_is_predicted_only_counts_as_0() -> None:
    predictions = Predictions(np.array([0, 1, 9]), np.array([0, 1, 0]), {"classes": np.array(10)})
    found = metric("macro_f1").measure(predictions)
    assert found.value == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found.remark == (
        "class 9 has no test image but is predicted, counting as 0; "
        "classes 2, 3, 4, 5, 6 and 2 more have no test image and are left out"
    )


def test_options_make_another_metric_with_another_name() -> None:
    assert metric({"top_k": {"k": 3}}).name == "top_k(k=3)"
    assert metric({"top_k": {"k": 5}}).name == metric("top_k").name == "top_k"
    assert metric({"top_k": {"k": 3}}, "top three").name == "top three"


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("acuracy", r"unknown metric 'acuracy'; allowed: accuracy, .*did you mean 'accuracy'\?"),
        ("_classes", "unknown metric '_classes'"),
        ({"top_k": {"k": 0}}, "top_k: k: found 0"),
        ({"top_k": {"n": 2}}, "top_k: unknown key 'n'; allowed: k"),
        ({"nll": {"k": 2}}, "nll: unknown key 'k'"),
        ("nowhere:skill", "there is no module 'nowhere'"),
        (5, "expected the name of a metric"),
    ],
)
def test_what_cannot_be_a_metric_is_refused_in_words(value: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        choose_metric(value)


# ------------------------------------------------------------------------------------ of the user's own


def test_a_function_that_returns_one_number_an_image(own: Any) -> None:
    made = own("def hits(p, of=1):\n    return p.rank < of\n")("hits", of=2)
    assert made.over_images is None
    found = made.measure(PREDICTIONS)
    assert (found.value, found.per_image.tolist()) == (1.0, [1, 1, 1, 1])


def test_a_function_that_returns_a_number(own: Any) -> None:
    found = own("def spread(p):\n    return p.nll.std()\n")("spread").measure(PREDICTIONS)
    assert found.value == pytest.approx(PREDICTIONS.nll.std())
    assert found.per_image is None


def test_a_class_is_made_with_its_options(own: Any) -> None:
    source = "class Cost:\n    def __init__(self, price):\n        self.price = price\n"
    source += "    def __call__(self, predictions):\n        return self.price * predictions.nll\n"
    assert own(source)("Cost", price=3).value(PREDICTIONS) == pytest.approx(3 * PREDICTIONS.nll.mean())


def test_classes_and_ranks_can_be_subtracted(own: Any) -> None:
    """They are kept as unsigned numbers of a byte or two."""
    kept = Predictions(
        np.array([3, 0, 9], dtype=np.uint8),
        np.array([5, 0, 1], dtype=np.uint8),
        {"rank": np.array([1, 0, 2], dtype=np.uint16)},
    )
    make = own("def far(p):\n    return abs(p.predicted - p.labels)\n\ndef off(p):\n    return p.rank - 1\n")
    assert make("far").measure(kept).per_image.tolist() == [2, 0, 8]
    assert make("off").measure(kept).per_image.tolist() == [0, -1, 1]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (
            "return np.zeros(3)",
            r"'mine:f' returned an array of shape \(3,\), expected a number, or one .* 4$",
        ),
        ("return np.zeros((4, 1))", r"shape \(4, 1\)"),
        ("return [[1], [2, 3]]", "returned a list of 2, expected a number"),
        ("return 'much'", "returned 'much', expected a number"),
        ("return None", "returned nothing, expected a number"),
        ("return float('nan')", "'mine:f' returned nan, expected finite numbers"),
        ("return np.array([1, np.inf, 2, -np.inf])", "returned inf for image 1 and 1 more, expected finite"),
        ("return p.nll[99]", "'mine:f': IndexError: "),
        ("return p.logits", "'mine:f': AttributeError: .*logits"),
        ("return p.__class__([0], [0]).nll", None),
    ],
)
def test_what_goes_wrong_in_it_is_said_with_its_name(own: Any, body: str, complaint: str | None) -> None:
    made = own(f"def f(p):\n    {body}\n")("f")
    with pytest.raises(NotKept if complaint is None else MetricError, match=complaint or "was not kept"):
        made.measure(PREDICTIONS)


@pytest.mark.parametrize(
    ("source", "options", "complaint"),
    [
        ("def f(p):\n    return 1\n", {"a": 1}, "metric 'mine:f' with a=1: TypeError: .*unexpected keyword"),
        ("def f():\n    return 1\n", {}, "metric 'mine:f' with no options: TypeError: too many positional"),
        ("f = 3\n", {}, "'mine:f' is 3, not a callable"),
        ("def g(p):\n    return 1\n", {}, "'mine:f' cannot be imported"),
        ("import nothing_of_this_name\n", {}, "'mine:f' cannot be imported: No module named"),
    ],
)
def test_what_cannot_be_called_is_refused(
    own: Any, source: str, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(BenchError, match=complaint):
        bench.metrics.as_function(own(source)("f", **options).choice)


def test_its_direction_is_said_or_guessed(own: Any) -> None:
    make = own(
        "def my_error(p):\n    return 1\n\ndef fun(p):\n    return 1\n\ndef badness(p):\n    return 1\n\n"
        "badness.higher_is_better = False\n"
    )
    for found, higher, guessed in (
        (make("my_error"), False, True),
        (make("my_error", higher_is_better=True), True, False),
        (make("fun"), True, True),
        (make("badness"), False, False),
        (make("badness", higher_is_better=True), True, False),
    ):
        assert (found.higher_is_better, found.direction_guessed) == (higher, guessed)
    assert not metric("nll").direction_guessed


def test_the_direction_of_a_class_may_depend_on_its_options(own: Any) -> None:
    make = own(
        "class Loss:\n    def __init__(self, negated=False):\n        self.higher_is_better = negated\n\n"
        "    def __call__(self, p):\n        return 1\n\n"
        "class Score(Loss):\n    higher_is_better = property(lambda self: False, lambda self, value: None)\n"
    )
    for found, higher in ((make("Loss"), False), (make("Loss", negated=True), True), (make("Score"), False)):
        assert (found.higher_is_better, found.direction_guessed) == (higher, False)


def test_its_unit_and_direction_are_no_options_of_it(own: Any) -> None:
    make = own("def f(p, **options):\n    assert not options\n    return 0.5\n")
    made = make("f", unit="%", higher_is_better=False)
    assert (made.value(PREDICTIONS), made.unit, made.name) == (0.5, "%", "mine:f")
    assert "unit" not in made.choice.describe()  # a word for people: another one makes no other run
    again = Metric.of(restore(made.choice.describe(), METRICS))
    assert (again.name, again.higher_is_better) == (made.name, made.higher_is_better)


def test_a_metric_whose_source_has_changed_is_another(own: Any, tmp_path: Path) -> None:
    described = own("def f(p):\n    return 1\n")("f").choice.describe()
    own("def f(p):\n    return 2\n")
    with pytest.raises(BenchError, match="mine:f: its code changed"):
        restore(described, METRICS)


# -------------------------------------------------------------------------------------------- directions


@pytest.mark.parametrize(
    "name",
    [
        *(
            "error",
            "err",
            "Loss",
            "val_loss",
            "top1_error",
            "top1error",
            "testError",
            "RMSE",
            "valRMSE",
            "mse",
        ),
        *("MAE", "mape", "perplexity", "ppl", "ECE", "brier score", "FID", "fid50k_fid", "WER", "cer"),
        *("seconds", "train time (s)", "latency_ms", "nll", "negative log-likelihood", "crossEntropyLoss"),
        *("seconds_per_epoch", "error rate", "neg_accuracy", "fid", "misclassified"),
    ],
)
def test_names_of_which_less_is_better(name: str) -> None:
    assert lower_is_better(name) is True


@pytest.mark.parametrize(
    "name",
    [
        *(
            "accuracy",
            "acc",
            "val_acc",
            "valAcc",
            "top1",
            "top-1 accuracy",
            "acc@1",
            "F1",
            "f1_score",
            "macroF1",
        ),
        *(
            "AUC",
            "testAUROC",
            "precision",
            "Recall",
            "score",
            "BLEU",
            "rouge",
            "psnr",
            "SSIM",
            "mIoU",
            "dice",
        ),
        *("mAP", "R2", "kappa", "MCC", "log_likelihood", "neg_log_loss", "neg_mean_squared_error"),
    ],
)
def test_names_of_which_more_is_better(name: str) -> None:
    assert lower_is_better(name) is False


@pytest.mark.parametrize("name", ["", "x", "value", "result", "losing", "wermut", "images_per_second", "42"])
def test_names_that_say_nothing(name: str) -> None:
    assert lower_is_better(name) is None


# --------------------------------------------------------------------------------------- one file a metric


def test_adding_a_metric_is_adding_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sureness.py").write_text(
        "from bench.metrics import Measure\n\n\nclass Sureness(Measure):\n    over_images = True\n\n"
        "    def __call__(self, predictions):\n        return predictions.confidence\n"
    )
    monkeypatch.setattr(bench.metrics, "__path__", [*bench.metrics.__path__, str(tmp_path)])
    monkeypatch.setattr(bench.metrics, "METRICS", bench.metrics._Table())
    try:
        assert metric("sureness").value(PREDICTIONS) == pytest.approx(0.55)
    finally:
        sys.modules.pop("bench.metrics.sureness", None)


def test_planning_imports_no_numpy_and_no_metric_that_is_not_named() -> None:
    suite = Path(bench.__file__).parents[1] / "suites" / "quickstart.yaml"
    code = (
        "import sys, bench.runs, bench.results.reading\n"
        "from bench.suite import load; from pathlib import Path\n"
        f"load(Path({str(suite)!r})).runs()[0].resolve()\n"
        "print(*sorted(name for name in sys.modules if name.startswith('bench.metrics.')))\n"
        "print(*({'numpy', 'torch', 'scipy'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["bench.metrics._direction bench.metrics.accuracy", ""]
