"""Run folders → trials: what each setting scores on the validation split, at the epoch that counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.cells import Search
from bench.disk import Damaged
from bench.metrics import Metric
from bench.results.folder import RunFolder
from bench.results.schema import Result
from bench.space import number_of
from bench.suite import Suite

State = Literal["done", "failed", "missing"]


@dataclass(frozen=True)
class Trial:
    """One setting, trained once."""

    number: int
    seed: int
    run_id: str
    setting: Mapping[str, Any]
    state: State
    """``failed``: it diverged, or could not be trained; a result, and the worst."""
    validation: float | None = None
    """The first metric on the validation split, at the epoch that counts; None unless done."""
    reason: str = ""
    """Why it failed; or why it is missing though its folder has a result."""

    @property
    def ended(self) -> bool:
        """Whether it is done or failed."""
        return self.state != "missing"


class Trials:
    """The trials of one suite. It remembers those that are done, which never change."""

    def __init__(self, suite: Suite, results: Path) -> None:
        self.results = results
        first = suite.metrics[0]
        self.higher_is_better = first.higher_is_better
        chooses = suite.chooses_by
        self.key = "accuracy" if chooses is None else Metric.of(chooses).key
        self._done: dict[str, Trial] = {}

    def of(self, search: Search) -> tuple[Trial, ...]:
        """All of one data set × model × loss, in order."""
        return tuple(self._look(search, seed) for seed in search.seeds)

    def _look(self, search: Search, seed: int) -> Trial:
        run = search.runs[search.seeds.index(seed)]
        if (trial := self._done.get(run.id)) is not None:
            return trial
        folder, number = RunFolder(self.results, run.id), number_of(seed)
        setting = search.settings[seed]
        try:
            result = folder.result()
            score = None if result is None else self.validation(folder, result)
        except Damaged as damage:
            return Trial(number, seed, run.id, setting, "missing", reason=str(damage))
        if score is not None:
            self._done[run.id] = Trial(number, seed, run.id, setting, "done", score)
            return self._done[run.id]
        failure = folder.failure()
        if failure is not None:
            return Trial(number, seed, run.id, setting, "failed", reason=failure.reason)
        return Trial(number, seed, run.id, setting, "missing")

    def validation(self, folder: RunFolder, result: Result) -> float:
        """The first metric on the validation split, at the epoch that counts.

        Raises:
            Damaged: ``metrics.jsonl`` does not have it.
        """
        name = f"validation_{self.key}"
        score = next((line.get(name) for line in folder.metrics() if line["epoch"] == result.epoch), None)
        if score is None:
            raise Damaged(
                f"{folder.file('metrics.jsonl')}: it lacks {name} of epoch {result.epoch}, by which settings "
                f"are chosen; move {folder.path} away, and `bench run` trains it again"
            )
        return float(score)
