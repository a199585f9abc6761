"""Versions of a user's code: which finished runs count for the code as it is now, and what jobs train.

``results/code/<module>-<digest>.json`` keeps each version that was ever to be trained: the text of its
modules, and which other versions somebody says compute the same. Jobs train from these files, whatever has
happened to the user's own meanwhile. Programs (:mod:`bench.programs`) are kept alike, by their key in place
of a module's name, and laid out in a folder beside their file when they are to run.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import code, programs
from bench.cells import Cell
from bench.disk import NoFile, exists, parse, read, write_atomically
from bench.errors import BenchError
from bench.registry import Choice, ForeignOptions
from bench.results.folder import RunFolder
from bench.runs import Run, canonical
from bench.suite import Suite

KEEP = "--same-code"
"""The option of ``bench run`` by which its user says so."""
_MOST_VERSIONS = 10  # of a module, the latest, among which finished runs are looked for
_MOST_COMBINATIONS = 200  # of versions of several modules
Sources = Mapping[str, str]  # module → digest


@dataclass(frozen=True)
class Version:
    """What is kept of a version."""

    module: str
    digest: str
    modules: Mapping[str, code.Module]
    """All that it imports, by name: Python alone, as compiled modules are not kept. Empty for a package, and
    where runs alone tell of it. Of a program, its files."""
    text: str
    """Digest of its file's text when it was kept, if no other version had that before: of runs from before
    there were other digests."""
    same_as: Sequence[str]
    """Digests of versions that compute the same, by their user's word."""
    kept: float
    """Unix time."""


def keep(suite: Suite, results: Path) -> None:
    """Keep the versions that a suite names, for jobs to train from.

    Raises:
        BenchError: a file changed between the reading of the suite and now.
    """
    for key, program in suite.programs.items():
        if _read(results, key, program.digest) is None:
            _write(results, Version(key, program.digest, program.files, "", (), time.time()))
    for module, digest in of_modules(suite).items():
        before = _read(results, module, digest)
        try:
            modules, now = code.own_modules(module), code.digest(module)
        except (OSError, SyntaxError):
            modules, now = {}, ""
        if now != digest:
            if before is None:
                raise BenchError(f"module '{module}' changed while the suite was read: ask again")
            continue  # edited since: what was asked for is kept
        sources = {name: found for name, found in modules.items() if found.is_source}
        kept = _all(results, module)
        if not kept:
            for older in _digests_of_runs(results, module):
                _write(results, Version(module, older, {}, "", (), 0.0))
        if before is None or before.modules != sources:
            text = code.text_digest(module)
            text = "" if any(version.text == text for version in kept) else text
            text, same_as = (before.text, before.same_as) if before else (text, ())
            _write(results, Version(module, digest, sources, text, same_as, time.time()))


@contextlib.contextmanager
def unseen(suite: Suite) -> Iterator[list[str]]:
    """While the suite's modules are imported, for the first time: what they import that no digest covers.

    Yields a list that has it in words at the end: modules under names, or from folders, that are made up.
    """
    said: list[str] = []
    before = {*sys.modules}
    covered = {
        found.file.resolve() for module in of_modules(suite) for found in code.own_modules(module).values()
    }
    yield said
    new = [module for name, module in sys.modules.items() if name not in before]
    files = {Path(file) for module in new if (file := getattr(module, "__file__", None))}
    found = {file.resolve() for file in files if file.is_absolute() and file.is_file()}  # torch makes some up
    said += [
        f"{file}: imported where no digest sees it: if it changes, finished runs go on counting"
        for file in sorted(found - covered)
        if code.is_own(file)
    ]


def use(results: Path, sources: Sources) -> None:
    """From now on this process imports these versions, where they are kept.

    Raises:
        BenchError: what is kept is not the code of that digest. It is not run.
    """
    for module, digest in sources.items():
        if (version := _read(results, module, digest)) is not None and version.modules:
            if not _is_whole(version):
                raise BenchError(
                    f"{_file(results, module, digest)}: its code is not what was kept; move it away, and "
                    "`bench run` keeps what there is now"
                )
            if programs.is_program(module):
                programs.use(module, version.modules)
            else:
                sys.meta_path.insert(0, code.Snapshot(version.modules))


