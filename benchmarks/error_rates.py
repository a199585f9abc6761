"""Do single tests and intervals keep their promises? False alarms and coverage, simulated.

Whole decisions, of whole families, are in ``benchmarks/decisions.py``.

There is never a true difference, or its size is known, so every rate has a right answer: at most .05 for a
test, at least .95 for an interval. Prints Markdown; numbers in brackets are standard errors of the
simulation, √(p(1 − p)/experiments). About two minutes on one core.

    python benchmarks/error_rates.py [--reps 2000] [--seed 0]
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from bench.metrics import Measure
from bench.metrics.auroc import Auroc
from bench.metrics.balanced_accuracy import BalancedAccuracy
from bench.metrics.macro_f1 import MacroF1
from bench.predictions import Predictions
from bench.statistics.crossed import crossed_anova, crossed_of_table
from bench.statistics.paired import paired_t
from bench.statistics.permutation import sign_flip, sign_test
from bench.statistics.proportions import Difference, McNemar, mcnemar, newcombe_paired
from bench.statistics.signed_ranks import paired_superiority, wilcoxon
from bench.statistics.unpaired import brunner_munzel, welch

UNIT = 10**12
"""Parts of 1 in which values of a metric are counted."""
ALPHA = 0.05
SEEDS = (5, 10, 20)
TOTAL = 20_800
IMAGES = 500
"""Test images where every answer is simulated."""
CLASSES = np.array([0.4, 0.25, 0.2, 0.1, 0.05])
"""Shares of the classes, where there are any."""

Arms = Callable[[np.random.Generator, int], tuple[NDArray[np.int64], NDArray[np.int64]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reps", type=int, default=2000, help="simulated experiments (default 2000)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    over_seeds(args.reps, args.seed)
    over_seeds_and_images(args.reps, args.seed)
    over_numbers(args.reps, args.seed)
    of_a_mean(args.reps, args.seed)
    of_two_checkpoints(10 * args.reps, args.seed)


def over_seeds(reps: int, seed: int) -> None:
    """Two arms of equal quality: how often does each test call a difference?"""
    heading("False alarms of tests over seeds, and how often the interval of P(A > B) holds ½", reps)
    row("accuracies over seeds", "S", "paired t", "sign-flip", "Wilcoxon", "sign", "Welch",
        "Brunner–Munzel", "P(A > B) holds ½")  # fmt: skip
    rule(9)
    kinds: dict[str, Arms] = {
        "normal, ρ = 0": normal(30, 0.0),
        "normal, ρ = .5": normal(30, 0.5),
        "normal, sd of one image: many ties": normal(1, 0.0),
        "skewed: some runs collapse": skewed,
    }
    for number, (name, arms) in enumerate(kinds.items()):
        for seeds in SEEDS:
            draw = np.random.default_rng([seed, number, seeds])
            rates: dict[str, list[float]] = defaultdict(list)
            for _ in range(reps):
                a, b = arms(draw, seeds)
                d = a - b
                rates["t"].append(alarm(paired_t(d, TOTAL).p))
                rates["flip"].append(alarm(sign_flip(d).p))
                rates["wilcoxon"].append(alarm(wilcoxon(d).p))
                rates["sign"].append(alarm(sign_test(d).p))
                rates["welch"].append(alarm(welch(a, b, TOTAL).p))
                rates["bm"].append(alarm(brunner_munzel(a, b, TOTAL).p))
                better = paired_superiority(d)
                rates["superiority"].append(holds(better.low, better.high, 0.5))
            row(name, seeds, *(rate(values) for values in rates.values()))


def normal(sd: float, correlation: float) -> Arms:
    def arms(draw: np.random.Generator, seeds: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        common = math.sqrt(correlation) * draw.standard_normal(seeds)
        own = math.sqrt(1 - correlation) * draw.standard_normal((2, seeds))
        a, b = np.rint(19_900 + sd * (common + own)).astype(np.int64)
        return a, b

    return arms


def skewed(draw: np.random.Generator, seeds: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    a, b = np.rint(19_950 - 40 * draw.exponential(size=(2, seeds)) ** 2).astype(np.int64)
    return a, b


def over_seeds_and_images(reps: int, seed: int) -> None:
    """Answers to every image: which interval holds the true difference, on these images and on new ones?"""
    heading(f"Coverage of intervals over seeds and {IMAGES} images", reps)
    row("real effects of", "S", "t: these images", "crossed ANOVA: new images too",
        "t, if taken for new images too")  # fmt: skip
    rule(5)
    for of_seed in (0.0, 0.15):
        for of_image in (0.0, 1.0):
            effects = [name for name, sd in (("seed", of_seed), ("image", of_image)) if sd]
            for seeds in SEEDS:
                draw = np.random.default_rng([seed, len(effects), int(of_image), seeds])
                rates: dict[str, list[float]] = {"t": [], "crossed": [], "wrong": []}
                for _ in range(reps):
                    table, here = answers(draw, seeds, of_seed, of_image)
                    sums = table.sum(axis=1, dtype=np.int64)
                    t = paired_t(sums, IMAGES)
                    floats = table.astype(np.float64)
                    products = np.rint(floats @ floats.T).astype(np.int64)
                    crossed = crossed_anova(products, sums, IMAGES)
                    rates["t"].append(holds(t.low, t.high, here))
                    rates["crossed"].append(holds(crossed.low, crossed.high, 0.0))
                    rates["wrong"].append(holds(t.low, t.high, 0.0))
                row(" and ".join(effects) or "neither", seeds, *(rate(values) for values in rates.values()))


def answers(
    draw: np.random.Generator, seeds: int, of_seed: float, of_image: float
) -> tuple[NDArray[np.int8], float]:
    """D [S, n], and its mean over all seeds on these images; on all images it is 0, by symmetry.

    A normal advantage of the loss on each image, in each run; it decides where it is beyond ±1.5 or so.
    """
    image = of_image * draw.standard_normal(IMAGES)
    advantage = (
        image
        + of_seed * draw.standard_normal((seeds, 1))
        + draw.standard_normal((seeds, IMAGES), dtype=np.float32)
    )
    cut = 1.6 * math.sqrt(1 + of_image**2)
    table = (advantage > cut).astype(np.int8) - (advantage < -cut).astype(np.int8)
    spread = math.sqrt(1 + of_seed**2)
    here = np.mean(stats.norm.sf(cut, image, spread) - stats.norm.cdf(-cut, image, spread))
    return table, float(here)


def over_numbers(reps: int, seed: int) -> None:
    """Metrics that are no counts: a mean of skewed numbers, and what is no mean over images at all."""
    few = max(reps // 4, 1)
    heading(f"Coverage of intervals of other metrics for new seeds and {IMAGES} new images", reps)
    row("metric", "S", "crossed ANOVA", "t, if taken for new images too")
    rule(4)
    for better in (0.0, 0.2):
        difference = "a fifth less" if better else "no difference"
        truth = -better * math.exp(-2 + (1 + 0.3**2 + 0.1**2 + 0.5**2) / 2)
        for seeds in SEEDS:
            draw = np.random.default_rng([seed, seeds, round(10 * better)])
            rates: dict[str, list[float]] = {"crossed": [], "wrong": []}
            for _ in range(reps):
                table = surprises(draw, seeds, 1 - better)
                note(rates, table, table.mean(axis=1), truth)
            row(f"negative log-likelihood, {difference}", seeds, *(rate(times) for times in rates.values()))
    measures: dict[str, Measure] = {
        "balanced accuracy": BalancedAccuracy(),
        "macro-F1": MacroF1(),
        "area under the ROC curve": Auroc(),
    }
    for name, measure in measures.items():
        for seeds in SEEDS:
            draw = np.random.default_rng([seed, seeds])
            rates = {"crossed": [], "wrong": []}
            for _ in range(few):
                ours, base = classified(draw, seeds)
                values = np.array([[measure(run) for run in arm] for arm in (ours, base)])
                pseudo = np.array([[measure.pseudo_values(run) for run in arm] for arm in (ours, base)])
                note(rates, pseudo[0] - pseudo[1], values[0] - values[1], 0.0)
            row(f"{name} ({few} experiments)", seeds, *(rate(times) for times in rates.values()))


def note(
    rates: dict[str, list[float]], table: NDArray[np.float64], values: NDArray[np.float64], truth: float
) -> None:
    """Do the two intervals hold the truth? Of differences [S, n], and of the metric's own [S]."""
    crossed = crossed_of_table(table, estimate=float(values.mean()))
    t = paired_t(np.rint(values * UNIT).astype(np.int64), UNIT, bounded=False)
    rates["crossed"].append(holds(crossed.low, crossed.high, truth))
    rates["wrong"].append(holds(t.low, t.high, truth))


