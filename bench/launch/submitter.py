"""One look at a suite on a cluster: lost jobs are found, bad ends judged, and what is missing is submitted.

Nothing is remembered between two looks but what lies on disk and what the executor says. So any number of
launchers may come and go, on any login node: each takes the lock of the suite, looks, submits, and lets go.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence

from bench.errors import BenchError
from bench.launch.arrays import Arrays, added
from bench.launch.attempt import OUT_OF_MEMORY
from bench.launch.executors import LAUNCH_FAILED, LOST, Job, Request, Trouble, cluster_of
from bench.launch.needs import Needs, needs_of
from bench.launch.preflight import unfinished
from bench.launch.queue import explain, look, note_ends
from bench.launch.submission import Continuation, SubmissionFolder, read_all
from bench.results.folder import RunFolder
from bench.runs import Run
from bench.versions import digests

LOST_SECONDS = 60.0  # that a job may be missing, when an executor answers
MOST_TROUBLE = 3  # jobs that may end without having finished a run that they began, or begun any
MOST_MEMORY = 2  # times that a run which ran out of memory is tried with fewer beside it


class Submitter(Arrays):
    """One look at a suite, and what follows from it. The caller holds the suite's lock."""

    def step(self) -> None:
        """Adopt lost submissions, judge what ended, submit what is missing."""
        self._adopt()
        self.look = look(self.cluster.jobs, self.cluster.executor)
        note_ends(self.look)
        if self._give_up():
            self.look = look(self.cluster.jobs, self.cluster.executor)
        self._avoid()
        if self.first:
            self._name_unasked()
        ready: dict[tuple[int, Needs], list[Run]] = defaultdict(list)
        for run in unfinished(self.runs, self.cluster.results):
            if run.id in self.look.covered:
                continue
            crowding = self._judge(run)
            if crowding is not None:
                ready[crowding, needs_of(run)].append(run)
        if any(ready.values()):
            self._submit(ready)

    def continue_later(self) -> bool:
        """Leave a job behind that adds seeds, or winners, when all that train have ended. False: none train.

        Raises:
            Trouble: it could not be submitted.
        """
        cluster, training = self.cluster, [*self.look.training, *self.arrays]
        if not training:
            return False
        if not cluster.suite.adds_runs or cluster.suite_file is None or self.look.to_be_continued:
            return True
        continuation = Continuation(
            suite=cluster.suite_file.absolute(),
            scale="tiny" if cluster.suite.scaled_down else "full",
            results=cluster.results.absolute(),
            data=cluster.data.absolute(),
            profile=cluster.file.absolute(),
            search_path=list(cluster.search_path),
            code=digests.of_suite(cluster.suite),
            since=self.began,
            keep_weights=cluster.suite.keep_weights,
        )
        small = cluster.profile.small()
        name = cluster.suite.name
        folder = SubmissionFolder.intend_to_continue(cluster.jobs, name, continuation, small.clusters)
        request = Request(small, cluster.file, folder.content.name, 0, self._bad_nodes(), training)
        folder.submit(cluster.executor, request)
        job = folder.content.job
        cluster.say(f"submitted as job {job}: adds {added(cluster.suite)} when these jobs have ended")
        return True

    def _adopt(self) -> None:
        """Find the jobs of intents whose launcher died before it noted their number."""
        for folder in read_all(self.cluster.jobs):
            if folder.unknown:
                raise BenchError(
                    f"{folder.damage}; nothing is submitted beside them: put the files back, or end the jobs "
                    f"(scancel --name={folder.content.name}) and move {folder.path} away"
                )
            if folder.damage and self.first:
                self.cluster.say(folder.damage)
            if self.first and folder.add_from_packs():
                folder.write()
                self.cluster.say(f"{folder.path}: its packs name other runs: both are taken for queued")
            if folder.content.job is None and not folder.content.void:
                try:
                    has_jobs = folder.adopt(self.cluster.executor)
                except Trouble as trouble:
                    self.cluster.say(f"{folder.content.name}: {trouble}; taken as submitted until it answers")
                    self.later = True
                    continue
                if has_jobs:
                    count, name = len(folder.content.ids), folder.content.name
                    self.cluster.say(f"found {count} jobs of a launcher that died: {name}")

    def _give_up(self) -> bool:
        """Count jobs as ended that will not begin or end by themselves.

        Lost is what has been missing for a minute: a controller that was killed can lose what it had just
        taken, and without accounting it forgets what has ended. Should such a job train on all the same, its
        claim keeps every other job from its run. What a node could not start waits for somebody to release
        it.
        """
        now = time.time()
        lost = {name for name, job in self.look.jobs.items() if job.alive and job.missing}
        for name in self.missing.keys() - lost:
            del self.missing[name]
        for name in lost:
            self.missing.setdefault(name, now)
        overdue = [name for name, since in self.missing.items() if now - since > LOST_SECONDS]
        ends = {name: "CANCELLED" if self._others_wait(name) else LOST for name in overdue}
        held = {name: LAUNCH_FAILED for name, job in self.look.jobs.items() if job.held_back}
        try:
            self.cluster.executor.cancel(held)
            ends |= held
        except Trouble as trouble:
            self.cluster.say(f"jobs that could not be started are still queued: {trouble}")
        for folder in self.look.folders:
            if names := sorted(ends.keys() & set(folder.content.ids)):
                folder.content.given_up |= {name: ends[name] for name in names}
                folder.write()
                reasons = ", ".join(f"{name} ({ends[name].lower().replace('_', ' ')})" for name in names)
                again = {ends[name] for name in names} - {"CANCELLED"}
                rest = "; what they had left is submitted again" if again else ""
                self.cluster.say(f"given up: {reasons}{rest}")
        return bool(ends)

    def _others_wait(self, name: str) -> bool:
        """Whether others that were submitted with a job still wait: then it was taken out of the queue."""
        together = next(folder.content.ids for folder in self.look.folders if name in folder.content.ids)
        return any(self.look.jobs[other].state == "PENDING" for other in together)

    def _avoid(self) -> None:
        """Keep jobs that wait off the nodes that failed; on them again, where no others are left to run on.

        Of jobs on another cluster than this profile's, nobody here can tell what would be left.
        """
        cluster, profile = self.cluster, self.cluster.profile
        waiting = {}
        for folder in self.look.folders:
            names = [name for name in folder.content.ids if self.look.jobs[name].state == "PENDING"]
            if names and folder.content.cluster == profile.clusters:
                waiting[folder] = names
        nodes = self.look.bad_nodes(profile.clusters)
        if not nodes and not any(folder.content.without for folder in waiting):
            return
        nodes = self._bad_nodes() if waiting else ()
        for folder, names in waiting.items():
            content = folder.content
            if {*content.without} == {*nodes}:
                continue
            if nodes:
                words = f"are kept off {', '.join(nodes)}, which failed twice"
            else:
                words = f"may run on {', '.join(content.without)} again, as no other node is left"
            try:
                cluster.executor.exclude(names, [*dict.fromkeys([*profile.exclude, *nodes])])
            except Trouble as trouble:
                cluster.say(f"{content.name}: it could not be said that jobs that wait {words}: {trouble}")
                continue
            content.without = [*nodes]
            folder.write()
            cluster.say(f"{content.name}: jobs that wait {words}")

    def _name_unasked(self) -> None:
        unasked = sorted(self.look.covered - {run.id for run in self.cluster.suite.runs()})
        if unasked:
            examples = ", ".join(unasked[:3]) + (" …" if len(unasked) > 3 else "")
            self.cluster.say(
                f"{len(unasked)} queued or running runs are no longer asked for by this suite ({examples}); "
                "`bench cancel SUITE --unasked` cancels the jobs that hold nothing else"
            )

    def _judge(self, run: Run) -> int | None:
        """How often a run whose jobs have ended ran out of memory; None: not to be submitted now."""
        folder = RunFolder(self.cluster.results, run.id)
        info = folder.info()
        attempts = {attempt.get("job"): attempt for attempt in info.get("attempts", [])}
        memory, trouble, last, reasons = 0, 0, 0.0, []
        suspects: set[str] = set()
        ended = self.look.ended.get(run.id, [])
        request_time = max([self.began, *(submission.content.created for submission, _ in ended)])
        for submission, job in ended:
            if job.state == "CANCELLED":
                # By a person: only that person's next `bench run` submits it again, or has done so.
                if not self.first and (job.ended is None or job.ended > request_time):
                    return None
                continue
            if submission.content.created < info.get("forgotten", 0.0):
                continue  # what went wrong before somebody asked for it to be tried again
            attempt = attempts.get(job.id)
            if job.state == "OUT_OF_MEMORY" or (attempt and attempt.get("outcome") == OUT_OF_MEMORY):
                memory += attempt is not None
            elif attempt is not None or not self._began_any(submission, job):
                # A node on which everything fails counts once: the run is tried elsewhere first.
                trouble += job.node not in suspects
                suspects |= {job.node} & {*self.look.bad_nodes(cluster_of(job.id))}
            else:
                continue
            last = max(last, job.ended or 0.0)
            reasons.append(explain(submission, job))
        if memory > MOST_MEMORY:
            self._fail(folder, f"{OUT_OF_MEMORY}, also with fewer runs side by side", reasons)
        elif trouble >= MOST_TROUBLE or len(reasons) - memory >= 2 * MOST_TROUBLE:
            self._fail(folder, f"{len(reasons) - memory} jobs ended without finishing it", reasons)
        elif time.time() < last + (10.0 * 3 ** (trouble + memory - 1) if trouble + memory else 0):
            self.later = True  # growing waits: whatever is wrong with the machine may pass
        else:
            return memory
        return None

    def _began_any(self, submission: SubmissionFolder, job: Job) -> bool:
        """Whether a job began to train any of its runs."""
        runs = submission.content.runs[submission.content.ids.index(job.id)]
        infos = (RunFolder(self.cluster.results, run).info() for run in runs)
        return any(attempt.get("job") == job.id for info in infos for attempt in info.get("attempts", []))

    def _fail(self, folder: RunFolder, reason: str, reasons: Sequence[str]) -> None:
        with folder.claim() as mine:
            if mine and not folder.done:
                folder.fail(f"{reason}: {reasons[-1]}", "\n".join(reasons))
