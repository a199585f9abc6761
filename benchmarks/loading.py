"""Images from disk to batches, beside torchvision's ``ImageFolder`` with a ``DataLoader``, on the same cores.

    python benchmarks/loading.py                    # 20,000 JPEGs of 256 px, made by this script
    python benchmarks/loading.py --images 2000      # a tenth of it

Both deliver normalised batches at 64 px, with random resized crop and flip. ``bench`` decodes once, and then
has a process for each core, as it trains; the loader has a process for each core beside the one that takes
what they deliver. Kinds alternate. ``stored at 64`` crops from images of 64 px, ``stored at 128`` from four
times as many pixels, which keeps small crops sharp; torchvision crops from all of them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
import torch
from PIL import Image
from torchvision import transforms
from torchvision.datasets import ImageFolder

from bench import datasets, models
from bench.datasets import cache
from bench.suite import Suite
from bench.training import augment
from bench.training.data import Data
from bench.training.device import prepare
from bench.training.loop import Training
from bench.transforms import choose_transform

SIDE, SOURCE_SIDE, CLASSES, BATCH = 64, 256, 10, 128
CORES = len(os.sched_getaffinity(0))
AUGMENT = ["resized_crop", "flip"]
ROUNDS = 3
GIGABYTES = 8.0
BATCHES = 100  # while memory is looked at


def main() -> None:
    """Measure all of it, and print tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, help="for JPEGs and decoded images; default: a temporary one")
    parser.add_argument("--only", choices=["delivery", "training", "memory", "crops"], action="append")
    arguments = parser.parse_args()
    only = arguments.only or ["delivery", "training", "memory", "crops"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        if {"delivery", "training"} & {*only}:
            make_pictures(folder / "pictures", arguments.images)
        if "delivery" in only:
            delivery(folder)
        if "training" in only:
            training(folder)
        if "memory" in only:
            memory(folder)
        if "crops" in only:
            crops()


# ---------------------------------------------------------------------------------------------- the pictures


def make_pictures(root: Path, count: int) -> None:
    """Class folders of JPEGs: coarse noise in a class's colour, with fine noise on it, about 20 KB each."""
    if root.exists() and len([*root.rglob("*.jpg")]) == count + count // 10:
        return
    shutil.rmtree(root, ignore_errors=True)
    rng = np.random.default_rng(0)
    for part, images in (("train", count), ("test", count // 10)):
        for number in range(images):
            label = number % CLASSES
            file = root / part / f"class{label}" / f"{number:06}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            coarse[:, :, label % 3] = 25 * label
            picture = Image.fromarray(coarse).resize((SOURCE_SIDE, SOURCE_SIDE), Image.Resampling.BICUBIC)
            fine = rng.integers(-12, 13, (SOURCE_SIDE, SOURCE_SIDE, 1))
            Image.fromarray((np.asarray(picture) + fine).clip(0, 255).astype(np.uint8)).save(file, quality=85)


def suite(folder: Path, stored: int) -> Suite:
    """One run on them."""
    chosen = {"root": str(folder / "pictures"), "image_size": SIDE}
    if stored != SIDE:
        chosen["crop_from"] = stored
    return Suite.model_validate(
        {
            "name": "loading",
            "question": "How fast?",
            "datasets": {"imagefolder": chosen},
            "models": "vgg5-tiny",
            "losses": "ce",
            "seeds": CORES,
            "selection": "last",
            "recipe": {"batch_size": BATCH, "augment": AUGMENT, "epochs": 1},
        }
    )


def theirs(folder: Path) -> torch.utils.data.DataLoader[Any]:
    """As torchvision's own examples have it."""
    shown = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIDE),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.5,) * 3, (0.25,) * 3),
        ]
    )
    images = ImageFolder(str(folder / "pictures" / "train"), shown)
    return torch.utils.data.DataLoader(
        images, BATCH, shuffle=True, num_workers=CORES, persistent_workers=True
    )


# -------------------------------------------------------------------------------------------------- delivery


def worker(folder: Path, stored: int, number: int, train: bool, ready: Any, rates: Any) -> None:
    """One of bench's processes: an epoch when all are ready, again and again."""
    device = prepare("cpu")
    run = suite(folder, stored).runs()[number].resolve()
    if train:
        whole = Training(run, folder / "data", device)
        count = whole.data.seen_per_epoch
    else:
        data = Data(run, folder / "data", device)
        count = data.seen_per_epoch
    for epoch in range(ROUNDS):
        ready.wait()
        began = time.monotonic()
        if train:
            for _ in whole.steps():
                pass
            whole._start_epoch()
        else:
            for _ in data.batches(epoch):
                pass
        rates.put(count / (time.monotonic() - began))
        ready.wait()


