"""The first call of everything, before anything is submitted; and a first guess of how long runs will take.

Both are done by a process of its own, which a crash of somebody's code may end, and which waits for torch in
place of a `bench plan`. What was tried is noted in a cache (``BENCH_CACHE``, by default ``~/.cache/bench``),
under what it depends on: asking again costs nothing. Refusals are not noted.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.datasets import FORMS
from bench.disk import read, write_atomically
from bench.errors import BenchError
from bench.launch.pack import installed_versions
from bench.runs import Run, canonical

PATIENCE = 300.0  # seconds that one model and loss may take
KINDS_TIMED = 6  # most data sets × models that a plan is made to wait for
_VERSION = 2
"""Raised when a trial comes to find more than before."""


def try_first_calls(
    runs: Iterable[Run], data: Path, search_path: Sequence[str], say: Callable[[str], None]
) -> None:
    """Try each model and loss that these runs take from elsewhere, once, where that was not done before.

    Raises:
        BenchError: what is wrong, a line for each, and what to do.
    """
    untried: dict[str, Run] = {}
    for text, run in _by_text(runs).items():
        parts = json.loads(text)
        if run.trainer is None and _is_others(parts) and not _noted(key := _trial_key(parts)):
            untried.setdefault(key, run)
    if not untried:
        return
    say(f"trying the first call of {len(untried)} models and losses")
    refused = []
    answers = _ask("try", untried.values(), data, "cpu", search_path, say)
    for key, answer in zip(untried, answers, strict=False):
        if answer.get("refused"):
            refused.append(answer["refused"])
        elif answer:
            _note(key, {})
    if refused:
        raise BenchError("\n".join(dict.fromkeys(refused)))


def guess_seconds(
    runs: Mapping[tuple[str, str], Run],
    data: Path,
    device: str,
    search_path: Sequence[str],
    say: Callable[[str], None],
) -> dict[tuple[str, str], float]:
    """Seconds that a run of each kind (data set, model) would take on this machine, from a few of its steps.

    Guessed are some kinds at most, and none whose data set is not here.

    Raises:
        BenchError: a data set does not have what is asked of it.
    """
    runs = {kind: run for kind, run in runs.items() if run.trainer is None}
    keys = {kind: _time_key(json.loads(run.text), device) for kind, run in runs.items()}
    noted = {kind: answer["seconds"] for kind, key in keys.items() if (answer := _noted(key))}
    untimed = {kind: run for kind, run in runs.items() if kind not in noted}
    if not untimed or len(untimed) > KINDS_TIMED:
        return noted
    say("timing a few steps here, as no such run was timed before")
    answers = _ask("time", untimed.values(), data, device, search_path, say)
    for kind, answer in zip(untimed, answers, strict=False):
        if answer.get("refused"):
            raise BenchError(answer["refused"])
        if (seconds := answer.get("seconds")) is not None:
            noted[kind] = seconds
            _note(keys[kind], {"seconds": seconds})
    return noted


def _by_text(runs: Iterable[Run]) -> dict[str, Run]:
    return {run.text: run for run in runs}


def _is_others(parts: Mapping[str, Any]) -> bool:
    """Whether a description names code of a library or of the user's own, or parts of a model."""
    axes = (parts[part] for part in ("dataset", "model", "loss"))
    choices = [*axes, *_of_libraries(parts["recipe"]).values()]
    return (
        any(":" in part["name"] or "/" in part["name"] for part in choices)
        or any(name in parts["recipe"] for name in _NAMING)
        or "weights" in parts["model"]
    )


_NAMING = ("freeze", "layer_decay")
"""Keys of a recipe that hold for some models and not for others."""


