"""Training a suite on a Slurm cluster: :mod:`bench.launch.submitter` looks until nothing is left to train."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from bench.design import Design
from bench.launch import slurm
from bench.launch.continuation import Continuation
from bench.launch.local import only_launcher
from bench.launch.preflight import prepare, set_aside_damaged, unfinished
from bench.launch.profile import load_profile
from bench.launch.submitter import Cluster, Submitter
from bench.run import Run
from bench.scale import tiny
from bench.suite import Suite, load
from bench.versions import as_counted

POLL = (2.0, 30.0)  # seconds between looks: after a change, and when nothing has changed for long
MOST_WAIT = 600.0  # seconds between looks of the job that adds seeds, where Slurm is in trouble


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
        BenchError: there is no Slurm, or it refuses such jobs; a data set is missing.
    """
    slurm.require()
    design = Design(cluster.suite, cluster.results)
    with only_launcher(cluster.results / cluster.suite.name, watch, cluster.say):
        prepare(
            cluster.suite,
            cluster.suite.runs(),
            cluster.results,
            cluster.data,
            cluster.say,
            retry_failed=retry_failed,
        )
    began, wait, before = time.time(), POLL[0], None
    contradictory: dict[str, float] = {}
    shown: Sequence[Run] = ()
    while unfinished(runs := (suite := design.now()).runs(), cluster.results):
        if runs != shown:
            ask(suite)
            shown = runs
        with only_launcher(cluster.results / cluster.suite.name, watch, cluster.say):
            submitter = Submitter(cluster, runs, began, contradictory, first=before is None)
            try:
                submitter.step()
            except slurm.SlurmTrouble as trouble:
                if detach and submitter.submitted:  # a part of it
                    _leave(submitter)
                if before is None:
                    raise
                cluster.say(f"{trouble}; asked again later")
                submitter.later = True
            if detach:
                _leave(submitter)
                return
        now = (
            submitter.look.covered,
            {job.state for job in submitter.look.jobs.values()},
            submitter.submitted,
        )
        if not submitter.look.alive and not submitter.submitted and not submitter.later:
            break
        wait = POLL[0] if now != before else min(wait * 1.3, POLL[1])
        before = now
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline and unfinished(runs, cluster.results):
            watch()
            time.sleep(min(0.5, wait))


def _leave(submitter: Submitter) -> None:
    """Nobody watches from here on."""
    cluster, say = submitter.cluster, submitter.cluster.say
    try:
        left = unfinished(submitter.runs, cluster.results)
        left = [run for run in left if run.id not in submitter.look.covered]
        if submitter.continue_later():
            if left and cluster.suite.until is None:
                say(
                    f"{len(left)} runs are not submitted: they wait for room, or after earlier trouble; "
                    "the same command submits them later"
                )
        else:
            say("nothing was submitted: what is left waits after earlier trouble; ask again in some minutes")
    except slurm.SlurmTrouble as trouble:
        say(
            f"the job that would add seeds could not be submitted: {trouble}; "
            "the same command adds them when these jobs have ended"
        )


def go_on(told: Continuation) -> None:
    """What the job does that adds seeds: one look at its suite, and more while only time helps."""

    def say(message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    suite, profile = load(told.suite), load_profile(told.profile)
    suite = as_counted(tiny(suite) if told.scale == "tiny" else suite, told.results)
    set_aside_damaged(suite, told.results, say)
    suite = as_counted(suite, told.results)
    if told.keep_weights:
        suite = suite.model_copy(update={"keep_weights": True})
    cluster = Cluster(
        suite, told.results, told.data, profile, told.profile, told.search_path, say, told.suite
    )
    design, wait = Design(suite, told.results), POLL[1]
    contradictory: dict[str, float] = {}
    while unfinished(runs := design.now().runs(), told.results):
        try:
            with only_launcher(told.results / suite.name, lambda: None, say):
                submitter = Submitter(cluster, runs, told.since, contradictory, first=False)
                submitter.step()
                if submitter.continue_later() or not submitter.later:
                    return
        except slurm.SlurmTrouble as trouble:  # nobody else would look again
            say(f"{trouble}; tried again in {wait:.0f} s")
        time.sleep(wait)
        wait = min(2 * wait, MOST_WAIT)
    say("nothing is left to train")
