"""``bench evaluate``: what files of weights get right, whether that is what was claimed, and two by two.

The answers come from :mod:`bench.checkpoints.answers`; here they become a document, and its text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel

from bench.checkpoints.answers import Answers
from bench.errors import BenchError
from bench.reports.claim import Settling, settling
from bench.reports.formats import listed
from bench.results.schema import Reliability
from bench.statistics.agreement import joint_correct, pack
from bench.statistics.proportions import mcnemar, newcombe_paired, wilson
from bench.statistics.single_runs import counts_behind


class ClaimedAccuracy(BaseModel):
    """What a file is said to reach, and whether it does."""

    accuracy: str
    """With the digits that were printed."""
    source: Literal["given", "file name"]
    rounded: tuple[int, int] | None
    """Correct test images, from and to, that round to it; None: no number of them does."""
    cut: tuple[int, int] | None
    """The same where further digits were cut off and not rounded."""
    holds: Literal["yes", "cut off", "no"]
    """Whether the file's number is one of these."""


class Evaluated(BaseModel):
    """One file on the test images. Accuracies are fractions."""

    name: str
    """What tables call it: the file's name, without its ending."""
    path: str
    sha256: str
    """Of the file."""
    model: str
    parameters: int
    outputs: int
    first_output: int
    """The output that stands for the first class."""
    correct: int
    total: int
    accuracy: float
    low: float
    """Of Wilson's 95 % interval: for new images, and this network."""
    high: float
    claimed: ClaimedAccuracy | None
    nll: float
    """Mean negative log-likelihood, in nats."""
    brier: float
    """From 0 to 2."""
    ece: float
    """Expected calibration error, 15 bins."""
    reliability: Reliability
    notes: list[str]
    """How the file was read and made to fit."""


class Pair(BaseModel):
    """Two files on the same test images. Differences are first − second, as fractions."""

    first: str
    second: str
    both: int
    """Images that both get right."""
    only_first: int
    only_second: int
    neither: int
    difference: float
    low: float
    """Of Newcombe's 95 % interval for pairs."""
    high: float
    p_exact: float
    """Of McNemar's test, two-sided; no p here is adjusted for the number of pairs."""
    p: float
    """The same, mid-p."""
    settling: list[Settling]
    """Seeds of either loss that would find this difference, if it were that of the losses."""


class Audit(BaseModel):
    """What ``bench evaluate --json`` prints."""

    dataset: str
    mean: list[float]
    """For normalisation, of images from 0 to 1: one number a channel."""
    std: list[float]
    device: str
    checkpoints: list[Evaluated]
    pairs: list[Pair]
    caveat: str
    """What all of this can and cannot say."""

    @property
    def holds(self) -> bool:
        """Whether no file has another accuracy than it is said to have."""
        return all(c.claimed is None or c.claimed.holds != "no" for c in self.checkpoints)


def claimed_in(stem: str) -> str | None:
    """The accuracy that a file's name begins with, or has after ``acc``: 95.933 of 95.933_min_ent_….pt.

    A number from 1 to 10 counts something else: 1.5_epochs.pt.
    """
    match = re.match(r"(0\.\d{2,}|\d{2,3}\.\d+)(?=[_\- ]|$)", stem) or re.search(
        r"acc[_\-=]?(\d+\.\d+)", stem, re.I
    )
    return match[1] if match else None


def names_of(answers: Sequence[Answers]) -> list[str]:
    """What tables call the files: names without their endings, or whole paths where those are not enough."""
    stems = [_stem(file) for file in answers]
    return stems if len(set(stems)) == len(stems) else [str(file.checkpoint.path) for file in answers]


def _stem(answers: Answers) -> str:
    path = answers.checkpoint.path
    return path.parent.name if path.name == "model.safetensors" else path.name.removesuffix(path.suffix)


