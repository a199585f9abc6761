"""One picture: from a file's bytes to an array of the size and type that are asked for, or a clear message.

Sizes are changed as torchvision's ``Resize`` and ``CenterCrop`` do it to PIL images: bilinear, antialiased.
"""

from __future__ import annotations

import io
import os
import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bench.errors import BenchError

Array = NDArray[Any]
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_SEVERAL = ("GIF", "PNG", "WEBP", "TIFF", "AVIF")  # a camera's MPO has its picture first, and previews


class Corrupt(BenchError):
    """An image that cannot be read."""


class Wanted(NamedTuple):
    """What an image is to become."""

    size: tuple[int, int] | None
    """Height and width; None: as they are."""
    fit: str
    """``crop``: the largest part of that shape, from the middle; ``stretch``: all of it."""
    channels: int
    depth: int


class File(NamedTuple):
    """A file as it was when it was listed."""

    path: str
    size: int

    def read(self) -> bytes:
        """Its content. Raises BenchError where it has changed since, or is gone."""
        try:
            with open(self.path, "rb") as file:
                content = file.read()
        except OSError as error:
            raise BenchError(f"{self.path} cannot be read: {error.strerror}") from None
        if len(content) != self.size:
            raise BenchError(
                f"{self.path} changed while it was read: it has {len(content):,} bytes, and had "
                f"{self.size:,}; run the command again once nobody writes there"
            )
        return content


def decode(content: bytes, name: str, wanted: Wanted) -> Array:
    """An image [H, W, C], uint8 or uint16.

    Raises:
        Corrupt: it cannot be read.
        BenchError: it is animated, or has more bits than are asked for or can be had.
    """
    if not content:
        raise Corrupt(f"{name} is empty: it has no bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a broken EXIF, of transparency in palettes
            image = Image.open(io.BytesIO(content))
            _check(image, name, wanted)
            image.load()
            return convert(image, name, wanted)
    except BenchError:
        raise
    except Exception as error:  # Pillow's readers raise whatever their parsing stumbles over
        raise Corrupt(f"{name} cannot be read: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is no picture of a format that Pillow knows"
    return " ".join(f"{type(error).__name__}: {error}".split())


def _check(image: Image.Image, name: str, wanted: Wanted) -> None:
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format in _SEVERAL:
        raise BenchError(f"{name} has {frames} pictures, one after another: keep the one that is meant")
    if image.mode == "F":
        raise BenchError(f"{name} has floats; expected a picture of 8 or 16 bits, floats come as `arrays`")
    if image.mode.startswith("I") and wanted.depth == 8:
        raise BenchError(f"{name} has 16 bits a value, expected 8; say `depth: 16`, or convert it")
    if (
        wanted.depth == 16
        and not image.mode.startswith("I")
        and any("16" in str(tile[3]) for tile in getattr(image, "tile", []))
    ):
        raise BenchError(f"{name} has colours of 16 bits, which Pillow reads as 8; they can come as `arrays`")


def convert(image: Image.Image, name: str, wanted: Wanted) -> Array:
    """A picture of Pillow's as :func:`decode` returns it."""
    if wanted.depth == 16:
        return _deep(image, name, wanted)
    mode = _MODES[wanted.channels]
    image = resize(image if image.mode == mode else image.convert(mode), name, wanted)
    array = np.asarray(image)
    return array if array.ndim == 3 else array[:, :, None]


def _deep(image: Image.Image, name: str, wanted: Wanted) -> Array:
    """Of 16 bits, of which Pillow has grey ones alone; 8 bits are spread over 16."""
    if image.mode.startswith("I"):
        planes = [np.asarray(image).astype(np.int64)]
        if planes[0].min() < 0 or planes[0].max() > 65_535:
            raise BenchError(f"{name} has values from {planes[0].min()} to {planes[0].max()}, beyond 16 bits")
        planes *= wanted.channels
        if wanted.channels == 4:
            planes[3] = np.full_like(planes[0], 65_535)
    else:
        array = np.asarray(image.convert(_MODES[wanted.channels])).astype(np.int64) * 257
        planes = [*np.moveaxis(array, 2, 0)] if array.ndim == 3 else [array]
    sized = [np.asarray(resize(Image.fromarray(plane.astype(np.float32)), name, wanted)) for plane in planes]
    return np.stack(sized, 2).round().clip(0, 65_535).astype(np.uint16)


def resize(image: Image.Image, name: str, wanted: Wanted) -> Image.Image:
    """At the size that is wanted."""
    if wanted.size is None or (image.height, image.width) == wanted.size:
        return image
    height, width = wanted.size
    if wanted.fit == "stretch":
        return image.resize((width, height), Image.Resampling.BILINEAR)
    scaled_height, scaled_width = covering((image.height, image.width), wanted.size)
    image = image.resize((scaled_width, scaled_height), Image.Resampling.BILINEAR)
    top, left = round((scaled_height - height) / 2), round((scaled_width - width) / 2)
    return image.crop((left, top, left + width, top + height))


def resize_array(array: Array, wanted: Wanted) -> Array:
    """An array [H, W, C] at the size that is wanted, as :func:`resize` has it."""
    if wanted.size is None or array.shape[:2] == wanted.size:
        return array
    import torch
    from torch.nn.functional import interpolate

    height, width = wanted.size
    scaled = wanted.size if wanted.fit == "stretch" else covering(array.shape[:2], wanted.size)
    values = torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1)[None]
    sized = interpolate(values, scaled, mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    top, left = round((scaled[0] - height) / 2), round((scaled[1] - width) / 2)
    sized = sized[top : top + height, left : left + width]
    return sized.astype(array.dtype) if array.dtype.kind == "f" else sized.round().astype(array.dtype)


def covering(has: tuple[int, int], wanted: tuple[int, int]) -> tuple[int, int]:
    """The smallest height and width in an image's own proportions that cover a window."""
    if has[0] * wanted[1] <= has[1] * wanted[0]:  # it is wide: its height decides
        return wanted[0], max(wanted[1], int(wanted[0] * has[1] / has[0]))
    return max(wanted[0], int(wanted[1] * has[0] / has[1])), wanted[1]


def cores() -> int:
    """Of this machine, those that this process may use."""
    return len(os.sched_getaffinity(0))
