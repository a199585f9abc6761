"""A submission: one array of jobs, from the intent to submit it on. A folder in ``results/<suite>/jobs/``.

``submission.json`` is written before Slurm is asked, with a name that no other job has; the number that Slurm
gave is added afterwards. A launcher that dies in between leaves a name, by which the next one finds the jobs.
Beside it lie the packs, one a job, and what submitit writes: pickles, logs and results.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from bench.disk import exists, read, strangers, write_atomically
from bench.errors import BenchError
from bench.launch.ended import Ended
from bench.launch.executors import Executor, Job, Request, ids_of
from bench.launch.pack import Pack
from bench.registry import explain, load_callable
from bench.results.schema import LATEST, Count, UnixTime
from bench.scale import Scale
from bench.versions import store

WORK, ADD_SEEDS = "bench.launch.worker:Worker", "bench.launch.continuation:Continue"
"""What jobs call, by name: what they do is above this, and knows of submissions."""


class Continuation(BaseModel):
    """The arguments of the job that adds seeds: those of its launcher."""

    suite: Path
    scale: Scale
    results: Path
    data: Path
    profile: Path
    search_path: list[str]
    code: dict[str, str] = {}
    """Digests of the user's own modules: what is added is trained with the code that was submitted."""
    since: UnixTime
    """At which a person last asked for this suite: what was cancelled later stays cancelled."""
    keep_weights: bool = False

    def strangers(self, path: Path) -> list[str]:
        """What that job imports and others may have written, and the file at ``path`` that tells it so."""
        files = store.files(self.results, self.code)
        return strangers([path, *map(Path, self.search_path), *files])


def _believable(ends: dict[str, Job]) -> dict[str, Job]:
    for name, job in ends.items():
        seconds = (job.seconds, job.waited, job.ended or 0.0)
        if job.id != name or job.alive or not all(0 <= value <= LATEST for value in seconds):
            raise ValueError(f"found {job} for job {name}, expected how that one ended")
    return ends


class Submission(BaseModel):
    """The content of ``submission.json``."""

    name: Annotated[str, Field(pattern=r"^[^,\x00]+$")]
    """Of the Slurm job: unique."""
    created: UnixTime
    """When it was intended."""
    parallel: Count
    """Most jobs of the array that run at once."""
    runs: list[list[Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]]]
    """Run ids, pack by pack."""
    gpus: Count
    """Of each job."""
    tasks: Count | None = None
    """Processes of each job that train side by side; None: measured there."""
    job: Annotated[str, Field(pattern=r"^([\w-]+:)?[0-9]+$")] | None = None
    """Slurm's number; None: not known yet, or never submitted."""
    void: bool = False
    """Slurm has no job of this name: it was never submitted."""
    given_up: dict[str, Annotated[str, Field(pattern="^(LOST|LAUNCH_FAILED|CANCELLED)$")]] = {}
    """Jobs that a launcher has given up, and why: ``LOST``, ``LAUNCH_FAILED`` or ``CANCELLED``."""
    ends: Annotated[dict[str, Job], AfterValidator(_believable)] = {}
    """How jobs ended of which the executor may forget it."""
    cluster: Annotated[str, Field(pattern=r"^[\w-]+$")] | None = None
    """Which of a site's it was meant for, where the profile names one."""
    without: list[str] = []
    """Nodes that were excluded since, for the jobs that still waited."""
    continuation: Continuation | None = None
    """Of the one job that trains nothing itself, but adds seeds; its list of runs is empty."""

    @property
    def ids(self) -> list[str]:
        """The ids of its jobs, pack by pack."""
        return ids_of(self.job, len(self.runs))


