"""What ``import bench`` gives: it costs nothing, prints nothing, and refuses in one message."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL
from helpers import finish_run

import bench
from bench.front.keywords import in_python

Write = Callable[..., Path]


def test_importing_it_imports_nothing_else() -> None:
    code = (
        "import sys; before = {*sys.modules}; import bench\n"
        "print(*sorted({name.partition('.')[0] for name in {*sys.modules} - before}))\n"
        "print([name for name in sys.modules if name.startswith('bench.')])\n"
        "assert all(name in dir(bench) for name in bench.__all__)\n"
        "bench.load, bench.Suite\n"
        "heavy = 'torch mlflow pandas numpy matplotlib scipy sklearn jinja2 submitit rich typer'.split()\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    new, inside, heavy = done.stdout.splitlines()
    assert {*new.split()} - {"bench", "typing"} <= {*sys.stdlib_module_names}
    assert {*new.split()} & {"asyncio", "inspect", "pathlib", "subprocess"} == set()
    assert (inside, heavy) == ("[]", "[]")


def test_names_are_there_and_others_are_not() -> None:
    assert bench.run.__name__ == "run"  # and no module of that name hides it
    for name in bench.__all__:
        assert getattr(bench, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        bench.nothing  # noqa: B018


# --------------------------------------------------------------------------------------------- a program

PROGRAM = """
import bench, mine

