"""One loss against its baseline by one metric: what the statistics return, nested, and never changed."""

from __future__ import annotations

from dataclasses import dataclass

from bench.statistics.crossed import Crossed
from bench.statistics.effects import Effects
from bench.statistics.paired import PairedT
from bench.statistics.permutation import SignFlip
from bench.statistics.proportions import Difference
from bench.statistics.resampled import Posterior
from bench.statistics.searches import Pooled
from bench.statistics.signed_ranks import Superiority
from bench.statistics.stopping import Outcome
from bench.statistics.unpaired import Welch
from bench.statistics.verdicts import Interval, Verdict

Key = tuple[str, str, str]  # data set, model, loss
Seed = int | str


@dataclass(frozen=True)
class Metric:
    """What was measured. The first of a document decides."""

    name: str
    unit: str
    """``%``: values are fractions, which tables show in percent, and differences in points."""
    higher_is_better: bool
    margin: float | None
    """The largest difference that does not matter, in the unit (percentages: in points); None: not given."""

    counted: bool = False
    """Whether values are counts of test images, out of all of them."""

    @property
    def limit(self) -> float | None:
        """The margin in the unit of differences: a fraction where they are fractions."""
        return None if self.margin is None else self.margin / self.scale

    @property
    def scale(self) -> int:
        """The factor by which tables multiply values."""
        return 100 if self.unit == "%" else 1

    @property
    def heading(self) -> str:
        """Name and unit, as tables and axes have them."""
        return self.name if "%" in self.name else f"{self.name} {self.unit}".rstrip()

    @property
    def difference_unit(self) -> str:
        """``points``, or the unit."""
        return "points" if self.unit == "%" else self.unit

    @property
    def within(self) -> str:
        """The margin with its unit."""
        return f"{self.margin or 0:g} {self.difference_unit}".rstrip()


@dataclass(frozen=True)
class Equivalence:
    """Is the difference small enough not to matter?"""

    p: float | None
    """Two one-sided tests against the margin, adjusted for the whole family."""
    interval: Interval | None
    """The one that lies within the margin exactly where that p is below α."""


@dataclass(frozen=True)
class Adjusted:
    """What holds for the whole family of comparisons. The interval decides, and p agrees with it."""

    p: float | None = None
    by: str | None = None
    """``rotations``: of residuals; ``flips``: of seeds' signs; ``bonferroni``: K·p; ``e-value``: K/e."""
    interval: Interval | None = None
    """Of the difference: all of the family's hold at once with this probability."""
    equivalence: Equivalence | None = None


@dataclass(frozen=True)
class NewImages:
    """The second question: does it hold on new images too?"""

    crossed: Crossed
    interval: Interval | None
    """Never narrower than the one on this test set; at a level for the whole family, and for the verdict."""
    p: float | None
    """Not adjusted; None where seeds are added until decided: there it would not be valid."""
    discordant: float | None
    """Images that one of a pair gets right and the other does not: mean over seeds; accuracy alone has it."""


@dataclass(frozen=True)
class Failures:
    """Runs that failed, of either arm. They are results, and the worst."""

    loss: tuple[Seed, ...]
    baseline: tuple[Seed, ...]
    ended: int
    """Seeds of which both runs have ended."""
    difference: Difference
    """Share that failed, loss − baseline, with its interval."""
    p: float
    """Exact McNemar over seeds, of no difference in failing."""
    p_worst_rank: float | None
    """Signed ranks with failed runs last, adjusted for the family by Holm."""
    better: bool | None
    """Whether the loss is the better one by those ranks."""


@dataclass(frozen=True)
class Collapse:
    """Runs that are flagged, of either arm. The comparison is of pairs that are sound in both."""

    loss: tuple[Seed, ...]
    baseline: tuple[Seed, ...]
    runs: int
    """Finished runs of the loss."""
    runs_baseline: int
    delta: float | None
    """Mean difference over all pairs, the flagged ones among them."""


@dataclass(frozen=True)
class Looks:
    """What stays valid whenever one stops, where seeds are added until decided."""

    e: float | None
    """Evidence for a difference."""
    looks: int | None
    """Looks taken; None of a secondary metric, which closes nothing."""
    outcome: Outcome | None
    """How the comparison stands after them."""


@dataclass(frozen=True)
class Seeds:
    """How many a new experiment would take, by what the interval allows."""

    fewest: int
    """If the difference is as large as it may be."""
    most: int | None
    """If it is no larger than the margin; None without one."""
    equivalent: int | None
    """To be called equivalent, if there is no difference; None without a margin."""


@dataclass(frozen=True)
class Comparison:
    """One loss against the baseline by one metric: same data set, same model, same seeds.

    All differences are loss − baseline in the metric's own unit, percentages as fractions, and never turned.
    """

    dataset: str
    model: str
    loss: str
    baseline: str
    metric: str
    n: int
    missing: tuple[Seed, ...]
    n_baseline: int | None = None
    difference: PairedT | Welch | Pooled | None = None
    p: float | None = None
    flips: SignFlip | None = None
    adjusted: Adjusted = Adjusted()
    new_images: NewImages | None = None
    effects: Effects | None = None
    superiority: Superiority | None = None
    sequence: Looks | None = None
    posterior: Posterior | None = None
    """Where runs are folds of a cross-validation."""
    unit: str = "seed"
    """What pairs two runs: a seed, or a fold."""
    detectable: float | None = None
    seeds_to_decide: Seeds | None = None
    failures: Failures | None = None
    collapse: Collapse | None = None
    verdict: Verdict | None = None
    """None where none is given: the epoch was chosen on the test set."""
    note: str = ""

    @property
    def key(self) -> Key:
        """Data set, model and loss."""
        return self.dataset, self.model, self.loss

    @property
    def delta(self) -> float | None:
        """The mean difference."""
        return self.difference.estimate if self.difference else None

    @property
    def sd(self) -> float | None:
        """Of the differences over seeds; None where runs are not paired."""
        return self.difference.sd if isinstance(self.difference, PairedT) else None

    @property
    def shown(self) -> Interval | None:
        """The interval that decided; where there is no verdict, that of the difference."""
        return self.verdict.interval if self.verdict else self.adjusted.interval
