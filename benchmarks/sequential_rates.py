"""Does the rule for adding seeds keep its promises, and what does it cost?

Simulates comparisons without and with a difference and prints, as Markdown: how often each rule calls a
difference that is not there, how often the confidence sequence misses the truth, and how many seeds the
e-value takes where a fixed number of seeds would have had the same power. Numbers in brackets are standard
errors of the simulation. About half a minute on one core.

    python benchmarks/sequential_rates.py [--experiments 100000] [--seed 0]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.statistics.operating_characteristics import operating_characteristics
from bench.statistics.planning import power_of_t
from bench.statistics.sequential import critical_t, evidence, threshold
from bench.statistics.stopping import Plan, Rule

ALPHA = 0.05
SEEDS = (20, 50, 100)
"""Largest numbers of seeds."""

Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]
"""Differences of mean 0."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=100_000, help="(default 100000)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    false_alarms(args.experiments, args.seed)
    other_distributions(args.experiments // 5, args.seed)
    family(args.experiments // 10, args.seed)
    coverage(args.experiments // 50, args.seed)
    cost(args.experiments // 10, args.seed)


def false_alarms(experiments: int, seed: int) -> None:
    print(f"### False alarms, no difference, α = {ALPHA}, {experiments:,} experiments a cell\n")
    print("| rule | looks | " + " | ".join(f"by {n} seeds" for n in SEEDS) + " |")
    print("| --- | --- |" + " ---: |" * len(SEEDS))
    rows = [
        ("e-value, stop at 1/α", Rule.E_VALUE, 2, 1),
        ("t-test, stop at p < α", Rule.NAIVE, 2, 1),
        ("t-test, stop at p < α", Rule.NAIVE, 5, 1),
        ("O'Brien–Fleming spending", Rule.OBRIEN_FLEMING, 5, 5),
        ("Pocock spending", Rule.POCOCK, 5, 5),
        ("one t-test at the end", Rule.FIXED, 2, 1),
    ]
    for name, rule, start, step in rows:
        looks = "last" if rule is Rule.FIXED else f"after every seed from {start}" if step == 1 else "every 5"
        cells = []
        for largest in SEEDS:
            plan = Plan(start, step, largest, rule, ALPHA)
            (found,) = operating_characteristics(plan, [0.0], experiments, seed)
            cells.append(f"{found.decided:.4f} ({found.decided_se:.4f})")
        print(f"| {name} | {looks} | " + " | ".join(cells) + " |")
    print()


def other_distributions(experiments: int, seed: int) -> None:
    """The e-value is built for normal differences. These have mean 0 and are not normal.

    Where two losses do the same to every run, their differences are symmetric: the skewed ones here are what
    no difference in the mean alone would allow.
    """
    distributions: dict[str, Draw] = {
        "normal": lambda rng, shape: rng.standard_normal(shape),
        "Student's t, 3 degrees of freedom": lambda rng, shape: rng.standard_t(3, shape),
        "uniform": lambda rng, shape: rng.uniform(-1, 1, shape),
        "exponential, shifted (skewness 2)": lambda rng, shape: rng.standard_exponential(shape) - 1,
        "normal, sd 1 image, rounded to whole ones": lambda rng, shape: np.rint(rng.standard_normal(shape)),
        "one image more or one less": lambda rng, shape: 2.0 * rng.integers(0, 2, shape) - 1,
    }
    print(f"### False alarms of the e-value by 100 seeds, other distributions, {experiments:,} experiments\n")
    print("| distribution of the differences | looks from 2 seeds on | from 5 | from 10 |")
    print("| --- | ---: | ---: | ---: |")
    for name, draw in distributions.items():
        x = draw(np.random.default_rng(seed), (experiments, max(SEEDS)))
        cells = []
        for start in (2, 5, 10):
            rate = float(np.mean(first_crossing(x, threshold(ALPHA), start) > 0))
            cells.append(f"{rate:.4f} ({standard_error(rate, experiments):.4f})")
        print(f"| {name} | " + " | ".join(cells) + " |")
    print()


def family(experiments: int, seed: int) -> None:
    """Several losses against one baseline, so that the comparisons are correlated (½)."""
    print(f"### At least one false alarm in a family that shares a baseline, {experiments:,} experiments\n")
    print("| comparisons K | stop at K/α | stop at 1/α |\n| ---: | ---: | ---: |")
    for comparisons in (2, 8):
        rng = np.random.default_rng(seed)
        baseline = rng.standard_normal((experiments, max(SEEDS)))
        strict, loose = np.zeros(experiments, bool), np.zeros(experiments, bool)
        for _ in range(comparisons):
            x = rng.standard_normal(baseline.shape) - baseline
            strict |= first_crossing(x, threshold(ALPHA, comparisons)) > 0
            loose |= first_crossing(x, threshold(ALPHA)) > 0
        rates = [float(np.mean(alarms)) for alarms in (strict, loose)]
        cells = [f"{rate:.4f} ({standard_error(rate, experiments):.4f})" for rate in rates]
        print(f"| {comparisons} | " + " | ".join(cells) + " |")
    print()


def coverage(experiments: int, seed: int) -> None:
    """From whole counts, through :func:`evidence`: at all n at once, and at the last n alone."""
    print(f"### The 95 % confidence sequence over 100 seeds, {experiments:,} experiments, whole counts\n")
    print(
        "| sd of the differences, images | covers at every n | covers at n = 100 | mean width at 100, in sd |"
    )
    print("| ---: | ---: | ---: | ---: |")
    images, truth = 10_000, 8
    for sd in (3, 30):
        rng = np.random.default_rng(seed)
        always, last, widths = 0, 0, []
        for _ in range(experiments):
            counts = np.rint(rng.normal(truth, sd, max(SEEDS))).astype(np.int64)
            path = evidence(counts, images, ALPHA)
            held = (path.low <= truth / images) & (truth / images <= path.high) | np.isnan(path.low)
            always += bool(held.all())
            last += bool(held[-1])
            widths.append((path.high[-1] - path.low[-1]) * images / sd)
        cells = [
            f"{k / experiments:.4f} ({standard_error(k / experiments, experiments):.4f})"
            for k in (always, last)
        ]
        print(f"| {sd} | {cells[0]} | {cells[1]} | {np.mean(widths):.3f} |")
    print()


def cost(experiments: int, seed: int) -> None:
    """The largest n is chosen so that the e-value has the stated power."""
    print(f"### Seeds the e-value takes, beside a fixed design of equal power, {experiments:,} experiments\n")
    print(
        "| effect, sd of the differences | power | fixed: n | e-value: largest n | mean n | mean n/fixed n |"
    )
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for effect, most in ((0.25, 600), (0.5, 250), (1.0, 100), (1.5, 60), (2.0, 40)):
        x = np.random.default_rng(seed).standard_normal((experiments, most)) + effect
        stops = first_crossing(x, threshold(ALPHA))
        right = np.where((stops > 0) & (sign_at(x, stops) > 0), stops, most + 1)
        for power in (0.8, 0.95):
            largest = int(np.sort(right)[math.ceil(power * experiments) - 1])
            taken = np.where((stops > 0) & (stops <= largest), stops, largest)
            fixed = next(n for n in range(2, 10_000) if power_of_t(effect * n**0.5, n - 1, ALPHA) >= power)
            se = taken.std() / experiments**0.5
            print(
                f"| {effect} | {power} | {fixed} | {largest} | {taken.mean():.1f} ({se:.1f}) "
                f"| {taken.mean() / fixed:.2f} |"
            )
    print()


def first_crossing(x: NDArray[np.float64], bar: float, start: int = 2) -> NDArray[np.int64]:
    """Seeds at which e first reaches the bar [experiments], looked at from ``start`` on; 0: never."""
    n = np.arange(1, x.shape[1] + 1)
    mean = np.cumsum(x, axis=1) / n
    variance = np.maximum(np.cumsum(x * x, axis=1) / n - mean * mean, 0)[:, 1:] * n[1:] / (n[1:] - 1)
    # Below a whole image in sum, rounded differences are all equal: no e-value, no stop.
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(variance > 1e-12, mean[:, 1:] / np.sqrt(variance / n[1:]), 0.0)
    crossed = (np.abs(t) >= critical_t(n[1:], bar))[:, start - 2 :]
    return np.where(crossed.any(axis=1), crossed.argmax(axis=1) + start, 0)


def sign_at(x: NDArray[np.float64], stops: NDArray[np.int64]) -> NDArray[np.float64]:
    sums = np.cumsum(x, axis=1)
    return np.sign(sums[np.arange(len(x)), np.maximum(stops, 1) - 1])


def standard_error(rate: float, experiments: int) -> float:
    return math.sqrt(rate * (1 - rate) / experiments)


if __name__ == "__main__":
    main()
