"""Steps that leave no trace: what they changed is put back, and what they change on the host is found out."""

from __future__ import annotations

import copy
import functools
import random
import sys
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.training.step import Step

_PLAIN = (bool, int, float, str, type(None), np.generic)
_CONTAINERS = (list, dict, set, deque)
_MISSING = object()


class Rehearsal:
    """A training at one moment: tensors of weights, statistics, optimizer and sums, random numbers, and what
    the code of model and loss keeps on the host: plain attributes, which tensor is kept under which name, and
    what lists, dictionaries, sets and deques hold.

    Found are attributes of modules, of a loss and of the files that they come from; not what lies deeper (in
    a list in a list, in an object in a list), nor what is outside Python, such as the time of day.
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

    def changed(self) -> str | None:
        """What plain value or container is no longer what it was, but for new tensors; None: nothing.

        Code that does something at its first step only would do it again and again, once that is recorded.
        """
        for owner, kept in zip(self.owners, self.kept, strict=True):
            for name, value in _kept(owner).items():
                before = kept.get(name, _MISSING)
                same = before.only_caches() if isinstance(before, _Content) else _same(before, value)
                if not (same or (isinstance(value, Tensor) and before is _MISSING)):
                    return f"'{name}' is another after the first step"
        return None

    @torch.no_grad()
    def undo(self, *, caches: bool) -> None:
        """Put everything back.

        What the optimizer had not made yet becomes zero: so Adam's moments and counts begin, and a momentum
        of zero does what no momentum did.

        Args:
            caches: leave new tensors where they are, for a recording to read.
        """
        for owner, kept in zip(self.owners, self.kept, strict=True):
            for name, value in kept.items():
                if isinstance(value, _Content):
                    if not (caches and value.only_caches()):
                        value.put_back()
                    value = value.container
                if owner.get(name, _MISSING) is not value:
                    owner[name] = value
            for name in _kept(owner).keys() - kept.keys():
                if not caches or isinstance(owner[name], _PLAIN):
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
        self.versions = self._versions()

    def _random(self) -> dict[str, Any]:
        _, keys, *rest = np.random.get_state()  # noqa: NPY002
        found: dict[str, Any] = {
            "Python's": random.getstate(),
            "numpy's": (np.asarray(keys).tobytes(), *rest),
        }
        return found | {"torch's": bytes(torch.get_rng_state().numpy())} if self.with_torch else found

    def _versions(self) -> dict[tuple[int, str], int]:
        """How often tensors on the host were changed in place, which no recording of a GPU does again."""
        if not self.with_torch:  # all of them are where steps are taken
            return {}
        return {
            (number, name): value._version
            for number, owner in enumerate(self.owners)
            for name, value in _kept(owner).items()
            if isinstance(value, Tensor) and value.device.type == "cpu"
        }

    def changed(self) -> str | None:
        """The first thing that is no longer what it was, in words; None: nothing."""
        for owner, kept in zip(self.owners, self.kept, strict=True):
            for name, value in _kept(owner).items():
                if not _same(kept.get(name, _MISSING), value):
                    return f"'{name}' is another at every step"
        for key, version in self._versions().items():
            if version != self.versions.get(key):
                return f"'{key[1]}', on the CPU, is changed at every step"
        for name, state in self._random().items():
            if state != self.random[name]:
                return f"{name} random numbers on the CPU are drawn"
        return None


class _Content:
    """What a container holds, to compare with and to put back into it."""

    def __init__(self, container: Any) -> None:
        self.container = container
        self.content = copy.copy(container)

    def same_as(self, other: _Content) -> bool:
        """Whether it is the same container with the same content."""
        return self.container is other.container and _same_items(self.content, other.content)

    def only_caches(self) -> bool:
        """Whether nothing but tensors has come into the container: under new keys, or at its end."""
        then, now = self.content, self.container
        if isinstance(then, dict):
            new = [value for key, value in now.items() if key not in then]
            return _same_items(then, {k: v for k, v in now.items() if k in then}) and _all_tensors(new)
        if isinstance(then, set):
            return bool(then == now)
        items = list(now)
        return _same_items(list(then), items[: len(then)]) and _all_tensors(items[len(then) :])

    def put_back(self) -> None:
        """Have the container hold what it did."""
        if _same_items(self.content, self.container):
            return
        self.container.clear()
        if isinstance(self.container, (dict, set)):
            self.container.update(self.content)
        else:
            self.container.extend(self.content)


def _same(before: Any, now: Any) -> bool:
    """The same object, or an equal plain value, or a container that holds the same."""
    if isinstance(before, _Content) and isinstance(now, _Content):
        return before.same_as(now)
    return before is now or (isinstance(before, _PLAIN) and isinstance(now, _PLAIN) and bool(before == now))


def _same_items(before: Any, now: Any) -> bool:
    if isinstance(before, set):
        return bool(before == now)
    if isinstance(before, dict):
        return before.keys() == now.keys() and all(_same(value, now[key]) for key, value in before.items())
    return len(before) == len(now) and all(map(_same, before, now))


def _all_tensors(values: list[Any]) -> bool:
    return all(isinstance(value, Tensor) for value in values)


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
    """What can be told of a namespace: its plain values, tensors and containers."""
    found: dict[str, Any] = {}
    for name, value in owner.items():
        if isinstance(value, (*_PLAIN, Tensor)) and not name.startswith("__"):
            found[name] = value
        elif isinstance(value, _CONTAINERS) and not name.startswith("__"):
            found[name] = _Content(value)
    return found
