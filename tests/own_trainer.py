"""Train one run with a trainer of the user's own, in this process, as a worker would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.launch.attempt import attempt_run
from bench.launch.pack import Pack, of_trainers
from bench.results.folder import RunFolder
from bench.runs import Run
from bench.suite import Suite
from bench.versions import store


class Stop:
    """A flag that rises when it is told to, or after so many questions."""

    def __init__(self, after: int | None = None, launcher: int | None = 1) -> None:
        self.left = after
        self.raised = False
        self.worked = False
        self.launcher = launcher

    def before_step(self) -> bool:
        if self.left is not None:
            self.left -= 1
            self.raised = self.raised or self.left < 0
        return self.raised

    __call__ = before_step


def attempt(
    suite: Suite, results: Path, run: Run | None = None, stop: Any = None, **changes: Any
) -> RunFolder:
    """Hand a run to its trainer, as it was submitted; returns its folder."""
    run = run or suite.runs()[0]
    store.keep(suite, results)
    values: dict[str, Any] = {**of_trainers(suite), **changes}
    pack = Pack(
        results=results, data=results / "data", device="cpu", runs=[run], search_path=[], git=None,
        launcher=1, keep_probabilities=suite.keep_probabilities, **values,
    )  # fmt: skip
    assert attempt_run(run, pack, "cpu", stop or Stop())
    return RunFolder(results, run.id)


def reason(folder: RunFolder) -> str:
    """Why a run failed."""
    failure = folder.failure()
    assert failure is not None, "it did not fail"
    return failure.reason


Attempt = Callable[..., RunFolder]
