"""One look at a suite on a cluster: lost jobs are found, bad ends judged, and what is missing is submitted.

Nothing is remembered between two looks but what lies on disk and what the executor says. So any number of
launchers may come and go, on any login node: each takes the lock of the suite, looks, submits, and lets go.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import versions
from bench.disk import check_writable
from bench.errors import BenchError
from bench.launch.executors import LAUNCH_FAILED, LOST, Executor, Job, Later, Request, Trouble, cluster_of
from bench.launch.grouping import Kind, in_packs, kinds, measured_seconds, typical_seconds
from bench.launch.needs import Needs, needs_of, profile_for
from bench.launch.pack import Pack, git_state, installed_versions, of_trainers
from bench.launch.preflight import unfinished
from bench.launch.profile import Profile
from bench.launch.queue import Look, explain, look, note_ends
from bench.launch.submission import Continuation, SubmissionFolder, read_all
from bench.launch.worker import OUT_OF_MEMORY
from bench.results.folder import RunFolder
from bench.runs import Run
from bench.suite import Suite

LOST_SECONDS = 60.0  # that a job may be missing, when an executor answers
MOST_TROUBLE = (
    3  # jobs that may end without having finished a run that they began, or without having begun any
)
MOST_MEMORY = 2  # times that a run which ran out of memory is tried with fewer beside it
GPU_GAIN = 30  # a guess, until runs have been timed: how much faster a GPU is than one core of this machine


@dataclass(frozen=True)
class Cluster:
    """A profile, and where everything lies."""

    executor: Executor
    suite: Suite
    results: Path
    data: Path
    profile: Profile
    file: Path
    """Of the profile: what messages name."""
    search_path: Sequence[str]
    say: Callable[[str], None]
    suite_file: Path | None = None
    """From which a detached suite reads again what it is, when seeds are added."""

    @property
    def jobs(self) -> Path:
        """Folder of the suite's submissions."""
        return self.results.absolute() / self.suite.name / "jobs"


def added(suite: Suite) -> str:
    """What is asked for when the jobs that train now have ended."""
    return "the winners of the searches" if suite.tune else "seeds"


