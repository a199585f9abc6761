"""Data sets that come as files: small ones in their original formats, read through torchvision's loaders."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pickle
import shutil
import tarfile
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from helpers import idx
from torchvision.datasets import CIFAR10, CIFAR100, EMNIST, MNIST, QMNIST

from bench import datasets
from bench.datasets import FORMS, choose_dataset, files
from bench.errors import BenchError

Array = np.ndarray[Any, Any]

SPLITS = tuple(name for name in FORMS if name.startswith("emnist-"))
MNISTS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}
SIZES = {"train": 7, "test": 5}


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """There is no network here; what was asked of it."""
    requests: list[str] = []

    def refuse(request: Any, *_: Any, **__: Any) -> None:
        requests.append(getattr(request, "full_url", request))
        raise URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(files, "PACKAGED", {})  # and no package of this machine's
    return requests


# ------------------------------------------------------------------------------- the original formats


def draw(name: str, part: str) -> tuple[Array, Array]:
    """Images as they are stored [N, 28, 28] and labels [N] from 0, first and last class among them."""
    rng = np.random.default_rng([len(name), len(part)])
    count, classes = SIZES[part], FORMS[name].classes
    labels = rng.integers(0, classes, count)
    labels[:2] = 0, classes - 1
    return rng.integers(0, 256, (count, 28, 28), dtype=np.uint8), labels.astype(np.uint8)


def emnist_files(name: str) -> dict[str, bytes]:
    content = {}
    for part in SIZES:
        images, labels = draw(name, part)
        content[f"{name}-{part}-images-idx3-ubyte"] = idx(images)
        content[f"{name}-{part}-labels-idx1-ubyte"] = idx(labels + (name == "emnist-letters"))
    return content


def mnist_files(name: str) -> dict[str, bytes]:
    content = {}
    for part, called in (("train", "train"), ("test", "t10k")):
        images, labels = draw(name, part)
        content[f"{called}-images-idx3-ubyte"] = idx(images)
        content[f"{called}-labels-idx1-ubyte"] = idx(labels)
    return content


def qmnist_files() -> dict[str, bytes]:
    content = {}
    for part in SIZES:
        images, labels = draw("qmnist", part)
        # Class, series, writer, …: eight columns.
        columns = np.arange(1000, 1000 + 8 * len(labels), dtype=np.int32).reshape(-1, 8)
        columns[:, 0] = labels
        content[f"qmnist-{part}-images-idx3-ubyte"] = idx(images)
        content[f"qmnist-{part}-labels-idx2-int"] = idx(columns)
    return content


def write(folder: Path, content: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in content.items():
        (folder / name).write_bytes(values)
    return folder


def packed(content: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(values, mtime=0) for name, values in content.items()}


def zipped(content: dict[str, bytes], folder: str = "gzip/") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, values in content.items():
            archive.writestr(f"{folder}{name}", values)
    return file.getvalue()


def write_cifar(root: Path, kind: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Array, Array]]:
    """Batches as Krizhevsky pickled them. Only their checksums are not the original's."""
    folder, rng = root / kind.base_folder, np.random.default_rng(0)
    folder.mkdir(parents=True)
    field, classes = ("fine_labels", 100) if kind is CIFAR100 else ("labels", 10)

    def save(name: str, content: dict[str, Any]) -> str:
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    drawn: dict[str, list[tuple[Array, Array]]] = {}
    for lists in ("train_list", "test_list"):
        checked = []
        for name, _ in getattr(kind, lists):
            images = rng.integers(0, 256, (3, 3072), dtype=np.uint8)  # rows of all red, all green, all blue
            labels = np.array([0, classes - 1, classes // 2])
            drawn.setdefault(lists, []).append((images.reshape(3, 3, 32, 32), labels))
            checked.append([name, save(name, {"data": images, field: labels.tolist()})])
        monkeypatch.setattr(kind, lists, checked)
    names = {kind.meta["key"]: [str(k) for k in range(classes)]}
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": save(kind.meta["filename"], names)})
    return {
        part: (np.concatenate([images for images, _ in both]), np.concatenate([labels for _, labels in both]))
        for part, both in zip(("train", "test"), drawn.values(), strict=True)
    }


def check(name: str, root: Path, drawn: dict[str, tuple[Array, Array]]) -> None:
    """What is read is what was drawn, and has the form that was promised."""
    train_images, train_labels, test_images, test_labels = files.read(name, root)
    for images, labels, part in ((train_images, train_labels, "train"), (test_images, test_labels, "test")):
        assert images.dtype == torch.uint8
        assert labels.dtype == torch.int64
        assert images.shape[1:] == FORMS[name].shape
        assert images.is_contiguous()
        assert np.array_equal(images.numpy(), drawn[part][0].reshape(images.shape))
        assert labels.tolist() == drawn[part][1].tolist()
        assert (labels.min(), labels.max()) == (0, FORMS[name].classes - 1)


def drawn(name: str) -> dict[str, tuple[Array, Array]]:
    return {part: draw(name, part) for part in SIZES}


# --------------------------------------------------------------------------------------------- EMNIST


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("carried", ["loose", "unzipped", "zip", "flat zip", "unpacked"])
def test_emnist_carried_in_by_hand_needs_no_network(
    tmp_path: Path, name: str, carried: str, asked: list[str]
) -> None:
    raw, content = tmp_path / "EMNIST" / "raw", emnist_files(name)
    match carried:
        case "loose":
            write(raw, packed(content))
        case "unzipped":
            write(raw / "gzip", packed(content))
        case "zip":
            junk = {f"__MACOSX/gzip/._{member}": b"junk" for member in packed(content)}
            write(raw, {"gzip.zip": zipped({**packed(content), **junk})})
        case "flat zip":
            write(raw, {"gzip.zip": zipped(packed(content), folder="")})
        case "unpacked":
            write(raw, content)
    assert files.present(name, tmp_path) == (carried == "unpacked")
    files.fetch(name, tmp_path)
    assert files.present(name, tmp_path)
    check(name, tmp_path, drawn(name))
    assert asked == []
    assert [entry.name for entry in tmp_path.iterdir()] == ["EMNIST"]  # nothing of the unpacking is left


@pytest.mark.parametrize("name", SPLITS)
def test_emnist_images_are_exactly_what_torchvision_returns(tmp_path: Path, name: str) -> None:
    write(tmp_path / "EMNIST" / "raw", emnist_files(name))
    parts = files.read(name, tmp_path)
    for train, images, labels in ((True, *parts[:2]), (False, *parts[2:])):
        theirs = EMNIST(tmp_path, split=name.removeprefix("emnist-"), train=train)
        assert len(theirs) == len(images)
        for position, (image, label) in enumerate(theirs):
            assert np.array_equal(np.asarray(image), images[position, 0].numpy())
            assert label == int(labels[position]) + (name == "emnist-letters")


def test_only_the_split_that_is_asked_for_is_unpacked(tmp_path: Path) -> None:
    content = {**emnist_files("emnist-letters"), **emnist_files("emnist-mnist")}
    raw = write(tmp_path / "EMNIST" / "raw", {"gzip.zip": zipped(packed(content))})
    files.fetch("emnist-mnist", tmp_path)
    assert {file.name for file in raw.iterdir()} == {"gzip.zip", *emnist_files("emnist-mnist")}
    assert not files.present("emnist-letters", tmp_path)


def test_what_is_there_is_neither_unpacked_nor_written_again(tmp_path: Path, asked: list[str]) -> None:
    raw = write(tmp_path / "EMNIST" / "raw", emnist_files("emnist-letters"))
    write(raw, {"gzip.zip": b"not read"})
    before = {file: file.stat().st_mtime_ns for file in raw.iterdir()}
    files.fetch("emnist-letters", tmp_path)
    assert {file: file.stat().st_mtime_ns for file in raw.iterdir()} == before
    assert asked == []


def test_packed_and_unpacked_files_complete_each_other(tmp_path: Path) -> None:
    content = emnist_files("emnist-letters")
    for position, (name, values) in enumerate(content.items()):
        write(tmp_path / "EMNIST" / "raw", {name: values} if position % 2 else packed({name: values}))
    files.fetch("emnist-letters", tmp_path)
    check("emnist-letters", tmp_path, drawn("emnist-letters"))


def test_a_damaged_file_is_replaced_from_its_archive(tmp_path: Path, asked: list[str]) -> None:
    content = emnist_files("emnist-letters")
    raw = write(tmp_path / "EMNIST" / "raw", {"gzip.zip": zipped(packed(content)), **content})
    cut = raw / "emnist-letters-test-images-idx3-ubyte"
    cut.write_bytes(cut.read_bytes()[:1000])
    assert not files.present("emnist-letters", tmp_path)
    files.fetch("emnist-letters", tmp_path)
    check("emnist-letters", tmp_path, drawn("emnist-letters"))
    assert asked == []


def test_an_interrupted_unpacking_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = write(tmp_path / "EMNIST" / "raw", packed(emnist_files("emnist-letters")))
    before = sorted(raw.iterdir())

    def interrupted(source: Any, target: Any) -> None:
        target.write(source.read(100))
        target.flush()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfileobj", interrupted)
        with pytest.raises(KeyboardInterrupt):
            files.fetch("emnist-letters", tmp_path)
    assert sorted(raw.iterdir()) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["EMNIST"]
    files.fetch("emnist-letters", tmp_path)
    check("emnist-letters", tmp_path, drawn("emnist-letters"))


def test_being_interrupted_between_files_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "EMNIST" / "raw", packed(emnist_files("emnist-letters")))
    replace, moved = os.replace, []

    def once(source: Path, target: Path) -> None:
        if moved:
            raise KeyboardInterrupt
        moved.append(target)
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", once)
        with pytest.raises(KeyboardInterrupt):
            files.fetch("emnist-letters", tmp_path)
    assert len(moved) == 1
    assert not files.present("emnist-letters", tmp_path)
    files.fetch("emnist-letters", tmp_path)
    check("emnist-letters", tmp_path, drawn("emnist-letters"))


@pytest.mark.parametrize("archive", ["gzip.zip", "emnist-letters-train-labels-idx1-ubyte.gz"])
@pytest.mark.parametrize("damage", ["cut", "junk", "flipped"])
def test_a_damaged_archive_is_named(tmp_path: Path, archive: str, damage: str, asked: list[str]) -> None:
    content = packed(emnist_files("emnist-letters"))
    if archive == "gzip.zip":
        content = {archive: zipped(content)}
    whole = content[archive]
    middle = len(whole) // 2
    content[archive] = {
        "cut": whole[:middle],
        "junk": b"<html>not found</html>",
        "flipped": whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :],
    }[damage]
    raw = write(tmp_path / "EMNIST" / "raw", content)
    with pytest.raises(BenchError, match=rf"EMNIST/raw/{archive}.* cannot be unpacked: \w+: ."):
        files.fetch("emnist-letters", tmp_path)
    assert {file.name for file in raw.iterdir()} == set(content)
    assert asked == []


