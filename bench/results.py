"""The run folder: the only source of truth.

``results/runs/<run id>/`` holds at most five files:

``run.json``
    the resolved description, who trained it, where and with what; one entry an attempt.
``metrics.jsonl``
    one line an epoch.
``checkpoint.pt``
    only while the run is unfinished.
``predictions.npz``
    what the run answers to each test image: :mod:`bench.predictions`. Older runs have a ``predictions.npy``,
    uint8 [2, N], with the predicted and the true class alone.
``weights.safetensors``
    only where the suite keeps weights: those of the epoch that counts.
``result.json``
    written last: its presence, and nothing else, means done.
``failure.json``
    instead of a result: the reason and the trace. Such a run stays failed until someone retries it.
``work/``
    only while the run is unfinished, and where a trainer of the user's own trains it: whatever that keeps.

Every file appears whole: written under a name of its own, then moved into place.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.cells import Cell
from bench.disk import Damaged as Damaged  # of a run folder, to whoever reads one
from bench.disk import (
    NoFile,
    exists,
    opened,
    parse,
    read,
    read_members,
    read_part,
    token,
    write_atomically,
    write_json,
)
from bench.metrics import Measured, Metric, MetricError
from bench.predictions import NotKept, Predictions, pack, unpack, unpack_old
from bench.progress import watched
from bench.registry import explain
from bench.runs import Run, canonical
from bench.same_data import Seen, Sighting, in_words, odd_ones

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


LATEST = 1e11
UnixTime = Annotated[float, Field(ge=0, le=LATEST, allow_inf_nan=False)]
"""Seconds that every calendar can tell; other numbers are no times, whoever wrote them."""

Count = Annotated[int, Field(ge=0, lt=2**53)]
"""As many of anything as a table can hold."""


class Score(BaseModel):
    """What a run scores on the test set at one epoch: accuracy as an integer."""

    epoch: Count
    correct: Count
    value: float | None = None
    """Of the metric that chose the epoch that counts; None where accuracy did, or the epoch was the last."""


class Reliability(BaseModel):
    """Test images by the confidence of their prediction: equally wide bins from 0 to 1, one number a bin."""

    model_config = ConfigDict(allow_inf_nan=False)

    count: list[Count]
    confidence: list[float | None]
    """Mean probability of the predicted class; None in an empty bin."""
    correct: list[Count]


class Result(BaseModel):
    """What a finished run says. Losses and scores are means over the test images."""

    model_config = ConfigDict(allow_inf_nan=False)

    run_id: str
    correct: Count | None = None
    """Test images classified correctly at the epoch that counts. From here on, what may be None is unknown
    where a trainer of the user's own says less."""
    total: Annotated[Count, Field(gt=0)] | None = None
    epoch: Count | None = None
    """The epoch that counts (from 1), as the suite's `selection` chose it."""
    nll: float | None = None
    brier: float | None = None
    ece: float | None = None
    last: Score | None = None
    best_test: Score | None = None
    """The best epoch on the test set, by the metric that chooses: what the run would have reported had it
    peeked."""
    images_per_second: float | None = None
    seconds: float
    """Wall-clock seconds of training and evaluation, over all attempts."""
    finished: UnixTime
    predictions_sha256: str | None = None
    """Of what accuracy needs of the predictions: the beginning of their file, or an old one whole. None:
    single images are not known."""
    predictions_bytes: Count | None = None
    """Of ``predictions.npz``, how many bytes that is; None in runs from before there was such a file."""
    trained_on: str = ""
    """Kind of device and of its instructions; all of them where it was resumed on another; empty: unknown."""
    data: Seen | None = None
    """Digests of what it was trained and tested on; None in results from before this was recorded."""
    class_counts: list[Count] | None = None
    """Images of each class that it was trained on; None in results from before this was recorded."""
    details_sha256: str | None = None
    """Of the rest of ``predictions.npz``."""
    warnings: list[str] = []
    reliability: Reliability | None = None
    """What `ece` is made of, at the epoch that counts; None in results from before this was recorded."""
    weights_sha256: str | None = None
    """Of ``weights.safetensors``; None where weights were not kept."""
    values: dict[str, float] = {}
    """Metrics that its trainer gave by name: shares as fractions."""
    validation: dict[str, float] = {}
    """The same on validation images, where it gave any."""

    @property
    def accuracy(self) -> float | None:
        """Fraction of the test images; None where it is not known."""
        if self.correct is None or self.total is None:
            return self.values.get("accuracy")
        return self.correct / self.total


