"""Augmentation of whole batches: what torchvision does to one PIL image at a time, pixel for pixel.

It happens in two steps, so that *what* is done to an image depends on nothing but the seed:

* ``draw`` draws the parameters of an epoch on the CPU, from the distributions that torchvision uses;
* ``apply`` applies them to one chunk of images, on whatever device these are.

Images are float32 ``[N, C, H, W]`` in the raw scale of 0 to 255. Each transform is a pass of its own: the
perspective is interpolated and cut to 8 bits, and the rotation then picks nearest pixels, as in the original
pipeline. (One composed resampling would be another protocol: .030 away in mean absolute pixel value.)

The arithmetic follows Pillow's ``Geometry.c``: a transform maps the centre (x + ½, y + ½) of each output
pixel to a point of the input, whose pixel (i, j) covers [i, i + 1) × [j, j + 1); points outside are black.
Against it, at equal parameters, all transforms are exact but the perspective: of 10,000 pixels of 28 × 28
digits that it moves, one is off by a grey level, and three lie so exactly on the edge of the input that
rounding errors decide whether they are black. (float64 would settle those, at half the speed.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional

from bench.errors import BenchError
from bench.registry import Choice
from bench.training import randaugment, resized_crop
from bench.transforms import Crop, Erasing, Flip, Perspective, RandAugment, ResizedCrop, Rotation, Shift

Parameters = list[Tensor]
"""One tensor per transform; row i belongs to the i-th image of the epoch."""


def draw(
    transforms: Sequence[Choice],
    count: int,
    shape: tuple[int, int, int],
    generator: Generator,
    stored: tuple[int, ...] | None = None,
) -> Parameters:
    """Draw the parameters for ``count`` images of ``shape`` (C, H, W) from a generator on the CPU.

    Args:
        stored: shape of the images before `resized_crop`; None: the same.

    Returns, by transform:
        resized_crop: int64 ``[count, 4]``, top, left, height and width of a box in the stored image.
        perspective: int64 ``[count, 4, 2]``, how far (x, y) each corner moves inwards, in pixels: top left,
            top right, bottom right, bottom left; all zero where the image is left alone.
        rotation: float32 ``[count]``, degrees counter-clockwise.
        shift: int64 ``[count, 2]``, pixels (right, down).
        crop: int64 ``[count, 2]``, (row, column) of the window's corner in the padded image.
        flip: bool ``[count]``.
        randaugment: see :mod:`bench.training.randaugment`.
        erasing: int64 ``[count, 4]``, the box's top, left, bottom and right; all zero for no box.
    """
    drawn = []
    for transform in transforms:
        if isinstance(transform.options, ResizedCrop):
            _, height, width = stored or shape
            options = transform.options
            drawn.append(resized_crop.draw(count, (height, width), options.scale, options.ratio, generator))
        else:
            drawn.append(_draw(transform, count, shape, generator))
    return drawn


def apply(
    transforms: Sequence[Choice],
    parameters: Parameters,
    images: Tensor,
    rows: slice,
    mean: Tensor | float = 0.0,
    *,
    whole: bool = True,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Transform one chunk: ``images`` [N, C, H, W] are those in ``rows`` of the epoch that was drawn.

    Returns new float32 images of the same device and scale; ``images``, of any type, stay as they are. What
    becomes of an image does not depend on the chunk it is in. On a CPU, chunks of 256 to 1,000 images of
    28 × 28 are fastest: they stay in the cache. The parameters are on the images' device, and are all that is
    read.

    Args:
        mean: the data set's mean colour [1, C, 1, 1], which erasing may fill in.
        whole: whether values are whole numbers, and stay so.
        size: height and width that `resized_crop` returns; None: those of the images.
    """
    for transform, drawn in zip(transforms, parameters, strict=True):
        if isinstance(transform.options, ResizedCrop):
            height, width = size or images.shape[2:]
            images = resized_crop.cut(images, drawn[rows], (height, width))
        elif isinstance(transform.options, Flip):  # of 8 bits as they are: a quarter of the memory
            images = _flip(images, drawn[rows])
        else:
            images = _apply(transform, drawn[rows], images.float(), whole, mean)
    return images.float()


