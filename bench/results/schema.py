"""What a run folder's files hold: ``result.json``, ``failure.json``, ``run.json`` and ``metrics.jsonl``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from bench.disk import parse
from bench.same_data import Seen

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
    """The commit of an attempt."""

    commit: str = ""
    dirty: bool = False


class _Attempt(BaseModel):
    """What is looked at of an attempt in ``run.json``."""

    started: UnixTime = 0.0
    job: str = ""
    outcome: str = ""
    git: _Git | None = None
    host: str = ""
    device: str = ""
    torch: str = ""
    python: str = ""
    bench: str = ""


class Info(BaseModel):
    """What is looked at of ``run.json``."""

    attempts: list[_Attempt] = []
    forgotten: UnixTime = 0.0


def read_epochs(content: bytes) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl``, up to the first that is damaged or still being written."""
    epochs = []
    for line in content.splitlines():
        try:
            epoch = parse(line)
        except ValueError:  # not JSON, or not even text
            break
        if not _is_epoch(epoch):
            break
        epochs.append(epoch)
    return epochs


def _is_epoch(value: Any) -> bool:
    """Whether it is the line of an epoch: numbers by name, with a count and a time that can be some."""
    if not isinstance(value, dict) or type(value.get("epoch")) is not int:
        return False
    if any(type(number) not in (int, float) for number in value.values()):
        return False
    if any(type(number) is int and abs(number) >= 2**63 for number in value.values()):
        return False  # too large for a float
    return bool(0 < value["epoch"] < 2**31 and 0 <= value.get("time", 0) <= LATEST)
