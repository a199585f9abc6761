"""What a suite that was changed after its search keeps of it."""

from __future__ import annotations

from pathlib import Path

from bench.preregistration import stated
from bench.results.folder import RunFolder
from bench.suite import Suite


def kept(suite: Suite, results: Path) -> list[str]:
    """How many trials are still those of the plan that was stated first, in words; empty where all are.

    Raises:
        BenchError: the plan is not what was written.
    """
    plan = stated(suite, results)
    planned = {*plan.judged.get("trials", ())} if plan else set()
    runs = [run.id for search in suite.searches for run in search.runs]
    if not planned or planned == {*runs} or not runs:
        return []
    same = [run_id for run_id in runs if run_id in planned]
    finished = sum(RunFolder(results, run_id).done for run_id in same)
    return [
        f"tune: changed after its search was planned: {len(same):,} of {len(runs):,} trials are as they were "
        f"and count, {finished:,} of them finished; {len(runs) - len(same):,} are new, and "
        f"{len(planned) - len(same):,} are no longer asked for"
    ]
