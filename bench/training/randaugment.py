"""RandAugment (1909.13719) of whole batches: torchvision's, of PIL images, pixel for pixel.

Its magnitude is the same for all images, so where a sheared, shifted or rotated pixel comes from is a table,
which Pillow itself is asked for. All other operations are arithmetic on whole numbers from 0 to 255.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor

from bench.transforms import RandAugment

_Operation = Callable[[Tensor, Tensor], Tensor]
"""Images [N, C, H, W], and of each whether its magnitude is negative [N] → images."""

OPERATIONS = (
    *(
        "Identity",
        "ShearX",
        "ShearY",
        "TranslateX",
        "TranslateY",
        "Rotate",
        "Brightness",
        "Color",
        "Contrast",
    ),
    *("Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"),
)
"""In torchvision's order."""


def draw(options: RandAugment, count: int, generator: Generator) -> Tensor:
    """int64 [count, num_ops, 2]: for each image which operations, and whether their magnitude is negative."""
    numbers = torch.randint(0, len(OPERATIONS), (count, options.num_ops), generator=generator)
    negative = torch.randint(0, 2, (count, options.num_ops), generator=generator)
    return torch.stack([numbers, negative], 2)


def apply(options: RandAugment, drawn: Tensor, images: Tensor) -> Tensor:
    """Images [N, C, H, W] of whole numbers, in one or three channels, each by the operations drawn for it."""
    operations = [_operation(name, options, images) for name in OPERATIONS]
    for numbers, negative in (each.unbind(1) for each in drawn.unbind(1)):
        changed = images.clone()
        for number, operation in enumerate(operations):
            if operation is None:
                continue
            chosen = numbers == number
            if images.device.type == "cpu":
                rows = chosen.nonzero()[:, 0]
                changed.index_copy_(0, rows, operation(images[rows], negative[rows].bool()))
            else:  # how many there are is not known without waiting for the device
                everywhere = operation(images, negative.bool())
                changed = torch.where(chosen[:, None, None, None], everywhere, changed)
        images = changed
    return images


def _operation(name: str, options: RandAugment, images: Tensor) -> _Operation | None:
    magnitude = _magnitude(name, options, *images.shape[2:])
    match name:
        case "Identity":
            return None
        case "ShearX" | "ShearY" | "TranslateX" | "TranslateY" | "Rotate":
            source = _sources(name, magnitude, images.shape[2], images.shape[3], images.device)
            return lambda images, negative: _moved(images, source[negative.long()])
        case "Brightness" | "Color" | "Contrast" | "Sharpness":
            ends = {"Color": _grey, "Contrast": _mean_grey, "Sharpness": _smooth}
            extreme = ends.get(name, torch.zeros_like)
            return lambda images, negative: _blend(extreme(images), images, magnitude, negative)
        case "Posterize":
            step = 2 ** (8 - int(magnitude))
            return lambda images, _: images.div(step).floor_().mul_(step)
        case "Solarize":
            return lambda images, _: torch.where(images < magnitude, images, 255 - images)
        case "AutoContrast":
            return lambda images, _: _stretched(images)
    return lambda images, _: _equalised(images)


@functools.lru_cache
def _magnitude(name: str, options: RandAugment, height: int, width: int) -> float:
    bins = options.num_magnitude_bins
    if name == "Posterize":
        return float((8 - (torch.arange(bins) / ((bins - 1) / 4)).round().int())[options.magnitude])
    first, last = {
        "ShearX": (0.0, 0.3),
        "ShearY": (0.0, 0.3),
        "TranslateX": (0.0, 150.0 / 331.0 * width),
        "TranslateY": (0.0, 150.0 / 331.0 * height),
        "Rotate": (0.0, 30.0),
        "Solarize": (255.0, 0.0),
    }.get(name, (0.0, 0.9))
    return float(torch.linspace(first, last, bins)[options.magnitude])


