"""A report as Markdown that is also legible as it stands, on a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Sequence

from bench.reports.documents import Analysed, CellSummary, Compared, Comparison, Report

WIDTH = 100
"""Columns of a terminal. Names are shortened to fit, numbers never."""

_VERDICTS = ("loss", "seeds", "accuracy %", "Δ", "± here", "± new", "p adj.", "verdict")
_EVIDENCE = ("loss", "p t", "flip", "eq.", "d_z", "g_z", "P(A>B) %", "ρ", "≠", "finds", "floor")
_LEGEND = (
    "The second table: unadjusted p of the t-test (p t), of sign flips (flip) and of the two one-sided tests "
    "(eq.); the mean in standard deviations of the differences (d_z) and its Hedges g (g_z); the chance that "
    "the loss beats its baseline with the same new seed, ties counting half; the correlation of the two over "
    "seeds (ρ); images on which a pair differs (≠); in points, the difference that so many seeds would find "
    "with power .8 (finds), and the standard error on new images that no number of seeds gets below (floor)."
)


def markdown(report: Report) -> str:
    """Question, tables for each data set × model, notes, and how it was computed."""
    lines = [f"# {_flat(report.question)}", ""]
    if report.optimistic:
        lines += ["**OPTIMISTIC: the epoch was chosen on the test set itself.**", ""]
    if not report.complete:
        done, planned = sum(c.n for c in report.cells), sum(c.planned for c in report.cells)
        lines += [f"*{done} of {planned} runs are finished: all of this may still change.*", ""]
    return "\n".join([*lines, *_body(report, ", OPTIMISTIC" if report.optimistic else "")])


def compared(document: Compared) -> str:
    """The same tables, of somebody's own results."""
    lines = [f"# {_flat(document.source)}, against {_flat(document.baseline)}", "", document.reading, ""]
    if not document.paired:
        lines += ["**NOT PAIRED: runs with the same seed are taken to have nothing in common.**", ""]
    return "\n".join([*lines, *_body(document)])


def _body(document: Analysed, remark: str = "") -> list[str]:
    by_key = {(c.dataset, c.model, c.loss): c for c in document.comparisons}
    groups: dict[tuple[str, str], list[CellSummary]] = {}
    for cell in document.cells:
        groups.setdefault((cell.dataset, cell.model), []).append(cell)
    lines = []
    for (dataset, model), group in groups.items():
        images = next((cell.test_images for cell in group if cell.test_images), None)
        digits = 2 if images is not None and images < 5000 else 3  # one image is worth 1/images
        name = " · ".join(_flat(word) for word in (dataset, model) if word) or "All runs"
        size = f" ({images:,} test images)" if images else ""
        lines += [f"## {name}{size}{remark}", ""]
        compared = {cell.loss: by_key.get((dataset, model, cell.loss)) for cell in group}
        rows = [_verdict(cell, compared[cell.loss], document.baseline, digits) for cell in group]
        lines += [*_table(_VERDICTS, rows, words=(0, 7)), ""]
        evidence = [_evidence(found, digits) for found in compared.values() if found and found.p is not None]
        if evidence:
            lines += [*_table(_EVIDENCE, evidence), ""]
    remarks = [
        " × ".join(filter(None, (c.dataset, c.model, c.loss))) + f": {remark}"
        for c in document.comparisons
        for remark in _remarks(c)
    ]
    notes = [f"- {_flat(note)}" for note in [*remarks, *document.notes]]
    legend = [_LEGEND, ""] if any(c.p is not None for c in document.comparisons) else []
    return [*lines, *notes, *([""] if notes else []), document.method, "", *legend]


