"""The plan that was stated first: what a suite was going to judge, kept beside its results.

``results/<suite>/plan.json`` is written by the first ``bench run``, or by ``bench freeze`` before any run. It
stays as it is from the first finished run on: what differs then was changed by somebody who could have seen
results, and the report lists it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from bench.disk import read, write_json
from bench.errors import BenchError
from bench.programs import MARK
from bench.results.folder import RunFolder
from bench.runs import RECIPE_VERSION, Run, canonical
from bench.suite import KINDS, Suite

Judged = dict[str, Any]


class Stated(BaseModel):
    """What ``plan.json`` holds."""

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
        cells.append(
            {"dataset": cell.dataset, "model": cell.model, "loss": cell.loss, "recipe": place, **some}
        )
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
    """How losses are tuned, by which runs; or for which the recipe was chosen. Nothing where nobody says."""
    if suite.tune is not None:
        trials = [run.id for search in suite.searches for run in search.runs]
        return {"tune": suite.tune.describe(), "trials": trials}
    return {"tuned_for": suite.tuned_for} if suite.tuned_for else {}


def _own_trainers(suite: Suite, trainers: Collection[str]) -> Judged:
    """Who trains, and what they are told of what; nothing where that is bench itself."""
    if not trainers:
        return {}
    named = {
        axis: {entry.label: entry.named.describe() for entry in getattr(suite, axis) if entry.named}
        for axis in KINDS
    }
    return {"trainers": [json.loads(trainer) for trainer in trainers], "named": named}


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
        found = Stated.model_validate_json(read(str(path)))
        if digest_of(found.judged) == found.digest:
            return found
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
    done = sum(RunFolder(results, run.id).done for run in suite.runs())
    if before is not None:
        same = before.judged == content
        if same and (before.frozen or not frozen or done):
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
    made = Stated(
        digest=digest_of(content),
        time=time.time(),
        frozen=frozen,
        git=None if git is None else dict(git),
        planned=suite.most_runs,
        finished=done,
        judged=content,
    )
    write_json(_file(suite, results), made.model_dump(mode="json"))
    return made


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
        own = "trainer" in cell
        items = content["named"] if own else content
        text = canonical(
            {
                "recipe_version": content["recipe_version"],
                **{kind: items[axis][cell[kind]] for axis, kind in KINDS.items()},
                "recipe": content["recipes"][cell["recipe"]],
                **(
                    {"trainer": content["trainers"][cell["trainer"]]}
                    if own
                    else {"selection": content["selection"], **judge, **drawn}
                ),
            }
        )
        yield from (Run(text, seed) for seed in cell.get("seeds", _seeds(content)))


def _seeds(content: Judged) -> list[int]:
    seeds = content["seeds"]
    return [*range(seeds["max"])] if isinstance(seeds, dict) else seeds


def _file(suite: Suite, results: Path) -> Path:
    return results / suite.name / "plan.json"


def date(when: float) -> str:
    """In words, to the minute, here."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))


# -------------------------------------------------------------------------------------------- deviations


def deviations(
    plan: Judged, now: Judged, same_as: Callable[[str, str], Collection[str]] = lambda module, digest: ()
) -> list[str]:
    """What a suite judges otherwise than was planned, in words; empty where it does as planned.

    Args:
        same_as: other digests that the code of a module computes the same as, by its user's word.
    """
    called: dict[tuple[str, str], str] = {}
    for axis, kind in KINDS.items():
        called |= {(kind, label): name for label, name in _names(plan[axis], now[axis]).items()}
    single = {"question": "question", "baseline": "baseline", "decides": "the metric that decides",
              "selection": "selection", "alpha": "alpha", "test": "analysis.test",
              "recipe_version": "recipe version"}  # fmt: skip
    found = {**now, "baseline": called.get(("loss", now["baseline"]), now["baseline"])}
    said = [
        _instead(words, plan[name], now[name]) for name, words in single.items() if plan[name] != found[name]
    ]
    said += _tuning_in_words(plan, now)
    said += _seeds_in_words(plan["seeds"], now["seeds"])
    for axis, kind in KINDS.items():
        names = {label: name for (of, label), name in called.items() if of == kind}
        said += _items_in_words(kind, plan[axis], now[axis], names)
    said += _cells_in_words(plan, now, called)
    said += _metrics_in_words(plan, now)
    sources = dict(_sources(now))
    for module, digest in dict(_sources(plan)).items():
        if (current := sources.get(module, digest)) != digest:
            does = "something else than it did"
            if digest in same_as(module, current):
                does = "the same as it did, by its user's word"
            said.append(f"code: {module.partition(MARK)[0]} was changed, and does {does}")
    return said


def _instead(what: str, planned: Any, found: Any) -> str:
    return f"{what}: {_short(found)}, planned {_short(planned)}"


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _tuning_in_words(plan: Judged, now: Judged) -> list[str]:
    planned, found = plan.get("tune"), now.get("tune")
    if planned and found:
        changed = _changed(planned, found, "tune.")
        return [changed] if changed else []
    if planned or found:
        one, other = "one recipe for all", "tuned losses"
        return [f"tune: {other if found else one}, planned {one if found else other}"]
    for_whom = plan.get("tuned_for", "nobody"), now.get("tuned_for", "nobody")
    return [_instead("tuned_for", *for_whom)] if for_whom[0] != for_whom[1] else []


