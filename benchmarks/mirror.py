"""How fast are runs mirrored into MLflow: 20 epochs × 8 metrics each, into a SQLite file?

First the same runs in turn through MLflow's own client and as `bench` writes them; then many at once, and
once more with nothing changed, each in a process of its own whose memory is measured. Some minutes.

    python benchmarks/mirror.py [--runs 10000] [--sample 100] [--repeats 3]
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import made_up

from bench import suite as suites
from bench.results.folder import RunFolder
from bench.suite import Suite
from bench.tracking.database import Tables
from bench.tracking.mirror import Mirror, Synced
from bench.tracking.store import connect


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000, help="in one go (default 10,000)")
    parser.add_argument("--sample", type=int, default=100, help="for the comparison of the two (default 100)")
    parser.add_argument("--repeats", type=int, default=3, help="of the comparison (default 3)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-mirror-") as temporary:
        folder = Path(temporary)
        compare(folder, args.sample, args.repeats)
        mirror_many(folder, args.runs)


def compare(folder: Path, runs: int, repeats: int) -> None:
    """Print runs per second of either way, and the ratio, from rounds in which both take turns."""
    suite = make(folder / "sample", runs)
    found: dict[str, list[float]] = {"client": [], "bench": []}
    for number in range(repeats):
        for way, rates in found.items():
            uri = f"sqlite:///{folder / 'sample' / f'{way}-{number}.db'}"
            connect(uri)  # setting up the tables is not what is measured
            ways = {"client": lambda _: None, "bench": Tables.known}
            with mock.patch.object(Tables, "known", ways[way]):
                seconds, _ = timed(Mirror(suite, folder / "sample", uri).sync)
            rates.append(runs / seconds)
    client, own = (statistics.median(rates) for rates in found.values())
    ratio = statistics.median(b / a for a, b in zip(*found.values(), strict=True))
    print(f"MLflow's own client  {client:6.1f} runs/s")
    print(f"bench track          {own:6.1f} runs/s  {ratio:5.1f} ×  (medians of {repeats} × {runs} runs)")


def mirror_many(folder: Path, runs: int) -> None:
    """Print how long so many runs take in one go, and again, and the memory of both."""
    make(folder / "many", runs)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for what in ("in one go", "again, unchanged"):
            seconds, before, most, synced = pool.apply(mirror_all, (folder / "many",))
            rate = f"{synced.created / seconds:6.1f} runs/s" if synced.created else f"{synced}"
            print(f"{runs:,} runs {what}: {seconds:.1f} s, {rate}, {before} MB before, {most} MB at most")
    print(f"mlflow.db: {(folder / 'many' / 'mlflow.db').stat().st_size / 1e6:.0f} MB")


def mirror_all(folder: Path) -> tuple[float, int, int, Synced]:
    """Seconds, memory before and at most in MB, and what was done."""
    suite, uri = suites.load(folder / "suite.yaml"), f"sqlite:///{folder / 'mlflow.db'}"
    connect(uri)
    before = memory()
    seconds, synced = timed(Mirror(suite, folder, uri).sync)
    return seconds, before, memory(), synced


def make(folder: Path, runs: int) -> Suite:
    """A suite of that many finished runs."""
    folder.mkdir()
    suite = suites.load(made_up.write_suite(folder / "suite.yaml", runs))
    made_up.finish(suite.runs(), folder)
    for run in suite.runs():
        metrics = RunFolder(folder, run.id).metrics()
        RunFolder(folder, run.id).write_metrics(
            {**line, "validation_loss": line["test_loss"]} for line in metrics
        )
    return suite


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.monotonic()
    answer = call()
    return time.monotonic() - began, answer


def memory() -> int:
    """The most that this process has held so far, in MB. What `resource` says begins with the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


if __name__ == "__main__":
    main()