@functools.lru_cache(maxsize=64)
def _sources(name: str, magnitude: float, height: int, width: int, device: torch.device) -> Tensor:
    """int64 [2, H·W]: which pixel becomes each one, for a positive and a negative magnitude; H·W: black."""
    from PIL import Image
    from torchvision.transforms import functional

    # What Pillow makes of an image whose pixels are numbers: 0 is what it fills in.
    numbered = Image.fromarray(np.arange(1, height * width + 1, dtype=np.int32).reshape(height, width))
    tables = []
    for by in (magnitude, -magnitude):
        if name == "Rotate":
            result = functional.rotate(numbered, by)
        else:
            shear, shift = [0.0, 0.0], [0, 0]
            if name.startswith("Shear"):
                shear[name == "ShearY"] = math.degrees(math.atan(by))
            else:
                shift[name == "TranslateY"] = int(by)
            centre = [0, 0] if name.startswith("Shear") else None
            result = functional.affine(numbered, 0.0, shift, 1.0, shear, center=centre)
        table = torch.from_numpy(np.array(result, dtype=np.int64).reshape(-1))
        tables.append(torch.where(table == 0, height * width, table - 1))
    return torch.stack(tables).to(device)


def _moved(images: Tensor, source: Tensor) -> Tensor:
    """Images [N, C, H, W] whose pixels are those at ``source`` [N, H·W]."""
    flat = torch.nn.functional.pad(images.flatten(2), (0, 1))
    return flat.gather(2, source[:, None].expand(-1, images.shape[1], -1)).view(images.shape)


def _blend(weakest: Tensor, images: Tensor, magnitude: float, negative: Tensor) -> Tensor:
    """Pillow's ``Image.blend``: 1 + magnitude of the image, and the rest of its weakest form."""
    factor = torch.where(negative, 1.0 - magnitude, 1.0 + magnitude).float()[:, None, None, None]
    return (weakest + factor * (images - weakest)).clamp_(0, 255).floor_()


def _grey(images: Tensor) -> Tensor:
    if images.shape[1] == 1:
        return images
    red, green, blue = images.long().unbind(1)
    grey = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
    return grey.to(images.dtype).unsqueeze(1).expand_as(images)


def _mean_grey(images: Tensor) -> Tensor:
    means = _grey(images)[:, :1].double().mean((1, 2, 3), keepdim=True)
    return (means + 0.5).floor().to(images.dtype).expand_as(images)


def _smooth(images: Tensor) -> Tensor:
    """Pillow's ``ImageFilter.SMOOTH``: but for the edges, five times the pixel and once its neighbours."""
    rows = images[..., :-2, :] + images[..., 1:-1, :] + images[..., 2:, :]
    nine = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    smooth = images.clone()
    smooth[..., 1:-1, 1:-1] = ((nine + 4 * images[..., 1:-1, 1:-1]) / 13 + 0.5).floor()
    return smooth


def _stretched(images: Tensor) -> Tensor:
    """Pillow's ``ImageOps.autocontrast``: each channel from 0 to 255, where it has two levels at all."""
    values = images.double()
    low, high = values.amin((2, 3), keepdim=True), values.amax((2, 3), keepdim=True)
    # Not 255 / tensor, which torch takes for 255 times the reciprocal.
    scale = torch.full_like(low, 255).div_((high - low).clamp_(min=1))
    stretched = (values * scale - low * scale).clamp_(0, 255).floor_().to(images.dtype)
    return torch.where(high > low, stretched, images)


def _equalised(images: Tensor) -> Tensor:
    """Pillow's ``ImageOps.equalize``: each channel by how many of its pixels are darker."""
    flat = images.flatten(2).long()
    levels = torch.zeros(*flat.shape[:2], 256, dtype=torch.long, device=flat.device)
    levels.scatter_add_(2, flat, torch.ones_like(flat))
    darker = levels.cumsum(2) - levels
    brightest = levels.gather(2, flat.amax(2, keepdim=True))
    step = (flat.shape[2] - brightest) // 255
    table = ((step // 2 + darker) // step.clamp(min=1)).clamp_(max=255)
    return torch.where(step > 0, table.gather(2, flat), flat).to(images.dtype).view(images.shape)
