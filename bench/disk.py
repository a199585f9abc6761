"""Files that appear whole or not at all, read without detours; and what is said where a disk refuses them."""

from __future__ import annotations

import errno
import functools
import io
import json
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError

if TYPE_CHECKING:
    import numpy as np


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
    return True


def read(path: str) -> bytes:
    """All of a file."""
    with open(path, "rb", buffering=0) as file:
        return file.readall()


def read_array(content: bytes) -> np.ndarray[Any, Any]:
    """What np.save wrote; not to be changed. np.load would parse the same header again for every run."""
    import numpy as np

    start = 10 + int.from_bytes(content[8:10], "little")
    shape, fortran, dtype = _header(content[:start])
    return np.frombuffer(content, dtype, offset=start).reshape(shape, order="F" if fortran else "C")


@functools.lru_cache(maxsize=64)
def _header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    import numpy as np

    content = io.BytesIO(header)
    np.lib.format.read_magic(content)
    return np.lib.format.read_array_header_1_0(content)


def token() -> str:
    """Twelve letters that nobody else has."""
    return uuid.uuid4().hex[:12]
