"""60 short runs, the quickstart's: beside a process for each run, and beside Lightning.

A part of ``throughput.py``, and what it starts: ``python benchmarks/short_runs.py KIND FIRST COUNT`` trains
so many of the suite's runs, from the first on, one after another in this process.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SUITE = HERE.parent / "suites" / "quickstart.yaml"
EACH = 6
"""Runs with a process of their own, one after another at each place: the others take as long."""


def compare(rounds: int, processes: int, runs: int) -> None:
    """Print the table. Times include the start of the processes."""
    processes = min(processes, runs)
    runs -= runs % processes
    seconds: dict[str, list[float]] = {}
    kinds = ["ours", "single"]
    if importlib.util.find_spec("lightning"):
        kinds.append("lightning")
    else:
        print("\nLightning cannot be imported: see the docstring of throughput.py")
    for number in range(rounds):
        print(f"  quickstart, round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        for kind in kinds:
            seconds.setdefault(kind, []).append(timed(kind, processes, runs // processes))
    measured = min(EACH, runs // processes) * processes
    names = {
        "ours": f"bench, {processes} processes",
        "single": f"a process for each run, {processes} at a time ({measured} measured)",
        "lightning": f"Lightning, {processes} processes",
    }
    print(f"\n| {runs} runs of the quickstart, on the CPU | seconds | spread | bench is faster by |")
    print("| --- | ---: | ---: | ---: |")
    for kind, found in seconds.items():
        ratios = [theirs / own for theirs, own in zip(found, seconds["ours"], strict=True)]
        print(
            f"| {names[kind]} | {statistics.median(found):.1f} | {min(found):.1f}–{max(found):.1f} "
            f"| {statistics.median(ratios):.2f}× |"
        )


def timed(kind: str, processes: int, share: int) -> float:
    """Seconds that it takes to train a share of the runs at each of several places at once."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = f"{HERE.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"

    def start(first: int, count: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(HERE / "short_runs.py"), kind, str(first), str(count)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)

    began = time.perf_counter()
    if kind == "single":
        each = min(EACH, share)
        for number in range(each):
            wait([start(place * share + number, 1) for place in range(processes)])
        return (time.perf_counter() - began) * share / each
    wait([start(place * share, share) for place in range(processes)])
    return time.perf_counter() - began


def wait(started: list[subprocess.Popen[bytes]]) -> None:
    if any(process.wait() for process in started):
        raise SystemExit("a process failed")


# ------------------------------------------------------------------------------------- what is started


def train_ours(runs: list[Any]) -> None:
    import tempfile

    from bench.results.folder import RunFolder
    from bench.training.device import prepare
    from bench.training.run import train

    device = prepare("cpu")
    with tempfile.TemporaryDirectory() as results:
        for run in runs:
            folder = RunFolder(Path(results), run.id)
            with folder.claim():
                train(run, folder, device=device, data=Path("data"))


def train_lightning(runs: list[Any]) -> None:
    """The same runs as a LightningModule: images in memory, rotated in batches by this project's code."""
    import logging
    import warnings

    import lightning
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from bench import datasets, models
    from bench.losses import as_function
    from bench.training import augment

    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)

    class Module(lightning.LightningModule):
        def __init__(self, resolved: Any, images: Any) -> None:
            super().__init__()
            form = images.form
            torch.manual_seed(resolved.derive("init"))
            self.model = models.build(resolved.model, form.shape, form.classes)
            self.loss = as_function(resolved.loss)
            self.recipe, self.form = resolved.recipe, form

        def prepared(self, images: Any, augmented: bool) -> Any:
            images = images.float()
            if augmented:
                generator = torch.default_generator
                drawn = augment.draw(self.recipe.augment, len(images), self.form.shape, generator)
                images = augment.apply(self.recipe.augment, drawn, images, slice(0, len(images)))
            return (images / 255 - self.form.mean[0]) / self.form.std[0]

        def training_step(self, batch: Any, index: int) -> Any:
            return self.loss(self.model(self.prepared(batch[0], True)), batch[1])

        def validation_step(self, batch: Any, index: int) -> None:
            right = self.model(self.prepared(batch[0], False)).argmax(1) == batch[1]
            self.log("accuracy", right.float().mean())

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.Adam(self.parameters(), lr=0.02)
            steps = self.trainer.estimated_stepping_batches
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=steps)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    for run in runs:
        resolved = run.resolve()
        images = datasets.load(resolved.dataset, Path("data"))
        train = TensorDataset(images.train_images, images.train_labels)
        test = TensorDataset(images.test_images, images.test_labels)
        trainer = lightning.Trainer(
            max_epochs=resolved.recipe.epochs,
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(
            Module(resolved, images),
            DataLoader(train, batch_size=resolved.recipe.batch_size, shuffle=True),
            DataLoader(test, batch_size=500),
        )


def main() -> None:
    from bench.suite import load

    kind, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    runs = list(load(SUITE).runs()[first : first + count])
    (train_lightning if kind == "lightning" else train_ours)(runs)


if __name__ == "__main__":
    main()
