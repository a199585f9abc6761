"""Somebody's table in a paragraph: what was compared, on what, what came out, and by how much."""

from __future__ import annotations

from collections.abc import Sequence

from bench.comparisons.comparison import Comparison
from bench.reports.formats import counted, level, listed, p_value, scale_of, some
from bench.reports.schema import Compared
from bench.statistics.verdicts import Word

MOST_TOLD = 3
"""Comparisons whose numbers are told; of more, only their words."""


def in_words(made: Compared, answer: str) -> str:
    """What a report of the analysis would begin with.

    Args:
        answer: what came out, in a sentence or three.
    """
    if only_ranked(made):
        answer, numbers = " ".join(ranking.answer for ranking in made.rankings), ""
    else:
        numbers = _numbers(made)
    return " ".join(filter(None, (_what(made), answer, numbers, _lost(made))))


def only_ranked(made: Compared) -> bool:
    """Whether there is one run on each of several data sets: that tells nothing there, but over all."""
    return bool(made.rankings) and all(cell.n < 2 for cell in made.cells)


def _what(made: Compared) -> str:
    """Who was compared with whom, by what, and on how many runs."""
    metric, names = made.metrics[0], list(dict.fromkeys(cell.loss for cell in made.cells))
    others = [name for name in names if name != made.baseline]
    if not others:
        return ""
    who = listed(others) if len(others) <= MOST_TOLD else f"{len(others):,} others"
    runs = sorted({cell.n for cell in made.cells})
    spread = f"{runs[0]}" if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    unit = "fold" if made.folds else "seed" if made.paired else "run"
    how = f", paired by {unit}" if made.paired else ", not paired"
    if runs == [1]:
        unit, how = "run", ""
    where = [
        counted(len({name for name in names_of if name}), noun)
        for noun, names_of in (
            ("data set", [cell.dataset for cell in made.cells]),
            ("model", [cell.model for cell in made.cells]),
        )
        if len({*names_of}) > 1
    ]
    on = f" on {' and '.join(where)}" if where else ""
    better = "higher" if metric.higher_is_better else "lower"
    return (
        f"{who} {'was' if len(others) == 1 else 'were'} compared with {made.baseline}{on} by {metric.name} "
        f"({better} is better): {spread} {unit}{'' if runs == [1] else 's'} each{how}."
    )


def _numbers(made: Compared) -> str:
    """By how much, where there are few comparisons; else which of many differ most."""
    told = [c for c in made.comparisons if c.delta is not None]
    if len(told) <= MOST_TOLD:
        return " ".join(_one(made, c) for c in told if c.shown is not None)
    best = _best(made, told)
    words: dict[Word, int] = {}
    for c in told:
        if c.verdict is not None:
            words[c.verdict.word] = words.get(c.verdict.word, 0) + 1
    if len(words) == 1 and Word.UNDECIDED in words:
        return f"All {len(told):,} comparisons are undecided.{best}"
    counts = [f"{words[word]:,} {word}" for word in Word if word in words]
    return f"Of {len(told):,} comparisons, {listed(counts)}.{best}"


def _best(made: Compared, told: Sequence[Comparison]) -> str:
    """Whose mean is best, in one setting: over several, ranks tell it."""
    if len({c.key[:2] for c in told}) > 1:
        return ""
    sign = 1 if made.metrics[0].higher_is_better else -1
    first = max(told, key=lambda c: sign * (c.delta or 0))
    if sign * (first.delta or 0) <= 0:
        return f" No mean is better than that of {made.baseline}."
    return f" {first.loss} has the best mean. {_one(made, first)}" if first.shown is not None else ""


def _one(made: Compared, c: Comparison) -> str:
    metric = made.metric(c.metric)
    scale = scale_of(metric, [cell for cell in made.cells if cell.key[:2] == c.key[:2]])
    unit = f" {metric.difference_unit}".rstrip()
    assert c.shown is not None
    where = "".join(f" on {name}" for name in c.key[:2] if name)
    said = f"The difference of {c.loss}{where} is {scale.difference(c.delta)}{unit}"
    said += f" ({level(c.shown.level)} interval {scale.interval(c.shown)}"
    p = c.verdict.p if c.verdict is not None else None
    if p is not None:
        text = p_value(p)
        said += f", p {text.replace('<', '< ') if '<' in text else f'= {text}'}"
    return f"{said})."


def _lost(made: Compared) -> str:
    """Runs that failed: results, too."""
    lost = [f"{cell.failed} of {cell.loss}" for cell in made.cells if cell.failed]
    return f"Runs that failed: {some(lost, MOST_TOLD)}." if lost else ""
