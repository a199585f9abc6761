"""Making the files of :mod:`bench.datasets.cache`: every image is read and decoded once, by all cores."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from bench.datasets.cache import LOCK, MADE, Made, Stored, check_room, made, unwritable
from bench.datasets.forms import top_of
from bench.datasets.on_disk import OnDisk, Pictures
from bench.datasets.pictures import Array, Corrupt, File, Wanted, convert, cores, decode, resize_array
from bench.datasets.sources import Item, Part, Source
from bench.disk import write_json
from bench.errors import BenchError
from bench.progress import watched

_CHUNK = 256  # images between two points from which it can go on
_HASH = 8  # bytes: of ten million images, two have the same one with a probability of 10⁻⁶


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
            content = made(folder)
            return content if content is not None else _make(folder, options, find)
    except OSError as error:
        raise unwritable(folder, error) from None


def _make(folder: Path, options: OnDisk, find: Callable[[], Source]) -> Made:
    source = find()
    maker = _Maker(folder, options, source)
    maker.check_room()
    with ThreadPoolExecutor(cores()) as pool:
        parts = {part: maker.part(part, images, pool) for part, images in source.parts.items()}
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
    whole = hashlib.sha256(f"{source.kind} {source.classes}".encode())
    for name, part in parts.items():
        whole.update(f"{name} {part.stored} {part.chunks}".encode())
    grouped = source.parts["train"].groups is not None
    result = Made(
        kind=source.kind,
        channels=train.channels,
        size=size,
        parts={name: part.stored for name, part in parts.items()},
        classes=[*source.classes],
        mean=mean,
        std=std,
        digest=whole.hexdigest()[:16],
        grouped=grouped,
        notes=notes,
    )
    for name, stored in result.parts.items():
        for written, _ in result.files(name, stored):
            with (folder / written).open("rb") as file:
                os.fsync(file.fileno())
    write_json(folder / MADE, result.model_dump(mode="json"))
    for leftover in folder.glob("*.progress"):
        leftover.unlink()
    for leftover in folder.glob("*.hashes"):
        leftover.unlink()
    return result


class _Image(NamedTuple):
    array: Array
    hash: bytes
    """Of what it was decoded from: tells whether two images are the same one."""
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]


class _Line(BaseModel):
    """A chunk that is safely there."""

    count: int
    height: int
    width: int
    channels: int
    digest: str
    sums: list[float]
    """Of each channel, the sum of its values, and of their squares."""
    squares: list[float]
    skipped: list[str]


@dataclass
class _Decoded:
    """One part, decoded."""

    stored: Stored
    channels: int
    lines: list[_Line] = field(default_factory=list)

    @property
    def chunks(self) -> list[str]:
        """Digests of its chunks."""
        return [line.digest for line in self.lines]

    def mean_and_std(self, top: float) -> tuple[list[float], list[float]]:
        """Of each channel, divided by ``top``."""
        n = self.stored.count * self.stored.height * self.stored.width
        means, stds = [], []
        for channel in range(self.channels):
            mean = math.fsum(line.sums[channel] for line in self.lines) / n
            square = math.fsum(line.squares[channel] for line in self.lines) / n
            means.append(mean / top)
            # A channel of one colour has nothing to scale; dividing by 0 would make it NaN.
            stds.append(math.sqrt(max(square - mean**2, 0.0)) / top or 1.0)
        return means, stds


class _Maker:
    """Writes the files of one data set."""

    def __init__(self, folder: Path, options: OnDisk, source: Source) -> None:
        self.folder = folder
        self.options = options
        self.source = source
        self.shape: tuple[int, int, int] | None = None
        """Height, width and channels of an image that is shown as it is: that of all."""

    def wanted(self, part: str) -> Wanted:
        """What the images of a part are to become."""
        options = self.options
        size = (options.crop_from or options.image_size) if part == "train" else options.image_size
        channels, depth = (options.channels, options.depth) if isinstance(options, Pictures) else (0, 0)
        return Wanted(size, options.fit, channels, depth)

    def check_room(self) -> None:
        """Raises BenchError where what is still to be written does not fit."""
        needed = 0
        for name, part in self.source.parts.items():
            there = self.folder / f"{name}.images"
            wanted = self.wanted(name)
            if self.source.shape is not None:
                height, width, channels = (*(wanted.size or self.source.shape[:2]), self.source.shape[2])
            else:
                first = next(self._decoded(name, 0, item) for item in part.read([0]))
                if isinstance(first, Corrupt):
                    continue  # it is met again, and said, when its turn comes
                height, width, channels = first.array.shape
            image = height * width * channels * np.dtype(self.source.kind).itemsize
            needed += max(len(part) * image - (there.stat().st_size if there.exists() else 0), 0)
        check_room(self.folder, needed)

    def part(self, name: str, part: Part, pool: ThreadPoolExecutor) -> _Decoded:
        """Decode what of a part is not there yet."""
        of_groups = part.groups if name == "train" else None  # the others are not split any more
        lines = self._resumed(name, of_groups is not None)
        with contextlib.ExitStack() as files:
            images, labels, groups, hashes, progress = (
                files.enter_context((self.folder / f"{name}.{kind}").open("ab"))
                for kind in ("images", "labels", "groups", "hashes", "progress")
            )
            starts = range(_CHUNK * len(lines), len(part), _CHUNK)
            for start in watched(starts, f"decoding {name} images, {_CHUNK} at a time"):
                rows = range(start, min(start + _CHUNK, len(part)))
                items = part.read(rows)
                decoded = [*pool.map(partial(self._decoded, name), rows, items)]
                kept, skipped = self._kept(rows, decoded)
                content = b"".join(image.array.tobytes() for image in kept.values())
                label_bytes = part.labels[[*kept]].tobytes()
                images.write(content)
                labels.write(label_bytes)
                if of_groups is not None:
                    groups.write(of_groups[[*kept]].tobytes())
                hashes.write(b"".join(image.hash for image in kept.values()))
                for file in (images, labels, groups, hashes):
                    file.flush()
                line = _line([*kept.values()], hashlib.sha256(content + label_bytes).hexdigest(), skipped)
                lines.append(line)
                progress.write(line.model_dump_json().encode() + b"\n")
                progress.flush()
        if of_groups is None:
            (self.folder / f"{name}.groups").unlink()
        count = sum(line.count for line in lines)
        filled = next((line for line in lines if line.count), None)
        if filled is None:
            raise BenchError(f"{self.folder}: of the {len(part)} {name} images none can be read")
        return _Decoded(Stored(count=count, height=filled.height, width=filled.width), filled.channels, lines)

    def _kept(self, rows: range, decoded: Sequence[_Image | Corrupt]) -> tuple[dict[int, _Image], list[str]]:
        kept, skipped = {}, []
        for row, image in zip(rows, decoded, strict=True):
            if not isinstance(image, Corrupt):
                kept[row] = image
            elif getattr(self.options, "skip_corrupt", False):
                skipped.append(str(image))
            else:
                raise BenchError(f"{image}; replace it, or say `skip_corrupt: true`")
        return kept, skipped

    def _decoded(self, part: str, row: int, item: Item) -> _Image | Corrupt:
        """An image as it is stored."""
        wanted = self.wanted(part)
        name = self.source.parts[part].name(row)
        try:
            if isinstance(item, np.ndarray):
                content, array = item.tobytes(), resize_array(item, wanted)
            elif isinstance(item, (File, bytes)):
                content = item.read() if isinstance(item, File) else item
                array = decode(content, name, wanted)
            else:
                content, array = item.tobytes(), convert(item, name, wanted)
        except Corrupt as corrupt:
            return corrupt
        if wanted.size is None:
            height, width, channels = array.shape
            self.shape = self.shape or (height, width, channels)
            if array.shape != self.shape:
                raise BenchError(
                    f"{name} is {height} × {width} pixels, others are {self.shape[0]} × {self.shape[1]}; "
                    "say `image_size`, the size that all of them get"
                )
        # Exact where values are of 8 bits: such sums are far below 2⁵³.
        values = array.transpose(2, 0, 1).reshape(array.shape[2], -1).astype(np.float64)
        sums, squares = values.sum(1), np.einsum("ij,ij->i", values, values)
        return _Image(array, hashlib.blake2b(content, digest_size=_HASH).digest(), sums, squares)

    def _resumed(self, name: str, grouped: bool) -> list[_Line]:
        """The chunks that are safely there; what follows them is cut off."""
        lines: list[_Line] = []
        sizes = dict.fromkeys(("images", "labels", "groups", "hashes", "progress"), 0)
        for line, raw in self._lines(name):
            image = (
                line.count * line.height * line.width * line.channels * np.dtype(self.source.kind).itemsize
            )
            sums = hashlib.sha256()
            for kind, size in (("images", image), ("labels", 8 * line.count)):
                with (self.folder / f"{name}.{kind}").open("rb") as file:
                    file.seek(sizes[kind])
                    sums.update(file.read(size))
            if sums.hexdigest() != line.digest:
                break
            lines.append(line)
            sizes["images"] += image
            sizes["labels"] += 8 * line.count
            sizes["groups"] += 8 * line.count * grouped
            sizes["hashes"] += _HASH * line.count
            sizes["progress"] += len(raw)
            if line.count and self.wanted(name).size is None:
                self.shape = line.height, line.width, line.channels
        for kind, size in sizes.items():
            there = self.folder / f"{name}.{kind}"
            if there.exists() and there.stat().st_size < size:
                return self._again(name)
            if there.exists():
                os.truncate(there, size)
        return lines

    def _again(self, name: str) -> list[_Line]:
        for kind in ("images", "labels", "groups", "hashes", "progress"):
            (self.folder / f"{name}.{kind}").unlink(missing_ok=True)
        return []

    def _lines(self, name: str) -> Iterator[tuple[_Line, bytes]]:
        try:
            raw = (self.folder / f"{name}.progress").read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return
        for line in raw:
            try:
                yield _Line.model_validate_json(line), line
            except ValidationError:
                return


def _line(images: Sequence[_Image], digest: str, skipped: list[str]) -> _Line:
    height, width, channels = images[0].array.shape if images else (0, 0, 0)
    return _Line(
        count=len(images),
        height=height,
        width=width,
        channels=channels,
        digest=digest,
        sums=np.sum([image.sums for image in images], 0).tolist() if images else [],
        squares=np.sum([image.squares for image in images], 0).tolist() if images else [],
        skipped=skipped,
    )


def _check_classes(source: Source, folder: Path) -> None:
    """Raise BenchError where the images of a class that could be read are in another part alone."""
    seen = {name: np.unique(np.fromfile(folder / f"{name}.labels", np.int64)) for name in source.parts}
    for name, labels in seen.items():
        if (missing := np.setdiff1d(labels, seen["train"])).size:
            raise BenchError(
                f"class '{source.classes[missing[0]]}' is in {name}, and none of its train images can be read"
            )


def _left_out(parts: dict[str, _Decoded]) -> list[str]:
    notes = []
    for name, part in parts.items():
        if skipped := [*itertools.chain.from_iterable(line.skipped for line in part.lines)]:
            count = "1 corrupt image" if len(skipped) == 1 else f"{len(skipped):,} corrupt images"
            notes.append(f"{count} of {name} left out, the first: {skipped[0]}")
    return notes


def _shared(source: Source, parts: dict[str, _Decoded], folder: Path, allowed: bool) -> list[str]:
    """Images in two parts, found by the digests of all. Raises BenchError where that is not allowed."""
    notes = []
    hashes = {name: np.frombuffer((folder / f"{name}.hashes").read_bytes(), f"<u{_HASH}") for name in parts}
    for one, other in itertools.combinations(parts, 2):
        both, first, second = np.intersect1d(hashes[one], hashes[other], return_indices=True)
        if not len(both):
            continue
        count = "1 image is" if len(both) == 1 else f"{len(both):,} images are"
        count += f" in {one} and in {other}"
        if not allowed:
            # Where some were skipped, rows have moved.
            names = (source.parts[part].name(int(rows[0])) for part, rows in ((one, first), (other, second)))
            which = "" if _left_out(parts) else f", the first as {' and '.join(names)}"
            raise BenchError(
                f"{count}{which}: take them out of one, or say `allow_shared: true`, and the result says so"
            )
        notes.append(count)
    return notes