def _seeds_in_words(planned: Any, found: Any) -> list[str]:
    if planned == found:
        return []
    if isinstance(planned, list) and isinstance(found, list):
        dropped, added = (len({*one} - {*other}) for one, other in ((planned, found), (found, planned)))
        said = [f"{dropped} of the {len(planned)} planned were dropped"] * bool(dropped)
        said += [f"{added} were added to the {len(planned)} planned"] * bool(added)
        return [f"seeds: {' and '.join(said)}"] if said else []
    return [f"seeds: {_rule(found)}, planned {_rule(planned)}"]


def _rule(seeds: Any) -> str:
    if isinstance(seeds, list):
        return f"{len(seeds)} of them"
    looks = f", looks {seeds['looks']}" if seeds["looks"] else ""
    return f"{seeds['start']}, then {seeds['step']} at a time up to {seeds['max']} until decided{looks}"


def _names(planned: Judged, found: Judged) -> dict[str, str]:
    """By what an item is called now, what the plan calls it: another label is no other item."""
    labels = {canonical(item): label for label, item in planned.items()}
    names = {
        label: label if label in planned else labels.get(canonical(item)) for label, item in found.items()
    }
    return {label: name for label, name in names.items() if name is not None}


def _items_in_words(kind: str, planned: Judged, found: Judged, names: Mapping[str, str]) -> list[str]:
    dropped = [label for label in planned if label not in names.values()]
    added = [label for label in found if label not in names]
    said = [f"{kind} {label}: planned, and dropped" for label in dropped]
    said += [f"{kind} {label}: added after results were seen" for label in added]
    for label, name in names.items():
        if changed := _changed(_bare(planned[name]), _bare(found[label])):
            said.append(f"{kind} {label}: {changed}")
    return said


def _cells_in_words(plan: Judged, now: Judged, called: Mapping[tuple[str, str], str]) -> list[str]:
    """Of what both have: cells that are left out or added, their seeds, and how they are trained."""
    planned = {tuple(cell[kind] for kind in KINDS.values()): cell for cell in plan["cells"]}
    found = {
        tuple(called.get((kind, cell[kind]), "") for kind in KINDS.values()): cell for cell in now["cells"]
    }
    there = [{name for (of, _), name in called.items() if of == kind} for kind in KINDS.values()]
    dropped = [key for key in planned if key not in found and all(map(set.__contains__, there, key))]
    known = [{*plan[axis]} for axis in KINDS]
    added = [key for key in found if key not in planned and all(map(set.__contains__, known, key))]
    said = [f"{' × '.join(key)}: planned, and left out" for key in dropped]
    said += [f"{' × '.join(key)}: added after results were seen" for key in added]
    trained: dict[str, list[str]] = {}
    for key, cell in found.items():
        if (before := planned.get(key)) is None:
            continue
        recipes = plan["recipes"][before["recipe"]], now["recipes"][cell["recipe"]]
        trainers = _trainer(plan, before), _trainer(now, cell)
        if changed := "; ".join(filter(None, [_changed(*recipes), _changed(*trainers)])):
            trained.setdefault(changed, []).append(" × ".join(key))
        if not _follows(before, cell, plan, now):
            said += [
                f"{' × '.join(key)}: {line}"
                for line in _seeds_in_words(before.get("seeds", _seeds(plan)), cell.get("seeds", _seeds(now)))
            ]
    for changed, keys in trained.items():
        which = f" of {', '.join(keys[:3])}{', …' * (len(keys) > 3)}" * (
            len(keys) < len({*found} & {*planned})
        )
        said.append(f"training{which}: {changed}")
    return said


def _trainer(content: Judged, cell: Judged) -> Judged:
    """Who trains a cell, but for its code."""
    if "trainer" not in cell:
        return {"trainer": "bench"}
    described = _bare(content["trainers"][cell["trainer"]])
    return {"trainer": described.pop("name") if "command" not in described else "a command", **described}


def _follows(before: Judged, cell: Judged, plan: Judged, now: Judged) -> bool:
    """Whether the seeds of a cell are those planned, but for what was dropped and added everywhere."""
    planned, found = {*_seeds(plan)}, {*_seeds(now)}
    own = {*before.get("seeds", planned)}
    return {*cell.get("seeds", found)} == (own - (planned - found)) | (found - planned)


def _metrics_in_words(plan: Judged, now: Judged) -> list[str]:
    planned, found = plan["metrics"], now["metrics"]
    said = [f"metric {name}: planned, and dropped" for name in planned if name not in found]
    said += [f"metric {name}: added after results were seen" for name in found if name not in planned]
    for name in found:
        if name in planned:
            changed = _changed(_bare(planned[name]), _bare(found[name]))
            said += [f"metric {name}: {changed}"] if changed else []
            margins = plan["margins"].get(name), now["margins"].get(name)
            said += [_instead(f"margin of {name}", *margins)] if margins[0] != margins[1] else []
    return said


def _changed(planned: Judged, found: Judged, within: str = "") -> str:
    """Which values of a description are others, in words."""
    said = []
    for name in {**planned, **found}:
        one, other = planned.get(name), found.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            said.append(_changed(one, other, f"{within}{name}."))
        elif one != other:
            said.append(f"{within}{name} {_short(other)}, planned {_short(one)}")
    return "; ".join(filter(None, said))


def _bare(description: Judged) -> Judged:
    """Without the digest of a user's code: one word on that is enough for all that use it."""
    return {name: value for name, value in description.items() if name != "source"}


def _sources(content: Judged) -> Iterator[tuple[str, str]]:
    for items in (*(content[axis] for axis in KINDS), content["metrics"]):
        for item in items.values():
            if "source" in item:
                yield item["name"].partition(":")[0], item["source"]
    for item in content.get("trainers", ()):
        if "source" in item:
            yield item["name"].partition(":")[0], item["source"]