# ------------------------------------------------------------------------------- MNIST and its kin


@pytest.mark.parametrize("name", MNISTS)
@pytest.mark.parametrize("carried", ["loose", "unpacked"])
def test_mnist_and_its_kin(tmp_path: Path, name: str, carried: str, asked: list[str]) -> None:
    content = mnist_files(name)
    write(tmp_path / MNISTS[name] / "raw", content if carried == "unpacked" else packed(content))
    files.fetch(name, tmp_path)
    check(name, tmp_path, drawn(name))
    assert asked == []


@pytest.mark.parametrize("carried", ["loose", "unpacked"])
def test_qmnist_has_its_class_in_the_first_of_eight_columns(tmp_path: Path, carried: str) -> None:
    content = qmnist_files()
    write(tmp_path / "QMNIST" / "raw", content if carried == "unpacked" else packed(content))
    files.fetch("qmnist", tmp_path)
    check("qmnist", tmp_path, drawn("qmnist"))
    assert [label for _, label in QMNIST(tmp_path)] == files.read("qmnist", tmp_path)[1].tolist()


# ---------------------------------------------------------------------------------------------- CIFAR


@pytest.mark.parametrize(("name", "kind"), [("cifar10", CIFAR10), ("cifar100", CIFAR100)])
def test_cifar(
    tmp_path: Path, name: str, kind: Any, monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    expected = write_cifar(tmp_path, kind, monkeypatch)
    check(name, tmp_path, expected)
    # Its archive, carried in by hand.
    other = tmp_path / "other"
    other.mkdir()
    with tarfile.open(other / kind.filename, "w:gz") as archive:
        archive.add(tmp_path / kind.base_folder, kind.base_folder)
    assert not files.present(name, other)
    files.fetch(name, other)
    check(name, other, expected)
    assert {entry.name for entry in other.iterdir()} == {kind.filename, kind.base_folder}
    assert asked == []


def test_a_changed_byte_of_cifar_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path, CIFAR10, monkeypatch)
    batch = tmp_path / CIFAR10.base_folder / "data_batch_3"
    batch.write_bytes(batch.read_bytes()[:-1] + b"x")
    with pytest.raises(
        BenchError, match="cifar-10-batches-py: files are missing, or not what they should be"
    ):
        files.read("cifar10", tmp_path)
    with pytest.raises(BenchError, match="cannot be downloaded: URLError"):
        files.fetch("cifar10", tmp_path)


