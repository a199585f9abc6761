"""Results folders of several labs → one: what they share, what differs, and a refusal where they contradict.

A run is a value, named by its description, so that folders join by copying: what remains is to see that two
folders which have the same run say the same of it. All is looked at before anything is written.
"""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ValidationError

from bench import versions
from bench.disk import exists, parse, read, token, write_json
from bench.environment import Trained, trained_with
from bench.errors import BenchError
from bench.preregistration import Stated, digest_of, runs_of
from bench.progress import watched
from bench.results import Damaged, Result, RunFolder
from bench.suite import RESERVED

COPIED = (
    *("run.json", "metrics.jsonl", "predictions.npz", "predictions.npy", "weights.safetensors"),
    *("failure.json", "result.json"),
)
"""Files of a run, the one that says it is done last."""
_OWN = {"finished", "seconds", "images_per_second", "warnings", "trained_on", "weights_sha256"}
"""Fields of a result that are about one training, and not about what it came to."""
MOST_NAMED = 5


class Part(BaseModel):
    """What one folder brought."""

    name: str
    done: int
    failed: int
    new: int
    """Runs that no folder before it had."""
    trained: list[Trained]
    """Its finished runs, by versions and device."""
    left_out: list[str]
    """What of it is not in the joined folder, in words."""
    damaged: int
    """Runs of it whose result cannot be believed: they are left out."""


class Merged(BaseModel):
    """What ``bench merge --json`` prints."""

    into: str
    parts: list[Part]
    runs: int
    """In the joined folder."""
    shared: int
    """Finished runs that several folders had, and that are the same in each."""
    notes: list[str]
    """What differs between the folders, in words."""


@dataclass
class _Found:
    """A folder that is to be joined."""

    name: str
    results: Path
    done: dict[str, Result] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    damaged: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    plans: dict[str, Stated] = field(default_factory=dict)


def merge(folders: Mapping[str, Path], into: Path) -> Merged:
    """Join results folders.

    Args:
        folders: by what messages call them.
        into: the joined folder. Where it has runs, it is the first of the folders, and keeps all that it has.

    Raises:
        BenchError: one is no results folder, or two contradict each other. Nothing was written.
    """
    if str(into) in folders:
        raise BenchError(f"{into}: it is the same folder as the joined one: it is the first of them as it is")
    everyone = {str(into): into, **folders} if (into / "runs").is_dir() else dict(folders)
    _check_apart(everyone, into)
    found = [_look(name, results) for name, results in everyone.items()]
    _check_runs(found)
    _check_idle(found, into)
    plans = _plans(found)
    copied = _copy(found, into, plans)
    return Merged(
        into=str(into),
        parts=[
            Part(
                name=one.name,
                done=len(one.done),
                failed=len(one.failed),
                new=len(new),
                trained=trained_with(one.results, one.done),
                left_out=one.left_out,
                damaged=len(one.damaged),
            )
            for one, new in zip(found, copied, strict=True)
        ],
        runs=sum(map(len, copied)),
        shared=_shared(found),
        notes=[*_trained_apart(found), *_other_data(found), *_plans_in_words(found, plans)],
    )


def in_words(made: Merged) -> str:
    """The same for a person."""
    lines = [
        f"{made.into}: {made.runs:,} runs from {len(made.parts)} folders, {made.shared:,} of them shared"
    ]
    for part in made.parts:
        failed = f", {part.failed:,} failed" if part.failed else ""
        lines.append(f"  {part.name}: {part.done:,} done{failed}; {part.new:,} that no folder before it had")
        lines += [f"    {one.runs:,} with {one.in_words()}" for one in part.trained]
        lines += [f"    left out: {said}" for said in part.left_out]
    return "\n".join([*lines, *(f"- {note}" for note in made.notes)])


# --------------------------------------------------------------------------------------------- looking


def _check_apart(folders: Mapping[str, Path], into: Path) -> None:
    if into.exists() and not into.is_dir():
        raise BenchError(f"{into}: it is a file, expected a folder, or none yet")
    if into.is_dir() and not (into / "runs").is_dir() and any(into.iterdir()):
        raise BenchError(
            f"{into}: it is no results folder, and not empty: --into takes a new folder, or one with runs"
        )
    seen: dict[Path, str] = {}
    for name, results in folders.items():
        if not (results / "runs").is_dir():
            what = (
                "there is no such folder"
                if not results.exists()
                else "it has no runs/, so it is no results folder"
            )
            raise BenchError(f"{name}: {what}")
        place = results.resolve()
        if place in seen:
            raise BenchError(f"{name}: it is the same folder as {seen[place]}")
        seen[place] = name