class Failure(BaseModel):
    """Why a run has no result."""

    run_id: str
    reason: str
    trace: str = ""
    time: UnixTime


class _Git(BaseModel):
    """What is looked at of the commit that an attempt in ``run.json`` names."""

    commit: str = ""
    dirty: bool = False


class _Attempt(BaseModel):
    """And of the attempt."""

    started: UnixTime = 0.0
    job: str = ""
    outcome: str = ""
    git: _Git | None = None
    host: str = ""
    device: str = ""
    torch: str = ""
    python: str = ""
    bench: str = ""


class _Info(BaseModel):
    """And of the file itself."""

    attempts: list[_Attempt] = []
    forgotten: UnixTime = 0.0


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

    def result(self, *, check_predictions: bool = False, check_details: bool = False) -> Result | None:
        """The result, or None where there is none yet.

        Args:
            check_predictions: also make sure of what accuracy needs of the predictions.
            check_details: of all that is kept of them.

        Raises:
            Damaged: there is one, but it cannot be believed.
        """
        try:
            content = read(self.file("result.json"))
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
            what = "metrics by name" if result.correct is None else "a count of correct answers"
            raise NotKept(f"single images are not known: its trainer gave {what} alone")
        end = result.predictions_bytes
        path = self.file("predictions.npy" if end is None else "predictions.npz")
        content = _checked(path, result.predictions_sha256, 0, end)
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
        return _checked(self.file("weights.safetensors"), result.weights_sha256)

    def failure(self) -> Failure | None:
        """Why the run failed, or None."""
        try:
            return Failure.model_validate_json(read(self.file("failure.json")))
        except FileNotFoundError:
            return None
        except (NoFile, ValidationError):
            return Failure(run_id=self.run_id, reason="failure.json is damaged", time=0.0)

    def metrics(self) -> list[dict[str, Any]]:
        """One mapping an epoch, up to the first line that is damaged or still being written."""
        try:
            lines = read(self.file("metrics.jsonl")).splitlines()
        except (FileNotFoundError, NoFile):
            return []
        epochs: list[dict[str, Any]] = []
        for line in lines:
            try:
                epoch = parse(line)
            except ValueError:  # not JSON, or not even text
                break
            if not _is_epoch(epoch):
                break
            epochs.append(epoch)
        return epochs

    def info(self) -> dict[str, Any]:
        """``run.json``: the description and its attempts; empty where there is none (or it is damaged)."""
        try:
            content: dict[str, Any] = parse(read(self.file("run.json")))
            _Info.model_validate(content, strict=True)
        except (FileNotFoundError, NoFile, ValueError):
            return {}
        return content

    @property
    def claimed(self) -> bool:
        """Whether a process is training this run right now."""
        try:
            with open(self.file(".claim"), "rb", opener=opened) as file:
                # A shared lock for a moment: it can be had if, and only if, nobody holds the claim.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (FileNotFoundError, NoFile):
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

    def end_attempt(self, outcome: str, seconds: float | None = None) -> None:
        """Note in ``run.json`` why the attempt under way ended without a result, where that is no failure."""
        info = self.info()
        if info.get("attempts"):  # else it was damaged meanwhile
            info["attempts"][-1]["outcome"] = outcome
            if seconds is not None:
                info["attempts"][-1]["seconds"] = seconds
            write_json(self.path / "run.json", info)

    def write_metrics(self, epochs: Iterable[Mapping[str, Any]]) -> None:
        """Replace ``metrics.jsonl``: what a resumed run starts with."""
        write_atomically(self.path / "metrics.jsonl", "".join(map(_line, epochs)).encode())

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
            write_atomically(self.path / "predictions.npz", content)
        if weights is not None:
            write_atomically(self.path / "weights.safetensors", weights)
        write_json(self.path / "result.json", whole.model_dump(mode="json"))
        # An attempt that was to keep weights, or one by an older bench, may have died just before its result.
        stale = () if weights is not None else ("weights.safetensors",)
        for leftover in ("checkpoint.pt", "failure.json", "predictions.npy", *stale):
            (self.path / leftover).unlink(missing_ok=True)
        # One killed while it wrote a file atomically left that file's temporary. That of failure.json may be
        # about to be moved into place, as whoever launches runs writes that file, too.
        for temporary in self.path.glob(".*.*"):
            if _TEMPORARY.fullmatch(temporary.name) and not temporary.name.startswith(".failure.json."):
                temporary.unlink(missing_ok=True)
        self.clear_work()

    def clear_work(self) -> None:
        """Remove what a finished run no longer needs: whoever wrote its result may have died before that."""
        shutil.rmtree(self.work, ignore_errors=True)

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
        with contextlib.suppress(FileNotFoundError):  # another launcher has just done so
            source.rename(target)
        return target


