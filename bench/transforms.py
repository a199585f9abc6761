"""The augmentations that a suite can name, and their options. How they are done: ``bench.training.augment``.

Each stands for one torchvision transform of PIL images. They are applied in the order a suite lists them,
each as a pass of its own. Mixtures, of which there is one at most, follow (``bench.training.mix``).
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from bench.choices import Choice, Options, choose


class Perspective(Options):
    """``RandomPerspective(distortion, p)``: bilinear, black outside."""

    distortion: float = Field(0.5, ge=0, le=1)
    p: float = Field(0.5, ge=0, le=1)


class Rotation(Options):
    """``RandomRotation(degrees)``: nearest pixel, about the centre, black outside."""

    degrees: float = Field(10.0, ge=0, le=180)


class Shift(Options):
    """``RandomAffine(0, translate=(pixels/W, pixels/H))``: whole pixels, black outside."""

    pixels: int = Field(ge=0)


class Crop(Options):
    """``RandomCrop((H, W), padding)``: a window of the image's own size in the image padded with black."""

    padding: int = Field(ge=0)


class Flip(Options):
    """``RandomHorizontalFlip(p)``."""

    p: float = Field(0.5, ge=0, le=1)


class ResizedCrop(Options):
    """``RandomResizedCrop((H, W), scale, ratio)``: a part of the stored image, at the size that a model sees.

    It comes before all others. Images on disk are stored at ``crop_from``, so that there is more to crop.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for name, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            if not 0 < low <= high or (name == "scale" and high > 1):
                most = " up to 1" * (name == "scale")
                raise ValueError(
                    f"{name}: found {low} to {high}, expected two numbers above 0{most}, in order"
                )
        return self


class Mixup(Options):
    """Images and labels of pairs, averaged with weights λ and 1 − λ, λ from Beta(α, α) (1710.09412)."""

    alpha: float = Field(0.2, gt=0)


class Cutmix(Options):
    """A box of one image pasted into another, and the labels averaged by area (1905.04899)."""

    alpha: float = Field(1.0, gt=0)


TRANSFORMS: dict[str, type[Options]] = {
    "resized_crop": ResizedCrop,
    "perspective": Perspective,
    "rotation": Rotation,
    "shift": Shift,
    "crop": Crop,
    "flip": Flip,
}
MIXES: dict[str, type[Options]] = {"mixup": Mixup, "cutmix": Cutmix}


def choose_transform(value: Any) -> Choice:
    """Resolve one entry of a suite's ``augmentation`` list. Raises ValueError as ``choices.choose`` does."""
    return choose("augmentation", value, TRANSFORMS)
