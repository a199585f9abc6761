"""A pack: the runs that a job trains, as a file in the job's folder."""

from __future__ import annotations

import json
import operator
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer, ValidationError

from bench import __version__
from bench.disk import read, strangers, write_atomically
from bench.errors import BenchError
from bench.metrics import METRICS, Metric
from bench.registry import explain, restore
from bench.runs import Run, canonical
from bench.suite import Suite
from bench.trainer_options import Command, Handling, handling_key
from bench.versions import digests, store


def _to_plain(runs: Sequence[Run]) -> dict[str, Any]:
    """Runs with each shared description once: 100,000 runs are a megabyte or two."""
    cells = {text: number for number, text in enumerate(dict.fromkeys(run.text for run in runs))}
    descriptions = [json.loads(text) for text in cells]
    return {"descriptions": descriptions, "runs": [(cells[run.text], run.seed) for run in runs]}


def _from_plain(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    try:
        texts = [canonical({**description}) for description in value["descriptions"]]
        return [Run(texts[number], operator.index(seed)) for number, seed in value["runs"]]
    except (LookupError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


class Pack(BaseModel):
    """All that a worker needs to know."""

    results: Path
    data: Path
    device: str
    runs: Annotated[list[Run], PlainSerializer(_to_plain), BeforeValidator(_from_plain)]
    """In the order in which they are wanted."""
    search_path: list[str]
    """Folders in which a user's own modules are looked for, before all others, where they are not kept."""
    git: dict[str, Any] | None
    """Commit of the folder that the suite was started in, and whether it had changes."""
    launcher: int | None = None
    """Process on this machine without which the worker stops. None: a job that stands for itself."""
    cluster: Annotated[str, Field(pattern=r"^[\w-]+$")] | None = None
    """Of the job's id, where its profile names one."""
    keep_weights: bool = False
    keep_probabilities: bool = False
    workers: int | None = 1
    """Processes of a job that share it, on each GPU; None: as many as a measurement on the GPU says."""
    suite: Path = Path()
    """The folder of the suite: programs run there."""
    metrics: dict[str, dict[str, Any]] = {}
    """What the suite measures, by what it is called: a trainer of the user's own must give what it takes."""
    handling: dict[str, Handling] = {}
    """How programs are stopped and followed, by :func:`bench.trainer_options.handling_key`."""
    gpus: int | None = None
    """On each node, that its runs have for themselves; None: one, as all that a process trains."""
    nodes: int = 1
    versions: dict[str, str] = {}
    """Of what the launcher would train with: a node that has others must not mix its results in."""

    @property
    def asked(self) -> list[Metric]:
        """The metrics of ours that the suite measures."""
        ours = {name: one for name, one in self.metrics.items() if ":" not in one["name"]}
        return [Metric.of(restore(described, METRICS), name) for name, described in ours.items()]

    def handling_of(self, run: Run) -> Handling:
        """How the program of a run is stopped and followed."""
        return self.handling.get(handling_key(run.trainer or {}), Handling())

    @property
    def run_ids(self) -> list[str]:
        """The ids of its runs."""
        return [run.id for run in self.runs]

    def write(self, folder: Path, name: str = "pack.json") -> Path:
        """Write the pack into a job's folder and return its path."""
        path = folder / name
        write_atomically(path, self.model_dump_json().encode())
        return path

    def find_modules(self) -> None:
        """Let this process import the user's modules, as they were when the runs were asked for."""
        sys.path[:0] = [folder for folder in self.search_path if folder not in sys.path]
        store.use(self.results, digests.of_runs(self.runs))

    def strangers(self, path: Path) -> list[str]:
        """What :meth:`find_modules` finds that others may have written, the pack itself at ``path`` too."""
        files = store.files(self.results, digests.of_runs(self.runs))
        return strangers([path, *map(Path, self.search_path), *files])

    @classmethod
    def read(cls, path: Path) -> Pack:
        """The pack that :meth:`write` wrote.

        Raises:
            BenchError: it cannot be read, or is something else.
        """
        try:
            return cls.model_validate_json(read(str(path)))
        except ValidationError as error:
            raise BenchError(f"{path}: {explain(error)[0]}") from None
        except OSError as error:
            raise BenchError(f"{path}: {error.strerror}") from None


def of_trainers(suite: Suite) -> dict[str, Any]:
    """What a pack holds for trainers of the user's own: nothing where there are none."""
    if not suite.trainers:
        return {}
    metric = suite.metrics[0].name
    programs = [trainer for trainer in suite.trainers if isinstance(trainer, Command)]
    return {
        "suite": suite.folder,
        "metrics": {one.name: one.choice.describe() for one in suite.metrics},
        "handling": {handling_key(one.describe(metric, None)): one.handling for one in programs},
    }


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a result; a checkout need not be installed."""
    names = ("torch", "torchvision", "timm", "numpy")
    versions = {name: metadata.version(name) for name in names}
    return {"python": platform.python_version(), "lossbench": __version__, **versions}


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of the git repository around ``folder`` and whether it has uncommitted changes."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
