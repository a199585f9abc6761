"""What a run answers to the test images: what every metric is measured on, and the file that keeps it.

A run keeps, of N test images: the predicted and the true class, and for other metrics than accuracy the rank
of the true class, its negative log-likelihood, the Brier score and the confidence of the prediction: 14 bytes
more an image. So every metric that needs no more can be asked of runs that were trained before anybody
thought of it. The probability of every class is kept on request only: it takes 4 K bytes an image.

``predictions.npz`` is what ``np.savez`` writes, in an order of its own: first what accuracy needs, so that
whoever asks for no more reads, and checks, no more of the file.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.disk import array_bytes, read_array, read_members
from bench.errors import BenchError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

BEGINNING = ("predicted", "labels")
"""The members that the file begins with."""
DETAILS = {
    "rank": "the rank of the true class",
    "nll": "the negative log-likelihood",
    "brier": "the Brier score",
    "confidence": "the confidence of the prediction",
    "probabilities": "the probability of every class",
}
"""What else may be known of each image, and what messages call it."""
_KEPT = {
    **{"classes": "int64", "rank": "uint16"},
    **dict.fromkeys(("nll", "brier", "confidence", "probabilities"), "float32"),
}
"""What follows the beginning, and as what."""


class NotKept(BenchError):
    """A run did not keep what is asked for. The message is a clause: what, and why."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What one run answers to the test images (N images, K classes). Arrays must not be changed.

    The prediction is the class with the largest probability, the first of them where several tie. The rank of
    the true class is the number of classes that are more probable, and of those that tie with it and come
    before it: 0 exactly where the prediction is right.
    """

    predicted: NDArray[Any]
    """[N], the predicted class, from 0."""
    labels: NDArray[Any]
    """[N], the true class."""
    details: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)
    """``classes`` [], K, and what else is known, by the names of :data:`DETAILS`. From a run's file it is
    read when it is asked for."""

    @property
    def classes(self) -> int | None:
        """K; None in runs from before it was recorded."""
        classes = self.details.get("classes")
        return None if classes is None else int(classes)

    @classmethod
    def from_probabilities(cls, probabilities: ArrayLike, labels: ArrayLike) -> Predictions:
        """Everything from probabilities [N, K] and true classes [N], in float64 and as they are given.

        Raises:
            BenchError: they do not belong together.
        """
        import numpy as np

        given, truth = np.asarray(probabilities), np.asarray(labels)
        if given.ndim != 2 or truth.shape != given.shape[:1]:
            raise BenchError(
                f"found probabilities of shape {given.shape} and labels of shape {truth.shape}, expected "
                "[N, K] and [N]"
            )
        classes = given.shape[1]
        if not np.issubdtype(truth.dtype, np.integer) or np.any((truth < 0) | (truth >= classes)):
            raise BenchError(f"labels: expected whole numbers from 0 to {classes - 1}")
        p = given.astype(np.float64)
        true = p[np.arange(len(p)), truth]
        before = np.arange(classes) < truth[:, None]
        rank = (p > true[:, None]).sum(axis=1) + ((p == true[:, None]) & before).sum(axis=1)
        with np.errstate(divide="ignore"):  # the logarithm of 0 is −∞, which metrics refuse by name
            nll = -np.log(true)
        return cls(
            p.argmax(axis=1),
            truth,
            {
                "classes": np.array(classes),
                "rank": rank.astype(np.uint16),
                "nll": nll,
                # Not Σp² − 2p_y + 1, which loses digits to cancellation where the prediction is good.
                "brier": np.square(p - (np.arange(classes) == truth[:, None])).sum(axis=1),
                "confidence": p.max(axis=1),
                "probabilities": given,
            },
        )

    @property
    def rank(self) -> NDArray[Any]:
        """[N], the rank of the true class: 0 exactly where the prediction is right."""
        rank: NDArray[Any] = self._detail("rank").astype("int64")  # kept unsigned, where 0 − 1 is 65,535
        return rank

    @property
    def nll(self) -> NDArray[Any]:
        """[N], the negative log-likelihood of the true class in nats."""
        return self._detail("nll")

    @property
    def brier(self) -> NDArray[Any]:
        """[N], the squared distance of the probabilities from the one-hot truth: 0 to 2 (Brier 1950)."""
        return self._detail("brier")

    @property
    def confidence(self) -> NDArray[Any]:
        """[N], the probability of the predicted class."""
        return self._detail("confidence")

    @property
    def probabilities(self) -> NDArray[Any]:
        """[N, K], the probability of every class: only of suites with ``keep_probabilities: true``."""
        return self._detail("probabilities")

    def _detail(self, name: str) -> NDArray[Any]:
        try:
            return self.details[name]
        except KeyError:
            why = (
                "the suite that trained the run has no `keep_probabilities: true`"
                if name == "probabilities"
                else "the run is from before it was recorded"
            )
            raise NotKept(f"{DETAILS[name]} of each image was not kept: {why}") from None


# ------------------------------------------------------------------------------------------------- its file


class Packed(NamedTuple):
    """A ``predictions.npz`` and what is noted about it in ``result.json``."""

    content: bytes
    predictions_bytes: int
    predictions_sha256: str
    details_sha256: str


def pack(predictions: Predictions) -> Packed:
    """The file of a run's predictions, in the smallest types that hold them. Same predictions, same bytes."""
    import zipfile

    import numpy as np

    largest = max(int(predictions.predicted.max(initial=0)), int(predictions.labels.max(initial=0)))
    kind = np.uint8 if max(predictions.classes or 0, largest + 1) <= 256 else np.uint16
    members = {name: getattr(predictions, name).astype(kind) for name in BEGINNING}
    for name, smaller in _KEPT.items():
        if name in predictions.details:
            members[name] = np.asarray(predictions.details[name]).astype(smaller)
    file = io.BytesIO()
    # np.savez would do, but for the order, and for dates: these are all of 1980.
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in members.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), array_bytes(array))
        others = [name for name in members if name not in BEGINNING]
        end = archive.getinfo(f"{others[0]}.npy").header_offset if others else archive.start_dir
    content = file.getvalue()
    first, rest = (hashlib.sha256(part).hexdigest() for part in (content[:end], content[end:]))
    return Packed(content, end, first, rest)


def unpack(beginning: bytes, read_details: Callable[[], Mapping[str, NDArray[Any]]]) -> Predictions:
    """Predictions from the beginning of their file; the rest of it is read when it is asked for.

    Raises:
        ValueError: this is no such file.
    """
    members = read_members(beginning)
    if (*members,) != BEGINNING:
        raise ValueError(f"it begins with {', '.join(members) or 'something else'}")
    predicted, labels = members.values()
    return Predictions(predicted, labels, _Later(read_details))


class _Later(Mapping[str, "NDArray[Any]"]):
    """Arrays that are read when one of them is asked for."""

    def __init__(self, read_details: Callable[[], Mapping[str, NDArray[Any]]]) -> None:
        self._read_details = read_details

    @cached_property
    def _members(self) -> Mapping[str, NDArray[Any]]:
        return self._read_details()

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def unpack_old(content: bytes) -> Predictions:
    """Predictions of a run from before the rest was recorded: a ``predictions.npy`` [2, N].

    Raises:
        ValueError: this is no such file.
    """
    pair: np.ndarray[Any, Any] = read_array(content)
    if pair.ndim != 2 or len(pair) != 2:
        raise ValueError(f"found an array of shape {pair.shape}, expected [2, N]")
    return Predictions(pair[0], pair[1])