def audit(
    answers: Sequence[Answers],
    dataset: str,
    normalisation: tuple[Sequence[float], Sequence[float]],
    device: str,
    claimed: Sequence[str] = (),
) -> Audit:
    """Make the document.

    Args:
        normalisation: mean and standard deviation that the images were given.
        claimed: accuracies, one a file; without any, those in the files' names count.

    Raises:
        BenchError: a claimed accuracy that is none.
    """
    names = names_of(answers)
    evaluated = [
        _evaluated(name, file, claimed[k] if claimed else None)
        for k, (name, file) in enumerate(zip(names, answers, strict=True))
    ]
    joint = joint_correct(pack(np.stack([file.correct for file in answers])))
    pairs = [
        _pair(names[a], names[b], int(joint[a, a]), int(joint[b, b]), int(joint[a, b]), evaluated[a].total)
        for a, b in itertools.combinations(range(len(names)), 2)
    ]
    return Audit(
        dataset=dataset,
        mean=list(normalisation[0]),
        std=list(normalisation[1]),
        device=device,
        checkpoints=evaluated,
        pairs=pairs,
        caveat=_caveat(pairs),
    )


def _evaluated(name: str, answers: Answers, claim: str | None) -> Evaluated:
    scores, fitted = answers.scores, answers.fitted
    low, high = wilson(scores.correct, scores.total)
    return Evaluated(
        name=name,
        path=str(answers.checkpoint.path),
        sha256=answers.checkpoint.sha256,
        model=answers.model,
        parameters=fitted.parameters,
        outputs=fitted.outputs,
        first_output=answers.first_output,
        accuracy=scores.correct / scores.total,
        low=low,
        high=high,
        claimed=_claimed(answers, claim),
        notes=answers.notes,
        **scores._asdict(),
    )


def _claimed(answers: Answers, claim: str | None) -> ClaimedAccuracy | None:
    accuracy = claim or claimed_in(_stem(answers))
    if accuracy is None:
        return None
    try:
        behind = counts_behind(accuracy, answers.scores.total)
    except ValueError as error:
        if claim is None:  # a number in a name that is no accuracy after all
            return None
        raise BenchError(f"--claimed: {error}") from None
    right, ranges = answers.scores.correct, (behind.rounded, behind.cut)
    rounded, cut = (limits is not None and limits[0] <= right <= limits[1] for limits in ranges)
    return ClaimedAccuracy(
        accuracy=accuracy,
        source="given" if claim else "file name",
        rounded=behind.rounded,
        cut=behind.cut,
        holds="yes" if rounded else "cut off" if cut else "no",
    )


def _pair(first: str, second: str, a: int, b: int, both: int, total: int) -> Pair:
    table = both, a - both, b - both, total - a - b + both
    interval, test = newcombe_paired(*table), mcnemar(*table[1:3])
    return Pair(
        **{"first": first, "second": second},
        **dict(zip(("both", "only_first", "only_second", "neither"), table, strict=True)),
        **{"difference": interval.estimate, "low": interval.low, "high": interval.high},
        **{"p_exact": test.exact, "p": test.mid_p, "settling": settling(interval.estimate)},
    )


def _caveat(pairs: Sequence[Pair]) -> str:
    sentences = [
        "An interval here is about this network on new images, and says nothing about training it again. If "
        "the epoch (or anything else) was chosen by the accuracy on these same images, that accuracy is too "
        "high to expect on new ones."
    ]
    if pairs:
        sentences.append(
            "McNemar's test is about two files, never about two losses: trained again from another seed, "
            "either would answer otherwise, and one file of each does not tell by how much."
        )
        if len(pairs) > 1:
            sentences.append(f"Its p are not adjusted for there being {len(pairs)} pairs.")
        largest = max(pairs, key=lambda pair: abs(pair.difference))
        needs = [need for need in largest.settling if need.correlation == 0 and need.seeds]
        if needs:
            seeds = listed([f"{need.seeds:,}" for need in needs])
            spreads = listed([f"{100 * need.seed_sd:.2f}" for need in needs])
            sentences.append(
                f"To find a difference of {100 * abs(largest.difference):.3f} points between two losses, the "
                f"largest here, with probability .8 takes {seeds} seeds of either, where accuracies have a "
                f"standard deviation of {spreads} points over seeds."
            )
    return " ".join(sentences)


def per_image(answers: Sequence[Answers], dataset: str) -> pd.DataFrame:
    """A row for each image of each file, in the long form that ``bench compare`` reads: one seed each."""
    frames = {
        (dataset, name, 0): pd.DataFrame(
            {"correct": file.correct.astype(np.int8), "label": file.labels, "predicted": file.predicted}
        )
        for name, file in zip(names_of(answers), answers, strict=True)
    }
    return pd.concat(frames, names=["dataset", "method", "seed", "image"]).reset_index()
