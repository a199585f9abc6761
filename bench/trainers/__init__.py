"""What turns a claimed run into predictions: the one seam between a worker and whoever trains.

A worker claims a run, notes that an attempt begins, and hands :class:`Work` to :func:`train`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.results import RunFolder
from bench.runs import Run


@dataclass(frozen=True)
class Work:
    """One run that is to be trained now, by the process that holds its claim."""

    run: Run
    folder: RunFolder
    data: Path
    """The folder of the data sets."""
    device: str
    """``cpu``, ``cuda`` or ``cuda:N``."""
    should_stop: Callable[[], bool]
    """Asked before every step. Once it is true, the state is to be saved and the training to end."""
    keep_weights: bool = False
    keep_probabilities: bool = False
    one_by_one: str = ""
    """Why steps must not be recorded, of a run whose recording has failed."""


def train(work: Work) -> bool:
    """Train a run from where its folder says it is, and write its result there.

    Returns:
        Whether it is finished; False where it was stopped.

    Raises:
        BenchError: the run fails, and why.
        OSError: the results folder cannot be written.
        Exception: whatever code of the user's own raises.
    """
    import torch

    from bench.training import loop

    return loop.train(
        work.run,
        work.folder,
        device=torch.device(work.device),
        data=work.data,
        should_stop=work.should_stop,
        keep_weights=work.keep_weights,
        keep_probabilities=work.keep_probabilities,
        one_by_one=work.one_by_one,
    )
