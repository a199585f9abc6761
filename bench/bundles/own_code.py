"""The user's own code in a bundle: text to be read, and compared with the digests that runs are named by.

It lies there twice: as files under ``code/``, and each version that runs were trained with in
``results/code/``, from which jobs would train again. Neither is run, or imported, by reading a bundle.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ValidationError

from bench import code, programs
from bench.disk import read, write_atomically, write_json
from bench.suite import Suite
from bench.versions import digests, store

FOLDER = "code"
INDEX = f"{FOLDER}/index.json"


class Bundled(BaseModel):
    """A module or a program, as it was when the bundle was made."""

    digest: str
    """That of the runs' descriptions."""
    files: dict[str, str]
    """Where each lies in the bundle: by the name of the module; of a program, by the path from its suite.
    Empty: it came with an installed package."""


class Index(BaseModel):
    """What ``code/index.json`` holds, by the module or the program that the suite names."""

    code: dict[str, Bundled] = {}


def write(suite: Suite, results: Path, folder: Path) -> None:
    """Write all code of a suite below the folder of a bundle.

    Args:
        results: where the versions are kept that older runs were trained with.
    """
    index = Index()
    for key, program in suite.programs.items():
        files = {name: f"{FOLDER}/{key}/{_within(name)}" for name in program.files}
        index.code[key] = Bundled(digest=program.digest, files=files)
        _write(folder, files, program.files)
    for module, digest in digests.of_modules(suite).items():
        modules = code.own_modules(module)
        files = {name: f"{FOLDER}/{store.place_of(name, path)}" for name, path in modules.items()}
        index.code[module] = Bundled(digest=digest, files=files)
        _write(folder, files, modules)
    if index.code:
        write_json(folder / INDEX, index.model_dump(mode="json"))
        store.copy(suite, results, folder / "results")


def changed(folder: Path, suite: Suite, members: Collection[str]) -> list[str]:
    """Names of modules and programs whose files in a bundle are not those of the runs' digests.

    Args:
        suite: as the bundle has it: says which digests.
        members: all files of the bundle.
    """
    try:
        index = Index.model_validate_json(read(str(folder / INDEX)))
    except FileNotFoundError:
        index = Index()
    except (OSError, ValidationError):
        return [INDEX]
    return [
        key
        for key, bundled in index.code.items()
        if not {*bundled.files.values()} <= {*members}
        or not _is_of(folder, key, bundled)
        or digests.of_modules(suite).get(key, bundled.digest) != bundled.digest
    ]


def _is_of(folder: Path, key: str, bundled: Bundled) -> bool:
    if not bundled.files:
        return True
    try:
        files = {
            name: code.Module(Path(path), read(str(folder / path))) for name, path in bundled.files.items()
        }
        digest = programs.digest_of if programs.is_program(key) else code.digest_of
        return digest(files) == bundled.digest
    except (OSError, SyntaxError):
        return False


def _within(name: str) -> str:
    """A path from the suite's folder, as one that leads nowhere else."""
    return "/".join("up" if part == ".." else part for part in PurePosixPath(name).parts if part != "/")


def _write(folder: Path, places: Mapping[str, str], files: Mapping[str, code.Module]) -> None:
    for name, place in places.items():
        write_atomically(folder / place, files[name].content)
