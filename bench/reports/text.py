"""A report as Markdown that is also legible as it stands, on a terminal of 100 columns."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from bench.reports.documents import Analysed, CellSummary, Compared, Comparison, Ranking, Report
from bench.reports.ranks import letters
from bench.statistics.stopping import Outcome

WIDTH = 100
"""Columns of a terminal. Names are shortened to fit, numbers never."""
SCALED_DOWN = "SCALED DOWN: a trial with tiny models, few images and two epochs, which answers nothing."

_VERDICTS = ("loss", "seeds", "accuracy %", "Δ", "± here", "± new", "p adj.", "verdict")
_EVIDENCE = ("loss", "p t", "flip", "eq.", "d_z", "g_z", "P(A>B) %", "ρ", "≠", "finds", "floor")
_FIXED = (
    "The second table: unadjusted p of the t-test (p t), of sign flips (flip) and of the two one-sided tests "
    "(eq.); "
)
_EVIDENCE_ADDED = ("loss", "e", "looks", *(name for name in _EVIDENCE[3:] if name != "finds"))
_ADDED = (
    "The second table: evidence for a difference (e; 1 speaks neither for one nor against it); looks taken, "
    "of those planned; unadjusted p of the two one-sided tests (eq.); "
)
_LEGEND = (
    "the mean in standard deviations of the differences (d_z) and its Hedges g (g_z); the chance that "
    "the loss beats its baseline with the same new seed, ties counting half; the correlation of the two over "
    "seeds (ρ); images on which a pair differs (≠); in points, {finds}the standard error on new images that "
    "no number of seeds gets below (floor)."
)
_FINDS = "the difference that so many seeds would find with power .8 (finds), and "


def markdown(report: Report) -> str:
    """Question, tables for each data set × model, notes, and how it was computed."""
    lines = [f"# {escaped(report.question)}", ""]
    if report.scaled_down:
        lines += [f"**{SCALED_DOWN}**", ""]
    if report.optimistic:
        lines += ["**OPTIMISTIC: the epoch was chosen on the test set itself.**", ""]
    if not report.complete:
        done, planned = sum(c.n for c in report.cells), sum(c.planned for c in report.cells)
        lines += [f"*{done} of {planned} runs are finished: all of this may still change.*", ""]
    marks = ", SCALED DOWN" * report.scaled_down + ", OPTIMISTIC" * report.optimistic
    return "\n".join([*lines, *_body(report, marks, [*_epochs(report, marks), *_rankings(report, marks)])])


def compared(document: Compared) -> str:
    """The same tables, of somebody's own results."""
    lines = [f"# {escaped(document.source)}, against {escaped(document.baseline)}", ""]
    lines += [escaped(document.reading), ""]
    if not document.paired:
        lines += ["**NOT PAIRED: runs with the same seed are taken to have nothing in common.**", ""]
    return "\n".join([*lines, *_body(document)])


def groups(document: Analysed) -> Iterator[tuple[str, str, list[CellSummary], int | None, int]]:
    """Data set, model, their cells, test images (None: not known) and the digits that percentages deserve."""
    cells: dict[tuple[str, str], list[CellSummary]] = {}
    for cell in document.cells:
        cells.setdefault((cell.dataset, cell.model), []).append(cell)
    for (dataset, model), group in cells.items():
        images = next((cell.test_images for cell in group if cell.test_images), None)
        digits = 2 if images is not None and images < 5000 else 3  # one image is worth 1/images
        yield dataset, model, group, images, digits


STOPPED = {
    Outcome.FUTILE: "no more seeds: the largest number would hardly decide it",
    Outcome.LARGEST: "the largest number of seeds has not decided it",
}
"""What is said of comparisons that ended without a decision."""


def remarks(document: Analysed) -> list[str]:
    """What is missing, what could not be computed and why, what failed: one line each, not escaped."""
    said = [
        " × ".join(filter(None, (c.dataset, c.model, c.loss))) + f": {remark}"
        for c in document.comparisons
        for remark in _remarks(c)
    ]
    return [*said, *document.notes]


def verdict_row(
    cell: CellSummary, comparison: Comparison | None, baseline: str, digits: int
) -> tuple[str, ...]:
    """A cell as the table of verdicts shows it."""
    accuracy = points(cell.mean, digits)
    if cell.sd is not None:
        accuracy += f" ± {points(cell.sd, digits)}"
    seeds = f"{cell.n}/{cell.planned}"
    if comparison is None:
        said = "baseline" if cell.loss == baseline else "—"
        return cell.loss, seeds, accuracy, "", "", "", "", said
    delta = points(comparison.delta, digits, "+")
    # Both intervals lie around the same Δ, so half their width says all of them.
    here = _half(comparison.low, comparison.high, digits)
    new = _half(comparison.low_new_images, comparison.high_new_images, digits)
    p = _p_value(comparison.p_adjusted, 4)
    return cell.loss, seeds, accuracy, delta, here, new, p, comparison.verdict.value


