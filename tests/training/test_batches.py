"""Images from memory and images from a file: the same batches and the same weights, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import train_run

from bench import datasets
from bench.errors import BenchError
from bench.results.folder import RunFolder
from bench.runs import Run
from bench.suite import Suite
from bench.training import data as training_data
from bench.training.batches import Resident, Smaller, Streamed, batches_of
from bench.training.data import Data
from bench.training.device import prepare
from bench.training.run import train

Make = Callable[..., Suite]
CPU = torch.device("cpu")
EVERY: list[Any] = [
    {"resized_crop": {"scale": [0.3, 1]}},
    "perspective",
    "rotation",
    {"shift": {"pixels": 1}},
    {"crop": {"padding": 1}},
    "flip",
    "erasing",
]


@pytest.fixture(params=["uint8", "uint16", "float32"])
def arrays(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An .npz file with three parts of small colour images."""
    rng = np.random.default_rng(0)
    content: dict[str, Any] = {}
    for part, count in (("train", 70), ("val", 20), ("test", 30)):
        labels = np.arange(count) % 3
        images = rng.integers(0, 80, (count, 9, 11, 3)) + 80 * labels[:, None, None, None]
        scale = {"uint8": 1, "uint16": 257, "float32": 1 / 255}[request.param]
        content |= {f"{part}_images": (images * scale).astype(request.param), f"{part}_labels": labels}
    np.savez(tmp_path / "small.npz", **content)
    return tmp_path / "small.npz"


@pytest.fixture
def from_memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and what was mapped from files is in memory from then on."""

    def into_memory() -> None:
        load = datasets.load

        def resident(*asked: Any) -> datasets.Images:
            found = load(*asked)
            held = found.validation
            return replace(
                found,
                mapped=False,
                train_images=found.train_images.contiguous(),
                test_images=found.test_images.contiguous(),
                validation=held and (held[0].contiguous(), held[1]),
            )

        training_data.on_device.cache_clear()
        monkeypatch.setattr(datasets, "load", resident)

    yield into_memory
    training_data.on_device.cache_clear()


def settings(file: Path, **changes: Any) -> dict[str, Any]:
    return {
        "datasets": {"arrays": {"file": str(file), "train_size": 60, "label_noise": 0.1}},
        "losses": ["ce"],
        "baseline": None,
        "seeds": 1,
        "recipe": {"epochs": 2, "batch_size": 16, "augment": EVERY, "mix": "mixup"},
        **changes,
    }


def planned(suite: Suite, data: Path) -> Run:
    """The suite's run, with its data set decoded, as launchers do."""
    datasets.fetch(suite.datasets[0].choice, data)
    return suite.runs()[0]


def kept(folder: RunFolder) -> tuple[bytes, Any, list[Any]]:
    result = folder.result(check_predictions=True)
    assert result is not None
    assert result.warnings == []
    lines = [
        {k: v for k, v in line.items() if k not in ("time", "images_per_second")} for line in folder.metrics()
    ]
    return (folder.path / "predictions.npz").read_bytes(), result.data, lines


@pytest.mark.parametrize("selection", ["last", "validation"])
def test_a_run_has_the_same_bits_from_memory_and_from_files(
    make_suite: Make, tmp_path: Path, arrays: Path, from_memory: Callable[[], None], selection: str
) -> None:
    run = planned(make_suite(**settings(arrays, selection=selection)), tmp_path / "streamed" / "data")
    data = Data(run.resolve(), tmp_path / "streamed" / "data", CPU)
    assert isinstance(data.images, Streamed)
    assert (data.validation is not None) == (selection == "validation")
    streamed = kept(train_run(run, tmp_path / "streamed"))
    # Stopped after a step, it goes on to the same bits.
    folder, left = RunFolder(tmp_path / "resumed", run.id), iter([False] * 3 + [True])
    device = prepare("cpu")
    assert not train(
        run, folder, device=device, data=tmp_path / "streamed" / "data", should_stop=lambda: next(left)
    )
    assert train(run, folder, device=device, data=tmp_path / "streamed" / "data")
    resumed = kept(folder)
    from_memory()
    data = Data(run.resolve(), tmp_path / "streamed" / "data", CPU)
    assert isinstance(data.images, Resident)
    (tmp_path / "resident").mkdir()
    (tmp_path / "resident" / "data").symlink_to(tmp_path / "streamed" / "data")
    assert kept(train_run(run, tmp_path / "resident")) == streamed == resumed


