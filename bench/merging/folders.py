"""A results folder that is to be joined: what of it can be."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from bench.disk import Damaged, read
from bench.errors import BenchError
from bench.preregistration import Stated, digest_of
from bench.progress import watched
from bench.results.folder import RunFolder
from bench.results.schema import Result
from bench.suite.consistency import RESERVED

COPIED = (
    *("run.json", "metrics.jsonl", "predictions.npz", "predictions.npy", "weights.safetensors"),
    *("failure.json", "result.json"),
)
"""Files of a run, the one that says it is done last."""
MOST_NAMED = 5


@dataclass
class Folder:
    """A folder that is to be joined."""

    name: str
    results: Path
    done: dict[str, Result] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    damaged: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    plans: dict[str, Stated] = field(default_factory=dict)


def check_apart(folders: Mapping[str, Path], into: Path) -> None:
    if into.exists() and not into.is_dir():
        raise BenchError(f"{into}: it is a file, expected a folder, or none yet")
    if into.is_dir() and not (into / "runs").is_dir() and any(into.iterdir()):
        raise BenchError(
            f"{into}: it is no results folder, and not empty: --into takes a new folder, or one with runs"
        )
    names: dict[Path, str] = {}
    for name, results in folders.items():
        if not (results / "runs").is_dir():
            problem = (
                "there is no such folder"
                if not results.exists()
                else "it has no runs/, so it is no results folder"
            )
            raise BenchError(f"{name}: {problem}")
        place = results.resolve()
        if place in names:
            raise BenchError(f"{name}: it is the same folder as {names[place]}")
        names[place] = name


def look(name: str, results: Path) -> Folder:
    """What a folder holds that can be joined."""
    content = Folder(name, results)
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
            content.damaged.append(str(damage))
            continue
        if result is not None:
            content.done[folder.name] = result
        elif run.failed:
            content.failed.add(folder.name)
        else:
            unfinished += 1
    if unfinished:
        content.left_out.append(f"{unfinished:,} runs that have not ended")
    if content.damaged:
        content.left_out.append(f"{len(content.damaged):,} damaged runs: {some(content.damaged)}")
    if links:
        content.left_out.append(f"{len(links):,} runs that are links, or hold some: {some(links)}")
    for plan in sorted(results.glob("*/plan.json")):
        if plan.parent.name not in RESERVED and not plan.is_symlink():
            content.plans[plan.parent.name] = _plan(plan)
    return content


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


def some(words: Sequence[str]) -> str:
    more = f" and {len(words) - MOST_NAMED:,} more" if len(words) > MOST_NAMED else ""
    return f"{', '.join(words[:MOST_NAMED])}{more}"