EPOCHS = ("loss", "chosen", "last", "best on test", "Δ then", "p then", "verdict then")
EPOCHS_LEGEND = (
    "Mean accuracy in percent of the epoch chosen on validation images, of the last, and of the best on the "
    "test set, which is OPTIMISTIC; then the difference, the adjusted p and the verdict that a report of the "
    "best epochs on the test set would have had."
)


def epoch_row(cell: CellSummary, baseline: str, digits: int) -> tuple[str, ...]:
    """What the epochs that were not chosen would have shown of a cell."""
    means = (points(mean, digits) for mean in (cell.mean, cell.mean_last, cell.mean_best_test))
    if cell.verdict_best_test is None:
        return (cell.loss, *means, "", "", "baseline" if cell.loss == baseline else "—")
    delta = points(cell.delta_best_test, digits, "+")
    return (cell.loss, *means, delta, _p_value(cell.p_adjusted_best_test, 4), cell.verdict_best_test.value)


def shows_epochs(report: Report) -> bool:
    """Whether other epochs are worth a table: not where the last one counts, and none is chosen."""
    return report.selection == "validation" and any(cell.n for cell in report.cells)


def _epochs(report: Report, remark: str) -> list[str]:
    if not shows_epochs(report):
        return []
    lines = [f"## Had other epochs counted{remark}", ""]
    for dataset, model, group, _, digits in groups(report):
        name = " · ".join(map(escaped, (dataset, model)))
        rows = [epoch_row(cell, report.baseline, digits) for cell in group]
        lines += [f"### {name}", "", *table(EPOCHS, rows, words=(0, 6)), ""]
    return [*lines, EPOCHS_LEGEND, ""]


RANKS = ("loss", "rank", "p adj.", "alike")


def rank_rows(ranking: Ranking, baseline: str) -> list[tuple[str, ...]]:
    """A ranking's table: best first."""
    alike = letters(ranking)
    return [
        (
            ranked.loss,
            f"{ranked.average_rank:.2f}",
            "baseline" if ranked.loss == baseline else _p_value(ranked.p_adjusted, 4),
            alike[ranked.loss],
        )
        for ranked in ranking.losses
    ]


def rank_words(ranking: Ranking, alpha: float) -> str:
    """What the table of ranks rests on, and how far it can be trusted."""
    r, tests = ranking, []
    if r.chi2 is not None:
        tests.append(f"Friedman χ²({r.chi2_df}) = {r.chi2:.2f}, p = {_p_value(r.chi2_p, 4)}")
    if r.f_df is not None:
        f = "∞" if r.f is None else f"{r.f:.2f}"
        tests.append(f"Iman–Davenport F({r.f_df[0]}, {r.f_df[1]}) = {f}, p = {_p_value(r.f_p, 4)}")
    said = [
        f"{'; '.join(tests) or 'All losses tie on all data sets'}.".replace("= <", "< "),
        f"p adj. is of z of a rank against the baseline's, by Holm; ranks {r.critical_difference:.2f} apart "
        f"differ (Nemenyi, α = {alpha:g}), and losses with no letter in common (alike) do.",
        *([f"Left out, for lack of results: {', '.join(r.left_out)}."] if r.left_out else []),
        *([f"{r.note}."] if r.note else []),
    ]
    return " ".join(said)


def _rankings(report: Report, remark: str) -> list[str]:
    lines = []
    for ranking in report.rankings:
        over = f"{len(ranking.datasets)} data sets"
        lines += [f"## Average ranks over {over} · {escaped(ranking.model)}{remark}", ""]
        lines += [*table(RANKS, rank_rows(ranking, report.baseline), words=(0, 3)), ""]
        lines += [escaped(rank_words(ranking, report.alpha)), ""]
    return lines


def _body(document: Analysed, remark: str = "", asides: Sequence[str] = ()) -> list[str]:
    by_key = {c.key: c for c in document.comparisons}
    added = document.sequential if isinstance(document, Report) else None
    lines = []
    for dataset, model, group, images, digits in groups(document):
        name = " · ".join(escaped(word) for word in (dataset, model) if word) or "All runs"
        size = f" ({images:,} test images)" if images else ""
        lines += [f"## {name}{size}{remark}", ""]
        compared = {cell.loss: by_key.get((dataset, model, cell.loss)) for cell in group}
        rows = [verdict_row(cell, compared[cell.loss], document.baseline, digits) for cell in group]
        lines += [*table(_VERDICTS, rows, words=(0, 7)), ""]
        looks = len(added.looks) if added else None
        evidence = [_evidence(c, digits, looks) for c in compared.values() if c and c.p is not None]
        if evidence:
            lines += [*table(_EVIDENCE_ADDED if added else _EVIDENCE, evidence), ""]
    notes = [f"- {escaped(note)}" for note in remarks(document)]
    legend = [(_ADDED if added else _FIXED) + _LEGEND.format(finds="" if added else _FINDS), ""]
    legend = legend if any(c.p is not None for c in document.comparisons) else []
    return [*lines, *asides, *notes, *([""] if notes else []), document.method, "", *legend]