def test_batches_begin_at_any_step(make_suite: Make, tmp_path: Path, arrays: Path) -> None:
    run = planned(make_suite(**settings(arrays)), tmp_path)
    data = Data(run.resolve(), tmp_path, CPU)
    whole = list(data.batches(1))
    assert [len(images) for images, _ in whole] == [16, 16, 16, 12]
    for step in range(4):
        for batch, same in zip(data.batches(1, step), whole[step:], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(batch, same, strict=True))


def test_held_out_images_are_shown_at_the_size_that_a_model_sees(
    make_suite: Make, tmp_path: Path, arrays: Path
) -> None:
    chosen = {
        "arrays": {
            "file": str(arrays),
            "image_size": 8,
            "crop_from": 9,
            "val_images": "no",
            "val_labels": "no",
        }
    }
    with pytest.raises(Exception, match="unknown array 'no'"):
        make_and_load(make_suite, arrays, chosen, tmp_path)
    with np.load(arrays) as content:
        np.savez(arrays, **{name: values for name, values in content.items() if not name.startswith("val")})
    data = make_and_load(
        make_suite, arrays, {"arrays": {"file": str(arrays), "image_size": 8, "crop_from": 9}}, tmp_path
    )
    assert data.stored == (3, 9, 9)
    assert data.form.shape == (3, 8, 8)
    assert data.validation is not None
    held_out, labels = data.validation
    assert isinstance(held_out, Smaller)
    assert held_out[0:4].shape == (4, 3, 8, 8)
    assert len(held_out) == len(labels) == 7
    assert data.test[0][0:2].shape == (2, 3, 8, 8)
    images, _ = next(data.batches(0))
    assert images.shape == (16, 3, 8, 8)


def make_and_load(make_suite: Make, arrays: Path, chosen: Any, tmp_path: Path) -> Data:
    suite = make_suite(**settings(arrays, datasets=chosen, selection="validation"))
    return Data(planned(suite, tmp_path).resolve(), tmp_path, CPU)


def test_chunks_are_those_of_the_rows(arrays: Path) -> None:
    images = torch.arange(60, dtype=torch.uint8).view(20, 3, 1, 1)
    rows, parts = torch.randperm(20), [slice(0, 7), slice(7, 14), slice(14, 20)]
    for kept_rows in (None, torch.tensor([*range(0, 20, 1)]).flip(0)):
        expected = images if kept_rows is None else images[kept_rows]
        for mapped in (False, True):
            batches = batches_of([images], CPU, kept_rows, mapped=mapped)
            assert len(batches) == 20
            assert torch.equal(torch.cat([*batches.chunks(rows, parts)]), expected[rows])
            assert torch.equal(batches[3:9], expected[3:9])
    half_used = Streamed([images], CPU).chunks(rows, parts)
    next(half_used)
    half_used.close()


@pytest.mark.parametrize("augmentation", ["randaugment", {"erasing": {"value": 128}}])
def test_levels_of_8_bits_are_not_read_in_other_images(
    make_suite: Make, tmp_path: Path, arrays: Path, augmentation: Any
) -> None:
    asked = {**settings(arrays), "recipe": {"batch_size": 16, "augment": [augmentation]}}
    resolved = planned(make_suite(**asked), tmp_path).resolve()
    if datasets.load(resolved.dataset, tmp_path).train_images.dtype is torch.uint8:
        Data(resolved, tmp_path, CPU)
    else:
        with pytest.raises(BenchError, match="is for images of 8 bits"):
            Data(resolved, tmp_path, CPU)
