"""What a column is, once: its name, heading, format and meaning, in which table it stands, and where not.

A new column is one entry of :data:`COLUMNS`. From these come the tables of a comparison in every form, the
legends, ``comparisons.csv``, and the keys of a comparison in JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from bench.reports import blocks
from bench.reports.formats import NOTHING, Scale, bare, e_value, number, p_value
from bench.statistics.signed_ranks import Superiority
from bench.statistics.verdicts import Interval

if TYPE_CHECKING:
    from bench.comparisons.comparison import Comparison
    from bench.reports.schema import Cell

Where = Literal["first", "tests", "effects", ""]
DesignKind = Literal["fixed", "sequential", "unpaired", "folds", "splits", "tuned"]


@dataclass(frozen=True)
class Entry:
    """One row of a table: a cell, and its comparison with the baseline if it has one."""

    cell: Cell
    comparison: Comparison | None
    scale: Scale
    name: str
    """What tables call the loss."""
    verdict: str
    """The word with the mark of its scope; ``baseline``."""


@dataclass(frozen=True)
class Column(blocks.Column):
    """One thing that is known of a comparison or of its cell.

    ``heading`` may name {metric}, {method} and {unit}, ``meaning`` {unit}: the seeds, or folds, of the runs.
    """

    path: str = ""
    """Where an entry has it. What is None anywhere on the way is not known."""
    where: Where = ""
    """Its table; none: in JSON and CSV only."""
    write: Callable[[Any, Entry], str] = lambda value, entry: str(value)
    designs: tuple[DesignKind, ...] = get_args(DesignKind)
    """Where it makes sense."""

    def of(self, entry: object) -> Any:
        """The value; None where it is not known."""
        for name in self.path.split("."):
            entry = getattr(entry, name)
            if entry is None:
                return None
        return entry

    def cell(self, entry: Entry) -> blocks.Cell:
        """The value as tables have it; empty where there is nothing to compare."""
        value = self.of(entry)
        if value is None:
            return blocks.Cell("" if entry.comparison is None else NOTHING)
        sorted_by = value
        if isinstance(value, Interval):
            sorted_by = value.low
        elif isinstance(value, Superiority):
            sorted_by = value.estimate
        return blocks.Cell(self.write(value, entry), sorted_by)

    def headed(self, metric: str, method: str, unit: str) -> Column:
        """With its heading and meaning filled in."""
        names = {"metric": metric, "method": method, "unit": unit}
        return replace(
            self,
            heading=self.heading.format(**names),
            latex=self.latex.format(**names),
            meaning=self.meaning.format(unit=unit),
        )


def _size(value: float, entry: Entry) -> str:
    return entry.scale.value(value)


def _interval(value: Interval, entry: Entry) -> str:
    return entry.scale.interval(value)


def _p(value: float, entry: Entry) -> str:
    return p_value(value)


def _effect(value: float, entry: Entry) -> str:
    return number(value)


def _posterior(value: float, entry: Entry) -> str:
    return bare(f"{value:.3f}")


def _chance(value: Superiority, entry: Entry) -> str:
    if value.estimate is None:
        return NOTHING
    limits = (
        "" if value.low is None or value.high is None else f" [{100 * value.low:.0f},{100 * value.high:.0f}]"
    )
    return f"{100 * value.estimate:.0f}{limits}"


_FIXED: tuple[DesignKind, ...] = ("fixed",)
_PAIRED: tuple[DesignKind, ...] = ("fixed", "sequential", "folds", "splits")
_SEQUENTIAL: tuple[DesignKind, ...] = ("sequential",)
_RESAMPLED: tuple[DesignKind, ...] = ("folds", "splits")


def _json(key: str, path: str, meaning: str) -> Column:
    """A column of JSON and CSV only."""
    return Column("", key=key, path=f"comparison.{path}", meaning=meaning)


COLUMNS: tuple[Column, ...] = (
    # The first table, which needs no legend.
    Column("{method}", path="name", where="first", words=True),
    Column("{unit}s", key="n", path="cell.n", where="first",
           write=lambda _, entry: f"{entry.cell.n}/{entry.cell.planned}"),
    Column("{metric}", key="mean", path="cell.mean", where="first",
           write=lambda _, entry: entry.scale.mean(entry.cell)),
    Column(
        "Δ",
        key="delta",
        path="comparison.delta",
        where="first",
        write=lambda value, entry: entry.scale.difference(value),
        meaning="mean difference to the baseline, loss − baseline",
        latex="$\\Delta$",
    ),
    Column("interval", path="comparison.shown", where="first", write=_interval, latex="CI"),
    Column(
        "p",
        key="p_decided",
        path="comparison.verdict.p",
        where="first",
        write=_p,
        meaning="the p that decided: adjusted, of no difference; of an equivalent loss, of one that matters",
        latex="$p$",
    ),
    Column("verdict", key="verdict", path="verdict", where="first", words=True),
    # How sure.
    Column("{method}", path="name", where="tests", words=True),
    Column(
        "p adj.",
        key="p_adjusted",
        path="comparison.adjusted.p",
        where="tests",
        write=_p,
        meaning="of no difference, adjusted for all comparisons of the family: below α exactly where the "
        "interval excludes 0",
    ),
    Column(
        "p t",
        key="p",
        path="comparison.p",
        where="tests",
        write=_p,
        designs=("fixed", "unpaired"),
        meaning="of Student's t over seeds (Welch's where runs are not paired), not adjusted",
    ),
    Column("p t", path="comparison.p", where="tests", write=_p, designs=_RESAMPLED,
           meaning="of the corrected resampled t over folds, not adjusted"),
    Column("p t", path="comparison.p", where="tests", write=_p, designs=("tuned",),
           meaning="of the difference after tuning, not adjusted"),
    Column("e", key="e", path="comparison.sequence.e", where="tests", designs=_SEQUENTIAL,
           write=lambda e, _: e_value(e),
           meaning="evidence for a difference: 1 speaks neither for one nor against it"),
    Column("looks", key="looks", path="comparison.sequence.looks", where="tests", designs=_SEQUENTIAL,
           meaning="taken so far"),
    Column("flip", key="p_sign_flip", path="comparison.flips.p", where="tests", write=_p, designs=_FIXED,
           meaning="p of flipping the signs of seeds, not adjusted"),
    Column("eq.", key="p_equivalence", path="comparison.adjusted.equivalence.p", where="tests", write=_p,
           meaning="p of the two one-sided tests against the margin, adjusted alike"),
    Column("P worse", key="p_worse", path="comparison.posterior.worse", where="tests", write=_posterior,
           designs=_RESAMPLED, meaning="chance that it is worse by more than the margin (Bayesian t-test)"),
    Column("P same", key="p_rope", path="comparison.posterior.equivalent", where="tests", write=_posterior,
           designs=_RESAMPLED, meaning="chance that the difference is within the margin"),
    Column("P better", key="p_better", path="comparison.posterior.better", where="tests", write=_posterior,
           designs=_RESAMPLED, meaning="chance that it is better by more than the margin"),
    Column("on new images", path="comparison.new_images.interval", where="tests", write=_interval,
           designs=_PAIRED, meaning="interval of Δ where images are a sample too, for all comparisons"),
    Column("finds", key="detectable", path="comparison.detectable", where="tests", write=_size,
           designs=(*_FIXED, *_RESAMPLED),
           meaning="difference that so many {unit}s would find with power .8"),
    Column("floor", key="floor", path="comparison.new_images.crossed.floor", where="tests", write=_size,
           designs=_PAIRED, meaning="standard error on new images that no number of seeds gets below"),
    # How large.
    Column("{method}", path="name", where="effects", words=True),
    Column("sd of Δ", key="sd", path="comparison.sd", where="effects", write=_size, designs=_PAIRED,
           meaning="standard deviation of the differences over {unit}s"),
    Column("d_z", key="d_z", path="comparison.effects.d_z", where="effects", write=_effect, designs=_PAIRED,
           meaning="Δ in standard deviations of the differences"),
    Column("g_z", key="g_z", path="comparison.effects.g_z", where="effects", write=_effect, designs=_PAIRED,
           meaning="Hedges g of d_z: without its bias in small samples"),
    Column("d_av", key="d_av", path="comparison.effects.d_av", where="effects", write=_effect,
           designs=_PAIRED, meaning="Δ in standard deviations within the two losses"),
    Column("g_av", key="g_av", path="comparison.effects.g_av", where="effects", write=_effect,
           designs=_PAIRED, meaning="Hedges g of d_av"),
    Column("P(better) %", path="comparison.superiority", where="effects", write=_chance,
           meaning="chance that the loss beats its baseline with the same new {unit} (with any two "
           "runs where they are not paired), ties counting half"),
    Column("ρ", key="correlation", path="comparison.effects.correlation", where="effects", write=_effect,
           designs=_PAIRED, meaning="correlation of the two over {unit}s: what pairing gains"),
    Column("≠", key="discordant", path="comparison.new_images.discordant", where="effects",
           designs=_PAIRED, write=lambda value, _: number(value, ".1f"),
           meaning="images that one of a pair gets right, not the other, on average"),
    # In JSON and CSV only.
    _json("low", "shown.low", "of the interval that decided; without a verdict, of that of the difference"),
    _json("high", "shown.high", "its other end"),
    _json("level", "shown.level", "its level of confidence"),
    _json("verdict", "verdict.phrase", "superior, inferior, equivalent or undecided, then its scope"),
    _json("scope", "verdict.scope", "what the verdict is about, where that is narrower: on this test set"),
    _json("adjusted_by", "adjusted.by", "rotations: of residuals; flips: of the signs of whole seeds; "
          "bonferroni: K·p; e-value: K/e"),
    _json("seeds_to_decide", "seeds_to_decide.fewest", "if undecided: seeds of a new experiment that would "
          "find, 8 times in 10, a difference as large as the interval allows: no fewer will do"),
    _json("seeds_to_decide_most", "seeds_to_decide.most", "the same of one as small as the margin"),
    _json("seeds_to_be_equivalent", "seeds_to_decide.equivalent", "seeds that would show equivalence 8 times "
          "in 10, if there is no difference"),
    _json("collapsed", "collapse.loss", "seeds whose run collapsed; null: none of either"),
    _json("collapsed_baseline", "collapse.baseline", "the same of the baseline"),
    _json("delta_all", "collapse.delta", "mean difference with the collapsed runs"),
    _json("failed", "failures.loss", "seeds whose run failed; null: none of either"),
    _json("failed_baseline", "failures.baseline", "the same of the baseline"),
    _json("failed_delta", "failures.difference.estimate", "share of failed runs, loss − baseline"),
    _json("failed_low", "failures.difference.low", "of its 95 % interval"),
    _json("failed_high", "failures.difference.high", "its other end"),
    _json("p_failed", "failures.p", "exact McNemar over seeds: do as many fail?"),
    _json("p_worst_rank", "failures.p_worst_rank", "signed ranks with failed runs last, adjusted by Holm"),
    _json("n_baseline", "n_baseline", "runs of the baseline, where runs are not paired"),
    _json("p_sign_flip_smallest", "flips.p_smallest", "what sign flips of so many seeds could give at best"),
    _json("low_new_images", "new_images.interval.low", "of the interval on new images too"),
    _json("high_new_images", "new_images.interval.high", "its other end"),
    _json("level_new_images", "new_images.interval.level", "its level for all comparisons together"),
    _json("p_new_images", "new_images.p", "on new images too, not adjusted"),
    _json("superiority", "superiority.estimate", "chance of beating the baseline, ties counting half"),
    _json("superiority_low", "superiority.low", "of its interval"),
    _json("superiority_high", "superiority.high", "its other end"),
    _json("stopped", "sequence.outcome", "why no seeds are added any more; null: their number is fixed"),
)  # fmt: skip

NAMED = ("dataset", "model", "loss", "baseline", "metric", "n", "missing", "note")
"""What a comparison is called, how many seeds it has, and what is remarked: first in JSON."""


def keys() -> list[str]:
    """All that JSON and CSV say of a comparison."""
    return [*NAMED, *(column.key for column in _flat())]


def flat(comparison: Comparison) -> dict[str, Any]:
    """A comparison as JSON and CSV have it."""
    holder = _Holder(comparison)
    named = {name: getattr(comparison, name) for name in NAMED}
    return named | {column.key: column.of(holder) for column in _flat()}


def _flat() -> list[Column]:
    return [column for column in COLUMNS if column.key and column.path.startswith("comparison.")]


@dataclass(frozen=True)
class _Holder:
    """An entry without a cell: what JSON takes."""

    comparison: Comparison


def columns_of(
    where: Where, design: DesignKind, entries: Sequence[Entry], metric: str = "", method: str = ""
) -> list[Column]:
    """The columns of one table. Those that no entry can fill are not there.

    Args:
        metric, method: what headings call them.
    """
    unit = "fold" if design == "folds" else "seed"
    return [
        column.headed(metric, method, unit)
        for column in COLUMNS
        if column.where == where
        and design in column.designs
        and any(column.of(entry) is not None for entry in entries)
    ]
