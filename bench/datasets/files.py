"""Data sets that come as files: EMNIST, MNIST and its kin, CIFAR, through torchvision's own loaders."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor

from bench.errors import BenchError

_KINDS: dict[str, Callable[..., Any]] = {
    "mnist": torchvision.datasets.MNIST,
    "fashion-mnist": torchvision.datasets.FashionMNIST,
    "kmnist": torchvision.datasets.KMNIST,
    "qmnist": torchvision.datasets.QMNIST,
    "cifar10": torchvision.datasets.CIFAR10,
    "cifar100": torchvision.datasets.CIFAR100,
}


def _open(name: str, root: Path, *, train: bool, download: bool = False) -> Any:
    if name.startswith("emnist-"):
        split = name.removeprefix("emnist-")
        return torchvision.datasets.EMNIST(root, split=split, train=train, download=download)
    return _KINDS[name](root, train=train, download=download)


def read(name: str, root: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Train images, train labels, test images, test labels, as :class:`bench.datasets.Images` has them.

    EMNIST images stay transposed, as torchvision returns them and as the reference trained on them; the
    labels of EMNIST-Letters, 1–26 in its files, become 0–25.

    Raises:
        BenchError: the files are not in ``root``, or they are damaged.
    """
    parts: list[Tensor] = []
    for train in (True, False):
        try:
            dataset = _open(name, root, train=train)
        except (RuntimeError, OSError, ValueError, AssertionError, EOFError) as error:
            if "not found" in str(error):
                raise BenchError(
                    f"data set '{name}' is not in {root}; fetch it with `bench fetch SUITE` "
                    "on a machine that has a network, or point BENCH_DATA to where it is"
                ) from error
            raise BenchError(f"data set '{name}': its files in {root} cannot be read: {error}") from error
        images = torch.as_tensor(dataset.data)
        # CIFAR has [N, H, W, C]; the others [N, H, W].
        images = images.permute(0, 3, 1, 2) if images.ndim == 4 else images.unsqueeze(1)
        labels = torch.as_tensor(dataset.targets).long()
        if labels.ndim == 2:  # QMNIST keeps eight columns; the first is the class
            labels = labels[:, 0]
        parts += [images.contiguous(), labels - 1 if name == "emnist-letters" else labels]
    return parts[0], parts[1], parts[2], parts[3]


def present(name: str, root: Path) -> bool:
    """Whether the files are in ``root``. Reads no image."""
    try:
        for train in (True, False):
            _open(name, root, train=train)
    except (RuntimeError, OSError, ValueError, AssertionError, EOFError):
        return False
    return True


def fetch(name: str, root: Path) -> None:
    """Download a data set into ``root``, or unpack what someone has put there by hand.

    Raises:
        BenchError: it cannot be downloaded, or ``root`` cannot be written.
    """
    try:
        if name.startswith("emnist-"):
            _unpack_emnist(root / "EMNIST" / "raw")
        for train in (True, False):
            _open(name, root, train=train, download=True)
    except (RuntimeError, OSError, zipfile.BadZipFile) as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise BenchError(f"data set '{name}' is not in {root} and cannot be downloaded: {reason}") from error


def _unpack_emnist(raw: Path) -> None:
    """Unpack a ``gzip.zip`` (EMNIST's own download) or its ``.gz`` members that were carried in by hand."""
    archive = raw / "gzip.zip"
    if archive.is_file():
        with zipfile.ZipFile(archive) as members:
            for member in members.namelist():
                if member.endswith(".gz") and not (raw / Path(member).name).exists():
                    with members.open(member) as source, (raw / Path(member).name).open("wb") as target:
                        shutil.copyfileobj(source, target)
    for compressed in raw.glob("emnist-*.gz"):
        if not compressed.with_suffix("").exists():
            torchvision.datasets.utils.extract_archive(str(compressed), str(raw))
