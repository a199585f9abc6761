"""Files that appear whole or not at all, read without detours; and what is said where a disk refuses them."""

from __future__ import annotations

import errno
import functools
import hashlib
import io
import json
import math
import os
import pwd
import re
import stat
import struct
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError

if TYPE_CHECKING:
    import numpy as np


class Damaged(Exception):
    """A file of a run folder that is not what was written. Such a run does not count."""


class NoFile(OSError):
    """Where a file should be there is a folder, a pipe, a device, or a link that leads to itself."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old or the new one, whole, and never leave a half behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{token()}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporaries(folder: Path) -> list[Path]:
    """Files that :func:`write_atomically` has not moved into place (yet)."""
    return [path for path in folder.glob(".*.*") if re.fullmatch(r"\..+\.[0-9a-f]{12}", path.name)]


def write_json(path: Path, value: Any) -> None:
    """Write plain data as indented JSON, atomically. NaN is refused: JSON has none."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    # Names of files that are not UTF-8 come with lone surrogates, which JSON does not have.
    write_atomically(path, text.encode(errors="replace") + b"\n")


def check_writable(results: Path) -> None:
    """Raise BenchError where run folders cannot be written: no permission, read-only, or a full disk."""
    probe = results / "runs" / f".probe-{token()}"
    try:
        write_atomically(probe, b"x" * 4096)
        probe.unlink()
    except OSError as error:
        raise BenchError(explain_os_error(results, error)) from None


def is_storage_trouble(results: Path, error: OSError) -> bool:
    """Whether an error is about the results folder's file system, and not about a run's own code."""
    full_or_gone = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE)
    return error.errno in full_or_gone or str(error.filename or "").startswith(str(results))


def explain_os_error(results: Path, error: OSError) -> str:
    """One message for what a file system refused."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{results}: no space left ({error.strerror}). Finished runs are safe; free some space, "
            "or choose another folder with --results or BENCH_RESULTS, and run the same command again"
        )
    return (
        f"{results}: cannot be written ({error.strerror or error}: {error.filename}); "
        "choose another folder with --results or BENCH_RESULTS"
    )


def exists(path: str) -> bool:
    """Whether there is such a file.

    Raises:
        OSError: that cannot be told. (os.path.exists takes a file server in trouble for a no.)
    """
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False
        raise
    return True


def read(path: str) -> bytes:
    """All of a file. Raises NoFile (and as open does)."""
    with open(path, "rb", buffering=0, opener=opened) as file:
        return file.readall()


def opened(path: str, flags: int) -> int:
    """A file that is one. Who reads what others put there must not wait for a pipe, or read a device."""
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            raise NoFile(error.errno, error.strerror, path) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NoFile(errno.EINVAL, "it is no file", path)
    return descriptor


def parse(content: bytes) -> Any:
    """Plain data from JSON that anybody may have written.

    Raises:
        ValueError: it is none, or goes deeper than anything that is written here.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it goes too deep") from None


def strangers(places: Iterable[Path]) -> list[str]:
    """Of files and folders from which code is about to run, those that are not ours alone to write, in words.

    Root is no stranger, and neither is the group: who shares a folder with one has chosen so.
    """
    problems = []
    for place in dict.fromkeys(places):
        try:
            status = os.stat(place)
        except OSError:
            continue  # nothing runs from there
        if status.st_uid not in (os.getuid(), 0):
            problems.append(f"{place} belongs to {_user(status.st_uid)}: code from there runs in your name")
        elif status.st_mode & stat.S_IWOTH:
            problems.append(f"{place} can be written by everybody here: code from there runs in your name")
    return problems


def _user(number: int) -> str:
    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"


def read_part(path: str, start: int, size: int) -> bytes:
    """So many bytes of a file from ``start`` on, or as many as there are."""
    descriptor = opened(path, os.O_RDONLY)
    try:
        content = os.pread(descriptor, size, start)
        # One call need not give all that there is, and gives no more than 2 GiB.
        while (at := len(content)) < size and (more := os.pread(descriptor, size - at, start + at)):
            content += more
    finally:
        os.close(descriptor)
    return content


def read_checked(path: str, digest: str, start: int = 0, end: int | None = None) -> bytes:
    """A file, or a part of it, whose SHA-256 is ``digest``. Raises Damaged where it is not, or is missing."""
    try:
        content = read(path) if end is None else read_part(path, start, end - start)
    except FileNotFoundError:
        raise Damaged(f"{path}: it is missing") from None
    except NoFile as error:
        raise Damaged(f"{path}: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise Damaged(f"{path}: its content is not what the run wrote")
    return content


def array_bytes(array: np.ndarray[Any, Any]) -> bytes:
    """What np.save writes."""
    import numpy as np

    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    return content.getvalue()


def read_array(content: bytes, start: int = 0, end: int | None = None) -> np.ndarray[Any, Any]:
    """What np.save wrote, between two places; not to be changed.

    np.load would parse the same header again for every run.

    Raises:
        ValueError: it is something else.
    """
    import numpy as np

    try:
        first = start + 10 + content[start + 8] + (content[start + 9] << 8)
    except IndexError:
        raise ValueError("it ends too early") from None
    shape, fortran, dtype, count = _header(content[start:first])
    if (len(content) if end is None else end) - first != count * dtype.itemsize:
        raise ValueError(f"its size is not that of {dtype} {list(shape)}")
    array = np.frombuffer(content, dtype, count, first)
    return array if len(shape) == 1 else array.reshape(shape, order="F" if fortran else "C")


_FILE = b"PK\x03\x04"
_ENTRY = struct.Struct("<8xH8xIIHH")
"""How a file in a zip begins (APPNOTE 4.3.7): the method, its size as it is stored and as it is, and the
lengths of its name and of what else is said of it. The CRC-32 is of no use where there is a digest."""
_LARGE, _LARGE_ENTRY = 2**32 - 1, struct.Struct("<HHQQ")
"""A size that stands elsewhere, and where: in what else is said of the file (APPNOTE 4.5.3)."""


def read_members(content: bytes) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays that np.savez wrote, or those in a part of its file that begins and ends between two.

    The zipfile of the standard library takes longer over the directory of such a file than all else that is
    done with a run takes; but what is stored as it is, one after another, can be read without it.

    Raises:
        ValueError: this is nothing that np.savez wrote.
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    at = 0
    while content.startswith(_FILE, at):
        try:
            method, stored, size, name, more = _ENTRY.unpack_from(content, at)
            start = at + _ENTRY.size + name + more
            if size == _LARGE:  # or one that was not known in advance
                _, _, size, stored = _LARGE_ENTRY.unpack_from(content, start - more)
        except struct.error:
            raise ValueError("it ends too early") from None
        if method or stored != size or start + size > len(content):
            raise ValueError("it is compressed, or ends too early")
        array = read_array(content, start, start + size)
        if array.itemsize > 1:  # which begins anywhere, and not all libraries take such arrays
            array = array.copy()
            array.flags.writeable = False
        named = content[at + _ENTRY.size : start - more]
        arrays[named.decode("ascii", "replace").removesuffix(".npy")] = array
        at = start + size
    return arrays


@functools.lru_cache(maxsize=64)
def _header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    import numpy as np

    content = io.BytesIO(header)
    np.lib.format.read_magic(content)
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(content)
    return shape, fortran, dtype, math.prod(shape)


def token() -> str:
    """Twelve letters that nobody else has."""
    return uuid.uuid4().hex[:12]
