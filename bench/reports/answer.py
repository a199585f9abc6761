"""The answer in words: in a sentence or three, comparison by comparison, and what nobody may overlook."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from bench.comparisons.comparison import Comparison, Metric
from bench.reports.formats import Scale, counted, e_value, listed, p_value, some
from bench.reports.schema import Analysed, Compared, Report
from bench.statistics.proportions import clopper_pearson
from bench.statistics.stopping import Outcome
from bench.statistics.verdicts import Word, percent

MOST_NAMES = 3
"""Losses that the answer calls by name: of more it says how many."""
STOPPED = {
    Outcome.FUTILE: "no more seeds: the largest number would hardly decide it",
    Outcome.LARGEST: "the largest number of seeds has not decided it",
}
"""What is said of comparisons that ended without a decision."""
SCALED_DOWN = "SCALED DOWN: a trial with tiny models, few images and two epochs, which answers nothing."
OPTIMISTIC = "OPTIMISTIC: the epoch was chosen on the test set itself, so no verdict is given."
NOT_PAIRED = "NOT PAIRED: runs with the same seed are taken to have nothing in common."
_CLAIMS = {
    Word.SUPERIOR: "is better than",
    Word.INFERIOR: "is worse than",
    Word.EQUIVALENT: "is as good as",
    Word.UNDECIDED: "cannot be told apart from",
}


def answer(
    baseline: str,
    comparisons: Sequence[Comparison],
    *,
    optimistic: bool = False,
    unknown: str = "",
    budget: int = 0,
) -> str:
    """The answer to the question, as far as there is one.

    Args:
        optimistic: whether the epoch was chosen on the test set.
        unknown: the metric, where runs have finished that do not tell it.
        budget: trials with which each loss was tuned.
    """
    if not comparisons:
        return f"Nothing is compared: {baseline} is the only loss."
    nothing = all(comparison.delta is None for comparison in comparisons)
    if nothing and unknown:
        return f"Nothing can be said: {unknown} is not known of runs that have finished."
    if nothing and budget:
        return f"Nothing can be said yet: no search has ended with a setting of a loss and of {baseline}."
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
    tuned = f"Each loss was tuned with {counted(budget, 'trial')}." if budget else ""
    return " ".join(filter(None, [better or none, worse, alike, tuned]))


def _claim(baseline: str, comparisons: Sequence[Comparison], word: Word, words: str) -> str:
    """Who has this verdict, in how many settings, and about what."""
    settings = Counter(c.loss for c in comparisons)
    scopes: dict[str, list[str]] = {}
    for c in comparisons:
        if c.verdict is not None and c.verdict.word is word:
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
        who = listed([_named(loss, of_this, settings[loss], mixed) for loss, of_this in scopes.items()])
    return f"{who} {'is' if len(scopes) == 1 else 'are'} {words} {baseline}{about}."


def _named(loss: str, scopes: Sequence[str], settings: int, mixed: bool) -> str:
    """A loss, and in brackets in how many settings; and about what, where claims are not about the same."""
    details = [f"{len(scopes)} of {settings} settings"] if settings > 1 else []
    narrower = " or ".join(filter(None, dict.fromkeys(scopes)))
    if mixed and narrower:
        details.append(f"in part {narrower}" if "" in scopes else narrower)
    return f"{loss} ({', '.join(details)})" if details else loss


def sentence(c: Comparison, metric: Metric, scale: Scale, alpha: float) -> str:
    """One comparison: what may be said of it, the numbers that it rests on, and what else is to be known."""
    if c.delta is None:
        reasons = "; ".join(remarks(c, metric)) or "no results"
        return f"{c.loss} cannot be compared with {c.baseline}{' yet' if c.missing else ''}: {reasons}."
    unit = f" {metric.difference_unit}".rstrip()
    claim = f"differs from {c.baseline} by"
    if c.verdict is not None:
        scope = f" {c.verdict.scope}" if c.verdict.scope else ""
        within = f", within ±{metric.margin:g}{unit}" if c.verdict.word is Word.EQUIVALENT else ""
        yet = " yet" if c.verdict.word is Word.UNDECIDED else ""
        claim = f"{_CLAIMS[c.verdict.word]} {c.baseline}{scope}{within}{yet}:"
    parts = [f"{c.loss} {claim} {scale.difference(c.delta)}{unit}"]
    if c.shown is not None:
        parts[0] += f" ({percent(c.shown.level)} interval {scale.interval(c.shown)})"
    parts[0] += f" over {c.n} {c.unit}{'' if c.n == 1 else 's'}"
    if c.verdict is not None and c.verdict.p is not None:
        p_name = "p of a difference that matters" if c.verdict.word is Word.EQUIVALENT else "adjusted p"
        p = p_value(c.verdict.p)
        parts[0] += f", {p_name} {p if p.startswith('<') else f'= {p}'}"
    if c.sequence is not None and c.sequence.e is not None:
        parts[0] += f", e = {e_value(c.sequence.e)}"
    return " ".join(
        f"{part[:1].upper() if k else part[:1]}{part[1:]}."
        for k, part in enumerate([*parts, *remarks(c, metric)])
    )


def remarks(c: Comparison, metric: Metric) -> list[str]:
    """What collapsed, failed or is missing, what could not be computed and why, how many seeds would do."""
    lines = [*_collapse(c, metric), *_failures(c), *([c.note] if c.note else [])]
    failed = {*c.failures.loss, *c.failures.baseline} if c.failures else set()
    if missing := [seed for seed in c.missing if seed not in failed]:
        both = f"only {c.unit}s that both have a result for are compared"
        name, between = ("seed ", ", ") if c.unit == "seed" else ("", "; ")
        lines.append(f"no pair for {name}{some(missing, between=between)}: {both}")
    if c.effects is not None and c.effects.correlation is not None and c.effects.correlation <= -0.05:
        lines.append(
            f"the two vary against each other over {c.unit}s (ρ = {c.effects.correlation:.2f}), so pairing "
            "makes their difference less certain and not more"
        )
    if c.sequence is not None and c.sequence.outcome in STOPPED:
        lines.append(STOPPED[c.sequence.outcome])
    if (seeds := c.seeds_to_decide) is not None:
        most = f"; one as small as the margin takes {seeds.most:,}" if seeds.most else ""
        if seeds.equivalent:
            most += f"; to be called equivalent, if there is none, takes {seeds.equivalent:,}"
        lines.append(
            f"a new experiment needs {seeds.fewest:,} seeds at least, which find a difference as large as "
            f"the interval allows 8 times in 10{most}"
        )
    return lines


def _collapse(c: Comparison, metric: Metric) -> list[str]:
    """Which runs are far from the rest of their cell, and how many there may be of the kind."""
    if (collapse := c.collapse) is None:
        return []
    arms = ((c.loss, collapse.loss, collapse.runs), (c.baseline, collapse.baseline, collapse.runs_baseline))
    counts = [
        f"{len(seeds)} of {counted(runs, 'run')} of {name}{_seeds(seeds)}, 90 % interval {low:.0%} to "
        f"{high:.0%}"
        for name, seeds, runs in arms
        if runs
        for low, high in [clopper_pearson(len(seeds), runs, 0.9)]
    ]
    every = ""
    if collapse.delta is not None:
        scale = Scale(metric.scale, 3 if metric.unit == "%" else 4)
        unit = f" {metric.difference_unit}".rstrip()
        every = f"; over all runs the difference is {scale.difference(collapse.delta)}{unit}"
    return [re.sub(r"(?<=\d)%", " %", f"collapsed, and not compared: {' and '.join(counts)}{every}")]


def _failures(c: Comparison) -> list[str]:
    """How many runs of each arm failed, and McNemar's test of the difference."""
    if (failures := c.failures) is None:
        return []
    share = failures.difference
    lines = [
        f"failed: {counted(len(failures.loss), 'run')} of {c.loss}{_seeds(failures.loss)} and "
        f"{len(failures.baseline)} of {c.baseline}{_seeds(failures.baseline)}, of {failures.ended} each: "
        f"{share.estimate:+.0%} (95 % interval {share.low:+.0%} to {share.high:+.0%}), exact McNemar "
        f"p = {p_value(failures.p)}"
    ]
    if failures.p_worst_rank is not None:
        lines.append(f"signed ranks with failed runs last: adjusted p = {p_value(failures.p_worst_rank)}")
    return [re.sub(r"(?<=\d)%", " %", line).replace("= <", "< ") for line in lines]


