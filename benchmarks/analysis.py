"""How fast is the analysis, side by side with the obvious way and with scipy, in one run?

Prints medians of alternating rounds and their ratios, so that whatever else the machine does hits both
alike. About a minute and a half on two cores; --large 0 leaves out the 10,000 runs. A second metric is set
beside the whole analysis that it is added to; it must cost less than half of it, a ratio of 2.

    python benchmarks/analysis.py [--rounds 5] [--large 10000]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.statistics.agreement import difference_products, discordant, joint_correct, pack
from bench.statistics.crossed import crossed_anova, crossed_of_table
from bench.statistics.effects import effects
from bench.statistics.equivalence import tost
from bench.statistics.paired import paired_t
from bench.statistics.permutation import sign_flip, sign_test
from bench.statistics.planning import minimum_detectable_effect
from bench.statistics.proportions import mcnemar
from bench.statistics.rotations import rotate
from bench.statistics.signed_ranks import paired_superiority, wilcoxon

UNIT = 10**12
"""Parts of 1 in which values of a metric are counted."""
IMAGES = 20_800
"""EMNIST-Letters."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (default 5)")
    parser.add_argument("--large", type=int, default=10_000, help="runs of the largest analysis")
    args = parser.parse_args()
    print("| what | median | the other | its median | ratio |")
    print("| --- | ---: | --- | ---: | ---: |")
    correct = answers(180, 0)
    packed = pack(correct)
    rounds = args.rounds
    side_by_side(
        "G, 180 runs × 20,800 images, packing included",
        lambda: joint_correct(pack(correct)),
        "numpy, pair by pair",
        lambda: pair_by_pair(correct),
        rounds,
    )
    floats = correct.astype(np.float32)
    side_by_side(
        "G, 180 runs, packed already",
        lambda: joint_correct(packed),
        "matrix product of float32, converted already",
        lambda: floats @ floats.T,
        rounds,
    )
    twenty = np.rint(np.random.default_rng(1).normal(10, 30, 20)).astype(np.int64)
    side_by_side(
        "exact sign-flip, n = 20",
        lambda: sign_flip(twenty),
        "scipy.stats.permutation_test, exact",
        lambda: scipy_sign_flip(twenty),
        min(rounds, 3),
    )
    forty = np.rint(np.random.default_rng(2).normal(10, 60, 40)).astype(np.int64)
    large = np.rint(np.random.default_rng(2).normal(10, 60, 40) * UNIT).astype(np.int64)
    runs = answers(5 * 6 * 20, 3)
    for name, action in {
        "exact sign-flip, n = 40": lambda: sign_flip(forty),
        "exact sign-flip, n = 40, of a metric that is no count": lambda: sign_flip(large),
        "the whole analysis: 5 losses × 6 models × 20 seeds × 20,800 images": lambda: analyse(runs, 5, 6, 20),
    }.items():
        print(f"| {name} | {show(median(action, rounds))} | | | |")
    measured = surprises(runs, 6)
    side_by_side(
        "what a second metric adds to it: negative log-likelihood of each image",
        lambda: analyse_second(*measured, 5, 6, 20),
        "the whole analysis of the first",
        lambda: analyse(runs, 5, 6, 20),
        rounds,
    )
    if args.large:
        seeds = args.large // 50
        many = answers(50 * seeds, 4)
        taken = median(lambda: analyse(many, 5, 10, seeds), 1)
        print(f"| the whole analysis: {len(many):,} runs, 5 losses × 10 models | {show(taken)} | | | |")
        del many
        words = np.random.default_rng(5).integers(0, 2**63, size=(args.large, IMAGES // 64), dtype=np.uint64)
        taken = median(lambda: joint_correct(words), 1)
        print(f"| one G of all {args.large:,} runs (never needed: models are not compared) "
              f"| {show(taken)} | | | |")  # fmt: skip


def answers(runs: int, seed: int) -> NDArray[np.bool_]:
    """Runs that agree on most images, as networks do: each image has a difficulty of its own."""
    draw = np.random.default_rng(seed)
    chance = draw.beta(4, 0.2, size=IMAGES).astype(np.float32)
    return np.stack([draw.random(IMAGES, dtype=np.float32) < chance for _ in range(runs)])


def surprises(correct: NDArray[np.bool_], seed: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """What measuring a run gives: its negative log-likelihood in whole numbers [runs], and that of each image
    [runs, images], small and skewed where the answer is right, else large."""
    draw = np.random.default_rng(seed)
    values = np.exp(draw.standard_normal(correct.shape, dtype=np.float32) - 4)
    values[~correct] += 2
    return np.rint(values.mean(axis=1, dtype=np.float64) * UNIT).astype(np.int64), values


def analyse(correct: NDArray[np.bool_], losses: int, models: int, seeds: int) -> list[object]:
    """Every number of a report from the answers [models × losses × seeds, images]; loss 0 is the baseline."""
    results: list[object] = []
    columns = []
    raw: list[float | None] = []
    for of_model in correct.reshape(models, losses * seeds, IMAGES):
        joint = joint_correct(pack(of_model))
        disagree = discordant(joint)
        counts = joint.diagonal().reshape(losses, seeds)
        rows = np.arange(losses * seeds).reshape(losses, seeds)
        for loss in range(1, losses):
            d = counts[loss] - counts[0]
            t = paired_t(d, IMAGES)
            results += [t, tost(t, 0.001), minimum_detectable_effect(t, 0.05)]
            products = difference_products(joint, rows[loss], rows[0])
            results += [crossed_anova(products, d, IMAGES), effects(counts[loss], counts[0], IMAGES)]
            results += [sign_flip(d), sign_test(d), wilcoxon(d), paired_superiority(d)]
            results.append(disagree[rows[loss], rows[0]].mean())
            for a, b in zip(rows[loss], rows[0], strict=True):
                both = int(joint[a, b])
                results.append(mcnemar(int(joint[a, a]) - both, int(joint[b, b]) - both))
            raw.append(t.p)
            columns.append(d)
    return [*results, *_together(columns, raw, losses)]


def analyse_second(
    means: NDArray[np.int64], values: NDArray[np.float32], losses: int, models: int, seeds: int
) -> list[object]:
    """The same of a mean over images that is no count, from what :func:`surprises` gives."""
    results: list[object] = []
    columns = []
    raw: list[float | None] = []
    shape = models, losses, seeds
    for units, of_model in zip(means.reshape(shape), values.reshape(*shape, IMAGES), strict=True):
        for loss in range(1, losses):
            d = units[loss] - units[0]
            t = paired_t(d, UNIT, bounded=False)
            results += [t, tost(t, 0.01), minimum_detectable_effect(t, 0.05)]
            results += [effects(units[loss], units[0], UNIT, bounded=False)]
            results += [crossed_of_table(of_model[loss] - of_model[0])]
            results += [sign_flip(d), sign_test(d), wilcoxon(d), paired_superiority(d)]
            raw.append(t.p)
            columns.append(d)
    return [*results, *_together(columns, raw, losses)]


def _together(columns: list[NDArray[np.int64]], raw: list[float | None], losses: int) -> list[float]:
    """Adjusted p, and the levels of both intervals: losses of one model share their baseline's runs."""
    each = losses - 1
    blocks = [np.column_stack(columns[k : k + each]) for k in range(0, len(columns), each)]
    smallest = rotate(blocks)
    return [*(smallest.chance(p or 1.0) for p in raw), smallest.level(0.05), smallest.level(0.1)]


def pair_by_pair(correct: NDArray[np.bool_]) -> NDArray[np.int64]:
    joint = np.empty((len(correct), len(correct)), dtype=np.int64)
    for a in range(len(correct)):
        for b in range(len(correct)):
            joint[a, b] = np.count_nonzero(correct[a] & correct[b])
    return joint


def scipy_sign_flip(d: NDArray[np.int64]) -> float:
    """All 2²⁰ ways to swap the arms of a pair."""
    result = stats.permutation_test(
        (d, np.zeros_like(d)),
        lambda loss, baseline, axis: (loss - baseline).sum(axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
        batch=2**15,
    )
    return float(result.pvalue)


def side_by_side(
    name: str, ours: Callable[[], object], other: str, theirs: Callable[[], object], rounds: int
) -> None:
    ours()
    one, two = [], []
    for _ in range(rounds):
        one.append(seconds(ours))
        two.append(seconds(theirs))
    fast, slow = statistics.median(one), statistics.median(two)
    print(f"| {name} | {show(fast)} | {other} | {show(slow)} | {slow / fast:,.3g} |", flush=True)


def median(action: Callable[[], object], rounds: int) -> float:
    return statistics.median(seconds(action) for _ in range(rounds))


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def show(taken: float) -> str:
    return f"{taken:.2f} s" if taken >= 1 else f"{1000 * taken:.3g} ms"


if __name__ == "__main__":
    main()
