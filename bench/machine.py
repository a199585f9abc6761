"""What this machine is called, without torch."""

from __future__ import annotations

import functools
import platform
import socket
import subprocess
from typing import Any

from bench import __version__


def processor() -> str:
    """The processor, in its maker's words."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@functools.cache  # it takes half a second
def _gpu() -> str:
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "CUDA"
    return (answer.stdout.splitlines() or ["CUDA"])[0].strip()


def fingerprint(device: str) -> dict[str, Any]:
    """Where a trainer of the user's own is at work: what it uses there is its own affair."""
    return {
        "bench": __version__,
        "python": platform.python_version(),
        "host": socket.gethostname(),
        "device": _gpu() if device.startswith("cuda") else processor(),
    }
