"""Steps that are recorded once and replayed: on a GPU, launching a small model's kernels one by one takes
longer than the kernels themselves.

A recording (a CUDA graph) repeats the same kernels on the same memory. So a step is recorded on inputs of its
own, into which every batch is copied, once for each size of batch; what the host decides anew each step (the
learning rate, the seed of dropout) lies in a tensor and in the generator. All else that the host does happens
once, at the recording: a loss that counts its calls would silently stop. So only what says that it may be
recorded is (:func:`bench.registry.recordable`), and a recording is held against steps, to the bit.

Where that fails, the device may be left unusable: :class:`NotRecorded` ends the process, and the next one
takes that run's steps one by one (:mod:`bench.launch.worker`).
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from bench.training.device import is_out_of_memory
from bench.training.step import Step

_UNREPEATABLE = "does not have a deterministic implementation"
Take = Callable[[Tensor, Tensor], None]


class NotRecorded(Exception):
    """A step could not be recorded, or its recording is another step; this process is of no more use."""


class Recorder(Protocol):
    """The interface of what records steps, such as CUDA graphs."""

    def aside(self, *, strict: bool = False) -> contextlib.AbstractContextManager[None]:
        """Where steps are rehearsed; ``strict``: asking the device for a value raises, as it would there."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what ``work`` makes the device do, without doing it; returns what does it, each time."""


class CudaRecorder:
    """CUDA graphs. The recordings of one training share their memory: one at a time is replayed, and none
    leaves anything there that another one needs."""

    def __init__(self, device: torch.device) -> None:
        self.stream = _side_stream(device.index or 0)
        self.pool = torch.cuda.graph_pool_handle()

    @contextlib.contextmanager
    def aside(self, *, strict: bool = False) -> Iterator[None]:
        """On the stream that will be recorded: what libraries allocate for a stream is there by then."""
        current, mode = torch.cuda.current_stream(), torch.cuda.get_sync_debug_mode()
        self.stream.wait_stream(current)
        try:
            torch.cuda.set_sync_debug_mode("error" if strict else mode)
            with torch.cuda.stream(self.stream):
                yield
        finally:
            torch.cuda.set_sync_debug_mode(mode)
        current.wait_stream(self.stream)

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
    """Takes steps by replaying them.

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
        self._recordings: dict[tuple[torch.Size, torch.Size], Take] = {}

    def __call__(self, images: Tensor, target: Tensor) -> None:
        """Take a step on a batch.

        Raises:
            NotRecorded: the first of its size could not be recorded.
            torch.OutOfMemoryError: and other errors of memory, as libraries have them.
        """
        form = images.shape, target.shape
        if form not in self._recordings:
            self._recordings[form] = self._recorded(images.clone(), target.clone())
        self._recordings[form](images, target)

    def _recorded(self, images: Tensor, target: Tensor) -> Take:
        """Rehearse, record and check, and leave everything as it was. The recording reads these two."""
        put_back = _remembered(self.step, self.generator)
        with self.recorder.aside():
            self._first_rehearsal(images, target)  # builds what is built once; the second is as all others
        try:
            with self.recorder.aside(strict=True):
                self.step(images, target)
            put_back()
            self.step.optimizer.zero_grad(set_to_none=True)  # gradients live in the recording's memory
            replay = self.recorder.record(lambda: self.step(images, target))

            def take(batch: Tensor, labels: Tensor) -> None:
                images.copy_(batch)
                target.copy_(labels)
                replay()

            self._check(take, images.clone(), target.clone(), put_back)
        except Exception as error:  # whatever the driver, a library or a user's code objects to
            if isinstance(error, NotRecorded) or is_out_of_memory(error):
                raise
            cause = error.__context__ or error  # the end of a recording that has failed raises once more
            words = str(cause).strip().partition("\n")[0][:200]
            raise NotRecorded(f"{type(cause).__name__}: {words}") from None
        put_back()
        return take

    def _check(self, take: Take, images: Tensor, target: Tensor, put_back: Callable[[], None]) -> None:
        """Replay and step from the same state, with another rate and seed: twice, as the first of two replays
        may read what the second should find changed."""
        replayed: dict[str, Tensor] = {}
        for taken, place in ((take, contextlib.nullcontext()), (self.step, self.recorder.aside())):
            put_back()
            for rate in self.step.rates():
                rate.mul_(0.7)
            self.generator.manual_seed(1)
            with place:
                taken(images.flip(0), target.flip(0))
                taken(images, target)
            replayed = replayed or {name: tensor.clone() for name, tensor in self.step.tensors()}
        for name, value in self.step.tensors():
            if not torch.allclose(value, replayed[name], rtol=0, atol=0, equal_nan=True):
                raise NotRecorded(f"a replay of it has other bits than the step itself: {name}")
        self.step.optimizer.zero_grad(set_to_none=True)

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
            note = f"its bits do not repeat: {message.split()[0]} has no deterministic form here"
            if _UNREPEATABLE in message and note not in self.warnings:
                self.warnings.append(note)


def _remembered(step: Step, generator: torch.Generator) -> Callable[[], None]:
    """A function that restores the present state of a training.

    What the optimizer has not made yet becomes zero: so Adam's moments and counts begin, and a momentum of
    zero does what no momentum did.
    """
    values, random = {name: tensor.detach().clone() for name, tensor in step.tensors()}, generator.get_state()

    @torch.no_grad()
    def put_back() -> None:
        for name, tensor in step.tensors():
            tensor.copy_(values[name]) if name in values else tensor.zero_()
        generator.set_state(random)

    return put_back
