"""A data set on disk, decoded once: raw values in files that are mapped into memory, shared by all runs.

Under ``BENCH_DATA/decoded/<name>-<digest of what was asked for>/``::

    train.images        raw values [N, H, W, C]; also of validation and test
    train.labels        int64 [N]
    train.groups        int64 [N], of training images alone, where there are groups
    train.progress      until it is made: a line for each chunk that is safely there
    made.json           written last: its presence, and nothing else, means made

One process makes it, with all of its cores; others wait. Who is killed at it leaves whole chunks, and the
next one goes on from there. Files are written in order and never mapped while they are, so that a full disk
is an error and no signal.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.datasets.forms import Form, top_of
from bench.datasets.on_disk import OnDisk
from bench.disk import write_json
from bench.errors import BenchError

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
"""Raised whenever the same options come to mean other files."""
MADE, ROOT, LOCK = "made.json", "lies-in.json", ".lock"


class Stored(BaseModel):
    """One part."""

    count: int
    height: int
    width: int


class Made(BaseModel):
    """What ``made.json`` says."""

    model_config = ConfigDict(allow_inf_nan=False)

    kind: str
    """Type of the values, as numpy calls it."""
    channels: int
    size: tuple[int, int]
    """Height and width that a model sees."""
    parts: dict[str, Stored]
    classes: list[str]
    mean: list[float]
    std: list[float]
    digest: str
    grouped: bool = False
    notes: list[str] = []

    def files(self, part: str, stored: Stored) -> list[tuple[str, int]]:
        """Names and sizes in bytes of a part's files."""
        import numpy as np

        image = stored.height * stored.width * self.channels * np.dtype(self.kind).itemsize
        files = [(f"{part}.images", stored.count * image), (f"{part}.labels", 8 * stored.count)]
        grouped = self.grouped and part == "train"
        return [*files, (f"{part}.groups", 8 * stored.count)] if grouped else files

    @property
    def form(self) -> Form:
        """What is known of it."""
        shape = (self.channels, *self.size)
        return Form(shape, len(self.classes), tuple(self.mean), tuple(self.std), top_of(self.kind))


def folder_of(name: str, options: OnDisk, data: Path) -> Path:
    """Where a data set is kept once it is decoded: another folder for all that makes other images."""
    from bench.registry import Choice

    later = {"train_size", "test_size", "label_noise", "noise_seed", "noise_kind", "long_tail"}
    asked = {key: value for key, value in Choice(name, options).describe().items() if key not in later}
    digest = hashlib.sha256(f"{VERSION} {sorted(asked.items())}".encode()).hexdigest()[:16]
    return data / "decoded" / f"{name.replace('/', '-')}-{digest}"


def made(folder: Path) -> Made | None:
    """What is in a folder; None: nothing that is whole.

    Raises:
        BenchError: its files are not as they were written.
    """
    try:
        content = (folder / MADE).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BenchError(f"{folder / MADE} cannot be read: {error.strerror}") from None
    try:
        found = Made.model_validate_json(content)
        for part, stored in found.parts.items():
            for file, size in found.files(part, stored):
                if (there := (folder / file).stat().st_size) != size:
                    raise ValueError(f"{file} has {there:,} bytes, expected {size:,}")
    except (ValidationError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BenchError(f"{folder} is damaged ({reason}); delete that folder, it is made again") from None
    return found


def images_of(folder: Path, content: Made, part: str) -> tuple[Tensor, Tensor]:
    """Raw images [N, C, H, W], mapped from their file, and labels [N], read."""
    import numpy as np
    import torch

    stored = content.parts[part]
    shape = stored.count, stored.height, stored.width, content.channels
    mapped = np.memmap(folder / f"{part}.images", np.dtype(content.kind), "r", shape=shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it cannot be written to, and nobody does
        images = torch.from_numpy(mapped)
    return images.permute(0, 3, 1, 2), torch.from_numpy(np.fromfile(folder / f"{part}.labels", np.int64))


def note_place(folder: Path, where: Path) -> None:
    """Write down where the files of a data set lie, for jobs that find it undecoded.

    Raises:
        BenchError: the folder cannot be written.
    """
    try:
        write_json(folder / ROOT, {"lies_in": str(where)})
    except OSError as error:
        raise unwritable(folder, error) from None


def noted_place(folder: Path) -> Path | None:
    """What :func:`note_place` wrote; None: nothing."""
    import json

    try:
        return Path(json.loads((folder / ROOT).read_bytes())["lies_in"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def unwritable(folder: Path, error: OSError) -> BenchError:
    """What is said where decoded images cannot be written; or what was to be decoded cannot be read."""
    named = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
    if named and not f"{named}/".startswith(f"{folder.parent.parent}/"):
        return BenchError(f"{named}: {error.strerror}")
    return BenchError(
        f"{folder}: decoded images cannot be written ({error.strerror or error}); choose another folder with "
        "--data or BENCH_DATA"
    )


def check_room(folder: Path, needed: int) -> None:
    """Raise BenchError where there is no room for so many bytes."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise BenchError(
            f"{folder}: decoded images take {needed / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free; free "
            "some, ask for smaller ones, or choose another folder with --data or BENCH_DATA"
        )
