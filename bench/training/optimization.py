"""Optimizers, and the learning rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from bench.choices import Choice
from bench.recipe import Adam, AdamW, Constant, Cosine, OneCycle, RandomCube, Sgd


def build_optimizer(
    choice: Choice, parameters: Iterable[torch.nn.Parameter], recorded_on: torch.device | None = None
) -> torch.optim.Optimizer:
    """The optimizer that a recipe names, in torch's fused form: one kernel for all parameters.

    Where its steps are recorded and replayed, the learning rate is a tensor on that device: a number would be
    recorded with them.
    """
    options = choice.options
    assert isinstance(options, (Sgd, Adam))
    rate = options.lr if recorded_on is None else torch.tensor(options.lr, device=recorded_on)
    if isinstance(options, Sgd):
        return torch.optim.SGD(
            parameters,
            lr=rate,
            momentum=options.momentum,
            nesterov=options.nesterov,
            weight_decay=options.weight_decay,
            fused=True,
        )
    kind = torch.optim.AdamW if isinstance(options, AdamW) else torch.optim.Adam
    optimizer = kind(
        parameters,
        lr=rate,
        betas=options.betas,
        eps=options.eps,
        weight_decay=options.weight_decay,
        fused=True,
        capturable=recorded_on is not None,
    )
    # It would warn of every step that is rehearsed, or taken where recording failed.
    optimizer._warned_capturable_if_run_uncaptured = True
    return optimizer


def learning_rate(schedule: Choice, step: int, steps: int, steps_per_epoch: int) -> float:
    """The factor on the learning rate at one ``step`` (from 0) of ``steps``.

    A pure function, so that a resumed run needs no scheduler's state. ``random_cube`` changes its rate
    between epochs instead (:func:`random_cube`): its factor is 1 here.
    """
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


def _cosine(first: float, last: float, progress: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