suite = bench.Suite(
    name="program", question="Does it run?", datasets={"digits": {"train_size": 60, "test_size": 40}},
    models="vgg5-tiny", losses=["ce", mine.brier], seeds=1, selection="last",
    recipe={"epochs": 1, "batch_size": 32},
)
report = bench.run(suite, workers=1, device="cpu")
assert not report.failed, bench.status(suite)
assert bench.status(suite).runs.done == 2
frame = bench.report(suite).frame()
assert [*frame.loss] == ["ce", "mine:brier"]
"""
BRIER = "def brier(logits, target):\n    return logits.softmax(1).square().sum(1).mean()\n"


def test_a_program_without_a_guard_trains_and_prints_nothing(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "mine.py").write_text(BRIER)
    elsewhere = tmp_path / "elsewhere"  # where it is started, and results go
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py"], cwd=elsewhere, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert (elsewhere / "results" / "program" / "report.html").is_file()


def test_where_nothing_is_said_the_environment_says_it(
    write_suite: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BENCH_RESULTS", str(tmp_path / "there"))
    suite = bench.load(write_suite())
    finish_run(suite.runs()[0], tmp_path / "there", correct=90)
    finish_run(suite.runs()[0], tmp_path / "here", correct=90)
    finish_run(suite.runs()[1], tmp_path / "here", correct=90)
    assert bench.status(suite).runs.done == 1
    assert bench.status(write_suite(), results=tmp_path / "here").runs.done == 2
    assert bench.plan(suite, results=str(tmp_path / "here"), seeds=5).to_train == 8
    assert "10 runs, 8 to train" in repr(bench.plan(suite, results=tmp_path / "here", seeds=5))
    assert capsys.readouterr().out == ""


def test_called_in_a_thread_it_says_so(write_suite: Write, tmp_path: Path) -> None:
    said: list[str] = []

    def call() -> None:
        try:
            bench.run(write_suite(), results=tmp_path / "results")
        except bench.BenchError as error:
            said.append(str(error))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert said[0].startswith("bench.run: called in a thread")


# --------------------------------------------------------------------------------------------- a report


@pytest.fixture
def report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> bench.Report:
    values = {**SMALL, "losses": ["ce", {"mae": {"label": "<b>mae"}}], "seeds": 6}
    suite = bench.Suite(name="reported", metrics=["accuracy", "nll"], **values)
    for run in suite.runs():
        right = 90 + run.seed % 3 if '"name":"ce"' in run.text else 80 + run.seed % 2
        finish_run(run, tmp_path / "results", correct=right)
    made = bench.report(suite, results=tmp_path / "results")
    assert capsys.readouterr().out == ""
    return made


def test_a_report_is_a_frame_text_and_a_part_of_a_page(report: bench.Report, tmp_path: Path) -> None:
    frame = report.frame()
    assert [*frame.loss] == ["ce", "<b>mae"] * 2
    assert [*frame.metric] == ["accuracy"] * 2 + ["nll"] * 2
    first = frame.set_index(["metric", "loss"])
    assert first.loc[("accuracy", "<b>mae"), "delta"] == pytest.approx(-0.105)
    assert first.loc[("accuracy", "<b>mae"), "verdict"].startswith("inferior")
    assert (frame.n == 6).all()
    assert first.loc[("accuracy", "<b>mae"), "n_compared"] == 6
    assert np.isnan(first.loc[("accuracy", "ce"), "delta"])
    runs = report.frame("run")
    assert len(runs) == 2 * 2 * 6
    means = runs[runs.metric == "accuracy"].groupby("loss").value.mean()
    assert means["ce"] == pytest.approx(first.loc[("accuracy", "ce"), "mean"])
    assert report.answer.split(".")[0] in report.markdown()
    assert len(report.markdown(everything=True)) > len(report.markdown())
    assert repr(report) + "\n" == report.markdown()
    assert "\\toprule" in report.latex()
    shown = report._repr_html_()
    assert "&lt;b&gt;mae" in shown
    assert "<b>" not in shown
    assert shown.count("<table>") == shown.count("</table>") == 2


def test_its_json_is_that_of_the_command(
    report: bench.Report, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench import cli

    file, results = tmp_path / "results" / "reported" / "suite.yaml", tmp_path / "results"
    monkeypatch.setattr(sys, "argv", ["bench", "report", str(file), "--results", str(results), "--json"])
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().out == report.json() + "\n"
    assert json.loads(report.json())["suite"] == "reported"


# --------------------------------------------------------------------------------- what cannot be asked


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resutls": "x"}, r"bench\.run: unknown option 'resutls'; allowed: data, .*did you mean 'results'"),
        ({"workers": 0}, r"bench\.run: workers: found 0; input should be greater"),
        ({"seeds": True}, r"bench\.run: seeds: found True; input should be a valid integer"),
        ({"device": "gpu"}, r"device: found 'gpu'; input should be 'auto', 'cpu' or 'cuda'"),
        ({"scale": "small"}, r"scale: found 'small'; input should be 'full' or 'tiny'"),
        ({"results": 3}, r"results: found 3; input should be a valid string"),
        ({"detach": True}, r"^detach=True needs on=PROFILE: on this machine"),
        ({"on": "slurm/nope.yaml"}, r"slurm/nope\.yaml: there is no such file"),
    ],
)
def test_wrong_options_are_named(
    write_suite: Write, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(bench.BenchError, match=message):
        bench.run(write_suite(), **{"results": tmp_path / "results", **options})


def test_a_suite_is_needed(tmp_path: Path) -> None:
    with pytest.raises(bench.BenchError, match="missing a required argument: 'suite'"):
        bench.plan()  # type: ignore[call-arg]
    with pytest.raises(bench.BenchError, match="suite: found 3; input should be an instance of Suite"):
        bench.plan(3)  # type: ignore[arg-type]
    with pytest.raises(bench.BenchError, match=r"nope\.yaml: there is no such file"):
        bench.plan(tmp_path / "nope.yaml")


def test_results_that_cannot_be_written_are_no_traceback(write_suite: Write, tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(bench.BenchError, match="results"):
        bench.run(write_suite(), results=tmp_path / "results")


def test_options_are_said_as_keywords() -> None:
    said = in_python("a--b --method-column: x; or say --unpaired, --percent or --total-images (--on PROFILE)")
    assert said == "a--b method: x; or say unpaired=True, percent=True or total_images= (on=PROFILE)"


# ------------------------------------------------------------------------------------ anybody's numbers


def runs(**changes: Any) -> pd.DataFrame:
    noise = np.random.default_rng(0).normal(0, 0.2, 12).round(2)
    accuracies = np.repeat([95.0, 96.0], 6) + noise
    made = {"loss": ["ce"] * 6 + ["mine"] * 6, "seed": [*range(6)] * 2, "accuracy": accuracies}
    return pd.DataFrame({**made, **changes})


def test_a_frame_is_compared_as_its_file_would_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = runs()
    before = frame.copy()
    frame.to_csv(tmp_path / "runs.csv", index=False)
    names = {"method": "loss", "seed": "seed", "metric": "accuracy", "baseline": "ce"}
    here, there = bench.compare(frame, **names), bench.compare(tmp_path / "runs.csv", **names)
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(here.frame(), there.frame())
    assert here.answer == "mine is better than ce on this test set."
    assert "total_images=" in here.markdown()
    assert "--" not in here.document.reading
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.set_index(["loss", "seed"]),
        lambda frame: frame.set_index(pd.Index(range(5, 17))),
        lambda frame: frame.convert_dtypes(),
        lambda frame: frame.astype({"loss": "category", "seed": "float32"}),
        lambda frame: frame.pivot_table(index="seed", columns="loss", values="accuracy"),
        lambda frame: frame.sample(frac=1, random_state=0),
    ],
)
def test_a_frame_may_come_in_any_form(change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    expected = bench.compare(runs()).frame("run")
    found = bench.compare(change(runs())).frame("run")
    pd.testing.assert_frame_equal(found, expected)


def test_a_value_that_is_missing_is_a_run_without_a_result() -> None:
    frame = runs()
    frame.loc[3, "accuracy"] = np.nan
    for given in (frame, frame.convert_dtypes()):
        made = bench.compare(given)
        assert [(cell.n, cell.planned) for cell in made.document.cells] == [(5, 6), (6, 6)]
        assert "no score, so the run counts as missing" in " ".join(made.document.notes)


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (runs(), {"method": "los"}, r"data frame: method: unknown column 'los'; .*did you mean 'loss'"),
        (runs(), {"metod": "loss"}, r"unknown option 'metod'; .*did you mean 'method'"),
        (runs(), {"baseline": "mien"}, r"baseline: unknown method 'mien'; .*did you mean 'mine'"),
        (runs(), {"alpha": "x"}, r"bench\.compare: alpha: found 'x'; input should be a valid number"),
        (runs(), {"alpha": 3}, r"alpha: found 3, expected a probability"),
        (runs(), {"metric": [3]}, r"metric: found a list of 1; input should be a valid string"),
        (runs(accuracy=300.0), {}, r"column 'accuracy', data row 1: found 300(\.0)?, expected an accuracy"),
        (runs(accuracy=np.inf), {}, r"data row 1: found inf, expected a finite number"),
        (runs(accuracy=np.nan), {}, r"there is no number in it"),
        (runs()[["loss", "accuracy"]], {}, r"no column of seeds .* name it with seed=, or say unpaired=True"),
        (runs().head(0), {}, r"there are columns \(loss, seed, accuracy\), but no rows"),
        (pd.DataFrame(), {}, r"data frame: it is empty"),
        (pd.concat([runs(), runs()[["loss"]]], axis=1), {}, r"2 columns are called 'loss'"),
        (pd.concat({"a": runs()}, axis=1), {}, r"names of several levels"),
        ([1, 2], {}, r"found a list of 2, expected a pandas DataFrame or a path"),
        ("nope.csv", {}, r"nope\.csv: there is no such file"),
    ],
)  # fmt: skip
def test_a_frame_that_cannot_be_compared(frame: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(bench.BenchError, match=message):
        bench.compare(frame, **options)


def test_a_frame_is_asked_as_the_command_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.concat([runs(epoch=1), runs(epoch=2)]).assign(lr=0.1)
    with pytest.raises(bench.BenchError, match=r"say which counts with epoch: last"):
        bench.compare(frame)
    made = bench.compare(frame, epoch="last", where={"lr": 0.1})
    assert (
        made.answer == bench.compare(frame.rename(columns={"epoch": "e"}), epoch_column="e", epoch=2).answer
    )
    assert "method: column 'loss' (guessed; method= says otherwise)" in capsys.readouterr().err
    with pytest.raises(bench.BenchError) as refused:
        bench.compare(runs().rename(columns={"loss": "kind"}))
    call = str(refused.value).partition("For example: ")[2]
    assert call == "bench.compare(frame, method='kind', metric='accuracy')"
    assert (
        eval(call, {"bench": bench, "frame": runs().rename(columns={"loss": "kind"})}).answer == made.answer
    )


def test_the_command_and_the_function_have_the_same_options() -> None:
    from bench.cli.reporting import compare

    only_there = {"claim", "example", "everything", "as_json"}
    given = inspect.signature(compare).parameters.keys() - only_there
    assert {name if name == "epoch_column" else name.removesuffix("_column") for name in given} == {
        *inspect.signature(bench.compare).parameters
    }


# -------------------------------------------------------------------------------------------------- types


def test_the_package_says_that_it_is_typed() -> None:
    from setuptools import Distribution

    built = Distribution()
    built.script_name = "setup.py"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(Path(bench.__file__).parents[1])
        built.parse_config_files()
        command = built.get_command_obj("build_py")
        command.ensure_finalized()
        files = {name: names for name, _, _, names in command.data_files}
    assert "py.typed" in files["bench"]
