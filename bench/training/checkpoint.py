"""A training's state on disk: whole and unaltered, or refused."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from bench.disk import write_atomically
from bench.results import Damaged

_DIGEST_BYTES = 32


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a state (tensors, numbers, strings, in dicts and lists), preceded by its SHA-256."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    write_atomically(path, hashlib.sha256(content).digest() + content)


def load(path: Path, device: torch.device) -> dict[str, Any] | None:
    """Read a state back, or None where there is none.

    Raises:
        Damaged: the file is not what was written.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, payload = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != digest:
        raise Damaged(f"{path}: its content is not what was written")
    state: dict[str, Any] = torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
    return state
