"""Submits what a suite lacks: packs of runs as arrays of jobs, as many as the queue takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.disk import check_writable
from bench.errors import BenchError
from bench.launch.executors import Executor, Later, Request, Trouble
from bench.launch.grouping import Kind, in_packs, kinds, measured_seconds, typical_seconds
from bench.launch.needs import Needs, profile_for
from bench.launch.pack import Pack, git_state, installed_versions, of_trainers
from bench.launch.profile import Profile
from bench.launch.queue import Look
from bench.launch.submission import SubmissionFolder
from bench.runs import Run
from bench.suite import Suite

Array = Sequence[Sequence[Run]]  # the packs of one submission
GPU_GAIN = 30  # a guess, until runs have been timed: how much faster a GPU is than one core of this machine


@dataclass(frozen=True)
class Cluster:
    """A profile, and the suite and folders that jobs are submitted for."""

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
    """What is added when the jobs that train now have ended, in words."""
    return "the winners of the searches" if suite.tune else "seeds"


class Arrays:
    """Submits arrays of jobs within one look at a suite."""

    def __init__(
        self, cluster: Cluster, runs: Sequence[Run], began: float, missing: dict[str, float], first: bool
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

    def _submit(self, ready: Mapping[tuple[int, Needs], Sequence[Run]]) -> None:
        """Submit runs; those that ran out of memory with fewer workers on a GPU, in smaller packs."""
        cluster = self.cluster
        check_writable(cluster.results)
        limits = cluster.executor.limits(cluster.profile)
        room = limits.room
        if room == 0:
            return self._put_off(f"the queue has no room ({limits.words}); submitted later")
        nodes = self._bad_nodes()
        seconds = self._seconds([run for runs in ready.values() for run in runs])
        kind_of = kinds(cluster.suite)
        for (crowding, needs), runs in ready.items():
            profile = profile_for(needs, cluster.profile.crowded(crowding))
            try:
                cluster.executor.check(Request(profile, cluster.file, "test", 1, nodes))
            except Later as refusal:
                return self._put_off(f"{refusal}: submitted later")
            except BenchError as refusal:
                if self.first:
                    raise
                # It took such jobs before: nodes that are down may come back.
                return self._put_off(f"{refusal}; asked again later")
            fewer = {kind: value * 2**crowding for kind, value in seconds.items()}
            packs = in_packs(runs, kind_of, fewer, profile)
            if room is not None and len(packs) > room:
                words = f" ({limits.words})" if limits.words else ""
                self._put_off(f"the queue has room for {room} of {len(packs)} jobs{words}; the others follow")
                packs = packs[:room]
            arrays = [packs[first : first + limits.array] for first in range(0, len(packs), limits.array)]
            for array, parallel in zip(arrays, self._shares(arrays), strict=True):
                if parallel == 0:
                    self.later = True
                    continue
                try:
                    self._submit_what_fits(array, parallel, profile, nodes, needs)
                except Later as refusal:
                    return self._put_off(f"{refusal}: submitted later")
                room = None if room is None else room - len(array)

    def _put_off(self, reason: str) -> None:
        """Say why runs wait for a later look."""
        self.cluster.say(reason)
        self.later = True

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
        self, array: Array, parallel: int, profile: Profile, nodes: tuple[str, ...], needs: Needs
    ) -> None:
        """Submit an array; where a limit that cannot be read refuses it, its first half, and so on."""
        try:
            self._submit_array(array, parallel, profile, nodes, needs)
        except Later:
            if len(array) == 1:
                raise
            half = array[: len(array) // 2]
            self._submit_what_fits(half, min(parallel, len(half)), profile, nodes, needs)
            self.later = True

    def _submit_array(
        self, array: Array, parallel: int, profile: Profile, nodes: tuple[str, ...], needs: Needs
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
        place = cluster.jobs, cluster.suite.name
        folder = SubmissionFolder.intend(*place, packs, parallel, gpus, tasks, profile.clusters)
        folder.content.without = [*nodes]
        name = folder.content.name
        folder.submit(cluster.executor, Request(profile, cluster.file, name, parallel, nodes))
        self.submitted += len(packs)
        self.parallel += parallel
        self.arrays += [folder.content.job] if folder.content.job else []
        self.look.covered.update(run for runs in folder.content.runs for run in runs)
        excluded = f", without {', '.join(nodes)} which failed twice" if nodes else ""
        size = f"jobs {len(packs)}, runs {sum(map(len, array))}"
        cluster.say(f"submitted as job {folder.content.job}: {size} ({parallel} at once{excluded})")

    def _seconds(self, runs: Sequence[Run]) -> dict[Kind, float]:
        """Seconds a run of each kind takes: measured, or else guessed from a few steps here."""
        cluster = self.cluster
        seconds = typical_seconds(measured_seconds(cluster.suite, cluster.results))
        kind_of = kinds(cluster.suite)
        for run in runs:
            kind = kind_of[run.id]
            if kind not in seconds:
                seconds[kind] = self._guess(run)
                guess = f"a first guess from a few steps here is {seconds[kind]:.3g} s a run"
                guess = "each has a job of its own" if run.trainer else guess
                cluster.say(f"{' × '.join(kind)}: no run was timed yet; {guess}")
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