def surprises(draw: np.random.Generator, seeds: int, times: float) -> NDArray[np.float64]:
    """Differences of log-likelihoods [S, n]: lognormal, and those of the loss smaller by a factor.

    Images differ, a loss is better at some of them than at others, and so are seeds and chance.
    """
    shared = draw.normal(-2, 1, size=IMAGES)
    ours, base = (
        factor
        * np.exp(
            shared
            + 0.3 * draw.standard_normal(IMAGES)
            + 0.1 * draw.standard_normal((seeds, 1))
            + 0.5 * draw.standard_normal((seeds, IMAGES))
        )
        for factor in (times, 1.0)
    )
    return np.asarray(ours - base)


def classified(draw: np.random.Generator, seeds: int) -> list[list[Predictions]]:
    """The runs of two losses of equal quality, classes of unequal size."""
    classes = len(CLASSES)
    labels = draw.choice(classes, size=IMAGES, p=CLASSES)
    shared = 2.2 * (labels[:, None] == np.arange(classes)) + 0.8 * draw.standard_normal((IMAGES, classes))
    arms = []
    for _ in range(2):
        logits = shared + 0.4 * draw.standard_normal((IMAGES, classes))
        logits = logits + 0.25 * draw.standard_normal((seeds, 1, classes))
        logits = logits + 0.8 * draw.standard_normal((seeds, IMAGES, classes))
        runs = special.softmax(logits, axis=-1)
        arms.append([Predictions.from_probabilities(run, labels) for run in runs])
    return arms


