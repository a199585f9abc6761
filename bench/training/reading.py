"""Tensors from anybody's file, without running any code of it: files that need that are refused.

PyTorch's files are read with ``weights_only=True``: tensors, numbers, strings and containers of them.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.errors import BenchError, nearest
from bench.registry import describe
from bench.training.weights import RUN_KEY

ENTRIES = ("model_state", "model_state_dict", "state_dict", "model", "net", "network", "weights")
"""What people call the entry of a checkpoint that holds the weights; the first that is there is taken."""

EXPORTED = "model.safetensors"
"""The weights in a folder of ``bench export``."""

_EXPECTED = "expected a file of torch.save or safetensors"
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # before torch 1.6, and when asked


@dataclass
class Checkpoint:
    """The tensors of one file, as they are called there."""

    path: Path
    sha256: str
    state: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)
    """Of a safetensors file."""
    notes: list[str] = field(default_factory=list)
    """How the file was understood."""

    @property
    def description(self) -> dict[str, Any]:
        """Of the run of ``bench`` that made the file, where that is said in it; else empty."""
        try:
            described = json.loads(self.metadata.get(RUN_KEY, "{}"))
        except ValueError:
            return {}
        return described if isinstance(described, dict) else {}


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a file of safetensors or of ``torch.save``; of a folder that ``bench export`` wrote, its weights.

    Raises:
        BenchError: no such file, something else under its name, a damaged one, one that needs code to be
            run, or one without weights.
    """
    if path.is_dir() and (path / EXPORTED).is_file():
        path = path / EXPORTED
    beginning = _beginning(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if beginning[8:9] == b"{":
        return Checkpoint(path, digest, *_read_safetensors(path))
    value = _load(path)
    notes: list[str] = []
    return Checkpoint(path, digest, _find_state(path, value, notes), notes=notes)


def _beginning(path: Path) -> bytes:
    """The first bytes of a file, after a look at whether they could be weights at all."""
    if path.is_dir():
        inside = ", ".join(sorted(child.name for child in path.iterdir())[:8])
        raise BenchError(f"{path}: is a folder, which holds {inside or 'nothing'}; give a file of weights")
    try:
        with path.open("rb") as file:
            beginning = file.read(512)
    except FileNotFoundError:
        names = [child.name for child in path.parent.iterdir()] if path.parent.is_dir() else []
        raise BenchError(f"{path}: there is no such file{nearest(path.name, names)}") from None
    text = beginning.lstrip().lower()
    if not beginning:
        raise BenchError(f"{path}: the file is empty")
    if text.startswith(b"version https://git-lfs"):
        size = re.search(rb"size (\d+)", beginning)
        stands_for = f" of {int(size[1]):,} bytes" if size else ""
        raise BenchError(
            f"{path}: is a Git LFS pointer, not the file{stands_for} that it stands for; "
            "`git lfs pull` in its repository, or download the file itself"
        )
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise BenchError(
            f"{path}: is a web page, saved in place of the file; download the file itself "
            "(on GitHub: 'Download raw file')"
        )
    if beginning[8:9] == b"{":  # safetensors: eight bytes of length, then JSON
        return beginning
    if beginning.startswith(_PICKLE) and not beginning.startswith(_OLD_TORCH):
        raise BenchError(f"{path}: is a plain pickle, which torch.save did not write; {_EXPECTED}")
    if not beginning.startswith((_ZIP, _OLD_TORCH)):
        raise BenchError(f"{path}: begins with {beginning[:12]!r}; {_EXPECTED}")
    return beginning


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError) as error:
        raise BenchError(f"{path}: is no whole safetensors file: {error}") from None


def _load(path: Path) -> Any:
    _check_archive(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file shows in the archive, in the unpickler, or in a tensor's size
        message = str(error)
    if match := re.search(r"GLOBAL ([\w.]*\w) ", message):
        raise BenchError(
            f"{path}: needs more than weights: it asks for '{match[1]}', and making that could run any "
            "code. Where you trust the file, write its weights into a new one with the code that made it: "
            "torch.save(everything[ENTRY], NEW) of what it loads, .state_dict() in place of [ENTRY] where "
            "that is a whole network"
        )
    # The first sentence: torch goes on with advice to run whatever the file says.
    reason = message.removeprefix("Weights only load failed").split(". ")[0].strip(" .")
    raise BenchError(f"{path}: is no whole PyTorch file: {reason or 'it ends too early'}")


def _check_archive(path: Path) -> None:
    """Refuse zip archives that are none of ``torch.save``, such as programs."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise BenchError(f"{path}: is no whole PyTorch file: {error}") from None
    parts = {name.partition("/")[2] for name in names}
    if "constants.pkl" in parts:
        raise BenchError(
            f"{path}: is a TorchScript program, with code in it; save its weights alone: "
            "torch.save(torch.jit.load(FILE).state_dict(), NEW)"
        )
    if "data.pkl" not in parts:
        examples = ", ".join(sorted(names)[:4])
        raise BenchError(f"{path}: is a zip archive that torch.save did not write; it holds {examples}, …")


def _find_state(path: Path, value: Any, notes: list[str]) -> dict[str, Tensor]:
    """The mapping of names to tensors in what a file holds: all of it, or one of its usual entries."""
    if _is_state(value):
        return dict(value)
    entries = value if isinstance(value, Mapping) else {}
    for key in ENTRIES:
        if _is_state(entries.get(key)):
            unused = [str(name) for name in entries if name != key]
            notes.append(f"weights are its '{key}'" + (f"; not used: {', '.join(unused)}" if unused else ""))
            return dict(entries[key])
    kind = describe(value) if isinstance(value, (Mapping, list, tuple)) else f"a {type(value).__name__}"
    raise BenchError(
        f"{path}: found {kind}, expected tensors by name, or an entry that holds them: {', '.join(ENTRIES)}"
    )


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items())
    )
