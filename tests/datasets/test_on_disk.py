"""Data sets as they lie on disk: every form, and one clear message for what is wrong with one."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.datasets import ImageFolder

from bench import datasets
from bench.datasets import cache, choose_dataset, part_files
from bench.datasets.sources import numbered
from bench.errors import BenchError

COLOURS = {"cat": (200, 60, 30), "dog": (30, 80, 220), "eel": (90, 220, 90)}


def picture(label: str, number: int, size: tuple[int, int] = (20, 24), mode: str = "RGB") -> Image.Image:
    """One of its own for each number; ``size`` is height and width."""
    rng = np.random.default_rng([number, len(label), ord(label[0])])
    noise = rng.integers(-30, 31, (*size, 3))
    return Image.fromarray((np.array(COLOURS[label]) + noise).clip(0, 255).astype(np.uint8)).convert(mode)


def png(image: Image.Image, **settings: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, settings.pop("format", "PNG"), **settings)
    return content.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Folders of two classes in three parts, with sizes of their own."""
    number = 0
    for part, count in (("train", 12), ("val", 4), ("test", 6)):
        for label in ("cat", "dog"):
            folder = tmp_path / "root" / part / label
            folder.mkdir(parents=True)
            for k in range(count):
                number += 1
                picture(label, number, (20 + number % 3, 18 + number % 5)).save(folder / f"{k}.png")
    return tmp_path / "root"


def load(value: Any, data: Path) -> datasets.Images:
    datasets.load.cache_clear()
    return datasets.load(choose_dataset(value), data)


def folder(root: Path, **options: Any) -> dict[str, Any]:
    return {"imagefolder": {"root": str(root), "image_size": 16, **options}}


# ------------------------------------------------------------------------------------------- imagefolder


def test_a_folder_is_what_torchvision_makes_of_it(root: Path, tmp_path: Path) -> None:
    data = load(folder(root), tmp_path / "data")
    shown = transforms.Compose([transforms.Resize(16), transforms.CenterCrop(16), transforms.PILToTensor()])
    for part, images, labels in (
        ("train", data.train_images, data.train_labels),
        ("val", *(data.validation or ())),
        ("test", data.test_images, data.test_labels),
    ):
        theirs = ImageFolder(root / part, shown)
        assert labels.tolist() == theirs.targets
        assert torch.equal(images, torch.stack([image for image, _ in theirs]))
    assert data.form.shape == (3, 16, 16)
    assert data.form.classes == 2
    pixels = data.train_images.double() / 255
    assert data.form.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-9)
    assert data.form.std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), abs=1e-9)
    assert data.mapped
    assert data.train_images.dtype == torch.uint8


def test_where_it_lies_is_no_part_of_what_it_is(root: Path, tmp_path: Path) -> None:
    here = choose_dataset(folder(root))
    shutil.copytree(root, tmp_path / "elsewhere")
    there = choose_dataset(folder(tmp_path / "elsewhere"))
    assert here.describe() == there.describe()
    assert "root" not in here.describe()
    assert here.label() == "imagefolder root(image_size=16)"
    assert "imagefolder elsewhere" in there.label()
    (tmp_path / "elsewhere" / "train" / "cat" / "0.png").write_bytes(png(picture("cat", 999, (30, 30))))
    assert choose_dataset(folder(tmp_path / "elsewhere")).describe() != here.describe()
    digest = here.describe()["content"]
    assert choose_dataset(folder(root, content=digest)).describe() == here.describe()
    with pytest.raises(ValueError, match=r"but the digest of the files in .* is .*: they have changed"):
        choose_dataset(folder(tmp_path / "elsewhere", content=digest))
    # Once it is decoded, its digest is enough; and a job is told no more.
    told = datasets.DATASETS["imagefolder"].model_validate({"content": digest, "image_size": 16})
    datasets.fetch(here, tmp_path / "data")
    shutil.rmtree(root)
    assert torch.equal(
        load({"imagefolder": told.model_dump(mode="json")}, tmp_path / "data").train_labels,
        torch.tensor([0] * 12 + [1] * 12),
    )
    with pytest.raises(
        BenchError, match=r"is not decoded in .*other/decoded, and the suite does not say where"
    ):
        load({"imagefolder": {"content": digest, "image_size": 16}}, tmp_path / "other")


def test_a_job_decodes_what_its_launcher_has_noted(root: Path, tmp_path: Path) -> None:
    choice = choose_dataset(folder(root))
    at = cache.folder_of("imagefolder", choice.options, tmp_path / "data")  # type: ignore[arg-type]
    cache.note_place(at, root)
    told = {"imagefolder": {"content": choice.describe()["content"], "image_size": 16}}
    assert len(load(told, tmp_path / "data").train_labels) == 24
    shutil.rmtree(at)
    cache.note_place(at, root)
    (root / "train" / "cat" / "0.png").write_bytes(b"other")
    with pytest.raises(BenchError, match=r"have changed since this was planned"):
        load(told, tmp_path / "data")


