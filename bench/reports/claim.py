"""What a published claim is worth, from two accuracies of single runs and the size of the test set."""

from __future__ import annotations

from pydantic import BaseModel

from bench.errors import BenchError
from bench.statistics.claims import claim, count_of, seeds_to_settle
from bench.statistics.proportions import mcnemar

SPREADS = (0.0005, 0.001, 0.002)
"""Standard deviations over seeds for which seeds are counted: what small networks on large test sets have."""
CORRELATIONS = (0.0, 0.5)
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
    for accuracy in (first, second):
        if not (0 <= accuracy <= scale) or (scale == 100 and 0 < accuracy <= 1):
            raise BenchError(
                f"--claim: found {first:g} and {second:g}, expected two percentages from 0 to 100 "
                "or two fractions from 0 to 1"
            )
    a, b = (count_of(accuracy / scale, total) for accuracy in (first, second))
    found = claim(a, b, total, alpha)
    lowest, highest = found.discordant_lowest, found.discordant_highest
    plausible = {lowest, highest, *([found.significant_up_to] if found.significant_up_to is not None else [])}
    for share in SHARES:  # b + c has the parity of b − c
        discordant = lowest + 2 * round((share * total - lowest) / 2)
        plausible |= {discordant} if lowest < discordant < highest else set()
    return Claimed(
        correct=(a, b),
        total=total,
        difference=found.difference,
        alpha=alpha,
        unpaired_p=found.unpaired_p,
        p_lowest=found.p_lowest,
        p_highest=found.p_highest,
        discordant_lowest=lowest,
        discordant_highest=highest,
        significant_up_to=found.significant_up_to,
        disagreements=[
            Disagreement(discordant=n, p=mcnemar((n - lowest) // 2, (n + lowest) // 2).mid_p)
            for n in sorted(plausible)
        ],
        settling=[
            Settling(seed_sd=sd, correlation=rho, seeds=seeds_to_settle(found.difference, sd, rho, alpha))
            for sd in SPREADS
            for rho in CORRELATIONS
        ],
    )


def claim_text(found: Claimed) -> str:
    """The same for a person."""
    (a, b), total = found.correct, found.total
    lines = [
        f"{a:,} against {b:,} of {total:,} test images right: {a - b:+,} images, "
        f"{100 * found.difference:+.3f} points; one run each.",
        "",
        f"As two samples of images: p = {_p(found.unpaired_p)} (two-sided z-test, not paired).",
        "",
        f"As two checkpoints on the same images: McNemar's mid-p, between {_p(found.p_lowest)} and "
        f"{_p(found.p_highest)}, depends on",
        "how many images the two disagree on, which their accuracies do not tell:",
        "",
        "| disagree on | share of images | mid-p |",
        "|------------:|----------------:|------:|",
    ]
    for row in found.disagreements:
        share = f"{row.discordant / total:.2%}"
        lines.append(f"| {row.discordant:>11,} | {share:>15} | {_p(row.p):>5} |")
    most = found.significant_up_to
    lines += [
        "",
        f"p < {found.alpha:g} takes "
        + ("more than any such number." if most is None else f"no more than {most:,} such images."),
        "",
        "Neither speaks about the two losses: that takes seeds. To find this difference with probability .8,",
        "were it the true one, by paired t-tests:",
        "",
        "| sd over seeds, points | ρ of the two | seeds of either |",
        "|----------------------:|-------------:|----------------:|",
    ]
    for need in found.settling:
        seeds = "—" if need.seeds is None else f"{need.seeds:,}"
        lines.append(f"| {100 * need.seed_sd:>21.2f} | {need.correlation:>12.1f} | {seeds:>15} |")
    return "\n".join(lines)


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "<.001"
