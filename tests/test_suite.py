"""The suite file: what it may say, what it becomes, and what a wrong one is told."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.recipe import Recipe, merge_recipes
from bench.runs import Run
from bench.suite import Suite, load
from bench.yaml_file import read_yaml

Make = Callable[..., Suite]
Write = Callable[..., Path]


def test_scalar_axes_are_lists_of_one(make_suite: Make) -> None:
    one = make_suite(datasets="digits", models="vgg5-tiny", losses="ce", seeds=[7])
    assert [(cell.dataset, cell.model, cell.loss, cell.seeds) for cell in one.cells] == [
        ("digits", "vgg5-tiny", "ce", (7,))
    ]


def test_axes_cross(make_suite: Make) -> None:
    crossed = make_suite(models=["vgg5-tiny", "spinal-vgg5-tiny"], losses=["ce", "mae", "gce"], seeds=5)
    assert len(crossed.cells) == 6
    assert len({run.id for run in crossed.runs()}) == len(crossed.runs()) == 30


def test_runs_come_seed_by_seed(make_suite: Make) -> None:
    seeds = [run.seed for run in make_suite(seeds=3).runs()]
    assert seeds == [0, 0, 1, 1, 2, 2]


def test_zipped_axes_advance_together(make_suite: Make) -> None:
    zipped = make_suite(
        datasets=["digits", "emnist-letters"], models=["vgg5-tiny", "vgg5"], zip=["datasets", "models"]
    )
    assert {(cell.dataset, cell.model) for cell in zipped.cells} == {
        ("digits", "vgg5-tiny"),
        ("emnist-letters", "vgg5"),
    }
    assert len(zipped.cells) == 4


def test_exclusions_leave_out_what_matches_all_they_name(make_suite: Make) -> None:
    less = make_suite(
        models=["vgg5-tiny", "spinal-vgg5-tiny"],
        exclude=[{"model": "spinal-vgg5-tiny", "loss": "mix_ent", "seed": [0, 1]}],
        seeds=3,
    )
    left = {(cell.model, cell.loss): cell.seeds for cell in less.cells}
    assert left["spinal-vgg5-tiny", "mix_ent"] == (2,)
    assert left["vgg5-tiny", "mix_ent"] == left["spinal-vgg5-tiny", "ce"] == (0, 1, 2)


def test_recipe_overrides_apply_to_their_item_only(make_suite: Make) -> None:
    suite = make_suite(
        models=["vgg5-tiny", {"spinal-vgg5-tiny": {"recipe": {"optimizer": {"adam": {"lr": 0.001}}}}}],
        losses=["ce", {"mae": {"recipe": {"epochs": 5}}}],
        recipe={"epochs": 2, "optimizer": {"adam": {"lr": 0.003, "weight_decay": 0.01}}},
    )
    recipes = {(c.model, c.loss): json.loads(c.text)["recipe"] for c in suite.cells}
    spinal = recipes["spinal-vgg5-tiny", "mae"]
    assert spinal["epochs"] == 5
    assert (spinal["optimizer"]["lr"], spinal["optimizer"]["weight_decay"]) == (0.001, 0.01)
    assert recipes["vgg5-tiny", "ce"]["epochs"] == 2
    assert recipes["vgg5-tiny", "ce"]["optimizer"]["lr"] == 0.003


def test_another_optimizer_replaces_the_whole_choice() -> None:
    merged = merge_recipes({"optimizer": {"adam": {"weight_decay": 0.1}}}, {"optimizer": {"sgd": {"lr": 1}}})
    assert merged["optimizer"] == {"sgd": {"lr": 1}}


# ------------------------------------------------------------------------------------------- identity


def test_the_same_run_has_one_id_in_every_suite(make_suite: Make) -> None:
    one = make_suite(name="one", losses=["ce", "mae"])
    other = make_suite(
        name="other", question="Something else?", losses=["mix_ent", "mae"], baseline="mae", seeds=[1, 5]
    )
    shared = {run.id for run in one.runs()} & {run.id for run in other.runs()}
    assert shared == {run.id for run in one.runs() if '"mae"' in run.text and run.seed == 1}


def test_saying_the_default_changes_no_id(make_suite: Make) -> None:
    silent = make_suite(losses=["ce"])
    explicit = make_suite(
        losses=[{"ce": {"scale": 1.0}}],
        recipe={"epochs": 2, "batch_size": 32, "optimizer": {"name": "adam", "lr": 3e-3, "eps": 1e-8}},
    )
    assert silent.runs() == explicit.runs()


def test_labels_and_analysis_change_no_id(make_suite: Make) -> None:
    plain = make_suite(losses=["ce"])
    dressed = make_suite(losses=[{"ce": {"label": "x"}}], baseline="x", analysis={"alpha": 0.01})
    assert plain.runs() == dressed.runs()


@pytest.mark.parametrize(
    "change",
    [
        {"selection": "test"},
        {"recipe": {"epochs": 3}},
        {"datasets": "digits"},
        {"models": {"vgg5-tiny": {"width": 8}}},
        {"losses": {"ce": {"scale": 2}}, "baseline": None},
        {"seeds": [2, 3]},
    ],
)
def test_whatever_the_result_depends_on_changes_the_id(make_suite: Make, change: dict[str, Any]) -> None:
    before = make_suite(losses="ce")
    after = make_suite(**{"losses": "ce", **change})
    assert not {run.id for run in before.runs()} & {run.id for run in after.runs()}


def test_id_is_stable_across_processes_and_versions(make_suite: Make) -> None:
    # An id that drifts orphans every result on disk: change it only together with RECIPE_VERSION.
    assert make_suite().runs()[0].id == "03684c2b003fdf76"


def test_run_survives_its_description(make_suite: Make) -> None:
    run = make_suite(recipe={"augment": [{"rotation": {"degrees": 5}}]}).runs()[-1]
    again = Run.from_description(json.loads(json.dumps(run.description)))
    assert (again, again.id) == (run, run.id)
    assert again.resolve().recipe.augment[0].describe() == {"name": "rotation", "degrees": 5.0}


def test_metrics_and_margins_change_no_id_unless_they_choose_the_epoch(make_suite: Make) -> None:
    plain = make_suite(losses=["ce"]).runs()
    dressed: list[dict[str, Any]] = [
        {"metrics": ["accuracy", "nll"], "analysis": {"margin": {"accuracy": 1, "nll": 0.01}}},
        {"metrics": ["nll", "accuracy"], "analysis": {"margin": 0.01}},  # the last epoch is the last
        {"metrics": "auroc", "keep_probabilities": True},
        {"metrics": {"accuracy": {"label": "right"}}},
    ]
    for changes in dressed:
        assert make_suite(losses=["ce"], **changes).runs() == plain
    for selection in ("validation", "test"):
        chosen = make_suite(selection=selection).runs()
        for second in (["accuracy", "nll"], {"accuracy": {"label": "right"}}):
            assert make_suite(selection=selection, metrics=second).runs() == chosen
        ids = [
            make_suite(selection=selection, metrics=first).runs()[0].id
            for first in ("nll", "top_k", {"top_k": {"k": 3}}, ["macro_f1", "nll"])
        ]
        assert len({chosen[0].id, *ids}) == 5
        dressed_up = [{"nll": {"label": "likelihood"}}, "accuracy"]
        assert make_suite(selection=selection, metrics=dressed_up).runs()[0].id == ids[0]


def test_the_metric_that_chooses_is_described_and_restored(make_suite: Make) -> None:
    run = make_suite(selection="validation", metrics={"top_k": {"k": 3}}).runs()[0]
    assert run.description["metric"] == {"name": "top_k", "k": 3}
    assert run.id == "10530ee658d9b4a3"  # see test_id_is_stable_across_processes_and_versions
    again = Run.from_description(json.loads(json.dumps(run.description)))
    assert again.id == run.id
    found = again.resolve().metric
    assert found is not None
    assert found.describe() == {"name": "top_k", "k": 3}
    plain = make_suite(selection="validation").runs()[0]
    assert "metric" not in plain.description
    assert plain.resolve().metric is None
    assert plain.resolve().derive("init") == again.resolve().derive("init")  # seeds pair across metrics


def test_metrics_are_named_as_losses_are(make_suite: Make) -> None:
    assert [metric.name for metric in make_suite().metrics] == ["accuracy"]
    assert [metric.name for metric in make_suite(metrics="nll").metrics] == ["nll"]
    several = make_suite(metrics=["nll", {"top_k": {"k": 3}}, {"ece": {"bins": 10, "label": "calibration"}}])
    assert [metric.name for metric in several.metrics] == ["nll", "top_k(k=3)", "calibration"]
    assert several.needs_details
    assert not make_suite().needs_details


@pytest.mark.parametrize(
    ("metrics", "analysis", "margins"),
    [
        (None, None, {"accuracy": 0.1}),
        (None, {"margin": 0.5}, {"accuracy": 0.5}),
        (None, {"margin": 0}, {"accuracy": 0.0}),
        (["accuracy", "nll"], {"margin": 0.5}, {"accuracy": 0.5, "nll": None}),
        (["accuracy", "nll"], {"margin": {"nll": 0.01}}, {"accuracy": 0.1, "nll": 0.01}),
        (["nll", "accuracy"], None, {"nll": None, "accuracy": None}),
        (["nll", "accuracy"], {"margin": 0.02}, {"nll": 0.02, "accuracy": None}),
        (["macro_f1", "brier"], {}, {"macro_f1": 0.1, "brier": None}),
        ({"top_k": {"k": 2}}, {"margin": {"top_k(k=2)": 0.3}}, {"top_k(k=2)": 0.3}),
    ],
)
def test_margins_are_by_metric_and_a_bare_number_is_for_the_first(
    make_suite: Make, metrics: Any, analysis: Any, margins: dict[str, float | None]
) -> None:
    suite = make_suite(metrics=metrics, analysis=analysis)
    assert suite.margins == margins
    assert suite.analysis.margin == next(iter(margins.values()))
    assert suite.cut({cell.key: 1 for cell in suite.cells}).margins == margins
    assert suite.model_copy(update={"keep_weights": True}).margins == margins


@given(st.permutations(["seed", "loss", "model", "dataset", "recipe", "selection", "recipe_version"]))
def test_id_does_not_depend_on_key_order(order: list[str]) -> None:
    suite = Suite.model_validate(
        {
            "name": "s",
            "question": "?",
            "datasets": "digits",
            "models": "vgg5-tiny",
            "losses": "ce",
            "seeds": 1,
        }
    )
    run = suite.runs()[0]
    assert Run.from_description({key: run.description[key] for key in order}).id == run.id


def test_what_a_newer_bench_describes_is_refused_and_not_left_out(make_suite: Make) -> None:
    run = make_suite().runs()[0]
    newer = Run.from_description({**run.description, "tuned": {"name": "theirs"}, "splits": 5})
    assert newer.id != run.id
    with pytest.raises(BenchError, match=f"run {newer.id}: its description has splits, tuned, which this"):
        newer.resolve()


def test_seeds_derive_from_everything_but_loss_and_recipe(make_suite: Make) -> None:
    suite = make_suite(losses=["ce", {"mae": {"recipe": {"epochs": 9}}}])
    ce, mae = (cell.runs[0].resolve() for cell in suite.cells)
    assert ce.derive("init") == mae.derive("init")
    assert ce.derive("order", 0) != ce.derive("order", 1)
    assert ce.derive("init") != suite.cells[0].runs[1].resolve().derive("init")


def test_users_own_source_is_part_of_the_id(tmp_path: Path, make_suite: Make, monkeypatch: Any) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "own_losses_for_id.py"
    module.write_text("def mine(logits, target):\n    return logits.sum()\n")
    before = make_suite(losses=["ce", "own_losses_for_id:mine"])
    module.write_text("def mine(logits, target):\n    return logits.mean()\n")
    after = make_suite(losses=["ce", "own_losses_for_id:mine"])
    assert before.cells[0].runs == after.cells[0].runs
    assert before.cells[1].runs[0].id != after.cells[1].runs[0].id
    # The seeds of the two still pair.
    assert after.cells[1].runs[0].resolve().derive("init") == after.cells[0].runs[0].resolve().derive("init")
    with pytest.raises(BenchError, match="its code changed"):
        before.cells[1].runs[0].resolve()


def test_a_hundred_thousand_runs_expand_in_seconds_without_torch(write_suite: Write) -> None:
    path = write_suite(losses=[{"ce": {"scale": k}} for k in range(1, 101)], baseline=None, seeds=1000)
    code = (
        "import sys; from pathlib import Path; from bench.suite import load; "
        f"print(len({{run.id for run in load(Path({str(path)!r})).runs()}})); "
        "print([m for m in ('torch', 'mlflow', 'matplotlib', 'pandas') if m in sys.modules])"
    )
    began = time.monotonic()
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split("\n")[:2] == ["100000", "[]"]
    assert time.monotonic() - began < 60  # seconds, even on a machine that is busy with other things


# ------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"losses": ["ce", "mixent"]},
            "losses.1: unknown loss 'mixent'; allowed: ce, .*did you mean 'mix_ent'",
        ),
        ({"models": "vgg5-tiney"}, "models.0: unknown model 'vgg5-tiney'; .*did you mean 'vgg5-tiny'"),
        ({"datasets": "digit"}, "datasets.0: unknown data set 'digit'; .*did you mean 'digits'"),
        ({"epochs": 3}, "unknown key 'epochs'; allowed: .*"),
        ({"recipe": {"epoch": 3}}, "recipe: unknown key 'epoch'; .*did you mean 'epochs'"),
        (
            {"losses": ["ce", {"mix_ent": {"w3": 1}}]},
            "losses.1: mix_ent: unknown key 'w3'; allowed: b1, b2, eps,",
        ),
        ({"recipe": {"optimizer": "adamm"}}, "recipe: optimizer: unknown optimizer 'adamm'; .*'adamw?'"),
        ({"recipe": {"epochs": 0}}, "recipe: epochs: found 0; .*greater than or equal to 1"),
        ({"recipe": {"precision": "fp8"}}, "recipe: precision: found 'fp8'; .*'fp32', 'bf16' or 'fp16'"),
        ({"recipe": {"augment": [{"rotate": {}}]}}, "recipe: augment.0: unknown augmentation 'rotate'"),
        ({"losses": ["ce", {"mae": {"recipe": {"epoch": 1}}}]}, "losses.1: mae: recipe: unknown key 'epoch'"),
        ({"baseline": "mae"}, "baseline: unknown loss 'mae'; allowed: ce, mix_ent"),
        ({"seeds": 0}, "seeds: found 0, expected at least 1"),
        ({"seeds": []}, "seeds: found 0, expected at least 1"),
        ({"seeds": [1, 2, 1]}, "seeds: found 1 more than once"),
        ({"seeds": True}, "seeds: found True"),
        ({"seeds": [True, 2]}, "seeds: found True, expected whole numbers"),
        ({"name": "runs"}, "name: 'runs' is what results/ keeps something else in"),
        ({"losses": {"ce": {}, "focal": {}}}, "found a mapping with ce, focal, .*several make a list"),
        ({"zip": "datasets"}, "zip: found 'datasets', expected a list"),
        ({"losses": ["own.py:f"]}, "a module is named without .py: 'own:f'"),
        ({"seeds": "many"}, "seeds: found 'many', expected a number of seeds"),
        ({"seeds": [-1]}, "seeds.0: found -1"),
        ({"losses": ["ce", "ce"]}, "losses: found 'ce' more than once"),
        ({"losses": ["ce", {"ce": {"label": "again"}}]}, "are the same training under two names"),
        ({"losses": []}, "losses: .*at least 1 item"),
        ({"losses": [{"ce": {}, "mae": {}}]}, "losses.0: found a mapping with ce, mae, expected the name"),
        ({"exclude": [{"seed": [0, 1]}]}, "exclude: leaves no run"),
        ({"exclude": [{"loss": "mixent"}]}, "exclude.0.loss: unknown loss 'mixent'; .*'mix_ent'"),
        ({"exclude": [{"loss": "ce"}]}, "baseline: 'ce' has no run on .* where 'mix_ent' has"),
        ({"zip": ["losses", "models"]}, "zip: found 2 losses, 1 models"),
        ({"selection": "best"}, "selection: found 'best'; .*'last', 'validation' or 'test'"),
        ({"recipe": {"schedule": "random_cube"}}, "random_cube .*needs selection: validation or test"),
        ({"models": "vgg5"}, "models: model 'vgg5' needs images of at least 16×16 .*use 'vgg5-tiny'"),
        ({"question": None}, "question: [Ff]ield required"),
        ({"metrics": []}, "metrics: .*at least 1 item"),
        ({"metrics": ["accuracy", "nl"]}, "metrics.1: unknown metric 'nl'; allowed: .*did you mean 'nll'"),
        ({"metrics": {"nll": {}, "ece": {}}}, "found a mapping with nll, ece, .*several make a list"),
        ({"metrics": [3]}, "metrics.0: found 3, expected the name of a metric"),
        ({"metrics": {"top_k": {"k": 0}}}, "metrics.0: top_k: k: found 0; .*greater than or equal to 1"),
        ({"metrics": {"nll": {"recipe": {"epochs": 3}}}}, "metrics.0: nll: unknown key 'recipe'"),
        ({"metrics": {"nll": {"label": 3}}}, "metrics.0: nll: label: found 3, expected a name"),
        ({"metrics": ["nll", {"nll": {"label": "again"}}]}, "metrics: found 'nll' more than once"),
        (
            {"metrics": ["nll", {"ece": {"label": "nll"}}]},
            "metrics: found 'nll' more than once; tell them apart with 'label'",
        ),
        (
            {"metrics": {"top_k": {"k": 2, "label": "accuracy"}}},
            "metrics: 'accuracy' is the name of another metric than top_k, and no label for it",
        ),
        ({"metrics": "no_such_module:metric"}, "metrics.0: 'no_such_module:metric': there is no module"),
        ({"metrics": ["nll", "auroc"]}, "metrics: 'auroc' needs the prob.* keep with keep_probabilities: tr"),
        (
            {"metrics": ["accuracy", "nll"], "analysis": {"margin": {"nl": 1}}},
            "analysis.margin: unknown metric 'nl'; allowed: accuracy, nll; did you mean 'nll'",
        ),
        ({"analysis": {"margin": {"nll": 1}}}, "analysis.margin: unknown metric 'nll'; allowed: accuracy"),
        ({"analysis": {"margin": -1}}, "analysis.margin: found -1; .*greater than or equal to 0"),
        ({"analysis": {"margin": True}}, "analysis: margin: found true, expected a value and not a yes"),
        ({"analysis": {"margin": float("nan")}}, "analysis.margin: found nan; .*finite"),
        ({"analysis": {"margin": "wide"}}, "analysis.margin: found 'wide'"),
        (
            {"analysis": {"margin": {"accuracy": True}}},
            "analysis.margin: accuracy: found true, expected a num",
        ),
        (
            {"analysis": {"margin": {"accuracy": -1}}},
            "analysis.margin: accuracy: found -1, expected a number",
        ),
        ({"analysis": {"margin": {"accuracy": float("nan")}}}, "analysis.margin: accuracy: found nan"),
        ({"analysis": {"margin": {"accuracy": float("inf")}}}, "analysis.margin: accuracy: found inf"),
        ({"analysis": {"margin": {"accuracy": "1"}}}, "analysis.margin: accuracy: found '1', expected a num"),
        ({"keep_probabilities": 3}, "keep_probabilities: found 3"),
        ({"analysis": {"alpha": 2}}, "analysis.alpha: found 2"),
        ({"analysis": 0.05}, "analysis: found 0.05, expected a mapping of alpha, test, margin"),
        ({"losses": ["ce", "no_such_module:loss"]}, "losses.1: 'no_such_module:loss': there is no module"),
        ({"recipe": {"optimizer": {"adam": {"lr": float("nan")}}}}, "recipe: optimizer: adam: lr: found nan"),
    ],
)
def test_bad_suite_gets_one_message_that_names_file_and_field(
    write_suite: Write, changes: dict[str, Any], message: str
) -> None:
    path = write_suite(**changes)
    with pytest.raises(BenchError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_all_faults_are_named_at_once(write_suite: Write) -> None:
    with pytest.raises(BenchError) as caught:
        load(write_suite(losses=["cee"], models="vg5", seeds=0))
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("question: [unclosed", "line 1: not valid YAML"),
        ("- just\n- a list", "found a list of 2, expected a mapping"),
        ("", "found nothing, expected a mapping"),
        ("seeds: 1\nquestion: a\nseeds: 2", "line 3: .*the key 'seeds' twice"),
        ("\ta: 1", "not valid YAML"),
    ],
)
def test_what_is_no_suite_at_all(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    with pytest.raises(BenchError, match=message):
        load(path)


def test_missing_file_names_those_that_exist(write_suite: Write) -> None:
    path = write_suite()
    with pytest.raises(BenchError, match=r"smal\.yaml: there is no such file; there are .*small\.yaml"):
        load(path.with_name("smal.yaml"))


def test_numbers_are_decimal_whatever_they_begin_with(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("a: 010\nb: 08\nc: -1_000\n")
    assert read_yaml(tmp_path / "s.yaml") == {"a": 10, "b": 8, "c": -1000}
    (tmp_path / "s.yaml").write_text("label: 2024-02-30\n")
    with pytest.raises(BenchError, match=r"s.yaml: not valid YAML: day is out of range"):
        read_yaml(tmp_path / "s.yaml")


def test_recipe_defaults_are_complete() -> None:
    assert Recipe().model_dump(mode="json")["optimizer"]["name"] == "adam"


def test_runs_keep_the_order_of_the_file(make_suite: Make) -> None:
    suite = make_suite(datasets=["mnist", "digits"], losses=["mae", "ce"], baseline="ce", seeds=[5, 2])
    found = [(run.description["dataset"]["name"], run.seed) for run in suite.runs()[::2]]
    assert found == [("mnist", 5), ("mnist", 2), ("digits", 5), ("digits", 2)]
