"""GPUs and nodes that runs want for themselves: those of programs which say so."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from bench.errors import BenchError
from bench.launch.gpus import gpus_here
from bench.launch.preflight import check_program_here
from bench.launch.profile import Profile, Whole
from bench.runs import Run
from bench.suite import Suite
from bench.trainer_options import Command


class Needs(NamedTuple):
    """Of one run, which then has a job, or this machine's worker, to itself."""

    gpus: int | None = None
    """On each node; None: what each process of a job has."""
    nodes: int = 1

    @property
    def whole(self) -> bool:
        """Whether runs are never trained side by side in a job."""
        return self.gpus is not None or self.nodes > 1


def needs_of(run: Run) -> Needs:
    """What a run needs."""
    trainer = run.trainer or {}
    return Needs(trainer.get("gpus"), trainer.get("nodes", 1))


def by_needs(runs: Iterable[Run]) -> dict[Needs, list[Run]]:
    """Runs with what they need, in their order."""
    groups: dict[Needs, list[Run]] = {}
    for run in runs:
        groups.setdefault(needs_of(run), []).append(run)
    return groups


def check_here(suite: Suite, device: str) -> None:
    """Make sure that this machine has what the programs of a suite ask for.

    Args:
        device: on which runs are to be trained.

    Raises:
        BenchError: it has fewer GPUs, or nodes, or not the program.
    """
    check_program_here(suite)
    for trainer in suite.trainers:
        if not isinstance(trainer, Command):
            continue
        if trainer.nodes > 1:
            raise BenchError(
                f"{suite.name}: trainer.nodes: found {trainer.nodes}, and this machine is one; --on PROFILE "
                "trains on a cluster"
            )
        gpus = len(gpus_here()) if device != "cpu" else 0
        if (trainer.gpus or 0) > gpus:
            hint = " (--device cpu leaves none)" if device == "cpu" else ""
            raise BenchError(
                f"{suite.name}: trainer.gpus: found {trainer.gpus}, and this machine has {gpus}{hint}; --on "
                "PROFILE trains on a cluster"
            )


def profile_for(needs: Needs, profile: Profile) -> Profile:
    """A profile whose jobs have what a run needs, for themselves."""
    return Whole.of(profile, needs.gpus, needs.nodes) if needs.whole else profile


def check_there(suite: Suite, profile: Profile, file: Path) -> None:
    """Make sure that a profile can give what the programs of a suite ask for.

    Whether the cluster has as much, its own answer tells.

    Raises:
        BenchError: its jobs have no GPU; or a program may take longer to stop than its jobs have.
    """
    for trainer in suite.trainers:
        if not isinstance(trainer, Command):
            continue
        if trainer.gpus and not profile.gpus:
            raise BenchError(
                f"{suite.name}: trainer.gpus: found {trainer.gpus}, and {file} asks for none (gpus: 0); name "
                "a profile whose jobs have GPUs"
            )
        if trainer.grace >= profile.grace:
            raise BenchError(
                f"{suite.name}: trainer.grace: found {trainer.grace:g} s, and {file} leaves a job "
                f"{profile.grace} s before its time limit (grace): it needs more than its programs"
            )