def test_names_of_classes_have_one_order(tmp_path: Path) -> None:
    for label in ("1", "01", "2", "10"):
        for k in range(5):
            file = tmp_path / "numbers" / label / f"{k}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            picture("cat", 100 * int(label) + 10 * len(label) + k).save(file)
    for _ in range(3):
        known = numbered({"train": ["1", "2", "10", "01"]}, "here")
        assert known[0] == ["01", "1", "2", "10"]
    assert numbered({"train": ["²", "--5", "1"]}, "here")[0] == ["--5", "1", "²"]
    assert load(folder(tmp_path / "numbers"), tmp_path / "data").form.classes == 4


def test_folders_of_parts_without_training(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "train")
    with pytest.raises(BenchError, match=r"has val/ or test/ and no train/"):
        load(folder(root), tmp_path / "data")


def test_a_name_that_is_no_text(root: Path) -> None:
    (root / "train" / "cat" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    with pytest.raises(ValueError, match=r"xe9.png' is no name in UTF-8; rename it"):
        choose_dataset(folder(root))


def test_a_class_whose_training_images_are_all_corrupt(root: Path, tmp_path: Path) -> None:
    for file in (root / "train" / "dog").iterdir():
        file.write_bytes(b"")
    with pytest.raises(BenchError, match=r"class 'dog' is in validation, and none of its train images"):
        load(folder(root, skip_corrupt=True), tmp_path / "data")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,label\na.png,cat,dog\n", r"line 2: found 3 values, expected 2; a value with a comma"),
        ("image,label,label\na.png,cat,dog\n", "two columns are called label"),
    ],
)
def test_tables_that_can_be_read_in_two_ways(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "list.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        choose_dataset({"table": {"file": str(tmp_path / "list.csv")}})


def test_arrays_of_many_channels_or_labels(tmp_path: Path) -> None:
    file, labels = tmp_path / "all.npz", np.arange(10) % 2
    rng = np.random.default_rng(0)
    for shape in ((10, 8, 8, 2), (10, 13, 8, 8)):
        np.savez(file, train_images=rng.integers(0, 9, shape, dtype=np.uint8), train_labels=labels)
        with pytest.raises(BenchError, match=r"may be NCHW or NHWC; say `layout`"):
            load({"arrays": {"file": str(file)}}, tmp_path / "data")
    images = rng.random((10, 8, 8))
    np.savez(file, train_images=images, train_labels=labels * 10**12)
    with pytest.raises(BenchError, match=r"labels run up to 1000000000000, expected at most 65,536 classes"):
        load({"arrays": {"file": str(file)}}, tmp_path / "data")


def _shard(file: Path, labels: list[Any], names: list[str] | None = None) -> None:
    rng = np.random.default_rng([len(labels), *file.parts[-2].encode()])
    pixels = [Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)) for _ in labels]
    table = pa.table({"image": pa.array([png(one) for one in pixels], pa.binary()), "label": labels})
    features = {"info": {"features": {"label": {"names": names}}}}
    said = {b"huggingface": json.dumps(features).encode()} if names else {}
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(said), file)


def test_shards_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """In folders of parts, as Hugging Face converts data sets, files have the same names."""
    at = tmp_path / "hub" / "training_data"
    for part in ("train", "validation", "test"):
        _shard(at / part / "0000.parquet", [0, 1] * 5, ["a", "b"])
    value = {"parquet": {"root": str(tmp_path / "hub")}}
    images = load(value, tmp_path / "data")
    assert [len(images.train_labels), len(images.test_labels)] == [10, 10]
    assert images.validation is not None
    seen = {choose_dataset(value).describe()["content"]}
    for part in ("train", "validation", "test"):
        _shard(at / part / "0000.parquet", [0, 1] * 6, ["a", "b"])
        seen.add(choose_dataset(value).describe()["content"])
    assert len(seen) == 4
    _shard(at / "train" / "test-0.parquet", [0, 1], ["a", "b"])
    _shard(at / "train-and-test.parquet", [0, 1], ["a", "b"])
    with pytest.raises(ValueError, match=r"says that it is of test and of train; rename it"):
        choose_dataset(value)


def test_one_label_of_a_large_file_is_part_of_what_it_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = [rng.bytes(12_000) for _ in range(700)], rng.integers(0, 10, 700)
    seen = []
    for _ in range(2):
        pq.write_table(pa.table({"image": images * 2, "label": [*labels] * 2}), tmp_path / "train.parquet")
        size = (tmp_path / "train.parquet").stat().st_size
        seen.append((size, choose_dataset({"parquet": {"root": str(tmp_path)}}).describe()["content"]))
        labels[300] = (labels[300] + 1) % 10
    assert seen[0][0] == seen[1][0]  # nothing but the label tells them apart
    assert seen[0][1] != seen[1][1]


