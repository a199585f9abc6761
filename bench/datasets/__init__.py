"""The data sets that a suite can name, how one is loaded, and how it is fetched.

All of them become four tensors in memory (:class:`Images`): the training loop does the rest on the device.
Files live under a data folder (``BENCH_DATA``, by default ``data``), in the layout of torchvision.
"""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from bench.choices import Choice, ForeignOptions, Options, choose, describe, load_callable
from bench.datasets.forms import FIRST_LABELS as FIRST_LABELS
from bench.datasets.forms import FORMS as FORMS
from bench.datasets.forms import Form as Form
from bench.errors import BenchError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True)
class Images:
    """A data set in memory: uint8 images [N, C, H, W], int64 labels [N] from 0 to classes − 1."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    form: Form
    source: str
    """:func:`digest` of the four as they came, before subset and noise."""
    digest: str
    """:func:`digest` of the four as they are here."""


class DatasetOptions(Options):
    """What can be asked of every data set."""

    train_size: int | None = Field(None, ge=1)
    """Keep this many training images, the same share of every class. Default: all."""
    test_size: int | None = Field(None, ge=1)
    """Keep this many test images, the same share of every class. Default: all."""
    label_noise: float = Field(0.0, ge=0, le=1)
    """Share of training labels replaced by another class, chosen uniformly. Test labels stay; labels of a
    validation split, which is held out of the training images, are replaced as well."""
    noise_seed: int = Field(0, ge=0)
    """Which training labels are replaced, and by what: a property of the data set, the same for every loss,
    model and seed of a run. Also which images a smaller set keeps."""


class LettersOptions(DatasetOptions):
    """``synthetic-letters``: sizes are free here, and images depend on `seed`."""

    train_size: int = Field(124_800, ge=26)
    test_size: int = Field(20_800, ge=26)
    seed: int = Field(0, ge=0)


class ForeignDatasetOptions(DatasetOptions, ForeignOptions):
    """A callable of the user's own; its options are passed on."""


DATASETS: dict[str, type[Options]] = {
    **dict.fromkeys(FORMS, DatasetOptions),
    "synthetic-letters": LettersOptions,
    "module:callable": ForeignDatasetOptions,
}


def choose_dataset(value: Any) -> Choice:
    """Resolve a data set named in a suite. Raises ValueError where it does not hold."""
    return choose("data set", value, DATASETS)


@functools.lru_cache(maxsize=2)  # a worker trains many runs on the same data, one after another
def load(choice: Choice, root: Path) -> Images:
    """Load a data set from the folder ``root``, with its subset and its label noise.

    Raises:
        BenchError: it is not on disk, or what a user's callable returns is no data set.
    """
    import torch

    options = choice.options
    assert isinstance(options, DatasetOptions)
    train_images, train_labels, test_images, test_labels, form = _read(choice, options, root)
    source = digest(train_images, train_labels, test_images, test_labels)
    if not isinstance(options, LettersOptions):
        train_images, train_labels = _subset(
            choice, "train_size", train_images, train_labels, options.train_size, options.noise_seed
        )
        test_images, test_labels = _subset(
            choice, "test_size", test_images, test_labels, options.test_size, options.noise_seed
        )
    if options.label_noise:
        noisy = symmetric_noise(train_labels.numpy(), form.classes, options.label_noise, options.noise_seed)
        train_labels = torch.from_numpy(noisy)
    parts = train_images, train_labels, test_images, test_labels
    return Images(*parts, form, source, digest(*parts))


def digest(*parts: Tensor) -> str:
    """16 hexadecimal digits of tensors on the CPU: their types, shapes and bytes."""
    found = hashlib.sha256()
    for part in parts:
        found.update(f"{part.dtype} {[*part.shape]} ".encode())
        found.update(part.reshape(-1).numpy().data)
    return found.hexdigest()[:16]


def _in_files(choice: Choice) -> bool:
    return choice.name in FORMS and choice.name not in ("digits", "synthetic-letters")


