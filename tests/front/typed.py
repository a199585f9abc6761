"""A user's program as a type checker sees it: mypy checks this file, and nobody runs it.

What must be wrong is ignored by its code, and an ignored error that there is not is one.
"""

from __future__ import annotations

import pandas as pd

import bench


def brier(logits: object, target: object) -> object:
    """A loss."""
    return logits


suite = bench.Suite(
    name="typed",
    question="Is it typed?",
    datasets={"digits": {"train_size": 100}},
    models="vgg5-tiny",
    losses=["ce", brier, {brier: {"scale": 2}}],
    seeds=range(3),
    recipe={"epochs": 1},
)
report: bench.Report = bench.run(suite, on="slurm/gpu.yaml", detach=True, results="results")
frame: pd.DataFrame = report.frame("run")
done: int = bench.status(bench.load("suites/quickstart.yaml")).runs.done
hours: float | None = bench.plan(suite).run_hours
answer: str = bench.compare(frame, method="loss", seed="seed", metric=["value"], baseline="ce").answer

bench.run(suite, resutls="results")  # type: ignore[call-arg]
bench.run(suite, device="gpu")  # type: ignore[arg-type]
bench.Suite(name="typed", question="?", datasets="a", models="b", losses="c")  # type: ignore[call-arg]
report.frame("seed")  # type: ignore[arg-type]
