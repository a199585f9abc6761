"""Where a suite's results lie, and whose folder ``results/<suite>/`` is.

Suites are told apart by name, and two files may give the same one. So ``suite.json`` in that folder says for
which file it was made. It holds a path of this machine, and is nothing to commit. Of a suite that was made in
Python, the file is ``suite.yaml`` in the same folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from bench import suite as suites
from bench.disk import read, write_json
from bench.errors import BenchError
from bench.scale import SUFFIX
from bench.source import Source
from bench.suite import Suite
from bench.versions.digests import of_suite

RECORD = "suite.json"


class Owner(BaseModel):
    """What ``suite.json`` holds."""

    file: str
    """The suite file, absolute."""
    code: dict[str, str]
    """Of :func:`bench.versions.digests.of_suite`."""


def take(suite: Suite, source: Source, results: Path) -> None:
    """Note whose folder it is: for whoever writes there, once :func:`check_owner` has let it.

    A copy does not take it from the file that was there first: either may be changed later.
    """
    if _rival(suite, source, results) is not None:
        return
    # The path of a file may be no text; pydantic and JSON take none but text.
    file = str(source.keep(suite, results).absolute()).encode(errors="replace").decode()
    now = Owner(file=file, code=of_suite(suite))
    if owner(suite.name, results) != now:
        write_json(_record(suite, results), now.model_dump())


def check_owner(suite: Suite, source: Source, results: Path) -> None:
    """Make sure that the suite's folder is not that of another suite with the same name.

    A suite that was moved, or copied as it is, is the same; in Python, one that asks the same question.

    Raises:
        BenchError: it is; the message says of which file, and what tells the two apart.
    """
    if (rival := _rival(suite, source, results)) is None:
        return
    noted, theirs = rival
    # The same words may name other code, beside each file.
    if theirs == source.values and noted.code == of_suite(suite):
        return
    question = theirs["question"]
    asks = "the same of something else" if question == suite.question else f"'{suite.question}'"
    this = "suite" if source.file is None else "file"
    raise BenchError(
        f"{source.name}: name: '{suite.name}' is taken: {(results / suite.name).absolute()} is the folder of "
        f"{noted.file}, which asks '{question}'; this {this} asks {asks}. Give one of the two a name: of its "
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


def nearest(suite: Suite, source: Source) -> Path | None:
    """The nearest ``results/`` with runs of a suite: beside its file or above, then here or above."""
    beside = () if source.file is None else source.file.absolute().parents
    for folder in (*beside, Path.cwd(), *Path.cwd().parents):
        results = folder / "results"
        if has_runs(suite, results) and _is_welcome(suite, source, results):
            return results
    return None


def _is_welcome(suite: Suite, source: Source, results: Path) -> bool:
    try:
        check_owner(suite, source, results)
    except BenchError:
        return False
    return True


def _record(suite: Suite, results: Path) -> Path:
    return results / suite.name / RECORD


def owner(name: str, results: Path) -> Owner | None:
    """Whose folder a suite's is; None where that was never noted, or cannot be read."""
    try:
        return Owner.model_validate_json(read(str(results / name / RECORD)))
    except (OSError, ValidationError):
        return None


def _rival(suite: Suite, source: Source, results: Path) -> tuple[Owner, dict[str, Any]] | None:
    """Whose folder it is, and what that file says: where it is another, and still a suite of this name."""
    noted = owner(suite.name, results)
    same = noted is not None and _same_file(noted.file, source.place(suite, results))
    if noted is None or (same and source.file is not None):
        return None
    try:
        theirs = suites.read(Path(noted.file))
    except BenchError:
        return None
    if same and theirs.get("question") == suite.question:
        return None  # another cell of a notebook, or the same one changed
    names = theirs["name"], f"{theirs['name']}{SUFFIX}"
    return (noted, theirs) if "question" in theirs and suite.name in names else None


def _same_file(one: str, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
