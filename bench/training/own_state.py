"""The state of the user's own code: whether a checkpoint keeps it, and which attributes it misses.

State that is hidden (class attributes, closures, iterators, generators of its own) cannot be found reliably,
and nothing here tries to.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import pickle
import warnings
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

_LOOKS_AFTER = (2, 3)
"""Steps of this process, besides the ends of epochs: by then what the first call makes once is there."""
_LONGEST = 2**20
"""Bytes of one attribute that are looked at."""
_OF_MODULES = frozenset(vars(torch.nn.Module()))
"""What every module has: parameters, buffers, modules, hooks, whether it is training."""


def keeps_state(thing: object) -> bool:
    """Whether an object has a ``state_dict``/``load_state_dict`` pair that speaks for it.

    The pair that every module inherits does not: it gives parameters and buffers, and no other attribute. A
    ``state_dict`` or ``get_extra_state`` of its own does, also one of a part of it.
    """
    if isinstance(thing, torch.nn.Module):
        return any(map(_says_more, thing.modules()))
    # As it stands there: what __getattr__ would make of the name says nothing.
    pair = (inspect.getattr_static(thing, name, None) for name in ("state_dict", "load_state_dict"))
    return all(map(callable, pair))


def _says_more(module: torch.nn.Module) -> bool:
    names, kind = ("state_dict", "get_extra_state"), type(module)
    return any(getattr(kind, name) is not getattr(torch.nn.Module, name) for name in names)


class Watcher:
    """Notes attributes that change from step to step and are in no state. For warnings only.

    Args:
        things: losses and models by the name that warnings give them.
        warnings: gets one for each attribute.
    """

    def __init__(self, things: Mapping[str, object], warnings: list[str]) -> None:
        self._things = things
        self._warnings = warnings
        self._steps = 0
        self._digests: dict[tuple[str, str], bytes] = {}

    def count_step(self) -> None:
        """A step was taken."""
        self._steps += 1
        if self._steps in _LOOKS_AFTER:
            self.look()

    def look(self) -> None:
        """Compare all attributes with what they were at the last look. Never raises."""
        for label, thing in self._things.items():
            with contextlib.suppress(Exception):  # the objects may be anything
                for name, value in _attributes(thing):
                    self._compare(label, name, _digest(value))

    def _compare(self, label: str, name: str, now: bytes | None) -> None:
        before = self._digests.pop((label, name), None)
        if now is not None:
            self._digests[label, name] = now
        warning = (
            f"{label} changes '{name}' from step to step, and no state_dict of its own keeps that: "
            "a resumed run would not go on from it"
        )
        if before is not None and now not in (None, before) and warning not in self._warnings:
            self._warnings.append(warning)


def _attributes(thing: object) -> Iterator[tuple[str, Any]]:
    """What an object holds by itself; of a module also what its parts hold."""
    if not isinstance(thing, torch.nn.Module):
        yield from () if keeps_state(thing) else list(vars(thing).items())
        return
    for path, module in thing.named_modules():
        if not _says_more(module):
            for name, value in list(vars(module).items()):
                if name not in _OF_MODULES:
                    yield f"{path}.{name}".lstrip("."), value


def _digest(value: Any) -> bytes | None:
    """Equal for equal values, mostly; None of what is nothing yet, or cannot be looked at."""
    written = _Written()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as iterators can be pickled for a while only
            _Pickler(written, pickle.HIGHEST_PROTOCOL).dump(value)
    except _Enough:
        pass
    except Exception:  # not everything can be pickled, and what pickles itself can raise anything
        return None
    return None if value is None else written.hash.digest()


class _Enough(Exception):
    pass


class _Written:
    """A file that keeps a digest of its beginning."""

    def __init__(self) -> None:
        self.hash = hashlib.blake2b(digest_size=16)
        self.left = _LONGEST

    def write(self, data: Any) -> None:
        beginning = memoryview(data)[: self.left]
        self.hash.update(beginning)
        self.left -= len(beginning)
        if not self.left:
            raise _Enough


class _Pickler(pickle.Pickler):
    """Takes from tensors some numbers, and from what checkpoints keep anyway, or what is code, nothing."""

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, (torch.nn.Module, torch.nn.Parameter, FunctionType)):
            return str, ()
        if isinstance(thing, Tensor):
            return str, (_numbers(thing),)
        return NotImplemented


@torch.no_grad()
def _numbers(tensor: Tensor) -> str:
    """Its form, its sum, and its first numbers: no copy of one that is large."""
    first = tensor
    while first.ndim > 1:
        first = first[0]
    return f"{tensor.dtype} {tensor.shape} {tensor.sum().item()} {first.reshape(-1)[:16].tolist()}"
