"""Which finished runs count for the code as it is now: those of versions that compute the same."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench import code, programs
from bench.cells import Cell
from bench.disk import exists
from bench.results.folder import RunFolder
from bench.runs import Run
from bench.suite import Suite
from bench.versions.digests import digests_of_runs, of_suite, sources_of, with_digests
from bench.versions.store import Version, keep, read_version, same_as, versions_of, write_version

KEEP = "--same-code"
"""The option of ``bench run`` by which its user says so."""
_MOST_VERSIONS = 10  # of a module, the latest, among which finished runs are looked for
_MOST_COMBINATIONS = 200  # of versions of several modules


def as_counted(suite: Suite, results: Path) -> Suite:
    """The suite with runs that have finished under another digest of the same code.

    That is one of the text of a file alone, from before there were others, or of a version that computes the
    same by its user's word.
    """
    same = {module: same_as(results, module, digest) for module, digest in of_suite(suite).items()}
    if not any(same.values()) and not any(cell.former for cell in suite.every_cell):
        return suite
    cells = [replace(cell, former=_former(cell, same, results)) for cell in suite.cells]
    searches = [replace(search, former=_former(search, same, results)) for search in suite.searches]
    return suite.with_cells(cells, searches)


def changes(suite: Suite, results: Path) -> list[str]:
    """Why finished runs wait again, in words: which file, how many, and how to keep them."""
    remarks = []
    for (module, digest), count in _left_behind(suite, results).items():
        files = _changed_files(suite, module, _version_by(results, module, digest))
        remarks.append(
            f"{files} changed after {_runs(count)} of this suite had finished, which wait again; if it "
            f"computes the same as before, `bench run` with {KEEP} keeps them"
        )
    return remarks


def declare_same(suite: Suite, results: Path) -> list[str]:
    """Note that the code as it is computes what finished runs of the suite were trained with; says which.

    Raises:
        BenchError: as :func:`keep`.
    """
    keep(suite, results)
    lines = []
    for (module, digest), count in _left_behind(suite, results).items():
        now = read_version(results, module, of_suite(suite)[module])
        assert now is not None
        files = _changed_files(suite, module, _version_by(results, module, digest))
        lines.append(
            f"{files}: computes the same, by your word; {_runs(count)} that had finished go on counting"
        )
        write_version(results, replace(now, same_as=[*now.same_as, digest]))
    return lines or [f"{KEEP}: no finished run of this suite waits because code changed"]


def _other_texts(text: str, digests: Mapping[str, Sequence[str]]) -> list[str]:
    """The descriptions of a cell under other digests."""
    sources = sources_of(text)
    most = round(_MOST_COMBINATIONS ** (1 / len(sources))) if sources else 0
    choices = [[digest, *digests.get(module, ())][:most] for module, digest in sources.items()]
    combinations = itertools.product(*choices)
    return [with_digests(text, dict(zip(sources, one, strict=True))) for one in combinations][1:]


def _former(cell: Cell, same: Mapping[str, Sequence[str]], results: Path) -> dict[int, str]:
    former = {}
    texts = functools.cache(lambda text: _other_texts(text, same))
    for seed in cell.seeds if texts(cell.text) else ():
        now = cell.text_of(seed)
        if not _is_done(results, Run(now, seed)):
            finished = (text for text in texts(now) if _is_done(results, Run(text, seed)))
            if (text := next(finished, None)) is not None:
                former[seed] = text
    return former


def _left_behind(suite: Suite, results: Path) -> Counter[tuple[str, str]]:
    """How many finished runs wait again, by module and the digest of the version that they had."""
    sources = of_suite(suite)
    cells = [cell for cell in suite.every_cell if sources_of(cell.text)]
    waiting = [(cell, [run.seed for run in cell.runs if not _is_done(results, run)]) for cell in cells]
    needed = {module for cell, seeds in waiting if seeds for module in sources_of(cell.text)}
    digests = {module: _others(results, module, sources[module]) for module in sources if module in needed}
    counts: Counter[tuple[str, str]] = Counter()
    for cell, seeds in waiting:
        current = sources_of(cell.text)
        texts = functools.cache(lambda text: dict.fromkeys(_other_texts(text, digests)))
        for seed in seeds:
            candidates = texts(cell.text_of(seed))
            then = next((text for text in candidates if _is_done(results, Run(text, seed))), None)
            for module, digest in sources_of(then).items() if then else ():
                counts[module, digest] += digest != current[module]
    return +counts


def _others(results: Path, module: str, digest: str) -> list[str]:
    """Digests of other versions of a module that runs may have been trained with, the latest first."""
    latest = sorted(versions_of(results, module), key=lambda version: -version.kept)[:_MOST_VERSIONS]
    digests = [one for version in latest for one in (version.digest, *version.same_as, version.text) if one]
    digests = digests or digests_of_runs(results, module)
    return [one for one in dict.fromkeys([*same_as(results, module, digest), *digests]) if one != digest]


def _is_done(results: Path, run: Run) -> bool:
    return exists(RunFolder(results, run.id).file("result.json"))


def _version_by(results: Path, module: str, digest: str) -> Version | None:
    """The version with this digest, of its code or of its text."""
    with_text = (version for version in versions_of(results, module) if version.text == digest)
    return next(with_text, None) or read_version(results, module, digest)


def _changed_files(suite: Suite, module: str, before: Version | None) -> str:
    """The names of the user's files that compute something else than they did in a version."""
    if (program := suite.programs.get(module)) is not None:
        files_before: Mapping[str, code.Module] = before.modules if before else {}
        names = sorted({*program.files, *files_before})
        changed = [n for n in names if _bytes(program.files.get(n)) != _bytes(files_before.get(n))]
        return ", ".join(changed) or module.partition(programs.MARK)[0]
    try:
        modules = code.own_modules(module)
        now = code.meanings(modules)
    except (OSError, SyntaxError):  # half an edit
        modules, now = {}, {}
    if before is None or not before.modules or not modules:
        return f"{module.replace('.', '/')}.py (or what it imports)"
    then = code.meanings(before.modules)
    names = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    files = [(modules.get(name) or before.modules[name]).file.name for name in names]
    return ", ".join(files) or modules[module].file.name


def _bytes(file: code.Module | None) -> bytes | None:
    return None if file is None else file.content


def _runs(count: int) -> str:
    return f"{count} run{'s' * (count != 1)}"