def present(choice: Choice, root: Path) -> bool:
    """Whether a data set can be loaded: its files are read to see; those without files always can."""
    if not _in_files(choice):
        return True
    from bench.datasets import files

    return files.present(choice.name, root)


def fetch(choice: Choice, root: Path) -> None:
    """Unpack or download the files of a data set into ``root``. Raises BenchError where that fails."""
    if _in_files(choice):
        from bench.datasets import files

        files.fetch(choice.name, root)


def _read(choice: Choice, options: DatasetOptions, root: Path) -> tuple[Tensor, Tensor, Tensor, Tensor, Form]:
    if choice.name == "digits":
        return (*_digits(), FORMS["digits"])
    if isinstance(options, LettersOptions):
        from bench.datasets.letters import synthetic_letters

        letters = synthetic_letters(options.train_size, options.test_size, options.seed)
        return (*letters, FORMS["synthetic-letters"])
    if _in_files(choice):
        from bench.datasets import files

        return (*files.read(choice.name, root), FORMS[choice.name])
    return _foreign(choice, options)


def _digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """scikit-learn's 1,797 handwritten digits, split 3 to 1 by class, the same way always."""
    import numpy as np
    import torch

    # scikit-learn's own loader would import all of scikit-learn: over a second in every worker, for one file.
    package = find_spec("sklearn")
    assert package is not None
    assert package.origin is not None
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    table = np.loadtxt(file, delimiter=",", dtype=np.int64)
    # A row an image: 64 grey levels from 0 to 16, spread over 0–255 here, then the digit.
    images = torch.from_numpy(np.rint(table[:, :64] * (255 / 16)).astype(np.uint8)).reshape(-1, 1, 8, 8)
    labels = torch.from_numpy(table[:, 64])
    test, train = stratified_split(table[:, 64], 450, np.random.default_rng(0))
    return images[train], labels[train], images[test], labels[test]


def _foreign(choice: Choice, options: DatasetOptions) -> tuple[Tensor, Tensor, Tensor, Tensor, Form]:
    """``callable(**options)`` returns train images, train labels, test images and test labels.

    Arrays or tensors: uint8 images [N, C, H, W] or [N, H, W], integer labels [N] from 0.
    """
    where = f"data set '{choice.label()}'"
    make = load_callable(choice.name)
    try:
        parts = make(**(options.model_extra or {}))
    except Exception as error:  # code of the user's own can raise anything
        raise BenchError(f"{where}: {type(error).__name__}: {error}") from error
    if not isinstance(parts, (tuple, list)) or len(parts) != 4:
        raise BenchError(
            f"{where}: it returned {describe(parts)}, "
            "expected train images, train labels, test images, test labels"
        )
    train_images, train_labels = _foreign_part(f"{where}: train", parts[0], parts[1])
    test_images, test_labels = _foreign_part(f"{where}: test", parts[2], parts[3])
    channels, height, width = train_images.shape[1:]
    if test_images.shape[1:] != train_images.shape[1:]:
        raise BenchError(
            f"{where}: train images are {[channels, height, width]}, "
            f"test images {list(test_images.shape[1:])}; expected the same shape"
        )
    classes = int(max(train_labels.max(), test_labels.max())) + 1
    if (first := int(min(train_labels.min(), test_labels.min()))) > 0:
        raise BenchError(
            f"{where}: labels begin at {first}, expected classes counted from 0; subtract {first} from them"
        )
    if not 2 <= classes <= 65_536:  # a result keeps each predicted class in at most two bytes
        raise BenchError(f"{where}: labels run up to {classes - 1}, expected 1 to 65535, counted from 0")
    form = Form((channels, height, width), classes, *_mean_and_std(train_images))
    return train_images, train_labels, test_images, test_labels, form


