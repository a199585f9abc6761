"""Somebody's table in a paragraph: what was compared, on what, what came out, and by how much."""

from __future__ import annotations

from collections.abc import Sequence

from bench.comparisons.comparison import Comparison
from bench.reports.formats import counted, listed, p_value, scale_of, some
from bench.reports.schema import Compared
from bench.statistics.verdicts import Word, percent

MOST_TOLD = 3
"""Comparisons whose numbers are told; of more, only their words."""


def in_words(report: Compared, answer: str) -> str:
    """What a report of the analysis would begin with.

    Args:
        answer: what came out, in a sentence or three.
    """
    if only_ranked(report):
        answer, numbers = " ".join(ranking.answer for ranking in report.rankings), ""
    else:
        numbers = _numbers(report)
    return " ".join(filter(None, (_what(report), answer, numbers, _lost(report))))


def only_ranked(report: Compared) -> bool:
    """Whether there is one run on each of several data sets: that tells nothing there, but over all."""
    return bool(report.rankings) and all(cell.n < 2 for cell in report.cells)


def _what(report: Compared) -> str:
    """Who was compared with whom, by what, and on how many runs."""
    metric, names = report.metrics[0], list(dict.fromkeys(cell.loss for cell in report.cells))
    rivals = [name for name in names if name != report.baseline]
    if not rivals:
        return ""
    who = listed(rivals) if len(rivals) <= MOST_TOLD else f"{len(rivals):,} others"
    runs = sorted({cell.n for cell in report.cells})
    spread = f"{runs[0]}" if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    unit = "fold" if report.folds else "seed" if report.paired else "run"
    how = f", paired by {unit}" if report.paired else ", not paired"
    if runs == [1]:
        unit, how = "run", ""
    where = [
        counted(len({name for name in names_of if name}), noun)
        for noun, names_of in (
            ("data set", [cell.dataset for cell in report.cells]),
            ("model", [cell.model for cell in report.cells]),
        )
        if len({*names_of}) > 1
    ]
    on = f" on {' and '.join(where)}" if where else ""
    better = "higher" if metric.higher_is_better else "lower"
    return (
        f"{who} {'was' if len(rivals) == 1 else 'were'} compared with {report.baseline}{on} by {metric.name} "
        f"({better} is better): {spread} {unit}{'' if runs == [1] else 's'} each{how}."
    )


def _numbers(report: Compared) -> str:
    """By how much, where there are few comparisons; else which of many differ most."""
    comparisons = [c for c in report.comparisons if c.delta is not None]
    if len(comparisons) <= MOST_TOLD:
        return " ".join(_one(report, c) for c in comparisons if c.shown is not None)
    best = _best(report, comparisons)
    words: dict[Word, int] = {}
    for c in comparisons:
        if c.verdict is not None:
            words[c.verdict.word] = words.get(c.verdict.word, 0) + 1
    if len(words) == 1 and Word.UNDECIDED in words:
        return f"All {len(comparisons):,} comparisons are undecided.{best}"
    counts = [f"{words[word]:,} {word}" for word in Word if word in words]
    return f"Of {len(comparisons):,} comparisons, {listed(counts)}.{best}"


def _best(report: Compared, comparisons: Sequence[Comparison]) -> str:
    """Whose mean is best, in one setting: over several, ranks tell it."""
    if len({c.key[:2] for c in comparisons}) > 1:
        return ""
    sign = 1 if report.metrics[0].higher_is_better else -1
    first = max(comparisons, key=lambda c: sign * (c.delta or 0))
    if sign * (first.delta or 0) <= 0:
        return f" No mean is better than that of {report.baseline}."
    return f" {first.loss} has the best mean. {_one(report, first)}" if first.shown is not None else ""


def _one(report: Compared, c: Comparison) -> str:
    metric = report.metric(c.metric)
    scale = scale_of(metric, [cell for cell in report.cells if cell.key[:2] == c.key[:2]])
    unit = f" {metric.difference_unit}".rstrip()
    assert c.shown is not None
    where = "".join(f" on {name}" for name in c.key[:2] if name)
    sentence = f"The difference of {c.loss}{where} is {scale.difference(c.delta)}{unit}"
    sentence += f" ({percent(c.shown.level)} interval {scale.interval(c.shown)}"
    p = c.verdict.p if c.verdict is not None else None
    if p is not None:
        text = p_value(p)
        sentence += f", p {text.replace('<', '< ') if '<' in text else f'= {text}'}"
    return f"{sentence})."


def _lost(report: Compared) -> str:
    """A sentence on runs that failed, which are results too."""
    lost = [f"{cell.failed} of {cell.loss}" for cell in report.cells if cell.failed]
    return f"Runs that failed: {some(lost, MOST_TOLD)}." if lost else ""
