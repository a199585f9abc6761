"""A report as Markdown that is also legible as it stands, on a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Sequence

from bench.reports.documents import CellSummary, Compared, Comparison, Report

_HEADER = ("loss", "seeds", "accuracy %", "Δ", "± here", "± new", "p adj.", "verdict")


def markdown(report: Report) -> str:
    """Question, one table for each data set × model, notes, and how it was computed."""
    lines = [f"# {_flat(report.question)}", ""]
    if report.optimistic:
        lines += ["**OPTIMISTIC: the epoch was chosen on the test set itself.**", ""]
    if not report.complete:
        done, planned = sum(c.n for c in report.cells), sum(c.planned for c in report.cells)
        lines += [f"*{done} of {planned} runs are finished: all of this may still change.*", ""]
    lines += _tables(report.cells, report.comparisons, ", OPTIMISTIC" if report.optimistic else "")
    return "\n".join([*lines, *_notes(report.comparisons, report.notes), report.method, ""])


def compared(document: Compared) -> str:
    """The same tables, of somebody's own results."""
    lines = [f"# {_flat(document.source)}, against {_flat(document.baseline)}", ""]
    if not document.paired:
        lines += ["**Runs are not paired: the seeds of two columns have nothing in common.**", ""]
    lines += _tables(document.cells, document.comparisons)
    return "\n".join([*lines, *_notes(document.comparisons, document.notes), document.method, ""])


def _tables(cells: Sequence[CellSummary], comparisons: Sequence[Comparison], remark: str = "") -> list[str]:
    lines = []
    by_key = {(c.dataset, c.model, c.loss): c for c in comparisons}
    groups: dict[tuple[str, str], list[CellSummary]] = {}
    for cell in cells:
        groups.setdefault((cell.dataset, cell.model), []).append(cell)
    for (dataset, model), group in groups.items():
        images = next((cell.test_images for cell in group if cell.test_images), None)
        size = f" ({images:,} test images)" if images else ""
        name = " · ".join(_flat(word) for word in (dataset, model) if word)
        if name or size or remark:
            lines += [f"## {name}{size}{remark}", ""]
        rows = [_row(cell, by_key.get((dataset, model, cell.loss)), images) for cell in group]
        lines += [*_table(_HEADER, rows), ""]
    return lines


def _notes(comparisons: Sequence[Comparison], notes: Sequence[str]) -> list[str]:
    remarks = [
        " × ".join(filter(None, (c.dataset, c.model, c.loss))) + f": {remark}"
        for c in comparisons
        for remark in _remarks(c)
    ]
    lines = [f"- {_flat(note)}" for note in [*remarks, *notes]]
    return [*lines, ""] if lines else []


def _row(cell: CellSummary, comparison: Comparison | None, images: int | None) -> tuple[str, ...]:
    digits = 3 if images is not None and images >= 5000 else 2  # one image is worth 1/images
    accuracy = "—" if cell.mean is None else f"{100 * cell.mean:.{digits}f}"
    if cell.sd is not None:
        accuracy += f" ± {100 * cell.sd:.{digits}f}"
    seeds = f"{cell.n}/{cell.planned}"
    if comparison is None:
        return f"{_flat(cell.loss)} (baseline)", seeds, accuracy, "", "", "", "", ""
    delta = "—" if comparison.delta is None else f"{100 * comparison.delta:+.{digits}f}"
    # Both intervals lie around the same Δ, so half their width says all of them.
    here = _half(comparison.low, comparison.high, digits)
    new = _half(comparison.low_new_images, comparison.high_new_images, digits)
    p = _p_value(comparison.p_adjusted)
    return _flat(cell.loss), seeds, accuracy, delta, here, new, p, comparison.verdict.value


def _half(low: float | None, high: float | None, digits: int) -> str:
    return "—" if low is None or high is None else f"±{100 * (high - low) / 2:.{digits}f}"


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


def _p_value(p: float | None) -> str:
    if p is None:
        return "—"
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[k]) for row in (header, *rows)) for k in range(len(header))]

    def line(row: Sequence[str]) -> str:
        # The first and the last column hold words, the others numbers.
        last = len(row) - 1
        padded = (
            cell.ljust(width) if k in (0, last) else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    last = len(widths) - 1
    rule = "|".join(
        "-" * (width + 2) if k in (0, last) else "-" * (width + 1) + ":" for k, width in enumerate(widths)
    )
    return [line(header), f"|{rule}|", *map(line, rows)]


def _flat(text: str) -> str:
    """Text from a suite as one line that breaks no table."""
    return " ".join(text.split()).replace("|", "\\|")
