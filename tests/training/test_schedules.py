"""Learning rates against torch's and timm's own schedulers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.scheduler import create_scheduler_v2
from training.test_library_optimizers import assert_same, finished, interrupted, training

from bench import factories
from bench.errors import BenchError
from bench.recipe import Cosine, OneCycle, Recipe
from bench.registry import Choice
from bench.suite import Suite
from bench.training.loop import Training
from bench.training.schedules import PLATEAU, factor, plateau, random_cube, rates

Make = Callable[..., Suite]


def test_one_cycle_is_torchs() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=100, cycle_momentum=False)
    schedule = Choice("one_cycle", OneCycle())
    for step in range(100):
        assert factor(schedule, step, 100, 10) == pytest.approx(theirs.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        if step < 99:
            theirs.step()


def test_cosine_is_torchs() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=0.1)
    schedule = Choice("cosine", Cosine(final=0.1))
    for step in range(50):
        assert factor(schedule, step, 50, 10) == pytest.approx(theirs.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        theirs.step()


def test_warm_up_is_linear_and_ends_at_the_full_rate() -> None:
    schedule = Choice("cosine", Cosine(warmup_epochs=2))
    rates = [factor(schedule, step, 100, 5) for step in range(12)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10] == 1.0


def test_random_cube_has_the_cubes_distribution() -> None:
    draws = torch.tensor([random_cube(seed) for seed in range(4000)])
    assert draws.min() > 0
    assert draws.max() < 1
    # E u³ = 1/4 and Var u³ = 1/7 − 1/16; four standard errors.
    assert abs(draws.mean() - 0.25) < 4 * (0.0804 / 4000) ** 0.5


# ------------------------------------------------------------------------------- schedules of libraries

EPOCHS, PER_EPOCH, BASE = 12, 5, 0.2
OF_TORCH: dict[str, dict[str, Any]] = {
    "StepLR": {"step_size": 4},
    "MultiStepLR": {"milestones": [3, 7]},
    "ExponentialLR": {"gamma": 0.8},
    "ConstantLR": {},
    "LinearLR": {"total_iters": 6},
    "PolynomialLR": {"total_iters": 9, "power": 2.0},
    "CosineAnnealingLR": {},
    "CosineAnnealingWarmRestarts": {"T_0": 4},
    "CyclicLR": {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 7, "cycle_momentum": False},
    "OneCycleLR": {"cycle_momentum": False},
}
OF_TIMM: dict[str, dict[str, Any]] = {
    "cosine": {"warmup_epochs": 3, "warmup_lr": 0.001, "min_lr": 0.01},
    "tanh": {},
    "step": {"decay_epochs": 5, "decay_rate": 0.5, "noise": [0.4, 0.9]},
    "multistep": {"decay_milestones": [3, 6]},
    "poly": {"decay_rate": 0.9},
    "wsd": {"warmup_epochs": 2},
    "rsqrt": {"warmup_epochs": 2},
    "constant": {"warmup_epochs": 2},
}


def recipe(name: str, options: dict[str, Any], epochs: int = EPOCHS) -> Recipe:
    return Recipe.model_validate({"epochs": epochs, "schedule": {name: options}})


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)


@pytest.mark.parametrize("per", ["epoch", "step", None])
@pytest.mark.parametrize("name", OF_TORCH)
def test_rates_are_torchs(name: str, per: str | None) -> None:
    options = OF_TORCH[name]
    per_step = per == "step" or (per is None and name in ("OneCycleLR", "CyclicLR"))
    count = EPOCHS * PER_EPOCH if per_step else EPOCHS
    filled = {"OneCycleLR": {"max_lr": BASE, "total_steps": count}, "CosineAnnealingLR": {"T_max": count}}
    theirs = getattr(torch.optim.lr_scheduler, name)(made := optimizer(), **options, **filled.get(name, {}))
    found = rates(recipe(f"torch/{name}", {**options, **({"per": per} if per else {})}), BASE, PER_EPOCH)
    for epoch in range(EPOCHS):
        for step in range(PER_EPOCH):
            assert found(epoch * PER_EPOCH + step) == made.param_groups[0]["lr"]
            made.step()
            if (per_step or step == PER_EPOCH - 1) and (epoch, step) != (EPOCHS - 1, PER_EPOCH - 1):
                theirs.step()
    assert len({found(step) for step in range(EPOCHS * PER_EPOCH)}) > 1


@pytest.mark.parametrize("on_epochs", [True, False])
@pytest.mark.parametrize("name", OF_TIMM)
def test_rates_are_timms(name: str, on_epochs: bool) -> None:
    options = {**OF_TIMM[name], "step_on_epochs": on_epochs}
    theirs, _ = create_scheduler_v2(
        made := optimizer(), sched=name, num_epochs=EPOCHS, updates_per_epoch=PER_EPOCH, **options
    )
    found = rates(recipe(f"timm/{name}", options), BASE, PER_EPOCH)
    updates = 0
    for epoch in range(EPOCHS):  # as its train.py does
        for _ in range(PER_EPOCH):
            assert found(updates) == made.param_groups[0]["lr"]
            updates += 1
            theirs.step_update(updates)
        theirs.step(epoch + 1)


def test_all_that_the_libraries_have_is_tested_or_refused() -> None:
    known = {
        f"{library}/{name}" for library in ("torch", "timm") for name in factories._names("schedule", library)
    }
    tested = {f"torch/{name}" for name in OF_TORCH} | {f"timm/{name}" for name in OF_TIMM}
    assert known == tested | {PLATEAU} | (factories.REFUSED.keys() & known)


@given(
    values=st.lists(st.floats(0, 1), min_size=1, max_size=20),
    patience=st.integers(0, 3),
    maximised=st.booleans(),
)
@settings(max_examples=30)
def test_plateau_is_torchs_after_any_epochs(values: list[float], patience: int, maximised: bool) -> None:
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        made := optimizer(), mode="max" if maximised else "min", patience=patience, factor=0.3
    )
    schedule = recipe(PLATEAU, {"patience": patience, "factor": 0.3}).schedule
    for epoch, value in enumerate(values, start=1):
        theirs.step(value)
        found = BASE * plateau(schedule, values[:epoch], BASE, maximised=maximised)
        assert found == pytest.approx(made.param_groups[0]["lr"], rel=1e-12)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("torch/StepLr", r"unknown torch schedule 'StepLr'; allowed: .*did you mean 'StepLR'"),
        ("torch/StepLR", r"torch/StepLR: step_size: required"),
        ({"torch/StepLR": {"stepsize": 3}}, r"unknown option 'stepsize'; .*did you mean 'step_size'"),
        ({"torch/LambdaLR": {"lr_lambda": 1}}, r"torch/LambdaLR takes a function of Python"),
        ("timm/plateau", r"timm/plateau is about to be removed from timm; torch/ReduceLROnPlateau is"),
        ("torch/OneCycleLR", r"cycle_momentum: false is required: momentum stays"),
        ({"timm/cosine": {"per": "step"}}, r"per: timm calls this step_on_epochs"),
        ({"torch/StepLR": {"step_size": 3, "per": "batch"}}, r"per: found 'batch'; .*'epoch' or 'step'"),
        (PLATEAU, r"looks for new best accuracies, so it needs selection: validation or test"),
    ],
)
def test_wrong_schedules_are_found_when_the_suite_is_read(
    make_suite: Make, schedule: Any, message: str
) -> None:
    with pytest.raises(BenchError, match=message):
        make_suite(recipe={"schedule": schedule})


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (recipe("torch/StepLR", {"step_size": 0}), r"'torch/StepLR\(step_size=0\)' cannot be built: Zero"),
        (recipe("torch/OneCycleLR", {"cycle_momentum": False, "total_steps": 9}), "cannot be built: Val"),
        (recipe("torch/ExponentialLR", {"gamma": -0.5}), "rates that are negative"),
        (recipe(PLATEAU, {"factor": 2}), "cannot be built: ValueError: Factor should be < 1.0"),
        (recipe("timm/cosine", {"cooldown_epochs": 3}), "lasts 15 epochs .* and recipe.epochs is 12: say so"),
    ],
)  # fmt: skip
def test_what_a_library_does_not_make_is_found_before_anything_is_trained(made: Recipe, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        rates(made, BASE, PER_EPOCH)


@pytest.mark.parametrize(
    "schedule",
    [
        {"torch/OneCycleLR": {"cycle_momentum": False}},
        {PLATEAU: {"patience": 0, "threshold": 0.9}},  # every epoch that is not ten times as good
        {"timm/cosine": {"min_lr": 1e-4}},
    ],
    ids=str,
)
def test_resumed_at_any_step_to_the_same_bits(make_suite: Make, tmp_path: Path, schedule: Any) -> None:
    changes = {"epochs": 4, "schedule": schedule}

    def whole() -> Training:
        return training(make_suite, tmp_path, changes, selection="validation", metrics=["nll"])

    undisturbed = whole()
    weights = finished(undisturbed)
    assert len({line["lr"] for line in undisturbed.history}) > 1
    for steps in (1, 3, 5, 10):
        assert_same(weights, interrupted(whole, steps))
