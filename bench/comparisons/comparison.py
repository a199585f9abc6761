"""One loss against its baseline by one metric: what the statistics return, nested, and never changed."""

from __future__ import annotations

from dataclasses import dataclass

from bench.statistics.crossed import Crossed
from bench.statistics.effects import Effects
from bench.statistics.paired import PairedT
from bench.statistics.permutation import SignFlip
from bench.statistics.ranks import Superiority
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
        """By what tables multiply values."""
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
class Adjusted:
    """p for the whole family of comparisons."""

    p: float | None
    by: str | None
    """``westfall-young``: sign flips of whole seeds; ``holm``: of p; ``e-value``: K/e."""


@dataclass(frozen=True)
class Equivalence:
    """Is the difference small enough not to matter?"""

    p: float | None
    """Two one-sided tests against the margin."""
    interval: Interval | None
    """The one that lies within the margin exactly where that p is below α."""


@dataclass(frozen=True)
class NewImages:
    """The second question: does it hold on new images too?"""

    crossed: Crossed
    interval: Interval | None
    p: float | None
    """None where seeds are added until decided: there it would not be valid."""
    discordant: float | None
    """Images that one of a pair gets right and the other does not: mean over seeds; accuracy alone has it."""


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
    difference: PairedT | Welch | None = None
    interval: Interval | None = None
    """Of the difference: Student's t over seeds (Welch's), or the confidence sequence."""
    p: float | None = None
    flips: SignFlip | None = None
    adjusted: Adjusted = Adjusted(None, None)
    equivalence: Equivalence | None = None
    new_images: NewImages | None = None
    effects: Effects | None = None
    superiority: Superiority | None = None
    sequence: Looks | None = None
    detectable: float | None = None
    seeds_to_decide: int | None = None
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
        return self.verdict.interval if self.verdict and self.verdict.interval else self.interval
