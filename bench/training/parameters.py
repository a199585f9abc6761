"""Which parameters an optimizer trains, and which of them with other options than the rest."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from bench.errors import BenchError, nearest
from bench.models.resize import Resized
from bench.recipe import Recipe

_DECAYED = 1.0
"""Stands for the optimizer's own weight decay, whatever that is."""


def freeze(model: nn.Module, recipe: Recipe) -> list[nn.Module]:
    """Freeze what a recipe names; returns the norms that must be kept from counting images.

    Raises:
        BenchError: a name or pattern is of no parameter, or nothing is left to train.
    """
    if not recipe.freeze:
        return []
    network = model.model if isinstance(model, Resized) else model
    parameters = dict(network.named_parameters())
    for pattern in recipe.freeze:
        chosen = [n for n in parameters if fnmatchcase(n, pattern) or n.startswith(f"{pattern}.")]
        if not chosen:
            parts = [name for name, _ in network.named_modules() if name]
            raise BenchError(
                f"recipe.freeze: '{pattern}' is no parameter of {type(network).__name__}; its parts: "
                f"{', '.join(name for name, _ in network.named_children())}{nearest(pattern, parts)}"
            )
        for name in chosen:
            parameters[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise BenchError("recipe.freeze: leaves nothing of the model to train")
    if recipe.frozen_statistics == "updated":
        return []
    return [
        module
        for module in network.modules()
        if getattr(module, "track_running_stats", False)
        and (own_parameters := [*module.parameters(recurse=False)])
        and not any(parameter.requires_grad for parameter in own_parameters)
    ]


def trained(model: nn.Module, objective: nn.Module, recipe: Recipe) -> list[Any]:
    """The parameters for an optimizer, or its groups of them where the recipe treats some differently.

    Norms, biases and layers are found by timm's own rules (``timm.optim.param_groups_weight_decay`` and
    ``param_groups_layer_decay``); a layer's share of the learning rate is its group's ``lr_scale``.

    Raises:
        BenchError: the model does not say what its layers are.
    """
    if recipe.no_decay is None and recipe.layer_decay is None:
        everything = [*model.parameters(), *objective.parameters()]
        return [p for p in everything if p.requires_grad] if recipe.freeze else everything
    from timm.optim import param_groups_layer_decay, param_groups_weight_decay

    network = model.model if isinstance(model, Resized) else model
    exempt: set[str] = getattr(network, "no_weight_decay", set)() if recipe.no_decay else set()
    options = {
        "weight_decay": _DECAYED,
        "no_weight_decay_list": exempt,
        "weight_decay_exclude_1d": recipe.no_decay is not None,
    }
    if recipe.layer_decay is None:
        groups = param_groups_weight_decay(network, **options)
    elif hasattr(network, "group_matcher"):
        groups = param_groups_layer_decay(network, layer_decay=recipe.layer_decay, **options)
    else:
        raise BenchError(
            f"recipe.layer_decay: {type(network).__name__} does not say what its layers are; models of timm "
            "do, and one of your own does by a method group_matcher as theirs"
        )
    groups += param_groups_weight_decay(objective, _DECAYED, recipe.no_decay is not None)
    default = ("weight_decay", _DECAYED)
    return [{key: value for key, value in group.items() if (key, value) != default} for group in groups]
