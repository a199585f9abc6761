"""A submission: one array of jobs, from the intent to submit it on. A folder in ``results/<suite>/jobs/``.

``submission.json`` is written before Slurm is asked, with a name that no other job has; the number that Slurm
gave is added afterwards. A launcher that dies in between leaves a name, by which the next one finds the jobs.
Beside it lie the packs, one a job, and what submitit writes: pickles, logs and results.
"""

from __future__ import annotations

import pickle
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from bench.disk import write_atomically
from bench.launch import slurm
from bench.launch.continuation import Continuation, Continue
from bench.launch.pack import Pack
from bench.launch.profile import Profile
from bench.launch.worker import Worker


class Submission(BaseModel):
    """What ``submission.json`` holds."""

    name: str
    """Of the Slurm job: unique."""
    created: float
    """Unix time of the intent."""
    parallel: int
    """Most jobs of the array that run at once."""
    runs: list[list[str]]
    """Run ids, pack by pack."""
    gpus: int
    """Of each job."""
    tasks: int | None = None
    """Processes of each job that train side by side; None: measured there."""
    job: str | None = None
    """Slurm's number; None: not known yet, or never submitted."""
    void: bool = False
    """Slurm has no job of this name: it was never submitted."""
    given_up: dict[str, str] = {}
    """Jobs that a launcher has given up, and why: ``LOST`` or ``LAUNCH_FAILED``."""
    continuation: Continuation | None = None
    """Of the one job that trains nothing itself, but adds seeds; its list of runs is empty."""

    @property
    def ids(self) -> list[str]:
        """The ids of its jobs, pack by pack."""
        if self.job is None:
            return []
        return [self.job] if len(self.runs) == 1 else [f"{self.job}_{k}" for k in range(len(self.runs))]


class SubmissionFolder:
    """One submission on disk."""

    def __init__(self, path: Path, content: Submission) -> None:
        self.path = path
        self.content = content

    @classmethod
    def intend(
        cls,
        jobs: Path,
        suite: str,
        packs: Sequence[Pack],
        parallel: int,
        gpus: int,
        tasks: int | None = None,
    ) -> SubmissionFolder:
        """Write packs and intent, before Slurm hears of it."""
        token = uuid.uuid4().hex[:8]
        path = (jobs / f"{time.strftime('%Y%m%dT%H%M%S')}-{token}").absolute()
        for number, pack in enumerate(packs):
            pack.write(path, f"pack-{number}.json")
        runs = [pack.run_ids for pack in packs]
        content = Submission(
            name=f"bench-{suite}-{token}",
            created=time.time(),
            parallel=parallel,
            runs=runs,
            gpus=gpus,
            tasks=tasks,
        )
        folder = cls(path, content)
        folder.write()
        return folder

    @classmethod
    def intend_to_continue(cls, jobs: Path, suite: str, continuation: Continuation) -> SubmissionFolder:
        """Write the intent of a job that adds seeds."""
        folder = cls.intend(jobs, suite, [], parallel=0, gpus=0)
        folder.content.runs, folder.content.continuation = [[]], continuation
        folder.write()
        return folder

    def write(self) -> None:
        """Write ``submission.json``."""
        write_atomically(self.path / "submission.json", self.content.model_dump_json(indent=1).encode())

    @property
    def workers(self) -> list[Worker] | list[Continue]:
        """The callables of its jobs."""
        if self.content.continuation is not None:
            return [Continue(self.path)]
        return [Worker(self.path / f"pack-{number}.json") for number in range(len(self.content.runs))]

    def submit(self, profile: Profile, exclude: tuple[str, ...], after: Sequence[str] = ()) -> None:
        """Hand the array to Slurm through submitit, and note its number.

        Args:
            after: jobs that must have ended, however that may be, before these begin.

        Raises:
            SlurmTrouble: Slurm refused, or nobody knows whether it took it: the name will tell.
        """
        import submitit
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        executor = submitit.SlurmExecutor(folder=self.path)
        parameters = profile.parameters(self.content.name, self.content.parallel, exclude)
        if after:
            parameters["additional_parameters"]["dependency"] = f"afterany:{':'.join(after)}"
        executor.update_parameters(**parameters)
        try:
            with executor.batch():
                submitted = [executor.submit(worker) for worker in self.workers]
            self.content.job = submitted[0].job_id.partition("_")[0]
        except (FailedSubmissionError, FailedJobError, OSError) as error:
            raise slurm.SlurmTrouble(f"sbatch: {slurm.one_line(str(error))}") from None
        self.write()

    def adopt(self) -> bool:
        """Look whether Slurm has the jobs of an intent without a number. False: it has none.

        Raises:
            SlurmTrouble: Slurm does not answer.
        """
        from submitit.core.utils import DelayedSubmission, JobPaths

        self.content.job = slurm.find(self.content.name, self.content.created)
        self.content.void = self.content.job is None
        # submitit gives each job its pickle after sbatch: whoever died in between did not come to that.
        for worker, job in zip(self.workers, self.content.ids, strict=False):
            pickled = JobPaths(self.path, job).submitted_pickle
            if not pickled.exists():
                DelayedSubmission(worker).dump(pickled)
        self.write()
        return not self.content.void

    def log(self, job: str, task: int = 0) -> Path:
        """Where a job writes its log."""
        from submitit.core.utils import JobPaths

        return Path(JobPaths(self.path, job, task).stderr)

    def message(self, job: str) -> str | None:
        """Why a job could not do its work, if it said so; its last line if it raised."""
        from submitit.core.utils import JobPaths

        path = JobPaths(self.path, job, 0).result_pickle
        try:
            outcome, value = pickle.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except Exception as error:  # half a pickle, or one of another version
            return f"its result cannot be read: {error}"
        return value if outcome == "success" or value is None else str(value).strip().splitlines()[-1]


def read_all(jobs: Path) -> list[SubmissionFolder]:
    """Every submission of a suite, oldest first. Folders without one were written by local launchers."""
    found = []
    for path in sorted(jobs.glob("*/submission.json")):
        try:
            found.append(
                SubmissionFolder(path.parent.absolute(), Submission.model_validate_json(path.read_bytes()))
            )
        except (ValidationError, OSError):
            continue
    return found
