"""The run folder: the only source of truth.

``results/runs/<run id>/`` holds at most five files:

``run.json``
    the resolved description, who trained it, where and with what; one entry an attempt.
``metrics.jsonl``
    one line an epoch.
``checkpoint.pt``
    only while the run is unfinished.
``predictions.npy``
    uint8 [2, N]: the predicted and the true class of every test image (uint16 above 256 classes).
``weights.safetensors``
    only where the suite keeps weights: those of the epoch that counts.
``result.json``
    written last: its presence, and nothing else, means done.
``failure.json``
    instead of a result: the reason and the trace. Such a run stays failed until someone retries it.

Every file appears whole: written under a name of its own, then moved into place.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from bench.choices import explain
from bench.disk import exists, read, read_array, token, write_atomically, write_json
from bench.progress import watched
from bench.run import Run
from bench.suite import Cell

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


class Damaged(Exception):
    """A file of a run folder that is not what was written. Such a run does not count."""


class Score(BaseModel):
    """Accuracy on the test set as integers: at one epoch."""

    epoch: int
    correct: int


class Reliability(BaseModel):
    """Test images by the confidence of their prediction: equally wide bins from 0 to 1, one number a bin."""

    count: list[int]
    confidence: list[float | None]
    """Mean probability of the predicted class; None in an empty bin."""
    correct: list[int]


class Result(BaseModel):
    """What a finished run says. Losses and scores are means over the test images."""

    run_id: str
    correct: int
    """Test images classified correctly at the epoch that counts."""
    total: int
    epoch: int
    """The epoch that counts (from 1), as the suite's `selection` chose it."""
    nll: float
    brier: float
    ece: float
    last: Score
    best_test: Score
    """The best epoch on the test set: what the run would have reported had it peeked."""
    images_per_second: float
    seconds: float
    """Wall-clock seconds of training and evaluation, over all attempts."""
    finished: float
    """Unix time."""
    predictions_sha256: str
    warnings: list[str] = []
    reliability: Reliability | None = None
    """What `ece` is made of, at the epoch that counts; None in results from before this was recorded."""
    weights_sha256: str | None = None
    """Of ``weights.safetensors``; None where weights were not kept."""

    @property
    def accuracy(self) -> float:
        """Fraction of the test images."""
        return self.correct / self.total


class Failure(BaseModel):
    """Why a run has no result."""

    run_id: str
    reason: str
    trace: str = ""
    time: float