def kept_program(results: Path, run: Run) -> Version | None:
    """The files of the program that trains a run, as they were submitted; None where none are its user's own.

    Raises:
        BenchError: they are not kept, or not as they were.
    """
    trainer = run.trainer or {}
    if not run.is_by_command or "source" not in trainer:
        return None
    key = trainer["name"].partition(":")[0]
    version = _read(results, key, trainer["source"])
    if version is None or not _is_whole(version):
        raise BenchError(
            f"{_file(results, key, trainer['source'])}: the program is not there as it was kept; "
            "`bench run` keeps what there is now"
        )
    return version


def copy_of(results: Path, version: Version) -> Path:
    """Lay a kept program out, and return what stands there for its suite's folder."""
    folder = _file(results, version.module, version.digest).with_suffix("")
    return programs.unpack(version.modules, folder)


def _is_whole(version: Version) -> bool:
    """Whether its code has its digest, with the compiled modules of today, as none are kept."""
    if programs.is_program(version.module):
        return programs.digest_of(version.modules) == version.digest
    with contextlib.suppress(OSError, SyntaxError):
        if code.digest_of(version.modules) == version.digest:
            return True
        now = code.own_modules(version.module)
        compiled = {name: found for name, found in now.items() if not found.is_source}
        return code.digest_of({**compiled, **version.modules}) == version.digest
    return False


def files(results: Path, sources: Sources) -> list[Path]:
    """Where these versions are kept."""
    return [_file(results, module, digest) for module, digest in sources.items()]


def copy(suite: Suite, results: Path, into: Path) -> None:
    """Write what is kept of the versions that a suite's runs have into another results folder.

    Where files lay here is left out: what others get says nothing of this machine.
    """
    wanted: dict[tuple[str, str], None] = {}
    for cell in suite.cells:
        for text in (cell.text, *cell.former.values()):
            for module, digest in _sources_of(text).items():
                wanted[module, digest] = None
    for module, digest in [*wanted, *of_suite(suite).items()]:
        for one in (digest, *same_as(results, module, digest)):
            wanted[module, one] = None
    for module, digest in wanted:
        if (version := _read(results, module, digest)) is not None:
            modules = version.modules.items()
            program = programs.is_program(module)
            places = {name: name if program else place_of(name, found) for name, found in modules}
            moved = {name: replace(found, file=Path(places[name])) for name, found in modules}
            _write(into, replace(version, modules=moved))


def join(theirs: Path, into: Path) -> None:
    """Add the versions that another results folder keeps. Of one that both keep, either's word holds."""
    for path in sorted((theirs / "code").glob("*-*.json")):
        module, _, digest = path.stem.rpartition("-")
        version, ours = (_read(results, module, digest) for results in (theirs, into))
        if version is None or (ours is not None and {*version.same_as} <= {*ours.same_as}):
            continue
        same = [*dict.fromkeys([*(ours.same_as if ours else ()), *version.same_as])]
        _write(into, replace(ours or version, same_as=same))


def damaged(results: Path) -> list[str]:
    """Files of kept versions whose code is not that of their digest, or that cannot be read."""
    found = []
    for path in sorted((results / "code").glob("*-*.json")):
        module, _, digest = path.stem.rpartition("-")
        version = _read(results, module, digest)
        if version is None or (version.modules and not _is_whole(version)):
            found.append(path.name)
    return found


def place_of(name: str, module: code.Module) -> str:
    """Where a module lies below the folder that it is imported from."""
    parts = name.split(".")
    return "/".join([*parts, module.file.name] if module.is_package else [*parts[:-1], module.file.name])


def of_runs(runs: Iterable[Run]) -> Sources:
    """The versions that runs are to be trained with, which were asked for together."""
    texts = dict.fromkeys(run.text for run in runs)
    return {module: digest for text in texts for module, digest in _sources_of(text).items()}


