"""Do whole decisions keep their promises? Verdicts and intervals of the code that decides, simulated.

Each row is one situation: so many experiments go through :func:`bench.comparisons.analysis.analyse`, flags,
failures, scopes and all, and what it says is held against what is true. A verdict is about runs that train
as the rest of their cell does, so what is true is the difference of *sound* runs. Rates are of whole
families: at least one false verdict among K. A rate may exceed α by what so many experiments let it, for all
rows at once; one that exceeds more is marked with an exclamation mark, and the program ends with 1.

Prints Markdown, with standard errors of simulation in brackets. About six minutes on two cores.

    python benchmarks/decisions.py [--only SECTION] [--full] [--seed 0]
"""

from __future__ import annotations

import argparse
import math
import sys
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.comparisons.analysis import Measured, analyse
from bench.comparisons.comparison import Comparison, Metric
from bench.comparisons.designs import Design
from bench.comparisons.pairings import Scores
from bench.comparisons.runs import Joint
from bench.comparisons.until_decided import until_decided
from bench.statistics.agreement import joint_correct, pack
from bench.statistics.equivalence import tost
from bench.statistics.multiplicity import holm
from bench.statistics.paired import paired_t
from bench.statistics.stopping import PREDICTIVE, Plan, Rule
from bench.statistics.verdicts import Word

ALPHA = 0.05
IMAGES = 450
LARGEST = 40
"""Seeds of a design that adds them."""
EXPERIMENTS, VECTORS = 2_000, 2_000
FULL = 10_000, 20_000


@dataclass(frozen=True)
class Situation:
    """What is simulated. Spreads and differences are in points of accuracy."""

    section: str
    name: str
    seeds: int = 10
    losses: int = 1
    accuracy: float = 95.0
    sd: float = 1.0
    """Of a run over seeds."""
    correlation: float = 0.5
    """Of an arm with the baseline."""
    ratio: float = 1.0
    """Variance of a loss over the baseline's."""
    binomial: bool = False
    """Whether runs vary as so many coins do: near the ceiling that is skewed, and full of ties."""
    shift: float = 0.0
    """True difference of sound runs, of all losses."""
    better: float = 0.0
    """The same of the first loss alone, in standard deviations of the paired differences."""
    margin: float = 0.0
    collapse: tuple[float, float] = (0.0, 0.0)
    """Share of the runs of the losses, and of the baseline, that lose 5 to 30 points."""
    lost: tuple[float, float] = (0.0, 0.0)
    """Share of the runs of the losses, and of the baseline, that fail at random."""
    worst: float = 0.0
    """Share of a loss's runs, the worst of them, that fail."""
    interaction: float = 0.0
    """Logits of standard deviation of what a loss makes of single images, the same for all seeds."""
    images: int = IMAGES
    points: bool = True
    """Whether it is accuracy that is measured; else a loss, which has none, in units of 1/``images``."""
    rule: Rule = Rule.FIXED
    judge: str = "rotations"

    @property
    def spread(self) -> float:
        """Points of standard deviation of a paired difference."""
        first, second = self.sd, self.sd * math.sqrt(self.ratio)
        return math.sqrt(first**2 + second**2 - 2 * self.correlation * first * second)


