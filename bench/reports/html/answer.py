"""What the page says of a report: the answer in words, and rows whose numbers are ready to be shown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.reports.documents import CellSummary, Comparison, Report
from bench.reports.text import STOPPED, e_value
from bench.statistics.verdicts import Verdict

VERDICTS = (Verdict.SUPERIOR, Verdict.INFERIOR, Verdict.EQUIVALENT, Verdict.UNDECIDED)
MOST_NAMES = 3
"""Losses that the headline calls by name: of more it says how many."""

EVIDENCE = {
    "n": ("n", "seeds that both have finished"),
    "e": ("e", "evidence for a difference: 1 speaks neither for one nor against it"),
    "looks": ("looks", "taken so far, of those planned"),
    "p": ("p (t)", "of Student's t over seeds, not adjusted"),
    "p_sign_flip": ("p (flips)", "of flipping the signs of seeds, not adjusted"),
    "p_sign_flip_smallest": ("least p", "what flipping the signs of so many seeds could give at best"),
    "p_new_images": ("p (new)", "on new images too, not adjusted"),
    "p_equivalence": ("p (equiv.)", "of the two one-sided tests against the margin"),
    "sd": ("sd of Δ", "standard deviation of the differences over seeds, in points"),
    "d_z": ("d_z", "Δ in standard deviations of the differences"),
    "g_z": ("g_z", "Hedges g of d_z: without its bias in small samples"),
    "d_av": ("d_av", "Δ in standard deviations within the two losses"),
    "g_av": ("g_av", "Hedges g of d_av"),
    "superiority": (
        "P(A>B) %",
        "chance that the loss beats its baseline with the same new seed, ties counting half",
    ),
    "correlation": ("ρ", "correlation of the two over seeds: what pairing gains"),
    "discordant": ("≠", "images that one of a pair gets right and the other does not, on average"),
    "detectable": ("finds", "difference in points that so many seeds would find with power .8"),
    "floor": ("floor", "standard error in points on new images that no number of seeds gets below"),
}
"""Columns of the second table: field of a comparison → heading, and what it is."""


def columns(report: Report) -> dict[str, tuple[str, str]]:
    """Those that this report has: what stays valid where seeds are added until decided, or what does not."""
    if report.sequential is None:
        return {field: said for field, said in EVIDENCE.items() if field not in ("e", "looks")}
    fixed = ("p_sign_flip", "p_sign_flip_smallest", "p_new_images", "detectable")
    shown = {field: said for field, said in EVIDENCE.items() if field not in fixed}
    return {**shown, "p": ("p (1/e)", "valid whenever one stops, not adjusted")}


@dataclass(frozen=True)
class Row:
    """One loss in one setting."""

    cell: CellSummary
    comparison: Comparison | None
    """None: the baseline, or a loss without one."""
    accuracy: str
    delta: str
    interval: str
    """On this test set."""
    interval_new: str
    """On new images too."""
    p: str
    remarks: list[str]
    evidence: dict[str, str]
    plot: Plot | None = None


@dataclass(frozen=True)
class Group:
    """All losses of one setting: data set × model."""

    dataset: str
    model: str
    images: int | None
    rows: list[Row]
    reach: float
    """What the interval plots of the group go up to, on both sides of 0: a fraction."""
    margin: float
    """Where the margin lies in them."""


@dataclass(frozen=True)
class Plot:
    """Where an interval is drawn: 0 is the left end, 100 the right, 50 no difference."""

    delta: float
    here: tuple[float, float] | None
    new: tuple[float, float] | None
    beyond: int
    """−1 or 1 where the difference itself lies outside, on that side."""


def headline(report: Report) -> str:
    """The answer to the question, as far as there is one, in a sentence or three."""
    if not report.comparisons:
        return "There is no other loss to compare with."
    if all(comparison.delta is None for comparison in report.comparisons):
        return f"Nothing can be said yet: no loss and {report.baseline} have finished the same seed."
    better = _claim(report, Verdict.SUPERIOR, "better")
    worse = _claim(report, Verdict.INFERIOR, "worse")
    if not better and not worse:
        return f"No loss is shown to be better or worse than {report.baseline}."
    return " ".join(filter(None, [better or f"No loss is shown to be better than {report.baseline}.", worse]))


def _claim(report: Report, wanted: Verdict, word: str) -> str:
    found = Counter(c.loss for c in report.comparisons if c.verdict == wanted)
    if not found:
        return ""
    settings = Counter(c.loss for c in report.comparisons)
    losses = [
        loss if settings[loss] == 1 else f"{loss} ({times} of {settings[loss]} settings)"
        for loss, times in found.items()
    ]
    who = " and ".join(filter(None, [", ".join(losses[:-1]), losses[-1]]))
    if len(losses) > MOST_NAMES:
        who = f"{len(losses)} of {len(settings)} losses"
    where = " in at least one setting" if len(losses) > MOST_NAMES and max(settings.values()) > 1 else ""
    return f"{who} {'is' if len(losses) == 1 else 'are'} {word} than {report.baseline}{where}."


def groups(report: Report) -> list[Group]:
    """The rows of the report, setting by setting, in the order of the suite."""
    compared = {(c.dataset, c.model, c.loss): c for c in report.comparisons}
    cells: dict[tuple[str, str], list[CellSummary]] = {}
    for cell in report.cells:
        cells.setdefault((cell.dataset, cell.model), []).append(cell)
    made = []
    for (dataset, model), group in cells.items():
        images = next((cell.test_images for cell in group if cell.test_images), None)
        digits = 3 if images is not None and images >= 5000 else 2  # one image is worth 1/images
        pairs = [(cell, compared.get((dataset, model, cell.loss))) for cell in group]
        reach = _reach([c for _, c in pairs if c is not None], report.margin / 100)
        rows = [_row(cell, comparison, digits, reach) for cell, comparison in pairs]
        margin = 50 * min(report.margin / 100 / reach, 1)
        made.append(Group(dataset, model, images, rows, reach, margin))
    return made


def _row(cell: CellSummary, c: Comparison | None, digits: int, reach: float) -> Row:
    accuracy = points(cell.mean, digits)
    if cell.sd is not None:
        accuracy += f" ± {points(cell.sd, digits)}"
    if c is None:
        return Row(cell, None, accuracy, "", "", "", "", [], {})
    values = c.model_dump()
    evidence = {name: _shown(name, values[name], digits) for name in EVIDENCE}
    if c.superiority_low is not None and c.superiority_high is not None:
        evidence["superiority"] += f" [{100 * c.superiority_low:.0f}, {100 * c.superiority_high:.0f}]"
    return Row(
        cell,
        c,
        accuracy,
        signed(c.delta, digits),
        _interval(c.low, c.high, digits),
        _interval(c.low_new_images, c.high_new_images, digits),
        p_value(c.p_adjusted),
        _remarks(c),
        evidence,
        _plot(c, reach),
    )


def _remarks(c: Comparison) -> list[str]:
    remarks = [c.note] if c.note else []
    if c.stopped in STOPPED:
        remarks.append(STOPPED[c.stopped])
    if c.missing:
        shown = ", ".join(map(str, c.missing[:10])) + (" …" if len(c.missing) > 10 else "")
        remarks.append(f"no pair for seed {shown}")
    return remarks


# ------------------------------------------------------------------------------------------ interval plots


def _reach(comparisons: list[Comparison], margin: float) -> float:
    """How far the plots of a group go: one loss that is far off must not squeeze all others to dots."""
    far = [
        max(
            abs(end)
            for end in (c.delta, c.low, c.high, c.low_new_images, c.high_new_images)
            if end is not None
        )
        for c in comparisons
        if c.delta is not None
    ]
    if not far:
        return max(2 * margin, 1e-3)
    return max(min(max(far), max(2.5 * median(far), 2 * margin)), 1.2 * margin, 1e-6) * 1.05


def _plot(c: Comparison, reach: float) -> Plot | None:
    if c.delta is None:
        return None

    def at(difference: float) -> float:
        return round(50 + 50 * min(max(difference / reach, -1), 1), 2)

    def between(low: float | None, high: float | None) -> tuple[float, float] | None:
        return None if low is None or high is None else (at(low), at(high))

    beyond = (c.delta > reach) - (c.delta < -reach)
    return Plot(at(c.delta), between(c.low, c.high), between(c.low_new_images, c.high_new_images), beyond)


# ------------------------------------------------------------------------------------------------- numbers


def points(fraction: float | None, digits: int) -> str:
    """A fraction in percent, or in points."""
    return "—" if fraction is None else f"{100 * fraction:.{digits}f}"


def signed(fraction: float | None, digits: int) -> str:
    """A difference in points. The minus is as wide as the plus, so that columns align."""
    return "—" if fraction is None else _minus(f"{100 * fraction:+.{digits}f}")


def p_value(p: float | None) -> str:
    """To four digits, and never 0."""
    if p is None:
        return "—"
    return f"{p:.4f}" if p >= 1e-4 else "<0.0001"


def _interval(low: float | None, high: float | None, digits: int) -> str:
    return "—" if low is None or high is None else f"{signed(low, digits)} to {signed(high, digits)}"


def _shown(name: str, value: Any, digits: int) -> str:
    if value is None:
        return "—"
    if name.startswith("p"):
        return p_value(value)
    if name in ("sd", "detectable", "floor"):
        return points(value, digits)
    if name == "superiority":
        return f"{100 * value:.0f}"
    if name == "e":
        return e_value(value)
    if name in ("n", "looks"):
        return str(value)
    return _minus(f"{value:.1f}" if name == "discordant" else f"{value:.2f}")


def _minus(number: str) -> str:
    return number.replace("-", "−")
