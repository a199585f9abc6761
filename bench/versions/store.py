"""The store of versions of a user's code, ``results/code/<module>-<digest>.json``.

It keeps each version that was ever to be trained: the text of its modules, and which other versions somebody
says compute the same. Jobs train from these files, whatever has happened to the user's own meanwhile.
Programs (:mod:`bench.programs`) are kept alike, by their key in place of a module's name, and laid out in a
folder beside their file when they are to run.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import code, programs
from bench.disk import NoFile, parse, read, write_atomically
from bench.errors import BenchError
from bench.runs import Run
from bench.suite import Suite
from bench.versions.digests import Sources, digests_of_runs, of_modules, of_suite, sources_of


@dataclass(frozen=True)
class Version:
    """One stored version."""

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
        if read_version(results, key, program.digest) is None:
            write_version(results, Version(key, program.digest, program.files, "", (), time.time()))
    for module, digest in of_modules(suite).items():
        before = read_version(results, module, digest)
        try:
            modules, now = code.own_modules(module), code.digest(module)
        except (OSError, SyntaxError):
            modules, now = {}, ""
        if now != digest:
            if before is None:
                raise BenchError(f"module '{module}' changed while the suite was read: ask again")
            continue  # edited since: what was asked for is kept
        sources = {name: one for name, one in modules.items() if one.is_source}
        versions = versions_of(results, module)
        if not versions:
            for older in digests_of_runs(results, module):
                write_version(results, Version(module, older, {}, "", (), 0.0))
        if before is None or before.modules != sources:
            text = code.text_digest(module)
            text = "" if any(version.text == text for version in versions) else text
            text, same_as = (before.text, before.same_as) if before else (text, ())
            write_version(results, Version(module, digest, sources, text, same_as, time.time()))


@contextlib.contextmanager
def unseen(suite: Suite) -> Iterator[list[str]]:
    """While the suite's modules are imported, for the first time: notices imports that no digest covers.

    Yields a list that holds a remark on each at the end: modules whose name, or folder, is computed.
    """
    remarks: list[str] = []
    before = {*sys.modules}
    covered = {one.file.resolve() for name in of_modules(suite) for one in code.own_modules(name).values()}
    yield remarks
    new = [module for name, module in sys.modules.items() if name not in before]
    paths = {Path(file) for module in new if (file := getattr(module, "__file__", None))}
    files = {path.resolve() for path in paths if path.is_absolute() and path.is_file()}  # torch makes some up
    remarks += [
        f"{file}: imported where no digest sees it: if it changes, finished runs go on counting"
        for file in sorted(files - covered)
        if code.is_own(file)
    ]


def use(results: Path, sources: Sources) -> None:
    """From now on this process imports these versions, where they are kept.

    Raises:
        BenchError: what is kept is not the code of that digest. It is not run.
    """
    for module, digest in sources.items():
        if (version := read_version(results, module, digest)) is not None and version.modules:
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
    version = read_version(results, key, trainer["source"])
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
        compiled = {name: one for name, one in now.items() if not one.is_source}
        return code.digest_of({**compiled, **version.modules}) == version.digest
    return False


def files(results: Path, sources: Sources) -> list[Path]:
    """Where these versions are kept."""
    return [_file(results, module, digest) for module, digest in sources.items()]


def copy(suite: Suite, results: Path, into: Path) -> None:
    """Write what is kept of the versions that a suite's runs have into another results folder.

    Where files lay here is left out: what others get says nothing of this machine.
    """
    texts = [text for cell in suite.cells for text in (cell.text, *cell.former.values())]
    direct = dict.fromkeys(source for text in texts for source in sources_of(text).items())
    sources = direct.copy()
    for module, digest in [*direct, *of_suite(suite).items()]:
        sources |= dict.fromkeys((module, one) for one in (digest, *same_as(results, module, digest)))
    for module, digest in sources:
        if (version := read_version(results, module, digest)) is not None:
            modules = version.modules.items()
            program = programs.is_program(module)
            places = {name: name if program else place_of(name, one) for name, one in modules}
            moved = {name: replace(one, file=Path(places[name])) for name, one in modules}
            write_version(into, replace(version, modules=moved))


def join(theirs: Path, into: Path) -> None:
    """Add the versions that another results folder keeps. Of one that both keep, either's word holds."""
    for path in sorted((theirs / "code").glob("*-*.json")):
        module, _, digest = path.stem.rpartition("-")
        version, ours = (read_version(results, module, digest) for results in (theirs, into))
        if version is None or (ours is not None and {*version.same_as} <= {*ours.same_as}):
            continue
        same = [*dict.fromkeys([*(ours.same_as if ours else ()), *version.same_as])]
        write_version(into, replace(ours or version, same_as=same))


def damaged(results: Path) -> list[str]:
    """Files of kept versions whose code is not that of their digest, or that cannot be read."""
    names = []
    for path in sorted((results / "code").glob("*-*.json")):
        module, _, digest = path.stem.rpartition("-")
        version = read_version(results, module, digest)
        if version is None or (version.modules and not _is_whole(version)):
            names.append(path.name)
    return names


def place_of(name: str, module: code.Module) -> str:
    """Where a module lies below the folder that it is imported from."""
    parts = name.split(".")
    return "/".join([*parts, module.file.name] if module.is_package else [*parts[:-1], module.file.name])


def same_as(results: Path, module: str, digest: str) -> list[str]:
    """Other digests of what this version computes: by its user's word, either way, and of texts."""
    versions = {version.digest: version for version in versions_of(results, module)}
    links = [(version.digest, other) for version in versions.values() for other in version.same_as]
    digests = [digest]
    for one in digests:
        linked = {*(b for a, b in links if a == one), *(a for a, b in links if b == one)}
        digests += sorted(linked - {*digests})
    texts = [versions[one].text for one in digests if one in versions and versions[one].text]
    with contextlib.suppress(OSError):
        now = "" if programs.is_program(module) else code.text_digest(module)
        # A text that another version had is that one's: what it imports has changed since.
        if not any(version.text == now for version in versions.values() if version.digest not in digests):
            texts.insert(0, now)
    texts = [text for text in texts if text]
    return [*dict.fromkeys([*digests, *texts])][1:]


def _file(results: Path, module: str, digest: str) -> Path:
    return results / "code" / f"{module}-{digest}.json"


def versions_of(results: Path, module: str) -> list[Version]:
    digests = [path.stem.rpartition("-")[2] for path in (results / "code").glob(f"{module}-*.json")]
    return [one for digest in sorted(digests) if (one := read_version(results, module, digest)) is not None]


def read_version(results: Path, module: str, digest: str) -> Version | None:
    """None where it is not kept, or the file is not what was written: then it is as if it had never been."""
    try:
        content = parse(read(str(_file(results, module, digest))))
        modules = {
            name: code.Module(Path(one["file"]), one["text"].encode("utf-8", "surrogateescape"))
            for name, one in content["modules"].items()
        }
        text, same = str(content["text"]), [str(other) for other in content["same_as"]]
        return Version(module, digest, modules, text, same, float(content["kept"]))
    except (FileNotFoundError, NoFile, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_version(results: Path, version: Version) -> None:
    modules = {
        name: {"file": str(module.file), "text": module.content.decode("utf-8", "surrogateescape")}
        for name, module in version.modules.items()
    }
    same_as = [*version.same_as]
    content = {"modules": modules, "text": version.text, "same_as": same_as, "kept": version.kept}
    # In ASCII: texts that are not UTF-8 have surrogates in them.
    path = _file(results, version.module, version.digest)
    write_atomically(path, json.dumps(content, indent=1).encode() + b"\n")
