"""The file itself: a zip whose every file is known by its size and SHA-256, written whole or not at all.

The same content gives the same bytes, with the same zlib. What others made of it is not believed: names that
lead outside, links, what is there twice, what unpacks to more than it says, and whatever differs from its
digest are refused before anything is read from it.
"""

from __future__ import annotations

import copy
import hashlib
import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench import __version__
from bench.disk import opened, parse, token
from bench.errors import BenchError
from bench.progress import watched
from bench.registry import explain

FORMAT = 1
"""Raised when what older versions of bench make of a bundle would be wrong."""
MANIFEST = "bundle.json"
_LARGEST_MANIFEST = 2**28
_LARGEST_EXPANSION = 1032
"""Bytes that deflate can make of one: https://zlib.net/zlib_tech.html."""
_TIME = (1980, 1, 1, 0, 0, 0)
_PIECE = 2**20
_TROUBLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(EOFError, NotImplementedError, OSError, OverflowError, RuntimeError, ValueError),
)
"""What the standard library raises over a file that is no zip, or is damaged."""
_STORED = (".safetensors", ".png")
"""What does not get smaller."""


class Listed(BaseModel):
    """A file of a bundle."""

    size: Annotated[int, Field(ge=0, lt=2**53)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """What ``bundle.json`` holds."""

    model_config = ConfigDict(allow_inf_nan=False)

    format: int
    bench: str
    """The version that made it."""
    suite: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    question: str
    runs: Annotated[int, Field(ge=0)]
    """That have finished or failed."""
    weights: bool
    """Whether the weights that runs kept are in it."""
    files: dict[str, Listed]
    """Of all files but this one."""


def is_bundle(path: Path) -> bool:
    """Whether somebody means a bundle, whole or not: by its name, or by how it begins."""
    if path.suffix == ".zip":
        return True
    try:
        with open(path, "rb", opener=opened) as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False


def write(path: Path, files: Mapping[str, Path], **fields: Any) -> Manifest:
    """Write a bundle.

    Args:
        path: where nothing is yet.
        files: by their names in the bundle.
        fields: other fields of the manifest.

    Raises:
        BenchError: there is something already, or it cannot be written: nothing is left behind.
    """
    check_free(path)
    temporary = path.with_name(f".{path.name}.{token()}")
    try:
        with temporary.open("xb") as raw:
            with zipfile.ZipFile(raw, "w") as archive:
                listed = {
                    name: _add(archive, name, files[name]) for name in watched(sorted(files), "writing files")
                }
                manifest = Manifest(format=FORMAT, bench=__version__, files=listed, **fields)
                content = manifest.model_dump_json(indent=1).encode() + b"\n"
                archive.writestr(_info(MANIFEST), content, zipfile.ZIP_DEFLATED)
            raw.flush()
            os.fsync(raw.fileno())
        put_in_place(temporary, path)
    except OSError as error:
        raise BenchError(
            f"{error.filename or path}: {error.strerror or error}; nothing was written"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return manifest


def check_free(path: Path) -> None:
    """Raise BenchError where there is something already, or no folder to write into."""
    if os.path.lexists(path):
        raise BenchError(f"{path}: it exists, and nothing is overwritten: give another name with --output")
    if not path.parent.is_dir():
        raise BenchError(f"{path}: there is no folder {path.parent}")


def put_in_place(temporary: Path, path: Path) -> None:
    """Give a finished file its name, unless somebody was faster. Raises OSError."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without such links
        check_free(path)
        os.rename(temporary, path)


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _TIME)
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    info.create_system = 3
    info.compress_type = zipfile.ZIP_STORED if name.endswith(_STORED) else zipfile.ZIP_DEFLATED
    return info


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> Listed:
    digest, size = hashlib.sha256(), 0
    with open(path, "rb", opener=opened) as source:
        whole = os.fstat(source.fileno()).st_size
        info = _info(name)
        info.file_size = whole  # from which it follows whether a large zip is needed
        with archive.open(info, "w") as target:
            while piece := source.read(_PIECE):
                digest.update(piece)
                size += len(piece)
                target.write(piece)
    return Listed(size=size, sha256=digest.hexdigest())


class Archive:
    """A bundle that was opened, and whose list of files holds. See :func:`open_archive`."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path = path
        self._zip = archive
        self._infos = {info.orig_filename: info for info in _checked(path, archive)}
        self.manifest = self._manifest()
        self._agrees()

    def _manifest(self) -> Manifest:
        info = self._infos.get(MANIFEST)
        if info is None:
            raise BenchError(f"{self.path}: it has no {MANIFEST}, so it is no bundle of bench")
        if info.file_size > _LARGEST_MANIFEST:
            raise BenchError(f"{self.path}: {MANIFEST}: it is too large to be one")
        try:
            content = parse(b"".join(self._pieces(info, info.file_size)))
        except ValueError as error:
            raise BenchError(f"{self.path}: {MANIFEST}: not valid JSON: {error}") from None
        version = content.get("format") if isinstance(content, dict) else None
        if isinstance(version, int) and not isinstance(version, bool) and version > FORMAT:
            raise BenchError(
                f"{self.path}: {MANIFEST}: format: found {version}, which a newer bench has written "
                f"({str(content.get('bench'))[:40]}; this is {__version__}, and reads format {FORMAT}): "
                "update bench"
            )
        try:
            manifest = Manifest.model_validate(content, strict=True)
        except ValidationError as error:
            raise BenchError(f"{self.path}: {MANIFEST}: {explain(error)[0]}") from None
        if manifest.format != FORMAT:
            raise BenchError(f"{self.path}: {MANIFEST}: format: found {manifest.format}, expected {FORMAT}")
        return manifest

    def _agrees(self) -> None:
        listed, members = {*self.manifest.files}, {*self._infos} - {MANIFEST}
        for names, verb in ((listed - members, "lacks"), (members - listed, "holds, and does not list,")):
            if names:
                more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
                raise BenchError(f"{self.path}: it {verb} {min(names)}{more}: it is not what was bundled")
        for name, file in self.manifest.files.items():
            if self._infos[name].file_size != file.size:
                raise BenchError(
                    f"{self.path}: {name}: it is said to hold {self._infos[name].file_size:,} bytes, and "
                    f"{MANIFEST} lists {file.size:,}: it is not what was bundled"
                )

    def unpack(self, folder: Path, select: Callable[[str], bool] = lambda name: True) -> None:
        """Write its files below a folder, each if it is what its digest says.

        Args:
            select: which are written; the others are compared with their digests all the same.

        Raises:
            BenchError: one is not, or there is no space for them.
        """
        size = sum(file.size for name, file in self.manifest.files.items() if select(name))
        free = shutil.disk_usage(folder).free
        if size > free:
            raise BenchError(
                f"{self.path}: it unpacks to {size:,} bytes, and {folder} has {free:,} left; TMPDIR says "
                "where it is unpacked"
            )
        created: set[Path] = set()
        for name, file in watched(self.manifest.files.items(), "unpacking"):
            digest = hashlib.sha256()
            pieces = self._pieces(self._infos[name], file.size)
            if select(name):
                path = folder / name
                if path.parent not in created:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    created.add(path.parent)
                with path.open("xb") as target:
                    for piece in pieces:
                        digest.update(piece)
                        target.write(piece)
            else:
                for piece in pieces:
                    digest.update(piece)
            if digest.hexdigest() != file.sha256:
                raise BenchError(f"{self.path}: {name}: its content is not what was bundled")

    def _pieces(self, info: zipfile.ZipInfo, size: int) -> Iterator[bytes]:
        """The content of a file, as long as it is no more than it says."""
        more = copy.copy(info)
        more.file_size = size + 2 * _PIECE  # else zipfile would cut it off there, and never tell
        read = 0
        try:
            with self._zip.open(more) as source:
                while piece := source.read(min(_PIECE, size + 1 - read)):
                    read += len(piece)
                    if read > size:
                        raise BenchError(
                            f"{self.path}: {info.filename}: it unpacks to more than the {size:,} bytes that "
                            "it says"
                        )
                    yield piece
        except _TROUBLE as error:
            raise BenchError(f"{self.path}: {info.filename}: it is damaged: {error}") from None
        if read < size:
            raise BenchError(f"{self.path}: {info.filename}: it ends after {read:,} of {size:,} bytes")


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """A bundle to be read.

    Raises:
        BenchError: it is none, is damaged, or holds what no bundle does.
    """
    with ExitStack() as stack:
        try:
            raw = stack.enter_context(open(path, "rb", opener=opened))
        except FileNotFoundError:
            raise BenchError(f"{path}: there is no such file") from None
        except OSError as error:
            raise BenchError(f"{path}: cannot be read as a bundle: {error.strerror}") from None
        yield Archive(path, stack.enter_context(_zip(path, raw)))


def _zip(path: Path, raw: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(raw)
    except _TROUBLE as error:
        raise BenchError(
            f"{path}: it is no zip, or half of one ({str(error)[:80]}): copy or download it again"
        ) from None


def _checked(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Its files, if their names lead nowhere else, each is there once, and none is more than it can be."""
    files: dict[str, zipfile.ZipInfo] = {}
    packed = 0
    for info in archive.infolist():
        name = info.orig_filename
        if reason := _refused(info):
            raise BenchError(f"{path}: {name[:200]!r}: {reason}; no bundle holds such a thing")
        if name in files:
            raise BenchError(f"{path}: {name}: it is there twice: which one counts cannot be said")
        packed += info.compress_size
        if name.endswith("/"):
            continue  # what other programs write of a folder
        files[name] = info
    if packed > path.stat().st_size:
        raise BenchError(f"{path}: its files overlap: it is made to unpack to more than it holds")
    for name in files:
        above = name.rpartition("/")[0]
        while above:
            if above in files:
                raise BenchError(f"{path}: {above}: it is a file and a folder at once")
            above = above.rpartition("/")[0]
    return [*files.values()]


def _refused(info: zipfile.ZipInfo) -> str:
    """Why a bundle does not hold such a thing; else nothing."""
    name, mode = info.orig_filename, info.external_attr >> 16
    parts = name.removesuffix("/").split("/")
    if "\\" in name or name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in parts:
        return "its name leads outside"
    if not name.isprintable() or "" in parts or "." in parts or len(name) > 1000:
        return "it is no name for a file"
    if stat.S_ISLNK(mode):
        return "it is a link"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "it is no file"
    if info.flag_bits & 0x1:
        return "it is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "it is compressed in another way than a bundle is"
    if name.endswith("/") and info.file_size:
        return "it is a folder with content"
    if info.file_size > info.compress_size * _LARGEST_EXPANSION + 64:
        return f"it says that {info.compress_size:,} bytes unpack to {info.file_size:,}, which cannot be"
    return ""