def of_a_mean(reps: int, seed: int) -> None:
    """Why there is no bootstrap over seeds."""
    heading("Intervals of a mean over seeds: how often they hold it", reps)
    row("normal differences", "Student's t", "BCa, 2,000 resamples")
    rule(3)
    for seeds in SEEDS:
        draw = np.random.default_rng([seed, seeds])
        rates: dict[str, list[float]] = {"t": [], "bca": []}
        for _ in range(reps):
            values = np.rint(30 * draw.standard_normal(seeds)).astype(np.int64)
            t = paired_t(values, TOTAL)
            bca = stats.bootstrap((values,), np.mean, n_resamples=2000, method="BCa", rng=draw)
            rates["t"].append(holds(t.low, t.high, 0.0))
            rates["bca"].append(holds(*bca.confidence_interval, 0.0))
        row(f"{seeds} seeds", *(rate(times) for times in rates.values()))


def of_two_checkpoints(reps: int, seed: int) -> None:
    """Two networks on the same images; the alarms without, the coverage with a true difference."""
    heading("Two checkpoints: false alarms of McNemar's test, coverage of Newcombe's interval", reps)
    row("images", "discordant", "exact", "mid-p", "asymptotic", "corrected", "Newcombe, paired")
    rule(7)
    table_of, interval_of = cache(mcnemar), cache(newcombe_paired)
    for images, discordant in ((300, 0.03), (300, 0.1), (20_800, 0.002), (20_800, 0.02)):
        draw = np.random.default_rng([seed, images, round(1000 * discordant)])
        even = draw.multinomial(images, [0.95 - discordant / 2, discordant / 2, discordant / 2,
                                         0.05 - discordant / 2], size=reps)  # fmt: skip
        tests: list[McNemar] = [table_of(int(b), int(c)) for _, b, c, _ in even]
        uneven = draw.multinomial(images, [0.95 - discordant / 2, 0.7 * discordant, 0.3 * discordant,
                                           0.05 - discordant / 2], size=reps // 4)  # fmt: skip
        intervals: list[Difference] = [interval_of(*(int(cell) for cell in cells)) for cells in uneven]
        row(
            f"{images:,}",
            f"{discordant:.1%}",
            *(rate([alarm(getattr(test, name)) for test in tests])
              for name in ("exact", "mid_p", "asymptotic", "corrected")),
            rate([holds(got.low, got.high, 0.4 * discordant) for got in intervals]),
        )  # fmt: skip
    print(f"\nNewcombe's interval: {reps // 4} experiments, true difference 0.4 × discordant.")


def alarm(p: float | None) -> float:
    """What cannot be computed decides nothing."""
    return float(p is not None and p < ALPHA)


def holds(low: float | None, high: float | None, truth: float) -> float:
    """Without an interval nothing is said that could be wrong, nor right: left out of the rate."""
    return math.nan if low is None or high is None else float(low <= truth <= high)


def heading(title: str, reps: int) -> None:
    print(f"\n### {title}\n\n{reps} experiments a row.\n")


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def rule(columns: int) -> None:
    row("---", *["---:"] * (columns - 1))


def rate(values: Iterable[float]) -> str:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "—"
    share = sum(known) / len(known)
    return f"{share:.3f} ({math.sqrt(share * (1 - share) / len(known)):.3f})"


if __name__ == "__main__":
    main()