# ----------------------------------------------------------------------------------- which runs count


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
        files = _changed_files(suite, module, _told(results, module, digest))
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
    said = []
    for (module, digest), count in _left_behind(suite, results).items():
        now = _read(results, module, of_suite(suite)[module])
        assert now is not None
        files = _changed_files(suite, module, _told(results, module, digest))
        said.append(
            f"{files}: computes the same, by your word; {_runs(count)} that had finished go on counting"
        )
        _write(results, replace(now, same_as=[*now.same_as, digest]))
    return said or [f"{KEEP}: no finished run of this suite waits because code changed"]


def same_as(results: Path, module: str, digest: str) -> list[str]:
    """Other digests of what this version computes: by its user's word, either way, and of texts."""
    kept = {version.digest: version for version in _all(results, module)}
    links = [(version.digest, other) for version in kept.values() for other in version.same_as]
    found = [digest]
    for one in found:
        linked = {*(b for a, b in links if a == one), *(a for a, b in links if b == one)}
        found += sorted(linked - {*found})
    texts = [kept[one].text for one in found if one in kept and kept[one].text]
    with contextlib.suppress(OSError):
        now = "" if programs.is_program(module) else code.text_digest(module)
        # A text that another version had is that one's: what it imports has changed since.
        if not any(version.text == now for version in kept.values() if version.digest not in found):
            texts.insert(0, now)
    texts = [text for text in texts if text]
    return [*dict.fromkeys([*found, *texts])][1:]


def _other_texts(text: str, others: Mapping[str, Sequence[str]]) -> list[str]:
    """The descriptions of a cell under other digests."""
    sources = _sources_of(text)
    most = round(_MOST_COMBINATIONS ** (1 / len(sources))) if sources else 0
    choices = [[digest, *others.get(module, ())][:most] for module, digest in sources.items()]
    return [
        _under(text, dict(zip(sources, combination, strict=True)))
        for combination in itertools.product(*choices)
    ][1:]


def _former(cell: Cell, same: Mapping[str, Sequence[str]], results: Path) -> dict[int, str]:
    former = {}
    others = functools.cache(lambda text: _other_texts(text, same))
    for seed in cell.seeds if others(cell.text) else ():
        now = cell.text_of(seed)
        if not _is_done(results, Run(now, seed)):
            done = (text for text in others(now) if _is_done(results, Run(text, seed)))
            if (text := next(done, None)) is not None:
                former[seed] = text
    return former


def _left_behind(suite: Suite, results: Path) -> Counter[tuple[str, str]]:
    """How many finished runs wait again, by module and the digest of the version that they had."""
    sources = of_suite(suite)
    waiting = [
        (cell, [run.seed for run in cell.runs if not _is_done(results, run)])
        for cell in suite.every_cell
        if _sources_of(cell.text)
    ]
    needed = {module for cell, seeds in waiting if seeds for module in _sources_of(cell.text)}
    others = {module: _others(results, module, sources[module]) for module in sources if module in needed}
    found: Counter[tuple[str, str]] = Counter()
    for cell, seeds in waiting:
        own = _sources_of(cell.text)
        texts = functools.cache(lambda text: dict.fromkeys(_other_texts(text, others)))
        for seed in seeds:
            known = texts(cell.text_of(seed))
            then = next((text for text in known if _is_done(results, Run(text, seed))), None)
            for module, digest in _sources_of(then).items() if then else ():
                found[module, digest] += digest != own[module]
    return +found


def _others(results: Path, module: str, digest: str) -> list[str]:
    """Digests of other versions of a module that runs may have been trained with, the latest first."""
    kept = sorted(_all(results, module), key=lambda version: -version.kept)[:_MOST_VERSIONS]
    known = [one for version in kept for one in (version.digest, *version.same_as, version.text) if one]
    known = known or _digests_of_runs(results, module)
    return [one for one in dict.fromkeys([*same_as(results, module, digest), *known]) if one != digest]


def _digests_of_runs(results: Path, module: str) -> list[str]:
    """Of runs from before versions were kept: each folder is looked at."""
    found: dict[str, None] = {}
    with contextlib.suppress(FileNotFoundError):
        for folder in sorted((results / "runs").iterdir()):
            described = RunFolder(results, folder.name).info()
            if (digest := _sources_in(described).get(module)) is not None:
                found[digest] = None
    return [*found]


