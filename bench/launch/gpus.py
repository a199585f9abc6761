"""Which GPUs a process may use, and what they are called: asked before torch sees any."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from bench.errors import BenchError

DEVICES = Path("/dev")  # where NVIDIA's driver puts a file for each GPU


def gpus_here() -> list[int]:
    """Numbers of the NVIDIA devices that this process may use, without importing torch for it.

    Raises:
        BenchError: they have names in the environment, which submitit does not take.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:  # CUDA counts those that are there, whatever their files are called in a container
        return list(range(len([*DEVICES.glob("nvidia[0-9]*")])))
    names = [name.strip() for name in visible.split(",") if name.strip()]
    if words := [name for name in names if not name.lstrip("-").isdigit()]:
        raise BenchError(
            f"CUDA_VISIBLE_DEVICES: found '{words[0]}'; to train on this machine, expected numbers such as "
            "0,1 (--device cpu trains without a GPU; on Slurm any name will do)"
        )
    return [int(name) for name in names if int(name) >= 0]


def choose_gpu(*, shared: bool) -> None:
    """Choose one of the job's GPUs for this process, each in turn."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if shared and "," in visible:
        several = visible.split(",")
        visible = several[int(os.environ.get("SLURM_LOCALID", 0)) % len(several)]
    if visible:
        # MPS numbers those that it sees anew.
        under_mps = "CUDA_MPS_PIPE_DIRECTORY" in os.environ
        os.environ["CUDA_VISIBLE_DEVICES"] = by_uuid(visible) if under_mps else visible


def by_uuid(visible: str) -> str:
    """``CUDA_VISIBLE_DEVICES`` with UUIDs for numbers, as far as ``nvidia-smi`` knows them: of a GPU that is
    divided (MIG) that of its first part, which is what CUDA takes for its number."""
    try:
        answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return visible
    rows = re.findall(r"^GPU (\d+):.*UUID: ([\w-]+)\)(?:\s+MIG .*UUID: (MIG-[^)]+))?", answer.stdout, re.M)
    uuids = {number: part or whole for number, whole, part in rows}
    return ",".join(uuids.get(name.strip(), name.strip()) for name in visible.split(","))