class RunFolder:
    """One run's folder. Reading never changes it."""

    def __init__(self, results: Path, run_id: str) -> None:
        self.results = results
        self.run_id = run_id
        self._folder = f"{results}/runs/{run_id}"

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self._folder)

    def file(self, name: str) -> str:
        """Where a file of the folder is, as text: building a Path takes longer than looking at the file."""
        return f"{self._folder}/{name}"

    # --------------------------------------------------------------------------------- reading

    @property
    def done(self) -> bool:
        """Whether there is a result."""
        return exists(self.file("result.json"))

    @property
    def failed(self) -> bool:
        """Whether the run failed (and has not been retried to success)."""
        return not self.done and exists(self.file("failure.json"))

    def result(self, *, check_predictions: bool = False) -> Result | None:
        """The result, or None where there is none yet.

        Raises:
            Damaged: there is one, but it cannot be believed.
        """
        try:
            content = read(self.file("result.json"))
        except FileNotFoundError:
            return None
        try:
            result = Result.model_validate_json(content)
        except ValidationError as error:
            raise Damaged(f"{self.file('result.json')}: {explain(error)[0]}") from None
        if result.run_id != self.run_id:
            raise Damaged(f"{self.file('result.json')}: it belongs to run {result.run_id}")
        if check_predictions:
            self.predictions(result)
        return result

    def predictions(self, result: Result) -> np.ndarray[Any, Any]:
        """Predicted and true class of every test image, [2, N].

        Raises:
            Damaged: the file is missing, is not what was written, or does not agree with the result.
        """
        import numpy as np

        path = self.file("predictions.npy")
        try:
            content = read(path)
        except FileNotFoundError:
            raise Damaged(f"{path}: it is missing") from None
        if hashlib.sha256(content).hexdigest() != result.predictions_sha256:
            raise Damaged(f"{path}: its content is not what the run wrote")
        try:
            predictions = read_array(content)
        except ValueError as error:
            raise Damaged(f"{path}: {error}") from None
        if (
            predictions.shape != (2, result.total)
            or np.count_nonzero(predictions[0] == predictions[1]) != result.correct
        ):
            raise Damaged(f"{path}: it does not agree with result.json")
        return predictions

    def weights(self, result: Result) -> bytes | None:
        """The safetensors file of the epoch that counts, or None where weights were not kept.

        Raises:
            Damaged: they were, but the file is missing or is not what was written.
        """
        if result.weights_sha256 is None:
            return None
        path = self.path / "weights.safetensors"
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise Damaged(f"{path}: it is missing") from None
        if hashlib.sha256(content).hexdigest() != result.weights_sha256:
            raise Damaged(f"{path}: its content is not what the run wrote")
        return content

    def failure(self) -> Failure | None:
        """Why the run failed, or None."""
        try:
            return Failure.model_validate_json(read(self.file("failure.json")))
        except FileNotFoundError:
            return None
        except ValidationError:
            return Failure(run_id=self.run_id, reason="failure.json is damaged", time=0.0)

    def metrics(self) -> list[dict[str, Any]]:
        """One mapping an epoch, up to the first line that is damaged or still being written."""
        try:
            lines = read(self.file("metrics.jsonl")).splitlines()
        except FileNotFoundError:
            return []
        epochs: list[dict[str, Any]] = []
        for line in lines:
            try:
                epoch = json.loads(line)
            except ValueError:  # not JSON, or not even text
                break
            if not isinstance(epoch, dict):
                break
            epochs.append(epoch)
        return epochs

    def info(self) -> dict[str, Any]:
        """``run.json``: the description and its attempts; empty where there is none (or it is damaged)."""
        try:
            content = json.loads(read(self.file("run.json")))
        except (FileNotFoundError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    @property
    def claimed(self) -> bool:
        """Whether a process is training this run right now."""
        try:
            with open(self.file(".claim"), "rb") as file:
                # A shared lock for a moment: it can be had if, and only if, nobody holds the claim.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    # --------------------------------------------------------------------------------- writing

    @contextlib.contextmanager
    def claim(self) -> Iterator[bool]:
        """Hold the run for this process, so that nobody else trains it; yields whether that worked.

        The claim is a lock of the operating system: it ends with the process, however that ends.
        """
        import filelock

        self.path.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.path / ".claim", timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            yield False
            return
        try:
            yield True
        finally:
            # Once a result is there nobody needs the lock again; who waits for it finds the result.
            if self.done:
                (self.path / ".claim").unlink(missing_ok=True)
            lock.release()

    def start(self, run: Run, attempt: Mapping[str, Any]) -> None:
        """Note in ``run.json`` that an attempt begins: host, device, versions, time."""
        before = self.info()
        attempts = [*before.get("attempts", []), dict(attempt)]
        kept = {key: before[key] for key in ("forgotten",) if key in before}
        write_json(self.path / "run.json", {"id": run.id, **run.description, "attempts": attempts, **kept})

    def end_attempt(self, outcome: str) -> None:
        """Note in ``run.json`` why the attempt under way ended without a result, where that is no failure."""
        info = self.info()
        info["attempts"][-1]["outcome"] = outcome
        write_json(self.path / "run.json", info)

    def write_metrics(self, epochs: Iterable[Mapping[str, Any]]) -> None:
        """Replace ``metrics.jsonl``: what a resumed run starts with."""
        write_atomically(self.path / "metrics.jsonl", "".join(map(_line, epochs)).encode())

    def append_metrics(self, epoch: Mapping[str, Any]) -> None:
        """Add the line of one epoch."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(_line(epoch))

    def finish(
        self, result: Mapping[str, Any], predictions: np.ndarray[Any, Any], weights: bytes | None = None
    ) -> None:
        """Write predictions, weights if any, then the result; the run is done with the last of them."""
        import numpy as np

        content = io.BytesIO()
        np.save(content, predictions, allow_pickle=False)
        digest = hashlib.sha256(content.getvalue()).hexdigest()
        whole = Result(
            run_id=self.run_id,
            predictions_sha256=digest,
            weights_sha256=None if weights is None else hashlib.sha256(weights).hexdigest(),
            finished=time.time(),
            **result,
        )
        write_atomically(self.path / "predictions.npy", content.getvalue())
        if weights is not None:
            write_atomically(self.path / "weights.safetensors", weights)
        write_json(self.path / "result.json", whole.model_dump(mode="json"))
        # An attempt that was to keep weights may have died between their move and that of its result.
        stale = () if weights is not None else ("weights.safetensors",)
        for leftover in ("checkpoint.pt", "failure.json", *stale):
            (self.path / leftover).unlink(missing_ok=True)

    def fail(self, reason: str, trace: str = "") -> None:
        """Write ``failure.json``. The run stays failed until :meth:`forget_failure`."""
        failure = Failure(run_id=self.run_id, reason=reason, trace=trace, time=time.time())
        write_json(self.path / "failure.json", failure.model_dump(mode="json"))
        (self.path / "checkpoint.pt").unlink(missing_ok=True)

    def forget_failure(self) -> None:
        """Let a failed run be trained again; the jobs that it had until now no longer speak against it."""
        if self.failed:
            write_json(self.path / "run.json", {**self.info(), "forgotten": time.time()})
        (self.path / "failure.json").unlink(missing_ok=True)

    def set_aside(self, name: str | None = None) -> Path:
        """Move the folder, or one file of it, to ``results/set-aside/``: kept for a look, never counted."""
        source = self.path / name if name else self.path
        target = self.results / "set-aside" / f"{self.run_id}-{time.strftime('%Y%m%dT%H%M%S')}-{token()}"
        target = target.with_name(f"{target.name}-{name}") if name else target
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        return target


def finished(results: Path) -> set[str]:
    """Ids of all runs that have a result: one look at each folder, no file is opened."""
    with contextlib.suppress(FileNotFoundError), os.scandir(results / "runs") as folders:
        return {entry.name for entry in folders if os.path.exists(f"{entry.path}/result.json")}
    return set()


def frame(results: Path, cells: Iterable[Cell]) -> pd.DataFrame:
    """One row for each planned run of ``cells``.

    Columns: dataset, model, loss, seed, run_id, state (``done``, ``failed``, ``damaged`` or ``missing``),
    reason, and, where done, the fields of :class:`Result`. Reads only.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    planned = [(cell, run) for cell in cells for run in cell.runs]
    for cell, run in watched(planned, "reading results"):
        row: dict[str, Any] = {"dataset": cell.dataset, "model": cell.model, "loss": cell.loss}
        row |= {"seed": run.seed, "run_id": run.id, "state": "missing", "reason": ""}
        folder = RunFolder(results, run.id)
        try:
            result = folder.result(check_predictions=True)
        except Damaged as damage:
            row |= {"state": "damaged", "reason": str(damage)}
        else:
            if result is not None:
                row |= {"state": "done", **result.model_dump(exclude={"run_id"})}
            elif (failure := folder.failure()) is not None:
                row |= {"state": "failed", "reason": failure.reason}
        rows.append(row)
    wanted = ["dataset", "model", "loss", "seed", "run_id", "state", "reason"]
    columns = wanted + [name for name in Result.model_fields if name not in wanted]
    return pd.DataFrame(rows, columns=columns)


# ------------------------------------------------------------------------------------------- its files


def _line(epoch: Mapping[str, Any]) -> str:
    return json.dumps(epoch, allow_nan=False) + "\n"
