"""How a run is trained: epochs, optimizer, schedule, precision, augmentation. What the numbers mean only;
the loop that acts on them is :mod:`bench.training`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from bench import factories
from bench.registry import Choice, FreeOptions, Options, Strict, choose, split_choice
from bench.transforms import MIXES, TRANSFORMS


class Adam(Options):
    """Adam (1412.6980), with L2 regularisation as `weight_decay`."""

    lr: float = Field(0.001, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.0, ge=0)


class AdamW(Adam):
    """Adam with decoupled weight decay (1711.05101)."""

    weight_decay: float = Field(0.01, ge=0)


class Sgd(Options):
    """Stochastic gradient descent with momentum."""

    lr: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(0.0, ge=0)


class LibraryOptimizer(FreeOptions):
    """An optimizer of ``torch.optim`` or ``timm.optim``. Further options go to the library as they are."""

    lr: float | None = Field(None, gt=0, description="default: the library's")


class Constant(Options):
    """The learning rate stays what it is."""


class Cosine(Options):
    """Linear warm-up, then half a cosine down to `final` times the learning rate, step by step."""

    warmup_epochs: float = Field(0, ge=0)
    final: float = Field(0.0, ge=0, le=1)


class OneCycle(Options):
    """Up and down again in cosines (1708.07120), as torch's OneCycleLR without its momentum cycle."""

    warmup: float = Field(0.3, gt=0, lt=1)
    start: float = Field(1 / 25, gt=0, le=1)
    final: float = Field(1 / 250_000, ge=0, le=1)


class RandomCube(Options):
    """The reference's: after an epoch without a new best accuracy the rate becomes lr·u³, u from (0, 1).

    Which accuracy counts follows from the suite's `selection`: validation or test.
    """


class LibrarySchedule(FreeOptions):
    """A schedule of ``torch.optim.lr_scheduler`` or ``timm.scheduler``. Further options go there as they are.

    ``per``: whether torch's counts epochs (the default, but of OneCycleLR and CyclicLR) or optimizer steps.
    """

    per: Literal["epoch", "step"] | None = None


OPTIMIZERS: dict[str, type[Options]] = {
    "adam": Adam,
    "adamw": AdamW,
    "sgd": Sgd,
    "timm/": LibraryOptimizer,
    "torch/": LibraryOptimizer,
}
SCHEDULES: dict[str, type[Options]] = {
    "constant": Constant,
    "cosine": Cosine,
    "one_cycle": OneCycle,
    "random_cube": RandomCube,
    "timm/": LibrarySchedule,
    "torch/": LibrarySchedule,
}


def _chosen(kind: str, table: Mapping[str, type[Options]]) -> Any:
    def resolved(value: Any) -> Choice:
        if isinstance(value, Choice):
            return value
        choice = choose(kind, value, table)
        if "/" in choice.name:
            given = choice.options.model_dump(exclude_unset=True)
            factories.check(kind, choice.name, {k: v for k, v in given.items() if v is not None})
        return choice

    return BeforeValidator(resolved), PlainSerializer(lambda choice: choice.describe())


Optimizer = Annotated[Choice, *_chosen("optimizer", OPTIMIZERS)]
Schedule = Annotated[Choice, *_chosen("schedule", SCHEDULES)]
Transform = Annotated[Choice, *_chosen("augmentation", TRANSFORMS)]
Mix = Annotated[
    Choice | None,
    BeforeValidator(
        lambda value: value if value is None or isinstance(value, Choice) else choose("mix", value, MIXES)
    ),
    PlainSerializer(lambda choice: choice and choice.describe()),
]


class Clip(Strict):
    """One limit on gradients, before each optimizer step."""

    norm: float | None = Field(None, gt=0, description="of the norm of all gradients together")
    value: float | None = Field(None, gt=0, description="of each gradient's size")
    agc: float | None = Field(None, gt=0, description="of each unit's, in norms of its weights (2102.06171)")

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"found {' and '.join(given) or 'nothing'}, expected one of norm, value, agc")
        return self


