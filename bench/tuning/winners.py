"""What a tuned suite asks for now: all trials, and then the best setting of each search, with its seeds.

Nothing is remembered: the choice is made anew from the run folders each time, by validation scores alone, and
is the same for every launcher, report and status.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.cells import Cell, Search
from bench.space import search_of
from bench.suite import Suite
from bench.tuning.trials import Trial, Trials
from bench.versions.counting import as_counted


def best_of(trials: Sequence[Trial], *, higher_is_better: bool) -> Trial | None:
    """The first with the best validation score; None where none is done, or none has a number for it."""
    sign = 1 if higher_is_better else -1
    pairs = ((trial.validation, trial) for trial in trials if trial.validation is not None)
    finite = [(sign * score, trial) for score, trial in pairs if not math.isnan(score)]
    return max(finite, key=lambda scored: scored[0])[1] if finite else None


def winners_of(trials: Sequence[Trial], budget: int, *, higher_is_better: bool) -> list[Trial | None]:
    """Of searches one after another: the best of each; None where all of one have failed."""
    searches = [trials[first : first + budget] for first in range(0, len(trials), budget)]
    return [best_of(search, higher_is_better=higher_is_better) for search in searches]


class Winners:
    """The settings that have won so far."""

    def __init__(self, suite: Suite, results: Path) -> None:
        self.suite = suite
        self.results = results
        self.trials = Trials(suite, results)

    def with_winners(self) -> Suite:
        """The suite, with the runs of each cell whose search has ended.

        Where all trials of a search have failed, there is no setting to train: its cell asks for no seed.
        """
        cells = [
            self._with_winner(cell, search)
            for cell, search in zip(self.suite.cells, self.suite.searches, strict=True)
        ]
        return as_counted(self.suite.with_cells(cells), self.results)

    def _with_winner(self, cell: Cell, search: Search) -> Cell:
        trials = self.trials.of(search)
        if not all(trial.ended for trial in trials):
            return replace(cell, waits=True, former={})
        tune, higher = self.suite.tune, self.trials.higher_is_better
        assert tune is not None
        if tune.design == "pooled":
            best = best_of(trials, higher_is_better=higher)
            if best is None:
                return replace(cell, waits=False, seeds=(), former={})
            return replace(cell, waits=False, text=search.text_of(best.seed), former={})
        won = winners_of(trials, tune.budget, higher_is_better=higher)
        texts = {
            seed: search.text_of(best.seed)
            for seed in cell.seeds
            if (best := won[search_of(seed)]) is not None
        }
        first = next(iter(texts.values()), cell.text)
        return replace(cell, waits=False, text=first, texts=texts, seeds=tuple(texts), former={})
