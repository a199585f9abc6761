"""The models that a suite can name, and how one is built for a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from bench.choices import Choice, ForeignOptions, FreeOptions, Options, choose, describe, load_callable
from bench.errors import BenchError, nearest

if TYPE_CHECKING:
    import torch


class Vgg(Options):
    """VGG-5 of the reference, or its Spinal version: see :mod:`bench.models.vgg`."""

    smallest: ClassVar[int] = 16  # four poolings halve an image four times
    dropout: float = Field(0.5, ge=0, lt=1)


class TinyVgg(Vgg):
    """The same idea for two CPU cores: three stages, `width` channels in the first."""

    smallest: ClassVar[int] = 8
    dropout: float = Field(0.25, ge=0, lt=1)
    width: int = Field(16, ge=2, multiple_of=2)


class LibraryModel(FreeOptions):
    """A model of timm or torchvision, never pretrained. Further options go to the library as they are."""

    image_size: int | None = Field(None, ge=8, description="images are resized to this many pixels")
    pretrained: Literal[False] = False


MODELS: dict[str, type[Options]] = {
    "vgg5": Vgg,
    "spinal-vgg5": Vgg,
    "vgg5-tiny": TinyVgg,
    "spinal-vgg5-tiny": TinyVgg,
    "timm/": LibraryModel,
    "torchvision/": LibraryModel,
    "module:callable": ForeignOptions,
}


def choose_model(value: Any) -> Choice:
    """Resolve a model named in a suite. Raises ValueError where it does not hold."""
    return choose("model", value, MODELS)


def check_fit(choice: Choice, shape: tuple[int, int, int]) -> None:
    """Raise BenchError where a built-in model cannot take images of ``shape`` (C, H, W)."""
    smallest = getattr(choice.options, "smallest", 1)
    if min(shape[1:]) < smallest:
        raise BenchError(
            f"model '{choice.name}' needs images of at least {smallest}×{smallest} pixels, "
            f"found {shape[1]}×{shape[2]}; use '{choice.name.removesuffix('-tiny')}-tiny'"
        )


def check_library_name(choice: Choice) -> None:
    """Raise BenchError for a name that timm or torchvision does not have. Imports that library."""
    library, _, name = choice.name.partition("/")
    if library == "timm":
        import timm

        known = timm.list_models()
    elif library == "torchvision":
        import torchvision

        known = torchvision.models.list_models(module=torchvision.models)
    else:
        return
    if name not in known:
        raise BenchError(
            f"unknown {library} model '{name}'; allowed: the {len(known)} models of {library}"
            f"{nearest(name, known)}"
        )


def build(choice: Choice, shape: tuple[int, int, int], classes: int) -> torch.nn.Module:
    """Build a model for images of ``shape`` (C, H, W): a module from [N, C, H, W] to logits [N, classes].

    Initial weights come from torch's default generator, which the caller seeds. A callable of the user's
    own is called as ``callable(channels=C, classes=K, **options)``.

    Raises:
        BenchError: the model cannot be built with these options, or not for these images.
    """
    from bench.models import vgg

    check_fit(choice, shape)
    options = choice.options
    if isinstance(options, TinyVgg):
        width, spinal = options.width, choice.name.startswith("spinal")
        return vgg.tiny(shape[0], classes, width=width, spinal=spinal, dropout=options.dropout)
    if isinstance(options, Vgg):
        spinal = choice.name.startswith("spinal")
        return vgg.vgg5(shape[0], classes, spinal=spinal, dropout=options.dropout)
    if isinstance(options, LibraryModel):
        return _build_library_model(choice, options, shape[0], classes)
    return _build_foreign_model(choice, shape[0], classes)


def _build_library_model(
    choice: Choice, options: LibraryModel, channels: int, classes: int
) -> torch.nn.Module:
    from bench.models.resize import Resized, first_convolution

    check_library_name(choice)
    library, _, name = choice.name.partition("/")
    extra = dict(options.model_extra or {})
    try:
        if library == "timm":
            import timm

            model = timm.create_model(name, num_classes=classes, in_chans=channels, **extra)
        else:
            import torchvision

            model = torchvision.models.get_model(name, weights=None, num_classes=classes, **extra)
            if channels != 3:
                first_convolution(model, channels)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise BenchError(f"model '{choice.name}' cannot be built: {error}") from error
    return Resized(model, options.image_size) if options.image_size else model


def _build_foreign_model(choice: Choice, channels: int, classes: int) -> torch.nn.Module:
    import torch

    options = dict(choice.options.model_extra or {})
    try:
        model = load_callable(choice.name)(channels=channels, classes=classes, **options)
    except TypeError as error:
        raise BenchError(
            f"model '{choice.name}' cannot be called with channels, classes and its options: {error}"
        ) from error
    if not isinstance(model, torch.nn.Module):
        raise BenchError(f"model '{choice.name}' returned {describe(model)}, not a torch.nn.Module")
    return model

