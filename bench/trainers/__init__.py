"""The interface of trainers: what turns a claimed run into predictions.

A worker claims a run, notes that an attempt begins, and hands :class:`Work` to :func:`train`: to our own
loop, to a function of the user's own, or to a program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import BenchError
from bench.metrics import Metric
from bench.results.folder import RunFolder
from bench.runs import Run
from bench.trainer_options import Handling
from bench.trainers.outcome import Outcome
from bench.trainers.result import result_of


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
    metrics: Sequence[Metric] = ()
    """What is asked of it: a trainer of the user's own must give what these are made of."""
    suite: Path = Path()
    """The folder of the suite, in which programs run."""
    gpus: int | None = None
    """On each node; None: one, where :attr:`device` is one."""
    nodes: int = 1
    handling: Handling = field(default_factory=Handling)
    say: Callable[[str], None] = lambda words: None
    """Notes something in the job's log."""
    begin: Callable[[], None] = lambda: None
    """Notes that another attempt begins."""

    def stopped(self, seconds: float) -> None:
        """Note how long an attempt took that was told to stop."""
        self.folder.end_attempt("stopped", seconds)

    def finish(self, outcome: Outcome, seconds: float, epoch: int | None) -> None:
        """Write the result of a trainer of the user's own.

        Args:
            seconds: that the last attempt took.
            epoch: the last one of which it told anything.

        Raises:
            BenchError: something that is asked of the run cannot be had of it.
        """
        attempts = self.folder.info().get("attempts", [])
        result, predictions = result_of(
            outcome,
            metrics=self.metrics,
            seconds=seconds + sum(float(one.get("seconds", 0)) for one in attempts),
            epoch=epoch,
            keep_probabilities=self.keep_probabilities,
        )
        if self.keep_weights:
            result["warnings"].append("weights were not kept: they are its trainer's own affair")
        self.folder.finish(result, predictions)


def train(work: Work) -> bool:
    """Train a run from where its folder says it is, and write its result there.

    Returns:
        Whether it is finished; False where it was stopped.

    Raises:
        BenchError: the run fails, and why.
        OSError: the results folder cannot be written.
        Exception: whatever code of the user's own raises.
    """
    if work.run.is_by_command:
        from bench.trainers import command

        return command.train(work)
    if work.run.trainer is not None:
        from bench.trainers import function

        return function.train(work)
    import torch

    from bench.training.run import train as train_run
    from bench.training.trial import complaint

    if words := complaint(work.run.text, work.data):
        raise BenchError(words)
    return train_run(
        work.run,
        work.folder,
        device=torch.device(work.device),
        data=work.data,
        should_stop=work.should_stop,
        keep_weights=work.keep_weights,
        keep_probabilities=work.keep_probabilities,
        one_by_one=work.one_by_one,
    )
