"""Can this machine run a suite? Each check says what it found, and what to do where it does not hold."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from pydantic import BaseModel

from bench.disk import check_writable
from bench.errors import BenchError
from bench.launch.executors import Trouble
from bench.launch.executors.slurm.commands import ask, keeps_books
from bench.tracking.store import TrackingError, check_store, default_uri

LEAST_FREE_GIB = 1.0


class Check(BaseModel):
    """The result of one check. ``ok`` is None for what a suite can do without."""

    name: str
    ok: bool | None
    found: str
    advice: str = ""


class Diagnosis(BaseModel):
    """What ``bench doctor --json`` prints."""

    healthy: bool
    checks: list[Check]


def diagnose(results: Path, data: Path, tracking_uri: str | None) -> Diagnosis:
    """Run all checks. Writes a probe file into the results folder and removes it; changes nothing else."""
    checks = [_python(), *_libraries(), _slurm()]
    checks += [_results(results), _disk(results), _data(data), _mlflow(tracking_uri or default_uri(results))]
    return Diagnosis(healthy=all(check.ok is not False for check in checks), checks=checks)


def _python() -> Check:
    return Check(name="python", ok=sys.version_info >= (3, 11), found=platform.python_version())


_LIBRARIES = {
    # Torch and torchvision must be builds that belong together; else the second cannot even be imported.
    "torch and torchvision": (
        "import torch, torchvision, torchvision.ops; "
        "torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5); "
        "say('torch', torch.__version__, 'torchvision', torchvision.__version__)",
        "install both in one go, from the same index: pip install --force-reinstall torch torchvision",
    ),
    "devices": (
        "n = torch.cuda.device_count(); "
        "say(', '.join(torch.cuda.get_device_name(k) for k in range(n)) if n else 'no CUDA device')",
        "see the check of torch",
    ),
    "timm": ("import timm; say('timm', timm.__version__)", "pip install timm"),
}
"""What each check of a library runs, one after another, and what to do where it does not hold."""


def _libraries() -> list[Check]:
    """Try them in one process, not this one: a broken build can take its process with it."""
    steps = ["import functools; say = functools.partial(print, flush=True)"]
    code = "\n".join([*steps, *(step for step, _ in _LIBRARIES.values())])
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    versions = process.stdout.splitlines()[: len(_LIBRARIES)]
    checks = []
    for number, (name, (_, advice)) in enumerate(_LIBRARIES.items()):
        if number < len(versions):
            checks.append(Check(name=name, ok=True, found=versions[number]))
            continue
        lines = process.stderr.strip().splitlines() or [f"exit status {process.returncode}"]
        reason = lines[-1] if number == len(versions) else f"not tried, as {checks[-1].name} failed"
        checks.append(Check(name=name, ok=False, found=reason, advice=advice))
    cores = len(os.sched_getaffinity(0))
    checks[1].found = f"{cores} CPU core{'s' * (cores != 1)}; {checks[1].found}"
    return checks


def _slurm() -> Check:
    if shutil.which("sbatch") is None:
        return Check(name="slurm", ok=None, found="no sbatch here: suites run on this machine only")
    try:
        partitions = sorted(set(ask("sinfo", "--noheader", "--format=%R").split()))
        books = "accounting" if keeps_books() else "no accounting: how jobs ended is known for some minutes"
    except Trouble as trouble:
        if "no cluster is set up" in str(trouble):  # the packages are installed, and that is all
            words = "Slurm's commands are here, but no cluster is set up: suites run on this machine only"
            return Check(name="slurm", ok=None, found=words)
        advice = "is slurmctld running, and does slurm.conf name it?"
        return Check(name="slurm", ok=False, found=str(trouble), advice=advice)
    return Check(name="slurm", ok=True, found=f"partitions: {', '.join(partitions)}; {books}")


def _results(results: Path) -> Check:
    try:
        check_writable(results)
    except BenchError as error:
        return Check(name="results folder", ok=False, found=str(error))
    return Check(name="results folder", ok=True, found=f"{results.absolute()} can be written")


def _disk(results: Path) -> Check:
    folder = next(folder for folder in (results.absolute(), *results.absolute().parents) if folder.exists())
    free = shutil.disk_usage(folder).free / 2**30
    ok = free >= LEAST_FREE_GIB
    return Check(
        name="disk",
        ok=ok,
        found=f"{free:.1f} GiB free at {folder}",
        advice="" if ok else "free some space, or choose another folder with --results",
    )


def _data(data: Path) -> Check:
    names = sorted(entry.name for entry in data.iterdir()) if data.is_dir() else []
    listed = ", ".join(names) or "nothing yet"
    return Check(
        name="data folder",
        ok=True if names else None,
        found=f"{data.absolute()}: {listed}",
        advice=""
        if names
        else "digits and synthetic-letters need no files; `bench fetch SUITE` gets the others",
    )


def _mlflow(uri: str) -> Check:
    try:
        return Check(name="mlflow", ok=True, found=check_store(uri))
    except TrackingError as error:
        advice = "runs and tables do not depend on it; `bench track SUITE` catches up later"
        return Check(name="mlflow", ok=False, found=str(error), advice=advice)


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """One line a check."""
    marks = {True: "ok  ", False: "FAIL", None: "-   "}
    lines = []
    for check in diagnosis.checks:
        lines.append(f"{marks[check.ok]} {check.name}: {check.found}")
        if check.advice:
            lines.append(f"     {check.advice}")
    return "\n".join(lines)
