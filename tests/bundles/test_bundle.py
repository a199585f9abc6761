"""A study as one file: whoever has it alone gets the same tables, and can make every number again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SMALL
from helpers import as_asked, finish_run
from invented import invent
from made_up import LR, TUNE, finish, finish_trials

import bench as door
from bench.bundles import reading
from bench.bundles.resolved import Resolved, resolved, restore
from bench.disk import array_bytes
from bench.front.asking import asking
from bench.preregistration import judged, state
from bench.results.folder import RunFolder
from bench.sequential_design import as_it_stands
from bench.source import Source
from bench.versions.counting import declare_same

Command = Callable[..., tuple[int, str, str]]
Study = Callable[..., tuple[Path, Path]]
Write = Callable[..., Path]


def bundled(file: Path, results: Path, **options: Any) -> Path:
    return door.bundle(file, results=results, output=results.parent / "made.zip", **options)


def forget(file: Path, results: Path) -> None:
    """Leave the bundle alone: no suite, no code, no results."""
    shutil.rmtree(results)
    for path in file.parent.glob("*.*"):
        if path.suffix in (".py", ".yaml"):
            path.unlink()


def check(file: Path, results: Path) -> door.Report:
    """Bundle a study, and read it where there is nothing else; returns the report."""
    here = door.report(file, results=results)
    made = bundled(file, results)
    forget(file, results)
    sys.modules.pop("mine", None)
    there = door.report(made)
    assert there.json() == here.json()
    assert there.markdown(everything=True) == here.markdown(everything=True)
    found = door.verify(made)
    assert found.same, found.differences
    assert found.numbers > 100
    assert "mine" not in sys.modules
    return there


# ------------------------------------------------------------------------------------ the same tables


def test_a_bundle_is_all_that_a_report_needs(study: Study) -> None:
    file, results = study()
    state(as_asked(file, results), results, None, frozen=True)
    there = check(file, results)
    assert there.document.plan is not None
    assert there.document.secondary.comparisons


def test_it_holds_what_a_reader_looks_for(study: Study, tmp_path: Path) -> None:
    file, results = study()
    with zipfile.ZipFile(bundled(file, results)) as archive:
        names = archive.namelist()
        crate = json.loads(archive.read("ro-crate-metadata.json"))
        environment = json.loads(archive.read("environment.json"))
        assert archive.read("suite/study.yaml") == file.read_bytes()
    runs = [run.id for run in door.load(file).runs()]
    assert {name.split("/")[2] for name in names if name.startswith("results/runs/")} == {*runs}
    assert names == [*sorted(names[:-1]), "bundle.json"]
    assert not any(name.endswith(("suite.json", "mlflow.db")) for name in names)
    parts = {entity["@id"]: entity for entity in crate["@graph"]}
    assert parts["ro-crate-metadata.json"]["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.2"}
    assert {"@id": "results/runs/"} in parts["./"]["hasPart"]
    assert {"@id": "results/study/report.html"} in parts["./"]["hasPart"]
    assert [part["runs"] for part in environment["runs"]] == [12]
    assert environment["runs"][0]["device"] == "cpu"
    assert environment["report"]["numpy"] == np.__version__


def test_the_same_study_gives_the_same_bytes_and_changes_nothing(study: Study, tmp_path: Path) -> None:
    file, results = study()
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    first = bundled(file, results).read_bytes()
    os.utime(file)
    again = door.bundle(file, results=results, output=tmp_path / "again.zip").read_bytes()
    assert again == first
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before


def test_weights_only_when_asked(study: Study, tmp_path: Path) -> None:
    file, results = study()
    for run in door.load(file).runs():
        finish_run(run, results, correct=90, weights=b"weights of a run")
    without = bundled(file, results)
    whole = door.bundle(file, results=results, output=tmp_path / "whole.zip", weights=True)
    for path, count in ((without, 0), (whole, 12)):
        with zipfile.ZipFile(path) as archive:
            assert sum(name.endswith("weights.safetensors") for name in archive.namelist()) == count
        assert door.verify(path).same


# -------------------------------------------------------------------------------- suites of every kind

METRIC = """
def wrong(predictions, by=1):
    return by * (predictions.predicted != predictions.labels).astype(float)

wrong.higher_is_better = False

class Single:
    higher_is_better = True
    def __call__(self, predictions):
        return float((predictions.predicted == predictions.labels).mean()) ** 0.5
