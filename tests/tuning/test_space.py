"""Settings: what is drawn, from which seed, and what a wrong space is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import LR, TUNE, tuned
from pydantic import ValidationError

from bench.errors import BenchError
from bench.registry import explain
from bench.space import SEEDS_OF_TRIALS, Range, Tune, number_of, range_of


def refused(**changes: Any) -> str:
    try:
        tuned(**changes)
    except ValidationError as error:
        return "\n".join(explain(error))
    except BenchError as error:
        return str(error)
    raise AssertionError("it was taken")


def settings(loss: str = "ce", **changes: Any) -> list[dict[str, Any]]:
    suite = tuned(**changes)
    [search] = [search for search in suite.searches if search.loss == loss]
    return [dict(search.settings[seed]) for seed in search.seeds]


ENDS = st.tuples(st.floats(1e-8, 1e8), st.floats(1e-8, 1e8)).filter(lambda ends: ends[1] > 1.01 * ends[0])
WHOLE = st.tuples(st.integers(-1000, 1000), st.integers(1, 1000)).map(lambda two: (two[0], sum(two)))
RANGES = st.one_of(
    st.tuples(st.sampled_from(["log", "uniform"]), ENDS),
    st.tuples(st.just("int"), WHOLE),
    st.tuples(st.just("choice"), st.lists(st.integers(), min_size=2, unique=True)),
).map(lambda said: range_of({said[0]: list(said[1])}))


@given(RANGES, st.floats(0, 1, exclude_max=True))
def test_what_is_drawn_lies_in_its_range(found: Range, share: float) -> None:
    value = found.at(share)
    if found.kind == "choice":
        assert value in found.values
        assert found.place(value) is None
        return
    low, high = found.values
    if found.kind == "int":
        assert isinstance(value, int)
        assert low <= value <= high
        return
    assert low * (1 - 1e-5) <= value <= high * (1 + 1e-5)
    assert float(f"{value:.6g}") == value
    assert found.place(value) == pytest.approx(share, abs=1e-3)


@given(RANGES)
def test_a_range_is_what_its_description_says(found: Range) -> None:
    assert range_of(json.loads(json.dumps(found.describe()))) == found


@given(st.integers(0, 10**6 - 1), st.sampled_from(["log", "uniform", "int"]))
def test_more_trials_or_dimensions_change_none_that_there_are(seed: int, kind: str) -> None:
    few, many = (
        Tune.model_validate({"budget": 2, "trials": trials, "seed": seed, "space": {"a": {"int": [1, 2]}}})
        for trials in (8, 12)
    )
    one = {"a": range_of({kind: [1, 9]})}
    two = {"b": range_of({"uniform": [0, 1]}), **one}
    assert [few.setting(one, k) for k in range(8)] == [many.setting(one, k) for k in range(8)]
    assert [few.setting(one, k)["a"] for k in range(8)] == [many.setting(two, k)["a"] for k in range(8)]
    assert len({few.seed_of(k) for k in range(8)}) == 8
    assert [number_of(few.seed_of(k)) for k in range(8)] == [*range(8)]


def test_draws_are_uniform_and_independent_of_each_other() -> None:
    np = pytest.importorskip("numpy")
    tune = Tune.model_validate({"budget": 1, "trials": 4000, "space": {"a": {"uniform": [0, 1]}}})
    ranges = {"a": range_of({"uniform": [0, 1]}), "b": range_of({"uniform": [0, 1]})}
    drawn = np.array([[*tune.setting(ranges, k).values()] for k in range(4000)])
    counts = np.histogram(drawn[:, 0], bins=10, range=(0, 1))[0]
    assert ((counts - 400) ** 2 / 400).sum() < 27.9  # χ²(9) at 0.001
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.06
    assert abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 0.06


def test_losses_share_what_is_drawn_for_all() -> None:
    ce, focal = settings(), settings("focal")
    assert [one[LR] for one in ce] == [other[LR] for other in focal]
    assert all("loss.gamma" in one for one in focal)
    assert settings(losses=["ce", "focal", "mae"]) == ce
    assert settings(tune={**TUNE, "seed": 1}) != ce


def test_a_setting_has_one_seed_for_all_losses_and_none_of_the_comparison() -> None:
    suite = tuned(seeds=[0, SEEDS_OF_TRIALS - 1])
    ce, focal = suite.searches
    assert ce.seeds == focal.seeds
    assert min(ce.seeds) >= SEEDS_OF_TRIALS
    assert len({run.id for run in suite.runs()}) == 16
    assert f"found {SEEDS_OF_TRIALS}" in refused(seeds=[0, SEEDS_OF_TRIALS])


def test_trials_are_trained_as_their_settings_say() -> None:
    suite = tuned(recipe={"epochs": 3, "optimizer": {"adam": {"weight_decay": 0.5}}})
    for search in suite.searches:
        for run in search.runs:
            setting, resolved = search.settings[run.seed], run.resolve()
            assert resolved.recipe.optimizer.options.model_dump()["lr"] == setting[LR]
            assert resolved.recipe.optimizer.options.model_dump()["weight_decay"] == 0.5
            assert resolved.recipe.epochs == 3
            assert resolved.loss.options.model_dump().get("gamma") == setting.get("loss.gamma")


def test_ids_of_trials_are_stable() -> None:
    # One that drifts orphans finished trials, as with any run.
    assert tuned().searches[1].runs[0].id == "23aae0d55bc695bb"


def test_without_tune_nothing_is_described_otherwise() -> None:
    plain = tuned(tune=None, tuned_for="ce")
    assert plain.searches == ()
    assert not any(cell.waits for cell in plain.cells)
    assert plain.runs() == tuned(tune=None).runs()


def space(**ranges: Any) -> dict[str, Any]:
    return {"tune": {**TUNE, "space": ranges}}


def of_focal(**ranges: Any) -> dict[str, Any]:
    return {"tune": {**TUNE, "losses": {"focal": ranges}}}


def of_searches(**said: Any) -> dict[str, Any]:
    pooled = {key: value for key, value in TUNE.items() if key != "trials"}
    return {"tune": {**pooled, "design": "searches", **said}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (space(lr={"log": [0.1, 1]}), "tune.space: lr: unknown key of the recipe 'lr'; allowed: accumulate"),
        (space(**{"optimizer.adam.rate": {"log": [0.1, 1]}}), "unknown dimension 'optimizer.adam.rate'"),
        (space(**{"optimizer.adam.beta": {"log": [0.1, 1]}}), "did you mean 'optimizer.adam.betas'"),
        (space(**{"optimizer.sgd.momentum": {"uniform": [0, 0.9]}}), "the recipe's optimizer (of"),
        (space(**{"mix.mixup.alpha": {"uniform": [0.1, 1]}}), "has no mix"),
        (space(**{"epochs.many": {"int": [1, 2]}}), "epochs is 20, and has nothing in it"),
        (space(**{"clip.nrm": {"log": [1, 10]}}), "did you mean 'clip.norm'"),
        (space(validation={"uniform": [0.1, 0.2]}), "validation: cannot be tuned"),
        (space(augment={"choice": ["a", "b"]}), "augment: cannot be tuned"),
        (space(**{LR: {"log": [0.1, 0.1]}}), f"tune.space.{LR}: log: found [0.1, 0.1], which is empty"),
        (space(**{LR: {"log": [0.1, 0.01]}}), "which is reversed"),
        (space(**{LR: {"log": [0, 0.1]}}), "a log scale has no 0"),
        (space(**{LR: {"log": [-1, 1]}}), "a log scale has no 0"),
        (space(**{LR: {"uniform": [-1, 1]}}), f"tune.space.{LR}: -1.0: optimizer"),
        (space(**{LR: {"uniform": [0.1]}}), "expected two numbers, the lower one first"),
        (space(**{LR: {"uniform": [0, float("inf")]}}), "expected finite numbers"),
        (space(**{LR: {"lag": [0.1, 1]}}), "unknown kind of range 'lag'; allowed: choice, int, log, uniform"),
        (space(**{LR: 0.1}), "expected {log: [0.001, 0.1]}"),
        (space(batch_size={"log": [32, 64]}), "{int:"),
        (space(batch_size={"int": [1, 64]}), "tune.space.batch_size: 1: batch_size"),
        (space(batch_size={"int": [32.5, 64]}), "expected two whole numbers"),
        (space(batch_size={"choice": [32]}), "expected at least two values"),
        (space(batch_size={"choice": [32, 32]}), "more than once"),
        (space(precision={"choice": ["fp32", "fp8"]}), "tune.space.precision: fp8"),
        (of_focal(gama={"uniform": [1, 2]}), "tune.losses.focal: unknown option 'gama'; allowed: gamma; did"),
        (of_focal(gamma={"uniform": [-1, 2]}), "tune.losses.focal.gamma: -1.0"),
        ({"losses": ["ce", {"focal": {"gamma": 3}}]}, "losses says 3.0, and here it is drawn"),
        ({"losses": ["ce", "mae"]}, "tune.losses: unknown loss 'focal'; allowed: ce, mae"),
        ({"tune": {**TUNE, "losses": {"ce": {"shift": {"uniform": [0, 1]}}}}}, "allowed: scale"),
        ({"tune": {**TUNE, "trials": 7}}, "tune: trials: found 7, expected at least 4 × budget, which is 8"),
        ({"tune": {"budget": 2, "trials": 8}}, "nothing is to be tuned"),
        ({"tune": {**TUNE, "budgets": 2}}, "unknown key 'budgets'"),
        ({"tune": {**TUNE, "searches": 8}}, "searches: is for design: searches"),
        (of_searches(searches=4), "searches: found 4, expected at least 8"),
        (of_searches(trials=64), "trials: design: searches has searches × budget of them"),
        ({**of_searches(), "seeds": [10**6]}, "with design: searches, seeds below 1000000"),
        ({"selection": "last"}, "there is nothing else that is honest to choose by"),
        ({"selection": "test"}, "the test set takes part in no choice"),
        ({"seeds": {"start": 2, "step": 1, "max": 5}}, "with tune the verdict rests on the trials"),
        ({"analysis": {"test": "flips"}}, "with tune the trials decide"),
        ({"tuned_for": "ce"}, "with tune every loss is tuned"),
        ({"tune": None, "tuned_for": "cee"}, "tuned_for: unknown loss 'cee'"),
        ({"models": {"vgg5-tiny": {"recipe": {"optimizer": "sgd"}}}}, "vgg5-tiny) is sgd"),
    ],
)
def test_what_cannot_be_tuned_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    said = refused(**changes)
    assert message in said, said