@pytest.mark.parametrize(
    ("labels", "names", "found"),
    [([0, 1], ["b", "a"], "b, a"), (["a", "b"], None, "names"), ([0, 1], None, "numbers without names")],
)
def test_shards_of_other_classes(tmp_path: Path, labels: list[Any], names: Any, found: str) -> None:
    _shard(tmp_path / "hub" / "train" / "0.parquet", [0, 1] * 5, ["a", "b"])
    _shard(tmp_path / "hub" / "test" / "0.parquet", labels, names)
    with pytest.raises(BenchError, match=rf"do not have the same classes: found .*{found}"):
        load({"parquet": {"root": str(tmp_path / "hub")}}, tmp_path / "data")


@pytest.mark.parametrize("form", ["table", "arrays"])
def test_a_job_is_told_every_option(form: str, tmp_path: Path) -> None:
    """Which says nothing about what there is: columns and arrays that may be there still need not be."""
    if form == "table":
        file = tmp_path / "list.csv"
        lines = [f"{k}.png,{'cat' if k % 2 else 'dog'}" for k in range(10)]
        file.write_text("\n".join(["image,label", *lines]))
        for k in range(10):
            picture("cat", k).save(tmp_path / f"{k}.png")
    else:
        file = tmp_path / "all.npz"
        np.savez(
            file, train_images=np.arange(640, dtype=np.uint16).reshape(10, 8, 8), train_labels=[0, 1] * 5
        )
    choice = choose_dataset({form: {"file": str(file), "image_size": 8}})
    data = tmp_path / "data"
    cache.note_place(cache.folder_of(form, choice.options, data), file)  # type: ignore[arg-type]
    told = json.loads(json.dumps(choice.describe()))
    assert len(load(told, data).train_labels) == 8


def test_without_parts_a_seed_splits(root: Path, tmp_path: Path) -> None:
    data = load(folder(root / "train", test=0.25), tmp_path)
    assert (len(data.train_labels), len(data.test_labels)) == (18, 6)
    assert torch.bincount(data.test_labels).tolist() == [3, 3]
    assert data.validation is None
    again = load(folder(root / "train", test=0.25, split_seed=1), tmp_path)
    assert not torch.equal(data.test_images, again.test_images)
    shutil.rmtree(root / "test")
    as_imagenet = load(folder(root), tmp_path)
    assert (len(as_imagenet.train_labels), len(as_imagenet.test_labels)) == (24, 8)
    assert as_imagenet.validation is None


@pytest.mark.parametrize(
    ("options", "shape", "dtype"),
    [
        ({"channels": 1}, (1, 16, 16), torch.uint8),
        ({"channels": 4}, (4, 16, 16), torch.uint8),
        ({"image_size": [12, 20], "fit": "stretch"}, (3, 12, 20), torch.uint8),
        ({"image_size": [20, 12]}, (3, 20, 12), torch.uint8),
        ({"depth": 16}, (3, 16, 16), torch.uint16),
        ({"crop_from": 18}, (3, 16, 16), torch.uint8),
    ],
)
def test_sizes_and_types(root: Path, tmp_path: Path, options: Any, shape: Any, dtype: Any) -> None:
    data = load(folder(root, **options), tmp_path)
    assert data.form.shape == shape
    assert data.test_images.shape[1:] == shape
    assert data.train_images.dtype == dtype
    assert data.train_images.shape[2:] == ((18, 18) if "crop_from" in options else shape[1:])
    assert choose_dataset(folder(root, **options)).options.shape() == shape  # type: ignore[attr-defined]
    assert data.form.top == (65_535 if dtype == torch.uint16 else 255)
    assert 0 < min(data.form.mean) <= max(data.form.mean) <= 1


def test_pictures_of_sixteen_bits(tmp_path: Path) -> None:
    values = np.arange(2 * 9 * 16, dtype=np.uint16).reshape(18, 16) * 200
    for part in ("train", "test"):
        for label in ("cat", "dog"):
            place = tmp_path / "root" / part / label
            place.mkdir(parents=True)
            Image.fromarray(values + 300 * len(part) + ord(label[0])).save(place / "0.png")
    with pytest.raises(BenchError, match=r"cat/0.png has 16 bits a value, expected 8; say `depth: 16`"):
        load(folder(tmp_path / "root"), tmp_path)
    data = load(folder(tmp_path / "root", depth=16, channels=1, image_size=[18, 16]), tmp_path)
    assert np.array_equal(data.train_images[0, 0].numpy(), values + 1500 + ord("c"))


# ------------------------------------------------------------------------------------ what is wrong with one


