"""Data sets that lie on disk as their owner keeps them: what can be asked of them, and what names them.

Where they lie is no part of a run's identity; what they are is, as a digest of the names and sizes of their
files (``content``), which takes no reading of images. The digest of what was decoded is in each result.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from bench.datasets.listing import (
    SPLITS,
    Rows,
    digest,
    label_bytes,
    parquet_files,
    pictures,
    rows_of,
    sampled,
    whole,
)
from bench.datasets.options import BuiltInOptions
from bench.errors import BenchError, unknown


def _sides(value: Any) -> Any:
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


Side = Annotated[int, Field(ge=1, le=8192)]
Sides = Annotated[
    tuple[Side, Side],
    BeforeValidator(_sides),
    PlainSerializer(lambda sides: sides[0] if sides[0] == sides[1] else [*sides]),
]
"""Height and width; one number is both."""


class OnDisk(BuiltInOptions):
    """What can be asked of every data set on disk."""

    place: ClassVar[str]
    """The option that says where it lies."""

    content: str = Field("", pattern="^([0-9a-f]{16})?$")
    """Digest of its files, found from where they lie; or given alone, where it has been decoded already."""
    image_size: Sides | None = None
    """Height and width that a model sees. Default: that of all images."""
    crop_from: Sides | None = None
    """Height and width at which training images are kept for `resized_crop`. Default: `image_size`."""
    fit: Literal["crop", "stretch"] = "crop"
    """Images of another shape: their middle is kept, or all of them is squeezed."""
    test: float = Field(0.2, gt=0, lt=1)
    """Share of the images that is held out for testing, where no test images are given."""
    split_seed: int = Field(0, ge=0)
    """Which ones: the same for every loss, model and seed of a run."""
    allow_shared: bool = False
    """Go on where the same image is in two of train, validation and test; the result says how many."""

    @model_validator(mode="after")
    def _names_its_files(self) -> Self:
        if self.crop_from is not None and self.image_size is None:
            raise ValueError("crop_from: needs image_size, the size that a model sees")
        given = self.where()
        if given is None:
            if not self.content:
                raise ValueError(f"{self.place}: is missing: where the data set lies")
            return self
        try:
            content = self.fingerprint(given)
        except OSError as error:
            raise ValueError(f"{self.place}: {error.filename or given}: {error.strerror or error}") from None
        except BenchError as error:
            raise ValueError(str(error)) from None
        if self.content and self.content != content:
            raise ValueError(
                f"content: found {self.content}, but the digest of the files in {given} is {content}: they "
                "have changed, or are others"
            )
        self.__dict__["content"] = content
        return self

    def where(self) -> Path | None:
        """Where it lies; None: not said, as it has been decoded already."""
        given = getattr(self, self.place)
        return None if given is None else Path(given).expanduser().absolute()

    def fingerprint(self, where: Path) -> str:
        """16 hexadecimal digits of names and sizes of its files. Raises BenchError and OSError."""
        raise NotImplementedError

    def named(self, *options: str) -> set[str]:
        """Of options, those that somebody has set to another value than the default.

        What a job is told has every option, so that an option is there says nothing.
        """
        fields = type(self).model_fields
        return {option for option in options if getattr(self, option) != fields[option].default}

    def as_given(self) -> dict[str, Any]:
        """What a suite would say of it."""
        where = self.where()
        return {**self.model_dump(mode="json"), **({} if where is None else {self.place: str(where)})}

    def called(self, name: str) -> str:
        """What tables call it: its own name, too."""
        given = getattr(self, self.place)
        return name if given is None else f"{name} {Path(given).expanduser().absolute().stem}"

    def shown(self) -> dict[str, Any]:
        """Its options as tables show them: nobody reads a digest."""
        return {name: value for name, value in super().shown().items() if name != "content"}

    def shape(self) -> tuple[int, int, int] | None:
        """Channels, height and width that a model sees, where that is known before it is decoded."""
        return None


class Pictures(OnDisk):
    """And of one whose images are files of pictures."""

    channels: Literal[1, 3, 4] = 3
    """Grey, colours, or colours and opacity: images that have others are converted."""
    depth: Literal[8, 16] = 8
    """Bits of a value."""
    skip_corrupt: bool = False
    """Leave out images that cannot be read. The result says how many."""

    def shape(self) -> tuple[int, int, int] | None:
        """As :class:`OnDisk` has it."""
        return None if self.image_size is None else (self.channels, *self.image_size)


class ImageFolder(Pictures):
    """Class folders of pictures: ``root/train/<class>``, also ``val`` and ``test``; or ``root/<class>``."""

    place = "root"
    root: str | None = Field(None, exclude=True)

    def fingerprint(self, where: Path) -> str:
        """As :class:`OnDisk` has it."""
        return digest(dict(pictures(where)))


class Table(Pictures):
    """A CSV file of paths, relative to it, and labels."""

    place = "file"
    file: str | None = Field(None, exclude=True)
    image: str = "image"
    label: str = "label"
    split: str = "split"
    """Column of train, val or test, if there is one."""
    group: str = "group"
    """Column of what is never torn apart by a split (patients, sessions), if there is one."""

    def fingerprint(self, where: Path) -> str:
        """As :class:`OnDisk` has it."""
        rows = self.rows(where)
        sizes = {path: (where.parent / path).stat().st_size for path in rows.paths}
        return digest({"": hashlib.sha256(where.read_bytes()).hexdigest(), **sizes})

    def rows(self, where: Path) -> Rows:
        """What the file says. Raises BenchError and OSError."""
        columns = {key: getattr(self, key) for key in ("image", "label", "split", "group")}
        return rows_of(where, columns, self.named("split", "group"))


class Parquet(Pictures):
    """Files of a Hugging Face data set: ``…train-00000-of-00003.parquet``, ``…test….parquet``."""

    place = "root"
    root: str | None = Field(None, exclude=True)
    image: str = "image"
    label: str = "label"

    def fingerprint(self, where: Path) -> str:
        """As :class:`OnDisk` has it."""
        files = [file for part in parquet_files(where).values() for file in part]
        # What ends a Parquet file says where each column's pieces lie, how long they are, and their extremes.
        # Names of files alone do not tell `train/0000.parquet` from `test/0000.parquet`.
        return digest(
            {
                str(file.relative_to(where)) if file != where else file.name: (
                    file.stat().st_size,
                    sampled(file),
                    label_bytes(file, self.label),
                )
                for file in files
            }
        )


class Arrays(OnDisk):
    """Arrays of images and labels: an ``.npz`` file (its keys), or a folder of ``.npy`` files (names)."""

    place = "file"
    file: str | None = Field(None, exclude=True)
    train_images: str = "train_images"
    train_labels: str = "train_labels"
    val_images: str = "val_images"
    val_labels: str = "val_labels"
    test_images: str = "test_images"
    test_labels: str = "test_labels"
    groups: str = "train_groups"
    """An integer for each training image, if there are any: what has one is never torn apart by a split."""
    layout: Literal["NCHW", "NHWC"] | None = None
    """Default: found from the sizes, where only one of the two can be."""
    first_label: int = Field(0, ge=0)
    """What the labels call the first class."""

    def fingerprint(self, where: Path) -> str:
        """As :class:`OnDisk` has it."""
        if where.is_dir():
            files = sorted(where.glob("*.npy"))
            if not files:
                raise BenchError(f"file: {where} has no .npy files")
            # A label that was mended may lie between two blocks: those are read whole.
            labels = {f"{name}.npy" for name in (self.train_labels, self.val_labels, self.test_labels)}
            return digest(
                {
                    file.name: (file.stat().st_size, whole(file) if file.name in labels else sampled(file))
                    for file in files
                }
            )
        try:
            with zipfile.ZipFile(where) as archive:
                return digest(
                    {member.filename: (member.file_size, member.CRC) for member in archive.infolist()}
                )
        except zipfile.BadZipFile as error:
            raise BenchError(f"file: {where} is no .npz file: {error}") from None


class Library(Pictures):
    """``torchvision/<name>``: a data set that torchvision downloads and reads."""

    place = "content"

    def where(self) -> Path | None:
        """It lies in the folder of all data sets."""
        return None

    @model_validator(mode="after")
    def _names_its_files(self) -> Self:
        if self.content:
            raise ValueError(f"content: found {self.content}; a data set of torchvision's has its name alone")
        if self.crop_from is not None and self.image_size is None:
            raise ValueError("crop_from: needs image_size, the size that a model sees")
        return self

    def called(self, name: str) -> str:
        """What tables call it."""
        return name


FORMS_ON_DISK: dict[str, type[BuiltInOptions]] = {
    "imagefolder": ImageFolder,
    "arrays": Arrays,
    "parquet": Parquet,
    "table": Table,
    "torchvision/": Library,
}


def check_torchvision_name(name: str) -> None:
    """Raise ValueError for a data set that torchvision does not have, or that has no such classes."""
    if name.partition("/")[2] not in SPLITS:
        raise ValueError(unknown("data set", name, (f"torchvision/{known}" for known in SPLITS)))
