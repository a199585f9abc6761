"""Which runs of a comparison meet: by seed, those that have finished soundly in both arms."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.comparisons.comparison import Key, Metric, Seed
from bench.statistics.collapse import collapsed
from bench.statistics.standings import Standing


@dataclass(frozen=True)
class Scores:
    """The finished runs of one cell, by one metric."""

    counts: Mapping[Seed, int]
    """Of each finished seed: correct answers, or the metric in units of 1/total."""
    total: int | None
    """Test images, the same for all seeds; None where they are not the same (or nothing has finished)."""
    planned: Sequence[Seed] = ()
    lost: Collection[Seed] = ()
    """Seeds whose run has failed."""

    @property
    def values(self) -> dict[Seed, float]:
        """The metric of each finished seed; empty where totals differ."""
        return {seed: count / self.total for seed, count in self.counts.items()} if self.total else {}


Arms = tuple[tuple[Seed, ...], tuple[Seed, ...]]
"""Seeds of the loss, and of its baseline."""


@dataclass(frozen=True)
class Pairing:
    """The two arms of a comparison, and which of their runs meet: those that are sound in both."""

    key: Key
    metric: Metric
    ours: NDArray[np.int64]
    theirs: NDArray[np.int64]
    total: int | None
    """None: the two cannot be compared."""
    seeds: tuple[Seed, ...] = ()
    missing: tuple[Seed, ...] = ()
    """Seeds without a result of both."""
    lost: Arms = ((), ())
    """Seeds whose run has failed."""
    ended: frozenset[Seed] = frozenset()
    """Seeds of which both runs have, one way or the other."""
    flagged: Arms = ((), ())
    """Seeds whose run has finished, and collapsed."""
    finished: tuple[int, int] = (0, 0)
    """Runs, the flagged ones among them."""
    every: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Differences of all pairs, sound or not."""
    standing: Standing | None = None

    @property
    def differences(self) -> NDArray[np.int64]:
        """The loss minus its baseline, seed by seed."""
        return self.ours - self.theirs

    @property
    def sign(self) -> int:
        """Of a difference that makes the loss the better one."""
        return 1 if self.metric.higher_is_better else -1


def against(cells: Mapping[Key, Scores], baseline: str) -> list[tuple[Key, Scores, Scores]]:
    """Every cell that has a baseline's with the same data set and model, with that."""
    return [
        (key, scores, base)
        for key, scores in cells.items()
        if key[2] != baseline and (base := cells.get((*key[:2], baseline))) is not None
    ]


def flags(metric: Metric, cells: Mapping[Key, Scores]) -> dict[Key, frozenset[Seed]]:
    """The collapsed runs of each cell, by :mod:`bench.statistics.collapse`."""
    groups: dict[tuple[str, str], list[Key]] = defaultdict(list)
    for key in cells:
        groups[key[:2]].append(key)
    collapses: dict[Key, frozenset[Seed]] = {}
    for keys in groups.values():
        values = [cells[key].values for key in keys]
        points, higher = metric.unit == "%", metric.higher_is_better
        collapses |= zip(keys, collapsed(values, points=points, higher_is_better=higher), strict=True)
    return collapses


def in_order(seeds: Iterable[Seed]) -> list[Seed]:
    """Numbers first, and fold 9 before fold 10: in an order that does not depend on that of a file's rows."""
    return sorted(
        seeds, key=lambda seed: (True, *_naturally(seed)) if isinstance(seed, str) else (False, seed)
    )


def _naturally(name: str) -> tuple[list[tuple[str, int, str]], str]:
    """What sorts names by the numbers in them."""
    parts = re.findall(r"([^0-9]*)0*([0-9]*)", name)
    return [(text, len(digits), digits) for text, digits in parts], name


def by_seed(
    key: Key,
    metric: Metric,
    ours: Scores,
    base: Scores,
    planned: set[Seed],
    flagged: tuple[Collection[Seed], Collection[Seed]],
    now: Standing | None = None,
) -> Pairing:
    """Both arms on the planned seeds that both have finished soundly."""
    both = in_order(planned & ours.counts.keys() & base.counts.keys())
    sound = [seed for seed in both if seed not in flagged[0] and seed not in flagged[1]]
    return Pairing(
        key,
        metric,
        arm(ours, sound),
        arm(base, sound),
        shared_total(ours, base),
        tuple(sound),
        tuple(in_order(planned - {*both})),
        arms_of(planned & {*ours.lost}, planned & {*base.lost}),
        frozenset(planned & {*ours.counts, *ours.lost} & {*base.counts, *base.lost}),
        arms_of(planned & {*flagged[0]}, planned & {*flagged[1]}),
        (len(planned & ours.counts.keys()), len(planned & base.counts.keys())),
        arm(ours, both) - arm(base, both),
        now,
    )


def arm(scores: Scores, seeds: Sequence[Seed]) -> NDArray[np.int64]:
    """Counts, seed by seed."""
    return np.array([scores.counts[seed] for seed in seeds], dtype=np.int64)


def arms_of(ours: Iterable[Seed], theirs: Iterable[Seed]) -> Arms:
    """The seeds of both arms, in order."""
    return tuple(in_order(ours)), tuple(in_order(theirs))


def shared_total(ours: Scores, base: Scores) -> int | None:
    """Test images of both; None where they differ."""
    return ours.total if ours.total == base.total else None


def table_of(pairings: Sequence[Pairing]) -> NDArray[np.float64]:
    """Differences [seeds, comparisons], NaN where one has no pair."""
    seeds = in_order({seed for pairing in pairings for seed in pairing.seeds})
    place = {seed: row for row, seed in enumerate(seeds)}
    table = np.full((len(seeds), len(pairings)), np.nan)
    for column, pairing in enumerate(pairings):
        table[[place[seed] for seed in pairing.seeds], column] = pairing.differences
    return table