# -------------------------------------------------------------------------------- missing or damaged


@pytest.mark.parametrize("name", [*SPLITS, *MNISTS, "qmnist", "cifar10", "cifar100"])
def test_a_missing_data_set_says_where_it_was_looked_for_and_how_to_get_it(tmp_path: Path, name: str) -> None:
    assert not files.present(name, tmp_path / "data")
    with pytest.raises(BenchError) as caught:
        datasets.load(choose_dataset(name), tmp_path / "data")
    message = str(caught.value)
    for part in (
        f"data set '{name}'",
        str(tmp_path / "data"),
        "files are missing",
        "`bench fetch",
        "BENCH_DATA",
    ):
        assert part in message
    assert len(message.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


_IMAGES = "emnist-letters-train-images-idx3-ubyte"
_LABELS = "emnist-letters-train-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (_IMAGES, b"", "cannot be read: ValueError: "),
        (_IMAGES, b"<html>not here</html>", "cannot be read: AssertionError"),
        (_IMAGES, idx(np.zeros((7, 28, 28), np.uint8))[:-1], "cannot be read: RuntimeError: "),
        (_IMAGES, idx(np.zeros((7, 28, 28), np.uint8))[:16], "cannot be read: ValueError: "),
        (_IMAGES, idx(np.zeros((7, 28, 28), np.int32)), "cannot be read: TypeError: "),
        (_IMAGES, bytes([0, 0, 10, 3]) + bytes(20), "cannot be read: KeyError: "),
        (_IMAGES, idx(np.zeros((6, 28, 28), np.uint8)), r"found images \[6, 1, 28, 28\] and 7 labels"),
        (_IMAGES, idx(np.zeros((7, 14, 56), np.uint8)), r"found images \[7, 1, 14, 56\].*of \(1, 28, 28\)"),
        (_LABELS, idx(np.arange(1, 8, dtype=np.uint8))[:-2], "cannot be read: RuntimeError: "),
        (_LABELS, idx(np.arange(7, dtype=np.uint8)), "7 labels from -1 to 5, expected .* 26 classes"),
        (_LABELS, idx(np.arange(21, 28, dtype=np.uint8)), "7 labels from 20 to 26, expected .* 26 classes"),
        (_LABELS, None, "files are missing"),
    ],
)
def test_a_damaged_file_gets_one_message(
    tmp_path: Path, file: str, content: bytes | None, message: str
) -> None:
    raw = write(tmp_path / "EMNIST" / "raw", emnist_files("emnist-letters"))
    if content is None:
        (raw / file).unlink()
    else:
        (raw / file).write_bytes(content)
    assert not files.present("emnist-letters", tmp_path)
    with pytest.raises(BenchError, match=message) as caught:
        files.read("emnist-letters", tmp_path)
    assert f"data set 'emnist-letters' in {raw}: " in str(caught.value)
    assert "fetch it with `bench fetch SUITE`" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


