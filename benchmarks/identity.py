"""What it costs to know that what was compared is what was asked, side by side in one run.

Digests of the data beside the training of a quickstart run, which they must take less than 1 % of; and
`bench freeze` beside `bench plan`, which must take no less. Half a minute on two cores.

    python benchmarks/identity.py [--rounds 10]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")  # as workers do

from bench import datasets
from bench.results.folder import RunFolder
from bench.suite import load
from bench.training.data import Data
from bench.training.device import prepare
from bench.training.run import train

SUITE = Path(__file__).parents[1] / "suites" / "quickstart.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10, help="alternating rounds (default 10)")
    rounds = parser.parse_args().rounds
    print("| what | median, ms | the other | its median, ms | ratio |")
    print("| --- | ---: | --- | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        training(Path(folder), rounds)
        commands(Path(folder), rounds)


def training(folder: Path, rounds: int) -> None:
    """The digests of one run, though a process takes that of the data set once for all its runs."""
    [run, *_] = load(SUITE).runs()
    device, resolved = prepare("cpu"), run.resolve()
    images = datasets.load(resolved.dataset, folder)
    parts = images.train_images, images.train_labels, images.test_images, images.test_labels
    trained: list[float] = []

    def digests() -> None:
        datasets.digest(*parts)  # as it came
        datasets.digest(*parts)  # with subset and noise
        _ = Data(resolved, folder, device).digests

    def one_run() -> None:
        results = folder / f"results-{len(trained)}"
        trained.append(0.0)
        train(run, RunFolder(results, run.id), device=device, data=folder)

    for made in range(rounds):
        (folder / f"results-{made}" / "runs" / run.id).mkdir(parents=True)
    side_by_side("digests of the data", digests, "a quickstart run", one_run, rounds)


def commands(folder: Path, rounds: int) -> None:
    """Each in a process of its own."""

    def command(verb: str) -> Callable[[], None]:
        words = [sys.executable, "-m", "bench", verb, str(SUITE), "--results", str(folder / verb)]
        return lambda: subprocess.run(words, capture_output=True, check=True) and None

    side_by_side("bench freeze", command("freeze"), "bench plan", command("plan"), rounds)


def side_by_side(
    what: str, ours: Callable[[], None], other: str, theirs: Callable[[], None], rounds: int
) -> None:
    """Print medians of alternating rounds and their ratio."""
    times: dict[str, list[float]] = {what: [], other: []}
    for _ in range(rounds):
        for name, work in ((what, ours), (other, theirs)):
            began = time.perf_counter()
            work()
            times[name].append(1e3 * (time.perf_counter() - began))
    one, two = (statistics.median(found) for found in times.values())
    print(f"| {what} | {one:.3g} | {other} | {two:.3g} | {one / two:.4f} |", flush=True)


if __name__ == "__main__":
    main()
