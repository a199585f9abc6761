"""Folders of several labs become one; where they contradict each other, nothing does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import as_asked, finish_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bench as door
from bench.preregistration import state
from bench.results.folder import RunFolder

Command = Callable[..., tuple[int, str, str]]
Write = Callable[..., Path]


@pytest.fixture
def file(write_suite: Write) -> Path:
    return write_suite(seeds=6)


def lab(
    file: Path, results: Path, which: slice = slice(None), device: str = "A100", **changes: object
) -> Path:
    """A results folder with some runs of the suite."""
    for number, run in enumerate(as_asked(file, results).runs()):
        if number in range(100)[which]:
            finish_run(run, results, correct=80 + number, devices=[device], **changes)  # type: ignore[arg-type]
    return results


def content(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_two_labs_are_one(file: Path, tmp_path: Path) -> None:
    one = lab(file, tmp_path / "one", slice(0, 8))
    other = lab(file, tmp_path / "other", slice(6, 12), device="H200")
    made = door.merge([one, other], into=tmp_path / "both")
    assert (made.runs, made.shared) == (12, 2)
    assert [(part.done, part.new) for part in made.parts] == [(8, 8), (6, 4)]
    assert "devices differ: " in made.notes[0]
    assert f"{one}: A100; {other}: H200" in made.notes[0]
    whole = lab(file, tmp_path / "whole")
    assert (
        door.report(file, results=tmp_path / "both").document.cells
        == door.report(file, results=whole).document.cells
    )
    assert door.report(file, results=tmp_path / "both").document.complete


def test_what_the_folder_has_is_kept(file: Path, tmp_path: Path) -> None:
    into = lab(file, tmp_path / "into", slice(0, 8))
    (into / "mlflow.db").write_text("as it is")
    before = content(into)
    made = door.merge([lab(file, tmp_path / "other")], into=into)
    assert content(into).items() >= before.items()
    assert [part.new for part in made.parts] == [8, 4]
    again = content(into)
    assert door.merge([tmp_path / "other"], into=into).parts[1].new == 0
    assert content(into) == again


def test_other_predictions_of_a_run_are_refused(file: Path, tmp_path: Path) -> None:
    one, other = lab(file, tmp_path / "one"), lab(file, tmp_path / "other", device="H200")
    run = as_asked(file, one).runs()[3]
    finish_run(run, other, correct=12, devices=["H200"])
    with pytest.raises(door.BenchError) as caught:
        door.merge([one, other], into=tmp_path / "both")
    said = str(caught.value)
    assert "1 runs contradict each other, and nothing was written" in said
    assert f"run {run.id}: {one} has correct 83 (on A100), {other} has correct 12 (on H200)" in said
    assert not (tmp_path / "both").exists()
    into = tmp_path / "into"
    shutil.copytree(one, into)
    before = content(into)
    with pytest.raises(door.BenchError, match="contradict"):
        door.merge([other], into=into)
    assert content(into) == before


def test_the_same_count_by_other_answers_is_refused_too(file: Path, tmp_path: Path) -> None:
    one, other = lab(file, tmp_path / "one"), lab(file, tmp_path / "other")
    run = as_asked(file, one).runs()[3]
    finish_run(run, other, correct=83, nll=0.2)
    with pytest.raises(door.BenchError, match=r"has nll 0\.1 .* has nll 0\.2"):
        door.merge([one, other], into=tmp_path / "both")


def test_a_result_is_better_than_a_failure(file: Path, tmp_path: Path) -> None:
    one, other = lab(file, tmp_path / "one", slice(1, 12)), lab(file, tmp_path / "other", slice(0, 1))
    first, second = as_asked(file, one).runs()[:2]
    RunFolder(one, first.id).path.mkdir()
    RunFolder(one, first.id).fail("out of memory")
    RunFolder(other, second.id).path.mkdir()
    RunFolder(other, second.id).fail("diverged")
    made = door.merge([other], into=one)
    assert RunFolder(one, first.id).done
    assert RunFolder(one, second.id).done
    assert [part.failed for part in made.parts] == [1, 1]
    [kept] = (one / "set-aside").iterdir()
    assert "out of memory" in (kept / "failure.json").read_text()
    into = tmp_path / "failures"
    shutil.rmtree(other / "runs" / first.id)
    assert door.merge([other], into=into).runs == 1
    assert RunFolder(into, second.id).failed


def test_what_cannot_be_joined_is_said(file: Path, tmp_path: Path, bench: Command) -> None:
    one, other = lab(file, tmp_path / "one", slice(0, 6)), lab(file, tmp_path / "other")
    runs = as_asked(file, one).runs()
    (other / "runs" / runs[7].id / "predictions.npz").write_bytes(b"something")
    (other / "runs" / runs[8].id / "result.json").unlink()
    shutil.move(other / "runs" / runs[9].id, tmp_path / "elsewhere")
    (other / "runs" / runs[9].id).symlink_to(tmp_path / "elsewhere")
    metrics = other / "runs" / runs[10].id / "run.json"
    metrics.rename(tmp_path / "run.json")
    metrics.symlink_to(tmp_path / "run.json")
    status, printed, _ = bench("merge", one, other, "--into", tmp_path / "both")
    assert status == 1
    assert "left out: 1 runs that have not ended" in printed
    assert "left out: 1 damaged runs: " in printed
    assert "left out: 2 runs that are links, or hold some: " in printed
    assert len([*(tmp_path / "both" / "runs").iterdir()]) == 8


def test_plans_are_joined_or_contradict(file: Path, write_suite: Write, tmp_path: Path) -> None:
    one, other = lab(file, tmp_path / "one", slice(0, 6)), lab(file, tmp_path / "other", slice(0, 0))
    (other / "runs").mkdir(parents=True)
    state(as_asked(file, other), other, None)
    made = door.merge([one, other], into=tmp_path / "both")
    assert "small: the plan is that of" in made.notes[-1]
    assert "6 runs of folders without a plan had finished before it" in made.notes[-1]
    plan = json.loads((tmp_path / "both" / "small" / "plan.json").read_text())
    assert plan["finished"] == 6
    state(as_asked(write_suite(seeds=5), one), one, None)
    with pytest.raises(door.BenchError, match=r"small: two plans were stated: \w{16} in .*one and \w{16} in"):
        door.merge([one, other], into=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    (one / "small" / "plan.json").write_text("{}")
    with pytest.raises(door.BenchError, match=r"plan\.json: the plan is not what was written"):
        door.merge([one, other], into=tmp_path / "new")


def test_other_data_are_said(file: Path, tmp_path: Path) -> None:
    one = lab(file, tmp_path / "one", slice(0, 6))
    other = lab(file, tmp_path / "other", slice(6, 12), data={"source": "1" * 16, "used": "1" * 16})
    [said] = door.merge([one, other], into=tmp_path / "both").notes
    assert said.startswith("the data of digits differ (digests ")


def test_weights_are_taken_from_whoever_has_them(file: Path, tmp_path: Path) -> None:
    one = lab(file, tmp_path / "one", slice(0, 2), weights=b"weights of a run")
    bundles = [
        door.bundle(file, results=one, output=tmp_path / f"{name}.zip", weights=name == "whole")
        for name in ("bare", "whole")
    ]
    door.merge(bundles, into=tmp_path / "both")
    assert len([*(tmp_path / "both" / "runs").glob("*/weights.safetensors")]) == 2


def test_bundles_are_folders_too(file: Path, tmp_path: Path) -> None:
    one, other = lab(file, tmp_path / "one", slice(0, 8)), lab(file, tmp_path / "other", slice(6, 12))
    bundles = [door.bundle(file, results=r, output=tmp_path / f"{r.name}.zip") for r in (one, other)]
    made = door.merge(bundles, into=tmp_path / "both")
    assert [part.name for part in made.parts] == [*map(str, bundles)]
    assert door.report(file, results=tmp_path / "both").document.complete


def test_versions_of_code_are_joined(write_suite: Write, tmp_path: Path) -> None:
    from bench.front.asking import asking
    from bench.source import Source
    from bench.versions.counting import declare_same

    file = write_suite(losses=["ce", "mine:loss"])
    for name, text in (("one", "return 1"), ("other", "return 2 - 1")):
        (tmp_path / "mine.py").write_text(f"def loss(logits, target): {text}\n")
        lab(file, tmp_path / name, slice(0, 2) if name == "one" else slice(2, 4))
        shutil.copytree(
            tmp_path / "one" / "code", tmp_path / name / "code", dirs_exist_ok=True
        ) if name == "other" else None
        with asking(Source.of(file), tmp_path / name, names=False) as asked:
            declare_same(asked, tmp_path / name)
    door.merge([tmp_path / "one", tmp_path / "other"], into=tmp_path / "both")
    assert len([*(tmp_path / "both" / "code").iterdir()]) == 2


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.sets(st.integers(0, 11)), min_size=1, max_size=3))
def test_any_parts_of_a_whole_are_joined_in_any_order(
    file: Path, tmp_path: Path, parts: list[set[int]]
) -> None:
    whole = tmp_path / "whole"
    if not whole.exists():
        lab(file, whole)
    runs = [run.id for run in as_asked(file, whole).runs()]
    joined = []
    for order in (parts, parts[::-1]):
        folders = []
        for number, part in enumerate(order):
            folder = tmp_path / f"part-{number}"
            shutil.rmtree(folder, ignore_errors=True)
            (folder / "runs").mkdir(parents=True)
            for k in part:
                shutil.copytree(whole / "runs" / runs[k], folder / "runs" / runs[k])
            folders.append(folder)
        into = tmp_path / "joined"
        shutil.rmtree(into, ignore_errors=True)
        made = door.merge(folders, into=into)
        assert made.runs == len(set().union(*parts))
        joined.append(content(into))
    assert joined[0] == joined[1]


def test_wrong_requests(file: Path, tmp_path: Path, bench: Command) -> None:
    one = lab(file, tmp_path / "one", slice(0, 2))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    for arguments, words in (
        ((tmp_path / "nope", "--into", tmp_path / "new"), "nope: there is no such folder"),
        (
            (tmp_path / "full", "--into", tmp_path / "new"),
            "full: it has no runs/, so it is no results folder",
        ),
        ((one, "--into", one), "it is the same folder as"),
        ((one, one, "--into", tmp_path / "new"), "it was given twice"),
        ((one, "--into", tmp_path / "full"), "it is no results folder, and not empty"),
        ((one, "--into", file), "it is a file, expected a folder"),
    ):
        status, printed, said = bench("merge", *arguments)
        assert (status, printed) == (2, ""), said
        assert words in said.splitlines()[-1]
    assert not (tmp_path / "new").exists()
    with RunFolder(tmp_path / "new", as_asked(file, one).runs()[0].id).claim():
        status, _, said = bench("merge", one, "--into", tmp_path / "new")
        assert "is being trained there right now" in said