def _look(name: str, results: Path) -> _Found:
    """What a folder holds that can be joined."""
    found = _Found(name, results)
    unfinished, links = 0, list[str]()
    folders = sorted((results / "runs").iterdir())
    for folder in watched(folders, f"looking at {name}"):
        if folder.name.startswith("."):
            continue
        if any(stat.S_ISLNK(path.lstat().st_mode) for path in (folder, *_files(folder))):
            links.append(folder.name)
            continue
        run = RunFolder(results, folder.name)
        try:
            result = run.result(check_predictions=True, check_details=True)
        except Damaged as damage:
            found.damaged.append(str(damage))
            continue
        if result is not None:
            found.done[folder.name] = result
        elif run.failed:
            found.failed.add(folder.name)
        else:
            unfinished += 1
    if unfinished:
        found.left_out.append(f"{unfinished:,} runs that have not ended")
    if found.damaged:
        found.left_out.append(f"{len(found.damaged):,} damaged runs: {_some(found.damaged)}")
    if links:
        found.left_out.append(f"{len(links):,} runs that are links, or hold some: {_some(links)}")
    for plan in sorted(results.glob("*/plan.json")):
        if plan.parent.name not in RESERVED and not plan.is_symlink():
            found.plans[plan.parent.name] = _plan(plan)
    return found


def _files(folder: Path) -> list[Path]:
    return [folder / name for name in COPIED if (folder / name).is_symlink()] if folder.is_dir() else []


def _plan(path: Path) -> Stated:
    try:
        stated = Stated.model_validate_json(read(str(path)))
    except ValidationError:
        stated = None
    if stated is None or digest_of(stated.judged) != stated.digest:
        raise BenchError(f"{path}: the plan is not what was written; put it back, or move it away")
    return stated


def _some(words: Sequence[str]) -> str:
    more = f" and {len(words) - MOST_NAMED:,} more" if len(words) > MOST_NAMED else ""
    return f"{', '.join(words[:MOST_NAMED])}{more}"


# -------------------------------------------------------------------------------------- what contradicts


def _check_runs(found: Sequence[_Found]) -> None:
    """Raise BenchError where two folders have other results of the same run."""
    first: dict[str, _Found] = {}
    odd: list[str] = []
    for one in found:
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


def _check_idle(found: Sequence[_Found], into: Path) -> None:
    """Raise BenchError where a run that another folder has finished is being trained in the joined one."""
    for run_id in {run_id for one in found for run_id in one.done}:
        if (folder := RunFolder(into, run_id)).claimed and not folder.done:
            raise BenchError(
                f"{into}: run {run_id} is being trained there right now: merge when it has ended"
            )


def _differing(one: Result, other: Result) -> list[str]:
    ours, theirs = one.model_dump(exclude=_OWN), other.model_dump(exclude=_OWN)
    return [key for key in ours if ours[key] != theirs[key]]


def _against(run_id: str, one: _Found, other: _Found, keys: Sequence[str]) -> str:
    shown = next((key for key in ("correct", "values", "nll") if key in keys), keys[0])
    sides = []
    for side in (one, other):
        [trained] = trained_with(side.results, [run_id])
        value = getattr(side.done[run_id], shown)
        told = value if isinstance(value, (int, float)) else json.dumps(value, default=str)[:60]
        sides.append(f"{side.name} has {shown} {told} ({trained.in_words()})")
    return ", ".join(sides)


def _plans(found: Sequence[_Found]) -> dict[str, tuple[_Found, Stated]]:
    """By suite, the plan that was stated first.

    Raises:
        BenchError: two folders planned something else.
    """
    kept: dict[str, tuple[_Found, Stated]] = {}
    for one in found:
        for suite, stated in one.plans.items():
            if suite not in kept:
                kept[suite] = one, stated
                continue
            other, before = kept[suite]
            if before.digest != stated.digest:
                raise BenchError(
                    f"{suite}: two plans were stated: {before.digest[:16]} in {other.name} and "
                    f"{stated.digest[:16]} in {one.name}; reports say what differs from one plan. Move one "
                    f"{suite}/plan.json away, or give one of the suites another name; nothing was written"
                )
            if (not stated.frozen, stated.time) < (not before.frozen, before.time):
                kept[suite] = one, stated
    return kept


# ------------------------------------------------------------------------------------------------ writing


