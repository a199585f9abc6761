"""How fast, and how close, are the statistics across data sets beside the public packages?

The probability of improvement against rliable, the Bayesian signed-rank test against baycomp: the same data,
one thread, in alternating rounds, so that whatever else the machine does hits both alike. A package that
cannot be imported is skipped. Install them beside the project, not into it (rliable wants an older arch, and
that an older pandas):

    pip install --target /tmp/peers --no-deps baycomp rliable 'arch<8' 'pandas<3' absl-py pytz
    PYTHONPATH=/tmp/peers python benchmarks/peers.py [--rounds 5]
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import importlib
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.statistics.bayes import bayesian_signed_rank
from bench.statistics.improvement import probability_of_improvement

Contender = Callable[[], tuple[float, ...]]
"""Returns the answer, to be compared."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (default 5)")
    rounds = parser.parse_args().rounds
    print("| what | peer | peer, ms | bench, ms | ratio | slowest to fastest ratio |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    answers = [compare(rounds) for compare in (improvement, bayes)]
    print()
    for answer in answers:
        print(f"- {answer}")


def improvement(rounds: int) -> str:
    library, metrics = load("rliable.library"), load("rliable.metrics")
    if library is None or metrics is None:
        return "rliable cannot be imported: see the docstring"
    first, second = np.random.default_rng(2).beta((5, 6), 2, size=(26, 10, 2)).transpose(2, 0, 1)
    named = {"pair": (second.T, first.T)}

    def probability(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
        return np.array([metrics.probability_of_improvement(ours, theirs)])

    def theirs() -> tuple[float, ...]:
        np.random.seed(3)  # noqa: NPY002 — the only one that it looks at
        found, intervals = library.get_interval_estimates(named, probability, reps=2000)
        return (float(found["pair"][0]), *map(float, intervals["pair"].ravel()))

    def ours() -> tuple[float, ...]:
        found = probability_of_improvement([*second], [*first], resamples=2000, seed=3)
        assert found.low is not None
        assert found.high is not None
        return found.estimate, found.low, found.high

    name = "probability of improvement with its stratified bootstrap, 26 × 10 runs each, 2,000 resamples"
    their, our = race(name, "rliable", theirs, ours, rounds)
    shown = [f"{found[0]:.6f} [{found[1]:.4f}, {found[2]:.4f}]" for found in (their, our)]
    return (
        f"Probability of improvement: rliable {shown[0]}, bench {shown[1]}: other draws, and each bound "
        "has a standard error of about 0.002."
    )


def bayes(rounds: int) -> str:
    baycomp = load("baycomp")
    if baycomp is None:
        return "baycomp cannot be imported: see the docstring"
    rng = np.random.default_rng(4)
    baseline = rng.uniform(0.6, 0.95, 30)
    loss = baseline + rng.normal(0.005, 0.02, 30)

    def theirs() -> tuple[float, ...]:
        found = baycomp.SignedRankTest.probs(baseline, loss, rope=0.01, nsamples=50_000, random_state=5)
        return tuple(float(p) for p in found)

    def ours() -> tuple[float, ...]:
        found = bayesian_signed_rank(loss - baseline, rope=0.01, draws=50_000, seed=5)
        return found.worse, found.equivalent, found.better, found.se

    name = "Bayesian signed-rank test, 30 data sets, 50,000 draws"
    their, our = race(name, "baycomp", theirs, ours, rounds)
    shown = ["/".join(f"{p:.4f}" for p in answer[:3]) for answer in (their, our)]
    return (
        f"Worse/equivalent/better: baycomp {shown[0]}, bench {shown[1]}; "
        f"the standard error of each is at most {our[3]:.4f}, of a difference {our[3] * 2**0.5:.4f}."
    )


def race(
    name: str, peer: str, theirs: Contender, ours: Contender, rounds: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Print a row of the table and return the answers. Ours is short: a round takes the mean of five."""
    times: list[tuple[float, float]] = []
    ours()
    for _ in range(rounds):
        start = time.perf_counter()
        their_answer = theirs()
        between = time.perf_counter()
        for _ in range(5):
            our_answer = ours()
        times.append((between - start, (time.perf_counter() - between) / 5))
    ratios = [their / our for their, our in times]
    their_time, our_time = (statistics.median(column) * 1000 for column in zip(*times, strict=True))
    print(
        f"| {name} | {peer} | {their_time:,.1f} | {our_time:,.2f} | {statistics.median(ratios):,.0f}× "
        f"| {min(ratios):,.0f}× to {max(ratios):,.0f}× |",
        flush=True,
    )
    return their_answer, our_answer


def load(module: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(module)
        except Exception as problem:  # an import fails in many ways where versions do not fit
            print(f"| {module} | skipped: {problem} | | | | |")
            return None


if __name__ == "__main__":
    main()
