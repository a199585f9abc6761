"""Comparisons of what a paper prints: Welch's test needs means, deviations and numbers of runs, no more."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.comparisons.adjustment import Test
from bench.comparisons.analysis import Analysis
from bench.comparisons.comparison import Comparison, Key, Metric
from bench.comparisons.external.summaries import Summary
from bench.comparisons.pairings import Pairing
from bench.comparisons.unpaired import Unpaired
from bench.statistics.stopping import FEWEST
from bench.statistics.unpaired import Welch, welch_of_summaries


def analyse_summaries(cells: Mapping[Key, Summary], metric: Metric, baseline: str, alpha: float) -> Analysis:
    """Every mean against the baseline's on the same data set with the same model: unpaired, one family.

    Nothing is known of single runs, so neither whether some collapsed or failed, nor of new images.
    """
    design, nothing = Unpaired(alpha), np.empty(0, dtype=np.int64)
    met = [(key, ours, base) for key, ours in cells.items()
           if key[2] != baseline and (base := cells.get((*key[:2], baseline))) is not None]  # fmt: skip
    pairings = [Pairing(key, metric, nothing, nothing, 1) for key, _, _ in met]
    tests = [_test(ours, base, alpha) for _, ours, base in met]
    adjustment = design.adjust(pairings, tests)
    comparisons = []
    for pairing, test, adjusted, (key, ours, base) in zip(
        pairings, tests, adjustment.adjusted, met, strict=True
    ):
        word = design.word(pairing, test, adjusted)
        comparisons.append(
            Comparison(
                dataset=key[0],
                model=key[1],
                loss=key[2],
                baseline=baseline,
                metric=metric.name,
                n=ours.runs,
                missing=(),
                n_baseline=base.runs,
                difference=test.difference,
                p=test.p,
                adjusted=adjusted,
                verdict=design.verdict(pairing, adjusted, word, None, failed_last=True),
                note=test.note,
            )
        )
    alone = [
        f"{' × '.join(filter(None, key))}: not compared: there is no {baseline} with the same "
        "data set and model"
        for key in cells
        if key[2] != baseline and (*key[:2], baseline) not in cells
    ]
    method = "From means and standard deviations as they are printed, not from runs. " + design.method(
        metric, adjustment, judged=True, images=False
    )
    return Analysis(tuple(comparisons), adjustment, (*alone, *adjustment.notes), method, {})


def _test(ours: Summary, base: Summary, alpha: float) -> Test:
    if ours.sd is None or base.sd is None:
        difference = Welch(ours.runs, base.runs, ours.mean - base.mean)
        return Test(difference, note="no deviation is printed of one of the two: nothing can be tested")
    test = welch_of_summaries((ours.mean, ours.sd, ours.runs), (base.mean, base.sd, base.runs), 1 - alpha)
    note = ""
    if min(ours.runs, base.runs) == 1:
        note = "one run of one of the two: nothing can be tested"
    elif test.p is None:
        note = "neither of the two varies, so there is no variance to test them against"
    elif min(ours.runs, base.runs) < FEWEST:
        note = f"fewer than {FEWEST} runs of one of the two: nothing is decided"
    return Test(test, test.p, note=note)
