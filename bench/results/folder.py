"""One run's folder: what is read from it, then what is written to it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bench import disk
from bench.disk import Damaged, NoFile
from bench.predictions import NotKept, Predictions, pack, unpack, unpack_old
from bench.registry import explain
from bench.results.schema import Failure, Info, Result, read_epochs
from bench.runs import Run

if TYPE_CHECKING:
    import numpy as np


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

    @property
    def done(self) -> bool:
        """Whether there is a result."""
        return disk.exists(self.file("result.json"))

    @property
    def failed(self) -> bool:
        """Whether the run failed (and has not been retried to success)."""
        return not self.done and disk.exists(self.file("failure.json"))

    def result(self, *, check_predictions: bool = False, check_details: bool = False) -> Result | None:
        """The result, or None where there is none yet.

        Args:
            check_predictions: also make sure of what accuracy needs of the predictions.
            check_details: of all that is kept of them.

        Raises:
            Damaged: there is one, but it cannot be believed.
        """
        try:
            content = disk.read(self.file("result.json"))
        except FileNotFoundError:
            return None
        except NoFile as error:
            raise Damaged(f"{error.filename}: {error.strerror}") from None
        try:
            result = Result.model_validate_json(content)
        except ValidationError as error:
            raise Damaged(f"{self.file('result.json')}: {explain(error)[0]}") from None
        if result.run_id != self.run_id:
            raise Damaged(f"{self.file('result.json')}: it belongs to run {result.run_id}")
        if (check_predictions or check_details) and result.predictions_sha256 is not None:
            predictions = self.predictions(result)
            if check_details:
                len(predictions.details)  # reads them
        return result

    def predictions(self, result: Result) -> Predictions:
        """What the run answers to each test image. What accuracy does not need is read once it is asked for.

        Raises:
            Damaged: the file is missing, is not what was written, or does not agree with the result. Of what
                is read later: once it is.
            NotKept: its trainer gave none.
        """
        import numpy as np

        if result.predictions_sha256 is None:
            values = "metrics by name" if result.correct is None else "a count of correct answers"
            raise NotKept(f"single images are not known: its trainer gave {values} alone")
        end = result.predictions_bytes
        path = self.file("predictions.npy" if end is None else "predictions.npz")
        content = disk.read_checked(path, result.predictions_sha256, 0, end)
        try:
            if end is None:
                predictions = unpack_old(content)
            else:
                predictions = unpack(content, lambda: _details(path, result))
        except ValueError as error:
            raise Damaged(f"{path}: {error}") from None
        if (
            predictions.labels.shape != (result.total,)
            or np.count_nonzero(predictions.predicted == predictions.labels) != result.correct
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
        return disk.read_checked(self.file("weights.safetensors"), result.weights_sha256)

    def failure(self) -> Failure | None:
        """Why the run failed, or None."""
        try:
            return Failure.model_validate_json(disk.read(self.file("failure.json")))
        except FileNotFoundError:
            return None
        except (NoFile, ValidationError):
            return Failure(run_id=self.run_id, reason="failure.json is damaged", time=0.0)

    def metrics(self) -> list[dict[str, Any]]:
        """One mapping an epoch, up to the first line that is damaged or still being written."""
        try:
            return read_epochs(disk.read(self.file("metrics.jsonl")))
        except (FileNotFoundError, NoFile):
            return []

    def info(self) -> dict[str, Any]:
        """``run.json``: the description and its attempts; empty where there is none (or it is damaged)."""
        try:
            content: dict[str, Any] = disk.parse(disk.read(self.file("run.json")))
            Info.model_validate(content, strict=True)
        except (FileNotFoundError, NoFile, ValueError):
            return {}
        return content

    @property
    def claimed(self) -> bool:
        """Whether a process is training this run right now."""
        try:
            with open(self.file(".claim"), "rb", opener=disk.opened) as file:
                # A shared lock for a moment: it can be had if, and only if, nobody holds the claim.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (FileNotFoundError, NoFile):
            return False
        except OSError:
            return True
        return False

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
        forgotten = {"forgotten": before["forgotten"]} if "forgotten" in before else {}
        disk.write_json(
            self.path / "run.json", {"id": run.id, **run.description, "attempts": attempts, **forgotten}
        )

    def end_attempt(self, outcome: str, seconds: float | None = None) -> None:
        """Note in ``run.json`` why the attempt under way ended without a result, where that is no failure."""
        info = self.info()
        if info.get("attempts"):  # else it was damaged meanwhile
            info["attempts"][-1]["outcome"] = outcome
            if seconds is not None:
                info["attempts"][-1]["seconds"] = seconds
            disk.write_json(self.path / "run.json", info)

    def write_metrics(self, epochs: Iterable[Mapping[str, Any]]) -> None:
        """Replace ``metrics.jsonl``: what a resumed run starts with."""
        disk.write_atomically(self.path / "metrics.jsonl", "".join(map(_line, epochs)).encode())

    def append_metrics(self, epoch: Mapping[str, Any]) -> None:
        """Add the line of one epoch."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(_line(epoch))

    @property
    def work(self) -> Path:
        """The folder that a trainer of the user's own has, while the run is unfinished."""
        return self.path / "work"

    def finish(
        self, result: Mapping[str, Any], predictions: Predictions | None, weights: bytes | None = None
    ) -> None:
        """Write predictions and weights, if any, then the result; the run is done with the last of them."""
        packed = None if predictions is None else pack(predictions)
        digests = {} if packed is None else packed._asdict()
        content = digests.pop("content", None)
        whole = Result(
            run_id=self.run_id,
            **digests,
            weights_sha256=None if weights is None else hashlib.sha256(weights).hexdigest(),
            finished=time.time(),
            **{"trained_on": _trained_on(self.info().get("attempts", [])), **result},
        )
        if content is not None:
            disk.write_atomically(self.path / "predictions.npz", content)
        if weights is not None:
            disk.write_atomically(self.path / "weights.safetensors", weights)
        disk.write_json(self.path / "result.json", whole.model_dump(mode="json"))
        # An attempt that was to keep weights, or one by an older bench, may have died just before its result.
        stale = () if weights is not None else ("weights.safetensors",)
        for leftover in ("checkpoint.pt", "failure.json", "predictions.npy", *stale):
            (self.path / leftover).unlink(missing_ok=True)
        # One killed while it wrote a file atomically left that file's temporary. That of failure.json may be
        # about to be moved into place, as whoever launches runs writes that file, too.
        for leftover in disk.temporaries(self.path):
            if not leftover.name.startswith(".failure.json."):
                leftover.unlink(missing_ok=True)
        self.clear_work()

    def clear_work(self) -> None:
        """Remove what a finished run no longer needs: whoever wrote its result may have died before that."""
        shutil.rmtree(self.work, ignore_errors=True)

    def fail(self, reason: str, trace: str = "") -> None:
        """Write ``failure.json``. The run stays failed until :meth:`forget_failure`."""
        failure = Failure(run_id=self.run_id, reason=reason, trace=trace, time=time.time())
        disk.write_json(self.path / "failure.json", failure.model_dump(mode="json"))
        (self.path / "checkpoint.pt").unlink(missing_ok=True)

    def forget_failure(self) -> None:
        """Let a failed run be trained again; the jobs that it had until now no longer speak against it."""
        if self.failed:
            disk.write_json(self.path / "run.json", {**self.info(), "forgotten": time.time()})
        (self.path / "failure.json").unlink(missing_ok=True)

    def set_aside(self, name: str | None = None) -> Path:
        """Move the folder, or one file of it, to ``results/set-aside/``: kept for a look, never counted."""
        source = self.path / name if name else self.path
        target = self.results / "set-aside" / f"{self.run_id}-{time.strftime('%Y%m%dT%H%M%S')}-{disk.token()}"
        target = target.with_name(f"{target.name}-{name}") if name else target
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another launcher has just done so
            source.rename(target)
        return target


def _details(path: str, result: Result) -> dict[str, np.ndarray[Any, Any]]:
    """What ``predictions.npz`` holds beyond its beginning."""
    try:
        size = os.path.getsize(path)
    except FileNotFoundError:
        raise Damaged(f"{path}: it is missing") from None
    content = disk.read_checked(path, result.details_sha256 or "", result.predictions_bytes or 0, size)
    try:
        return disk.read_members(content)
    except ValueError as error:
        raise Damaged(f"{path}: {error}") from None


def _trained_on(attempts: Iterable[Mapping[str, Any]]) -> str:
    devices = (", ".join(str(a[name]) for name in ("device", "instructions") if name in a) for a in attempts)
    return " and ".join(dict.fromkeys(filter(None, devices)))


def _line(epoch: Mapping[str, Any]) -> str:
    return json.dumps(epoch, allow_nan=False) + "\n"
