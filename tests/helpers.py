"""What tests do over and over: train one run here, make up its result, call the command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from bench.comparisons.comparison import Comparison
from bench.predictions import Predictions
from bench.reports import columns
from bench.results.folder import RunFolder
from bench.results.reading import frame
from bench.runs import Run
from bench.suite import Suite


def as_asked(path: Path, results: Path) -> Suite:
    """A suite file as the verbs that look read it."""
    from bench.front.asking import asking
    from bench.source import Source

    with asking(Source.of(path), results, names=False) as suite:
        return suite


def train_run(run: Run, results: Path, **settings: Any) -> RunFolder:
    """Train one run in this process, on one thread."""
    from bench.training.device import prepare
    from bench.training.run import train

    folder = RunFolder(results, run.id)
    with folder.claim() as mine:
        assert mine
        train(run, folder, device=prepare("cpu"), data=results / "data", **settings)
    return folder


def finish_run(
    run: Run,
    results: Path,
    correct: int,
    total: int = 100,
    weights: bytes | None = None,
    devices: Sequence[str] = (),
    **changes: Any,
) -> RunFolder:
    """Write a made-up result with this many correct answers: no training."""
    folder = RunFolder(results, run.id)
    truth = np.zeros(total, dtype=np.uint8)
    predicted = (np.arange(total) >= correct).astype(np.uint8)
    result: dict[str, Any] = {
        "correct": correct,
        "total": total,
        "epoch": 1,
        "nll": 0.1,
        "brier": 0.1,
        "ece": 0.01,
        "last": {"epoch": 1, "correct": correct},
        "best_test": {"epoch": 1, "correct": correct},
        "images_per_second": 1000.0,
        "seconds": 3.0,
        "data": {"source": "0" * 16, "used": "0" * 16},
        **changes,
    }
    for device in devices or [""]:
        folder.start(run, {"host": "here", "started": 0.0, **({"device": device} if device else {})})
    folder.finish(result, alike(predicted, truth, result), weights)
    return folder


def alike(
    predicted: np.ndarray[Any, Any], truth: np.ndarray[Any, Any], result: dict[str, Any], classes: int = 2
) -> Predictions:
    """Predictions whose images are all alike, so that their means are those of the result."""
    right = predicted == truth
    details = {name: np.full(len(truth), result[name], dtype=np.float32) for name in ("nll", "brier")}
    details["confidence"] = np.full(len(truth), np.clip(right.mean() - result["ece"], 0, 1), dtype=np.float32)
    details["rank"] = (~right).astype(np.uint16)
    return Predictions(predicted, truth, {"classes": np.array(classes), **details})


def flats(comparisons: Iterable[Comparison]) -> list[SimpleNamespace]:
    """Comparisons as JSON has them: flat, and the verdict is the whole phrase."""
    return [SimpleNamespace(**json.loads(json.dumps(columns.flat(c)))) for c in comparisons]


def again(folder: RunFolder, predictions: Predictions, **changes: Any) -> None:
    """Finish a run once more, with other answers to its test images."""
    made = folder.result()
    assert made is not None
    kept = made.model_dump(exclude={"run_id", "finished", "predictions_bytes"})
    content = {key: value for key, value in kept.items() if not key.endswith("_sha256")}
    folder.finish({**content, **changes}, predictions)


def bench(*arguments: str | Path, **settings: Any) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own."""
    command = [sys.executable, "-m", "bench", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=settings.pop("timeout", 120), **settings
    )


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """In a session of its own, as a terminal would: where Ctrl-C is heard even if pytest runs deaf to it."""
    command = [sys.executable, "-m", "bench", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command,
        stdout=pipe,
        stderr=pipe,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_for(condition: Callable[[], object], seconds: float = 180) -> None:
    """Wait until something holds; an assertion fails if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def attempts(suite: Suite, results: Path) -> list[int]:
    """How often each run was begun."""
    return [len(RunFolder(results, run.id).info()["attempts"]) for run in suite.runs()]


def states(suite: Suite, results: Path) -> list[str]:
    """The state of each run."""
    return list(frame(results, suite.cells).state)


def idx(values: np.ndarray[Any, Any]) -> bytes:
    """The format of MNIST: two zeros, the type, the number of dimensions, each size, big-endian values."""
    kind = {"uint8": 8, "int32": 12}[values.dtype.name]
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes([0, 0, kind, values.ndim]) + sizes + values.astype(values.dtype.newbyteorder(">")).tobytes()