def _verdict(cell: CellSummary, comparison: Comparison | None, baseline: str, digits: int) -> tuple[str, ...]:
    accuracy = _points(cell.mean, digits)
    if cell.sd is not None:
        accuracy += f" ± {_points(cell.sd, digits)}"
    seeds = f"{cell.n}/{cell.planned}"
    if comparison is None:
        said = "baseline" if cell.loss == baseline else "—"
        return cell.loss, seeds, accuracy, "", "", "", "", said
    delta = "—" if comparison.delta is None else f"{100 * comparison.delta:+.{digits}f}"
    # Both intervals lie around the same Δ, so half their width says all of them.
    here = _half(comparison.low, comparison.high, digits)
    new = _half(comparison.low_new_images, comparison.high_new_images, digits)
    p = _p_value(comparison.p_adjusted, 4)
    return cell.loss, seeds, accuracy, delta, here, new, p, comparison.verdict.value


def _evidence(comparison: Comparison, digits: int) -> tuple[str, ...]:
    c = comparison
    wins = "—"
    if c.superiority is not None:
        wins = f"{100 * c.superiority:.0f}"
        if c.superiority_low is not None and c.superiority_high is not None:
            wins += f" [{100 * c.superiority_low:.0f},{100 * c.superiority_high:.0f}]"
    p_values = (_bare(_p_value(p, 3)) for p in (c.p, c.p_sign_flip, c.p_equivalence))
    sizes = (_number(size, ".2f") for size in (c.d_z, c.g_z))
    points = (_points(value, digits) for value in (c.detectable, c.floor))
    return (
        *(c.loss, *p_values, *sizes),
        *(wins, _bare(_number(c.correlation, ".2f")), _number(c.discordant, ".1f"), *points),
    )


def _half(low: float | None, high: float | None, digits: int) -> str:
    return "—" if low is None or high is None else f"±{100 * (high - low) / 2:.{digits}f}"


def _points(fraction: float | None, digits: int) -> str:
    return "—" if fraction is None else f"{100 * fraction:.{digits}f}"


def _number(value: float | None, digits: str) -> str:
    return "—" if value is None else format(value, digits if abs(value) < 100 else ".0f")


def _p_value(p: float | None, digits: int) -> str:
    if p is None:
        return "—"
    return f"{p:.{digits}f}" if p >= 10**-digits else f"<{10**-digits:.{digits}f}"


def _bare(number: str) -> str:
    """Without the 0 in front: of what cannot exceed 1."""
    return number.replace("0.", ".", 1)


def _remarks(comparison: Comparison) -> list[str]:
    remarks = [comparison.note] if comparison.note else []
    if comparison.missing:
        shown = ", ".join(map(str, comparison.missing[:10])) + (" …" if len(comparison.missing) > 10 else "")
        remarks.append(f"no pair for seed {shown}")
    if comparison.seeds_to_decide is not None:
        remarks.append(
            f"undecided; about {comparison.seeds_to_decide:,} seeds would settle a difference of this size"
        )
    return remarks


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], words: tuple[int, ...] = (0,)) -> list[str]:
    """Markdown. The first column holds names and has what the others leave of the line.

    Args:
        words: columns that hold words and not numbers.
    """
    widths = [max(len(row[k]) for row in (header, *rows)) for k in range(len(header))]
    room = max(WIDTH - sum(widths[1:]) - 3 * len(widths) - 1, 6)
    names = shortened([" ".join(row[0].split()) for row in rows], room)
    rows = [(_flat(name), *row[1:]) for name, row in zip(names, rows, strict=True)]
    widths[0] = max(len(row[0]) for row in (header, *rows))

    def line(row: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if k in words else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = "|".join(
        "-" * (width + 2) if k in words else "-" * (width + 1) + ":" for k, width in enumerate(widths)
    )
    return [line(header), f"|{rule}|", *map(line, rows)]


def shortened(names: Sequence[str], room: int) -> list[str]:
    """Names of at most ``room`` letters, still told apart: what is left out of the middle is an ellipsis."""
    for tail in range(room // 3, room - 1):
        short = [n if len(n) <= room else f"{n[: room - 1 - tail]}…{n[-tail:]}" for n in names]
        if len(set(short)) == len(set(names)):
            return short
    return [n if len(n) <= room else f"{n[: room - 4]}…{k}" for k, n in enumerate(names, start=1)]


def _flat(text: str) -> str:
    """Text from a suite as one line that breaks no table."""
    return " ".join(text.split()).replace("|", "\\|")
