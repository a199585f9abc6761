"""The models that a suite can name, and how one is built for a data set."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from bench.errors import BenchError, nearest
from bench.registry import Choice, ForeignOptions, FreeOptions, Options, choose, describe, load_callable

if TYPE_CHECKING:
    import torch


class StartingWeights(Options):
    """Weights that trainings begin with, in place of those that their seeds draw.

    ``digest`` is that of the file: part of a run's identity, as other weights make another training.
    """

    weights: str | None = Field(None, description="a file of safetensors or torch.save")
    digest: str = Field("", description="follows from the file")

    @model_validator(mode="before")
    @classmethod
    def _digested(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not isinstance(values.get("weights"), str):
            return values
        digest = _digest(find_weights(values["weights"]))
        if values.get("digest", digest) != digest:
            raise ValueError(
                f"weights: {values['weights']} is no longer the file that these runs were planned with; plan "
                "the suite again (bench run SUITE)"
            )
        return {**values, "digest": digest}

    @model_serializer(mode="wrap")
    def _only_where_used(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        described: dict[str, Any] = handler(self)
        unused = () if self.weights is not None else ("weights", "digest")
        return {key: value for key, value in described.items() if key not in unused}


def find_weights(name: str) -> Path:
    """A file of weights: as it is named, or beside the suite, where a user's modules are found, too.

    Raises:
        ValueError: there is none.
    """
    places = [Path(), *map(Path, sys.path)]
    for place in places:
        if (place / name).is_file():
            return place / name
    near = nearest(Path(name).name, (f.name for p in places[:3] for f in (p / name).parent.glob("*.*")))
    raise ValueError(
        f"weights: there is no file '{name}' (searched {', '.join(map(str, places[:3]))}, … ){near}; "
        "those of a library are pretrained: true"
    )


def _digest(path: Path) -> str:
    stat = path.stat()
    return _digest_of(path.absolute(), stat.st_mtime_ns, stat.st_size)


@functools.lru_cache
def _digest_of(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


class Vgg(StartingWeights):
    """VGG-5 of the reference, or its Spinal version: see :mod:`bench.models.vgg`."""

    smallest: ClassVar[int] = 16  # four poolings halve an image four times
    dropout: float = Field(0.5, ge=0, lt=1)


class TinyVgg(Vgg):
    """The same idea for two CPU cores: three stages, `width` channels in the first."""

    smallest: ClassVar[int] = 8
    dropout: float = Field(0.25, ge=0, lt=1)
    width: int = Field(16, ge=1)


class LibraryModel(StartingWeights, FreeOptions):
    """A model of timm or torchvision. Further options go to the library as they are.

    `pretrained` weights are the library's own, which of them says timm's name: ``timm/resnet18.a1_in1k``.
    torchvision's googlenet and inception_v3 return more than logits unless told ``aux_logits: false``.
    """

    image_size: int | None = Field(None, ge=8, description="images are resized to this many pixels")
    pretrained: bool = False

    @model_validator(mode="after")
    def _starts_once(self) -> Self:
        if self.pretrained and self.weights is not None:
            raise ValueError("pretrained, weights: found both, expected one of them")
        if "checkpoint_path" in (self.model_extra or {}):
            raise ValueError("checkpoint_path: a file of weights is named by weights: FILE")
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

        names = timm.list_models()
        name = name.partition(".")[0]  # what follows says which pretrained weights
    else:
        import torchvision

        names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        raise BenchError(
            f"unknown {library} model '{name}'; allowed: the {len(names)} models of {library}"
            f"{nearest(name, names)}"
        )


def build(
    choice: Choice, shape: tuple[int, int, int], classes: int, *, pretrained: bool = False
) -> torch.nn.Module:
    """Build a model for images of ``shape`` (C, H, W): a module from [N, C, H, W] to logits [N, classes].

    Initial weights come from torch's default generator, which the caller seeds, or, ``pretrained``, from
    timm; what trainings begin with is :func:`bench.training.start.begin`. A callable of the user's
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
        return _build_library_model(
            choice, options, shape[0], classes, {"pretrained": True} if pretrained else {}
        )
    return _build_foreign_model(choice, shape[0], classes)


def _build_library_model(
    choice: Choice, options: LibraryModel, channels: int, classes: int, more: Mapping[str, Any]
) -> torch.nn.Module:
    from bench.models.resize import Resized, first_convolution

    check_library_name(choice)
    library, _, name = choice.name.partition("/")
    extra = options.model_extra or {}
    try:
        if library == "timm":
            import timm

            model = timm.create_model(name, num_classes=classes, in_chans=channels, **more, **extra)
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
