"""The device of a training: chosen, made deterministic, and described for those who repeat it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import socket
from typing import Any

import torch

from bench import __version__
from bench.errors import BenchError
from bench.machine import processor

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of glibc's ``mallopt``: how much free memory goes back to the system, and from what size on at once."""
_MEMORY = re.compile(
    "out of memory|_STATUS_ALLOC_FAILED|ALLOCATION_FAILED|(CUBLAS|CUDNN|CUSOLVER)_STATUS_NOT_INITIALIZED"
)
"""In errors of CUDA, cuBLAS, cuDNN and cuSOLVER. A library that finds no room for its handle says that it is
not initialized."""


def prepare(name: str = "auto") -> torch.device:
    """Choose a device (``auto``, ``cpu``, ``cuda`` or ``cuda:N``) and make its results repeatable.

    On a CPU: one thread, because sums are rounded in another order by two. On CUDA: deterministic
    algorithms. Numbers below the normal range count as zero on a CPU, where they are slow.

    Raises:
        BenchError: there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise BenchError(
            f"device '{name}': torch {torch.__version__} finds no CUDA device here; cpu does without"
        )
    device = torch.device(name)
    if device.index is not None:
        torch.cuda.set_device(device)  # streams and recordings are the current device's
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if device.type == "cpu":
        keep_memory()
    repeat_bits(device)
    return device


def keep_memory() -> None:
    """Have glibc keep what a step frees for the next one, up to 2 GB.

    It would go back to the system, which clears each page anew: over a fifth of a step of ``vgg5-tiny`` on
    28 × 28 (benchmarks/kept_memory.py). Other C libraries stay as they are.
    """
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        if not mallopt(_MMAP_THRESHOLD, 2**30):
            mallopt(_MMAP_THRESHOLD, 2**25)  # the most that glibc before 2.35 takes


def repeat_bits(device: torch.device) -> None:
    """Have a GPU use algorithms that repeat their bits, or refuse; and fp32 mean fp32, not TF32.

    A refusal is met in :mod:`bench.training.replay`: that run is trained without, and says so. Hence this is
    said again before each run.
    """
    if device.type != "cuda":
        return
    # cuBLAS repeats itself only with a workspace of fixed size.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False  # it would choose algorithms by how fast they happened to be
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.use_deterministic_algorithms(True)
    # Or else every new tensor is filled first: one more kernel for each that a step makes.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that it came of, is of memory: CUDA and its libraries have their own words."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or _MEMORY.search(str(error)):
        return True
    before = error.__cause__ or error.__context__
    return before is not None and is_out_of_memory(before)


def is_lost(device: torch.device) -> bool:
    """Whether this process can do nothing more on a device: an error of a GPU's kernel is for good, and so is
    a recording that ended in the middle."""
    if device.type != "cuda":
        return False
    try:
        torch.rand(1, device=device)
        torch.cuda.synchronize(device)
    except RuntimeError as error:  # not even that much room may be left while the error holds what it met
        return not is_out_of_memory(error)
    return False


def fingerprint(device: torch.device) -> dict[str, Any]:
    """What decides the bits of a result besides its run: stored with each."""
    cuda = device.type == "cuda"
    return {
        "bench": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "host": socket.gethostname(),
        "device": torch.cuda.get_device_name(device) if cuda else processor(),
        "instructions": torch.version.cuda if cuda else torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }
