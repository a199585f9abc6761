"""The files of one part of a decoded data set, written chunk by chunk: an interruption loses one at most."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from bench.datasets.cache import Stored, check_room
from bench.datasets.on_disk import OnDisk, Pictures
from bench.datasets.pictures import Array, Corrupt, File, Wanted, convert, decode, resize_array
from bench.datasets.sources import Item, Part, Source
from bench.errors import BenchError
from bench.progress import watched

_CHUNK = 256  # images between two points from which it can go on
HASH_BYTES = 8  # bytes: of ten million images, two have the same one with a probability of 10⁻⁶


class _Image(NamedTuple):
    array: Array
    hash: bytes
    """Of what it was decoded from: tells whether two images are the same one."""
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]


class _Line(BaseModel):
    """A chunk that is complete on disk: a line of the ``.progress`` file."""

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
class DecodedPart:
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


class PartWriter:
    """Writes the files of one data set."""

    def __init__(self, folder: Path, options: OnDisk, source: Source) -> None:
        self.folder = folder
        self.options = options
        self.source = source
        self.shape: tuple[int, int, int] | None = None
        """Height, width and channels of an image that is shown as it is: that of all."""

    def form(self, part: str) -> Wanted:
        """What the images of a part are to become."""
        options = self.options
        size = (options.crop_from or options.image_size) if part == "train" else options.image_size
        channels, depth = (options.channels, options.depth) if isinstance(options, Pictures) else (0, 0)
        return Wanted(size, options.fit, channels, depth)

    def check_room(self) -> None:
        """Raise BenchError where the disk has no room for what is still to be written."""
        needed = 0
        for name, part in self.source.parts.items():
            path = self.folder / f"{name}.images"
            form = self.form(name)
            if self.source.shape is not None:
                height, width, channels = (*(form.size or self.source.shape[:2]), self.source.shape[2])
            else:
                first = next(self._decoded(name, 0, item) for item in part.read([0]))
                if isinstance(first, Corrupt):
                    continue  # reported when its turn comes
                height, width, channels = first.array.shape
            image = height * width * channels * np.dtype(self.source.kind).itemsize
            needed += max(len(part) * image - (path.stat().st_size if path.exists() else 0), 0)
        check_room(self.folder, needed)

    def part(self, name: str, part: Part, pool: ThreadPoolExecutor) -> DecodedPart:
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
                readable, skipped = self._readable(rows, decoded)
                content = b"".join(image.array.tobytes() for image in readable.values())
                classes = part.labels[[*readable]].tobytes()
                images.write(content)
                labels.write(classes)
                if of_groups is not None:
                    groups.write(of_groups[[*readable]].tobytes())
                hashes.write(b"".join(image.hash for image in readable.values()))
                for file in (images, labels, groups, hashes):
                    file.flush()
                line = _line([*readable.values()], hashlib.sha256(content + classes).hexdigest(), skipped)
                lines.append(line)
                progress.write(line.model_dump_json().encode() + b"\n")
                progress.flush()
        if of_groups is None:
            (self.folder / f"{name}.groups").unlink()
        count = sum(line.count for line in lines)
        filled = next((line for line in lines if line.count), None)
        if filled is None:
            raise BenchError(f"{self.folder}: of the {len(part)} {name} images none can be read")
        stored = Stored(count=count, height=filled.height, width=filled.width)
        return DecodedPart(stored, filled.channels, lines)

    def _readable(
        self, rows: range, decoded: Sequence[_Image | Corrupt]
    ) -> tuple[dict[int, _Image], list[str]]:
        readable, skipped = {}, []
        for row, image in zip(rows, decoded, strict=True):
            if not isinstance(image, Corrupt):
                readable[row] = image
            elif getattr(self.options, "skip_corrupt", False):
                skipped.append(str(image))
            else:
                raise BenchError(f"{image}; replace it, or say `skip_corrupt: true`")
        return readable, skipped

    def _decoded(self, part: str, row: int, item: Item) -> _Image | Corrupt:
        """An image as it is stored."""
        form = self.form(part)
        name = self.source.parts[part].name(row)
        try:
            if isinstance(item, np.ndarray):
                content, array = item.tobytes(), resize_array(item, form)
            elif isinstance(item, (File, bytes)):
                content = item.read() if isinstance(item, File) else item
                array = decode(content, name, form)
            else:
                content, array = item.tobytes(), convert(item, name, form)
        except Corrupt as corrupt:
            return corrupt
        if form.size is None:
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
        return _Image(array, hashlib.blake2b(content, digest_size=HASH_BYTES).digest(), sums, squares)

    def _resumed(self, name: str, grouped: bool) -> list[_Line]:
        """The chunks that are complete on disk; cuts off what follows them."""
        lines: list[_Line] = []
        sizes = dict.fromkeys(("images", "labels", "groups", "hashes", "progress"), 0)
        for line, raw in self._lines(name):
            bytes_each = line.height * line.width * line.channels * np.dtype(self.source.kind).itemsize
            digest = hashlib.sha256()
            for kind, size in (("images", line.count * bytes_each), ("labels", 8 * line.count)):
                with (self.folder / f"{name}.{kind}").open("rb") as file:
                    file.seek(sizes[kind])
                    digest.update(file.read(size))
            if digest.hexdigest() != line.digest:
                break
            lines.append(line)
            sizes["images"] += line.count * bytes_each
            sizes["labels"] += 8 * line.count
            sizes["groups"] += 8 * line.count * grouped
            sizes["hashes"] += HASH_BYTES * line.count
            sizes["progress"] += len(raw)
            if line.count and self.form(name).size is None:
                self.shape = line.height, line.width, line.channels
        for kind, size in sizes.items():
            path = self.folder / f"{name}.{kind}"
            if path.exists() and path.stat().st_size < size:
                return self._again(name)
            if path.exists():
                os.truncate(path, size)
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
