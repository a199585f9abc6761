"""The trainers that ``throughput.py`` lets run side by side, each a process that trains when told to.

    python benchmarks/pipelines.py NAME '{"model": …, …}'

reads a number of epochs from standard input, trains for so many, scores the test set after each, and answers
with one line of JSON: images trained on, test images right. All train the same model by the same recipe:
Adam, batch 100, the reference's perspective and rotation, in the precision that they are told.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from bench import models
from bench.suite import Suite
from bench.training.device import prepare
from bench.training.loop import Training

BATCH, RATE = 100, 0.001
Answer = dict[str, Any]


# ------------------------------------------------------------------------------ what all of them train


def small_cnn(channels: int, classes: int) -> nn.Module:
    """Two convolutions and two linear layers: 5 MFLOP an image, forwards and backwards."""
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )


small_cnn.recordable = True


def saved(path: str) -> tuple[np.ndarray, ...]:
    """A data set that ``throughput.py`` has put into a file, as ``module:callable`` takes it."""
    with np.load(path) as file:
        return tuple(file[name] for name in ("train", "train_labels", "test", "test_labels"))


def suite(told: Answer) -> Suite:
    """What `bench` is asked to train; the others take the same model from it."""
    recipe = {"epochs": 100_000, "batch_size": BATCH, "optimizer": {"adam": {"lr": RATE}}}
    return Suite.model_validate(
        {
            "name": "throughput",
            "question": "How fast?",
            "datasets": {"pipelines:saved": {"path": told["data"]}},
            "models": told["model"],
            "losses": "ce",
            "seeds": [told.get("seed", 0)],
            "recipe": {**recipe, "augment": ["perspective", "rotation"], "precision": told["precision"]},
            "selection": "last",
        }
    )


def device_of(told: Answer) -> torch.device:
    device = torch.device(told["device"])
    if device.type == "cuda":
        if device.index is not None:
            torch.cuda.set_device(device)
        torch.backends.cudnn.allow_tf32 = False  # fp32 means the same to all of them
    return device


def initial_model(told: Answer, classes: int) -> nn.Module:
    """The model with the very weights that ours begins with."""
    resolved = suite(told).runs()[0].resolve()
    torch.manual_seed(resolved.derive("init"))
    return models.build(resolved.model, (1, 28, 28), classes)


# ------------------------------------------------------------------------------------------ the trainers


def ours(told: Answer) -> Callable[[int], Answer]:
    """This project's."""
    device = prepare(told["device"])
    training = Training(suite(told).runs()[0].resolve(), Path("data"), device)

    def train(epochs: int) -> Answer:
        for _ in range(epochs):
            for _ in training.steps():
                pass
            line = training.end_epoch()
        return {"images": epochs * training.data.seen_per_epoch, "correct": line["test_correct"]}

    return train