BAD: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "text": (lambda _: b"no picture", "cannot be read: it is no picture of a format that Pillow knows"),
    "truncated": (lambda content: content[: len(content) // 2], "cannot be read: "),
    "empty": (lambda _: b"", "is empty: it has no bytes"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_corrupt_image_is_named_or_counted(root: Path, tmp_path: Path, kind: str) -> None:
    file = root / "train" / "dog" / "3.png"
    damage, message = BAD[kind]
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(BenchError, match=f"dog/3.png {message}") as caught:
        load(folder(root), tmp_path)
    assert "skip_corrupt: true" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    data = load(folder(root, skip_corrupt=True), tmp_path)
    assert torch.bincount(data.train_labels).tolist() == [12, 11]
    [note] = data.notes
    assert note.startswith(f"1 corrupt image of train left out, the first: {file}")


def test_what_is_left_out_is_in_the_result(root: Path, tmp_path: Path, write_suite: Any, bench: Any) -> None:
    (root / "test" / "dog" / "3.png").write_bytes(b"")
    suite = write_suite(datasets=folder(root, skip_corrupt=True), losses=["ce"], baseline=None, seeds=1)
    status, printed, said = bench("run", suite, "--workers", "1", "--json")
    assert status == 0, said
    assert json.loads(printed)["cells"][0]["total"] == 11
    [result] = (tmp_path / "results" / "runs").glob("*/result.json")
    assert "1 corrupt image of test left out" in json.loads(result.read_text())["warnings"][0]
    _, report, _ = bench("report", suite)
    assert "corrupt image of test left out" in " ".join(report.split())


def test_in_miniature_and_evaluated(root: Path, tmp_path: Path, write_suite: Any, bench: Any) -> None:
    chosen = folder(root, depth=16)
    suite = write_suite(datasets=chosen, losses=["ce"], baseline=None, seeds=1, keep_weights=True)
    status, _, said = bench("run", suite, "--scale", "tiny", "--workers", "1")
    assert status == 0, said
    status, _, said = bench("run", suite, "--workers", "1")
    assert status == 0, said
    whole = {
        str(file.parent): json.loads(file.read_text())
        for file in (tmp_path / "results" / "runs").glob("*/result.json")
        if (file.parent / "weights.safetensors").exists()
    }
    [(place, result)] = whole.items()
    assert bench("export", Path(place).name, "-o", tmp_path / "out")[0] == 0
    shutil.rmtree(root)  # what is decoded is enough
    status, printed, said = bench("evaluate", tmp_path / "out" / "model.safetensors", "--json")
    assert status == 0, said
    [file] = json.loads(printed)["checkpoints"]
    assert file["correct"] == result["correct"]


def test_corrupt_folders(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"root: found .*/nowhere, and there is no such folder"):
        choose_dataset(folder(tmp_path / "nowhere"))
    (tmp_path / "empty" / "train" / "cat").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"has no pictures below it"):
        choose_dataset(folder(tmp_path / "empty"))
    with pytest.raises(ValueError, match=r"root: is missing"):
        choose_dataset({"imagefolder": {"image_size": 16}})
    with pytest.raises(BenchError, match=r"cat/0.png lies in no class folder; expected .*/<class>/0.png"):
        load(folder(root / "train" / "cat"), tmp_path)
    (root / "test" / "eel").mkdir()
    picture("eel", 1).save(root / "test" / "eel" / "0.png")
    with pytest.raises(BenchError, match=r"class 'eel' is in test and not in train"):
        load(folder(root), tmp_path)
    shutil.rmtree(root / "test" / "eel")
    (root / "extra" / "cat").mkdir(parents=True)
    picture("eel", 1).save(root / "extra" / "cat" / "0.png")
    with pytest.raises(BenchError, match=r"has train/, and pictures beside it in extra"):
        load(folder(root), tmp_path)
    with pytest.raises(ValueError, match=r"image_sise.*did you mean 'image_size'"):
        choose_dataset({"imagefolder": {"root": str(root), "image_sise": 16}})


def test_one_image_in_two_parts(root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "train" / "cat" / "5.png", root / "test" / "cat" / "copy.png")
    with pytest.raises(BenchError, match=r"1 image is in train and in test, .*cat/5.png and .*cat/copy.png"):
        load(folder(root), tmp_path)
    data = load(folder(root, allow_shared=True), tmp_path)
    assert data.notes == ("1 image is in train and in test",)


def test_images_of_other_kinds(root: Path, tmp_path: Path) -> None:
    file = root / "train" / "cat" / "0.jpg"
    (root / "train" / "cat" / "0.png").unlink()
    file.write_bytes(png(picture("cat", 1, mode="CMYK"), format="JPEG", quality=95))
    inks = load(folder(root), tmp_path).train_images[0].float().mean((1, 2))
    assert (inks - torch.tensor(COLOURS["cat"])).abs().max() < 12
    frames = [picture("cat", k) for k in range(3)]
    for form in ("GIF", "PNG", "WEBP"):
        file.write_bytes(png(frames[0], format=form, save_all=True, append_images=frames[1:]))
        with pytest.raises(BenchError, match=r"cat/0.jpg has 3 pictures, one after another"):
            load(folder(root), tmp_path)
    file.unlink()
    with pytest.raises(BenchError, match=r"is \d+ × \d+ pixels, others are \d+ × \d+; say `image_size`"):
        load({"imagefolder": {"root": str(root)}}, tmp_path)


# ----------------------------------------------------------------------------------------- the decoded files


def test_other_options_have_other_files(root: Path, tmp_path: Path) -> None:
    small, large = (load(folder(root, image_size=size), tmp_path) for size in (8, 16))
    assert (small.test_images.shape[2:], large.test_images.shape[2:]) == ((8, 8), (16, 16))
    assert small.source != large.source
    assert len([*(tmp_path / "decoded").iterdir()]) == 2
    # What is made of the same images has the same files.
    noisy = load(folder(root, label_noise=0.5, train_size=10), tmp_path)
    assert len([*(tmp_path / "decoded").iterdir()]) == 2
    assert noisy.source == large.source
    assert noisy.digest != large.digest


class Killed(Exception):
    pass


@pytest.mark.parametrize("chunks", [0, 1, 2, 3])
@pytest.mark.parametrize("tail", ["whole", "half", "lost"])
def test_a_half_built_one_is_gone_on_with(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunks: int, tail: str
) -> None:
    monkeypatch.setattr(part_files, "_CHUNK", 7)
    whole = load(folder(root), tmp_path / "whole")
    line, count = part_files._line, iter(range(99))

    def killed(*arguments: Any) -> Any:
        if next(count) == chunks:
            raise Killed
        return line(*arguments)

    monkeypatch.setattr(part_files, "_line", killed)
    with pytest.raises(Killed):
        load(folder(root), tmp_path / "half")
    [place] = (tmp_path / "half" / "decoded").iterdir()
    assert not (place / "made.json").exists()
    if tail == "half":
        with (place / "train.images").open("ab") as file:
            file.write(b"more than there should be")
    elif tail == "lost" and chunks:
        os.truncate(place / "train.images", 100)
    decoded: list[str] = []
    decode = part_files.decode
    monkeypatch.setattr(part_files, "_line", line)
    monkeypatch.setattr(part_files, "decode", lambda c, name, w: decoded.append(name) or decode(c, name, w))
    again = load(folder(root), tmp_path / "half")
    assert again.source == whole.source
    assert torch.equal(again.train_images, whole.train_images)
    assert again.form == whole.form
    left = 24 + 8 + 12 - (0 if tail == "lost" else 7 * chunks)
    assert left <= len(decoded) <= left + 3  # one of each part is looked at for its size
    assert {file.name for file in place.iterdir()} >= {"made.json", "train.images", "train.labels"}
    assert not [*place.glob("*.progress"), *place.glob("*.hashes")]


def test_damage_is_seen(root: Path, tmp_path: Path) -> None:
    load(folder(root), tmp_path)
    [place] = (tmp_path / "decoded").iterdir()
    os.truncate(place / "test.images", 100)
    with pytest.raises(BenchError, match=r"is damaged \(test.images has 100 bytes, .*delete that folder"):
        load(folder(root), tmp_path)
    (place / "made.json").write_text("{")
    with pytest.raises(BenchError, match=r"is damaged"):
        datasets.present(choose_dataset(folder(root)), tmp_path)


def test_no_room(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BenchError, match=r"decoded images take 0.0 GB, and 0.0 GB are free; .*BENCH_DATA"):
        load(folder(root), tmp_path)


def test_what_is_gone_is_named(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = choose_dataset(folder(root))
    (root / "train" / "cat" / "0.png").unlink()
    (root / "train" / "cat" / "0.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(BenchError, match=r"cat/0\.png: No such file"):
        datasets.fetch(choice, tmp_path / "data")


def test_a_folder_that_cannot_be_written(root: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(
        BenchError, match=r"decoded images cannot be written \(.*\); choose another .*BENCH_DATA"
    ):
        load(folder(root), tmp_path / "data")


def test_files_that_change_meanwhile(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = part_files.decode

    def changing(content: bytes, name: str, wanted: Any) -> Any:
        picture("dog", 77, (31, 33)).save(root / "train" / "dog" / "11.png")
        return decode(content, name, wanted)

    monkeypatch.setattr(part_files, "decode", changing)
    with pytest.raises(BenchError, match=r"dog/11.png changed while it was read"):
        load(folder(root), tmp_path)

    def growing(content: bytes, name: str, wanted: Any) -> Any:
        picture("dog", 78).save(root / "train" / "dog" / "more.png")
        return decode(content, name, wanted)

    monkeypatch.setattr(part_files, "decode", growing)
    with pytest.raises(BenchError, match=r"files changed while they were decoded"):
        load(folder(root), tmp_path)


def test_who_comes_second_waits_and_decodes_nothing(root: Path, tmp_path: Path) -> None:
    choice, said, made = choose_dataset(folder(root)), [], []
    options = choice.options
    place = cache.folder_of("imagefolder", options, tmp_path)  # type: ignore[arg-type]
    place.mkdir(parents=True)
    import filelock

    first = filelock.FileLock(place / ".lock", thread_local=False)
    first.acquire()
    second = threading.Thread(target=lambda: made.append(datasets.fetch(choice, tmp_path, said.append)))
    second.start()
    second.join(0.5)
    assert second.is_alive()
    first.release()
    second.join(30)
    assert made == [None]
    assert any("another process decodes it; waiting" in words for words in said)


# ------------------------------------------------------------------------------------------------- tables


def write_table(root: Path, rows: list[dict[str, Any]]) -> Path:
    with (root / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return root / "table.csv"


def rows(root: Path) -> list[dict[str, Any]]:
    """All images of the training folder; labels are 1 and 2."""
    files = sorted((root / "train").rglob("*.png"))
    return [
        {"image": str(file.relative_to(root)), "label": 1 + ("dog" in file.parts), "group": k // 2}
        for k, file in enumerate(files)
    ]


def table(file: Path, **options: Any) -> dict[str, Any]:
    return {"table": {"file": str(file), "image_size": 16, **options}}


def test_a_table_never_tears_groups_apart(root: Path, tmp_path: Path, make_suite: Any) -> None:
    from bench.training.data import Data

    chosen = table(write_table(root, rows(root)), test=0.25)
    data = load(chosen, tmp_path)
    assert (len(data.train_labels), len(data.test_labels)) == (18, 6)
    assert data.form.classes == 2
    assert data.groups is not None
    assert (np.unique(data.groups, return_counts=True)[1] == 2).all()
    suite = make_suite(datasets=chosen, selection="validation", recipe={"validation": 0.3, "batch_size": 4})
    run = Data(suite.runs()[0].resolve(), tmp_path, torch.device("cpu"))
    assert run.train_rows is not None
    assert (np.unique(data.groups[run.train_rows.numpy()], return_counts=True)[1] == 2).all()
    assert len(run.train_rows) + len(run.validation[1]) == 18


def test_a_table_with_splits(root: Path, tmp_path: Path) -> None:
    found = rows(root)
    for k, row in enumerate(found):
        row["split"] = ("train", "train", "valid", "test")[(k // 2) % 4]
    data = load(table(write_table(root, found)), tmp_path)
    assert [len(data.train_labels), len(data.validation[1]), len(data.test_labels)] == [12, 6, 6]
    found[1]["split"] = "test"
    with pytest.raises(BenchError, match=r"1 group is in train and in test"):
        load(table(write_table(root, found)), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": ""}, "line 2: image is empty"),
        ({"image": "nowhere.png"}, "nowhere.png: No such file"),
        ({"image": "train/cat/1.png"}, "lines 2 and 3: both are of train/cat/1.png"),
        ({"split": "trian"}, "line 2: unknown split 'trian'.*did you mean 'train'"),
    ],
)
def test_a_bad_table(root: Path, tmp_path: Path, change: dict[str, str], message: str) -> None:
    found = [{**row, "split": "train"} for row in rows(root)]
    found[0] |= change
    with pytest.raises((BenchError, ValueError), match=message):
        load(table(write_table(root, found)), tmp_path)


def test_columns_of_a_table(root: Path, tmp_path: Path) -> None:
    file = write_table(root, [{"class": row.pop("label"), **row} for row in rows(root)])
    with pytest.raises(ValueError, match=r"label: unknown column 'label'; allowed: class, group, image"):
        choose_dataset(table(file))
    with pytest.raises(ValueError, match=r"group: unknown column 'groups'.*did you mean 'group'"):
        choose_dataset(table(file, label="class", group="groups"))
    assert load(table(file, label="class"), tmp_path).form.classes == 2


# ------------------------------------------------------------------------------------------- parquet, arrays


def write_parquet(root: Path, names: bool = True) -> None:
    described = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    metadata = {b"huggingface": json.dumps(described).encode()} if names else None
    number = 0
    for file, count in (("train-00000-of-00002", 9), ("train-00001-of-00002", 6), ("test-00000-of-00001", 5)):
        images, labels = [], []
        for k in range(count):
            number += 1
            labels.append(k % 2)
            images.append({"bytes": png(picture(("cat", "dog")[k % 2], number)), "path": f"{k}.png"})
        schema = pa.schema(
            [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("label", pa.int64())]
        )
        held = pa.table({"image": images, "label": labels}, schema=schema.with_metadata(metadata))
        (root / "data").mkdir(parents=True, exist_ok=True)
        pq.write_table(held, root / "data" / f"{file}.parquet", row_group_size=4)


def test_parquet_files_of_hugging_face(tmp_path: Path) -> None:
    write_parquet(tmp_path / "hub")
    chosen = {"parquet": {"root": str(tmp_path / "hub")}}
    data = load(chosen, tmp_path)
    assert data.form.shape == (3, 20, 24)
    assert data.train_labels.tolist() == [*([0, 1] * 4), 0, 0, 1, 0, 1, 0, 1]
    for k in range(15):
        expected = picture(("cat", "dog")[int(data.train_labels[k])], k + 1)
        assert np.array_equal(data.train_images[k].permute(1, 2, 0).numpy(), np.asarray(expected))
    with pytest.raises(BenchError, match=r"label: unknown column 'labels'.*did you mean 'label'"):
        load({"parquet": {"root": str(tmp_path / "hub"), "label": "labels"}}, tmp_path)
    file = tmp_path / "hub" / "data" / "test-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(BenchError, match=r"test-00000-of-00001.parquet cannot be read: "):
        load(chosen, tmp_path)
    with pytest.raises(ValueError, match=r"no .parquet file there"):
        choose_dataset({"parquet": {"root": str(tmp_path / "nothing")}})


def medmnist(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    content: dict[str, Any] = {}
    for part, count in (("train", 30), ("val", 9), ("test", 12)):
        content[f"{part}_images"] = rng.integers(0, 256, (count, 10, 12, 3), dtype=np.uint8)
        content[f"{part}_labels"] = (np.arange(count) % 3)[:, None]
    return {**content, **changes}


def test_arrays_with_the_keys_of_medmnist(tmp_path: Path) -> None:
    content = medmnist()
    np.savez_compressed(tmp_path / "med.npz", **content)
    data = load({"arrays": {"file": str(tmp_path / "med.npz")}}, tmp_path)
    assert data.form.shape == (3, 10, 12)
    assert np.array_equal(data.train_images.permute(0, 2, 3, 1).numpy(), content["train_images"])
    assert data.validation is not None
    assert data.validation[1].tolist() == [k % 3 for k in range(9)]
    # The same as .npy files with names of their own, channels first.
    (tmp_path / "npy").mkdir()
    names = {"train_images": "x", "train_labels": "y", "test_images": "xt", "test_labels": "yt"}
    for key, name in names.items():
        values = content[key] if "labels" in key else content[key].transpose(0, 3, 1, 2)
        np.save(tmp_path / "npy" / f"{name}.npy", values)
    same = load({"arrays": {"file": str(tmp_path / "npy"), **names}}, tmp_path)
    assert torch.equal(same.train_images, data.train_images)
    assert same.validation is None
    sized = load({"arrays": {"file": str(tmp_path / "med.npz"), "image_size": 6}}, tmp_path)
    assert sized.test_images.shape == (12, 3, 6, 6)


def test_groups_of_arrays(tmp_path: Path) -> None:
    groups = np.arange(30) // 3
    np.savez(tmp_path / "med.npz", **medmnist(), train_groups=groups)
    data = load({"arrays": {"file": str(tmp_path / "med.npz")}}, tmp_path)
    assert data.groups is not None
    assert data.groups.tolist() == groups.tolist()
    np.savez(tmp_path / "med.npz", **medmnist(), train_groups=groups[:9])
    with pytest.raises(BenchError, match="30 training images and 9 groups"):
        load({"arrays": {"file": str(tmp_path / "med.npz")}}, tmp_path)


def test_floats_and_many_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    content = {
        "train_images": rng.normal(size=(20_000, 1, 2, 2)),
        "train_labels": np.arange(20_000),
        "test_images": rng.normal(size=(50, 1, 2, 2)),
        "test_labels": np.arange(50),
    }
    np.savez(tmp_path / "many.npz", **content)
    data = load({"arrays": {"file": str(tmp_path / "many.npz"), "layout": "NCHW"}}, tmp_path)
    assert data.form.classes == 20_000
    assert data.form.top == 1
    assert data.train_images.dtype == torch.float32
    assert data.form.std == pytest.approx((1.0,), abs=0.02)
    one = {**content, "train_labels": np.zeros(20_000, int), "test_labels": np.zeros(50, int)}
    np.savez(tmp_path / "one.npz", **one)
    assert load({"arrays": {"file": str(tmp_path / "one.npz")}}, tmp_path).form.classes == 1


FROM_1 = {part: 1 + np.arange(count) % 3 for part, count in (("train", 30), ("val", 9), ("test", 12))}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {f"{part}_labels": labels for part, labels in FROM_1.items()},
            "begin at 1, .* say `first_label: 1`",
        ),
        ({"train_labels": np.arange(30) % 3 - 1}, "train_labels goes down to -1"),
        ({"train_labels": np.zeros((30, 14), int)}, r"is int64 \[30, 14\], expected one integer an image"),
        ({"train_labels": np.zeros(30)}, r"train_labels is float64 \[30\], expected one integer"),
        ({"train_labels": np.arange(29) % 3}, "train has 30 images and 29 labels"),
        ({"test_labels": np.arange(12) % 4}, "class '3' is in test and not in train"),
        (
            {"test_images": np.zeros((12, 10, 10, 3), np.uint8)},
            "test images are uint8 .10, 10, 3. .* train ima",
        ),
        ({"train_images": np.zeros((30, 10, 12, 3), np.int32)}, "is int32, expected uint8, uint16 or floats"),
        ({"train_images": np.zeros((30, 4, 12, 3), np.uint8)}, "which may be NCHW or NHWC; say `layout`"),
        ({"train_images": np.full((30, 10, 12, 3), object())}, "cannot be read: ValueError: Object arrays"),
    ],
)
def test_bad_arrays(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "med.npz", **medmnist(**changes))
    with pytest.raises(BenchError, match=message) as caught:
        load({"arrays": {"file": str(tmp_path / "med.npz")}}, tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_no_array(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(ValueError, match=r"text.npz is no .npz file"):
        choose_dataset({"arrays": {"file": str(tmp_path / "text.npz")}})
    with pytest.raises(ValueError, match=r"none.npz: No such file"):
        choose_dataset({"arrays": {"file": str(tmp_path / "none.npz")}})
    np.savez(tmp_path / "med.npz", **medmnist())
    with pytest.raises(BenchError, match=r"unknown array 'x'; allowed: test_images, "):
        load({"arrays": {"file": str(tmp_path / "med.npz"), "train_images": "x"}}, tmp_path)
    infinite = medmnist()["train_images"].astype(np.float32)
    infinite[7, 1, 1, 1] = np.inf
    floats = {"train_images": infinite, "test_images": infinite[:6], "val_images": infinite[8:17]}
    np.savez(tmp_path / "med.npz", **medmnist(**floats, test_labels=np.arange(6) % 3))
    with pytest.raises(BenchError, match=r"train image 7 has values that are not finite"):
        load({"arrays": {"file": str(tmp_path / "med.npz"), "allow_shared": True}}, tmp_path)


# ------------------------------------------------------------------------------------------- torchvision


def test_sets_of_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    class Own:
        """As torchvision's: images one by one, classes in an attribute."""

        classes = ("cat", "dog")

        def __init__(self, root: Path, split: str, download: bool = False) -> None:
            if not (Path(root) / "here").exists():
                raise RuntimeError("no network" if download else "Dataset not found")
            self.offset, self._labels = (0, [0, 1] * 8) if split == "train" else (50, [1, 0] * 3)

        def __len__(self) -> int:
            return len(self._labels)

        def __getitem__(self, row: int) -> tuple[Image.Image, int]:
            label = self._labels[row]
            return picture(self.classes[label], self.offset + row), label

    monkeypatch.setattr(torchvision.datasets, "SVHN", Own)
    choice = choose_dataset({"torchvision/SVHN": {"image_size": 16}})
    with pytest.raises(
        BenchError, match=r"'torchvision/SVHN' is not in .*, and cannot be downloaded: .*no network"
    ):
        datasets.fetch(choice, tmp_path / "data")
    (tmp_path / "data" / "here").write_text("")
    assert not datasets.present(choice, tmp_path / "data")
    datasets.fetch(choice, tmp_path / "data")
    assert datasets.present(choice, tmp_path / "data")
    data = load({"torchvision/SVHN": {"image_size": 16}}, tmp_path / "data")
    assert data.train_labels.tolist() == [0, 1] * 8
    assert data.test_labels.tolist() == [1, 0] * 3
    assert data.form.shape == (3, 16, 16)
    assert choice.label().startswith("torchvision/SVHN")
    with pytest.raises(
        ValueError, match=r"unknown data set 'torchvision/SVHM'.*did you mean 'torchvision/SVHN'"
    ):
        choose_dataset("torchvision/SVHM")


def test_every_set_of_torchvision_is_there() -> None:
    import inspect

    import torchvision

    from bench.datasets.listing import SPLITS

    for name, parts in SPLITS.items():
        arguments = inspect.signature(getattr(torchvision.datasets, name)).parameters
        for given in parts.values():
            assert set(given) | {"download"} <= set(arguments), name


def test_a_mended_label_of_a_large_file_is_another_content(tmp_path: Path) -> None:
    folder = tmp_path / "arrays"
    folder.mkdir()
    labels = np.zeros(700_000, np.int64)  # 5.6 MB, of which blocks are looked at where it is no label
    for part in ("train", "test"):
        np.save(folder / f"{part}_images.npy", np.zeros((2, 4, 4, 1), np.uint8))
        np.save(folder / f"{part}_labels.npy", labels)
    options = choose_dataset({"arrays": {"file": str(folder), "layout": "NHWC"}}).options
    assert isinstance(options, datasets.OnDisk)
    before = options.fingerprint(folder)
    labels[123_457] = 1
    np.save(folder / "train_labels.npy", labels)
    assert options.fingerprint(folder) != before