class Processes:
    """bench's processes, one for each core."""

    def __init__(self, folder: Path, stored: int, count: int, *, train: bool = False) -> None:
        spawning = multiprocessing.get_context("spawn")
        self.count = count
        self.ready, self.rates = spawning.Barrier(count + 1), spawning.Queue()
        self.processes = [
            spawning.Process(
                target=worker, args=(folder, stored, k, train, self.ready, self.rates), daemon=True
            )
            for k in range(count)
        ]
        for process in self.processes:
            process.start()

    def epoch(self) -> float:
        """Images a second, of all of them together."""
        self.ready.wait()
        total = sum(self.rates.get() for _ in range(self.count))
        self.ready.wait()
        return total


def row(name: str, rates: list[float], beside: float | None = None) -> None:
    """One line of a table."""
    ratio = "" if beside is None else f" | {statistics.median(rates) / beside:.1f}×"
    print(
        f"| {name} | {statistics.median(rates):,.0f} | {min(rates):,.0f}–{max(rates):,.0f}{ratio} |",
        flush=True,
    )


def delivery(folder: Path) -> None:
    """Batches delivered, nothing trained on them."""
    choice = {stored: suite(folder, stored).datasets[0].choice for stored in (SIDE, 2 * SIDE)}
    loader = theirs(folder)
    count = len(loader.dataset)  # type: ignore[arg-type]
    decoding = {}
    for stored, chosen in choice.items():
        shutil.rmtree(cache.folder_of(chosen.name, chosen.options, folder / "data"), ignore_errors=True)
        began = time.monotonic()
        datasets.fetch(chosen, folder / "data")
        decoding[stored] = time.monotonic() - began
    ours = {
        (stored, processes): Processes(folder, stored, processes)
        for stored in choice
        for processes in sorted({1, CORES})
    }
    rates: dict[Any, list[float]] = {key: [] for key in (None, *ours)}
    for _ in range(ROUNDS):
        began = time.monotonic()
        for _ in loader:
            pass
        rates[None].append(count / (time.monotonic() - began))
        for key, processes in ours.items():
            rates[key].append(processes.epoch())
    beside = statistics.median(rates[None])
    print(f"\n{count:,} JPEGs of {SOURCE_SIDE} px, {CORES} cores; {ROUNDS} epochs, the median counts\n")
    print("| | images/s | range | beside |\n| --- | ---: | ---: | ---: |")
    row(f"ImageFolder, DataLoader of {CORES} processes", rates[None], beside)
    for stored, processes in ours:
        row(f"bench, stored at {stored}, {processes} processes", rates[stored, processes], beside)
    for stored, seconds in decoding.items():
        images = count + count // 10
        print(f"\nDecoding to {stored} px: {images / seconds:,.0f} images/s, {seconds:.1f} s for all")
        # One process' epochs, so that both deliver each image three times.
        three = seconds + 3 * count / statistics.median(rates[stored, CORES])
        print(f"Three epochs with decoding: {3 * count / beside / three:.1f} times as fast as ImageFolder")


def training(folder: Path) -> None:
    """The same, and a small network is trained on what is delivered."""
    chosen = suite(folder, SIDE).datasets[0].choice
    datasets.fetch(chosen, folder / "data")
    ours = Processes(folder, SIDE, CORES, train=True)
    loader = theirs(folder)
    count = len(loader.dataset)  # type: ignore[arg-type]
    torch.set_num_threads(CORES)
    model = models.build(models.choose_model("vgg5-tiny"), (3, SIDE, SIDE), CLASSES)
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    rates: dict[str, list[float]] = {"theirs": [], "ours": []}
    for _ in range(ROUNDS):
        began = time.monotonic()
        for images, labels in loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(
                model(images.contiguous(memory_format=torch.channels_last)), labels
            ).backward()
            optimizer.step()
        rates["theirs"].append(count / (time.monotonic() - began))
        rates["ours"].append(ours.epoch())
    beside = statistics.median(rates["theirs"])
    print("\nWith vgg5-tiny trained on them\n\n| | images/s | range | beside |\n| --- | ---: | ---: | ---: |")
    row(f"ImageFolder, DataLoader of {CORES} processes, {CORES} threads", rates["theirs"], beside)
    row(f"bench, {CORES} runs side by side", rates["ours"], beside)


