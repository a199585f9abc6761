"""A table to start from: what ``bench compare`` reads without being told anything."""

from __future__ import annotations

from pathlib import Path

from bench.errors import BenchError

EXAMPLE = """\
method,seed,accuracy
ce,0,95.71
ce,1,95.79
ce,2,95.66
ce,3,95.83
ce,4,95.70
ce,5,95.75
theirs,0,95.86
theirs,1,95.84
theirs,2,95.90
theirs,3,95.88
theirs,4,failed
theirs,5,95.81
"""
"""Made up."""


def write_example(path: str) -> None:
    """Into a file that is not there yet, or to standard output.

    Raises:
        BenchError: the file is there, or cannot be written.
    """
    if not path or path == "-":
        return print(EXAMPLE, end="")
    try:
        with Path(path).open("x", encoding="utf-8") as file:
            file.write(EXAMPLE)
    except FileExistsError:
        raise BenchError(f"{path}: is there already, and is not written over") from None
    except OSError as error:
        raise BenchError(f"{path}: cannot be written: {error.strerror}") from None
