"""Training a suite through a queue: :mod:`bench.launch.submitter` looks until nothing is left to train."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from bench.launch.arrays import Cluster, added
from bench.launch.executors import Trouble
from bench.launch.lock import only_launcher
from bench.launch.needs import check_there
from bench.launch.preflight import prepare, unfinished
from bench.launch.submitter import Submitter
from bench.runs import Run
from bench.sequential_design import SequentialDesign
from bench.suite import Suite

POLL = (2.0, 30.0)  # seconds between looks: after a change, and when nothing has changed for long


def train_there(
    cluster: Cluster,
    watch: Callable[[], None],
    ask: Callable[[Suite], None] = lambda suite: None,
    *,
    detach: bool = False,
    retry_failed: bool = False,
) -> None:
    """Train what a suite is missing on a cluster; return when nothing is left to train, or at once to detach.

    Args:
        cluster: where, and what.
        watch: called several times a second.
        ask: gets the suite whenever it asks for more runs than before.

    Raises:
        BenchError: the executor cannot be used from here, or refuses such jobs; a data set is missing.
    """
    cluster.executor.require()
    check_there(cluster.suite, cluster.profile, cluster.file)
    design = SequentialDesign(cluster.suite, cluster.results)
    with only_launcher(cluster.results / cluster.suite.name, watch, cluster.say):
        prepare(
            cluster.suite,
            design.known().runs(),
            cluster.results,
            cluster.data,
            cluster.say,
            search_path=cluster.search_path,
            retry_failed=retry_failed,
        )
    began, wait, before = time.time(), POLL[0], None
    missing: dict[str, float] = {}
    runs_before: Sequence[Run] = ()
    while unfinished(runs := (suite := design.now()).runs(), cluster.results):
        if runs != runs_before:
            ask(suite)
            runs_before = runs
        with only_launcher(cluster.results / cluster.suite.name, watch, cluster.say):
            whole = replace(cluster, suite=design.known())
            submitter = Submitter(whole, runs, began, missing, first=before is None)
            try:
                submitter.step()
            except Trouble as trouble:
                if detach and submitter.submitted:  # a part of it
                    _leave(submitter)
                if before is None:
                    raise
                cluster.say(f"{trouble}; asked again later")
                submitter.later = True
            if detach:
                _leave(submitter)
                return
        states = {job.state for job in submitter.look.jobs.values()}
        now = submitter.look.covered, states, submitter.submitted
        if not submitter.look.alive and not submitter.submitted and not submitter.later:
            break
        wait = POLL[0] if now != before else min(wait * 1.3, POLL[1])
        before = now
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline and unfinished(runs, cluster.results):
            watch()
            time.sleep(min(0.5, wait))


def _leave(submitter: Submitter) -> None:
    """Leave a job that adds runs, and say what stays unsubmitted."""
    cluster, say = submitter.cluster, submitter.cluster.say
    try:
        left = unfinished(submitter.runs, cluster.results)
        left = [run for run in left if run.id not in submitter.look.covered]
        if submitter.continue_later():
            if left and not cluster.suite.adds_runs:
                say(
                    f"{len(left)} runs are not submitted: they wait for room, or after earlier trouble; "
                    "the same command submits them later"
                )
        else:
            say("nothing was submitted: what is left waits after earlier trouble; ask again in some minutes")
    except Trouble as trouble:
        say(
            f"the job that would add {added(cluster.suite)} could not be submitted: {trouble}; "
            "the same command adds them when these jobs have ended"
        )
