"""The learning rate of each step.

All of it is a function of the step, or of the epochs before it, so that a resumed run needs no scheduler's
state. The schedulers of torch and timm are stepped once through the whole training when it is built, on an
optimizer that trains nothing.
"""

from __future__ import annotations

import array
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from bench.errors import BenchError
from bench.recipe import Constant, Cosine, LibrarySchedule, OneCycle, RandomCube, Recipe
from bench.registry import Choice

PLATEAU = "torch/ReduceLROnPlateau"
_EACH_STEP = {"torch/OneCycleLR", "torch/CyclicLR"}
"""Those which their documentation wants stepped after every batch; all others after every epoch."""


def rates(recipe: Recipe, base: float, steps_per_epoch: int) -> Callable[[int], float]:
    """The learning rate as a function of the step, from 0. ``base``: that of the optimizer.

    ``random_cube`` and ReduceLROnPlateau change it between epochs instead: theirs is the same throughout.

    Raises:
        BenchError: a library does not make the schedule with these options, or not for this many epochs.
    """
    schedule, steps = recipe.schedule, recipe.epochs * steps_per_epoch
    if schedule.name == PLATEAU:
        plateau(schedule, [], base, maximised=True)
        return lambda step: base
    if not isinstance(schedule.options, LibrarySchedule):
        return lambda step: base * factor(schedule, step, steps, steps_per_epoch)
    options = {"per": None, **schedule.options.model_dump()}
    per_step = (options["per"] == "step") if options["per"] else schedule.name in _EACH_STEP
    if schedule.name.startswith("timm/"):
        per_step = not options.get("step_on_epochs", True)
    count = steps if per_step else recipe.epochs
    walk = _walk_timm if schedule.name.startswith("timm/") else _walk_torch
    try:
        factors = array.array("d", walk(schedule, base, count, recipe.epochs, steps_per_epoch))
    except BenchError:
        raise
    except Exception as error:  # these options reach code that can raise anything
        raise _not_built(schedule, error) from error
    if not all(math.isfinite(rate) and rate >= 0 for rate in factors):
        raise BenchError(f"schedule '{schedule.label()}': gives rates that are negative or not finite")
    return lambda step: factors[step if per_step else step // steps_per_epoch]


def factor(schedule: Choice, step: int, steps: int, steps_per_epoch: int) -> float:
    """The factor on the learning rate at one ``step`` (from 0) of ``steps``, for schedules of our own."""
    options = schedule.options
    if isinstance(options, Cosine):
        warmup = round(options.warmup_epochs * steps_per_epoch)
        if step < warmup:
            return (step + 1) / warmup
        progress = (step - warmup) / max(steps - warmup, 1)
        return options.final + (1 - options.final) * (1 + math.cos(math.pi * progress)) / 2
    if isinstance(options, OneCycle):
        peak = max(options.warmup * steps - 1, 1e-9)
        if step <= peak:
            return _cosine(options.start, 1.0, step / peak)
        return _cosine(1.0, options.final, (step - peak) / max(steps - 1 - peak, 1e-9))
    assert isinstance(options, (Constant, RandomCube))
    return 1.0


def random_cube(seed: int) -> float:
    """u³ with u uniform in (0, 1): the reference's new learning rate, as a factor."""
    uniform = torch.rand((), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return float(uniform) ** 3


def plateau(schedule: Choice, values: Sequence[float], base: float, *, maximised: bool) -> float:
    """The factor that torch's ReduceLROnPlateau has come to after epochs with these values of the metric.

    Raises:
        BenchError: torch does not make it with these options.
    """
    optimizer = _optimizer(base)
    try:
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, mode="max" if maximised else "min", **_options(schedule)
        )
    except Exception as error:  # these options reach code that can raise anything
        raise _not_built(schedule, error) from error
    for value in values:
        scheduler.step(value)
    return float(optimizer.param_groups[0]["lr"]) / base


def _walk_torch(schedule: Choice, base: float, count: int, *_: int) -> Iterator[float]:
    name = schedule.name.removeprefix("torch/")
    filled: dict[str, dict[str, Any]] = {
        "OneCycleLR": {"max_lr": base, "total_steps": count},
        "CosineAnnealingLR": {"T_max": count},
    }
    optimizer = _optimizer(base)
    kind: Any = getattr(torch.optim.lr_scheduler, name)
    scheduler = kind(optimizer, **{**filled.get(name, {}), **_options(schedule)})
    yield float(optimizer.param_groups[0]["lr"])
    for _number in range(1, count):
        optimizer.step()  # it would warn of a schedule that runs ahead
        scheduler.step()
        yield float(optimizer.param_groups[0]["lr"])


def _walk_timm(
    schedule: Choice, base: float, count: int, epochs: int, steps_per_epoch: int
) -> Iterator[float]:
    from timm.scheduler import create_scheduler_v2

    options = _options(schedule)
    optimizer = _optimizer(base)
    scheduler, lasts = create_scheduler_v2(
        optimizer,
        sched=schedule.name.removeprefix("timm/"),
        updates_per_epoch=steps_per_epoch,
        **{"num_epochs": epochs, **options},
    )
    if lasts > epochs and "num_epochs" not in options:
        raise BenchError(
            f"schedule '{schedule.label()}' lasts {lasts} epochs with its warm-up, cycles and cooldown, and "
            f"recipe.epochs is {epochs}: say so there, and in num_epochs how long it is without them"
        )
    yield float(optimizer.param_groups[0]["lr"])
    advance = scheduler.step if options.get("step_on_epochs", True) else scheduler.step_update
    for number in range(1, count):
        advance(number)
        yield float(optimizer.param_groups[0]["lr"])


def _options(schedule: Choice) -> dict[str, Any]:
    return dict(schedule.options.model_extra or {})


def _optimizer(rate: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=rate)


def _not_built(schedule: Choice, error: Exception) -> BenchError:
    return BenchError(f"schedule '{schedule.label()}' cannot be built: {type(error).__name__}: {error}")


def _cosine(first: float, last: float, progress: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