def _is_done(results: Path, run: Run) -> bool:
    return exists(RunFolder(results, run.id).file("result.json"))


def _told(results: Path, module: str, digest: str) -> Version | None:
    """The version that a digest tells, also that of its text."""
    with_text = (version for version in _all(results, module) if version.text == digest)
    return next(with_text, None) or _read(results, module, digest)


def _changed_files(suite: Suite, module: str, before: Version | None) -> str:
    """Of the user's own, those that do something else than they did in a version; by their names."""
    if (program := suite.programs.get(module)) is not None:
        then_there: Mapping[str, code.Module] = before.modules if before else {}
        names = sorted({*program.files, *then_there})
        other = [n for n in names if _bytes(program.files.get(n)) != _bytes(then_there.get(n))]
        return ", ".join(other) or module.partition(programs.MARK)[0]
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


# ---------------------------------------------------------------------------- digests in descriptions


def of_suite(suite: Suite) -> dict[str, str]:
    """The digest of each module and program that a suite names, but for those of ``bench`` itself."""
    return of_modules(suite) | {key: program.digest for key, program in suite.programs.items()}


def of_modules(suite: Suite) -> dict[str, str]:
    """The same of modules alone."""
    entries = [entry for axis in (suite.datasets, suite.models, suite.losses) for entry in axis]
    choices: list[Choice] = [
        *(choice for entry in entries for choice in (entry.choice, entry.named) if choice is not None),
        *(trainer for trainer in suite.trainers if isinstance(trainer, Choice)),
        *(metric.choice for metric in suite.metrics),
    ]
    return {
        module: choice.options.source
        for choice in choices
        if isinstance(choice.options, ForeignOptions)
        if not (module := choice.name.partition(":")[0]).startswith("bench.")
    }


def _sources_of(text: str) -> dict[str, str]:
    return _sources_in(json.loads(text)) if '"source":' in text else {}


def _sources_in(description: Mapping[str, Any]) -> dict[str, str]:
    return {part["name"].partition(":")[0]: part["source"] for part in _foreign(description)}


def _foreign(description: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for part in description.values():
        if not isinstance(part, dict):
            continue
        name, source = part.get("name"), part.get("source")
        if isinstance(name, str) and ":" in name and isinstance(source, str):
            yield part


def _under(text: str, sources: Sources) -> str:
    """A description with other digests."""
    description = json.loads(text)
    for part in _foreign(description):
        part["source"] = sources[part["name"].partition(":")[0]]
    return canonical(description)


# --------------------------------------------------------------------------------------------- files


def _file(results: Path, module: str, digest: str) -> Path:
    return results / "code" / f"{module}-{digest}.json"


def _all(results: Path, module: str) -> list[Version]:
    digests = [path.stem.rpartition("-")[2] for path in (results / "code").glob(f"{module}-*.json")]
    return [version for digest in sorted(digests) if (version := _read(results, module, digest)) is not None]


def _read(results: Path, module: str, digest: str) -> Version | None:
    """None where it is not kept, or the file is not what was written: then it is as if it had never been."""
    try:
        content = parse(read(str(_file(results, module, digest))))
        modules = {
            name: code.Module(Path(kept["file"]), kept["text"].encode("utf-8", "surrogateescape"))
            for name, kept in content["modules"].items()
        }
        text, same = str(content["text"]), [str(other) for other in content["same_as"]]
        return Version(module, digest, modules, text, same, float(content["kept"]))
    except (FileNotFoundError, NoFile, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write(results: Path, version: Version) -> None:
    modules = {
        name: {"file": str(module.file), "text": module.content.decode("utf-8", "surrogateescape")}
        for name, module in version.modules.items()
    }
    content = {
        "modules": modules,
        "text": version.text,
        "same_as": [*version.same_as],
        "kept": version.kept,
    }
    # In ASCII: texts that are not UTF-8 have surrogates in them.
    write_atomically(
        _file(results, version.module, version.digest), json.dumps(content, indent=1).encode() + b"\n"
    )
