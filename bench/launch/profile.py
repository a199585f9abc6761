"""How a cluster is asked for jobs: a YAML file that a user writes once, `slurm/*.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from bench.errors import BenchError
from bench.registry import Strict, explain
from bench.yaml_file import read_yaml


def _minutes(value: Any) -> Any:
    """Slurm's own ways to write a time limit, in minutes: 90, 1:30:00, 2-12 or 2-12:00:00."""
    if not isinstance(value, str):
        return value
    days, _, rest = value.rpartition("-")
    parts = rest.split(":")
    if not all(part.isdigit() for part in [days or "0", *parts]) or len(parts) > 3:
        raise ValueError(f"found '{value}', expected minutes, or a time such as '4:00:00' or '1-12:00:00'")
    numbers = [int(part) for part in parts]
    if days:
        hours, minutes, seconds = [*numbers, 0, 0][:3]
    elif len(numbers) == 3:
        hours, minutes, seconds = numbers
    else:
        hours, (minutes, seconds) = 0, [*numbers, 0][:2]
    return int(days or 0) * 1440 + hours * 60 + minutes + (seconds > 0)


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Lines = Annotated[tuple[str, ...], BeforeValidator(_listed)]

_DECIDED = {
    *("job-name", "array", "output", "error", "open-mode", "no-requeue", "signal"),
    *("wrap", "parsable", "test-only", "wait", "clusters"),
}  # fmt: skip
"""Options without which jobs are not found again, or their logs; and ``clusters``, a key of its own."""


