"""Numbers that are far from the rest of their cell: slips of the pen look like that, and so do collapses."""

from __future__ import annotations

from statistics import median

from bench.comparisons.analysis import Measured
from bench.statistics.collapse import collapsed

MOST_ASKED = 5
"""Numbers that are asked about, one by one."""
MOST_RUNS = 2_000
"""Of a cell: of more, single numbers change no mean."""


def far_off(series: Measured) -> list[str]:
    """A question for each number that is as far from the rest as a collapsed run, on either side.

    Those on the worse side are left out of verdicts as runs that collapsed
    (:mod:`bench.statistics.collapse`); those on the better side are not.
    """
    metric = series.metric
    cells = {key: scores.values for key, scores in series.cells.items() if len(scores.counts) <= MOST_RUNS}
    asked: list[str] = []
    for pair in dict.fromkeys(key[:2] for key in cells):
        keys = [key for key in cells if key[:2] == pair]
        for better in (False, True):
            outliers = collapsed(
                [cells[key] for key in keys],
                points=metric.unit == "%",
                higher_is_better=metric.higher_is_better is not better,
            )
            for key, seeds in zip(keys, outliers, strict=True):
                rest = [metric.scale * value for seed, value in cells[key].items() if seed not in seeds]
                for seed in seeds if rest else ():
                    number = metric.scale * cells[key][seed]
                    treated = (
                        "it counts: if it is a slip, mend it"
                        if better
                        else "it is left out of verdicts, as a run that collapsed: if it is a slip, mend it"
                    )
                    asked.append(
                        f"{' × '.join(filter(None, key))}, {seed}: is {number:g} right? The rest lie around "
                        f"{median(rest):g}; {treated}"
                    )
    more = [f"{len(asked) - MOST_ASKED:,} more numbers are as far from the rest"] * (len(asked) > MOST_ASKED)
    return [*asked[:MOST_ASKED], *more]
