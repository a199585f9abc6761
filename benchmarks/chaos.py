"""Does killing `bench run` at random moments lose or double anything?

Trains a small suite twice: once undisturbed, and once while SIGKILL hits, again and again, the launcher, one
of its workers, one of submitit's controllers, or all of them; some kills fall into the start-up, the others
into the training, and now and then two launchers are at work. Then one last `bench run` finishes the suite,
and what lies on disk and in MLflow is counted and compared with the undisturbed run. Exit status 1 where a
count is not what it should be. Linux only; two to four minutes on two cores.

With --program, a program trains in bench's place (a trainer of one's own), and is killed as well, or what
watches over it; no two copies of it may ever be at work in one folder.

    python benchmarks/chaos.py [--kills 20] [--seed 0] [--program] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import contextlib
import filecmp
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import yaml
from mlflow import MlflowClient

from bench import suite as suites
from bench.launch.local import MOST_DEATHS
from bench.results.folder import RunFolder
from bench.results.reading import frame

MARK = "CHAOS_FOLDER"  # in the environment of every process that is started here, and inherited by theirs
EPOCHS = 4
SUITE = {
    "question": "Does killing bench run lose or double anything?",
    "datasets": "digits",
    "models": "vgg5-tiny",
    "losses": ["ce", "min_ent", "mix_ent"],
    "baseline": "ce",
    "recipe": {"epochs": EPOCHS, "batch_size": 64, "optimizer": {"adam": {"lr": 0.005}}},
    "selection": "validation",
}
PROGRAM = f"""
import csv, fcntl, os, sys, time

folder, loss, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
alone, table = open(f"{{folder}}/alone", "w"), f"{{folder}}/log.csv"
try:
    fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    open("two-at-once", "a").write(folder)
rows = list(csv.DictReader(open(table))) if os.path.exists(table) else []
for epoch in range(len(rows) + 1, {EPOCHS} + 1):
    time.sleep(0.2)
    rows.append({{"epoch": epoch, "train_loss": (len(loss) + seed) / epoch}})
    with open(f"{{table}}.new", "w") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    os.replace(f"{{table}}.new", table)
import numpy as np