def _seeds(seeds: Sequence[object]) -> str:
    return f" (seed {some(seeds)})" if seeds else ""


def all_remarks(document: Analysed) -> list[str]:
    """Those of all comparisons, then the notes: one line each."""
    lines = [
        f"{_setting(c)}: {remark}"
        for c in document.comparisons
        for remark in remarks(c, document.metric(c.metric))
    ]
    return [*lines, *notes(document)]


def notes(document: Analysed) -> list[str]:
    """What no sentence on a comparison says: of secondary metrics, that runs have collapsed by them."""
    collapses = [
        f"{_setting(c)} by {c.metric}: {remark}"
        for c in document.secondary.comparisons
        for remark in _collapse(c, document.metric(c.metric))
    ]
    return [*collapses, *document.notes]


def _setting(c: Comparison) -> str:
    return " × ".join(filter(None, c.key))


def cautions(document: Analysed) -> list[str]:
    """What nobody may overlook, in a sentence each."""
    if isinstance(document, Compared):
        return [] if document.paired else [NOT_PAIRED]
    assert isinstance(document, Report)
    lines = []
    if document.scaled_down:
        lines.append(SCALED_DOWN)
    if document.look:
        lines.append(f"A look at {document.look}: it is no report, and replaces none.")
    if document.plan is not None and document.plan.deviations:
        lines.append(f"Not as planned: {'; '.join(document.plan.deviations)}.")
    if document.optimistic:
        lines.append(OPTIMISTIC)
    if not document.complete:
        done, unknown, failed, odd, planned = (
            sum(getattr(c, of) for c in document.cells)
            for of in ("n", "unknown", "failed", "other_data", "planned")
        )
        done += unknown
        for search in document.tuning.searches if document.tuning else ():
            done, failed, planned = done + search.done, failed + search.failed, planned + search.trials
        ended = f", {failed:,} failed" * bool(failed) + f", {odd:,} saw other data" * bool(odd)
        rest = "all of this may still change" if done + failed + odd < planned else "no run is left to train"
        lines.append(f"{done:,} of {planned:,} runs are finished{ended}: {rest}.")
    return lines


def caution_marks(document: Analysed) -> tuple[str, ...]:
    """The same in a word or two, for headings."""
    if not isinstance(document, Report):
        return ()
    marks = {"SCALED DOWN": document.scaled_down, "A LOOK": document.look, "OPTIMISTIC": document.optimistic}
    return tuple(mark for mark, applies in marks.items() if applies)
