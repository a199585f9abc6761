"""A recorder for CPUs that repeats operations on the same memory, as CUDA graphs do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode


class FakeGraph(TorchDispatchMode):
    """Keeps each operation with the tensors that it read and wrote. Numbers of Python's are frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, list[Tensor]]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        out = function(*args, **kwargs)
        read = {t.untyped_storage().data_ptr() for t in _tensors((args, kwargs))}
        written = [t if t.untyped_storage().data_ptr() not in read else None for t in _tensors(out)]
        self.operations.append((function, args, kwargs, written))
        return out

    @torch.no_grad()
    def replay(self) -> None:
        for function, args, kwargs, written in self.operations:
            for old, new in zip(written, _tensors(function(*args, **kwargs)), strict=True):
                if old is not None:
                    old.copy_(new)


class Onlooker(TorchDispatchMode):
    """Does what is done, as a recording does it: some operations round another way if they are looked at."""

    def __init__(self, strict: bool) -> None:
        super().__init__()
        self.strict = strict

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.strict and function is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("called a synchronizing CUDA operation")
        return function(*args, **(kwargs or {}))


class FakeRecorder:
    """Records. Unlike a GPU it also does what it records; that is undone as rehearsals are."""

    def __init__(self) -> None:
        self.recordings = 0
        self.replays = 0

    @contextlib.contextmanager
    def aside(self, *, strict: bool = False) -> Iterator[None]:
        with Onlooker(strict):
            yield

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        graph = FakeGraph()
        with graph:
            work()
        self.recordings += 1

        def replay() -> None:
            self.replays += 1
            graph.replay()

        return replay


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]
