"""What reports are made of: results that are built once and never changed, and the documents that hold them.

``bench report --json`` and ``bench compare --json`` print these. A comparison is nested here, out of what the
statistics return, and flat there: :mod:`bench.reports.columns` says under which names. The JSON only grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, field_serializer

from bench.comparisons.comparison import Comparison, Key, Metric, Seed
from bench.reports.columns import flat
from bench.runs import SOURCES, Source, Splits
from bench.statistics.units import in_units, unit_for


class Frozen(BaseModel):
    """A model that cannot be changed."""

    model_config = ConfigDict(frozen=True)


class Cell(Frozen):
    """All finished seeds of one data set × model × loss, by one metric."""

    dataset: str
    model: str
    loss: str
    metric: str
    n: int
    """Finished seeds."""
    planned: int
    failed: int
    mean: float | None
    """Of the values, in the metric's unit; percentages as fractions."""
    sd: float | None
    """Between seeds, with n − 1 in the denominator."""
    correct: int | None
    """Correct test images, summed over the finished seeds; None where nothing is counted."""
    total: int | None
    """Test images, summed over the finished seeds; None where nothing is counted."""
    seeds: tuple[Seed, ...]
    counts: tuple[int, ...]
    """Correct test images of each finished seed, in the order of ``seeds``; empty if nothing is counted."""
    values: tuple[float, ...]
    """The metric of each finished seed."""
    test_images: int | None
    unknown: int = 0
    """Seeds that have finished, but did not keep what the metric needs: they are not among ``n``."""
    other_data: int = 0
    """Seeds that have finished, but saw other data: they are compared with none, and not among ``n``."""
    mean_last: float | None = None
    """``mean``, had the last epoch counted."""
    mean_best_test: float | None = None
    """``mean``, had runs reported their best epoch on the test set: OPTIMISTIC, as the three that follow."""
    delta_best_test: float | None = None
    """Of those means, to the baseline's; None of the baseline."""
    p_adjusted_best_test: float | None = None
    verdict_best_test: str | None = None

    @property
    def key(self) -> Key:
        """Data set, model and loss."""
        return self.dataset, self.model, self.loss


def whole_numbers(cells: Sequence[Cell]) -> tuple[list[dict[Seed, int]], int]:
    """What each cell's seeds count, or their values in one unit; and of how many such units 1 is made.

    Raises:
        TooLarge: a value leaves too little of the others.
    """
    unit = unit_for(value for cell in cells for value in cell.values)
    return [
        dict(zip(cell.seeds, cell.counts or (in_units(v, unit) for v in cell.values), strict=True))
        for cell in cells
    ], unit


class RankedLoss(Frozen):
    """A loss in a :class:`Ranking`."""

    loss: str
    average_rank: float
    """1 is best."""
    p_adjusted: float | None = None
    """Two-sided z of the average rank against the baseline's, Holm's adjustment; None of the baseline, as all
    that follows."""
    wins: int | None = None
    """Data sets on which its mean is better than the baseline's."""
    draws: int | None = None
    """On which the two are exactly equal."""
    losses: int | None = None
    """On which it is worse."""
    probability_worse: float | None = None
    """Of the Bayesian signed-rank test, in the metric's own direction, as the two that follow."""
    probability_equivalent: float | None = None
    """That the difference lies within the region of practical equivalence."""
    probability_better: float | None = None
    improvement: float | None = None
    """Chance that a run of it beats one of the baseline, mean over data sets, ties counting half; None also
    where there is one run each."""
    improvement_low: float | None = None
    """Of its 1 − α interval, by the bootstrap stratified by data set; None where some have one run."""
    improvement_high: float | None = None


class Ranking(Frozen):
    """How the losses rank over several data sets, with one model."""

    model: str
    datasets: list[str]
    left_out: list[str]
    """Data sets without a seed that all these losses have finished."""
    losses: list[RankedLoss]
    """Best first."""
    chi2: float | None
    """Friedman's; None where all tie everywhere."""
    chi2_df: int | None
    chi2_p: float | None
    f: float | None
    """Iman and Davenport's; None also where all data sets rank alike, and it is infinite."""
    f_df: tuple[int, int] | None
    f_p: float | None
    critical_difference: float
    """Nemenyi's: average ranks so far apart differ."""
    alike: list[list[str]]
    """Losses that are not shown to differ, best first; a loss may be in several of these."""
    note: str
    left_out_losses: list[str] = []
    """Losses that lack results on most data sets."""
    region: float = 0
    """Half the width of the region of practical equivalence: the margin, percentages as fractions."""
    answer: str = ""
    """In a sentence."""


class Family(Frozen):
    """Cells, and comparisons whose p are adjusted together."""

    cells: tuple[Cell, ...]
    comparisons: tuple[InstanceOf[Comparison], ...]
    adjusted_by: str = ""
    """The method of adjustment, in words."""

    @field_serializer("comparisons")
    def _flat(self, comparisons: tuple[Comparison, ...]) -> list[dict[str, Any]]:
        return [flat(comparison) for comparison in comparisons]


class Analysed(Family):
    """What the first metric says, the others beside it, and how all of it came about."""

    baseline: str
    alpha: float
    margin: float | None
    """Of the first metric, which is ``metrics[0]``."""
    metrics: tuple[Metric, ...]
    secondary: Family
    """The metrics that decide nothing: a family of their own."""
    answer: str
    """In a sentence or three."""
    method: str
    notes: tuple[str, ...]
    method_name: str = "loss"
    """What is compared, as the first column of tables calls it."""
    rankings: tuple[Ranking, ...] = ()
    """One a model, where there are several data sets."""

    def metric(self, name: str) -> Metric:
        """The metric of that name."""
        return next(metric for metric in self.metrics if metric.name == name)


