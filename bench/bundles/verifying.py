"""Every number of a bundled report computed again from the run folders, and compared bit by bit."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from bench import __version__
from bench.bundles import measured, own_code, reading
from bench.bundles.comparing import Difference, arrays_of, file_differences
from bench.bundles.reading import RESULTS, Unpacked
from bench.disk import read
from bench.environment import Environment, libraries
from bench.errors import BenchError
from bench.reports import files as report_files
from bench.results.folder import RunFolder
from bench.runs import DESCRIBED, Run
from bench.suite import Suite
from bench.versions import store

NUMBERS = ("report.json", "agreement.npz", "cells.csv", "comparisons.csv")
WORDS = ("report.md", "report.tex", "report.html", "methods.md", "methods.tex", "references.bib")
"""What shows the same to people. Another version of bench may word it otherwise."""
MOST_LISTED = 20


class Verification(BaseModel):
    """What ``bench bundle --verify --json`` prints."""

    bundle: str
    suite: str
    same: bool
    files: int
    """Whose digests were compared."""
    runs: int
    numbers: int
    """That were computed again."""
    differences: list[Difference]
    """Some of them, where there are many."""
    more: int
    """Differences that are not listed."""
    notes: list[str]
    """What was taken as it stands, and why bits may differ."""


def verify(path: Path) -> Verification:
    """Compare a bundle with itself: files with digests, runs with their ids, the report with the runs.

    Raises:
        BenchError: it is no bundle, or damaged, so that there is nothing to compare.
    """
    with reading.unpacked(path) as bundle:
        rebuilt = reading.make(path, bundle.folder)
        with tempfile.TemporaryDirectory(prefix="bench-bundle-") as temporary:
            again = Path(temporary)
            page, words = reading.texts(rebuilt, bundle.folder)
            report_files.write(rebuilt.report, again, rebuilt.agreement, page, words)
            same_bench = bundle.manifest.bench == __version__
            compared = [*NUMBERS, *(WORDS if same_bench else ())]
            bundled = bundle.results / rebuilt.suite.name
            differing = [
                *_run_ids(bundle),
                *_code(bundle, rebuilt.suite),
                *itertools.chain.from_iterable(
                    file_differences(f"{RESULTS}/{rebuilt.suite.name}/{name}", bundled / name, again / name)
                    for name in compared
                ),
            ]
            numbers = sum(_numbers(again / name) for name in NUMBERS)
        return Verification(
            bundle=str(path),
            suite=rebuilt.suite.name,
            same=not differing,
            files=len(bundle.manifest.files),
            runs=bundle.manifest.runs,
            numbers=numbers,
            differences=differing[:MOST_LISTED],
            more=max(len(differing) - MOST_LISTED, 0),
            notes=[*_taken(rebuilt), *_other_versions(bundle, same_bench, bool(differing))],
        )


def in_words(verification: Verification) -> str:
    """The result as lines for the terminal."""
    counts = (
        f"{verification.numbers:,} numbers from {verification.runs:,} runs in {verification.files:,} files"
    )
    if verification.same:
        lines = [f"{verification.bundle}: the same: {counts}, bit by bit"]
    else:
        count = len(verification.differences) + verification.more
        lines = [f"{verification.bundle}: NOT the same: {count:,} differences ({counts})"]
        lines += [
            f"  {one.file}: {one.where}: {_shown(one.bundle)} in the bundle, {_shown(one.here)} from the runs"
            for one in verification.differences
        ]
        lines += [f"  and {verification.more:,} more"] * bool(verification.more)
    return "\n".join([*lines, *(f"- {note}" for note in verification.notes)])


def _shown(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:117]}…"


def _run_ids(bundle: Unpacked) -> Iterator[Difference]:
    """Runs whose description is not the one that their id names."""
    names = {name.split("/")[2] for name in bundle.manifest.files if name.startswith(f"{RESULTS}/runs/")}
    for run_id in sorted(names):
        folder = f"{RESULTS}/runs/{run_id}"
        if not {f"{folder}/run.json", f"{folder}/result.json"} & bundle.manifest.files.keys():
            continue  # it failed before it was begun
        info = RunFolder(bundle.results, run_id).info()
        description = {key: value for key, value in info.items() if key in DESCRIBED or key == "seed"}
        try:
            digest = Run.from_description(description).id
        except (KeyError, TypeError, ValueError):
            digest = None
        if digest != run_id:
            yield Difference(
                file=f"{folder}/run.json", where="the run that it describes", bundle=run_id, here=digest
            )


def _code(bundle: Unpacked, suite: Suite) -> Iterator[Difference]:
    for name in own_code.changed(bundle.folder, suite, bundle.manifest.files):
        yield Difference(
            file=own_code.FOLDER, where=name, bundle="other code", here="the code that runs are named by"
        )
    for name in store.damaged(bundle.results):
        yield Difference(file=f"{RESULTS}/code", where=name, bundle="other code", here="that of its digest")


def _numbers(path: Path) -> int:
    """How many numbers a file holds."""
    if path.suffix == ".npz":
        return sum(array.size for array in arrays_of(read(str(path))).values() if array.dtype.kind in "iuf")
    return _count(json.loads(path.read_bytes())) if path.suffix == ".json" else 0  # tables hold the same


def _count(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_count, value.values()))
    if isinstance(value, list):
        return sum(map(_count, value))
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _taken(rebuilt: reading.Rebuilt) -> list[str]:
    count = int((rebuilt.runs.state == "done").sum())
    return [
        f"{metric.name}: code of the study's own, which is not run: what it gave on {count:,} runs is taken "
        "as it stands, and everything else is computed from that"
        for metric in measured.own_metrics(rebuilt.suite)
    ]


def _other_versions(bundle: Unpacked, same_bench: bool, differing: bool) -> list[str]:
    notes = []
    if not same_bench:
        notes.append(
            f"made by bench {bundle.manifest.bench}, and this is {__version__}: numbers were compared, and "
            "not how they are worded"
        )
    try:
        environment = Environment.model_validate_json(read(str(bundle.folder / "environment.json")))
    except (OSError, ValidationError):
        raise BenchError("environment.json: it is not what was bundled") from None
    then, now = environment.report, libraries()
    differences = [
        f"{name} {then[name]} then, {now[name]} here"
        for name in now
        if then.get(name, now[name]) != now[name]
    ]
    if differences and differing:
        notes.append(f"other versions may round otherwise: {', '.join(differences)}")
    return notes
