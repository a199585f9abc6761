"""The small job that adds runs when the jobs before it have ended: no daemon, but a dependency of Slurm's.

A suite whose seeds are added until decided, or which trains the winners of its searches, needs somebody to
look when a step is done. A `bench run` that
watches does it; one that was told to detach leaves this job behind. It looks once, submits what is asked for
next, leaves another one like itself behind that, and ends.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from bench.errors import BenchError
from bench.launch.arrays import Cluster
from bench.launch.ended import Ended
from bench.launch.executors import Trouble
from bench.launch.executors.slurm import Slurm
from bench.launch.lock import only_launcher
from bench.launch.preflight import set_aside_damaged, unfinished
from bench.launch.profile import load_profile
from bench.launch.submission import Continuation, SubmissionFolder
from bench.launch.submitter import Submitter
from bench.scale import tiny
from bench.sequential_design import SequentialDesign
from bench.suite import check, read
from bench.versions import counting, store

WAIT, MOST_WAIT = 30.0, 600.0  # seconds between looks, where the executor is in trouble


@dataclass(frozen=True)
class Continue:
    """The callable that the job pickles: the folder of its submission."""

    folder: Path

    def __call__(self) -> None:
        """Add seeds. Says in a file that it has ended, and why that could not be, if it could not."""
        folder = SubmissionFolder.read(self.folder)
        content = folder.content
        if content.continuation is None:
            sys.exit(folder.damage or f"{self.folder / 'submission.json'}: continuation: is missing")
        for remark in content.continuation.strangers(self.folder / "submission.json"):
            print(remark, file=sys.stderr, flush=True)
        sys.path[:0] = content.continuation.search_path
        message = None
        try:
            store.use(content.continuation.results, content.continuation.code)
            go_on(content.continuation)
        except BenchError as error:
            print(error, file=sys.stderr, flush=True)
            message = str(error)
        Ended.note(self.folder, content.ids[0], message)


def go_on(told: Continuation) -> None:
    """What the job does that adds seeds: one look at its suite, and more while only time helps."""

    def say(message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    # Of a suite that was made in Python, the file that is read lies with its results.
    folder = Path(told.search_path[0]) if told.search_path else told.suite.parent
    suite, profile = check(read(told.suite), str(told.suite), folder), load_profile(told.profile)
    suite = counting.as_counted(tiny(suite) if told.scale == "tiny" else suite, told.results)
    set_aside_damaged(suite, told.results, say)
    suite = counting.as_counted(suite, told.results)
    if told.keep_weights:
        suite = suite.model_copy(update={"keep_weights": True})
    cluster = Cluster(
        Slurm(), suite, told.results, told.data, profile, told.profile, told.search_path, say, told.suite
    )
    design, wait = SequentialDesign(suite, told.results), WAIT
    missing: dict[str, float] = {}
    while unfinished(runs := design.now().runs(), told.results):
        try:
            with only_launcher(told.results / suite.name, lambda: None, say):
                there = replace(cluster, suite=design.known())
                submitter = Submitter(there, runs, told.since, missing, first=False)
                submitter.step()
                if submitter.continue_later() or not submitter.later:
                    return
        except Trouble as trouble:  # nobody else would look again
            say(f"{trouble}; tried again in {wait:.0f} s")
        time.sleep(wait)
        wait = min(2 * wait, MOST_WAIT)
    say("nothing is left to train")
