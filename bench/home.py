"""Where a suite's results lie, and whose folder ``results/<suite>/`` is.

Suites are told apart by name, and two files may give the same one. So ``suite.json`` in that folder says for
which file it was made. It holds a path of this machine, and is nothing to commit.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from bench import suite as suites
from bench import versions
from bench.disk import read, write_json
from bench.errors import BenchError
from bench.scale import SUFFIX
from bench.suite import Suite


class Owner(BaseModel):
    """What ``suite.json`` holds."""

    file: str
    """The suite file, absolute."""
    code: dict[str, str]
    """Of :func:`bench.versions.of_suite`."""


def take(suite: Suite, path: Path, results: Path) -> None:
    """Note whose folder it is: for whoever writes there, once :func:`check_owner` has let it.

    A copy does not take it from the file that was there first: either may be changed later.
    """
    # The path of a file may be no text; pydantic and JSON take none but text.
    file = str(path.absolute()).encode(errors="replace").decode()
    now = Owner(file=file, code=versions.of_suite(suite))
    if _owner(suite, results) != now and _rival(suite, path, results) is None:
        write_json(_record(suite, results), now.model_dump())


def check_owner(suite: Suite, path: Path, results: Path) -> None:
    """Make sure that the suite's folder is not that of another suite with the same name.

    A suite that was moved, or copied as it is, is the same.

    Raises:
        BenchError: it is; the message says of which file, and what tells the two apart.
    """
    if (rival := _rival(suite, path, results)) is None:
        return
    owner, theirs = rival
    # The same words may name other code, beside each file.
    if theirs == suites.read(path) and owner.code == versions.of_suite(suite):
        return
    question = theirs["question"]
    asks = "the same of something else" if question == suite.question else f"'{suite.question}'"
    raise BenchError(
        f"{path}: name: '{suite.name}' is taken: {(results / suite.name).absolute()} is the folder of "
        f"{owner.file}, which asks '{question}'; this file asks {asks}. Give one of the two a name: of its "
        "own, or choose another results folder with --results or BENCH_RESULTS"
    )


def has_runs(suite: Suite, results: Path) -> bool:
    """Whether there is anything of a suite: jobs, or the folder of any run that it asks for."""
    if os.path.isdir(results / suite.name / "jobs"):
        return True
    try:
        begun = {*os.listdir(results / "runs")}
    except OSError:
        return False
    return any(run.id in begun for run in suite.runs())


def nearest(suite: Suite, path: Path) -> Path | None:
    """The nearest ``results/`` with runs of a suite: beside its file or above, then here or above."""
    for folder in (*path.absolute().parents, Path.cwd(), *Path.cwd().parents):
        results = folder / "results"
        if has_runs(suite, results) and _is_welcome(suite, path, results):
            return results
    return None


def _is_welcome(suite: Suite, path: Path, results: Path) -> bool:
    try:
        check_owner(suite, path, results)
    except BenchError:
        return False
    return True


def _record(suite: Suite, results: Path) -> Path:
    return results / suite.name / "suite.json"


def _owner(suite: Suite, results: Path) -> Owner | None:
    """Whose folder it is; None where that was never noted, or cannot be read."""
    try:
        return Owner.model_validate_json(read(str(_record(suite, results))))
    except (OSError, ValidationError):
        return None


def _rival(suite: Suite, path: Path, results: Path) -> tuple[Owner, dict[str, Any]] | None:
    """Whose folder it is, and what that file says: where it is another, and still a suite of this name."""
    owner = _owner(suite, results)
    if owner is None or _same_file(owner.file, path):
        return None
    try:
        theirs = suites.read(Path(owner.file))
    except BenchError:
        return None
    names = theirs["name"], f"{theirs['name']}{SUFFIX}"
    return (owner, theirs) if "question" in theirs and suite.name in names else None


def _same_file(one: str, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