def situations() -> list[Situation]:
    """All rows, section by section."""
    rows: list[Situation] = []

    def add(section: str, name: str, **of: object) -> None:
        rows.append(Situation(section, name, **of))  # type: ignore[arg-type]

    nothing = "Nothing differs"
    for losses in (1, 4, 14):
        for seeds in (3, 5, 6, 10, 20):
            add(nothing, "normal, ρ = .5", seeds=seeds, losses=losses)
    for correlation in (-0.2, 0.0, 0.9):
        add(nothing, f"normal, ρ = {correlation:g}", losses=4, correlation=correlation)
    for ratio in (2.0, 5.0):
        for seeds in (5, 10):
            add(nothing, f"variance ratio {ratio:g}", seeds=seeds, losses=4, ratio=ratio)
    for accuracy in (98.0, 99.0, 99.5, 99.9):
        for seeds in (5, 10):
            add(nothing, f"ties at {accuracy:g} %", seeds=seeds, losses=4, accuracy=accuracy, binomial=True)
    add(nothing, "ties at 99 %", seeds=5, losses=14, accuracy=99.0, binomial=True)
    for seeds in (6, 10):
        add(nothing, "judged by flips", seeds=seeds, losses=4, judge="flips")

    margin = "All losses are off by just the margin"
    for losses in (1, 4, 14):
        for seeds, size in ((5, 1.5), (10, 0.8), (20, 0.5)):  # about as small as so many seeds can show
            add(margin, f"margin {size:g} sd", seeds=seeds, losses=losses, shift=-size, margin=size)
    for accuracy in (99.0, 99.5):
        for seeds in (5, 6, 7, 10):
            add(margin, f"ties at {accuracy:g} %", seeds=seeds, losses=1, accuracy=accuracy, binomial=True,
                shift=-0.5, margin=0.5)  # fmt: skip
    add(margin, "variance ratio 5", losses=4, shift=-1.5, margin=1.5, ratio=5.0)
    add(margin, "judged by flips", losses=4, shift=-0.8, margin=0.8, judge="flips")
    add(margin, "a loss collapses, 1 in 35", seeds=20, shift=-1.0, margin=1.0, collapse=(1 / 35, 0.0))

    collapse = "Runs collapse, sound ones do not differ"
    for seeds in (5, 10, 20):
        add(collapse, "the losses, 1 in 20", seeds=seeds, collapse=(0.05, 0.0))
        add(collapse, "both, 1 in 20", seeds=seeds, losses=4, collapse=(0.05, 0.05))
    add(collapse, "the losses, 1 in 5", losses=4, collapse=(0.2, 0.0))
    add(collapse, "both, 1 in 5", losses=4, collapse=(0.2, 0.2))

    sound = "No run collapses, and some are flagged"
    for seeds in (5, 10, 20):
        add(sound, "normal, without points", seeds=seeds, losses=4, images=10**6, points=False)
    for seeds in (5, 10):
        add(sound, "ties at 95 % of 76 images", seeds=seeds, losses=4, images=76, binomial=True)
        add(sound, "normal, sd of 2 points", seeds=seeds, losses=4, sd=2.0, accuracy=80.0)

    failures = "Runs fail, and losses do not differ"
    for seeds in (10, 20):
        add(failures, "at random, 3 in 10 of both", seeds=seeds, losses=4, lost=(0.3, 0.3))
        add(failures, "the worst 3 in 10 of the losses", seeds=seeds, worst=0.3)
        add(failures, "the worst 3 in 10 of the losses", seeds=seeds, losses=4, worst=0.3)

    images = "On new images losses do not differ"
    for losses, seeds in ((1, 10), (1, 20), (4, 10), (4, 20)):
        add(images, "2 logits of interaction", seeds=seeds, losses=losses, interaction=2.0)
    add(images, "no interaction", losses=4, interaction=1e-9)

    decided = "Seeds until decided, looks at 5, 10, … 40"
    for losses in (1, 4, 14):
        add(decided, "nothing differs", losses=losses, rule=Rule.PLANNED)
    add(decided, "ties at 99 %", losses=4, accuracy=99.0, binomial=True, rule=Rule.PLANNED)
    add(decided, "variance ratio 5", losses=4, ratio=5.0, rule=Rule.PLANNED)
    add(decided, "the losses collapse, 1 in 20", collapse=(0.05, 0.0), rule=Rule.PLANNED)
    add(decided, "both collapse, 1 in 20", losses=4, collapse=(0.05, 0.05), rule=Rule.PLANNED)
    add(decided, "the worst 3 in 10 of the losses fail", worst=0.3, rule=Rule.PLANNED)
    add(decided, "2 logits of interaction", losses=4, interaction=2.0, rule=Rule.PLANNED)
    for losses in (1, 4, 14):
        add(decided, "off by the margin, .7 sd", losses=losses, shift=-0.7, margin=0.7, rule=Rule.PLANNED)
    add(decided, "off by the margin, ties at 99 %", accuracy=99.0, binomial=True, shift=-0.5, margin=0.5,
        rule=Rule.PLANNED)  # fmt: skip
    add(decided, "off by the margin, collapse 1 in 35", shift=-1.0, margin=1.0, collapse=(1 / 35, 0.0),
        rule=Rule.PLANNED)  # fmt: skip

    power = "The first loss is better"
    for losses in (1, 4, 14):
        for seeds, effect in ((5, 1.0), (5, 2.0), (10, 1.0), (20, 1.0)):
            name = f"by {effect:g} sd of the differences"
            add(power, name, seeds=seeds, losses=losses, better=effect, accuracy=80.0)
    for losses in (1, 4, 14):
        for effect in (0.5, 1.0):
            for rule in (Rule.PLANNED, Rule.E_VALUE):
                name = f"by {effect:g} sd, {'planned looks' if rule is Rule.PLANNED else 'e-values'}"
                add(power, name, losses=losses, better=effect, accuracy=80.0, rule=rule)
    same = "Equivalence is there to be found"
    for losses in (1, 4, 14):
        add(same, "margin 1.5 sd", losses=losses, margin=1.5)
    return rows


