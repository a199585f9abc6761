"""The answer in words: in a sentence or three, and comparison by comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bench.comparisons.comparison import Comparison, Metric
from bench.reports.formats import Scale, e_value, level, listed, p_value, some
from bench.reports.schema import Analysed
from bench.statistics.stopping import Outcome
from bench.statistics.verdicts import Word

MOST_NAMES = 3
"""Losses that the answer calls by name: of more it says how many."""
STOPPED = {
    Outcome.FUTILE: "no more seeds: the largest number would hardly decide it",
    Outcome.LARGEST: "the largest number of seeds has not decided it",
}
"""What is said of comparisons that ended without a decision."""
_CLAIMS = {
    Word.SUPERIOR: "is better than",
    Word.INFERIOR: "is worse than",
    Word.EQUIVALENT: "is as good as",
    Word.UNDECIDED: "cannot be told apart from",
}


def answer(
    baseline: str, comparisons: Sequence[Comparison], *, optimistic: bool = False, unknown: str = ""
) -> str:
    """The answer to the question, as far as there is one.

    Args:
        optimistic: whether the epoch was chosen on the test set.
        unknown: the metric, where runs have finished that do not tell it.
    """
    if not comparisons:
        return f"There is nothing else to compare {baseline} with."
    nothing = all(comparison.delta is None for comparison in comparisons)
    if nothing and unknown:
        return f"Nothing can be said: {unknown} is not known of runs that have finished."
    if nothing:
        return f"Nothing can be said yet: nothing has finished a seed that {baseline} has finished too."
    if optimistic:
        return (
            "No verdict: the epoch was chosen on the test set itself, and whatever varies more from epoch to "
            "epoch gains more by that."
        )
    better = _claim(baseline, comparisons, Word.SUPERIOR, "better than")
    worse = _claim(baseline, comparisons, Word.INFERIOR, "worse than")
    alike = _claim(baseline, comparisons, Word.EQUIVALENT, "as good as")
    none = f"Nothing is shown to be better {'' if worse else 'or worse '}than {baseline}."
    return " ".join(filter(None, [better or none, worse, alike]))


def _claim(baseline: str, comparisons: Sequence[Comparison], wanted: Word, words: str) -> str:
    """Who has this verdict, in how many settings, and about what."""
    settings = Counter(c.loss for c in comparisons)
    scopes: dict[str, list[str]] = {}
    for c in comparisons:
        if c.verdict is not None and c.verdict.word is wanted:
            scopes.setdefault(c.loss, []).append(c.verdict.scope)
    if not scopes:
        return ""
    every = {scope for of_loss in scopes.values() for scope in of_loss}
    mixed = len(every) > 1
    about = "" if mixed else f" {every.pop()}".rstrip()
    if len(scopes) > MOST_NAMES:
        who = f"{len(scopes)} of {len(settings)}"
        about = (" in at least one setting" if max(settings.values()) > 1 else "") + about
        about += ", some of them in a narrower scope than others" * mixed
    else:
        who = listed([_named(loss, found, settings[loss], mixed) for loss, found in scopes.items()])
    return f"{who} {'is' if len(scopes) == 1 else 'are'} {words} {baseline}{about}."


def _named(loss: str, scopes: Sequence[str], settings: int, mixed: bool) -> str:
    """A loss, and in brackets in how many settings; and about what, where claims are not about the same."""
    told = [f"{len(scopes)} of {settings} settings"] if settings > 1 else []
    narrower = " or ".join(filter(None, dict.fromkeys(scopes)))
    if mixed and narrower:
        told.append(f"in part {narrower}" if "" in scopes else narrower)
    return f"{loss} ({', '.join(told)})" if told else loss


def sentence(c: Comparison, metric: Metric, scale: Scale, alpha: float) -> str:
    """One comparison: what may be said of it, the numbers that it rests on, and what else is to be known."""
    if c.delta is None:
        why = "; ".join(remarks(c)) or "no results"
        return f"{c.loss} cannot be compared with {c.baseline}{' yet' if c.missing else ''}: {why}."
    unit = f" {metric.difference_unit}".rstrip()
    claim = f"differs from {c.baseline} by"
    if c.verdict is not None:
        scope = f" {c.verdict.scope}" if c.verdict.scope else ""
        within = f", within ±{metric.margin:g}{unit}" if c.verdict.word is Word.EQUIVALENT else ""
        yet = " yet" if c.verdict.word is Word.UNDECIDED else ""
        claim = f"{_CLAIMS[c.verdict.word]} {c.baseline}{scope}{within}{yet}:"
    parts = [f"{c.loss} {claim} {scale.difference(c.delta)}{unit}"]
    if c.shown is not None:
        parts[0] += f" ({level(c.shown.level)} interval {scale.interval(c.shown)})"
    parts[0] += f" over {c.n} seed{'' if c.n == 1 else 's'}"
    if c.verdict is not None and c.verdict.p is not None:
        what = "p of a difference that matters" if c.verdict.word is Word.EQUIVALENT else "adjusted p"
        p = p_value(c.verdict.p)
        parts[0] += f", {what} {p if p.startswith('<') else f'= {p}'}"
    if c.sequence is not None and c.sequence.e is not None:
        parts[0] += f", e = {e_value(c.sequence.e)}"
    return " ".join(
        f"{part[:1].upper() if k else part[:1]}{part[1:]}." for k, part in enumerate([*parts, *remarks(c)])
    )


def remarks(c: Comparison) -> list[str]:
    """What is missing, what could not be computed and why, how many seeds would do."""
    said = [c.note] if c.note else []
    if c.missing:
        both = "only seeds that both have a result for are compared"
        said.append(f"no pair for seed {some(c.missing)}: {both}")
    if c.sequence is not None and c.sequence.outcome in STOPPED:
        said.append(STOPPED[c.sequence.outcome])
    if c.seeds_to_decide is not None:
        said.append(
            f"a new experiment of about {c.seeds_to_decide:,} seeds would find a "
            "difference of this size 8 times in 10"
        )
    return said


def all_remarks(document: Analysed) -> list[str]:
    """Those of all comparisons, then the notes: one line each."""
    said = [
        " × ".join(filter(None, c.key)) + f": {remark}" for c in document.comparisons for remark in remarks(c)
    ]
    return [*said, *document.notes]
