"""Making the files of :mod:`bench.datasets.cache`: every image is read and decoded once, by all cores."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from bench.datasets.cache import LOCK, MADE, Made, made, unwritable
from bench.datasets.forms import top_of
from bench.datasets.on_disk import OnDisk
from bench.datasets.part_files import HASH_BYTES, DecodedPart, PartWriter
from bench.datasets.pictures import cores
from bench.datasets.sources import Source
from bench.disk import write_json
from bench.errors import BenchError


def make(folder: Path, options: OnDisk, find: Callable[[], Source], say: Callable[[str], None]) -> Made:
    """Decode a data set into a folder, or wait for another process that does.

    Args:
        find: lists it; asked twice, as its files may change meanwhile.
        say: gets what takes long.

    Raises:
        BenchError: an image is bad, the same one is in two parts, files change, or the folder has no room or
            cannot be written.
    """
    import filelock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / LOCK)
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(lock.acquire(timeout=0))
            except filelock.Timeout:
                say(f"{folder}: another process decodes it; waiting for that")
                held.enter_context(lock.acquire())
            finished = made(folder)
            return finished if finished is not None else _make(folder, options, find)
    except OSError as error:
        raise unwritable(folder, error) from None


def _make(folder: Path, options: OnDisk, find: Callable[[], Source]) -> Made:
    source = find()
    writer = PartWriter(folder, options, source)
    writer.check_room()
    with ThreadPoolExecutor(cores()) as pool:
        parts = {part: writer.part(part, images, pool) for part, images in source.parts.items()}
    _check_classes(source, folder)
    notes = [*_left_out(parts), *_shared(source, parts, folder, options.allow_shared)]
    where = options.where()
    if where is not None and options.fingerprint(where) != options.content:
        raise BenchError(
            f"{where}: files changed while they were decoded; run the command again once nobody writes there"
        )
    train = parts["train"]
    size = options.image_size or (train.stored.height, train.stored.width)
    mean, std = train.mean_and_std(top_of(source.kind))
    digest = hashlib.sha256(f"{source.kind} {source.classes}".encode())
    for name, part in parts.items():
        digest.update(f"{name} {part.stored} {part.chunks}".encode())
    grouped = source.parts["train"].groups is not None
    result = Made(
        kind=source.kind,
        channels=train.channels,
        size=size,
        parts={name: part.stored for name, part in parts.items()},
        classes=[*source.classes],
        mean=mean,
        std=std,
        digest=digest.hexdigest()[:16],
        grouped=grouped,
        notes=notes,
    )
    for name, stored in result.parts.items():
        for written, _ in result.files(name, stored):
            with (folder / written).open("rb") as file:
                os.fsync(file.fileno())
    write_json(folder / MADE, result.model_dump(mode="json"))
    for leftover in [*folder.glob("*.progress"), *folder.glob("*.hashes")]:
        leftover.unlink()
    return result


def _check_classes(source: Source, folder: Path) -> None:
    """Raise BenchError where the images of a class that could be read are in another part alone."""
    classes = {name: np.unique(np.fromfile(folder / f"{name}.labels", np.int64)) for name in source.parts}
    for name, labels in classes.items():
        if (missing := np.setdiff1d(labels, classes["train"])).size:
            raise BenchError(
                f"class '{source.classes[missing[0]]}' is in {name}, and none of its train images can be read"
            )


def _left_out(parts: dict[str, DecodedPart]) -> list[str]:
    notes = []
    for name, part in parts.items():
        if skipped := [*itertools.chain.from_iterable(line.skipped for line in part.lines)]:
            count = "1 corrupt image" if len(skipped) == 1 else f"{len(skipped):,} corrupt images"
            notes.append(f"{count} of {name} left out, the first: {skipped[0]}")
    return notes


def _shared(source: Source, parts: dict[str, DecodedPart], folder: Path, allowed: bool) -> list[str]:
    """Images in two parts, found by the digests of all. Raises BenchError where that is not allowed."""
    notes = []
    contents = {name: (folder / f"{name}.hashes").read_bytes() for name in parts}
    hashes = {name: np.frombuffer(content, f"<u{HASH_BYTES}") for name, content in contents.items()}
    for one, other in itertools.combinations(parts, 2):
        both, first, second = np.intersect1d(hashes[one], hashes[other], return_indices=True)
        if not len(both):
            continue
        count = "1 image is" if len(both) == 1 else f"{len(both):,} images are"
        note = f"{count} in {one} and in {other}"
        if not allowed:
            # Where some were skipped, rows have moved.
            names = (source.parts[part].name(int(rows[0])) for part, rows in ((one, first), (other, second)))
            which = "" if _left_out(parts) else f", the first as {' and '.join(names)}"
            raise BenchError(
                f"{note}{which}: take them out of one, or say `allow_shared: true`, and the result says so"
            )
        notes.append(note)
    return notes
