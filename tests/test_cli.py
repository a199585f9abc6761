"""The command: what it prints where, its exit status, and what a wrong request is told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import finish_run

from bench import __version__
from bench.doctor import Diagnosis, _libraries, _slurm
from bench.launch.plan import Plan
from bench.launch.status import Status
from bench.reports import columns
from bench.reports.claim import Claimed
from bench.reports.schema import Cell, Compared, Report
from bench.results.folder import RunFolder
from bench.suite import load

Write = Callable[..., Path]
Bench = Callable[..., tuple[int, str, str]]


def test_json_documents_are_what_they_say(bench: Bench, write_suite: Write, tmp_path: Path) -> None:
    path = write_suite(metrics=["accuracy", "nll"])
    for run in load(path).runs():
        finish_run(run, tmp_path / "results", correct=90)
    for verb, document in (("plan", Plan), ("status", Status)):
        status, printed, _ = bench(verb, path, "--json")
        assert status == 0
        assert document.model_validate_json(printed).suite == "small"
    status, printed, _ = bench("report", path, "--json")
    assert status == 0
    shown = json.loads(printed)
    assert shown["suite"] == "small"
    assert shown.keys() == Report.model_fields.keys()
    for family in (shown, shown["secondary"]):
        assert [Cell.model_validate(cell).metric for cell in family["cells"]]
        assert [[*comparison] for comparison in family["comparisons"]] == [columns.keys()]
    assert [m["name"] for m in shown["metrics"]] == ["accuracy", "nll"]


def test_plan_says_what_is_missing_and_how_long_it_takes(
    bench: Bench, write_suite: Write, tmp_path: Path
) -> None:
    path = write_suite(seeds=10)
    for run in load(path).runs()[:5]:
        finish_run(run, tmp_path / "results", correct=90, seconds=7.2)
    _, printed, _ = bench("plan", path, "--json", "--workers", "3")
    plan = Plan.model_validate_json(printed)
    assert (plan.runs.planned, plan.runs.done, plan.to_train, plan.workers) == (20, 5, 15, 3)
    assert plan.run_hours == pytest.approx(15 * 7.2 / 3600)
    _, text, _ = bench("plan", path, "--workers", "3")
    assert "15 to train by 3 workers: about 0.03 run-hours, 36 s of waiting (from 5 measured runs)" in text


def test_plan_without_a_measured_run_guesses_once(bench: Bench, write_suite: Write) -> None:
    path = write_suite(recipe={"epochs": 3, "batch_size": 16})
    status, printed, said = bench("plan", path)
    assert status == 0
    assert "timing a few steps here" in said
    assert "(from a guess by a few steps on this machine)" in printed
    _, printed, said = bench("plan", path, "--json")
    assert said == ""
    plan = Plan.model_validate_json(printed)
    assert (plan.estimated_from, plan.guessed) == (0, 1)
    assert plan.run_hours is not None
    assert 0 < plan.run_hours < 0.1


def test_a_suite_of_one_loss_compares_nothing_and_says_so(bench: Bench, write_suite: Write) -> None:
    _, _, said = bench("plan", write_suite(losses="ce", seeds=1))
    assert "losses: found ce alone; nothing will be compared" in said


def test_plan_of_more_images_than_there_are_says_so(bench: Bench, write_suite: Write) -> None:
    status, printed, said = bench("plan", write_suite(datasets={"digits": {"train_size": 5000}}))
    assert (status, printed) == (2, "")
    assert "data set 'digits': train_size: found 5000; it has 1347 such images" in said


def test_plan_without_data_gives_no_number(bench: Bench, write_suite: Write) -> None:
    status, printed, _ = bench("plan", write_suite(datasets="mnist", models="vgg5"))
    assert status == 0
    assert "no estimate of the time" in printed


def test_resolved_form_has_every_default(bench: Bench, write_suite: Write) -> None:
    _, printed, _ = bench("plan", write_suite(), "--resolved")
    for line in ("eps: 1.0e-06", "schedule:", "label_noise: 0.0", "recipe_version: 1"):
        assert line in printed


def test_failed_runs_give_exit_status_1_and_their_reason(
    bench: Bench, write_suite: Write, tmp_path: Path
) -> None:
    path = write_suite()
    RunFolder(tmp_path / "results", load(path).runs()[0].id).fail("out of memory on cuda: 80 GB")
    for verb in ("status", "report"):
        status, printed, _ = bench(verb, path)
        assert status == 1
        assert "out of memory on cuda: 80 GB" in printed


def test_logs_of_a_run_are_its_own_and_say_where_they_are(
    bench: Bench, write_suite: Write, tmp_path: Path
) -> None:
    path = write_suite()
    failed, unbegun = load(path).runs()[:2]
    RunFolder(tmp_path / "results", failed.id).fail("ValueError: no", "Traceback\nValueError: no")
    status, printed, said = bench("logs", path, failed.id)
    assert (status, printed) == (0, "ValueError: no\nTraceback\nValueError: no\n")
    assert said == f"{tmp_path}/results/runs/{failed.id}/failure.json\n"
    status, printed, said = bench("logs", path, unbegun.id)
    assert (status, printed, said) == (2, "", f"bench: run {unbegun.id}: no job has begun it yet\n")


def test_seeds_on_the_command_line_replace_those_of_the_suite(bench: Bench, write_suite: Write) -> None:
    _, printed, _ = bench("status", write_suite(), "--seeds", "7", "--json")
    assert json.loads(printed)["runs"]["planned"] == 14


@pytest.mark.parametrize("verb", ["run", "plan", "status", "report", "track", "fetch"])
def test_wrong_suite_gets_one_message_and_exit_status_2(bench: Bench, write_suite: Write, verb: str) -> None:
    status, printed, said = bench(verb, write_suite(losses=["ce", "mixent"]))
    assert (status, printed) == (2, "")
    assert "losses.1: unknown loss 'mixent'" in said
    assert "did you mean 'mix_ent'?" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"models": {"timm/resnet19": {"image_size": 32}}},
            "unknown timm model 'resnet19'; .*did you mean 'resnet1",
        ),
        ({"models": "torchvision/resnet19"}, "unknown torchvision model 'resnet19'; .*did you mean"),
        ({"losses": ["ce", "json:no_such_loss"]}, "'json:no_such_loss' cannot be imported: .*no_such_loss"),
        ({"datasets": "json:__name__"}, "is 'json', not a callable"),
    ],
)
def test_names_of_libraries_are_checked_before_anything_runs(
    bench: Bench, write_suite: Write, changes: dict[str, object], message: str
) -> None:
    status, _, said = bench("plan", write_suite(**changes))
    assert status == 2
    assert re.search(message, said), said


def test_data_set_that_is_nowhere_gets_one_message(
    bench: Bench, write_suite: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    from urllib.error import URLError

    from torchvision.datasets import mnist

    def no_network(*arguments: object, **options: object) -> None:
        raise URLError("no network here")

    monkeypatch.setattr(mnist, "download_and_extract_archive", no_network)
    path = write_suite(datasets="emnist-letters", models="vgg5")
    for verb in ("fetch", "run"):
        status, printed, said = bench(verb, path)
        assert (status, printed) == (2, "")
        assert "data set 'emnist-letters'" in said
        assert "no network here" in said
        assert "Traceback" not in said


def test_folder_that_cannot_be_written_gets_one_message(
    bench: Bench, write_suite: Write, tmp_path: Path
) -> None:
    (tmp_path / "results").write_text("a file, where a folder should be")
    status, printed, said = bench("run", write_suite())
    assert (status, printed) == (2, "")
    assert "cannot be written" in said
    assert "--results or BENCH_RESULTS" in said


TABLE = "loss,seed,acc\nce,0,95.1\nce,1,95.3\nmae,0,95.2\nmae,1,95.5\n"


def test_compare_prints_tables_or_one_document(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "theirs.csv"
    file.write_text(TABLE)
    status, printed, said = bench("compare", file)
    assert (status, said.splitlines()) == (
        0,
        [
            "method: column 'loss' (guessed; --method-column says otherwise)",
            "accuracy: column 'acc' (guessed; --accuracy-column says otherwise)",
        ],
    )
    assert re.search(r"^\| ?mae *\| +2/2 ?\|", printed, re.M)
    assert "accuracy = 'acc' (guessed)" in printed
    status, printed, _ = bench("compare", file, "--json", "--unpaired", "--baseline", "mae")
    made = json.loads(printed)
    assert made.keys() == Compared.model_fields.keys()
    assert (made["baseline"], made["paired"], made["source"]) == ("mae", False, str(file))
    assert [c["loss"] for c in made["comparisons"]] == ["ce"]
    status, printed, _ = bench("compare", "--claim", "95.933", "95.86", "--total-images", "20800", "--json")
    assert Claimed.model_validate_json(printed).correct == (19_954, 19_939)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (TABLE, ["--seed-column", "sed"], "--seed-column: unknown column 'sed'; .*did you mean 'seed'"),
        (TABLE, ["--method-column", "x"], "--method-column: unknown column 'x'; allowed: acc, loss, seed"),
        (TABLE, ["--accuracy-column", "ac"], "--accuracy-column: unknown column 'ac'"),
        (TABLE, ["--image-column", "i"], "--image-column: unknown column 'i'"),
        (TABLE, ["--model-column", "i"], "--model-column: unknown column 'i'"),
        (TABLE, ["--dataset-column", "i"], "--dataset-column: unknown column 'i'"),
        (TABLE, ["--correct-column", "i"], "--correct-column: unknown column 'i'"),
        (TABLE, ["--total-column", "i"], "--total-column: unknown column 'i'"),
        (TABLE, ["--baseline", "cee"], "unknown method 'cee'; allowed: ce, mae; did you mean 'ce'"),
        (TABLE, ["--fraction"], "data row 1: found 95.1, expected an accuracy from 0 to 1"),
        (TABLE, ["--claim", "0.9", "0.8"], "compare what"),
        ("", [], "the file is empty"),
    ],
)
def test_compare_gives_one_message_and_exit_status_2(
    bench: Bench, tmp_path: Path, content: str, options: list[str], message: str
) -> None:
    file = tmp_path / "theirs.csv"
    file.write_text(content)
    status, printed, said = bench("compare", file, *options)
    assert (status, printed) == (2, "")
    assert re.search(message, said), said
    assert len(said.splitlines()) == 1


def test_misspelt_verb_and_option_get_no_traceback(bench: Bench) -> None:
    for arguments in (
        ["rum", "x.yaml"],
        ["run"],
        ["run", "x.yaml", "--sedes", "3"],
        ["run", "x", "--device", "tpu"],
        ["compare", "x.csv", "--method-colum", "a"],
        ["compare", "nowhere.csv"],
        ["compare", "mlflow:nothing"],
        ["compare"],
    ):
        status, printed, said = bench(*arguments)
        assert (status, printed) == (2, "")
        assert "Traceback" not in said


def test_unreachable_tracking_server_is_a_warning(bench: Bench, write_suite: Write, tmp_path: Path) -> None:
    path = write_suite(seeds=1)
    for run in load(path).runs():
        finish_run(run, tmp_path / "results", correct=90)
    status, printed, said = bench("run", path, "--tracking-uri", "http://127.0.0.1:9")
    assert status == 0
    assert "Does it run?" in printed
    assert "warning: not mirrored: MLflow at http://127.0.0.1:9: the server does not answer" in said


def test_doctor_finds_this_machine_fit(bench: Bench) -> None:
    status, printed, _ = bench("doctor", "--json")
    diagnosis = Diagnosis.model_validate_json(printed)
    assert {check.name for check in diagnosis.checks} >= {"torch and torchvision", "slurm", "mlflow", "disk"}
    assert (status, diagnosis.healthy) == (0, True), diagnosis


@pytest.mark.parametrize(
    ("sinfo", "ok", "found"),
    [
        ("echo gpu; echo cpu", True, "partitions: cpu, gpu"),
        (
            "echo 'fatal: Could not establish a configuration source' >&2; exit 1",
            None,
            "no cluster is set up",
        ),
        (
            "echo 'Unable to contact slurm controller' >&2; exit 1",
            False,
            "Unable to contact slurm controller",
        ),
    ],
)
def test_doctor_tells_a_silent_cluster_from_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sinfo: str, ok: bool | None, found: str
) -> None:
    for name in ("sbatch", "sinfo", "scontrol"):
        (tmp_path / name).write_text(f"#!/bin/sh\n{sinfo}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    check = _slurm()
    assert check.ok is ok
    assert found in check.found


@pytest.mark.parametrize(("broken", "oks"), [("torch", [False, False, False]), ("timm", [True, True, False])])
def test_doctor_says_which_library_is_broken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broken: str, oks: list[bool]
) -> None:
    for name in ("torch", "torchvision", "timm"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ops.py").write_text("def nms(*_): pass\n")
        (tmp_path / name / "__init__.py").write_text(
            "raise ImportError('undefined symbol')\n"
            if name == broken
            else "import types\n__version__, zeros = '1', lambda *_: 0\n"
            "cuda = types.SimpleNamespace(device_count=lambda: 0)\n"
        )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    checks = {check.name: check for check in _libraries()}
    assert [check.ok for check in checks.values()] == oks
    wrong = checks["timm" if broken == "timm" else "torch and torchvision"]
    assert "undefined symbol" in wrong.found
    assert "pip install" in wrong.advice


def test_doctor_says_what_does_not_hold(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    status, printed, _ = bench("doctor")
    assert status == 1
    assert "FAIL results folder" in printed


def test_ui_without_anything_to_show(bench: Bench) -> None:
    status, _, said = bench("ui")
    assert status == 2
    assert "nothing has been mirrored yet" in said


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["compare", "--help"], ["plan", "SUITE"], ["status", "SUITE"]]
)
def test_quick_verbs_import_nothing_heavy(write_suite: Write, tmp_path: Path, arguments: list[str]) -> None:
    path = str(write_suite())
    code = (
        "import sys; from bench import cli\n"
        f"sys.argv = ['bench', *{[path if a == 'SUITE' else a for a in arguments]!r}]\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = 'torch mlflow pandas numpy matplotlib scipy sklearn jinja2 submitit asyncio timm'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_it_says_which_bench_it_is_also_as_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == f"bench {__version__}\n"
