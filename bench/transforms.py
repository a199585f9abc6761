"""The augmentations that a suite can name, and their options. How they are done: ``bench.training.augment``.

Each stands for one torchvision transform, of PIL images where it takes those. They are applied in the order
in which a suite lists them, each as a pass of its own. Mixtures, of which there is one at most, follow
(``bench.training.mix``).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from bench.registry import Choice, Options, choose


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


class RandAugment(Options):
    """``RandAugment(num_ops, magnitude, num_magnitude_bins)``: nearest pixels, black outside (1909.13719)."""

    num_ops: int = Field(2, ge=1)
    magnitude: int = Field(9, ge=0)
    num_magnitude_bins: int = Field(31, ge=2)

    @model_validator(mode="after")
    def _in_a_bin(self) -> Self:
        if self.magnitude >= self.num_magnitude_bins:
            raise ValueError(
                f"magnitude: found {self.magnitude}, expected less than the {self.num_magnitude_bins} of "
                "num_magnitude_bins"
            )
        return self


class Erasing(Options):
    """``RandomErasing(p, scale, ratio, value)`` (1708.04896): a box of one colour.

    `value` is a grey level from 0 to 255, or `mean`: what becomes 0 when images are normalised.
    """

    p: float = Field(0.5, ge=0, le=1)
    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    value: Literal["mean"] | Annotated[float, Field(ge=0, le=255)] = "mean"

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        for name, (least, most), allowed in (
            ("scale", self.scale, "shares of the image from 0 to 1"),
            ("ratio", self.ratio, "height by width, above 0"),
        ):
            if not (0 <= least <= most and (most <= 1 if name == "scale" else least > 0)):
                raise ValueError(f"{name}: found {least:g} to {most:g}, expected {allowed}, the least first")
        return self


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


class MixupOrCutmix(Options):
    """One of both for each batch: CutMix with probability `switch`; `mixup` and `cutmix` are their α."""

    mixup: float = Field(0.8, gt=0)
    cutmix: float = Field(1.0, gt=0)
    switch: float = Field(0.5, ge=0, le=1)


TRANSFORMS: dict[str, type[Options]] = {
    "resized_crop": ResizedCrop,
    "perspective": Perspective,
    "rotation": Rotation,
    "shift": Shift,
    "crop": Crop,
    "flip": Flip,
    "randaugment": RandAugment,
    "erasing": Erasing,
}
MIXES: dict[str, type[Options]] = {"mixup": Mixup, "cutmix": Cutmix, "mixup_or_cutmix": MixupOrCutmix}


def choose_transform(value: Any) -> Choice:
    """Resolve one entry of a suite's ``augmentation`` list. Raises ValueError as ``registry.choose`` does."""
    return choose("augmentation", value, TRANSFORMS)
