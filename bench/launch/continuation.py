"""The small job that adds runs when the jobs before it have ended, by a dependency of Slurm's.

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
        """Add seeds. Writes a file when it ends, with the reason if it could not."""
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


def go_on(order: Continuation) -> None:
    """Look at the suite and submit what it asks for next; look again while the executor is in trouble."""

    def say(message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    # Of a suite that was made in Python, the file that is read lies with its results.
    folder = Path(order.search_path[0]) if order.search_path else order.suite.parent
    suite, profile = check(read(order.suite), str(order.suite), folder), load_profile(order.profile)
    suite = counting.as_counted(tiny(suite) if order.scale == "tiny" else suite, order.results)
    set_aside_damaged(suite, order.results, say)
    suite = counting.as_counted(suite, order.results)
    if order.keep_weights:
        suite = suite.model_copy(update={"keep_weights": True})
    cluster = Cluster(
        Slurm(), suite, order.results, order.data, profile, order.profile, order.search_path, say, order.suite
    )
    design, wait = SequentialDesign(suite, order.results), WAIT
    missing: dict[str, float] = {}
    while unfinished(runs := design.now().runs(), order.results):
        try:
            with only_launcher(order.results / suite.name, lambda: None, say):
                whole = replace(cluster, suite=design.known())
                submitter = Submitter(whole, runs, order.since, missing, first=False)
                submitter.step()
                if submitter.continue_later() or not submitter.later:
                    return
        except Trouble as trouble:  # nobody else would look again
            say(f"{trouble}; tried again in {wait:.0f} s")
        time.sleep(wait)
        wait = min(2 * wait, MOST_WAIT)
    say("nothing is left to train")