class Sequential(Frozen):
    """How seeds are added until decided, and what that has saved so far."""

    rule: Literal["planned", "whenever"] = "whenever"
    """At planned looks, or by e-values."""
    looks: list[int]
    """Seeds at each planned look."""
    bar: float
    """The e-value that decides where one may look whenever one likes: K/α for K comparisons."""
    futility: float
    """Chance of deciding, at best, below which no more seeds are added."""
    closed: int
    """Comparisons that get no more seeds."""
    runs: int
    """Finished or failed."""
    runs_fixed: int
    """Of the fixed design: the largest number of seeds everywhere."""
    runs_saved: int
    """Of those, the ones that will never be trained, as things stand."""
    run_hours: float
    """That the finished runs took, each by itself: W side by side use 1/W of it of their device."""
    run_hours_saved: float | None
    """That the saved ones would have taken, by the mean of the finished runs of their cell."""


class TrialOf(Frozen):
    """One setting, trained once."""

    trial: int
    """Its number, from 0: the same setting for all losses, as far as they share its dimensions."""
    run_id: str
    setting: dict[str, Any]
    """By dimension: ``optimizer.adam.lr``, ``loss.gamma``."""
    state: Literal["done", "failed", "missing"]
    validation: float | None
    """The first metric on the validation split, which chooses."""
    test: float | None


class SearchOf(Frozen):
    """All trials of one data set × model × loss."""

    dataset: str
    model: str
    loss: str
    trials: int
    done: int
    failed: int
    """They diverged, or could not be trained: the worst, with the score of a guess."""
    best: dict[str, Any] | None
    """The setting that is best in validation; None: not all have ended, or all failed."""
    best_trial: int | None
    winners: tuple[int, ...]
    """Trials whose settings are retrained: the best, or that of each search."""
    validation: float | None
    """Of that setting."""
    edges: dict[str, str]
    """Dimensions at whose ``lower`` or ``upper`` edge it lies."""
    best_of: float | None = None
    """Mean test value of what tuning with the budget gives; None until all trials have ended."""
    budgets: tuple[int, ...] = ()
    """Of the three that follow: 1 to a quarter of the trials."""
    curve: tuple[float | None, ...] = ()
    """``best_of`` at each of them."""
    band_low: tuple[float | None, ...] = ()
    """Of the median best validation value, at all budgets at once with 95 %: for the picture, no test."""
    band_high: tuple[float | None, ...] = ()
    superior_from: int | None
    """The smallest budget such that it is better than the baseline at every tested one from there on."""
    sensitivity: dict[str, float | None]
    """By dimension: share of the variance of validation ranks that it explains alone."""
    settings: tuple[TrialOf, ...]


class Tuning(Frozen):
    """How losses were tuned, and what their searches found."""

    budget: int
    """T: verdicts are about losses that were tuned with so many trials."""
    trials: int
    """N, of every data set × model × loss."""
    design: str
    seed: int
    space: dict[str, Any]
    """What is drawn for all losses."""
    losses: dict[str, Any]
    """What is drawn of their own options."""
    tested: list[int]
    """Budgets of ``superior_from``."""
    guess: dict[str, float]
    """By data set · model: what a trial that failed is worth on the test set."""
    run_hours: float
    """That the finished trials took, each by itself."""
    searches: tuple[SearchOf, ...]


class Plan(Frozen):
    """The plan that was stated first, and what differs from it."""

    digest: str
    """SHA-256 of what was to be judged."""
    time: float = Field(0.0, exclude=True)
    """Unix time at which it was stated. In no JSON, as the same results make the same tables."""
    git: dict[str, Any] | None = Field(None, exclude=True)
    """Commit of the folder in which that was done, and whether it had changes. As ``time``."""
    frozen: bool
    """Whether by `bench freeze`; else by the first `bench run`."""
    planned: int
    """Runs, at most."""
    finished: int
    """Of these, those that had finished when it was stated."""
    deviations: tuple[str, ...]
    """In words; empty: as planned."""


class Report(Analysed):
    """What ``bench report --json`` prints."""

    suite: str
    question: str
    selection: str
    splits: Splits = "given"
    """Whether each seed has drawn its own training, validation and test images."""
    vary: tuple[Source, ...] = tuple(SOURCES)
    """What a seed decides; all else is the same in all runs."""
    optimistic: bool
    """Whether the epoch was chosen on the test set itself: then no verdict is given."""
    complete: bool
    sequential: Sequential | None = None
    """None: the number of seeds is fixed."""
    scaled_down: bool = False
    """Whether this is a miniature of a suite (``--scale tiny``): then no number of it means anything."""
    look: str = ""
    """Which part of the suite's seeds this is a look at (``--seeds``); empty: it is the report."""
    plan: Plan | None = None
    """None: none was stated."""
    tuning: Tuning | None = None
    """None: all losses were trained by one recipe."""


class Compared(Analysed):
    """What ``bench compare --json`` prints."""

    source: str
    reading: str
    """How the source was understood: form, columns, units; and what of it was guessed."""
    guessed: tuple[str, ...] = ()
    """What was taken for granted, with the option that says otherwise."""
    paired: bool
    folds: tuple[int, ...] = ()
    """Numbers of folds (k), where runs are folds of a cross-validation; several where data sets differ."""
