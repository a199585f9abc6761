"""``synthetic-letters``: a stand-in for EMNIST-Letters that needs no download.

Printed letters are made as hard to read as handwriting: 26 classes (upper and lower case together), drawn
from fonts that matplotlib ships, then bent, slanted, thickened or thinned, partly erased and blurred.

A glyph is kept as the *signed distance* to its outline. Moving, bending and blurring it are then one lookup
per pixel, and a thicker stroke is an added constant. All that follows the rendering is elementwise float32
arithmetic in numpy (no BLAS, no sine, no exponential), which gives the same bits on any machine and with any
number of threads, as far as Pillow's FreeType renders the fonts alike.
"""

from __future__ import annotations

import functools
import string
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float32]

_SIDE = 28
_CLASSES = 26
_CHUNK = 10 * _CLASSES  # images made at a time, from a random stream of their own; their arrays stay in cache

# Fonts of matplotlib that have all ordinary letters. Always in this order: images refer to them by number.
_FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *(f"cm{style}10" for style in ("r", "b", "ti", "mi", "ss", "tt")),
)
_GLYPHS = 2 * len(_FONTS)  # of each class: every font in both cases
_GLYPH_SIDE = 20  # pixels of the longer side of a glyph before it is perturbed, as in MNIST and EMNIST
_FINENESS = 2  # samples of a signed distance per pixel
_KNOTS = 6  # of the smooth warp, along each axis


