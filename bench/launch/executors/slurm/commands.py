"""Slurm's commands, run in an environment in which only a profile tells Slurm what to do.

What a person's shell tells it (``SBATCH_PARTITION``, ``SQUEUE_STATES``, the settings of an interactive job)
is kept from all of them.
"""

from __future__ import annotations

import os
import re
import subprocess

from bench.launch.executors import OF_A_LAUNCHER, Later, Trouble

TIMEOUT = 20.0  # seconds that one of Slurm's commands may take


_OF_A_SHELL = (
    *("SLURM_", "_SLURM_", "SBATCH_", "SRUN_", "SALLOC_", "SQUEUE_"),
    *("SACCT_", "SACCTMGR_", "SCANCEL_", "SCONTROL_", "SINFO_"),
)


_WHERE = {"SLURM_CONF", "SLURM_CONF_SERVER"}


class Silent(Trouble):
    """A command did not answer: the request is not refused."""


def clean_environment() -> dict[str, str]:
    """The environment of this process, less what a shell or a job tells Slurm, and what jobs do not need."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _WHERE or (not name.startswith(_OF_A_SHELL) and name not in OF_A_LAUNCHER)
    }


def ask(*command: str, script: str = "", timeout: float = TIMEOUT) -> str:
    """Run one of Slurm's commands, which may read a script, and return what it prints.

    Raises:
        Trouble: it failed.
        Silent: there was no answer, or none in time.
        Later: a limit on queued jobs is reached.
    """
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, input=script, env=clean_environment()
        )
    except subprocess.TimeoutExpired:
        raise Silent(f"{command[0]} did not answer within {timeout:g} s") from None
    except OSError as error:
        raise Trouble(f"{command[0]}: {error.strerror}") from None
    if process.returncode != 0:
        raise trouble_of(f"{command[0]}: {one_line(process.stderr or process.stdout)}")
    return process.stdout


def trouble_of(words: str) -> Trouble:
    # Slurm names such a limit as it does in the queue: QOSMaxSubmitJobPerUserLimit, AssocGrpSubmitJobsLimit.
    if re.search(r"(Assoc|QOS)\w*Submit", words):
        return Later(words)
    silent = re.search(r"contact slurm|timed out|connection refused|standby mode", words, re.IGNORECASE)
    return Silent(words) if silent else Trouble(words)


def keeps_books(cluster: str | None = None) -> bool:
    """Whether a cluster has accounting: without it, ended jobs are soon forgotten. Raises Trouble."""
    return configuration(cluster).get("AccountingStorageType", "").endswith("slurmdbd")


def configuration(cluster: str | None) -> dict[str, str]:
    """The configuration of the controller. Raises Trouble."""
    text = ask("scontrol", *option_of(cluster), "show", "config")
    return dict(re.findall(r"^(\w+)\s*=\s*(\S+)", text, re.MULTILINE))


def option_of(cluster: str | None) -> list[str]:
    """The option by which any of these commands asks another cluster."""
    return [f"--clusters={cluster}"] if cluster else []


def one_line(text: str) -> str:
    """The error message of one of Slurm's commands, in one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    messages = [line.removeprefix("sbatch: ").removeprefix("error: ") for line in lines]
    if any("configuration source" in line for line in messages):  # each step of a search complains
        return "Slurm's commands are here, but no cluster is set up"
    return "; ".join(dict.fromkeys(messages))[:500]