def _copy(found: Sequence[_Found], into: Path, plans: Mapping[str, tuple[_Found, Stated]]) -> list[list[str]]:
    """Copy what is not there; returns the runs that each folder was the first to have."""
    done = {run_id for one in found for run_id in one.done}
    there: set[str] = set()
    copied = []
    for one in found:
        new = [run_id for run_id in (*one.done, *sorted(one.failed - done)) if run_id not in there]
        there |= {*new}
        copied.append(new)
        if one.results.resolve() == into.resolve():
            continue
        for run_id in watched(new, f"copying {one.name}"):
            _copy_run(one.results / "runs" / run_id, into / "runs" / run_id)
        versions.join(one.results, into)
        _copy_rules(one.results, into)
    for suite, (one, stated) in plans.items():
        earlier = _before(stated, one, found, suite)
        if earlier or one.results.resolve() != into.resolve():
            whole = stated.model_copy(update={"finished": stated.finished + earlier})
            write_json(into / suite / "plan.json", whole.model_dump(mode="json"))
    return copied


def _copy_rules(results: Path, into: Path) -> None:
    """Reports of suites that add seeds by e-values: whose comparisons go on as they were begun."""
    for path in sorted(results.glob("*/report.json")):
        target = into / path.parent.name / path.name
        try:
            made = parse(read(str(path)))
            rule = made["sequential"]["rule"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if rule == "whenever" and not exists(str(target)):
            write_json(target, made)


def _copy_run(source: Path, target: Path) -> None:
    """One run, whole or not at all. What a folder has of it that has not ended stays beside it."""
    temporary = target.with_name(f".{target.name}.{token()}")
    temporary.mkdir(parents=True)
    try:
        for name in COPIED:
            if exists(str(source / name)):
                shutil.copyfile(source / name, temporary / name, follow_symlinks=False)
        if target.exists():  # an attempt that failed, or has not ended, where another folder's has
            aside = target.parent.parent / "set-aside" / f"{target.name}-{token()}"
            aside.parent.mkdir(parents=True, exist_ok=True)
            target.rename(aside)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


# ------------------------------------------------------------------------------------------------ in words


def _shared(found: Sequence[_Found]) -> int:
    times: dict[str, int] = {}
    for one in found:
        for run_id in one.done:
            times[run_id] = times.get(run_id, 0) + 1
    return sum(count > 1 for count in times.values())


def _trained_apart(found: Sequence[_Found]) -> Iterator[str]:
    """Versions and devices that not all folders have in common."""
    known = {one.name: trained_with(one.results, one.done) for one in found if one.done}
    for key, what in (("device", "devices"), ("instructions", "instructions"), ("torch", "torch"),
                      ("bench", "bench"), ("python", "Python")):  # fmt: skip
        sides = {name: sorted({getattr(t, key) or "not noted" for t in said}) for name, said in known.items()}
        if len({tuple(values) for values in sides.values()}) > 1:
            told = "; ".join(f"{name}: {', '.join(values)}" for name, values in sides.items())
            yield f"{what} differ: {told}"


def _other_data(found: Sequence[_Found]) -> Iterator[str]:
    """Data sets of which two folders saw other data: reports compare such runs with none."""
    seen: dict[str, dict[str, set[str]]] = {}
    for one in found:
        for run_id, result in one.done.items():
            if result.data is not None:
                described = RunFolder(one.results, run_id).info().get("dataset")
                key = json.dumps(described, sort_keys=True)
                seen.setdefault(key, {}).setdefault(one.name, set()).add(result.data.source)
    for described, sides in seen.items():
        if len({frozenset(digests) for digests in sides.values()}) > 1:
            told = "; ".join(f"{name}: {', '.join(sorted(digests))}" for name, digests in sides.items())
            name = (json.loads(described) or {}).get("name")
            yield f"the data of {name} differ (digests {told}): reports leave the fewer of them out"


def _before(stated: Stated, one: _Found, found: Sequence[_Found], suite: str) -> int:
    """Runs of a plan that had finished before it, in folders where none was stated."""
    silent = [other for other in found if suite not in other.plans]
    if not silent:
        return 0
    planned = {run.id for run in runs_of(stated.judged)}
    return sum(
        result.finished < stated.time
        for other in silent
        for run_id, result in other.done.items()
        if run_id in planned and run_id not in one.done
    )


def _plans_in_words(found: Sequence[_Found], plans: Mapping[str, tuple[_Found, Stated]]) -> Iterator[str]:
    for suite, (one, stated) in plans.items():
        others = [other.name for other in found if other is not one and suite in other.plans]
        same = f"; {', '.join(others)} stated the same" if others else ""
        earlier = _before(stated, one, found, suite)
        told = f"; {earlier:,} runs of folders without a plan had finished before it" if earlier else ""
        yield f"{suite}: the plan is that of {one.name}{same}{told}"