def _of_libraries(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The optimizer and the schedule, where they are a library's."""
    choices = {part: recipe[part] for part in ("optimizer", "schedule")}
    return {part: choice for part, choice in choices.items() if "/" in choice["name"]}


def _trial_key(parts: Mapping[str, Any]) -> str:
    """A digest of all that decides what a trial finds."""
    form = FORMS.get(parts["dataset"]["name"])
    loss, recipe = parts["loss"], parts["recipe"]
    of_libraries = _of_libraries(recipe)
    modules = {parts[part]["name"].partition(":")[0] for part in ("dataset", "model", "loss")}
    return _digest(
        {
            "trial": _VERSION,
            "data": [form.shape, form.classes] if form else parts["dataset"],
            "model": parts["model"],
            "loss": loss if ":" in loss["name"] else None,
            "mixes": recipe.get("mix") is not None,
            "recipe": {name: recipe.get(name) for name in ("ema", "accumulate", "no_decay", *_NAMING)},
            "of libraries": [of_libraries, recipe["epochs"] if of_libraries else None],
            "versions": {**_versions(), **{name: _version(name) for name in sorted(modules)}},
        }
    )


def _time_key(parts: Mapping[str, Any], device: str) -> str:
    timed = {part: parts[part] for part in ("dataset", "model", "recipe")}
    return _digest({**timed, "device": device, "host": socket.gethostname(), "versions": _versions()})


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:32]


@functools.cache
def _versions() -> dict[str, str]:
    return installed_versions()


@functools.cache
def _version(module: str) -> str:
    """Of the package that a module comes with, where that is called so."""
    with contextlib.suppress(metadata.PackageNotFoundError, ValueError):
        return metadata.version(module.partition(".")[0].partition("/")[0].replace("_", "-"))
    return ""


def _cache() -> Path:
    folder = os.environ.get("BENCH_CACHE")
    above = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(folder) if folder else Path(above) / "bench"


def _noted(key: str) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(read(str(_cache() / f"{key}.json")))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _note(key: str, answer: Mapping[str, Any]) -> None:
    with contextlib.suppress(OSError):  # then it is tried again
        write_atomically(_cache() / f"{key}.json", json.dumps({"tried": True, **answer}).encode())


def _ask(
    task: str,
    runs: Iterable[Run],
    data: Path,
    device: str,
    search_path: Sequence[str],
    say: Callable[[str], None],
) -> Iterator[dict[str, Any]]:
    """The answers of a separate process, one a run; empty where it dies or hangs."""
    question: dict[str, Any] = {
        "what": task,
        "runs": [{"text": run.text, "seed": run.seed} for run in runs],
        "path": [*search_path],
        "data": str(data.absolute()),
        "device": device,
    }
    command = [sys.executable, "-c", "from bench.launch.trial import answer; answer()"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    while question["runs"]:
        with (
            tempfile.TemporaryFile("w+", errors="replace") as errors,
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
            ) as process,
        ):
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(json.dumps(question))
                    process.stdin.close()
                while question["runs"]:
                    ready = select.select([process.stdout], [], [], PATIENCE)[0]
                    line = process.stdout.readline() if ready else ""
                    if not line:
                        break
                    question["runs"] = question["runs"][1:]
                    yield json.loads(line)
            finally:
                process.kill()
            if question["runs"]:
                parts = json.loads(question["runs"][0]["text"])
                errors.seek(0)
                words = errors.read().strip().splitlines()[-1:] or ["it said nothing"]
                reason = f"the process died: {words[0]}" if ready else f"no answer in {PATIENCE:g} s"
                say(f"{parts['model']['name']} × {parts['loss']['name']} could not be tried here: {reason}")
                question["runs"] = question["runs"][1:]
                yield {}


def answer() -> None:
    """Answer on standard output, a line of JSON a run, what standard input asks."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever else is printed here is no answer
    asked = json.load(sys.stdin)
    sys.path[:0] = [folder for folder in asked["path"] if folder not in sys.path]
    from bench import datasets
    from bench.training.device import prepare
    from bench.training.timing import estimate_seconds
    from bench.training.trial import complaint

    device = prepare(asked["device"]) if asked["what"] == "time" else prepare("cpu")
    for each in asked["runs"]:
        run, data = Run(each["text"], each["seed"]), Path(asked["data"])
        reply: dict[str, Any] = {}
        try:
            if asked["what"] == "try":
                reply["refused"] = complaint(run.text, data)
            elif datasets.present(run.resolve().dataset, data):
                reply["seconds"] = estimate_seconds(run, data, device)
        except BenchError as error:
            reply["refused"] = str(error)
        except Exception as error:  # a guess that cannot be made is none
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        print(json.dumps(reply), file=answers)