def _draw(transform: Choice, count: int, shape: tuple[int, int, int], generator: Generator) -> Tensor:
    _, height, width = shape
    match transform.options:
        case Perspective(distortion=distortion, p=p):
            chosen = torch.rand(count, generator=generator) < p
            reach = (int(distortion * (width // 2)), int(distortion * (height // 2)))
            inwards = [torch.randint(0, most + 1, (count, 4), generator=generator) for most in reach]
            return torch.stack(inwards, 2) * chosen[:, None, None]
        case Rotation(degrees=degrees):
            return torch.empty(count).uniform_(-degrees, degrees, generator=generator)
        case Shift(pixels=pixels):
            # torchvision rounds a uniform number: the two extreme shifts are half as likely as the others.
            return torch.empty(count, 2).uniform_(-pixels, pixels, generator=generator).round().long()
        case Crop(padding=padding):
            return torch.randint(0, 2 * padding + 1, (count, 2), generator=generator)
        case Flip(p=p):
            return torch.rand(count, generator=generator) < p
        case RandAugment() as options:
            if shape[0] not in (1, 3):
                raise BenchError(f"augment: randaugment takes grey images or RGB, found {shape[0]} channels")
            return randaugment.draw(options, count, generator)
        case Erasing() as options:
            return _draw_boxes(options, count, height, width, generator)
    raise TypeError(f"{transform.name} is no augmentation")


def _draw_boxes(options: Erasing, count: int, height: int, width: int, generator: Generator) -> Tensor:
    """As torchvision: the first of ten boxes that is smaller than the image, anywhere in it."""
    chosen = torch.rand(count, generator=generator) < options.p
    area = torch.empty(count, 10).uniform_(*options.scale, generator=generator) * (height * width)
    least, most = map(math.log, options.ratio)
    ratio = torch.empty(count, 10).uniform_(least, most, generator=generator).exp()
    heights, widths = (area * ratio).sqrt().round().long(), (area / ratio).sqrt().round().long()
    fits = (heights < height) & (widths < width)
    first = fits.int().argmax(1, keepdim=True)
    chosen &= fits.any(1)
    down, across = heights.gather(1, first)[:, 0], widths.gather(1, first)[:, 0]
    u, v = torch.rand(2, count, generator=generator, dtype=torch.float64)
    top, left = (u * (height - down + 1)).long(), (v * (width - across + 1)).long()
    return torch.stack([top, left, top + down, left + across], 1) * chosen[:, None]


def _apply(transform: Choice, drawn: Tensor, images: Tensor, whole: bool, mean: Tensor | float) -> Tensor:
    match transform.options:
        case Perspective():
            return _perspective(images, drawn, whole)
        case Rotation():
            return _rotate(images, drawn)
        case Shift(pixels=pixels):
            return _window(images, pixels, pixels - drawn.flip(1))
        case Crop(padding=padding):
            return _window(images, padding, drawn)
        case RandAugment() as options:
            return randaugment.apply(options, drawn, images)
        case Erasing(value=value):
            return torch.where(_inside(drawn, *images.shape[2:]), mean if value == "mean" else value, images)
    raise TypeError(f"{transform.name} is no augmentation")


def _flip(images: Tensor, drawn: Tensor) -> Tensor:
    """Left and right exchanged where ``drawn`` [N] says so; images of any type."""
    if images.device.type != "cpu":
        return torch.where(drawn[:, None, None, None], images.flip(3), images)
    flipped = drawn.nonzero()[:, 0]
    last = images.permute(0, 2, 3, 1)
    if not last.is_contiguous():
        return images.index_copy(0, flipped, images[flipped].flip(3))
    # torch flips several times as fast where it sees the memory in its own order, and copies eight bytes as
    # fast as one.
    result = last.clone()
    turned = last.index_select(0, flipped).permute(0, 3, 1, 2).flip(3).permute(0, 2, 3, 1)
    wide = torch.uint8 if last[:1].nbytes % 8 else torch.int64
    copied = turned.flatten(1).view(torch.uint8).view(wide)
    result.flatten(1).view(torch.uint8).view(wide).index_copy_(0, flipped, copied)
    return result.permute(0, 3, 1, 2)


def _perspective(images: Tensor, inwards: Tensor, whole: bool) -> Tensor:
    """Bilinear perspective of the images [N, C, H, W] whose corners move at all; ``inwards`` is [N, 4, 2]."""
    moves = inwards.flatten(1).any(1)
    if images.device.type == "cpu":
        moved = moves.nonzero()[:, 0]
        return images.index_copy(0, moved, _all_in_perspective(images[moved], inwards[moved], whole))
    # How many move is not known without waiting for the device. What stays is put back, bit for bit.
    return torch.where(moves[:, None, None, None], _all_in_perspective(images, inwards, whole), images)


def _all_in_perspective(images: Tensor, inwards: Tensor, whole: bool = True) -> Tensor:
    _, _, height, width = images.shape
    x, y, scale = _to_unit_square(inwards, width, height).unbind(1)  # [N, 3] each
    # torchvision's points are pixel indices from 0 to side − 1; grid_sample's [−1, 1] spans the whole image.
    x, y = 2 * (width - 1) / width * x - scale, 2 * (height - 1) / height * y - scale
    homogeneous = _on_pixels(torch.stack([x, y, scale]).float(), width, height)  # [3, N, H, W]
    grid = homogeneous[:2] / homogeneous[2]
    # Inside, Pillow repeats the border; beyond the outermost pixels' edges, it is black.
    sampled = functional.grid_sample(
        images, grid.permute(1, 2, 3, 0), mode="bilinear", padding_mode="border", align_corners=False
    )
    # A point just on that edge, where Pillow's own rounding errors decide, counts as inside.
    inside = grid.abs_().amax(0).lt_(1 + 1e-6)  # [N, H, W], 0 or 1
    if whole:
        # Pillow cuts to whole numbers. 2⁻¹³ keeps a flat area of 255 from becoming 254.99998 and so 254.
        sampled.add_(2**-13).floor_()
    return sampled.mul_(inside[:, None])


def _to_unit_square(inwards: Tensor, width: int, height: int) -> Tensor:
    """The homographies [N, 3, 3], in float64, that take pixel indices of the output to the unit square.

    Heckbert (*Fundamentals of Texture Mapping and Image Warping*, 1989, §2.2.3) has the map from the unit
    square to a quadrilateral in closed form; its adjugate is the inverse up to a scale, which cancels.
    """
    # The corners' whole numbers of pixels, without a constant tensor: it would have to come from the host.
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (corner.unbind(1) for corner in inwards.double().unbind(1))
    x1, x2 = width - 1 - x1, width - 1 - x2
    y2, y3 = height - 1 - y2, height - 1 - y3
    dx1, dx2, dx3 = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    dy1, dy2, dy3 = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    scale = dx1 * dy2 - dx2 * dy1
    g, h = (dx3 * dy2 - dx2 * dy3) / scale, (dx1 * dy3 - dx3 * dy1) / scale
    a, b, c = x1 - x0 + g * x1, x3 - x0 + h * x3, x0
    d, e, f = y1 - y0 + g * y1, y3 - y0 + h * y3, y0
    adjugate = [
        [e - f * h, c * h - b, b * f - c * e],
        [f * g - d, a - c * g, c * d - a * f],
        [d * h - e * g, b * g - a * h, a * e - b * d],
    ]
    return torch.stack([torch.stack(row, 1) for row in adjugate], 1)


def _rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Rotate the images [N, C, H, W] about their centres by ``degrees`` [N], taking nearest pixels."""
    _, _, height, width = images.shape
    angle = degrees.double() * (-math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    # Pillow steps from where the centre of the first pixel goes, in fixed point of 16 bits.
    x0 = _fixed_point((width - (width - 1) * cos - (height - 1) * sin) / 2)
    y0 = _fixed_point((height + (width - 1) * sin - (height - 1) * cos) / 2)
    cos, plus_sin, minus_sin = _fixed_point(cos), _fixed_point(sin), _fixed_point(-sin)
    # We step from the corner of that pixel. Half a bit more keeps every point off the edges of pixels, where
    # rounding could go either way: the result is Pillow's, bit for bit (up to sides of 64 or so).
    x0 = x0 - (cos + plus_sin) / 2 + 2**-17
    y0 = y0 - (minus_sin + cos) / 2 + 2**-17
    x = torch.stack([2 / width * cos, 2 / width * plus_sin, 2 / width * x0 - 1], 1)
    y = torch.stack([2 / height * minus_sin, 2 / height * cos, 2 / height * y0 - 1], 1)
    grid = _on_pixels(torch.stack([x, y]).float(), width, height)
    return functional.grid_sample(
        images, grid.permute(1, 2, 3, 0), mode="nearest", padding_mode="zeros", align_corners=False
    )


def _fixed_point(values: Tensor) -> Tensor:
    return (values * 2**16 + 0.5).floor() / 2**16


def _on_pixels(coefficients: Tensor, width: int, height: int) -> Tensor:
    """a·x + b·y + c at the centres of all pixels: [K, N, 3] → [K, N, H, W]."""
    x = torch.arange(width, device=coefficients.device) + 0.5
    y = torch.arange(height, device=coefficients.device) + 0.5
    a, b, c = coefficients[..., None].unbind(2)
    return (a * x + c)[..., None, :] + (b * y)[..., :, None]


def _window(images: Tensor, padding: int, corners: Tensor) -> Tensor:
    """Cut an H × W window out of each image [N, C, H, W] padded with black, at its (row, column) [N, 2]."""
    count, _, height, width = images.shape
    windows = functional.pad(images, [padding] * 4).unfold(2, height, 1).unfold(3, width, 1)
    row, column = corners.unbind(1)
    return windows[torch.arange(count, device=images.device), :, row, column]


def _inside(boxes: Tensor, height: int, width: int) -> Tensor:
    """bool [N, 1, H, W]: which pixels lie in boxes [N, 4] of top, left, bottom and right."""
    top, left, bottom, right = boxes[:, :, None].unbind(1)
    y, x = (torch.arange(side, device=boxes.device) for side in (height, width))
    rows, columns = (top <= y) & (y < bottom), (left <= x) & (x < right)
    return (rows[:, :, None] & columns[:, None, :])[:, None]
