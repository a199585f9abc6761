"""How fast, and how close, are the statistics across runs and data sets beside the public packages?

Exact almost stochastic order against deepsig, the stratified bootstrap against rliable, the Bayesian
signed-rank test against baycomp: the same data, one thread, in alternating rounds, so that whatever else the
machine does hits both alike. A package that cannot be imported is skipped. Install them beside the project,
not into it (rliable wants an older arch, and that an older pandas):

    pip install --target /tmp/peers --no-deps deepsig baycomp rliable 'arch<8' 'pandas<3' \\
        absl-py dill psutil pytz tqdm
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

from bench.statistics.aggregate import aggregate
from bench.statistics.bayes import bayesian_signed_rank
from bench.statistics.dominance import almost_stochastic_order

Contender = Callable[[], tuple[float, ...]]
"""Returns the answer, to be compared."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (default 5)")
    rounds = parser.parse_args().rounds
    print("| what | peer | peer, ms | bench, ms | ratio | slowest to fastest ratio |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    answers = [compare(rounds) for compare in (dominance, bootstrap, bayes)]
    print()
    for answer in answers:
        print(f"- {answer}")


def dominance(rounds: int) -> str:
    deepsig = load("deepsig.aso")
    if deepsig is None:
        return "deepsig cannot be imported: see the docstring"
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.3, 1, 20), rng.normal(0, 1, 20)

    def theirs() -> tuple[float, ...]:
        return (float(deepsig.aso(a, b, num_bootstrap_iterations=1000, show_progress=False, seed=1)),)

    def ours() -> tuple[float, ...]:
        found = almost_stochastic_order(a, b, resamples=1000, seed=1)
        assert found.eps_min is not None
        assert found.ratio is not None
        return found.eps_min, found.ratio

    their, our = race(
        "almost stochastic order, 20 + 20 runs, 1,000 resamples", "deepsig", theirs, ours, rounds
    )
    steps = {dt: float(deepsig.compute_violation_ratio(a, b, dt=dt)) for dt in (5e-3, 1e-5)}
    grid = ", ".join(f"{ratio:.6f} with a grid of {dt:g}" for dt, ratio in steps.items())
    return (
        f"ε_min: deepsig {their[0]:.4f}, bench {our[0]:.4f} (other draws). "
        f"Violation ratio: bench {our[1]:.6f}, deepsig {grid}."
    )


def bootstrap(rounds: int) -> str:
    library, metrics = load("rliable.library"), load("rliable.metrics")
    if library is None or metrics is None:
        return "rliable cannot be imported: see the docstring"
    scores = np.random.default_rng(2).beta(5, 2, size=(5, 26, 10))
    named = {str(method): each.T for method, each in enumerate(scores)}

    def iqm(values: np.ndarray) -> np.ndarray:
        return np.array([metrics.aggregate_iqm(values)])

    def theirs() -> tuple[float, ...]:
        np.random.seed(3)  # noqa: NPY002 — the only one that it looks at
        _, intervals = library.get_interval_estimates(named, iqm, reps=2000)
        return tuple(float(bound) for each in intervals.values() for bound in each.ravel())

    def ours() -> tuple[float, ...]:
        found = aggregate(scores, resamples=2000, seed=3)
        return tuple(float(bound) for pair in zip(found.low, found.high, strict=True) for bound in pair)

    name = "stratified bootstrap of the interquartile mean, 5 × 26 × 10, 2,000 resamples"
    their, our = race(name, "rliable", theirs, ours, rounds)
    gap = max(abs(t - o) for t, o in zip(their, our, strict=True))
    width = statistics.mean(high - low for low, high in zip(our[::2], our[1::2], strict=True))
    return f"Interval bounds: at most {gap:.5f} apart, where intervals are {width:.5f} wide (other draws)."


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
