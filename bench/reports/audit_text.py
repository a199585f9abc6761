"""An audit for a person: files, two by two, calibration, what it can say."""

from __future__ import annotations

from collections.abc import Sequence

from bench.reports.audit import Audit, ClaimedAccuracy, Evaluated, Pair
from bench.reports.blocks import Block, Heading, Notes, Paragraph, Table, plain_table
from bench.reports.formats import Scale, p_value
from bench.statistics.verdicts import Interval

_FILES = ("file", "correct", "accuracy %", "95 % interval", "claimed", "that is", "holds")
_PAIRS = ("files", "Δ points", "95 % interval", "only 1st", "only 2nd", "exact p", "mid-p")
_CALIBRATION = ("file", "nll", "Brier", "ECE %")
_MOST_COLUMNS = 4  # files whose reliability is printed
_LEGEND = (
    "Intervals are Wilson's for one file and Newcombe's for two on the same images; p are McNemar's, "
    "two-sided; Δ is first − second."
)


def audit_text(audit: Audit) -> list[Block]:
    """All of it, with the files numbered."""
    files = audit.checkpoints
    total, count = files[0].total, len(files)
    scale = Scale(100, 2 if total < 5000 else 3)
    names = [f"{number}: {file.name}" for number, file in enumerate(files, start=1)]
    rows = [_file_row(name, file, scale) for name, file in zip(names, files, strict=True)]
    number = {file.name: str(k) for k, file in enumerate(files, start=1)}
    pairs = [_pair_row(pair, number, scale) for pair in audit.pairs]
    calibration = [
        (name, f"{file.nll:.4f}", f"{file.brier:.4f}", f"{100 * file.ece:.2f}")
        for name, file in zip(names, files, strict=True)
    ]
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (audit.mean, audit.std))
    normalised = f"images normalised by mean {mean} and standard deviation {std}"
    return [
        Heading(
            f"{count} file{'s' * (count > 1)} of weights on {audit.dataset}", 1, f"{total:,} test images"
        ),
        plain_table(_FILES, rows, words=(0, 6)),
        *([plain_table(_PAIRS, pairs)] if pairs else []),
        plain_table(_CALIBRATION, calibration),
        *([_reliability(files)] if count <= _MOST_COLUMNS else []),
        Notes((*_notes(files, total), f"{normalised}; on {audit.device}")),
        Paragraph(_LEGEND),
        Paragraph(audit.caveat),
    ]


def _file_row(name: str, file: Evaluated, scale: Scale) -> tuple[str, ...]:
    claim, interval = file.claimed, Interval(file.low, file.high, 0.95)
    limits = None if claim is None else claim.cut if claim.holds == "cut off" else claim.rounded
    texts = (claim.accuracy, _counts(limits), claim.holds) if claim else ("", "", "")
    return name, f"{file.correct:,}", scale.value(file.accuracy), scale.interval(interval), *texts


def _counts(limits: tuple[int, int] | None) -> str:
    return "no count" if limits is None else " to ".join(f"{count:,}" for count in dict.fromkeys(limits))


def _notes(files: Sequence[Evaluated], total: int) -> list[str]:
    """What is said of each file, once for all of which it is said."""
    texts: dict[str, list[str]] = {}
    for number, file in enumerate(files, start=1):
        about = f"{file.model}, {file.parameters:,} parameters"
        for note in (about, *_claim_notes(file.claimed, total), *file.notes):
            texts.setdefault(note, []).append(str(number))
    return [f"{', '.join(numbers)}: {note}" for note, numbers in texts.items()]


def _claim_notes(claim: ClaimedAccuracy | None, total: int) -> list[str]:
    if claim is None:
        return []
    notes = ["claimed is the accuracy in its name"] if claim.source == "file name" else []
    if claim.rounded is None:
        what = "and none with further digits cut off"
        if claim.cut is not None:
            what = f"but with further digits cut off {_counts(claim.cut)} gives it"
        notes.append(f"no number of {total:,} images rounds to {claim.accuracy}, {what}")
    return notes


def _pair_row(pair: Pair, number: dict[str, str], scale: Scale) -> tuple[str, ...]:
    return (
        f"{number[pair.first]} − {number[pair.second]}",
        scale.difference(pair.difference),
        scale.interval(Interval(pair.low, pair.high, 0.95)),
        *(f"{images:,}" for images in (pair.only_first, pair.only_second)),
        *(p_value(p) for p in (pair.p_exact, pair.p)),
    )


def _reliability(files: Sequence[Evaluated]) -> Table:
    """A row a bin of confidence: accuracy − mean confidence in points, and images, of each file."""
    bins = len(files[0].reliability.count)
    headings = ("confidence %", *(f"{k}: off by, images" for k in range(1, len(files) + 1)))
    return plain_table(
        headings,
        [
            (f"{100 * k / bins:.0f} to {100 * (k + 1) / bins:.0f}", *(_off_by(file, k) for file in files))
            for k in range(bins)
            if any(file.reliability.count[k] for file in files)
        ],
    )


def _off_by(file: Evaluated, k: int) -> str:
    reliability = file.reliability
    count, confidence = reliability.count[k], reliability.confidence[k]
    return (
        "" if confidence is None else f"{100 * (reliability.correct[k] / count - confidence):+.1f}, {count:,}"
    )