# --------------------------------------------------------------------------------------------- experiments


def experiment(of: Situation, rng: np.random.Generator) -> Measured:
    """The results of one suite."""
    seeds = of.seeds if of.rule is Rule.FIXED else LARGEST
    metric = Metric("accuracy", "%", True, of.margin or None, True)
    if not of.points:
        metric = Metric("loss", "", False, None)
    arms = ["baseline", *(f"loss {k}" for k in range(of.losses))]
    images = {}
    if of.interaction:
        counts, joint = _answers(of, arms, seeds, rng)
        images = {("data", "model"): joint}
    else:
        counts = _counts(of, arms, seeds, rng)
    cells = {}
    for arm, of_arm in zip(arms, counts, strict=True):
        first = arm == "baseline"
        gone = set(np.flatnonzero(rng.random(seeds) < of.lost[first]).tolist())
        if of.worst and not first:
            gone |= set(np.argsort(of_arm, kind="stable")[: int(of.worst * seeds)].tolist())
        kept = {s: int(count) for s, count in enumerate(of_arm.tolist()) if s not in gone}
        cells["data", "model", arm] = Scores(kept, of.images if kept else None, range(seeds), frozenset(gone))
    return Measured(metric, cells, images)


def _counts(
    of: Situation, arms: Sequence[str], seeds: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    shared = rng.standard_normal(seeds)
    made = []
    for number, arm in enumerate(arms):
        first = arm == "baseline"
        own, noise = (1.0, 0.0) if first else (of.correlation, math.sqrt(1 - of.correlation**2))
        sd = of.sd if first else of.sd * math.sqrt(of.ratio)
        shift = 0.0 if first else of.shift + (of.better * of.spread if number == 1 else 0.0)
        if of.binomial:
            wrong = rng.binomial(of.images, 1 - (of.accuracy + shift) / 100, seeds)
            accuracy = 100 * (1 - wrong / of.images)
        else:
            accuracy = of.accuracy + shift + sd * (own * shared + noise * rng.standard_normal(seeds))
        fallen = rng.random(seeds) < of.collapse[first]
        accuracy = accuracy - fallen * rng.uniform(5, 30, seeds)
        made.append(np.clip(np.rint(accuracy / 100 * of.images), 0, of.images).astype(np.int64))
    return made


def _answers(
    of: Situation, arms: Sequence[str], seeds: int, rng: np.random.Generator
) -> tuple[list[NDArray[np.int64]], Joint]:
    """Bernoulli answers; every arm has its own likings among the images, drawn from one distribution."""
    difficulty = 3 + 1.5 * rng.standard_normal(IMAGES)
    answers = []
    for _ in arms:
        logits = difficulty + of.interaction / math.sqrt(2) * rng.standard_normal(IMAGES)
        logits = logits + 0.2 * rng.standard_normal((seeds, 1))
        answers.append(rng.random((seeds, IMAGES)) < 1 / (1 + np.exp(-logits)))
    rows = {(arm, seed): k * seeds + seed for k, arm in enumerate(arms) for seed in range(seeds)}
    joint = Joint(rows, joint_correct(pack(np.concatenate(answers))), IMAGES)
    return [found.sum(axis=1) for found in answers], joint


def design_of(of: Situation, vectors: int) -> Design:
    """The design, with so many rotations or flips."""
    if of.rule is Rule.FIXED:
        return Design(ALPHA, of.judge, vectors)  # type: ignore[arg-type]
    futility = PREDICTIVE if of.rule is Rule.PLANNED else 0.2
    plan = Plan(5, 5, LARGEST, rule=of.rule, alpha=ALPHA, comparisons=of.losses, futility=futility,
                margin=of.margin / 100)  # fmt: skip
    return replace(until_decided(ALPHA, plan, range(LARGEST)), draws=vectors)


# -------------------------------------------------------------------------------------------- what was said


def judged(of: Situation, comparisons: Sequence[Comparison], found: Counter[str]) -> None:
    """Count what was said rightly and wrongly in one experiment."""
    said = [c.verdict for c in comparisons if c.verdict is not None]
    # What is true of the first loss where it is the better one alone; of images, of new ones.
    truth = [(of.shift + (of.better * of.spread if k == 0 else 0)) / 100 for k in range(of.losses)]
    different = (Word.SUPERIOR, Word.INFERIOR)
    right = [Word.SUPERIOR if true > 0 else Word.INFERIOR if true < 0 else None for true in truth]
    wrong = [v for v, word in zip(said, right, strict=True) if v.word in different and v.word is not word]
    equal = [
        v
        for v, true in zip(said, truth, strict=True)
        if v.word is Word.EQUIVALENT and abs(true) >= of.margin / 100 - 1e-9
    ]
    found["different"] += bool(wrong)
    found["different plainly"] += any(not _narrowed(v.scope, images=bool(of.interaction)) for v in wrong)
    found["equivalent"] += bool(equal)
    here = [(c.adjusted.interval, true) for c, true in zip(comparisons, truth, strict=True)]
    found["interval"] += all(i is None or i.low <= true <= i.high for i, true in here)
    new = [(c.new_images.interval, true) for c, true in zip(comparisons, truth, strict=True) if c.new_images]
    found["new images"] += all(i is None or i.low <= true <= i.high for i, true in new)
    found["flagged"] += any(c.collapse is not None for c in comparisons)
    found["found"] += said[0].word is right[0] and right[0] is not None
    found["found equivalent"] += sum(v.word is Word.EQUIVALENT for v in said)
    found["seeds"] += sum(c.n for c in comparisons[:1])
    p = holm([c.p for c in comparisons])
    found["holm"] += bool(p[0] < ALPHA and (comparisons[0].delta or 0) > 0)
    found["contradictions"] += sum(contradicts(c, of.margin / 100) for c in comparisons)


def _narrowed(scope: str, *, images: bool) -> bool:
    """Whether a verdict is said of less than all runs, or not of new images where these are known."""
    return "sound" in scope or "finished" in scope or (images and "test set" in scope)


def contradicts(c: Comparison, margin: float) -> bool:
    """Whether the interval that is printed says something else than the verdict beside it."""
    interval, verdict = c.shown, c.verdict
    if verdict is None or interval is None:
        return verdict is not None and verdict.word is not Word.UNDECIDED
    if verdict.word is Word.EQUIVALENT:
        return not interval.within(margin)
    return interval.excludes_zero() != (verdict.word is not Word.UNDECIDED)


def flipped(table: NDArray[np.int64], rng: np.random.Generator) -> list[float]:
    """Adjusted p of each column by step-down maxT on flips of whole seeds, which was the rule before
    (Westfall & Young, 1993, alg. 4.1)."""
    norms = np.sqrt((table**2).sum(axis=0).clip(1))
    observed = np.abs(table.sum(axis=0)) / norms
    if len(table) <= 10:
        bits = np.arange(2 ** len(table))[:, None] >> np.arange(len(table)) & 1
    else:
        bits = rng.integers(0, 2, (VECTORS, len(table)))
    flips = np.abs((2 * bits - 1) @ table) / norms
    worst, largest, p = 0.0, np.zeros(len(flips)), np.zeros(len(norms))
    for k in np.argsort(observed):
        largest = np.maximum(largest, flips[:, k])
        p[k] = np.mean(largest >= observed[k] - 1e-9)
    for k in np.argsort(-observed):
        p[k] = worst = max(worst, p[k])
    return [float(one) for one in p]


def simulate(of: Situation, experiments: int, vectors: int, seed: int) -> Counter[str]:
    """All experiments of a row."""
    rng = np.random.default_rng([seed, zlib.crc32(repr(of).encode())])
    design, found = design_of(of, vectors), Counter[str]()
    for _ in range(experiments):
        measured = experiment(of, rng)
        comparisons = analyse([measured], "baseline", design).comparisons
        judged(of, comparisons, found)
        if columns_of(of.section)[0].startswith("found") and of.rule is Rule.FIXED:
            base = measured.cells["data", "model", "baseline"].counts
            arms = [measured.cells["data", "model", f"loss {k}"].counts for k in range(of.losses)]
            table = np.array([[arm[s] - base[s] for arm in arms] for s in range(of.seeds)], dtype=np.int64)
            before = flipped(table, rng)
            found["flipped"] += before[0] < ALPHA and bool(table[:, 0].sum() > 0)
            for p, column in zip(before, table.T, strict=True):
                inside = tost(paired_t(column, IMAGES), of.margin / 100) if of.margin else None
                found["before"] += p >= ALPHA and inside is not None and inside < ALPHA
    return found


# ---------------------------------------------------------------------------------------------- the tables

_HEADINGS = {
    "different": "*superior*, *inferior*",
    "different plainly": "of all runs",
    "equivalent": "*equivalent*",
    "interval": "intervals hold",
    "flagged": "some run flagged",
    "new images": "on new images",
    "found": "found",
    "holm": "Holm on t",
    "flipped": "step-down flips",
    "found equivalent": "*equivalent*, each",
    "before": "step-down flips, then two one-sided tests",
    "seeds": "seeds",
}


def columns_of(section: str) -> list[str]:
    """What a section shows."""
    if "margin" in section:
        return ["equivalent", "interval"]
    if "better" in section:
        return ["found", "holm", "flipped", "seeds", "interval"]
    if "found" in section:
        return ["found equivalent", "before"]
    if "new images" in section:
        return ["different", "different plainly", "interval", "new images"]
    if "decided" in section:
        return ["different", "different plainly", "equivalent", "interval", "seeds"]
    if "flagged" in section:
        return ["flagged", "different", "interval"]
    if "fail" in section or "collapse" in section:
        return ["different", "different plainly", "interval"]
    return ["different", "interval"]


def promised(of: Situation, column: str) -> float | None:
    """The largest rate that the row may have; None where there is no promise.

    Of failed runs and of new images a verdict of any scope is no promise, but the plain one is.
    """
    if column == "equivalent" and of.margin and of.shift:
        return ALPHA
    if column == "different plainly":
        return ALPHA
    if column == "different" and not (of.worst or of.interaction > 1e-6):
        return ALPHA
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="sections whose name holds this")
    parser.add_argument("--full", action="store_true", help=f"{FULL[0]:,} experiments, {FULL[1]:,} vectors")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    experiments, vectors = FULL if args.full else (EXPERIMENTS, VECTORS)
    rows = [row for row in situations() if args.only in row.section]
    bound = float(stats.norm.isf(ALPHA / (2 * max(len(rows), 1))))
    with ProcessPoolExecutor(2) as pool:
        futures = [pool.submit(simulate, row, experiments, vectors, args.seed) for row in rows]
        size = f"{experiments:,} experiments a row, of {IMAGES} images where nothing else is said"
        print(f"{size}, {vectors:,} rotations or flips; α = {ALPHA}.")
        section, exceeded, total = "", 0, Counter[str]()
        for row, future in zip(rows, futures, strict=True):
            found, columns = future.result(), columns_of(row.section)
            if row.section != section:
                section = row.section
                names = [_HEADINGS[column] for column in columns]
                print(f"\n### {section}\n\n| | S | K | {' | '.join(names)} |")
                print(f"| --- | ---: | ---: |{' ---: |' * len(names)}")
            cells = []
            for column in columns:
                each = row.losses if column in ("found equivalent", "before") else 1
                rate = found[column] / (experiments * each)
                text = f"{rate:.1f}" if column == "seeds" else f"{rate:.3f}"
                if column in ("holm", "flipped") and row.rule is not Rule.FIXED:
                    text = "—"
                elif (most := promised(row, column)) is not None:
                    error = math.sqrt(most * (1 - most) / experiments)
                    above = bool(rate > most + bound * error)
                    text += " !" * above
                    exceeded += above
                cells.append(text)
            seeds = "" if row.rule is not Rule.FIXED else row.seeds
            print(f"| {row.name} | {seeds} | {row.losses} | {' | '.join(cells)} |", flush=True)
            total += found
    print(
        f"\nContradictions between an interval and its verdict: {total['contradictions']} in "
        f"{experiments * len(rows):,} experiments; rates above α beyond chance: {exceeded}."
    )
    sys.exit(bool(exceeded or total["contradictions"]))


if __name__ == "__main__":
    main()
