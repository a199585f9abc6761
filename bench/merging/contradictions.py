"""Where two folders say something else of the same: then nothing is joined."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from bench.environment import trained_with
from bench.errors import BenchError
from bench.merging.folders import MOST_NAMED, Folder
from bench.preregistration import Stated
from bench.results.folder import RunFolder
from bench.results.schema import Result

_OWN = {"finished", "seconds", "images_per_second", "warnings", "trained_on", "weights_sha256"}
"""Fields of a result that are about one training, and not about what it came to."""


def check_runs(folders: Sequence[Folder]) -> None:
    """Raise BenchError where two folders have other results of the same run."""
    first: dict[str, Folder] = {}
    odd: list[str] = []
    for one in folders:
        for run_id, result in one.done.items():
            other = first.setdefault(run_id, one)
            if other is not one and (keys := _differing(other.done[run_id], result)):
                odd.append(f"run {run_id}: {_against(run_id, other, one, keys)}")
    if odd:
        more = f"\nand {len(odd) - MOST_NAMED:,} more" if len(odd) > MOST_NAMED else ""
        raise BenchError(
            f"{len(odd):,} runs contradict each other, and nothing was written: the same training came to "
            "other predictions. Where a device or a version explains it, move the run folders of one side "
            "away and merge again\n" + "\n".join(odd[:MOST_NAMED]) + more
        )


def check_idle(folders: Sequence[Folder], into: Path) -> None:
    """Raise BenchError where a run that another folder has finished is being trained in the joined one."""
    for run_id in {run_id for one in folders for run_id in one.done}:
        if (folder := RunFolder(into, run_id)).claimed and not folder.done:
            raise BenchError(
                f"{into}: run {run_id} is being trained there right now: merge when it has ended"
            )


def _differing(one: Result, other: Result) -> list[str]:
    ours, theirs = one.model_dump(exclude=_OWN), other.model_dump(exclude=_OWN)
    return [key for key in ours if ours[key] != theirs[key]]


def _against(run_id: str, one: Folder, other: Folder, keys: Sequence[str]) -> str:
    field = next((key for key in ("correct", "values", "nll") if key in keys), keys[0])
    sides = []
    for side in (one, other):
        [trained] = trained_with(side.results, [run_id])
        value = getattr(side.done[run_id], field)
        text = value if isinstance(value, (int, float)) else json.dumps(value, default=str)[:60]
        sides.append(f"{side.name} has {field} {text} ({trained.in_words()})")
    return ", ".join(sides)


def plans_of(folders: Sequence[Folder]) -> dict[str, tuple[Folder, Stated]]:
    """By suite, the plan that was stated first.

    Raises:
        BenchError: two folders planned something else.
    """
    plans: dict[str, tuple[Folder, Stated]] = {}
    for one in folders:
        for suite, stated in one.plans.items():
            if suite not in plans:
                plans[suite] = one, stated
                continue
            other, before = plans[suite]
            if before.digest != stated.digest:
                raise BenchError(
                    f"{suite}: two plans were stated: {before.digest[:16]} in {other.name} and "
                    f"{stated.digest[:16]} in {one.name}; reports say what differs from one plan. Move one "
                    f"{suite}/plan.json away, or give one of the suites another name; nothing was written"
                )
            if (not stated.frozen, stated.time) < (not before.frozen, before.time):
                plans[suite] = one, stated
    return plans