class Pictures(Dataset):
    """Images one at a time, as torchvision's EMNIST gives them: a PIL image, transformed."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, transform: Any) -> None:
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index, 0])), int(self.labels[index])


def pictures(told: Answer) -> tuple[Pictures, Pictures, int]:
    train, train_labels, test, test_labels = saved(told["data"])
    normalise = [transforms.ToTensor(), transforms.Normalize((train.mean() / 255,), (train.std() / 255,))]
    moved = [transforms.RandomPerspective(0.5, 0.5), transforms.RandomRotation(10), *normalise]
    classes = int(train_labels.max()) + 1
    return (
        Pictures(train, train_labels, transforms.Compose(moved)),
        Pictures(test, test_labels, transforms.Compose(normalise)),
        classes,
    )


def reference(told: Answer) -> Callable[[int], Answer]:
    """As the authors of the reference wrote it: one image at a time, on the process that trains, in fp32.

    ``together`` models are trained on what one loader gives: the authors' script has two.
    """
    device = device_of(told)
    training_set, test_set, classes = pictures(told)
    together = [initial_model(told, classes).to(device) for _ in range(told.get("together", 1))]
    optimizers = [torch.optim.Adam(model.parameters(), lr=RATE) for model in together]
    criterion = nn.CrossEntropyLoss()
    torch.manual_seed(told.get("seed", 0))
    loader = DataLoader(training_set, batch_size=BATCH, shuffle=True)
    test_loader = DataLoader(test_set, batch_size=BATCH)

    def train(epochs: int) -> Answer:
        for _ in range(epochs):
            for model in together:
                model.train()
            for images, labels in loader:
                images, labels = images.to(device), labels.to(device)
                for model, optimizer in zip(together, optimizers, strict=True):
                    loss = criterion(model(images), labels)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            correct = 0
            with torch.no_grad():
                for model in together:
                    model.eval()
                for images, labels in test_loader:
                    for model in together:
                        right = (model(images.to(device)).argmax(1) == labels.to(device)).sum().item()
                    correct += int(right)
        return {"images": epochs * len(training_set) * len(together), "correct": correct}

    return train


def plain(told: Answer) -> Callable[[int], Answer]:
    """What a careful person writes: loader processes, pinned memory, AMP, channels_last, fused Adam."""
    device = device_of(told)
    training_set, test_set, classes = pictures(told)
    model = initial_model(told, classes).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    criterion = nn.CrossEntropyLoss()
    torch.manual_seed(told.get("seed", 0))
    cuda = device.type == "cuda"
    several: Answer = {"num_workers": told["loaders"], "pin_memory": cuda, "persistent_workers": True}
    loader = DataLoader(training_set, batch_size=BATCH, shuffle=True, **several)
    test_loader = DataLoader(test_set, batch_size=500, **several)
    amp = {"device_type": device.type, "dtype": torch.bfloat16, "enabled": told["precision"] == "bf16"}

    def moved(images: Tensor) -> Tensor:
        return images.to(device, non_blocking=True, memory_format=torch.channels_last)

    def train(epochs: int) -> Answer:
        for _ in range(epochs):
            model.train()
            for images, labels in loader:
                with torch.autocast(**amp):
                    loss = criterion(model(moved(images)), labels.to(device, non_blocking=True))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
            model.eval()
            correct = torch.zeros((), dtype=torch.long, device=device)
            with torch.inference_mode(), torch.autocast(**amp):
                for images, labels in test_loader:
                    correct += (model(moved(images)).argmax(1) == labels.to(device)).sum()
        return {"images": epochs * len(training_set), "correct": int(correct)}

    return train


# --------------------------------------------------------------------------------- what else is measured


def product(told: Answer) -> Callable[[int], Answer]:
    """Multiplies matrices: what the hardware can do at most, in FLOP (as "images")."""
    device = device_of(told)
    side = 8192 if device.type == "cuda" else 768
    kind = torch.bfloat16 if told["precision"] == "bf16" else torch.float32
    a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))

    def multiply(times: int) -> Answer:
        for _ in range(times):
            a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()
        return {"images": 2 * side**3 * times, "correct": 0}

    return multiply


def weights(told: Answer) -> Callable[[int], Answer]:
    """Trains ours and says a hash of all weights: equal bits, equal hash."""
    device = prepare(told["device"])

    def train(epochs: int) -> Answer:
        training = Training(suite(told).runs()[0].resolve(), Path("data"), device)
        for _ in range(epochs):
            for _ in training.steps():
                pass
            training.end_epoch()
        digest = hashlib.sha256()
        for tensor in training.step.model.state_dict().values():
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return {"images": 0, "correct": 0, "hash": digest.hexdigest()[:16], "notes": training.warnings}

    return train


def kernels(told: Answer) -> Callable[[int], Answer]:
    """Where the time of a step goes, kernel by kernel, as a table on standard error."""
    from torch.profiler import ProfilerActivity, profile

    device = prepare(told["device"])
    training = Training(suite(told).runs()[0].resolve(), Path("data"), device)
    steps = training.steps()
    for _ in range(5):
        next(steps)

    def train(count: int) -> Answer:
        cuda = device.type == "cuda"
        with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]) as seen:
            began = time.perf_counter()
            for _ in range(count):
                next(steps)
            if cuda:
                torch.cuda.synchronize()
            seconds = time.perf_counter() - began
        key = "self_device_time_total" if cuda else "self_cpu_time_total"
        events = [event for event in seen.key_averages() if getattr(event, key) > 0]
        if cuda:  # what an operator launches is counted once, as a kernel
            events = [event for event in events if event.device_type == torch.autograd.DeviceType.CUDA]
            events = [event for event in events if not event.is_user_annotation]
        if not events:
            raise SystemExit("the profiler saw no kernel")
        rows = sorted(events, key=lambda event: -getattr(event, key))[:25]
        total = sum(getattr(event, key) for event in events)
        shares = [[row.key, row.count / count, getattr(row, key) / total] for row in rows]
        step = {"total_us": total / count, "wall_us": 1e6 * seconds / count}
        return {"images": 0, "correct": 0, **step, "kernels": shares}

    return train


TRAINERS = {f.__name__: f for f in (ours, reference, plain, product, weights, kernels)}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path.insert(0, str(Path(__file__).parent))  # where "pipelines:small_cnn" is
    train = TRAINERS[sys.argv[1]](json.loads(sys.argv[2]))
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        answer = train(int(line))
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # all trainers stay alive, and take turns
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
