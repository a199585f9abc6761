"""An audit as Markdown that is also legible as it stands: files, two by two, calibration, what it can say."""

from __future__ import annotations

from collections.abc import Sequence

from bench.reports.audit import Audit, ClaimedAccuracy, Evaluated, Pair
from bench.reports.text import escaped, points, table

_FILES = ("file", "correct", "accuracy %", "95 % interval", "claimed", "that is", "holds")
_PAIRS = ("files", "Δ points", "95 % interval", "only 1st", "only 2nd", "exact p", "mid-p")
_CALIBRATION = ("file", "nll", "Brier", "ECE %")
_MOST_COLUMNS = 4  # files whose reliability is printed


def audit_text(audit: Audit) -> str:
    """All of it, with the files numbered."""
    files = audit.checkpoints
    total = files[0].total
    digits = 2 if total < 5000 else 3
    names = [f"{number}: {file.name}" for number, file in enumerate(files, start=1)]
    rows = [_file_row(name, file, digits) for name, file in zip(names, files, strict=True)]
    count = "1 file" if len(files) == 1 else f"{len(files)} files"
    lines = [f"# {count} of weights on {escaped(audit.dataset)} ({total:,} test images)", ""]
    lines += [*table(_FILES, rows, words=(0, 6)), ""]
    if audit.pairs:
        number = {file.name: str(k) for k, file in enumerate(files, start=1)}
        lines += [*table(_PAIRS, [_pair_row(pair, number, digits) for pair in audit.pairs]), ""]
    calibration = [
        (name, f"{file.nll:.4f}", f"{file.brier:.4f}", f"{100 * file.ece:.2f}")
        for name, file in zip(names, files, strict=True)
    ]
    lines += [*table(_CALIBRATION, calibration), ""]
    if len(files) <= _MOST_COLUMNS:
        lines += [*_reliability(files), ""]
    notes = [f"- {note}" for note in _notes(files, total)]
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (audit.mean, audit.std))
    notes.append(
        f"- images normalised by mean {mean} and standard deviation {std}; on {escaped(audit.device)}"
    )
    legend = (
        "Intervals are Wilson's for one file and Newcombe's for two on the same images; p are McNemar's, "
        "two-sided; Δ is first − second."
    )
    return "\n".join([*lines, *notes, "", legend, "", audit.caveat, ""])


def _file_row(name: str, file: Evaluated, digits: int) -> tuple[str, ...]:
    claim = file.claimed
    interval = f"{points(file.low, digits)} to {points(file.high, digits)}"
    said = (claim.accuracy, _counts(claim), claim.holds) if claim else ("", "", "")
    return (name, f"{file.correct:,}", points(file.accuracy, digits), interval, *said)


def _counts(claim: ClaimedAccuracy) -> str:
    limits = claim.cut if claim.holds == "cut off" else claim.rounded
    if limits is None:
        return "no count"
    first, last = limits
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"


def _notes(files: Sequence[Evaluated], total: int) -> list[str]:
    """What is said of each file, once for all of which it is said."""
    said: dict[str, list[str]] = {}
    for number, file in enumerate(files, start=1):
        for note in (
            f"{file.model}, {file.parameters:,} parameters",
            *_claim_notes(file, total),
            *file.notes,
        ):
            said.setdefault(note, []).append(str(number))
    return [f"{', '.join(numbers)}: {escaped(note)}" for note, numbers in said.items()]


def _claim_notes(file: Evaluated, total: int) -> list[str]:
    claim = file.claimed
    if claim is None:
        return []
    notes = ["claimed is the accuracy in its name"] if claim.source == "file name" else []
    if claim.rounded is None:
        what = "and none with further digits cut off"
        if claim.cut is not None:
            first, last = claim.cut
            what = (
                f"but with further digits cut off {first:,}{f' to {last:,}' if first < last else ''} gives it"
            )
        notes.append(f"no number of {total:,} images rounds to {claim.accuracy}, {what}")
    return notes


def _pair_row(pair: Pair, number: dict[str, str], digits: int) -> tuple[str, ...]:
    return (
        f"{number[pair.first]} − {number[pair.second]}",
        points(pair.difference, digits, "+"),
        f"{points(pair.low, digits, '+')} to {points(pair.high, digits, '+')}",
        f"{pair.only_first:,}",
        f"{pair.only_second:,}",
        _p(pair.p_exact),
        _p(pair.p),
    )


def _p(p: float) -> str:
    return f"{p:.4f}" if p >= 0.0001 else "<0.0001"


def _reliability(files: Sequence[Evaluated]) -> list[str]:
    """A row a bin of confidence: accuracy − mean confidence in points, and images, of each file."""
    bins = len(files[0].reliability.count)
    header = ["confidence %", *(f"{k}: off by, images" for k in range(1, len(files) + 1))]
    rows = []
    for k in range(bins):
        if not any(file.reliability.count[k] for file in files):
            continue
        row = [f"{100 * k / bins:.0f} to {100 * (k + 1) / bins:.0f}"]
        for file in files:
            count, confidence = file.reliability.count[k], file.reliability.confidence[k]
            if confidence is None:
                row.append("")
                continue
            row.append(f"{points(file.reliability.correct[k] / count - confidence, 1, '+')}, {count:,}")
        rows.append(row)
    return table(header, rows)
