"""The data sets that a suite can name, how one is loaded, and how it is fetched.

All of them become tensors (:class:`Images`), in memory or mapped from files: the training loop does the rest.
Files live under a data folder (``BENCH_DATA``, by default ``data``): in the layout of torchvision, or decoded
once from where their owner keeps them (:mod:`bench.datasets.cache`).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.datasets import own
from bench.datasets.forms import FIRST_LABELS as FIRST_LABELS
from bench.datasets.forms import FORMS as FORMS
from bench.datasets.forms import Form as Form
from bench.datasets.on_disk import FORMS_ON_DISK, Library, check_torchvision_name
from bench.datasets.on_disk import OnDisk as OnDisk
from bench.datasets.options import BuiltInOptions as BuiltInOptions
from bench.datasets.options import DatasetOptions as DatasetOptions
from bench.datasets.options import ForeignDatasetOptions
from bench.datasets.options import LettersOptions as LettersOptions
from bench.datasets.variants import grouped_split as grouped_split
from bench.datasets.variants import long_tail, pair_flip_noise
from bench.datasets.variants import stratified_split as stratified_split
from bench.datasets.variants import symmetric_noise as symmetric_noise
from bench.errors import BenchError
from bench.registry import Choice, Options, choose

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from bench.datasets.variants import Rows


@dataclass(frozen=True)
class Images:
    """A data set: raw images [N, C, H, W], int64 labels [N] from 0 to classes − 1.

    In memory, or mapped from files, where only what is looked at takes memory.
    """

    train_images: Tensor
    """uint8, uint16 or float32. May be larger than those of the other parts, for random crops."""
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    form: Form
    source: str
    """:func:`digest` of all images and labels as they came, before subset and noise."""
    digest: str
    """The same of what they are here."""
    validation: tuple[Tensor, Tensor] | None = None
    """Images and labels of a validation split that the data set has."""
    mapped: bool = False
    """Whether images are mapped from files."""
    train_rows: Tensor | None = None
    """Of mapped training images those that are kept, int64; None: all."""
    groups: np.ndarray[Any, Any] | None = None
    """int64 [N], of the training images: what has one number is never torn apart by a split."""
    notes: tuple[str, ...] = ()
    """What a result must say about its data."""


DATASETS: dict[str, type[Options]] = {
    **dict.fromkeys(FORMS, BuiltInOptions),
    "synthetic-letters": LettersOptions,
    **FORMS_ON_DISK,
    "module:callable": ForeignDatasetOptions,
}


def choose_dataset(value: Any) -> Choice:
    """Resolve a data set named in a suite. Raises ValueError where it does not hold."""
    choice = choose("data set", value, DATASETS)
    if isinstance(choice.options, Library):
        check_torchvision_name(choice.name)
    return choice


def shape_of(choice: Choice) -> tuple[int, int, int] | None:
    """Channels, height and width of a data set's images, where that is known before it is loaded."""
    if isinstance(choice.options, OnDisk):
        return choice.options.shape()
    form = FORMS.get(choice.name)
    return form and form.shape


@functools.lru_cache(maxsize=2)  # a worker trains many runs on the same data, one after another
def load(choice: Choice, root: Path) -> Images:
    """Load a data set from the folder ``root``, with its subset, its long tail and its label noise.

    Raises:
        BenchError: it is not on disk, or what a user's callable returns is no data set.
    """
    import torch

    options = choice.options
    assert isinstance(options, DatasetOptions)
    came = _read(choice, options, root)
    given = came.train_labels.numpy()
    rows = _kept(choice, options, given, came.form.classes)
    tested = None
    if not isinstance(options, LettersOptions):
        tested = _subset(choice, "test_size", came.test_labels.numpy(), options.test_size, options.noise_seed)
    if rows is None and tested is None and not options.label_noise:
        return came
    labels = given if rows is None else given[rows]
    if options.label_noise:
        labels = _with_noise(choice, options, labels, came.form.classes)
    test_images, test_labels = came.test_images, came.test_labels
    if tested is not None:
        test_images, test_labels = test_images[tested], test_labels[tested]
    train_images, train_labels, train_rows = came.train_images, torch.from_numpy(labels), None
    if rows is not None and came.mapped:  # they stay where they are, and so do their numbers
        whole = given.copy()
        whole[rows] = labels
        train_labels, train_rows = torch.from_numpy(whole), torch.from_numpy(rows)
    elif rows is not None:
        train_images = train_images[rows]
    here = replace(
        came,
        train_images=train_images,
        train_labels=train_labels,
        train_rows=train_rows,
        test_images=test_images,
        test_labels=test_labels,
    )
    if not came.mapped:
        return replace(here, digest=digest(*_parts(here)))
    # All images are not read again: which ones there are says as much.
    used = [part for part in (here.train_labels, here.train_rows, test_labels) if part is not None]
    return replace(here, digest=digest(*used, salt=came.source))


def _kept(choice: Choice, options: DatasetOptions, labels: Rows, classes: int) -> Rows | None:
    """The rows of the training images that a smaller set or a long tail keeps; None: all."""
    rows = None
    if not isinstance(options, LettersOptions):
        rows = _subset(choice, "train_size", labels, options.train_size, options.noise_seed)
    if isinstance(options, BuiltInOptions) and options.long_tail is not None:
        kept = labels if rows is None else labels[rows]
        rare = long_tail(kept, classes, options.long_tail, options.noise_seed)
        rows = rare if rows is None else rows[rare]
    return rows


