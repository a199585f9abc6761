"""Which runs a suite asks for now, where it is tuned, or seeds are added until its comparisons are decided.

Of a tuned suite, trials come first, and then their winners (:mod:`bench.tuning`). Where seeds are added,
nothing is remembered: the rule of :mod:`bench.statistics.stopping` is applied to the run folders each time,
and gives the same answer to every launcher, report and status. A comparison that is open after a look asks
for the seeds of the next one, of its own loss and of its baseline; one that is closed asks for no more.
"""

from __future__ import annotations

import contextlib
import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.disk import Damaged
from bench.results.folder import RunFolder
from bench.results.reading import measure, sighting
from bench.results.schema import Result
from bench.same_data import Sighting, odd_ones
from bench.statistics.units import in_units, unit_for
from bench.suite import Suite
from bench.tuning.winners import Winners

if TYPE_CHECKING:  # scipy is slow to import, and suites with a fixed number of seeds do without
    from bench.statistics.standings import Standing
    from bench.statistics.stopping import Plan

Key = tuple[str, str, str]  # data set, model, loss
Seed = int | str


@dataclass
class Ended:
    """The runs of a cell that have ended, by the first metric of the suite."""

    counts: dict[Seed, int] = field(default_factory=dict)
    lost: set[Seed] = field(default_factory=set)
    totals: set[int] = field(default_factory=set)

    @property
    def total(self) -> int | None:
        """What the counts are out of; None where that differs, or nothing has finished."""
        return next(iter(self.totals)) if len(self.totals) == 1 else None


class SequentialDesign:
    """The rule of one suite. It remembers results, which never change, so that asking again is cheap."""

    def __init__(self, suite: Suite, results: Path) -> None:
        self.suite = suite
        self.results = results
        self._values: dict[str, tuple[float, int | None]] = {}  # run id → count and total, or value and None
        self._sightings: dict[str, Sighting] = {}
        self._winners = Winners(suite, results) if suite.tune else None

    def known(self) -> Suite:
        """The suite with all that it may ask for, as far as that is known: of a tuned one, as :meth:`now`."""
        return self._winners.with_winners() if self._winners else self.suite

    def now(self) -> Suite:
        """The suite with the runs that it asks for now; itself where these are fixed."""
        if self.suite.until is None:
            return self.known()
        seeds = {key: standing.seeds_needed for key, standing in self.standings().items()}
        for cell in self.suite.cells:
            if cell.loss == self.suite.baseline_label:
                rivals = [n for key, n in seeds.items() if key[:2] == cell.key[:2]]
                seeds[cell.key] = max(rivals, default=self.suite.until.start)
        return self.suite.cut(seeds)

    def standings(self) -> dict[Key, Standing]:
        """How each comparison stands, by the data set, model and loss that meets the baseline."""
        from bench.statistics.standings import Direction, standings

        plan = stopping_plan(self.suite, self.results)
        assert plan is not None
        first = self.suite.metrics[0]
        ended = self._ended()
        counted = first.is_accuracy and all(total is not None for _, total in self._values.values())
        direction = Direction(first.unit == "%", first.higher_is_better, counted)
        return standings(plan, self.suite.seeds, ended, self.suite.baseline_label, direction)

    def typical_sd(self) -> float | None:
        """Median over comparisons of the sd of their paired differences; None: too few pairs.

        In the unit of the first metric, percentages being fractions.
        """
        spreads = []
        ended = self._ended()
        for key, arm in ended.items():
            base = ended[(*key[:2], self.suite.baseline_label)]
            pairs = arm.counts.keys() & base.counts.keys()
            if arm is not base and len(pairs) > 2 and arm.total and arm.total == base.total:
                spreads.append(statistics.stdev(arm.counts[s] - base.counts[s] for s in pairs) / arm.total)
        return statistics.median(spreads) if spreads else None

    def _ended(self) -> dict[Key, Ended]:
        ends = {cell.key: Ended() for cell in self.suite.cells}
        finished: dict[tuple[Key, Seed], str] = {}
        for cell in self.suite.cells:
            for run in cell.runs:
                folder = RunFolder(self.results, run.id)
                if run.id not in self._values:
                    with contextlib.suppress(Damaged):
                        if (result := folder.result()) is not None:
                            self._values[run.id] = self._value(folder, result)
                            self._sightings[run.id] = sighting(cell, run, result)
                if run.id in self._values:
                    finished[cell.key, run.seed] = run.id
                elif folder.failed:
                    ends[cell.key].lost.add(run.seed)
        odd = odd_ones(self._sightings.values())
        values = {place: self._values[run_id] for place, run_id in finished.items() if run_id not in odd}
        if any(total is None for _, total in values.values()):  # also where some trainer counts, and one not
            values = {place: (v / total if total else v, None) for place, (v, total) in values.items()}
        by_pair: dict[tuple[str, str], list[float]] = {}
        for (key, _), (value, total) in values.items():
            if total is None:
                by_pair.setdefault(key[:2], []).append(value)
        units = {pair: unit_for(numbers) for pair, numbers in by_pair.items()}
        for (key, seed), (value, total) in values.items():
            unit = total or units[key[:2]]
            ends[key].counts[seed] = int(value) if total else in_units(value, unit)
            ends[key].totals.add(unit)
        return ends

    def _value(self, folder: RunFolder, result: Result) -> tuple[float, int | None]:
        """Correct answers and test images; or the value of another metric."""
        first = self.suite.metrics[0]
        if first.is_accuracy and result.correct is not None:
            return result.correct, result.total
        return measure(first, folder, result).value, None


def as_it_stands(suite: Suite, results: Path) -> Suite:
    """The suite with the runs that it asks for now; itself where these are fixed."""
    return SequentialDesign(suite, results).now()


def as_known(suite: Suite, results: Path) -> Suite:
    """The suite with all that it may ask for, as far as that is known."""
    return SequentialDesign(suite, results).known()


def stopping_plan(suite: Suite, results: Path) -> Plan | None:
    """The rule by which seeds are added; None where their number is fixed.

    Its margin is in the unit of the first metric, percentages being fractions; 0 where there is none.
    """
    if suite.until is None:
        return None
    first = suite.metrics[0]
    margin = suite.margins[first.name] or 0.0
    from bench.statistics.stopping import FUTILITY, PREDICTIVE, Plan, Rule

    planned = (suite.until.looks or _begun_with(suite, results)) == "planned"
    futility = PREDICTIVE if planned else FUTILITY
    return Plan(
        suite.until.start,
        suite.until.step,
        suite.until.max,
        rule=Rule.PLANNED if planned else Rule.E_VALUE,
        alpha=suite.analysis.alpha,
        comparisons=max(sum(cell.loss != suite.baseline_label for cell in suite.cells), 1),
        futility=0.0 if suite.scaled_down else futility,  # a miniature is there to go all the way
        margin=margin / 100 if first.unit == "%" else margin,
        adjusted_equivalence=suite.until.looks is not None,
    )


def _begun_with(suite: Suite, results: Path) -> str:
    """The rule of a report that has been made already: what was looked at by e-values goes on with them."""
    with contextlib.suppress(OSError, ValueError):
        report = json.loads((results / suite.name / "report.json").read_text("utf-8"))
        if isinstance(report, dict) and (added := report.get("sequential")):
            return str(added.get("rule", "whenever"))
    return "planned"
