"""``resized_crop``: torchvision's ``RandomResizedCrop``, for many images at once.

Boxes have the same distribution; what is cut out is resized as torchvision does it to tensors: bilinear,
antialiased, to whole numbers where they are whole. Against Pillow no value is off by more than 2 of 255.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

_ATTEMPTS = 10


def draw(
    count: int,
    stored: tuple[int, int],
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: Generator,
) -> Tensor:
    """Boxes in images of ``stored`` height and width: int64 [count, 4], top, left, height and width.

    Args:
        scale: least and largest share of the area.
        ratio: least and largest width divided by height.
    """
    height, width = stored
    boxes = _fallback(height, width, ratio).repeat(count, 1)
    left_over = torch.ones(count, dtype=torch.bool)
    for _ in range(_ATTEMPTS):

        def uniform(low: float, high: float) -> Tensor:
            return torch.empty(count, dtype=torch.float64).uniform_(low, high, generator=generator)

        area = height * width * uniform(*scale)
        aspect = uniform(math.log(ratio[0]), math.log(ratio[1])).exp()
        wide, high = (area * aspect).sqrt().round().long(), (area / aspect).sqrt().round().long()
        top = (uniform(0, 1) * (height - high + 1)).long()
        left = (uniform(0, 1) * (width - wide + 1)).long()
        fits = left_over & (wide > 0) & (wide <= width) & (high > 0) & (high <= height)
        # Rounded up, a number just below 1 would lie outside.
        box = torch.stack([top.minimum(height - high), left.minimum(width - wide), high, wide], 1)
        boxes = torch.where(fits[:, None], box, boxes)
        left_over &= ~fits
    return boxes


def _fallback(height: int, width: int, ratio: tuple[float, float]) -> Tensor:
    """What is taken where ten attempts do not fit: as much of the middle as the ratio allows."""
    high, wide = height, width
    if width / height < ratio[0]:
        high = round(width / ratio[0])
    elif width / height > ratio[1]:
        wide = round(height * ratio[1])
    return torch.tensor([[(height - high) // 2, (width - wide) // 2, high, wide]])


def cut(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut a box out of each image and resize it.

    Args:
        images: [N, C, H, W] as they are stored.
        boxes: of :func:`draw`, on the images' device.
        size: height and width of what is returned.

    Returns:
        [N, C, height, width], whole numbers where the images are: uint8 of such on a CPU, else float32.
    """
    if images.device.type == "cpu":
        return _one_by_one(images, boxes, size)
    rows, columns = (_weights(boxes[:, k], boxes[:, k + 2], images.shape[k + 2], size[k]) for k in (0, 1))
    resized = rows[:, None] @ images.float() @ columns[:, None].transpose(2, 3)
    return resized if images.is_floating_point() else resized.round_()


def _one_by_one(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Of 8 bits, torch resizes on a CPU several times as fast as of floats, if channels come last.

    This is :func:`torch.nn.functional.interpolate` without what takes as long as the work: it has no ``out``.
    """
    eight_bits = images.dtype == torch.uint8
    source = (images if eight_bits else images.float()).permute(0, 2, 3, 1).contiguous()
    count, _, width, channels = source.shape
    resized = torch.empty(count, *size, channels, dtype=source.dtype)
    line, pixel, image = width * channels, channels, source.stride(0)
    resize = torch._C._nn._upsample_bilinear2d_aa
    begins = torch.arange(count) * image + boxes[:, 0] * line + boxes[:, 1] * pixel
    outs = torch.split(resized.permute(0, 3, 1, 2), 1)
    of_each = zip(begins.tolist(), boxes[:, 2:].tolist(), outs, strict=True)
    with torch.inference_mode():  # which looks at each call for less long
        for begin, (high, wide), out in of_each:
            window = source.as_strided((1, channels, high, wide), (0, 1, line, pixel), begin)
            resize(window, size, False, out=out)  # type: ignore[call-arg]
    result = resized.permute(0, 3, 1, 2)
    return result if eight_bits or images.is_floating_point() else result.round_()


def _weights(start: Tensor, length: Tensor, has: int, size: int) -> Tensor:
    """How much each pixel of a line counts in each of what it becomes, within boxes: [N, size, has].

    Triangles around the centres of new pixels, as wide as these are apart, and no narrower than old ones.
    """
    scale = (length / size)[:, None, None]
    centre = (torch.arange(size, device=start.device) + 0.5)[:, None] * scale
    place = torch.arange(has, device=start.device) - start[:, None, None]
    weights = (1 - (place + 0.5 - centre).abs() / scale.clamp(min=1)).clamp_(min=0)
    weights *= (place >= 0) & (place < length[:, None, None])
    return weights / weights.sum(2, keepdim=True)
