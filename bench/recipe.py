"""How a run is trained: epochs, optimizer, schedule, precision, augmentation. What the numbers mean only;
the loop that acts on them is :mod:`bench.training`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from bench.choices import Choice, Options, Strict, choose, split_choice
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


OPTIMIZERS: dict[str, type[Options]] = {"adam": Adam, "adamw": AdamW, "sgd": Sgd}
SCHEDULES: dict[str, type[Options]] = {
    "constant": Constant,
    "cosine": Cosine,
    "one_cycle": OneCycle,
    "random_cube": RandomCube,
}


def _chosen(kind: str, table: Mapping[str, type[Options]]) -> Any:
    return (
        BeforeValidator(lambda value: value if isinstance(value, Choice) else choose(kind, value, table)),
        PlainSerializer(lambda choice: choice.describe()),
    )


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
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: matrix products and convolutions in bfloat16 (autocast); weights and loss stay in fp32."""
    validation: float = Field(0.1, gt=0, lt=1)
    """Share of the training images held out when the suite selects by validation."""

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
        # A recipe that does not mix is described as it was before recipes could: run ids stay.
        described: dict[str, Any] = handler(self)
        if self.mix is None:
            described.pop("mix", None)
        return described


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