"""


@pytest.mark.parametrize(
    "metrics", [["accuracy", {"mine:wrong": {"by": 3}}], ["mine:wrong", "mine:Single", "brier"]]
)
def test_metrics_of_ones_own_are_neither_run_nor_needed(
    study: Study, tmp_path: Path, metrics: list[Any]
) -> None:
    (tmp_path / "mine.py").write_text(METRIC)
    file, results = study(metrics=metrics)
    check(file, results)
    found = door.verify(tmp_path / "made.zip")
    assert "is not run" in found.notes[0]
    with zipfile.ZipFile(tmp_path / "made.zip") as archive:
        assert archive.read("code/mine.py").decode() == METRIC


def test_losses_models_and_data_of_ones_own_are_not_looked_for(study: Study, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import helper_of_mine\n\ndef loss(logits, target): ...\n")
    (tmp_path / "helper_of_mine.py").write_text("raise SystemExit('it was run')\n")
    np.savez(tmp_path / "images.npz", **{f"{part}_{kind}": np.zeros(4) for part in ("train", "test")
                                         for kind in ("images", "labels")})  # fmt: skip
    file, results = study(
        losses=["ce", {"mine:loss": {"label": "mine"}}],
        datasets=["digits", {"arrays": {"file": str(tmp_path / "images.npz")}}],
        models=["vgg5-tiny", {"mine:loss": {"width": 3}}],
    )  # fmt: skip
    (tmp_path / "kept.npz").write_bytes((tmp_path / "images.npz").read_bytes())
    here = door.report(file, results=results).json()
    made = bundled(file, results)
    forget(file, results)
    (tmp_path / "images.npz").unlink()
    assert door.report(made).json() == here
    assert door.verify(made).same
    with zipfile.ZipFile(made) as archive:
        assert {"code/mine.py", "code/helper_of_mine.py"} <= {*archive.namelist()}


TRAINER = """
def train(job):
    raise SystemExit("it was run")