def _with_noise(choice: Choice, options: DatasetOptions, labels: Rows, classes: int) -> Rows:
    if classes < 2:
        raise BenchError(f"data set '{choice.label()}': label_noise: it has one class, and none to take")
    pairs = getattr(options, "noise_kind", "symmetric") == "pair_flip"
    replace_labels = pair_flip_noise if pairs else symmetric_noise
    return replace_labels(labels, classes, options.label_noise, options.noise_seed)


def _parts(images: Images) -> list[Tensor]:
    held_out = images.validation or ()
    return [images.train_images, images.train_labels, images.test_images, images.test_labels, *held_out]


def digest(*parts: Tensor, salt: str = "") -> str:
    """16 hexadecimal digits of tensors on the CPU: their types, shapes and bytes."""
    sums = hashlib.sha256(salt.encode())
    for part in parts:
        sums.update(f"{part.dtype} {[*part.shape]} ".encode())
        sums.update(part.reshape(-1).numpy().data)
    return sums.hexdigest()[:16]


def _in_files(choice: Choice) -> bool:
    return choice.name in FORMS and choice.name not in ("digits", "synthetic-letters")


def present(choice: Choice, root: Path) -> bool:
    """Whether a data set can be loaded: its files are read to see; those without files always can.

    Raises:
        BenchError: it is decoded, and damaged.
    """
    if isinstance(choice.options, OnDisk):
        from bench.datasets.stored import is_stored

        return is_stored(choice.name, choice.options, root)
    if not _in_files(choice):
        return True
    from bench.datasets import files

    return files.present(choice.name, root)


def lies_in(choice: Choice, root: Path) -> str:
    """Where a data set that is present is read from, in words."""
    if isinstance(choice.options, OnDisk):
        from bench.datasets.cache import folder_of

        return str(folder_of(choice.name, choice.options, root))
    if not _in_files(choice):
        return "no files needed" if ":" not in choice.name else "its own code"
    from bench.datasets import files

    return files.lies_in(choice.name, root)


def fetch(choice: Choice, root: Path, say: Callable[[str], None] = lambda words: None) -> None:
    """Unpack, download or decode the files of a data set into ``root``. Raises BenchError where that fails.

    Args:
        say: gets what is being done.
    """
    if isinstance(choice.options, OnDisk):
        from bench.datasets.stored import stored

        stored(choice.name, choice.options, root, say)
    elif _in_files(choice):
        from bench.datasets import files

        say(f"fetching data set {choice.name} into {root}")
        files.fetch(choice.name, root)


def _read(choice: Choice, options: DatasetOptions, root: Path) -> Images:
    """A data set as it comes."""
    if isinstance(options, OnDisk):
        return _mapped(choice, options, root)
    if ":" in choice.name:
        arrays = own.read(choice, options)
        return _in_memory(arrays.form, *arrays.train, *arrays.test, validation=arrays.validation)
    if choice.name == "digits":
        return _in_memory(FORMS["digits"], *_digits())
    if isinstance(options, LettersOptions):
        from bench.datasets.letters import synthetic_letters

        letters = synthetic_letters(options.train_size, options.test_size, options.seed)
        return _in_memory(FORMS["synthetic-letters"], *letters)
    from bench.datasets import files

    return _in_memory(FORMS[choice.name], *files.read(choice.name, root))


def _in_memory(
    form: Form,
    train_images: Tensor,
    train_labels: Tensor,
    test_images: Tensor,
    test_labels: Tensor,
    validation: tuple[Tensor, Tensor] | None = None,
) -> Images:
    parts = train_images, train_labels, test_images, test_labels
    source = digest(*parts, *(validation or ()))
    return Images(*parts, form, source, source, validation)


def _mapped(choice: Choice, options: OnDisk, root: Path) -> Images:
    """A data set on disk, from its decoded files."""
    import numpy as np

    from bench.datasets.cache import images_of
    from bench.datasets.stored import stored

    folder, content = stored(choice.name, options, root)
    train, test = (images_of(folder, content, part) for part in ("train", "test"))
    return Images(
        *train,
        *test,
        form=content.form,
        source=content.digest,
        digest=content.digest,
        validation=images_of(folder, content, "validation") if "validation" in content.parts else None,
        mapped=True,
        groups=np.fromfile(folder / "train.groups", np.int64) if content.grouped else None,
        notes=tuple(content.notes),
    )


def _subset(choice: Choice, option: str, labels: Rows, size: int | None, seed: int) -> Rows | None:
    """The rows that a smaller set keeps; None: all."""
    if size is None or size == len(labels):
        return None
    if size > len(labels):
        raise BenchError(
            f"data set '{choice.name}': {option}: found {size}; it has {len(labels)} such images"
        )
    import numpy as np

    keep, _ = stratified_split(labels, size, np.random.default_rng([seed, size]))
    return keep


def _digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """1,797 handwritten digits, split 3 to 1 by class, the same way always.

    The test part of Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits" (UCI, 1998, CC BY 4.0),
    in the file that scikit-learn gives away.
    """
    import numpy as np
    import torch

    file = Path(__file__).with_name("digits.csv.gz")
    table = np.loadtxt(file, delimiter=",", dtype=np.int64)
    # A row an image: 64 grey levels from 0 to 16, spread over 0–255 here, then the digit.
    images = torch.from_numpy(np.rint(table[:, :64] * (255 / 16)).astype(np.uint8)).reshape(-1, 1, 8, 8)
    labels = torch.from_numpy(table[:, 64])
    test, train = stratified_split(table[:, 64], 450, np.random.default_rng(0))
    return images[train], labels[train], images[test], labels[test]
