"""A program of the user's own: which files a command names, a digest of them, and a copy to run.

A file counts that lies in the suite's folder, or that is named by a path from there, and that is a word of
the command, or behind the ``=`` of one, or that the suite lists as ``code``; of a folder that it lists, every
file in it. They are digested by their bytes. What they read or import beside themselves and nobody names is
not there when they run: their copy lies in a folder of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.code import Module
from bench.errors import BenchError, nearest

MARK = "~"
"""Parts the two halves of a program's key: no module has it in its name."""
MOST_BYTES = 64 * 2**20
"""Of all files of a program: what is larger is data."""
_LEFT_OUT = ("__pycache__", "node_modules")
_ENVIRONMENT = ("pyvenv.cfg", "conda-meta")
"""What lies at the top of an environment of Python: its programs are nobody's own."""


@dataclass(frozen=True)
class Program:
    """The files of a program, as they were when they were looked at."""

    key: str
    """Of all its versions: the name of its first file, and a digest of all names that were given."""
    files: Mapping[str, Module]
    """By their path from the suite's folder."""

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the names and bytes of its files."""
        return digest_of(self.files)


def digest_of(files: Mapping[str, Module]) -> str:
    """The same of files that were found, or kept."""
    lines = [f"{name}\0{hashlib.sha256(file.content).hexdigest()}\n" for name, file in sorted(files.items())]
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()[:16]


def is_program(key: str) -> bool:
    """Whether a key is that of a program, and no module's name."""
    return MARK in key


_submitted: dict[str, Mapping[str, Module]] = {}


def use(key: str, files: Mapping[str, Module]) -> None:
    """From now on this process takes a program's files for these, whatever has become of them."""
    _submitted[key] = files


def find(command: Sequence[str], code: Sequence[str], folder: Path) -> Program | None:
    """The program that a command runs; None where it names no file of the user's own.

    Args:
        command: its words.
        code: what else belongs to it: files and folders.
        folder: of the suite.

    Raises:
        BenchError: something that ``code`` names is not there; all of it is too large to be code.
    """
    named = {name: path for word in command if (pair := _named_by(word, folder)) for name, path in [pair]}
    for entry in code:
        named |= _listed(entry, folder)
    if not named:
        return None
    first = re.sub(r"[^\w.-]", "-", PurePosixPath(next(iter(named))).name)
    words = sorted({name for word in command if (pair := _named_by(word, folder)) for name in pair[:1]})
    digest = hashlib.sha256(json.dumps([words, sorted(code)]).encode()).hexdigest()[:6]
    key = f"{first}{MARK}{digest}"
    if key in _submitted:
        return Program(key, _submitted[key])
    size = sum(path.stat().st_size for path in named.values())
    if size > MOST_BYTES:
        largest = max(named, key=lambda name: named[name].stat().st_size)
        raise BenchError(
            f"the files that it names hold {size >> 20} MB ({largest} most), and at most {MOST_BYTES >> 20} "
            "MB are kept as code: name data by a folder, or by a path outside the suite's folder"
        )
    try:
        return Program(key, {name: Module(path, path.read_bytes()) for name, path in named.items()})
    except OSError as error:
        raise BenchError(f"{error.filename}: cannot be read: {error.strerror}") from None


def _named_by(word: str, folder: Path) -> tuple[str, Path] | None:
    """The file that a word of a command names."""
    for text in (word, word.partition("=")[2]):
        if text and "\0" not in text and len(text) < 4096:
            path = folder / text
            if path.is_file() and (name := _name(path, text, folder)) is not None:
                return name, path
    return None


def _name(path: Path, text: str, folder: Path) -> str | None:
    """What a file beside the suite is called from there; None of what is elsewhere, or a Python's own."""
    place = Path(os.path.normpath(path))
    inside = place.is_relative_to(folder)
    if not inside and os.path.isabs(text):
        return None
    if inside and not path.resolve().is_relative_to(folder.resolve()):
        return None  # a link out of it, as to the Python of an environment
    for above in place.parents:
        if any((above / mark).exists() for mark in _ENVIRONMENT):
            return None
        if above == folder:
            break
    return PurePosixPath(os.path.relpath(place, folder)).as_posix()


def _listed(entry: str, folder: Path) -> dict[str, Path]:
    path = folder / entry
    if path.is_dir() and folder.resolve().is_relative_to(path.resolve()):
        raise BenchError(
            f"code: '{entry}' holds the suite itself, and whatever comes to lie beside it: results would be "
            "code, and change it; name the files and folders that the program is made of: [train.py, src]"
        )
    if path.is_dir():
        files = {os.path.relpath(file, folder): file for file in _files(path)}
        if not files:
            raise BenchError(f"code: '{entry}' is a folder without files")
        return files
    if not path.is_file():
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise BenchError(f"code: there is no '{entry}' in {folder}{nearest(path.name, beside)}")
    return {os.path.relpath(os.path.normpath(path), folder): path}


def _files(folder: Path) -> Iterator[Path]:
    """All files of a folder, but for what is hidden, compiled or installed."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _LEFT_OUT)
        yield from (
            Path(place, name) for name in sorted(files) if not name.startswith(".") and name[-4:] != ".pyc"
        )


# ----------------------------------------------------------------------------------------------- a copy of it


def unpack(files: Mapping[str, Module], folder: Path) -> Path:
    """Lay a program's files out below ``folder``; returns what stands there for its suite's folder.

    Raises:
        OSError: they cannot be written.
    """
    base = _base(files, folder)
    for name, file in files.items():
        path = Path(os.path.normpath(base / name))
        if path.is_file() and path.read_bytes() == file.content:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_bytes(file.content)
        temporary.chmod(0o755)  # any of them may be a program
        os.replace(temporary, path)
    return base


def _base(files: Mapping[str, Module], folder: Path) -> Path:
    """What stands for the suite's folder: as deep as names lead up from there."""
    depth = max((PurePosixPath(name).parts.count("..") for name in files), default=0)
    return folder.joinpath(*["up"] * depth)


def from_copy(words: Sequence[str], files: Mapping[str, Module], base: Path, folder: Path) -> list[str]:
    """A command with its own files named as they lie in their copy.

    Args:
        words: filled in.
        base: what :func:`unpack` returned.
        folder: of the suite.
    """
    paths = []
    for word in words:
        text = word
        for given in (word, word.partition("=")[2]):
            name = os.path.relpath(os.path.normpath(folder / given), folder) if given else ""
            if name in files:
                text = word[: len(word) - len(given)] + os.path.normpath(base / name)
                break
        paths.append(text)
    return paths


def changed(files: Mapping[str, Module], folder: Path) -> list[str]:
    """Names of files that are not, in the suite's folder, what they are here."""

    def same(name: str, file: Module) -> bool:
        try:
            return (folder / name).read_bytes() == file.content
        except OSError:
            return False

    return [name for name, file in files.items() if not same(name, file)]