class Submitter:
    """One look at a suite, and what follows from it. The caller holds the suite's lock."""

    def __init__(
        self,
        cluster: Cluster,
        runs: Sequence[Run],
        began: float,
        missing: dict[str, float],
        first: bool,
    ) -> None:
        self.cluster = cluster
        self.runs = runs  # that are asked for now
        self.began = began
        self.missing = missing  # since when the executor has answered without them, by job
        self.first = first
        self.submitted = 0
        self.parallel = 0  # jobs of what was submitted that may run at once
        self.arrays: list[str] = []  # numbers of what was submitted
        self.later = False  # whether runs wait for something that time brings
        self.look = Look([], {})

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
        missing = unfinished(self.runs, self.cluster.results)
        wanted = [run for run in missing if run.id not in self.look.covered]
        ready: dict[tuple[int, Needs], list[Run]] = defaultdict(list)
        for run in wanted:
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
        told = Continuation(
            suite=cluster.suite_file.absolute(),
            scale="tiny" if cluster.suite.scaled_down else "full",
            results=cluster.results.absolute(),
            data=cluster.data.absolute(),
            profile=cluster.file.absolute(),
            search_path=list(cluster.search_path),
            code=versions.of_suite(cluster.suite),
            since=self.began,
            keep_weights=cluster.suite.keep_weights,
        )
        small = cluster.profile.small()
        folder = SubmissionFolder.intend_to_continue(cluster.jobs, cluster.suite.name, told, small.clusters)
        request = Request(small, cluster.file, folder.content.name, 0, self._bad_nodes(), training)
        folder.submit(cluster.executor, request)
        what = added(cluster.suite)
        cluster.say(f"submitted as job {folder.content.job}: adds {what} when these jobs have ended")
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
                    found = folder.adopt(self.cluster.executor)
                except Trouble as trouble:
                    self.cluster.say(f"{folder.content.name}: {trouble}; taken as submitted until it answers")
                    self.later = True
                    continue
                if found:
                    self.cluster.say(
                        f"found {len(folder.content.ids)} jobs of a launcher that died: {folder.content.name}"
                    )

    def _give_up(self) -> bool:
        """Take for ended what will not begin or end by itself.

        Lost is what has been missing for a minute: a controller that was killed can lose what it had just
        taken, and without accounting it forgets what has ended. Should such a job train on all the same, its
        claim keeps every other job from its run. What a node could not start waits for somebody to release
        it.
        """
        now = time.time()
        gone = {name for name, job in self.look.jobs.items() if job.alive and job.missing}
        for name in self.missing.keys() - gone:
            del self.missing[name]
        for name in gone:
            self.missing.setdefault(name, now)
        given_up = {
            name: "CANCELLED" if self._others_wait(name) else LOST
            for name, since in self.missing.items()
            if now - since > LOST_SECONDS
        }
        held = {name: LAUNCH_FAILED for name, job in self.look.jobs.items() if job.held_back}
        try:
            self.cluster.executor.cancel(held)
            given_up |= held
        except Trouble as trouble:
            self.cluster.say(f"jobs that could not be started are still queued: {trouble}")
        for folder in self.look.folders:
            if names := sorted(given_up.keys() & set(folder.content.ids)):
                folder.content.given_up |= {name: given_up[name] for name in names}
                folder.write()
                reasons = ", ".join(f"{name} ({given_up[name].lower().replace('_', ' ')})" for name in names)
                again = {given_up[name] for name in names} - {"CANCELLED"}
                rest = "; what they had left is submitted again" if again else ""
                self.cluster.say(f"given up: {reasons}{rest}")
        return bool(given_up)

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
        if not any(folder.content.without for folder in waiting) and not self.look.bad_nodes(
            profile.clusters
        ):
            return
        nodes = self._bad_nodes() if waiting else ()
        for folder, names in waiting.items():
            made = folder.content
            if {*made.without} == {*nodes}:
                continue
            if nodes:
                words = f"are kept off {', '.join(nodes)}, which failed twice"
            else:
                words = f"may run on {', '.join(made.without)} again, as no other node is left"
            try:
                cluster.executor.exclude(names, [*dict.fromkeys([*profile.exclude, *nodes])])
            except Trouble as trouble:
                cluster.say(f"{made.name}: it could not be said that jobs that wait {words}: {trouble}")
                continue
            made.without = [*nodes]
            folder.write()
            cluster.say(f"{made.name}: jobs that wait {words}")

    def _bad_nodes(self) -> tuple[str, ...]:
        """Nodes that failed, where jobs could run without these; else none. Raises Trouble."""
        cluster, nodes = self.cluster, self.look.bad_nodes(self.cluster.profile.clusters)
        if nodes:
            try:
                cluster.executor.check(Request(cluster.profile, cluster.file, "test", 1, nodes))
            except Later:
                return nodes
            except Trouble:
                raise
            except BenchError:
                return ()
        return nodes

    def _name_unasked(self) -> None:
        asked = {run.id for run in self.cluster.suite.runs()}
        unasked = sorted(self.look.covered - asked)
        if unasked:
            shown = ", ".join(unasked[:3]) + (" …" if len(unasked) > 3 else "")
            self.cluster.say(
                f"{len(unasked)} queued or running runs are no longer asked for by this suite ({shown}); "
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
        asked = max([self.began, *(submission.content.created for submission, _ in ended)])
        for submission, job in ended:
            if job.state == "CANCELLED":
                # By a person: only that person's next `bench run` submits it again, or has done so.
                if not self.first and (job.ended is None or job.ended > asked):
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
        """Whether a job came so far as to train any of its runs."""
        runs = submission.content.runs[submission.content.ids.index(job.id)]
        infos = (RunFolder(self.cluster.results, run).info() for run in runs)
        return any(attempt.get("job") == job.id for info in infos for attempt in info.get("attempts", []))

    def _fail(self, folder: RunFolder, reason: str, reasons: Sequence[str]) -> None:
        with folder.claim() as mine:
            if mine and not folder.done:
                folder.fail(f"{reason}: {reasons[-1]}", "\n".join(reasons))

    # ------------------------------------------------------------------------------------- submitting

    def _submit(self, ready: Mapping[tuple[int, Needs], Sequence[Run]]) -> None:
        """Submit runs; those that ran out of memory with fewer workers on a GPU, in smaller packs."""
        cluster = self.cluster
        check_writable(cluster.results)
        limits = cluster.executor.limits(cluster.profile)
        room = limits.room
        if room == 0:
            cluster.say(f"the queue has no room ({limits.words}); submitted later")
            self.later = True
            return
        nodes = self._bad_nodes()
        seconds = self._seconds([run for runs in ready.values() for run in runs])
        kind_of = kinds(cluster.suite)
        for (crowding, needs), runs in ready.items():
            profile = profile_for(needs, cluster.profile.crowded(crowding))
            try:
                cluster.executor.check(Request(profile, cluster.file, "test", 1, nodes))
            except Later as refusal:
                cluster.say(f"{refusal}: submitted later")
                self.later = True
                return
            except BenchError as refusal:
                if self.first:
                    raise
                # It took such jobs before: nodes that are down may come back.
                cluster.say(f"{refusal}; asked again later")
                self.later = True
                return
            fewer = {kind: value * 2**crowding for kind, value in seconds.items()}
            packs = in_packs(runs, kind_of, fewer, profile)
            if room is not None and len(packs) > room:
                words = f" ({limits.words})" if limits.words else ""
                cluster.say(f"the queue has room for {room} of {len(packs)} jobs{words}; the others follow")
                self.later = True
                packs = packs[:room]
            arrays = [packs[first : first + limits.array] for first in range(0, len(packs), limits.array)]
            for array, parallel in zip(arrays, self._shares(arrays), strict=True):
                if parallel == 0:
                    self.later = True
                    continue
                try:
                    self._submit_what_fits(array, parallel, profile, nodes, needs)
                except Later as refusal:
                    cluster.say(f"{refusal}: submitted later")
                    self.later = True
                    return
                room = None if room is None else room - len(array)

    def _shares(self, arrays: Sequence[Sequence[object]]) -> list[int]:
        """How many jobs of each array may run at once: the profile's cap, less what is queued, shared out."""
        cap = self.cluster.profile.jobs
        if cap is None:
            return [len(array) for array in arrays]
        cap -= self.parallel
        for folder in self.look.folders:
            cap -= min(folder.content.parallel, sum(self.look.jobs[n].alive for n in folder.content.ids))
        shares = [0] * len(arrays)
        while cap > 0 and any(share < len(array) for share, array in zip(shares, arrays, strict=True)):
            for number, array in enumerate(arrays):
                if cap > 0 and shares[number] < len(array):
                    shares[number], cap = shares[number] + 1, cap - 1
        return shares

    def _submit_what_fits(
        self,
        array: Sequence[Sequence[Run]],
        parallel: int,
        profile: Profile,
        nodes: tuple[str, ...],
        needs: Needs,
    ) -> None:
        """Submit an array, or the largest half of a half of it that a limit which cannot be read leaves."""
        try:
            self._submit_array(array, parallel, profile, nodes, needs)
        except Later:
            if len(array) == 1:
                raise
            half = array[: len(array) // 2]
            self._submit_what_fits(half, min(parallel, len(half)), profile, nodes, needs)
            self.later = True

    def _submit_array(
        self,
        array: Sequence[Sequence[Run]],
        parallel: int,
        profile: Profile,
        nodes: tuple[str, ...],
        needs: Needs,
    ) -> None:
        cluster = self.cluster
        measures = profile.shares and all(run.trainer is None for runs in array for run in runs)
        common = {
            "results": cluster.results.absolute(),
            "data": cluster.data.absolute(),
            "device": profile.device or ("cuda" if profile.gpus else "cpu"),
            "search_path": list(cluster.search_path),
            "git": git_state(Path.cwd()),
            "versions": installed_versions(),
            "workers": None if measures else 1,
            "cluster": profile.clusters,
            "keep_weights": cluster.suite.keep_weights,
            "keep_probabilities": cluster.suite.keep_probabilities,
            "gpus": profile.gpus if needs.whole else None,
            "nodes": needs.nodes,
            **of_trainers(cluster.suite),
        }
        packs = [Pack(runs=[*runs], **common) for runs in array]
        tasks = None if measures else profile.tasks
        gpus = profile.gpus * needs.nodes
        folder = SubmissionFolder.intend(
            cluster.jobs, cluster.suite.name, packs, parallel, gpus, tasks, profile.clusters
        )
        folder.content.without = [*nodes]
        name = folder.content.name
        folder.submit(cluster.executor, Request(profile, cluster.file, name, parallel, nodes))
        self.submitted += len(packs)
        self.parallel += parallel
        self.arrays += [folder.content.job] if folder.content.job else []
        self.look.covered.update(run for runs in folder.content.runs for run in runs)
        excluded = f", without {', '.join(nodes)} which failed twice" if nodes else ""
        cluster.say(
            f"submitted as job {folder.content.job}: jobs {len(packs)}, runs {sum(map(len, array))}"
            f" ({parallel} at once{excluded})"
        )

    def _seconds(self, runs: Sequence[Run]) -> dict[Kind, float]:
        """Seconds a run of each kind takes: measured, or else guessed from a few steps here."""
        cluster = self.cluster
        seconds = typical_seconds(measured_seconds(cluster.suite, cluster.results))
        kind_of = kinds(cluster.suite)
        for run in runs:
            kind = kind_of[run.id]
            if kind not in seconds:
                seconds[kind] = self._guess(run)
                how = (
                    "each has a job of its own" if run.trainer else "a first guess from a few steps here is "
                )
                guess = "" if run.trainer else f"{seconds[kind]:.3g} s a run"
                cluster.say(f"{' × '.join(kind)}: no run was timed yet; {how}{guess}")
        return seconds

    def _guess(self, run: Run) -> float:
        if run.trainer is not None:  # of which nothing is known before one has ended: a job each
            return self.cluster.profile.fill * self.cluster.profile.time * 60
        from bench.training.device import prepare
        from bench.training.timing import estimate_seconds

        device = prepare("auto")
        seconds = estimate_seconds(run, self.cluster.data, device)
        on_gpu = (self.cluster.profile.device or "cuda") == "cuda" and self.cluster.profile.gpus > 0
        return seconds / GPU_GAIN if on_gpu and device.type == "cpu" else seconds
