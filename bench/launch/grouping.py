"""Runs → packs: what one job of a cluster trains."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.disk import Damaged
from bench.launch.profile import Profile
from bench.results.folder import RunFolder
from bench.runs import Run
from bench.suite import Suite

Kind = tuple[str, str]  # data set, model: what decides how long a run takes


def measured_seconds(suite: Suite, results: Path) -> dict[Kind, list[float]]:
    """Seconds that finished runs took, by data set and model."""
    seconds: dict[Kind, list[float]] = {}
    for cell in suite.every_cell:
        for run in cell.runs:
            try:
                result = RunFolder(results, run.id).result()
            except Damaged:
                continue
            if result is not None:
                seconds.setdefault((cell.dataset, cell.model), []).append(result.seconds)
    return seconds


def typical_seconds(measured: Mapping[Kind, Sequence[float]]) -> dict[Kind, float]:
    """The median for each data set and model that has any."""
    return {kind: statistics.median(values) for kind, values in measured.items()}


def kinds(suite: Suite) -> dict[str, Kind]:
    """The data set and model of each run, by its id."""
    return {run.id: (cell.dataset, cell.model) for cell in suite.every_cell for run in cell.runs}


def in_packs(
    runs: Iterable[Run], kind_of: Mapping[str, Kind], seconds: Mapping[Kind, float], profile: Profile
) -> list[list[Run]]:
    """Runs of one data set and model together, as many as fill the profile's share of the time limit.

    A wrong guess of the time costs little: a job that does not get through its pack goes on where it was.
    With a cap on the jobs that run at once, no pack is so large that one of them would have nothing to do.
    """
    by_kind: dict[Kind, list[Run]] = {}
    for run in runs:
        by_kind.setdefault(kind_of[run.id], []).append(run)
    total = sum(map(len, by_kind.values()))
    packs = []
    for kind, members in by_kind.items():
        size = max(1, int(profile.fill * profile.time * 60 * profile.tasks / max(seconds[kind], 1e-3)))
        if profile.jobs is not None:
            size = min(size, max(1, -(-total // profile.jobs)))
        packs += [members[first : first + size] for first in range(0, len(members), size)]
    return packs
