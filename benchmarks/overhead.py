"""What does the harness itself cost: everything but training, for 100 to 100,000 runs?

Makes up finished runs, then takes the time of every stage of a run's life besides training, each in a process
of its own, and of whole commands as a person types them. Prints Markdown: how long commands take to start
beside what they cannot do without, milliseconds a run of each stage (wall clock, and processor time in
brackets: a busy machine hits the first), by how much a stage grows faster than its runs, and the seconds and
the peak memory of each command. A quarter of an hour up to 100,000 runs, most of it to make them up; two
minutes with --runs 100 1000 10000.

    python benchmarks/overhead.py [--runs 100 1000 10000 100000] [--wide] [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_up

from bench import suite as suites
from bench.results.folder import RunFolder
from bench.suite import Suite

MOST_WRITTEN = 1_000
"""Runs of which a worker's own work is timed: each is synchronised with the disk four times."""
MOST_MIRRORED = 1_000
"""Runs that are mirrored into MLflow: benchmarks/mirror.py says more."""
MIRROR = "mirror into MLflow"
Stage = Callable[[Suite, Path, Path], tuple[Callable[[], object], int | None]]
"""Suite, its file and its results → what is timed, and of how many runs (None: of all)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[100, 1_000, 10_000, 100_000])
    parser.add_argument("--wide", action="store_true", help="many cells with ten seeds, not ten with many")
    parser.add_argument("--repeats", type=int, default=5, help="of the short commands (default 5)")
    parser.add_argument("--stage", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.stage:
        print(json.dumps(run_stage(args.stage[0], Path(args.stage[1]))))
        return
    with tempfile.TemporaryDirectory(prefix="bench-overhead-") as temporary:
        folders = {}
        for runs in args.runs:
            folder = folders[runs] = Path(temporary) / str(runs)
            folder.mkdir()
            made_up.write_suite(folder / "suite.yaml", runs, wide=args.wide)
        show_start(folders[min(args.runs)], args.repeats)
        for folder in folders.values():
            in_child("make up", folder)
        cells = {runs: len(suites.load(folder / "suite.yaml").cells) for runs, folder in folders.items()}
        print(f"\nRuns: {', '.join(f'{runs:,} in {count:,} cells' for runs, count in cells.items())}.\n")
        show_stages(folders)
        show_commands(folders)


# ------------------------------------------------------------------------------------------- whole commands


def show_start(folder: Path, repeats: int) -> None:
    """How long commands take that have little to do, in turn with what all of them must import."""
    suite = str(folder / "suite.yaml")
    bench = ["-m", "bench"]
    commands = {
        "python -c pass": ["-c", "pass"],
        "import pydantic, typer, yaml": ["-c", "import pydantic, typer, yaml"],
        "bench --help": [*bench, "--help"],
        f"bench plan, {folder.name} runs": [*bench, "plan", suite],
        f"bench status, {folder.name} runs": [*bench, "status", suite],
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, words in commands.items():
            wall, cpu, _ = in_command(words, folder)
            found[name].append((wall, cpu))
    print("| start | seconds | processor time | × the imports |\n| --- | ---: | ---: | ---: |")
    least = statistics.median(cpu for _, cpu in found["import pydantic, typer, yaml"])
    for name, times in found.items():
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {cpu / least:.1f} |", flush=True)


def show_commands(folders: dict[int, Path]) -> None:
    """Seconds and peak memory of the verbs that look at all runs."""
    print("\n| command: seconds, peak MB |" + "".join(f" {runs:,} |" for runs in folders))
    print("| --- |" + " ---: |" * len(folders))
    for verb in ("plan", "status", "report"):
        row = []
        for folder in folders.values():
            wall, _, peak = in_command(["-m", "bench", verb, str(folder / "suite.yaml")], folder)
            row.append(f" {wall:.1f} s, {peak:,.0f} MB |")
        print(f"| bench {verb} |" + "".join(row), flush=True)


def in_command(words: list[str], folder: Path) -> tuple[float, float, float]:
    """Seconds, processor seconds and peak memory in MB of one command."""
    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{' '.join(words)}: exit status {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


# --------------------------------------------------------------------------------------------------- stages


def show_stages(folders: dict[int, Path]) -> None:
    """Milliseconds a run of every stage, their sum, and how they grow."""
    largest = max(folders)
    before = max((runs for runs in folders if 1_000 <= runs < largest), default=min(folders))
    head = "".join(f" {runs:,} |" for runs in folders)
    print(f"| ms a run (processor) |{head} growth, {before:,} to {largest:,} | peak MB |")
    print("| --- |" + " ---: |" * (len(folders) + 2))
    sums = dict.fromkeys(folders, 0.0)
    for name in STAGES:
        row, cost, peak = [], {}, 0.0
        for runs, folder in folders.items():
            found = in_child(name, folder)
            cost[runs] = 1000 * found["cpu"] / found["runs"]
            wall = 1000 * found["seconds"] / found["runs"]
            if name != MIRROR:
                sums[runs] += wall
            peak = max(peak, found["peak"])
            only = f" of {found['runs']:,}" if found["runs"] < runs else ""
            row.append(f" {wall:.3f} ({cost[runs]:.3f}){only} |")
        growth = cost[largest] / cost[before] if cost[before] else 1.0
        print(f"| {name} |{''.join(row)} × {growth:.2f} | {peak:,.0f} |", flush=True)
    print("| **all but the mirror** |" + "".join(f" **{total:.1f}** |" for total in sums.values()) + " | |")


def in_child(name: str, folder: Path) -> dict[str, Any]:
    """A stage in a process of its own: its peak memory is its own, and nothing is warm."""
    words = [sys.executable, __file__, "--stage", name, str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_stage(name: str, folder: Path) -> dict[str, Any]:
    """Time one stage here."""
    file, results = folder / "suite.yaml", folder / "results"
    suite = suites.load(file)
    if name == "make up":
        os.fsync = lambda fd: None  # what is made up may be lost
        made_up.finish(suite.runs(), results)
        return {}
    planned = len(suite.runs())
    action, count = STAGES[name](suite, file, results)
    began, cpu = time.perf_counter(), time.process_time()
    action()
    return {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "runs": count or planned,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def expand(suite: Suite, file: Path, results: Path) -> tuple[Callable[[], object], None]:
    return lambda: [run.id for run in suites.load(file).runs()], None


def plan(suite: Suite, file: Path, results: Path) -> tuple[Callable[[], object], None]:
    from bench.launch.plan import plan

    return lambda: plan(suite, results, None, "cpu"), None


def prepare(suite: Suite, file: Path, results: Path) -> tuple[Callable[[], object], None]:
    from bench.launch.preflight import prepare

    return lambda: prepare(suite, suite.runs(), results, file.parent, print, retry_failed=False), None


def packs(suite: Suite, file: Path, results: Path) -> tuple[Callable[[], object], None]:
    from bench.launch.pack import Pack

    def write_and_read() -> None:
        whole = Pack(
            results=results, data=results, device="cpu", runs=[*suite.runs()], search_path=[], git=None
        )
        Pack.read(whole.write(results))

    return write_and_read, None


def look(suite: Suite, file: Path, results: Path) -> tuple[Callable[[], object], None]:
    from bench.launch.view import View

    # With folders of runs that have begun and not ended, which have to be looked into.
    begun = results.parent / "begun"
    for run in suite.runs():
        (begun / "runs" / run.id).mkdir(parents=True, exist_ok=True)
    view = View(suite, begun)
    return view._look, None


def worker(suite: Suite, file: Path, results: Path) -> tuple[Callable[[], object], int]:
    """Claim, start, look for a checkpoint, a line for each of 20 epochs, finish: training itself is free."""
    from bench.launch.pack import Pack
    from bench.launch.stop import StopFlag
    from bench.launch.worker import work
    from bench.training import checkpoint
    from bench.training import run as run_module
    from bench.training.device import fingerprint, prepare

    invented = made_up.answers()

    def train(run: Any, folder: RunFolder, *, device: Any, **others: Any) -> bool:
        metrics, result, predictions = next(invented)
        run.resolve()
        checkpoint.load(folder.path / "checkpoint.pt", device)
        folder.write_metrics([])
        for epoch in metrics:
            folder.append_metrics(epoch)
        folder.finish(result, predictions)
        return True

    run_module.train = train
    fingerprint(prepare("cpu"))
    runs = [*suite.runs()][:MOST_WRITTEN]
    fresh = results.parent / "fresh"
    pack = Pack(
        results=fresh, data=fresh, device="cpu", runs=runs, search_path=[], git=None, launcher=os.getpid()
    )
    return lambda: work(pack, StopFlag()), len(runs)


def status(suite: Suite, file: Path, results: Path) -> tuple[Callable[[], object], None]:
    from bench.launch.status import status

    return lambda: status(suite, results), None


def read(suite: Suite, file: Path, results: Path) -> tuple[Callable[[], object], None]:
    import pandas  # noqa: F401

    from bench.results.reading import frame

    return lambda: frame(results, suite.cells), None


def analyse(suite: Suite, file: Path, results: Path) -> tuple[Callable[[], object], None]:
    from bench.reports.build import report_and_agreement
    from bench.results.reading import frame

    runs = frame(results, suite.cells)
    return lambda: report_and_agreement(suite, results, runs), None


def report(suite: Suite, file: Path, results: Path) -> tuple[Callable[[], object], None]:
    from bench.reports import files
    from bench.reports.build import report_and_agreement
    from bench.reports.html import page
    from bench.reports.html.runs import list_runs
    from bench.reports.methods import paper
    from bench.results.reading import frame

    runs = frame(results, suite.cells)
    made, agreement = report_and_agreement(suite, results, runs)

    def write() -> None:
        shown = page(made, list_runs(suite, results, runs))
        files.write(made, results / suite.name, agreement, shown, paper(suite, results, made))

    return write, None


def mirror(suite: Suite, file: Path, results: Path) -> tuple[Callable[[], object], int]:
    import mlflow  # noqa: F401

    from bench.tracking.mirror import Mirror
    from bench.tracking.store import default_uri

    seeds = max(min(len(suite.seeds), MOST_MIRRORED // len(suite.cells)), 1)
    some = suites.load(file, seeds)
    there = results.parent / "mirrored"
    there.mkdir(exist_ok=True)
    (there / "runs").symlink_to(results / "runs")
    return Mirror(some, there, default_uri(there)).sync, len(some.runs())


STAGES: dict[str, Stage] = {
    "expand and identify": expand,
    "plan": plan,
    "look for damage before a start": prepare,
    "pack, written and read": packs,
    "a look of the live view": look,
    "a worker but for training": worker,
    "status": status,
    "read the results": read,
    "analyse": analyse,
    "report: page, tables, LaTeX, methods": report,
    MIRROR: mirror,
}


if __name__ == "__main__":
    main()
