"""Data sets that come as files: EMNIST, MNIST and its kin, CIFAR, through torchvision's own loaders."""

from __future__ import annotations

import contextlib
import fnmatch
import gzip
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor

from bench.datasets.forms import FIRST_LABELS, FORMS
from bench.errors import BenchError

_KINDS: dict[str, Any] = {
    "mnist": torchvision.datasets.MNIST,
    "fashion-mnist": torchvision.datasets.FashionMNIST,
    "kmnist": torchvision.datasets.KMNIST,
    "qmnist": torchvision.datasets.QMNIST,
    "cifar10": torchvision.datasets.CIFAR10,
    "cifar100": torchvision.datasets.CIFAR100,
}

PACKAGED = {"fashion-mnist": Path("/usr/share/datasets/fashion-mnist")}
"""Where Debian's packages put the original files: dataset-fashion-mnist."""


def read(name: str, root: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Train images, train labels, test images, test labels, as :class:`bench.datasets.Images` has them.

    EMNIST images stay transposed, as torchvision returns them and as the reference trained on them; the
    labels of EMNIST-Letters, 1–26 in its files, become 0–25.

    Raises:
        BenchError: the files are not in ``root``, or they are damaged.
    """
    train_images, train_labels = _read_part(name, root, train=True)
    test_images, test_labels = _read_part(name, root, train=False)
    return train_images, train_labels, test_images, test_labels


def lies_in(name: str, root: Path) -> str:
    """Where the data set is read from, of one that is present."""
    try:
        _open(name, root, train=True)
    except Exception:  # torchvision's readers raise whatever their parsing stumbles over
        if (folder := _packaged(name)) is not None:
            return f"{folder} (a package of this machine's system)"
    return str(_folder(name, root))


def present(name: str, root: Path) -> bool:
    """Whether the data set can be read from ``root``.

    Reads all of it (a tenth of a second for 120,000 small images): a file that was cut short is found here,
    and not by a hundred jobs.
    """
    try:
        read(name, root)
    except BenchError:
        return False
    return True


def fetch(name: str, root: Path) -> None:
    """Make a data set readable: unpack what someone has put into ``root`` by hand, else download it.

    Whichever it is happens in a folder of its own, ``.fetching-…``, and only whole files are moved from there
    to their place: being interrupted leaves no half ones.

    Raises:
        BenchError: an archive is damaged, the download fails, or ``root`` cannot be written.
    """
    for bring in (_unpack, _download):
        if present(name, root):
            return
        try:
            root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=root, prefix=".fetching-") as staging:
                bring(name, root, Path(staging))
                _move_files(Path(staging), root)
        except OSError as error:
            raise BenchError(f"data set '{name}' cannot be put into {root}: {_reason(error)}") from error


def _kind(name: str) -> Any:
    return torchvision.datasets.EMNIST if name.startswith("emnist-") else _KINDS[name]


def _open(name: str, root: Path, **arguments: bool) -> Any:
    if name.startswith("emnist-"):
        return torchvision.datasets.EMNIST(root, split=name.removeprefix("emnist-"), **arguments)
    return _KINDS[name](root, **arguments)


def _folder(name: str, root: Path) -> Path:
    """Where torchvision looks for the unpacked files."""
    kind = _kind(name)
    return root / getattr(kind, "base_folder", Path(kind.__name__, "raw"))


def _read_part(name: str, root: Path, *, train: bool) -> tuple[Tensor, Tensor]:
    where = f"data set '{name}' in {_folder(name, root)}"
    advice = (
        "fetch it with `bench fetch SUITE` on a machine that has a network, "
        "or point BENCH_DATA to a folder that has it"
    )
    try:
        dataset = _open(name, root, train=train)
    except Exception as error:  # torchvision's readers raise whatever their parsing stumbles over
        if "not found" in str(error) and _packaged(name) is not None:
            return _read_packaged(name, train=train)
        if "not found" in str(error):
            raise BenchError(f"{where}: files are missing, or not what they should be; {advice}") from error
        raise BenchError(f"{where}: cannot be read: {_reason(error)}; {advice}") from error
    return _checked(name, where, advice, torch.as_tensor(dataset.data), torch.as_tensor(dataset.targets))


def _packaged(name: str) -> Path | None:
    """The folder of a package of this machine's system; None: it is not installed."""
    folder = PACKAGED.get(name)
    return folder if folder is not None and folder.is_dir() else None


def _read_packaged(name: str, *, train: bool) -> tuple[Tensor, Tensor]:
    folder = PACKAGED[name]
    part = "train" if train else "t10k"
    images, labels = (folder / f"{part}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    where, advice = f"data set '{name}' in {folder}", "install its package again"
    return _checked(name, where, advice, _idx(images), _idx(labels).long())


def _idx(file: Path) -> Tensor:
    """The format of MNIST: two zeros, 8 for bytes, the number of dimensions, each size, values."""
    try:
        with gzip.open(file) as packed:
            content = packed.read()
        sizes = np.frombuffer(content, ">u4", content[3], 4)
        values = np.frombuffer(content, np.uint8, offset=4 + sizes.nbytes)
        if content[:3] != b"\0\0\x08":
            raise ValueError("it does not begin as such files do")
        return torch.from_numpy(values.reshape(sizes).copy())
    except Exception as error:  # gzip, zlib and numpy each say in their own way that it is damaged
        raise BenchError(f"{file} cannot be read: {_reason(error)}") from None


def _checked(name: str, where: str, advice: str, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """As :class:`bench.datasets.Images` has them. Raises BenchError where they are something else."""
    # CIFAR has [N, H, W, C]; the others [N, H, W].
    images = images.permute(0, 3, 1, 2).contiguous() if images.ndim == 4 else images.unsqueeze(1)
    if labels.ndim == 2:  # QMNIST keeps eight columns; the first is the class
        labels = labels[:, 0].contiguous()
    labels = labels - FIRST_LABELS.get(name, 0)
    form = FORMS[name]
    if images.shape != (len(labels), *form.shape) or labels.min() < 0 or labels.max() >= form.classes:
        raise BenchError(
            f"{where}: found images {list(images.shape)} and {len(labels)} labels from {labels.min()} to "
            f"{labels.max()}, expected images of {form.shape} and {form.classes} classes; {advice}"
        )
    return images, labels


def _reason(error: Exception) -> str:
    """One line, and never empty: torchvision has messages of many lines, and assertions without any."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _download(name: str, root: Path, staging: Path) -> None:
    try:
        for train in (True, False):
            _open(name, staging, train=train, download=True)
    except Exception as error:  # networks and archives fail in more ways than anyone has listed
        raise BenchError(
            f"data set '{name}' cannot be downloaded: {_reason(error)}; "
            f"put its files into {_folder(name, root)} by hand, or point BENCH_DATA to a folder that has it"
        ) from error


def _unpack(name: str, root: Path, staging: Path) -> None:
    """Unpack what belongs to a data set and lies in its folder as it is downloaded.

    EMNIST's archives are ``gzip.zip`` or its members, MNIST's and its kin's are ``.gz`` files; CIFAR's is a
    ``.tar.gz`` beside the folder.
    """
    source, target = _folder(name, root), _folder(name, staging)
    if name.startswith("cifar"):
        archive = root / _KINDS[name].filename
        if archive.is_file():
            with _blaming(archive):
                torchvision.datasets.utils.extract_archive(archive, staging)
        return
    compressed: list[Path | zipfile.Path] = [*sorted(source.rglob("*.gz"))]
    archive = source / "gzip.zip"
    if archive.is_file():
        with _blaming(archive):
            whole = zipfile.ZipFile(archive)
        compressed += [zipfile.Path(whole, member) for member in whole.namelist()]
    target.mkdir(parents=True)
    for file in compressed:
        # One download holds all of EMNIST; the other splits stay packed.
        if fnmatch.fnmatch(file.name, f"{name}-*.gz" if name.startswith("emnist-") else "*.gz"):
            with (
                _blaming(file),
                file.open("rb") as packed,
                gzip.open(packed) as content,
                (target / file.stem).open("wb") as unpacked,
            ):
                shutil.copyfileobj(content, unpacked)


@contextlib.contextmanager
def _blaming(archive: Path | zipfile.Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a damaged archive shows in zlib, in the reader, or in a checksum
        raise BenchError(f"{archive} cannot be unpacked: {_reason(error)}") from error


def _move_files(source: Path, target: Path) -> None:
    for file in source.rglob("*"):
        if file.is_file():
            place = target / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, place)