def synthetic_letters(
    train_size: int = 124_800, test_size: int = 20_800, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Make the data set: white letters on black, each image perturbed in its own way.

    Classes are balanced up to one image. The first n images are the same whatever size is asked for.
    Training and test images come from separate random streams.

    Args:
        train_size: number of training images.
        test_size: number of test images.
        seed: not negative; chooses glyphs and perturbations.

    Returns:
        Train images (uint8 [N, 1, 28, 28]), train labels (int64 [N], 0 for A to 25 for Z), test images and
        test labels.
    """
    import torch

    train = _make(train_size, seed, stream=0)
    test = _make(test_size, seed, stream=1)
    train_images, train_labels, test_images, test_labels = map(torch.from_numpy, (*train, *test))
    return train_images, train_labels, test_images, test_labels


def _make(size: int, seed: int, stream: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images = np.empty((size, 1, _SIDE, _SIDE), np.uint8)
    labels = np.empty(size, np.int64)
    for start in range(0, size, _CHUNK):
        # A shorter last chunk draws as much as a full one, so that its images are those of a larger set.
        chunk = _draw(np.random.default_rng([seed, stream, start // _CHUNK]))
        images[start : start + _CHUNK, 0] = _picture(chunk)[: size - start]
        labels[start : start + _CHUNK] = chunk.label[: size - start]
    return images, labels


class _Draw(NamedTuple):
    """What is random about n images; lengths in pixels."""

    label: NDArray[np.int64]  # [n]
    glyph: NDArray[np.int64]  # [n], which one of its class
    turn: Floats  # [n], tangent of half the angle
    slant: Floats  # [n]
    size: Floats  # [n, 2], factors along x and y
    shift: Floats  # [n, 2]
    bend: Floats  # [n, 2, knots, knots], displacements along x and y
    thicker: Floats  # [n], on each side of a stroke
    blur: Floats  # [n], width of the slope from black to white
    white: Floats  # [n], grey level of a stroke
    gap_across: Floats  # [n, 2], direction across an erased stripe, of any length
    gap_at: Floats  # [n], its distance from the centre
    gap_width: Floats  # [n], none if negative
    noise: Floats  # [n, side, side], grey levels


def _draw(rng: np.random.Generator) -> _Draw:
    def uniform(low: float, high: float, *shape: int) -> Floats:
        return low + (high - low) * rng.random((_CHUNK, *shape), np.float32)

    one_of_each = np.tile(np.arange(_CLASSES), (_CHUNK // _CLASSES, 1))
    return _Draw(
        label=rng.permuted(one_of_each, axis=1).ravel(),
        glyph=rng.integers(_GLYPHS, size=_CHUNK),
        turn=uniform(-0.13, 0.13),  # ±15°
        slant=uniform(-0.3, 0.3),
        size=uniform(0.8, 1.2, 2),
        shift=uniform(-2, 2, 2),
        bend=uniform(-4, 4, 2, _KNOTS, _KNOTS),
        thicker=uniform(-0.3, 0.9),
        blur=uniform(1.0, 2.5),
        white=uniform(150, 255),
        gap_across=uniform(-1, 1, 2),
        gap_at=uniform(-6, 6),
        gap_width=uniform(-3, 2),
        noise=uniform(-1, 1, _SIDE, _SIDE) * uniform(0, 30, 1, 1),
    )


def _picture(draw: _Draw) -> NDArray[np.uint8]:
    """Draw n letters: uint8 [n, 28, 28]."""

    def each(values: Floats) -> Floats:
        return values[:, None, None]

    # From each pixel of the image back to a point of the glyph, both in pixels from the centre.
    centres = np.arange(_SIDE, dtype=np.float32) - (_SIDE - 1) / 2
    bend_x, bend_y = _warp(draw.bend)
    x = centres[None, None, :] - each(draw.shift[:, 0]) + bend_x
    y = centres[None, :, None] - each(draw.shift[:, 1]) + bend_y
    cos = (1 - draw.turn**2) / (1 + draw.turn**2)
    sin = 2 * draw.turn / (1 + draw.turn**2)
    x, y = each(cos) * x + each(sin) * y, each(cos) * y - each(sin) * x
    x = (x + each(draw.slant) * y) / each(draw.size[:, 0])
    y = y / each(draw.size[:, 1])

    inside = _look_up(draw.label * _GLYPHS + draw.glyph, x, y)
    ink = np.clip((inside + each(draw.thicker)) / each(draw.blur) + np.float32(0.5), 0, 1)
    across_x, across_y = draw.gap_across.T / np.sqrt((draw.gap_across**2).sum(1) + np.float32(1e-6))
    from_gap = np.abs(
        centres[None, None, :] * each(across_x) + centres[None, :, None] * each(across_y) - each(draw.gap_at)
    )
    ink *= np.clip(from_gap - each(draw.gap_width) / 2 + np.float32(0.5), 0, 1)
    grey: Floats = np.clip(ink * each(draw.white) + draw.noise, 0, 255)
    return grey.astype(np.uint8)


def _warp(knots: Floats) -> tuple[Floats, Floats]:
    """Cubic B-spline surfaces over n × 2 grids of knots [n, 2, k, k], at each pixel: two of [n, 28, 28]."""
    # How much each knot counts at each pixel [28, k]: a bump of four knot distances, centred on the knot.
    places = (np.arange(_SIDE, dtype=np.float32) + 0.5) / _SIDE * (_KNOTS - 3) + 1
    distance = np.abs(places[:, None] - np.arange(_KNOTS, dtype=np.float32))
    rest = np.maximum(2 - distance, 0)
    near = 2 / 3 - distance * distance * (1 - distance / 2)
    bumps = np.where(distance < 1, near, rest * rest * rest / 6)
    # Sums term by term: a matrix product adds in an order of its own on each machine.
    rows = np.zeros((len(knots), 2, _SIDE, _KNOTS), np.float32)
    surface = np.zeros((len(knots), 2, _SIDE, _SIDE), np.float32)
    for k in range(_KNOTS):
        rows += bumps[:, k, None] * knots[:, :, None, k, :]
    for k in range(_KNOTS):
        surface += rows[..., k, None] * bumps[:, k]
    return surface[:, 0], surface[:, 1]


def _look_up(glyph: NDArray[np.int64], x: Floats, y: Floats) -> Floats:
    """Signed distances at points [n, 28, 28] of n glyphs, bilinear; beyond a glyph's square, its border's."""
    distances = _signed_distances()
    side = distances.shape[-1]
    column, row = (np.clip(at * _FINENESS + (side - 1) / 2, 0, side - 1.001) for at in (x, y))
    left, top = column.astype(np.int64), row.astype(np.int64)
    right_share, bottom_share = column - left.astype(np.float32), row - top.astype(np.float32)
    corner = glyph[:, None, None] * side**2 + top * side + left
    flat = distances.ravel()
    upper, lower = (flat[at] + right_share * (flat[at + 1] - flat[at]) for at in (corner, corner + side))
    distance: Floats = upper + bottom_share * (lower - upper)
    return distance


@functools.cache  # 14 MB
def _signed_distances() -> Floats:
    """How far inside (+) or outside (−) of its outline each sample of a glyph is: [26 · glyphs, 56, 56].

    In pixels of the image. Glyphs are centred, and their longer side is 20 pixels.
    """
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont
    from scipy.ndimage import distance_transform_edt

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    oversampling = 2  # the outline is found at twice the fineness of the samples
    scale = oversampling * _FINENESS
    canvas = scale * _SIDE
    distances = []
    for letter in string.ascii_lowercase:
        for font_name in _FONTS:
            for character in (letter, letter.upper()):
                # The basic layout is in every Pillow; letters one by one need no more.
                font = ImageFont.truetype(
                    folder / f"{font_name}.ttf", 100, layout_engine=ImageFont.Layout.BASIC
                )
                left, top, right, bottom = font.getbbox(character)
                size = 100 * scale * _GLYPH_SIDE / max(right - left, bottom - top)
                font = font.font_variant(size=round(size))
                left, top, right, bottom = font.getbbox(character)
                image = Image.new("L", (canvas, canvas))
                corner = (canvas - left - right) // 2, (canvas - top - bottom) // 2
                ImageDraw.Draw(image).text(corner, character, fill=255, font=font)
                ink = np.asarray(image) >= 128
                # The outline runs between pixel centres, half a pixel from either side's nearest.
                distance = distance_transform_edt(ink) - distance_transform_edt(~ink)
                distance -= np.sign(distance) / 2
                blocks = distance.reshape(_SIDE * _FINENESS, oversampling, -1, oversampling)
                distances.append(blocks.mean((1, 3)) / scale)
    return np.array(distances, np.float32)
