"""What holds for a whole family of comparisons: one level for all intervals, and p that agree with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.comparisons.comparison import Adjusted, Equivalence, Looks, Metric
from bench.comparisons.pairings import Pairing
from bench.statistics.equivalence import tost
from bench.statistics.flips import LookResult
from bench.statistics.paired import PairedT
from bench.statistics.permutation import SignFlip, countable, sign_flip
from bench.statistics.resampled import Posterior
from bench.statistics.rotations import Smallest
from bench.statistics.searches import Pooled
from bench.statistics.signed_ranks import Superiority
from bench.statistics.stopping import FEWEST
from bench.statistics.unpaired import Welch
from bench.statistics.verdicts import Interval

MOST_SIMULATED = 100_000
"""Differences of comparisons with too many seeds for all their flips: ten seconds' work."""


@dataclass(frozen=True)
class Test:
    """What the numbers of a pairing say by themselves."""

    difference: PairedT | Welch | Pooled | None = None
    p: float | None = None
    superiority: Superiority | None = None
    sequence: Looks | None = None
    posterior: Posterior | None = None
    detectable: float | None = None
    note: str = ""

    @property
    def estimate(self) -> float | None:
        """The difference."""
        return self.difference.estimate if self.difference else None


@dataclass(frozen=True)
class Adjustment:
    """What holds for the whole family, one a test; in words how; and what could not be done."""

    adjusted: Sequence[Adjusted]
    by: str
    flips: Sequence[SignFlip | None] = ()
    """Of each test by itself, where signs of seeds can be flipped; empty where they never are."""
    each: float | None = None
    """Level of Student's interval of each comparison, where that is the same for all."""
    notes: Sequence[str] = ()

    @property
    def tested(self) -> int:
        """How many comparisons have a p."""
        return sum(adjusted.p is not None for adjusted in self.adjusted)


def testable(test: Test) -> bool:
    """Whether there are enough seeds, and any variance among them.

    Without variance there is nothing to go by: often such runs do not depend on their seed at all, and then
    many equal differences are one difference.
    """
    result = test.difference
    if result is None or test.p is None:
        return False
    return (min(result.n_loss, result.n_baseline) if isinstance(result, Welch) else result.n) >= FEWEST


def _interval(result: PairedT | Welch | Pooled, confidence: float, level: float) -> Interval | None:
    """At ``confidence``, which makes all of a family hold at ``level``."""
    ends = result.interval(confidence)
    return Interval(*ends, level) if ends else None


def adjusted_by_look(
    test: PairedT | Welch | Pooled | None, metric: Metric, look: LookResult | None, alpha: float
) -> Adjusted:
    """What a look says, with the intervals that decide."""
    if test is None or look is None:
        return Adjusted()
    equivalence = None
    if metric.limit is not None:
        inside = around(test, look.critical_equivalence, 1 - 2 * alpha)
        equivalence = Equivalence(look.p_equivalence, inside)
    return Adjusted(look.p, "flips", around(test, look.critical, 1 - alpha), equivalence)


def around(result: PairedT | Welch | Pooled, reach: float, level: float) -> Interval | None:
    """Δ ± ``reach`` standard errors."""
    if result.estimate is None or not result.se or not math.isfinite(reach):
        return None
    return Interval(result.estimate - reach * result.se, result.estimate + reach * result.se, level)


def by_bonferroni(pairings: Sequence[Pairing], tests: Sequence[Test], alpha: float) -> Adjustment:
    """Each comparison at α/K, and equivalence by Holm: valid whatever they have to do with each other."""
    return together(pairings, tests, alpha, "bonferroni", lambda members: Smallest((len(members),), (None,)))


def together(
    pairings: Sequence[Pairing],
    tests: Sequence[Test],
    alpha: float,
    name: Literal["rotations", "bonferroni"],
    family: Callable[[Sequence[int]], Smallest],
) -> Adjustment:
    """One level for the intervals of all comparisons; for equivalence, one for those that are left.

    Equivalence steps down: what the first level, of 2α for all, shows to be equivalent leaves the family, and
    the rest has a level for fewer. The chance of calling one that is not equivalent stays at α (Holm, 1979),
    and an interval that decides lies within the margin exactly where its loss is equivalent.

    Args:
        family: how small the smallest p of some of the tests comes out where nothing differs.
    """
    tested = [k for k, test in enumerate(tests) if testable(test)]
    adjusted = [Adjusted()] * len(tests)
    if not tested:
        return Adjustment(adjusted, "no method")
    smallest = family(tested)
    each, equivalences = smallest.level(alpha), _step_down(pairings, tests, tested, alpha, family)
    for k in tested:
        result, p = tests[k].difference, tests[k].p
        assert result is not None
        assert p is not None
        interval = _interval(result, 1 - each, 1 - alpha)
        adjusted[k] = Adjusted(smallest.chance(p), name, interval, equivalences.get(k))
    by = "one level for all, by rotations of residuals" if name == "rotations" else "Bonferroni"
    if name == "rotations" and smallest.bounded:
        by += ", and by Bonferroni where there are too many seeds for that"
    return Adjustment(adjusted, by, each=1 - each)


def _step_down(
    pairings: Sequence[Pairing],
    tests: Sequence[Test],
    tested: Sequence[int],
    alpha: float,
    family: Callable[[Sequence[int]], Smallest],
) -> dict[int, Equivalence]:
    """Equivalence of the comparisons that have a margin, by a step-down procedure."""
    one_sided: dict[int, float] = {}
    for k in tested:
        result, limit = tests[k].difference, pairings[k].metric.limit
        if result is not None and limit is not None and (p := tost(result, limit)) is not None:
            one_sided[k] = p
    equivalences: dict[int, Equivalence] = {}
    left, least = list(one_sided), 0.0
    while left:
        smallest = family(left)
        level = smallest.level(2 * alpha)
        # Of two sides, one; never below the p itself, nor below that of a comparison which left before.
        adjusted = {
            k: max(smallest.chance(min(2 * p, 1.0)) / 2, p, least) for k in left for p in [one_sided[k]]
        }
        proven = [k for k in left if 2 * one_sided[k] < level]
        for k in proven or left:
            result = tests[k].difference
            assert result is not None
            equivalences[k] = Equivalence(adjusted[k], _interval(result, 1 - level, 1 - 2 * alpha))
        left = [k for k in left if k not in proven] if proven else []
        least = max((adjusted[k] for k in proven), default=least)
    return equivalences


def sign_flips(pairings: Sequence[Pairing]) -> tuple[list[SignFlip | None], list[str]]:
    """Exactly where that can be done; and a note where it takes too long even by chance."""
    exact = [countable(pairing.differences) for pairing in pairings]
    many = sum(len(pairing.seeds) for pairing, all_ in zip(pairings, exact, strict=True) if not all_)
    flips = [
        sign_flip(pairing.differences)
        if pairing.seeds and pairing.total and (all_ or many <= MOST_SIMULATED)
        else None
        for pairing, all_ in zip(pairings, exact, strict=True)
    ]
    if many <= MOST_SIMULATED:
        return flips, []
    long = f"{many:,} differences take too long"
    return flips, [f"p of sign flips (flip) is left out where there are too many to count: {long}"]
