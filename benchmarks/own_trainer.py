"""What does a program cost as a trainer, beside itself?

Runs the same small program by turns: by itself, and as the trainer of a run, by what a worker does with it:
claim, start, listen, read the result, finish. Prints the milliseconds of both, and the median difference with
its quartiles; of programs that say nothing, that print a line an epoch, and that need a copy of a folder of
code. A minute.

    python benchmarks/own_trainer.py [--runs 40] [--most MILLISECONDS]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from bench.launch.attempt import attempt_run
from bench.launch.pack import Pack, of_trainers
from bench.results.folder import RunFolder
from bench.suite import load
from bench.versions import store

LEAVES = "import json, sys; json.dump({'correct': 9, 'total': 10}, open(sys.argv[1] + '/r.json', 'w'))\n"
PRINTS = 'for k in range(100): print(f\'{{"epoch": {k + 1}, "loss": {1 / (k + 1)}}}\')\n'
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "leaves its result": (LEAVES, {}),
    "prints 100 epochs": (PRINTS + LEAVES, {"progress": {"stdout": "json"}}),
    "has 100 files of code": (LEAVES, {"code": ["src"]}),
}


class Never:
    """A launcher that never stops anything."""

    raised = worked = False

    def before_step(self) -> bool:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=40, help="of each kind of program (default 40)")
    parser.add_argument(
        "--most", type=float, help="exit status 1 where a median is above so many milliseconds"
    )
    args = parser.parse_args()
    print("| program | by itself, ms | as a trainer, ms | more, ms (quartiles) |\n|---|--:|--:|--:|")
    above = False
    for kind, (script, trainer) in KINDS.items():
        alone, through = measure(script, trainer, args.runs)
        more = [b - a for a, b in zip(alone, through, strict=True)]
        low, middle, high = statistics.quantiles(more, n=4)
        times = (statistics.median(alone), statistics.median(through))
        print(f"| {kind} | {times[0]:.1f} | {times[1]:.1f} | **{middle:.1f}** ({low:.1f} to {high:.1f}) |")
        above |= args.most is not None and middle > args.most
    sys.exit(above)


def measure(script: str, trainer: dict[str, Any], runs: int) -> tuple[list[float], list[float]]:
    """Milliseconds by itself and as a trainer, by turns."""
    alone, through = [], []
    with tempfile.TemporaryDirectory(prefix="bench-own-trainer-") as name:
        folder = Path(name)
        (folder / "src").mkdir()
        for number in range(100):
            (folder / "src" / f"part{number}.py").write_text("x = 1\n" * 100)
        (folder / "prog.py").write_text(script)
        given = {"command": [sys.executable, "prog.py", "{folder}"], "result": {"file": "r.json"}, **trainer}
        values = {"question": "?", "datasets": "x", "models": "net", "losses": "ce", "seeds": runs + 1}
        (folder / "suite.yaml").write_text(yaml.safe_dump({**values, "trainer": given}))
        suite, results = load(folder / "suite.yaml"), folder / "results"
        store.keep(suite, results)
        pack = Pack(
            results=results, data=folder, device="cpu", runs=[*suite.runs()], search_path=[], git=None,
            launcher=1, **of_trainers(suite),
        )  # fmt: skip
        own = folder / "own"
        own.mkdir()
        for run in suite.runs():
            began = time.perf_counter()
            subprocess.run([sys.executable, "prog.py", str(own)], cwd=folder, check=True, capture_output=True)
            between = time.perf_counter()
            with contextlib.redirect_stderr(io.StringIO()):
                attempt_run(run, pack, "cpu", Never())  # type: ignore[arg-type]
            ended = time.perf_counter()
            assert RunFolder(results, run.id).done
            alone.append(1000 * (between - began))
            through.append(1000 * (ended - between))
    return alone[1:], through[1:]  # the first lays the copy out


if __name__ == "__main__":
    main()
