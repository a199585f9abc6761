"""What can be asked of data sets, but for those that lie on disk as their owner keeps them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from bench.registry import ForeignOptions, Options


class DatasetOptions(Options):
    """What can be asked of every data set."""

    train_size: int | None = Field(None, ge=1)
    """Keep this many training images, the same share of every class. Default: all."""
    test_size: int | None = Field(None, ge=1)
    """Keep this many test images, the same share of every class. Default: all."""
    label_noise: float = Field(0.0, ge=0, le=1)
    """Share of training labels replaced by another class. Test labels stay, and those of a validation split
    that the data set has; labels of one that is held out of the training images are replaced as well."""
    noise_seed: int = Field(0, ge=0)
    """Which training labels are replaced, and by what: a property of the data set, the same for every loss,
    model and seed of a run. Also which images a smaller set or a long tail keeps."""


class BuiltInOptions(DatasetOptions):
    """And of every one that is no callable of the user's own, whose options may have any name."""

    noise_kind: Literal["symmetric", "pair_flip"] = "symmetric"
    """Labels are replaced by any other class, chosen uniformly, or by the next one."""
    long_tail: float | None = Field(None, ge=1)
    """How many times as many training images the first class keeps as the last; between them, numbers fall
    exponentially. Default: all images stay."""

    @model_serializer(mode="wrap")
    def _without_what_came_later(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A data set that asks for neither is described as it was before there were these: run ids stay.
        described: dict[str, Any] = handler(self)
        if self.noise_kind == "symmetric":
            described.pop("noise_kind", None)
        if self.long_tail is None:
            described.pop("long_tail", None)
        return described


class LettersOptions(BuiltInOptions):
    """``synthetic-letters``: sizes are free here, and images depend on `seed`."""

    train_size: int = Field(124_800, ge=26)
    test_size: int = Field(20_800, ge=26)
    seed: int = Field(0, ge=0)


class ForeignDatasetOptions(DatasetOptions, ForeignOptions):
    """A callable of the user's own; its options are passed on."""