class SubmissionFolder:
    """One submission on disk.

    Args:
        damage: what is wrong with ``submission.json``; what it held is then taken from what lies beside it.
        unknown: nor can that be read, so that nobody knows which runs its jobs train.
    """

    def __init__(self, path: Path, content: Submission, damage: str = "", *, unknown: bool = False) -> None:
        self.path = path
        self.content = content
        self.damage = damage
        self.unknown = unknown

    @classmethod
    def read(cls, path: Path) -> SubmissionFolder:
        """The submission in a folder, or what can be known of it.

        Without a file that can be read it is an intent again: its packs are the truth of its runs, and its
        name, which the folder's tells, finds its jobs.
        """
        count = len([*path.glob("pack-*.json")])
        damage = str(path / "submission.json")
        stamp, _, token = path.name.rpartition("-")
        closed = False
        try:
            content = Submission.model_validate_json(read(damage))
            if content.job is None and not content.name.endswith(f"-{token}"):
                damage += f": name: found '{content.name}', expected that of its folder"
            elif content.continuation is not None or (all(content.runs) and len(content.runs) >= count):
                return cls(path, content)
            else:
                damage += ": runs: not those of the packs beside it"
        except ValidationError as error:
            damage += f": {explain(error)[0]}"
        except OSError as error:
            damage += f": {error.strerror}"
            closed = isinstance(error, PermissionError)
        created = 0.0
        with contextlib.suppress(ValueError):
            created = time.mktime(time.strptime(stamp, "%Y%m%dT%H%M%S"))
            created = min(max(created, 0.0), LATEST)
        name = re.sub(r"[^\w.-]", "_", f"bench-{path.parent.parent.name}-{token}")
        content = Submission(name=name, created=created, parallel=0, runs=[], gpus=0)
        try:
            packs = [Pack.read(path / f"pack-{number}.json") for number in range(count)]
        except BenchError as error:
            return cls(path, content, f"{damage}; {error}: nobody can tell what its jobs train", unknown=True)
        if not packs and closed:
            return cls(path, content, f"{damage}: nobody can tell what its jobs train", unknown=True)
        if not packs:  # of the job that adds seeds, which says itself that it cannot: another one can
            content.void = True
            return cls(path, content, f"{damage}: no job is known by it")
        content.runs, content.parallel = [pack.run_ids for pack in packs], len(packs)
        content.gpus, content.cluster = int(packs[0].device == "cuda"), packs[0].cluster
        return cls(path, content, f"{damage}: taken for an intent, whose runs are those of its packs")

    @classmethod
    def intend(
        cls,
        jobs: Path,
        suite: str,
        packs: Sequence[Pack],
        parallel: int,
        gpus: int,
        tasks: int | None = None,
        cluster: str | None = None,
    ) -> SubmissionFolder:
        """Write packs and intent, before anything is submitted."""
        token = uuid.uuid4().hex[:8]
        path = (jobs / f"{time.strftime('%Y%m%dT%H%M%S')}-{token}").absolute()
        for number, pack in enumerate(packs):
            pack.write(path, f"pack-{number}.json")
        runs = [pack.run_ids for pack in packs]
        name, now = f"bench-{suite}-{token}", time.time()
        content = Submission(
            name=name, created=now, parallel=parallel, runs=runs, gpus=gpus, tasks=tasks, cluster=cluster
        )
        folder = cls(path, content)
        folder.write()
        return folder

    @classmethod
    def intend_to_continue(
        cls, jobs: Path, suite: str, continuation: Continuation, cluster: str | None = None
    ) -> SubmissionFolder:
        """Write the intent of a job that adds seeds."""
        folder = cls.intend(jobs, suite, [], parallel=0, gpus=0, cluster=cluster)
        folder.content.runs, folder.content.continuation = [[]], continuation
        folder.write()
        return folder

    def write(self) -> None:
        """Write ``submission.json``."""
        write_atomically(self.path / "submission.json", self.content.model_dump_json(indent=1).encode())

    @property
    def workers(self) -> list[Callable[[], object]]:
        """The callables of its jobs."""
        if self.content.continuation is not None:
            return [load_callable(ADD_SEEDS)(self.path)]
        work = load_callable(WORK)
        return [work(self.path / f"pack-{number}.json") for number in range(len(self.content.runs))]

    def submit(self, executor: Executor, request: Request) -> None:
        """Hand the jobs over, and note their number.

        Raises:
            Trouble: they were refused, or nobody knows whether they were taken: the name will tell.
        """
        self.content.job = executor.submit(self.path, self.workers, request)
        self.write()

    def adopt(self, executor: Executor) -> bool:
        """Look whether there are jobs of an intent without a number. False: there are none.

        Raises:
            Trouble: the executor does not answer.
        """
        content = self.content
        content.job = executor.find(self.path, self.workers, content.name, content.created, content.cluster)
        self.content.void = self.content.job is None
        self.write()
        self.damage = ""
        return not self.content.void

    def add_from_packs(self) -> bool:
        """Take for queued, too, what only its packs name: a file is damaged. False: there is none."""
        before = self.content.runs
        self.content.runs = [[*dict.fromkeys([*ids, *self._pack(n)])] for n, ids in enumerate(before)]
        return self.content.runs != before

    def _pack(self, number: int) -> list[str]:
        """The runs of one of its packs. Of one that cannot be read, its job will complain."""
        with contextlib.suppress(BenchError):
            return Pack.read(self.path / f"pack-{number}.json").run_ids
        return []

    def message(self, job: str) -> str | None:
        """Why a job could not do its work, if it said so."""
        ended = Ended.read(self.path, job)
        return None if ended is None else ended.message


def read_all(jobs: Path) -> list[SubmissionFolder]:
    """Every submission of a suite, oldest first. Folders that are none were written by local launchers."""
    if not exists(str(jobs)):
        return []
    with contextlib.suppress(NotADirectoryError):
        names = sorted(os.listdir(jobs))
        return [SubmissionFolder.read(jobs.absolute() / name) for name in names if _is_one(jobs / name)]
    return []


def _is_one(path: Path) -> bool:
    """Whether a folder is that of a submission, or may be one, as it is closed to us."""
    try:
        return any(exists(str(path / part)) for part in ("submission.json", "pack-0.json"))
    except PermissionError:
        return True
