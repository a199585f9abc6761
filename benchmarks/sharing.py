"""What does it take to share a study: bundle, report and verification of it, a merge, and a site?

Makes up finished runs, then takes the time and the peak memory of each command as a person types it. Prints
Markdown. Five minutes with 10,000 runs.

    python benchmarks/sharing.py [--runs 100 10000] [--wide]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import made_up
from overhead import in_command

from bench import suite as suites


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[100, 10_000])
    parser.add_argument("--wide", action="store_true", help="many cells with ten seeds, not ten with many")
    args = parser.parse_args()
    print("| runs | command | seconds | of processor | peak MB |\n| ---: | --- | ---: | ---: | ---: |")
    os.fsync = lambda fd: None  # what is made up may be lost
    with tempfile.TemporaryDirectory(prefix="bench-sharing-") as temporary:
        for runs in args.runs:
            folder = Path(temporary) / str(runs)
            folder.mkdir()
            file = made_up.write_suite(folder / "suite.yaml", runs, wide=args.wide)
            made_up.finish(suites.load(file).runs(), folder / "results")
            for name, words in COMMANDS.items():
                wall, cpu, peak = in_command(["-m", "bench", *words], folder)
                print(f"| {runs:,} | {name} | {wall:.1f} | {cpu:.1f} | {peak:,.0f} |", flush=True)
            size = (folder / "suite.bundle.zip").stat().st_size / 1e6
            print(f"\nThe bundle of {runs:,} runs has {size:,.1f} MB.\n")


COMMANDS = {
    "bench report, to compare": ["report", "suite.yaml"],
    "bench bundle": ["bundle", "suite.yaml"],
    "bench report BUNDLE": ["report", "suite.bundle.zip"],
    "bench bundle --verify": ["bundle", "suite.bundle.zip", "--verify"],
    "bench site": ["site", "results"],
    "bench merge": ["merge", "results", "suite.bundle.zip", "--into", "joined"],
}


if __name__ == "__main__":
    main()