def finished(results: Path) -> set[str]:
    """Ids of all runs that have a result: one look at each folder, no file is opened."""
    with contextlib.suppress(FileNotFoundError), os.scandir(results / "runs") as folders:
        return {entry.name for entry in folders if os.path.exists(f"{entry.path}/result.json")}
    return set()


def measure(metric: Metric, folder: RunFolder, result: Result) -> Measured:
    """A metric on the predictions of a finished run: see :meth:`bench.metrics.Metric.measure`.

    Raises:
        NotKept: the run did not keep what the metric needs.
        MetricError: the metric cannot be had from these predictions; it and the run are named.
        Damaged: the predictions are not what was written.
    """
    try:
        return measured(metric, folder, result)
    except NotKept as reason:
        if result.predictions_sha256 is None:
            raise NotKept(f"metric '{metric.name}' of run {folder.run_id}: {reason}") from None
        raise NotKept(
            f"metric '{metric.name}' of run {folder.run_id}: {reason}; only another training can give it: "
            f"move {folder.path} away and `bench run` the suite"
        ) from None
    except MetricError as error:
        raise MetricError(f"run {folder.run_id}: {error}") from None


def measured(metric: Metric, folder: RunFolder, result: Result) -> Measured:
    """As :func:`measure`, and its reasons are clauses."""
    if (given := result.values.get(metric.name, result.values.get(metric.choice.name))) is not None:
        return Measured(given, remark="its trainer gave one number a run: no interval for new images")
    if metric.is_accuracy and result.predictions_sha256 is None and result.accuracy is not None:
        return Measured(result.accuracy)
    return metric.measure(folder.predictions(result), result)


_FILES = {"run_id", "predictions_sha256", "predictions_bytes", "details_sha256", "data"}
"""Fields of a result that are about its folder, or what it saw, and in no table."""
OTHER_DATA = "other data"
"""The state of a run that is done, and compared with none: see :mod:`bench.same_data`."""


def sighting(cell: Cell, run: Run, result: Result) -> Sighting:
    """What a finished run saw."""
    seen = result.data
    return Sighting(
        run.id,
        cell.dataset,
        cell.model,
        cell.loss,
        run.seed,
        share=0.0 if run.trainer else float(cell.recipe["validation"]),
        finished=result.finished,
        source=sys.intern(seen.source) if seen else "",
        used=seen.used if seen else "",
        trainer=sys.intern(canonical({**run.trainer, "source": ""})) if run.trainer else "",
    )


