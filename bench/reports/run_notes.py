"""Notes of a report on its runs: failures, data and devices that differ, warnings."""

from __future__ import annotations

import itertools
import re

import pandas as pd

from bench.reports.formats import counted, some
from bench.suite import Suite

MOST_WARNINGS = 3
"""Kinds of a cell's that are spelt out. Those that name a file are all different."""


def run_notes(runs: pd.DataFrame, baseline: str) -> list[str]:
    """All of them, in the order of a report."""
    return [
        *_failures(runs),
        *runs.attrs["data"],
        *_unbalanced(runs),
        *_mixed_devices(runs, baseline),
        *_warned(runs),
    ]


def _failures(runs: pd.DataFrame) -> list[str]:
    notes = []
    for row in runs[runs.state.isin(["failed", "damaged"])].itertuples():
        where = f"{row.dataset} × {row.model} × {row.loss}, seed {row.seed} (run {row.run_id})"
        notes.append(f"{row.state}: {where}: {row.reason}")
    return notes


def _unbalanced(runs: pd.DataFrame) -> list[str]:
    """Data sets of which one class has at least twice as many training images as another."""
    notes = []
    # Of runs that say it: where others do not, pandas has put NaN.
    finished = runs[(runs.state == "done") & runs.class_counts.map(lambda counts: isinstance(counts, list))]
    for name, rows in finished.groupby("dataset", sort=False):
        counts: list[int] = rows.class_counts.iloc[0]
        if max(counts) >= 2 * min(counts):
            notes.append(
                f"classes: {name}: its {len(counts):,} classes have {min(counts):,} to {max(counts):,} "
                f"training images, {sum(counts):,} in all; accuracy counts images, balanced_accuracy classes"
            )
    return notes


def _mixed_devices(runs: pd.DataFrame, baseline: str) -> list[str]:
    """Where the two of a pair were not trained on the same kind of device."""
    finished = runs[(runs.state == "done") & (runs.trained_on != "")]
    if finished.trained_on.nunique() < 2:
        return []
    place = ["dataset", "model", "seed"]
    base = finished[finished.loss == baseline].set_index(place).trained_on.rename("base")
    pairs = finished[finished.loss != baseline].join(base, on=place, how="inner")
    notes = []
    for names, cell in pairs.groupby(["dataset", "model", "loss"], sort=False):
        mixed = cell[cell.trained_on != cell.base]
        if len(mixed):
            kinds = "; ".join(dict.fromkeys([*mixed.trained_on, *mixed.base]))
            notes.append(
                f"devices: {' × '.join(map(str, names))}: {len(mixed):,} of {counted(len(cell), 'pair')} "
                f"were not trained on the same kind ({kinds}): rounding differs there, and not the loss alone"
            )
    return notes


def _warned(runs: pd.DataFrame) -> list[str]:
    """How many finished runs of each cell have warnings, and the first of each kind: steps may differ."""
    notes = []
    finished = runs[runs.state == "done"]
    for names, cell in finished.groupby(["dataset", "model", "loss"], sort=False):
        kinds: dict[str, str] = {}
        for warning in itertools.chain.from_iterable(cell.warnings):
            kinds.setdefault(re.sub(r"\bstep [\d,]+", "", warning), warning)
        if kinds:
            warned = int(cell.warnings.map(bool).sum())
            share = f"{warned:,} of {counted(len(cell), 'run')}"
            examples = some([*kinds.values()], MOST_WARNINGS, between="; ")
            notes.append(f"warned: {' × '.join(map(str, names))}: {share}: {examples}")
    return notes


def tuned_for(suite: Suite) -> list[str]:
    """For which loss the recipe that all share was chosen."""
    if suite.scaled_down or len(suite.losses) < 2:
        return []
    if suite.tuned_for:
        caveat = "other losses might do better at settings of their own"
        return [f"recipe: chosen for {suite.tuned_for}, by the suite's word; {caveat}"]
    return ["recipe: for which loss it was chosen, nobody said (tuned_for); docs/tuning.md tunes every loss"]
