"""Two reports, value by value: which numbers are others, to the last bit."""

from __future__ import annotations

import csv
import io
import itertools
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from bench.disk import parse, read


class Difference(BaseModel):
    """A value that is another when it is computed again."""

    file: str
    """In the bundle."""
    where: str
    """Its path in a JSON document; of a table, line and column."""
    bundle: Any
    here: Any


def differences(file: str, bundle: Any, here: Any, where: str = "") -> Iterator[Difference]:
    """Every value of two JSON documents that is not the same to the last bit."""
    if isinstance(bundle, dict) and isinstance(here, dict):
        for key in bundle:
            yield from differences(file, bundle[key], here.get(key), f"{where}.{key}" if where else str(key))
        # What this bench says and the bundle does not is not in it: documents only grow.
    elif isinstance(bundle, list) and isinstance(here, list):
        if len(bundle) != len(here):
            yield Difference(file=file, where=f"{where}: length", bundle=len(bundle), here=len(here))
        for number, (one, other) in enumerate(zip(bundle, here, strict=False)):
            yield from differences(file, one, other, f"{where}[{number}]")
    elif not _alike(bundle, here):
        yield Difference(file=file, where=where, bundle=bundle, here=here)


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    return type(one) is type(other) and one == other


def file_differences(file: str, bundled_file: Path, rebuilt_file: Path) -> Iterator[Difference]:
    """Of one file of a report, as it was bundled and as it is made here.

    Args:
        file: what it is called in the bundle.
    """
    try:
        bundled, rebuilt = read(str(bundled_file)), read(str(rebuilt_file))
    except OSError:
        yield Difference(file=file, where="the file", bundle=None, here="is part of every report")
        return
    if bundled == rebuilt:
        return
    if file.endswith(".json"):
        try:
            yield from differences(file, parse(bundled), parse(rebuilt))
        except ValueError as error:
            yield Difference(file=file, where="the file", bundle=f"no JSON: {error}", here="JSON")
    elif file.endswith(".npz"):
        yield from _arrays(file, bundled, rebuilt)
    elif file.endswith(".csv"):
        yield from _tables(file, *(content.decode(errors="replace") for content in (bundled, rebuilt)))
    else:
        lines = (content.decode(errors="replace").splitlines() for content in (bundled, rebuilt))
        for number, (one, other) in enumerate(itertools.zip_longest(*lines), 1):
            if one != other:
                yield Difference(file=file, where=f"line {number}", bundle=one, here=other)
                return  # a line more moves all that follow


def _arrays(file: str, bundled: bytes, rebuilt: bytes) -> Iterator[Difference]:
    import numpy as np

    try:
        sizes, expected = (_sizes(content) for content in (bundled, rebuilt))
        if sizes != expected:  # and whatever that unpacks to is not looked at
            yield Difference(file=file, where="its arrays", bundle=sizes, here=expected)
            return
        theirs, ours = arrays_of(bundled), arrays_of(rebuilt)
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        yield Difference(file=file, where="the file", bundle=str(error), here="arrays")
        return
    for name, now in ours.items():
        then = theirs[name]
        if (then.dtype, then.shape) != (now.dtype, now.shape):
            forms = (f"{array.dtype} {[*array.shape]}" for array in (then, now))
            yield Difference(file=file, where=name, **dict(zip(("bundle", "here"), forms, strict=True)))
        elif then.tobytes() != now.tobytes():
            one, other = np.atleast_1d(then), np.atleast_1d(now)
            for place in np.argwhere(one != other).tolist():
                values = (array[tuple(place)].item() for array in (one, other))
                at = f"{name}{place}"
                yield Difference(file=file, where=at, **dict(zip(("bundle", "here"), values, strict=True)))


def arrays_of(content: bytes) -> dict[str, Any]:
    """Those of a file of np.savez. Raises ValueError, and as zipfile does."""
    import numpy as np

    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _sizes(content: bytes) -> dict[str, int]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {info.filename: info.file_size for info in archive.infolist()}


def _tables(file: str, bundled: str, rebuilt: str) -> Iterator[Difference]:
    theirs: list[list[str]] = [*csv.reader(io.StringIO(bundled))]
    ours: list[list[str]] = [*csv.reader(io.StringIO(rebuilt))]
    head = theirs[0] if theirs else []
    for number, (one, other) in enumerate(itertools.zip_longest(theirs, ours), 1):
        for place, (value, now) in enumerate(itertools.zip_longest(one or [], other or [])):
            if value != now:
                column = head[place] if place < len(head) else place + 1
                yield Difference(file=file, where=f"line {number}, {column}", bundle=value, here=now)