def frame(results: Path, cells: Iterable[Cell], *, check_details: bool = False) -> pd.DataFrame:
    """One row for each planned run of ``cells``.

    Columns: dataset, model, loss, seed, run_id, state (``done``, ``failed``, ``damaged``, ``other data`` or
    ``missing``), reason, and, where done, the fields of :class:`Result`. Its ``attrs["data"]`` says in words
    which runs saw what. Reads only. ``check_details``: damage to what only other metrics than accuracy need
    makes a run damaged, too.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    sightings: list[Sighting] = []
    planned = [(cell, run) for cell in cells for run in cell.runs]
    for cell, run in watched(planned, "reading results"):
        row: dict[str, Any] = {"dataset": cell.dataset, "model": cell.model, "loss": cell.loss}
        row |= {"seed": run.seed, "run_id": run.id, "state": "missing", "reason": ""}
        folder = RunFolder(results, run.id)
        try:
            result = folder.result(check_predictions=True, check_details=check_details)
        except Damaged as damage:
            row |= {"state": "damaged", "reason": str(damage)}
        else:
            if result is not None:
                row |= {"state": "done", **result.model_dump(exclude=_FILES)}
                sightings.append(sighting(cell, run, result))
            elif (failure := folder.failure()) is not None:
                row |= {"state": "failed", "reason": failure.reason}
        rows.append(row)
    odd = odd_ones(sightings)
    for row in rows if odd else ():
        if row["run_id"] in odd:
            row |= {"state": OTHER_DATA, "reason": odd[row["run_id"]]}
    wanted = ["dataset", "model", "loss", "seed", "run_id", "state", "reason"]
    columns = wanted + [name for name in Result.model_fields if name not in {*wanted, *_FILES}]
    made = pd.DataFrame(rows, columns=columns)
    made.attrs["data"] = in_words(sightings)
    return made


# ------------------------------------------------------------------------------------------- its files


def _checked(path: str, digest: str, start: int = 0, end: int | None = None) -> bytes:
    """A file, or a part of it, if it is what its digest says."""
    try:
        content = read(path) if end is None else read_part(path, start, end - start)
    except FileNotFoundError:
        raise Damaged(f"{path}: it is missing") from None
    except NoFile as error:
        raise Damaged(f"{path}: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise Damaged(f"{path}: its content is not what the run wrote")
    return content


def _details(path: str, result: Result) -> dict[str, np.ndarray[Any, Any]]:
    """What ``predictions.npz`` holds beyond its beginning."""
    try:
        size = os.path.getsize(path)
    except FileNotFoundError:
        raise Damaged(f"{path}: it is missing") from None
    content = _checked(path, result.details_sha256 or "", result.predictions_bytes or 0, size)
    try:
        return read_members(content)
    except ValueError as error:
        raise Damaged(f"{path}: {error}") from None


def _trained_on(attempts: Iterable[Mapping[str, Any]]) -> str:
    known = [
        [str(attempt[name]) for name in ("device", "instructions") if name in attempt] for attempt in attempts
    ]
    return " and ".join(dict.fromkeys(", ".join(words) for words in known if words))


_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}")
"""What :func:`bench.disk.write_atomically` calls a file that is not in place yet."""


def _is_epoch(value: Any) -> bool:
    """Whether it is the line of an epoch: numbers by name, with a count and a time that can be some."""
    if not isinstance(value, dict) or type(value.get("epoch")) is not int:
        return False
    if any(type(number) not in (int, float) for number in value.values()):
        return False
    if any(type(number) is int and abs(number) >= 2**63 for number in value.values()):
        return False  # no float would hold it
    return bool(0 < value["epoch"] < 2**31 and 0 <= value.get("time", 0) <= LATEST)


def _line(epoch: Mapping[str, Any]) -> str:
    return json.dumps(epoch, allow_nan=False) + "\n"
