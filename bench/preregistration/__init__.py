"""The plan that was stated first: what a suite was going to judge, kept beside its results.

``results/<suite>/plan.json`` is written by the first ``bench run``, or by ``bench freeze`` before any run. It
stays as it is from the first finished run on. What differs then (:mod:`~bench.preregistration.deviations`)
was changed by somebody who could have seen results, and the report lists it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from bench.disk import read, write_json
from bench.entries import KINDS
from bench.errors import BenchError
from bench.results.folder import RunFolder
from bench.runs import RECIPE_VERSION, Run, canonical
from bench.suite import Suite

Judged = dict[str, Any]


class Stated(BaseModel):
    """The content of ``plan.json``."""

    digest: str
    """SHA-256 of what is judged, as canonical JSON: to publish."""
    time: float
    """Unix time at which it was stated."""
    frozen: bool
    """Whether by `bench freeze`; else by the first `bench run`."""
    git: dict[str, Any] | None
    """Commit of the folder in which it was stated, and whether that had changes."""
    planned: int
    """Runs, at most."""
    finished: int
    """Of these, those that had finished then: in another suite, or before plans were stated."""
    judged: Judged
    """See :func:`judged`."""


def judged(suite: Suite) -> Judged:
    """All that decides what a suite says, as plain data: what it asks, trains and measures, by which rule."""
    recipes: dict[str, int] = {}
    trainers: dict[str, int] = {}
    cells = []
    for cell in suite.cells:
        place = recipes.setdefault(canonical(cell.recipe), len(recipes))
        some: Judged = {} if cell.seeds == suite.seeds else {"seeds": [*cell.seeds]}
        if suite.trainers and (trainer := json.loads(cell.text).get("trainer")) is not None:
            some["trainer"] = trainers.setdefault(canonical(trainer), len(trainers))
        axes = {"dataset": cell.dataset, "model": cell.model, "loss": cell.loss}
        cells.append({**axes, "recipe": place, **some})
    until = None if suite.until is None else suite.until.model_dump(mode="json")
    return {
        "question": suite.question,
        "baseline": suite.baseline_label,
        **{axis: {entry.label: entry.choice.describe() for entry in getattr(suite, axis)} for axis in KINDS},
        **_own_trainers(suite, trainers),
        "recipe_version": RECIPE_VERSION,
        "recipes": [json.loads(recipe) for recipe in recipes],
        "cells": cells,
        "seeds": until or [*suite.seeds],
        "selection": suite.selection,
        **suite.drawn,
        "decides": suite.metrics[0].name,
        "metrics": {metric.name: metric.choice.describe() for metric in suite.metrics},
        "chooses_by": None if suite.chooses_by is None else suite.chooses_by.describe(),
        "margins": {
            name: None if margin is None else float(margin) for name, margin in suite.margins.items()
        },
        "alpha": suite.analysis.alpha,
        "test": suite.analysis.test,
        **_tuning(suite),
    }


def _tuning(suite: Suite) -> Judged:
    """How losses are tuned, and by which runs; or for which loss the recipe was chosen; or nothing."""
    if suite.tune is not None:
        trials = [run.id for search in suite.searches for run in search.runs]
        return {"tune": suite.tune.describe(), "trials": trials}
    return {"tuned_for": suite.tuned_for} if suite.tuned_for else {}


def _own_trainers(suite: Suite, trainers: Collection[str]) -> Judged:
    """The trainers, and the names that they get; nothing where bench itself trains."""
    if not trainers:
        return {}
    entries = {axis: [one for one in getattr(suite, axis) if one.named] for axis in KINDS}
    options = {axis: {one.label: one.named.describe() for one in ones} for axis, ones in entries.items()}
    return {"trainers": [json.loads(trainer) for trainer in trainers], "named": options}


def digest_of(content: Judged) -> str:
    """SHA-256 of what is judged."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def stated(suite: Suite, results: Path) -> Stated | None:
    """The plan of a suite; None where none was stated.

    Raises:
        BenchError: it is not what was written.
    """
    path = _file(suite, results)
    try:
        plan = Stated.model_validate_json(read(str(path)))
        if digest_of(plan.judged) == plan.digest:
            return plan
    except FileNotFoundError:
        return None
    except ValidationError:
        pass
    raise BenchError(
        f"{path}: the plan is not what was written; put it back, or move it away: then no plan was stated"
    )


def state(suite: Suite, results: Path, git: Mapping[str, Any] | None, *, frozen: bool = False) -> Stated:
    """State the plan of a suite, unless that has been done; returns the plan that holds.

    As long as no run of it has finished, a plan is replaced: one of `bench run` by the next, a frozen one
    only by another `bench freeze`.

    Raises:
        BenchError: ``frozen``, and another plan holds, whose results may have been seen.
    """
    before, content = stated(suite, results), judged(suite)
    finished = sum(RunFolder(results, run.id).done for run in suite.runs())
    if before is not None:
        same = before.judged == content
        if same and (before.frozen or not frozen or finished):
            return before
        if not same and before.frozen and not frozen:
            return before
        if not same and (before.finished or _any_finished(before.judged, results)):
            if not frozen:
                return before
            raise BenchError(
                f"{_file(suite, results)}: another plan was stated on {date(before.time)}, and runs of it "
                "have finished: it holds, and reports list what differs from it"
            )
    plan = Stated(
        digest=digest_of(content),
        time=time.time(),
        frozen=frozen,
        git=None if git is None else dict(git),
        planned=suite.most_runs,
        finished=finished,
        judged=content,
    )
    write_json(_file(suite, results), plan.model_dump(mode="json"))
    return plan


def _any_finished(content: Judged, results: Path) -> bool:
    return any(RunFolder(results, run_id).done for run_id in ids_of(content))


def ids_of(content: Judged) -> Iterable[str]:
    """The runs that a plan knows of: where losses are tuned the trials, as who wins is open."""
    trials: list[str] | None = content.get("trials")
    return (run.id for run in _runs(content)) if trials is None else trials


def _runs(content: Judged) -> Iterator[Run]:
    judge = {"metric": content["chooses_by"]} if content["chooses_by"] else {}
    drawn = {key: content[key] for key in ("splits", "vary") if key in content}
    for cell in content["cells"]:
        is_foreign = "trainer" in cell
        items = content["named"] if is_foreign else content
        text = canonical(
            {
                "recipe_version": content["recipe_version"],
                **{kind: items[axis][cell[kind]] for axis, kind in KINDS.items()},
                "recipe": content["recipes"][cell["recipe"]],
                **(
                    {"trainer": content["trainers"][cell["trainer"]]}
                    if is_foreign
                    else {"selection": content["selection"], **judge, **drawn}
                ),
            }
        )
        yield from (Run(text, seed) for seed in cell.get("seeds", seeds_of(content)))


def seeds_of(content: Judged) -> list[int]:
    seeds = content["seeds"]
    return [*range(seeds["max"])] if isinstance(seeds, dict) else seeds


def _file(suite: Suite, results: Path) -> Path:
    return results / suite.name / "plan.json"


def date(when: float) -> str:
    """Local date and time, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))
