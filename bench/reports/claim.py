"""What a published claim is worth, from two accuracies of single runs and the size of the test set."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import BaseModel

from bench.errors import BenchError
from bench.reports.blocks import Block, Paragraph, plain_table
from bench.reports.formats import NOTHING, p_value
from bench.statistics.proportions import mcnemar
from bench.statistics.selection import optimism_of_best_run
from bench.statistics.single_runs import claim, count_of, counts_behind, seeds_to_settle

SPREADS = (0.0005, 0.001, 0.002)
"""Standard deviations over seeds for which seeds are counted: what small networks on large test sets have."""
CORRELATIONS = (0.0, 0.5)
RUNS = (3, 5, 10)
"""Of which the better accuracy may be the best."""
SHARES = (0.01, 0.02, 0.04)
"""Shares of the test images on which two runs may well disagree."""


class Disagreement(BaseModel):
    """If the two runs disagreed on so many images."""

    discordant: int
    p: float
    """Of McNemar's test, mid-p."""


class Settling(BaseModel):
    """If accuracies spread so much over seeds."""

    seed_sd: float
    correlation: float
    """Of the two over seeds."""
    seeds: int | None
    """Of either, to find the claimed difference with probability .8; None: there is no difference."""


class Best(BaseModel):
    """If one accuracy was the best of so many runs, and accuracies spread so much over seeds."""

    runs: int
    seed_sd: float
    excess: float
    """By how much it then exceeds the mean of such runs, on average."""


class Claimed(BaseModel):
    """What ``bench compare --claim --json`` prints. Accuracies and differences are fractions."""

    correct: tuple[int, int]
    total: int
    difference: float
    alpha: float
    unpaired_p: float
    """As if the two had been tested on different images."""
    p_lowest: float
    """Of McNemar's test, over every number of discordant images that there can be."""
    p_highest: float
    discordant_lowest: int
    discordant_highest: int
    significant_up_to: int | None
    """Most discordant images with p < α."""
    disagreements: list[Disagreement]
    settling: list[Settling]
    best: list[Best]


def judge_claim(first: float, second: float, total: int | None, alpha: float = 0.05) -> Claimed:
    """Two accuracies, both percentages or both fractions, of one run each on the same ``total`` images.

    Raises:
        BenchError: accuracies, a total or an α that cannot be.
    """
    if total is None:
        raise BenchError("--claim: how many test images? Give --total-images, as in --total-images 20800")
    if not 0 < alpha < 0.5:
        raise BenchError(f"--alpha: found {alpha:g}, expected a probability above 0 and below 0.5")
    scale = 100 if max(first, second) > 1 else 1
    if any(
        not 0 <= accuracy <= scale or (scale == 100 and 0 < accuracy <= 1) for accuracy in (first, second)
    ):
        raise BenchError(
            f"--claim: found {first:g} and {second:g}, expected two percentages from 0 to 100 or two "
            "fractions from 0 to 1"
        )
    for accuracy in (first, second):
        # To ten digits: what lies beyond is the computer's, and not the paper's.
        behind = counts_behind(f"{accuracy:.10f}".rstrip("0"), total)
        if behind.rounded is None and behind.cut is None:
            raise BenchError(
                f"--claim: found {accuracy:g}, which no number of {total:,} images is, rounded or cut off; "
                "is --total-images that of the test set?"
            )
    a, b = (count_of(accuracy / scale, total) for accuracy in (first, second))
    bounds = claim(a, b, total, alpha)
    lowest, highest = bounds.discordant_lowest, bounds.discordant_highest
    # b + c has the parity of b − c
    shares = (lowest + 2 * round((share * total - lowest) / 2) for share in SHARES)
    plausible = {lowest, highest, *(count for count in shares if lowest < count < highest)}
    if bounds.significant_up_to is not None:
        plausible.add(bounds.significant_up_to)
    return Claimed(
        **asdict(bounds),
        correct=(a, b),
        difference=bounds.difference,
        alpha=alpha,
        disagreements=[
            Disagreement(discordant=n, p=mcnemar((n - lowest) // 2, (n + lowest) // 2).mid_p)
            for n in sorted(plausible)
        ],
        settling=settling(bounds.difference, alpha),
        best=[
            Best(runs=runs, seed_sd=sd, excess=optimism_of_best_run(runs, sd))
            for runs in RUNS
            for sd in SPREADS
        ],
    )


def settling(difference: float, alpha: float = 0.05) -> list[Settling]:
    """Seeds that it takes to find a difference, for each spread and correlation."""
    return [
        Settling(seed_sd=sd, correlation=rho, seeds=seeds_to_settle(difference, sd, rho, alpha))
        for sd in SPREADS
        for rho in CORRELATIONS
    ]


def claim_text(claimed: Claimed) -> list[Block]:
    """The document as blocks for the terminal."""
    (a, b), total, most = claimed.correct, claimed.total, claimed.significant_up_to
    disagreements = [
        (f"{row.discordant:,}", f"{row.discordant / total:.2%}", p_value(row.p, 3))
        for row in claimed.disagreements
    ]
    needs = [
        (f"{100 * need.seed_sd:.2f}", f"{need.correlation:.1f}", f"{need.seeds:,}" if need.seeds else NOTHING)
        for need in claimed.settling
    ]
    excess = {(row.runs, row.seed_sd): f"{100 * row.excess:.2f}" for row in claimed.best}
    runs, spreads = ([*dict.fromkeys(of)] for of in zip(*excess, strict=True))
    luck = [(f"{m:,}", *(excess[m, sd] for sd in spreads)) for m in runs]
    unpaired, lowest, highest = (
        p_value(p, 3) for p in (claimed.unpaired_p, claimed.p_lowest, claimed.p_highest)
    )
    right = f"{a:,} against {b:,} of {total:,} test images right: {a - b:+,} images"
    enough = "more than any such number" if most is None else f"no more than {most:,} such images"
    return [
        Paragraph(f"{right}, {100 * claimed.difference:+.3f} points; one run each."),
        Paragraph(f"As two samples of images: p = {unpaired} (two-sided z-test, not paired)."),
        Paragraph(
            f"As two checkpoints on the same images: McNemar's mid-p, between {lowest} and {highest}, "
            "depends on how many images the two disagree on, which their accuracies do not tell:"
        ),
        plain_table(("disagree on", "share of images", "mid-p"), disagreements, words=()),
        Paragraph(f"p < {claimed.alpha:g} takes {enough}."),
        Paragraph(
            "Neither speaks about the two losses: that takes seeds. To find this difference with probability "
            ".8, were it the true one, by paired t-tests:"
        ),
        plain_table(("sd over seeds, points", "ρ of the two", "seeds of either"), needs, words=()),
        Paragraph(
            "And if one of the two is the best of several runs, it is too high by so many points on average, "
            "for the same spreads over seeds (the expected largest of so many normal values):"
        ),
        plain_table(("best of", *(f"sd {100 * sd:.2f}" for sd in spreads)), luck, words=()),
    ]
