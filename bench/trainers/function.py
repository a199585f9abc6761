"""A trainer that is a function of the user's own: ``train(job)``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.registry import construct, restore
from bench.trainer_options import TRAINERS
from bench.trainers.diary import Diary
from bench.trainers.outcome import outcome_of

if TYPE_CHECKING:
    from bench.trainers import Work


@dataclass(frozen=True)
class Named:
    """A data set, a model or a loss, as the suite names it."""

    name: str
    options: Mapping[str, Any]


class Job:
    """One run, as a function is asked to train it."""

    def __init__(self, work: Work) -> None:
        described = work.run.description
        kinds = ("dataset", "model", "loss")
        self.dataset, self.model, self.loss = (_named(described[kind]) for kind in kinds)
        self.recipe: dict[str, Any] = described["recipe"]
        """What the suite says under ``recipe``, as it is."""
        self.seed = work.run.seed
        self.device = work.device
        """``cpu`` or ``cuda``."""
        self.data = work.data
        """The folder of data sets."""
        self.folder: Path = work.folder.work
        """Of the run, and the function's alone: kept until the run is finished, however often it begins."""
        self._work = work
        self._diary = Diary(work.folder)

    def derive(self, *purpose: str | int) -> int:
        """A seed for one purpose, from 0 to 2³¹ − 1, from (data set, model, seed): never from the loss.

        So two losses with the same seed can have the same split, initial weights and order.
        """
        return self._work.run.derive(*purpose) % 2**31

    def should_stop(self) -> bool:
        """Whether to save what is needed to go on, in :attr:`folder`, and return nothing. Ask it often."""
        return self._work.should_stop()

    def log(self, epoch: int | None = None, **metrics: float) -> None:
        """Say how an epoch (counted from 1; default: the next) went: numbers by name."""
        self._diary.log(epoch, metrics)


def _named(description: dict[str, Any]) -> Named:
    options = {key: value for key, value in description.items() if key not in ("name", "source")}
    return Named(description["name"], options)


def train(work: Work) -> bool:
    """Have the function train; see :func:`bench.trainers.train`.

    Raises:
        BenchError: it cannot be imported, returns nothing that is a result, or what was asked cannot be had.
        Exception: whatever it raises.
    """
    trainer = work.run.trainer
    assert trainer is not None
    function = construct("trainer", restore(trainer, TRAINERS), "job")
    began = time.monotonic()
    work.folder.work.mkdir(parents=True, exist_ok=True)
    job = Job(work)
    try:
        returned = function(job)
    except SystemExit as error:  # as argparse raises it; the worker goes on
        raise BenchError(
            f"trainer '{trainer['name']}' called sys.exit({'' if error.code is None else repr(error.code)})"
        ) from error
    if returned is None and work.should_stop():
        work.stopped(time.monotonic() - began)
        return False
    try:
        outcome = outcome_of(returned)
    except BenchError as error:
        raise BenchError(f"trainer '{trainer['name']}' returned what is no result: {error}") from None
    work.finish(outcome, time.monotonic() - began, Diary(work.folder).epoch)
    return True
