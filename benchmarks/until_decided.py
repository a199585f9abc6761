"""Suites that add seeds until decided, thousands of them, simulated from whole counts: errors, power, seeds.

Each suite has one baseline and K losses on one data set and model; all of its runs are normal in the seed,
rounded to whole correct answers of 20,800 test images, and the baseline is shared, so that comparisons are
correlated (½). The rule is the one that suites follow (:func:`bench.statistics.stopping.outcomes`).

Prints, as Markdown: how many suites claim a difference where there is none; what becomes of a loss that is
better by one standard deviation of the paired differences, and how many seeds that takes beside a fixed
design of equal power and beside what theory allows; and what becomes of losses that are no different, for
several margins. Numbers in brackets are standard errors of the simulation. Half a minute on one core.

    python benchmarks/until_decided.py [--suites 2000] [--seed 0]
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.statistics.planning import power_of_t
from bench.statistics.stopping import FUTILITY, OUTCOMES, Outcome, Plan, outcomes

IMAGES, SD = 20_800, 20.0
"""Test images, and images of standard deviation over seeds: .1 points."""
ALPHA = 0.05
PLAN = Plan(5, 5, 40, alpha=ALPHA, futility=FUTILITY)
DIFFERENT, EQUIVALENT, FUTILE = map(OUTCOMES.index, (Outcome.DIFFERENCE, Outcome.EQUIVALENT, Outcome.FUTILE))

Outcomes = NDArray[np.int8]
Seeds = NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suites", type=int, default=2000, help="(default 2000)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    looks = ", ".join(map(str, PLAN.looks))
    print(f"{args.suites:,} suites a line; looks at {looks} seeds; α = {ALPHA}; futility {FUTILITY}.\n")
    identical(args.suites, args.seed)
    better(args.suites, args.seed)
    margins(args.suites, args.seed)


def simulate(plan: Plan, suites: int, seed: int, effect: float = 0.0) -> tuple[Outcomes, Seeds]:
    """Outcome and seeds of each comparison, [suites, K]; the first loss is better by ``effect``."""
    rng = np.random.default_rng(seed)
    shape = (suites, plan.comparisons + 1, plan.largest)
    counts = np.rint(19_900 + SD * rng.standard_normal(shape)).astype(np.int64)
    counts[:, 1] += round(effect * SD * 2**0.5)
    differences = counts[:, 1:] - counts[:, :1]
    looked = [differences[..., :n] for n in plan.looks]
    mean = np.stack([d.mean(-1) for d in looked], -1) / IMAGES
    se = np.stack([d.std(-1, ddof=1) / math.sqrt(d.shape[-1]) for d in looked], -1) / IMAGES
    said = outcomes(plan, mean, se)
    last = (said != 0).argmax(-1)[..., None]
    return np.take_along_axis(said, last, -1)[..., 0], plan.looks[last[..., 0]]


def planned(comparisons: int, margin: float = 0.0) -> Plan:
    """``margin``: in standard deviations of the paired differences."""
    return replace(PLAN, comparisons=comparisons, margin=margin * SD * 2**0.5 / IMAGES)


def identical(suites: int, seed: int) -> None:
    print("### All losses are the same\n")
    print("| comparisons K | suites that claim any difference | runs, of a fixed 40 seeds |")
    print("| ---: | ---: | ---: |")
    for comparisons in (1, 4, 14):
        ends, seeds = simulate(planned(comparisons), suites, seed)
        rate = float((ends == DIFFERENT).any(1).mean())
        # Every loss is trained as often as its comparison asks, the baseline as often as the longest one.
        share = (seeds.sum(1) + seeds.max(1)).mean() / (PLAN.largest * (comparisons + 1))
        print(f"| {comparisons} | {shown(rate, suites)} | {share:.0%} |")
    print()


def better(suites: int, seed: int) -> None:
    """The first loss, by one sd: of its comparison alone."""
    print("### One loss is better by one standard deviation of the paired differences\n")
    print("| K | called different | mean seeds | theory | fixed design of equal power | saved |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for comparisons in (1, 4, 14):
        ends, seeds = (found[:, 0] for found in simulate(planned(comparisons), suites, seed, effect=1.0))
        power, mean = float((ends == DIFFERENT).mean()), seeds.mean()
        fixed = next(n for n in range(2, 999) if power_of_t(n**0.5, n - 1, ALPHA / comparisons) >= power)
        print(
            f"| {comparisons} | {shown(power, suites)} | {mean:.1f} ({seeds.std() / suites**0.5:.1f}) "
            f"| {theory(1.0, comparisons):.1f} | {fixed} | {1 - mean / fixed:.0%} |"
        )
    print(
        "\nTheory: evidence grows by ½·ln(1 + δ²) a seed, must reach ln(K/α), and pays ½·ln(1 + n) for not\n"
        "knowing the effect; half a step is added, since looks are 5 seeds apart.\n"
    )


def theory(effect: float, comparisons: int) -> float:
    """Seeds after which the e-value is expected to have reached its bar, looked at every fifth seed."""
    n = 2.0
    for _ in range(200):  # a fixed point
        n = (math.log(comparisons / ALPHA) + math.log(1 + n) / 2) / (math.log1p(effect**2) / 2)
    return n + (PLAN.step - 1) / 2


def margins(suites: int, seed: int) -> None:
    print("### Four losses: all the same as the baseline, or the first one off by just the margin\n")
    print("| margin, sd | equivalent | futile | different | mean seeds | off by the margin: equivalent |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for margin in (0.4, 0.5, 0.7, 1.0, 1.5):
        plan = planned(4, margin)
        ends, seeds = simulate(plan, suites, seed)
        shares = [float((ends == end).mean()) for end in (EQUIVALENT, FUTILE, DIFFERENT)]
        off, _ = simulate(plan, suites, seed, effect=margin)
        wrong = shown(float((off[:, 0] == EQUIVALENT).mean()), suites)
        columns = " | ".join(f"{share:.3f}" for share in shares)
        print(f"| {margin} | {columns} | {seeds.mean():.1f} | {wrong} |")
    print()


def shown(rate: float, count: int) -> str:
    return f"{rate:.4f} ({math.sqrt(rate * (1 - rate) / count):.4f})"


if __name__ == "__main__":
    main()