# ---------------------------------------------------------------------------------------------- memory, crops


def anonymous() -> float:
    """Memory of this process that is no file's, in GB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1e6
    raise OSError("this system does not say how much memory is no file's")


def memory(folder: Path) -> None:
    """Anonymous memory of a process that trains on 8 GB of images (a sparse file)."""
    choice = datasets.choose_dataset({"imagefolder": {"content": "0" * 16, "image_size": SIDE}})
    place = cache.folder_of(choice.name, choice.options, folder / "data")  # type: ignore[arg-type]
    place.mkdir(parents=True, exist_ok=True)
    counts = {"train": int(GIGABYTES * 1e9) // (3 * SIDE * SIDE), "test": 1000}
    for part, count in counts.items():
        with (place / f"{part}.images").open("wb") as file:
            file.truncate(count * 3 * SIDE * SIDE)
        (np.arange(count, dtype=np.int64) % CLASSES).tofile(place / f"{part}.labels")
    made = cache.Made(
        kind="uint8",
        channels=3,
        size=(SIDE, SIDE),
        parts={part: cache.Stored(count=count, height=SIDE, width=SIDE) for part, count in counts.items()},
        classes=[str(k) for k in range(CLASSES)],
        mean=[0.5] * 3,
        std=[0.25] * 3,
        digest="0" * 16,
    )
    (place / cache.MADE).write_text(json.dumps(made.model_dump(mode="json")))
    spawning = multiprocessing.get_context("spawn")
    peak = spawning.Queue()
    process = spawning.Process(target=watch_memory, args=(folder, peak))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit("the process that was to be watched has died")
    before, most, count = peak.get()
    shutil.rmtree(place)
    print(
        f"\n{GIGABYTES:g} GB of images, {count:,} of {SIDE} px: a worker's anonymous memory is {most:.2f} GB "
        f"at most, {before:.2f} GB of them before its data are there"
    )


def watch_memory(folder: Path, peak: Any) -> None:
    """Take batches of images that lie anywhere in the data, and look at memory meanwhile."""
    device = prepare("cpu")
    values = {
        "name": "memory",
        "question": "How much?",
        "datasets": {"imagefolder": {"content": "0" * 16, "image_size": SIDE}},
        "models": "vgg5-tiny",
        "losses": "ce",
        "seeds": 1,
        "selection": "last",
        "recipe": {"batch_size": BATCH, "augment": AUGMENT, "epochs": 1},
    }
    run = Suite.model_validate(values).runs()[0].resolve()
    before = anonymous()
    data = Data(run, folder / "data", device)
    most = anonymous()
    for _ in zip(range(BATCHES), data.batches(0), strict=False):
        most = max(most, anonymous())
    peak.put((before, most, data.count))


def crops() -> None:
    """Random resized crops alone, on one thread."""
    torch.set_num_threads(1)
    theirs = transforms.Compose([transforms.RandomResizedCrop(SIDE), transforms.RandomHorizontalFlip()])
    chosen = [choose_transform(name) for name in AUGMENT]
    rng = np.random.default_rng(0)
    print("\nRandom resized crop to 64 px, one thread, images/s: median and range of 15\n")
    print("| from | torchvision, PIL | bench | beside |\n| ---: | ---: | ---: | ---: |")
    for stored in (SIDE, 2 * SIDE, SOURCE_SIDE):
        images = rng.integers(0, 256, (256, stored, stored, 3), dtype=np.uint8)
        pictures = [Image.fromarray(image) for image in images]
        raw = torch.from_numpy(images).permute(0, 3, 1, 2)
        rates: dict[str, list[float]] = {"theirs": [], "ours": []}
        for seed in range(15):
            began = time.perf_counter()
            for picture in pictures:
                theirs(picture)
            rates["theirs"].append(len(raw) / (time.perf_counter() - began))
            began = time.perf_counter()
            generator = torch.Generator().manual_seed(seed)
            shapes = (3, SIDE, SIDE), generator, (3, stored, stored)
            drawn = augment.draw(chosen, len(raw), *shapes)
            augment.apply(chosen, drawn, raw, slice(0, len(raw)), size=(SIDE, SIDE))
            rates["ours"].append(len(raw) / (time.perf_counter() - began))
        one, other = (statistics.median(rates[who]) for who in ("theirs", "ours"))
        print(f"| {stored} | {one:,.0f} | {other:,.0f} | {other / one:.1f}× |", flush=True)


if __name__ == "__main__":
    main()
