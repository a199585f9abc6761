"""What the joined folder lacks, written into it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.disk import exists, parse, read, token, write_json
from bench.merging.folders import COPIED, Folder
from bench.preregistration import Stated, ids_of
from bench.progress import watched
from bench.results.folder import RunFolder
from bench.versions import store


def copy(
    folders: Sequence[Folder], into: Path, plans: Mapping[str, tuple[Folder, Stated]]
) -> list[list[str]]:
    """Copy what is not there; returns the runs that each folder was the first to have."""
    finished = {run_id for one in folders for run_id in one.done}
    copied_ids: set[str] = set()
    copied = []
    for one in folders:
        new = [run_id for run_id in (*one.done, *sorted(one.failed - finished)) if run_id not in copied_ids]
        copied_ids |= {*new}
        copied.append(new)
        if one.results.resolve() == into.resolve():
            continue
        for run_id in watched(new, f"copying {one.name}"):
            source = _with_weights(run_id, one, folders)
            _copy_run(source.results / "runs" / run_id, into / "runs" / run_id)
        store.join(one.results, into)
        _copy_rules(one.results, into)
    for suite, (one, stated) in plans.items():
        earlier = before(stated, one, folders, suite)
        if earlier or one.results.resolve() != into.resolve():
            whole = stated.model_copy(update={"finished": stated.finished + earlier})
            write_json(into / suite / "plan.json", whole.model_dump(mode="json"))
    return copied


def _with_weights(run_id: str, one: Folder, folders: Sequence[Folder]) -> Folder:
    """The folder that a run is copied from: one that has its weights, where it kept some."""
    result = one.done.get(run_id)
    if result is None or result.weights_sha256 is None:
        return one
    sides = [one, *(other for other in folders if run_id in other.done)]
    holders = (side for side in sides if exists(RunFolder(side.results, run_id).file("weights.safetensors")))
    return next(holders, one)


def _copy_rules(results: Path, into: Path) -> None:
    """Reports of suites that add seeds by e-values: whose comparisons go on as they were begun."""
    for path in sorted(results.glob("*/report.json")):
        target = into / path.parent.name / path.name
        try:
            content = parse(read(str(path)))
            rule = content["sequential"]["rule"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if rule == "whenever" and not exists(str(target)):
            write_json(target, content)


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


def before(stated: Stated, one: Folder, folders: Sequence[Folder], suite: str) -> int:
    """Runs of a plan that had finished before it, in folders where none was stated."""
    silent = [other for other in folders if suite not in other.plans]
    if not silent:
        return 0
    planned = {*ids_of(stated.judged)}
    return sum(
        result.finished < stated.time
        for other in silent
        for run_id, result in other.done.items()
        if run_id in planned and run_id not in one.done
    )