"""


def test_trainers_of_ones_own_verify(write_suite: Write, tmp_path: Path) -> None:
    """A function beside a program; and a metric that the one gives by name."""
    (tmp_path / "mine.py").write_text(TRAINER)
    (tmp_path / "train.py").write_text("print('accuracy: 0.9')\n")
    program = {"command": ["python", "train.py", "{seed}"], "result": {"file": "out.json"}}
    file = write_suite(
        "own",
        models=[{"net": {"trainer": "mine:train"}}, {"other": {"trainer": program}}],
        losses=["ce", {"theirs": {"gamma": 2}}],
        metrics=["accuracy", {"mine:score": {"higher_is_better": True}}],
        recipe={"lr": 0.1},
        seeds=6,
    )
    (tmp_path / "mine.py").write_text(f"{TRAINER}\ndef score(predictions): raise SystemExit('it was run')\n")
    results = tmp_path / "results"
    for number, run in enumerate(as_asked(file, results).runs()):
        finish_run(run, results, correct=80 + number % 7, values={"mine:score": 0.5 + number / 100})
    check(file, results)
    with zipfile.ZipFile(tmp_path / "made.zip") as archive:
        assert any(name.endswith("/train.py") for name in archive.namelist())


@pytest.mark.parametrize("looks", ["planned", "whenever"])
def test_seeds_that_were_added_until_decided_verify(study: Study, tmp_path: Path, looks: str) -> None:
    file, results = study(seeds={"start": 3, "step": 2, "max": 9, "until": "decided", "looks": looks})
    for run in as_asked(file, results).runs()[4:]:  # some were never trained
        shutil.rmtree(results / "runs" / run.id)
    there = check(file, results)
    assert there.document.sequential is not None
    assert not there.document.complete


def test_failed_runs_are_results(study: Study) -> None:
    file, results = study()
    run = as_asked(file, results).runs()[3]
    shutil.rmtree(results / "runs" / run.id)
    RunFolder(results, run.id).path.mkdir()
    RunFolder(results, run.id).fail("loss is nan")
    assert check(file, results).failed == 1


def test_a_damaged_run_is_damaged_there_too(study: Study, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(METRIC)
    file, results = study(metrics=["accuracy", "mine:wrong"])
    run = as_asked(file, results).runs()[3]
    (results / "runs" / run.id / "predictions.npz").write_bytes(b"something else")
    made = bundled(file, results)
    forget(file, results)
    there = door.report(made)
    assert f"results/runs/{run.id}/predictions.npz: its content is not" in there.json()
    assert door.verify(made).same


def test_runs_that_finished_with_older_code_count(study: Study, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def loss(logits, target): return 1\n")
    file, results = study(losses=["ce", "mine:loss"])
    for text in ("return 1", "return 2 - 1"):
        (tmp_path / "mine.py").write_text(f"def loss(logits, target): {text}\n")
        with asking(Source.of(file), results, names=False) as asked:
            declare_same(asked, results)
    there = check(file, results)
    assert there.document.complete


def test_a_suite_made_in_python(tmp_path: Path) -> None:
    suite = door.Suite(name="made", **{**SMALL, "question": "Does it?"})
    for run in suite.runs():
        finish_run(run, tmp_path / "results", correct=90)
    made = door.bundle(suite, results=tmp_path / "results", output=tmp_path / "made.zip")
    assert door.report(made).document.suite == "made"
    with zipfile.ZipFile(made) as archive:
        assert b"Does it?" in archive.read("suite/made.yaml")


def test_a_resolved_suite_is_the_suite(study: Study, tmp_path: Path) -> None:
    file, results = study(
        exclude={"loss": "mix_ent", "seed": [1]},
        zip=["datasets", "models"],
        datasets=["digits", {"digits": {"train_size": 200, "label": "few"}}],
        models=["vgg5-tiny", {"timm/resnet18": {"image_size": 32}}],
        analysis={"alpha": 0.1, "margin": {"nll": 0.3}},
    )
    suite = as_asked(file, results)
    said = resolved(suite)
    again = restore(Resolved.model_validate_json(said.model_dump_json()), tmp_path)
    assert again.runs() == suite.runs()
    assert again.cells == suite.cells
    assert judged(again) == judged(suite)
    assert again.margins == suite.margins
    assert resolved(again) == said


# --------------------------------------------------------------------------------------------- verified


def change(path: Path, name: str, old: bytes, new: bytes) -> Path:
    """The same bundle with another file in it, whose digest is right."""
    with zipfile.ZipFile(path) as archive:
        files = {info.filename: archive.read(info) for info in archive.infolist()}
    assert old in files[name], files[name][:2000]
    files[name] = files[name].replace(old, new, 1)
    return repack(path, files)


def repack(path: Path, files: dict[str, bytes], **said: Any) -> Path:
    """A bundle of these files, with a manifest that agrees with them."""
    import hashlib

    manifest = json.loads(files["bundle.json"]) | said
    manifest["files"] = {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
        if name != "bundle.json"
    }
    target = path.with_name("changed.zip")
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in {**files, "bundle.json": json.dumps(manifest).encode()}.items():
            archive.writestr(name, content)
    return target


def test_a_number_that_was_changed_is_named(study: Study, bench: Command) -> None:
    file, results = study()
    made = bundled(file, results)
    with zipfile.ZipFile(made) as archive:
        report = json.loads(archive.read("results/study/report.json"))
    delta = report["comparisons"][0]["delta"]
    other = np.nextafter(delta, 1.0).item()  # in its last bit
    changed = change(
        made, "results/study/report.json", f'"delta": {delta!r}'.encode(), f'"delta": {other!r}'.encode()
    )
    [found] = door.verify(changed).differences
    assert (found.file, found.where) == ("results/study/report.json", "comparisons[0].delta")
    assert (found.bundle, found.here) == (other, delta)
    status, printed, _ = bench("bundle", changed, "--verify")
    assert status == 1
    assert f"comparisons[0].delta: {other!r} in the bundle, {delta!r} from the runs" in printed
    status, printed, _ = bench("bundle", changed, "--verify", "--json")
    assert status == 1
    assert json.loads(printed)["differences"][0]["where"] == "comparisons[0].delta"
    assert bench("bundle", made, "--verify")[0] == 0


@pytest.mark.parametrize(
    ("name", "old", "new", "where"),
    [
        ("results/study/cells.csv", b",ce,", b",CE,", "line 2, loss"),
        ("results/study/report.md", b"ce", b"xx", "line "),
        ("results/study/report.html", b"Answer", b"Anwser", "line "),
        ("results/study/report.json", b'"n": 6', b'"n": 7', "cells[0].n"),
        ("results/study/report.json", b'"n": 6', b'"n": 6.0', "cells[0].n"),
    ],
)
def test_whatever_else_is_changed(study: Study, name: str, old: bytes, new: bytes, where: str) -> None:
    found = door.verify(change(bundled(*study()), name, old, new))
    assert not found.same
    assert found.differences[0].file == name
    assert found.differences[0].where.startswith(where)


def test_runs_code_and_arrays_are_what_they_are_named_by(study: Study, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def loss(logits, target): return 1\n")
    file, results = study(losses=["ce", "mine:loss"])
    made = bundled(file, results)
    run = as_asked(file, results).runs()[0].id
    with zipfile.ZipFile(made) as archive:
        agreement = archive.read("results/study/agreement.npz")
    for name, old, new in (
        (f"results/runs/{run}/run.json", b'"train_size": 200', b'"train_size": 201'),
        ("code/mine.py", b"return 1", b"return 2"),
        ("results/study/agreement.npz", agreement, array_bytes(np.zeros(3))),
    ):
        found = door.verify(change(made, name, old, new))
        assert [one.file for one in found.differences] == [name if name != "code/mine.py" else "code"]


def test_an_older_report_says_less(study: Study) -> None:
    """Documents grow: what a later bench adds is not in the bundles that were made before."""
    found = door.verify(change(bundled(*study()), "results/study/report.json", b'"look": "",', b""))
    assert found.same


def test_other_versions_are_said(study: Study) -> None:
    made = bundled(*study())
    with zipfile.ZipFile(made) as archive:
        files = {info.filename: archive.read(info) for info in archive.infolist()}
    files["results/study/report.md"] = b"# worded otherwise"
    found = door.verify(repack(made, files, bench="0.0.1"))
    assert found.same
    assert "made by bench 0.0.1" in found.notes[0]


# -------------------------------------------------------------------------- a machine with nothing else


def test_it_is_read_by_a_process_that_cannot_import_the_code(study: Study, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(METRIC)
    file, results = study(metrics=["mine:wrong", "accuracy"])
    made = bundled(file, results)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    made.rename(elsewhere / "made.zip")
    for name in ("mine.py", "torch.py", "torchvision.py", "timm.py"):  # of these, none is to be imported
        (elsewhere / name).write_text("raise SystemExit('it was imported')\n")
    code = "import bench; print(bench.report('made.zip').answer); print(bench.verify('made.zip').same)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=elsewhere,
        env={
            **os.environ,
            "PYTHONPATH": f"{Path(door.__file__).parents[1]}:{os.environ.get('PYTHONPATH', '')}",
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.splitlines()[-1] == "True"


def test_the_command(study: Study, bench: Command, tmp_path: Path) -> None:
    file, _ = study()
    status, printed, _ = bench("bundle", file, "--output", tmp_path / "mine.zip")
    assert (status, printed.split(":")[0]) == (0, str(tmp_path / "mine.zip"))
    assert bench("report", tmp_path / "mine.zip")[1] == bench("report", file)[1]
    assert bench("report", tmp_path / "mine.zip", "--json")[1] == bench("report", file, "--json")[1]


def test_quickstart_is_small_and_quick(tmp_path: Path) -> None:
    file = Path(__file__).parents[2] / "suites" / "quickstart.yaml"
    invent(door.Suite.of(Source.of(file))._suite, tmp_path / "results")
    made = door.bundle(file, results=tmp_path / "results", output=tmp_path / "made.zip")
    assert made.stat().st_size < 5e6
    with reading.unpacked(made) as found:
        assert found.manifest.runs == 60


def test_trials_and_their_winners_are_in_it(write_suite: Write, tmp_path: Path) -> None:
    file = write_suite("study", losses=["ce", "focal"], seeds=2, selection="validation", tune=TUNE)
    results = tmp_path / "results"
    asked = as_asked(file, results)
    finish_trials(asked, results, lambda loss, setting: (0.3 + 5 * setting[LR], 40 + int(400 * setting[LR])))
    for cell in as_it_stands(asked, results).cells:
        for run in cell.runs:
            finish(run, results, 0.8, 80 + run.seed)
    there = check(file, results)
    assert there.document.tuning is not None
    assert [search.done for search in there.document.tuning.searches] == [8, 8]


def test_data_on_disk_are_not_needed(study: Study, tmp_path: Path) -> None:
    labels = np.arange(40) % 10
    images = np.arange(40, dtype=np.uint8)[:, None, None] + np.zeros((40, 8, 8), np.uint8)
    arrays = tmp_path / "small.npz"
    np.savez(
        arrays,
        train_images=images[:20],
        train_labels=labels[:20],
        test_images=images[20:],
        test_labels=labels[20:],
    )
    file, results = study(datasets={"arrays": {"file": str(arrays), "image_size": 8}})
    there = check(file, results)
    assert there.document.complete


def test_splits_by_seed_are_the_same_there(study: Study) -> None:
    file, results = study(splits="per_seed", vary=["init", "split"])
    there = check(file, results)
    assert there.document.splits == "per_seed"
