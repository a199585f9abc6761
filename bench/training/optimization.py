"""Optimizers, as a recipe names them."""

from __future__ import annotations

from typing import Any

import torch

from bench.errors import BenchError
from bench.recipe import Adam, AdamW, LibraryOptimizer, Recipe, Sgd
from bench.registry import Choice


def build_optimizer(
    choice: Choice, parameters: list[Any], recorded_on: torch.device | None = None
) -> torch.optim.Optimizer:
    """The optimizer that a recipe names, for parameters or groups of them.

    Those with a name of their own here are torch's in fused form: one kernel for all parameters. Where their
    steps are recorded and replayed, the learning rate is a tensor on that device: a number would be recorded
    with them.

    Raises:
        BenchError: a library does not make it with these options, or not for these parameters.
    """
    options = choice.options
    if isinstance(options, LibraryOptimizer):
        return _of_library(choice, options, parameters)
    assert isinstance(options, (Sgd, Adam))
    rate = options.lr if recorded_on is None else torch.tensor(options.lr, device=recorded_on)
    optimizer: torch.optim.Optimizer
    if isinstance(options, Sgd):
        optimizer = torch.optim.SGD(
            parameters,
            lr=rate,
            momentum=options.momentum,
            nesterov=options.nesterov,
            weight_decay=options.weight_decay,
            fused=True,
        )
    else:
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
    if isinstance(rate, torch.Tensor):
        for group in optimizer.param_groups[1:]:
            group["lr"] = rate.clone()  # layers have rates of their own
    return optimizer


def not_recordable(recipe: Recipe) -> str:
    """Why steps of a recipe cannot be recorded and replayed; empty where they can."""
    if isinstance(recipe.optimizer.options, LibraryOptimizer):
        return f"{recipe.optimizer.name} computes with numbers on the host"
    if recipe.precision == "fp16":
        return "fp16 scales its loss on the host"
    return ""


def base_rate(choice: Choice, optimizer: torch.optim.Optimizer) -> float:
    """The learning rate that a schedule changes: the recipe's, or else the library's own."""
    rate: float | None = choice.options.lr  # type: ignore[attr-defined]
    return float(optimizer.defaults["lr"]) if rate is None else rate


def _of_library(choice: Choice, options: LibraryOptimizer, parameters: list[Any]) -> torch.optim.Optimizer:
    library, _, name = choice.name.partition("/")
    arguments: dict[str, Any] = {} if options.lr is None else {"lr": options.lr}
    extra = options.model_extra or {}
    arguments |= {key: tuple(value) if isinstance(value, list) else value for key, value in extra.items()}
    try:
        if library == "torch":
            optimizer: torch.optim.Optimizer = getattr(torch.optim, name)(parameters, **arguments)
            return optimizer
        from timm.optim import create_optimizer_v2

        optimizer = create_optimizer_v2(parameters, opt=name, **arguments)
    except Exception as error:  # these options reach code that can raise anything
        raise BenchError(
            f"optimizer '{choice.label()}' cannot be built: {type(error).__name__}: {error}"
        ) from error
    return optimizer
