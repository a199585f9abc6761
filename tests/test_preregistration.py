"""The plan that was stated first: when it is written, when it holds, and what reports say differs from it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import finish_run
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.preregistration import digest_of, ids_of, judged, state, stated
from bench.preregistration.deviations import deviations
from bench.suite import Suite, load

Write = Callable[..., Path]
Make = Callable[..., Suite]
Bench = Callable[..., tuple[int, str, str]]

SETTING = "digits(train_size=200, test_size=100) × vgg5-tiny"
LOSSES = ["ce", {"mae": {"scale": 2}}, "focal"]
METRICS = {"metrics": ["accuracy", "nll"], "analysis": {"margin": {"accuracy": 0.5, "nll": 0.1}}}


def finish(suite: Suite, results: Path, seeds: int | None = None) -> None:
    for cell in suite.cells:
        for run in cell.runs[:seeds]:
            finish_run(run, results, correct=90 + run.seed % 4)


# -------------------------------------------------------------------------------------------- deviations


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"question": "Another?"}, ["question: Another?, planned Does it run?"]),
        ({"baseline": "focal"}, ["baseline: focal, planned ce"]),
        ({"losses": [{"ce": {"label": "CE"}}, *LOSSES[1:]], "baseline": "CE"}, []),
        (
            {"losses": [{"ce": {"label": "CE"}}, *LOSSES[1:]], "baseline": "focal"},
            ["baseline: focal, planned ce"],
        ),
        (
            {"seeds": 8, "exclude": {"loss": "focal", "seed": 7}},
            [
                "seeds: 2 were added to the 6 planned",
                f"{SETTING} × focal: seeds: 1 were added to the 6 planned",
            ],
        ),
        ({"selection": "validation"}, ["selection: validation, planned last"]),
        ({"seeds": 4}, ["seeds: 2 of the 6 planned were dropped"]),
        ({"seeds": 8}, ["seeds: 2 were added to the 6 planned"]),
        (
            {"seeds": [0, 1, 2, 3, 4, 9]},
            ["seeds: 1 of the 6 planned were dropped and 1 were added to the 6 planned"],
        ),
        ({"seeds": [5, 4, 3, 2, 1, 0]}, []),
        (
            {"seeds": {"start": 5, "step": 5, "max": 20, "until": "decided"}},
            ["seeds: 5, then 5 at a time up to 20 until decided, planned 6 of them"],
        ),
        ({"losses": LOSSES[:2]}, ["loss focal: planned, and dropped"]),
        ({"losses": [*LOSSES, "poly1"]}, ["loss poly1: added after results were seen"]),
        (
            {"losses": ["ce", {"mae": {"scale": 3}}, "focal"]},
            ["loss mae(scale=2): planned, and dropped", "loss mae(scale=3): added after results were seen"],
        ),
        ({"losses": ["ce", {"mae": {"scale": 2, "label": "called"}}, "focal"]}, []),
        (
            {"losses": ["ce", {"mae": {"scale": 3, "label": "mae(scale=2)"}}, "focal"]},
            ["loss mae(scale=2): scale 3.0, planned 2.0"],
        ),
        ({"recipe": {"epochs": 3, "batch_size": 32}}, ["training: epochs 3, planned 2"]),
        (
            {"losses": ["ce", {"mae": {"scale": 2, "recipe": {"epochs": 9}}}, "focal"]},
            [f"training of {SETTING} × mae(scale=2): epochs 9, planned 2"],
        ),
        (
            {"models": ["vgg5-tiny", "spinal-vgg5-tiny"]},
            ["model spinal-vgg5-tiny: added after results were seen"],
        ),
        (
            {"exclude": {"loss": "focal"}},
            [f"{SETTING} × focal: planned, and left out"],
        ),
        (
            {"exclude": {"loss": "focal", "seed": [1, 2]}},
            [f"{SETTING} × focal: seeds: 2 of the 6 planned were dropped"],
        ),
        ({"metrics": "accuracy", "analysis": {"margin": 0.5}}, ["metric nll: planned, and dropped"]),
        (
            {"metrics": ["accuracy", "nll", "brier"]},
            ["metric brier: added after results were seen"],
        ),
        ({"metrics": ["nll", "accuracy"]}, ["the metric that decides: nll, planned accuracy"]),
        (
            {"analysis": {"margin": {"accuracy": 1, "nll": 0.1}}},
            ["margin of accuracy: 1.0, planned 0.5"],
        ),
        ({"analysis": {"margin": {"accuracy": 0.5}}}, ["margin of nll: null, planned 0.1"]),
        ({"analysis": {**METRICS["analysis"], "alpha": 0.1}}, ["alpha: 0.1, planned 0.05"]),
        ({"analysis": {**METRICS["analysis"], "test": "flips"}}, ["analysis.test: flips, planned rotations"]),
        ({"keep_weights": True}, []),  # changes nothing that is judged
    ],
)
def test_each_difference_is_a_line(make_suite: Make, changes: dict[str, Any], expected: list[str]) -> None:
    settings_ = {"losses": LOSSES, "seeds": 6, "recipe": {"epochs": 2, "batch_size": 32}, **METRICS}
    plan, now = judged(make_suite(**settings_)), judged(make_suite(**{**settings_, **changes}))
    assert deviations(plan, now) == expected
    assert deviations(now, now) == []
    assert json.loads(json.dumps(plan)) == plan


def test_other_code_is_one_line_and_no_other_item(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    own = ["ce", "planned_loss:one", "planned_loss:two"]
    (tmp_path / "planned_loss.py").write_text("def one(a, b): return 1\ndef two(a, b): return 2\n")
    plan = judged(make_suite(losses=own))
    (tmp_path / "planned_loss.py").write_text("# words\ndef one(a, b): return 1\ndef two(a, b): return 2\n")
    assert judged(make_suite(losses=own)) == plan
    (tmp_path / "planned_loss.py").write_text("def one(a, b): return 1\ndef two(a, b): return 3\n")
    found = deviations(plan, judged(make_suite(losses=own)))
    assert found == ["code: planned_loss was changed, and does something else than it did"]
    old = plan["losses"]["planned_loss:one"]["source"]
    found = deviations(plan, judged(make_suite(losses=own)), lambda module, digest: [old])
    assert found == ["code: planned_loss was changed, and does the same as it did, by its user's word"]


def test_the_runs_of_a_plan_are_those_of_its_suite(make_suite: Make) -> None:
    suite = make_suite(
        losses=LOSSES,
        models=["vgg5-tiny", "spinal-vgg5-tiny"],
        seeds=3,
        exclude={"loss": "focal", "seed": 1},
        metrics=["nll", "accuracy"],
        selection="validation",
    )
    assert {*ids_of(judged(suite))} == {run.id for run in suite.runs()}
    until = make_suite(seeds={"start": 2, "step": 1, "max": 4, "until": "decided"})
    assert {*ids_of(judged(until))} == {run.id for run in until.runs()}
    drawn = make_suite(splits="per_seed", vary=["init", "split"])
    assert {*ids_of(judged(drawn))} == {run.id for run in drawn.runs()}


@given(st.sampled_from(["seeds", "alpha", "margin", "loss", "epochs", "question"]), st.integers(2, 40))
@settings(max_examples=30)
def test_two_plans_have_one_digest_only_if_nothing_deviates(field: str, value: int) -> None:
    def suite(value: int) -> Suite:
        values: dict[str, Any] = {
            "name": "drawn",
            "question": f"Is it {value if field == 'question' else 1}?",
            "datasets": "digits",
            "models": "vgg5-tiny",
            "losses": ["ce", {"mae": {"scale": value if field == "loss" else 1}}],
            "seeds": value if field == "seeds" else 2,
            "recipe": {"epochs": value if field == "epochs" else 2},
            "analysis": {
                "alpha": value / 100 if field == "alpha" else 0.02,
                "margin": value if field == "margin" else 2,
            },
        }
        return Suite.model_validate(values)

    one, other = judged(suite(2)), judged(suite(value))
    assert (
        (digest_of(one) == digest_of(other))
        == (not deviations(one, other))
        == (value == (1 if field in ("loss", "question") else 2) or value == 2)
    )


# --------------------------------------------------------------------------------- when a plan is stated


def test_the_first_run_states_the_plan_and_a_later_one_keeps_it(make_suite: Make, tmp_path: Path) -> None:
    first = make_suite(seeds=3)
    made = state(first, tmp_path, {"commit": "c0ffee", "dirty": False})
    assert (made.frozen, made.finished, made.planned) == (False, 0, 6)
    assert stated(first, tmp_path) == made
    second = make_suite(seeds=4)
    assert state(second, tmp_path, None).digest != made.digest  # nobody can have seen anything
    finish(second, tmp_path, 1)
    third = make_suite(seeds=5)
    kept = state(third, tmp_path, None)
    assert kept == stated(second, tmp_path)
    assert deviations(kept.judged, judged(third)) == ["seeds: 1 were added to the 4 planned"]


def test_a_plan_whose_own_runs_have_finished_holds_for_other_trainings(
    make_suite: Make, tmp_path: Path
) -> None:
    made = state(make_suite(), tmp_path, None)
    finish(make_suite(), tmp_path, 1)
    other = make_suite(recipe={"epochs": 5})  # none of these has finished
    assert state(other, tmp_path, None) == made


def test_a_plan_that_was_stated_after_results_is_not_replaced(make_suite: Make, tmp_path: Path) -> None:
    finish(make_suite(), tmp_path, 1)
    made = state(make_suite(), tmp_path, None)
    assert made.finished == 2
    assert state(make_suite(recipe={"epochs": 7}), tmp_path, None) == made


def test_runs_that_had_finished_before_are_counted(make_suite: Make, tmp_path: Path) -> None:
    finish(make_suite(seeds=3), tmp_path)
    assert state(make_suite(seeds=4), tmp_path, None).finished == 6


def test_a_frozen_plan_is_replaced_by_freezing_alone_and_before_any_run(
    make_suite: Make, tmp_path: Path
) -> None:
    state(make_suite(seeds=3), tmp_path, None)
    frozen = state(make_suite(seeds=3), tmp_path, None, frozen=True)
    assert frozen.frozen
    assert state(make_suite(seeds=9), tmp_path, None) == frozen
    again = state(make_suite(seeds=4), tmp_path, None, frozen=True)
    assert again.planned == 8
    finish(make_suite(seeds=4), tmp_path, 1)
    assert state(make_suite(seeds=4), tmp_path, None, frozen=True) == again
    with pytest.raises(BenchError, match=r"another plan was stated on .* runs of it have finished: it holds"):
        state(make_suite(seeds=5), tmp_path, None, frozen=True)
    assert stated(make_suite(), tmp_path) == again


@pytest.mark.parametrize("damage", ["", "{}", "[]", "seeds", "digest"])
def test_a_plan_that_is_not_what_was_written_is_said(make_suite: Make, tmp_path: Path, damage: str) -> None:
    suite = make_suite()
    state(suite, tmp_path, None)
    file = tmp_path / "small" / "plan.json"
    content = json.loads(file.read_text())
    if damage == "seeds":
        content["judged"]["seeds"] = [0]
    elif damage == "digest":
        content["digest"] = "0" * 64
    file.write_text(json.dumps(content) if damage in ("seeds", "digest") else damage)
    with pytest.raises(BenchError, match=r"plan\.json: the plan is not what was written"):
        stated(suite, tmp_path)


# --------------------------------------------------------------------------------------------- the command


def test_freeze_prints_a_digest_that_anybody_can_make_again(
    bench: Bench, write_suite: Write, tmp_path: Path
) -> None:
    path = write_suite(seeds=3)
    for command in (["init", "-q"], ["add", "small.yaml"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(tmp_path), *who, "commit", "-qm", "plan"], check=True)
    status, printed, _ = bench("freeze", path)
    assert status == 0
    digest = digest_of(judged(load(path)))
    assert printed.splitlines()[-1] == f"digest: {digest}"
    commit = subprocess.run(
        ["git", "-C", str(tmp_path), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert f"by bench freeze, at commit {commit}" in printed
    assert "finished by then: 0 of 6 runs" in printed
    _, printed, _ = bench("freeze", path, "--json")
    assert json.loads(printed)["digest"] == digest


def test_a_report_is_as_planned_and_only_the_page_says_when(
    bench: Bench, write_suite: Write, tmp_path: Path
) -> None:
    path, results = write_suite(seeds=6), tmp_path / "results"
    bench("freeze", path)
    finish(load(path), results)
    _, printed, _ = bench("report", path)
    said = f"As planned; the plan's digest is {digest_of(judged(load(path)))[:16]}."
    assert said in printed
    year = json.loads((results / "small" / "plan.json").read_text())["time"]
    made = results / "small"
    for name in ("report.md", "report.json", "report.tex", "cells.csv"):
        assert "bench freeze" not in (made / name).read_text()
        assert str(year) not in (made / name).read_text()
    assert "As planned (by bench freeze on 20" in (made / "report.html").read_text()
    assert json.loads((made / "report.json").read_text())["plan"]["deviations"] == []


def test_seeds_that_the_rule_did_not_need_are_no_deviation(
    bench: Bench, write_suite: Write, tmp_path: Path
) -> None:
    path = write_suite(seeds={"start": 5, "step": 5, "max": 20, "until": "decided"}, analysis={"margin": 5})
    results = tmp_path / "results"
    bench("freeze", path)
    for cell in load(path).cells:
        for run in cell.runs[:10]:
            finish_run(run, results, correct=90 + run.seed % 3 if cell.loss == "ce" else 60 - run.seed % 4)
    _, printed, _ = bench("report", path)
    assert "10/10" in printed
    assert "As planned; " in printed
    assert "Not as planned" not in printed


def test_a_report_lists_what_was_not_planned(bench: Bench, write_suite: Write, tmp_path: Path) -> None:
    path, results = write_suite(seeds=6, losses=["ce", "mae"]), tmp_path / "results"
    state(load(path), results, None)
    finish(load(path), results)
    path = write_suite(seeds=4, losses=["ce", "focal"], analysis={"margin": 2})
    finish(load(path), results)
    _, printed, _ = bench("report", path)
    assert (
        "Not as planned: seeds: 2 of the 6 planned were dropped; loss mae: planned, and dropped; loss focal: "
        "added after results were seen; margin of accuracy: 2.0, planned 0.1."
    ) in " ".join(printed.split())
    assert "A plan was stated first; the plan's digest is" in printed


def test_a_plan_that_came_after_results_says_so(bench: Bench, write_suite: Write, tmp_path: Path) -> None:
    path, results = write_suite(seeds=6), tmp_path / "results"
    finish(load(path), results)
    state(load(path), results, None)
    _, printed, _ = bench("report", path)
    assert "As planned, though 12 of 12 runs had finished when the plan was stated" in " ".join(
        printed.split()
    )


def test_without_a_plan_nothing_is_said(bench: Bench, write_suite: Write, tmp_path: Path) -> None:
    path = write_suite(seeds=6)
    finish(load(path), tmp_path / "results")
    _, printed, _ = bench("report", path)
    assert "plan" not in printed


# ------------------------------------------------------------------------------------------------- looks


@pytest.mark.parametrize("verb", ["report", "run", "track"])
def test_a_look_at_some_seeds_replaces_no_report(
    bench: Bench, write_suite: Write, tmp_path: Path, verb: str
) -> None:
    path, results = write_suite(seeds=6), tmp_path / "results"
    finish(load(path), results)
    bench("run", path)  # states the plan, reports, and mirrors
    made = {file: file.read_bytes() for file in sorted((results / "small").glob("*.*"))}
    status, printed, _ = bench(verb, path, "--seeds", "4")
    assert status == 0
    if verb != "track":
        assert "A look at 4 of the 6 seeds that the suite asks for: it is no report" in " ".join(
            printed.split()
        )
        assert "· A LOOK" in printed
        assert "As planned" in printed  # the plan itself was kept
    assert {file: file.read_bytes() for file in sorted((results / "small").glob("*.*"))} == made
    _, printed, _ = bench("report", path, "--seeds", "4", "--json")
    assert json.loads(printed)["look"] == "4 of the 6 seeds that the suite asks for"


def test_a_look_draws_nothing(bench: Bench, write_suite: Write, tmp_path: Path) -> None:
    path = write_suite(seeds=6)
    status, _, said = bench("report", path, "--seeds", "4", "--figures")
    assert status == 2
    assert "--figures draws the report: leave out --seeds" in said


def test_a_first_look_states_the_plan_of_the_whole_suite(
    bench: Bench, write_suite: Write, tmp_path: Path
) -> None:
    path, results = write_suite(seeds=6), tmp_path / "results"
    finish(load(path), results, 2)
    bench("run", path, "--seeds", "2")
    plan = stated(load(path), results)
    assert plan is not None
    assert (plan.planned, plan.finished) == (12, 4)
    assert not (results / "small" / "report.json").exists()


@pytest.mark.parametrize(
    ("asked", "seeds", "look"),
    [
        (6, None, False),
        (6, 5, True),
        (6, 6, False),
        (6, 7, False),  # more than asked is a deviation, and a report
        ([7, 8, 9], 2, True),
        ({"start": 2, "step": 2, "max": 6, "until": "decided"}, 4, True),
    ],
)
def test_what_is_a_look(write_suite: Write, asked: Any, seeds: int | None, look: bool) -> None:
    suite = load(write_suite(seeds=asked), seeds)
    assert suite.is_look == look
    assert yaml.safe_dump(judged(suite.whole)) == yaml.safe_dump(judged(load(write_suite(seeds=asked))))


def test_more_seeds_than_planned_are_a_deviation(bench: Bench, write_suite: Write, tmp_path: Path) -> None:
    path, results = write_suite(seeds=6), tmp_path / "results"
    state(load(path), results, None)
    finish(load(path, 8), results)
    _, printed, _ = bench("report", path, "--seeds", "8")
    assert "Not as planned: seeds: 2 were added to the 6 planned." in printed
    assert (results / "small" / "report.md").exists()