labels = np.arange(100) % 10
predictions = (labels + (np.arange(100) < seed % 7 + len(loss))) % 10
np.savez(f"{{folder}}/p.npz", labels=labels, predictions=predictions)
"""
TRAINER = {
    "command": [sys.executable, "chaos_program.py", "{folder}", "{loss}", "{seed}"],
    "result": {"file": "p.npz"},
    "progress": {"file": "log.csv"},
    "grace": 5,
}
TABLES = ("report.md", "report.json", "cells.csv", "comparisons.csv")
FILES = {"run.json", "metrics.jsonl", "predictions.npz", "result.json", ".claim"}  # of a finished run
CREW = {b"submitit.core._submit": "worker", b"submitit.local._local": "controller"}
SCRIPTS = {b"chaos_program.py": "program", b"watcher.py": "watcher"}
"""Those of a trainer of one's own, which are in sessions of their own."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="how often (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments and targets (default 0)")
    parser.add_argument("--program", action="store_true", help="a program trains in bench's place")
    parser.add_argument("--keep", type=Path, help="new folder for all of it (default: temporary, removed)")
    args = parser.parse_args()
    folder = (args.keep or Path(tempfile.mkdtemp(prefix="bench-chaos-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        parser.error(f"--keep: {folder} is not empty")
    seeds = max(5, round(1.5 * args.kills))  # so that the kills are spread over the training
    own = {"trainer": TRAINER, "models": "net", "recipe": {}} if args.program else {}
    (folder / "chaos_program.py").write_text(PROGRAM)
    (folder / "chaos.yaml").write_text(yaml.safe_dump({**SUITE, **own, "seeds": seeds}, sort_keys=False))
    try:
        broken = experiment(folder, args.kills, random.Random(args.seed))
    finally:
        for process in processes(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    if broken:
        sys.exit(f"chaos: {broken} of the counts are not what they should be; see {folder}")
    print("nothing was lost, nothing was doubled")
    if not args.keep:
        shutil.rmtree(folder)


def experiment(folder: Path, kills: int, rng: random.Random) -> int:
    """Train undisturbed, train under fire, compare. Returns how many checks do not hold."""
    began, seen, changed = time.monotonic(), {}, set()
    say(f"undisturbed run, in {folder}")
    if start(folder, "undisturbed").wait():
        sys.exit(f"chaos: the undisturbed run failed; see {folder / 'undisturbed.log'}")
    say(f"took {time.monotonic() - began:.0f} s; now with {kills} kills")
    killed, ended, running = disturb(folder, kills, rng, lambda: watch(folder / "killed", seen, changed))
    say("no more kills: the last run finishes what is left")
    running.append(start(folder, "killed"))
    deadline = time.monotonic() + 600
    while any(launcher.poll() is None for launcher in running) and time.monotonic() < deadline:
        watch(folder / "killed", seen, changed)
        time.sleep(0.05)
    time.sleep(2)  # what is left of the workers of killed launchers looks around once a second
    left = processes(folder)
    ended += [launcher.poll() for launcher in running]
    say(f"all done in {time.monotonic() - began:.0f} s\n")
    print(f"kills: {kills} ({', '.join(f'{target} {n}' for target, n in sorted(killed.items()))})")
    checks = [
        ("exit status of the last run", ended[-1], 0),
        ("exit statuses of 0 of all launchers that were spared", ended.count(0), len(ended)),
        ("processes left behind", len(left), 0),
        ("programs that found another at work in their folder", (folder / "two-at-once").exists(), False),
        ("results that changed or vanished once they were seen", len(changed), 0),
        *check_folders(folder),
        *check_mlflow(folder),
    ]
    for what, found, expected in checks:
        print(f"{'ok  ' if found == expected else 'FAIL'}  {what}: {found} (expected {expected})")
    return sum(found != expected for _, found, expected in checks)


# ------------------------------------------------------------------------------------- starting and killing


def start(folder: Path, results: str) -> subprocess.Popen[bytes]:
    """A `bench run` in a process group of its own."""
    command = [sys.executable, "-m", "bench", "run", "chaos.yaml", "--results", results]
    foreign = ("BENCH_", "MLFLOW_", "SUBMITIT_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    with (folder / f"{results}.log").open("ab") as log:
        return subprocess.Popen(
            [*command, "--workers", "2", "--device", "cpu"],
            cwd=folder,
            env={**environment, MARK: str(folder)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def processes(folder: Path, group: int | None = None) -> dict[int, str]:
    """Living processes that were started here, directly or not: by number, what each of them is."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it is gone, or somebody else's
            if f"{MARK}={folder}\0".encode() in (entry / "environ").read_bytes():
                command = (entry / "cmdline").read_bytes()
                if group in (None, os.getpgid(int(entry.name))):
                    words = command.split(b"\0")
                    kinds = [kind for module, kind in CREW.items() if module in words]
                    kinds += [kind for name, kind in SCRIPTS.items() if any(w.endswith(name) for w in words)]
                    found[int(entry.name)] = next(iter(kinds), "other")
    return found


def disturb(
    folder: Path, kills: int, rng: random.Random, look: Callable[[], None]
) -> tuple[Counter[str], list[int], list[subprocess.Popen[bytes]]]:
    """Start and kill. Returns kills by target, exit statuses of spared launchers, and who still runs."""
    killed, ended, running, deaths = Counter(), [], [], Counter()
    while killed.total() < kills:
        if not running:
            running = [start(folder, "killed") for _ in range(rng.choice((1, 1, 2)))]
        pause(folder / "killed", running, rng, look)
        ended += [launcher.returncode for launcher in running if launcher.poll() is not None]
        running = [launcher for launcher in running if launcher.returncode is None]
        if not running:
            continue
        launcher = rng.choice(running)
        crew = {kind: number for number, kind in processes(folder, launcher.pid).items()}
        others = {kind: number for number, kind in processes(folder).items() if kind in SCRIPTS.values()}
        # Its run is to blame for a worker's third death, says the launcher: that would be a failed run.
        spared = {"other"} if deaths[launcher.pid] < MOST_DEATHS - 1 else {"other", "worker", "controller"}
        target = rng.choice(["launcher", "everything", *sorted((crew.keys() | others.keys()) - spared)])
        with_launcher = target in ("launcher", "everything")
        crew |= others
        try:
            if target == "everything":
                os.killpg(launcher.pid, signal.SIGKILL)
            else:
                os.kill(crew.get(target, launcher.pid), signal.SIGKILL)
        except ProcessLookupError:
            continue  # it has just ended
        which = "" if len(running) == 1 else " (of one of two launchers)"
        if with_launcher:
            launcher.wait()  # or else it would still look alive to its workers
            running.remove(launcher)
        deaths[launcher.pid] += target in ("worker", "controller")
        killed[target] += 1
        done = len(list((folder / "killed" / "runs").glob("*/result.json")))
        say(f"kill {killed.total()} of {kills}: {target}{which}; {done} runs done")
    return killed, ended, running


def pause(
    results: Path, running: list[subprocess.Popen[bytes]], rng: random.Random, look: Callable[[], None]
) -> None:
    """Wait a random time, counted from now or from the next epoch that is trained; not for dead launchers."""
    now = time.time()
    until = now + rng.uniform(0.3, 5) if rng.random() < 0.4 else None
    while any(launcher.poll() is None for launcher in running) and (until is None or time.time() < until):
        look()
        if until is None and any(p.stat().st_mtime > now for p in results.glob("runs/*/metrics.jsonl")):
            until = time.time() + rng.uniform(0, 3)
        time.sleep(0.05)


# ---------------------------------------------------------------------------------------------- the checks


def watch(results: Path, seen: dict[str, bytes], changed: set[str]) -> None:
    """Remember each result as it was when it was first seen, and note those that are no longer like that."""
    now = {path.parent.name: path.read_bytes() for path in results.glob("runs/*/result.json")}
    changed |= {run for run, content in seen.items() if now.get(run) != content}
    seen.update({**now, **seen})


def check_folders(folder: Path) -> list[tuple[str, int, int]]:
    """What the run folders and the tables say: (what, count, expected count)."""
    results, undisturbed = folder / "killed", folder / "undisturbed"
    suite = suites.load(folder / "chaos.yaml")
    found = frame(results, suite.cells)
    again, wrong, differing, untidy = 0, 0, 0, 0
    for row in found[found.state == "done"].itertuples():
        run, twin = RunFolder(results, row.run_id), RunFolder(undisturbed, row.run_id)
        again += any(attempt["started"] > row.finished for attempt in run.info().get("attempts", []))
        wrong += [line["epoch"] for line in run.metrics()] != [*range(1, EPOCHS + 1)]
        differing += essence(run) != essence(twin)
        untidy += not FILES.issuperset(os.listdir(run.path))
    _, *tables = filecmp.cmpfiles(undisturbed / "chaos", results / "chaos", TABLES, shallow=False)
    return [
        ("runs planned that have one result, undamaged", int((found.state == "done").sum()), len(found)),
        ("run folders", sum(entry.is_dir() for entry in (results / "runs").iterdir()), len(found)),
        ("run folders set aside", len(list(results.glob("set-aside/*"))), 0),
        ("runs begun again after they were finished", again, 0),
        (f"runs with other epochs than 1 to {EPOCHS}, once each", wrong, 0),
        ("runs whose metrics or predictions differ from the undisturbed", differing, 0),
        (f"tables that differ from the undisturbed run's, of {len(TABLES)}", sum(map(len, tables)), 0),
        ("finished folders with a leftover or temporary file", untidy, 0),
    ]


def essence(run: RunFolder) -> tuple[list[dict[str, float]], bytes]:
    """What must not depend on kills: all metrics but the times, and the predictions."""
    lines = run.metrics()
    for line in lines:
        del line["time"]
        line.pop("images_per_second", None)
    return lines, (run.path / "predictions.npz").read_bytes()


def check_mlflow(folder: Path) -> list[tuple[str, int, int]]:
    """What the mirror says: (what, count, expected count)."""
    planned = {run.id for run in suites.load(folder / "chaos.yaml").runs()}
    client = MlflowClient(f"sqlite:///{folder / 'killed' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("chaos").experiment_id
    children, parents, steps = Counter(), 0, 0
    for run in client.search_runs([experiment], max_results=10_000):
        name = run.data.tags.get("bench.run_id")
        parents += name is None
        if name is not None:
            children[name, run.info.status] += 1
            history = client.get_metric_history(run.info.run_id, "train_loss")
            steps += sorted(point.step for point in history) == [*range(1, EPOCHS + 1)]
    single = sum(children[run, "FINISHED"] == 1 for run in planned)
    return [
        ("MLflow: runs with exactly one FINISHED child", single, len(planned)),
        ("MLflow: children", children.total(), len(planned)),
        (f"MLflow: children with {EPOCHS} steps of train_loss", steps, len(planned)),
        ("MLflow: runs that are no child", parents, 1),
    ]


def say(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


if __name__ == "__main__":
    main()
