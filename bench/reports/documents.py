"""What ``bench report --json`` and ``bench compare --json`` print. These documents only grow."""

from __future__ import annotations

from pydantic import BaseModel

from bench.statistics.stopping import Outcome
from bench.statistics.verdicts import Verdict

Key = tuple[str, str, str]  # data set, model, loss
Seed = int | str


class CellSummary(BaseModel):
    """All finished seeds of one data set × model × loss. Accuracies are fractions."""

    dataset: str
    model: str
    loss: str
    n: int
    """Finished seeds."""
    planned: int
    failed: int
    mean: float | None
    sd: float | None
    """Between seeds, with n − 1 in the denominator."""
    correct: int | None
    """Correct test images, summed over the finished seeds; None where only accuracies are known."""
    total: int | None
    """Test images, summed over the finished seeds; None where only accuracies are known."""
    seeds: list[Seed]
    counts: list[int]
    """Correct test images of each finished seed, in the order of ``seeds``."""
    test_images: int | None
    mean_last: float | None = None
    """``mean``, had the last epoch counted."""
    mean_best_test: float | None = None
    """``mean``, had runs reported their best epoch on the test set: OPTIMISTIC, as the three that follow."""
    delta_best_test: float | None = None
    """Of those means, to the baseline's; None of the baseline."""
    p_adjusted_best_test: float | None = None
    verdict_best_test: Verdict | None = None


class Comparison(BaseModel):
    """One loss against the baseline: same data set, same model, same seeds. Differences are fractions."""

    dataset: str
    model: str
    loss: str
    baseline: str
    n: int
    """Seeds that both have finished; where runs are not paired, runs of the loss."""
    missing: list[Seed]
    """Planned seeds that one of the two lacks."""
    delta: float | None
    low: float | None
    """Of the interval on this test set: Student's t over seeds (Welch's where runs are not paired)."""
    high: float | None
    p: float | None
    """Two-sided, paired t over seeds (Welch's t where runs are not paired)."""
    p_adjusted: float | None
    """For all comparisons of the family; ``adjusted_by`` says how."""
    p_equivalence: float | None
    """Two one-sided tests against the margin."""
    verdict: Verdict
    detectable: float | None
    """Smallest difference that this many seeds would find with probability .8, before adjustment."""
    seeds_to_decide: int | None
    """If undecided: about how many seeds in all would make the difference seen here significant."""
    note: str
    """What differs besides the loss, and what could not be computed."""
    n_baseline: int | None = None
    """Runs of the baseline, where runs are not paired."""
    sd: float | None = None
    """Of the differences over seeds."""
    adjusted_by: str | None = None
    """``westfall-young``: sign flips of whole seeds, which do not use ``p``; ``holm``: of ``p``; ``e-value``:
    K/e, where seeds are added until decided."""
    p_sign_flip: float | None = None
    """Exact up to 60 seeds, simulated above."""
    p_sign_flip_smallest: float | None = None
    """What sign flips of this many seeds could give at best: no adjusted p by them is smaller."""
    low_new_images: float | None = None
    """Of the interval on new images too: seeds × images, crossed analysis of variance."""
    high_new_images: float | None = None
    p_new_images: float | None = None
    floor: float | None = None
    """Standard deviation of the difference that is left with infinitely many seeds: of the images."""
    d_z: float | None = None
    """Mean / sd of the differences."""
    g_z: float | None = None
    """Hedges g of d_z: without its bias in small samples."""
    d_av: float | None = None
    """Mean difference / sd within the arms."""
    g_av: float | None = None
    superiority: float | None = None
    """P(loss > baseline) + ½P(equal), for two runs with the same new seed (any two where not paired)."""
    superiority_low: float | None = None
    superiority_high: float | None = None
    correlation: float | None = None
    """ρ of the two arms over seeds: what pairing gains."""
    discordant: float | None = None
    """Images that one of a pair gets right and the other does not: mean over seeds."""
    e: float | None = None
    """Evidence for a difference, where seeds are added until decided: ``p`` is 1/e then, and ``low`` and
    ``high`` are those of the confidence sequence. All of them stay valid whenever one stops."""
    looks: int | None = None
    """Looks taken, where seeds are added until decided."""
    stopped: Outcome | None = None
    """Why no seeds are added any more; None: their number is fixed."""

    @property
    def key(self) -> Key:
        """Data set, model and loss."""
        return self.dataset, self.model, self.loss


class RankedLoss(BaseModel):
    """A loss in a :class:`Ranking`."""

    loss: str
    average_rank: float
    """1 is best."""
    p_adjusted: float | None
    """Two-sided z of the average rank against the baseline's, Holm's adjustment; None of the baseline."""


class Ranking(BaseModel):
    """How the losses rank over several data sets, with one model."""

    model: str
    datasets: list[str]
    left_out: list[str]
    """Data sets without a seed that all losses have finished."""
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


class Analysed(BaseModel):
    """Cells, comparisons, and how they came about."""

    baseline: str
    alpha: float
    margin: float
    """In accuracy points."""
    method: str
    cells: list[CellSummary]
    comparisons: list[Comparison]
    notes: list[str]
    adjusted_by: str = ""
    """The method of adjustment, in words."""


class Sequential(BaseModel):
    """How seeds are added until decided, and what that has saved so far."""

    looks: list[int]
    """Seeds at each planned look."""
    bar: float
    """The e-value that decides: K/α for K comparisons."""
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


class Report(Analysed):
    """What ``bench report --json`` prints."""

    suite: str
    question: str
    selection: str
    optimistic: bool
    """Whether the epoch was chosen on the test set itself."""
    complete: bool
    sequential: Sequential | None = None
    """None: the number of seeds is fixed."""
    scaled_down: bool = False
    """Whether this is a miniature of a suite (``--scale tiny``): then no number of it means anything."""
    rankings: list[Ranking] = []
    """One a model, where there are several data sets."""


class Compared(Analysed):
    """What ``bench compare --json`` prints."""

    source: str
    reading: str
    """How the source was understood: form, columns, units; and what of it was guessed."""
    paired: bool