def _evidence(comparison: Comparison, digits: int, looks: int | None) -> tuple[str, ...]:
    """``looks``: how many are planned, where seeds are added until decided."""
    c = comparison
    wins = "—"
    if c.superiority is not None:
        wins = f"{100 * c.superiority:.0f}"
        if c.superiority_low is not None and c.superiority_high is not None:
            wins += f" [{100 * c.superiority_low:.0f},{100 * c.superiority_high:.0f}]"
    p_values = [_bare(_p_value(p, 3)) for p in (c.p, c.p_sign_flip, c.p_equivalence)]
    if looks is not None:
        p_values[:2] = [e_value(c.e), f"{c.looks}/{looks}"]
    sizes = (_number(size, ".2f") for size in (c.d_z, c.g_z))
    limits = [points(value, digits) for value in (c.detectable, c.floor)]
    if looks is not None:
        del limits[0]
    return (
        *(c.loss, *p_values, *sizes),
        *(wins, _bare(_number(c.correlation, ".2f")), _number(c.discordant, ".1f"), *limits),
    )


def _half(low: float | None, high: float | None, digits: int) -> str:
    return "—" if low is None or high is None else f"±{100 * (high - low) / 2:.{digits}f}"


def points(fraction: float | None, digits: int, sign: str = "") -> str:
    """A fraction in percent (or accuracy points); ``sign``: "+" for one that is always there."""
    return "—" if fraction is None else f"{100 * fraction:{sign}.{digits}f}"


def _number(value: float | None, digits: str) -> str:
    return "—" if value is None else format(value, digits if abs(value) < 100 else ".0f")


def _p_value(p: float | None, digits: int) -> str:
    if p is None:
        return "—"
    return f"{p:.{digits}f}" if p >= 10**-digits else f"<{10**-digits:.{digits}f}"


def e_value(e: float | None) -> str:
    """Evidence: three digits, and from a million on its power of ten."""
    if e is None:
        return "—"
    return (
        f"{e:.3g}"
        if 1e-3 <= e < 1e6
        else f"{e:.0e}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")
    )


def _bare(number: str) -> str:
    """Without the 0 in front: of what cannot exceed 1."""
    return number.replace("0.", ".", 1)


def _remarks(comparison: Comparison) -> list[str]:
    said = [comparison.note] if comparison.note else []
    if comparison.missing:
        shown = ", ".join(map(str, comparison.missing[:10])) + (" …" if len(comparison.missing) > 10 else "")
        said.append(f"no pair for seed {shown}: only runs that finished are compared")
    if comparison.stopped in STOPPED:
        said.append(STOPPED[comparison.stopped])
    if comparison.seeds_to_decide is not None:
        said.append(
            f"undecided; a new experiment of about {comparison.seeds_to_decide:,} seeds would find a "
            "difference of this size 8 times in 10"
        )
    return said


def table(header: Sequence[str], rows: Sequence[Sequence[str]], words: tuple[int, ...] = (0,)) -> list[str]:
    """Markdown. The first column holds names and has what the others leave of the line.

    Args:
        words: columns that hold words and not numbers.
    """
    widths = [max(len(row[k]) for row in (header, *rows)) for k in range(len(header))]
    room = max(WIDTH - sum(widths[1:]) - 3 * len(widths) - 1, 6)
    names = shortened([flat(row[0]) for row in rows], room)
    rows = [(escaped(name), *row[1:]) for name, row in zip(names, rows, strict=True)]
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


# What Markdown would take for markup. An underscore within a word is none, and looks better as it is.
_MARKUP = re.compile(
    r"[*`~$|<\[]|\\(?=[!-/:-@\[-`{-~])|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)|^[#+-]|(?<=^\d)[.)]"
)
_REVERSING = {*"\u061c\u200e\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}


def flat(text: str) -> str:
    """Text from outside as one line. What would steer a terminal or reverse the line is spelled out."""
    return "".join(
        f"<U+{ord(c):04X}>" if unicodedata.category(c) in ("Cc", "Cs") or c in _REVERSING else c
        for c in " ".join(text.split())
    )


def escaped(text: str) -> str:
    """Text from outside as one line of Markdown that shows it as it is, in a table as well."""
    return _MARKUP.sub(r"\\\g<0>", flat(text))


def unescaped(text: str) -> str:
    """What Markdown shows for text without markup: undoes :func:`escaped`."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)
