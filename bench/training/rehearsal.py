"""Steps that leave no trace: what they changed is put back, and what they change on the host is found out."""

from __future__ import annotations

import functools
import random
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.training.step import Step

_PLAIN = (bool, int, float, str, type(None))
_MISSING = object()


class Rehearsal:
    """A training at one moment: tensors of weights, statistics, optimizer and sums, random numbers, and what
    the code of model and loss keeps on the host: plain attributes, which tensor is kept under which name.

    Found are attributes of modules, of a loss and of the files that they come from; not what lies deeper (in
    a list in a list), nor what is outside Python, such as the time of day.
    """

    def __init__(self, step: Step, generator: torch.Generator) -> None:
        self.step = step
        self.generator = generator
        self.owners = _owners(step)
        self.kept = [_kept(owner) for owner in self.owners]
        loose = [value for kept in self.kept for value in kept.values() if isinstance(value, Tensor)]
        self.tensors = [(tensor, tensor.detach().clone()) for tensor in [*step.tensors(), *loose]]
        self.moments = {id(moment): moment.clone() for moment in self._moments()}
        self.random = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
        self.device_random = generator.get_state()

    def _moments(self) -> Iterator[Tensor]:
        for state in self.step.optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))

    @torch.no_grad()
    def undo(self) -> None:
        """Put everything back.

        What the optimizer had not made yet becomes zero: so Adam's moments and counts begin, and a momentum
        of zero does what no momentum did. Other tensors that are new stay: they are caches, and recorded.
        """
        for owner, kept in zip(self.owners, self.kept, strict=True):
            for name, value in kept.items():
                if owner.get(name, _MISSING) is not value and not isinstance(value, _Length):
                    owner[name] = value
            for name in _kept(owner).keys() - kept.keys():
                if isinstance(owner[name], _PLAIN):
                    del owner[name]
        for tensor, value in self.tensors:
            tensor.copy_(value)
        for moment in self._moments():
            before = self.moments.get(id(moment))
            if before is None:
                moment.zero_()
            else:
                moment.copy_(before)
        of_python, of_numpy, of_torch = self.random
        random.setstate(of_python)
        np.random.set_state(of_numpy)  # noqa: NPY002
        torch.set_rng_state(of_torch)
        self.generator.set_state(self.device_random)


class HostWatch:
    """Notices what a step changes on the host, which a recording would do once and never again."""

    def __init__(self, step: Step, generator: torch.Generator) -> None:
        self.owners = _owners(step)
        self.kept = [_kept(owner) for owner in self.owners]
        # On a CPU, dropout itself draws from torch's generator.
        self.with_torch = generator.device.type != "cpu"
        self.random = self._random()

    def _random(self) -> dict[str, Any]:
        _, keys, *rest = np.random.get_state()  # noqa: NPY002
        found: dict[str, Any] = {
            "Python's": random.getstate(),
            "numpy's": (np.asarray(keys).tobytes(), *rest),
        }
        return found | {"torch's": bytes(torch.get_rng_state().numpy())} if self.with_torch else found

    def changed(self) -> str | None:
        """The first thing that is no longer what it was, in words; None: nothing."""
        for owner, kept in zip(self.owners, self.kept, strict=True):
            for name, value in _kept(owner).items():
                before = kept.get(name, _MISSING)
                if before is not value and (isinstance(value, Tensor) or before != value):
                    return f"'{name}' is another at every step"
        for name, state in self._random().items():
            if state != self.random[name]:
                return f"{name} random numbers on the CPU are drawn"
        return None


class _Length(int):
    """How long a list is."""


def _owners(step: Step) -> list[Any]:
    """The namespaces in which the code of a model and of a loss can keep something, as dictionaries."""
    modules = list(step.modules())
    owners: list[Any] = [part for module in modules for part in (vars(module), module._buffers)]
    function: Any = step.objective.function
    while isinstance(function, functools.partial):
        function = function.func
    owners.append(getattr(function, "__dict__", {}))
    files = {type(module).__module__ for module in modules} | {getattr(function, "__module__", "")}
    return owners + [vars(sys.modules[name]) for name in sorted(files) if name in sys.modules]


def _kept(owner: dict[str, Any]) -> dict[str, Any]:
    """What can be told of a namespace: its plain values and tensors, and how long its lists are."""
    found: dict[str, Any] = {}
    for name, value in owner.items():
        if isinstance(value, (*_PLAIN, Tensor)) and not name.startswith("__"):
            found[name] = value
        elif isinstance(value, (list, dict, set)) and not name.startswith("__"):
            found[name] = _Length(len(value))
    return found