def _left_to_bench(options: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
    for name in options:
        # sbatch takes every beginning of an option for the whole.
        if any(decided.startswith(name.replace("_", "-")) for decided in _DECIDED):
            advice = "it is a key of the profile" if name == "clusters" else "bench decides it"
            raise ValueError(f"found '{name}', expected any other option of sbatch: {advice}")
    return options


class Profile(Strict):
    """What each job asks for, and how runs are spread over jobs."""

    clusters: str | None = Field(None, pattern=r"^[\w-]+$")
    """Of a site with several, the one that gets the jobs; default: that of this machine."""
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gpus: int = Field(1, ge=0, le=64)
    """GPUs of a job; 0: CPU only."""
    gpu_type: str | None = None
    """As in ``--gres=gpu:<type>:<number>``."""
    gpus_as: Literal["gres", "gpus-per-node", "gpus-per-task"] = "gres"
    """The option of sbatch that asks for GPUs."""
    device: Literal["cpu", "cuda"] | None = None
    """Where the runs of a job are trained. Default: cuda where the job has a GPU, else cpu."""
    cpus: int = Field(4, ge=1)
    """Cores of a job."""
    memory: str | None = Field(None, pattern=r"^\d+[KMGT]?$")
    """Of a job, as sbatch writes it: 16G."""
    time: Annotated[int, BeforeValidator(_minutes)] = Field(240, ge=1)
    """Time limit in minutes. A job that does not get through its runs goes on where it was."""
    grace: int = Field(120, ge=5)
    """Seconds before the time limit at which a job saves its state and lets itself be queued again."""
    workers: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = 1
    """Processes on each GPU (or in each job, where there is no GPU), side by side. ``auto``: each job
    measures how many its GPU does most with, in half a minute; one a core where there is no GPU."""
    jobs: int | None = Field(None, ge=1)
    """Most jobs that may run at once."""
    fill: float = Field(0.5, gt=0, le=1)
    """Share of the time limit that the runs of one job should take."""
    exclude: Lines = ()
    """Nodes that are not to be used."""
    setup: Lines = ()
    """Lines of shell before the work: module load and the like."""
    python: str | None = None
    """Command that starts Python in a job, as in shell; default: that which runs here."""
    srun: Lines = ()
    """Options of the srun that starts the work, with their dashes: those of a container, say."""
    sbatch: Annotated[dict[str, str | int | bool], AfterValidator(_left_to_bench)] = Field({})
    """Any other option of sbatch, without its dashes."""

    @model_validator(mode="after")
    def _one_gpu_a_task(self) -> Profile:
        if self.gpus_as == "gpus-per-task" and self.gpus and self.tasks != self.gpus:
            raise ValueError(
                f"gpus_as: found 'gpus-per-task' with workers: {self.workers}, expected workers: 1 or auto, "
                "or gpus-per-node: processes that share a GPU cannot ask for one each"
            )
        return self

    @property
    def tasks(self) -> int:
        """Processes of a job that Slurm starts; those that measure start the others themselves."""
        if self.workers == "auto":
            return self.gpus or self.cpus
        return self.workers * max(self.gpus, 1)

    @property
    def nodes(self) -> int:
        """Of a job."""
        return 1

    @property
    def shares(self) -> bool:
        """Whether each GPU measures how many processes it has side by side."""
        return self.workers == "auto" and self.gpus > 0

    def crowded(self, times: int) -> Profile:
        """With half as many processes on a GPU, so many times: for runs that ran out of memory."""
        if times == 0:
            return self
        workers = 1 if self.workers == "auto" else max(1, self.workers >> times)
        return self.model_copy(update={"workers": workers})

    def small(self) -> Profile:
        """Of a job on the same cluster that only looks, and submits: a core for an hour, and no GPU."""
        large = ("mem", "gpu", "gres", "exclusive", "cpus", "ntasks", "tasks", "cores")
        sbatch = {key: value for key, value in self.sbatch.items() if not key.startswith(large)}
        few = {"gpus": 0, "gpu_type": None, "workers": 1, "cpus": 1, "memory": "2G", "grace": 5}
        return self.model_copy(update={**few, "time": min(self.time, 60), "sbatch": sbatch})

    def parameters(self, name: str, parallel: int, exclude: tuple[str, ...] = ()) -> dict[str, Any]:
        """The parameters of submitit's SlurmExecutor."""
        extra: dict[str, Any] = {**self.sbatch, "requeue": True}
        if self.clusters:
            extra["clusters"] = self.clusters
        if self.gpus:
            number = self.gpus // self.tasks if self.gpus_as == "gpus-per-task" else self.gpus
            kind = ("gpu",) if self.gpus_as == "gres" else ()
            typed = (self.gpu_type,) if self.gpu_type else ()
            extra[self.gpus_as] = ":".join([*kind, *typed, str(number)])
        nodes = ",".join(dict.fromkeys([*self.exclude, *exclude]))
        parameters = {
            "job_name": name,
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "time": self.time,
            "nodes": self.nodes,
            "ntasks_per_node": self.tasks,
            "cpus_per_task": max(1, self.cpus // self.tasks),
            "mem": self.memory,
            "exclude": nodes or None,
            "signal_delay_s": min(self.grace, 45 * self.time),  # and never before a quarter of it is over
            "setup": list(self.setup) or None,
            "srun_args": list(self.srun) or None,
            "array_parallelism": parallel,
            "additional_parameters": extra,
        }
        return {key: value for key, value in parameters.items() if value is not None}


class Whole(Profile):
    """Of jobs that one run has for itself: one process starts its program, which has all nodes and GPUs."""

    several: int = 1

    @classmethod
    def of(cls, profile: Profile, gpus: int | None, nodes: int) -> Whole:
        """The same jobs, with so many GPUs on each node (None: as many as the profile says) and nodes."""
        changes = {"gpus": profile.gpus if gpus is None else gpus, "workers": 1, "several": nodes}
        # Each step of a job takes its cores and GPUs for itself, but for those that share: the worker's must
        # leave them to the program's.
        step = ("--nodes=1", "--ntasks=1", "--overlap")
        return cls.model_construct(**{**dict(profile), **changes, "srun": (*profile.srun, *step)})

    @property
    def nodes(self) -> int:
        return self.several

    @property
    def tasks(self) -> int:
        return 1

    def crowded(self, times: int) -> Profile:
        return self


def load_profile(path: Path) -> Profile:
    """Read a profile.

    Raises:
        BenchError: no such file, no YAML, or a value that cannot be: with file, field, what was found and
            what is allowed.
    """
    values = read_yaml(path)
    try:
        return Profile.model_validate(values if values is not None else {})
    except ValidationError as error:
        raise BenchError("\n".join(f"{path}: {line}" for line in explain(error))) from None