class StopEarly(Strict):
    """A training ends after `patience` epochs in which the validation metric did not get better."""

    patience: int = Field(ge=1)
    min_delta: float = Field(0.0, ge=0, description="what is less than this is not better")

    def met(self, values: Iterable[float]) -> bool:
        """Whether epochs with these values of the metric, of which more is better, were enough."""
        best, since = -math.inf, 0
        for value in values:
            better = value > best and value - best >= self.min_delta
            best, since = (value, 0) if better else (best, since + 1)
        return since >= self.patience


_FROM_THE_START = {"epochs", "batch_size", "optimizer", "schedule", "augment", "precision", "validation"}
"""Fields that are always described; the others only where they say something."""


class Recipe(Strict):
    """Everything about a training but its data set, model, loss and seed."""

    epochs: int = Field(20, ge=1)
    batch_size: int = Field(100, ge=2)
    optimizer: Optimizer = Choice("adam", Adam())
    schedule: Schedule = Choice("constant", Constant())
    augment: tuple[Transform, ...] = ()
    """Applied in this order to each training image, anew each epoch."""
    mix: Mix = None
    """Mixes the images and the labels of each training batch in pairs, after augmentation. Default: not."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """bf16, fp16: matrix products and convolutions in bfloat16 or float16 (autocast); weights and loss stay
    in fp32. In fp16 the loss is scaled, and steps whose gradients overflow are left out."""
    validation: float = Field(0.1, gt=0, lt=1)
    """Share of the training images held out when the suite selects by validation."""
    no_decay: Literal["norms_and_biases"] | None = None
    """What weight decay leaves alone: all that is a vector or a number, and what a timm model names."""
    layer_decay: float | None = Field(None, gt=0, le=1)
    """Each layer's learning rate is this times that of the next one towards the output."""

    clip: Clip | None = None
    """What becomes of gradients that are too large. Default: nothing."""
    accumulate: int = Field(1, ge=1)
    """Batches whose gradients make one optimizer step, as one batch of so many times the size would."""
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of an exponential moving average of the weights, which is what is scored and kept."""
    stop_early: StopEarly | None = None
    """When to end before the last epoch. Default: never."""

    freeze: tuple[str, ...] = ()
    """Parameters that stay as they are: names, names of parts, or patterns (``stem``, ``blocks.[0-3].*``)."""
    frozen_statistics: Literal["fixed", "updated"] = "fixed"
    """Whether a norm whose parameters are frozen goes on to count its images in its statistics."""

    @field_validator("augment")
    @classmethod
    def _erased_last(cls, transforms: tuple[Choice, ...]) -> tuple[Choice, ...]:
        # Whatever follows would see a colour that no image of whole numbers has.
        if "erasing" in [transform.name for transform in transforms[:-1]]:
            raise ValueError(f"erasing comes last, found {transforms[-1].name} after it")
        return transforms

    @property
    def crops_first(self) -> bool:
        """Whether training images are cut out of what is stored."""
        return bool(self.augment) and self.augment[0].name == "resized_crop"

    @field_validator("augment")
    @classmethod
    def _crops_first(cls, augment: tuple[Choice, ...]) -> tuple[Choice, ...]:
        if "resized_crop" in [transform.name for transform in augment[1:]]:
            raise ValueError("resized_crop takes images as they are stored: it comes first, and once")
        return augment

    @model_serializer(mode="wrap")
    def _without_what_came_later(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A recipe that does without is described as it was before there was such a thing: run ids stay.
        described: dict[str, Any] = handler(self)
        return {
            key: value
            for key, value in described.items()
            if key in _FROM_THE_START or getattr(self, key) != type(self).model_fields[key].default
        }


def merge_recipes(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the keys of ``override``, as a suite file has them, before validation.

    A choice of the same name keeps the options that the override does not mention: Adam with another
    learning rate is still Adam with the same weight decay. Anything else is replaced.
    """
    merged = dict(base)
    for key, value in override.items():
        if key in ("optimizer", "schedule", "mix") and None not in (value, merged.get(key)):
            before, kept = split_choice(key, merged[key])
            name, given = split_choice(key, value)
            value = {name: {**kept, **given}} if name == before else value
        merged[key] = value
    return merged