def _foreign_part(where: str, images: Any, labels: Any) -> tuple[Tensor, Tensor]:
    import torch

    try:
        images, labels = torch.as_tensor(images, device="cpu"), torch.as_tensor(labels, device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:
        raise BenchError(f"{where} images or labels are no arrays of numbers: {error}") from error
    if images.dtype != torch.uint8 or images.ndim not in (3, 4) or images.numel() == 0:
        raise BenchError(
            f"{where} images are {images.dtype} {list(images.shape)}, "
            "expected uint8 [N, C, H, W] or [N, H, W], and at least one image"
        )
    if images.ndim == 4 and images.shape[3] in (1, 3, 4) and min(images.shape[1:3]) > 4:
        raise BenchError(
            f"{where} images are {list(images.shape)}, which looks like N×H×W×C, expected [N, C, H, W]; "
            "return images.transpose(0, 3, 1, 2) (of a tensor images.permute(0, 3, 1, 2))"
        )
    if labels.is_floating_point() or labels.is_complex() or labels.shape != images.shape[:1]:
        raise BenchError(
            f"{where} labels are {labels.dtype} {list(labels.shape)}, "
            f"expected one integer for each of {len(images)} images"
        )
    labels = labels.long()
    if labels.min() < 0:
        raise BenchError(f"{where} labels go down to {labels.min()}, expected classes counted from 0")
    return images if images.ndim == 4 else images.unsqueeze(1), labels


def _mean_and_std(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of each channel of uint8 images [N, C, H, W], divided by 255."""
    import torch

    # From counts of the 256 levels, in integers: exact, and without a copy of all images as floats.
    levels = torch.arange(256)
    means, stds = [], []
    for channel in images.unbind(dim=1):
        count = torch.bincount(channel.flatten(), minlength=256)
        n, total, squares = channel.numel(), int((count * levels).sum()), int((count * levels**2).sum())
        means.append(total / n / 255)
        # A channel of one colour has nothing to scale; dividing by 0 would make it NaN.
        stds.append(math.sqrt(n * squares - total**2) / n / 255 or 1.0)
    return tuple(means), tuple(stds)


def _subset(
    choice: Choice, option: str, images: Tensor, labels: Tensor, size: int | None, seed: int
) -> tuple[Tensor, Tensor]:
    import numpy as np

    if size is None or size == len(labels):
        return images, labels
    if size > len(labels):
        raise BenchError(
            f"data set '{choice.name}': {option}: found {size}; it has {len(labels)} such images"
        )
    keep, _ = stratified_split(labels.numpy(), size, np.random.default_rng([seed, size]))
    return images[keep], labels[keep]


def stratified_split(
    labels: np.ndarray[Any, Any], first: int, rng: np.random.Generator
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Split indices into two parts that hold the same share of every class, up to one image a class.

    Args:
        labels: integers [N].
        first: how many images the first part gets, 0 to N.
        rng: decides which ones; for equal labels and state, the same ones always.

    Returns:
        Sorted indices of the first part [first] and of the second [N − first].
    """
    import numpy as np

    take, remainder = np.divmod(np.bincount(labels) * first, max(len(labels), 1))
    # Largest remainders get what rounding down has left over; ties go to the smaller class.
    take[np.argsort(-remainder, kind="stable")[: first - take.sum()]] += 1
    chosen = np.zeros(len(labels), dtype=bool)
    for label, number in enumerate(take):
        members = np.flatnonzero(labels == label)
        chosen[rng.permutation(members)[:number]] = True
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def symmetric_noise(
    labels: np.ndarray[Any, Any], classes: int, share: float, seed: int
) -> np.ndarray[Any, Any]:
    """Replace exactly round(share · N) labels by a *different* class, uniformly chosen (1908.06112 §4).

    Args:
        labels: integers [N] from 0 to classes − 1; stay as they are.
        classes: at least 2.
        share: 0 to 1.
        seed: decides which labels are replaced, and by what.

    Returns:
        The new labels [N].
    """
    import numpy as np

    rng = np.random.default_rng([seed, 1])
    noisy = labels.copy()
    hit = rng.permutation(len(labels))[: round(share * len(labels))]
    noisy[hit] = (noisy[hit] + rng.integers(1, classes, size=len(hit))) % classes
    return noisy
