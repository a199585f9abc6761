"""The models that a suite can name, and how one is built for a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

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
    width: int = Field(16, ge=1)


class LibraryModel(FreeOptions):
    """A model of timm or torchvision, never pretrained. Further options go to the library as they are.

    torchvision's googlenet and inception_v3 return more than logits unless told ``aux_logits: false``.
    """

    image_size: int | None = Field(None, ge=8, description="images are resized to this many pixels")
    pretrained: bool = False

    @model_validator(mode="after")
    def _starts_from_its_seed(self) -> Self:
        given = {"pretrained": self.pretrained, **(self.model_extra or {})}
        for key in ("pretrained", "weights", "checkpoint_path"):
            if given.get(key):
                raise ValueError(
                    f"{key}: found {describe(given[key])}; every run starts from weights that its seed "
                    "draws, so pretrained ones cannot be used"
                )
        return self


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
        advice = f"; use '{choice.name}-tiny'" if TinyVgg.smallest <= min(shape[1:]) else ""
        raise BenchError(
            f"model '{choice.name}' needs images of at least {smallest}×{smallest} pixels, "
            f"found {shape[1]}×{shape[2]}{advice}"
        )


def check_library_name(choice: Choice) -> None:
    """Raise BenchError for a name that timm or torchvision does not have. Imports that library."""
    library, _, name = choice.name.partition("/")
    if library == "timm":
        import timm

        known = timm.list_models()
    else:
        import torchvision

        known = torchvision.models.list_models(module=torchvision.models)
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
    extra = options.model_extra or {}
    try:
        if library == "timm":
            import timm

            model = timm.create_model(name, num_classes=classes, in_chans=channels, **extra)
        else:
            import torchvision

            model = torchvision.models.get_model(name, weights=None, num_classes=classes, **extra)
            if channels != 3:
                first_convolution(model, channels)
    except Exception as error:  # these options reach code that can raise anything
        raise _not_built(choice, error) from error
    return Resized(model, options.image_size) if options.image_size else model


def _build_foreign_model(choice: Choice, channels: int, classes: int) -> torch.nn.Module:
    import torch

    make = load_callable(choice.name)
    try:
        model = make(channels=channels, classes=classes, **(choice.options.model_extra or {}))
    except Exception as error:  # code of the user's own can raise anything
        raise _not_built(choice, error) from error
    if not isinstance(model, torch.nn.Module):
        raise BenchError(f"model '{choice.label()}' returned {describe(model)}, not a torch.nn.Module")
    return model


def _not_built(choice: Choice, error: Exception) -> BenchError:
    return BenchError(f"model '{choice.label()}' cannot be built: {type(error).__name__}: {error}")
