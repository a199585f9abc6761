"""How long do `bench plan` and `bench status` take with 10,000 planned runs, half of them finished?

Makes up the finished runs, then times whole commands, start-up of Python included, each several times in
turn. Prints the medians, and how many times a bare `bench --help` that is. About a minute.

    python benchmarks/scale.py [--runs 10000] [--repeats 3]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import made_up

from bench import suite as suites


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000, help="planned (default 10,000)")
    parser.add_argument("--repeats", type=int, default=3, help="of each command (default 3)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-scale-") as temporary:
        folder = Path(temporary)
        path = made_up.write_suite(folder / "scale.yaml", args.runs)
        runs = suites.load(path).runs()
        made_up.finish(runs[::2], folder / "results")
        print(f"{len(runs):,} runs planned, {len(runs[::2]):,} finished")
        verbs = {"--help": ["--help"], "plan": ["plan", str(path)], "status": ["status", str(path)]}
        seconds: dict[str, list[float]] = {verb: [] for verb in verbs}
        for _ in range(args.repeats):
            for verb, words in verbs.items():
                began = time.monotonic()
                command = [sys.executable, "-m", "bench.cli", *words]
                subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
                seconds[verb].append(time.monotonic() - began)
        least = statistics.median(seconds["--help"])
        for verb, found in seconds.items():
            took = statistics.median(found)
            print(f"bench {verb:7} {took:5.2f} s  {took / least:5.1f} × bench --help")


if __name__ == "__main__":
    main()
