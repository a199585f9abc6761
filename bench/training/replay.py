"""Steps that are recorded once and replayed: on a GPU, launching a small model's kernels one by one takes
longer than the kernels themselves.

A recording (a CUDA graph) repeats the same kernels on the same memory. So a step is recorded on inputs of its
own, into which every batch is copied, once for each size of batch; what the host decides anew each step (the
learning rate, the seed of dropout) lies in a tensor and in the generator, and replays read both. Everything
else that the host does in a step happens once, at the recording. A loss or a model that counts its calls,
draws random numbers on the host or makes a new tensor of an old one would silently stop doing so. Such code
is looked for (:class:`bench.training.rehearsal.HostWatch`) and then taken step by step, as is what cannot be
recorded at all, with a note in the result. The kernels are the same either way, and so are the bits.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from bench.training.rehearsal import HostWatch, Rehearsal
from bench.training.step import Step

_UNREPEATABLE = "does not have a deterministic implementation"


class Recorder(Protocol):
    """What records: the seam at which a device's graphs can be replaced."""

    def aside(self) -> contextlib.AbstractContextManager[None]:
        """Where steps are rehearsed before they are recorded."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what ``work`` makes the device do, without doing it; returns what does it, each time."""


class CudaRecorder:
    """CUDA graphs. The recordings of one training share their memory: one at a time is replayed, and none
    leaves anything there that another one needs."""

    def __init__(self, device: torch.device) -> None:
        self.stream = _side_stream(device.index or 0)
        self.pool = torch.cuda.graph_pool_handle()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """On the stream that will be recorded: what libraries allocate for a stream is there by then."""
        here = torch.cuda.current_stream()
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            yield
        here.wait_stream(self.stream)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Raises errors of many kinds where ``work`` does what cannot be recorded."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            work()
        replay: Callable[[], None] = graph.replay
        return replay


@functools.lru_cache
def _side_stream(index: int) -> torch.cuda.Stream:
    # One for the life of the process: cuBLAS keeps a workspace for every stream that it has met.
    return torch.cuda.Stream(index)  # type: ignore[no-untyped-call]


class Replayed:
    """Takes steps by replaying them where that is possible, and one by one where it is not.

    Args:
        step: what is recorded.
        generator: of the device, from which dropout draws. Its seed is set before each step.
        recorder: what records.
        warnings: gets each thing that the result must say, once.
    """

    def __init__(
        self, step: Step, generator: torch.Generator, recorder: Recorder, warnings: list[str]
    ) -> None:
        self.step = step
        self.generator = generator
        self.recorder = recorder
        self.warnings = warnings
        self.one_by_one = False
        self._recordings: dict[tuple[torch.Size, torch.Size], _Recording] = {}

    def __call__(self, images: Tensor, target: Tensor) -> None:
        """Take a step on a batch."""
        form = images.shape, target.shape
        if form not in self._recordings and not self.one_by_one:
            self._prepare(images, target)
        if self.one_by_one:
            self.step(images, target)
        else:
            self._recordings[form](images, target)

    def _prepare(self, images: Tensor, target: Tensor) -> None:
        """Rehearse on copies, record, and leave everything as it was; or note why not."""
        inputs = images.clone(), target.clone()
        before = Rehearsal(self.step, self.generator)
        with self.recorder.aside():
            self._first_rehearsal(*inputs)  # builds what is built once; the second is as all others
            watch = HostWatch(self.step, self.generator)
            self.step(*inputs)
            changed = watch.changed() or before.changed()
        before.undo(caches=changed is None)
        if changed:
            self._refuse(changed)
            return
        try:
            self.step.optimizer.zero_grad(set_to_none=True)  # gradients live in the recording's memory
            replay = self.recorder.record(lambda: self.step(*inputs))
        except Exception as error:  # whatever the driver, a library or a user's code objects to
            self.step.optimizer.zero_grad(set_to_none=True)
            self._refuse(_in_words(error))
        else:
            self._recordings[images.shape, target.shape] = _Recording(*inputs, replay)
        before.undo(caches=not self.one_by_one)

    def _first_rehearsal(self, images: Tensor, target: Tensor) -> None:
        """Take a step. Where a part of it has no deterministic form on this device, do without and say so."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            refused = False
            try:
                self.step(images, target)
            except RuntimeError as error:
                refused = _UNREPEATABLE in str(error)
                if not refused:
                    raise
            if refused:  # out here, where the error no longer keeps what that step had in memory
                torch.use_deterministic_algorithms(True, warn_only=True)
                self.step(images, target)
        for message in dict.fromkeys(str(warning.message) for warning in caught):
            if _UNREPEATABLE in message:
                self._note(f"its bits do not repeat: {message.split()[0]} has no deterministic form here")

    def _note(self, warning: str) -> None:
        if warning not in self.warnings:
            self.warnings.append(warning)

    def _refuse(self, reason: str) -> None:
        self.one_by_one = True
        self._recordings.clear()
        self._note(f"steps were launched one by one, which is slower, as they cannot be replayed: {reason}")


def _in_words(error: BaseException) -> str:
    """Why a recording failed. No caller keeps the cause: its trace would hold the training in memory."""
    cause = error.__context__ or error  # the end of a recording that has failed raises once more
    return f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0][:200]}"


class _Recording:
    """A recorded step, and the memory from which it reads its batch."""

    def __init__(self, images: Tensor, target: Tensor, replay: Callable[[], None]) -> None:
        self.images, self.target, self.replay = images, target, replay

    def __call__(self, images: Tensor, target: Tensor) -> None:
        self.images.copy_(images)
        self.target.copy_(target)
        self.replay()
