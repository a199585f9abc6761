"""A training's state on disk: whole and unaltered, or refused."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.serialization import default_restore_location, safe_globals

from bench.disk import Damaged, NoFile, read, write_atomically
from bench.registry import describe

_DIGEST_BYTES = 32
# Arrays and numbers of numpy's, which a user's state_dict may hold: to read them runs no code of theirs.
_OF_NUMPY: list[Any] = [np.ndarray, np.dtype]
_OF_NUMPY += [value.__reduce__()[0] for value in (np.zeros(1), np.float64(1))]  # what makes them anew
_OF_NUMPY += {type(np.dtype(code)) for code in f"?U{np.typecodes['AllInteger']}{np.typecodes['AllFloat']}"}


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a state (tensors, numbers, strings, arrays, in dicts, lists, tuples and sets), preceded by its
    SHA-256."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    write_atomically(path, hashlib.sha256(content).digest() + content)


def load(path: Path, device: torch.device) -> dict[str, Any] | None:
    """Read a state back, or None where there is none. What was on a GPU comes to ``device``.

    Raises:
        Damaged: the file is not what was written.
    """
    try:
        content = read(str(path))
    except FileNotFoundError:
        return None
    except NoFile as error:
        raise Damaged(f"{path}: {error.strerror}") from None
    digest, payload = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != digest:
        raise Damaged(f"{path}: its content is not what was written")

    def place(storage: Any, location: str) -> Any:
        # What was on a CPU stays there: a generator takes its state from nowhere else.
        if location == "cpu":
            return storage
        return default_restore_location(storage, str(device))  # type: ignore[no-untyped-call]

    try:
        with safe_globals(_OF_NUMPY):  # here alone: published weights are read with less
            state: dict[str, Any] = torch.load(io.BytesIO(payload), map_location=place, weights_only=True)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # somebody's own: a digest is no signature, and its reader never runs anything
        raise Damaged(f"{path}: is no checkpoint: {str(error).partition(chr(10))[0][:100]}") from None
    if not isinstance(state, dict):
        raise Damaged(f"{path}: is no checkpoint: found {describe(state)}")
    return state


def refusal(state: Any) -> str:
    """Why a checkpoint could not give this back; empty where it can."""
    if isinstance(state, Mapping):
        state = {name: value for name, value in state.items() if type(value) is not torch.Tensor}
    buffer = io.BytesIO()
    try:
        torch.save(state, buffer)
        buffer.seek(0)
        with safe_globals(_OF_NUMPY):
            torch.load(buffer, weights_only=True)
    except Exception as error:  # what pickles itself can raise anything
        if isinstance(error, pickle.UnpicklingError):
            match = re.search(r"GLOBAL (\S+)", str(error))
            kind = match[1] if match else "something in it"
            kinds = "tensors, numbers, strings and arrays, in dicts, lists, tuples and sets"
            return f"{kind} is not among {kinds}"
        return f"{type(error).__name__}: {error}".partition("\n")[0]
    return ""