# ------------------------------------------------------------------------------------------- download


@pytest.mark.parametrize("name", ["emnist-letters", "mnist", "qmnist", "cifar10"])
def test_without_a_network_nothing_is_left_behind(tmp_path: Path, name: str, asked: list[str]) -> None:
    with pytest.raises(BenchError) as caught:
        datasets.fetch(choose_dataset(name), tmp_path / "data")
    message = str(caught.value)
    for part in (
        f"data set '{name}' cannot be downloaded: ",
        "Name or service not known",
        "BENCH_DATA",
        "by hand",
    ):
        assert part in message
    assert len(message.splitlines()) == 1
    assert asked != []
    assert list((tmp_path / "data").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(BenchError, match=r"'mnist' cannot be put into .*/data: \w+: .*File exists"):
        files.fetch("mnist", tmp_path / "data")


class Response(io.BytesIO):
    """What urlopen returns."""

    def __init__(self, url: str, content: bytes) -> None:
        super().__init__(content)
        self.url, self.length = url, len(content)


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """Files of MNIST as a mirror has them, with their checksums; the mirror can be tampered with."""
    served = packed(mnist_files("mnist"))
    checked = [(name, hashlib.md5(values).hexdigest()) for name, values in served.items()]
    monkeypatch.setattr(MNIST, "resources", checked)

    def urlopen(request: Any, *_: Any, **__: Any) -> Response:
        url = getattr(request, "full_url", request)
        return Response(url, served[url.rpartition("/")[2]])

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return served


def test_a_download_ends_in_the_layout_of_torchvision(tmp_path: Path, mirror: dict[str, bytes]) -> None:
    root = tmp_path / "not" / "yet"
    files.fetch("mnist", root)
    check("mnist", root, drawn("mnist"))
    assert {file.name for file in (root / "MNIST" / "raw").iterdir()} == {*mirror, *mnist_files("mnist")}
    assert [entry.name for entry in root.iterdir()] == ["MNIST"]
    assert (
        torchvision.datasets.MNIST(root, train=False).targets.tolist() == drawn("mnist")["test"][1].tolist()
    )


def test_a_download_that_breaks_off_leaves_nothing_behind(tmp_path: Path, mirror: dict[str, bytes]) -> None:
    mirror["t10k-labels-idx1-ubyte.gz"] = mirror["t10k-labels-idx1-ubyte.gz"][:-5]
    with pytest.raises(BenchError, match=r"'mnist' cannot be downloaded: RuntimeError: .*t10k-labels"):
        files.fetch("mnist", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_download_replaces_what_was_damaged(tmp_path: Path, mirror: dict[str, bytes]) -> None:
    raw = write(tmp_path / "MNIST" / "raw", mnist_files("mnist"))
    (raw / "train-images-idx3-ubyte").write_bytes(b"half")
    files.fetch("mnist", tmp_path)
    check("mnist", tmp_path, drawn("mnist"))


# ---------------------------------------------------------------------------- packages of the system


def packaged_files(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    write(folder, packed(mnist_files("fashion-mnist")))
    monkeypatch.setattr(files, "PACKAGED", {"fashion-mnist": folder})
    return folder


def test_a_package_has_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str]) -> None:
    packaged_files(monkeypatch, tmp_path / "package")
    check("fashion-mnist", tmp_path / "data", drawn("fashion-mnist"))
    choice = choose_dataset("fashion-mnist")
    assert datasets.present(choice, tmp_path / "data")
    assert datasets.lies_in(choice, tmp_path / "data").startswith(str(tmp_path / "package"))
    # What is in the data folder goes before.
    write(tmp_path / "data" / "FashionMNIST" / "raw", mnist_files("fashion-mnist"))
    assert datasets.lies_in(choice, tmp_path / "data") == str(tmp_path / "data" / "FashionMNIST" / "raw")
    assert asked == []


@pytest.mark.parametrize(
    "damage", [lambda content: content[:40], lambda content: gzip.compress(b"\0\0\x0c\x01"), lambda _: b""]
)
def test_a_damaged_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Any) -> None:
    folder = packaged_files(monkeypatch, tmp_path / "package")
    file = folder / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(BenchError, match=r"t10k-images-idx3-ubyte.gz cannot be read: \w+: ."):
        files.read("fashion-mnist", tmp_path / "data")


DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_fashion_mnist_as_debian_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bench: Any, write_suite: Any
) -> None:
    monkeypatch.setattr(files, "PACKAGED", {"fashion-mnist": DEBIAN})
    whole = datasets.load(choose_dataset("fashion-mnist"), tmp_path)
    assert (len(whole.train_labels), len(whole.test_labels)) == (60_000, 10_000)
    assert torch.bincount(whole.train_labels).tolist() == [6000] * 10
    pixels = whole.train_images.float() / 255
    assert whole.form.mean == pytest.approx((float(pixels.mean()),), abs=1e-4)
    assert whole.form.std == pytest.approx((float(pixels.std()),), abs=1e-4)
    small = {"fashion-mnist": {"train_size": 600, "test_size": 200}}
    suite = write_suite(datasets=small, losses=["ce"], baseline=None, seeds=1)
    status, _, said = bench("fetch", suite)
    assert status == 0
    assert f"in place: fashion-mnist(train_size=600, test_size=200) ({DEBIAN}" in said
    status, printed, said = bench("run", suite, "--json", "--workers", "1")
    assert status == 0, said
    assert json.loads(printed)["cells"][0]["mean"] > 0.4
